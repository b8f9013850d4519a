//! x87 instructions: the host's own on the guest's registers, which are loaded when a translation first uses them and
//! stored before anything else runs. The pointers to the last instruction and its operand are the guest's.

use super::emit::{Code, Fixup, Mem, Opcode, at, cc};
use super::frame::{self, Entry, here};
use super::operate::Access;
use super::plan::Planned;
use super::registers::{GUEST_RAX, RAX, RCX};
use super::translate::Translator;
use crate::state::{Segment, System, Vcpu, seg};
use crate::x87::{Format, X87};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use std::mem::offset_of;

/// Bytes of what FNSAVE stores and FRSTOR loads in 64-bit mode.
pub(super) const IMAGE: usize = 108;
const CMP: u8 = 7;

/// Takes a state over that FNSAVE has stored, but for the pointers.
pub(super) fn take(x87: &mut X87, image: &[u8; IMAGE]) {
    let before = *x87;
    x87.frstor(Format::Protected32, image);
    let X87 { fip, fcs, fdp, fds, opcode, .. } = before;
    *x87 = X87 { fip, fcs, fdp, fds, opcode, ..*x87 };
}

/// The state for FRSTOR to load.
pub(super) fn give(x87: &X87, image: &mut [u8; IMAGE]) {
    let mut x87 = *x87;
    x87.fnsave(Format::Protected32, image);
}

/// Whether an instruction is left to the host.
pub(super) fn is_translatable(instr: &Instruction) -> bool {
    use Mnemonic as M;
    let memory = instr.op_count() > 0 && instr.op_kind(0) == OpKind::Memory
        || instr.op_count() > 1 && instr.op_kind(1) == OpKind::Memory;
    if memory && matches!(instr.memory_segment(), Register::FS | Register::GS) {
        return false;
    }
    matches!(
        instr.mnemonic(),
        M::Fld
            | M::Fst
            | M::Fstp
            | M::Fild
            | M::Fist
            | M::Fistp
            | M::Fisttp
            | M::Fadd
            | M::Faddp
            | M::Fiadd
            | M::Fsub
            | M::Fsubp
            | M::Fisub
            | M::Fsubr
            | M::Fsubrp
            | M::Fisubr
            | M::Fmul
            | M::Fmulp
            | M::Fimul
            | M::Fdiv
            | M::Fdivp
            | M::Fidiv
            | M::Fdivr
            | M::Fdivrp
            | M::Fidivr
            | M::Fxch
            | M::Fchs
            | M::Fabs
            | M::Ftst
            | M::Fxam
            | M::Fld1
            | M::Fldz
            | M::Fldpi
            | M::Fldl2e
            | M::Fldl2t
            | M::Fldlg2
            | M::Fldln2
            | M::Fcom
            | M::Fcomp
            | M::Fcompp
            | M::Fucom
            | M::Fucomp
            | M::Fucompp
            | M::Ficom
            | M::Ficomp
            | M::Fsqrt
            | M::Frndint
            | M::Ffree
            | M::Fincstp
            | M::Fdecstp
            | M::Fcmovb
            | M::Fcmove
            | M::Fcmovbe
            | M::Fcmovu
            | M::Fcmovnb
            | M::Fcmovne
            | M::Fcmovnbe
            | M::Fcmovnu
            | M::Fnstsw
            | M::Fnstcw
    )
}

fn x87_field(vcpu: super::registers::Host, offset: usize) -> Mem {
    at(vcpu, (offset_of!(Vcpu, x87) + offset) as i32)
}

fn selector(vcpu: super::registers::Host, segment: usize) -> Mem {
    let segments = offset_of!(Vcpu, system) + offset_of!(System, seg);
    at(vcpu, (segments + segment * size_of::<Segment>() + offset_of!(Segment, selector)) as i32)
}

/// MOV of 16 bits between memory, by way of RAX.
fn copy_word(code: &mut Code, to: Mem, from: Mem) {
    // MOVZX EAX, word
    code.op(Opcode::two(0xB7), RAX.0, from, &[]);
    code.op(Opcode { operand_size: true, ..Opcode::one(0x89) }, RAX.0, to, &[]);
}

