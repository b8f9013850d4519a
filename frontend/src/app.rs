//! The program: the window's events to the machine, the machine's news to the window.

use super::action::Action;
use super::comparison::Comparison;
use super::contents::Contents;
use super::dialog::Dialog;
use super::glance::{News, Slot};
use super::keyboard::{HostKey, Keyboard, Stroke};
use super::machine::{Ended, Plan};
use super::mouse::Mouse;
use super::opening::After;
use super::panes::Pane;
use super::panes::debugger::Question;
use super::panes::snapshots::shelf::{Shelf, Told};
use super::places::Places;
use super::settings::{Keeper, Settings, Theme};
use super::speed::Speed;
use super::status::State;
use super::terminal;
use super::window::Surface;
use super::wishes::Wishes;
use amber_emu::cli::args::RunningArgs;
use amber_emu::control::{Caller, Method};
use anyhow::Result;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use winit::application::ApplicationHandler;
use winit::dpi::PhysicalPosition;
use winit::event::{DeviceEvent, DeviceId, ElementState, KeyEvent, MouseButton, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoopProxy};
use winit::keyboard::{KeyCode, PhysicalKey};
use winit::platform::modifier_supplement::KeyEventExtModifierSupplement;
use winit::window::WindowId;

/// From one drawing to the next, at least.
const FRAME: Duration = Duration::from_millis(15);

/// What wakes the window.
#[derive(Debug)]
pub enum Event {
    /// Something new of the machine waits.
    News,
    /// The machine's answer.
    Answered(About, Result<Value, String>),
    Ended(Ended),
    /// What became of a job of the snapshot store.
    Shelf(Told),
}

/// What an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Nobody waits for it.
    Nothing,
    /// The screen's characters, for the clipboard.
    Text,
    /// A picture was written.
    Screenshot,
    /// Counters, for their pane.
    Statistics,
    /// What is remembered of the run.
    History,
    /// The machine went to another time.
    Rewound,
    /// For the debugger.
    Debugger(Question),
    /// Where the machine stands.
    Here,
    /// The machine went on from a snapshot.
    Loaded,
    /// A snapshot was saved.
    Saved,
    /// A disk came.
    Plugged,
    /// Whether a disk could come.
    Room,
}

/// What the program begins with.
pub enum First {
    /// The start screen; how what is chosen there is to run.
    Start(Box<RunningArgs>),
    /// A machine, or why there is none.
    Machine(Result<Box<Plan>>),
}

/// See the module.
pub struct App {
    pub(super) proxy: EventLoopProxy<Event>,
    /// What is to be shown first, until the window is open.
    first: Option<First>,
    /// How machines of the start screen run.
    pub(super) running: RunningArgs,
    pub(super) places: Places,
    /// What runs, or ran.
    pub(super) started: Option<Plan>,
    /// It was chosen at the start screen.
    pub(super) opened: bool,
    pub(super) after: After,
    pub(super) surface: Option<Surface>,
    pub(super) contents: Contents,
    pub(super) slot: Arc<Slot>,
    pub(super) caller: Option<Caller>,
    pub(super) keyboard: Keyboard,
    pub(super) keeper: Keeper,
    /// When the settings are to be written.
    pub(super) keep_at: Option<Instant>,
    /// What of the settings the window has.
    pub(super) look: Option<(Theme, u32, HostKey)>,
    mouse: Mouse,
    cursor: PhysicalPosition<f64>,
    /// The pointer the guest has is locked in place.
    locked: bool,
    drawn: Instant,
    draw_at: Option<Instant>,
    pub(super) leaving: bool,
    pub(super) speed: Speed,
    /// Why there is no window, or the machine could not run.
    pub failed: Option<String>,
}

