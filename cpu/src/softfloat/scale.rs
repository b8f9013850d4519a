//! FSCALE and FXTRACT (SDM volume 2).

use super::Flags;
use super::f80::{BIAS, Env, F80};
use super::f80_arith::{nan1, nan2};
use super::f80_convert::from_i64;
use super::round::Exact;

/// FSCALE: `a * 2^trunc(b)`, not governed by precision control.
pub fn scale(a: F80, b: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(a, b, env) {
        return nan;
    }
    if b.is_infinity() {
        let invalid = if b.sign() { a.is_infinity() } else { a.is_zero() };
        if invalid {
            return env.invalid();
        }
        env.note_denormal(a);
        let zero = b.sign();
        return match zero {
            _ if env.stopped() => a,
            true => F80::zero(a.sign()),
            false => F80::infinity(a.sign()),
        };
    }
    env.note_denormal(a);
    env.note_denormal(b);
    if a.is_zero() || a.is_infinity() || env.stopped() {
        return a;
    }
    let power = if b.is_zero() { 0 } else { truncated(b) };
    let x = a.parts();
    let exact = Exact { sign: x.sign, exp: x.exp + power, sig: x.sig, rest: 0 };
    let mut wide = env.extended();
    let value = wide.pack_slow(exact);
    (env.flags, env.up) = (wide.flags, wide.up);
    value
}

/// `b` truncated to an integer and clamped to what suffices to leave every exponent range.
fn truncated(b: F80) -> i32 {
    let x = b.parts();
    let magnitude = match x.exp {
        ..0 => 0,
        0..=16 => (x.sig >> (63 - x.exp)) as i32,
        _ => 1 << 17,
    };
    if x.sign { -magnitude } else { magnitude }
}

/// FXTRACT: the exponent and the significand.
pub fn extract(a: F80, env: &mut Env) -> (F80, F80) {
    if let Some(nan) = nan1(a, env) {
        return (nan, nan);
    }
    if a.is_infinity() {
        return (F80::infinity(false), a);
    }
    if a.is_zero() {
        env.flags |= Flags::ZE;
        return (F80::infinity(true), a);
    }
    env.note_denormal(a);
    let x = a.parts();
    (from_i64(x.exp.into()), F80::new(x.sign, BIAS as u16, x.sig))
}
