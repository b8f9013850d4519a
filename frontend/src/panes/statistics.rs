//! The counters of a run while it goes: what a person looks for first by topic, with its rate, and all of them below.

use super::View;
use crate::app::About;
use crate::status;
use crate::wishes::Wishes;
use amber_emu::control::Method;
use egui::{Align, CollapsingHeader, Grid, Layout, RichText, ScrollArea, Ui};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// From one asking to the next.
const SPAN: Duration = Duration::from_millis(500);
/// Points of a column of numbers.
const COLUMN: f32 = 92.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Count,
    Bytes,
    Percent,
    Nanoseconds,
    Milliseconds,
}

/// A line: what it is called, the counters whose sum it is, and what they count.
type Line = (&'static str, &'static [&'static str], Unit);

/// Every topic and its lines. A line whose counters a run does not have is left out.
const TOPICS: [(&str, &[Line]); 6] = [
    (
        "Speed",
        &[
            ("Instructions", &["instructions_retired"], Unit::Count),
            ("Virtual time", &["virtual_time_ns"], Unit::Nanoseconds),
        ],
    ),
    (
        "Engine",
        &[
            ("Translated, of all steps", &["translated_of_steps"], Unit::Percent),
            ("In a loop, of translated", &["in_a_loop_of_looks"], Unit::Percent),
            ("Instructions translated", &["instructions_translated"], Unit::Count),
            ("Translating", &["translating_ms"], Unit::Milliseconds),
            ("Code and what describes it", &["code_memory_bytes", "its_metadata_bytes"], Unit::Bytes),
        ],
    ),
    (
        "Exits",
        &[
            ("Exceptions", &["exceptions"], Unit::Count),
            ("Interrupts", &["interrupts"], Unit::Count),
            ("Port accesses", &["port_reads", "port_writes"], Unit::Count),
            ("Device memory accesses", &["device_memory_reads", "device_memory_writes"], Unit::Count),
            ("To interpreted instructions", &["interpreted_from_within"], Unit::Count),
        ],
    ),
    (
        "Disk",
        &[
            ("Read", &["disk_bytes_read"], Unit::Bytes),
            ("Written", &["disk_bytes_written"], Unit::Bytes),
            ("Reads", &["disk_reads"], Unit::Count),
            ("Writes", &["disk_writes"], Unit::Count),
            ("Flushes", &["disk_flushes"], Unit::Count),
        ],
    ),
    (
        "Network",
        &[
            ("Sent", &["network_bytes_sent"], Unit::Bytes),
            ("Received", &["network_bytes_received"], Unit::Bytes),
            ("Frames sent", &["frames_sent"], Unit::Count),
            ("Frames received", &["frames_received"], Unit::Count),
        ],
    ),
    (
        "Memory",
        &[
            ("Page walks", &["page_walks"], Unit::Count),
            ("Stores to decoded code", &["stores_to_decoded_code"], Unit::Count),
        ],
    ),
];

/// See the module.
#[derive(Default)]
pub struct Statistics {
    last: Map<String, Value>,
    /// The answer before.
    before: Map<String, Value>,
    /// When, and at which step of the machine.
    asked: Option<(Instant, u64)>,
}

impl Statistics {
    pub fn draw(&mut self, ui: &mut Ui, view: View, wishes: &mut Wishes) {
        self.refresh(view, wishes);
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            Grid::new("topics").striped(true).num_columns(3).show(ui, |ui| {
                for (topic, lines) in TOPICS {
                    ui.strong(topic);
                    ui.end_row();
                    lines.iter().for_each(|line| self.line(ui, line));
                }
            });
            ui.add_space(4.0);
            CollapsingHeader::new("All counters").show(ui, |ui| {
                let drawn = |ui: &mut Ui| self.last.iter().for_each(|counter| all(ui, counter));
                Grid::new("counters").striped(true).num_columns(2).show(ui, drawn);
            });
        });
    }

    fn line(&self, ui: &mut Ui, (label, keys, unit): &Line) {
        let Some(value) = sum(&self.last, keys) else { return };
        ui.label(*label);
        right(ui, written(value, *unit));
        right(ui, self.rate(keys, *unit).unwrap_or_default());
        ui.end_row();
    }

    /// How much it grew in a second of the host's.
    fn rate(&self, keys: &[&str], unit: Unit) -> Option<String> {
        let grown = |keys: &[&str]| Some(sum(&self.last, keys)? - sum(&self.before, keys)?);
        let seconds = grown(&["host_time_s"]).filter(|seconds| *seconds > 0.0)?;
        // A machine that was taken back counts again.
        let grown = grown(keys).filter(|grown| *grown > 0.0)? / seconds;
        match unit {
            Unit::Percent => None,
            Unit::Nanoseconds => Some(format!("{:.0} %", grown / 1e7)),
            unit => Some(format!("{}/s", written(grown, unit))),
        }
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
        self.before = std::mem::replace(&mut self.last, counters.clone());
    }
}

