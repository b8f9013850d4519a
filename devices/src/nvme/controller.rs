//! The controller's registers (NVM Express 1.4, 3.1), but for doorbells.

use super::VERSION;
use super::prp::PAGE;
use super::queue::ENTRIES_MAX;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const CAP: u64 = 0x00;
const VS: u64 = 0x08;
const INTMS: u64 = 0x0c;
const INTMC: u64 = 0x10;
const CC: u64 = 0x14;
const CSTS: u64 = 0x1c;
const AQA: u64 = 0x24;
const ASQ: u64 = 0x28;
const ACQ: u64 = 0x30;

/// Queues are contiguous; becoming ready takes 7.5 s at most; the NVM command set; pages of 4 KiB.
const CAPABILITIES: u64 = (ENTRIES_MAX as u64 - 1) | 1 << 16 | 15 << 24 | 1 << 37;

const CC_ENABLE: u32 = 1 << 0;
/// Command set, page size and arbitration, of all of which 0 is the only one.
const CC_MODES: u32 = 0x3ff0;
const CC_SHUTDOWN: u32 = 3 << 14;
const CC_ENTRY_SIZES: u32 = 0xff << 16;
/// 64 and 16 bytes, as powers of 2.
const ENTRY_SIZES: u32 = 0x46 << 16;
const CC_WRITABLE: u32 = CC_ENABLE | CC_MODES | CC_SHUTDOWN | CC_ENTRY_SIZES;

const CSTS_READY: u32 = 1 << 0;
const CSTS_FATAL: u32 = 1 << 1;
const CSTS_SHUTDOWN: u32 = 3 << 2;
const CSTS_SHUTDOWN_COMPLETE: u32 = 2 << 2;

const AQA_WRITABLE: u32 = 0x0fff_0fff;

/// The registers by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Controller {
    /// Vectors of the pin that are masked.
    pub interrupt_mask: u32,
    cc: u32,
    csts: u32,
    aqa: u32,
    pub asq: u64,
    pub acq: u64,
}

/// What a write asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Nothing,
    /// The controller was enabled and is ready: its admin queues are to be.
    Start,
    /// The controller was disabled: nothing is left of queues and commands.
    Reset,
    /// The power is about to go: what was written is to be on the medium.
    ShutDown,
}

impl Controller {
    /// A dword; `at` is a multiple of 4.
    pub fn read(&self, at: u64) -> u32 {
        let half = |value: u64| (value >> (at % 8 * 8)) as u32;
        match at {
            CAP..VS => half(CAPABILITIES),
            VS => VERSION,
            INTMS | INTMC => self.interrupt_mask,
            CC => self.cc,
            CSTS => self.csts,
            AQA => self.aqa,
            ASQ..ACQ => half(self.asq),
            ACQ..0x38 => half(self.acq),
            _ => 0,
        }
    }

    /// Writes a dword; `at` is a multiple of 4.
    pub fn write(&mut self, at: u64, value: u32) -> Request {
        let enabled = self.cc & CC_ENABLE != 0;
        let put = |to: &mut u64| {
            let shift = at % 8 * 8;
            let new = *to & !(0xffff_ffff << shift) | u64::from(value) << shift;
            *to = new & !(PAGE - 1);
        };
        match at {
            INTMS => self.interrupt_mask |= value,
            INTMC => self.interrupt_mask &= !value,
            CC => return self.write_cc(value & CC_WRITABLE),
            // The admin queues are where they were when the controller was enabled.
            AQA if !enabled => self.aqa = value & AQA_WRITABLE,
            ASQ..ACQ if !enabled => put(&mut self.asq),
            ACQ..0x38 if !enabled => put(&mut self.acq),
            _ => {}
        }
        Request::Nothing
    }

    fn write_cc(&mut self, value: u32) -> Request {
        let before = std::mem::replace(&mut self.cc, value);
        let request = match (before & CC_ENABLE, value & CC_ENABLE) {
            (0, CC_ENABLE) => self.start(),
            (CC_ENABLE, 0) => {
                (self.csts, self.interrupt_mask) = (0, 0);
                Request::Reset
            }
            _ if before & CC_SHUTDOWN == 0 && value & CC_SHUTDOWN != 0 => Request::ShutDown,
            _ => Request::Nothing,
        };
        self.csts &= !CSTS_SHUTDOWN;
        if value & CC_SHUTDOWN != 0 {
            // Before the driver can look, it is done.
            self.csts |= CSTS_SHUTDOWN_COMPLETE;
        }
        request
    }

    fn start(&mut self) -> Request {
        let (submission, completion) = self.admin_sizes();
        if self.cc & CC_MODES != 0 || submission < 2 || completion < 2 {
            self.csts |= CSTS_FATAL;
            return Request::Nothing;
        }
        self.csts |= CSTS_READY;
        Request::Start
    }

    /// Entries of the admin queues: submission and completion.
    pub fn admin_sizes(&self) -> (u16, u16) {
        ((self.aqa as u16) + 1, (self.aqa >> 16) as u16 + 1)
    }

    /// Whether queues exist and what is in them is carried out.
    pub fn is_ready(&self) -> bool {
        self.csts & CSTS_READY != 0
    }

    /// Whether commands are taken off queues.
    pub fn takes_commands(&self) -> bool {
        self.csts & (CSTS_READY | CSTS_SHUTDOWN) == CSTS_READY
    }

    /// Whether the driver has set the sizes of entries, which it must before it creates I/O queues.
    pub fn has_entry_sizes(&self) -> bool {
        self.cc & CC_ENTRY_SIZES == ENTRY_SIZES
    }

    pub fn is_consistent(&self) -> bool {
        let Self { interrupt_mask: _, cc, csts, aqa, asq, acq } = self;
        let enabled = cc & CC_ENABLE != 0;
        let answered = matches!(csts & (CSTS_READY | CSTS_FATAL), CSTS_READY | CSTS_FATAL);
        let shut = csts & CSTS_SHUTDOWN;
        cc & !CC_WRITABLE == 0
            && csts & !(CSTS_READY | CSTS_FATAL | CSTS_SHUTDOWN) == 0
            && enabled == answered
            && (enabled || csts & (CSTS_READY | CSTS_FATAL) == 0)
            && shut == if cc & CC_SHUTDOWN != 0 { CSTS_SHUTDOWN_COMPLETE } else { 0 }
            && aqa & !AQA_WRITABLE == 0
            && (asq | acq).is_multiple_of(PAGE)
    }
}
