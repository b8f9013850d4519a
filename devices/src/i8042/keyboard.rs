//! The keyboard: 101 keys, scan code sets 1 and 2 (IBM PS/2 technical reference, 101/102-key keyboard).

use super::scancodes::{BREAK_PREFIX, EXTENDED_PREFIX, Key, set_1_to_2};
use crate::fifo::Fifo;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;
/// Bytes of key strokes the keyboard holds.
const BUFFER: usize = 16;

/// The keyboard's registers and its two queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Keyboard {
    scanning: bool,
    set: u8,
    leds: u8,
    typematic: u8,
    /// A command that waits for its argument.
    pending: Option<u8>,
    last: u8,
    /// Answers to commands, sent ahead of key strokes.
    answers: Fifo<u8>,
    strokes: Fifo<u8>,
}

impl Keyboard {
    pub fn new() -> Self {
        Self {
            scanning: true,
            set: 2,
            leds: 0,
            typematic: 0x2b,
            pending: None,
            last: 0,
            answers: Fifo::new(),
            strokes: Fifo::new(),
        }
    }

    pub fn take(&mut self) -> Option<u8> {
        let byte = self.answers.pop_front().or_else(|| self.strokes.pop_front())?;
        self.last = byte;
        Some(byte)
    }

    /// A key goes down or up; false if there was no room or nobody listens.
    pub fn key(&mut self, key: Key, pressed: bool) -> bool {
        let mut bytes = Vec::with_capacity(3);
        if key.extended {
            bytes.push(EXTENDED_PREFIX);
        }
        if self.set == 1 {
            bytes.push(key.code & 0x7f | if pressed { 0 } else { 0x80 });
        } else {
            if !pressed {
                bytes.push(BREAK_PREFIX);
            }
            bytes.push(set_1_to_2(key.code & 0x7f));
        }
        let taken = self.scanning && self.strokes.len() + bytes.len() <= BUFFER;
        if taken {
            self.strokes.extend(bytes);
        }
        taken
    }

    pub fn command(&mut self, value: u8) {
        // Each byte ends what the keyboard was saying.
        self.answers.clear();
        match self.pending.take() {
            Some(command) if value < 0xed => self.argument(command, value),
            _ => self.start(value),
        }
    }

    fn argument(&mut self, command: u8, value: u8) {
        match (command, value) {
            (0xed, leds) => self.leds = leds & 7,
            (0xf0, 0) => {
                self.answers.extend([ACK, self.set]);
                return;
            }
            (0xf0, set @ 1..=2) => self.set = set,
            (0xf3, rate) => self.typematic = rate & 0x7f,
            _ => {
                self.answers.push_back(RESEND);
                return;
            }
        }
        self.answers.push_back(ACK);
    }

    fn start(&mut self, value: u8) {
        match value {
            0xed | 0xf0 | 0xf3 => self.pending = Some(value),
            0xee => {
                self.answers.push_back(0xee);
                return;
            }
            0xf2 => {
                self.answers.extend([ACK, 0xab, 0x83]);
                return;
            }
            0xf4 => self.scanning = true,
            0xf5 => self.defaults(false),
            0xf6 => self.defaults(true),
            0xf7..=0xfa => {}
            0xfe => {
                self.answers.push_back(self.last);
                return;
            }
            0xff => {
                self.defaults(true);
                self.answers.extend([ACK, SELF_TEST_PASSED]);
                return;
            }
            _ => {
                self.answers.push_back(RESEND);
                return;
            }
        }
        self.answers.push_back(ACK);
    }

    fn defaults(&mut self, scanning: bool) {
        let (last, leds) = (self.last, self.leds);
        *self = Self { scanning, last, leds, ..Self::new() };
    }
}
