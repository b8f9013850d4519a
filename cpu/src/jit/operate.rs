//! Instructions that compute and move: the guest's own, with registers and addresses of the host.

use super::emit::{Map, Mem, Opcode, Rm, at, cc};
use super::enter::{tag, tlb_entry};
use super::flags::{Deviation, FlagState, Operand, Replay, clear_aux, reads_overflow};
use super::frame::{self, here};
use super::plan::{Planned, Use, Way, is_high};
use super::registers::{GUEST_RAX, Home, Homes, Host, RAX, RCX, RDX};
use super::translate::{StackMiss, Translator};
use super::window::Which;
use crate::decode::register_code;
use crate::state::{Vcpu, seg};
use amber_mmu::TlbEntry;
use iced_x86::{Instruction, Mnemonic, OpKind, Register, RflagsBits};
use std::mem::offset_of;

const AND: u8 = 4;
const CMP: u8 = 7;
const SAR: u8 = 7;

/// How memory is accessed.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub size: usize,
    pub write: bool,
    /// Other addresses than multiples of 16 fault.
    pub aligned: bool,
}

/// An operand in ModRM.
#[derive(Clone, Copy)]
pub(super) enum Field {
    /// No operand, but part of the opcode.
    Digit(u8),
    /// A general register of the guest, of so many bytes.
    General { code: u8, size: usize, used: Use },
    /// An XMM or MMX register.
    Vector(u8),
}

