//! USB devices, as a host controller reaches them: requests to the default endpoint (USB 2.0, 9), and packets of the others.

mod descriptors;
mod hid;
mod scsi;
mod standard;
mod storage;
mod usage;

use crate::device::DeviceCtx;
use amber_snapshot::Schema;
use hid::{Keyboard, Tablet};
use serde::{Deserialize, Serialize};
use standard::Standard;
use storage::Storage;

pub use hid::{POINTER_MAX, PointerEvent};

/// What a device answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Bytes for the host (at most as many as asked for), or that all of the host's were taken.
    Done(Vec<u8>),
    /// Not now.
    Nak,
    /// The request is none, or cannot be done.
    Stall,
}

/// How fast a device is, as a port's speed field has it (xHCI 1.2, table 7-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    High = 3,
    Super = 4,
}

/// The eight bytes that begin a control transfer (USB 2.0, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub kind: u8,
    pub request: u8,
    pub value: u16,
    pub index: u16,
    pub len: u16,
}

impl Setup {
    pub fn of(bytes: [u8; 8]) -> Self {
        let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self { kind: bytes[0], request: bytes[1], value: word(2), index: word(4), len: word(6) }
    }

    /// Data goes to the host.
    pub fn is_in(self) -> bool {
        self.kind & 0x80 != 0
    }
}

/// What a device is built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    Keyboard,
    Tablet,
    /// The disk of this number, with so many sectors, write-protected or not.
    Storage {
        disk: u8,
        sectors: u64,
        read_only: bool,
    },
}

/// What is different from one model to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
enum Function {
    Keyboard(Keyboard),
    Tablet(Tablet),
    Storage(Storage),
}

/// The state of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct UsbDevice {
    standard: Standard,
    function: Function,
}

impl UsbDevice {
    pub fn new(model: Model) -> Self {
        let function = match model {
            Model::Keyboard => Function::Keyboard(Keyboard::default()),
            Model::Tablet => Function::Tablet(Tablet::default()),
            Model::Storage { .. } => Function::Storage(Storage::default()),
        };
        Self { standard: Standard::default(), function }
    }

    /// The bus is reset.
    pub fn reset(&mut self, model: Model) {
        *self = Self::new(model);
    }

    /// A control transfer with the host's `data`.
    pub fn control(&mut self, model: Model, setup: Setup, data: &[u8]) -> Answer {
        let answer = match setup.kind >> 5 & 3 {
            0 => self.standard.request(model, setup),
            1 => match &mut self.function {
                Function::Keyboard(keyboard) => keyboard.request(setup, data),
                Function::Tablet(tablet) => tablet.request(setup),
                Function::Storage(storage) => storage.request(setup),
            },
            _ => Answer::Stall,
        };
        match answer {
            Answer::Done(mut bytes) => {
                bytes.truncate(setup.len.into());
                Answer::Done(bytes)
            }
            other => other,
        }
    }

    /// The host asks endpoint `number` for at most `len` bytes.
    pub fn take(&mut self, cx: &mut DeviceCtx, model: Model, number: u8, len: usize) -> Answer {
        if !self.standard.is_configured() || self.standard.is_halted(number | 0x80) {
            return Answer::Stall;
        }
        let answer = match (&mut self.function, number) {
            (Function::Keyboard(keyboard), 1) => keyboard.report(),
            (Function::Tablet(tablet), 1) => tablet.report(),
            (Function::Storage(storage), 1) => storage.take(cx, model, len),
            _ => Answer::Stall,
        };
        match answer {
            // More than there is room for is babble.
            Answer::Done(bytes) if bytes.len() > len => Answer::Stall,
            Answer::Stall => {
                self.standard.halt(number | 0x80);
                Answer::Stall
            }
            other => other,
        }
    }

    /// The host sends bytes to endpoint `number`.
    pub fn give(&mut self, cx: &mut DeviceCtx, model: Model, number: u8, bytes: &[u8]) -> Answer {
        if !self.standard.is_configured() || self.standard.is_halted(number) {
            return Answer::Stall;
        }
        let answer = match (&mut self.function, number) {
            (Function::Storage(storage), 2) => storage.give(cx, model, bytes),
            _ => Answer::Stall,
        };
        if answer == Answer::Stall {
            self.standard.halt(number);
        }
        answer
    }

    /// When a packet that is refused now would be taken, if time alone decides.
    pub fn ready_at(&self) -> Option<u64> {
        match &self.function {
            Function::Storage(storage) => storage.ready_at(),
            _ => None,
        }
    }

    /// The keyboard, if it is one and a driver listens to it.
    pub fn keyboard(&mut self) -> Option<&mut Keyboard> {
        match &mut self.function {
            Function::Keyboard(keyboard) if self.standard.is_configured() => Some(keyboard),
            _ => None,
        }
    }

    /// The tablet, if it is one and a driver listens to it.
    pub fn tablet(&mut self) -> Option<&mut Tablet> {
        match &mut self.function {
            Function::Tablet(tablet) if self.standard.is_configured() => Some(tablet),
            _ => None,
        }
    }

    pub fn is_configured(&self) -> bool {
        self.standard.is_configured()
    }

    /// Lights of a keyboard that a driver listens to: bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
    pub fn leds(&self) -> Option<u8> {
        match &self.function {
            Function::Keyboard(keyboard) if self.is_configured() => Some(keyboard.leds()),
            _ => None,
        }
    }

    /// Whether all reports are taken.
    pub fn is_ready(&self) -> bool {
        match &self.function {
            Function::Keyboard(keyboard) => keyboard.is_drained(),
            Function::Tablet(tablet) => tablet.is_drained(),
            Function::Storage(_) => true,
        }
    }

    /// Whether a state read from a file could be that of such a device.
    pub fn is_possible(&self, model: Model) -> bool {
        match (&self.function, model) {
            (Function::Keyboard(keyboard), Model::Keyboard) => keyboard.is_possible(),
            (Function::Tablet(tablet), Model::Tablet) => tablet.is_possible(),
            (Function::Storage(storage), Model::Storage { sectors, .. }) => storage.is_possible(sectors),
            _ => false,
        }
    }
}

impl Model {
    pub fn speed(self) -> Speed {
        match self {
            Self::Keyboard | Self::Tablet => Speed::High,
            Self::Storage { .. } => Speed::Super,
        }
    }
}
