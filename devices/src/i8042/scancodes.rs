//! Scan codes: the keys of a keyboard with 104 keys and their codes in all three sets, and the controller's translation from
//! set 2 to set 1 (IBM PS/2 technical reference, 101/102-key keyboard; the Windows keys as Microsoft specified them).

use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Sets 2 and 3: prefix of a key going up.
pub(super) const BREAK_PREFIX: u8 = 0xf0;
/// Sets 1 and 2: prefix of keys the PC/AT keyboard did not have.
pub(super) const EXTENDED_PREFIX: u8 = 0xe0;

/// A key by its make code in set 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
pub struct Key {
    /// Make code in set 1, 0x01-0x7F.
    pub code: u8,
    /// The code has the prefix 0xE0.
    pub extended: bool,
}

const fn plain(code: u8) -> Key {
    Key { code, extended: false }
}

const fn extended(code: u8) -> Key {
    Key { code, extended: true }
}

pub(super) const LEFT_CTRL: Key = plain(0x1d);
pub(super) const RIGHT_CTRL: Key = extended(0x1d);
pub(super) const LEFT_SHIFT: Key = plain(0x2a);
pub(super) const RIGHT_SHIFT: Key = plain(0x36);
pub(super) const LEFT_ALT: Key = plain(0x38);
pub(super) const RIGHT_ALT: Key = extended(0x38);
pub(super) const PRINT: Key = extended(0x37);
/// Has codes of its own in sets 1 and 2; with Ctrl it is Break, which has this one.
pub(super) const PAUSE: Key = extended(0x46);