impl Translator<'_> {
    /// Translates an instruction that does not branch.
    pub fn operate(&mut self, index: usize) {
        let insns = self.insns;
        let planned = &insns[index];
        match planned.way {
            Way::ModRm { first, second } => self.modrm(index, planned, first, second),
            Way::High { first, second } => self.high(index, planned, first, second),
            Way::Accumulator => self.accumulator(index, planned),
            Way::Shift => self.shift(index, planned),
            Way::Lea => self.lea(index, planned),
            Way::Constant => self.set_constant(planned),
            Way::Multiply => self.multiply(index, planned),
            Way::Divide => self.divide(index, planned),
            Way::Cmpxchg => self.cmpxchg(index, planned),
            Way::Bswap => self.bswap(planned),
            Way::Scan => self.scan(index, planned),
            Way::Extend => self.extend(planned),
            Way::Push => self.push(index, planned),
            Way::Pop => self.pop(index, planned),
            Way::Leave => self.leave_frame(index),
            Way::DisableInterrupts => self.disable_interrupts(),
            Way::EnableInterrupts => self.enable_interrupts(index),
            Way::SwapGs => self.swap_gs(),
            Way::Pause => self.pause(),
            Way::ReadTsc => self.read_tsc(index, planned),
            Way::ReadSelector => self.read_selector(planned),
            Way::PushFlags => self.push_flags(index),
            Way::Vector => self.vector(index, planned),
            Way::X87 => self.x87(index, planned),
            Way::Mmx => self.mmx(index, planned),
            Way::MaskedStore => self.masked_store(planned),
            _ => self.interpret(index),
        }
    }

    // ---- registers ----

    /// A host register with the value of a guest register: its home, or `scratch` loaded from the frame.
    pub fn value(&mut self, code: u8, scratch: Host) -> Host {
        match self.homes.of(code) {
            Home::Register(register) => register,
            Home::Slot(slot) => {
                self.code.load(scratch, frame::slot(slot));
                scratch
            }
        }
    }

    /// Puts 64 bits into a guest register.
    pub fn put(&mut self, code: u8, from: Host) {
        match self.homes.of(code) {
            Home::Register(register) => self.code.copy(register, from),
            Home::Slot(slot) => self.code.store(frame::slot(slot), from),
        }
    }

    // ---- addresses ----

    /// The linear address of the memory operand, in RAX; RCX is lost. The host's flags are lost, unless there is no
    /// segment base.
    pub fn linear_address(&mut self, index: usize) {
        self.effective_address(index, RAX);
        let segment = match self.insns[index].instr.memory_segment() {
            Register::FS => seg::FS,
            Register::GS => seg::GS,
            _ => return,
        };
        self.code.load(RCX, here(frame::VCPU));
        let base = offset_of!(Vcpu, flat_base) + 8 * segment;
        self.code.op(Opcode::wide(0x03), RAX.0, at(RCX, base as i32), &[]);
    }

    /// Offset of the memory operand; RAX and RCX are lost. Flags stay.
    fn effective_address(&mut self, index: usize, to: Host) {
        let planned = &self.insns[index];
        let instr = &planned.instr;
        let (base, index_register) = (instr.memory_base(), instr.memory_index());
        if base == Register::RIP || base == Register::EIP {
            // iced decoded at the address 0: the displacement is the target relative to the instruction.
            let rip = self.next_rip(index).wrapping_sub(u64::from(planned.insn.len));
            let target = rip.wrapping_add(instr.memory_displacement64());
            let address = if base == Register::EIP { target & 0xFFFF_FFFF } else { target };
            return self.code.constant(to, address);
        }
        let narrow = base.size() == 4
            || index_register.size() == 4
            || (base.size() == 0 && index_register.size() == 0 && instr.memory_displ_size() == 4);
        let displacement = instr.memory_displacement64();
        let base = (base != Register::None).then(|| self.value(register_code(base), RAX));
        let index = (index_register != Register::None).then(|| {
            let scale = instr.memory_index_scale().trailing_zeros() as u8;
            (self.value(register_code(index_register), RCX), scale)
        });
        if base.is_none() && index.is_none() {
            let address = if narrow { displacement & 0xFFFF_FFFF } else { displacement };
            return self.code.constant(to, address);
        }
        let mem = Mem { base, index, disp: displacement as i32 };
        match mem {
            Mem { base: Some(base), index: None, disp: 0 } if !narrow => self.code.copy(to, base),
            _ => self.code.op(Opcode { wide: !narrow, ..Opcode::one(0x8D) }, to.0, mem, &[]),
        }
    }

    /// Host memory behind the linear address in RAX, for an access that the TLB allows; others go to `slow`. It is in
    /// RCX and RAX. The host's flags are lost.
    pub fn translate_address(&mut self, access: Access) -> Mem {
        self.find_in_tlb(access);
        self.code.load(RCX, at(RCX, TlbEntry::HOST as i32));
        self.check_alignment(access);
        Mem { base: Some(RCX), index: Some((RAX, 0)), disp: 0 }
    }

    /// The TLB's entry for the linear address in RAX, in RCX. RAX is how far the address is in its page.
    pub fn find_in_tlb(&mut self, access: Access) {
        tlb_entry(&mut self.code, 0);
        self.code.op(Opcode::wide(0x2B), RAX.0, at(RCX, tag(access.write)), &[]);
        self.code.group1(true, CMP, RAX, 4096 - access.size as i32);
        self.slow.push(self.code.jump_if(cc::A));
    }

    /// The same for an address of the stack, of which the page used last is at hand; but RCX is how far host memory is from
    /// the guest's.
    pub fn find_on_stack(&mut self, access: Access) {
        let entry = if access.write { frame::STACK_WRITE } else { frame::STACK_READ };
        let wide = access.size as i32 > frame::NARROW;
        let reach = if wide { frame::STACK_WIDE_REACH } else { frame::STACK_REACH };
        self.code.op(Opcode::wide(0x2B), RAX.0, here(entry), &[]);
        self.code.op(Opcode::wide(0x3B), RAX.0, here(entry + reach), &[]);
        let from = self.code.jump_if(cc::AE);
        self.code.load(RCX, here(entry + frame::STACK_DISTANCE));
        self.stack_misses.push(StackMiss { from, access, hit: self.code.here() });
        self.check_alignment(access);
    }

    /// RAX is the address, or how far it is in its page.
    pub fn check_alignment(&mut self, access: Access) {
        if access.aligned {
            // TEST AL, 15
            self.code.plain(&[0xA8, 15]);
            self.slow.push(self.code.jump_if(cc::NE));
        }
    }

    /// Host memory of the memory operand. Flags are settled and lost, unless it lies in a window that is open.
    pub fn operand(&mut self, index: usize, access: Access) -> Mem {
        let base = self.insns[index].instr.memory_base();
        let displacement = self.insns[index].instr.memory_displacement64() as i32;
        if base.is_gpr64()
            && let Some(mem) = self.in_window(index, Which::Operand, register_code(base), displacement)
        {
            return mem;
        }
        self.lose_flags();
        self.linear_address(index);
        match self.windows.keep(index) {
            Some(number) => self.kept_operand(number, access),
            None => self.translate_operand(index, access),
        }
    }

    /// The same when its linear address is in RAX.
    pub fn translate_operand(&mut self, index: usize, access: Access) -> Mem {
        let instr = &self.insns[index].instr;
        let stack = instr.memory_base() == Register::RSP && instr.memory_index() == Register::None;
        if stack && !matches!(instr.memory_segment(), Register::FS | Register::GS) {
            self.find_on_stack(access);
            self.about(register_code(Register::RSP), instr.memory_displacement64() as i32)
        } else {
            self.translate_address(access)
        }
    }

    /// The same memory with RAX free.
    pub fn fold(&mut self, mem: Mem) -> Mem {
        if mem.index.is_none_or(|(index, _)| index != RAX) {
            return mem;
        }
        self.code.lea(RCX, mem);
        at(RCX, 0)
    }

    // ---- ModRM ----

    /// Emits an instruction with its operands where they are now. `mem` is the memory operand, else `rm` counts.
    /// Neither scratch register may hold anything else.
    pub fn emit(&mut self, opcode: Opcode, reg: Field, rm: Field, mem: Option<Mem>, immediate: &[u8]) {
        let mut mem = mem;
        let homes = self.homes;
        let slotted =
            |field| matches!(field, Field::General { code, .. } if matches!(homes.of(code), Home::Slot(_)));
        let reg_scratch = if mem.is_some() { RAX } else { RCX };
        if slotted(reg) {
            mem = mem.map(|mem| self.fold(mem));
        }
        let reg_host = self.fetch(reg, reg_scratch);
        let (rm_operand, rm_host) = match mem {
            Some(mem) => (Rm::Mem(mem), 0),
            None => {
                let host = self.fetch(rm, RAX);
                (Rm::Reg(host), host)
            }
        };
        self.code.op(opcode, reg_host, rm_operand, immediate);
        self.give_back(reg, reg_host);
        if mem.is_none() {
            self.give_back(rm, rm_host);
        }
    }

    /// The host register of a field.
    fn fetch(&mut self, field: Field, scratch: Host) -> u8 {
        match field {
            Field::Digit(digit) => digit,
            Field::Vector(number) => number,
            Field::General { code, size, used } => match self.homes.of(code) {
                Home::Register(register) => register.0,
                Home::Slot(slot) => {
                    if used.reads() || size < 4 {
                        self.code.load(scratch, frame::slot(slot));
                    }
                    scratch.0
                }
            },
        }
    }

    /// Writes a register back that has no home.
    fn give_back(&mut self, field: Field, host: u8) {
        if let Field::General { code, used, .. } = field
            && let Home::Slot(slot) = self.homes.of(code)
            && used.writes()
        {
            self.code.store(frame::slot(slot), Host(host));
        }
    }

    fn modrm(&mut self, index: usize, planned: &Planned, first: Use, second: Use) {
        let instr = &planned.instr;
        let raw = &planned.raw;
        if planned.is_bit_test() && !self.host.bit_tests_keep && self.flags_matter_after(index) {
            return self.interpret(index);
        }
        let size = |i| crate::decode::operand_size(instr, i);
        let general = |i: u32, used| match instr.op_kind(i) {
            OpKind::Register => {
                Field::General { code: register_code(instr.op_register(i)), size: size(i), used }
            }
            _ => Field::Digit(0),
        };
        let by_immediate = instr.op_count() == 1 || instr.op_count() == 2 && !is_operand(instr.op_kind(1));
        let (reg, rm, memory) = if by_immediate {
            (Field::Digit(raw.reg & 7), general(0, first), 0)
        } else if first_in_reg(raw.opcode) {
            (general(0, first), general(1, second), 1)
        } else {
            (general(1, second), general(0, first), 0)
        };
        let used = if memory == 0 { first } else { second };
        let mem = (instr.op_kind(memory) == OpKind::Memory).then(|| {
            self.operand(index, Access { size: size(memory), write: used.writes(), aligned: false })
        });
        let mem = self.ready_flags(index, planned, mem);
        let byte_register = (0..instr.op_count())
            .any(|i| instr.op_kind(i) == OpKind::Register && instr.op_register(i).size() == 1);
        // TZCNT and the like aside, F3 and F2 mean nothing here but for POPCNT and CRC32; LOCK has no meaning on
        // memory that one thread uses.
        let repeat = if raw.opcode.map == Map::One { 0 } else { raw.opcode.repeat };
        let opcode = Opcode { byte_register, repeat, ..raw.opcode };
        let immediate = planned.immediate();
        self.emit(opcode, reg, rm, mem, immediate);
        if planned.changes_flags {
            self.after_flags(index, planned);
            if let Some(replay) = replay(instr, &self.homes) {
                self.flags.replayed_by(replay);
            }
        }
    }

    /// An instruction on AH, BH, CH or DH: that is AH of the host meanwhile, and the other register CL, CX or ECX.
    fn high(&mut self, index: usize, planned: &Planned, first: Use, second: Use) {
        const AH: u8 = 4;
        let instr = &planned.instr;
        let is_register = |i: u32| i < instr.op_count() && instr.op_kind(i) == OpKind::Register;
        let high = u32::from(!(is_register(0) && is_high(instr.op_register(0))));
        let other = 1 - high;
        let used = |i| if i == 0 { first } else { second };
        let memory = other < instr.op_count() && instr.op_kind(other) == OpKind::Memory;
        let mem = memory.then(|| {
            let size = crate::decode::operand_size(instr, other);
            let mem = self.operand(index, Access { size, write: used(other).writes(), aligned: false });
            // AH cannot be encoded beside a register that needs a REX prefix.
            self.code.lea(RCX, mem);
            at(RCX, 0)
        });
        let mem = self.ready_flags(index, planned, mem);
        let parent = register_code(instr.op_register(high)) & 3;
        let home = self.value(parent, RAX);
        self.code.copy(RAX, home);
        let second_register = is_register(other).then(|| register_code(instr.op_register(other)));
        // AL beside AH is in the same register.
        let other_host = if second_register == Some(parent) { RAX } else { RCX };
        if let Some(code) = second_register.filter(|code| *code != parent) {
            let home = self.value(code, RCX);
            self.code.copy(RCX, home);
        }
        let opcode = planned.raw.opcode;
        let immediate = planned.immediate();
        let high_in_reg =
            second_register.is_some_and(|_| (high == 0) == first_in_reg(opcode)) || mem.is_some();
        match (mem, second_register) {
            (Some(mem), _) => self.code.op(opcode, AH, mem, immediate),
            (None, Some(_)) if high_in_reg => self.code.op(opcode, AH, other_host, immediate),
            (None, Some(_)) => self.code.op(opcode, other_host.0, Rm::Reg(AH), immediate),
            (None, None) => self.code.op(opcode, planned.raw.reg & 7, Rm::Reg(AH), immediate),
        }
        if used(high).writes() {
            self.put(parent, RAX);
        }
        if let Some(code) = second_register.filter(|_| used(other).writes()) {
            self.put(code, other_host);
        }
        if planned.changes_flags {
            self.flags.set(Deviation::None, self.wrong_aux(planned));
        }
    }

    /// Has the host's flags be the guest's where the instruction reads them, or changes only some of those that matter.
    fn ready_flags(&mut self, index: usize, planned: &Planned, mem: Option<Mem>) -> Option<Mem> {
        let partial = planned.changes_flags && !planned.sets_flags;
        let wanted = planned.reads_flags || partial && self.flags_matter_after(index);
        let condition = planned.insn.aux;
        let conditional = planned.instr.condition_code() != iced_x86::ConditionCode::None;
        let enough = conditional && self.flags.native() && !reads_overflow(condition);
        if !wanted || enough || self.flags.exact() {
            return mem;
        }
        let mem = mem.map(|mem| self.fold(mem));
        self.flags.restore(&mut self.code);
        mem
    }

    fn after_flags(&mut self, index: usize, planned: &Planned) {
        let multiplies = planned.instr.mnemonic() == Mnemonic::Imul;
        self.flags.set(Deviation::None, self.wrong_aux(planned));
        if multiplies && self.flags_matter_after(index) {
            self.flags_of_product(
                register_code(planned.instr.op_register(0)),
                planned.instr.op_register(0).size(),
            );
        }
    }

    /// Whether the instruction leaves AF undefined, and the host not 0.
    pub fn wrong_aux(&self, planned: &Planned) -> bool {
        !self.host.clears_aux
            && !planned.is_bit_test()
            && planned.instr.rflags_undefined() & RflagsBits::AF != 0
    }

    /// After a multiplication: SF, ZF and PF are those of the low half, which is in a guest register; AF is 0.
    fn flags_of_product(&mut self, code: u8, size: usize) {
        // SETO AL: CF is the same.
        self.code.plain(&[0x0F, 0x90, 0xC0]);
        // The value must survive RAX.
        let low = self.value(code, RCX);
        let opcode = Opcode {
            wide: size == 8,
            operand_size: size == 2,
            ..Opcode::one(if size == 1 { 0x84 } else { 0x85 })
        };
        self.code.op(Opcode { byte_register: size == 1, ..opcode }, low.0, low, &[]);
        // LAHF; OR AH, AL
        self.code.plain(&[0x9F, 0x0A, 0xE0]);
        if !self.host.clears_aux {
            clear_aux(&mut self.code);
        }
        self.code.store32(here(frame::FLAGS), RAX);
        self.flags = FlagState::SAVED;
    }

    fn accumulator(&mut self, index: usize, planned: &Planned) {
        let mem = self.ready_flags(index, planned, None);
        debug_assert!(mem.is_none());
        let byte = planned.raw.opcode.byte;
        let immediate = planned.immediate();
        let (opcode, digit) = match byte {
            0xA8 => (0xF6, 0),
            0xA9 => (0xF7, 0),
            byte => (0x80 | byte & 1, byte >> 3),
        };
        let opcode = Opcode { byte: opcode, byte_register: byte & 1 == 0, repeat: 0, ..planned.raw.opcode };
        self.code.op(opcode, digit, GUEST_RAX, immediate);
        self.flags.set(Deviation::None, self.wrong_aux(planned));
        if let Some(replay) = replay(&planned.instr, &self.homes) {
            self.flags.replayed_by(replay);
        }
    }

    // ---- single instructions ----

    fn lea(&mut self, index: usize, planned: &Planned) {
        let instr = &planned.instr;
        let size = instr.op_register(0).size();
        let to = register_code(instr.op_register(0));
        if size == 2 {
            return self.interpret(index);
        }
        let target = match self.homes.of(to) {
            Home::Register(register) => register,
            Home::Slot(_) => RAX,
        };
        if size == 4 {
            // The low half is the same, whatever the upper half of the address.
            self.effective_address(index, RAX);
            self.code.op(Opcode::one(0x8B), target.0, RAX, &[]);
        } else {
            self.effective_address(index, target);
        }
        if target == RAX {
            self.put(to, RAX);
        }
    }

    fn set_constant(&mut self, planned: &Planned) {
        let register = planned.instr.op_register(0);
        let value = planned.instr.immediate(1);
        let value = if register.size() == 4 { value & 0xFFFF_FFFF } else { value };
        match self.homes.of(register_code(register)) {
            Home::Register(register) => self.code.constant(register, value),
            Home::Slot(slot) => {
                self.code.constant(RAX, value);
                self.code.store(frame::slot(slot), RAX);
            }
        }
    }

    fn bswap(&mut self, planned: &Planned) {
        let register = planned.instr.op_register(0);
        let code = register_code(register);
        let host = self.value(code, RAX);
        let rex = 0x40 | u8::from(register.size() == 8) << 3 | host.0 >> 3;
        self.code.plain(&[rex, 0x0F, 0xC8 | host.0 & 7]);
        if host == RAX {
            self.put(code, RAX);
        }
    }

    fn extend(&mut self, planned: &Planned) {
        let code = &mut self.code;
        match planned.instr.mnemonic() {
            Mnemonic::Cdqe => code.op(Opcode::wide(0x63), GUEST_RAX.0, GUEST_RAX, &[]),
            Mnemonic::Cwde => code.op(Opcode::two(0xBF), GUEST_RAX.0, GUEST_RAX, &[]),
            Mnemonic::Cbw => {
                let opcode = Opcode { operand_size: true, byte_register: true, ..Opcode::two(0xBE) };
                code.op(opcode, GUEST_RAX.0, GUEST_RAX, &[]);
            }
            // RDX is at home; CDQ and CQO want RAX.
            Mnemonic::Cdq => {
                code.copy(RAX, GUEST_RAX);
                code.plain(&[0x99]);
            }
            Mnemonic::Cqo => {
                code.copy(RAX, GUEST_RAX);
                code.plain(&[0x48, 0x99]);
            }
            _ => {
                code.copy(RAX, GUEST_RAX);
                code.plain(&[0x66, 0x99]);
            }
        }
    }

    fn multiply(&mut self, index: usize, planned: &Planned) {
        let instr = &planned.instr;
        let size = crate::decode::operand_size(instr, 0);
        if size == 1 {
            return self.interpret(index);
        }
        let opcode = Opcode { byte_register: false, repeat: 0, ..planned.raw.opcode };
        let digit = planned.raw.reg & 7;
        if instr.op_kind(0) == OpKind::Memory {
            let mem = self.operand(index, Access { size, write: false, aligned: false });
            let mem = self.fold(mem);
            self.code.copy(RAX, GUEST_RAX);
            self.code.op(opcode, digit, mem, &[]);
        } else {
            let source = self.value(register_code(instr.op_register(0)), RCX);
            self.code.copy(RAX, GUEST_RAX);
            self.code.op(opcode, digit, source, &[]);
        }
        // A 16-bit product leaves the rest of RAX, which was copied whole.
        self.code.copy(GUEST_RAX, RAX);
        self.flags.set(Deviation::None, false);
        if self.flags_matter_after(index) {
            self.flags_of_product(0, size);
        }
    }

    /// DIV and IDIV of 32 and 64 bits where the quotient fits for sure; else the interpreter decides.
    fn divide(&mut self, index: usize, planned: &Planned) {
        let instr = &planned.instr;
        let size = crate::decode::operand_size(instr, 0);
        self.lose_flags();
        let wide = size == 8;
        let word = |byte| Opcode { wide, ..Opcode::one(byte) };
        if instr.op_kind(0) == OpKind::Memory {
            let mem = self.operand(index, Access { size, write: false, aligned: false });
            self.code.op(word(0x8B), RCX.0, mem, &[]);
        } else {
            let source = self.value(register_code(instr.op_register(0)), RCX);
            self.code.copy(RCX, source);
        }
        if instr.mnemonic() == Mnemonic::Div {
            // The quotient fits if the high half is below the divisor, which then is not 0.
            self.code.op(word(0x3B), RDX.0, RCX, &[]);
            self.slow.push(self.code.jump_if(cc::AE));
        } else {
            // The dividend is a sign-extended half, and the divisor neither 0 nor -1.
            self.code.op(word(0x8B), RAX.0, GUEST_RAX, &[]);
            self.code.shift(wide, SAR, RAX, if wide { 63 } else { 31 });
            self.code.op(word(0x3B), RAX.0, RDX, &[]);
            self.slow.push(self.code.jump_if(cc::NE));
            self.code.op(Opcode { wide, ..Opcode::one(0x8D) }, RAX.0, at(RCX, 1), &[]);
            self.code.group1(wide, CMP, RAX, 1);
            self.slow.push(self.code.jump_if(6));
        }
        self.code.copy(RAX, GUEST_RAX);
        self.code.op(word(0xF7), planned.raw.reg & 7, RCX, &[]);
        self.code.copy(GUEST_RAX, RAX);
    }

    fn cmpxchg(&mut self, index: usize, planned: &Planned) {
        let instr = &planned.instr;
        let register = instr.op_register(1);
        let (Home::Register(source), OpKind::Memory) =
            (self.homes.of(register_code(register)), instr.op_kind(0))
        else {
            return self.interpret(index);
        };
        let size = register.size();
        let mem = self.operand(index, Access { size, write: true, aligned: false });
        let mem = self.fold(mem);
        self.code.copy(RAX, GUEST_RAX);
        let opcode = Opcode { byte_register: size == 1, repeat: 0, ..planned.raw.opcode };
        self.code.op(opcode, source.0, mem, &[]);
        self.code.copy(GUEST_RAX, RAX);
        self.flags.set(Deviation::None, false);
    }

    /// BSF and BSR: a source of 0 leaves the destination, and flags are those of TEST on the zero-extended source.
    fn scan(&mut self, index: usize, planned: &Planned) {
        let instr = &planned.instr;
        let size = instr.op_register(0).size();
        let forward = matches!(instr.mnemonic(), Mnemonic::Bsf | Mnemonic::Tzcnt);
        if size == 2 {
            return self.interpret(index);
        }
        let wide = size == 8;
        let source = self.value(register_code(instr.op_register(1)), RCX);
        // A 32-bit MOV zero-extends.
        self.code.op(Opcode { wide, ..Opcode::one(0x8B) }, RCX.0, source, &[]);
        let to = register_code(instr.op_register(0));
        self.code.op(Opcode::wide(0x85), RCX.0, RCX, &[]);
        let nothing = self.code.jump_if(cc::E);
        let byte = if forward { 0xBC } else { 0xBD };
        self.code.op(Opcode { wide, ..Opcode::two(byte) }, RAX.0, RCX, &[]);
        self.put(to, RAX);
        self.code.op(Opcode::wide(0x85), RCX.0, RCX, &[]);
        self.code.bind(nothing);
        self.flags.set(Deviation::None, !self.host.clears_aux);
    }

    // ---- XMM ----

    fn vector(&mut self, index: usize, planned: &Planned) {
        let instr = &planned.instr;
        let memory = (0..instr.op_count()).find(|i| instr.op_kind(*i) == OpKind::Memory);
        let mem = memory.map(|i| {
            let size = instr.memory_size().size();
            self.operand(
                index,
                Access { size, write: i == 0, aligned: size == 16 && aligns(instr.mnemonic()) },
            )
        });
        let field = |i: u32| {
            if i >= instr.op_count() || instr.op_kind(i) != OpKind::Register {
                return None;
            }
            let register = instr.op_register(i);
            Some(if register.is_xmm() {
                Field::Vector(register.number() as u8)
            } else {
                let used = if i == 0 { Use::Write } else { Use::Read };
                Field::General { code: register_code(register), size: register.size(), used }
            })
        };
        let raw = &planned.raw;
        let general = |n: u8, is_reg: bool| match (field(0), field(1)) {
            (Some(first @ Field::General { .. }), _) if is_reg == general_in_reg(raw.opcode) => first,
            (_, Some(second @ Field::General { .. })) if !is_reg => second,
            _ => Field::Vector(n),
        };
        let by_immediate = is_vector_shift(raw.opcode);
        let reg = if by_immediate { Field::Digit(raw.reg & 7) } else { general(raw.reg, true) };
        let rm = general(raw.rm, false);
        let immediate = planned.immediate();
        self.emit(raw.opcode, reg, rm, mem, immediate);
        if planned.changes_flags {
            self.flags.set(Deviation::None, false);
        }
    }
}

