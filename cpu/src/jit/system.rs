//! System instructions that kernels run all the time. The interpreter knows the other cases of each: other privilege
//! levels, and interrupts that wait.

use super::emit::{Mem, Opcode, at, cc};
use super::frame::{self, Entry, here};
use super::plan::Planned;
use super::registers::{BUDGET, GUEST_RAX, GUEST_RCX, Home, RAX, RCX, RDX};
use super::translate::Translator;
use crate::decode::register_code;
use crate::flags::{Flags, bit};
use crate::interp::Timing;
use crate::msr::Msrs;
use crate::semantics::mov::PAUSE;
use crate::state::{Segment, System, Vcpu, cr, seg};
use iced_x86::{Mnemonic, Register};
use std::mem::offset_of;

const ADD: u8 = 0;
const OR: u8 = 1;
const AND: u8 = 4;
const SHR: u8 = 5;
const SUB: u8 = 5;
const CMP: u8 = 7;

/// A place in the processor that RCX points to.
pub(super) fn place(offset: usize) -> Mem {
    at(RCX, offset as i32)
}

pub(super) fn system(offset: usize) -> Mem {
    place(offset_of!(Vcpu, system) + offset)
}

pub(super) fn msr(offset: usize) -> Mem {
    system(offset_of!(System, msrs) + offset)
}

pub(super) fn segment(number: usize, offset: usize) -> Mem {
    system(offset_of!(System, seg) + number * size_of::<Segment>() + offset)
}

pub(super) fn flags() -> Mem {
    place(offset_of!(Vcpu, flags) + Flags::REST)
}

impl Translator<'_> {
    /// The processor in RCX. The host's flags are lost.
    pub fn processor(&mut self) {
        self.lose_flags();
        self.code.load(RCX, here(frame::VCPU));
    }

    /// Has the instruction interpreted at other levels than 0.
    fn kernel_alone(&mut self) {
        self.code.op(Opcode::one(0x80), CMP, system(offset_of!(System, cpl)), &[0]);
        let fixup = self.code.jump_if(cc::NE);
        self.slow.push(fixup);
    }

    /// CLI.
    pub fn disable_interrupts(&mut self) {
        self.processor();
        self.kernel_alone();
        self.code.group1(false, AND, flags(), !(bit::IF as i32));
    }

    /// STI. While no interrupt waits, one that comes with the next instruction is not taken before the end of that
    /// instruction, so that there is no need to hold it off; and no run stops within a block but after an instruction that
    /// is interpreted.
    pub fn enable_interrupts(&mut self, index: usize) {
        if index + 1 == self.insns.len() {
            return self.interpret(index);
        }
        self.processor();
        self.kernel_alone();
        self.code.group1(false, CMP, here(frame::INTERRUPTED), 0);
        let waits = self.code.jump_if(cc::NE);
        self.slow.push(waits);
        self.code.group1(false, OR, flags(), bit::IF as i32);
    }

    /// SWAPGS.
    pub fn swap_gs(&mut self) {
        self.processor();
        self.kernel_alone();
        let (base, other) =
            (segment(seg::GS, offset_of!(Segment, base)), msr(offset_of!(Msrs, kernel_gs_base)));
        self.code.load(RAX, base);
        self.code.store(here(frame::RIP), RAX);
        self.code.load(RAX, other);
        self.code.store(base, RAX);
        self.code.store(place(offset_of!(Vcpu, flat_base) + 8 * seg::GS), RAX);
        self.code.load(RAX, here(frame::RIP));
        self.code.store(other, RAX);
    }

    /// PAUSE of the only processor takes time, which is as if fewer steps were to be taken: at no time left for a step the
    /// clock shows the same. Where that time is near, or others could run, the interpreter knows what is due.
    pub fn pause(&mut self) {
        self.processor();
        self.code.group1(false, CMP, place(offset_of!(Vcpu, cpus)), 1);
        let others = self.code.jump_if(cc::NE);
        self.code.group1(true, CMP, BUDGET, PAUSE as i32);
        let due = self.code.jump_if(cc::L);
        self.slow.extend([others, due]);
        let charged = place(offset_of!(Vcpu, timing) + Timing::CHARGED);
        self.code.group1(true, ADD, charged, PAUSE as i32);
        self.code.group1(true, SUB, BUDGET, PAUSE as i32);
        self.code.load(RCX, here(frame::ENTRY));
        self.code.group1(true, SUB, place(offset_of!(Entry, given)), PAUSE as i32);
    }

    /// RDTSC and RDTSCP: the TSC counts ns, and a step takes one.
    pub fn read_tsc(&mut self, index: usize, planned: &Planned) {
        self.processor();
        let tsd = (cr::CR4_TSD as i32).to_le_bytes();
        self.code.op(Opcode::one(0xF7), 0, system(offset_of!(System, cr4)), &tsd);
        let free = self.code.jump_if(cc::E);
        self.kernel_alone();
        self.code.bind(free);
        self.code.load(RAX, here(frame::CLOCK));
        self.code.op(Opcode::wide(0x2B), RAX.0, BUDGET, &[]);
        self.code.op(Opcode::wide(0x03), RAX.0, msr(offset_of!(Msrs, tsc_offset)), &[]);
        self.code.group1(true, 0, RAX, index as i32);
        if planned.instr.mnemonic() == Mnemonic::Rdtscp {
            self.code.load32(GUEST_RCX, msr(offset_of!(Msrs, tsc_aux)));
        }
        self.code.op(Opcode::one(0x8B), GUEST_RAX.0, RAX, &[]);
        self.code.shift(true, SHR, RAX, 32);
        self.code.copy(RDX, RAX);
    }

    /// MOV of a selector to a register of 32 or 64 bits.
    pub fn read_selector(&mut self, planned: &Planned) {
        let number = match planned.instr.op_register(1) {
            Register::ES => seg::ES,
            Register::CS => seg::CS,
            Register::SS => seg::SS,
            Register::DS => seg::DS,
            Register::FS => seg::FS,
            _ => seg::GS,
        };
        self.code.load(RCX, here(frame::VCPU));
        let to = register_code(planned.instr.op_register(0));
        let register = match self.homes.of(to) {
            Home::Register(register) => register,
            Home::Slot(_) => RAX,
        };
        // MOVZX
        self.code.op(Opcode::two(0xB7), register.0, segment(number, offset_of!(Segment, selector)), &[]);
        if register == RAX {
            self.put(to, RAX);
        }
    }
}
