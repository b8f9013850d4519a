//! The top of the stack, with names for what may be return addresses.

use super::look;
use amber_emu::control::Method;
use egui::text::LayoutJob;
use egui::{Label, ScrollArea, Sense, Ui};
use serde_json::Value;

/// Values that are shown.
const COUNT: u32 = 64;

struct Slot {
    address: String,
    value: String,
    symbol: Option<String>,
}

/// See the module.
#[derive(Default)]
pub struct Stack {
    slots: Vec<Slot>,
}

impl Stack {
    pub fn method(&self, cpu: u32) -> Method {
        Method::Stack { cpu, count: COUNT }
    }

    pub fn hear(&mut self, answer: &Value) {
        let slot = |row: &Value| Slot {
            address: look::text(&row["address"]),
            value: look::text(&row["value"]).trim_start_matches("0x").to_owned(),
            symbol: row["symbol"].as_str().map(str::to_owned),
        };
        self.slots = answer["values"].as_array().into_iter().flatten().map(slot).collect();
    }

    pub fn draw(&self, ui: &mut Ui) {
        look::heading(ui, "Stack");
        ScrollArea::vertical().id_salt("stack").auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 1.0;
            if self.slots.is_empty() {
                ui.label("(not mapped)");
            }
            let mut offset = 0;
            for slot in &self.slots {
                let mut job = LayoutJob::default();
                look::append(&mut job, &format!("+{offset:03x} "), ui.visuals().weak_text_color());
                look::append(&mut job, &slot.value, look::value(ui));
                ui.add(Label::new(job).truncate().sense(Sense::hover())).on_hover_text(&slot.address);
                if let Some(symbol) = &slot.symbol {
                    let name = look::mono(format!("     {symbol}")).color(look::symbol(ui));
                    ui.add(Label::new(name).truncate()).on_hover_text(symbol);
                }
                offset += slot.value.len() / 2;
            }
        });
    }
}
