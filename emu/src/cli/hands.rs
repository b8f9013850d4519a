//! Keys and mouse motion on their way to the guest, at the pace of a person who types fast.

use crate::machine::{Gesture, Ready};
use std::collections::VecDeque;

/// From one key stroke to the next, ns of virtual time.
const KEY_NS: u64 = 10_000_000;
/// How long a place of the absolute pointer holds up what is behind it, ns of virtual time: the guest that listened to one
/// may have been reset.
const POINTER_NS: u64 = 1_000_000_000;

/// What waits.
#[derive(Default)]
pub struct Hands {
    waiting: VecDeque<Gesture>,
    /// When the next key may move.
    from: u64,
    /// Since when nobody takes the first of them.
    stuck: Option<u64>,
}

impl Hands {
    /// Puts gestures behind those that wait.
    pub fn extend(&mut self, gestures: impl IntoIterator<Item = Gesture>) {
        self.waiting.extend(gestures);
    }

    /// Puts gestures before those that wait.
    pub fn before(&mut self, gestures: impl Iterator<Item = Gesture>) {
        let mut all: VecDeque<_> = gestures.collect();
        all.append(&mut self.waiting);
        self.waiting = all;
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
        let first = self.waiting.front()?;
        if !ready.takes(first) {
            self.wait(now);
            return None;
        }
        self.stuck = None;
        if let Gesture::Key { .. } = first {
            if now < self.from {
                return None;
            }
            self.from = now + KEY_NS;
        }
        self.waiting.pop_front()
    }

    /// Nobody takes the first gesture.
    fn wait(&mut self, now: u64) {
        let since = *self.stuck.get_or_insert(now);
        let is_pointer = matches!(self.waiting.front(), Some(Gesture::Pointer(_)));
        if is_pointer && self.waiting.len() > 1 && now.saturating_sub(since) >= POINTER_NS {
            self.waiting.pop_front();
            self.stuck = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amber_devices::{Key, PointerEvent};

    #[test]
    fn a_pointer_nobody_listens_to_does_not_keep_keys_for_ever() {
        let place = Gesture::Pointer(PointerEvent { x: 1, y: 2, wheel: 0, buttons: 0 });
        let key = Gesture::Key { key: Key::named("a").unwrap(), pressed: true };
        let ready = Ready { keyboard: true, mouse: true, pointer: false };
        let mut hands = Hands::default();
        hands.extend([place]);
        assert_eq!(hands.next(0, ready), None);
        assert_eq!(hands.next(10 * POINTER_NS, ready), None);
        assert_eq!(hands.waiting(), 1, "alone it waits for a driver");
        hands.extend([key]);
        let late = 11 * POINTER_NS;
        let taken: Vec<_> = (0..3).map(|n| hands.next(late + n, ready)).collect();
        assert_eq!(taken, [None, Some(key), None]);
        hands.extend([place, key]);
        let soon = 12 * POINTER_NS;
        assert_eq!(hands.next(soon, ready), None);
        assert_eq!(hands.next(soon + 1, Ready { pointer: true, ..ready }), Some(place), "its turn came");
    }
}
