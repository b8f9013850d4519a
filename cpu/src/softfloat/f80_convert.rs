//! Conversions between the x87 register format and memory formats.

use super::f80::{Class, Env, F80, INTEGER_BIT, QUIET_BIT};
use super::round::{Exact, finish};
use super::sse::{Class as SseClass, Format, class, from_magnitude, integer_magnitude};
use super::{Flags, f80};

/// A normal number: exact, and nothing to detect.
#[inline(always)]
fn from_normal<F: Format>(a: F) -> Option<F80> {
    let exponent = a.bits() >> F::FRACTION & F::EXP_MAX;
    if exponent.wrapping_sub(1) >= F::EXP_MAX - 1 {
        return None;
    }
    let biased = (exponent as i32 - F::BIAS + f80::BIAS) as u16;
    let sign = a.bits() & F::SIGN != 0;
    Some(F80::new(sign, biased, INTEGER_BIT | a.bits() << (63 - F::FRACTION) & !INTEGER_BIT))
}

/// FLD m32fp and m64fp, and memory operands of arithmetic: exact. An SNaN becomes quiet with IE; a
/// denormal is noted.
#[inline(always)]
pub fn from_format<F: Format>(a: F, env: &mut Env) -> F80 {
    if let Some(value) = from_normal(a) {
        return value;
    }
    from_special(a, env)
}

#[inline(never)]
fn from_special<F: Format>(a: F, env: &mut Env) -> F80 {
    let sign = a.bits() & F::SIGN != 0;
    match class(a) {
        SseClass::Zero => F80::zero(sign),
        SseClass::Infinity => F80::infinity(sign),
        SseClass::Nan => {
            env.flags |= Flags::IE.when(a.bits() & F::QUIET == 0);
            let fraction = a.bits() << (64 - F::FRACTION) >> 1;
            F80::new(sign, 0x7FFF, INTEGER_BIT | QUIET_BIT | fraction)
        }
        SseClass::Finite(x, denormal) => {
            env.flags |= Flags::DE.when(denormal);
            F80::new(sign, (x.exp + f80::BIAS) as u16, x.sig)
        }
    }
}

/// A memory operand of arithmetic, kept signaling so that the operation itself sees the SNaN.
#[inline(always)]
pub fn operand<F: Format>(a: F, env: &mut Env) -> F80 {
    if let Some(value) = from_normal(a) {
        return value;
    }
    let before = env.flags;
    let value = from_special(a, env);
    let nan = a.bits() & !F::SIGN > F::INFINITY;
    if nan && a.bits() & F::QUIET == 0 {
        env.flags = before;
        return F80 { mantissa: value.mantissa & !QUIET_BIT, ..value };
    }
    value
}

/// [`to_format`] of a normal number in the range of `F`, to nearest: the bits, whether they are inexact, and whether
/// the magnitude was rounded up.
#[inline(always)]
pub fn quick_to_format<F: Format>(a: F80) -> Option<(F, bool, bool)> {
    let exponent = i32::from(a.biased()) - f80::BIAS + F::BIAS;
    // Not where rounding up could overflow.
    if a.mantissa & INTEGER_BIT == 0 || (exponent - 1) as u32 >= F::EXP_MAX as u32 - 2 {
        return None;
    }
    let drop = 63 - F::FRACTION;
    let (kept, tail) = (a.mantissa >> drop, a.mantissa << (64 - drop));
    let up = tail > INTEGER_BIT || (tail == INTEGER_BIT && kept & 1 != 0);
    // The integer bit adds one to the exponent, and so does a carry.
    let magnitude = ((exponent as u64 - 1) << F::FRACTION) + kept + u64::from(up);
    let sign = if a.sign() { F::SIGN } else { 0 };
    Some((F::from_bits(sign | magnitude), tail != 0, up))
}

/// FST m32fp and m64fp.
pub fn to_format<F: Format>(a: F80, env: &mut Env) -> F {
    let sign = if a.sign() { F::SIGN } else { 0 };
    match a.class() {
        Class::Zero => F::from_bits(sign),
        Class::Infinity => F::from_bits(sign | F::INFINITY),
        Class::Unsupported => {
            env.flags |= Flags::IE;
            F::from_bits(F::INDEFINITE)
        }
        class @ (Class::QuietNan | Class::SignalingNan) => {
            env.flags |= Flags::IE.when(class == Class::SignalingNan);
            let fraction = a.mantissa << 1 >> (64 - F::FRACTION);
            F::from_bits(sign | F::INFINITY | F::QUIET | fraction)
        }
        Class::Normal | Class::Denormal => {
            let x = a.parts();
            let exact = Exact { sign: x.sign, exp: x.exp, sig: x.sig, rest: 0 };
            let done = finish(exact, F::TARGET, env.rules());
            let range = done.flags & !env.masks & (Flags::OE | Flags::UE);
            if !range.is_empty() {
                // Nothing is stored, nor has anything been rounded (SDM volume 1, 8.5.4).
                env.flags |= range;
                return F::from_bits(0);
            }
            env.flags |= done.flags;
            env.up = done.up;
            if done.infinite {
                return F::from_bits(sign | F::INFINITY);
            }
            let exponent = if done.sig >> 63 == 0 { 0 } else { (done.exp + F::BIAS) as u64 };
            let fraction = done.sig << 1 >> (64 - F::FRACTION);
            F::from_bits(sign | (exponent & F::EXP_MAX) << F::FRACTION | fraction)
        }
    }
}

/// FILD: exact.
#[inline]
pub fn from_i64(value: i64) -> F80 {
    match from_magnitude(value < 0, value.unsigned_abs()) {
        Some(x) => F80::new(x.sign, (x.exp + f80::BIAS) as u16, x.sig),
        None => F80::ZERO,
    }
}

/// FIST to an integer of `bits` (16, 32 or 64), sign-extended; the integer indefinite with IE when
/// it does not fit. The caller chooses `env.rounding` (FISTTP truncates).
#[inline]
pub fn to_integer(a: F80, bits: u32, env: &mut Env) -> i64 {
    let indefinite = i64::MIN >> (64 - bits);
    match a.class() {
        Class::Zero => return 0,
        Class::Normal | Class::Denormal => {}
        _ => {
            env.flags |= Flags::IE;
            return indefinite;
        }
    }
    let x = a.parts();
    if x.exp >= bits as i32 {
        env.flags |= Flags::IE;
        return indefinite;
    }
    let (magnitude, inexact, up, carry) = integer_magnitude(x, env.rounding);
    if carry || magnitude > (1u64 << (bits - 1)) - u64::from(!x.sign) {
        env.flags |= Flags::IE;
        return indefinite;
    }
    env.flags |= Flags::PE.when(inexact);
    env.up = up;
    if x.sign { (magnitude as i64).wrapping_neg() } else { magnitude as i64 }
}
