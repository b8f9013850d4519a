//! What a person has done by menus, chords and panes.

use super::{About, App};
use crate::action::Action;
use crate::dialog::Dialog;
use crate::panes::Pane;
use crate::status::State;
use crate::wishes::Wishes;
use amber_emu::control::Method;
use std::sync::atomic::Ordering;
use winit::event_loop::ActiveEventLoop;

impl App {
    pub(super) fn copy(&mut self, text: String) {
        if let Some(surface) = &mut self.surface {
            surface.state.set_clipboard_text(text);
        }
    }

    pub(super) fn paste(&mut self) {
        let text = self.surface.as_mut().and_then(|surface| surface.state.clipboard_text());
        match (text, self.contents.serial) {
            (None, _) => self.notice("There is no text to paste.".to_owned()),
            (Some(text), true) => {
                self.ask(Method::Serial { text: text.replace('\n', "\r") }, About::Nothing);
            }
            (Some(text), false) => self.ask(Method::Type { text }, About::Nothing),
        }
    }

    pub(super) fn copy_text(&mut self) {
        match self.contents.serial {
            true => self.copy(self.contents.scroll.terminal.text()),
            false => self.ask(Method::Text, About::Text),
        }
    }

    pub(super) fn save(&mut self) {
        if self.caller.is_none() {
            return;
        }
        let mut wishes = Wishes::default();
        self.contents.panes.snapshots.save_here(self.contents.glance.now, &mut wishes);
        self.ask_all(wishes);
    }

    fn go_to_past(&mut self, action: Action) {
        let mut wishes = Wishes::default();
        self.contents.timeline.want(action, &mut wishes);
        self.ask_all(wishes);
    }

    pub(super) fn screenshot(&self) {
        let name = format!("amber-{}-{}.png", self.contents.name, self.contents.glance.step);
        let folder = self.contents.settings.screenshots.clone();
        let file = folder.unwrap_or_else(|| std::env::current_dir().unwrap_or_default()).join(name);
        self.ask(Method::Screenshot { file }, About::Screenshot);
    }

    pub(crate) fn act(&mut self, action: Action, event_loop: &ActiveEventLoop) {
        let paused = self.contents.state == State::Paused;
        match action {
            Action::Pause => self.ask(if paused { Method::Resume } else { Method::Pause }, About::Nothing),
            Action::Step => self.ask(self.contents.panes.step(self.contents.glance.cpus), About::Nothing),
            Action::StepOver => self.ask(self.contents.panes.step_over(), About::Nothing),
            Action::StepOut => self.ask(self.contents.panes.step_out(), About::Nothing),
            Action::Frame => self.ask(Method::Frame, About::Nothing),
            Action::StepBack => self.ask(Method::StepBack { count: 1 }, About::Rewound),
            Action::StepOverBack => self.ask(self.contents.panes.step_over_back(), About::Rewound),
            Action::StopBack => self.ask(Method::ReverseContinue, About::Rewound),
            Action::Play => self.ask(Method::Play, About::Nothing),
            // What is to be seen comes with the answer: a drawing now would only delay it.
            Action::SecondBack | Action::ToEnd => return self.go_to_past(action),
            Action::Return(branch) => self.ask(Method::Return { branch }, About::Rewound),
            Action::Speed(percent) => self.ask(Method::Speed { percent }, About::Nothing),
            Action::Slow => self.ask(Method::Speed { percent: self.speed.slow() }, About::Nothing),
            Action::Fast => self.ask(Method::Speed { percent: self.speed.fast() }, About::Nothing),
            Action::FastWhileHeld(held) => {
                let percent = self.speed.hold(held);
                self.ask(Method::Speed { percent }, About::Nothing);
            }
            Action::Timeline => self.contents.timeline.shown = !self.contents.timeline.shown,
            Action::Reset => self.ask(Method::Reset, About::Nothing),
            Action::Power => self.ask(Method::Power, About::Nothing),
            Action::StartAgain => self.start_again(),
            Action::Screenshot => self.screenshot(),
            Action::Save => self.save(),
            Action::Paste => self.paste(),
            Action::CopyText => self.copy_text(),
            Action::FullScreen => self.full_screen(),
            Action::Close => self.close(false),
            Action::CloseNow => self.close(true),
            Action::Media => self.show_media(),
            Action::Settings => self.show_settings(),
            Action::Zoom(zoom) => self.contents.settings.zoom = zoom,
            Action::Theme(theme) => self.contents.settings.theme = theme,
            Action::MenuBar => self.show_menu_bar(),
            Action::Focus => self.contents.keys_wanted = true,
            Action::Scale(scaling) => self.contents.scaling = scaling,
            Action::OtherView => self.other_view(),
            Action::Pane(pane) => self.toggle_pane(pane),
            Action::Mute => self.mute(),
            Action::ReleaseMouse => self.give_mouse_back(),
            Action::Keys(keys) => self.keys(keys.to_owned()),
            Action::Dismiss => self.contents.notice = None,
            Action::Quit => self.leave(event_loop),
        }
        self.draw_soon();
    }

    pub(super) fn mute(&mut self) {
        self.contents.muted = !self.contents.muted;
        if let Some(plan) = &self.started {
            plan.volume.muted.store(self.contents.muted, Ordering::Relaxed);
        }
    }

    pub(super) fn show_settings(&mut self) {
        self.give_mouse_back();
        self.release_keys();
        self.contents.dialog = Some(Dialog::Preferences(Box::default()));
    }

    pub(super) fn show_media(&mut self) {
        if self.caller.is_some() {
            self.give_mouse_back();
            self.release_keys();
            self.contents.dialog = Some(Dialog::Media(Box::default()));
        }
    }

    /// The keyboard to the menu bar.
    pub(super) fn show_menu_bar(&mut self) {
        self.give_mouse_back();
        self.release_keys();
        self.contents.bar.open();
    }

    pub(super) fn full_screen(&mut self) {
        let Some(surface) = &self.surface else { return };
        self.contents.full_screen = !surface.is_full_screen();
        surface.set_full_screen(self.contents.full_screen);
    }

    pub(super) fn other_view(&mut self) {
        self.give_mouse_back();
        self.release_keys();
        self.contents.serial = !self.contents.serial;
    }

    pub(super) fn toggle_pane(&mut self, pane: Pane) {
        if self.contents.start.is_some() {
            return;
        }
        let panes = &mut self.contents.panes;
        panes.shown = (panes.shown != Some(pane)).then_some(pane);
        let wanted = panes.shown.map_or(0.0, |pane| panes.width(pane));
        if let Some(surface) = &mut self.surface {
            surface.make_room(wanted);
        }
    }

    /// Ends the run, and then the program. Who asks twice does not wait for the machine.
    pub(super) fn leave(&mut self, event_loop: &ActiveEventLoop) {
        if self.caller.is_none() || std::mem::replace(&mut self.leaving, true) {
            event_loop.exit();
        }
        self.ask(Method::Quit, About::Nothing);
    }
}
