//! The keyboard: 104 keys, scan code sets 1, 2 and 3 (IBM PS/2 technical reference, 101/102-key keyboard). A key that is held
//! repeats on virtual time.

use super::scancodes::{
    BREAK_PREFIX, EXTENDED_PREFIX, KEYS, Key, LEFT_ALT, LEFT_CTRL, LEFT_SHIFT, PAUSE, PRINT, RIGHT_ALT,
    RIGHT_CTRL, RIGHT_SHIFT, set_1_to_2,
};
use crate::fifo::Fifo;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const SELF_TEST_PASSED: u8 = 0xaa;
/// Bytes of key strokes the keyboard holds.
const BUFFER: usize = 16;
/// Prefix of Pause.
const PAUSE_PREFIX: u8 = 0xe1;
/// Print with Alt has a code of its own: SysRq.
const SYS_RQ: u8 = 0x54;
/// 10.9 characters a second, after 500 ms.
pub(super) const TYPEMATIC: u8 = 0x2b;

const HELD_CTRL: u8 = 1;
const HELD_SHIFT: u8 = 2;
const HELD_ALT: u8 = 4;

/// A bit for each code of set 3.
type Codes = [u64; 3];
/// Keys that in set 3 come up with break codes: both Shift keys, Ctrl, Alt and Caps Lock.
const MAKE_BREAK: [u8; 5] = [0x11, 0x12, 0x14, 0x19, 0x59];
/// Keys beside the letters, digits and signs that in set 3 come up repeating: Backspace, Tab, Enter, Space, arrows, Delete.
const REPEATING: [u8; 9] = [0x66, 0x0d, 0x5a, 0x29, 0x60, 0x61, 0x63, 0x6a, 0x64];

/// The keyboard's registers and its two queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Keyboard {
    pub scanning: bool,
    pub set: u8,
    pub leds: u8,
    pub typematic: u8,
    /// A command that waits for its argument.
    pub pending: Option<u8>,
    pub last: u8,
    /// Answers to commands, sent ahead of key strokes.
    pub answers: Fifo<u8>,
    pub strokes: Fifo<u8>,
    /// Modifiers that are down.
    pub held: u8,
    /// The key that repeats.
    pub repeating: Option<Key>,
    /// Keys with break codes in set 3.
    pub make_break: Codes,
    /// Keys that repeat in set 3.
    pub repeats: Codes,
}

fn has(codes: &Codes, code: u8) -> bool {
    codes.get(usize::from(code / 64)).is_some_and(|word| word >> (code % 64) & 1 != 0)
}

fn put(codes: &mut Codes, code: u8, on: bool) {
    if let Some(word) = codes.get_mut(usize::from(code / 64)) {
        *word = *word & !(1 << (code % 64)) | u64::from(on) << (code % 64);
    }
}

fn set_of(codes: impl IntoIterator<Item = u8>) -> Codes {
    let mut set = [0; 3];
    codes.into_iter().for_each(|code| put(&mut set, code, true));
    set
}

/// Letters, digits and signs have names of one character, or those of signs.
fn repeats_by_default() -> Codes {
    let types = |name: &str| {
        let signs = [
            "minus",
            "equal",
            "semicolon",
            "apostrophe",
            "grave",
            "backslash",
            "comma",
            "dot",
            "slash",
            "less",
        ];
        name.len() == 1 || name.starts_with("bracket") || signs.contains(&name)
    };
    let typing = KEYS.iter().filter(|(name, ..)| types(name)).map(|(.., code)| *code);
    set_of(typing.chain(REPEATING))
}

impl Keyboard {
    pub fn new() -> Self {
        Self {
            scanning: true,
            set: 2,
            leds: 0,
            typematic: TYPEMATIC,
            pending: None,
            last: 0,
            answers: Fifo::new(),
            strokes: Fifo::new(),
            held: 0,
            repeating: None,
            make_break: set_of(MAKE_BREAK),
            repeats: repeats_by_default(),
        }
    }

    pub fn take(&mut self) -> Option<u8> {
        let byte = self.answers.pop_front().or_else(|| self.strokes.pop_front())?;
        self.last = byte;
        Some(byte)
    }

    /// Whether a key stroke would be sent at once.
    pub fn is_ready(&self) -> bool {
        self.scanning && self.strokes.is_empty()
    }

    /// A key goes down or up; false if there was no room or nobody listens.
    pub fn key(&mut self, key: Key, pressed: bool) -> bool {
        self.hold(key, pressed);
        let repeats = match self.set {
            3 => key.set_3().is_some_and(|code| has(&self.repeats, code)),
            _ => key != PAUSE,
        };
        if pressed {
            self.repeating = Some(key).filter(|_| repeats && self.scanning);
        } else if self.repeating == Some(key) {
            self.repeating = None;
        }
        self.stroke(key, pressed)
    }

    /// The key that is held repeats.
    pub fn repeat(&mut self) {
        if let Some(key) = self.repeating {
            self.stroke(key, true);
        }
    }

