//! One snapshot in the tree: its dot and lines, picture, name and figures.

use super::Snapshots;
use super::shelf::Entry;
use crate::status::{size, time};
use amber_emu::config::RtcDate;
use egui::{Align2, Color32, FontId, Pos2, Rect, Sense, Stroke, StrokeKind, TextureOptions, Ui, Vec2};

/// Points.
const HEIGHT: f32 = 72.0;
const LANE: f32 = 16.0;
const PICTURE: Vec2 = Vec2::new(96.0, 60.0);

/// Draws row `n`; whether it was clicked.
pub fn draw(ui: &mut Ui, snapshots: &mut Snapshots, n: usize) -> bool {
    let lanes = snapshots.places.iter().map(|place| place.lane + 1).max().unwrap_or(1) as f32;
    let wide = (lanes * LANE + PICTURE.x + 190.0).max(ui.available_width());
    let (area, response) = ui.allocate_exact_size(Vec2::new(wide, HEIGHT), Sense::click());
    let entry = snapshots.entries[n].clone();
    let chosen = snapshots.chosen.as_deref() == Some(&*entry.row.id);
    if chosen || response.hovered() {
        let visuals = ui.visuals();
        let fill =
            if chosen { visuals.selection.bg_fill.gamma_multiply(0.5) } else { visuals.faint_bg_color };
        ui.painter().rect_filled(area, 4.0, fill);
    }
    if response.has_focus() {
        let stroke = ui.visuals().widgets.active.bg_stroke;
        ui.painter().rect_stroke(area, 4.0, stroke, StrokeKind::Inside);
    }
    branches(ui, snapshots, n, area);
    let left = area.left() + lanes * LANE + 4.0;
    let frame = Rect::from_min_size(Pos2::new(left, area.top() + (HEIGHT - PICTURE.y) / 2.0), PICTURE);
    picture(ui, snapshots, &entry, frame);
    let here = snapshots.here.as_deref() == Some(&*entry.row.id);
    text(ui, &entry, Pos2::new(frame.right() + 8.0, area.top() + 8.0), here);
    let label = entry.row.names.first().cloned().unwrap_or_else(|| entry.row.id.clone());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::SelectableLabel, true, &label));
    response.clicked()
}

/// The lines from the row's own dot up to its parent's, and those of branches that pass by.
fn branches(ui: &Ui, snapshots: &Snapshots, n: usize, area: Rect) {
    let line = Stroke::new(2.0, ui.visuals().weak_text_color());
    let x = |lane: usize| area.left() + (lane as f32 + 0.5) * LANE;
    let middle = area.center().y;
    for (row, place) in snapshots.places.iter().enumerate().filter(|(row, _)| *row >= n) {
        let Some(parent) = place.parent.filter(|parent| *parent <= n) else { continue };
        let (own, from) = (x(place.lane), x(snapshots.places[parent].lane));
        if parent == n {
            ui.painter().line_segment([Pos2::new(from, middle), Pos2::new(own, area.bottom())], line);
        } else {
            let end = if row == n { middle } else { area.bottom() };
            ui.painter().line_segment([Pos2::new(own, area.top()), Pos2::new(own, end)], line);
        }
    }
    let dot = Pos2::new(x(snapshots.places[n].lane), middle);
    let here = snapshots.here.as_deref() == Some(&*snapshots.entries[n].row.id);
    let (radius, fill) =
        if here { (6.0, ui.visuals().selection.bg_fill) } else { (4.0, ui.visuals().text_color()) };
    ui.painter().circle(dot, radius, fill, Stroke::new(1.0, ui.visuals().text_color()));
}

fn picture(ui: &Ui, snapshots: &mut Snapshots, entry: &Entry, frame: Rect) {
    ui.painter().rect_filled(frame, 2.0, Color32::BLACK);
    if let Some(image) = &entry.thumbnail {
        let texture = snapshots.textures.entry(entry.row.id.clone()).or_insert_with(|| {
            ui.ctx().load_texture(
                &entry.row.id,
                egui::ImageData::Color(image.clone()),
                TextureOptions::LINEAR,
            )
        });
        let size = Vec2::new(image.size[0] as f32, image.size[1] as f32);
        let scale = (frame.width() / size.x).min(frame.height() / size.y);
        let place = Rect::from_center_size(frame.center(), size * scale);
        let whole = Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0));
        ui.painter().image(texture.id(), place, whole, Color32::WHITE);
    }
    let edge = Stroke::new(1.0, ui.visuals().weak_text_color());
    ui.painter().rect_stroke(frame, 2.0, edge, StrokeKind::Outside);
}

fn text(ui: &Ui, entry: &Entry, at: Pos2, here: bool) {
    let row = &entry.row;
    let name = row.names.first().cloned().unwrap_or_else(|| row.id[..12].to_owned());
    let name = if here { format!("{name} (here)") } else { name };
    let own = entry.own.map_or_else(|| "unreadable".to_owned(), |own| format!("{} own", size(own)));
    let saved = row.created.and_then(RtcDate::from_unix_seconds);
    let lines = [
        (name, FontId::proportional(14.0), ui.visuals().strong_text_color()),
        (
            format!("{}, step {}", time(row.time_ns), row.step),
            FontId::proportional(12.0),
            ui.visuals().text_color(),
        ),
        (format!("{own} of {} MiB", row.memory >> 20), FontId::proportional(12.0), ui.visuals().text_color()),
        (
            saved.map_or_else(String::new, |date| format!("{date}").replace('T', " ") + " UTC"),
            FontId::proportional(11.0),
            ui.visuals().weak_text_color(),
        ),
    ];
    let mut top = at;
    for (line, font, colour) in lines {
        top.y = ui.painter().text(top, Align2::LEFT_TOP, line, font, colour).bottom() + 1.0;
    }
}
