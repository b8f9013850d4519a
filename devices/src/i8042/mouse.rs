//! The PS/2 mouse with the wheel and five-button extensions.

use crate::fifo::Fifo;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;
const NS_PER_SECOND: u64 = crate::clock::NS_PER_SECOND;
/// Samples a second there are (IBM PS/2 Mouse, Set Sampling Rate).
const RATES: [u8; 7] = [10, 20, 40, 60, 80, 100, 200];
/// Counts to a mm that the host's motion is in, as a power of two: that of the resolution after reset.
const HOST_RESOLUTION: u8 = 2;
/// Bytes of packets the mouse holds; beyond that, motion adds up.
const BUFFER: usize = 16;
const ID_PLAIN: u8 = 0;
const ID_WHEEL: u8 = 3;
const ID_FIVE_BUTTONS: u8 = 4;

/// Motion since the last event and the buttons that are down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MouseEvent {
    /// To the right.
    pub dx: i32,
    /// Upwards.
    pub dy: i32,
    /// Towards the user.
    pub wheel: i32,
    /// Bit 0 left, 1 right, 2 middle, 3 and 4 the side buttons.
    pub buttons: u8,
}

/// The mouse's registers, motion not reported yet, and bytes to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Mouse {
    pub reporting: bool,
    pub remote: bool,
    pub wrap: bool,
    /// Packets in stream mode have motion scaled 2:1.
    pub scaling: bool,
    pub resolution: u8,
    pub sample_rate: u8,
    pub id: u8,
    /// The last three sample rates: the knock that turns the extensions on.
    pub knock: [u8; 3],
    pub pending: Option<u8>,
    pub buttons: u8,
    /// Buttons of the last packet.
    pub reported: u8,
    pub dx: i32,
    pub dy: i32,
    pub wheel: i32,
    pub answers: Fifo<u8>,
    pub packets: Fifo<u8>,
    /// Virtual time of the next sample: no packet is made before, ns.
    pub next_sample: u64,
}

impl Mouse {
    pub fn new() -> Self {
        Self {
            reporting: false,
            remote: false,
            wrap: false,
            scaling: false,
            resolution: 2,
            sample_rate: 100,
            id: ID_PLAIN,
            knock: [0; 3],
            pending: None,
            buttons: 0,
            reported: 0,
            dx: 0,
            dy: 0,
            wheel: 0,
            answers: Fifo::new(),
            packets: Fifo::new(),
            next_sample: 0,
        }
    }

    pub fn take(&mut self) -> Option<u8> {
        self.answers.pop_front().or_else(|| self.packets.pop_front())
    }

    pub fn event(&mut self, event: MouseEvent) {
        let clamp = |sum: i32| sum.clamp(-0x8000, 0x7fff);
        self.dx = clamp(self.dx.saturating_add(event.dx));
        self.dy = clamp(self.dy.saturating_add(event.dy));
        self.wheel = clamp(self.wheel.saturating_add(event.wheel));
        self.buttons = event.buttons & 0x1f;
    }

    /// Whether an event would be sent at the next sample, or go nowhere.
    pub fn is_ready(&self) -> bool {
        self.packets.is_empty() && !self.has_news()
    }

    /// When there is something to sample, ns.
    pub fn sample_at(&self) -> Option<u64> {
        (self.has_news() && self.has_room()).then_some(self.next_sample)
    }

    /// Makes a packet in stream mode, if it is time for one and there is something to tell.
    pub fn sample(&mut self, now: u64) {
        if self.sample_at().is_some_and(|at| at <= now) {
            let packet = self.packet(self.scaling);
            self.packets.extend(packet);
            self.next_sample = now + NS_PER_SECOND / u64::from(self.sample_rate.max(1));
        }
    }

    fn has_news(&self) -> bool {
        let moved = self.counts(self.dx) != 0 || self.counts(self.dy) != 0 || self.wheel != 0;
        self.reporting && !self.remote && !self.wrap && (moved || self.buttons != self.reported)
    }

    fn has_room(&self) -> bool {
        self.packets.len() + 4 <= BUFFER
    }

