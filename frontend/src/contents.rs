//! What is in the window: menu bar, the machine's screen or its serial port, sentences, status line.

use super::action::Action;
use super::comparison::Comparison;
use super::geometry::{Place, Scaling};
use super::glance::Glance;
use super::keyboard::HOST_NAME;
use super::menu;
use super::panes::{Panes, View};
use super::scroll::Scroll;
use super::status::{self, Meter, State, time};
use super::timeline::Timeline;
use super::wishes::Wishes;
use egui::text::{LayoutJob, TextFormat};
use egui::{
    CentralPanel, Color32, ColorImage, FontId, Frame, ImageData, Panel, Pos2, Rect, RichText, ScrollArea,
    TextureHandle, TextureOptions, Ui,
};
use std::sync::Arc;

/// See the module.
pub struct Contents {
    pub name: String,
    pub state: State,
    pub glance: Glance,
    pub meter: Meter,
    pub scaling: Scaling,
    /// The serial port is shown, not the screen.
    pub serial: bool,
    pub scroll: Scroll,
    pub timeline: Timeline,
    pub panes: Panes,
    /// It is in front of the screen.
    pub comparison: Option<Comparison>,
    /// The guest has the mouse.
    pub grabbed: bool,
    pub full_screen: bool,
    pub muted: bool,
    /// A menu is open, or something else in front of the screen: keys and mouse are its.
    pub menu_is_open: bool,
    /// A sentence for the person.
    pub notice: Option<String>,
    /// Where the screen is, in pixels of the window; nowhere while it is not shown.
    pub place: Option<Place>,
    screen: Option<Arc<ColorImage>>,
    texture: Option<(TextureHandle, TextureOptions)>,
    /// The screen is newer than the texture.
    changed: bool,
}

impl Contents {
    pub fn new(name: String, serial: bool) -> Self {
        Self {
            name,
            state: State::Starting,
            glance: Glance::default(),
            meter: Meter::default(),
            scaling: Scaling::default(),
            serial,
            scroll: Scroll::default(),
            timeline: Timeline::default(),
            panes: Panes::default(),
            comparison: None,
            grabbed: false,
            full_screen: false,
            muted: false,
            menu_is_open: false,
            notice: None,
            place: None,
            screen: None,
            texture: None,
            changed: false,
        }
    }

    /// Another machine is to be shown, as the last one was.
    pub fn forget_machine(&mut self) {
        let Self { scaling, serial, full_screen, .. } = *self;
        let name = std::mem::take(&mut self.name);
        let (panes, timeline) = (self.panes.for_another(), self.timeline.for_another());
        *self = Self { scaling, full_screen, panes, timeline, ..Self::new(name, serial) };
    }

    /// The machine shows another picture.
    pub fn show(&mut self, picture: ColorImage) {
        (self.screen, self.changed) = (Some(Arc::new(picture)), true);
    }

    /// Draws it all.
    pub fn draw(&mut self, ui: &mut Ui, wishes: &mut Wishes) {
        if !self.full_screen {
            Panel::top("menu").show(ui, |ui| menu::draw(ui, self.shown(), &mut wishes.actions));
            Panel::bottom("status").show(ui, |ui| self.status(ui));
            let view = self.view();
            if self.timeline.is_shown(view) {
                Panel::bottom("timeline").show(ui, |ui| self.timeline.draw(ui, view, wishes));
            }
        }
        if let Some(notice) = &self.notice {
            Panel::bottom("notice").show(ui, |ui| {
                ui.horizontal_wrapped(|ui| {
                    if ui.button("OK").clicked() {
                        wishes.act(Action::Dismiss);
                    }
                    ui.label(notice);
                });
            });
        }
        if !self.full_screen {
            self.panes.draw(ui, self.view(), wishes);
        }
        if self.comparison.is_some() {
            return self.compare(ui);
        }
        let frame = Frame::NONE.fill(Color32::BLACK);
        CentralPanel::no_frame().frame(frame).show(ui, |ui| match self.serial {
            true => self.serial_port(ui),
            false => self.screen(ui),
        });
        self.menu_is_open = ui.ctx().any_popup_open() || self.panes.ask();
    }

    fn compare(&mut self, ui: &mut Ui) {
        self.place = None;
        let comparison = &mut self.comparison;
        CentralPanel::default().show(ui, |ui| {
            if comparison.as_mut().is_some_and(|comparison| comparison.draw(ui)) {
                *comparison = None;
            }
        });
        self.menu_is_open = true;
    }