impl App {
    pub fn new(proxy: EventLoopProxy<Event>, first: First, places: Places) -> Self {
        let slot = Slot::waking(&proxy);
        let (settings, sentence) = Settings::read(&places.settings);
        let running = match &first {
            First::Start(running) => (**running).clone(),
            First::Machine(plan) => plan.as_ref().map(|plan| plan.running().clone()).unwrap_or_default(),
        };
        let mut contents = Contents::new("no machine".to_owned(), false);
        contents.take_settings(settings.clone());
        contents.notice = sentence;
        Self {
            proxy,
            first: Some(first),
            running,
            keeper: Keeper::new(places.settings.clone(), settings),
            places,
            started: None,
            opened: false,
            after: After::Nothing,
            keep_at: None,
            look: None,
            surface: None,
            contents,
            slot,
            caller: None,
            keyboard: Keyboard::default(),
            mouse: Mouse::default(),
            cursor: PhysicalPosition::default(),
            locked: false,
            drawn: Instant::now(),
            draw_at: None,
            leaving: false,
            speed: Speed::default(),
            failed: None,
        }
    }

    pub(super) fn start(&mut self, plan: Result<Plan>) {
        let proxy = self.proxy.clone();
        let ended = move |ended| drop(proxy.send_event(Event::Ended(ended)));
        self.started = plan.as_ref().ok().cloned();
        self.open_shelf();
        match plan.and_then(|plan| plan.start(Arc::clone(&self.slot), ended)) {
            Ok(caller) => self.caller = Some(caller),
            Err(error) => self.ended(Ended::failed(format!("{error:#}"))),
        }
    }

    /// Opens the store of the machine's snapshots.
    fn open_shelf(&mut self) {
        let proxy = self.proxy.clone();
        let store = self.started.as_ref().and_then(|plan| plan.config.store.clone());
        let tell = move |told| drop(proxy.send_event(Event::Shelf(told)));
        self.contents.panes.snapshots.open(Shelf::new(store, tell));
    }

    /// What became of a job of the store.
    fn told(&mut self, told: Told) {
        if let Told::Compared(table) = told {
            self.contents.comparison = Some(Comparison::new(*table));
        } else if let Some(sentence) = self.contents.panes.snapshots.hear(told) {
            self.notice(sentence);
        }
        self.draw_soon();
    }

    /// Runs the machine that ended from its start.
    pub(super) fn start_again(&mut self) {
        if self.contents.glance.ended && self.caller.is_some() {
            self.after = After::Again;
            return self.ask(Method::Quit, About::Nothing);
        }
        let Some(plan) = self.started.clone().filter(|_| self.contents.state == State::Ended) else { return };
        let opened = self.opened;
        self.run(Ok(plan));
        self.opened = opened;
    }

    /// Asks the machine. What it refuses is shown as a sentence.
    pub(super) fn ask(&self, method: Method, about: About) {
        let Some(caller) = &self.caller else { return };
        let proxy = self.proxy.clone();
        caller.ask(method, move |outcome| {
            if outcome.is_err() || about != About::Nothing {
                drop(proxy.send_event(Event::Answered(about, outcome)));
            }
        });
    }

    fn keys(&self, keys: String) {
        self.ask(Method::Key { keys }, About::Nothing);
    }

    pub(super) fn draw_soon(&mut self) {
        let at = (self.drawn + FRAME).max(Instant::now());
        self.draw_at = Some(self.draw_at.map_or(at, |other| other.min(at)));
    }

    pub(super) fn notice(&mut self, sentence: String) {
        self.contents.notice = Some(sentence);
        self.draw_soon();
    }

    pub(super) fn take_news(&mut self) {
        let News { picture, glance, serial, ended } = self.slot.take();
        if let Some(picture) = picture {
            self.contents.show(picture);
        }
        serial.iter().for_each(|said| self.contents.scroll.hear(said));
        if let Some(glance) = glance {
            let before = std::mem::replace(&mut self.contents.glance, glance);
            if let Some(ended) = ended.filter(|_| glance.ended && !before.ended) {
                self.notice(format!("{ended} It can be taken back, reset or started again."));
            }
            self.speed.see(glance.speed);
            if before.behind != glance.behind || before.ended != glance.ended {
                self.set_title();
            }
            self.contents.meter.read(Instant::now(), glance);
            if self.contents.state != State::Ended {
                self.set_state(if glance.paused { State::Paused } else { State::Running });
            }
        }
        self.draw_soon();
    }

