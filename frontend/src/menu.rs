//! The menu bar.

use super::action::{Action, chord_name};
use super::geometry::Scaling;
use super::keyboard::HostKey;
use super::panes::Pane;
use super::settings::{Theme, ZOOMS};
use super::submenu::submenu;
use egui::containers::menu::MenuButton;
use egui::{Button, FocusDirection, Key, MenuBar, Popup, Response, Ui};

/// What the menus show of the window.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub paused: bool,
    /// The speed asked for.
    pub speed: Option<u32>,
    pub timeline: bool,
    pub runs: bool,
    /// There was a machine, and it ended.
    pub ended: bool,
    /// There is none, but the start screen.
    pub start: bool,
    pub theme: Theme,
    pub zoom: u32,
    pub host: HostKey,
    pub scaling: Scaling,
    pub serial: bool,
    pub full_screen: bool,
    pub muted: bool,
    pub pane: Option<Pane>,
}

/// Keys that a window system keeps for itself, and the host key.
const KEYS: [(&str, &str); 5] = [
    ("Ctrl+Alt+Delete", "ctrl+alt+delete"),
    ("Ctrl+Alt+F1", "ctrl+alt+f1"),
    ("Ctrl+Alt+F2", "ctrl+alt+f2"),
    ("Alt+Tab", "alt+tab"),
    ("Print", "print"),
];

/// The bar by keyboard.
#[derive(Default)]
pub struct Bar {
    /// The menu that is to be opened.
    wanted: Option<usize>,
    /// The one that was open at the last drawing.
    open: Option<usize>,
}

impl Bar {
    /// Opens the first menu.
    pub fn open(&mut self) {
        self.wanted = Some(0);
    }

    /// Whether it is open, or is to be: then it is there in full screen, too.
    pub fn is_used(&self) -> bool {
        self.wanted.is_some() || self.open.is_some()
    }

    /// Opens what is to be open, and gives the keyboard to its title; with the arrows its neighbours follow.
    fn follow(&mut self, ui: &Ui, titles: &[Response]) {
        let is_open = |title: &Response| Popup::is_id_open(ui.ctx(), Popup::default_response_id(title));
        let was = std::mem::replace(&mut self.open, titles.iter().position(is_open));
        if let Some(open) = self.open {
            let turned = |key| ui.input(|input| input.key_pressed(key));
            match titles.len() {
                n if turned(Key::ArrowRight) => self.wanted = Some((open + 1) % n),
                n if turned(Key::ArrowLeft) => self.wanted = Some((open + n - 1) % n),
                _ => {}
            }
        }
        if self.wanted.is_some() {
            // The arrow is not for what is beside.
            ui.memory_mut(|memory| memory.move_focus(FocusDirection::None));
        }
        if let Some(title) = self.wanted.take().and_then(|n| titles.get(n)) {
            Popup::open_id(ui.ctx(), Popup::default_response_id(title));
            title.request_focus();
            ui.ctx().request_repaint();
        } else if was.is_some() && self.open.is_none() {
            // The keyboard is the guest's again.
            titles.iter().for_each(Response::surrender_focus);
        }
    }
}

/// Draws the bar; what was chosen is put behind `actions`.
pub fn draw(ui: &mut Ui, shown: Shown, bar: &mut Bar, actions: &mut Vec<Action>) {
    MenuBar::new().ui(ui, |ui| {
        let (first, _) = MenuButton::new("Machine").ui(ui, |ui| machine(ui, shown, actions));
        let (second, _) = MenuButton::new("Edit").ui(ui, |ui| edit(ui, shown, actions));
        let (third, _) = MenuButton::new("View").ui(ui, |ui| view(ui, shown, actions));
        bar.follow(ui, &[first, second, third]);
    });
}

fn edit(ui: &mut Ui, shown: Shown, actions: &mut Vec<Action>) {
    item(ui, shown, shown.runs, "Paste text as keys", Action::Paste, actions);
    item(ui, shown, shown.runs, "Copy screen text", Action::CopyText, actions);
    submenu(ui, "Send keys", |ui| {
        for (name, keys) in KEYS.into_iter().chain([(shown.host.name(), shown.host.word())]) {
            item(ui, shown, shown.runs, name, Action::Keys(keys), actions);
        }
    });
    ui.separator();
    item(ui, shown, true, "Settings…", Action::Settings, actions);
}

