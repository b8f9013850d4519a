//! Registers: by group, with what changed since the machine last stood, and flags by name. A double click on a value or a flag changes it.

use super::field::{self, Field, Written};
use super::{Shared, look};
use crate::wishes::Wishes;
use egui::text::LayoutJob;
use egui::{CollapsingHeader, Label, ScrollArea, Sense, Ui};
use serde_json::Value;
use std::collections::BTreeMap;

/// Groups, what they are called, and whether they show at first.
const GROUPS: [(&str, &str, bool); 7] = [
    ("general", "", true),
    ("segment", "Segments", false),
    ("control", "Control", false),
    ("debug", "Debug", false),
    ("sse", "SSE", false),
    ("x87", "x87", false),
    ("msr", "MSRs", false),
];
/// Flags as they are known, by name and bit.
const FLAGS: [(&str, &str, u32); 9] = [
    ("O", "overflow", 11),
    ("D", "direction", 10),
    ("I", "interrupts", 9),
    ("T", "trap", 8),
    ("S", "sign", 7),
    ("Z", "zero", 6),
    ("A", "auxiliary carry", 4),
    ("P", "parity", 2),
    ("C", "carry", 0),
];

struct Register {
    name: String,
    group: String,
    value: String,
    path: Option<String>,
    bits: String,
}

/// See the module.
#[derive(Default)]
pub struct Registers {
    rows: Vec<Register>,
    activity: String,
    /// Values when the machine last stood, and the time before.
    now: BTreeMap<String, String>,
    before: BTreeMap<String, String>,
    step: Option<u64>,
    field: Field,
}

impl Registers {
    /// Another processor is shown: nothing of it is compared.
    pub fn show_another(&mut self) {
        *self = Self::default();
    }

    pub fn hear(&mut self, answer: &Value) {
        let rows = answer["registers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let row = |row: &Value| Register {
            name: look::text(&row["name"]),
            group: look::text(&row["group"]),
            value: look::text(&row["value"]).trim_start_matches("0x").to_owned(),
            path: row["path"].as_str().map(str::to_owned),
            bits: row["bits"].as_array().map(|bits| words(bits)).unwrap_or_default(),
        };
        self.rows = rows.iter().map(row).collect();
        self.activity = look::text(&answer["activity"]);
        let values = self.rows.iter().map(|row| (row.name.clone(), row.value.clone())).collect();
        let step = answer["step"].as_u64();
        if step != self.step {
            self.before = std::mem::replace(&mut self.now, values);
            self.step = step;
        } else {
            self.now = values;
        }
    }

    pub fn draw(&mut self, ui: &mut Ui, shared: Shared, wishes: &mut Wishes) {
        ScrollArea::vertical().id_salt("registers").auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 1.0;
            for (group, title, open) in GROUPS {
                if title.is_empty() {
                    self.group(ui, group, shared, wishes);
                    self.flags(ui, shared, wishes);
                    if self.activity != "Active" {
                        ui.label(&self.activity);
                    }
                } else {
                    let header = CollapsingHeader::new(title).default_open(open);
                    header.show_unindented(ui, |ui| self.group(ui, group, shared, wishes));
                }
            }
        });
    }

    fn group(&mut self, ui: &mut Ui, group: &str, shared: Shared, wishes: &mut Wishes) {
        for n in 0..self.rows.len() {
            if self.rows[n].group == group {
                self.register(ui, n, shared, wishes);
            }
        }
    }

    fn register(&mut self, ui: &mut Ui, n: usize, shared: Shared, wishes: &mut Wishes) {
        let row = &self.rows[n];
        if row.path.as_ref().is_some_and(|path| self.field.is_of(path)) {
            return self.field.draw(ui, wishes);
        }
        let strong = look::value(ui);
        let changed = self.before.get(&row.name).is_some_and(|before| *before != row.value);
        let color = if changed { look::changed(ui) } else { strong };
        let mut job = LayoutJob::default();
        let wide = row.name.len() <= 4;
        let name = if wide { format!("{:<5}", row.name) } else { format!("{} ", row.name) };
        look::append(&mut job, &name, ui.visuals().weak_text_color());
        look::append(&mut job, &row.value, color);
        let response = ui.add(Label::new(job).selectable(false).truncate().sense(Sense::click()));
        if let Some(path) = &row.path {
            let begin = (path.as_str(), row.value.as_str(), Written::Hexadecimal);
            self.field.offer(ui, &response, shared, begin, wishes);
        }
        let mut more = if row.bits.is_empty() { row.value.clone() } else { row.bits.clone() };
        if row.path.is_some() {
            more += "\nA double click changes it.";
        }
        response.on_hover_text(format!("{}: {more}", row.name));
    }

    /// The flags, those that are set in strong letters.
    fn flags(&self, ui: &mut Ui, shared: Shared, wishes: &mut Wishes) {
        let Some(row) = self.rows.iter().find(|row| row.name == "eflags") else { return };
        let value = |text: &str| u64::from_str_radix(text, 16).unwrap_or_default();
        let now = value(&row.value);
        let before = self.before.get(&row.name).map_or(now, |before| value(before));
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = look::width(ui, 1.0);
            for (letter, name, bit) in FLAGS {
                let is_set = now >> bit & 1 == 1;
                let color = match (is_set, before >> bit & 1 == 1) {
                    (a, b) if a != b => look::changed(ui),
                    (true, _) => ui.visuals().strong_text_color(),
                    (false, _) => ui.visuals().weak_text_color(),
                };
                let text = look::mono(if is_set { letter } else { "-" }).color(color);
                let response = ui.add(Label::new(text).selectable(false).sense(Sense::click()));
                if field::wanted(ui, &response)
                    && let Some(path) = &row.path
                {
                    flip(path, now ^ 1 << bit, shared, wishes);
                }
                let is = if is_set { "set" } else { "clear" };
                response.on_hover_text(format!("{name}: {is}\nA double click changes it."));
            }
        });
    }
}

/// Has the flags set to another value.
fn flip(path: &str, value: u64, shared: Shared, wishes: &mut Wishes) {
    match shared.paused {
        true => field::set(path.to_owned(), format!("{value:#x}"), wishes),
        false => wishes.say(field::PAUSE_FIRST.to_owned()),
    }
}

fn words(bits: &[Value]) -> String {
    bits.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_compared_with_that_of_the_last_stop() {
        let answer = |step: u64, rax: &str| {
            json!({ "step": step, "activity": "Active", "registers": [
                { "name": "rax", "group": "general", "value": rax, "path": "cpu0.gpr[0]" },
            ] })
        };
        let mut registers = Registers::default();
        registers.hear(&answer(1, "0x01"));
        assert!(registers.before.is_empty());
        registers.hear(&answer(2, "0x02"));
        assert_eq!((&*registers.before["rax"], &*registers.now["rax"]), ("01", "02"));
        // Changed by hand where it stands.
        registers.hear(&answer(2, "0x03"));
        assert_eq!((&*registers.before["rax"], &*registers.now["rax"]), ("01", "03"));
    }
}
