//! What a person does with keyboard and mouse: asked for at the same looks at the host as serial input, and logged.

use super::{HostIo, Machine};
use crate::input::Input;
use amber_devices::{Key, MouseEvent, PointerEvent};
use serde::{Deserialize, Serialize};

/// Most of them at one look.
const AT_ONCE: usize = 16;

/// One thing a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gesture {
    /// A key goes down or up.
    Key { key: Key, pressed: bool },
    /// The mouse moves, or a button changes.
    Mouse(MouseEvent),
    /// The absolute pointer is somewhere, or a button of it changes.
    Pointer(PointerEvent),
}

impl Gesture {
    /// Whether a key comes up, or no button is down and nothing moves.
    pub fn lets_go(&self) -> bool {
        match self {
            Self::Key { pressed, .. } => !pressed,
            Self::Mouse(event) => *event == MouseEvent::default(),
            Self::Pointer(_) => false,
        }
    }
}

/// Who has taken all there was, and listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub keyboard: bool,
    pub mouse: bool,
    pub pointer: bool,
}

impl Ready {
    /// Whether a gesture would reach the guest at once.
    pub fn takes(self, gesture: &Gesture) -> bool {
        match gesture {
            Gesture::Key { .. } => self.keyboard,
            Gesture::Mouse(_) => self.mouse,
            Gesture::Pointer(_) => self.pointer,
        }
    }
}

impl Machine {
    /// Whether the guest listens to an absolute pointer.
    pub fn has_pointer(&self) -> bool {
        self.platform.has_pointer()
    }

    /// Asks the host for what the person does now; whether it did anything.
    pub(super) fn take_gestures(&mut self, host: &mut dyn HostIo) -> bool {
        for n in 0..AT_ONCE {
            let ready = Ready {
                keyboard: self.platform.keyboard_is_ready(),
                mouse: self.platform.mouse_is_ready(),
                pointer: self.platform.pointer_is_ready(),
            };
            let Some(gesture) = host.gesture(self.position.step, self.now(), ready) else { return n != 0 };
            self.note(host, Input::Gesture(gesture));
            self.with_dma(|platform, dma| match gesture {
                Gesture::Key { key, pressed } => {
                    platform.key(dma, key, pressed);
                }
                Gesture::Mouse(event) => platform.mouse(dma, event),
                Gesture::Pointer(event) => platform.point(dma, event),
            });
        }
        true
    }
}
