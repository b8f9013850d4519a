//! What is in the window: menu bar, the machine's screen or its serial port, sentences, status line.

use super::action::Action;
use super::comparison::Comparison;
use super::dialog::Dialog;
use super::geometry::{Place, Scaling};
use super::glance::Glance;
use super::menu::{self, Bar};
use super::panes::{Pane, Panes, View};
use super::scroll::Scroll;
use super::settings::Settings;
use super::start::Start;
use super::status::{self, Meter, State, time, title};
use super::timeline::Timeline;
use super::wishes::Wishes;
use egui::text::{LayoutJob, TextFormat};
use egui::{
    Align2, CentralPanel, Color32, ColorImage, FocusDirection, FontId, Frame, Id, ImageData, Label, LayerId,
    Order, Panel, Pos2, Rect, RichText, ScrollArea, TextureHandle, TextureOptions, Ui,
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
    pub settings: Settings,
    /// The start screen, while there is no machine.
    pub start: Option<Start>,
    pub dialog: Option<Dialog>,
    pub bar: Bar,
    /// What is beside the screen is to have the keyboard.
    pub keys_wanted: bool,
    /// A file is held over the window.
    pub hovered: bool,
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
    /// Points of its height when it was last drawn.
    sentence_height: f32,
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
            settings: Settings::default(),
            start: None,
            dialog: None,
            bar: Bar::default(),
            keys_wanted: false,
            hovered: false,
            comparison: None,
            grabbed: false,
            full_screen: false,
            muted: false,
            menu_is_open: false,
            notice: None,
            sentence_height: 0.0,
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
        let settings = std::mem::take(&mut self.settings);
        let start = self.start.take();
        *self = Self { scaling, full_screen, panes, timeline, settings, start, ..Self::new(name, serial) };
    }

    /// Has all as it was when the program ran last.
    pub fn take_settings(&mut self, settings: Settings) {
        self.scaling = settings.scaling;
        self.panes.shown = Pane::ALL.into_iter().find(|pane| settings.pane.as_deref() == Some(pane.title()));
        self.panes.widths.clone_from(&settings.pane_widths);
        self.settings = settings;
    }

    /// Notes what is as it is to be the next time.
    pub fn note_settings(&mut self) {
        self.settings.scaling = self.scaling;
        self.settings.pane = self.panes.shown.map(|pane| pane.title().to_owned());
        self.settings.pane_widths.clone_from(&self.panes.widths);
    }

    /// The window's title.
    pub fn title(&self) -> String {
        match self.start {
            Some(_) => "Amber - start screen".to_owned(),
            None => title(&self.name, self.word(), self.settings.host_key),
        }
    }

    /// Whether keys are for something that is in front of the machine.
    pub fn has_keys(&self) -> bool {
        self.menu_is_open || self.start.is_some()
    }

    /// What the screen shows.
    pub fn picture(&self) -> Option<&ColorImage> {
        self.screen.as_deref()
    }

    /// The machine shows another picture.
    pub fn show(&mut self, picture: ColorImage) {
        (self.screen, self.changed) = (Some(Arc::new(picture)), true);
    }

    /// Draws it all.
    pub fn draw(&mut self, ui: &mut Ui, wishes: &mut Wishes) {
        if !self.full_screen || self.bar.is_used() {
            let shown = self.shown();
            Panel::top("menu").show(ui, |ui| menu::draw(ui, shown, &mut self.bar, &mut wishes.actions));
        }
        let wanted = std::mem::take(&mut self.keys_wanted);
        if wanted && self.panes.shown.is_none() {
            ui.memory_mut(|memory| memory.move_focus(FocusDirection::Next));
        }
        if !self.full_screen && self.start.is_none() {
            Panel::bottom("status").show(ui, |ui| self.status(ui));
            let view = self.view();
            if self.timeline.is_shown(view) {
                Panel::bottom("timeline").show(ui, |ui| self.timeline.draw(ui, view, wishes));
            }
        }
        self.sentence(ui, wishes);
        match &mut self.start {
            Some(start) => start.draw(ui, &mut self.settings, wishes),
            None => self.machine(ui, wanted, wishes),
        }
        self.in_front(ui, wishes);
        self.menu_is_open = ui.ctx().any_popup_open()
            || self.dialog.is_some()
            || self.comparison.is_some()
            || self.start.is_none() && self.panes.ask();
    }

    /// The sentence for the person, with what can be done.
    fn sentence(&mut self, ui: &mut Ui, wishes: &mut Wishes) {
        let Some(notice) = &self.notice else { return self.sentence_height = 0.0 };
        let panel = Panel::bottom("notice").show(ui, |ui| {
            ui.horizontal_wrapped(|ui| {
                if ui.button("OK").clicked() {
                    wishes.act(Action::Dismiss);
                }
                if self.state == State::Ended && self.start.is_none() {
                    let ran = self.glance.cpus != 0;
                    if ran && ui.button("Start again").clicked() {
                        wishes.act(Action::StartAgain);
                    }
                    if ui.button("Start screen").clicked() {
                        wishes.act(Action::Close);
                    }
                }
                ui.label(notice);
            });
        });
        let height = panel.response.rect.height();
        // It has room for all its lines in the drawing after the one that found how many they are.
        if (height - self.sentence_height).abs() > 0.5 {
            self.sentence_height = height;
            ui.ctx().request_repaint();
        }
    }

    /// What is in front of all else.
    fn in_front(&mut self, ui: &mut Ui, wishes: &mut Wishes) {
        if let Some(mut dialog) = self.dialog.take()
            && !dialog.draw(ui, &self.name, &mut self.settings, wishes)
        {
            self.dialog = Some(dialog);
        }
        if self.hovered {
            let painter = ui.ctx().layer_painter(LayerId::new(Order::Tooltip, Id::new("hovered")));
            let (area, visuals) = (ui.ctx().content_rect(), ui.visuals());
            painter.rect_filled(area, 0.0, visuals.window_fill.gamma_multiply(0.85));
            let words = "Let go of it to see what can be done with it";
            painter.text(
                area.center(),
                Align2::CENTER_CENTER,
                words,
                FontId::proportional(20.0),
                visuals.strong_text_color(),
            );
        }
    }

    /// The machine, and what is beside it.
    fn machine(&mut self, ui: &mut Ui, wanted: bool, wishes: &mut Wishes) {
        if !self.full_screen {
            self.panes.draw(ui, self.view(), wanted, wishes);
        }
        if self.comparison.is_some() {
            return self.compare(ui);
        }
        let frame = Frame::NONE.fill(match (self.serial, ui.visuals().dark_mode) {
            (true, _) => ui.visuals().extreme_bg_color,
            (false, true) => Color32::BLACK,
            (false, false) => Color32::from_gray(190),
        });
        CentralPanel::no_frame().frame(frame).show(ui, |ui| match self.serial {
            true => self.serial_port(ui),
            false => self.screen(ui),
        });
    }

    fn compare(&mut self, ui: &mut Ui) {
        self.place = None;
        let comparison = &mut self.comparison;
        CentralPanel::default().show(ui, |ui| {
            if comparison.as_mut().is_some_and(|comparison| comparison.draw(ui)) {
                *comparison = None;
            }
        });
    }

    /// What the machine is doing, in a word.
    pub fn word(&self) -> &'static str {
        status::word(self.state, self.glance)
    }

    /// Asks for what the pane shows, after a drawing.
    pub fn refresh(&mut self, wishes: &mut Wishes) {
        self.timeline.go_on(wishes);
        if let Some(Dialog::Media(media)) = &mut self.dialog {
            media.refresh(wishes);
        }
        if !self.full_screen {
            self.panes.refresh(self.view(), wishes);
        }
    }

    fn view(&self) -> View {
        View { state: self.state, glance: self.glance, host: self.settings.host_key }
    }

    fn shown(&self) -> menu::Shown {
        menu::Shown {
            speed: self.glance.speed,
            timeline: self.timeline.shown,
            paused: self.state == State::Paused,
            runs: self.start.is_none() && matches!(self.state, State::Running | State::Paused),
            ended: self.start.is_none() && (self.state == State::Ended || self.glance.ended),
            start: self.start.is_some(),
            theme: self.settings.theme,
            zoom: self.settings.zoom,
            host: self.settings.host_key,
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
            // That of the wall clock is what one expects.
            if self.glance.speed != Some(100) {
                ui.separator();
                ui.label(status::speed(self.glance.speed));
            }
            let speed = self.meter.text();
            if !speed.is_empty() {
                ui.separator();
                ui.label(speed);
            }
            if self.panes.snapshots.saves() {
                ui.separator();
                ui.label(RichText::new("saving").strong());
            }
            let mouse = self.mouse_word();
            if !mouse.is_empty() {
                ui.separator();
                ui.add(Label::new(mouse).truncate());
            }
        });
    }

    fn mouse_word(&self) -> String {
        match (self.serial, self.grabbed, self.glance.pointer) {
            _ if !self.view().runs() => String::new(),
            (true, ..) => "keys go to the serial port".to_owned(),
            (_, true, _) => format!("{} releases the mouse", self.settings.host_key.name()),
            (_, _, true) => "the mouse points".to_owned(),
            _ => "a click gives the guest the mouse".to_owned(),
        }
    }

    fn serial_port(&mut self, ui: &mut Ui) {
        self.place = None;
        let (text, cursor) = self.scroll.terminal.text_with_cursor();
        let (ink, paper) = (ui.visuals().text_color(), ui.visuals().extreme_bg_color);
        let plain = TextFormat { font_id: FontId::monospace(14.0), color: ink, ..Default::default() };
        let at_cursor = TextFormat { color: paper, background: ink, ..plain.clone() };
        let after = cursor + text[cursor..].chars().next().map_or(0, char::len_utf8);
        let mut job = LayoutJob::default();
        job.wrap.max_width = f32::INFINITY;
        job.append(&text[..cursor], 0.0, plain.clone());
        job.append(&text[cursor..after], 0.0, at_cursor);
        job.append(&text[after..], 0.0, plain);
        ScrollArea::both()
            .stick_to_bottom(true)
            .auto_shrink(false)
            .show(ui, |ui| ui.add(Label::new(job).extend()));
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
