//! What came of one drawing: what the person chose, and what is to be asked of the machine.

use super::action::Action;
use super::app::About;
use amber_emu::control::Method;

/// See the module.
#[derive(Default)]
pub struct Wishes {
    pub actions: Vec<Action>,
    /// Each with what its answer is for.
    pub asks: Vec<(Method, About)>,
    /// A pane is to ask again for what it shows.
    pub again: bool,
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

    /// Only the last pass of a drawing counts.
    pub fn clear(&mut self) {
        self.actions.clear();
        self.asks.clear();
    }
}
