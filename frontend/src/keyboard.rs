//! What the keyboard does: keys for the guest, and chords with the host key.

use super::action::{Action, chord};
use super::keys;
use serde::{Deserialize, Serialize};
use winit::keyboard::KeyCode;

/// The host key: the one that is not the guest's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKey {
    #[default]
    RightCtrl,
    RightAlt,
    ScrollLock,
    Menu,
}

impl HostKey {
    pub const ALL: [Self; 4] = [Self::RightCtrl, Self::RightAlt, Self::ScrollLock, Self::Menu];

    /// Its name, as the window shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RightCtrl => "Right Ctrl",
            Self::RightAlt => "Right Alt",
            Self::ScrollLock => "Scroll Lock",
            Self::Menu => "Menu",
        }
    }

    pub fn code(self) -> KeyCode {
        match self {
            Self::RightCtrl => KeyCode::ControlRight,
            Self::RightAlt => KeyCode::AltRight,
            Self::ScrollLock => KeyCode::ScrollLock,
            Self::Menu => KeyCode::ContextMenu,
        }
    }

    /// The word `amber ctl key` has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::RightCtrl => "ctrl-right",
            Self::RightAlt => "alt-right",
            Self::ScrollLock => "scroll-lock",
            Self::Menu => "menu",
        }
    }
}

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
    /// The host key.
    key: HostKey,
    /// The machine goes fast while the chord's keys are down.
    fast: bool,
}

impl Keyboard {
    /// Another host key.
    pub fn set_host_key(&mut self, key: HostKey) {
        if self.key != key {
            (self.key, self.host, self.chorded) = (key, false, false);
        }
    }

    /// Whether this is the host key.
    pub fn is_host(&self, code: KeyCode) -> bool {
        code == self.key.code()
    }

    /// A key goes down or up.
    pub fn key(&mut self, code: KeyCode, pressed: bool) -> Stroke {
        if self.is_host(code) {
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

    const HOST: KeyCode = KeyCode::ControlRight;

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

    #[test]
    fn another_key_can_be_the_host_key() {
        for key in HostKey::ALL {
            let mut keyboard = Keyboard::default();
            keyboard.set_host_key(key);
            assert_eq!(keys::name(key.code()), Some(key.word()), "the guest can be sent it");
            assert_eq!(keyboard.key(key.code(), true), Stroke::Nothing);
            assert_eq!(keyboard.key(KeyCode::KeyP, true), Stroke::Action(Action::Pause));
            keyboard.key(key.code(), false);
            let others = HostKey::ALL.into_iter().filter(|other| *other != key);
            others.for_each(|other| {
                assert_eq!(keyboard.key(other.code(), true), guest(&format!("{}:down", other.word())))
            });
        }
    }
}
