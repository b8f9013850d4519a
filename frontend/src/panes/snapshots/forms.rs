//! What is asked before something is done with a snapshot.

use super::shelf::Job;
use crate::chooser::Chooser;
use crate::dialog::{self, modal};
use egui::Ui;
use egui_file_dialog::FileDialog;
use std::path::PathBuf;

/// A question that is open.
pub enum Form {
    Rename {
        id: String,
        name: String,
    },
    /// `shown` before: the safe answer has had the keyboard.
    Delete {
        id: String,
        label: String,
        shown: bool,
    },
    Export {
        id: String,
        chooser: Box<Chooser<()>>,
    },
    Import {
        chooser: Box<Chooser<()>>,
    },
}

/// What became of it.
pub enum Outcome {
    Open,
    Closed,
    Job(Job),
}

impl Form {
    pub fn rename(id: String, name: String) -> Self {
        Self::Rename { id, name }
    }

    pub fn delete(id: String, label: String) -> Self {
        Self::Delete { id, label, shown: false }
    }

    pub fn export(id: String, label: &str) -> Self {
        let dialog =
            FileDialog::new().title("Export a snapshot").default_file_name(&format!("{label}.amber"));
        let mut chooser = Box::<Chooser<()>>::default();
        chooser.save((), dialog.add_save_extension("Snapshot", "amber").default_save_extension("Snapshot"));
        Self::Export { id, chooser }
    }

    pub fn import() -> Self {
        let dialog = FileDialog::new().title("Import a snapshot");
        let dialog = dialog.add_file_filter_extensions("Snapshots", vec!["amber"]);
        let mut chooser = Box::<Chooser<()>>::default();
        chooser.pick((), dialog.default_file_filter("Snapshots"));
        Self::Import { chooser }
    }

    /// Draws it over the window.
    pub fn draw(&mut self, ui: &Ui) -> Outcome {
        match self {
            Self::Rename { id, name } => rename(ui, id, name),
            Self::Delete { id, label, shown } => delete(ui, id, label, shown),
            Self::Export { id, chooser } => chosen(ui, chooser, |file| Job::Export { id: id.clone(), file }),
            Self::Import { chooser } => chosen(ui, chooser, |file| Job::Import { file }),
        }
    }
}

/// What is done with the file, once one is chosen.
fn chosen(ui: &Ui, chooser: &mut Chooser<()>, job: impl FnOnce(PathBuf) -> Job) -> Outcome {
    match chooser.draw(ui.ctx()) {
        Some(((), file)) => Outcome::Job(job(file)),
        None if chooser.is_open() => Outcome::Open,
        None => Outcome::Closed,
    }
}

fn rename(ui: &Ui, id: &str, name: &mut String) -> Outcome {
    let mut outcome = Outcome::Open;
    let modal = modal(ui, "rename").show(ui.ctx(), |ui| {
        dialog::title(ui, "Rename the snapshot");
        ui.label("Letters, digits, and . _ + -");
        let field = ui.text_edit_singleline(name);
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        if !entered {
            field.request_focus();
        }
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            if ui.button("Rename").clicked() || entered {
                outcome = Outcome::Job(Job::Rename { id: id.to_owned(), name: name.clone() });
            }
            if ui.button("Cancel").clicked() {
                outcome = Outcome::Closed;
            }
        });
    });
    if modal.should_close() && matches!(outcome, Outcome::Open) { Outcome::Closed } else { outcome }
}

fn delete(ui: &Ui, id: &str, label: &str, shown: &mut bool) -> Outcome {
    let mut outcome = Outcome::Open;
    let modal = modal(ui, "delete").show(ui.ctx(), |ui| {
        dialog::title(ui, &format!("Delete {label}?"));
        ui.label("It cannot be brought back. Snapshots that go on from it stay.");
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            if ui.button("Delete").clicked() {
                outcome = Outcome::Job(Job::Remove { id: id.to_owned() });
            }
            let cancel = ui.button("Cancel");
            if !std::mem::replace(shown, true) {
                cancel.request_focus();
            }
            if cancel.clicked() {
                outcome = Outcome::Closed;
            }
        });
    });
    if modal.should_close() && matches!(outcome, Outcome::Open) { Outcome::Closed } else { outcome }
}
