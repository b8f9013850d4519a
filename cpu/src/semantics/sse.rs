//! SSE2 to SSE4.2 integer instructions on XMM registers (SDM volume 1, chapters 11 and 12).

use super::vector::{Narrow, Wide, operation, operation_imm, read, set_xmm, sse_ready, xmm};
use super::{elementwise, mmx, sse_moves};
use crate::exec::{Cx, Exec, Handler, Insn};
use crate::flags::bit;
use crate::lanes::host::{self, Vector};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// The handler of an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    if mmx::has_mm(instr) {
        return None;
    }
    sse_moves::select(instr)
        .or_else(|| has_xmm(instr).then(|| elementwise::select::<Wide>(instr)).flatten())
        .or_else(|| arithmetic(instr))
        .or_else(|| shuffles(instr))
        .or_else(|| extensions(instr))
}

fn has_xmm(instr: &Instruction) -> bool {
    (0..instr.op_count()).any(|n| instr.op_kind(n) == OpKind::Register && instr.op_register(n).is_xmm())
}

/// MASKMOVQ and MASKMOVDQU: the bytes whose mask byte has bit 7 set, to DS:(E/R)DI. Nothing is written, and nothing
/// faults, when there are none.
pub fn store_masked(cx: &mut Cx, i: &Insn, value: u128, mask: u128, size: usize) -> Exec {
    let (bytes, mask) = (value.to_le_bytes(), mask.to_le_bytes());
    if mask[..size].iter().all(|m| m & 0x80 == 0) {
        return Ok(());
    }
    let offset = cx.cpu.gpr[7] & cx.address_mask(i);
    let linear = cx.linear(i, i.seg, offset, size as u64, true)?;
    cx.check_writable(linear, i.seg, size)?;
    for (n, (&byte, &m)) in bytes[..size].iter().zip(&mask[..size]).enumerate() {
        if m & 0x80 != 0 {
            cx.store(linear.wrapping_add(n as u64), i.seg, byte)?;
        }
    }
    Ok(())
}

fn set_ptest(cx: &mut Cx, a: u128, b: u128) {
    let zero = if a & b == 0 { bit::ZF } else { 0 };
    let carry = if !a & b == 0 { bit::CF } else { 0 };
    cx.cpu.flags.set_arithmetic(zero | carry);
}

fn ptest_register(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let (a, b) = (xmm(cx, i.reg), xmm(cx, i.rm));
    set_ptest(cx, a, b);
    Ok(())
}

fn ptest_memory(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let b = u128::from(read::<Vector, true>(cx, i)?);
    let a = xmm(cx, i.reg);
    set_ptest(cx, a, b);
    Ok(())
}

/// PBLENDVB, BLENDVPS and BLENDVPD: the mask is XMM0.
#[inline(always)]
fn blend_variable<const MEMORY: bool>(
    cx: &mut Cx,
    i: &Insn,
    f: impl FnOnce(u128, u128, u128) -> u128,
) -> Exec {
    sse_ready(cx)?;
    let b = if MEMORY { u128::from(read::<Vector, true>(cx, i)?) } else { xmm(cx, i.rm) };
    let value = f(xmm(cx, i.reg), b, xmm(cx, 0));
    set_xmm(cx, i.reg, value);
    Ok(())
}

fn pblendvb<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    blend_variable::<MEMORY>(cx, i, host::pblendvb)
}

fn blendvps<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    blend_variable::<MEMORY>(cx, i, host::blendvps)
}

fn blendvpd<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    blend_variable::<MEMORY>(cx, i, host::blendvpd)
}

fn arithmetic(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let memory = instr.op_kind(1) == OpKind::Memory;
    Some(match instr.mnemonic() {
        M::Pcmpeqq => operation!(Wide, instr, host::pcmpeqq),
        M::Pcmpgtq => operation!(Wide, instr, host::pcmpgtq),
        M::Pminsb => operation!(Wide, instr, host::pminsb),
        M::Pminsd => operation!(Wide, instr, host::pminsd),
        M::Pminuw => operation!(Wide, instr, host::pminuw),
        M::Pminud => operation!(Wide, instr, host::pminud),
        M::Pmaxsb => operation!(Wide, instr, host::pmaxsb),
        M::Pmaxsd => operation!(Wide, instr, host::pmaxsd),
        M::Pmaxuw => operation!(Wide, instr, host::pmaxuw),
        M::Pmaxud => operation!(Wide, instr, host::pmaxud),
        M::Pmulld => operation!(Wide, instr, host::pmulld),
        M::Pmuldq => operation!(Wide, instr, host::pmuldq),
        M::Phaddw => operation!(Wide, instr, host::phaddw),
        M::Phaddd => operation!(Wide, instr, host::phaddd),
        M::Phaddsw => operation!(Wide, instr, host::phaddsw),
        M::Phsubw => operation!(Wide, instr, host::phsubw),
        M::Phsubd => operation!(Wide, instr, host::phsubd),
        M::Phsubsw => operation!(Wide, instr, host::phsubsw),
        M::Phminposuw => operation!(Wide, instr, host::phminposuw),
        M::Mpsadbw => operation_imm!(Wide, instr, host::mpsadbw),
        M::Pslldq => operation!(Wide, instr, host::pslldq),
        M::Psrldq => operation!(Wide, instr, host::psrldq),
        M::Andps | M::Andpd => operation!(Wide, instr, host::pand),
        M::Andnps | M::Andnpd => operation!(Wide, instr, host::pandn),
        M::Orps | M::Orpd => operation!(Wide, instr, host::por),
        M::Xorps | M::Xorpd => operation!(Wide, instr, host::pxor),
        M::Ptest if memory => ptest_memory,
        M::Ptest => ptest_register,
        _ => return None,
    })
}

