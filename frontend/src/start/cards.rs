//! What the start screen is made of.

use egui::text::{LayoutJob, TextFormat};
use egui::{Atom, Button, FontId, Response, RichText, Ui, Vec2};

/// A heading of a part.
pub fn heading(ui: &mut Ui, text: &str) {
    ui.add_space(6.0);
    ui.label(RichText::new(text).strong().size(15.0));
    ui.add_space(2.0);
}

/// A button with a title, and below it what it is.
pub fn card(ui: &mut Ui, title: &str, words: &str) -> Response {
    let mut job = LayoutJob::default();
    let visuals = ui.visuals();
    let format =
        |size, color| TextFormat { font_id: FontId::proportional(size), color, ..TextFormat::default() };
    job.append(title, 0.0, format(14.0, visuals.strong_text_color()));
    job.append("\n", 0.0, format(12.0, visuals.text_color()));
    job.append(words, 0.0, format(12.0, visuals.text_color()));
    let width = ui.available_width();
    ui.scope(|ui| {
        ui.spacing_mut().button_padding = Vec2::new(8.0, 5.0);
        ui.add(Button::new((job, Atom::grow())).wrap().min_size(Vec2::new(width, 40.0)))
    })
    .inner
}
