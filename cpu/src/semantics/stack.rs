//! PUSH, POP, PUSHA, POPA, PUSHF, POPF, ENTER, LEAVE (SDM Vol. 2), and the stack itself.

use crate::decode::{by_size, operand_size};
use crate::exec::{Cx, Exec, Fault, Handler, Insn, Width};
use crate::flags::{Flags, bit};
use crate::state::{CodeSize, cr, seg};
use amber_mmu::Word;
use iced_x86::{Instruction, Mnemonic, OpKind};

const RSP: usize = 4;
const RBP: usize = 5;
const SS: u8 = seg::SS as u8;

impl Cx<'_> {
    /// The stack pointer as wide as the stack is.
    #[inline(always)]
    pub fn stack_pointer(&self) -> u64 {
        self.cpu.gpr[RSP] & self.cpu.stack_mask
    }

    /// Writes the part of RSP that the stack's width covers.
    #[inline(always)]
    pub fn set_stack_pointer(&mut self, value: u64) {
        let mask = self.cpu.stack_mask;
        // A 32-bit stack zero-extends, a 16-bit one keeps the upper part.
        let keep = if mask == 0xFFFF { self.cpu.gpr[RSP] & !0xFFFF } else { 0 };
        self.cpu.gpr[RSP] = value & mask | keep;
    }

    #[inline(always)]
    fn stack_linear(&mut self, offset: u64, size: u64, write: bool) -> Result<u64, Fault> {
        if self.cpu.code_size == CodeSize::Bits64 {
            Ok(offset)
        } else {
            self.linear_segmented(SS, offset, size, write)
        }
    }

    /// Pushes a value.
    #[inline(always)]
    pub fn push<T: Word>(&mut self, value: T) -> Exec {
        let sp = self.stack_pointer().wrapping_sub(T::SIZE as u64) & self.cpu.stack_mask;
        let linear = self.stack_linear(sp, T::SIZE as u64, true)?;
        self.store(linear, SS, value)?;
        self.set_stack_pointer(sp);
        Ok(())
    }

    /// Checks that `count` pushes of `size` bytes each will succeed, so that none is done if one cannot.
    pub fn check_pushes(&mut self, count: u64, size: u8) -> Exec {
        for n in 1..=count {
            let sp = self.stack_pointer().wrapping_sub(n * u64::from(size)) & self.cpu.stack_mask;
            let linear = self.stack_linear(sp, u64::from(size), true)?;
            self.check_store(linear, SS, usize::from(size))?;
        }
        Ok(())
    }

    /// Reads the value `depth` bytes below the top of the stack.
    #[inline(always)]
    pub fn peek<T: Word>(&mut self, depth: u64) -> Result<T, Fault> {
        let sp = self.stack_pointer().wrapping_add(depth) & self.cpu.stack_mask;
        let linear = self.stack_linear(sp, T::SIZE as u64, false)?;
        self.load(linear, SS)
    }

    /// Takes `bytes` off the stack.
    #[inline(always)]
    pub fn drop_stack(&mut self, bytes: u64) {
        let sp = self.stack_pointer().wrapping_add(bytes);
        self.set_stack_pointer(sp);
    }

    /// Pops a value.
    #[inline(always)]
    pub fn pop<T: Word>(&mut self) -> Result<T, Fault> {
        let value = self.peek(0)?;
        self.drop_stack(T::SIZE as u64);
        Ok(value)
    }

    /// Pushes `value` as 2, 4 or 8 bytes.
    pub fn push_sized(&mut self, value: u64, size: u8) -> Exec {
        match size {
            2 => self.push(value as u16),
            4 => self.push(value as u32),
            _ => self.push(value),
        }
    }

    /// Reads 2, 4 or 8 bytes of the stack, zero-extended.
    pub fn peek_sized(&mut self, depth: u64, size: u8) -> Result<u64, Fault> {
        Ok(match size {
            2 => u64::from(self.peek::<u16>(depth)?),
            4 => u64::from(self.peek::<u32>(depth)?),
            _ => self.peek::<u64>(depth)?,
        })
    }

    /// IOPL.
    pub fn iopl(&self) -> u8 {
        ((self.cpu.flags.rest() & bit::IOPL) >> 12) as u8
    }

    /// Loads RFLAGS from `image`, changing only the bits in `mask`.
    pub fn load_flags(&mut self, image: u64, mask: u64) {
        let merged = self.cpu.flags.bits() & !mask | image & mask;
        self.cpu.flags = Flags::from_bits(merged);
        self.cpu.flags_changed();
        self.recheck();
    }
}

