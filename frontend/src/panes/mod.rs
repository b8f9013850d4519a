//! What is beside the screen: one pane at a time.

pub mod debugger;
pub mod snapshots;
mod statistics;

use super::app::About;
use super::glance::Glance;
use super::keyboard::HostKey;
use super::status::State;
use super::wishes::Wishes;
use amber_emu::control::Method;
use debugger::Debugger;
use egui::{FocusDirection, Panel, Ui};
use serde_json::Value;
use snapshots::Snapshots;
use statistics::Statistics;
use std::collections::BTreeMap;

/// Which pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Debugger,
    Snapshots,
    Statistics,
}

impl Pane {
    pub const ALL: [Self; 3] = [Self::Debugger, Self::Snapshots, Self::Statistics];

    pub fn title(self) -> &'static str {
        match self {
            Self::Debugger => "Debugger",
            Self::Snapshots => "Snapshots",
            Self::Statistics => "Statistics",
        }
    }

    /// Points it wants at first.
    pub fn width(self) -> f32 {
        match self {
            Self::Debugger => 620.0,
            Self::Snapshots => 380.0,
            Self::Statistics => 390.0,
        }
    }
}

/// The machine as panes see it.
#[derive(Clone, Copy)]
pub struct View {
    pub state: State,
    pub glance: Glance,
    /// The key whose chords do what menus do.
    pub host: HostKey,
}

impl View {
    /// There is a machine that can be asked.
    pub fn runs(&self) -> bool {
        matches!(self.state, State::Running | State::Paused)
    }
}

/// All panes; each keeps what it knows while another is shown.
#[derive(Default)]
pub struct Panes {
    pub shown: Option<Pane>,
    debugger: Debugger,
    /// Points each has by its title, where a person chose.
    pub widths: BTreeMap<String, f32>,
    pub snapshots: Snapshots,
    statistics: Statistics,
}

impl Panes {
    /// The panes for another machine: what is shown stays.
    pub fn for_another(&self) -> Self {
        Self { shown: self.shown, widths: self.widths.clone(), ..Self::default() }
    }

    /// Points of a pane.
    pub fn width(&self, pane: Pane) -> f32 {
        self.widths.get(pane.title()).copied().unwrap_or_else(|| pane.width())
    }

    /// Draws the one that is shown; the first thing in it gets the keyboard if that is `wanted`.
    pub fn draw(&mut self, ui: &mut Ui, view: View, wanted: bool, wishes: &mut Wishes) {
        let Some(pane) = self.shown else { return };
        let width = self.width(pane);
        let panel = Panel::right(pane.title()).resizable(true).default_size(width).show(ui, |ui| {
            if wanted {
                ui.memory_mut(|memory| memory.move_focus(FocusDirection::Next));
            }
            match pane {
                Pane::Debugger => self.debugger.draw(ui, view, wishes),
                Pane::Snapshots => self.snapshots.draw(ui, view, wishes),
                Pane::Statistics => self.statistics.draw(ui, view, wishes),
            }
        });
        let drawn = panel.response.rect.width().round();
        if (drawn - width.round()).abs() > 1.0 {
            self.widths.insert(pane.title().to_owned(), drawn);
        }
    }

    /// Whether one of them asks the person something.
    pub fn ask(&self) -> bool {
        match self.shown {
            Some(Pane::Snapshots) => self.snapshots.asks(),
            Some(Pane::Debugger) => self.debugger.asks(),
            Some(Pane::Statistics) | None => false,
        }
    }

    /// Asks for what is shown. Not while it is drawn: that may be done twice, for one asking.
    pub fn refresh(&mut self, view: View, wishes: &mut Wishes) {
        if self.shown == Some(Pane::Debugger) {
            self.debugger.refresh(view, wishes);
        }
    }

    /// An answer one of them waits for.
    pub fn hear(&mut self, about: About, answer: &Value) {
        match about {
            About::Statistics => self.statistics.hear(answer),
            About::Debugger(question) => self.debugger.hear(question, answer),
            About::Here | About::Loaded => self.snapshots.stands_at(answer),
            // The others are not for panes.
            _ => {}
        }
    }

    /// What one of them asked was refused.
    pub fn refused(&mut self, about: About) {
        if let About::Debugger(question) = about {
            self.debugger.refused(question);
        }
    }

    /// One step of a paused machine with so many processors.
    pub fn step(&self, cpus: u32) -> Method {
        match self.shown {
            Some(Pane::Debugger) => self.debugger.step(cpus),
            _ => Method::Step { count: 1 },
        }
    }

    pub fn step_over(&self) -> Method {
        self.debugger.step_over()
    }

    pub fn step_over_back(&self) -> Method {
        self.debugger.step_over_back()
    }

    pub fn step_out(&self) -> Method {
        self.debugger.step_out()
    }
}
