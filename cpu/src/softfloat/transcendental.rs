//! F2XM1, FYL2X, FYL2XP1, FPTAN, FPATAN, FSIN, FCOS and FSINCOS (SDM volume 1, 8.3.7 to 8.3.10).
//!
//! The functions are evaluated to more than a hundred bits by power series and rounded once, so the
//! result is the correctly rounded one but for a rare half-way case: within the manual's 1 ulp, and
//! the same on every host. The trigonometric instructions reduce their argument by the 66-bit value
//! of pi of Intel's processors (8.3.8), exactly; larger magnitudes than 2^63 set C2 and do nothing.
//! Precision control does not apply; rounding control does.

use super::f80::{Class, Env, F80};
use super::f80_arith::{nan1, nan2};
use super::round::{Exact, Parts};
use super::wide::Wide;
use super::{Flags, kernel};
use std::ops::{Add, Div, Mul, Sub};

const PI: Wide = Wide::positive(1, 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1);
const HALF_PI: Wide = Wide::positive(0, 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1);
const LN_2: Wide = Wide::positive(-1, 0xB172_17F7_D1CF_79AB_C9E3_B398_03F2_F6AF);
const TWO_LOG2_E: Wide = Wide::positive(1, 0xB8AA_3B29_5C17_F0BB_BE87_FED0_691D_3E88);
/// atan(k / 16), k = 1..=16.
const ATAN: [Wide; 16] = [
    Wide::positive(-5, 0xFFAA_DDB9_67EF_4E36_CB27_92DC_0E2E_0D51),
    Wide::positive(-4, 0xFEAD_D4D5_617B_6E32_C897_989F_3E88_8EF7),
    Wide::positive(-3, 0xBDCB_DA5E_72D8_1134_7B0B_4F88_1C9C_7487),
    Wide::positive(-3, 0xFADB_AFC9_6406_EB15_6DC7_9EF5_F7A2_17E5),
    Wide::positive(-2, 0x9B13_B9B8_3F5E_5E69_C5AB_B498_D27A_F328),
    Wide::positive(-2, 0xB7B0_CA0F_26F7_8473_8AA3_2122_DCFE_4483),
    Wide::positive(-2, 0xD327_761E_611F_E5B6_427C_95E9_001E_7136),
    Wide::positive(-2, 0xED63_382B_0DDA_7B45_6FE4_45EC_BC3A_8D03),
    Wide::positive(-1, 0x832B_F4A6_D986_7E2A_4B6A_09CB_61A5_15C0),
    Wide::positive(-1, 0x8F00_5D5E_F7F5_9F9B_5C83_5E16_65C4_3747),
    Wide::positive(-1, 0x9A2F_80E6_71BD_DA20_4226_F8E2_204F_F3BC),
    Wide::positive(-1, 0xA4BC_7D19_34F7_0924_19A8_7F2A_457D_AC9E),
    Wide::positive(-1, 0xAEAC_4C38_B4D8_C080_1472_5E2F_3E52_070A),
    Wide::positive(-1, 0xB805_3E2B_C231_9E73_CB2D_A552_10A4_443D),
    Wide::positive(-1, 0xC0CE_85B8_AC52_6640_89DD_62C4_6E92_FA24),
    Wide::positive(-1, 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1),
];
/// pi to 66 bits, in units of 2^-64; half of it, in units of 2^-65.
const PI_66: u128 = 0x3_243F_6A88_85A3_08D3;

/// A result of the trigonometric instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trig {
    Done(F80),
    /// The operand is out of range: C2 is set and it stays.
    OutOfRange,
}

fn round(x: Wide, env: &mut Env) -> F80 {
    pack(x.inexact(), env)
}

fn pack(x: Exact, env: &mut Env) -> F80 {
    let mut wide = env.extended();
    let value = wide.pack(x);
    (env.flags, env.up) = (wide.flags, wide.up);
    value
}

/// F2XM1. Outside of -1..=1, where the manual leaves the result undefined, the operand stays.
pub fn f2xm1(a: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan1(a, env) {
        return nan;
    }
    if a.is_infinity() {
        return if a.sign() { F80::ONE.negated() } else { a };
    }
    env.note_denormal(a);
    if a.is_zero() || env.stopped() {
        return a;
    }
    let x = a.parts();
    if x.exp >= 0 {
        let one = x.exp == 0 && x.sig == 1 << 63;
        return match (one, x.sign) {
            (true, true) => F80::new(true, 0x3FFE, 1 << 63),
            _ => a,
        };
    }
    round(exp_minus_1(Wide::from_parts(x).mul(LN_2)), env)
}

