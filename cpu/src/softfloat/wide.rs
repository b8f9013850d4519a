//! A floating-point number with a 128-bit significand: the working precision of the x87
//! transcendental instructions. Results are truncated or jammed, each within one unit of the last
//! of the 128 bits, which leaves some sixty guard bits above what a register keeps.

use super::round::{Exact, Parts, jam128};
use std::ops::{Add, Div, Mul, Sub};

/// `sig * 2^(exp - 127)`, with bit 127 of `sig` set; or zero when `sig` is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wide {
    pub sign: bool,
    pub exp: i32,
    pub sig: u128,
}

const TOP: u128 = 1 << 127;

impl Wide {
    pub const ZERO: Wide = Wide { sign: false, exp: 0, sig: 0 };
    pub const ONE: Wide = Wide { sign: false, exp: 0, sig: TOP };

    pub const fn positive(exp: i32, sig: u128) -> Wide {
        Wide { sign: false, exp, sig }
    }

    pub fn from_parts(x: Parts) -> Wide {
        Wide { sign: x.sign, exp: x.exp, sig: u128::from(x.sig) << 64 }
    }

    /// `value * 2^scale`.
    pub fn from_integer(sign: bool, value: u128, scale: i32) -> Wide {
        if value == 0 {
            return Wide::ZERO;
        }
        let shift = value.leading_zeros();
        Wide { sign, exp: scale + 127 - shift as i32, sig: value << shift }
    }

    /// For rounding a non-zero result that is known to be inexact.
    pub fn inexact(self) -> Exact {
        let rest = self.sig as u64 | 1;
        Exact { sign: self.sign, exp: self.exp, sig: (self.sig >> 64) as u64, rest }
    }

    pub fn negated(self) -> Wide {
        Wide { sign: !self.sign, ..self }
    }

    pub fn with_sign(self, sign: bool) -> Wide {
        Wide { sign, ..self }
    }

    /// `self / divisor`, for a small positive divisor.
    pub fn div_small(self, divisor: u64) -> Wide {
        Wide::from_integer(self.sign, self.sig / u128::from(divisor), self.exp - 127)
    }
}

impl Add for Wide {
    type Output = Wide;

    fn add(self, other: Wide) -> Wide {
        if self.sig == 0 {
            return other;
        }
        if other.sig == 0 {
            return self;
        }
        let swap = (other.exp, other.sig) > (self.exp, self.sig);
        let (big, small) = if swap { (other, self) } else { (self, other) };
        let aligned = jam128(small.sig, (big.exp - small.exp) as u32);
        if big.sign == small.sign {
            let (sum, carry) = big.sig.overflowing_add(aligned);
            let sig = if carry { TOP | jam128(sum, 1) } else { sum };
            return Wide { sign: big.sign, exp: big.exp + i32::from(carry), sig };
        }
        Wide::from_integer(big.sign, big.sig - aligned, big.exp - 127)
    }
}

impl Sub for Wide {
    type Output = Wide;

    fn sub(self, other: Wide) -> Wide {
        self.add(other.negated())
    }
}

impl Mul for Wide {
    type Output = Wide;

    fn mul(self, other: Wide) -> Wide {
        let product = high_product(self.sig, other.sig);
        let sign = self.sign != other.sign;
        // The product's leading bit is 127 or 126.
        scaled(sign, [self.exp, other.exp], product)
    }
}

impl Div for Wide {
    type Output = Wide;

    /// `self / other`, for a non-zero divisor: restoring division, one bit at a time.
    fn div(self, other: Wide) -> Wide {
        if self.sig == 0 {
            return Wide::ZERO;
        }
        let less = self.sig < other.sig;
        let mut rest = if less { self.sig } else { self.sig - other.sig };
        let mut sig = u128::from(!less);
        for _ in 0..127 + u32::from(less) {
            let over = rest & TOP != 0;
            rest <<= 1;
            let take = over || rest >= other.sig;
            if take {
                rest = rest.wrapping_sub(other.sig);
            }
            sig = sig << 1 | u128::from(take);
        }
        let exp = self.exp - other.exp - i32::from(less);
        Wide { sign: self.sign != other.sign, exp, sig }
    }
}

/// `value * 2^(sum of exponents - 126)`.
fn scaled(sign: bool, exponents: [i32; 2], value: u128) -> Wide {
    Wide::from_integer(sign, value, exponents.iter().sum::<i32>() - 126)
}

/// The upper half of the 256-bit product.
fn high_product(a: u128, b: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let middle = a1 * b0;
    let cross = a0 * b1;
    let carry = ((a0 * b0) >> 64) + (middle & LOW) + (cross & LOW);
    a1 * b1 + (middle >> 64) + (cross >> 64) + (carry >> 64)
}
