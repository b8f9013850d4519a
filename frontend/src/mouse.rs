//! The mouse: motion for a guest that has taken it, places for one that listens to an absolute pointer.

use amber_emu::control::Method;
use std::time::{Duration, Instant};
use winit::event::{MouseButton, MouseScrollDelta};

/// From one report of motion to the next.
const REPORT: Duration = Duration::from_millis(8);
/// Pixels that are as much as a notch of the wheel.
const NOTCH: f64 = 40.0;

/// The bit of a button, as the machine's mice have them.
fn bit(button: MouseButton) -> Option<u8> {
    Some(match button {
        MouseButton::Left => 1,
        MouseButton::Right => 2,
        MouseButton::Middle => 4,
        MouseButton::Back => 8,
        MouseButton::Forward => 16,
        MouseButton::Other(_) => return None,
    })
}

/// What was done with it and not told yet.
#[derive(Default)]
pub struct Mouse {
    buttons: u8,
    /// To the right and down.
    motion: (f64, f64),
    /// Notches towards the user.
    wheel: f64,
    /// The absolute pointer is there.
    place: Option<(u16, u16)>,
    told_at: Option<Instant>,
    changed: bool,
}

impl Mouse {
    pub fn moved(&mut self, (dx, dy): (f64, f64)) {
        self.motion = (self.motion.0 + dx, self.motion.1 + dy);
    }

    /// The absolute pointer is at another place.
    pub fn points(&mut self, place: (u16, u16)) {
        self.changed |= self.place != Some(place);
        self.place = Some(place);
    }

    /// The same, where it does not matter unless a button is down.
    pub fn hovers(&mut self, place: (u16, u16)) {
        self.changed |= self.buttons != 0 && self.place != Some(place);
        self.place = Some(place);
    }

    pub fn button(&mut self, button: MouseButton, pressed: bool) {
        let Some(bit) = bit(button) else { return };
        let buttons = if pressed { self.buttons | bit } else { self.buttons & !bit };
        self.changed |= buttons != self.buttons;
        self.buttons = buttons;
        // A button does not wait for the next report.
        self.told_at = None;
    }

    pub fn turned(&mut self, delta: MouseScrollDelta) {
        // The window system counts away from the user.
        self.wheel -= match delta {
            MouseScrollDelta::LineDelta(_, lines) => f64::from(lines),
            MouseScrollDelta::PixelDelta(pixels) => pixels.y / NOTCH,
        };
    }

    /// No button is down any more, for the guest has lost the mouse.
    pub fn release_all(&mut self) {
        self.changed |= self.buttons != 0;
        self.buttons = 0;
        self.motion = (0.0, 0.0);
        self.told_at = None;
    }

    /// What the machine is to be told now, of motion or else of the absolute pointer.
    pub fn report(&mut self, absolute: bool) -> Option<Method> {
        let wheel = self.wheel.trunc();
        let motion = (self.motion.0.trunc(), self.motion.1.trunc());
        let moved = !absolute && motion != (0.0, 0.0);
        let anything = self.changed || moved || wheel != 0.0;
        if !anything || self.told_at.is_some_and(|at| at.elapsed() < REPORT) {
            return None;
        }
        self.told_at = Some(Instant::now());
        self.changed = false;
        self.wheel -= wheel;
        self.motion = (self.motion.0 - motion.0, self.motion.1 - motion.1);
        let (wheel, buttons) = (wheel as i32, self.buttons);
        if absolute {
            let (x, y) = self.place?;
            return Some(Method::Pointer { x, y, wheel, buttons: buttons & 7 });
        }
        Some(Method::Mouse { dx: motion.0 as i32, dy: motion.1 as i32, wheel, buttons })
    }

    /// When there may be something to tell that waits for its time.
    pub fn report_at(&self) -> Option<Instant> {
        let waits = self.changed || self.motion.0.abs() >= 1.0 || self.motion.1.abs() >= 1.0;
        self.told_at.map(|at| at + REPORT).filter(|_| waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn motion_adds_up_and_parts_of_a_pixel_are_kept() {
        let mut mouse = Mouse::default();
        assert_eq!(mouse.report(false), None);
        mouse.moved((1.5, -2.25));
        mouse.moved((2.0, -1.0));
        assert_eq!(mouse.report(false), Some(Method::Mouse { dx: 3, dy: -3, wheel: 0, buttons: 0 }));
        mouse.moved((0.5, 0.0));
        assert_eq!(mouse.report(false), None, "its time has not come");
        mouse.button(MouseButton::Right, true);
        assert_eq!(mouse.report(false), Some(Method::Mouse { dx: 1, dy: 0, wheel: 0, buttons: 2 }));
        mouse.release_all();
        assert_eq!(mouse.report(false), Some(Method::Mouse { dx: 0, dy: 0, wheel: 0, buttons: 0 }));
    }

    #[test]
    fn a_pointer_is_where_it_points() {
        let mut mouse = Mouse::default();
        mouse.points((5, 6));
        mouse.button(MouseButton::Left, true);
        mouse.turned(MouseScrollDelta::LineDelta(0.0, 2.0));
        assert_eq!(mouse.report(true), Some(Method::Pointer { x: 5, y: 6, wheel: -2, buttons: 1 }));
        mouse.points((5, 6));
        assert_eq!(mouse.report(true), None, "nothing changed");
        mouse.button(MouseButton::Left, false);
        assert_eq!(mouse.report(true), Some(Method::Pointer { x: 5, y: 6, wheel: 0, buttons: 0 }));
        mouse.hovers((7, 8));
        mouse.told_at = None;
        assert_eq!(mouse.report(true), None, "it only hovers");
        mouse.button(MouseButton::Right, true);
        assert_eq!(mouse.report(true), Some(Method::Pointer { x: 7, y: 8, wheel: 0, buttons: 2 }));
    }
}
