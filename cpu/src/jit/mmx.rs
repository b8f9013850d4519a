//! MMX instructions: the host's own on the guest's registers, which are the significands of those of [`super::x87`].
//!
//! The host sets tags, TOP and exponents as the guest's processor does (SDM volume 3, 13.2), and what it notes of the last
//! x87 instruction is not looked at.

use super::emit::Opcode;
use super::operate::{Access, Field};
use super::plan::{Planned, Use, Way};
use super::registers::{Home, RAX, RCX, RDI};
use super::translate::Translator;
use crate::decode::register_code;
use crate::semantics::mmx::has_mm;
use iced_x86::{CpuidFeature, Instruction, Mnemonic, OpKind, Register};

/// Whether an instruction uses the MMX registers, or makes the x87 state theirs.
pub(super) fn is_mmx(instr: &Instruction) -> bool {
    // CVTPI2PS counts with memory as well, on the reference (see `semantics/sse_fp.rs`).
    has_mm(instr) || matches!(instr.mnemonic(), Mnemonic::Emms | Mnemonic::Cvtpi2ps)
}

/// How an MMX instruction is translated where x87 registers may be the guest's, and so may be what it uses of SSE.
pub(super) fn way(instr: &Instruction) -> Way {
    let known = |feature: &CpuidFeature| {
        matches!(feature, CpuidFeature::MMX | CpuidFeature::SSE | CpuidFeature::SSE2 | CpuidFeature::SSSE3)
    };
    if !instr.cpuid_features().iter().all(known) {
        return Way::Interpret;
    }
    if instr.mnemonic() != Mnemonic::Maskmovq {
        return Way::Mmx;
    }
    let plain = instr.op_kind(0) == OpKind::MemorySegRDI
        && !matches!(instr.memory_segment(), Register::FS | Register::GS);
    if plain { Way::MaskedStore } else { Way::Interpret }
}

/// Whether an XMM register is an operand.
pub(super) fn has_xmm(instr: &Instruction) -> bool {
    (0..instr.op_count()).any(|i| instr.op_kind(i) == OpKind::Register && instr.op_register(i).is_xmm())
}

/// Whether an MMX instruction uses XMM registers or MXCSR.
pub(super) fn uses_sse(instr: &Instruction) -> bool {
    use Mnemonic as M;
    has_xmm(instr) || matches!(instr.mnemonic(), M::Cvtps2pi | M::Cvttps2pi | M::Cvtpd2pi | M::Cvttpd2pi)
}

/// Whether the operand in ModRM.rm comes first: MOVD, MOVQ and MOVNTQ to memory or another register.
fn first_in_rm(opcode: Opcode) -> bool {
    matches!(opcode.byte, 0x7E | 0x7F | 0xE7)
}

/// Shifts by a constant, which have the register in ModRM.rm.
fn is_shift_by_constant(opcode: Opcode) -> bool {
    matches!(opcode.byte, 0x71..=0x73)
}

impl Translator<'_> {
    /// Translates an MMX instruction.
    pub fn mmx(&mut self, index: usize, planned: &Planned) {
        let instr = &planned.instr;
        if instr.mnemonic() == Mnemonic::Emms {
            // The manual has it empty the tags, but says of TOP only that all MMX instructions clear it.
            self.enter_mmx();
            return self.code.plain(&[0x0F, 0x77]);
        }
        let memory = (0..instr.op_count()).find(|i| instr.op_kind(*i) == OpKind::Memory);
        let mut mem = memory.map(|i| {
            let size = instr.memory_size().size();
            self.operand(index, Access { size, write: i == 0, aligned: size == 16 })
        });
        if memory.is_some() && instr.mnemonic() == Mnemonic::Cvtpi2ps {
            // Some hosts do so only with an MMX register.
            mem = mem.map(|mem| self.fold(mem));
            self.enter_mmx();
        }
        let raw = &planned.raw;
        let (reg, rm) = if is_shift_by_constant(raw.opcode) {
            (Field::Digit(raw.reg & 7), operand(instr, 0))
        } else if first_in_rm(raw.opcode) {
            (operand(instr, 1), operand(instr, 0))
        } else {
            (operand(instr, 0), operand(instr, 1))
        };
        self.emit(raw.opcode, reg, rm, mem, planned.immediate());
    }

    /// MASKMOVQ, whose memory is where RDI points. It must be accessible, all of it, or the interpreter decides.
    pub fn masked_store(&mut self, planned: &Planned) {
        debug_assert_eq!(self.homes.of(RDI.0), Home::Register(RDI));
        self.lose_flags();
        self.code.copy(RAX, RDI);
        let mem = self.translate_address(Access { size: 8, write: true, aligned: false });
        self.code.lea(RCX, mem);
        self.exchange_rdi();
        self.emit(planned.raw.opcode, operand(&planned.instr, 1), operand(&planned.instr, 2), None, &[]);
        self.exchange_rdi();
    }

    /// XCHG RCX, RDI.
    fn exchange_rdi(&mut self) {
        self.code.op(Opcode::wide(0x87), RCX.0, RDI, &[]);
    }

    /// Does to the x87 state what every MMX instruction does. RAX is lost.
    fn enter_mmx(&mut self) {
        // MOVD EAX, MM0
        self.code.op(Opcode::two(0x7E), 0, RAX, &[]);
    }
}

/// What stands in a field of ModRM; memory has no say there.
fn operand(instr: &Instruction, i: u32) -> Field {
    if instr.op_kind(i) != OpKind::Register {
        return Field::Digit(0);
    }
    let register = instr.op_register(i);
    if register.is_gpr() {
        let used = if i == 0 { Use::Write } else { Use::Read };
        return Field::General { code: register_code(register), size: register.size(), used };
    }
    Field::Vector(register.number() as u8)
}
