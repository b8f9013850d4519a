//! Keyboard and mouse: what of them is the machine's, and what the window's.

use super::{About, App};
use crate::action::Action;
use crate::keyboard::Stroke;
use crate::status::State;
use crate::terminal;
use crate::window::Surface;
use amber_emu::control::Method;
use winit::dpi::PhysicalPosition;
use winit::event::{ElementState, KeyEvent, MouseButton, WindowEvent};
use winit::event_loop::ActiveEventLoop;
use winit::keyboard::{KeyCode, PhysicalKey};
use winit::platform::modifier_supplement::KeyEventExtModifierSupplement;

impl App {
    pub(super) fn keys(&self, keys: String) {
        self.ask(Method::Key { keys }, About::Nothing);
    }

    pub(crate) fn release_keys(&mut self) {
        if let Some(keys) = self.keyboard.release_all() {
            self.keys(keys);
        }
    }

    pub(super) fn take_mouse(&mut self) {
        let Some(surface) = &self.surface else { return };
        surface.give_keys_back();
        match surface.grab(true) {
            Ok(locked) => (self.contents.grabbed, self.locked) = (true, locked),
            Err(error) => self.notice(format!("{error:#}")),
        }
        self.draw_soon();
    }

    pub(crate) fn give_mouse_back(&mut self) {
        if !std::mem::take(&mut self.contents.grabbed) {
            return;
        }
        self.mouse.release_all();
        self.report_mouse();
        if let Some(Err(error)) = self.surface.as_ref().map(|surface| surface.grab(false)) {
            self.notice(format!("{error:#}"));
        }
        self.draw_soon();
    }

    /// Whether the pointer is the guest's where it is.
    pub(super) fn points(&self) -> bool {
        self.contents.glance.pointer && !self.contents.grabbed
    }

    pub(super) fn report_mouse(&mut self) {
        if let Some(method) = self.mouse.report(self.points()) {
            self.ask(method, About::Nothing);
        }
    }

    /// Where in the machine's screen the cursor is, unless something of the window is in front of it.
    pub(super) fn cursor_in_screen(&self) -> Option<(u16, u16)> {
        self.contents.place.filter(|_| !self.contents.menu_is_open)?.pointer(self.cursor.x, self.cursor.y)
    }

    /// What the guest has of the mouse's events. Whether it has them for itself.
    pub(super) fn mouse_event(&mut self, event: &WindowEvent) -> bool {
        match event {
            WindowEvent::CursorMoved { position, .. } => {
                let from = std::mem::replace(&mut self.cursor, *position);
                self.cursor_moved(from);
                if let Some(place) = self.cursor_in_screen().filter(|_| self.points()) {
                    // Whoever moves across a machine's past does not change it yet.
                    match self.contents.glance.behind {
                        true => self.mouse.hovers(place),
                        false => self.mouse.points(place),
                    }
                }
            }
            WindowEvent::MouseInput { state, button, .. } => {
                return self.mouse_button(*button, *state == ElementState::Pressed);
            }
            WindowEvent::MouseWheel { delta, .. } if self.has_mouse() => self.mouse.turned(*delta),
            _ => return false,
        }
        self.contents.grabbed
    }

    /// Motion of a pointer that is confined: X servers tell whoever confines it of the device's motion twice.
    pub(super) fn cursor_moved(&mut self, from: PhysicalPosition<f64>) {
        if !self.contents.grabbed || self.locked {
            return;
        }
        self.mouse.moved((self.cursor.x - from.x, self.cursor.y - from.y));
        if let Some(surface) = &self.surface {
            self.cursor = surface.recentre(self.cursor);
        }
    }

    /// Whether what is done with the mouse is for the guest.
    pub(super) fn has_mouse(&self) -> bool {
        self.contents.grabbed || self.points() && self.cursor_in_screen().is_some()
    }

    pub(super) fn mouse_button(&mut self, button: MouseButton, pressed: bool) -> bool {
        if self.has_mouse() || !pressed && self.points() {
            self.mouse.button(button, pressed);
            // At once: a short click's other half may come before the next report.
            self.report_mouse();
            return self.contents.grabbed;
        }
        let runs = matches!(self.contents.state, State::Running | State::Paused);
        if pressed && runs && self.cursor_in_screen().is_some() {
            self.take_mouse();
            return self.contents.grabbed;
        }
        false
    }

    /// A key. Whether it is not egui's.
    pub(super) fn key(&mut self, event: &KeyEvent, event_loop: &ActiveEventLoop) -> bool {
        let PhysicalKey::Code(code) = event.physical_key else { return false };
        let pressed = event.state == ElementState::Pressed;
        let in_menu = self.contents.has_keys() || self.surface.as_ref().is_some_and(Surface::wants_keys);
        let for_host = self.keyboard.is_host(code) || self.keyboard.holds_host();
        let opens_bar = code == KeyCode::F10 && self.contents.start.is_some();
        if opens_bar && pressed && !for_host {
            self.act(Action::MenuBar, event_loop);
            return true;
        }
        if in_menu && pressed && !for_host {
            return false;
        }
        if self.contents.serial && pressed && !for_host {
            let text = event.text_with_all_modifiers();
            if let Some(text) = terminal::sent(event, text) {
                self.ask(Method::Serial { text }, About::Nothing);
            }
            return true;
        }
        // The guest's keyboard repeats by itself.
        if event.repeat {
            return true;
        }
        match self.keyboard.key(code, pressed) {
            Stroke::Guest(keys) => self.keys(keys),
            Stroke::Action(action) => self.act(action, event_loop),
            Stroke::Nothing => {}
        }
        // What it was told of a key's going down it is told of its going up.
        pressed || !in_menu || for_host
    }

    pub(super) fn focus_lost(&mut self) {
        if let Some(percent) = self.speed.let_go() {
            self.ask(Method::Speed { percent }, About::Nothing);
        }
        self.release_keys();
        self.mouse.release_all();
        self.give_mouse_back();
    }
}
