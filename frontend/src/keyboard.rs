//! What the keyboard does: keys for the guest, and chords with the host key, the right Ctrl.

use super::action::{Action, chord};
use super::keys;
use winit::keyboard::KeyCode;

/// The host key.
pub const HOST: KeyCode = KeyCode::ControlRight;
/// Its name, as the window shows it.
pub const HOST_NAME: &str = "Right Ctrl";

/// What a key that goes down or up comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Stroke {
    /// It is the guest's, by the words `amber ctl key` has.
    Guest(String),
    Action(Action),
    /// Nobody's.
    Nothing,
}

/// The keys that are down.
#[derive(Default)]
pub struct Keyboard {
    /// What the guest was told is down, in order.
    held: Vec<&'static str>,
    host: bool,
    /// The host key was held for a chord.
    chorded: bool,
    /// The machine goes fast while the chord's keys are down.
    fast: bool,
}

impl Keyboard {
    /// A key goes down or up.
    pub fn key(&mut self, code: KeyCode, pressed: bool) -> Stroke {
        if code == HOST {
            return self.host(pressed);
        }
        match (pressed, keys::name(code)) {
            (true, _) if self.host => {
                self.chorded = true;
                let action = chord(code);
                self.fast |= action == Some(Action::FastWhileHeld(true));
                action.map_or(Stroke::Nothing, Stroke::Action)
            }
            (false, _) if chord(code) == Some(Action::FastWhileHeld(true)) && self.fast => {
                self.no_longer_fast()
            }
            // What went down as a part of a chord was not told.
            (false, Some(name)) if !self.held.contains(&name) => Stroke::Nothing,
            (_, None) => Stroke::Nothing,
            (true, Some(name)) => {
                if !self.held.contains(&name) {
                    self.held.push(name);
                }
                Stroke::Guest(format!("{name}:down"))
            }
            (false, Some(name)) => {
                self.held.retain(|held| *held != name);
                Stroke::Guest(format!("{name}:up"))
            }
        }
    }

    fn host(&mut self, pressed: bool) -> Stroke {
        self.host = pressed;
        match pressed {
            true => self.chorded = false,
            false if self.fast => return self.no_longer_fast(),
            false if !self.chorded => return Stroke::Action(Action::ReleaseMouse),
            false => {}
        }
        Stroke::Nothing
    }

    fn no_longer_fast(&mut self) -> Stroke {
        self.fast = false;
        Stroke::Action(Action::FastWhileHeld(false))
    }

    /// The window has lost the keyboard: every key goes up. The guest's words for it, if it had any down.
    pub fn release_all(&mut self) -> Option<String> {
        (self.host, self.chorded, self.fast) = (false, false, false);
        let up = |name| format!("{name}:up");
        let words: Vec<String> = std::mem::take(&mut self.held).into_iter().rev().map(up).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Whether the host key is down.
    pub fn holds_host(&self) -> bool {
        self.host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(words: &str) -> Stroke {
        Stroke::Guest(words.to_owned())
    }

    #[test]
    fn keys_are_the_guests_but_not_with_the_host_key() {
        let mut keyboard = Keyboard::default();
        assert_eq!(keyboard.key(KeyCode::KeyA, true), guest("a:down"));
        assert_eq!(keyboard.key(HOST, true), Stroke::Nothing);
        assert_eq!(keyboard.key(KeyCode::KeyP, true), Stroke::Action(Action::Pause));
        assert_eq!(keyboard.key(KeyCode::KeyA, false), guest("a:up"), "it was down before the chord");
        assert_eq!(keyboard.key(HOST, false), Stroke::Nothing, "it was part of a chord");
        assert_eq!(keyboard.key(KeyCode::KeyP, false), Stroke::Nothing, "the guest never saw it down");
        assert_eq!(keyboard.key(HOST, true), Stroke::Nothing);
        assert_eq!(keyboard.key(HOST, false), Stroke::Action(Action::ReleaseMouse));
    }

    #[test]
    fn a_machine_is_fast_while_both_keys_are_down() {
        let fast = |held| Stroke::Action(Action::FastWhileHeld(held));
        let mut keyboard = Keyboard::default();
        keyboard.key(HOST, true);
        assert_eq!(keyboard.key(KeyCode::Tab, true), fast(true));
        assert_eq!(keyboard.key(KeyCode::Tab, false), fast(false));
        assert_eq!(keyboard.key(KeyCode::Tab, true), fast(true));
        assert_eq!(keyboard.key(HOST, false), fast(false));
        assert_eq!(keyboard.key(KeyCode::Tab, false), Stroke::Nothing);
    }

    #[test]
    fn whoever_loses_the_keyboard_holds_nothing() {
        let mut keyboard = Keyboard::default();
        keyboard.key(KeyCode::AltLeft, true);
        keyboard.key(KeyCode::Tab, true);
        keyboard.key(HOST, true);
        assert_eq!(keyboard.release_all().as_deref(), Some("tab:up alt:up"));
        assert_eq!(keyboard.release_all(), None);
        assert!(!keyboard.holds_host());
        assert_eq!(keyboard.key(KeyCode::Tab, false), Stroke::Nothing);
    }
}
