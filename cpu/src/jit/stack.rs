//! PUSH, POP and LEAVE.

use super::emit::{Mem, Opcode, at};
use super::frame::{self, here};
use super::operate::Access;
use super::plan::Planned;
use super::registers::{GUEST_RSP, Home, RAX, RCX};
use super::translate::Translator;
use super::window::Which;
use crate::decode::register_code;
use iced_x86::OpKind;

/// Guest registers.
const RSP: u8 = 4;
const RBP: u8 = 5;

impl Translator<'_> {
    /// Host memory for a PUSH of 64 bits; RSP stays as it is.
    pub fn pushed(&mut self, index: usize) -> Mem {
        self.on_stack(index, -8, true)
    }

    /// Host memory on top of the stack.
    pub fn popped(&mut self, index: usize) -> Mem {
        self.on_stack(index, 0, false)
    }

    fn on_stack(&mut self, index: usize, displacement: i32, write: bool) -> Mem {
        if let Some(mem) = self.in_window(index, Which::Stack, RSP, displacement) {
            return mem;
        }
        self.lose_flags();
        self.code.lea(RAX, at(GUEST_RSP, displacement));
        self.find_on_stack(Access { size: 8, write, aligned: false });
        self.about(RSP, displacement)
    }

    /// Moves RSP.
    pub fn move_stack(&mut self, by: i32) {
        self.code.lea(GUEST_RSP, at(GUEST_RSP, by));
    }

    pub fn push(&mut self, index: usize, planned: &Planned) {
        let instr = &planned.instr;
        if instr.op_kind(0) == OpKind::Memory {
            let mem = self.operand(index, Access { size: 8, write: false, aligned: false });
            self.code.load(RAX, mem);
            self.push_rax(index);
        } else if instr.op_kind(0) == OpKind::Register {
            let mem = self.pushed(index);
            let code = register_code(instr.op_register(0));
            let mem = if matches!(self.homes.of(code), Home::Slot(_)) { self.fold(mem) } else { mem };
            let value = self.value(code, RAX);
            self.code.store(mem, value);
        } else {
            let Ok(value) = i32::try_from(instr.immediate(0) as i64) else { return self.interpret(index) };
            let mem = self.pushed(index);
            self.code.op(Opcode::wide(0xC7), 0, mem, &value.to_le_bytes());
        }
        self.move_stack(-8);
    }

    /// PUSHFQ: RF is pushed as 0; VM is.
    pub fn push_flags(&mut self, index: usize) {
        self.flags.save(&mut self.code);
        self.image_of_flags();
        self.push_rax(index);
        self.move_stack(-8);
    }

    /// Stores RAX where a PUSH does.
    fn push_rax(&mut self, index: usize) {
        self.code.store(here(frame::RIP), RAX);
        let mem = self.pushed(index);
        let mem = self.fold(mem);
        self.code.load(RAX, here(frame::RIP));
        self.code.store(mem, RAX);
    }

    pub fn pop(&mut self, index: usize, planned: &Planned) {
        let code = register_code(planned.instr.op_register(0));
        let mem = self.popped(index);
        match self.homes.of(code) {
            Home::Register(GUEST_RSP) => return self.code.load(GUEST_RSP, mem),
            Home::Register(register) => self.code.load(register, mem),
            Home::Slot(slot) => {
                self.code.load(RAX, mem);
                self.code.store(frame::slot(slot), RAX);
            }
        }
        self.move_stack(8);
    }

    pub fn leave_frame(&mut self, index: usize) {
        let mem = match self.in_window(index, Which::Stack, RBP, 0) {
            Some(mem) => mem,
            None => {
                self.lose_flags();
                let rbp = self.value(RBP, RAX);
                self.code.copy(RAX, rbp);
                self.translate_address(Access { size: 8, write: false, aligned: false })
            }
        };
        self.code.load(RCX, mem);
        let rbp = self.value(RBP, RAX);
        self.code.lea(GUEST_RSP, at(rbp, 8));
        self.put(RBP, RCX);
    }
}
