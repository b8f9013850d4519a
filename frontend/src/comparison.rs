//! Two snapshots beside each other: what differs, where the machine's screen is otherwise.

use amber_emu::cli::diff::{Table, TableOfPages, TableOfSection, count};
use egui::{
    CollapsingHeader, Color32, Grid, Rect, RichText, ScrollArea, Sense, StrokeKind, TextEdit, Ui, Vec2,
};

/// Groups in a row of a region's map, and points of each.
const COLUMNS: u64 = 32;
const CELL: f32 = 14.0;
/// Cells of a map; of a larger region several groups share one.
const CELLS: u64 = 2048;

/// See the module.
pub struct Comparison {
    table: Table,
    /// Only fields with this in their name are shown.
    filter: String,
}

impl Comparison {
    pub fn new(table: Table) -> Self {
        Self { table, filter: String::new() }
    }

    /// Draws it; whether it is closed.
    pub fn draw(&mut self, ui: &mut Ui) -> bool {
        let closed = self.head(ui);
        ui.separator();
        ScrollArea::both().auto_shrink(false).show(ui, |ui| {
            let filter = self.filter.to_lowercase();
            for section in &self.table.sections {
                fields(ui, section, &filter);
            }
            for region in self.table.regions.iter().filter(|_| filter.is_empty()) {
                pages(ui, region);
            }
        });
        closed
    }

    fn head(&mut self, ui: &mut Ui) -> bool {
        let mut closed = false;
        ui.horizontal(|ui| {
            closed = ui.button("Close").clicked();
            ui.add(
                TextEdit::singleline(&mut self.filter).hint_text("only fields with…").desired_width(160.0),
            );
            ui.label(RichText::new(&self.table.summary).strong());
        });
        for (letter, side) in ["a", "b"].into_iter().zip(&self.table.sides) {
            ui.horizontal(|ui| {
                ui.label(RichText::new(letter).monospace().strong());
                ui.label(side);
            });
        }
        closed || ui.input(|input| input.key_pressed(egui::Key::Escape))
    }
}

fn fields(ui: &mut Ui, section: &TableOfSection, filter: &str) {
    let fits = |row: &&[String; 3]| filter.is_empty() || row[0].to_lowercase().contains(filter);
    let rows: Vec<_> = section.rows.iter().filter(fits).collect();
    if rows.is_empty() && !(filter.is_empty() && section.remark.is_some()) {
        return;
    }
    let title = format!("{}: {}", section.title, count(rows.len() as u64, "field"));
    CollapsingHeader::new(title).id_salt(&section.title).default_open(true).show(ui, |ui| {
        if let Some(remark) = &section.remark {
            ui.label(remark);
        }
        Grid::new(&section.title).striped(true).num_columns(3).min_col_width(120.0).show(ui, |ui| {
            for [field, a, b] in rows {
                ui.label(field);
                ui.label(RichText::new(a).monospace().color(before(ui)));
                ui.label(RichText::new(b).monospace().color(after(ui)));
                ui.end_row();
            }
        });
    });
}

fn pages(ui: &mut Ui, region: &TableOfPages) {
    CollapsingHeader::new(&region.headline).default_open(true).show(ui, |ui| {
        for remark in &region.remarks {
            ui.label(remark);
        }
        map(ui, region);
        for (n, page) in region.pages.iter().enumerate() {
            let title = page.lines().next().unwrap_or_default().trim();
            let rest = page.split_once('\n').map_or("", |(_, rest)| rest);
            CollapsingHeader::new(RichText::new(title).monospace()).id_salt((&region.headline, n)).show(
                ui,
                |ui| {
                    rest.lines().for_each(|line| changed_line(ui, line));
                },
            );
        }
        if region.hidden != 0 {
            ui.label(format!(
                "The bytes of {} more are not shown; `amber snapshot diff --limit` shows them.",
                count(region.hidden, "page")
            ));
        }
    });
}

/// Instructions that went and came have their colours; bytes have none.
fn changed_line(ui: &mut Ui, line: &str) {
    let text = RichText::new(line).monospace().size(12.0);
    let text = match line.trim_start().chars().next() {
        Some('-') => text.color(before(ui)),
        Some('+') => text.color(after(ui)),
        _ => text,
    };
    ui.label(text);
}

/// The region, a cell for each 2 MiB or more, brighter where more pages differ.
fn map(ui: &mut Ui, region: &TableOfPages) {
    let per_cell = region.groups.div_ceil(CELLS).max(1);
    let cells = region.groups.div_ceil(per_cell).max(1);
    let rows = cells.div_ceil(COLUMNS);
    let size = Vec2::new(COLUMNS.min(cells) as f32 * CELL, rows as f32 * CELL);
    let (area, response) = ui.allocate_exact_size(size, Sense::hover());
    let cell_at = |cell: u64| {
        let corner = Vec2::new((cell % COLUMNS) as f32 * CELL, (cell / COLUMNS) as f32 * CELL);
        Rect::from_min_size(area.min + corner, Vec2::splat(CELL - 2.0))
    };
    let edge = egui::Stroke::new(1.0, ui.visuals().weak_text_color().gamma_multiply(0.4));
    for cell in 0..cells {
        ui.painter().rect_stroke(cell_at(cell), 2.0, edge, StrokeKind::Inside);
    }
    let most = (1.0 + per_cell as f32 * 512.0).log2();
    let mut pointed = None;
    for [group, address, pages, bytes] in &region.map {
        let place = cell_at(group / per_cell);
        let share = (1.0 + *pages as f32).log2() / most;
        ui.painter().rect_filled(place, 2.0, after(ui).gamma_multiply(0.35 + 0.65 * share.min(1.0)));
        if response.hover_pos().is_some_and(|at| place.contains(at)) {
            let (pages, bytes) = (count(*pages, "page"), count(*bytes, "byte"));
            pointed = Some(format!("{address:#x}: {pages}, {bytes}"));
        }
    }
    if let Some(text) = pointed {
        response.on_hover_text(text);
    }
}

/// The colour of what was.
fn before(ui: &Ui) -> Color32 {
    if ui.visuals().dark_mode { Color32::from_rgb(240, 150, 130) } else { Color32::from_rgb(170, 40, 20) }
}

/// The colour of what is.
fn after(ui: &Ui) -> Color32 {
    if ui.visuals().dark_mode { Color32::from_rgb(130, 210, 140) } else { Color32::from_rgb(20, 120, 40) }
}
