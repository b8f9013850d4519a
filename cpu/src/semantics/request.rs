//! Requests of software in the guest to the machine it runs on: a NOP with a memory operand of a fixed displacement. It
//! is unprivileged, reads nothing, and does nothing on other machines. `docs/requests.md` has the registers.

use crate::exec::{Cx, Exec, Handler, Insn};
use iced_x86::{Instruction, Mnemonic, Register};

/// Displacement of the NOP: the bytes "AMBR".
pub const DISPLACEMENT: u32 = u32::from_le_bytes(*b"AMBR");

/// The semantics function, if this is NOP [RAX + "AMBR"] (0F 1F 80 41 4D 42 52).
pub fn select(instr: &Instruction) -> Option<Handler> {
    let magic = instr.mnemonic() == Mnemonic::Nop
        && matches!(instr.memory_base(), Register::RAX | Register::EAX)
        && instr.memory_index() == Register::None
        && instr.memory_displacement64() == u64::from(DISPLACEMENT);
    magic.then_some(request)
}

fn request(cx: &mut Cx, _insn: &Insn) -> Exec {
    cx.bus.request();
    cx.recheck();
    Ok(())
}