    fn set_state(&mut self, state: State) {
        if self.contents.state != state {
            self.contents.state = state;
            self.set_title();
        }
    }

    pub(super) fn set_title(&self) {
        if let Some(surface) = &self.surface {
            surface.window.set_title(&self.contents.title());
        }
    }

    fn answered(&mut self, about: About, outcome: Result<Value, String>) {
        if about == About::Saved {
            self.contents.panes.snapshots.saved();
        }
        match (about, outcome) {
            (About::Room, outcome) => self.hear_room(outcome),
            (About::History | About::Rewound, outcome) => {
                if let Some(sentence) = self.contents.timeline.hear(about, outcome) {
                    self.notice(sentence);
                }
                let mut wishes = Wishes::default();
                self.contents.timeline.go(self.contents.state, &mut wishes);
                self.ask_all(wishes);
                self.draw_soon();
            }
            (about, Err(sentence)) => {
                self.contents.panes.refused(about);
                self.notice(sentence);
            }
            (About::Text, Ok(answer)) => self.copy(answer["text"].as_str().unwrap_or_default().to_owned()),
            (About::Screenshot, Ok(answer)) => {
                let file = answer["file"].as_str().unwrap_or_default().to_owned();
                self.notice(format!("The screen was written to {file}."));
            }
            (About::Plugged, Ok(answer)) => {
                let id = answer["id"].as_str().unwrap_or("The disk").to_owned();
                self.notice(format!("{id} is plugged in."));
            }
            (About::Nothing, Ok(_)) => {}
            (about, Ok(answer)) => {
                self.contents.panes.hear(about, &answer);
                self.draw_soon();
            }
        }
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        self.take_news();
        self.caller = None;
        self.contents.panes.snapshots.machine_ended();
        self.give_mouse_back();
        self.set_state(State::Ended);
        if ended.failed {
            eprintln!("amber-desktop: {}", ended.sentence);
            self.failed = Some(ended.sentence.clone());
        }
        self.notice(ended.sentence);
    }

    fn copy(&mut self, text: String) {
        if let Some(surface) = &mut self.surface {
            surface.state.set_clipboard_text(text);
        }
    }

    fn paste(&mut self) {
        let text = self.surface.as_mut().and_then(|surface| surface.state.clipboard_text());
        match (text, self.contents.serial) {
            (None, _) => self.notice("There is no text to paste.".to_owned()),
            (Some(text), true) => {
                self.ask(Method::Serial { text: text.replace('\n', "\r") }, About::Nothing);
            }
            (Some(text), false) => self.ask(Method::Type { text }, About::Nothing),
        }
    }

    fn copy_text(&mut self) {
        match self.contents.serial {
            true => self.copy(self.contents.scroll.terminal.text()),
            false => self.ask(Method::Text, About::Text),
        }
    }

