//! x87 addition, multiplication, division, square root, comparison and rounding to an integer.

use super::f80::{BIAS, Class, Env, F80, INTEGER_BIT};
use super::kernel;
use super::round::Exact;
use super::sse::{from_magnitude, integer_magnitude};
use super::{Flags, Relation, Rounding};

#[inline(always)]
fn exact(a: F80) -> Exact {
    let p = a.parts();
    Exact { sign: p.sign, exp: p.exp, sig: p.sig, rest: 0 }
}

/// The result when an operand is unsupported or a NaN: of two NaNs a quiet one before a signaling
/// one, then the larger significand, then the positive one (SDM volume 1, table 4-7).
pub fn nan2(a: F80, b: F80, env: &mut Env) -> Option<F80> {
    let (ca, cb) = (a.class(), b.class());
    if ca == Class::Unsupported || cb == Class::Unsupported {
        return Some(env.invalid());
    }
    if !a.is_nan() && !b.is_nan() {
        return None;
    }
    let signaling = |c| c == Class::SignalingNan;
    env.flags |= Flags::IE.when(signaling(ca) || signaling(cb));
    let chosen = if !b.is_nan() {
        a
    } else if !a.is_nan() {
        b
    } else if signaling(ca) != signaling(cb) {
        if signaling(ca) { b } else { a }
    } else if a.mantissa != b.mantissa {
        if a.mantissa > b.mantissa { a } else { b }
    } else if a.sign() {
        b
    } else {
        a
    };
    Some(chosen.quieted())
}

/// [`nan2`] for one operand.
pub fn nan1(a: F80, env: &mut Env) -> Option<F80> {
    match a.class() {
        Class::Unsupported => Some(env.invalid()),
        Class::QuietNan => Some(a),
        Class::SignalingNan => {
            env.flags |= Flags::IE;
            Some(a.quieted())
        }
        _ => None,
    }
}

/// A result under the control word's usual setting (rounding to nearest, full precision, all exceptions masked),
/// whether it is inexact, and whether its magnitude was rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quick {
    pub value: F80,
    pub inexact: bool,
    pub up: bool,
}

/// Rounds a result that is far from the ends of the exponent range.
#[inline(always)]
fn quick(x: Exact) -> Option<Quick> {
    if (x.exp + BIAS - 2) as u32 > 0x7FFA {
        return None;
    }
    let up = x.rest > INTEGER_BIT || (x.rest == INTEGER_BIT && x.sig & 1 != 0);
    let (sig, carry) = x.sig.overflowing_add(u64::from(up));
    let biased = (x.exp + BIAS + i32::from(carry)) as u16;
    let value = F80::new(x.sign, biased, sig | u64::from(carry) << 63);
    Some(Quick { value, inexact: x.rest != 0, up })
}

/// The sum of two normal numbers, unless it is one of the rarer cases.
#[inline(always)]
pub fn quick_add(a: F80, b: F80) -> Option<Quick> {
    let (a, b) = if b.biased() > a.biased() { (b, a) } else { (a, b) };
    let count = u32::from(a.biased() - b.biased());
    if count > 63 {
        return None;
    }
    let (exp, small, rest) =
        (i32::from(a.biased()) - BIAS, b.mantissa >> count, b.mantissa << 1 << (63 - count));
    if a.sign() == b.sign() {
        let (sum, carry) = a.mantissa.overflowing_add(small);
        if carry {
            let jammed = sum << 63 | rest >> 1 | rest & 1;
            return quick(Exact { sign: a.sign(), exp: exp + 1, sig: sum >> 1 | INTEGER_BIT, rest: jammed });
        }
        return quick(Exact { sign: a.sign(), exp, sig: sum, rest });
    }
    let (rest, borrow) = 0u64.overflowing_sub(rest);
    let (difference, less) = a.mantissa.overflowing_sub(small);
    // Nothing can be borrowed from equal exponents, the only ones whose significands stand in either order.
    let (difference, sign) = if less {
        (difference.wrapping_neg(), b.sign())
    } else {
        (difference.wrapping_sub(u64::from(borrow)), a.sign())
    };
    if difference == 0 {
        return if rest == 0 { Some(Quick { value: F80::ZERO, inexact: false, up: false }) } else { None };
    }
    let shift = difference.leading_zeros();
    let sig = difference << shift | rest >> 1 >> (63 - shift);
    quick(Exact { sign, exp: exp - shift as i32, sig, rest: rest << shift })
}

/// The product of two normal numbers, unless it is one of the rarer cases.
#[inline(always)]
pub fn quick_mul(a: F80, b: F80) -> Option<Quick> {
    quick(kernel::mul(a.normal_parts(), b.normal_parts()))
}

/// The quotient of two normal numbers, unless it is one of the rarer cases.
#[inline(always)]
pub fn quick_div(a: F80, b: F80) -> Option<Quick> {
    quick(kernel::div(a.normal_parts(), b.normal_parts()))
}

#[inline(always)]
pub fn add(a: F80, b: F80, env: &mut Env) -> F80 {
    if a.is_normal() && b.is_normal() {
        return match kernel::add(a.normal_parts(), b.normal_parts()) {
            Some(x) => env.pack(x),
            None => F80::zero(env.rounding == Rounding::Down),
        };
    }
    sum_special(a, b, false, env)
}

/// `a - b`.
#[inline(always)]
pub fn sub(a: F80, b: F80, env: &mut Env) -> F80 {
    if a.is_normal() && b.is_normal() {
        return add(a, b.negated(), env);
    }
    sum_special(a, b, true, env)
}