fn machine(ui: &mut Ui, shown: Shown, actions: &mut Vec<Action>) {
    let pause = if shown.paused { "Resume" } else { "Pause" };
    item(ui, shown, shown.runs, pause, Action::Pause, actions);
    let stands = shown.runs && shown.paused;
    item(ui, shown, stands, "Step one instruction", Action::Step, actions);
    item(ui, shown, stands, "Step over", Action::StepOver, actions);
    item(ui, shown, stands, "Step out", Action::StepOut, actions);
    item(ui, shown, stands, "Run to the next frame", Action::Frame, actions);
    item(ui, shown, stands, "Step back", Action::StepBack, actions);
    item(ui, shown, stands, "Step back over", Action::StepOverBack, actions);
    item(ui, shown, stands, "Back to the last stop", Action::StopBack, actions);
    item(ui, shown, shown.runs, "Back a second", Action::SecondBack, actions);
    item(ui, shown, stands, "Forward to the end", Action::ToEnd, actions);
    item(ui, shown, stands, "Play what is ahead", Action::Play, actions);
    submenu(ui, "Speed", |ui| speeds(ui, shown, actions));
    ui.separator();
    item(ui, shown, shown.runs, "Reset", Action::Reset, actions);
    item(ui, shown, shown.runs, "Power button", Action::Power, actions);
    item(ui, shown, shown.runs, "Media…", Action::Media, actions);
    choice(ui, shown, shown.muted, "Mute", Action::Mute, actions);
    item(ui, shown, shown.ended, "Start again", Action::StartAgain, actions);
    ui.separator();
    item(ui, shown, shown.runs, "Save snapshot", Action::Save, actions);
    item(ui, shown, shown.runs, "Screenshot", Action::Screenshot, actions);
    ui.separator();
    item(ui, shown, !shown.start, "New or open…", Action::Close, actions);
    item(ui, shown, !shown.start, "Close", Action::Close, actions);
    item(ui, shown, true, "Quit", Action::Quit, actions);
}

/// Speeds there are to choose from, percent.
const SPEEDS: [u32; 4] = [10, 25, 50, 100];

fn speeds(ui: &mut Ui, shown: Shown, actions: &mut Vec<Action>) {
    for percent in SPEEDS {
        let chosen = shown.speed == Some(percent);
        choice(
            ui,
            shown,
            chosen,
            &format!("{percent} % of real time"),
            Action::Speed(Some(percent)),
            actions,
        );
    }
    choice(ui, shown, shown.speed.is_none(), "As fast as it goes", Action::Speed(None), actions);
    ui.separator();
    item(ui, shown, shown.runs, "Slow, and back", Action::Slow, actions);
    item(ui, shown, shown.runs, "Fast, and back", Action::Fast, actions);
    item(ui, shown, false, "Fast while held", Action::FastWhileHeld(true), actions);
}

fn view(ui: &mut Ui, shown: Shown, actions: &mut Vec<Action>) {
    for (name, scaling) in [
        ("Whole pixels", Scaling::Integer),
        ("As large as fits", Scaling::Aspect),
        ("Stretched", Scaling::Stretch),
    ] {
        choice(ui, shown, shown.scaling == scaling, name, Action::Scale(scaling), actions);
    }
    ui.separator();
    choice(ui, shown, shown.serial, "Serial port", Action::OtherView, actions);
    choice(ui, shown, shown.timeline, "Timeline", Action::Timeline, actions);
    choice(ui, shown, shown.full_screen, "Full screen", Action::FullScreen, actions);
    submenu(ui, "Zoom", |ui| {
        for zoom in ZOOMS {
            choice(ui, shown, shown.zoom == zoom, &format!("{zoom} %"), Action::Zoom(zoom), actions);
        }
    });
    submenu(ui, "Colours", |ui| {
        for (name, theme) in Theme::ALL {
            choice(ui, shown, shown.theme == theme, name, Action::Theme(theme), actions);
        }
    });
    ui.separator();
    // They are beside a machine.
    ui.add_enabled_ui(!shown.start, |ui| {
        for pane in Pane::ALL {
            choice(ui, shown, shown.pane == Some(pane), pane.title(), Action::Pane(pane), actions);
        }
    });
}

fn item(ui: &mut Ui, shown: Shown, enabled: bool, name: &str, action: Action, actions: &mut Vec<Action>) {
    if ui.add_enabled(enabled, button(shown, name, action)).clicked() {
        actions.push(action);
        ui.close();
    }
}

fn choice(ui: &mut Ui, shown: Shown, chosen: bool, name: &str, action: Action, actions: &mut Vec<Action>) {
    if ui.add(button(shown, name, action).selected(chosen)).clicked() {
        actions.push(action);
        ui.close();
    }
}

/// With the chord that does the same.
fn button(shown: Shown, name: &str, action: Action) -> Button<'_> {
    let button = Button::new(name);
    match chord_name(action) {
        Some(key) => button.shortcut_text(format!("{}+{key}", shown.host.name())),
        None => button,
    }
}
