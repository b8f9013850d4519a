//! Registers of a root hub port (xHCI 1.2, 5.4.8).

use crate::usb::Speed;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const CONNECTED: u32 = 1;
const ENABLED: u32 = 1 << 1;
const RESET: u32 = 1 << 4;
const LINK: u32 = 0xf << 5;
const POWERED: u32 = 1 << 9;
const SPEED: u32 = 0xf << 10;
const LINK_STROBE: u32 = 1 << 16;
const CONNECT_CHANGE: u32 = 1 << 17;
const ENABLE_CHANGE: u32 = 1 << 18;
const WARM_CHANGE: u32 = 1 << 19;
const RESET_CHANGE: u32 = 1 << 21;
const LINK_CHANGE: u32 = 1 << 22;
const CHANGES: u32 = 0x7f << 17;
const WAKES: u32 = 0x7 << 25;
const WARM_RESET: u32 = 1 << 31;
/// Link states.
const U0: u32 = 0;
const U3: u32 = 3;
const RX_DETECT: u32 = 5;
const POLLING: u32 = 7;
const RESUME: u32 = 15;

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Port {
    portsc: u32,
    portpmsc: u32,
    portli: u32,
}

/// What a write asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The bus is reset.
    pub reset: bool,
    /// A change bit came up.
    pub changed: bool,
}

impl Port {
    /// After power-on, with a device of that speed at it or none.
    pub fn new(device: Option<Speed>) -> Self {
        let portsc = POWERED
            | match device {
                None => RX_DETECT << 5,
                // It trains by itself; one at high speed waits for a reset.
                Some(Speed::Super) => CONNECTED | ENABLED | CONNECT_CHANGE | (Speed::Super as u32) << 10,
                Some(Speed::High) => CONNECTED | CONNECT_CHANGE | POLLING << 5,
            };
        Self { portsc, portpmsc: 0, portli: 0 }
    }

    pub fn is_enabled(&self) -> bool {
        self.portsc & ENABLED != 0
    }

    /// Whether it says that something changed.
    pub fn has_changed(&self) -> bool {
        self.portsc & CHANGES != 0
    }

    pub fn read(&self, at: u64) -> u32 {
        match at {
            0x0 => self.portsc,
            0x4 => self.portpmsc,
            0x8 => self.portli,
            _ => 0,
        }
    }

    pub fn write(&mut self, at: u64, value: u32, device: Option<Speed>) -> Asked {
        match at {
            0x0 => return self.control(value, device),
            0x4 => self.portpmsc = value,
            _ => {}
        }
        Asked::default()
    }

    fn control(&mut self, value: u32, device: Option<Speed>) -> Asked {
        let before = self.portsc & CHANGES & !value;
        self.portsc = self.portsc & !(CHANGES | WAKES) | before | value & WAKES;
        let mut reset = false;
        if value & (RESET | WARM_RESET) != 0 {
            if let Some(speed) = device {
                reset = true;
                self.reset(speed, value & WARM_RESET != 0);
            }
        } else if value & ENABLED != 0 && device.is_some_and(|speed| speed == Speed::High) {
            // Writing 1 switches the port off.
            self.portsc &= !ENABLED;
        } else if value & LINK_STROBE != 0 && self.is_enabled() {
            self.set_link((value & LINK) >> 5);
        }
        Asked { reset, changed: self.portsc & CHANGES & !before != 0 }
    }

    fn reset(&mut self, speed: Speed, warm: bool) {
        self.portsc &= !(LINK | SPEED);
        self.portsc |= ENABLED | (speed as u32) << 10 | RESET_CHANGE | if warm { WARM_CHANGE } else { 0 };
    }

    fn set_link(&mut self, state: u32) {
        let before = (self.portsc & LINK) >> 5;
        match state {
            // A device that slept says when it is awake; the way there takes no time.
            U0 if before == U3 || before == RESUME => {
                self.portsc = self.portsc & !LINK | LINK_CHANGE;
            }
            U0 | U3 | RESUME => self.portsc = self.portsc & !LINK | state << 5,
            _ => {}
        }
    }

    pub fn is_possible(&self) -> bool {
        self.portsc & (RESET | WARM_RESET | LINK_STROBE | ENABLE_CHANGE) == 0
    }
}
