//! The dialog in which files are chosen.

use egui::{Align2, Context, Key, ThemePreference, Vec2};
use egui_file_dialog::{DialogState, FileDialog};
use std::path::{Path, PathBuf};

/// The dialog, and what the file is for.
pub struct Chooser<T> {
    shown: Option<(FileDialog, T)>,
    /// It has not been drawn.
    new: bool,
}

impl<T> Default for Chooser<T> {
    fn default() -> Self {
        Self { shown: None, new: false }
    }
}

impl<T: Copy> Chooser<T> {
    /// Opens it, in `folder` if that is there.
    pub fn open(&mut self, what: T, folder: Option<&Path>) {
        self.begin(FileDialog::new(), what, folder, FileDialog::pick_file);
    }

    /// Opens it for a folder.
    pub fn open_folder(&mut self, what: T, folder: Option<&Path>) {
        self.begin(FileDialog::new(), what, folder, FileDialog::pick_directory);
    }

    /// Opens it for a file that is to be written, with a name for it.
    pub fn save(&mut self, what: T, folder: Option<&Path>, name: &str) {
        let dialog = FileDialog::new().default_file_name(name).allow_file_overwrite(false);
        self.begin(dialog, what, folder, FileDialog::save_file);
    }

    fn begin(&mut self, dialog: FileDialog, what: T, folder: Option<&Path>, begin: fn(&mut FileDialog)) {
        let size = Vec2::new(680.0, 420.0);
        let mut dialog = dialog.default_size(size).anchor(Align2::CENTER_CENTER, Vec2::ZERO).as_modal(true);
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
        if std::mem::take(&mut self.new)
            && let Some(id) = ctx.memory(|memory| memory.focused())
        {
            // Keys are for the dialog.
            ctx.memory_mut(|memory| memory.surrender_focus(id));
        }
        // Its fields are black, whatever the colours of the window are: in dark ones what is in them can be read.
        let theme = ctx.options(|options| options.theme_preference);
        ctx.set_theme(ThemePreference::Dark);
        let picked = dialog.update(ctx).picked().map(Path::to_owned);
        ctx.set_theme(theme);
        let open = *dialog.state() == DialogState::Open;
        if picked.is_some() || !open || ctx.input(|input| input.key_pressed(Key::Escape)) {
            self.shown = None;
        }
        picked.map(|file| (what, file))
    }
}
