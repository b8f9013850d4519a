//! What is in front of all else, one at a time.

use super::action::Action;
use super::media::Media;
use super::preferences::Preferences;
use super::settings::Settings;
use super::start::Dropped;
use super::wishes::Wishes;
use egui::{Frame, Id, Modal, RichText, Ui};

/// See the module.
pub enum Dialog {
    /// Whether the machine is to be closed; its button has the keyboard already.
    Close {
        focused: bool,
    },
    Preferences(Box<Preferences>),
    Dropped(Box<Dropped>),
    Media(Box<Media>),
}

impl Dialog {
    /// Draws it; whether it is done with. `name` is the machine's.
    pub fn draw(&mut self, ui: &mut Ui, name: &str, settings: &mut Settings, wishes: &mut Wishes) -> bool {
        match self {
            Self::Close { focused } => close(ui, name, focused, wishes),
            Self::Preferences(preferences) => preferences.draw(ui, settings),
            Self::Dropped(dropped) => dropped.draw(ui, wishes),
            Self::Media(media) => media.draw(ui),
        }
    }
}

/// The frame of one, by its name.
pub fn modal(ui: &Ui, name: &str) -> Modal {
    Modal::new(Id::new(name)).frame(Frame::popup(ui.style()).inner_margin(16.0))
}

/// What one asks, or is about.
pub fn title(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).strong().size(16.0));
    ui.add_space(4.0);
}

fn close(ui: &mut Ui, name: &str, focused: &mut bool, wishes: &mut Wishes) -> bool {
    let response = modal(ui, "close").show(ui.ctx(), |ui| {
        ui.set_width(360.0);
        title(ui, &format!("Close {name}?"));
        ui.label("The machine ends where it is. What was not saved as a snapshot is lost.");
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            let closes = ui.button("Close");
            if !std::mem::replace(focused, true) {
                closes.request_focus();
            }
            if closes.clicked() {
                wishes.act(Action::CloseNow);
            }
            closes.clicked() || ui.button("Cancel").clicked()
        })
        .inner
    });
    response.inner || response.should_close()
}
