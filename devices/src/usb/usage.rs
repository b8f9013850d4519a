//! The PC's keys as usages of the HID keyboard page (HID Usage Tables 1.5, 10).

use crate::i8042::Key;

/// Usages of the keys with set 1 codes 01h to 53h, in order; 0 where there is none.
const PLAIN: [u8; 0x53] = [
    0x29, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x2d, 0x2e, 0x2a,
    0x2b, // esc to tab
    0x14, 0x1a, 0x08, 0x15, 0x17, 0x1c, 0x18, 0x0c, 0x12, 0x13, 0x2f, 0x30, 0x28, 0xe0, // q to ctrl
    0x04, 0x16, 0x07, 0x09, 0x0a, 0x0b, 0x0d, 0x0e, 0x0f, 0x33, 0x34, 0x35, 0xe1,
    0x31, // a to backslash
    0x1d, 0x1b, 0x06, 0x19, 0x05, 0x11, 0x10, 0x36, 0x37, 0x38, 0xe5, 0x55, 0xe2, 0x2c,
    0x39, // z to caps lock
    0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x41, 0x42, 0x43, 0x53, 0x47, // f1 to scroll lock
    0x5f, 0x60, 0x61, 0x56, 0x5c, 0x5d, 0x5e, 0x57, 0x59, 0x5a, 0x5b, 0x62, 0x63, // keypad
];
/// The others: set 1 code, prefix, usage.
const OTHERS: [(u8, bool, u8); 22] = [
    (0x56, false, 0x64),
    (0x57, false, 0x44),
    (0x58, false, 0x45),
    (0x1c, true, 0x58),
    (0x1d, true, 0xe4),
    (0x35, true, 0x54),
    (0x37, true, 0x46),
    (0x38, true, 0xe6),
    (0x46, true, 0x48),
    (0x47, true, 0x4a),
    (0x48, true, 0x52),
    (0x49, true, 0x4b),
    (0x4b, true, 0x50),
    (0x4d, true, 0x4f),
    (0x4f, true, 0x4d),
    (0x50, true, 0x51),
    (0x51, true, 0x4e),
    (0x52, true, 0x49),
    (0x53, true, 0x4c),
    (0x5b, true, 0xe3),
    (0x5c, true, 0xe7),
    (0x5d, true, 0x65),
];

/// The usage of a key, if it has one.
pub(super) fn usage(key: Key) -> Option<u8> {
    let other = OTHERS.iter().find(|(code, extended, _)| (*code, *extended) == (key.code, key.extended));
    let plain = || {
        let index = usize::from(key.code).checked_sub(1).filter(|_| !key.extended)?;
        PLAIN.get(index).copied()
    };
    other.map(|(.., usage)| *usage).or_else(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_usages_of_their_names() {
        let usage = |name: &str| usage(Key::named(name).expect(name));
        let expected = [
            ("a", 0x04),
            ("z", 0x1d),
            ("1", 0x1e),
            ("0", 0x27),
            ("enter", 0x28),
            ("esc", 0x29),
            ("space", 0x2c),
            ("minus", 0x2d),
            ("grave", 0x35),
            ("f1", 0x3a),
            ("f12", 0x45),
            ("scroll-lock", 0x47),
            ("pause", 0x48),
            ("delete", 0x4c),
            ("right", 0x4f),
            ("up", 0x52),
            ("num-lock", 0x53),
            ("kp-enter", 0x58),
            ("kp-1", 0x59),
            ("kp-0", 0x62),
            ("kp-dot", 0x63),
            ("kp-plus", 0x57),
            ("kp-multiply", 0x55),
            ("ctrl", 0xe0),
            ("shift", 0xe1),
            ("alt", 0xe2),
            ("super", 0xe3),
            ("ctrl-right", 0xe4),
            ("shift-right", 0xe5),
            ("alt-right", 0xe6),
        ];
        for (name, number) in expected {
            assert_eq!(usage(name), Some(number), "{name}");
        }
    }

    #[test]
    fn every_key_has_a_usage_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for code in 1..=0x7f {
            for extended in [false, true] {
                let key = Key { code, extended };
                if key.name().is_some() {
                    assert!(seen.insert(usage(key).expect("a usage")), "{key:?}");
                }
            }
        }
    }
}