impl Translator<'_> {
    /// At the start of a translation with x87 instructions: where to go if the registers are not the guest's.
    pub fn unless_x87_live(&mut self) -> Fixup {
        self.code.group1(false, CMP, here(frame::X87_LIVE), 0);
        self.code.jump_if(cc::E)
    }

    /// Loads the registers, of which the interpreter has made an image.
    pub fn load_x87(&mut self) {
        self.code.load(RCX, here(frame::ENTRY));
        self.code.op(Opcode::one(0xDD), 4, at(RCX, offset_of!(Entry, x87) as i32), &[]);
        self.code.store32_immediate(here(frame::X87_LIVE), 1);
    }

    /// Translates an x87 instruction.
    pub fn x87(&mut self, index: usize, planned: &Planned) {
        let instr = &planned.instr;
        let control = matches!(instr.mnemonic(), Mnemonic::Fnstsw | Mnemonic::Fnstcw);
        if let Some(operand) = (0..instr.op_count()).find(|i| instr.op_kind(*i) == OpKind::Memory) {
            let stores = matches!(
                instr.mnemonic(),
                Mnemonic::Fst | Mnemonic::Fstp | Mnemonic::Fist | Mnemonic::Fistp | Mnemonic::Fisttp
            );
            debug_assert!(operand < 2);
            let size = instr.memory_size().size();
            let access = Access { size, write: stores || control, aligned: false };
            let mem = self.x87_operand(index, access);
            let raw = planned.raw.opcode;
            self.code.op(Opcode::one(raw.byte), planned.raw.reg & 7, mem, &[]);
            if !control {
                self.note_x87(index, planned, true);
            }
            return;
        }
        if instr.mnemonic() == Mnemonic::Fnstsw {
            // FNSTSW AX; MOV R10W, AX
            self.code.plain(&[0xDF, 0xE0]);
            let opcode = Opcode { operand_size: true, ..Opcode::one(0x8B) };
            return self.code.op(opcode, GUEST_RAX.0, RAX, &[]);
        }
        if planned.reads_flags {
            self.flags.restore(&mut self.code);
        }
        let opcode = planned.bytes.len() - 2;
        self.code.plain(&planned.bytes[opcode..]);
        if planned.sets_flags {
            self.flags.set(super::flags::Deviation::None, false);
        }
        self.note_x87(index, planned, false);
    }

    /// Host memory of the operand, whose offset is kept.
    fn x87_operand(&mut self, index: usize, access: Access) -> Mem {
        self.lose_flags();
        self.linear_address(index);
        self.code.store(here(frame::OPERAND), RAX);
        self.translate_operand(index, access)
    }

    /// Notes the instruction, as `semantics/x87.rs` does. The host's flags stay.
    fn note_x87(&mut self, index: usize, planned: &Planned, memory: bool) {
        let rip = self.next_rip(index).wrapping_sub(u64::from(planned.insn.len));
        let code = &mut self.code;
        code.load(RCX, here(frame::VCPU));
        match i32::try_from(rip as i64) {
            Ok(short) => {
                let fip = x87_field(RCX, offset_of!(X87, fip));
                code.op(Opcode::wide(0xC7), 0, fip, &short.to_le_bytes());
            }
            Err(_) => {
                code.constant(RAX, rip);
                code.store(x87_field(RCX, offset_of!(X87, fip)), RAX);
            }
        }
        copy_word(code, x87_field(RCX, offset_of!(X87, fcs)), selector(RCX, seg::CS));
        let opcode = Opcode { operand_size: true, ..Opcode::one(0xC7) };
        let noted = (planned.insn.imm as u16).to_le_bytes();
        code.op(opcode, 0, x87_field(RCX, offset_of!(X87, opcode)), &noted);
        if memory {
            code.load(RAX, here(frame::OPERAND));
            code.store(x87_field(RCX, offset_of!(X87, fdp)), RAX);
            let segment = usize::from(planned.insn.seg) % 6;
            copy_word(code, x87_field(RCX, offset_of!(X87, fds)), selector(RCX, segment));
        }
    }
}
