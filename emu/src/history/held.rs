//! Keys and buttons that are down, by what a person did.

use crate::input::{Input, Record};
use crate::machine::Gesture;
use amber_devices::{Key, MouseEvent, PointerEvent};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// In the order they went down.
    keys: Vec<Key>,
    mouse: u8,
    /// The last of the absolute pointer, while a button of it is down.
    pointer: Option<PointerEvent>,
}

impl Held {
    /// What is down after an input.
    #[must_use]
    pub fn after(mut self, record: &Record) -> Self {
        match record.input {
            Input::Gesture(Gesture::Key { key, pressed }) => {
                self.keys.retain(|down| *down != key);
                self.keys.extend(Some(key).filter(|_| pressed));
            }
            Input::Gesture(Gesture::Mouse(event)) => self.mouse = event.buttons,
            Input::Gesture(Gesture::Pointer(event)) => {
                self.pointer = Some(event).filter(|event| event.buttons != 0);
            }
            _ => {}
        }
        self
    }

    /// What a person does who lets all of it go: the last key first.
    pub fn released(&self) -> impl Iterator<Item = Gesture> {
        let keys = self.keys.iter().rev().map(|key| Gesture::Key { key: *key, pressed: false });
        let mouse = (self.mouse != 0).then(|| Gesture::Mouse(MouseEvent::default()));
        let pointer =
            self.pointer.map(|event| Gesture::Pointer(PointerEvent { wheel: 0, buttons: 0, ..event }));
        keys.chain(mouse).chain(pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_down_and_not_up_is_let_go() {
        let key = |name: &str| Key::named(name).expect("there is such a key");
        let stroke = |name: &str, pressed: bool| Gesture::Key { key: key(name), pressed };
        let mouse = |buttons: u8| Gesture::Mouse(MouseEvent { dx: 3, buttons, ..MouseEvent::default() });
        let place = |buttons: u8| Gesture::Pointer(PointerEvent { x: 5, y: 6, wheel: 1, buttons });
        let held = |gestures: &[Gesture]| {
            let records = gestures.iter().map(|gesture| Record { step: 1, input: Input::Gesture(*gesture) });
            records.fold(Held::default(), |held, record| held.after(&record))
        };
        let down = held(&[stroke("shift", true), stroke("a", true), stroke("b", true), stroke("a", false)]);
        assert_eq!(down.released().collect::<Vec<_>>(), [stroke("b", false), stroke("shift", false)]);
        let buttons = held(&[mouse(1), place(2)]);
        let up = Gesture::Pointer(PointerEvent { x: 5, y: 6, wheel: 0, buttons: 0 });
        assert_eq!(buttons.released().collect::<Vec<_>>(), [Gesture::Mouse(MouseEvent::default()), up]);
        assert_eq!(
            held(&[mouse(1), mouse(0), place(0), stroke("a", true), stroke("a", false)]),
            Held::default()
        );
    }
}