#[inline(never)]
fn sum_special(a: F80, b: F80, negate: bool, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(a, b, env) {
        return nan;
    }
    let b = if negate { b.negated() } else { b };
    if a.is_infinity() && b.is_infinity() && a.sign() != b.sign() {
        return env.invalid();
    }
    env.note_denormal(a);
    env.note_denormal(b);
    if a.is_infinity() || env.stopped() {
        return a;
    }
    let down = env.rounding == Rounding::Down;
    match (a.is_zero(), b.is_zero()) {
        _ if b.is_infinity() => b,
        (true, true) if a.sign() != b.sign() => F80::zero(down),
        (true, true) => a,
        (true, false) => env.pack_slow(exact(b)),
        (false, true) => env.pack_slow(exact(a)),
        (false, false) => match kernel::add(a.parts(), b.parts()) {
            Some(x) => env.pack_slow(x),
            None => F80::zero(down),
        },
    }
}

#[inline(always)]
pub fn mul(a: F80, b: F80, env: &mut Env) -> F80 {
    if a.is_normal() && b.is_normal() {
        return env.pack(kernel::mul(a.normal_parts(), b.normal_parts()));
    }
    mul_special(a, b, env)
}

#[inline(never)]
fn mul_special(a: F80, b: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(a, b, env) {
        return nan;
    }
    if (a.is_infinity() && b.is_zero()) || (a.is_zero() && b.is_infinity()) {
        return env.invalid();
    }
    env.note_denormal(a);
    env.note_denormal(b);
    let sign = a.sign() != b.sign();
    if env.stopped() {
        a
    } else if a.is_infinity() || b.is_infinity() {
        F80::infinity(sign)
    } else if a.is_zero() || b.is_zero() {
        F80::zero(sign)
    } else {
        env.pack_slow(kernel::mul(a.parts(), b.parts()))
    }
}

/// `a / b`.
#[inline(always)]
pub fn div(a: F80, b: F80, env: &mut Env) -> F80 {
    if a.is_normal() && b.is_normal() {
        return env.pack(kernel::div(a.normal_parts(), b.normal_parts()));
    }
    div_special(a, b, env)
}

#[inline(never)]
fn div_special(a: F80, b: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(a, b, env) {
        return nan;
    }
    if (a.is_infinity() && b.is_infinity()) || (a.is_zero() && b.is_zero()) {
        return env.invalid();
    }
    let sign = a.sign() != b.sign();
    if b.is_zero() && !a.is_infinity() {
        env.flags |= Flags::ZE;
        return F80::infinity(sign);
    }
    env.note_denormal(a);
    env.note_denormal(b);
    if env.stopped() {
        a
    } else if a.is_infinity() {
        F80::infinity(sign)
    } else if b.is_infinity() || a.is_zero() {
        F80::zero(sign)
    } else {
        env.pack_slow(kernel::div(a.parts(), b.parts()))
    }
}

/// FSQRT.
pub fn sqrt(a: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan1(a, env) {
        return nan;
    }
    if a.is_zero() {
        return a;
    }
    if a.sign() {
        return env.invalid();
    }
    env.note_denormal(a);
    if a.is_infinity() || env.stopped() {
        return a;
    }
    env.pack(kernel::sqrt(a.parts()))
}

/// FCOM and FUCOM: an unordered pair is invalid unless `quiet` and without an SNaN.
#[inline]
pub fn compare(a: F80, b: F80, quiet: bool, env: &mut Env) -> Relation {
    if a.is_normal() && b.is_normal() && a.sign() == b.sign() {
        let magnitudes = (a.biased(), a.mantissa).cmp(&(b.biased(), b.mantissa));
        return match if a.sign() { magnitudes.reverse() } else { magnitudes } {
            std::cmp::Ordering::Less => Relation::Less,
            std::cmp::Ordering::Equal => Relation::Equal,
            std::cmp::Ordering::Greater => Relation::Greater,
        };
    }
    let (ca, cb) = (a.class(), b.class());
    let unsupported = ca == Class::Unsupported || cb == Class::Unsupported;
    if unsupported || a.is_nan() || b.is_nan() {
        let signaling = ca == Class::SignalingNan || cb == Class::SignalingNan;
        env.flags |= Flags::IE.when(unsupported || signaling || !quiet);
        return Relation::Unordered;
    }
    env.note_denormal(a);
    env.note_denormal(b);
    if a.is_zero() && b.is_zero() {
        return Relation::Equal;
    }
    // A pseudo-denormal equals the normal number with exponent 1.
    let key = |x: F80| {
        let pseudo = x.biased() == 0 && x.mantissa >> 63 != 0;
        let magnitude = i128::from(x.biased() | u16::from(pseudo)) << 64 | i128::from(x.mantissa);
        if x.sign() { -magnitude } else { magnitude }
    };
    match key(a).cmp(&key(b)) {
        std::cmp::Ordering::Less => Relation::Less,
        std::cmp::Ordering::Equal => Relation::Equal,
        std::cmp::Ordering::Greater => Relation::Greater,
    }
}

/// FRNDINT.
pub fn round_to_integral(a: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan1(a, env) {
        return nan;
    }
    env.note_denormal(a);
    if a.is_zero() || a.is_infinity() || env.stopped() {
        return a;
    }
    let x = a.parts();
    if x.exp >= 63 {
        return a;
    }
    let (magnitude, inexact, up, carry) = integer_magnitude(x, env.rounding);
    env.flags |= Flags::PE.when(inexact);
    env.up = up;
    debug_assert!(!carry, "a number below 2^63 rounds to at most 2^63");
    match from_magnitude(x.sign, magnitude) {
        Some(x) => F80::new(x.sign, (x.exp + BIAS) as u16, x.sig),
        None => F80::zero(x.sign),
    }
}
