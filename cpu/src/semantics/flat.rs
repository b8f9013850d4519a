//! The commonest instructions with 64-bit flat operands, fast paths only: whatever the TLB does not answer at once
//! is left to the general function, so that nothing is defined twice.

use super::arith::{Add, Binary, Cmp, Sub, mem_imm, mem_reg, reg_mem};
use super::logic::{And, Or, Test, Xor};
use super::mov::{mov_mi, mov_mr, mov_rm, sign_extend_rm, zero_extend_rm};
use super::stack::{pop_r, push_r};
use super::{branch, mov};
use crate::decode::{Form, by_size, form, operand_size};
use crate::exec::{Cx, Exec, Handler, Insn, Width, is_canonical};
use iced_x86::{Instruction, Mnemonic};

impl Cx<'_> {
    /// Linear address of a flat operand.
    #[inline(always)]
    pub(crate) fn flat(&self, i: &Insn) -> u64 {
        let gpr = &self.cpu.gpr;
        gpr[(i.base & 31) as usize]
            .wrapping_add(gpr[(i.index & 31) as usize] << (i.scale & 3))
            .wrapping_add(i.disp as u64)
    }
}

fn load<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    match cx.mmu.read_fast::<T>(cx.flat(i)) {
        Some(value) => {
            cx.put(i.reg, value);
            Ok(())
        }
        None => mov_rm::<T>(cx, i),
    }
}
fn store<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    if cx.mmu.write_fast(cx.flat(i), cx.get::<T>(i.reg)) { Ok(()) } else { mov_mr::<T>(cx, i) }
}
fn store_imm<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    if cx.mmu.write_fast(cx.flat(i), T::from_u64(i.imm)) { Ok(()) } else { mov_mi::<T>(cx, i) }
}
fn load_zero<S: Width, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    match cx.mmu.read_fast::<S>(cx.flat(i)) {
        Some(value) => {
            cx.put(i.reg, T::from_u64(value.to_u64()));
            Ok(())
        }
        None => zero_extend_rm::<S, T>(cx, i),
    }
}
fn load_sign<S: Width, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    match cx.mmu.read_fast::<S>(cx.flat(i)) {
        Some(value) => {
            cx.put(i.reg, T::from_u64(mov::sign(value)));
            Ok(())
        }
        None => sign_extend_rm::<S, T>(cx, i),
    }
}
fn op_load<O: Binary, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    match cx.mmu.read_fast::<T>(cx.flat(i)) {
        Some(b) => {
            let a = cx.get::<T>(i.reg);
            let result = O::apply(&mut cx.cpu.flags, a, b);
            if O::WRITES {
                cx.put(i.reg, result);
            }
            Ok(())
        }
        None => reg_mem::<O, T>(cx, i),
    }
}
#[inline(always)]
fn modify<O: Binary, T: Width>(cx: &mut Cx, i: &Insn, b: T, general: Handler) -> Exec {
    let linear = cx.flat(i);
    if !O::WRITES {
        return match cx.mmu.read_fast::<T>(linear) {
            Some(a) => {
                O::apply(&mut cx.cpu.flags, a, b);
                Ok(())
            }
            None => general(cx, i),
        };
    }
    match cx.mmu.modify_fast::<T>(linear) {
        Some(a) => {
            let result = O::apply(&mut cx.cpu.flags, a, b);
            cx.mmu.write_fast(linear, result);
            Ok(())
        }
        None => general(cx, i),
    }
}
fn op_store<O: Binary, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let b = cx.get::<T>(i.reg);
    modify::<O, T>(cx, i, b, mem_reg::<O, T>)
}
fn op_store_imm<O: Binary, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    modify::<O, T>(cx, i, T::from_u64(i.imm), mem_imm::<O, T>)
}

fn lea<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let offset = cx.flat(i);
    cx.put(i.reg, T::from_u64(offset));
    Ok(())
}

fn push(cx: &mut Cx, i: &Insn) -> Exec {
    let sp = cx.cpu.gpr[4].wrapping_sub(8);
    if cx.mmu.write_fast(sp, cx.get::<u64>(i.reg)) {
        cx.cpu.gpr[4] = sp;
        return Ok(());
    }
    push_r::<u64>(cx, i)
}
fn pop(cx: &mut Cx, i: &Insn) -> Exec {
    let sp = cx.cpu.gpr[4];
    match cx.mmu.read_fast::<u64>(sp) {
        Some(value) => {
            cx.cpu.gpr[4] = sp.wrapping_add(8);
            cx.put(i.reg, value);
            Ok(())
        }
        None => pop_r::<u64>(cx, i),
    }
}
fn call(cx: &mut Cx, i: &Insn) -> Exec {
    let back = cx.next_rip(i);
    let target = back.wrapping_add(i.imm);
    let sp = cx.cpu.gpr[4].wrapping_sub(8);
    if is_canonical(target) && cx.mmu.write_fast(sp, back) {
        cx.cpu.gpr[4] = sp;
        cx.cpu.rip = target;
        return Ok(());
    }
    branch::call_rel::<u64>(cx, i)
}
fn ret(cx: &mut Cx, i: &Insn) -> Exec {
    let sp = cx.cpu.gpr[4];
    match cx.mmu.read_fast::<u64>(sp) {
        Some(target) if is_canonical(target) => {
            cx.cpu.gpr[4] = sp.wrapping_add(8);
            cx.cpu.rip = target;
            Ok(())
        }
        _ => branch::ret::<u64>(cx, i),
    }
}
fn jmp(cx: &mut Cx, i: &Insn) -> Exec {
    let target = cx.next_rip(i).wrapping_add(i.imm);
    if is_canonical(target) {
        cx.cpu.rip = target;
        return Ok(());
    }
    branch::jmp_rel::<u64>(cx, i)
}
fn jcc<const CC: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    let next = cx.next_rip(i);
    let target = next.wrapping_add(i.imm);
    if !cx.cpu.flags.condition(CC) {
        cx.cpu.rip = next;
    } else if is_canonical(target) {
        cx.cpu.rip = target;
    } else {
        return branch::jmp_rel::<u64>(cx, i);
    }
    Ok(())
}

