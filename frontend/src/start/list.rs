//! What there is to start: recent machines, snapshots, templates, and the guests that are built in.

use super::cards::{card, heading};
use super::templates::{EMBEDDED, Template};
use super::{Choice, Opening};
use crate::places::Places;
use crate::recent::{Last, Recent, ago, now};
use crate::settings::Settings;
use amber_emu::cli::stores;
use egui::{
    Align, Align2, Color32, FontId, Frame, Image, Layout, Panel, Rect, RichText, ScrollArea, Sense,
    StrokeKind, TextureHandle, TextureOptions, Ui, Vec2,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Points of what a machine showed last.
const PICTURE: Vec2 = Vec2::new(128.0, 80.0);

/// What a machine showed last, as it is drawn.
enum Picture {
    None,
    Screen(TextureHandle),
    Serial(String),
}

/// See the module.
pub struct List {
    pictures: PathBuf,
    loaded: BTreeMap<PathBuf, Picture>,
    /// Names of snapshots and when they were saved, the last first, or why there are none.
    snapshots: Result<Vec<(String, u64)>, String>,
    /// Something has the keyboard.
    focused: bool,
}

impl List {
    pub fn new(places: &Places, store: Option<&Path>) -> Self {
        let labels = || -> anyhow::Result<Vec<(String, u64)>> {
            let labels = stores::open(store)?.labels()?;
            let mut labels: Vec<_> = labels.into_iter().map(|label| (label.name, label.created)).collect();
            labels.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            Ok(labels)
        };
        Self {
            pictures: places.pictures.clone(),
            loaded: BTreeMap::new(),
            snapshots: labels().map_err(|error| format!("{error:#}")),
            focused: false,
        }
    }

    /// It has the keyboard when it is drawn next.
    pub fn wants_keys(&mut self) {
        self.focused = false;
    }

    /// A machine is no longer in it.
    pub fn forget(&mut self, file: &Path) {
        self.loaded.remove(file);
    }

    /// Draws it; with `free` it may take the keyboard.
    pub fn draw(&mut self, ui: &mut Ui, settings: &Settings, free: bool) -> Option<Choice> {
        let mut choice = None;
        let first = (free && !std::mem::replace(&mut self.focused, true)).then_some(());
        let frame = Frame::central_panel(ui.style()).inner_margin(12.0);
        let width = (ui.available_width() * 0.38).clamp(220.0, 340.0);
        Panel::left("new machine").exact_size(width).frame(frame).resizable(false).show(ui, |ui| {
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                new_machine(ui, &mut choice, first);
            });
        });
        egui::CentralPanel::no_frame().frame(frame).show(ui, |ui| {
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                self.recent(ui, &settings.recent, &mut choice);
                self.snapshots(ui, &mut choice);
            });
        });
        choice
    }

    fn recent(&mut self, ui: &mut Ui, recent: &[Recent], choice: &mut Option<Choice>) {
        heading(ui, "Recent machines");
        if recent.is_empty() {
            ui.label("None yet. Machines that are made or opened here are listed with the last they showed.");
        }
        for machine in recent {
            self.machine(ui, machine, choice);
            ui.add_space(4.0);
        }
    }

    fn machine(&mut self, ui: &mut Ui, Recent { file, opened }: &Recent, choice: &mut Option<Choice>) {
        let there = file.exists();
        Frame::group(ui.style()).fill(ui.visuals().faint_bg_color).inner_margin(8.0).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                self.picture(ui, file, there);
                ui.vertical(|ui| {
                    let name = file.file_stem().unwrap_or_default().to_string_lossy();
                    ui.label(RichText::new(name).strong().size(15.0));
                    let folder = file.parent().unwrap_or(file).display().to_string();
                    ui.add(egui::Label::new(RichText::new(folder).small()).truncate())
                        .on_hover_text(file.display().to_string());
                    let words = match there {
                        true => ago(*opened, now()),
                        false => {
                            "Its file is gone: put it back, or remove the machine from this list.".to_owned()
                        }
                    };
                    ui.label(RichText::new(words).small());
                    ui.horizontal(|ui| buttons(ui, file, there, choice));
                });
            });
        });
    }

    fn picture(&mut self, ui: &mut Ui, file: &Path, there: bool) {
        let (rect, _) = ui.allocate_exact_size(PICTURE, Sense::hover());
        let painter = ui.painter_at(rect);
        painter.rect_filled(rect, 2.0, Color32::from_gray(16));
        if !self.loaded.contains_key(file) {
            let picture = match Last::read(&self.pictures, file) {
                None => Picture::None,
                Some(Last::Serial(text)) => Picture::Serial(text),
                Some(Last::Screen(image)) => {
                    let name = file.display().to_string();
                    Picture::Screen(ui.ctx().load_texture(name, image, TextureOptions::LINEAR))
                }
            };
            self.loaded.insert(file.to_owned(), picture);
        }
        let tint = if there { Color32::WHITE } else { Color32::from_gray(90) };
        match self.loaded.get(file) {
            Some(Picture::Screen(texture)) => {
                let size = texture.size_vec2();
                let size = size * (PICTURE.x / size.x).min(PICTURE.y / size.y);
                let place = Rect::from_center_size(rect.center(), size);
                Image::new((texture.id(), size)).tint(tint).paint_at(ui, place);
            }
            Some(Picture::Serial(text)) => {
                let font = FontId::monospace(3.2);
                let color = Color32::LIGHT_GRAY * tint;
                painter.text(rect.min + Vec2::splat(3.0), Align2::LEFT_TOP, text, font, color);
            }
            _ => {}
        }
        let stroke = ui.visuals().widgets.noninteractive.bg_stroke;
        ui.painter().rect_stroke(rect, 2.0, stroke, StrokeKind::Inside);
    }

    fn snapshots(&self, ui: &mut Ui, choice: &mut Option<Choice>) {
        ui.add_space(8.0);
        heading(ui, "Snapshots");
        let names = match &self.snapshots {
            Ok(names) if names.is_empty() => {
                ui.label("None with a name in the store.");
                return;
            }
            Ok(names) => names,
            Err(why) => {
                ui.label(format!("They cannot be listed: {why}."));
                return;
            }
        };
        for (name, created) in names {
            ui.horizontal(|ui| {
                if ui.button("Go on").on_hover_text(format!("Goes on from {name}")).clicked() {
                    *choice = Some(Choice::Run(Opening::Snapshot(name.clone())));
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    ui.label(RichText::new(ago(*created, now())).small());
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        ui.add(egui::Label::new(name).truncate());
                    });
                });
            });
        }
    }
}

