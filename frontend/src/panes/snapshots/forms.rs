//! What is asked before something is done with a snapshot.

use super::shelf::Job;
use egui::{Id, Modal, Ui};
use egui_file_dialog::{DialogState, FileDialog};

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
        dialog: Box<FileDialog>,
    },
    Import {
        dialog: Box<FileDialog>,
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
        let dialog = dialog("Export a snapshot").default_file_name(&format!("{label}.amber"));
        let mut dialog =
            Box::new(dialog.add_save_extension("Snapshot", "amber").default_save_extension("Snapshot"));
        dialog.save_file();
        Self::Export { id, dialog }
    }

    pub fn import() -> Self {
        let dialog = dialog("Import a snapshot").add_file_filter_extensions("Snapshots", vec!["amber"]);
        let mut dialog = Box::new(dialog.default_file_filter("Snapshots"));
        dialog.pick_file();
        Self::Import { dialog }
    }

    /// Draws it over the window.
    pub fn draw(&mut self, ui: &Ui) -> Outcome {
        match self {
            Self::Rename { id, name } => rename(ui, id, name),
            Self::Delete { id, label, shown } => delete(ui, id, label, shown),
            Self::Export { id, dialog } => match picked(ui, dialog) {
                Ok(Some(file)) => Outcome::Job(Job::Export { id: id.clone(), file }),
                other => open(other.is_ok()),
            },
            Self::Import { dialog } => match picked(ui, dialog) {
                Ok(Some(file)) => Outcome::Job(Job::Import { file }),
                other => open(other.is_ok()),
            },
        }
    }
}

fn dialog(title: &str) -> FileDialog {
    FileDialog::new().title(title)
}

fn open(open: bool) -> Outcome {
    if open { Outcome::Open } else { Outcome::Closed }
}

/// The file, once one is picked; an error when none will be.
fn picked(ui: &Ui, dialog: &mut FileDialog) -> Result<Option<std::path::PathBuf>, ()> {
    dialog.update(ui.ctx());
    match dialog.state() {
        DialogState::Open => Ok(None),
        DialogState::Picked(_) => dialog.take_picked().map(Some).ok_or(()),
        _ => Err(()),
    }
}

fn rename(ui: &Ui, id: &str, name: &mut String) -> Outcome {
    let mut outcome = Outcome::Open;
    let modal = Modal::new(Id::new("rename")).show(ui.ctx(), |ui| {
        ui.heading("Rename the snapshot");
        ui.label("Letters, digits, and . _ + -");
        let field = ui.text_edit_singleline(name);
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        if !entered {
            field.request_focus();
        }
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
    let modal = Modal::new(Id::new("delete")).show(ui.ctx(), |ui| {
        ui.heading(format!("Delete {label}?"));
        ui.label("It cannot be brought back. Snapshots that go on from it stay.");
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
