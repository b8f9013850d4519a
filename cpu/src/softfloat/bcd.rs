//! Packed BCD (SDM volume 1, 4.7): eighteen digits and a sign.

use super::f80::{Env, F80};
use super::f80_convert::from_i64;
use super::{Flags, f80_convert};

/// The packed BCD integer indefinite.
pub const INDEFINITE: u128 = 0xFFFF_C000_0000_0000_0000;

const LIMIT: u64 = 1_000_000_000_000_000_000;

/// FBLD. Digits above 9 are undefined by the manual; each counts as its value here.
pub fn load(bits: u128) -> F80 {
    let magnitude = (0..18)
        .rev()
        .fold(0u64, |sum, digit| sum.wrapping_mul(10).wrapping_add((bits >> (4 * digit)) as u64 & 15));
    let value = from_i64(magnitude as i64);
    if bits >> 79 & 1 != 0 { value.negated() } else { value }
}

/// FBSTP.
pub fn store(a: F80, env: &mut Env) -> u128 {
    let before = *env;
    let value = f80_convert::to_integer(a, 64, env);
    let mut magnitude = value.unsigned_abs();
    if env.flags.contains(Flags::IE) || magnitude >= LIMIT {
        *env = before;
        env.flags |= Flags::IE;
        return INDEFINITE;
    }
    let mut bits = u128::from(a.sign()) << 79;
    for digit in 0..18 {
        bits |= u128::from(magnitude % 10) << (4 * digit);
        magnitude /= 10;
    }
    bits
}
