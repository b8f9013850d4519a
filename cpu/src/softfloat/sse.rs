//! binary32 and binary64 arithmetic under MXCSR.
//!
//! Each operation returns its masked response and ORs what it detected into `flags`; the caller
//! gathers the lanes' flags and calls [`Mxcsr::commit`]. Operations marked *fast* use the host's
//! arithmetic where that provably gives the same result and the same flags: round to nearest,
//! normal or zero operands, and a result that is normal by a margin (the smallest normal number
//! may have been rounded up from a tiny one) or an exact zero.

use super::kernel;
use super::round::{Exact, Parts, Target, finish, rounds_up, shift_right_jam};
use super::{Flags, Mxcsr, Relation, Rounding};
use std::ops::{BitAnd, BitOr};

/// A binary interchange format, named by the integer that holds its bits.
pub trait Format: Copy + Eq + BitAnd<Output = Self> + BitOr<Output = Self> {
    /// Stored significand bits.
    const FRACTION: u32;
    const EXPONENT: u32;
    fn bits(self) -> u64;
    fn from_bits(bits: u64) -> Self;
    fn native_add(self, other: Self) -> Self;
    fn native_sub(self, other: Self) -> Self;
    fn native_mul(self, other: Self) -> Self;
    fn native_div(self, other: Self) -> Self;
    fn native_sqrt(self) -> Self;
    /// Normal or zero.
    fn is_plain(self) -> bool;
    /// Normal, and not in the binade of the smallest normal number.
    fn is_safe(self) -> bool;
    /// Denormal.
    fn is_subnormal(self) -> bool;
    /// Whether it is less, and whether equal; neither is a NaN.
    fn native_compare(self, other: Self) -> (bool, bool);
    /// Rounded to nearest.
    fn native_from_i64(value: i64) -> Self;
    /// Truncated and saturated.
    fn native_to_i64(self) -> i64;

    const BIAS: i32 = (1 << (Self::EXPONENT - 1)) - 1;
    const SIGN: u64 = 1 << (Self::FRACTION + Self::EXPONENT);
    const EXP_MAX: u64 = (1 << Self::EXPONENT) - 1;
    const INFINITY: u64 = Self::EXP_MAX << Self::FRACTION;
    const QUIET: u64 = 1 << (Self::FRACTION - 1);
    /// The QNaN floating-point indefinite.
    const INDEFINITE: u64 = Self::SIGN | Self::INFINITY | Self::QUIET;
    const TARGET: Target = Target {
        bits: Self::FRACTION + 1,
        emin: 1 - Self::BIAS,
        emax: Self::BIAS,
        wrap: 3 << (Self::EXPONENT - 2),
    };
}

macro_rules! impl_format {
    ($bits:ty, $signed:ty, $float:ty, $fraction:expr, $exponent:expr) => {
        impl Format for $bits {
            const FRACTION: u32 = $fraction;
            const EXPONENT: u32 = $exponent;
            #[inline(always)]
            fn bits(self) -> u64 {
                self.into()
            }
            #[inline(always)]
            fn from_bits(bits: u64) -> Self {
                bits as $bits
            }
            #[inline(always)]
            fn native_add(self, other: Self) -> Self {
                (<$float>::from_bits(self) + <$float>::from_bits(other)).to_bits()
            }
            #[inline(always)]
            fn native_sub(self, other: Self) -> Self {
                (<$float>::from_bits(self) - <$float>::from_bits(other)).to_bits()
            }
            #[inline(always)]
            fn native_mul(self, other: Self) -> Self {
                (<$float>::from_bits(self) * <$float>::from_bits(other)).to_bits()
            }
            #[inline(always)]
            fn native_div(self, other: Self) -> Self {
                (<$float>::from_bits(self) / <$float>::from_bits(other)).to_bits()
            }
            #[inline(always)]
            fn native_sqrt(self) -> Self {
                <$float>::from_bits(self).sqrt().to_bits()
            }
            // Adding one to the exponent takes that of NaNs and infinities to zero.
            #[inline(always)]
            fn is_plain(self) -> bool {
                const ONE: $bits = 1 << $fraction;
                const MASK: $bits = ((1 << $exponent) - 1) << $fraction;
                ((self.wrapping_add(ONE) & MASK) as $signed > ONE as $signed) | (self << 1 == 0)
            }
            #[inline(always)]
            fn is_subnormal(self) -> bool {
                (self << 1).wrapping_sub(1) < (2 << $fraction) - 1
            }
            #[inline(always)]
            fn native_compare(self, other: Self) -> (bool, bool) {
                let (a, b) = (<$float>::from_bits(self), <$float>::from_bits(other));
                (a < b, a == b)
            }
            #[inline(always)]
            fn native_from_i64(value: i64) -> Self {
                (value as $float).to_bits()
            }
            #[inline(always)]
            fn native_to_i64(self) -> i64 {
                <$float>::from_bits(self) as i64
            }
            #[inline(always)]
            fn is_safe(self) -> bool {
                const ONE: $bits = 1 << $fraction;
                const MASK: $bits = ((1 << $exponent) - 1) << $fraction;
                (self.wrapping_add(ONE) & MASK) as $signed > 2 * ONE as $signed
            }
        }
    };
}

