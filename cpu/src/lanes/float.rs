//! Packed and scalar floating-point operations under MXCSR. An `Err` means that an unmasked exception was detected:
//! MXCSR holds the flags and the destination must stay.

use super::{Lane, host, integer, zip};
use crate::softfloat::sse::{self, Format};
use crate::softfloat::{Flags, Mxcsr, Relation, Rounding, Unmasked, sse_convert};

/// The outcome of an operation.
pub type Outcome<T = u128> = Result<T, Unmasked>;

/// Runs `f` with MXCSR and a place for flags, and commits the flags.
#[inline(always)]
pub fn under<T>(mxcsr: &mut Mxcsr, f: impl FnOnce(Mxcsr, &mut Flags) -> T) -> Outcome<T> {
    let mut flags = Flags::NONE;
    let result = f(*mxcsr, &mut flags);
    mxcsr.commit(flags)?;
    Ok(result)
}

/// An operation on each pair of elements.
#[inline(always)]
pub fn packed<F: Format + Lane<N>, const N: usize>(
    a: u128,
    b: u128,
    mxcsr: &mut Mxcsr,
    f: impl Fn(F, F, Mxcsr, &mut Flags) -> F,
) -> Outcome {
    under(mxcsr, |m, flags| zip(a, b, |x, y| f(x, y, m, flags)))
}

/// Whether the host's sum, difference, product or quotient is what [`sse`] gives, which then detects nothing but
/// perhaps inexactness. A result that is safe (and so no NaN or infinity) had no such operand, but for infinite
/// divisors, whose quotients are zero. So only denormals are left to look for.
#[inline(always)]
pub fn is_native<F: Format>(a: F, b: F, result: F) -> bool {
    result.is_safe() & !a.is_subnormal() & !b.is_subnormal()
}

/// An operation on the low elements; the others are those of `a`.
#[inline(always)]
pub fn scalar32(
    a: u128,
    b: u32,
    mxcsr: &mut Mxcsr,
    f: impl Fn(u32, u32, Mxcsr, &mut Flags) -> u32,
) -> Outcome {
    under(mxcsr, |m, flags| host::with_low_32(a, f(a as u32, b, m, flags)))
}

/// See [`scalar32`].
#[inline(always)]
pub fn scalar64(
    a: u128,
    b: u64,
    mxcsr: &mut Mxcsr,
    f: impl Fn(u64, u64, Mxcsr, &mut Flags) -> u64,
) -> Outcome {
    under(mxcsr, |m, flags| host::with_low_64(a, f(a as u64, b, m, flags)))
}

/// A square root with the shape of a binary operation: of the second operand.
#[inline(always)]
pub fn sqrt<F: Format>(_: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    sse::sqrt(b, mxcsr, flags)
}

/// CMPPS and CMPPD with predicate `imm`.
#[inline(always)]
pub fn mask<F: Format>(a: F, b: F, imm: u8, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    F::from_bits(if sse::predicate(a, b, imm, mxcsr, flags) { u64::MAX } else { 0 })
}

/// ADDSUBPS: differences in the even elements, sums in the odd ones.
pub fn addsubps(a: u128, b: u128, mxcsr: &mut Mxcsr) -> Outcome {
    under(mxcsr, |m, flags| {
        let (x, y): ([u32; 4], [u32; 4]) = (Lane::split(a), Lane::split(b));
        Lane::join([
            sse::sub(x[0], y[0], m, flags),
            sse::add(x[1], y[1], m, flags),
            sse::sub(x[2], y[2], m, flags),
            sse::add(x[3], y[3], m, flags),
        ])
    })
}

pub fn addsubpd(a: u128, b: u128, mxcsr: &mut Mxcsr) -> Outcome {
    under(mxcsr, |m, flags| {
        let (x, y): ([u64; 2], [u64; 2]) = (Lane::split(a), Lane::split(b));
        Lane::join([sse::sub(x[0], y[0], m, flags), sse::add(x[1], y[1], m, flags)])
    })
}

/// HADDPS and its kin.
#[inline(always)]
pub fn horizontal<F: Format + Lane<N>, const N: usize>(
    a: u128,
    b: u128,
    mxcsr: &mut Mxcsr,
    f: impl Fn(F, F, Mxcsr, &mut Flags) -> F,
) -> Outcome {
    under(mxcsr, |m, flags| integer::horizontal(a, b, |x, y| f(x, y, m, flags)))
}

/// DPPS: the products that `imm[7:4]` selects, summed pairwise, where `imm[3:0]` asks for the sum. Exceptions are
/// taken after each step, as if by its own instruction (SDM volume 2).
pub fn dpps(a: u128, b: u128, imm: u8, mxcsr: &mut Mxcsr) -> Outcome {
    let (x, y): ([u32; 4], [u32; 4]) = (Lane::split(a), Lane::split(b));
    let products = under(mxcsr, |m, flags| {
        std::array::from_fn::<u32, 4, _>(|i| {
            if imm >> (4 + i) & 1 != 0 { sse::mul(x[i], y[i], m, flags) } else { 0 }
        })
    })?;
    let pairs = under(mxcsr, |m, flags| {
        [sse::add(products[0], products[1], m, flags), sse::add(products[2], products[3], m, flags)]
    })?;
    let sum = under(mxcsr, |m, flags| sse::add(pairs[0], pairs[1], m, flags))?;
    Ok(Lane::join(std::array::from_fn::<u32, 4, _>(|i| if imm >> i & 1 != 0 { sum } else { 0 })))
}