fn sum(counters: &Map<String, Value>, keys: &[&str]) -> Option<f64> {
    keys.iter().map(|key| counters.get(*key)?.as_f64()).sum()
}

/// A number and its unit, short enough for a column.
fn written(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count if value < 1e4 => format!("{value:.0}"),
        Unit::Count if value < 1e7 => format!("{:.1} k", value / 1e3),
        Unit::Count if value < 1e10 => format!("{:.1} M", value / 1e6),
        Unit::Count => format!("{:.1} G", value / 1e9),
        Unit::Bytes => status::size(value as u64),
        Unit::Percent => format!("{value:.1} %"),
        Unit::Nanoseconds => status::time(value as u64),
        Unit::Milliseconds => format!("{value:.0} ms"),
    }
}

fn right(ui: &mut Ui, text: String) {
    let size = egui::vec2(COLUMN, ui.spacing().interact_size.y);
    ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
        ui.set_min_width(COLUMN);
        ui.label(RichText::new(text).monospace());
    });
}

fn all(ui: &mut Ui, (key, value): (&String, &Value)) {
    if !value.is_null() {
        ui.label(key.replace('_', " "));
        ui.label(RichText::new(value.to_string()).monospace());
        ui.end_row();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amber_emu::cli::counters;
    use amber_emu::config::{Engine, Firmware};
    use serde_json::json;

    #[test]
    fn what_grew_is_said_for_a_second() {
        let mut statistics = Statistics::default();
        let keys = ["port_reads", "port_writes"];
        statistics
            .hear(&json!({"host_time_s": 1.0, "port_reads": 10, "port_writes": 0, "virtual_time_ns": 0}));
        assert_eq!(statistics.rate(&keys, Unit::Count), None, "it is the first answer");
        statistics.hear(
            &json!({"host_time_s": 1.5, "port_reads": 20, "port_writes": 5, "virtual_time_ns": 250_000_000}),
        );
        assert_eq!(sum(&statistics.last, &keys).map(|sum| written(sum, Unit::Count)).as_deref(), Some("25"));
        assert_eq!(statistics.rate(&keys, Unit::Count).as_deref(), Some("30/s"));
        let time = statistics.rate(&["virtual_time_ns"], Unit::Nanoseconds);
        assert_eq!(time.as_deref(), Some("50 %"), "virtual time against the wall clock's");
        statistics.hear(&json!({"host_time_s": 2.0, "port_reads": 3, "port_writes": 0}));
        assert_eq!(statistics.rate(&keys, Unit::Count), None, "it was taken back");
        assert_eq!(sum(&statistics.last, &["translated_of_steps"]), None, "nothing is translated");
    }

    #[test]
    fn every_line_is_of_a_counter_there_is() {
        let mut machine = amber_tests::rom(Firmware::Paging, 1);
        machine.set_engine(Engine::Jit.into());
        machine.run(140_000, &mut amber_tests::Quiet::default(), true);
        let counters = counters::counted(&machine, 1.0);
        for key in TOPICS.iter().flat_map(|(_, lines)| *lines).flat_map(|(_, keys, _)| *keys) {
            assert!(counters[key].is_number(), "{key}");
        }
    }

    #[test]
    fn numbers_are_short() {
        let counts = [9999.0, 10_000.0, 123_456_789.0, 5e10].map(|count| written(count, Unit::Count));
        assert_eq!(counts, ["9999", "10.0 k", "123.5 M", "50.0 G"]);
    }
}