impl_format!(u32, i32, f32, 23, 8);
impl_format!(u64, i64, f64, 52, 11);

/// What an encoding stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Zero,
    /// Normal or, with the flag, denormal.
    Finite(Parts, bool),
    Infinity,
    Nan,
}

#[inline(always)]
pub fn sign<F: Format>(a: F) -> bool {
    a.bits() & F::SIGN != 0
}

#[inline(always)]
pub fn is_nan<F: Format>(a: F) -> bool {
    a.bits() & !F::SIGN > F::INFINITY
}

#[inline(always)]
pub fn is_signaling<F: Format>(a: F) -> bool {
    is_nan(a) && a.bits() & F::QUIET == 0
}

#[inline(always)]
pub fn is_denormal<F: Format>(a: F) -> bool {
    let magnitude = a.bits() & !F::SIGN;
    magnitude != 0 && magnitude >> F::FRACTION == 0
}

#[inline(always)]
pub fn is_zero<F: Format>(a: F) -> bool {
    a.bits() & !F::SIGN == 0
}

#[inline(always)]
fn zero<F: Format>(sign: bool) -> F {
    F::from_bits(if sign { F::SIGN } else { 0 })
}

#[inline(always)]
fn infinity<F: Format>(sign: bool) -> F {
    F::from_bits(if sign { F::SIGN | F::INFINITY } else { F::INFINITY })
}

#[inline(always)]
fn quiet<F: Format>(a: F) -> F {
    F::from_bits(a.bits() | F::QUIET)
}

#[inline]
fn invalid<F: Format>(flags: &mut Flags) -> F {
    *flags |= Flags::IE;
    F::from_bits(F::INDEFINITE)
}

/// Applies denormals-are-zero to an operand.
#[inline(always)]
pub fn daz<F: Format>(a: F, mxcsr: Mxcsr) -> F {
    if mxcsr.denormals_are_zero() && is_denormal(a) { zero(sign(a)) } else { a }
}

#[inline]
pub fn class<F: Format>(a: F) -> Class {
    let bits = a.bits();
    let exponent = bits >> F::FRACTION & F::EXP_MAX;
    let fraction = bits & ((1 << F::FRACTION) - 1);
    let sign = bits & F::SIGN != 0;
    if exponent == F::EXP_MAX {
        return if fraction == 0 { Class::Infinity } else { Class::Nan };
    }
    if exponent == 0 {
        if fraction == 0 {
            return Class::Zero;
        }
        let shift = fraction.leading_zeros();
        let exp = F::TARGET.emin + (63 - F::FRACTION as i32) - shift as i32;
        return Class::Finite(Parts { sign, exp, sig: fraction << shift }, true);
    }
    let sig = (1 << 63) | fraction << (63 - F::FRACTION);
    Class::Finite(Parts { sign, exp: exponent as i32 - F::BIAS, sig }, false)
}

/// Rounds an exact result into the format.
#[inline]
pub fn pack<F: Format>(x: Exact, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    let done = finish(x, F::TARGET, mxcsr.rules());
    *flags |= done.flags;
    if done.infinite {
        return infinity(x.sign);
    }
    let fraction = done.sig << 1 >> (64 - F::FRACTION);
    let exponent = if done.sig >> 63 == 0 { 0 } else { (done.exp + F::BIAS) as u64 };
    let sign = if x.sign { F::SIGN } else { 0 };
    F::from_bits(sign | (exponent & F::EXP_MAX) << F::FRACTION | fraction)
}

