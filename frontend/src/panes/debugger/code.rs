//! The disassembly: follows the instruction that is next, or shows another place. A click in the margin sets a breakpoint.

use super::points::Points;
use super::{Question, Shared, look};
use crate::action::Action;
use crate::app::About;
use crate::wishes::Wishes;
use amber_emu::control::{Method, Place};
use egui::text::LayoutJob;
use egui::{Align2, Key, PointerButton, Pos2, Rect, Response, Sense, TextEdit, Ui, Vec2};
use serde_json::Value;

/// Width of the margin, points.
const MARGIN: f32 = 18.0;
/// Characters a line has at least where bytes are shown.
const WITH_BYTES: f32 = 82.0;

struct Line {
    address: u64,
    bytes: String,
    text: String,
    symbol: Option<String>,
    target: Option<u64>,
    target_symbol: Option<String>,
}

impl Line {
    /// Its function begins here.
    fn begins(&self) -> Option<&str> {
        self.symbol.as_deref().filter(|symbol| !symbol.contains("+0x"))
    }
}

/// What is asked for next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wanted {
    /// The next instruction, where it is on the screen already if it can be.
    #[default]
    Next,
    /// This address on top, or so many instructions before it.
    From { address: u64, before: u32 },
}

/// See the module.
#[derive(Default)]
pub struct Code {
    lines: Vec<Line>,
    next: u64,
    /// How the code is read.
    bits: u64,
    wanted: Wanted,
    /// What the lines that come answer.
    pending: Wanted,
    rows: u32,
    cursor: Option<u64>,
    /// The line that comes on top is to be chosen.
    climbs: bool,
    place: String,
    scrolled: f32,
}

impl Code {
    /// The line that is chosen.
    pub fn cursor(&self) -> Option<u64> {
        self.cursor
    }

    /// Shows the instruction that is next.
    pub fn follow(&mut self) {
        self.wanted = Wanted::Next;
    }

    pub fn go_to(&mut self, address: Option<u64>) {
        if let Some(address) = address {
            self.wanted = Wanted::From { address, before: 0 };
            self.cursor = Some(address);
        }
    }

    pub fn method(&mut self, cpu: u32) -> Method {
        let count = self.rows.max(8);
        self.pending = self.wanted;
        match self.wanted {
            Wanted::Next => Method::Disassemble { cpu, address: None, count: count + 1, before: count / 3 },
            Wanted::From { address, before } => {
                Method::Disassemble { cpu, address: Some(Place::Address(address)), count, before }
            }
        }
    }

    pub fn refused(&mut self) {
        self.wanted = Wanted::Next;
    }

    pub fn hear(&mut self, answer: &Value) {
        let line = |line: &Value| {
            Some(Line {
                address: look::number(&line["address"])?,
                bytes: look::text(&line["bytes"]),
                text: look::text(&line["text"]),
                symbol: line["symbol"].as_str().map(str::to_owned),
                target: look::number(&line["target"]),
                target_symbol: line["target-symbol"].as_str().map(str::to_owned),
            })
        };
        let lines: Vec<_> = answer["lines"].as_array().into_iter().flatten().filter_map(line).collect();
        self.next = look::number(&answer["linear-rip"]).unwrap_or_default();
        self.bits = answer["bits"].as_u64().unwrap_or_default();
        if self.pending == Wanted::Next && self.shows_already(&lines) {
            return;
        }
        self.lines = lines;
        if std::mem::take(&mut self.climbs)
            && let Some(first) = self.lines.first()
        {
            self.cursor = Some(first.address);
        }
        if let (Wanted::From { before, .. }, Some(first)) = (self.pending, self.lines.first())
            && self.pending == self.wanted
            && before != 0
        {
            self.wanted = Wanted::From { address: first.address, before: 0 };
        }
    }

    /// Whether the lines that are shown are those that came, further up or down: what is next moves, and not the code.
    fn shows_already(&self, lines: &[Line]) -> bool {
        if lines.len() > self.lines.len() {
            // There is room for more than before.
            return false;
        }
        let shown = (self.rows as usize).saturating_sub(4).min(self.lines.len());
        let from = self.next;
        let new = lines.iter().skip_while(|line| line.address != from);
        let old = self.lines.iter().skip_while(|line| line.address != from);
        let same = new.zip(old).all(|(new, old)| {
            (new.address, &new.bytes, &new.symbol, &new.target_symbol)
                == (old.address, &old.bytes, &old.symbol, &old.target_symbol)
        });
        same && self.lines[..shown].iter().any(|line| line.address == from)
    }

