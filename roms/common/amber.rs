//! Requests of software in the guest to Amber: checkpoints of the whole machine, and ways back. See docs/requests.md.
//! Stands alone, also without the standard library: copy it into any x86-64 program.

/// What is asked for.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Operation {
    Probe,
    Checkpoint,
    Restore,
    Fork,
    Export,
    Forget,
}

/// Asks. `None` elsewhere than on Amber; else the result (below 0: an error) and the argument of whoever came back.
pub fn request(operation: Operation, name: &str, argument: u64) -> Option<(i64, u64)> {
    let call = 0x414D_4200 | operation as i64;
    let (mut result, mut passed) = (call, argument);
    // SAFETY: the instruction is a NOP that reads nothing; the machine changes RAX and RDX alone, and memory only by going
    // back to what it was.
    unsafe {
        core::arch::asm!(
            ".byte 0x0f, 0x1f, 0x80, 0x41, 0x4d, 0x42, 0x52",
            inout("rax") result,
            inout("rdx") passed,
            in("rdi") name.as_ptr(),
            in("rsi") name.len(),
        );
    }
    (result != call).then_some((result, passed))
}