/// The result when an operand is a NaN: the first operand that is one, made quiet (SDM volume 1,
/// table 4-7).
#[inline]
fn nan2<F: Format>(a: F, b: F, flags: &mut Flags) -> Option<F> {
    if !is_nan(a) && !is_nan(b) {
        return None;
    }
    *flags |= Flags::IE.when(is_signaling(a) || is_signaling(b));
    Some(quiet(if is_nan(a) { a } else { b }))
}

#[inline(always)]
fn denormals<F: Format>(a: F, b: F) -> Flags {
    Flags::DE.when(is_denormal(a) || is_denormal(b))
}

/// *fast*: an inexact sum is recognised by its rounding error, which is itself a number.
#[inline(always)]
pub fn add<F: Format>(a: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    if mxcsr.is_native() && a.is_plain() && b.is_plain() {
        let sum = a.native_add(b);
        if sum.is_safe() {
            if !mxcsr.is_native_sticky() {
                let b_part = sum.native_sub(a);
                let a_part = sum.native_sub(b_part);
                let error = a.native_sub(a_part).native_add(b.native_sub(b_part));
                *flags |= Flags::PE.when(!is_zero(error));
            }
            return sum;
        }
        if is_zero(sum) {
            return sum;
        }
    }
    add_slow(a, b, mxcsr, flags)
}

#[inline(always)]
pub fn sub<F: Format>(a: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    if mxcsr.is_native() && a.is_plain() && b.is_plain() {
        return add(a, F::from_bits(b.bits() ^ F::SIGN), mxcsr, flags);
    }
    sub_slow(a, b, mxcsr, flags)
}

#[inline(never)]
pub fn add_slow<F: Format>(a: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    sum(daz(a, mxcsr), daz(b, mxcsr), 0, mxcsr, flags)
}

#[inline(never)]
pub fn sub_slow<F: Format>(a: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    sum(daz(a, mxcsr), daz(b, mxcsr), F::SIGN, mxcsr, flags)
}

/// `a + b` with `flip` XORed into a `b` that is no NaN.
fn sum<F: Format>(a: F, b: F, flip: u64, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    if let Some(nan) = nan2(a, b, flags) {
        return nan;
    }
    let b = F::from_bits(b.bits() ^ flip);
    let tiny = denormals(a, b);
    let down = mxcsr.rounding() == Rounding::Down;
    let result = match (class(a), class(b)) {
        (Class::Infinity, Class::Infinity) if sign(a) != sign(b) => return invalid(flags),
        (Class::Infinity, _) => a,
        (_, Class::Infinity) => b,
        (Class::Zero, Class::Zero) if sign(a) != sign(b) => zero(down),
        (Class::Zero, Class::Zero) => a,
        (Class::Zero, Class::Finite(x, _)) | (Class::Finite(x, _), Class::Zero) => {
            *flags |= tiny;
            let exact = Exact { sign: x.sign, exp: x.exp, sig: x.sig, rest: 0 };
            return pack(exact, mxcsr, flags);
        }
        (Class::Finite(x, _), Class::Finite(y, _)) => match kernel::add(x, y) {
            Some(exact) => pack(exact, mxcsr, flags),
            None => zero(down),
        },
        _ => return invalid(flags),
    };
    *flags |= tiny;
    result
}

/// *fast*: a product is exact when the significands' product has no bits to lose.
#[inline(always)]
pub fn mul<F: Format>(a: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    if mxcsr.is_native() && a.is_plain() && b.is_plain() {
        let product = a.native_mul(b);
        if product.is_safe() {
            if !mxcsr.is_native_sticky() {
                *flags |= Flags::PE.when(product_inexact(a, b));
            }
            return product;
        }
        if is_zero(a) || is_zero(b) {
            return product;
        }
    }
    mul_slow(a, b, mxcsr, flags)
}

