//! Memory as bytes and characters, by physical or linear address. Digits typed at the byte that is chosen replace it.

use super::{Question, Shared, field, look};
use crate::app::About;
use crate::wishes::Wishes;
use amber_emu::control::{Method, Place};
use egui::text::LayoutJob;
use egui::{Event, EventFilter, Key, Pos2, Rect, Response, Sense, TextEdit, Ui, Vec2};
use serde_json::Value;

/// Characters of a line with 16 bytes.
const WIDE: f32 = 84.0;

/// See the module.
pub struct Memory {
    physical: bool,
    base: u64,
    /// Somebody chose what is shown; at first it is the top of the stack.
    chosen: bool,
    /// What was asked for last.
    pending: (bool, u64),
    /// Where the bytes are from.
    from: (bool, u64),
    bytes: Vec<u8>,
    rows: u64,
    columns: u64,
    place: String,
    cursor: Option<u64>,
    /// The first of two digits.
    digit: Option<u8>,
    scrolled: f32,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            physical: false,
            base: 0,
            chosen: false,
            pending: (false, 0),
            from: (false, 0),
            bytes: Vec::new(),
            rows: 8,
            columns: 8,
            place: String::new(),
            cursor: None,
            digit: None,
            scrolled: 0.0,
        }
    }
}

impl Memory {
    pub fn method(&mut self, cpu: u32) -> Method {
        let len = self.rows * self.columns;
        self.pending = (self.physical, self.base);
        match self.physical {
            true => Method::Read { address: self.base, len },
            false => Method::ReadLinear { cpu, address: Place::Address(self.base), len },
        }
    }

    pub fn hear(&mut self, answer: &Value) {
        let digits = answer["bytes"].as_str().unwrap_or_default().as_bytes();
        let digit = |c: u8| char::from(c).to_digit(16).unwrap_or_default() as u8;
        self.bytes = digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
        self.from = self.pending;
    }

    pub fn refused(&mut self) {
        self.bytes.clear();
    }

    /// Begins at an address, unless somebody chose another.
    pub fn begin_at(&mut self, address: Option<u64>) -> bool {
        let Some(address) = address.filter(|_| !self.chosen) else { return false };
        (self.chosen, self.base) = (true, address & !0xF);
        true
    }

    pub fn go_to(&mut self, address: Option<u64>) {
        if let Some(address) = address {
            self.chosen = true;
            (self.base, self.cursor, self.digit) = (address & !0xF, Some(address), None);
        }
    }