/// How an instruction's flags can be made again from what it leaves.
fn replay(instr: &Instruction, homes: &Homes) -> Option<Replay> {
    const ADD: u8 = 0;
    const SUB: u8 = 5;
    let operation = match instr.mnemonic() {
        Mnemonic::Add => ADD,
        Mnemonic::Sub => SUB,
        Mnemonic::Cmp => CMP,
        Mnemonic::And | Mnemonic::Or | Mnemonic::Xor => AND,
        Mnemonic::Test => Replay::TEST,
        _ => return None,
    };
    let register = |i: u32| {
        let register = (instr.op_kind(i) == OpKind::Register).then(|| instr.op_register(i))?;
        match homes.of(register_code(register)) {
            Home::Register(host) if register.size() >= 4 => Some(host),
            _ => None,
        }
    };
    let first = register(0)?;
    let wide = instr.op_register(0).size() == 8;
    let second = match instr.op_kind(1) {
        // The result alone says all.
        _ if operation == AND => Operand::Immediate(0),
        OpKind::Register => Operand::Register(register(1)?),
        OpKind::Memory => return None,
        _ => Operand::Immediate(instr.immediate(1) as i32),
    };
    let itself = matches!(second, Operand::Register(second) if second == first);
    (!itself || !matches!(operation, ADD | SUB)).then_some(Replay { operation, wide, first, second })
}

