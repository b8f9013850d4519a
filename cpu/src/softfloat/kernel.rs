//! Arithmetic on finite, non-zero numbers, exact but for a jammed last bit.

use super::round::{Exact, Parts};

/// The exact form of the non-zero `value * 2^(exp - 127)`.
#[inline(always)]
pub fn normalise(sign: bool, exp: i32, value: u128) -> Exact {
    let shift = value.leading_zeros();
    let value = value << shift;
    Exact { sign, exp: exp - shift as i32, sig: (value >> 64) as u64, rest: value as u64 }
}

/// `a + b`, or `None` for an exact zero.
#[inline(always)]
pub fn add(a: Parts, b: Parts) -> Option<Exact> {
    let swap = b.exp > a.exp || (b.exp == a.exp && b.sig > a.sig);
    let (a, b) = if swap { (b, a) } else { (a, b) };
    let (small, rest) = align(b.sig, (a.exp - b.exp) as u32);
    if a.sign == b.sign {
        let (sum, carry) = a.sig.overflowing_add(small);
        if !carry {
            return Some(Exact { sign: a.sign, exp: a.exp, sig: sum, rest });
        }
        let jammed = sum << 63 | rest >> 1 | rest & 1;
        return Some(Exact { sign: a.sign, exp: a.exp + 1, sig: sum >> 1 | 1 << 63, rest: jammed });
    }
    let (rest, borrow) = 0u64.overflowing_sub(rest);
    let difference = a.sig - small - u64::from(borrow);
    if difference >> 63 != 0 {
        return Some(Exact { sign: a.sign, exp: a.exp, sig: difference, rest });
    }
    if difference | rest == 0 {
        return None;
    }
    Some(normalise(a.sign, a.exp, u128::from(difference) << 64 | u128::from(rest)))
}

/// `sig >> count`, and what falls out, jammed beyond 64 bits.
#[inline(always)]
fn align(sig: u64, count: u32) -> (u64, u64) {
    match count {
        0 => (sig, 0),
        1..=63 => (sig >> count, sig << (64 - count)),
        64 => (0, sig),
        // `sig` has its top bit set, so something always falls out below.
        65..=126 => (0, sig >> (count - 64) | 1),
        _ => (0, 1),
    }
}

#[inline(always)]
pub fn mul(a: Parts, b: Parts) -> Exact {
    let product = u128::from(a.sig) * u128::from(b.sig);
    let high = product >> 127 != 0;
    let product = if high { product } else { product << 1 };
    Exact {
        sign: a.sign != b.sign,
        exp: a.exp + b.exp + i32::from(high),
        sig: (product >> 64) as u64,
        rest: product as u64,
    }
}

/// `(high:low) / divisor` and the remainder, for `high < divisor` and bit 63 of `divisor` set: two
/// digits of 32 bits, each estimated from the divisor's upper half and corrected at most twice.
#[inline]
pub fn divide_in_digits(high: u64, low: u64, divisor: u64) -> (u64, u64) {
    let (upper, lower) = (divisor >> 32, divisor & 0xFFFF_FFFF);
    let digit = |remainder: u64, next: u64| -> (u64, u64) {
        let mut q = remainder / upper;
        let mut rest = remainder % upper;
        while q >> 32 != 0 || q * lower > (rest << 32 | next) {
            q -= 1;
            rest += upper;
            if rest >> 32 != 0 {
                break;
            }
        }
        let left = (remainder << 32 | next).wrapping_sub(q.wrapping_mul(divisor));
        (q, left)
    };
    let (q1, remainder) = digit(high, low >> 32);
    let (q0, remainder) = digit(remainder, low & 0xFFFF_FFFF);
    (q1 << 32 | q0, remainder)
}

/// [`divide_in_digits`] by the host's instruction.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
#[inline(always)]
pub fn divide_128_by_64(high: u64, low: u64, divisor: u64) -> (u64, u64) {
    // It would fault: also where the callers' care fails.
    if high >= divisor {
        return divide_in_digits(high, low, divisor);
    }
    let (quotient, remainder);
    // SAFETY: it works on registers only, and the quotient fits, as `high` is less than the divisor.
    unsafe {
        std::arch::asm!(
            "div {}", in(reg) divisor, inout("rax") low => quotient, inout("rdx") high => remainder,
            options(pure, nomem, nostack),
        );
    }
    (quotient, remainder)
}

#[cfg(not(target_arch = "x86_64"))]
pub use divide_in_digits as divide_128_by_64;

/// The tail that stands for a remainder of `divisor`: exact in its order against zero and half.
#[inline(always)]
fn tail(remainder: u64, divisor: u64) -> u64 {
    if remainder == 0 {
        return 0;
    }
    let other = divisor - remainder;
    match remainder.cmp(&other) {
        std::cmp::Ordering::Less => 1,
        std::cmp::Ordering::Equal => 1 << 63,
        std::cmp::Ordering::Greater => 1 << 63 | 1,
    }
}

#[inline(always)]
pub fn div(a: Parts, b: Parts) -> Exact {
    let less = a.sig < b.sig;
    let (high, low) = if less { (a.sig, 0) } else { (a.sig >> 1, a.sig << 63) };
    let (sig, remainder) = divide_128_by_64(high, low, b.sig);
    Exact { sign: a.sign != b.sign, exp: a.exp - b.exp - i32::from(less), sig, rest: tail(remainder, b.sig) }
}

/// The square root of a positive number.
#[inline]
pub fn sqrt(a: Parts) -> Exact {
    // An even exponent: the radicand is in [2^126, 2^128), its root in [2^63, 2^64).
    let odd = a.exp & 1 != 0;
    let radicand = u128::from(a.sig) << if odd { 64 } else { 63 };
    let root = root128(radicand);
    let remainder = radicand - u128::from(root) * u128::from(root);
    // (root + 1/2)^2 = root^2 + root + 1/4 is never hit exactly.
    let rest = if remainder == 0 {
        0
    } else if remainder <= u128::from(root) {
        1
    } else {
        1 << 63 | 1
    };
    Exact { sign: false, exp: a.exp >> 1, sig: root, rest }
}

/// The integer square root of a number in [2^126, 2^128): the host's correctly rounded binary64
/// root, one Newton step, and a correction.
fn root128(n: u128) -> u64 {
    let estimate = ((n >> 64) as u64 as f64).sqrt() * 4_294_967_296.0;
    let guess = if estimate >= 18_446_744_073_709_549_568.0 {
        u64::MAX - 2047
    } else {
        (estimate as u64).max(1 << 63)
    };
    let high = (n >> 64) as u64;
    let quotient = if high >= guess { u64::MAX } else { divide_128_by_64(high, n as u64, guess).0 };
    let mut root = ((u128::from(guess) + u128::from(quotient)) >> 1) as u64;
    while u128::from(root) * u128::from(root) > n {
        root -= 1;
    }
    while root < u64::MAX && u128::from(root + 1) * u128::from(root + 1) <= n {
        root += 1;
    }
    root
}

#[cfg(test)]
#[test]
fn both_divisions_agree() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        let value = state ^ state >> 29;
        if value & 7 == 0 { value | !0 << (value >> 3 & 63) } else { value }
    };
    for _ in 0..1_000_000 {
        let divisor = next() | 1 << 63;
        let (high, low) = (next() % divisor, next());
        assert_eq!(divide_128_by_64(high, low, divisor), divide_in_digits(high, low, divisor));
    }
}
