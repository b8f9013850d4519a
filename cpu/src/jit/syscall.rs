//! SYSCALL and SYSRET between levels 0 and 3 of 64-bit code. Mapped memory and code change with the level: the frame knows
//! both levels, and the interpreter is told that the context it has is that of the other one.

use super::emit::{Mem, Opcode, cc};
use super::enter::forget_pages;
use super::frame::{self, LEVEL, Level, here};
use super::registers::{GUEST_RCX, Home, RAX, RCX};
use super::system::{flags, msr, place, segment, system};
use super::translate::{Arrival, Translator};
use crate::flags::bit;
use crate::msr::Msrs;
use crate::semantics::system::{SYSRET_LOADS, flat_code, flat_stack};
use crate::state::{Segment, System, Vcpu, cr, seg};
use std::mem::offset_of;

const OR: u8 = 1;
const AND: u8 = 4;
const SHL: u8 = 4;
const SHR: u8 = 5;
const SAR: u8 = 7;
const CMP: u8 = 7;
/// Arithmetic flags in the low byte of RFLAGS.
const LOW: i32 = 0xD5;

impl Translator<'_> {
    /// SYSCALL.
    pub fn enter_kernel(&mut self, index: usize) {
        self.flags.save(&mut self.code);
        self.processor();
        self.unless_plain(3);
        self.image_of_flags();
        self.put(11, RAX);
        let next = self.next_rip(index);
        self.code.constant(GUEST_RCX, next);
        self.code.load32(RAX, msr(offset_of!(Msrs, sfmask)));
        // NOT EAX
        self.code.op(Opcode::one(0xF7), 2, RAX, &[]);
        self.code.op(Opcode::one(0x21), RAX.0, flags(), &[]);
        self.code.group1(false, OR, flags(), bit::ONE as i32);
        self.pack();
        self.code.op(Opcode::one(0x21), RAX.0, here(frame::FLAGS), &[]);
        self.code.load(RCX, here(frame::VCPU));
        self.selector_base(4);
        self.code.group1(false, AND, RAX, 0xFFFC);
        self.set_segment(seg::CS, flat_code(0, 0, true));
        self.code.group1(false, 0, RAX, 8);
        self.set_segment(seg::SS, flat_stack(0, 0));
        self.change_level(0);
        self.code.load(RCX, here(frame::VCPU));
        self.code.load(RAX, msr(offset_of!(Msrs, lstar)));
        self.guess_rax(Arrival { stack: 0, checked: None });
    }

    /// SYSRET.
    pub fn leave_kernel(&mut self, _index: usize) {
        self.flags.save(&mut self.code);
        self.processor();
        self.unless_plain(0);
        self.code.group1(false, CMP, here(frame::INTERRUPTED), 0);
        self.slow_if(cc::NE);
        let image = self.image_in_r11();
        self.test(image, bit::TF | bit::AC);
        self.slow_if(cc::NE);
        self.code.copy(RAX, GUEST_RCX);
        self.code.shift(true, SHL, RAX, 16);
        self.code.shift(true, SAR, RAX, 16);
        self.code.op(Opcode::wide(0x3B), RAX.0, GUEST_RCX, &[]);
        self.slow_if(cc::NE);
        self.code.load32(RAX, image);
        self.code.group1(false, AND, RAX, (SYSRET_LOADS & bit::ALL & !bit::ARITHMETIC) as i32);
        self.code.group1(false, OR, RAX, bit::ONE as i32);
        self.code.store(flags(), RAX);
        self.code.load32(RAX, image);
        self.pack();
        self.code.store32(here(frame::FLAGS), RAX);
        self.code.load(RCX, here(frame::VCPU));
        self.selector_base(6);
        self.code.group1(false, 0, RAX, 8);
        self.code.group1(false, OR, RAX, 3);
        self.set_segment(seg::SS, flat_stack(0, 3));
        self.selector_base(6);
        self.code.group1(false, 0, RAX, 16);
        self.code.group1(false, OR, RAX, 3);
        self.set_segment(seg::CS, flat_code(0, 3, true));
        self.change_level(3);
        self.code.copy(RAX, GUEST_RCX);
        self.jump_to_rax(Arrival { stack: 0, checked: None });
    }

    fn slow_if(&mut self, condition: u8) {
        let fixup = self.code.jump_if(condition);
        self.slow.push(fixup);
    }

    /// TEST of 32 bits.
    fn test(&mut self, mem: Mem, bits: u64) {
        self.code.op(Opcode::one(0xF7), 0, mem, &(bits as u32).to_le_bytes());
    }

    /// Has the instruction interpreted unless it is at level `from`, exists, and leads to a level that is known. What may
    /// be accessed depends on RFLAGS.AC.
    fn unless_plain(&mut self, from: u8) {
        self.code.op(Opcode::one(0x80), CMP, system(offset_of!(System, cpl)), &[from]);
        self.slow_if(cc::NE);
        self.test(system(offset_of!(System, efer)), cr::EFER_SCE);
        self.slow_if(cc::E);
        self.test(flags(), bit::AC);
        self.slow_if(cc::NE);
        self.code.group1(false, CMP, here(frame::OTHER + offset_of!(Level, tag_id) as i32), 0);
        self.slow_if(cc::E);
    }

    /// RFLAGS in RAX, but for RF. They must be saved; the host's are lost.
    pub fn image_of_flags(&mut self) {
        self.lose_flags();
        self.code.load32(RAX, here(frame::FLAGS));
        // MOVZX ECX, AH; MOVZX EAX, AL: OF has its place in bit 11.
        self.code.plain(&[0x0F, 0xB6, 0xCC, 0x0F, 0xB6, 0xC0]);
        self.code.shift(false, SHL, RAX, 11);
        self.code.group1(false, AND, RCX, LOW);
        self.code.op(Opcode::one(0x0B), RAX.0, RCX, &[]);
        self.code.load(RCX, here(frame::VCPU));
        self.code.op(Opcode::wide(0x0B), RAX.0, flags(), &[]);
        self.code.group1(true, AND, RAX, !(bit::RF as i32));
    }

    /// The arithmetic flags of an image in RAX as [`frame::pack`] has them. RCX is lost.
    fn pack(&mut self) {
        self.code.op(Opcode::one(0x8B), RCX.0, RAX, &[]);
        self.code.shift(false, SHR, RCX, 11);
        self.code.group1(false, AND, RCX, 1);
        self.code.group1(false, AND, RAX, LOW);
        self.code.shift(false, SHL, RAX, 8);
        self.code.op(Opcode::one(0x0B), RAX.0, RCX, &[]);
        self.code.group1(false, OR, RAX, 2 << 8);
    }

    /// Where R11 is.
    fn image_in_r11(&self) -> Mem {
        match self.homes.of(11) {
            Home::Slot(slot) => frame::slot(slot),
            Home::Register(_) => unreachable!("R11 is in the frame"),
        }
    }

    /// 16 bits of IA32_STAR in EAX.
    fn selector_base(&mut self, byte: usize) {
        // MOVZX
        self.code.op(Opcode::two(0xB7), RAX.0, msr(offset_of!(Msrs, star) + byte), &[]);
    }

    /// Loads a segment register with the selector in AX.
    fn set_segment(&mut self, number: usize, loaded: Segment) {
        let opcode = Opcode { operand_size: true, ..Opcode::one(0x89) };
        self.code.op(opcode, RAX.0, segment(number, offset_of!(Segment, selector)), &[]);
        // MOV qword, 0
        self.code.op(Opcode::wide(0xC7), 0, segment(number, offset_of!(Segment, base)), &[0; 4]);
        self.code.store32_immediate(segment(number, offset_of!(Segment, limit)), loaded.limit);
        self.code.store32_immediate(segment(number, offset_of!(Segment, access)), loaded.access);
    }

    /// Goes on at the other level. RAX and RCX are lost.
    fn change_level(&mut self, cpl: u8) {
        let set = |code: &mut super::emit::Code, mem, value| code.op(Opcode::one(0xC6), 0, mem, &[value]);
        set(&mut self.code, system(offset_of!(System, cpl)), cpl);
        set(&mut self.code, place(offset_of!(Vcpu, context_stale)), 1);
        for (from, to) in LEVEL {
            self.exchange(to, frame::OTHER + from as i32);
        }
        let (own, other) = (here(frame::TAG_ID), here(frame::OTHER + offset_of!(Level, tag_id) as i32));
        self.code.load32(RAX, own);
        self.code.load32(RCX, other);
        self.code.store32(own, RCX);
        self.code.store32(other, RAX);
        forget_pages(&mut self.code, 0);
    }

    /// Exchanges 64 bits of the frame.
    fn exchange(&mut self, a: i32, b: i32) {
        let [a, b] = [here(a), here(b)];
        self.code.load(RAX, a);
        self.code.load(RCX, b);
        self.code.store(a, RCX);
        self.code.store(b, RAX);
    }
}
