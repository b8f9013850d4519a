//! The program: the window's events to the machine, the machine's news to the window.

mod acts;
mod hands;

use super::comparison::Comparison;
use super::contents::Contents;
use super::glance::{News, Slot};
use super::keyboard::{HostKey, Keyboard};
use super::machine::{Ended, Plan};
use super::mouse::Mouse;
use super::opening::After;
use super::panes::debugger::Question;
use super::panes::snapshots::shelf::{Shelf, Told};
use super::places::Places;
use super::settings::{Keeper, Theme};
use super::speed::Speed;
use super::status::State;
use super::window::Surface;
use super::wishes::Wishes;
use amber_emu::cli::args::RunningArgs;
use amber_emu::control::{Caller, Method};
use anyhow::Result;
use serde_json::Value;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use winit::application::ApplicationHandler;
use winit::dpi::PhysicalPosition;
use winit::event::{DeviceEvent, DeviceId, ElementState, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoopProxy};
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
    /// The machine stands at a point near the time it goes to.
    Near,
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
    /// What is in the drives.
    Media,
    /// What is in one was changed.
    Medium,
    /// What is on a medium was written to a file.
    Exported,
}

/// What the program begins with.
pub enum First {
    /// The start screen; how what is chosen there is to run, and a file to open there.
    Start(Box<RunningArgs>, Option<PathBuf>),
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
    /// Files that were dropped with the one that is asked about.
    pub(super) drops: VecDeque<PathBuf>,
    mouse: Mouse,
    cursor: PhysicalPosition<f64>,
    /// The pointer the guest has is locked in place.
    locked: bool,
    drawn: Instant,
    draw_at: Option<Instant>,
    /// A person waits for what is drawn next.
    urgent: bool,
    pub(super) leaving: bool,
    pub(super) speed: Speed,
    /// Why there is no window, or the machine could not run.
    pub failed: Option<String>,
}

impl App {
    pub fn new(proxy: EventLoopProxy<Event>, first: First, places: Places) -> Self {
        let slot = Slot::waking(&proxy);
        let (keeper, sentence) = Keeper::open(&places.settings);
        let running = match &first {
            First::Start(running, _) => (**running).clone(),
            First::Machine(plan) => plan.as_ref().map(|plan| plan.running().clone()).unwrap_or_default(),
        };
        let mut contents = Contents::new("no machine".to_owned(), false);
        contents.take_settings(keeper.read().clone());
        contents.notice = sentence;
        Self {
            proxy,
            first: Some(first),
            running,
            keeper,
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
            drops: VecDeque::new(),
            mouse: Mouse::default(),
            cursor: PhysicalPosition::default(),
            locked: false,
            drawn: Instant::now(),
            draw_at: None,
            urgent: false,
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

    fn ask_all(&self, wishes: Wishes) {
        for (method, about) in wishes.asks {
            self.ask(method, about);
        }
    }

    pub(super) fn draw_soon(&mut self) {
        let now = Instant::now();
        let at = if self.urgent { now } else { now.max(self.drawn + FRAME) };
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
            (About::Media, Ok(answer)) => self.hear_media(&answer),
            (About::Medium, Ok(_)) => self.ask(Method::MediaList, About::Media),
            (About::History | About::Near | About::Rewound, outcome) => {
                if let Some(sentence) = self.contents.timeline.hear(about, outcome) {
                    self.notice(sentence);
                }
                let mut wishes = Wishes::default();
                self.contents.timeline.go(self.contents.state, &mut wishes);
                // Of a machine that stands elsewhere there are news.
                if wishes.asks.is_empty() && about != About::Near {
                    self.draw_soon();
                }
                self.ask_all(wishes);
                // The news are what the person waits for.
                self.urgent |= about != About::History;
            }
            (about, Err(sentence)) => {
                self.contents.panes.refused(about);
                self.notice(match about {
                    About::Saved => format!("The snapshot was not saved: {sentence}"),
                    _ => sentence,
                });
            }
            (About::Text, Ok(answer)) => self.copy(answer["text"].as_str().unwrap_or_default().to_owned()),
            (About::Screenshot, Ok(answer)) => {
                let file = answer["file"].as_str().unwrap_or_default().to_owned();
                self.notice(format!("The screen was written to {file}."));
            }
            (About::Exported, Ok(answer)) => {
                let file = answer["file"].as_str().unwrap_or_default().to_owned();
                self.notice(format!("What is on the medium was written to {file}."));
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

    fn draw(&mut self, event_loop: &ActiveEventLoop) {
        let Self { surface: Some(surface), contents, .. } = self else { return };
        let mut wishes = Wishes::default();
        let stays = surface.draw(|ui| {
            wishes.clear();
            contents.draw(ui, &mut wishes);
        });
        contents.refresh(&mut wishes);
        (self.drawn, self.urgent) = (Instant::now(), false);
        self.draw_at = self.drawn.checked_add(stays).map(|at| at.max(self.drawn + FRAME));
        self.grant(wishes, event_loop);
        self.next_drop();
        self.follow_settings();
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
            First::Start(_, image) => {
                self.show_start();
                image.into_iter().for_each(|file| self.open_instead(file, event_loop));
            }
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
        let heard = !taken && self.surface.as_mut().is_some_and(|surface| surface.hear(&event));
        // A modifier alone is nothing to be seen: the key it is for comes next.
        if heard && !matches!(event, WindowEvent::ModifiersChanged(_)) {
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