fn shuffles(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let memory = instr.op_kind(1) == OpKind::Memory;
    Some(match instr.mnemonic() {
        M::Packsswb => operation!(Wide, instr, host::packsswb),
        M::Packuswb => operation!(Wide, instr, host::packuswb),
        M::Packssdw => operation!(Wide, instr, host::packssdw),
        M::Packusdw => operation!(Wide, instr, host::packusdw),
        M::Punpcklqdq => operation!(Wide, instr, host::punpcklqdq),
        M::Punpckhbw => operation!(Wide, instr, host::punpckhbw),
        M::Punpckhwd => operation!(Wide, instr, host::punpckhwd),
        M::Punpckhdq => operation!(Wide, instr, host::punpckhdq),
        M::Punpckhqdq => operation!(Wide, instr, host::punpckhqdq),
        M::Pshufb => operation!(Wide, instr, host::pshufb),
        M::Movshdup => operation!(Wide, instr, host::movshdup),
        M::Movsldup => operation!(Wide, instr, host::movsldup),
        M::Pshufd => operation_imm!(Wide, instr, host::pshufd),
        M::Pshuflw => operation_imm!(Wide, instr, host::pshuflw),
        M::Pshufhw => operation_imm!(Wide, instr, host::pshufhw),
        M::Shufps => operation_imm!(Wide, instr, host::shufps),
        M::Shufpd => operation_imm!(Wide, instr, host::shufpd),
        M::Palignr => operation_imm!(Wide, instr, host::palignr),
        M::Pblendw => operation_imm!(Wide, instr, host::pblendw),
        M::Blendps => operation_imm!(Wide, instr, host::blendps),
        M::Blendpd => operation_imm!(Wide, instr, host::blendpd),
        M::Movddup => operation!(Narrow<u64>, instr, host::movddup),
        M::Unpcklps => operation!(Wide, instr, host::punpckldq),
        M::Unpckhps => operation!(Wide, instr, host::punpckhdq),
        M::Unpcklpd => operation!(Wide, instr, host::punpcklqdq),
        M::Unpckhpd => operation!(Wide, instr, host::punpckhqdq),
        M::Pblendvb if memory => pblendvb::<true>,
        M::Pblendvb => pblendvb::<false>,
        M::Blendvps if memory => blendvps::<true>,
        M::Blendvps => blendvps::<false>,
        M::Blendvpd if memory => blendvpd::<true>,
        M::Blendvpd => blendvpd::<false>,
        _ => return None,
    })
}

fn extensions(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Pmovsxbw => operation!(Narrow<u64>, instr, host::pmovsxbw),
        M::Pmovsxbd => operation!(Narrow<u32>, instr, host::pmovsxbd),
        M::Pmovsxbq => operation!(Narrow<u16>, instr, host::pmovsxbq),
        M::Pmovsxwd => operation!(Narrow<u64>, instr, host::pmovsxwd),
        M::Pmovsxwq => operation!(Narrow<u32>, instr, host::pmovsxwq),
        M::Pmovsxdq => operation!(Narrow<u64>, instr, host::pmovsxdq),
        M::Pmovzxbw => operation!(Narrow<u64>, instr, host::pmovzxbw),
        M::Pmovzxbd => operation!(Narrow<u32>, instr, host::pmovzxbd),
        M::Pmovzxbq => operation!(Narrow<u16>, instr, host::pmovzxbq),
        M::Pmovzxwd => operation!(Narrow<u64>, instr, host::pmovzxwd),
        M::Pmovzxwq => operation!(Narrow<u32>, instr, host::pmovzxwq),
        M::Pmovzxdq => operation!(Narrow<u64>, instr, host::pmovzxdq),
        _ => return None,
    })
}
