//! SSE moves, inserts and extracts (SDM volume 1, 10.4.1, 11.4.1 and 12.10).

use super::sse::store_masked;
use super::vector::{Element, read, set_xmm, sse_ready, write, xmm};
use crate::exec::{Cx, Exec, Handler, Insn, Width};
use crate::lanes::host::{self, Vector};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

fn move_register(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = xmm(cx, i.rm);
    set_xmm(cx, i.reg, value);
    Ok(())
}

fn load_aligned(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = read::<Vector, true>(cx, i)?;
    set_xmm(cx, i.reg, value.into());
    Ok(())
}

fn store_aligned(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = Vector::from(xmm(cx, i.reg));
    write::<Vector, true>(cx, i, value)
}

/// A load of any size, zero-extended to the register.
fn load<T: Element>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = read::<T, false>(cx, i)?.widened();
    set_xmm(cx, i.reg, value);
    Ok(())
}

/// A store of the low part.
fn store<T: Element>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = T::narrowed(xmm(cx, i.reg));
    write::<T, false>(cx, i, value)
}

/// MOVHPS and MOVHPD to memory.
fn store_high(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = (xmm(cx, i.reg) >> 64) as u64;
    write::<u64, false>(cx, i, value)
}

/// Replaces the bits of `mask` in the destination by those of `value`.
fn merge(cx: &mut Cx, i: &Insn, mask: u128, value: u128) {
    let value = xmm(cx, i.reg) & !mask | value & mask;
    set_xmm(cx, i.reg, value);
}

/// Replaces the destination by a function of it and of a value from memory.
#[inline(always)]
fn merge_memory<T: Element>(cx: &mut Cx, i: &Insn, f: impl FnOnce(u128, T) -> u128) -> Exec {
    sse_ready(cx)?;
    let value = read::<T, false>(cx, i)?;
    let value = f(xmm(cx, i.reg), value);
    set_xmm(cx, i.reg, value);
    Ok(())
}

/// Replaces the destination by a function of it and of the source register.
#[inline(always)]
fn merge_register(cx: &mut Cx, i: &Insn, f: impl FnOnce(u128, u128) -> u128) -> Exec {
    sse_ready(cx)?;
    let value = f(xmm(cx, i.reg), xmm(cx, i.rm));
    set_xmm(cx, i.reg, value);
    Ok(())
}

fn load_low(cx: &mut Cx, i: &Insn) -> Exec {
    merge_memory::<u64>(cx, i, |old, value| value.merged(old))
}

fn load_high(cx: &mut Cx, i: &Insn) -> Exec {
    merge_memory::<u64>(cx, i, |old, value| host::punpcklqdq(old, value.widened()))
}

fn movhlps(cx: &mut Cx, i: &Insn) -> Exec {
    merge_register(cx, i, |old, source| host::punpckhqdq(source, old))
}

fn movlhps(cx: &mut Cx, i: &Insn) -> Exec {
    merge_register(cx, i, host::punpcklqdq)
}

fn movss(cx: &mut Cx, i: &Insn) -> Exec {
    merge_register(cx, i, |old, source| (source as u32).merged(old))
}

fn movsd(cx: &mut Cx, i: &Insn) -> Exec {
    merge_register(cx, i, |old, source| (source as u64).merged(old))
}

/// MOVQ xmm, xmm: the upper half becomes zero.
fn movq(cx: &mut Cx, i: &Insn) -> Exec {
    merge_register(cx, i, |_, source| (source as u64).widened())
}

fn from_gpr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = cx.get::<T>(i.rm).to_u64();
    set_xmm(cx, i.reg, value.widened());
    Ok(())
}

fn to_gpr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = xmm(cx, i.rm) as u64;
    cx.put(i.reg, T::from_u64(value));
    Ok(())
}

/// A mask of sign bits into a general register.
#[inline(always)]
fn sign_mask(cx: &mut Cx, i: &Insn, mask: impl FnOnce(u128) -> u32) -> Exec {
    sse_ready(cx)?;
    let bits = mask(xmm(cx, i.rm));
    cx.put(i.reg, bits);
    Ok(())
}

fn movmskps(cx: &mut Cx, i: &Insn) -> Exec {
    sign_mask(cx, i, host::movmskps)
}

fn movmskpd(cx: &mut Cx, i: &Insn) -> Exec {
    sign_mask(cx, i, host::movmskpd)
}

fn pmovmskb(cx: &mut Cx, i: &Insn) -> Exec {
    sign_mask(cx, i, host::pmovmskb)
}

fn maskmovdqu(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let (value, mask) = (xmm(cx, i.reg), xmm(cx, i.rm));
    store_masked(cx, i, value, mask, 16)
}

/// How far to shift for the element that the immediate names.
fn element<T: Element>(i: &Insn) -> u32 {
    let bits = 8 * T::SIZE as u32;
    bits * (i.imm as u32 & (128 / bits - 1))
}

/// PEXTRB, PEXTRW, PEXTRD, PEXTRQ and EXTRACTPS to a register.
fn extract_register<T: Element>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = T::narrowed(xmm(cx, i.rm) >> element::<T>(i));
    cx.put(i.reg, value.to_u64());
    Ok(())
}

fn extract_memory<T: Element>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = T::narrowed(xmm(cx, i.reg) >> element::<T>(i));
    cx.write(i, value)
}

