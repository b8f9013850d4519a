//! Comparison and conditional jump run as one: two instructions, two steps, one dispatch. The jump keeps its own
//! place in the block for when only the comparison may run.

use super::arith::{Add, Binary, Cmp, Dec, Sub, Unary};
use super::logic::{And, Test};
use crate::decode::{Form, Pair, form, operand_size};
use crate::exec::{Cx, Exec, Handler, Insn, Width, is_canonical};
use iced_x86::{Instruction, Mnemonic};

/// Makes `first` do the work of the conditional jump `second` too: the displacement goes into the upper half of
/// `imm`, the jump's length into `aux2`.
pub fn fuse(first: &mut Insn, by_condition: fn(u8) -> Handler, second: &Insn) {
    first.exec = by_condition(second.aux);
    first.imm = first.imm & 0xFFFF_FFFF | second.imm << 32;
    first.aux2 = second.len;
}

/// The jump's half, unless only the comparison may run now.
#[inline(always)]
fn branch<const CC: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    let timing = &mut cx.cpu.timing;
    if timing.at + 1 >= timing.limit {
        return Ok(());
    }
    let next = cx.next_rip(i).wrapping_add(u64::from(i.aux2));
    let target =
        if cx.cpu.flags.condition(CC) { next.wrapping_add((i.imm as i64 >> 32) as u64) } else { next };
    // A target that faults is left to the jump itself.
    if is_canonical(target) {
        cx.cpu.rip = target;
        cx.cpu.timing.limit = 0;
        cx.cpu.timing.extra = 1;
    }
    Ok(())
}

fn reg_reg<O: Binary, T: Width, const CC: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    let (a, b) = (cx.get::<T>(i.reg), cx.get::<T>(i.rm));
    let result = O::apply(&mut cx.cpu.flags, a, b);
    if O::WRITES {
        cx.put(i.reg, result);
    }
    branch::<CC>(cx, i)
}
fn reg_imm<O: Binary, T: Width, const CC: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    let a = cx.get::<T>(i.reg);
    let result = O::apply(&mut cx.cpu.flags, a, T::from_u64(i.imm as i32 as u64));
    if O::WRITES {
        cx.put(i.reg, result);
    }
    branch::<CC>(cx, i)
}
fn reg_mem<T: Width, const CC: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    match cx.mmu.read_fast::<T>(cx.flat(i)) {
        Some(b) => {
            let a = cx.get::<T>(i.reg);
            Cmp::apply(&mut cx.cpu.flags, a, b);
            branch::<CC>(cx, i)
        }
        None => super::arith::reg_mem::<Cmp, T>(cx, i),
    }
}
fn mem_reg<T: Width, const CC: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    match cx.mmu.read_fast::<T>(cx.flat(i)) {
        Some(a) => {
            let b = cx.get::<T>(i.reg);
            Cmp::apply(&mut cx.cpu.flags, a, b);
            branch::<CC>(cx, i)
        }
        None => super::arith::mem_reg::<Cmp, T>(cx, i),
    }
}
fn mem_imm<O: Binary, T: Width, const CC: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    let b = T::from_u64(i.imm as i32 as u64);
    match cx.mmu.read_fast::<T>(cx.flat(i)) {
        Some(a) => {
            O::apply(&mut cx.cpu.flags, a, b);
            branch::<CC>(cx, i)
        }
        None => {
            let a = cx.read::<T>(i)?;
            O::apply(&mut cx.cpu.flags, a, b);
            Ok(())
        }
    }
}
fn dec<T: Width, const CC: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    let a = cx.get::<T>(i.reg);
    let result = Dec::apply(&mut cx.cpu.flags, a);
    cx.put(i.reg, result);
    branch::<CC>(cx, i)
}

/// The sixteen variants of one function by condition code.
trait ByCondition {
    fn handler<const CC: u8>() -> Handler;

    fn pick(cc: u8) -> Handler {
        match cc & 15 {
            0 => Self::handler::<0>(),
            1 => Self::handler::<1>(),
            2 => Self::handler::<2>(),
            3 => Self::handler::<3>(),
            4 => Self::handler::<4>(),
            5 => Self::handler::<5>(),
            6 => Self::handler::<6>(),
            7 => Self::handler::<7>(),
            8 => Self::handler::<8>(),
            9 => Self::handler::<9>(),
            10 => Self::handler::<10>(),
            11 => Self::handler::<11>(),
            12 => Self::handler::<12>(),
            13 => Self::handler::<13>(),
            14 => Self::handler::<14>(),
            _ => Self::handler::<15>(),
        }
    }
}

struct RegReg<O, T>(std::marker::PhantomData<(O, T)>);
struct RegImm<O, T>(std::marker::PhantomData<(O, T)>);
struct RegMem<T>(std::marker::PhantomData<T>);
struct MemReg<T>(std::marker::PhantomData<T>);
struct MemImm<O, T>(std::marker::PhantomData<(O, T)>);
struct DecReg<T>(std::marker::PhantomData<T>);

