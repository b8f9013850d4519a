//! What is done with the machine, which processor is shown, and why the machine stands.

use super::super::View;
use super::{Debugger, Question, Tab, look};
use crate::action::{Action, chord_name};
use crate::app::About;
use crate::keyboard::HostKey;
use crate::status::State;
use crate::wishes::Wishes;
use amber_emu::control::{Method, Place};
use egui::{Button, ComboBox, Label, RichText, Ui};

impl Debugger {
    pub(super) fn toolbar(&mut self, ui: &mut Ui, view: View, wishes: &mut Wishes) {
        let paused = view.state == State::Paused;
        let runs = paused || view.state == State::Running;
        ui.horizontal_wrapped(|ui| {
            let go = if paused { "▶ Run" } else { "⏸ Pause" };
            button(ui, view.host, runs, go, Action::Pause, wishes);
            button(ui, view.host, paused, "Step", Action::Step, wishes);
            button(ui, view.host, paused, "Over", Action::StepOver, wishes);
            button(ui, view.host, paused, "Out", Action::StepOut, wishes);
            let cursor = self.code.cursor().filter(|_| paused);
            let to = ui.add_enabled(cursor.is_some(), Button::new("To cursor"));
            let to = to.on_hover_text("Run to the line that is chosen (C)");
            if let Some(address) = cursor.filter(|_| to.clicked()) {
                let method = Method::RunTo { address: Place::Address(address) };
                wishes.ask(method, About::Debugger(Question::Changed));
            }
            button(ui, view.host, paused, "⏴ Over", Action::StepOverBack, wishes);
            button(ui, view.host, paused, "⏴ Stop", Action::StopBack, wishes);
            ui.separator();
            self.processors(ui, view.glance.cpus);
            for (tab, name) in [(Tab::Code, "Code"), (Tab::Devices, "Devices"), (Tab::Points, "Breakpoints")]
            {
                if ui.selectable_label(self.tab == tab, name).clicked() {
                    (self.tab, self.stale) = (tab, true);
                }
            }
            if let Some(stopped) = self.stopped.as_ref().filter(|_| paused) {
                ui.separator();
                ui.add(Label::new(RichText::new(stopped).color(look::breakpoint(ui, true))).truncate());
            }
        });
    }

    fn processors(&mut self, ui: &mut Ui, cpus: u32) {
        if cpus < 2 {
            return;
        }
        let chosen = self.cpu;
        ComboBox::from_id_salt("processor").selected_text(format!("CPU {chosen}")).width(64.0).show_ui(
            ui,
            |ui| {
                for cpu in 0..cpus {
                    ui.selectable_value(&mut self.cpu, cpu, format!("CPU {cpu}"));
                }
            },
        );
        if self.cpu != chosen {
            self.stale = true;
            self.registers.show_another();
            self.code.follow();
        }
        ui.separator();
    }
}

/// What is not said by the name.
fn hint(action: Action) -> Option<&'static str> {
    match action {
        Action::StepOverBack => Some("Back over what was done last"),
        Action::StopBack => Some("Back to the last hit of a breakpoint or watchpoint"),
        _ => None,
    }
}

fn button(ui: &mut Ui, host: HostKey, enabled: bool, name: &str, action: Action, wishes: &mut Wishes) {
    let response = ui.add_enabled(enabled, Button::new(name));
    let chord = chord_name(action).map(|key| format!("{}+{key}", host.name()));
    let hint = match (hint(action), chord) {
        (Some(hint), Some(chord)) => Some(format!("{hint} ({chord})")),
        (hint, chord) => chord.or(hint.map(str::to_owned)),
    };
    let response = match hint {
        Some(hint) => response.on_hover_text(hint),
        None => response,
    };
    if response.clicked() {
        wishes.act(action);
    }
}