/// `e^y - 1` for |y| < 0.7: y (1 + y/2 (1 + y/3 (...))).
fn exp_minus_1(y: Wide) -> Wide {
    let series = (2..=28).rev().fold(Wide::ONE, |sum, n| Wide::ONE.add(y.mul(sum).div_small(n)));
    y.mul(series)
}

/// `2 atanh(z) / (2 ln 2)` for |z| < 0.18, times two over ln 2: the binary logarithm of
/// (1 + z) / (1 - z).
fn log2_ratio(z: Wide) -> Wide {
    let square = z.mul(z);
    let series =
        (0..=24).rev().fold(Wide::ZERO, |sum, n| Wide::ONE.div_small(2 * n + 1).add(square.mul(sum)));
    z.mul(series).mul(TWO_LOG2_E)
}

/// FYL2X: `y * log2(x)`.
pub fn fyl2x(x: F80, y: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(x, y, env) {
        return nan;
    }
    if x.sign() && !x.is_zero() {
        return env.invalid();
    }
    if let Some(special) = fyl2x_special(x, y, env) {
        return special;
    }
    env.note_denormal(x);
    env.note_denormal(y);
    if env.stopped() {
        return y;
    }
    let p = x.parts();
    // The significand in [sqrt(1/2), sqrt(2)), so that no cancellation follows.
    let high = p.sig > 0xB504_F333_F9DE_6484;
    let k = p.exp + i32::from(high);
    let m = Wide { sign: false, exp: -i32::from(high), sig: u128::from(p.sig) << 64 };
    let whole = Wide::from_integer(k < 0, k.unsigned_abs().into(), 0);
    if p.sig == 1 << 63 {
        return exact_product(whole, y, env);
    }
    let z = m.sub(Wide::ONE).div(m.add(Wide::ONE));
    let logarithm = whole.add(log2_ratio(z));
    round(logarithm.mul(Wide::from_parts(y.parts())), env)
}

/// `y` times a logarithm that is an integer.
fn exact_product(k: Wide, y: F80, env: &mut Env) -> F80 {
    if k.sig == 0 {
        return F80::zero(y.sign());
    }
    let k = Parts { sign: k.sign, exp: k.exp, sig: (k.sig >> 64) as u64 };
    pack(kernel::mul(k, y.parts()), env)
}

/// The zeros and infinities of FYL2X; `x` is not negative.
fn fyl2x_special(x: F80, y: F80, env: &mut Env) -> Option<F80> {
    let one = x.is_normal() && x.biased() == 0x3FFF && x.mantissa == 1 << 63;
    // The sign of log2(x).
    let below_one = x.biased() < 0x3FFF;
    match (x.class(), y.class()) {
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Zero) => Some(env.invalid()),
        (Class::Infinity, _) => {
            env.note_denormal(y);
            Some(F80::infinity(y.sign()))
        }
        (Class::Zero, Class::Infinity) => Some(F80::infinity(!y.sign())),
        (Class::Zero, _) => {
            env.flags |= Flags::ZE;
            Some(F80::infinity(!y.sign()))
        }
        (_, Class::Infinity) if one => Some(env.invalid()),
        (_, Class::Infinity) => {
            env.note_denormal(x);
            Some(F80::infinity(y.sign() != below_one))
        }
        (_, Class::Zero) => {
            env.note_denormal(x);
            Some(F80::zero(y.sign() != below_one))
        }
        _ => None,
    }
}