    pub fn draw(&mut self, ui: &mut Ui, shared: Shared, points: &Points, wishes: &mut Wishes) {
        ui.horizontal(|ui| {
            ui.add_space(4.0);
            let place = TextEdit::singleline(&mut self.place).hint_text("address or symbol");
            let response = ui.add(place.desired_width(180.0).font(look::font()));
            if response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
                wishes.ask(look::locate(&self.place), About::Debugger(Question::CodePlace));
            }
            let away = self.wanted != Wanted::Next;
            let back = ui.add_enabled(away, egui::Button::new("Next instruction").small());
            if back.on_hover_text("Show the instruction that is next").clicked() {
                self.follow();
                wishes.again();
            }
            if self.bits != 0 {
                ui.label(format!("{}-bit", self.bits));
            }
            let name = self
                .lines
                .iter()
                .find(|line| line.address == self.next)
                .and_then(|line| line.symbol.as_deref());
            if let Some(name) = name {
                ui.add(egui::Label::new(look::mono(name).color(look::symbol(ui))).truncate());
            }
        });
        let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click());
        let height = look::line_height(ui);
        self.rows = (rect.height() / height).floor().max(1.0) as u32;
        let shown = self.paint(ui, rect, height, points);
        look::focus(ui, &response);
        self.scroll(ui, &response, height, wishes);
        if response.has_focus() {
            self.choose_by_keys(ui, shown.len(), wishes);
        }
        self.hands(ui, &response, &shown, shared, points, wishes);
    }

    /// Paints the lines; where each is.
    fn paint(&self, ui: &Ui, rect: Rect, height: f32, points: &Points) -> Vec<(Rect, usize)> {
        let painter = ui.painter_at(rect);
        let with_bytes = rect.width() - MARGIN >= look::width(ui, WITH_BYTES);
        let (mut y, mut shown) = (rect.top(), Vec::new());
        for (n, line) in self.lines.iter().enumerate() {
            if let Some(name) = line.begins().filter(|_| y + 2.0 * height <= rect.bottom()) {
                let at = Pos2::new(rect.left() + MARGIN, y);
                painter.text(at, Align2::LEFT_TOP, format!("{name}:"), look::font(), look::symbol(ui));
                y += height;
            }
            if y + height > rect.bottom() {
                break;
            }
            let row = Rect::from_min_size(Pos2::new(rect.left(), y), Vec2::new(rect.width(), height));
            let current = line.address == self.next;
            if current {
                painter.rect_filled(row, 2.0, ui.visuals().selection.bg_fill);
            } else if self.cursor == Some(line.address) {
                painter.rect_filled(row, 2.0, ui.visuals().faint_bg_color);
                painter.rect_stroke(
                    row,
                    2.0,
                    ui.visuals().widgets.noninteractive.bg_stroke,
                    egui::StrokeKind::Inside,
                );
            }
            if let Some(enabled) = points.at(line.address) {
                let centre = Pos2::new(rect.left() + MARGIN / 2.0, row.center().y);
                painter.circle_filled(centre, 4.0, look::breakpoint(ui, enabled));
            }
            let job = self.job(ui, line, current, with_bytes);
            let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
            painter.galley(Pos2::new(rect.left() + MARGIN, y), galley, ui.visuals().text_color());
            shown.push((row, n));
            y += height;
        }
        if self.lines.is_empty() {
            let at = rect.left_top() + Vec2::new(MARGIN, 0.0);
            painter.text(at, Align2::LEFT_TOP, "(not mapped)", look::font(), ui.visuals().weak_text_color());
        }
        shown
    }

    fn job(&self, ui: &Ui, line: &Line, current: bool, with_bytes: bool) -> LayoutJob {
        let weak = if current { ui.visuals().selection.stroke.color } else { ui.visuals().weak_text_color() };
        let strong = if current { ui.visuals().selection.stroke.color } else { look::value(ui) };
        let name = if current { strong } else { look::symbol(ui) };
        let mut job = LayoutJob::default();
        job.wrap.max_width = f32::INFINITY;
        let wide = self.lines.iter().any(|line| line.address > u64::from(u32::MAX));
        let address =
            if wide { format!("{:016x}  ", line.address) } else { format!("{:08x}  ", line.address) };
        look::append(&mut job, &address, weak);
        if with_bytes {
            look::append(&mut job, &format!("{:<30}", shortened(&line.bytes, 29)), weak);
        }
        look::append(&mut job, &line.text, strong);
        if let Some(symbol) = &line.target_symbol {
            look::append(&mut job, &format!("  {symbol}"), name);
        }
        job
    }

    fn scroll(&mut self, ui: &Ui, response: &Response, height: f32, wishes: &mut Wishes) {
        let mut lines = look::turned(ui, response, height, &mut self.scrolled);
        if response.has_focus() {
            let page = i64::from(self.rows.saturating_sub(1));
            let presses = |key| ui.input(|input| input.num_presses(key)) as i64;
            lines += (presses(Key::PageDown) - presses(Key::PageUp)) * page;
        }
        self.turn(lines, wishes);
    }

    /// Shows what is so many instructions further down, or up.
    fn turn(&mut self, lines: i64, wishes: &mut Wishes) {
        let Some(first) = self.lines.first().filter(|_| lines != 0) else { return };
        self.wanted = match lines {
            1.. => {
                let n = (lines as usize).min(self.lines.len() - 1);
                Wanted::From { address: self.lines[n].address, before: 0 }
            }
            _ => Wanted::From { address: first.address, before: lines.unsigned_abs() as u32 },
        };
        wishes.again();
    }

    /// The arrows choose another of the `shown` lines, and go on where they end; Enter goes where a branch goes.
    fn choose_by_keys(&mut self, ui: &Ui, shown: usize, wishes: &mut Wishes) {
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        let at = self.lines.iter().position(|line| Some(line.address) == self.cursor);
        let at = at.filter(|at| *at < shown);
        let next = || self.lines.iter().position(|line| line.address == self.next).unwrap_or_default();
        let chosen = match at {
            None if pressed(Key::ArrowDown) || pressed(Key::ArrowUp) => next().min(shown.saturating_sub(1)),
            Some(0) if pressed(Key::ArrowUp) => {
                self.climbs = true;
                return self.turn(-1, wishes);
            }
            Some(n) if pressed(Key::ArrowUp) => n - 1,
            Some(n) if pressed(Key::ArrowDown) => {
                if n + 1 >= shown {
                    self.turn(1, wishes);
                }
                n + 1
            }
            Some(n) if pressed(Key::Enter) => {
                if let Some(target) = self.lines[n].target {
                    go_where(target, wishes);
                }
                return;
            }
            _ => return,
        };
        // What follows the last line that is known begins where that ends.
        let last =
            self.lines.last().map(|line| line.address.wrapping_add(line.bytes.split(' ').count() as u64));
        self.cursor = self.lines.get(chosen).map(|line| line.address).or(last);
    }

    /// What is done with mouse and keys.
    fn hands(
        &mut self,
        ui: &Ui,
        response: &Response,
        shown: &[(Rect, usize)],
        shared: Shared,
        points: &Points,
        wishes: &mut Wishes,
    ) {
        let under = response.interact_pointer_pos();
        let line =
            under.and_then(|at| shown.iter().find(|(row, _)| row.contains(at))).map(|(_, n)| &self.lines[*n]);
        if response.clicked_by(PointerButton::Primary) || response.clicked_by(PointerButton::Secondary) {
            response.request_focus();
            if let Some((at, line)) = under.zip(line) {
                self.cursor = Some(line.address);
                let in_margin = at.x < response.rect.left() + MARGIN;
                if in_margin && response.clicked_by(PointerButton::Primary) {
                    points.toggle(line.address, wishes);
                }
            }
        }
        if response.double_clicked()
            && let Some(target) = line.and_then(|line| line.target)
        {
            go_where(target, wishes);
        }
        if response.clicked_elsewhere() {
            response.surrender_focus();
        }
        let cursor = self.cursor;
        response.context_menu(|ui| {
            let Some(address) = cursor else { return };
            let mut item = |name: &str, enabled: bool| {
                let chosen = ui.add_enabled(enabled, egui::Button::new(name)).clicked();
                if chosen {
                    ui.close();
                }
                chosen
            };
            if item("Breakpoint on or off", true) {
                points.toggle(address, wishes);
            }
            if item("Run to here", shared.paused) {
                run_to(address, wishes);
            }
            if item("Copy address", true) {
                ui.ctx().copy_text(format!("{address:#x}"));
            }
        });
        if response.has_focus() && shared.paused {
            let pressed = |key| ui.input(|input| input.key_pressed(key));
            for (key, action) in
                [(Key::S, Action::Step), (Key::O, Action::StepOver), (Key::U, Action::StepOut)]
            {
                if pressed(key) {
                    wishes.act(action);
                }
            }
            if let Some(address) = cursor.filter(|_| pressed(Key::C)) {
                run_to(address, wishes);
            }
        }
        if let Some(address) =
            cursor.filter(|_| response.has_focus() && ui.input(|input| input.key_pressed(Key::B)))
        {
            points.toggle(address, wishes);
        }
        let filter = egui::EventFilter { vertical_arrows: true, ..egui::EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
    }
}

fn go_where(target: u64, wishes: &mut Wishes) {
    wishes.ask(Method::Locate { place: Place::Address(target) }, About::Debugger(Question::CodePlace));
}

fn run_to(address: u64, wishes: &mut Wishes) {
    wishes.ask(Method::RunTo { address: Place::Address(address) }, About::Debugger(Question::Changed));
}

/// The first characters of a text.
fn shortened(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}
