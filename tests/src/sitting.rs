//! Someone who sits at a machine: types at its serial port and keyboard, and waits for what it says or shows.
//!
//! What they do depends on nothing but what the machine showed, which they look at after fixed pieces of virtual time, so a sitting
//! is the same each time.

use amber_emu::control::keys;
use amber_emu::machine::{Gesture, HostIo, Machine, Ready, Stop};
use std::collections::VecDeque;

/// From one look at the machine to the next, ns of virtual time.
const LOOK_NS: u64 = 20_000_000;
/// From one key stroke to the next, ns of virtual time.
const KEY_NS: u64 = 20_000_000;

/// Their hands, and what they have read.
#[derive(Clone, Debug, Default)]
pub struct Person {
    typing: VecDeque<u8>,
    gestures: VecDeque<Gesture>,
    next_key: u64,
    serial: Vec<u8>,
    /// Virtual time, and when they look at the machine.
    now: u64,
    look_at: u64,
}

impl HostIo for Person {
    fn serial_output(&mut self, port: u8, byte: u8) {
        if port == 0 {
            self.serial.push(byte);
        }
    }
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        self.typing.pop_front().into_iter().collect()
    }
    fn gesture(&mut self, _step: u64, now: u64, ready: Ready) -> Option<Gesture> {
        self.gestures.front().filter(|gesture| now >= self.next_key && ready.takes(gesture))?;
        self.next_key = now + KEY_NS;
        self.gestures.pop_front()
    }
    fn may_input(&self) -> bool {
        true
    }
    fn pace(&mut self, now: u64) {
        self.now = now;
    }
    fn stop_requested(&self) -> bool {
        self.now >= self.look_at
    }
}

/// A machine and the person at it.
pub struct Sitting {
    pub machine: Machine,
    pub person: Person,
}

impl Sitting {
    pub fn new(machine: Machine) -> Self {
        Self { machine, person: Person::default() }
    }

    /// What the machine said on serial port 0 since it was last asked for something, without the terminal's control sequences.
    pub fn said(&self) -> String {
        plain(&String::from_utf8_lossy(&self.person.serial))
    }

    /// Types on serial port 0; what was said before is forgotten.
    pub fn send(&mut self, text: &str) {
        self.person.serial.clear();
        self.person.typing.extend(text.bytes());
    }

    /// Types on the keyboard; what was said before is forgotten.
    ///
    /// # Panics
    /// When no key types a character.
    pub fn type_keys(&mut self, text: &str) {
        self.person.serial.clear();
        self.person.gestures.extend(keys::typing(text).expect("keys of a US keyboard"));
    }

    /// Presses keys by name.
    ///
    /// # Panics
    /// When there is no such key.
    pub fn press(&mut self, names: &str) {
        self.person.gestures.extend(keys::strokes(names).expect("keys by name"));
    }

    /// Presses the power button.
    pub fn press_power(&mut self) {
        self.machine.press_power(&mut self.person);
    }

    /// Goes on for a moment; how the machine ended, if it did.
    pub fn go_on(&mut self) -> Option<Stop> {
        self.person.now = self.machine.now();
        self.person.look_at = self.person.now + LOOK_NS;
        let stop = self.machine.run(u64::MAX, &mut self.person, false);
        (stop != Stop::User).then_some(stop)
    }

    /// Goes on until `seen` is so.
    ///
    /// # Panics
    /// When it is not within `seconds` of virtual time, or the machine stops before.
    pub fn until(&mut self, what: &str, seconds: u64, seen: impl Fn(&Self) -> bool) {
        let end = self.machine.now() + seconds * 1_000_000_000;
        while !seen(self) {
            let now = self.machine.now();
            let shown = || self.machine.screen_text().unwrap_or_default();
            assert!(now < end, "no {what} after {seconds} s; said:\n{}\nshown:\n{}", self.said(), shown());
            assert_eq!(self.go_on(), None, "before {what}; said:\n{}", self.said());
        }
    }

    /// Goes on until it says `text` on serial port 0.
    pub fn until_said(&mut self, text: &str, seconds: u64) {
        self.until(text, seconds, |sitting| sitting.said().contains(text));
    }

    /// Goes on until `text` is on a text screen.
    pub fn until_shown(&mut self, text: &str, seconds: u64) {
        self.until(text, seconds, |sitting| {
            sitting.machine.screen_text().is_some_and(|shown| shown.contains(text))
        });
    }

    /// Goes on until the machine ends.
    ///
    /// # Panics
    /// When it does not within `seconds` of virtual time.
    pub fn until_end(&mut self, seconds: u64) -> Stop {
        let end = self.machine.now() + seconds * 1_000_000_000;
        loop {
            assert!(self.machine.now() < end, "no end after {seconds} s; said:\n{}", self.said());
            if let Some(stop) = self.go_on() {
                return stop;
            }
        }
    }
}

/// Text without the control sequences of a terminal (ECMA-48, 5.4).
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' if characters.clone().next() == Some('[') => {
                characters.next();
                characters.by_ref().find(|character| ('@'..='~').contains(character));
            }
            '\x1b' => {
                characters.next();
            }
            '\r' => {}
            other => plain.push(other),
        }
    }
    plain
}
