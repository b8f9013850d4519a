//! What [`host`](super::host) is where there is no host-specific form: the portable definitions.

use super::Lane;
use super::float::is_native;
pub use super::{integer::*, shift::*, shuffle::*};
use crate::softfloat::sse::Format;

/// Replaces the low 64 bits.
#[inline(always)]
pub fn with_low_64(a: u128, low: u64) -> u128 {
    a >> 64 << 64 | u128::from(low)
}

/// Replaces the low 32 bits.
#[inline(always)]
pub fn with_low_32(a: u128, low: u32) -> u128 {
    a >> 32 << 32 | u128::from(low)
}

/// 16 bytes of memory.
pub type Vector = u128;

fn native<F: Format>(a: F, b: F, compute: impl FnOnce(F, F) -> F) -> Option<F> {
    let result = compute(a, b);
    is_native(a, b, result).then_some(result)
}

macro_rules! scalar {
    ($($name:ident $element:ty, $merge:ident, $function:ident;)+) => {
        $(pub fn $name(a: u128, b: u128) -> Option<u128> {
            Some($merge(a, native(a as $element, b as $element, Format::$function)?))
        })+
    };
}

scalar! {
    native_addss u32, with_low_32, native_add;
    native_subss u32, with_low_32, native_sub;
    native_mulss u32, with_low_32, native_mul;
    native_divss u32, with_low_32, native_div;
    native_addsd u64, with_low_64, native_add;
    native_subsd u64, with_low_64, native_sub;
    native_mulsd u64, with_low_64, native_mul;
    native_divsd u64, with_low_64, native_div;
}

/// SQRTSD of a plain number that is not negative.
pub fn native_sqrtsd(a: u128, b: u128) -> Option<u128> {
    let b = b as u64;
    (b.is_plain() && b as i64 >= 0).then(|| with_low_64(a, b.native_sqrt()))
}

/// SQRTSS of a plain number that is not negative.
pub fn native_sqrtss(a: u128, b: u128) -> Option<u128> {
    let b = b as u32;
    (b.is_plain() && b as i32 >= 0).then(|| with_low_32(a, b.native_sqrt()))
}

fn packed<F: Format + Lane<N>, const N: usize>(a: u128, b: u128, f: impl Fn(F, F) -> F) -> Option<u128> {
    let (x, y) = (F::split(a), F::split(b));
    let mut results = x;
    for i in 0..N {
        results[i] = native(x[i], y[i], &f)?;
    }
    Some(F::join(results))
}

macro_rules! packed {
    ($($name:ident $element:ty, $count:literal, $function:ident;)+) => {
        $(pub fn $name(a: u128, b: u128) -> Option<u128> {
            packed::<$element, $count>(a, b, Format::$function)
        })+
    };
}

packed! {
    native_addps u32, 4, native_add;
    native_subps u32, 4, native_sub;
    native_mulps u32, 4, native_mul;
    native_divps u32, 4, native_div;
    native_addpd u64, 2, native_add;
    native_subpd u64, 2, native_sub;
    native_mulpd u64, 2, native_mul;
    native_divpd u64, 2, native_div;
}
