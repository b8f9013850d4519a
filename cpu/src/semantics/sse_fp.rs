//! SSE, SSE2, SSE3 and SSE4.1 floating-point instructions (SDM volume 1, chapters 10 to 12).

use super::vector::{
    Element, FloatOperation, MemorySource, Narrow, Source, Wide, XmmSource, mmx_ready, operation, pick_float,
    set_xmm, sse_ready, under_mxcsr, xmm,
};
use crate::exec::{Cx, Exec, Handler, Insn};
use crate::flags::bit;
use crate::lanes::float::{self, Outcome};
use crate::lanes::host::{self, Vector};
use crate::lanes::{approximate, map};
use crate::softfloat::{Mxcsr, Relation, Unmasked, sse, sse_convert};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

const LOW_32: u128 = u32::MAX as u128;
const LOW_64: u128 = u64::MAX as u128;

/// The handler for a function of destination, source, immediate and MXCSR, with a memory operand of type `$element`.
macro_rules! floating {
    ($element:ty, $instr:expr, $function:expr) => {{
        struct Chosen;
        impl FloatOperation for Chosen {
            #[inline(always)]
            fn apply(a: u128, b: u128, imm: u8, mxcsr: &mut Mxcsr) -> Result<u128, Unmasked> {
                let function: fn(u128, u128, u8, &mut Mxcsr) -> Result<u128, Unmasked> = $function;
                function(a, b, imm, mxcsr)
            }
        }
        pick_float::<Chosen, $element>($instr)
    }};
}

/// The same for arithmetic that has a native form, for when inexactness has been recorded already.
macro_rules! arithmetic {
    ($instr:expr, $element:ty, $native:path, |$a:ident, $b:ident, $m:ident| $function:expr) => {{
        struct Chosen;
        impl FloatOperation for Chosen {
            #[inline(always)]
            fn native(a: u128, b: u128, mxcsr: Mxcsr) -> Option<u128> {
                if mxcsr.is_native_sticky() { $native(a, b) } else { None }
            }
            #[inline(always)]
            fn apply($a: u128, $b: u128, _: u8, $m: &mut Mxcsr) -> Result<u128, Unmasked> {
                $function
            }
        }
        pick_float::<Chosen, $element>($instr)
    }};
}

/// The handler of an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    packed(instr)
        .or_else(|| scalar(instr))
        .or_else(|| comparisons(instr))
        .or_else(|| horizontal(instr))
        .or_else(|| vector_conversions(instr))
        .or_else(|| scalar_conversions(instr))
        .or_else(|| mmx_conversions(instr))
        .or_else(|| approximations(instr))
}

fn packed(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Addps => arithmetic!(instr, Vector, host::native_addps, |a, b, m| float::packed::<u32, 4>(
            a,
            b,
            m,
            sse::add
        )),
        M::Addpd => arithmetic!(instr, Vector, host::native_addpd, |a, b, m| float::packed::<u64, 2>(
            a,
            b,
            m,
            sse::add
        )),
        M::Subps => arithmetic!(instr, Vector, host::native_subps, |a, b, m| float::packed::<u32, 4>(
            a,
            b,
            m,
            sse::sub
        )),
        M::Subpd => arithmetic!(instr, Vector, host::native_subpd, |a, b, m| float::packed::<u64, 2>(
            a,
            b,
            m,
            sse::sub
        )),
        M::Mulps => arithmetic!(instr, Vector, host::native_mulps, |a, b, m| float::packed::<u32, 4>(
            a,
            b,
            m,
            sse::mul
        )),
        M::Mulpd => arithmetic!(instr, Vector, host::native_mulpd, |a, b, m| float::packed::<u64, 2>(
            a,
            b,
            m,
            sse::mul
        )),
        M::Divps => arithmetic!(instr, Vector, host::native_divps, |a, b, m| float::packed::<u32, 4>(
            a,
            b,
            m,
            sse::div
        )),
        M::Divpd => arithmetic!(instr, Vector, host::native_divpd, |a, b, m| float::packed::<u64, 2>(
            a,
            b,
            m,
            sse::div
        )),
        M::Minps => floating!(Vector, instr, |a, b, _, m| float::packed::<u32, 4>(a, b, m, sse::min)),
        M::Minpd => floating!(Vector, instr, |a, b, _, m| float::packed::<u64, 2>(a, b, m, sse::min)),
        M::Maxps => floating!(Vector, instr, |a, b, _, m| float::packed::<u32, 4>(a, b, m, sse::max)),
        M::Maxpd => floating!(Vector, instr, |a, b, _, m| float::packed::<u64, 2>(a, b, m, sse::max)),
        M::Sqrtps => floating!(Vector, instr, |a, b, _, m| float::packed::<u32, 4>(a, b, m, float::sqrt)),
        M::Sqrtpd => floating!(Vector, instr, |a, b, _, m| float::packed::<u64, 2>(a, b, m, float::sqrt)),
        M::Roundps => floating!(Vector, instr, |a, b, imm, m| {
            float::packed::<u32, 4>(a, b, m, |_, y, m, flags| float::round(y, imm, m, flags))
        }),
        M::Roundpd => floating!(Vector, instr, |a, b, imm, m| {
            float::packed::<u64, 2>(a, b, m, |_, y, m, flags| float::round(y, imm, m, flags))
        }),
        _ => return None,
    })
}