pub fn dppd(a: u128, b: u128, imm: u8, mxcsr: &mut Mxcsr) -> Outcome {
    let (x, y): ([u64; 2], [u64; 2]) = (Lane::split(a), Lane::split(b));
    let products = under(mxcsr, |m, flags| {
        std::array::from_fn::<u64, 2, _>(|i| {
            if imm >> (4 + i) & 1 != 0 { sse::mul(x[i], y[i], m, flags) } else { 0 }
        })
    })?;
    let sum = under(mxcsr, |m, flags| sse::add(products[0], products[1], m, flags))?;
    Ok(Lane::join(std::array::from_fn::<u64, 2, _>(|i| if imm >> i & 1 != 0 { sum } else { 0 })))
}

/// ROUNDPS, ROUNDPD, ROUNDSS and ROUNDSD of one element; `imm` as in SDM table 4-24.
#[inline]
pub fn round<F: Format>(b: F, imm: u8, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    let rounding = if imm & 4 != 0 { mxcsr.rounding() } else { Rounding::from_field(imm.into()) };
    sse::round_to_integral(b, rounding, imm & 8 != 0, mxcsr, flags)
}

/// COMISS and COMISD (`quiet` is false), UCOMISS and UCOMISD.
#[inline(always)]
pub fn comis<F: Format>(a: F, b: F, quiet: bool, mxcsr: &mut Mxcsr) -> Outcome<Relation> {
    under(mxcsr, |m, flags| sse::compare(a, b, quiet, m, flags))
}

/// The rounding of a conversion to integers.
#[inline(always)]
fn rounding(truncate: bool, m: Mxcsr) -> Rounding {
    if truncate { Rounding::Zero } else { m.rounding() }
}

/// CVTSS2SI, CVTSD2SI and their truncating forms, to `bits` (32 or 64) bits.
#[inline]
pub fn to_integer<F: Format>(b: F, bits: u32, truncate: bool, mxcsr: &mut Mxcsr) -> Outcome<i64> {
    under(mxcsr, |m, flags| sse_convert::to_signed(b, bits, rounding(truncate, m), m, flags))
}

/// CVTSI2SS and CVTSI2SD.
#[inline]
pub fn from_integer<F: Format>(value: i64, mxcsr: &mut Mxcsr) -> Outcome<F> {
    under(mxcsr, |m, flags| sse_convert::from_i64(value, m, flags))
}

fn dword<F: Format>(x: F, truncate: bool, m: Mxcsr, flags: &mut Flags) -> i32 {
    sse_convert::to_signed(x, 32, rounding(truncate, m), m, flags) as i32
}

/// CVTPS2DQ and CVTTPS2DQ.
pub fn ps2dq(b: u128, truncate: bool, mxcsr: &mut Mxcsr) -> Outcome {
    under(mxcsr, |m, flags| zip(b, 0, |x: u32, _| dword(x, truncate, m, flags) as u32))
}

/// CVTPS2PI and CVTTPS2PI.
pub fn ps2pi(b: u64, truncate: bool, mxcsr: &mut Mxcsr) -> Outcome<u64> {
    under(mxcsr, |m, flags| {
        let low = dword(b as u32, truncate, m, flags) as u32;
        let high = dword((b >> 32) as u32, truncate, m, flags) as u32;
        u64::from(low) | u64::from(high) << 32
    })
}

/// CVTPD2DQ, CVTTPD2DQ, CVTPD2PI and CVTTPD2PI: two integers.
pub fn pd2dq(b: u128, truncate: bool, mxcsr: &mut Mxcsr) -> Outcome<u64> {
    under(mxcsr, |m, flags| {
        let low = dword(b as u64, truncate, m, flags) as u32;
        let high = dword((b >> 64) as u64, truncate, m, flags) as u32;
        u64::from(low) | u64::from(high) << 32
    })
}

/// CVTDQ2PS.
pub fn dq2ps(b: u128, mxcsr: &mut Mxcsr) -> Outcome {
    under(mxcsr, |m, flags| zip(b, 0, |x: u32, _| sse_convert::from_i64(i64::from(x as i32), m, flags)))
}

/// CVTPI2PS: two elements.
pub fn pi2ps(b: u64, mxcsr: &mut Mxcsr) -> Outcome<u64> {
    under(mxcsr, |m, flags| {
        let low: u32 = sse_convert::from_i64(i64::from(b as i32), m, flags);
        let high: u32 = sse_convert::from_i64(i64::from((b >> 32) as i32), m, flags);
        u64::from(low) | u64::from(high) << 32
    })
}

/// CVTDQ2PD and CVTPI2PD: exact.
pub fn dq2pd(b: u64) -> u128 {
    let low = sse_convert::f64_from_i32(b as i32);
    let high = sse_convert::f64_from_i32((b >> 32) as i32);
    u128::from(low) | u128::from(high) << 64
}

/// CVTPS2PD.
pub fn ps2pd(b: u64, mxcsr: &mut Mxcsr) -> Outcome {
    under(mxcsr, |m, flags| {
        let low = sse_convert::widen(b as u32, m, flags);
        let high = sse_convert::widen((b >> 32) as u32, m, flags);
        u128::from(low) | u128::from(high) << 64
    })
}

/// CVTPD2PS: two elements.
pub fn pd2ps(b: u128, mxcsr: &mut Mxcsr) -> Outcome<u64> {
    under(mxcsr, |m, flags| {
        let low = sse_convert::narrow(b as u64, m, flags);
        let high = sse_convert::narrow((b >> 64) as u64, m, flags);
        u64::from(low) | u64::from(high) << 32
    })
}
