//! Where the guest's arithmetic flags are, tracked while translating: in the frame, in the host's flags, or both.

use super::emit::Code;
use super::frame::{FLAGS, here};
use super::registers::RAX;

/// What of the host's flags differs from the guest's after an instruction that leaves some undefined. The reference is
/// `semantics/shift.rs`: OF of a shift by more than 1 is that of its last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deviation {
    None,
    /// OF is CF xor SF (SHL).
    OverflowFromSign,
    /// OF is 0 (SHR, SAR).
    NoOverflow,
}

/// Where the flags are.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlagState {
    /// The frame has them.
    saved: bool,
    /// The host's flags are them, but for the deviation.
    native: bool,
    deviation: Deviation,
}

impl FlagState {
    /// As at the start of a translation: in the frame.
    pub const SAVED: Self = Self { saved: true, native: false, deviation: Deviation::None };

    /// An instruction has just set them.
    pub fn set(&mut self, deviation: Deviation) {
        *self = Self { saved: false, native: true, deviation };
    }

    /// Code that follows destroys the host's flags; they must have been saved, or be of no more use.
    pub fn clobber(&mut self) {
        *self = Self::SAVED;
    }

    /// Whether the host has them now.
    pub fn native(&self) -> bool {
        self.native
    }

    /// Whether the host has all of them, exactly.
    pub fn exact(&self) -> bool {
        self.native && self.deviation == Deviation::None
    }

    /// Puts them into the frame. RAX is lost; the host's flags stay if they were exact.
    pub fn save(&mut self, code: &mut Code) {
        if self.saved {
            return;
        }
        match self.deviation {
            // LAHF; SETO AL
            Deviation::None => code.plain(&[0x9F, 0x0F, 0x90, 0xC0]),
            // LAHF; MOV AL, AH; SHR AL, 7; XOR AL, AH; AND AL, 1
            Deviation::OverflowFromSign => {
                code.plain(&[0x9F, 0x8A, 0xC4, 0xC0, 0xE8, 7, 0x32, 0xC4, 0x24, 1]);
            }
            // LAHF; MOV AL, 0
            Deviation::NoOverflow => code.plain(&[0x9F, 0xB0, 0]),
        }
        code.store32(here(FLAGS), RAX);
        self.saved = true;
        if self.deviation != Deviation::None {
            self.native = false;
            self.deviation = Deviation::None;
        }
    }

    /// Has the host's flags be the guest's. RAX is lost.
    pub fn restore(&mut self, code: &mut Code) {
        if self.exact() {
            return;
        }
        self.save(code);
        restore(code);
        self.native = true;
    }
}

/// Loads the host's flags from the frame. RAX is lost.
pub(super) fn restore(code: &mut Code) {
    code.load32(RAX, here(FLAGS));
    // ADD AL, 7Fh sets OF if AL was 1; SAHF sets the others.
    code.plain(&[0x04, 0x7F, 0x9E]);
}

/// Whether a condition looks at OF.
pub(super) fn reads_overflow(condition: u8) -> bool {
    matches!(condition >> 1, 0 | 6 | 7)
}
