//! SSE2 to SSE4.2 integer instructions on XMM registers (SDM volume 1, chapters 11 and 12).

use super::vector::{Narrow, Wide, aligned, operation, operation_imm, set_xmm, sse_ready, xmm};
use super::{elementwise, mmx, sse_moves};
use crate::exec::{Cx, Exec, Handler, Insn};
use crate::flags::bit;
use crate::lanes::{integer, shift, shuffle};
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
    let linear = aligned(cx, i, false)?;
    let b = cx.load::<u128>(linear, i.seg)?;
    let a = xmm(cx, i.reg);
    set_ptest(cx, a, b);
    Ok(())
}

/// PBLENDVB, BLENDVPS and BLENDVPD: the mask is XMM0.
fn blend_variable<const MEMORY: bool>(cx: &mut Cx, i: &Insn, f: fn(u128, u128, u128) -> u128) -> Exec {
    sse_ready(cx)?;
    let b = if MEMORY {
        let linear = aligned(cx, i, false)?;
        cx.load::<u128>(linear, i.seg)?
    } else {
        xmm(cx, i.rm)
    };
    let value = f(xmm(cx, i.reg), b, xmm(cx, 0));
    set_xmm(cx, i.reg, value);
    Ok(())
}

fn pblendvb<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    blend_variable::<MEMORY>(cx, i, shuffle::pblendvb)
}

fn blendvps<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    blend_variable::<MEMORY>(cx, i, shuffle::blendvps)
}

fn blendvpd<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    blend_variable::<MEMORY>(cx, i, shuffle::blendvpd)
}

fn arithmetic(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let memory = instr.op_kind(1) == OpKind::Memory;
    Some(match instr.mnemonic() {
        M::Pcmpeqq => operation!(Wide, instr, integer::pcmpeqq),
        M::Pcmpgtq => operation!(Wide, instr, integer::pcmpgtq),
        M::Pminsb => operation!(Wide, instr, integer::pminsb),
        M::Pminsd => operation!(Wide, instr, integer::pminsd),
        M::Pminuw => operation!(Wide, instr, integer::pminuw),
        M::Pminud => operation!(Wide, instr, integer::pminud),
        M::Pmaxsb => operation!(Wide, instr, integer::pmaxsb),
        M::Pmaxsd => operation!(Wide, instr, integer::pmaxsd),
        M::Pmaxuw => operation!(Wide, instr, integer::pmaxuw),
        M::Pmaxud => operation!(Wide, instr, integer::pmaxud),
        M::Pmulld => operation!(Wide, instr, integer::pmulld),
        M::Pmuldq => operation!(Wide, instr, integer::pmuldq),
        M::Phaddw => operation!(Wide, instr, integer::phaddw),
        M::Phaddd => operation!(Wide, instr, integer::phaddd),
        M::Phaddsw => operation!(Wide, instr, integer::phaddsw),
        M::Phsubw => operation!(Wide, instr, integer::phsubw),
        M::Phsubd => operation!(Wide, instr, integer::phsubd),
        M::Phsubsw => operation!(Wide, instr, integer::phsubsw),
        M::Phminposuw => operation!(Wide, instr, integer::phminposuw),
        M::Mpsadbw => operation_imm!(Wide, instr, integer::mpsadbw),
        M::Pslldq => operation!(Wide, instr, shift::pslldq),
        M::Psrldq => operation!(Wide, instr, shift::psrldq),
        M::Andps | M::Andpd => operation!(Wide, instr, integer::pand),
        M::Andnps | M::Andnpd => operation!(Wide, instr, integer::pandn),
        M::Orps | M::Orpd => operation!(Wide, instr, integer::por),
        M::Xorps | M::Xorpd => operation!(Wide, instr, integer::pxor),
        M::Ptest if memory => ptest_memory,
        M::Ptest => ptest_register,
        _ => return None,
    })
}

fn shuffles(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let memory = instr.op_kind(1) == OpKind::Memory;
    Some(match instr.mnemonic() {
        M::Packsswb => operation!(Wide, instr, shuffle::packsswb),
        M::Packuswb => operation!(Wide, instr, shuffle::packuswb),
        M::Packssdw => operation!(Wide, instr, shuffle::packssdw),
        M::Packusdw => operation!(Wide, instr, shuffle::packusdw),
        M::Punpcklqdq => operation!(Wide, instr, shuffle::punpcklqdq),
        M::Punpckhbw => operation!(Wide, instr, shuffle::punpckhbw),
        M::Punpckhwd => operation!(Wide, instr, shuffle::punpckhwd),
        M::Punpckhdq => operation!(Wide, instr, shuffle::punpckhdq),
        M::Punpckhqdq => operation!(Wide, instr, shuffle::punpckhqdq),
        M::Pshufb => operation!(Wide, instr, shuffle::pshufb),
        M::Movshdup => operation!(Wide, instr, shuffle::movshdup),
        M::Movsldup => operation!(Wide, instr, shuffle::movsldup),
        M::Pshufd => operation_imm!(Wide, instr, shuffle::pshufd),
        M::Pshuflw => operation_imm!(Wide, instr, shuffle::pshuflw),
        M::Pshufhw => operation_imm!(Wide, instr, shuffle::pshufhw),
        M::Shufps => operation_imm!(Wide, instr, shuffle::shufps),
        M::Shufpd => operation_imm!(Wide, instr, shuffle::shufpd),
        M::Palignr => operation_imm!(Wide, instr, shuffle::palignr),
        M::Pblendw => operation_imm!(Wide, instr, shuffle::pblendw),
        M::Blendps => operation_imm!(Wide, instr, shuffle::blendps),
        M::Blendpd => operation_imm!(Wide, instr, shuffle::blendpd),
        M::Movddup => operation!(Narrow<u64>, instr, shuffle::movddup),
        M::Unpcklps => operation!(Wide, instr, shuffle::punpckldq),
        M::Unpckhps => operation!(Wide, instr, shuffle::punpckhdq),
        M::Unpcklpd => operation!(Wide, instr, shuffle::punpcklqdq),
        M::Unpckhpd => operation!(Wide, instr, shuffle::punpckhqdq),
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
        M::Pmovsxbw => operation!(Narrow<u64>, instr, shuffle::pmovsxbw),
        M::Pmovsxbd => operation!(Narrow<u32>, instr, shuffle::pmovsxbd),
        M::Pmovsxbq => operation!(Narrow<u16>, instr, shuffle::pmovsxbq),
        M::Pmovsxwd => operation!(Narrow<u64>, instr, shuffle::pmovsxwd),
        M::Pmovsxwq => operation!(Narrow<u32>, instr, shuffle::pmovsxwq),
        M::Pmovsxdq => operation!(Narrow<u64>, instr, shuffle::pmovsxdq),
        M::Pmovzxbw => operation!(Narrow<u64>, instr, shuffle::pmovzxbw),
        M::Pmovzxbd => operation!(Narrow<u32>, instr, shuffle::pmovzxbd),
        M::Pmovzxbq => operation!(Narrow<u16>, instr, shuffle::pmovzxbq),
        M::Pmovzxwd => operation!(Narrow<u64>, instr, shuffle::pmovzxwd),
        M::Pmovzxwq => operation!(Narrow<u32>, instr, shuffle::pmovzxwq),
        M::Pmovzxdq => operation!(Narrow<u64>, instr, shuffle::pmovzxdq),
        _ => return None,
    })
}
