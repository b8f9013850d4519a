//! The snapshots of the store as a tree, with what one does with them.

mod forms;
mod row;
pub mod shelf;
mod tree;

use super::View;
use crate::app::About;
use crate::wishes::Wishes;
use amber_emu::control::Method;
use egui::{Button, Panel, RichText, ScrollArea, TextEdit, TextureHandle, Ui};
use forms::Form;
use serde_json::Value;
use shelf::{Entry, Job, Shelf, Told};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tree::Place;

/// How often the store is looked at for what others saved.
const LOOK: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Default)]
pub struct Snapshots {
    shelf: Option<Shelf>,
    entries: Vec<Entry>,
    places: Vec<Place>,
    textures: BTreeMap<String, TextureHandle>,
    /// Id of the one that is chosen, and of the other one of a comparison.
    chosen: Option<String>,
    marked: Option<String>,
    /// Id of the snapshot the machine went on from.
    here: Option<String>,
    /// The name for the next one.
    name: String,
    /// Saves that are on their way.
    saving: usize,
    form: Option<Form>,
    looked: Option<Instant>,
}

impl Snapshots {
    /// Shows the store behind `shelf` from now on.
    pub fn open(&mut self, shelf: Shelf) {
        *self = Self { shelf: Some(shelf), ..Self::default() };
    }

