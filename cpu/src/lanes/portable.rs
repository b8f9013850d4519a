//! What [`host`](super::host) is where there is no host-specific form: the portable definitions.

use super::Lane;
use super::float::native_scalar;
pub use super::{integer::*, shift::*, shuffle::*};
use crate::softfloat::Mxcsr;
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

fn packed<F: Format + Lane<N>, const N: usize>(a: u128, b: u128, f: impl Fn(F, F) -> F) -> Option<u128> {
    const STICKY: Mxcsr = Mxcsr(0x1FA0);
    let (x, y) = (F::split(a), F::split(b));
    let mut results = x;
    for i in 0..N {
        results[i] = native_scalar(x[i], y[i], STICKY, &f)?;
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
