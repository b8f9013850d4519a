//! From the start screen to a machine, and back.

use super::app::{About, App};
use super::contents::Contents;
use super::dialog::Dialog;
use super::glance::Slot;
use super::machine::{Ended, Plan};
use super::recent::{Last, remember};
use super::speed::Speed;
use super::start::{Dropped, Opening, Room, Start};
use super::status::State;
use super::wishes::Wishes;
use amber_emu::control::Method;
use anyhow::Result;
use serde_json::Value;
use std::path::{Path, PathBuf};
use winit::event_loop::ActiveEventLoop;

/// What is to come when the machine has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// The last it showed.
    #[default]
    Nothing,
    Start,
    /// The same machine, from its start.
    Again,
    /// The start screen, and this file.
    Open(PathBuf),
}

impl App {
    /// Has a machine run in the window.
    pub fn run(&mut self, plan: Result<Plan>) {
        self.contents.forget_machine();
        self.contents.start = None;
        self.failed = None;
        self.speed = Speed::default();
        self.slot = Slot::waking(&self.proxy);
        if let Ok(plan) = &plan {
            plan.name.clone_into(&mut self.contents.name);
            self.contents.serial = plan.serial;
            if let Some(file) = plan.file() {
                remember(&mut self.contents.settings.recent, &file);
            }
        }
        self.set_title();
        self.start(plan);
    }

    /// Has the start screen in the window.
    pub fn show_start(&mut self) {
        self.contents.forget_machine();
        self.contents.full_screen = false;
        if let Some(surface) = &self.surface {
            surface.set_full_screen(false);
        }
        let store = self.running.store.clone();
        self.contents.start = Some(Start::new(self.places.clone(), store.as_deref()));
        (self.started, self.failed, self.opened) = (None, None, false);
        self.set_title();
        self.draw_soon();
    }

    /// Runs what was chosen at the start screen, or says why not.
    fn open(&mut self, opening: &Opening) {
        match Plan::opening(opening, &self.running) {
            Ok(plan) => {
                self.run(Ok(plan));
                self.opened = true;
            }
            Err(error) => self.notice(format!("{error:#}.")),
        }
    }

    /// Does what came of a drawing.
    pub fn grant(&mut self, wishes: Wishes, event_loop: &ActiveEventLoop) {
        for (method, about) in wishes.asks {
            self.ask(method, about);
        }
        for file in wishes.saved {
            remember(&mut self.contents.settings.recent, &file);
        }
        for sentence in wishes.sentences {
            self.notice(sentence);
        }
        for opening in wishes.openings {
            self.open(&opening);
        }
        for file in wishes.drops {
            self.open_instead(file, event_loop);
        }
        for action in wishes.actions {
            self.act(action, event_loop);
        }
    }

    /// Opens a file, when the machine that runs has been closed.
    pub fn open_instead(&mut self, file: PathBuf, event_loop: &ActiveEventLoop) {
        if self.caller.is_some() {
            self.after = After::Open(file);
            self.ask(Method::Quit, About::Nothing);
            return;
        }
        if self.contents.start.is_none() {
            self.show_start();
        }
        let mut wishes = Wishes::default();
        if let Some(start) = &mut self.contents.start {
            start.open(&file, &mut wishes);
        }
        self.grant(wishes, event_loop);
        self.draw_soon();
    }

    /// Goes back to the start screen; a machine that runs is asked about unless `sure`.
    pub fn close(&mut self, sure: bool) {
        if self.contents.start.is_some() {
            return;
        }
        if self.caller.is_none() {
            self.show_start();
        } else if sure || self.contents.glance.ended {
            self.after = After::Start;
            self.ask(Method::Quit, About::Nothing);
        } else {
            self.give_mouse_back();
            self.release_keys();
            self.contents.dialog = Some(Dialog::Close { focused: false });
        }
    }