fn scalar(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Addss => {
            arithmetic!(instr, u32, host::native_addss, |a, b, m| float::scalar32(a, b as u32, m, sse::add))
        }
        M::Addsd => {
            arithmetic!(instr, u64, host::native_addsd, |a, b, m| float::scalar64(a, b as u64, m, sse::add))
        }
        M::Subss => {
            arithmetic!(instr, u32, host::native_subss, |a, b, m| float::scalar32(a, b as u32, m, sse::sub))
        }
        M::Subsd => {
            arithmetic!(instr, u64, host::native_subsd, |a, b, m| float::scalar64(a, b as u64, m, sse::sub))
        }
        M::Mulss => {
            arithmetic!(instr, u32, host::native_mulss, |a, b, m| float::scalar32(a, b as u32, m, sse::mul))
        }
        M::Mulsd => {
            arithmetic!(instr, u64, host::native_mulsd, |a, b, m| float::scalar64(a, b as u64, m, sse::mul))
        }
        M::Divss => {
            arithmetic!(instr, u32, host::native_divss, |a, b, m| float::scalar32(a, b as u32, m, sse::div))
        }
        M::Divsd => {
            arithmetic!(instr, u64, host::native_divsd, |a, b, m| float::scalar64(a, b as u64, m, sse::div))
        }
        M::Minss => floating!(u32, instr, |a, b, _, m| float::scalar32(a, b as u32, m, sse::min)),
        M::Minsd => floating!(u64, instr, |a, b, _, m| float::scalar64(a, b as u64, m, sse::min)),
        M::Maxss => floating!(u32, instr, |a, b, _, m| float::scalar32(a, b as u32, m, sse::max)),
        M::Maxsd => floating!(u64, instr, |a, b, _, m| float::scalar64(a, b as u64, m, sse::max)),
        M::Sqrtss => arithmetic!(instr, u32, host::native_sqrtss, |a, b, m| float::scalar32(
            a,
            b as u32,
            m,
            float::sqrt
        )),
        M::Sqrtsd => arithmetic!(instr, u64, host::native_sqrtsd, |a, b, m| float::scalar64(
            a,
            b as u64,
            m,
            float::sqrt
        )),
        M::Roundss => floating!(u32, instr, |a, b, imm, m| {
            float::scalar32(a, b as u32, m, |_, y, m, flags| float::round(y, imm, m, flags))
        }),
        M::Roundsd => floating!(u64, instr, |a, b, imm, m| {
            float::scalar64(a, b as u64, m, |_, y, m, flags| float::round(y, imm, m, flags))
        }),
        _ => return None,
    })
}

