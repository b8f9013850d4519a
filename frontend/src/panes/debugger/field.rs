//! A value of the machine that a person changes: a double click, or Enter, opens a field in its place.

use super::{Question, Shared, look};
use crate::app::About;
use crate::wishes::Wishes;
use amber_emu::control::Method;
use egui::text::{CCursor, CCursorRange};
use egui::{Key, Response, TextEdit, Ui};

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// In hexadecimal digits, with or without 0x.
    Hexadecimal,
    /// As `amber ctl set` takes it.
    Plain,
}

impl Written {
    /// What `set` is asked for.
    fn value(self, text: &str) -> Result<String, String> {
        let text = text.trim();
        if self == Self::Plain {
            return Ok(text.to_owned());
        }
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let digits: String = digits.chars().filter(|c| !matches!(c, '_' | ' ')).collect();
        match digits.chars().all(|c| c.is_ascii_hexdigit()) && !digits.is_empty() {
            true => Ok(format!("0x{digits}")),
            false => Err(format!(
                "`{text}` is no hexadecimal number: write digits such as 7c00; the value stays as it is."
            )),
        }
    }
}

/// The value that is being changed, if one is.
#[derive(Default)]
pub struct Field {
    open: Option<Open>,
}

struct Open {
    path: String,
    text: String,
    written: Written,
    /// It has been drawn.
    drawn: bool,
}

impl Field {
    /// Whether it stands in the place of that value.
    pub fn is_of(&self, path: &str) -> bool {
        self.open.as_ref().is_some_and(|open| open.path == path)
    }

    /// Opens it when a person wants `response`'s value another; of a machine that runs it is said why not.
    pub fn offer(
        &mut self,
        ui: &Ui,
        response: &Response,
        shared: Shared,
        begin: (&str, &str, Written),
        wishes: &mut Wishes,
    ) {
        if !wanted(ui, response) {
            return;
        }
        let (path, text, written) = begin;
        match shared.paused {
            true => {
                let (path, text) = (path.to_owned(), text.to_owned());
                self.open = Some(Open { path, text, written, drawn: false });
            }
            false => wishes.say(PAUSE_FIRST.to_owned()),
        }
    }

    /// Draws it: Enter has the value set, Escape and a click elsewhere leave it.
    pub fn draw(&mut self, ui: &mut Ui, wishes: &mut Wishes) {
        let Some(open) = &mut self.open else { return };
        let edit = TextEdit::singleline(&mut open.text).font(look::font()).desired_width(f32::INFINITY);
        let mut output = edit.show(ui);
        if !std::mem::replace(&mut open.drawn, true) {
            // What is typed takes the place of all of it.
            let all = CCursorRange::two(CCursor::new(0), CCursor::new(open.text.chars().count()));
            output.state.cursor.set_char_range(Some(all));
            output.state.store(ui.ctx(), output.response.id);
        }
        let response = output.response.response;
        response.request_focus();
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        if pressed(Key::Enter) {
            match open.written.value(&open.text) {
                Ok(value) => set(open.path.clone(), value, wishes),
                Err(sentence) => wishes.say(sentence),
            }
        } else if !pressed(Key::Escape) && !response.clicked_elsewhere() {
            return;
        }
        response.surrender_focus();
        self.open = None;
    }
}

/// What is said to who would change a machine that runs.
pub const PAUSE_FIRST: &str = "The machine runs: pause it, and then its values can be changed.";

/// Whether a person wants another value there: a double click, or Enter on what has the keyboard.
pub fn wanted(ui: &Ui, response: &Response) -> bool {
    response.double_clicked() || response.has_focus() && ui.input(|input| input.key_pressed(Key::Enter))
}

/// Has the machine's field set.
pub fn set(path: String, value: String, wishes: &mut Wishes) {
    wishes.ask(Method::Set { path, value }, About::Debugger(Question::Changed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_where_digits_are_shown_are_hexadecimal() {
        let value = |text| Written::Hexadecimal.value(text);
        for (text, set) in
            [("1000", "0x1000"), (" 0x7C00 ", "0x7C00"), ("ffff_8000", "0xffff8000"), ("0", "0x0")]
        {
            assert_eq!(value(text).as_deref(), Ok(set));
        }
        for text in ["", "0x", "12g", "-1", "rax"] {
            assert!(value(text).is_err_and(|sentence| sentence.contains("no hexadecimal number")), "{text}");
        }
        assert_eq!(Written::Plain.value(" 1000 ").as_deref(), Ok("1000"));
    }
}
