//! How the parts of the debugger look: one type, and colours with a meaning.

use amber_emu::control::{Method, Place};
use egui::text::{LayoutJob, TextFormat};
use egui::{Color32, FontId, Response, RichText, StrokeKind, Ui};
use serde_json::Value;

/// Points.
const SIZE: f32 = 12.0;

/// The type values are compared in.
pub fn font() -> FontId {
    FontId::monospace(SIZE)
}

/// Lines of `height` that the wheel was turned by over what `response` is of, downwards; `rest` is what makes no whole line yet.
pub fn turned(ui: &Ui, response: &Response, height: f32, rest: &mut f32) -> i64 {
    if !response.contains_pointer() {
        return 0;
    }
    *rest += ui.input(|input| input.smooth_scroll_delta().y);
    let lines = (*rest / height).trunc() as i64;
    *rest %= height;
    -lines
}

/// Shows that what was painted there has the keyboard.
pub fn focus(ui: &Ui, response: &Response) {
    if response.has_focus() {
        let stroke = ui.visuals().widgets.active.bg_stroke;
        ui.painter().rect_stroke(response.rect, 2.0, stroke, StrokeKind::Inside);
    }
}

/// Height of a line of it.
pub fn line_height(ui: &Ui) -> f32 {
    (ui.fonts_mut(|fonts| fonts.row_height(&font())) + 1.0).round()
}

/// Width of so many characters.
pub fn width(ui: &Ui, characters: f32) -> f32 {
    ui.fonts_mut(|fonts| fonts.glyph_width(&font(), '0')) * characters
}

pub fn mono(text: impl Into<String>) -> RichText {
    RichText::new(text).font(font())
}

/// A part's name.
pub fn heading(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).small().strong());
}

/// Values.
pub fn value(ui: &Ui) -> Color32 {
    ui.visuals().widgets.inactive.text_color()
}

/// What changed since the machine last stood.
pub fn changed(ui: &Ui) -> Color32 {
    ui.visuals().warn_fg_color
}

/// Names.
pub fn symbol(ui: &Ui) -> Color32 {
    ui.visuals().hyperlink_color
}

/// A breakpoint, and one that does not count.
pub fn breakpoint(ui: &Ui, enabled: bool) -> Color32 {
    if enabled { ui.visuals().error_fg_color } else { ui.visuals().weak_text_color() }
}

/// Adds text of a colour to a line.
pub fn append(job: &mut LayoutJob, text: &str, color: Color32) {
    job.append(text, 0.0, TextFormat { font_id: font(), color, ..TextFormat::default() });
}

/// A number as answers have it, such as `"0x1000"`.
pub fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// A text of an answer.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What asks where a place is that a person wrote: hexadecimal digits count as such, also without 0x in front.
pub fn locate(written: &str) -> Method {
    let written = written.trim();
    let digits = written.strip_prefix("0x").unwrap_or(written).replace('_', "");
    let place = match u64::from_str_radix(&digits, 16) {
        Ok(address) if written.starts_with(|c: char| c.is_ascii_digit()) => Place::Address(address),
        _ => Place::Text(written.to_owned()),
    };
    Method::Locate { place }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_a_person_means_them() {
        let place = |text: &str| match locate(text) {
            Method::Locate { place } => place,
            _ => unreachable!("it asks for a place"),
        };
        assert_eq!(place("0xffffffff81000000"), Place::Address(0xffff_ffff_8100_0000));
        assert_eq!(place(" 7c00 "), Place::Address(0x7c00));
        assert_eq!(place("add_key"), Place::Text("add_key".to_owned()));
        assert_eq!(place("main+0x8"), Place::Text("main+0x8".to_owned()));
    }
}