/// FYL2XP1: `y * log2(x + 1)`, defined for |x| up to 1 - sqrt(1/2). Beyond that, down to -1 where
/// the operand `y` stays, it is computed all the same.
pub fn fyl2xp1(x: F80, y: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(x, y, env) {
        return nan;
    }
    let negative = x.sign() != y.sign();
    match (x.class(), y.class()) {
        (Class::Infinity, _) if x.sign() => return env.invalid(),
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity) => return env.invalid(),
        (Class::Infinity, _) | (_, Class::Infinity) => {
            env.note_denormal(x);
            env.note_denormal(y);
            return F80::infinity(negative);
        }
        (Class::Zero, _) | (_, Class::Zero) => {
            env.note_denormal(x);
            env.note_denormal(y);
            return F80::zero(negative);
        }
        _ => {}
    }
    env.note_denormal(x);
    env.note_denormal(y);
    if env.stopped() || (x.sign() && x.biased() >= 0x3FFF) {
        return y;
    }
    let wide = Wide::from_parts(x.parts());
    let logarithm = if wide.exp < -1 {
        let two = Wide { exp: 1, ..Wide::ONE };
        log2_ratio(wide.div(two.add(wide)))
    } else {
        log2(Wide::ONE.add(wide))
    };
    round(logarithm.mul(Wide::from_parts(y.parts())), env)
}

/// The binary logarithm of a positive number.
fn log2(x: Wide) -> Wide {
    let high = x.sig >> 64 > 0xB504_F333_F9DE_6484;
    let k = x.exp + i32::from(high);
    let m = Wide { exp: -i32::from(high), ..x };
    let z = m.sub(Wide::ONE).div(m.add(Wide::ONE));
    Wide::from_integer(k < 0, k.unsigned_abs().into(), 0).add(log2_ratio(z))
}

/// FPATAN: the angle of the point (x, y), in -pi..=pi.
pub fn fpatan(y: F80, x: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(y, x, env) {
        return nan;
    }
    env.note_denormal(y);
    env.note_denormal(x);
    if env.stopped() {
        return y;
    }
    let sign = y.sign();
    let angle = match (y.class(), x.class()) {
        (Class::Infinity, Class::Infinity) if x.sign() => {
            let quarter = Wide { exp: HALF_PI.exp - 1, ..HALF_PI };
            HALF_PI.add(quarter)
        }
        (Class::Infinity, Class::Infinity) => Wide { exp: HALF_PI.exp - 1, ..HALF_PI },
        (Class::Infinity, _) => HALF_PI,
        (_, Class::Infinity) | (Class::Zero, _) if x.sign() => PI,
        (_, Class::Infinity) | (Class::Zero, _) => return F80::zero(sign),
        (_, Class::Zero) => HALF_PI,
        _ => return angle(y, x, env),
    };
    round(angle.with_sign(sign), env)
}

fn angle(y: F80, x: F80, env: &mut Env) -> F80 {
    let (wy, wx) = (Wide::from_parts(y.parts()), Wide::from_parts(x.parts()));
    let (wy, wx) = (wy.with_sign(false), wx.with_sign(false));
    let steep = (wy.exp, wy.sig) > (wx.exp, wx.sig);
    if !steep && !x.sign() && wy.sig % wx.sig == 0 && wy.exp - wx.exp < -70 {
        return tiny_angle(y, x, env);
    }
    let first = if steep { atan_ratio(wx, wy) } else { atan_ratio(wy, wx) };
    let first = if steep { HALF_PI.sub(first) } else { first };
    let result = if x.sign() { PI.sub(first) } else { first };
    round(result.with_sign(y.sign()), env)
}

/// The angle when the ratio is exact and so small that the angle is just below it.
fn tiny_angle(y: F80, x: F80, env: &mut Env) -> F80 {
    let ratio = kernel::div(y.parts(), x.parts());
    let below = Wide { sign: ratio.sign, exp: ratio.exp, sig: u128::from(ratio.sig) << 64 };
    let small = Wide { exp: below.exp - 127, ..Wide::ONE }.with_sign(below.sign);
    round(below.sub(small), env)
}

/// atan(y / x) for 0 < y <= x: the nearest sixteenth's angle and a series for what is left.
fn atan_ratio(y: Wide, x: Wide) -> Wide {
    let k = nearest_sixteenth(y, x);
    if k == 0 {
        return atan_series(y.div(x));
    }
    let c = Wide::from_integer(false, k as u128, -4);
    let rest = y.sub(x.mul(c)).div(x.add(y.mul(c)));
    ATAN[k - 1].add(atan_series(rest))
}

/// `16 y / x`, rounded.
fn nearest_sixteenth(y: Wide, x: Wide) -> usize {
    let down = (x.exp - y.exp) as u32;
    if down > 8 {
        return 0;
    }
    let (numerator, denominator) = ((y.sig >> 72) >> down, x.sig >> 72);
    ((32 * numerator + denominator) / (2 * denominator)).min(16) as usize
}

