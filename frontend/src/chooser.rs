//! The dialog in which files are chosen.

use egui::layers::ShapeIdx;
use egui::{Align2, Color32, Context, Id, Key, Modifiers, Shape, Vec2};
use egui_file_dialog::{DialogState, FileDialog};
use std::path::{Path, PathBuf};

/// The dialog's name in the window.
const ID: &str = "chooser";

/// The dialog, and what the file is for.
pub struct Chooser<T> {
    shown: Option<(FileDialog, T)>,
    /// It has not been drawn.
    new: bool,
    /// What had the keyboard before, and has it again.
    before: Option<Id>,
}

impl<T> Default for Chooser<T> {
    fn default() -> Self {
        Self { shown: None, new: false, before: None }
    }
}

impl<T: Copy> Chooser<T> {
    /// Opens it, in `folder` if that is there.
    pub fn open(&mut self, what: T, folder: Option<&Path>) {
        self.begin(what, folder, FileDialog::new(), FileDialog::pick_file);
    }

    /// Opens it for a folder.
    pub fn open_folder(&mut self, what: T, folder: Option<&Path>) {
        self.begin(what, folder, FileDialog::new(), FileDialog::pick_directory);
    }

    /// Opens `dialog`, which may have a title, filters and a name of its own, for a file that is there.
    pub fn pick(&mut self, what: T, dialog: FileDialog) {
        self.begin(what, None, dialog, FileDialog::pick_file);
    }

    /// The same, for one that is to be written.
    pub fn save(&mut self, what: T, dialog: FileDialog) {
        self.begin(what, None, dialog, FileDialog::save_file);
    }

    fn begin(&mut self, what: T, folder: Option<&Path>, dialog: FileDialog, begin: fn(&mut FileDialog)) {
        let size = Vec2::new(680.0, 420.0);
        let dialog = dialog.default_size(size).anchor(Align2::CENTER_CENTER, Vec2::ZERO).as_modal(true);
        let mut dialog = dialog.id(Id::new(ID));
        if let Some(folder) = folder.filter(|folder| folder.is_dir()) {
            dialog = dialog.initial_directory(folder.to_owned());
        }
        begin(&mut dialog);
        (self.shown, self.new) = (Some((dialog, what)), true);
    }

    pub fn is_open(&self) -> bool {
        self.shown.is_some()
    }

    /// Draws it; what was chosen.
    pub fn draw(&mut self, ctx: &Context) -> Option<(T, PathBuf)> {
        let (dialog, what) = self.shown.as_mut()?;
        let what = *what;
        if std::mem::take(&mut self.new) {
            // Keys are for the dialog.
            self.before = ctx.memory(|memory| memory.focused());
            self.before.iter().for_each(|id| ctx.memory_mut(|memory| memory.surrender_focus(*id)));
        }
        let picked = dialog.update(ctx).picked().map(Path::to_owned);
        recolour(ctx);
        // What it was opened from is not left with it.
        ctx.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape));
        if picked.is_some() || *dialog.state() != DialogState::Open {
            self.shown = None;
            self.before.iter().for_each(|id| ctx.memory_mut(|memory| memory.request_focus(*id)));
        }
        picked.map(|file| (what, file))
    }
}

/// The dialog paints two of its fields black whatever the colours are, and writes in them as in any: they get those of fields.
fn recolour(ctx: &Context) {
    let field = ctx.global_style().visuals.text_edit_bg_color();
    let layers: Vec<_> =
        ctx.memory(|memory| memory.layer_ids().filter(|layer| layer.id == Id::new(ID)).collect());
    ctx.graphics_mut(|graphics| {
        for layer in layers {
            let Some(list) = graphics.get_mut(layer) else { continue };
            for n in 0..list.next_idx().0 {
                list.mutate_shape(ShapeIdx(n), |clipped| fill_black(&mut clipped.shape, field));
            }
        }
    });
}

/// Gives a black rectangle a colour; shadows stay.
fn fill_black(shape: &mut Shape, colour: Color32) {
    if let Shape::Rect(rect) = shape
        && rect.blur_width == 0.0
        && rect.fill.to_opaque() == Color32::BLACK
    {
        rect.fill = colour.gamma_multiply_u8(rect.fill.a());
    }
}
