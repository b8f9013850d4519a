//! The x87 FPU: its registers and its instructions, as operations on bits (SDM volume 1, chapter 8).
//!
//! Nothing here touches memory or general registers: a memory operand comes in as bits and a result for memory
//! goes out as bits. A store that returns `None` must not be carried out (an unmasked exception was detected). An
//! unmasked exception sets ES; the next waiting instruction raises it.

mod arith;
mod image;
mod stack;
mod transcendental;

#[cfg(all(test, target_arch = "x86_64"))]
mod oracle;
#[cfg(test)]
mod tests;

use crate::softfloat::{Env, F80, Flags};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

pub use arith::Arith;
pub use image::{Format, LEGACY_SIZE, SAVE_MAX};
pub use stack::Constant;

/// Bits of the status word.
pub mod status {
    /// Stack fault.
    pub const SF: u16 = 1 << 6;
    /// Error summary: an unmasked exception is pending.
    pub const ES: u16 = 1 << 7;
    pub const C0: u16 = 1 << 8;
    pub const C1: u16 = 1 << 9;
    pub const C2: u16 = 1 << 10;
    pub const TOP: u16 = 7 << 11;
    pub const C3: u16 = 1 << 14;
    /// Busy; a copy of ES since the 387.
    pub const B: u16 = 1 << 15;
    pub const CONDITIONS: u16 = C0 | C1 | C2 | C3;
    pub const EXCEPTIONS: u16 = 0x3F;
}

/// The control word after FNINIT.
pub const CONTROL_INIT: u16 = 0x037F;

/// The x87 state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct X87 {
    /// The physical registers R0 to R7; MM0 to MM7 are their significands.
    pub st: [F80; 8],
    pub control: u16,
    pub status: u16,
    /// The physical registers that are not empty, a bit each (the abridged tag word of FXSAVE). The tags
    /// valid, zero and special of the full tag word follow from the contents.
    pub valid: u8,
    /// Pointer to the last non-control instruction.
    pub fip: u64,
    pub fcs: u16,
    /// Pointer to its memory operand.
    pub fdp: u64,
    pub fds: u16,
    /// Low eleven bits of its opcode.
    pub opcode: u16,
}

impl Default for X87 {
    fn default() -> X87 {
        X87::reset()
    }
}

impl X87 {
    /// The state after RESET (SDM volume 3, table 10-1).
    pub const fn reset() -> X87 {
        X87 {
            st: [F80::ZERO; 8],
            control: 0x0040,
            status: 0,
            // The tag word is 5555H: zero.
            valid: 0xFF,
            fip: 0,
            fcs: 0,
            fdp: 0,
            fds: 0,
            opcode: 0,
        }
    }

    /// FNINIT. The registers keep their contents.
    pub fn fninit(&mut self) {
        *self = X87 { st: self.st, control: CONTROL_INIT, valid: 0, ..X87::reset() };
    }

    /// FNCLEX.
    pub fn fnclex(&mut self) {
        self.status &= !(status::EXCEPTIONS | status::SF | status::ES | status::B);
    }

    /// FLDCW. Unmasking a flag that is set makes its exception pending.
    pub fn fldcw(&mut self, control: u16) {
        self.control = control & 0x1F7F | 0x0040;
        self.summarise();
    }

    /// FNSTCW.
    #[inline]
    pub fn fnstcw(&self) -> u16 {
        self.control
    }

    /// FNSTSW.
    #[inline]
    pub fn fnstsw(&self) -> u16 {
        self.status
    }

    /// Whether the next waiting instruction must raise #MF (or, with CR0.NE = 0, assert FERR#).
    #[inline(always)]
    pub fn pending(&self) -> bool {
        self.status & status::ES != 0
    }

    #[inline(always)]
    pub fn top(&self) -> u8 {
        (self.status >> 11) as u8 & 7
    }

    #[inline(always)]
    fn set_top(&mut self, top: u8) {
        self.status = self.status & !status::TOP | u16::from(top & 7) << 11;
    }

    #[inline(always)]
    fn physical(&self, i: u8) -> usize {
        usize::from(self.top().wrapping_add(i) & 7)
    }