    pub fn draw(&mut self, ui: &mut Ui, shared: Shared, wishes: &mut Wishes) {
        ui.horizontal(|ui| {
            ui.add_space(4.0);
            look::heading(ui, "Memory");
            for (physical, name) in [(false, "linear"), (true, "physical")] {
                if ui.selectable_label(self.physical == physical, name).clicked() {
                    (self.physical, self.digit) = (physical, None);
                    wishes.again();
                }
            }
            let place = TextEdit::singleline(&mut self.place).hint_text("address or symbol");
            let response = ui.add(place.desired_width(170.0).font(look::font()));
            if response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
                wishes.ask(look::locate(&self.place), About::Debugger(Question::MemoryPlace));
            }
        });
        let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click());
        let height = look::line_height(ui);
        let columns = if rect.width() >= look::width(ui, WIDE) { 16 } else { 8 };
        let rows = (rect.height() / height).floor().max(1.0) as u64;
        if (rows, columns) != (self.rows, self.columns) {
            (self.rows, self.columns) = (rows, columns);
            wishes.again();
        }
        self.paint(ui, rect, height);
        self.scroll(ui, &response, height, wishes);
        look::focus(ui, &response);
        self.choose(ui, &response, height);
        self.type_in(ui, &response, shared, wishes);
    }

    fn byte(&self, address: u64) -> Option<u8> {
        let (physical, from) = self.from;
        let offset = usize::try_from(address.checked_sub(from)?).ok()?;
        self.bytes.get(offset).copied().filter(|_| physical == self.physical)
    }

    fn paint(&self, ui: &Ui, rect: Rect, height: f32) {
        let painter = ui.painter_at(rect);
        for row in 0..self.rows {
            let at = self.base.wrapping_add(row * self.columns);
            let galley = ui.fonts_mut(|fonts| fonts.layout_job(self.job(ui, at)));
            painter.galley(
                Pos2::new(rect.left() + 6.0, rect.top() + row as f32 * height),
                galley,
                ui.visuals().text_color(),
            );
        }
    }

    fn job(&self, ui: &Ui, at: u64) -> LayoutJob {
        let (weak, strong) = (ui.visuals().weak_text_color(), look::value(ui));
        let mut job = LayoutJob::default();
        job.wrap.max_width = f32::INFINITY;
        look::append(&mut job, &format!("{at:016x} "), weak);
        for n in 0..self.columns {
            let address = at.wrapping_add(n);
            let byte = self.byte(address);
            let shown = match (self.digit.filter(|_| self.cursor == Some(address)), byte) {
                (Some(digit), _) => format!("{digit:x}_"),
                (None, Some(byte)) => format!("{byte:02x}"),
                (None, None) => "??".to_owned(),
            };
            look::append(&mut job, " ", weak);
            let zero = byte == Some(0) || byte.is_none();
            look::append(&mut job, &shown, if zero { weak } else { strong });
            if self.cursor == Some(address)
                && let Some(section) = job.sections.last_mut()
            {
                section.format.background = ui.visuals().selection.bg_fill;
                section.format.color = ui.visuals().selection.stroke.color;
            }
        }
        let character = |n| match self.byte(at.wrapping_add(n)) {
            Some(byte @ 0x20..0x7F) => char::from(byte),
            Some(_) => '.',
            None => ' ',
        };
        let text: String = (0..self.columns).map(character).collect();
        look::append(&mut job, &format!("  {text}"), strong);
        job
    }

    fn scroll(&mut self, ui: &Ui, response: &Response, height: f32, wishes: &mut Wishes) {
        let mut lines = look::turned(ui, response, height, &mut self.scrolled);
        if response.has_focus() {
            let presses = |key| ui.input(|input| input.num_presses(key)) as i64;
            let page = self.rows.saturating_sub(1) as i64;
            lines += (presses(Key::PageDown) - presses(Key::PageUp)) * page;
        }
        if lines != 0 {
            self.base = self.base.wrapping_add_signed(lines * self.columns as i64);
            wishes.again();
        }
    }

    fn choose(&mut self, ui: &Ui, response: &Response, height: f32) {
        if response.clicked_elsewhere() {
            response.surrender_focus();
            self.digit = None;
        }
        if response.gained_focus() {
            self.cursor.get_or_insert(self.base);
        }
        let Some(at) = response.interact_pointer_pos().filter(|_| response.clicked()) else { return };
        response.request_focus();
        let inside: Vec2 = at - response.rect.left_top();
        let character = (inside.x - 6.0) / look::width(ui, 1.0) - 18.0;
        let (row, column) = ((inside.y / height).floor(), (character / 3.0).floor());
        if row >= 0.0 && (0.0..self.columns as f32).contains(&column) {
            let address = self.base.wrapping_add(row as u64 * self.columns + column as u64);
            (self.cursor, self.digit) = (Some(address), None);
        }
    }

    /// Two digits replace the byte that is chosen.
    fn type_in(&mut self, ui: &Ui, response: &Response, shared: Shared, wishes: &mut Wishes) {
        let filter = EventFilter { vertical_arrows: true, horizontal_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let Some(cursor) = self.cursor.filter(|_| response.has_focus()) else { return };
        let columns = self.columns;
        for (key, by) in [
            (Key::ArrowLeft, -1),
            (Key::ArrowRight, 1),
            (Key::ArrowUp, -(columns as i64)),
            (Key::ArrowDown, columns as i64),
        ] {
            if ui.input(|input| input.key_pressed(key)) {
                (self.cursor, self.digit) = (Some(cursor.wrapping_add_signed(by)), None);
                self.show_cursor(wishes);
            }
        }
        let typed: Vec<u8> = ui.input(|input| {
            let texts = input.events.iter().filter_map(|event| match event {
                Event::Text(text) => Some(text.clone()),
                _ => None,
            });
            texts
                .flat_map(|text| text.chars().filter_map(|c| c.to_digit(16)).collect::<Vec<_>>())
                .map(|d| d as u8)
                .collect()
        });
        if !typed.is_empty() && !shared.paused {
            return wishes.say(field::PAUSE_FIRST.to_owned());
        }
        for digit in typed {
            match self.digit.take() {
                None => self.digit = Some(digit),
                Some(high) => {
                    let (address, bytes) =
                        (self.cursor.unwrap_or(cursor), format!("{:02x}", high << 4 | digit));
                    let method = match self.physical {
                        true => Method::Write { address, bytes },
                        false => {
                            Method::WriteLinear { cpu: shared.cpu, address: Place::Address(address), bytes }
                        }
                    };
                    wishes.ask(method, About::Debugger(Question::Changed));
                    self.cursor = Some(address.wrapping_add(1));
                    self.show_cursor(wishes);
                }
            }
        }
    }

    /// A byte that was chosen by keys is to be seen.
    fn show_cursor(&mut self, wishes: &mut Wishes) {
        let Some(cursor) = self.cursor else { return };
        let offset = cursor.wrapping_sub(self.base) as i64;
        let lines = match offset.div_euclid(self.columns as i64) {
            above if above < 0 => above,
            below => (below - self.rows as i64 + 1).max(0),
        };
        if lines != 0 {
            self.base = self.base.wrapping_add_signed(lines * self.columns as i64);
            wishes.again();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_follows_the_byte_that_is_chosen() {
        let mut memory = Memory { base: 0x100, ..Memory::default() };
        for (cursor, base) in [(0x100, 0x100), (0x13F, 0x100), (0x140, 0x108), (0x107, 0x100), (0x80, 0x80)] {
            memory.cursor = Some(cursor);
            memory.show_cursor(&mut Wishes::default());
            assert_eq!(memory.base, base, "{cursor:#x}");
        }
    }
}
