//! Shifts and rotations, whose flags hosts leave undefined in part.

use super::emit::{Mem, Opcode, at, cc};
use super::flags::{Deviation, FlagState, clear_aux};
use super::frame::{self, here};
use super::operate::{Access, Field};
use super::plan::{Planned, Use};
use super::registers::{GUEST_RCX, RAX, RCX};
use super::translate::Translator;
use crate::decode::register_code;
use iced_x86::{Instruction, Mnemonic, OpKind};

const AND: u8 = 4;

impl Translator<'_> {
    /// Translates SHL, SHR, SAR, ROL and ROR.
    pub fn shift(&mut self, index: usize, planned: &Planned) {
        let instr = &planned.instr;
        let size = crate::decode::operand_size(instr, 0);
        let by_cl = instr.op_kind(1) == OpKind::Register;
        let bits = 8 * size as u64;
        let count = if by_cl { 0 } else { instr.immediate(1) & if size == 8 { 63 } else { 31 } };
        let rotates = matches!(instr.mnemonic(), Mnemonic::Rol | Mnemonic::Ror);
        let matters = self.flags_matter_after(index);
        let register = instr.op_kind(0) == OpKind::Register;
        if !by_cl && count == 0 || count >= bits && matters {
            return self.interpret(index);
        }
        if matters && (by_cl || rotates) {
            return match (register && size >= 4, by_cl, rotates) {
                (true, true, false) => self.shift_by_cl_with_flags(planned, size),
                (true, false, true) => self.rotate_with_flags(planned, size),
                _ => self.interpret(index),
            };
        }
        let mem = (!register).then(|| self.operand(index, Access { size, write: true, aligned: false }));
        let digit = Field::Digit(planned.raw.reg & 7);
        let opcode = Opcode { byte_register: size == 1, repeat: 0, ..planned.raw.opcode };
        let immediate = planned.immediate();
        if by_cl {
            self.shift_by_cl(opcode, digit, instr, size, mem);
        } else {
            let rm = self.register_field(instr, size);
            self.emit(opcode, digit, rm, mem, immediate);
        }
        let deviation = match instr.mnemonic() {
            _ if count <= 1 => Deviation::None,
            Mnemonic::Shl => Deviation::OverflowFromSign,
            Mnemonic::Shr | Mnemonic::Sar => Deviation::NoOverflow,
            _ => Deviation::None,
        };
        self.flags.set(deviation, self.wrong_aux(planned));
    }

    /// A register shifted by CL, with all flags in the frame afterwards: those from before if the count is 0.
    fn shift_by_cl_with_flags(&mut self, planned: &Planned, size: usize) {
        let code = register_code(planned.instr.op_register(0));
        self.flags.save(&mut self.code);
        let opcode = Opcode { repeat: 0, ..planned.raw.opcode };
        self.code.copy(RCX, GUEST_RCX);
        // TEST CL, 31 or 63
        self.code.plain(&[0xF6, 0xC1, if size == 8 { 63 } else { 31 }]);
        let host = self.value(code, RAX);
        let nothing = self.code.jump_if(cc::E);
        self.code.op(opcode, planned.raw.reg & 7, host, &[]);
        if host == RAX {
            self.put(code, RAX);
            self.code.copy(RCX, RAX);
        }
        let host = if host == RAX { RCX } else { host };
        // LAHF
        self.code.plain(&[0x9F]);
        match planned.instr.mnemonic() {
            // OF is CF xor SF: MOV AL, AH; SHR AL, 7; XOR AL, AH; AND AL, 1
            Mnemonic::Shl | Mnemonic::Sal => {
                self.code.plain(&[0x8A, 0xC4, 0xC0, 0xE8, 7, 0x32, 0xC4, 0x24, 1])
            }
            // OF is what was the top bit if the count was 1, which is the second one now; 0 else, as that is then.
            Mnemonic::Shr => {
                let opcode = Opcode { wide: size == 8, ..Opcode::two(0xBA) };
                self.code.op(opcode, 4, host, &[8 * size as u8 - 2]);
                // SETC AL
                self.code.plain(&[0x0F, 0x92, 0xC0]);
            }
            // OF is 0: MOV AL, 0
            _ => self.code.plain(&[0xB0, 0]),
        }
        if !self.host.clears_aux {
            clear_aux(&mut self.code);
        }
        self.code.store32(here(frame::FLAGS), RAX);
        if size == 4 {
            // A 32-bit destination is zero-extended even by a count of 0.
            let done = self.code.jump();
            self.code.bind(nothing);
            let host = self.value(code, RAX);
            self.code.op(Opcode::one(0x8B), host.0, host, &[]);
            if host == RAX {
                self.put(code, RAX);
            }
            self.code.bind(done);
        } else {
            self.code.bind(nothing);
        }
        self.flags = FlagState::SAVED;
    }

    /// A register rotated by a constant, with CF and OF in the frame afterwards.
    fn rotate_with_flags(&mut self, planned: &Planned, size: usize) {
        let code = register_code(planned.instr.op_register(0));
        self.flags.save(&mut self.code);
        let opcode = Opcode { repeat: 0, ..planned.raw.opcode };
        let immediate = planned.immediate();
        let host = self.value(code, RAX);
        self.code.op(opcode, planned.raw.reg & 7, host, immediate);
        if host == RAX {
            self.put(code, RAX);
        }
        // SETC CL
        self.code.plain(&[0x0F, 0x92, 0xC1]);
        // OF is the top bit xor CF (ROL), or the top bit, which is CF, xor the one below (ROR).
        let bit = 8 * size as u8 - if planned.instr.mnemonic() == Mnemonic::Rol { 1 } else { 2 };
        self.code.op(Opcode { wide: size == 8, ..Opcode::two(0xBA) }, 4, host, &[bit]);
        // SETC AL; XOR AL, CL
        self.code.plain(&[0x0F, 0x92, 0xC0, 0x32, 0xC1]);
        let byte = |n| Mem { disp: frame::FLAGS + n, ..here(0) };
        self.code.op(Opcode::one(0x88), RAX.0, byte(0), &[]);
        self.code.op(Opcode::one(0x80), AND, byte(1), &[0xFE]);
        self.code.op(Opcode::one(0x08), RCX.0, byte(1), &[]);
        self.flags = FlagState::SAVED;
    }

    fn register_field(&self, instr: &Instruction, size: usize) -> Field {
        match instr.op_kind(0) {
            OpKind::Register => {
                Field::General { code: register_code(instr.op_register(0)), size, used: Use::Modify }
            }
            _ => Field::Digit(0),
        }
    }

    fn shift_by_cl(
        &mut self,
        opcode: Opcode,
        digit: Field,
        instr: &Instruction,
        size: usize,
        mem: Option<Mem>,
    ) {
        if let Some(mem) = mem {
            // RCX is to hold the count, so the address goes to RAX.
            self.code.lea(RAX, mem);
            self.code.copy(RCX, GUEST_RCX);
            return self.emit(opcode, digit, Field::Digit(0), Some(at(RAX, 0)), &[]);
        }
        self.code.copy(RCX, GUEST_RCX);
        let rm = self.register_field(instr, size);
        self.emit(opcode, digit, rm, None, &[]);
    }
}