    /// What the machine is doing, in a word.
    pub fn word(&self) -> &'static str {
        status::word(self.state, self.glance)
    }

    /// Asks for what the pane shows, after a drawing.
    pub fn refresh(&mut self, wishes: &mut Wishes) {
        if !self.full_screen {
            self.panes.refresh(self.view(), wishes);
        }
    }

    fn view(&self) -> View {
        View { state: self.state, glance: self.glance }
    }

    fn shown(&self) -> menu::Shown {
        menu::Shown {
            speed: self.glance.speed,
            timeline: self.timeline.shown,
            paused: self.state == State::Paused,
            runs: matches!(self.state, State::Running | State::Paused),
            ended: self.state == State::Ended || self.glance.ended,
            scaling: self.scaling,
            serial: self.serial,
            full_screen: self.full_screen,
            muted: self.muted,
            pane: self.panes.shown,
        }
    }

    fn status(&self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            ui.label(RichText::new(self.word()).strong());
            ui.separator();
            ui.label(format!("virtual time {}", time(self.glance.now)));
            ui.separator();
            ui.label(format!("step {}", self.glance.step));
            ui.separator();
            ui.label(status::speed(self.glance.speed));
            let speed = self.meter.text();
            if !speed.is_empty() {
                ui.separator();
                ui.label(speed);
            }
            ui.separator();
            ui.label(self.mouse_word());
        });
    }

    fn mouse_word(&self) -> String {
        match (self.serial, self.grabbed, self.glance.pointer) {
            (true, ..) => "keys go to the serial port".to_owned(),
            (_, true, _) => format!("{HOST_NAME} releases the mouse"),
            (_, _, true) => "the mouse points".to_owned(),
            _ => "a click gives the guest the mouse".to_owned(),
        }
    }

    fn serial_port(&mut self, ui: &mut Ui) {
        self.place = None;
        let (text, cursor) = self.scroll.terminal.text_with_cursor();
        let plain =
            TextFormat { font_id: FontId::monospace(14.0), color: Color32::LIGHT_GRAY, ..Default::default() };
        let at_cursor =
            TextFormat { color: Color32::BLACK, background: Color32::LIGHT_GRAY, ..plain.clone() };
        let after = cursor + text[cursor..].chars().next().map_or(0, char::len_utf8);
        let mut job = LayoutJob::default();
        job.wrap.max_width = f32::INFINITY;
        job.append(&text[..cursor], 0.0, plain.clone());
        job.append(&text[cursor..after], 0.0, at_cursor);
        job.append(&text[after..], 0.0, plain);
        ScrollArea::both().stick_to_bottom(true).auto_shrink(false).show(ui, |ui| ui.label(job));
    }

    fn screen(&mut self, ui: &mut Ui) {
        let (area, scale) = (ui.max_rect(), ui.pixels_per_point());
        let Some(screen) = self.screen.clone() else {
            self.place = None;
            return;
        };
        let size = (screen.size[0] as u32, screen.size[1] as u32);
        let place = self.scaling.place(size, pixels(area, scale));
        self.place = Some(place);
        let texture = self.texture(ui, screen, sampling(size, place));
        let whole = Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0));
        ui.painter().image(texture, points(place, scale), whole, Color32::WHITE);
    }

    /// The screen as a texture.
    fn texture(&mut self, ui: &Ui, screen: Arc<ColorImage>, options: TextureOptions) -> egui::TextureId {
        match &mut self.texture {
            Some((texture, used)) => {
                if std::mem::take(&mut self.changed) || *used != options {
                    texture.set(ImageData::Color(screen), options);
                    *used = options;
                }
                texture.id()
            }
            none => {
                self.changed = false;
                let texture = ui.ctx().load_texture("screen", ImageData::Color(screen), options);
                none.insert((texture, options)).0.id()
            }
        }
    }
}

/// Pixels stay sharp where each has a whole number of the window's.
fn sampling(size: (u32, u32), place: Place) -> TextureOptions {
    let whole = |part: u32, of: u32| of != 0 && part.is_multiple_of(of) && part != 0;
    if whole(place.width, size.0) && whole(place.height, size.1) {
        TextureOptions::NEAREST
    } else {
        TextureOptions::LINEAR
    }
}

fn pixels(area: Rect, scale: f32) -> Place {
    let at = |points: f32| (points * scale).round().max(0.0) as u32;
    let (x, y) = (at(area.min.x), at(area.min.y));
    Place { x, y, width: at(area.max.x).saturating_sub(x), height: at(area.max.y).saturating_sub(y) }
}

fn points(place: Place, scale: f32) -> Rect {
    let at = |x: u32, y: u32| Pos2::new(x as f32 / scale, y as f32 / scale);
    Rect::from_min_max(at(place.x, place.y), at(place.x + place.width, place.y + place.height))
}