    /// Motion in counts of the resolution.
    fn counts(&self, motion: i32) -> i32 {
        motion * (1 << (self.resolution & 3)) / (1 << HOST_RESOLUTION)
    }

    /// The motion that as many counts are.
    fn motion(&self, counts: i32) -> i32 {
        counts * (1 << HOST_RESOLUTION) / (1 << (self.resolution & 3))
    }

    fn packet(&mut self, scaling: bool) -> Vec<u8> {
        // Of the highest resolution two counts are one of the host's.
        let limit = if scaling { 126 } else { 254 };
        let (dx, dy) = (self.counts(self.dx).clamp(-limit, limit), self.counts(self.dy).clamp(-limit, limit));
        let wheel = self.wheel.clamp(-8, 7);
        self.dx -= self.motion(dx);
        self.dy -= self.motion(dy);
        self.wheel -= wheel;
        self.reported = self.buttons;
        let (dx, dy) = if scaling { (scaled(dx), scaled(dy)) } else { (dx, dy) };
        let sign = |value: i32, bit: u8| if value < 0 { bit } else { 0 };
        let first = 0x08 | self.buttons & 7 | sign(dx, 0x10) | sign(dy, 0x20);
        let mut packet = vec![first, dx as u8, dy as u8];
        match self.id {
            ID_WHEEL => packet.push(wheel as u8),
            ID_FIVE_BUTTONS => packet.push(wheel as u8 & 0x0f | (self.buttons & 0x18) << 1),
            _ => {}
        }
        packet
    }

    pub fn command(&mut self, value: u8) {
        self.answers.clear();
        if self.wrap && value != 0xec && value != 0xff {
            self.answers.push_back(value);
            return;
        }
        self.answers.push_back(ACK);
        match self.pending.take() {
            Some(0xe8) => self.resolution = value & 3,
            Some(_) if RATES.contains(&value) => self.set_sample_rate(value),
            // Another one is waited for.
            Some(command) => {
                self.pending = Some(command);
                self.answers = Fifo::from([RESEND]);
            }
            None => self.start(value),
        }
    }

    fn set_sample_rate(&mut self, rate: u8) {
        self.sample_rate = rate;
        self.knock = [self.knock[1], self.knock[2], rate];
        match self.knock {
            [200, 100, 80] => self.id = ID_WHEEL,
            [200, 200, 80] if self.id == ID_WHEEL => self.id = ID_FIVE_BUTTONS,
            _ => {}
        }
    }

    fn start(&mut self, value: u8) {
        match value {
            0xe6 => self.scaling = false,
            0xe7 => self.scaling = true,
            0xe8 | 0xf3 => self.pending = Some(value),
            0xe9 => {
                let status = self.status();
                self.answers.extend([status, self.resolution, self.sample_rate]);
            }
            0xea => self.remote = false,
            0xeb => {
                let packet = self.packet(false);
                self.answers.extend(packet);
            }
            0xec => self.wrap = false,
            0xee => self.wrap = true,
            0xf0 => self.remote = true,
            0xf2 => self.answers.push_back(self.id),
            0xf4 => self.reporting = true,
            0xf5 => {
                self.reporting = false;
                self.packets.clear();
            }
            0xf6 => *self = Self { id: self.id, answers: Fifo::from([ACK]), ..Self::new() },
            0xff => {
                let answers = Fifo::from([ACK, SELF_TEST_PASSED, ID_PLAIN]);
                *self = Self { answers, ..Self::new() };
            }
            _ => self.answers = Fifo::from([RESEND]),
        }
    }

    fn status(&self) -> u8 {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let buttons = (self.buttons & 1) << 2 | (self.buttons & 4) >> 1 | (self.buttons & 2) >> 1;
        flag(self.remote, 0x40) | flag(self.reporting, 0x20) | flag(self.scaling, 0x10) | buttons
    }
}

/// Scaling 2:1 (PS/2 technical reference, mouse): slow motion is not doubled.
fn scaled(motion: i32) -> i32 {
    let count = match motion.abs() {
        count @ 0..=1 => count,
        2 => 1,
        3 => 3,
        4 => 6,
        5 => 9,
        count => count * 2,
    };
    count * motion.signum()
}