pub fn push_r<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.get::<T>(i.reg);
    cx.push(value)
}
fn push_m<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.read::<T>(i)?;
    cx.push(value)
}
fn push_i<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.push(T::from_u64(i.imm))
}
pub fn pop_r<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.pop::<T>()?;
    cx.put(i.reg, value);
    Ok(())
}
fn pop_m<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.peek::<T>(0)?;
    // An RSP-based destination is computed after RSP was incremented.
    let before = cx.cpu.gpr[RSP];
    cx.drop_stack(T::SIZE as u64);
    cx.write(i, value).inspect_err(|_| cx.cpu.gpr[RSP] = before)
}

fn pusha<T: Width>(cx: &mut Cx, _i: &Insn) -> Exec {
    let before = cx.cpu.gpr[RSP];
    cx.check_pushes(8, T::SIZE as u8)?;
    for code in 0..8u8 {
        let value = if usize::from(code) == RSP { T::from_u64(before) } else { cx.get::<T>(code) };
        cx.push(value)?;
    }
    Ok(())
}
fn popa<T: Width>(cx: &mut Cx, _i: &Insn) -> Exec {
    let mut values = [T::default(); 8];
    for (n, value) in values.iter_mut().enumerate() {
        *value = cx.peek((n * T::SIZE) as u64)?;
    }
    cx.drop_stack(8 * T::SIZE as u64);
    for code in (0..8u8).filter(|code| usize::from(*code) != RSP) {
        cx.put(code, values[7 - usize::from(code)]);
    }
    Ok(())
}

/// PUSHF with SIZE bytes.
fn pushf<T: Width>(cx: &mut Cx, _i: &Insn) -> Exec {
    let mut image = cx.cpu.flags.bits() & !(bit::VM | bit::RF);
    if cx.cpu.virtual_8086() && cx.iopl() < 3 {
        if T::BITS != 16 || cx.cpu.system.cr4 & cr::CR4_VME == 0 {
            return Err(cx.gp(0));
        }
        // VME: VIF stands in for IF, and IOPL reads as 3.
        let virtual_if = if image & bit::VIF != 0 { bit::IF } else { 0 };
        image = image & !bit::IF | virtual_if | bit::IOPL;
    }
    cx.push(T::from_u64(image))
}

fn popf<T: Width>(cx: &mut Cx, _i: &Insn) -> Exec {
    let v86 = cx.cpu.virtual_8086();
    if v86 && cx.iopl() < 3 {
        return popf_v86::<T>(cx);
    }
    let image = cx.peek::<T>(0)?.to_u64();
    let mut mask = bit::ARITHMETIC | bit::TF | bit::DF | bit::NT;
    if T::BITS != 16 {
        mask |= bit::AC | bit::ID | bit::RF;
    }
    if cx.cpu.system.cpl <= cx.iopl() {
        mask |= bit::IF;
    }
    if cx.cpu.system.cpl == 0 {
        mask |= bit::IOPL;
    }
    cx.drop_stack(T::SIZE as u64);
    cx.load_flags(image & !bit::RF, mask);
    Ok(())
}

/// POPF in virtual-8086 mode with IOPL below 3 (SDM Vol. 3B, 21.3).
fn popf_v86<T: Width>(cx: &mut Cx) -> Exec {
    if T::BITS != 16 || cx.cpu.system.cr4 & cr::CR4_VME == 0 {
        return Err(cx.gp(0));
    }
    let image = cx.peek::<T>(0)?.to_u64();
    if image & bit::TF != 0 || image & bit::IF != 0 && cx.cpu.flags.has(bit::VIP) {
        return Err(cx.gp(0));
    }
    cx.drop_stack(2);
    let virtual_if = if image & bit::IF != 0 { bit::VIF } else { 0 };
    cx.load_flags(image | virtual_if, bit::ARITHMETIC | bit::TF | bit::DF | bit::NT | bit::VIF);
    Ok(())
}