    pub fn draw(&mut self, ui: &mut Ui, view: View, wishes: &mut Wishes) {
        self.look(wishes);
        self.bar(ui, view, wishes);
        ui.separator();
        let chosen = self.entries.iter().position(|entry| Some(&entry.row.id) == self.chosen.as_ref());
        if let Some(n) = chosen {
            Panel::bottom("chosen").show(ui, |ui| self.deeds(ui, n, view, wishes));
        }
        if self.entries.is_empty() {
            ui.label("There are no snapshots in the store yet. Save keeps the machine as it is now, under the name beside it.");
        }
        ScrollArea::both().auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            for n in 0..self.entries.len() {
                if row::draw(ui, self, n) {
                    self.chosen = Some(self.entries[n].row.id.clone());
                }
            }
        });
        self.form(ui);
    }

    /// Whether a question is open.
    pub fn asks(&self) -> bool {
        self.form.is_some()
    }

    /// Asks what is in the store, and where the machine stands, if that is due.
    fn look(&mut self, wishes: &mut Wishes) {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            self.looked = Some(Instant::now());
            self.ask(Job::List);
            wishes.ask(Method::Status, About::Here);
        }
    }

    fn ask(&mut self, job: Job) {
        let asked = self.shelf.as_ref().is_some_and(|shelf| shelf.ask(job));
        if !asked {
            self.shelf = None;
        }
    }

    fn bar(&mut self, ui: &mut Ui, view: View, wishes: &mut Wishes) {
        ui.horizontal(|ui| {
            let hint = self.proposed(view.glance.now);
            let field = TextEdit::singleline(&mut self.name).hint_text(&hint).desired_width(150.0);
            let entered = ui.add(field).lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            let runs = view.runs();
            let save =
                ui.add_enabled(runs, Button::new("Save")).on_hover_text("The machine runs on meanwhile");
            if runs && (save.clicked() || entered) {
                let name = std::mem::take(&mut self.name);
                self.save(if name.is_empty() { hint } else { name }, wishes);
            }
            if ui.button("Import…").clicked() {
                self.form = Some(Form::import());
            }
            if self.saving != 0 {
                ui.spinner();
                ui.label("saving");
            }
        });
    }

    /// Has the machine saved under a name.
    fn save(&mut self, name: String, wishes: &mut Wishes) {
        self.saving += 1;
        wishes.ask(Method::Save { name }, About::Saved);
    }

    /// Has it saved under a name that says where it stands.
    pub fn save_here(&mut self, now: u64, wishes: &mut Wishes) {
        self.save(self.proposed(now), wishes);
    }

    /// A name nobody has, for a machine at virtual time `now`, ns.
    fn proposed(&self, now: u64) -> String {
        let name = format!("at-{}.{}s", now / 1_000_000_000, now / 100_000_000 % 10);
        let taken = |name: &String| self.entries.iter().any(|entry| entry.row.names.contains(name));
        let names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}-{n}")));
        names.into_iter().find(|name| !taken(name)).unwrap_or(name)
    }

    /// What can be done with the one that is chosen.
    fn deeds(&mut self, ui: &mut Ui, n: usize, view: View, wishes: &mut Wishes) {
        let row = self.entries[n].row.clone();
        let label = row.names.first().cloned().unwrap_or_else(|| row.id[..12].to_owned());
        ui.add_space(4.0);
        ui.label(RichText::new(&label).strong());
        let facts = [("snapshot", &row.id), ("state hash", &row.state_hash)];
        for (what, hash) in facts {
            ui.label(RichText::new(format!("{what} {}", &hash[..16])).small()).on_hover_text(hash);
        }
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.y = 4.0;
            if ui.add_enabled(view.runs(), Button::new("Load")).clicked() {
                wishes.ask(Method::Load { snapshot: row.id.clone() }, About::Loaded);
            }
            if ui.button("Rename…").clicked() {
                self.form = Some(Form::rename(row.id.clone(), label.clone()));
            }
            if ui.button("Export…").clicked() {
                self.form = Some(Form::export(row.id.clone(), &label));
            }
            if ui.button("Delete…").clicked() {
                self.form = Some(Form::delete(row.id.clone(), label.clone()));
            }
            match self.marked.clone().filter(|marked| *marked != row.id) {
                Some(a) if ui.button(format!("Compare with {}", self.label(&a))).clicked() => {
                    self.ask(Job::Compare { a, b: row.id.clone() });
                }
                Some(_) => {}
                None if self.marked.is_none() && row.parent.is_some() => {
                    let parent = row.parent.clone().filter(|parent| self.entry(parent).is_some());
                    if let Some(a) = parent.filter(|_| ui.button("Compare with parent").clicked()) {
                        self.ask(Job::Compare { a, b: row.id.clone() });
                    }
                }
                None => {}
            }
            let marked = self.marked.as_deref() == Some(&*row.id);
            let mark = ui.add(Button::selectable(marked, "Mark").frame_when_inactive(true));
            if mark.on_hover_text("Then choose another one to compare it with").clicked() {
                self.marked = (!marked).then(|| row.id.clone());
            }
        });
        ui.add_space(4.0);
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.row.id == id)
    }

    /// What a person calls it.
    fn label(&self, id: &str) -> String {
        let name = self.entry(id).and_then(|entry| entry.row.names.first());
        name.cloned().unwrap_or_else(|| id.get(..12).unwrap_or(id).to_owned())
    }

    fn form(&mut self, ui: &Ui) {
        let Some(form) = &mut self.form else { return };
        match form.draw(ui) {
            forms::Outcome::Open => {}
            forms::Outcome::Closed => self.form = None,
            forms::Outcome::Job(job) => {
                self.form = None;
                self.ask(job);
            }
        }
    }

    /// What the machine answered to a load or a look where it stands.
    pub fn stands_at(&mut self, status: &Value) {
        self.here = status["parent"].as_str().map(str::to_owned);
    }

    /// Whether a save is under way.
    pub fn saves(&self) -> bool {
        self.saving != 0
    }

    /// A save has ended, well or not.
    pub fn saved(&mut self) {
        self.saving = self.saving.saturating_sub(1);
        self.looked = None;
    }

    /// There is no machine any more that could answer.
    pub fn machine_ended(&mut self) {
        self.saving = 0;
        self.looked = None;
    }

    /// What became of a job; a sentence for the person, and a comparison to show.
    pub fn hear(&mut self, told: Told) -> Option<String> {
        match told {
            Told::Listed(entries) => {
                let line = |entry: &Entry| (entry.row.id.clone(), entry.row.parent.clone());
                let lines: Vec<_> = entries.iter().map(line).collect();
                let lines: Vec<_> =
                    lines.iter().map(|(id, parent)| (id.as_str(), parent.as_deref())).collect();
                self.places = tree::places(&lines);
                self.textures.retain(|id, _| lines.iter().any(|(known, _)| known == id));
                self.entries = entries;
                None
            }
            Told::Done(sentence) | Told::Failed(sentence) => {
                self.looked = None;
                Some(sentence)
            }
            Told::Compared(_) => None,
        }
    }
}