    /// Recomputes ES and B from the flags and the masks.
    fn summarise(&mut self) {
        let unmasked = self.status & !self.control & status::EXCEPTIONS;
        if unmasked != 0 {
            self.status |= status::ES | status::B;
        } else {
            self.status &= !(status::ES | status::B);
        }
    }

    /// ST(i), empty or not.
    #[inline(always)]
    pub fn get(&self, i: u8) -> F80 {
        self.st[self.physical(i)]
    }

    #[inline(always)]
    fn put(&mut self, i: u8, value: F80) {
        let r = self.physical(i);
        self.st[r] = value;
        self.valid |= 1 << r;
    }

    #[inline(always)]
    pub fn is_empty(&self, i: u8) -> bool {
        self.valid >> self.physical(i) & 1 == 0
    }

    #[inline(always)]
    fn pop(&mut self) {
        let top = self.top();
        self.valid &= !(1 << top);
        self.set_top(top.wrapping_add(1));
    }

    /// Decrements TOP and fills the new ST(0), whatever it held.
    #[inline(always)]
    fn push_over(&mut self, value: F80) {
        let top = self.top().wrapping_sub(1) & 7;
        self.set_top(top);
        self.st[usize::from(top)] = value;
        self.valid |= 1 << top;
    }

    #[inline(always)]
    fn env(&self) -> Env {
        Env::new(self.control)
    }

    /// Whether rounding is to nearest at full precision and all exceptions are masked.
    #[inline(always)]
    fn is_usual(&self) -> bool {
        const MASK: u16 = 0x0F3F;
        self.control & MASK == CONTROL_INIT & MASK
    }

    /// Notes an inexact result and C1, where [`X87::is_usual`] and nothing else was detected.
    #[inline(always)]
    fn record(&mut self, inexact: bool, up: bool) {
        let flags = u16::from(inexact) << 5 | u16::from(up) << 9;
        self.status = self.status & !status::C1 | flags;
    }

    /// Takes over an operation's flags and C1, and tells whether its result may be stored.
    #[inline(always)]
    fn conclude(&mut self, env: &Env) -> bool {
        let stopped = env.stopped();
        let flags = if stopped { env.flags & Flags::PRE_COMPUTATION } else { env.flags };
        let up = if env.up && !stopped { status::C1 } else { 0 };
        self.status = self.status & !status::C1 | u16::from(flags.0) | up;
        if !(flags & !env.masks).is_empty() {
            self.status |= status::ES | status::B;
        }
        !stopped
    }

    /// A stack underflow: tells whether the masked response is due.
    #[cold]
    fn stack_underflow(&mut self) -> bool {
        self.stack_fault(0)
    }

    /// A stack overflow: tells whether the masked response is due.
    #[cold]
    fn stack_overflow(&mut self) -> bool {
        self.stack_fault(status::C1)
    }

    fn stack_fault(&mut self, c1: u16) -> bool {
        self.status = self.status & !status::C1 | status::SF | u16::from(Flags::IE.0) | c1;
        let masked = self.control & u16::from(Flags::IE.0) != 0;
        if !masked {
            self.status |= status::ES | status::B;
        }
        masked
    }

    /// MM`i`.
    #[inline(always)]
    pub fn mm(&self, i: u8) -> u64 {
        self.st[usize::from(i & 7)].mantissa
    }

    /// Writes MM`i`; the exponent becomes all ones (SDM volume 1, 9.5.1).
    #[inline(always)]
    pub fn set_mm(&mut self, i: u8, value: u64) {
        self.st[usize::from(i & 7)] = F80 { sign_exp: 0xFFFF, mantissa: value };
    }

    /// What every MMX instruction but EMMS does to the x87 state: TOP = 0 and all registers valid.
    #[inline(always)]
    pub fn enter_mmx(&mut self) {
        self.status &= !status::TOP;
        self.valid = 0xFF;
    }

    /// EMMS.
    #[inline(always)]
    pub fn emms(&mut self) {
        self.status &= !status::TOP;
        self.valid = 0;
    }
}
