//! Conversions of the SSE instruction sets: between binary32 and binary64, and to and from
//! integers.

use super::round::Exact;
use super::sse::{Class, Format, class, daz, from_magnitude, integer_magnitude, is_signaling, pack, sign};
use super::{Flags, Mxcsr, Rounding};

/// CVTSS2SD and its kin.
#[inline]
pub fn widen(a: u32, mxcsr: Mxcsr, flags: &mut Flags) -> u64 {
    let exponent = a >> 23 & 0xFF;
    if exponent.wrapping_sub(1) < 0xFE {
        let magnitude = (u64::from(a & 0x7FFF_FFFF) << 29) + (896 << 52);
        return u64::from(a >> 31) << 63 | magnitude;
    }
    resize(a, mxcsr, flags)
}

/// CVTSD2SS and its kin.
#[inline]
pub fn narrow(a: u64, mxcsr: Mxcsr, flags: &mut Flags) -> u32 {
    if mxcsr.is_native_sticky() && a.is_plain() {
        let result = (f64::from_bits(a) as f32).to_bits();
        if result.is_safe() {
            return result;
        }
    }
    resize(a, mxcsr, flags)
}

fn resize<A: Format, B: Format>(a: A, mxcsr: Mxcsr, flags: &mut Flags) -> B {
    let a = daz(a, mxcsr);
    let negative = if sign(a) { B::SIGN } else { 0 };
    match class(a) {
        Class::Zero => B::from_bits(negative),
        Class::Infinity => B::from_bits(negative | B::INFINITY),
        Class::Nan => {
            *flags |= Flags::IE.when(is_signaling(a));
            let top = a.bits() << (64 - A::FRACTION);
            B::from_bits(negative | B::INFINITY | B::QUIET | top >> (64 - B::FRACTION))
        }
        Class::Finite(x, denormal) => {
            *flags |= Flags::DE.when(denormal);
            pack(Exact { sign: x.sign, exp: x.exp, sig: x.sig, rest: 0 }, mxcsr, flags)
        }
    }
}

#[inline]
fn from_integer<F: Format>(negative: bool, magnitude: u64, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    match from_magnitude(negative, magnitude) {
        Some(exact) => pack(exact, mxcsr, flags),
        None => F::from_bits(0),
    }
}

/// CVTSI2SS/SD and CVTDQ2PS.
#[inline]
pub fn from_i64<F: Format>(value: i64, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    // Exact, or inexact where that is moot.
    if value.unsigned_abs() >> (F::FRACTION + 1) == 0 || mxcsr.is_native_sticky() {
        return F::native_from_i64(value);
    }
    from_integer(value < 0, value.unsigned_abs(), mxcsr, flags)
}

/// VCVTUSI2SD and its kin.
#[inline]
pub fn from_u64<F: Format>(value: u64, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    from_integer(false, value, mxcsr, flags)
}

/// CVTDQ2PD: always exact.
#[inline(always)]
pub fn f64_from_i32(value: i32) -> u64 {
    f64::from(value).to_bits()
}

/// To a signed integer of `bits` (32 or 64), sign-extended; the integer indefinite with IE when it
/// does not fit.
#[inline]
pub fn to_signed<F: Format>(a: F, bits: u32, rounding: Rounding, mxcsr: Mxcsr, flags: &mut Flags) -> i64 {
    let indefinite = i64::MIN >> (64 - bits);
    if rounding == Rounding::Zero && a.is_plain() {
        let value = a.native_to_i64();
        // Inside the range by a margin.
        if (value.unsigned_abs() + 1) >> (bits - 1) == 0 {
            *flags |= Flags::PE
                .when(F::native_from_i64(value) & F::from_bits(!F::SIGN) != a & F::from_bits(!F::SIGN));
            return value;
        }
    }
    match class(daz(a, mxcsr)) {
        Class::Zero => 0,
        Class::Finite(x, _) if x.exp < bits as i32 => {
            let (magnitude, inexact, _, carry) = integer_magnitude(x, rounding);
            let limit = (1u64 << (bits - 1)) - u64::from(!x.sign);
            if carry || magnitude > limit {
                *flags |= Flags::IE;
                return indefinite;
            }
            *flags |= Flags::PE.when(inexact);
            if x.sign { (magnitude as i64).wrapping_neg() } else { magnitude as i64 }
        }
        _ => {
            *flags |= Flags::IE;
            indefinite
        }
    }
}
