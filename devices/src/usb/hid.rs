//! Keyboard and tablet (HID 1.11).

use super::usage::usage;
use super::{Answer, Setup};
use crate::i8042::Key;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const GET_REPORT: u8 = 1;
const GET_IDLE: u8 = 2;
const GET_PROTOCOL: u8 = 3;
const SET_REPORT: u8 = 9;
const SET_IDLE: u8 = 10;
const SET_PROTOCOL: u8 = 11;
/// Most reports that wait.
const WAITING_MAX: usize = 64;
/// Keys a report has room for.
const KEYS: usize = 6;
/// First of the usages that are modifiers.
const MODIFIERS: u8 = 0xe0;
/// What the report has in place of keys when there are too many.
const ROLL_OVER: u8 = 1;
/// Largest coordinate of a tablet.
pub const POINTER_MAX: u16 = 0x7fff;

/// What a person does with an absolute pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointerEvent {
    /// From the left, 0 to 32767.
    pub x: u16,
    /// From the top, 0 to 32767.
    pub y: u16,
    /// Notches towards the user.
    pub wheel: i32,
    /// Bit 0 left, 1 right, 2 middle.
    pub buttons: u8,
}

/// What both answer alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Common {
    /// 0 is the boot protocol.
    protocol: u8,
    idle: u8,
}

impl Default for Common {
    fn default() -> Self {
        Self { protocol: 1, idle: 0 }
    }
}

impl Common {
    fn request(&mut self, setup: Setup, report: &[u8]) -> Answer {
        let nothing = Answer::Done(Vec::new());
        match (setup.is_in(), setup.request) {
            (true, GET_REPORT) => Answer::Done(report.to_vec()),
            (true, GET_IDLE) => Answer::Done(vec![self.idle]),
            (true, GET_PROTOCOL) => Answer::Done(vec![self.protocol]),
            (false, SET_IDLE) => {
                self.idle = (setup.value >> 8) as u8;
                nothing
            }
            (false, SET_PROTOCOL) => {
                self.protocol = setup.value as u8 & 1;
                nothing
            }
            _ => Answer::Stall,
        }
    }
}

/// The report that waited longest, if any does.
fn first(waiting: &mut Vec<Vec<u8>>) -> Answer {
    if waiting.is_empty() { Answer::Nak } else { Answer::Done(waiting.remove(0)) }
}

/// A keyboard with 104 keys. A report goes out when a key goes down or up, whatever the idle rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Keyboard {
    common: Common,
    modifiers: u8,
    /// Usages of the keys that are down, in the order they went down.
    down: Vec<u8>,
    lights: u8,
    waiting: Vec<Vec<u8>>,
}

impl Keyboard {
    pub fn request(&mut self, setup: Setup, data: &[u8]) -> Answer {
        if (setup.is_in(), setup.request) == (false, SET_REPORT) {
            self.lights = data.first().copied().unwrap_or(0) & 0x1f;
            return Answer::Done(Vec::new());
        }
        let report = self.current();
        self.common.request(setup, &report)
    }

    fn current(&self) -> Vec<u8> {
        let mut report = vec![0; 2 + KEYS];
        report[0] = self.modifiers;
        match self.down.len() {
            0..=KEYS => report[2..2 + self.down.len()].copy_from_slice(&self.down),
            _ => report[2..].fill(ROLL_OVER),
        }
        report
    }

    pub fn report(&mut self) -> Answer {
        first(&mut self.waiting)
    }

    /// A key goes down or up; whether the keyboard took it.
    pub fn key(&mut self, key: Key, pressed: bool) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        let Some(usage) = usage(key) else { return true };
        if usage >= MODIFIERS {
            let bit = 1 << (usage & 7);
            self.modifiers = if pressed { self.modifiers | bit } else { self.modifiers & !bit };
        } else {
            self.down.retain(|down| *down != usage);
            if pressed {
                self.down.push(usage);
            }
        }
        self.waiting.push(self.current());
        true
    }

    pub fn is_drained(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock, as the PC's keyboard has them.
    pub fn leds(&self) -> u8 {
        (self.lights & 1) << 1 | (self.lights & 2) << 1 | (self.lights & 4) >> 2
    }

    pub fn is_possible(&self) -> bool {
        self.waiting.len() <= WAITING_MAX
            && self.waiting.iter().all(|report| report.len() == 2 + KEYS)
            && self.down.len() <= 256
    }
}

/// An absolute pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Tablet {
    common: Common,
    /// The last report that was made.
    last: Vec<u8>,
    waiting: Vec<Vec<u8>>,
}

impl Tablet {
    pub fn request(&mut self, setup: Setup) -> Answer {
        let report = if self.last.is_empty() { vec![0; 6] } else { self.last.clone() };
        self.common.request(setup, &report)
    }

    pub fn report(&mut self) -> Answer {
        first(&mut self.waiting)
    }

    /// The pointer is somewhere. Where reports wait, one that only moves replaces the last.
    pub fn point(&mut self, event: PointerEvent) {
        let mut report = vec![event.buttons & 7];
        report.extend(event.x.min(POINTER_MAX).to_le_bytes());
        report.extend(event.y.min(POINTER_MAX).to_le_bytes());
        // A wheel's notch away from the user is +1.
        report.push(event.wheel.saturating_neg().clamp(-127, 127) as i8 as u8);
        let moved = self.waiting.last().is_some_and(|last| last[0] == report[0] && last[5] == 0);
        if moved || self.waiting.len() >= WAITING_MAX {
            self.waiting.pop();
        }
        self.last.clone_from(&report);
        self.waiting.push(report);
    }

    pub fn is_drained(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn is_possible(&self) -> bool {
        let fits = |report: &Vec<u8>| report.len() == 6;
        self.waiting.len() <= WAITING_MAX
            && self.waiting.iter().all(fits)
            && (self.last.is_empty() || fits(&self.last))
    }
}
