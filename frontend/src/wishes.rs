//! What came of one drawing: what the person chose, and what is to be asked of the machine.

use super::action::Action;
use super::app::About;
use super::start::Opening;
use amber_emu::control::Method;
use std::path::PathBuf;

/// See the module.
#[derive(Default)]
pub struct Wishes {
    pub actions: Vec<Action>,
    /// Each with what its answer is for.
    pub asks: Vec<(Method, About)>,
    /// A pane is to ask again for what it shows.
    pub again: bool,
    /// Machines that are to run.
    pub openings: Vec<Opening>,
    /// Machines that were made, and are to run another time.
    pub saved: Vec<PathBuf>,
    /// Files to open in place of the machine that runs.
    pub drops: Vec<PathBuf>,
    /// For the person.
    pub sentences: Vec<String>,
}

impl Wishes {
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub fn ask(&mut self, method: Method, about: About) {
        self.asks.push((method, about));
    }

    pub fn again(&mut self) {
        self.again = true;
    }

    pub fn open(&mut self, opening: Opening) {
        self.openings.push(opening);
    }

    pub fn saved(&mut self, file: PathBuf) {
        self.saved.push(file);
    }

    pub fn drop_in(&mut self, file: PathBuf) {
        self.drops.push(file);
    }

    pub fn say(&mut self, sentence: String) {
        self.sentences.push(sentence);
    }

    /// Only the last pass of a drawing counts.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
