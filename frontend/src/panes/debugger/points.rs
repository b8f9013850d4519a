//! Breakpoints and watchpoints, and where names come from.

use super::{Question, Shared, look};
use crate::app::About;
use crate::chooser::Chooser;
use crate::wishes::Wishes;
use amber_emu::control::{Method, Place};
use egui::{Button, Checkbox, DragValue, Grid, Key, ScrollArea, TextEdit, Ui};
use serde_json::Value;

struct Point {
    id: u32,
    watch: Option<String>,
    address: u64,
    symbol: Option<String>,
    enabled: bool,
}

/// See the module.
pub struct Points {
    points: Vec<Point>,
    place: String,
    len: u64,
    read: bool,
    write: bool,
    /// How many names there are.
    names: Option<u64>,
    chooser: Chooser<()>,
}

impl Default for Points {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            place: String::new(),
            len: 8,
            read: false,
            write: true,
            names: None,
            chooser: Chooser::default(),
        }
    }
}

fn ask(method: Method, wishes: &mut Wishes) {
    wishes.ask(method, About::Debugger(Question::Changed));
}

impl Points {
    pub fn hear(&mut self, answer: &Value) {
        let point = |row: &Value| {
            let watch = (row["kind"] == "watch").then(|| {
                let (read, write) = (row["read"] == true, row["write"] == true);
                let what = match (read, write) {
                    (true, true) => "read or write",
                    (true, false) => "read",
                    _ => "write",
                };
                format!("{what}, {} bytes", row["len"])
            });
            Some(Point {
                id: row["id"].as_u64()? as u32,
                watch,
                address: look::number(&row["address"])?,
                symbol: row["symbol"].as_str().map(str::to_owned),
                enabled: row["enabled"] == true,
            })
        };
        self.points = answer["points"].as_array().into_iter().flatten().filter_map(point).collect();
    }

    pub fn hear_symbols(&mut self, answer: &Value) {
        self.names = answer["symbols"].as_u64();
    }

    /// Whether a file is being chosen.
    pub fn asks(&self) -> bool {
        self.chooser.is_open()
    }

    fn find(&self, address: u64) -> Option<&Point> {
        self.points.iter().find(|point| point.watch.is_none() && point.address == address)
    }

    /// Whether a breakpoint is there, and counts.
    pub fn at(&self, address: u64) -> Option<bool> {
        self.find(address).map(|point| point.enabled)
    }

    /// Sets a breakpoint, or takes it away.
    pub fn toggle(&self, address: u64, wishes: &mut Wishes) {
        ask(
            match self.find(address) {
                Some(point) => Method::Unbreak { id: point.id },
                None => Method::Break { address: Place::Address(address) },
            },
            wishes,
        );
    }

    pub fn draw(&mut self, ui: &mut Ui, _: Shared, wishes: &mut Wishes) {
        self.add(ui, wishes);
        ui.add_space(4.0);
        self.symbols(ui, wishes);
        ui.separator();
        ScrollArea::vertical().id_salt("points").auto_shrink(false).show(ui, |ui| {
            if self.points.is_empty() {
                ui.label("There are none. A click in the margin of the code sets a breakpoint.");
            }
            Grid::new("points").striped(true).num_columns(5).show(ui, |ui| {
                for point in &self.points {
                    draw_point(ui, point, wishes);
                }
            });
        });
    }

    fn add(&mut self, ui: &mut Ui, wishes: &mut Wishes) {
        let mut place = None;
        ui.horizontal_wrapped(|ui| {
            let edit =
                TextEdit::singleline(&mut self.place).hint_text("address or symbol").font(look::font());
            let response = ui.add(edit.desired_width(200.0));
            let entered = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            let written = !self.place.trim().is_empty();
            if let Method::Locate { place: found } = look::locate(&self.place) {
                place = Some(found).filter(|_| written);
            }
            let adds = ui.add_enabled(written, Button::new("Break there")).clicked();
            if let Some(address) = place.clone().filter(|_| adds || entered) {
                ask(Method::Break { address }, wishes);
            }
        });
        ui.horizontal_wrapped(|ui| {
            ui.add(Checkbox::new(&mut self.read, "read"));
            ui.add(Checkbox::new(&mut self.write, "write"));
            ui.label("of");
            ui.add(DragValue::new(&mut self.len).range(1..=4096));
            ui.label("bytes");
            let enabled = place.is_some() && (self.read || self.write);
            let adds = ui.add_enabled(enabled, Button::new("Watch them")).clicked();
            if let Some(address) = place.filter(|_| adds) {
                ask(Method::Watch { address, len: self.len, read: self.read, write: self.write }, wishes);
            }
        });
    }

    fn symbols(&mut self, ui: &mut Ui, wishes: &mut Wishes) {
        ui.horizontal(|ui| {
            if ui.button("Load symbols…").on_hover_text("An ELF with symbols, or a System.map").clicked() {
                self.chooser.open((), None);
            }
            if let Some(names) = self.names {
                ui.label(format!("{names} names"));
            }
        });
        if let Some(((), file)) = self.chooser.draw(ui.ctx()) {
            wishes.ask(Method::Symbols { file }, About::Debugger(Question::Symbols));
        }
    }
}

fn draw_point(ui: &mut Ui, point: &Point, wishes: &mut Wishes) {
    let mut enabled = point.enabled;
    if ui.checkbox(&mut enabled, point.id.to_string()).changed() {
        ask(Method::BreakEnable { id: point.id, enabled }, wishes);
    }
    ui.label(look::mono(format!("{:016x}", point.address)));
    ui.label(look::mono(point.symbol.clone().unwrap_or_default()).color(look::symbol(ui)));
    ui.label(point.watch.as_deref().unwrap_or("break"));
    if ui.small_button("Remove").clicked() {
        ask(Method::Unbreak { id: point.id }, wishes);
    }
    ui.end_row();
}