/// Whether the product of two normal numbers needs more significand bits than there are.
#[inline(always)]
fn product_inexact<F: Format>(a: F, b: F) -> bool {
    let mask = (1 << F::FRACTION) - 1;
    let significand = |x: F| u128::from((x.bits() & mask) | (mask + 1));
    let product = significand(a) * significand(b);
    let low = if product >> (2 * F::FRACTION + 1) != 0 { F::FRACTION + 1 } else { F::FRACTION };
    product & ((1u128 << low) - 1) != 0
}

#[inline(never)]
pub fn mul_slow<F: Format>(a: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    let (a, b) = (daz(a, mxcsr), daz(b, mxcsr));
    if let Some(nan) = nan2(a, b, flags) {
        return nan;
    }
    let sign = sign(a) != sign(b);
    let result = match (class(a), class(b)) {
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity) => return invalid(flags),
        (Class::Infinity, _) | (_, Class::Infinity) => infinity(sign),
        (Class::Finite(x, _), Class::Finite(y, _)) => pack(kernel::mul(x, y), mxcsr, flags),
        _ => zero(sign),
    };
    *flags |= denormals(a, b);
    result
}

/// *fast* when the precision flag is already set.
#[inline(always)]
pub fn div<F: Format>(a: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    if mxcsr.is_native_sticky() && a.is_plain() && b.is_plain() && !is_zero(b) {
        let quotient = a.native_div(b);
        if quotient.is_safe() || is_zero(a) {
            return quotient;
        }
    }
    div_slow(a, b, mxcsr, flags)
}

#[inline(never)]
pub fn div_slow<F: Format>(a: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    let (a, b) = (daz(a, mxcsr), daz(b, mxcsr));
    if let Some(nan) = nan2(a, b, flags) {
        return nan;
    }
    let sign = sign(a) != sign(b);
    let result = match (class(a), class(b)) {
        (Class::Infinity, Class::Infinity) | (Class::Zero, Class::Zero) => return invalid(flags),
        (Class::Infinity, _) => infinity(sign),
        (_, Class::Infinity) | (Class::Zero, _) => zero(sign),
        (_, Class::Zero) => {
            *flags |= Flags::ZE;
            return infinity(sign);
        }
        (Class::Finite(x, _), Class::Finite(y, _)) => pack(kernel::div(x, y), mxcsr, flags),
        _ => return invalid(flags),
    };
    *flags |= denormals(a, b);
    result
}

/// *fast* when the precision flag is already set.
#[inline(always)]
pub fn sqrt<F: Format>(a: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    if mxcsr.is_native_sticky() && a.is_plain() && (!sign(a) || is_zero(a)) {
        return a.native_sqrt();
    }
    sqrt_slow(a, mxcsr, flags)
}

#[inline(never)]
pub fn sqrt_slow<F: Format>(a: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    let a = daz(a, mxcsr);
    match class(a) {
        Class::Nan => {
            *flags |= Flags::IE.when(is_signaling(a));
            quiet(a)
        }
        Class::Zero => a,
        _ if sign(a) => invalid(flags),
        Class::Infinity => a,
        Class::Finite(x, denormal) => {
            *flags |= Flags::DE.when(denormal);
            pack(kernel::sqrt(x), mxcsr, flags)
        }
    }
}

/// Orders two operands. `quiet` comparisons (UCOMISx, the _Q predicates) signal only for SNaNs.
#[inline(always)]
pub fn compare<F: Format>(a: F, b: F, quiet: bool, mxcsr: Mxcsr, flags: &mut Flags) -> Relation {
    let (a, b) = (daz(a, mxcsr), daz(b, mxcsr));
    if is_nan(a) || is_nan(b) {
        let signal = !quiet || is_signaling(a) || is_signaling(b);
        *flags |= Flags::IE.when(signal);
        return Relation::Unordered;
    }
    *flags |= denormals(a, b);
    order(a, b)
}

/// Orders two operands neither of which is a NaN.
#[inline(always)]
fn order<F: Format>(a: F, b: F) -> Relation {
    if is_zero(a) && is_zero(b) {
        return Relation::Equal;
    }
    let key = |x: F| {
        let magnitude = (x.bits() & !F::SIGN) as i64;
        if sign(x) { -magnitude } else { magnitude }
    };
    match key(a).cmp(&key(b)) {
        std::cmp::Ordering::Less => Relation::Less,
        std::cmp::Ordering::Equal => Relation::Equal,
        std::cmp::Ordering::Greater => Relation::Greater,
    }
}

