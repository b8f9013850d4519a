//! The menu bar.

use super::action::{Action, chord_name};
use super::geometry::Scaling;
use super::keyboard::HOST_NAME;
use super::panes::Pane;
use egui::{Button, MenuBar, Ui};

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
    pub scaling: Scaling,
    pub serial: bool,
    pub full_screen: bool,
    pub muted: bool,
    pub pane: Option<Pane>,
}

/// Keys that a window system keeps for itself, and the host key.
const KEYS: [(&str, &str); 6] = [
    ("Ctrl+Alt+Delete", "ctrl+alt+delete"),
    ("Ctrl+Alt+F1", "ctrl+alt+f1"),
    ("Ctrl+Alt+F2", "ctrl+alt+f2"),
    ("Alt+Tab", "alt+tab"),
    ("Print", "print"),
    (HOST_NAME, "ctrl-right"),
];

/// Draws the bar; what was chosen is put behind `actions`.
pub fn draw(ui: &mut Ui, shown: Shown, actions: &mut Vec<Action>) {
    MenuBar::new().ui(ui, |ui| {
        ui.menu_button("Machine", |ui| machine(ui, shown, actions));
        ui.menu_button("Edit", |ui| {
            item(ui, shown.runs, "Paste text as keys", Action::Paste, actions);
            item(ui, shown.runs, "Copy screen text", Action::CopyText, actions);
            ui.menu_button("Send keys", |ui| {
                for (name, keys) in KEYS {
                    item(ui, shown.runs, name, Action::Keys(keys), actions);
                }
            });
        });
        ui.menu_button("View", |ui| view(ui, shown, actions));
    });
}

fn machine(ui: &mut Ui, shown: Shown, actions: &mut Vec<Action>) {
    let pause = if shown.paused { "Resume" } else { "Pause" };
    item(ui, shown.runs, pause, Action::Pause, actions);
    let stands = shown.runs && shown.paused;
    item(ui, stands, "Step one instruction", Action::Step, actions);
    item(ui, stands, "Step over", Action::StepOver, actions);
    item(ui, stands, "Step out", Action::StepOut, actions);
    item(ui, stands, "Run to the next frame", Action::Frame, actions);
    item(ui, stands, "Step back", Action::StepBack, actions);
    item(ui, shown.runs, "Back a second", Action::SecondBack, actions);
    item(ui, stands, "Forward to the end", Action::ToEnd, actions);
    ui.menu_button("Speed", |ui| speeds(ui, shown, actions));
    ui.separator();
    item(ui, shown.runs, "Reset", Action::Reset, actions);
    item(ui, shown.runs, "Power button", Action::Power, actions);
    choice(ui, shown.muted, "Mute", Action::Mute, actions);
    item(ui, shown.ended, "Start again", Action::StartAgain, actions);
    ui.separator();
    item(ui, shown.runs, "Save snapshot", Action::Save, actions);
    item(ui, shown.runs, "Screenshot", Action::Screenshot, actions);
    ui.separator();
    item(ui, true, "Quit", Action::Quit, actions);
}

/// Speeds there are to choose from, percent.
const SPEEDS: [u32; 4] = [10, 25, 50, 100];

fn speeds(ui: &mut Ui, shown: Shown, actions: &mut Vec<Action>) {
    for percent in SPEEDS {
        let chosen = shown.speed == Some(percent);
        choice(ui, chosen, &format!("{percent} % of real time"), Action::Speed(Some(percent)), actions);
    }
    choice(ui, shown.speed.is_none(), "As fast as it goes", Action::Speed(None), actions);
    ui.separator();
    item(ui, shown.runs, "Slow, and back", Action::Slow, actions);
    item(ui, shown.runs, "Fast, and back", Action::Fast, actions);
    item(ui, false, "Fast while held", Action::FastWhileHeld(true), actions);
}

fn view(ui: &mut Ui, shown: Shown, actions: &mut Vec<Action>) {
    for (name, scaling) in [
        ("Whole pixels", Scaling::Integer),
        ("As large as fits", Scaling::Aspect),
        ("Stretched", Scaling::Stretch),
    ] {
        choice(ui, shown.scaling == scaling, name, Action::Scale(scaling), actions);
    }
    ui.separator();
    choice(ui, shown.serial, "Serial port", Action::OtherView, actions);
    choice(ui, shown.timeline, "Timeline", Action::Timeline, actions);
    choice(ui, shown.full_screen, "Full screen", Action::FullScreen, actions);
    ui.separator();
    for pane in Pane::ALL {
        choice(ui, shown.pane == Some(pane), pane.title(), Action::Pane(pane), actions);
    }
}

fn item(ui: &mut Ui, enabled: bool, name: &str, action: Action, actions: &mut Vec<Action>) {
    if ui.add_enabled(enabled, button(name, action)).clicked() {
        actions.push(action);
        ui.close();
    }
}

fn choice(ui: &mut Ui, chosen: bool, name: &str, action: Action, actions: &mut Vec<Action>) {
    if ui.add(button(name, action).selected(chosen)).clicked() {
        actions.push(action);
        ui.close();
    }
}

/// With the chord that does the same.
fn button(name: &str, action: Action) -> Button<'_> {
    let button = Button::new(name);
    match chord_name(action) {
        Some(key) => button.shortcut_text(format!("{HOST_NAME}+{key}")),
        None => button,
    }
}
