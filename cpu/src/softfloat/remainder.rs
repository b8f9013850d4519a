//! FPREM and FPREM1 (SDM volume 2).

use super::f80::{Env, F80};
use super::f80_arith::nan2;
use super::round::{Exact, Parts};

/// A partial remainder: the value, the low three bits of the quotient, and whether the reduction
/// is incomplete (C2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remainder {
    pub value: F80,
    pub quotient: u8,
    pub partial: bool,
}

/// `a mod b`; `nearest` (FPREM1) rounds the quotient to nearest instead of truncating it.
pub fn remainder(a: F80, b: F80, nearest: bool, env: &mut Env) -> Remainder {
    let done = |value| Remainder { value, quotient: 0, partial: false };
    if let Some(nan) = nan2(a, b, env) {
        return done(nan);
    }
    if a.is_infinity() || b.is_zero() {
        return done(env.invalid());
    }
    env.note_denormal(a);
    env.note_denormal(b);
    if a.is_zero() || env.stopped() {
        return done(a);
    }
    let wide = &mut Env { bits: 64, ..*env };
    let result = if b.is_infinity() {
        done(pack(wide, a.parts()))
    } else {
        reduce(a.parts(), b.parts(), nearest, wide)
    };
    env.flags = wide.flags;
    env.up = false;
    result
}

fn pack(env: &mut Env, x: Parts) -> F80 {
    env.pack_slow(Exact { sign: x.sign, exp: x.exp, sig: x.sig, rest: 0 })
}

fn reduce(a: Parts, b: Parts, nearest: bool, env: &mut Env) -> Remainder {
    let difference = a.exp - b.exp;
    if difference < -1 || (difference < 0 && !nearest) {
        return Remainder { value: pack(env, a), quotient: 0, partial: false };
    }
    // Below 64 the reduction is complete; otherwise it takes 32 to 63 off the difference.
    let partial = difference >= 64;
    let steps = if partial { (difference & 31) | 32 } else { difference };
    let (mut quotient, mut rest) = (0u64, u128::from(a.sig));
    let divisor = u128::from(b.sig);
    let mut exp = a.exp - difference.max(0);
    if partial {
        exp = a.exp - steps;
        rest %= divisor;
    }
    if difference < 0 {
        // a is below b but may be above its half: compare at a's scale.
        return round_quotient(a, u128::from(a.sig), divisor << 1, 0, a.exp, env);
    }
    if !partial && rest >= divisor {
        quotient = 1;
        rest -= divisor;
    }
    for _ in 0..steps {
        rest <<= 1;
        quotient <<= 1;
        if rest >= divisor {
            rest -= divisor;
            quotient |= 1;
        }
    }
    if nearest && !partial {
        return round_quotient(a, rest, divisor, quotient, exp, env);
    }
    let quotient = if partial { 0 } else { quotient };
    finish(a.sign, rest, exp, quotient, partial, env)
}

/// Takes one more `divisor` off when the remainder is above half of it, or at half with an odd
/// quotient.
fn round_quotient(a: Parts, rest: u128, divisor: u128, quotient: u64, exp: i32, env: &mut Env) -> Remainder {
    let twice = rest << 1;
    if twice > divisor || (twice == divisor && quotient & 1 != 0) {
        let quotient = quotient.wrapping_add(1);
        return finish(!a.sign, divisor - rest, exp, quotient, false, env);
    }
    finish(a.sign, rest, exp, quotient, false, env)
}

fn finish(sign: bool, rest: u128, exp: i32, quotient: u64, partial: bool, env: &mut Env) -> Remainder {
    let quotient = quotient as u8 & 7;
    if rest == 0 {
        return Remainder { value: F80::zero(sign), quotient, partial };
    }
    let x = super::kernel::normalise(sign, exp + 64, rest);
    Remainder { value: env.pack_slow(x), quotient, partial }
}
