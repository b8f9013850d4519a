//! Fitting an exact result into a format: rounding, tininess after rounding, overflow (SDM volume
//! 1, 4.9.1.4 to 4.9.1.6).

use super::{Flags, Rounding};

/// A finite, non-zero number: `sig * 2^(exp - 63)`, with bit 63 of `sig` set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub sign: bool,
    pub exp: i32,
    pub sig: u64,
}

/// A finite, non-zero result before rounding: `(sig + rest / 2^64) * 2^(exp - 63)`. Bit 63 of
/// `sig` is set. Whatever lies below `rest` is jammed into its bit 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    pub sign: bool,
    pub exp: i32,
    pub sig: u64,
    pub rest: u64,
}

/// The limits of a destination format.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Significand bits, the leading one included.
    pub bits: u32,
    /// Exponent of the smallest normal number.
    pub emin: i32,
    pub emax: i32,
    /// Added to or taken from the exponent for an unmasked underflow or overflow.
    pub wrap: i32,
}

/// What else decides the result.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub rounding: Rounding,
    pub masks: Flags,
    pub flush_to_zero: bool,
}

/// A rounded number. Bit 63 of `sig` is clear only for denormals and zero, whose `exp` is the
/// target's `emin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    pub sig: u64,
    pub exp: i32,
    pub infinite: bool,
    pub flags: Flags,
    /// The magnitude was rounded up (C1 of the x87).
    pub up: bool,
}

/// A significand cut at some bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub sig: u64,
    /// The increment carried out of bit 63.
    pub carry: bool,
    pub inexact: bool,
    pub up: bool,
}

const HALF: u64 = 1 << 63;

/// Whether to add one to the last kept bit `odd`, when `tail / 2^64` of it is dropped.
#[inline(always)]
pub fn rounds_up(rounding: Rounding, sign: bool, odd: bool, tail: u64) -> bool {
    match rounding {
        Rounding::Nearest => tail > HALF || (tail == HALF && odd),
        Rounding::Down => sign && tail != 0,
        Rounding::Up => !sign && tail != 0,
        Rounding::Zero => false,
    }
}

/// Rounds away the low `drop` (0..=63) bits of `sig` and `rest`.
#[inline(always)]
pub fn cut(sign: bool, sig: u64, rest: u64, drop: u32, rounding: Rounding) -> Cut {
    let (kept, tail) = if drop == 0 {
        (sig, rest)
    } else {
        (sig >> drop << drop, (sig << (64 - drop)) | u64::from(rest != 0))
    };
    let up = rounds_up(rounding, sign, sig >> drop & 1 != 0, tail);
    let (sig, carry) = kept.overflowing_add(u64::from(up) << drop);
    Cut { sig, carry, inexact: tail != 0, up }
}

/// `(sig:rest) >> count`, jamming what falls out.
#[inline]
pub fn shift_right_jam(sig: u64, rest: u64, count: u32) -> (u64, u64) {
    let value = (u128::from(sig) << 64) | u128::from(rest);
    let shifted = jam128(value, count);
    ((shifted >> 64) as u64, shifted as u64)
}

/// `value >> count`, with bit 0 set when a set bit fell out.
#[inline(always)]
pub fn jam128(value: u128, count: u32) -> u128 {
    match count {
        0 => value,
        1..=127 => (value >> count) | u128::from(value << (128 - count) != 0),
        _ => u128::from(value != 0),
    }
}

/// Fits `x` into `target`.
#[inline]
pub fn finish(x: Exact, target: Target, rules: Rules) -> Finished {
    let drop = 64 - target.bits;
    let r = cut(x.sign, x.sig, x.rest, drop, rules.rounding);
    let (sig, exp) = if r.carry { (HALF, x.exp + 1) } else { (r.sig, x.exp) };
    let flags = Flags::PE.when(r.inexact);
    let rounded = Finished { sig, exp, infinite: false, flags, up: r.up };
    if exp > target.emax {
        return overflow(x.sign, rounded, target, rules);
    }
    if exp < target.emin {
        return underflow(x, rounded, target, rules);
    }
    rounded
}

#[cold]
fn overflow(sign: bool, rounded: Finished, target: Target, rules: Rules) -> Finished {
    if !rules.masks.contains(Flags::OE) {
        let flags = rounded.flags | Flags::OE;
        return Finished { exp: rounded.exp - target.wrap, flags, ..rounded };
    }
    let infinite = match rules.rounding {
        Rounding::Nearest => true,
        Rounding::Down => sign,
        Rounding::Up => !sign,
        Rounding::Zero => false,
    };
    Finished {
        sig: u64::MAX << (64 - target.bits),
        exp: target.emax,
        infinite,
        flags: Flags::OE | Flags::PE,
        up: infinite,
    }
}

#[cold]
fn underflow(x: Exact, rounded: Finished, target: Target, rules: Rules) -> Finished {
    if !rules.masks.contains(Flags::UE) {
        let flags = rounded.flags | Flags::UE;
        return Finished { exp: rounded.exp + target.wrap, flags, ..rounded };
    }
    let exp = target.emin;
    if rules.flush_to_zero {
        let flags = Flags::UE | Flags::PE;
        return Finished { sig: 0, exp, infinite: false, flags, up: false };
    }
    let (sig, rest) = shift_right_jam(x.sig, x.rest, (target.emin - x.exp) as u32);
    let r = cut(x.sign, sig, rest, 64 - target.bits, rules.rounding);
    let flags = (Flags::UE | Flags::PE).when(r.inexact);
    Finished { sig: r.sig, exp, infinite: false, flags, up: r.up }
}
