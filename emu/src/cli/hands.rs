//! Keys and mouse motion on their way to the guest, at the pace of a person who types fast.

use crate::machine::{Gesture, Ready};
use std::collections::VecDeque;

/// From one key stroke to the next, ns of virtual time.
const KEY_NS: u64 = 10_000_000;

/// What waits.
#[derive(Default)]
pub struct Hands {
    waiting: VecDeque<Gesture>,
    /// When the next key may move.
    from: u64,
}

impl Hands {
    /// Puts gestures behind those that wait.
    pub fn extend(&mut self, gestures: impl IntoIterator<Item = Gesture>) {
        self.waiting.extend(gestures);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Forgets what waits: another machine is there.
    pub fn rest(&mut self) {
        *self = Self::default();
    }

    /// The next gesture, if its time has come and the guest takes it.
    pub fn next(&mut self, now: u64, ready: Ready) -> Option<Gesture> {
        let first = self.waiting.front().filter(|gesture| ready.takes(gesture))?;
        if let Gesture::Key { .. } = first {
            if now < self.from {
                return None;
            }
            self.from = now + KEY_NS;
        }
        self.waiting.pop_front()
    }
}
