//! Software IEEE 754 as x86 defines it: binary32 and binary64 with SSE's rules, and the x87's
//! double extended format.
//!
//! Everything here is a pure function of its operands and of a control value, and gives the same
//! bits on every host. Finite arithmetic is shared by the three formats ([`kernel`] computes an
//! exact or jammed result, [`round`] fits it into a format); what differs between SSE and x87
//! (NaN selection, denormals-are-zero, wrapped exponents) lives in [`sse`] and [`f80`].

pub mod bcd;
pub mod f80;
pub mod f80_arith;
pub mod f80_convert;
pub mod kernel;
pub mod mxcsr;
pub mod remainder;
pub mod round;
pub mod scale;
pub mod sse;
pub mod sse_convert;
pub mod transcendental;
pub mod wide;

#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) mod oracle;
#[cfg(test)]
mod tests;

pub use f80::{Env, F80};
pub use mxcsr::{Mxcsr, Unmasked};

use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// Exception flags, in the bit positions shared by the x87 status and control words and MXCSR
/// (SDM volume 1, 8.1.3 and 10.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    pub const NONE: Flags = Flags(0);
    /// Invalid operation.
    pub const IE: Flags = Flags(1);
    /// Denormal operand.
    pub const DE: Flags = Flags(1 << 1);
    /// Divide by zero.
    pub const ZE: Flags = Flags(1 << 2);
    /// Overflow.
    pub const OE: Flags = Flags(1 << 3);
    /// Underflow.
    pub const UE: Flags = Flags(1 << 4);
    /// Precision (inexact result).
    pub const PE: Flags = Flags(1 << 5);
    /// The exceptions detected before the operation is carried out.
    pub const PRE_COMPUTATION: Flags = Flags(0x07);
    pub const ALL: Flags = Flags(0x3F);

    #[inline(always)]
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    pub const fn when(self, condition: bool) -> Flags {
        if condition { self } else { Flags::NONE }
    }
}

impl BitOr for Flags {
    type Output = Flags;
    #[inline(always)]
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitAnd for Flags {
    type Output = Flags;
    #[inline(always)]
    fn bitand(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Flags;
    #[inline(always)]
    fn not(self) -> Flags {
        Flags(!self.0)
    }
}

impl BitOrAssign for Flags {
    #[inline(always)]
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

/// The rounding-control field, in its encoding (SDM volume 1, 4.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rounding {
    Nearest = 0,
    Down = 1,
    Up = 2,
    Zero = 3,
}

impl Rounding {
    /// From the low two bits of `rc`.
    #[inline(always)]
    pub const fn from_field(rc: u32) -> Rounding {
        match rc & 3 {
            0 => Rounding::Nearest,
            1 => Rounding::Down,
            2 => Rounding::Up,
            _ => Rounding::Zero,
        }
    }
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Less,
    Equal,
    Greater,
    Unordered,
}