fn is_operand(kind: OpKind) -> bool {
    matches!(kind, OpKind::Register | OpKind::Memory)
}

/// Whether the operand that comes first is the one in ModRM.reg.
fn first_in_reg(opcode: Opcode) -> bool {
    match (opcode.map, opcode.byte) {
        (Map::One, byte) if byte < 0x40 => byte & 2 != 0,
        (Map::One, 0x63 | 0x69 | 0x6B | 0x8A | 0x8B) => true,
        (Map::One, _) => false,
        (Map::TwoByte, 0x40..=0x4F | 0xAF | 0xB6 | 0xB7 | 0xB8 | 0xBC..=0xBF) => true,
        (Map::ThreeByte38, byte) => byte & 0xFE == 0xF0,
        _ => false,
    }
}

/// Where an instruction with XMM registers writes a general one: in ModRM.reg, or in ModRM.rm (MOVD, PEXTR).
fn general_in_reg(opcode: Opcode) -> bool {
    !matches!((opcode.map, opcode.byte), (Map::TwoByte, 0x7E) | (Map::ThreeByte3A, 0x14..=0x17))
}

/// Shifts by a constant, which have the register in ModRM.rm.
fn is_vector_shift(opcode: Opcode) -> bool {
    opcode.map == Map::TwoByte && matches!(opcode.byte, 0x71..=0x73)
}

/// Whether a 16-byte memory operand has to be aligned.
pub(super) fn aligns(mnemonic: Mnemonic) -> bool {
    !matches!(mnemonic, Mnemonic::Movups | Mnemonic::Movupd | Mnemonic::Movdqu | Mnemonic::Lddqu)
}