    /// The machine has ended.
    pub fn machine_ended(&mut self, ended: Ended, event_loop: &ActiveEventLoop) {
        let after = std::mem::take(&mut self.after);
        let leaves = self.leaving || ended.asked && after == After::Nothing;
        // A machine that could not be made has nothing to look at.
        let never_ran = self.opened && ended.failed && self.contents.state == State::Starting;
        let sentence = ended.sentence.clone();
        self.take_news();
        self.keep_last();
        self.ended(ended);
        if matches!(self.contents.dialog, Some(Dialog::Close { .. })) {
            self.contents.dialog = None;
        }
        match after {
            _ if leaves => event_loop.exit(),
            After::Open(file) => self.open_instead(file, event_loop),
            After::Start => self.show_start(),
            After::Again => {
                self.contents.glance.ended = false;
                self.start_again();
            }
            After::Nothing if never_ran => {
                self.show_start();
                self.notice(sentence);
            }
            After::Nothing => {}
        }
    }

    /// Keeps what the machine showed last, for the start screen.
    fn keep_last(&self) {
        let Some(file) = self.started.as_ref().and_then(Plan::file) else { return };
        let Some(last) = last(&self.contents) else { return };
        if let Err(error) = last.write(&self.places.pictures, &file) {
            eprintln!("amber-desktop: the last screen of {} is not kept: {error}", file.display());
        }
    }

    /// A file was dropped on the window. One that comes with others waits until they were looked at.
    pub fn dropped(&mut self, file: &Path) {
        if matches!(self.contents.dialog, Some(Dialog::Dropped(_))) {
            return self.drops.push_back(file.to_owned());
        }
        let room = if self.caller.is_some() { Room::Unknown } else { Room::NoMachine };
        self.give_mouse_back();
        self.release_keys();
        self.contents.hovered = false;
        self.contents.dialog = Some(Dialog::Dropped(Box::new(Dropped::new(file, room))));
        self.ask(Method::DeviceList, About::Room);
        self.ask(Method::MediaList, About::Media);
        self.draw_soon();
    }

    /// Asks about the next file that was dropped, when the one before is done with.
    pub fn next_drop(&mut self) {
        if self.contents.dialog.is_none()
            && self.after == After::Nothing
            && let Some(file) = self.drops.pop_front()
        {
            self.dropped(&file);
        }
    }

    /// Whether the machine takes disks.
    pub fn hear_room(&mut self, outcome: Result<Value, String>) {
        let room = match outcome {
            Err(why) => Room::None(why),
            Ok(answer) => match answer["takes-no-disk"].as_str() {
                Some(why) => Room::None(why.to_owned()),
                None => Room::Free,
            },
        };
        if let Some(Dialog::Dropped(dropped)) = &mut self.contents.dialog {
            dropped.room = room;
        }
        self.draw_soon();
    }

    /// What is in the drives of the machine.
    pub fn hear_media(&mut self, answer: &Value) {
        match &mut self.contents.dialog {
            Some(Dialog::Dropped(dropped)) => dropped.hear(answer),
            Some(Dialog::Media(media)) => media.hear(answer),
            _ => {}
        }
        self.draw_soon();
    }

    /// Where the window is has changed.
    pub fn note_placement(&mut self, at: Option<(i32, i32)>) {
        if let Some(surface) = &self.surface {
            let window = &mut self.contents.settings.window;
            *window = surface.placement(at, *window);
            self.draw_soon();
        }
    }

    /// Has the window look as the settings say, and the settings follow the window.
    pub fn follow_settings(&mut self) {
        let Some(surface) = &self.surface else { return };
        let contents = &mut self.contents;
        let look = (contents.settings.theme, contents.settings.zoom, contents.settings.host_key);
        if self.look != Some(look) {
            self.look = Some(look);
            surface.set_look(&contents.settings);
            self.keyboard.set_host_key(look.2);
            self.set_title();
        }
        self.contents.note_settings();
        match self.keeper.follow(&self.contents.settings) {
            Ok(due) => self.keep_at = due,
            Err(sentence) => self.notice(sentence),
        }
    }

    /// Writes the settings before the program ends.
    pub fn keep_settings(&mut self) {
        // Without a window manager nobody tells where the window is.
        self.note_placement(None);
        if let Err(sentence) = self.keeper.write(&self.contents.settings) {
            eprintln!("amber-desktop: {sentence}");
        }
    }
}

/// What a machine shows, if it has shown anything.
fn last(contents: &Contents) -> Option<Last> {
    let text = contents.scroll.terminal.text();
    match contents.serial && !text.trim().is_empty() {
        true => Some(Last::of_serial(&text)),
        false => contents.picture().map(Last::of_screen),
    }
}
