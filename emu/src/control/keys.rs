//! Keys and text as `amber ctl` has them.

use crate::machine::Gesture;
use amber_devices::Key;

/// The gestures of `text`, typed on a US keyboard.
///
/// # Errors
/// A sentence that names the character no key types.
pub fn typing(text: &str) -> Result<Vec<Gesture>, String> {
    let shift = || Key::named("shift").ok_or("no Shift");
    let mut gestures = Vec::new();
    for character in text.chars() {
        let (key, shifted) = Key::typing(character)
            .ok_or_else(|| format!("type: no key of a US keyboard types {character:?}"))?;
        let stroke = [Gesture::Key { key, pressed: true }, Gesture::Key { key, pressed: false }];
        match shifted {
            false => gestures.extend(stroke),
            true => {
                gestures.push(Gesture::Key { key: shift()?, pressed: true });
                gestures.extend(stroke);
                gestures.push(Gesture::Key { key: shift()?, pressed: false });
            }
        }
    }
    Ok(gestures)
}

/// The gestures of keys by name: `a`, `ctrl+alt+delete`, several with blanks between; `shift:down` and `shift:up` do half of
/// it.
///
/// # Errors
/// A sentence that names the key there is none of.
pub fn strokes(text: &str) -> Result<Vec<Gesture>, String> {
    let mut gestures = Vec::new();
    for word in text.split_whitespace() {
        let (chord, half) = match word.rsplit_once(':') {
            Some((chord, "down")) => (chord, Some(true)),
            Some((chord, "up")) => (chord, Some(false)),
            Some((_, other)) => return Err(format!("key: `{word}` ends in `{other}`; write :down or :up")),
            None => (word, None),
        };
        let known = |name| Key::named(name).ok_or_else(|| format!("key: there is no key `{name}`"));
        let keys = chord.split('+').map(known).collect::<Result<Vec<Key>, String>>()?;
        if half != Some(false) {
            gestures.extend(keys.iter().map(|key| Gesture::Key { key: *key, pressed: true }));
        }
        if half != Some(true) {
            gestures.extend(keys.iter().rev().map(|key| Gesture::Key { key: *key, pressed: false }));
        }
    }
    match gestures[..] {
        [] => Err("key: no key is named".to_owned()),
        _ => Ok(gestures),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(gestures: Result<Vec<Gesture>, String>) -> String {
        let word = |gesture: Gesture| match gesture {
            Gesture::Key { key, pressed } => {
                format!("{}{}", if pressed { '+' } else { '-' }, key.name().unwrap())
            }
            Gesture::Mouse(event) => format!("{event:?}"),
            Gesture::Pointer(event) => format!("{event:?}"),
        };
        gestures.map_or_else(|error| error, |all| all.into_iter().map(word).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn text_and_chords_become_strokes() {
        assert_eq!(told(typing("aB\n")), "+a -a +shift +b -b -shift +enter -enter");
        assert_eq!(told(typing("ö")), "type: no key of a US keyboard types 'ö'");
        assert_eq!(told(strokes("ctrl+alt+delete")), "+ctrl +alt +delete -delete -alt -ctrl");
        assert_eq!(told(strokes("shift:down a shift:up")), "+shift +a -a -shift");
        assert_eq!(told(strokes("page-up page-up")), "+page-up -page-up +page-up -page-up");
        assert_eq!(told(strokes("hyper")), "key: there is no key `hyper`");
        assert_eq!(told(strokes("a:left")), "key: `a:left` ends in `left`; write :down or :up");
        assert_eq!(told(strokes(" ")), "key: no key is named");
    }
}