fn comparisons(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let memory = instr.op_kind(1) == OpKind::Memory;
    Some(match instr.mnemonic() {
        M::Cmpps => floating!(Vector, instr, |a, b, imm, m| {
            float::packed::<u32, 4>(a, b, m, |x, y, m, flags| float::mask(x, y, imm & 7, m, flags))
        }),
        M::Cmppd => floating!(Vector, instr, |a, b, imm, m| {
            float::packed::<u64, 2>(a, b, m, |x, y, m, flags| float::mask(x, y, imm & 7, m, flags))
        }),
        M::Cmpss => floating!(u32, instr, |a, b, imm, m| {
            float::scalar32(a, b as u32, m, |x, y, m, flags| float::mask(x, y, imm & 7, m, flags))
        }),
        // The string instruction shares the mnemonic.
        M::Cmpsd if instr.code() == Code::Cmpsd_xmm_xmmm64_imm8 => floating!(u64, instr, |a, b, imm, m| {
            float::scalar64(a, b as u64, m, |x, y, m, flags| float::mask(x, y, imm & 7, m, flags))
        }),
        M::Comiss if memory => comis::<u32, MemorySource<u32>, false>,
        M::Comiss => comis::<u32, XmmSource, false>,
        M::Ucomiss if memory => comis::<u32, MemorySource<u32>, true>,
        M::Ucomiss => comis::<u32, XmmSource, true>,
        M::Comisd if memory => comis::<u64, MemorySource<u64>, false>,
        M::Comisd => comis::<u64, XmmSource, false>,
        M::Ucomisd if memory => comis::<u64, MemorySource<u64>, true>,
        M::Ucomisd => comis::<u64, XmmSource, true>,
        _ => return None,
    })
}

/// COMISS, UCOMISS, COMISD, UCOMISD.
fn comis<F: sse::Format + Element, S: Source, const QUIET: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let b = F::narrowed(S::load(cx, i)?);
    let a = F::narrowed(xmm(cx, i.reg));
    // No exception can be detected, whatever MXCSR says.
    if a.is_plain() && b.is_plain() {
        let (below, equal) = a.native_compare(b);
        cx.cpu.flags.set_arithmetic((u64::from(below) * bit::CF) | (u64::from(equal) * bit::ZF));
        return Ok(());
    }
    let relation = under_mxcsr(cx, |m| float::comis(a, b, QUIET, m))?;
    cx.cpu.flags.set_arithmetic(relation_flags(relation));
    Ok(())
}

/// ZF, PF and CF of COMISS and FCOMI; the other arithmetic flags are zero.
pub fn relation_flags(relation: Relation) -> u64 {
    match relation {
        Relation::Less => bit::CF,
        Relation::Equal => bit::ZF,
        Relation::Greater => 0,
        Relation::Unordered => bit::ZF | bit::PF | bit::CF,
    }
}

fn horizontal(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Addsubps => floating!(Vector, instr, |a, b, _, m| float::addsubps(a, b, m)),
        M::Addsubpd => floating!(Vector, instr, |a, b, _, m| float::addsubpd(a, b, m)),
        M::Haddps => floating!(Vector, instr, |a, b, _, m| float::horizontal::<u32, 4>(a, b, m, sse::add)),
        M::Haddpd => floating!(Vector, instr, |a, b, _, m| float::horizontal::<u64, 2>(a, b, m, sse::add)),
        M::Hsubps => floating!(Vector, instr, |a, b, _, m| float::horizontal::<u32, 4>(a, b, m, sse::sub)),
        M::Hsubpd => floating!(Vector, instr, |a, b, _, m| float::horizontal::<u64, 2>(a, b, m, sse::sub)),
        M::Dpps => floating!(Vector, instr, float::dpps),
        M::Dppd => floating!(Vector, instr, float::dppd),
        _ => return None,
    })
}