const JCC: [Handler; 16] = [
    jcc::<0>, jcc::<1>, jcc::<2>, jcc::<3>, jcc::<4>, jcc::<5>, jcc::<6>, jcc::<7>, jcc::<8>, jcc::<9>,
    jcc::<10>, jcc::<11>, jcc::<12>, jcc::<13>, jcc::<14>, jcc::<15>,
];

fn binary<O: Binary>(instr: &Instruction) -> Option<Handler> {
    let variants: [Handler; 4] = match form(instr) {
        Form::RegMem => [op_load::<O, u8>, op_load::<O, u16>, op_load::<O, u32>, op_load::<O, u64>],
        Form::MemReg => [op_store::<O, u8>, op_store::<O, u16>, op_store::<O, u32>, op_store::<O, u64>],
        Form::MemImm => {
            [op_store_imm::<O, u8>, op_store_imm::<O, u16>, op_store_imm::<O, u32>, op_store_imm::<O, u64>]
        }
        _ => return None,
    };
    Some(by_size(operand_size(instr, 0), variants))
}

fn moves(instr: &Instruction) -> Option<Handler> {
    let general = |i| instr.op_kind(i) != iced_x86::OpKind::Register || instr.op_register(i).is_gpr();
    if !general(0) || !general(1) {
        return None;
    }
    let variants: [Handler; 4] = match form(instr) {
        Form::RegMem => [load::<u8>, load::<u16>, load::<u32>, load::<u64>],
        Form::MemReg => [store::<u8>, store::<u16>, store::<u32>, store::<u64>],
        Form::MemImm => [store_imm::<u8>, store_imm::<u16>, store_imm::<u32>, store_imm::<u64>],
        _ => return None,
    };
    Some(by_size(operand_size(instr, 0), variants))
}

fn extends(instr: &Instruction) -> Option<Handler> {
    if form(instr) != Form::RegMem {
        return None;
    }
    let signed = instr.mnemonic() != Mnemonic::Movzx;
    Some(match (operand_size(instr, 1), operand_size(instr, 0), signed) {
        (1, 4, false) => load_zero::<u8, u32>,
        (1, 8, false) => load_zero::<u8, u64>,
        (2, 4, false) => load_zero::<u16, u32>,
        (2, 8, false) => load_zero::<u16, u64>,
        (1, 4, true) => load_sign::<u8, u32>,
        (1, 8, true) => load_sign::<u8, u64>,
        (2, 4, true) => load_sign::<u16, u32>,
        (2, 8, true) => load_sign::<u16, u64>,
        (4, 8, true) => load_sign::<u32, u64>,
        _ => return None,
    })
}

/// The fast function for an instruction, if it has one and its operands are flat.
pub fn select(instr: &Instruction, flat: bool) -> Option<Handler> {
    use Mnemonic as M;
    if !flat {
        return None;
    }
    if instr.is_jcc_short_or_near() {
        return Some(JCC[usize::from(crate::decode::condition(instr)) & 15]);
    }
    let wide_register = || form(instr) == Form::Reg && instr.op_register(0).is_gpr64();
    match instr.mnemonic() {
        M::Mov => moves(instr),
        M::Movzx | M::Movsx | M::Movsxd => extends(instr),
        M::Add => binary::<Add>(instr),
        M::Sub => binary::<Sub>(instr),
        M::Cmp => binary::<Cmp>(instr),
        M::And => binary::<And>(instr),
        M::Or => binary::<Or>(instr),
        M::Xor => binary::<Xor>(instr),
        M::Test => binary::<Test>(instr),
        M::Lea => Some(by_size(operand_size(instr, 0), [lea::<u16>, lea::<u16>, lea::<u32>, lea::<u64>])),
        M::Push if wide_register() => Some(push),
        M::Pop if wide_register() => Some(pop),
        M::Call if instr.is_call_near() => Some(call),
        M::Jmp if instr.is_jmp_short_or_near() => Some(jmp),
        M::Ret if instr.op_count() == 0 && instr.code() == iced_x86::Code::Retnq => Some(ret),
        _ => None,
    }
}
