//! What instructions do. One function per instruction group, generic over width and operand form; each file picks
//! the function for the instructions it knows.

pub mod arith;
pub mod bit;
pub mod branch;
pub mod crypto;
pub mod elementwise;
pub mod flat;
pub mod fused;
pub mod fxsave;
pub mod io;
pub mod logic;
pub mod mmx;
pub mod mov;
pub mod request;
pub mod segment;
pub mod shift;
pub mod sse;
pub mod sse_fp;
pub mod sse_moves;
pub mod stack;
pub mod string;
pub mod system;
pub mod tables;
pub mod task;
pub mod vector;
pub mod x87;

#[cfg(all(test, target_arch = "x86_64"))]
mod availability;
#[cfg(all(test, target_arch = "x86_64"))]
mod oracle;

use crate::exec::Handler;
use crate::state::CodeSize;
use iced_x86::{Instruction, Mnemonic};

/// The semantics function for an instruction; `None` is #UD.
pub fn select(instr: &Instruction, size: CodeSize) -> Option<Handler> {
    request::select(instr)
        .or_else(|| mov::select(instr))
        .or_else(|| arith::select(instr))
        .or_else(|| logic::select(instr))
        .or_else(|| branch::select(instr, size))
        .or_else(|| stack::select(instr, size))
        .or_else(|| shift::select(instr))
        .or_else(|| bit::select(instr))
        .or_else(|| string::select(instr))
        .or_else(|| segment::select(instr, size))
        .or_else(|| io::select(instr))
        .or_else(|| system::select(instr))
        .or_else(|| tables::select(instr))
        .or_else(|| mmx::select(instr))
        .or_else(|| sse::select(instr))
        .or_else(|| sse_fp::select(instr))
        .or_else(|| x87::select(instr))
        .or_else(|| crypto::select(instr))
        .or_else(|| fxsave::select(instr))
}

/// Whether the instruction has a condition code in `aux`.
pub fn is_conditional(instr: &Instruction) -> bool {
    instr.condition_code() != iced_x86::ConditionCode::None && !string::is_string(instr)
}

/// Whether the handler sets RIP (branches, and string instructions that may repeat).
pub fn sets_rip(instr: &Instruction) -> bool {
    use Mnemonic::*;
    branch::is_branch(instr)
        || string::repeats(instr)
        || matches!(
            instr.mnemonic(),
            Int | Int1
                | Int3
                | Into
                | Iret
                | Iretd
                | Iretq
                | Syscall
                | Sysret
                | Sysretq
                | Sysenter
                | Sysexit
                | Sysexitq
                | Rsm
        )
}

/// Whether the operand size is not visible in the operands.
pub fn implicit_width(instr: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(
        instr.mnemonic(),
        Fxsave64 | Fxrstor64 | Xsave64 | Xrstor64 | Xsaveopt64 | Xsavec64 | Sysretq | Sysexitq
    )
}

/// Whether REX.W widens an instruction without visible operands.
pub fn wide(instr: &Instruction) -> bool {
    use Mnemonic::*;
    implicit_width(instr) || matches!(instr.mnemonic(), Iretq)
}

/// Instructions after which the run loop must look around: they change what memory or code looks like, may change
/// what is deliverable, or read the clock of the bus.
pub fn ends_block(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Popf | Popfd
            | Popfq
            | Hlt
            | Mwait
            | In
            | Out
            | Insb
            | Insw
            | Insd
            | Outsb
            | Outsw
            | Outsd
            | Wrmsr
            | Invlpg
            | Invpcid
            | Lmsw
            | Clts
            | Lgdt
            | Lidt
            | Lldt
            | Ltr
            | Wbinvd
            | Wbnoinvd
            | Invd
            | Xsetbv
            | Stac
            | Clac
            | Pause
            | Rsm
            | Lss
            | Cpuid
            | Serialize
            | Wrfsbase
            | Wrgsbase
    )
}