impl<O: Binary, T: Width> ByCondition for RegReg<O, T> {
    fn handler<const CC: u8>() -> Handler {
        reg_reg::<O, T, CC>
    }
}
impl<O: Binary, T: Width> ByCondition for RegImm<O, T> {
    fn handler<const CC: u8>() -> Handler {
        reg_imm::<O, T, CC>
    }
}
impl<T: Width> ByCondition for RegMem<T> {
    fn handler<const CC: u8>() -> Handler {
        reg_mem::<T, CC>
    }
}
impl<T: Width> ByCondition for MemReg<T> {
    fn handler<const CC: u8>() -> Handler {
        mem_reg::<T, CC>
    }
}
impl<O: Binary, T: Width> ByCondition for MemImm<O, T> {
    fn handler<const CC: u8>() -> Handler {
        mem_imm::<O, T, CC>
    }
}
impl<T: Width> ByCondition for DecReg<T> {
    fn handler<const CC: u8>() -> Handler {
        dec::<T, CC>
    }
}

type Picker = fn(u8) -> Handler;

fn compare(instr: &Instruction) -> Option<Picker> {
    Some(match (form(instr), operand_size(instr, 0)) {
        (Form::RegReg, 1) => RegReg::<Cmp, u8>::pick,
        (Form::RegReg, 4) => RegReg::<Cmp, u32>::pick,
        (Form::RegReg, 8) => RegReg::<Cmp, u64>::pick,
        (Form::RegImm, 1) => RegImm::<Cmp, u8>::pick,
        (Form::RegImm, 2) => RegImm::<Cmp, u16>::pick,
        (Form::RegImm, 4) => RegImm::<Cmp, u32>::pick,
        (Form::RegImm, 8) => RegImm::<Cmp, u64>::pick,
        (Form::RegMem, 1) => RegMem::<u8>::pick,
        (Form::RegMem, 4) => RegMem::<u32>::pick,
        (Form::RegMem, 8) => RegMem::<u64>::pick,
        (Form::MemReg, 1) => MemReg::<u8>::pick,
        (Form::MemReg, 4) => MemReg::<u32>::pick,
        (Form::MemReg, 8) => MemReg::<u64>::pick,
        (Form::MemImm, 1) => MemImm::<Cmp, u8>::pick,
        (Form::MemImm, 2) => MemImm::<Cmp, u16>::pick,
        (Form::MemImm, 4) => MemImm::<Cmp, u32>::pick,
        (Form::MemImm, 8) => MemImm::<Cmp, u64>::pick,
        _ => return None,
    })
}

fn test(instr: &Instruction) -> Option<Picker> {
    Some(match (form(instr), operand_size(instr, 0)) {
        (Form::RegReg, 1) => RegReg::<Test, u8>::pick,
        (Form::RegReg, 4) => RegReg::<Test, u32>::pick,
        (Form::RegReg, 8) => RegReg::<Test, u64>::pick,
        (Form::RegImm, 1) => RegImm::<Test, u8>::pick,
        (Form::RegImm, 4) => RegImm::<Test, u32>::pick,
        (Form::MemImm, 1) => MemImm::<Test, u8>::pick,
        (Form::MemImm, 4) => MemImm::<Test, u32>::pick,
        _ => return None,
    })
}

fn arithmetic<O: Binary>(instr: &Instruction) -> Option<Picker> {
    Some(match (form(instr), operand_size(instr, 0)) {
        (Form::RegReg, 4) => RegReg::<O, u32>::pick,
        (Form::RegReg, 8) => RegReg::<O, u64>::pick,
        (Form::RegImm, 4) => RegImm::<O, u32>::pick,
        (Form::RegImm, 8) => RegImm::<O, u64>::pick,
        _ => return None,
    })
}

/// What part an instruction can play in a fused pair.
pub fn pair(instr: &Instruction, flat: bool) -> Pair {
    if !flat || instr.has_lock_prefix() {
        return Pair::None;
    }
    if instr.is_jcc_short_or_near() {
        return Pair::Second;
    }
    let picker = match instr.mnemonic() {
        Mnemonic::Cmp => compare(instr),
        Mnemonic::Test => test(instr),
        Mnemonic::And => arithmetic::<And>(instr),
        Mnemonic::Sub => arithmetic::<Sub>(instr),
        Mnemonic::Add => arithmetic::<Add>(instr),
        Mnemonic::Dec if form(instr) == Form::Reg => match operand_size(instr, 0) {
            4 => Some(DecReg::<u32>::pick as Picker),
            8 => Some(DecReg::<u64>::pick as Picker),
            _ => None,
        },
        _ => None,
    };
    picker.map_or(Pair::None, Pair::First)
}
