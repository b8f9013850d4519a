//! The start screen: how one gets a machine.

mod cards;
mod dropped;
mod form;
mod image;
mod list;
mod saved;
mod sheet;
mod templates;

use crate::chooser::Chooser;
use crate::places::Places;
use crate::settings::Settings;
use crate::wishes::Wishes;
use amber_emu::config::Firmware;
pub use dropped::{Dropped, Room};
use egui::Ui;
use form::{Field, Form};
use image::{Kind, recognise};
use list::List;
use sheet::{Sheet, Verdict};
use std::path::{Path, PathBuf};

/// What is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    Embedded(Firmware),
    /// A MACHINE.toml.
    Machine(PathBuf),
    /// A snapshot in a file of its own.
    Archive(PathBuf),
    /// A snapshot of the store, by name.
    Snapshot(String),
}

/// Whether a file is something a machine is made of, or goes on from, and no MACHINE.toml.
pub fn is_image(file: &Path) -> bool {
    recognise(file).is_ok_and(|image| image.kind != Kind::Machine)
}

/// What a file is chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Opening,
    Field(Field),
}

/// See the module.
pub struct Start {
    places: Places,
    list: List,
    /// The form, while there is one.
    sheet: Option<Sheet>,
    chooser: Chooser<For>,
}

/// What a person chose in the list.
enum Choice {
    Run(Opening),
    /// A file, whatever it is.
    File(PathBuf),
    Form(Box<Form>),
    Edit(PathBuf),
    Browse,
    Forget(PathBuf),
}

impl Start {
    /// A start screen; `store` is the folder of the snapshots, if one was named.
    pub fn new(places: Places, store: Option<&Path>) -> Self {
        let list = List::new(&places, store);
        Self { places, list, sheet: None, chooser: Chooser::default() }
    }

    pub fn draw(&mut self, ui: &mut Ui, settings: &mut Settings, wishes: &mut Wishes) {
        self.choose(ui, settings, wishes);
        let free = !self.chooser.is_open();
        match &mut self.sheet {
            Some(sheet) => {
                let verdict = sheet.draw(ui, &self.places.machines, free);
                self.decide(verdict, settings, wishes);
            }
            None => {
                let choice = self.list.draw(ui, settings, free);
                if let Some(choice) = choice {
                    self.take(choice, settings, wishes);
                }
            }
        }
    }

    /// Leaves the form.
    fn leave_sheet(&mut self) {
        self.sheet = None;
        self.list.wants_keys();
    }

    /// The dialog for files, and what was chosen in it.
    fn choose(&mut self, ui: &Ui, settings: &mut Settings, wishes: &mut Wishes) {
        let was_open = self.chooser.is_open();
        let chosen = self.chooser.draw(ui.ctx());
        if was_open && !self.chooser.is_open() {
            self.list.wants_keys();
        }
        let Some((what, file)) = chosen else { return };
        settings.images = file.parent().map(Path::to_owned);
        match what {
            For::Opening => self.open(&file, wishes),
            For::Field(field) => {
                if let Some(sheet) = &mut self.sheet {
                    sheet.form.choose(field, &file);
                }
            }
        }
    }

    fn take(&mut self, choice: Choice, settings: &mut Settings, wishes: &mut Wishes) {
        match choice {
            Choice::Run(opening) => wishes.open(opening),
            Choice::File(file) => self.open(&file, wishes),
            Choice::Form(form) => self.sheet = Some(Sheet::new(*form)),
            Choice::Edit(file) => match saved::edit(&file) {
                Ok(form) => self.sheet = Some(Sheet::new(form)),
                Err(sentence) => wishes.say(sentence),
            },
            Choice::Browse => self.chooser.open(For::Opening, settings.images.as_deref()),
            Choice::Forget(file) => {
                settings.recent.retain(|recent| recent.file != file);
                self.list.forget(&file);
                crate::recent::Last::remove(&self.places.pictures, &file);
            }
        }
    }

    /// Opens a file: a machine or a snapshot runs, of anything else a machine is made.
    pub fn open(&mut self, file: &Path, wishes: &mut Wishes) {
        match recognise(file) {
            Ok(image) => match image.kind {
                Kind::Machine => wishes.open(Opening::Machine(image.file)),
                Kind::Snapshot => wishes.open(Opening::Archive(image.file)),
                _ => self.sheet = Some(Sheet::about(&image)),
            },
            Err(sentence) => wishes.say(sentence),
        }
    }

    fn decide(&mut self, verdict: Option<Verdict>, settings: &Settings, wishes: &mut Wishes) {
        let Some(sheet) = &mut self.sheet else { return };
        match verdict {
            None => {}
            Some(Verdict::Cancel) => self.leave_sheet(),
            Some(Verdict::Browse(field)) => {
                let beside = sheet.folder(field).or_else(|| settings.images.clone());
                self.chooser.open(For::Field(field), beside.as_deref());
            }
            Some(Verdict::Save { config, file, run }) => match saved::write(&config, &file) {
                Err(sentence) => wishes.say(sentence),
                Ok(()) => {
                    self.leave_sheet();
                    match run {
                        true => wishes.open(Opening::Machine(file)),
                        false => wishes.saved(file),
                    }
                }
            },
        }
    }
}