fn enter<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let level = u64::from(i.aux2 & 31);
    let before = cx.cpu.gpr[RSP];
    let outcome = enter_frame::<T>(cx, i, level);
    if outcome.is_err() {
        cx.cpu.gpr[RSP] = before;
    }
    outcome
}
fn enter_frame<T: Width>(cx: &mut Cx, i: &Insn, level: u64) -> Exec {
    let mask = cx.cpu.stack_mask;
    let rbp = cx.get::<T>(RBP as u8);
    cx.check_pushes(1 + level, T::SIZE as u8)?;
    cx.push(rbp)?;
    let frame = cx.cpu.gpr[RSP];
    let mut base = cx.cpu.gpr[RBP];
    for _ in 1..level {
        base = base.wrapping_sub(T::SIZE as u64) & mask;
        let linear = cx.stack_linear(base, T::SIZE as u64, false)?;
        let value = cx.load::<T>(linear, SS)?;
        cx.push(value)?;
    }
    if level > 0 {
        cx.push(T::from_u64(frame))?;
    }
    let sp = cx.stack_pointer().wrapping_sub(i.imm & 0xFFFF) & mask;
    // The new top of stack must be writable, though nothing is written.
    let linear = cx.stack_linear(sp, T::SIZE as u64, true)?;
    cx.check_writable(linear, SS, T::SIZE)?;
    cx.set_stack_pointer(sp);
    cx.put(RBP as u8, T::from_u64(frame));
    Ok(())
}

fn leave<T: Width>(cx: &mut Cx, _i: &Insn) -> Exec {
    let frame = cx.cpu.gpr[RBP] & cx.cpu.stack_mask;
    let linear = cx.stack_linear(frame, T::SIZE as u64, false)?;
    let value = cx.load::<T>(linear, SS)?;
    cx.set_stack_pointer(frame.wrapping_add(T::SIZE as u64));
    cx.put(RBP as u8, value);
    Ok(())
}

fn push_pop(instr: &Instruction) -> Option<Handler> {
    let kind = instr.op_kind(0);
    if kind == OpKind::Register && instr.op_register(0).is_segment_register() {
        return None;
    }
    let mut size = operand_size(instr, 0);
    let push = matches!(instr.mnemonic(), Mnemonic::Push);
    let immediate = !matches!(kind, OpKind::Register | OpKind::Memory);
    if immediate {
        size = immediate_push_size(instr);
    }
    let variants: [Handler; 4] = match (push, kind) {
        (true, OpKind::Register) => [push_r::<u16>, push_r::<u16>, push_r::<u32>, push_r::<u64>],
        (true, OpKind::Memory) => [push_m::<u16>, push_m::<u16>, push_m::<u32>, push_m::<u64>],
        (true, _) => [push_i::<u16>, push_i::<u16>, push_i::<u32>, push_i::<u64>],
        (false, OpKind::Register) => [pop_r::<u16>, pop_r::<u16>, pop_r::<u32>, pop_r::<u64>],
        (false, _) => [pop_m::<u16>, pop_m::<u16>, pop_m::<u32>, pop_m::<u64>],
    };
    Some(by_size(size, variants))
}

fn immediate_push_size(instr: &Instruction) -> usize {
    use iced_x86::Code::*;
    match instr.code() {
        Push_imm16 | Pushw_imm8 => 2,
        Pushd_imm32 | Pushd_imm8 => 4,
        _ => 8,
    }
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction, _size: CodeSize) -> Option<Handler> {
    use Mnemonic as M;
    match instr.mnemonic() {
        M::Push | M::Pop => push_pop(instr),
        M::Pusha => Some(pusha::<u16>),
        M::Pushad => Some(pusha::<u32>),
        M::Popa => Some(popa::<u16>),
        M::Popad => Some(popa::<u32>),
        M::Pushf => Some(pushf::<u16>),
        M::Pushfd => Some(pushf::<u32>),
        M::Pushfq => Some(pushf::<u64>),
        M::Popf => Some(popf::<u16>),
        M::Popfd => Some(popf::<u32>),
        M::Popfq => Some(popf::<u64>),
        M::Enter => {
            Some(by_size(stack_size(instr), [enter::<u16>, enter::<u16>, enter::<u32>, enter::<u64>]))
        }
        M::Leave => {
            Some(by_size(stack_size(instr), [leave::<u16>, leave::<u16>, leave::<u32>, leave::<u64>]))
        }
        _ => None,
    }
}

fn stack_size(instr: &Instruction) -> usize {
    use iced_x86::Code::*;
    match instr.code() {
        Enterw_imm16_imm8 | Leavew => 2,
        Enterd_imm16_imm8 | Leaved => 4,
        _ => 8,
    }
}