fn vector_conversions(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Cvtps2dq => floating!(Vector, instr, |_, b, _, m| float::ps2dq(b, false, m)),
        M::Cvttps2dq => floating!(Vector, instr, |_, b, _, m| float::ps2dq(b, true, m)),
        M::Cvtdq2ps => floating!(Vector, instr, |_, b, _, m| float::dq2ps(b, m)),
        M::Cvtdq2pd => floating!(u64, instr, |_, b, _, _| Ok(float::dq2pd(b as u64))),
        M::Cvtpd2dq => floating!(Vector, instr, |_, b, _, m| float::pd2dq(b, false, m).map(u128::from)),
        M::Cvttpd2dq => floating!(Vector, instr, |_, b, _, m| float::pd2dq(b, true, m).map(u128::from)),
        M::Cvtps2pd => floating!(u64, instr, |_, b, _, m| float::ps2pd(b as u64, m)),
        M::Cvtpd2ps => floating!(Vector, instr, |_, b, _, m| float::pd2ps(b, m).map(u128::from)),
        M::Cvtss2sd => floating!(u32, instr, |a, b, _, m| {
            float::under(m, |m, flags| a & !LOW_64 | u128::from(sse_convert::widen(b as u32, m, flags)))
        }),
        M::Cvtsd2ss => floating!(u64, instr, |a, b, _, m| {
            float::under(m, |m, flags| a & !LOW_32 | u128::from(sse_convert::narrow(b as u64, m, flags)))
        }),
        _ => return None,
    })
}

/// CVTSI2SS and CVTSI2SD. `W` is the integer's width.
fn from_integer<F: sse::Format + Element, W: crate::exec::Width, const MEMORY: bool>(
    cx: &mut Cx,
    i: &Insn,
) -> Exec {
    sse_ready(cx)?;
    let raw = if MEMORY { cx.read::<W>(i)?.to_u64() } else { cx.get::<W>(i.rm).to_u64() };
    let value = if W::BITS == 32 { i64::from(raw as i32) } else { raw as i64 };
    let result: F = under_mxcsr(cx, |m| float::from_integer(value, m))?;
    let merged = result.merged(xmm(cx, i.reg));
    set_xmm(cx, i.reg, merged);
    Ok(())
}

/// CVTSS2SI, CVTSD2SI and the truncating forms.
fn to_integer<F: sse::Format + Element, W: crate::exec::Width, S: Source, const TRUNCATE: bool>(
    cx: &mut Cx,
    i: &Insn,
) -> Exec {
    sse_ready(cx)?;
    let source = F::narrowed(S::load(cx, i)?);
    let value = under_mxcsr(cx, |m| float::to_integer(source, W::BITS, TRUNCATE, m))?;
    cx.put(i.reg, W::from_u64(value as u64));
    Ok(())
}

fn pick_from<F: sse::Format + Element>(instr: &Instruction) -> Handler {
    let memory = instr.op_kind(1) == OpKind::Memory;
    let wide = matches!(instr.code(), Code::Cvtsi2ss_xmm_rm64 | Code::Cvtsi2sd_xmm_rm64);
    match (wide, memory) {
        (false, false) => from_integer::<F, u32, false>,
        (false, true) => from_integer::<F, u32, true>,
        (true, false) => from_integer::<F, u64, false>,
        (true, true) => from_integer::<F, u64, true>,
    }
}

fn pick_to<F: sse::Format + Element, const TRUNCATE: bool>(instr: &Instruction) -> Handler {
    let memory = instr.op_kind(1) == OpKind::Memory;
    match (instr.op_register(0).is_gpr64(), memory) {
        (false, false) => to_integer::<F, u32, XmmSource, TRUNCATE>,
        (false, true) => to_integer::<F, u32, MemorySource<F>, TRUNCATE>,
        (true, false) => to_integer::<F, u64, XmmSource, TRUNCATE>,
        (true, true) => to_integer::<F, u64, MemorySource<F>, TRUNCATE>,
    }
}

fn scalar_conversions(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Cvtsi2ss => pick_from::<u32>(instr),
        M::Cvtsi2sd => pick_from::<u64>(instr),
        M::Cvtss2si => pick_to::<u32, false>(instr),
        M::Cvttss2si => pick_to::<u32, true>(instr),
        M::Cvtsd2si => pick_to::<u64, false>(instr),
        M::Cvttsd2si => pick_to::<u64, true>(instr),
        _ => return None,
    })
}

