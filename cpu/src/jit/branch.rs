//! Branches: where a block ends.

use super::emit::{Opcode, cc};
use super::flags::FlagState;
use super::frame::{self, here};
use super::operate::Access;
use super::plan::Way;
use super::registers::{RAX, RCX};
use super::translate::{Arrival, Translator};
use crate::decode::register_code;
use crate::exec::is_canonical;
use iced_x86::OpKind;

const SHL: u8 = 4;
const SAR: u8 = 7;

impl Translator<'_> {
    /// Translates a branch, with which the block ends.
    pub fn branch(&mut self, index: usize) {
        let planned = &self.insns[index];
        let (next, target) = (planned.next(), planned.target());
        if let Some(to) = planned.goes_to {
            return self.stay(index, to);
        }
        match planned.way {
            Way::Jump | Way::JumpIf | Way::Call if !is_canonical(target) || !is_canonical(next) => {
                self.interpret(index);
            }
            Way::Jump => {
                self.flags.settle(&mut self.code);
                self.edge(target, index + 1);
            }
            Way::JumpIf => {
                self.flags.settle(&mut self.code);
                let taken = self.jump_if(planned.insn.aux);
                self.edge(next, index + 1);
                self.code.bind(taken);
                self.edge(target, index + 1);
            }
            Way::Call => {
                self.push_return(index, next);
                self.flags.settle(&mut self.code);
                self.edge(target, index + 1);
            }
            Way::Return => self.return_near(index),
            Way::IndirectJump => {
                self.indirect_target(index);
                self.guess_rax(Arrival { stack: 0, checked: Some(index) });
            }
            _ => {
                self.indirect_target(index);
                self.check_target();
                self.code.store(here(frame::RIP), RAX);
                self.push_return(index, next);
                self.code.load(RAX, here(frame::RIP));
                self.guess_rax(Arrival { stack: 0, checked: None });
            }
        }
        self.flags = FlagState::SAVED;
    }

    /// A branch within a loop, which goes on at `to`.
    fn stay(&mut self, index: usize, to: u64) {
        let planned = &self.insns[index];
        if planned.way == Way::JumpIf {
            let (next, target) = (planned.next(), planned.target());
            let (condition, other) =
                if to == target { (planned.insn.aux ^ 1, next) } else { (planned.insn.aux, target) };
            let from = self.jump_if(condition);
            self.leave_loop(from, index, other);
        }
    }

    fn push_return(&mut self, index: usize, next: u64) {
        let mem = self.pushed(index);
        match i32::try_from(next as i64) {
            Ok(short) => self.code.op(Opcode::wide(0xC7), 0, mem, &short.to_le_bytes()),
            Err(_) => {
                let mem = self.fold(mem);
                self.code.constant(RAX, next);
                self.code.store(mem, RAX);
            }
        }
        self.move_stack(-8);
    }

    fn return_near(&mut self, index: usize) {
        self.flags.save(&mut self.code);
        let mem = self.popped(index);
        self.code.load(RAX, mem);
        let instr = &self.insns[index].instr;
        let beyond = if instr.op_count() == 1 { instr.immediate(0) as i32 } else { 0 };
        self.jump_to_rax(Arrival { stack: 8 + beyond, checked: Some(index) });
    }

    /// The target of an indirect branch in RAX.
    fn indirect_target(&mut self, index: usize) {
        self.flags.save(&mut self.code);
        self.lose_flags();
        let instr = &self.insns[index].instr;
        if instr.op_kind(0) == OpKind::Memory {
            let mem = self.operand(index, Access { size: 8, write: false, aligned: false });
            self.code.load(RAX, mem);
        } else {
            let register = self.value(register_code(instr.op_register(0)), RAX);
            self.code.copy(RAX, register);
        }
    }

    /// The instruction is interpreted if the RIP in RAX is not canonical.
    fn check_target(&mut self) {
        self.code.copy(RCX, RAX);
        self.code.shift(true, SHL, RCX, 16);
        self.code.shift(true, SAR, RCX, 16);
        self.code.op(Opcode::wide(0x3B), RCX.0, RAX, &[]);
        let fixup = self.code.jump_if(cc::NE);
        self.slow.push(fixup);
    }
}
