//! The counters of a run, as `--stats` prints them, while it goes.

use super::View;
use crate::app::About;
use crate::wishes::Wishes;
use amber_emu::control::Method;
use egui::{Grid, RichText, ScrollArea, Ui};
use serde_json::Value;
use std::time::{Duration, Instant};

/// From one asking to the next.
const SPAN: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Default)]
pub struct Statistics {
    /// What each counts, and its count.
    rows: Vec<(String, String)>,
    /// When, and at which step of the machine.
    asked: Option<(Instant, u64)>,
}

impl Statistics {
    pub fn draw(&mut self, ui: &mut Ui, view: View, wishes: &mut Wishes) {
        self.refresh(view, wishes);
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            Grid::new("counters").striped(true).num_columns(2).show(ui, |ui| {
                for (label, value) in &self.rows {
                    ui.label(label);
                    ui.label(RichText::new(value).monospace());
                    ui.end_row();
                }
            });
        });
    }

    fn refresh(&mut self, view: View, wishes: &mut Wishes) {
        let step = view.glance.step;
        let due = self.asked.is_none_or(|(at, then)| at.elapsed() >= SPAN && then != step);
        if due && view.runs() {
            self.asked = Some((Instant::now(), step));
            wishes.ask(Method::Stats, About::Statistics);
        }
    }

    pub fn hear(&mut self, answer: &Value) {
        let Some(counters) = answer.as_object() else { return };
        self.rows = counters
            .iter()
            .filter(|(_, count)| !count.is_null())
            .map(|(key, count)| (key.replace('_', " "), count.to_string()))
            .collect();
    }
}
