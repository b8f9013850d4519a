//! RCPPS, RSQRTPS and their scalar forms.
//!
//! The manual asks for a relative error of at most 1.5 * 2^-12 and leaves the value open. Here it is the correctly
//! rounded binary32 result of the exact function's two correctly rounded steps, rounded once more, to nearest and
//! ties upwards, to twelve fraction bits: the relative error stays below 1.01 * 2^-13. Powers of two (and their
//! even ones' roots) are exact. No exceptions are signalled and MXCSR is not looked at.

const SIGN: u32 = 1 << 31;
const INFINITY: u32 = 0xFF << 23;
const INDEFINITE: u32 = 0xFFC0_0000;
const QUIET: u32 = 1 << 22;

/// Keeps twelve bits of a positive normal number's fraction.
fn shorten(bits: u32) -> u32 {
    (bits + (1 << 10)) & !0x7FF
}

/// RCPSS of one element: denormals count as zeros, and tiny results become zeros.
pub fn reciprocal(a: u32) -> u32 {
    let (sign, magnitude) = (a & SIGN, a & !SIGN);
    if magnitude > INFINITY {
        return a | QUIET;
    }
    if magnitude >> 23 == 0 {
        return sign | INFINITY;
    }
    if magnitude == INFINITY {
        return sign;
    }
    let result = (1.0 / f32::from_bits(magnitude)).to_bits();
    if result >> 23 == 0 { sign } else { sign | shorten(result) }
}

/// RSQRTSS of one element.
pub fn reciprocal_sqrt(a: u32) -> u32 {
    let (sign, magnitude) = (a & SIGN, a & !SIGN);
    if magnitude > INFINITY {
        return a | QUIET;
    }
    if magnitude >> 23 == 0 {
        return sign | INFINITY;
    }
    if sign != 0 {
        return INDEFINITE;
    }
    if magnitude == INFINITY {
        return 0;
    }
    shorten((1.0 / f32::from_bits(magnitude).sqrt()).to_bits())
}
