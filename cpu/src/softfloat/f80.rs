//! The x87's double extended-precision format (SDM volume 1, 4.2.2 and 8.2) and the environment
//! its arithmetic runs in.

use super::round::{Exact, Parts, Rules, Target, finish};
use super::{Flags, Rounding};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// A double extended-precision value, bit for bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct F80 {
    /// Sign in bit 15, biased exponent below.
    pub sign_exp: u16,
    /// Significand with its explicit integer bit 63.
    pub mantissa: u64,
}

/// What an encoding stands for (SDM volume 1, tables 4-3 and 8-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Zero,
    Normal,
    /// Denormal or pseudo-denormal.
    Denormal,
    Infinity,
    QuietNan,
    SignalingNan,
    /// Unnormal, pseudo-NaN or pseudo-infinity: an invalid operand since the 387.
    Unsupported,
}

pub const BIAS: i32 = 16383;
pub const INTEGER_BIT: u64 = 1 << 63;
pub const QUIET_BIT: u64 = 1 << 62;

impl F80 {
    pub const ZERO: F80 = F80 { sign_exp: 0, mantissa: 0 };
    pub const ONE: F80 = F80 { sign_exp: 0x3FFF, mantissa: INTEGER_BIT };
    /// The QNaN floating-point indefinite.
    pub const INDEFINITE: F80 = F80 { sign_exp: 0xFFFF, mantissa: 3 << 62 };

    #[inline(always)]
    pub const fn new(sign: bool, biased: u16, mantissa: u64) -> F80 {
        F80 { sign_exp: (sign as u16) << 15 | biased, mantissa }
    }

    #[inline(always)]
    pub const fn zero(sign: bool) -> F80 {
        F80::new(sign, 0, 0)
    }

    #[inline(always)]
    pub const fn infinity(sign: bool) -> F80 {
        F80::new(sign, 0x7FFF, INTEGER_BIT)
    }

    /// From the 80 bits of its memory form.
    #[inline(always)]
    pub const fn from_u128(bits: u128) -> F80 {
        F80 { sign_exp: (bits >> 64) as u16, mantissa: bits as u64 }
    }

    /// The 80 bits of its memory form.
    #[inline(always)]
    pub const fn to_u128(self) -> u128 {
        (self.sign_exp as u128) << 64 | self.mantissa as u128
    }

    #[inline(always)]
    pub const fn sign(self) -> bool {
        self.sign_exp & 0x8000 != 0
    }

    #[inline(always)]
    pub const fn biased(self) -> u16 {
        self.sign_exp & 0x7FFF
    }

    #[inline(always)]
    pub const fn negated(self) -> F80 {
        F80 { sign_exp: self.sign_exp ^ 0x8000, mantissa: self.mantissa }
    }

    #[inline(always)]
    pub const fn abs(self) -> F80 {
        F80 { sign_exp: self.sign_exp & 0x7FFF, mantissa: self.mantissa }
    }

    #[inline(always)]
    pub const fn is_normal(self) -> bool {
        self.biased().wrapping_sub(1) < 0x7FFE && self.mantissa & INTEGER_BIT != 0
    }

    #[inline]
    pub const fn class(self) -> Class {
        let integer = self.mantissa & INTEGER_BIT != 0;
        match self.biased() {
            0 if self.mantissa == 0 => Class::Zero,
            0 => Class::Denormal,
            _ if !integer => Class::Unsupported,
            0x7FFF if self.mantissa == INTEGER_BIT => Class::Infinity,
            0x7FFF if self.mantissa & QUIET_BIT != 0 => Class::QuietNan,
            0x7FFF => Class::SignalingNan,
            _ => Class::Normal,
        }
    }

    #[inline(always)]
    pub const fn is_zero(self) -> bool {
        self.biased() == 0 && self.mantissa == 0
    }

    #[inline]
    pub const fn is_denormal(self) -> bool {
        self.biased() == 0 && self.mantissa != 0
    }

    #[inline]
    pub const fn is_infinity(self) -> bool {
        self.biased() == 0x7FFF && self.mantissa == INTEGER_BIT
    }

    #[inline]
    pub const fn is_nan(self) -> bool {
        matches!(self.class(), Class::QuietNan | Class::SignalingNan)
    }

