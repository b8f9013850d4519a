//! MMX (SDM volume 1, chapter 9), and the MMX forms that SSE to SSSE3 added.

use super::elementwise;
use super::vector::{Element, Mmx, mmx_ready, operation, operation_imm, set_xmm, sse_ready, xmm};
use crate::exec::{Cx, Exec, Handler, Insn, Width};
use crate::lanes::{mmx, shuffle};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

/// Whether an operand is an MMX register.
pub fn has_mm(instr: &Instruction) -> bool {
    (0..instr.op_count()).any(|n| instr.op_kind(n) == OpKind::Register && instr.op_register(n).is_mm())
}

/// The handler of an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    if instr.mnemonic() == Mnemonic::Emms {
        return Some(emms);
    }
    if !has_mm(instr) {
        return None;
    }
    moves(instr).or_else(|| elementwise::select::<Mmx>(instr)).or_else(|| rearranging(instr))
}

fn emms(cx: &mut Cx, _: &Insn) -> Exec {
    mmx_ready(cx)?;
    cx.cpu.x87.emms();
    Ok(())
}

fn rearranging(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Packsswb => operation!(Mmx, instr, mmx::packsswb),
        M::Packuswb => operation!(Mmx, instr, mmx::packuswb),
        M::Packssdw => operation!(Mmx, instr, mmx::packssdw),
        M::Punpckhbw => operation!(Mmx, instr, mmx::punpckhbw),
        M::Punpckhwd => operation!(Mmx, instr, mmx::punpckhwd),
        M::Punpckhdq => operation!(Mmx, instr, mmx::punpckhdq),
        M::Pshufb => operation!(Mmx, instr, mmx::pshufb),
        M::Pshufw => operation_imm!(Mmx, instr, mmx::pshufw),
        M::Palignr => operation_imm!(Mmx, instr, mmx::palignr),
        M::Phaddw => operation!(Mmx, instr, mmx::phaddw),
        M::Phaddd => operation!(Mmx, instr, mmx::phaddd),
        M::Phaddsw => operation!(Mmx, instr, mmx::phaddsw),
        M::Phsubw => operation!(Mmx, instr, mmx::phsubw),
        M::Phsubd => operation!(Mmx, instr, mmx::phsubd),
        M::Phsubsw => operation!(Mmx, instr, mmx::phsubsw),
        _ => return None,
    })
}

fn put(cx: &mut Cx, n: u8, value: u64) {
    cx.cpu.x87.enter_mmx();
    cx.cpu.x87.set_mm(n, value);
}

/// MOVQ mm, mm.
fn movq_mm_mm(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let value = cx.cpu.x87.mm(i.rm);
    put(cx, i.reg, value);
    Ok(())
}

/// MOVD and MOVQ mm, memory.
fn load<T: Element>(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let value = cx.read::<T>(i)?.to_u64();
    put(cx, i.reg, value);
    Ok(())
}

/// MOVD and MOVQ memory, mm; MOVNTQ.
fn store<T: Element>(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let value = cx.cpu.x87.mm(i.reg);
    cx.write(i, T::from_u64(value))?;
    cx.cpu.x87.enter_mmx();
    Ok(())
}

/// MOVD and MOVQ mm, general register.
fn from_gpr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let value = cx.get::<T>(i.rm).to_u64();
    put(cx, i.reg, value);
    Ok(())
}

/// MOVD and MOVQ general register, mm.
fn to_gpr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let value = cx.cpu.x87.mm(i.rm);
    cx.cpu.x87.enter_mmx();
    cx.put(i.reg, T::from_u64(value));
    Ok(())
}

fn movq2dq(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    mmx_ready(cx)?;
    let value = cx.cpu.x87.mm(i.rm).into();
    cx.cpu.x87.enter_mmx();
    set_xmm(cx, i.reg, value);
    Ok(())
}

fn movdq2q(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    mmx_ready(cx)?;
    let value = xmm(cx, i.rm) as u64;
    put(cx, i.reg, value);
    Ok(())
}

fn pmovmskb(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let mask = shuffle::pmovmskb(cx.cpu.x87.mm(i.rm).into());
    cx.cpu.x87.enter_mmx();
    cx.put(i.reg, mask);
    Ok(())
}

fn pextrw(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let word = (cx.cpu.x87.mm(i.rm) >> (16 * (i.imm & 3))) as u16;
    cx.cpu.x87.enter_mmx();
    cx.put(i.reg, u32::from(word));
    Ok(())
}

fn insert_word(cx: &mut Cx, i: &Insn, word: u16) {
    let shift = 16 * (i.imm & 3);
    let value = cx.cpu.x87.mm(i.reg) & !(0xFFFF << shift) | u64::from(word) << shift;
    put(cx, i.reg, value);
}

fn pinsrw_register(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let word = cx.get::<u16>(i.rm);
    insert_word(cx, i, word);
    Ok(())
}

fn pinsrw_memory(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let word = cx.read::<u16>(i)?;
    insert_word(cx, i, word);
    Ok(())
}

fn maskmovq(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let (value, mask) = (cx.cpu.x87.mm(i.reg), cx.cpu.x87.mm(i.rm));
    super::sse::store_masked(cx, i, value.into(), mask.into(), 8)?;
    cx.cpu.x87.enter_mmx();
    Ok(())
}

fn moves(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let memory = |n| instr.op_kind(n) == OpKind::Memory;
    Some(match instr.mnemonic() {
        M::Movntq => store::<u64>,
        M::Movq2dq => movq2dq,
        M::Movdq2q => movdq2q,
        M::Maskmovq => maskmovq,
        M::Pmovmskb => pmovmskb,
        M::Pextrw => pextrw,
        M::Pinsrw if memory(1) => pinsrw_memory,
        M::Pinsrw => pinsrw_register,
        M::Movd | M::Movq => match instr.code() {
            Code::Movq_mm_mmm64 | Code::Movq_mmm64_mm => match (memory(0), memory(1)) {
                (true, _) => store::<u64>,
                (_, true) => load::<u64>,
                _ => movq_mm_mm,
            },
            Code::Movd_mm_rm32 if memory(1) => load::<u32>,
            Code::Movd_mm_rm32 => from_gpr::<u32>,
            Code::Movq_mm_rm64 if memory(1) => load::<u64>,
            Code::Movq_mm_rm64 => from_gpr::<u64>,
            Code::Movd_rm32_mm if memory(0) => store::<u32>,
            Code::Movd_rm32_mm => to_gpr::<u32>,
            Code::Movq_rm64_mm if memory(0) => store::<u64>,
            Code::Movq_rm64_mm => to_gpr::<u64>,
            _ => return None,
        },
        _ => return None,
    })
}