/// A CMPPS/VCMPPS predicate (SDM table 3-1), 0..=31.
#[inline]
pub fn predicate<F: Format>(a: F, b: F, imm: u8, mxcsr: Mxcsr, flags: &mut Flags) -> bool {
    // Less, equal, greater, unordered in bits 0..=3 of each entry.
    const HOLDS: [u8; 16] = [
        0b0010, 0b0001, 0b0011, 0b1000, 0b1101, 0b1110, 0b1100, 0b0111, //
        0b1010, 0b1001, 0b1011, 0b0000, 0b0101, 0b0110, 0b0100, 0b1111,
    ];
    // Which of the first sixteen are quiet; bit 4 of the predicate inverts that.
    const QUIET: u16 = 0b1001_1001_1001_1001;
    let quiet = (QUIET >> (imm & 15) & 1 != 0) != (imm & 16 != 0);
    let bit = match compare(a, b, quiet, mxcsr, flags) {
        Relation::Less => 0,
        Relation::Equal => 1,
        Relation::Greater => 2,
        Relation::Unordered => 3,
    };
    HOLDS[usize::from(imm & 15)] >> bit & 1 != 0
}

/// MINPS and MAXPS: the second operand unless the first is strictly on the wanted side.
#[inline(always)]
pub fn select<F: Format>(a: F, b: F, wanted: Relation, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    let (a, b) = (daz(a, mxcsr), daz(b, mxcsr));
    if compare(a, b, false, mxcsr, flags) == wanted { a } else { b }
}

#[inline(always)]
pub fn min<F: Format>(a: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    select(a, b, Relation::Less, mxcsr, flags)
}

#[inline(always)]
pub fn max<F: Format>(a: F, b: F, mxcsr: Mxcsr, flags: &mut Flags) -> F {
    select(a, b, Relation::Greater, mxcsr, flags)
}

/// The magnitude of `x` rounded to an integer, and whether that was inexact. The caller has made
/// sure that it is below 2^64; a carry to 2^64 itself is the last component.
#[inline]
pub fn integer_magnitude(x: Parts, rounding: Rounding) -> (u64, bool, bool, bool) {
    if x.exp >= 63 {
        return (x.sig, false, false, false);
    }
    let (sig, rest) = shift_right_jam(x.sig, 0, (63 - x.exp) as u32);
    let up = rounds_up(rounding, x.sign, sig & 1 != 0, rest);
    let (value, carry) = sig.overflowing_add(u64::from(up));
    (value, rest != 0, up, carry)
}

/// ROUNDPS: rounds to an integral value. `suppress` leaves PE alone.
#[inline]
pub fn round_to_integral<F: Format>(
    a: F,
    rounding: Rounding,
    suppress: bool,
    mxcsr: Mxcsr,
    flags: &mut Flags,
) -> F {
    let a = daz(a, mxcsr);
    match class(a) {
        Class::Nan => {
            *flags |= Flags::IE.when(is_signaling(a));
            quiet(a)
        }
        Class::Finite(x, _) if x.exp < F::FRACTION as i32 => {
            let (value, inexact, ..) = integer_magnitude(x, rounding);
            *flags |= Flags::PE.when(inexact && !suppress);
            if value == 0 {
                return zero(x.sign);
            }
            let shift = value.leading_zeros();
            let exponent = (63 - shift as i32 + F::BIAS) as u64;
            let fraction = value << shift << 1 >> (64 - F::FRACTION);
            let sign = if x.sign { F::SIGN } else { 0 };
            F::from_bits(sign | exponent << F::FRACTION | fraction)
        }
        _ => a,
    }
}

/// The integer `magnitude` with a sign, or `None` for zero.
#[inline]
pub fn from_magnitude(sign: bool, magnitude: u64) -> Option<Exact> {
    if magnitude == 0 {
        return None;
    }
    let shift = magnitude.leading_zeros();
    Some(Exact { sign, exp: 63 - shift as i32, sig: magnitude << shift, rest: 0 })
}