    #[inline]
    pub const fn quieted(self) -> F80 {
        F80 { sign_exp: self.sign_exp, mantissa: self.mantissa | QUIET_BIT }
    }

    /// The parts of a normal number.
    #[inline(always)]
    pub const fn normal_parts(self) -> Parts {
        Parts { sign: self.sign(), exp: self.biased() as i32 - BIAS, sig: self.mantissa }
    }

    /// The parts of a finite, non-zero number.
    #[inline]
    pub const fn parts(self) -> Parts {
        if self.biased() != 0 {
            return self.normal_parts();
        }
        let shift = self.mantissa.leading_zeros();
        let exp = 1 - BIAS - shift as i32;
        Parts { sign: self.sign(), exp, sig: self.mantissa << shift }
    }
}

/// The control word's say in an operation, and what the operation reports.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    pub rounding: Rounding,
    /// Significand bits of results under precision control: 24, 53 or 64.
    pub bits: u32,
    pub masks: Flags,
    /// Exceptions detected so far.
    pub flags: Flags,
    /// The result's magnitude was rounded up (C1).
    pub up: bool,
}

impl Env {
    #[inline(always)]
    pub const fn new(control: u16) -> Env {
        let bits = match control >> 8 & 3 {
            0 => 24,
            2 => 53,
            _ => 64,
        };
        Env {
            rounding: Rounding::from_field(control as u32 >> 10),
            bits,
            masks: Flags(control as u8 & 0x3F),
            flags: Flags::NONE,
            up: false,
        }
    }

    /// The same environment at full precision, for instructions that precision control does not
    /// govern.
    #[inline(always)]
    pub const fn extended(self) -> Env {
        Env { bits: 64, ..self }
    }

    /// Whether a detected pre-computation exception is unmasked: the operation does not happen.
    #[inline(always)]
    pub fn stopped(&self) -> bool {
        !(self.flags & !self.masks & Flags::PRE_COMPUTATION).is_empty()
    }

    /// The masked response to an invalid operation.
    #[cold]
    pub fn invalid(&mut self) -> F80 {
        self.flags |= Flags::IE;
        F80::INDEFINITE
    }

    #[inline(always)]
    pub fn rules(&self) -> Rules {
        Rules { rounding: self.rounding, masks: self.masks, flush_to_zero: false }
    }

    /// Notes a denormal operand.
    #[inline]
    pub fn note_denormal(&mut self, a: F80) {
        self.flags |= Flags::DE.when(a.is_denormal());
    }

    /// Rounds a result into a register.
    #[inline(always)]
    pub fn pack(&mut self, x: Exact) -> F80 {
        // Most results: nearest, full precision, far from the ends of the exponent range.
        if self.bits == 64 && self.rounding == Rounding::Nearest && (x.exp + BIAS - 2) as u32 <= 0x7FFA {
            let up = x.rest > INTEGER_BIT || (x.rest == INTEGER_BIT && x.sig & 1 != 0);
            let (sig, carry) = x.sig.overflowing_add(u64::from(up));
            self.flags |= Flags::PE.when(x.rest != 0);
            self.up = up;
            let biased = (x.exp + BIAS + i32::from(carry)) as u16;
            return F80::new(x.sign, biased, sig | u64::from(carry) << 63);
        }
        self.pack_slow(x)
    }

    #[inline(never)]
    pub fn pack_slow(&mut self, x: Exact) -> F80 {
        let done = finish(x, target(self.bits), self.rules());
        self.flags |= done.flags;
        self.up = done.up;
        if done.infinite {
            return F80::infinity(x.sign);
        }
        if done.sig & INTEGER_BIT == 0 {
            return F80::new(x.sign, 0, done.sig);
        }
        // Only FSCALE can leave the range even of the wrapped exponent.
        match done.exp + BIAS {
            biased @ 1..=0x7FFE => F80::new(x.sign, biased as u16, done.sig),
            biased => self.beyond_wrap(x.sign, biased > 0),
        }
    }

    #[cold]
    fn beyond_wrap(&mut self, sign: bool, large: bool) -> F80 {
        self.flags |= Flags::PE;
        self.up = large;
        if large { F80::infinity(sign) } else { F80::zero(sign) }
    }
}

/// The register format at some precision: precision control narrows the significand only.
pub const fn target(bits: u32) -> Target {
    Target { bits, emin: 1 - BIAS, emax: BIAS, wrap: 24576 }
}