/// atan(u) for |u| up to 1/30.
fn atan_series(u: Wide) -> Wide {
    let square = u.mul(u);
    let series =
        (0..=13).rev().fold(Wide::ZERO, |sum, n| Wide::ONE.div_small(2 * n + 1).sub(square.mul(sum)));
    u.mul(series)
}

/// `a` less the nearest multiple of half the 66-bit pi, and that multiple modulo 4.
fn reduce(a: Parts) -> (Wide, u8) {
    if a.exp < -2 {
        return (Wide::from_parts(a), 0);
    }
    let (mut rest, mut quotient) = (u128::from(a.sig), 0u8);
    for _ in 0..a.exp + 2 {
        rest <<= 1;
        quotient <<= 1;
        if rest >= PI_66 {
            rest -= PI_66;
            quotient |= 1;
        }
    }
    let over = rest << 1 > PI_66;
    if over {
        rest = PI_66 - rest;
        quotient = quotient.wrapping_add(1);
    }
    // Of a negative angle, both the remainder and the quotient are negative.
    let quotient = if a.sign { quotient.wrapping_neg() } else { quotient };
    (Wide::from_integer(a.sign != over, rest, -65), quotient & 3)
}

fn sin_series(r: Wide) -> Wide {
    let square = r.mul(r);
    let series = (1..=14)
        .rev()
        .fold(Wide::ONE, |sum, n| Wide::ONE.sub(square.mul(sum).div_small(2 * n * (2 * n + 1))));
    if r.exp < -66 {
        // The series is 1 to 128 bits; the sine is just below its argument.
        return r.sub(Wide { sign: r.sign, exp: r.exp - 127, sig: TOP_BIT });
    }
    r.mul(series)
}

const TOP_BIT: u128 = 1 << 127;

fn cos_series(r: Wide) -> Wide {
    let square = r.mul(r);
    (1..=14).rev().fold(Wide::ONE, |sum, n| Wide::ONE.sub(square.mul(sum).div_small(2 * n * (2 * n - 1))))
}

fn sine_of(r: Wide, quadrant: u8) -> Wide {
    let value = if quadrant & 1 != 0 { cos_series(r) } else { sin_series(r) };
    if quadrant & 2 != 0 { value.negated() } else { value }
}

/// What the trigonometric instructions share: NaN, infinity and range. `Err` is the answer.
fn prepare(a: F80, env: &mut Env) -> Result<Parts, Trig> {
    if let Some(nan) = nan1(a, env) {
        return Err(Trig::Done(nan));
    }
    if a.is_infinity() {
        return Err(Trig::Done(env.invalid()));
    }
    env.note_denormal(a);
    if a.is_zero() || env.stopped() {
        return Err(Trig::Done(a));
    }
    let x = a.parts();
    if x.exp >= 63 { Err(Trig::OutOfRange) } else { Ok(x) }
}

/// FSIN.
pub fn fsin(a: F80, env: &mut Env) -> Trig {
    match prepare(a, env) {
        Err(answer) => answer,
        Ok(x) => {
            let (r, quadrant) = reduce(x);
            Trig::Done(round(sine_of(r, quadrant), env))
        }
    }
}

/// FCOS.
pub fn fcos(a: F80, env: &mut Env) -> Trig {
    match prepare(a, env) {
        Err(Trig::Done(zero)) if zero.is_zero() && !env.stopped() => Trig::Done(F80::ONE),
        Err(answer) => answer,
        Ok(x) => {
            let (r, quadrant) = reduce(x);
            Trig::Done(round(sine_of(r, quadrant.wrapping_add(1)), env))
        }
    }
}

/// FPTAN, without the push of 1.0.
pub fn fptan(a: F80, env: &mut Env) -> Trig {
    match prepare(a, env) {
        Err(answer) => answer,
        Ok(x) => {
            let (r, quadrant) = reduce(x);
            let value = if r.exp < -66 && quadrant & 1 == 0 {
                // Just above its argument.
                r
            } else {
                sine_of(r, quadrant).div(sine_of(r, quadrant.wrapping_add(1)))
            };
            Trig::Done(round(value, env))
        }
    }
}