/// A key's name, and what it is in set 3. Its code in set 2 follows from that in set 1.
type Named = (&'static str, Key, u8);

/// Every key.
pub(super) const KEYS: [Named; 105] = [
    ("esc", plain(0x01), 0x08),
    ("1", plain(0x02), 0x16),
    ("2", plain(0x03), 0x1e),
    ("3", plain(0x04), 0x26),
    ("4", plain(0x05), 0x25),
    ("5", plain(0x06), 0x2e),
    ("6", plain(0x07), 0x36),
    ("7", plain(0x08), 0x3d),
    ("8", plain(0x09), 0x3e),
    ("9", plain(0x0a), 0x46),
    ("0", plain(0x0b), 0x45),
    ("minus", plain(0x0c), 0x4e),
    ("equal", plain(0x0d), 0x55),
    ("backspace", plain(0x0e), 0x66),
    ("tab", plain(0x0f), 0x0d),
    ("q", plain(0x10), 0x15),
    ("w", plain(0x11), 0x1d),
    ("e", plain(0x12), 0x24),
    ("r", plain(0x13), 0x2d),
    ("t", plain(0x14), 0x2c),
    ("y", plain(0x15), 0x35),
    ("u", plain(0x16), 0x3c),
    ("i", plain(0x17), 0x43),
    ("o", plain(0x18), 0x44),
    ("p", plain(0x19), 0x4d),
    ("bracket-left", plain(0x1a), 0x54),
    ("bracket-right", plain(0x1b), 0x5b),
    ("enter", plain(0x1c), 0x5a),
    ("ctrl", LEFT_CTRL, 0x11),
    ("a", plain(0x1e), 0x1c),
    ("s", plain(0x1f), 0x1b),
    ("d", plain(0x20), 0x23),
    ("f", plain(0x21), 0x2b),
    ("g", plain(0x22), 0x34),
    ("h", plain(0x23), 0x33),
    ("j", plain(0x24), 0x3b),
    ("k", plain(0x25), 0x42),
    ("l", plain(0x26), 0x4b),
    ("semicolon", plain(0x27), 0x4c),
    ("apostrophe", plain(0x28), 0x52),
    ("grave", plain(0x29), 0x0e),
    ("shift", LEFT_SHIFT, 0x12),
    ("backslash", plain(0x2b), 0x5c),
    ("z", plain(0x2c), 0x1a),
    ("x", plain(0x2d), 0x22),
    ("c", plain(0x2e), 0x21),
    ("v", plain(0x2f), 0x2a),
    ("b", plain(0x30), 0x32),
    ("n", plain(0x31), 0x31),
    ("m", plain(0x32), 0x3a),
    ("comma", plain(0x33), 0x41),
    ("dot", plain(0x34), 0x49),
    ("slash", plain(0x35), 0x4a),
    ("shift-right", RIGHT_SHIFT, 0x59),
    ("kp-multiply", plain(0x37), 0x7e),
    ("alt", LEFT_ALT, 0x19),
    ("space", plain(0x39), 0x29),
    ("caps-lock", plain(0x3a), 0x14),
    ("f1", plain(0x3b), 0x07),
    ("f2", plain(0x3c), 0x0f),
    ("f3", plain(0x3d), 0x17),
    ("f4", plain(0x3e), 0x1f),
    ("f5", plain(0x3f), 0x27),
    ("f6", plain(0x40), 0x2f),
    ("f7", plain(0x41), 0x37),
    ("f8", plain(0x42), 0x3f),
    ("f9", plain(0x43), 0x47),
    ("f10", plain(0x44), 0x4f),
    ("num-lock", plain(0x45), 0x76),
    ("scroll-lock", plain(0x46), 0x5f),
    ("kp-7", plain(0x47), 0x6c),
    ("kp-8", plain(0x48), 0x75),
    ("kp-9", plain(0x49), 0x7d),
    ("kp-minus", plain(0x4a), 0x84),
    ("kp-4", plain(0x4b), 0x6b),
    ("kp-5", plain(0x4c), 0x73),
    ("kp-6", plain(0x4d), 0x74),
    ("kp-plus", plain(0x4e), 0x7c),
    ("kp-1", plain(0x4f), 0x69),
    ("kp-2", plain(0x50), 0x72),
    ("kp-3", plain(0x51), 0x7a),
    ("kp-0", plain(0x52), 0x70),
    ("kp-dot", plain(0x53), 0x71),
    ("less", plain(0x56), 0x13),
    ("f11", plain(0x57), 0x56),
    ("f12", plain(0x58), 0x5e),
    ("kp-enter", extended(0x1c), 0x79),
    ("ctrl-right", RIGHT_CTRL, 0x58),
    ("kp-divide", extended(0x35), 0x77),
    ("print", PRINT, 0x57),
    ("alt-right", RIGHT_ALT, 0x39),
    ("pause", PAUSE, 0x62),
    ("home", extended(0x47), 0x6e),
    ("up", extended(0x48), 0x63),
    ("page-up", extended(0x49), 0x6f),
    ("left", extended(0x4b), 0x61),
    ("right", extended(0x4d), 0x6a),
    ("end", extended(0x4f), 0x65),
    ("down", extended(0x50), 0x60),
    ("page-down", extended(0x51), 0x6d),
    ("insert", extended(0x52), 0x67),
    ("delete", extended(0x53), 0x64),
    ("super", extended(0x5b), 0x8b),
    ("super-right", extended(0x5c), 0x8c),
    ("menu", extended(0x5d), 0x8d),
];

impl Key {
    /// The key of this name, e.g. `a`, `f1`, `page-up`.
    pub fn named(name: &str) -> Option<Self> {
        KEYS.iter().find(|(known, ..)| *known == name).map(|(_, key, _)| *key)
    }

    /// Every key of a keyboard with 104 keys, and the one beside the left Shift that others have.
    pub fn all() -> impl Iterator<Item = Self> {
        KEYS.iter().map(|(_, key, _)| *key)
    }

    /// Its name, if it is one of a keyboard with 104 keys.
    pub fn name(self) -> Option<&'static str> {
        KEYS.iter().find(|(_, key, _)| *key == self).map(|(name, ..)| *name)
    }

    /// The key that types `character` on a US keyboard, and whether Shift must be down.
    pub fn typing(character: char) -> Option<(Self, bool)> {
        /// Names of keys with what they type without and with Shift.
        const SIGNS: [(&str, char, char); 24] = [
            ("1", '1', '!'),
            ("2", '2', '@'),
            ("3", '3', '#'),
            ("4", '4', '$'),
            ("5", '5', '%'),
            ("6", '6', '^'),
            ("7", '7', '&'),
            ("8", '8', '*'),
            ("9", '9', '('),
            ("0", '0', ')'),
            ("minus", '-', '_'),
            ("equal", '=', '+'),
            ("bracket-left", '[', '{'),
            ("bracket-right", ']', '}'),
            ("semicolon", ';', ':'),
            ("apostrophe", '\'', '"'),
            ("grave", '`', '~'),
            ("backslash", '\\', '|'),
            ("comma", ',', '<'),
            ("dot", '.', '>'),
            ("slash", '/', '?'),
            ("space", ' ', ' '),
            ("enter", '\n', '\r'),
            ("tab", '\t', '\t'),
        ];
        if character.is_ascii_alphabetic() {
            let name = character.to_ascii_lowercase().to_string();
            return Some((Self::named(&name)?, character.is_ascii_uppercase()));
        }
        match character {
            '\r' => return Some((Self::named("enter")?, false)),
            '\u{8}' => return Some((Self::named("backspace")?, false)),
            '\u{1b}' => return Some((Self::named("esc")?, false)),
            _ => {}
        }
        let (name, plain, _) = SIGNS.iter().find(|(_, a, b)| [*a, *b].contains(&character))?;
        Some((Self::named(name)?, *plain != character))
    }

    /// Its code in set 3. Keys that are none of a keyboard's have none.
    pub(super) fn set_3(self) -> Option<u8> {
        KEYS.iter().find(|(_, key, _)| *key == self).map(|(.., code)| *code)
    }
}

/// The 8042's translation of codes below 0x80 (PS/2 technical reference, keyboard controller).
const SET_2_TO_1: [u8; 128] = [
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, //
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, //
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, //
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, //
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, //
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, //
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, //
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, //
];

/// Set 1 code of a set 2 code.
pub(super) fn set_2_to_1(code: u8) -> u8 {
    match code {
        0x83 => 0x41,
        0x84 => 0x54,
        code => SET_2_TO_1.get(usize::from(code)).copied().unwrap_or(code),
    }
}

/// Set 2 code of a set 1 make code. F7's 0x83 and SysRq's 0x84 are what keyboards send, not the table's other preimages.
pub(super) fn set_1_to_2(code: u8) -> u8 {
    match code {
        0x41 => 0x83,
        0x54 => 0x84,
        code => SET_2_TO_1.iter().position(|set_1| *set_1 == code).map_or(0, |index| index as u8),
    }
}