    /// From the stroke to the first repetition, ns.
    pub fn delay(&self) -> u64 {
        (u64::from(self.typematic >> 5 & 3) + 1) * 250_000_000
    }

    /// From one repetition to the next, ns: (8 + A) * 2^B units of 1/240 s.
    pub fn period(&self) -> u64 {
        let (a, b) = (u64::from(self.typematic & 7), self.typematic >> 3 & 3);
        ((8 + a) << b) * 1_000_000_000 / 240
    }

    fn hold(&mut self, key: Key, pressed: bool) {
        let bit = match key {
            LEFT_CTRL | RIGHT_CTRL => HELD_CTRL,
            LEFT_SHIFT | RIGHT_SHIFT => HELD_SHIFT,
            LEFT_ALT | RIGHT_ALT => HELD_ALT,
            _ => return,
        };
        self.held = if pressed { self.held | bit } else { self.held & !bit };
    }

    fn stroke(&mut self, key: Key, pressed: bool) -> bool {
        let bytes = match self.set {
            3 => self.codes_of_set_3(key, pressed),
            _ => self.codes(key, pressed),
        };
        let taken = self.scanning && self.strokes.len() + bytes.len() <= BUFFER;
        if taken {
            self.strokes.extend(bytes);
        }
        taken
    }

    fn codes_of_set_3(&self, key: Key, pressed: bool) -> Vec<u8> {
        match key.set_3() {
            Some(code) if pressed => vec![code],
            Some(code) if has(&self.make_break, code) => vec![BREAK_PREFIX, code],
            _ => Vec::new(),
        }
    }

    /// In sets 1 and 2.
    fn codes(&self, key: Key, pressed: bool) -> Vec<u8> {
        match key {
            // It has a break code at once, and none when it goes up.
            PAUSE if self.held & HELD_CTRL == 0 => match pressed {
                true => [
                    self.code(PAUSE_PREFIX, &[0x1d, 0x45], true),
                    self.code(PAUSE_PREFIX, &[0x1d, 0x45], false),
                ]
                .concat(),
                false => Vec::new(),
            },
            PAUSE => match pressed {
                true => {
                    [self.code(EXTENDED_PREFIX, &[0x46], true), self.code(EXTENDED_PREFIX, &[0x46], false)]
                        .concat()
                }
                false => Vec::new(),
            },
            PRINT if self.held & HELD_ALT != 0 => self.plain(SYS_RQ, pressed),
            PRINT if self.held & (HELD_CTRL | HELD_SHIFT) == 0 => {
                // As if Shift were down: the key was Shift and the asterisk once.
                let (shift, print) = (
                    self.code(EXTENDED_PREFIX, &[0x2a], pressed),
                    self.code(EXTENDED_PREFIX, &[0x37], pressed),
                );
                if pressed { [shift, print].concat() } else { [print, shift].concat() }
            }
            Key { code, extended: true } => self.code(EXTENDED_PREFIX, &[code & 0x7f], pressed),
            Key { code, .. } => self.plain(code & 0x7f, pressed),
        }
    }

    fn plain(&self, code: u8, pressed: bool) -> Vec<u8> {
        match (self.set, pressed) {
            (1, true) => vec![code],
            (1, false) => vec![code | 0x80],
            (_, true) => vec![set_1_to_2(code)],
            (_, false) => vec![BREAK_PREFIX, set_1_to_2(code)],
        }
    }

    fn code(&self, prefix: u8, codes: &[u8], pressed: bool) -> Vec<u8> {
        let codes = codes.iter().flat_map(|code| self.plain(*code, pressed));
        std::iter::once(prefix).chain(codes).collect()
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
            (0xf0, set @ 1..=3) => {
                self.set = set;
                self.silence();
            }
            (0xf3, rate) => self.typematic = rate & 0x7f,
            // Keys of set 3, until a command comes.
            (0xfb..=0xfd, code) => {
                put(&mut self.repeats, code, command == 0xfb);
                put(&mut self.make_break, code, command == 0xfc);
                self.pending = Some(command);
            }
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
            0xf4 => {
                self.silence();
                self.scanning = true;
            }
            0xf5 => self.defaults(false),
            0xf6 => self.defaults(true),
            // All keys of set 3: repeat; break codes; neither; both.
            0xf7..=0xfa => {
                self.repeats = if matches!(value, 0xf7 | 0xfa) { [u64::MAX; 3] } else { [0; 3] };
                self.make_break = if matches!(value, 0xf8 | 0xfa) { [u64::MAX; 3] } else { [0; 3] };
                self.silence();
            }
            0xfb..=0xfd => {
                self.pending = Some(value);
                self.silence();
            }
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

    /// Forgets key strokes and what repeats.
    fn silence(&mut self) {
        self.strokes.clear();
        self.repeating = None;
    }

    fn defaults(&mut self, scanning: bool) {
        let (last, leds, held) = (self.last, self.leds, self.held);
        *self = Self { scanning, last, leds, held, ..Self::new() };
    }
}
