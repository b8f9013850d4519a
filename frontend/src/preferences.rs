//! The dialog of the settings.

use super::chooser::Chooser;
use super::dialog::{self, modal};
use super::keyboard::HostKey;
use super::settings::{Settings, Theme, ZOOMS};
use egui::{Grid, Label, RichText, Ui};

/// See the module.
#[derive(Default)]
pub struct Preferences {
    chooser: Chooser<()>,
    focused: bool,
}

impl Preferences {
    /// Draws it; whether it is done with.
    pub fn draw(&mut self, ui: &mut Ui, settings: &mut Settings) -> bool {
        if let Some(((), folder)) = self.chooser.draw(ui.ctx()) {
            settings.screenshots = Some(folder);
        }
        if self.chooser.is_open() {
            return false;
        }
        let response = modal(ui, "preferences").show(ui.ctx(), |ui| {
            ui.set_width(460.0);
            dialog::title(ui, "Settings");
            Grid::new("settings").num_columns(2).spacing([14.0, 10.0]).show(ui, |ui| self.rows(ui, settings));
            ui.add_space(8.0);
            let done = ui.button("Done");
            if !std::mem::replace(&mut self.focused, true) {
                done.request_focus();
            }
            done.clicked()
        });
        response.inner || response.should_close()
    }

    fn rows(&mut self, ui: &mut Ui, settings: &mut Settings) {
        name(ui, "Colours");
        ui.horizontal(|ui| {
            for (name, theme) in Theme::ALL {
                ui.radio_value(&mut settings.theme, theme, name);
            }
        });
        ui.end_row();
        name(ui, "Size");
        ui.horizontal(|ui| {
            for zoom in ZOOMS {
                ui.radio_value(&mut settings.zoom, zoom, format!("{zoom} %"));
            }
        });
        ui.end_row();
        name(ui, "Host key");
        ui.vertical(|ui| {
            ui.horizontal(|ui| {
                for key in HostKey::ALL {
                    ui.radio_value(&mut settings.host_key, key, key.name());
                }
            });
            ui.label(
                RichText::new("Alone it gives the mouse back; with another key it does what the menus do.")
                    .small(),
            );
        });
        ui.end_row();
        name(ui, "Screenshots");
        self.screenshots(ui, settings);
        ui.end_row();
    }

    fn screenshots(&mut self, ui: &mut Ui, settings: &mut Settings) {
        ui.vertical(|ui| {
            let folder = settings.screenshots.as_ref();
            let text =
                folder.map_or("the working directory".to_owned(), |folder| folder.display().to_string());
            ui.add(Label::new(text).truncate());
            ui.horizontal(|ui| {
                if ui.button("Choose folder…").clicked() {
                    self.chooser.open_folder((), settings.screenshots.as_deref());
                }
                if settings.screenshots.is_some() && ui.button("Working directory").clicked() {
                    settings.screenshots = None;
                }
            });
        });
    }
}

/// What a row is of, beside the first of its lines.
fn name(ui: &mut Ui, text: &str) {
    ui.vertical(|ui| ui.add(Label::new(text).extend()));
}