fn buttons(ui: &mut Ui, file: &Path, there: bool, choice: &mut Option<Choice>) {
    let is_machine = file.extension().is_none_or(|end| end != "amber");
    if ui.add_enabled(there, egui::Button::new("Start")).clicked() {
        *choice = Some(Choice::File(file.to_owned()));
    }
    if ui.add_enabled(there && is_machine, egui::Button::new("Edit…")).clicked() {
        *choice = Some(Choice::Edit(file.to_owned()));
    }
    if ui.button("Remove").on_hover_text("From this list; its file stays").clicked() {
        *choice = Some(Choice::Forget(file.to_owned()));
    }
}

/// The part for machines that are not there yet; its first card takes the keyboard if `first` says so.
fn new_machine(ui: &mut Ui, choice: &mut Option<Choice>, first: Option<()>) {
    heading(ui, "Open");
    let open = card(
        ui,
        "Open image…",
        "a disk, CD, diskette, kernel, firmware, snapshot or machine; dropping it here does the same",
    );
    if open.clicked() {
        *choice = Some(Choice::Browse);
    }
    if first.is_some() {
        open.request_focus();
    }
    heading(ui, "New machine");
    for template in Template::ALL {
        if card(ui, template.title(), template.words()).clicked() {
            *choice = Some(Choice::Form(Box::new(template.form())));
        }
    }
    heading(ui, "Built in");
    for (firmware, title, words) in EMBEDDED {
        if card(ui, title, words).clicked() {
            *choice = Some(Choice::Run(Opening::Embedded(firmware)));
        }
    }
}
