//! MXCSR (SDM volume 1, 10.2.3) and the way SIMD floating-point exceptions are gathered.

use super::round::Rules;
use super::{Flags, Rounding};

/// The MXCSR register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mxcsr(pub u32);

/// An operation detected an unmasked exception: the flags are in MXCSR, the destination must stay
/// as it was, and #XM (or #UD when CR4.OSXMMEXCPT = 0) is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmasked;

impl Mxcsr {
    /// The value after reset.
    pub const RESET: Mxcsr = Mxcsr(0x1F80);
    pub const DAZ: u32 = 1 << 6;
    pub const FTZ: u32 = 1 << 15;
    /// The bits that may be set; any other makes LDMXCSR and FXRSTOR fault (MXCSR_MASK).
    pub const WRITABLE: u32 = 0xFFFF;

    const RC: u32 = 3 << 13;

    #[inline(always)]
    pub const fn masks(self) -> Flags {
        Flags((self.0 >> 7) as u8 & 0x3F)
    }

    #[inline(always)]
    pub const fn rounding(self) -> Rounding {
        Rounding::from_field(self.0 >> 13)
    }

    #[inline(always)]
    pub const fn denormals_are_zero(self) -> bool {
        self.0 & Mxcsr::DAZ != 0
    }

    #[inline(always)]
    pub const fn rules(self) -> Rules {
        Rules { rounding: self.rounding(), masks: self.masks(), flush_to_zero: self.0 & Mxcsr::FTZ != 0 }
    }

    /// Round to nearest with the precision exception masked: what native arithmetic does, except
    /// for telling whether the result was inexact.
    #[inline(always)]
    pub const fn is_native(self) -> bool {
        self.0 & (Mxcsr::RC | (Flags::PE.0 as u32) << 7) == (Flags::PE.0 as u32) << 7
    }

    /// [`Mxcsr::is_native`], and the precision flag is set already, so that inexactness is moot.
    #[inline(always)]
    pub const fn is_native_sticky(self) -> bool {
        let pe = Flags::PE.0 as u32;
        self.0 & (Mxcsr::RC | pe << 7 | pe) == (pe << 7 | pe)
    }

    /// Records what an instruction detected in all its lanes. An unmasked pre-computation
    /// exception in any lane hides the post-computation ones (SDM volume 1, 11.5.3).
    #[inline(always)]
    pub fn commit(&mut self, flags: Flags) -> Result<(), Unmasked> {
        let unmasked = flags & !self.masks();
        if unmasked.is_empty() {
            self.0 |= u32::from(flags.0);
            return Ok(());
        }
        let pre = unmasked & Flags::PRE_COMPUTATION;
        let kept = if pre.is_empty() { flags } else { flags & Flags::PRE_COMPUTATION };
        self.0 |= u32::from(kept.0);
        Err(Unmasked)
    }
}