    fn save(&mut self) {
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

    fn ask_all(&self, wishes: Wishes) {
        for (method, about) in wishes.asks {
            self.ask(method, about);
        }
    }

    fn screenshot(&self) {
        let name = format!("amber-{}-{}.png", self.contents.name, self.contents.glance.step);
        let folder = self.contents.settings.screenshots.clone();
        let file = folder.unwrap_or_else(|| std::env::current_dir().unwrap_or_default()).join(name);
        self.ask(Method::Screenshot { file }, About::Screenshot);
    }

    pub(super) fn act(&mut self, action: Action, event_loop: &ActiveEventLoop) {
        let paused = self.contents.state == State::Paused;
        match action {
            Action::Pause => self.ask(if paused { Method::Resume } else { Method::Pause }, About::Nothing),
            Action::Step => self.ask(self.contents.panes.step(self.contents.glance.cpus), About::Nothing),
            Action::StepOver => self.ask(self.contents.panes.step_over(), About::Nothing),
            Action::StepOut => self.ask(self.contents.panes.step_out(), About::Nothing),
            Action::Frame => self.ask(Method::Frame, About::Nothing),
            Action::StepBack => self.ask(Method::StepBack { count: 1 }, About::Rewound),
            Action::SecondBack | Action::ToEnd => self.go_to_past(action),
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
            Action::Settings => self.show_settings(),
            Action::Zoom(zoom) => self.contents.settings.zoom = zoom,
            Action::Theme(theme) => self.contents.settings.theme = theme,
            Action::MenuBar => self.show_menu_bar(),
            Action::Focus => self.surface.iter().for_each(Surface::focus_next),
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

    fn mute(&mut self) {
        self.contents.muted = !self.contents.muted;
        if let Some(plan) = &self.started {
            plan.volume.muted.store(self.contents.muted, Ordering::Relaxed);
        }
    }

    fn show_settings(&mut self) {
        self.give_mouse_back();
        self.release_keys();
        self.contents.dialog = Some(Dialog::Preferences(Box::default()));
    }

    /// The keyboard to the menu bar.
    fn show_menu_bar(&mut self) {
        self.give_mouse_back();
        self.release_keys();
        self.contents.bar.open();
    }

    fn full_screen(&mut self) {
        let Some(surface) = &self.surface else { return };
        self.contents.full_screen = !surface.is_full_screen();
        surface.set_full_screen(self.contents.full_screen);
    }

    fn other_view(&mut self) {
        self.give_mouse_back();
        self.release_keys();
        self.contents.serial = !self.contents.serial;
    }

    fn toggle_pane(&mut self, pane: Pane) {
        let panes = &mut self.contents.panes;
        let from = panes.shown.map_or(0.0, |pane| panes.width(pane));
        panes.shown = (panes.shown != Some(pane)).then_some(pane);
        let to = panes.shown.map_or(0.0, |pane| panes.width(pane));
        if let Some(surface) = &mut self.surface {
            surface.widen(to - from);
        }
    }

    pub(super) fn release_keys(&mut self) {
        if let Some(keys) = self.keyboard.release_all() {
            self.keys(keys);
        }
    }

    /// Ends the run, and then the program. Who asks twice does not wait for the machine.
    fn leave(&mut self, event_loop: &ActiveEventLoop) {
        if self.caller.is_none() || std::mem::replace(&mut self.leaving, true) {
            event_loop.exit();
        }
        self.ask(Method::Quit, About::Nothing);
    }

    fn take_mouse(&mut self) {
        let Some(surface) = &self.surface else { return };
        surface.give_keys_back();
        match surface.grab(true) {
            Ok(locked) => (self.contents.grabbed, self.locked) = (true, locked),
            Err(error) => self.notice(format!("{error:#}")),
        }
        self.draw_soon();
    }

    pub(super) fn give_mouse_back(&mut self) {
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
    fn points(&self) -> bool {
        self.contents.glance.pointer && !self.contents.grabbed
    }

    fn report_mouse(&mut self) {
        if let Some(method) = self.mouse.report(self.points()) {
            self.ask(method, About::Nothing);
        }
    }

    /// Where in the machine's screen the cursor is, unless something of the window is in front of it.
    fn cursor_in_screen(&self) -> Option<(u16, u16)> {
        self.contents.place.filter(|_| !self.contents.menu_is_open)?.pointer(self.cursor.x, self.cursor.y)
    }

    /// What the guest has of the mouse's events. Whether it has them for itself.
    fn mouse_event(&mut self, event: &WindowEvent) -> bool {
        match event {
            WindowEvent::CursorMoved { position, .. } => {
                let from = std::mem::replace(&mut self.cursor, *position);
                self.cursor_moved(from);
                if let Some(place) = self.cursor_in_screen().filter(|_| self.points()) {
                    self.mouse.points(place);
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
    fn cursor_moved(&mut self, from: PhysicalPosition<f64>) {
        if !self.contents.grabbed || self.locked {
            return;
        }
        self.mouse.moved((self.cursor.x - from.x, self.cursor.y - from.y));
        if let Some(surface) = &self.surface {
            self.cursor = surface.recentre(self.cursor);
        }
    }

    /// Whether what is done with the mouse is for the guest.
    fn has_mouse(&self) -> bool {
        self.contents.grabbed || self.points() && self.cursor_in_screen().is_some()
    }

    fn mouse_button(&mut self, button: MouseButton, pressed: bool) -> bool {
        if self.has_mouse() || !pressed && self.points() {
            self.mouse.button(button, pressed);
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
    fn key(&mut self, event: &KeyEvent, event_loop: &ActiveEventLoop) -> bool {
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

    fn draw(&mut self, event_loop: &ActiveEventLoop) {
        let Self { surface: Some(surface), contents, .. } = self else { return };
        let mut wishes = Wishes::default();
        let stays = surface.draw(|ui| {
            wishes.clear();
            contents.draw(ui, &mut wishes);
        });
        contents.refresh(&mut wishes);
        self.drawn = Instant::now();
        self.draw_at = self.drawn.checked_add(stays).map(|at| at.max(self.drawn + FRAME));
        self.grant(wishes, event_loop);
        self.follow_settings();
    }

    fn focus_lost(&mut self) {
        if let Some(percent) = self.speed.let_go() {
            self.ask(Method::Speed { percent }, About::Nothing);
        }
        self.release_keys();
        self.mouse.release_all();
        self.give_mouse_back();
    }
}

impl ApplicationHandler<Event> for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        let Some(first) = self.first.take() else { return };
        match Surface::open(event_loop, &self.contents.title(), self.contents.settings.window) {
            Ok(surface) => self.surface = Some(surface),
            Err(error) => {
                self.failed = Some(format!("{error:#}"));
                eprintln!("amber-desktop: {error:#}");
                return event_loop.exit();
            }
        }
        self.follow_settings();
        let notice = self.contents.notice.take();
        match first {
            First::Start(_) => self.show_start(),
            First::Machine(plan) => self.run(plan.map(|plan| *plan)),
        }
        // A machine that cannot be is more urgent than settings that are not understood.
        self.contents.notice = self.contents.notice.take().or(notice);
        self.draw_soon();
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, event: Event) {
        match event {
            Event::News => self.take_news(),
            Event::Answered(about, outcome) => self.answered(about, outcome),
            Event::Shelf(told) => self.told(told),
            Event::Ended(ended) => self.machine_ended(ended, event_loop),
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let taken = match &event {
            WindowEvent::RedrawRequested => return self.draw(event_loop),
            WindowEvent::CloseRequested => return self.leave(event_loop),
            WindowEvent::Focused(false) => {
                self.focus_lost();
                false
            }
            WindowEvent::Resized(_) => {
                self.note_placement(None);
                false
            }
            WindowEvent::Moved(at) => {
                self.note_placement(Some((at.x, at.y)));
                false
            }
            WindowEvent::HoveredFile(_) | WindowEvent::HoveredFileCancelled => {
                self.contents.hovered = matches!(event, WindowEvent::HoveredFile(_));
                self.draw_soon();
                true
            }
            WindowEvent::DroppedFile(file) => {
                self.dropped(file);
                true
            }
            WindowEvent::KeyboardInput { event, is_synthetic, .. } => {
                // Keys that were down when the window got the keyboard were meant for another.
                *is_synthetic && event.state == ElementState::Pressed || self.key(event, event_loop)
            }
            event => self.mouse_event(event),
        };
        let drawn = !taken && self.surface.as_mut().is_some_and(|surface| surface.hear(&event));
        if drawn {
            self.draw_soon();
        }
    }

    fn device_event(&mut self, _: &ActiveEventLoop, _: DeviceId, event: DeviceEvent) {
        if let DeviceEvent::MouseMotion { delta } = event
            && self.contents.grabbed
            && self.locked
        {
            self.mouse.moved(delta);
        }
    }

    fn exiting(&mut self, _: &ActiveEventLoop) {
        self.keep_settings();
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        self.report_mouse();
        if self.keep_at.is_some_and(|at| at <= Instant::now()) {
            self.follow_settings();
        }
        if self.draw_at.is_some_and(|at| at <= Instant::now()) {
            self.draw_at = None;
            if let Some(surface) = &self.surface {
                surface.window.request_redraw();
            }
        }
        let next = self.draw_at.into_iter().chain(self.mouse.report_at()).chain(self.keep_at).min();
        event_loop.set_control_flow(next.map_or(ControlFlow::Wait, ControlFlow::WaitUntil));
    }
}