fn insert<T: Element>(cx: &mut Cx, i: &Insn, value: T) {
    let shift = element::<T>(i);
    let mask = (u128::MAX >> (128 - 8 * T::SIZE)) << shift;
    merge(cx, i, mask, value.widened() << shift);
}

fn insert_register<T: Element>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = cx.get::<u64>(i.rm);
    insert(cx, i, T::from_u64(value));
    Ok(())
}

fn insert_memory<T: Element>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = cx.read::<T>(i)?;
    insert(cx, i, value);
    Ok(())
}

fn insertps_register(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let imm = i.imm as u8;
    let source = (xmm(cx, i.rm) >> (32 * u32::from(imm >> 6))) as u32;
    let value = host::insertps(xmm(cx, i.reg), source, imm);
    set_xmm(cx, i.reg, value);
    Ok(())
}

fn insertps_memory(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let source = cx.read::<u32>(i)?;
    let value = host::insertps(xmm(cx, i.reg), source, i.imm as u8);
    set_xmm(cx, i.reg, value);
    Ok(())
}

/// MOVNTI uses no SSE state.
fn movnti<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.get::<T>(i.reg);
    cx.write(i, value)
}

/// The handler of a move. Instructions with an MMX operand are not ours.
pub fn select(instr: &Instruction) -> Option<Handler> {
    full_width(instr).or_else(|| partial(instr)).or_else(|| elements(instr))
}

/// Picks by where the memory operand stands.
fn placed(instr: &Instruction, registers: Handler, load: Handler, store: Handler) -> Handler {
    match (instr.op_kind(0), instr.op_kind(1)) {
        (OpKind::Memory, _) => store,
        (_, OpKind::Memory) => load,
        _ => registers,
    }
}

fn full_width(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Movaps | M::Movapd | M::Movdqa | M::Movntps | M::Movntpd | M::Movntdq | M::Movntdqa => {
            placed(instr, move_register, load_aligned, store_aligned)
        }
        M::Movups | M::Movupd | M::Movdqu | M::Lddqu => {
            placed(instr, move_register, load::<Vector>, store::<Vector>)
        }
        M::Maskmovdqu => maskmovdqu,
        M::Movmskps => movmskps,
        M::Movmskpd => movmskpd,
        M::Pmovmskb => pmovmskb,
        _ => return None,
    })
}

fn partial(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Movss => placed(instr, movss, load::<u32>, store::<u32>),
        // The string instruction shares the mnemonic.
        M::Movsd if matches!(instr.code(), Code::Movsd_xmm_xmmm64 | Code::Movsd_xmmm64_xmm) => {
            placed(instr, movsd, load::<u64>, store::<u64>)
        }
        M::Movlps | M::Movlpd => placed(instr, movhlps, load_low, store::<u64>),
        M::Movhps | M::Movhpd => placed(instr, movlhps, load_high, store_high),
        M::Movhlps => movhlps,
        M::Movlhps => movlhps,
        M::Movnti if instr.memory_size().size() == 8 => movnti::<u64>,
        M::Movnti => movnti::<u32>,
        M::Movd | M::Movq => return movd(instr),
        _ => return None,
    })
}

fn movd(instr: &Instruction) -> Option<Handler> {
    Some(match instr.code() {
        Code::Movq_xmm_xmmm64 | Code::Movq_xmmm64_xmm => placed(instr, movq, load::<u64>, store::<u64>),
        Code::Movd_xmm_rm32 | Code::Movd_rm32_xmm => {
            let to = instr.code() == Code::Movd_rm32_xmm;
            placed(instr, if to { to_gpr::<u32> } else { from_gpr::<u32> }, load::<u32>, store::<u32>)
        }
        Code::Movq_xmm_rm64 | Code::Movq_rm64_xmm => {
            let to = instr.code() == Code::Movq_rm64_xmm;
            placed(instr, if to { to_gpr::<u64> } else { from_gpr::<u64> }, load::<u64>, store::<u64>)
        }
        _ => return None,
    })
}

fn elements(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let memory = instr.op_kind(0) == OpKind::Memory || instr.op_kind(1) == OpKind::Memory;
    Some(match (instr.mnemonic(), memory) {
        (M::Pextrb, false) => extract_register::<u8>,
        (M::Pextrb, true) => extract_memory::<u8>,
        (M::Pextrw, false) => extract_register::<u16>,
        (M::Pextrw, true) => extract_memory::<u16>,
        (M::Pextrd | M::Extractps, false) => extract_register::<u32>,
        (M::Pextrd | M::Extractps, true) => extract_memory::<u32>,
        (M::Pextrq, false) => extract_register::<u64>,
        (M::Pextrq, true) => extract_memory::<u64>,
        (M::Pinsrb, false) => insert_register::<u8>,
        (M::Pinsrb, true) => insert_memory::<u8>,
        (M::Pinsrw, false) => insert_register::<u16>,
        (M::Pinsrw, true) => insert_memory::<u16>,
        (M::Pinsrd, false) => insert_register::<u32>,
        (M::Pinsrd, true) => insert_memory::<u32>,
        (M::Pinsrq, false) => insert_register::<u64>,
        (M::Pinsrq, true) => insert_memory::<u64>,
        (M::Insertps, false) => insertps_register,
        (M::Insertps, true) => insertps_memory,
        _ => return None,
    })
}