/// CVTPS2PI and its kin: from `S` to an MMX register.
fn to_mm<S: Source>(cx: &mut Cx, i: &Insn, convert: impl FnOnce(u128, &mut Mxcsr) -> Outcome<u64>) -> Exec {
    sse_ready(cx)?;
    mmx_ready(cx)?;
    let source = S::load(cx, i)?;
    let value = under_mxcsr(cx, |m| convert(source, m))?;
    cx.cpu.x87.enter_mmx();
    cx.cpu.x87.set_mm(i.reg, value);
    Ok(())
}

fn ps2pi<S: Source, const TRUNCATE: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    to_mm::<S>(cx, i, |b, m| float::ps2pi(b as u64, TRUNCATE, m))
}

fn pd2pi<S: Source, const TRUNCATE: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    to_mm::<S>(cx, i, |b, m| float::pd2dq(b, TRUNCATE, m))
}

/// The MMX register or memory operand of CVTPI2PS and CVTPI2PD. Only CVTPI2PS enters MMX state for memory, too.
fn from_mm<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Result<u64, crate::exec::Fault> {
    sse_ready(cx)?;
    if MEMORY {
        return cx.read::<u64>(i);
    }
    mmx_ready(cx)?;
    Ok(cx.cpu.x87.mm(i.rm))
}

fn pi2ps<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    if MEMORY {
        mmx_ready(cx)?;
    }
    let source = from_mm::<MEMORY>(cx, i)?;
    let value = under_mxcsr(cx, |m| float::pi2ps(source, m))?;
    cx.cpu.x87.enter_mmx();
    let merged = xmm(cx, i.reg) & !LOW_64 | u128::from(value);
    set_xmm(cx, i.reg, merged);
    Ok(())
}

fn pi2pd<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let source = from_mm::<MEMORY>(cx, i)?;
    if !MEMORY {
        cx.cpu.x87.enter_mmx();
    }
    set_xmm(cx, i.reg, float::dq2pd(source));
    Ok(())
}

fn mmx_conversions(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let memory = instr.op_kind(1) == OpKind::Memory;
    Some(match (instr.mnemonic(), memory) {
        (M::Cvtps2pi, false) => ps2pi::<XmmSource, false>,
        (M::Cvtps2pi, true) => ps2pi::<MemorySource<u64>, false>,
        (M::Cvttps2pi, false) => ps2pi::<XmmSource, true>,
        (M::Cvttps2pi, true) => ps2pi::<MemorySource<u64>, true>,
        (M::Cvtpd2pi, false) => pd2pi::<XmmSource, false>,
        (M::Cvtpd2pi, true) => pd2pi::<MemorySource<Vector>, false>,
        (M::Cvttpd2pi, false) => pd2pi::<XmmSource, true>,
        (M::Cvttpd2pi, true) => pd2pi::<MemorySource<Vector>, true>,
        (M::Cvtpi2ps, false) => pi2ps::<false>,
        (M::Cvtpi2ps, true) => pi2ps::<true>,
        (M::Cvtpi2pd, false) => pi2pd::<false>,
        (M::Cvtpi2pd, true) => pi2pd::<true>,
        _ => return None,
    })
}

/// Replaces the low element of `a` by a function of that of `b`.
#[inline(always)]
fn low(a: u128, b: u128, f: fn(u32) -> u32) -> u128 {
    a & !LOW_32 | u128::from(f(b as u32))
}

fn approximations(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Rcpps => operation!(Wide, instr, |_, b| map(b, approximate::reciprocal)),
        M::Rsqrtps => operation!(Wide, instr, |_, b| map(b, approximate::reciprocal_sqrt)),
        M::Rcpss => operation!(Narrow<u32>, instr, |a, b| low(a, b, approximate::reciprocal)),
        M::Rsqrtss => operation!(Narrow<u32>, instr, |a, b| low(a, b, approximate::reciprocal_sqrt)),
        _ => return None,
    })
}
