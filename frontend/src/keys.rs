//! Keys by their place on the keyboard: what the window system calls them, and what the machine does.

use winit::keyboard::KeyCode::{self, *};

/// Every key a PC's keyboard has, and its name in the machine.
const KEYS: [(KeyCode, &str); 105] = [
    (Escape, "esc"),
    (Digit1, "1"),
    (Digit2, "2"),
    (Digit3, "3"),
    (Digit4, "4"),
    (Digit5, "5"),
    (Digit6, "6"),
    (Digit7, "7"),
    (Digit8, "8"),
    (Digit9, "9"),
    (Digit0, "0"),
    (Minus, "minus"),
    (Equal, "equal"),
    (Backspace, "backspace"),
    (Tab, "tab"),
    (KeyQ, "q"),
    (KeyW, "w"),
    (KeyE, "e"),
    (KeyR, "r"),
    (KeyT, "t"),
    (KeyY, "y"),
    (KeyU, "u"),
    (KeyI, "i"),
    (KeyO, "o"),
    (KeyP, "p"),
    (BracketLeft, "bracket-left"),
    (BracketRight, "bracket-right"),
    (Enter, "enter"),
    (ControlLeft, "ctrl"),
    (KeyA, "a"),
    (KeyS, "s"),
    (KeyD, "d"),
    (KeyF, "f"),
    (KeyG, "g"),
    (KeyH, "h"),
    (KeyJ, "j"),
    (KeyK, "k"),
    (KeyL, "l"),
    (Semicolon, "semicolon"),
    (Quote, "apostrophe"),
    (Backquote, "grave"),
    (ShiftLeft, "shift"),
    (Backslash, "backslash"),
    (KeyZ, "z"),
    (KeyX, "x"),
    (KeyC, "c"),
    (KeyV, "v"),
    (KeyB, "b"),
    (KeyN, "n"),
    (KeyM, "m"),
    (Comma, "comma"),
    (Period, "dot"),
    (Slash, "slash"),
    (ShiftRight, "shift-right"),
    (NumpadMultiply, "kp-multiply"),
    (AltLeft, "alt"),
    (Space, "space"),
    (CapsLock, "caps-lock"),
    (F1, "f1"),
    (F2, "f2"),
    (F3, "f3"),
    (F4, "f4"),
    (F5, "f5"),
    (F6, "f6"),
    (F7, "f7"),
    (F8, "f8"),
    (F9, "f9"),
    (F10, "f10"),
    (F11, "f11"),
    (F12, "f12"),
    (NumLock, "num-lock"),
    (ScrollLock, "scroll-lock"),
    (Numpad7, "kp-7"),
    (Numpad8, "kp-8"),
    (Numpad9, "kp-9"),
    (NumpadSubtract, "kp-minus"),
    (Numpad4, "kp-4"),
    (Numpad5, "kp-5"),
    (Numpad6, "kp-6"),
    (NumpadAdd, "kp-plus"),
    (Numpad1, "kp-1"),
    (Numpad2, "kp-2"),
    (Numpad3, "kp-3"),
    (Numpad0, "kp-0"),
    (NumpadDecimal, "kp-dot"),
    (IntlBackslash, "less"),
    (NumpadEnter, "kp-enter"),
    (ControlRight, "ctrl-right"),
    (NumpadDivide, "kp-divide"),
    (PrintScreen, "print"),
    (AltRight, "alt-right"),
    (Pause, "pause"),
    (Home, "home"),
    (ArrowUp, "up"),
    (PageUp, "page-up"),
    (ArrowLeft, "left"),
    (ArrowRight, "right"),
    (End, "end"),
    (ArrowDown, "down"),
    (PageDown, "page-down"),
    (Insert, "insert"),
    (Delete, "delete"),
    (SuperLeft, "super"),
    (SuperRight, "super-right"),
    (ContextMenu, "menu"),
];

/// The machine's name of a key.
pub fn name(code: KeyCode) -> Option<&'static str> {
    KEYS.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use amber_devices::Key;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_of_the_machine_is_reached_by_one_key_of_its_own() {
        let mapped: Vec<Key> = KEYS.iter().map(|(_, name)| Key::named(name).expect(name)).collect();
        let distinct: BTreeSet<Key> = mapped.iter().copied().collect();
        assert_eq!(distinct.len(), mapped.len(), "two keys are one in the machine");
        assert_eq!(distinct, Key::all().collect());
        let codes: BTreeSet<KeyCode> = KEYS.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes.len(), KEYS.len(), "a key is named twice");
    }

    #[test]
    fn keys_no_pc_has_are_none() {
        assert_eq!(name(KeyA), Some("a"));
        for code in [Fn, BrowserBack, MediaPlayPause, F13, KanaMode, NumpadHash] {
            assert_eq!(name(code), None);
        }
    }
}
