//! The dialog of media: the machine's drives, and what is put into them and taken out.

mod drive;

use super::app::About;
use super::chooser::Chooser;
use super::dialog::modal;
use super::status::size;
use super::wishes::Wishes;
use amber_emu::control::Method;
pub use drive::Drive;
use egui::{Button, Label, Response, RichText, Ui};
use egui_file_dialog::FileDialog;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// From one asking to the next.
const SPAN: Duration = Duration::from_millis(500);
/// Points of the dialog.
const WIDTH: f32 = 640.0;
/// Points of what a drive is called, and of its buttons.
const DRIVE: f32 = 110.0;
const BUTTONS: f32 = 200.0;

/// What a file is chosen for, with the drive's place in the list.
#[derive(Clone, Copy)]
enum For {
    Insert(usize),
    Export(usize),
}

/// See the module.
#[derive(Default)]
pub struct Media {
    /// `None` until the machine has told.
    drives: Option<Vec<Drive>>,
    asked: Option<Instant>,
    /// What a person chose.
    change: Option<Method>,
    chooser: Chooser<For>,
    /// Diskettes that are put in are write-protected.
    protects: bool,
    /// Where the last file was.
    folder: Option<PathBuf>,
    focused: bool,
}

impl Media {
    /// Draws it; whether it is done with.
    pub fn draw(&mut self, ui: &mut Ui) -> bool {
        ui.ctx().request_repaint_after(SPAN);
        if let Some((what, file)) = self.chooser.draw(ui.ctx()) {
            self.choose(what, file);
        }
        if self.chooser.is_open() {
            return false;
        }
        let response = modal(ui, "media").show(ui.ctx(), |ui| {
            ui.set_width(WIDTH.min(ui.ctx().content_rect().width() - 60.0));
            ui.label(RichText::new("Media").strong().size(18.0));
            ui.add_space(6.0);
            self.list(ui);
            ui.add_space(8.0);
            let done = ui.button("Done");
            if self.drives.as_ref().is_some_and(Vec::is_empty) {
                self.focus(&done);
            }
            done.clicked()
        });
        response.inner || response.should_close()
    }

    /// Asks for what was wanted, and twice a second what is in the drives. Not while it is drawn: that may be done twice.
    pub fn refresh(&mut self, wishes: &mut Wishes) {
        if let Some(change) = self.change.take() {
            let exports = matches!(change, Method::MediaExport { .. });
            wishes.ask(change, if exports { About::Exported } else { About::Medium });
            self.asked = None;
        }
        if self.asked.is_none_or(|at| at.elapsed() >= SPAN) {
            self.asked = Some(Instant::now());
            wishes.ask(Method::MediaList, About::Media);
        }
    }

    /// What is in the drives.
    pub fn hear(&mut self, answer: &Value) {
        self.drives = Some(Drive::all(answer));
    }

    /// The keyboard begins at what is likeliest, and goes on by Tab.
    fn focus(&mut self, response: &Response) {
        if !std::mem::replace(&mut self.focused, true) {
            response.request_focus();
        }
    }

    fn list(&mut self, ui: &mut Ui) {
        match self.drives.clone() {
            None => {
                ui.label("The machine is being asked.");
            }
            Some(drives) if drives.is_empty() => {
                ui.label(
                    "This machine has no drive for media. One is given to a machine before it starts: a CD or \
                     a diskette in its form, or `none` in place of a file for an empty drive.",
                );
            }
            Some(drives) => {
                for (n, drive) in drives.iter().enumerate() {
                    if n != 0 {
                        ui.separator();
                    }
                    self.drive(ui, n, drive);
                }
                if drives.iter().any(|drive| !drive.is_cd()) {
                    ui.add_space(6.0);
                    ui.checkbox(&mut self.protects, "Diskettes that are put in are write-protected");
                }
            }
        }
    }

    fn drive(&mut self, ui: &mut Ui, n: usize, drive: &Drive) {
        ui.horizontal(|ui| {
            column(ui, DRIVE, |ui| {
                ui.label(RichText::new(drive.kind()).strong());
                ui.label(RichText::new(&drive.name).monospace().weak());
            });
            column(ui, ui.available_width() - BUTTONS, |ui| medium(ui, drive));
            self.buttons(ui, n, drive);
        });
    }

    fn buttons(&mut self, ui: &mut Ui, n: usize, drive: &Drive) {
        let insert = ui.button("Insert…").on_hover_text("what is in there is taken out before");
        self.focus(&insert);
        if insert.clicked() {
            self.chooser.open(For::Insert(n), self.folder_for(drive).as_deref());
        }
        let eject = |force| Method::Eject { drive: drive.name.clone(), force };
        if ui.add_enabled(drive.medium.is_some() && !drive.asked, Button::new("Eject")).clicked() {
            self.change = Some(eject(false));
        }
        let force = "takes it out without asking; a guest that uses it finds errors";
        if drive.held && ui.button("Force").on_hover_text(force).clicked() {
            self.change = Some(eject(true));
        }
        if let Some(medium) = drive.medium.as_ref().filter(|medium| medium.written != 0) {
            let save = ui.button("Save as…").on_hover_text("writes what the guest finds on it to a new file");
            if save.clicked() {
                let dialog = FileDialog::new().default_file_name(&medium.name()).allow_file_overwrite(false);
                self.chooser.save(For::Export(n), dialog);
            }
        }
    }

    /// Where a medium for a drive is looked for.
    fn folder_for(&self, drive: &Drive) -> Option<PathBuf> {
        let there = drive.medium.as_ref().and_then(|medium| Path::new(&medium.file).parent());
        self.folder.clone().or_else(|| there.map(Path::to_owned))
    }

    fn choose(&mut self, what: For, file: PathBuf) {
        self.folder = file.parent().map(Path::to_owned);
        let (For::Insert(n) | For::Export(n)) = what;
        let Some(drive) = self.drives.as_ref().and_then(|drives| drives.get(n)) else { return };
        let (name, read_only) = (drive.name.clone(), self.protects && !drive.is_cd());
        self.change = Some(match what {
            For::Insert(_) => Method::Insert { drive: name, file, read_only },
            For::Export(_) => Method::MediaExport { drive: name, file },
        });
    }
}

fn column(ui: &mut Ui, width: f32, add: impl FnOnce(&mut Ui)) {
    ui.vertical(|ui| {
        ui.set_width(width.max(80.0));
        add(ui);
    });
}

fn medium(ui: &mut Ui, drive: &Drive) {
    match &drive.medium {
        Some(medium) => {
            ui.add(Label::new(medium.name()).truncate()).on_hover_text(&medium.file);
        }
        None => drop(ui.weak("empty")),
    }
    ui.label(RichText::new(words(drive)).small());
}

/// How a drive stands.
fn words(drive: &Drive) -> String {
    let mut words = Vec::new();
    if let Some(medium) = &drive.medium {
        words.push(size(medium.bytes));
        if medium.read_only && !drive.is_cd() {
            words.push("write-protected".to_owned());
        }
        if medium.written != 0 {
            words.push(format!("{} written on it, gone when it is taken out", size(medium.written)));
        }
    }
    if drive.asked {
        words.push("the guest was asked to let go of it".to_owned());
    } else if drive.held {
        words.push("the guest holds it".to_owned());
    }
    if drive.tray_open {
        words.push("the tray is open".to_owned());
    }
    if words.is_empty() { "ready for a medium".to_owned() } else { words.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::{Context, Event, Key, Modifiers, RawInput};
    use serde_json::json;

    /// Draws it once with these keys; what is asked, and whether it is done with.
    fn press(ctx: &Context, media: &mut Media, keys: &[Key]) -> (Vec<Method>, bool) {
        let event = |key: &Key| Event::Key {
            key: *key,
            physical_key: None,
            pressed: true,
            repeat: false,
            modifiers: Modifiers::NONE,
        };
        let input = RawInput { events: keys.iter().map(event).collect(), ..RawInput::default() };
        let (mut wishes, mut done) = (Wishes::default(), false);
        let _ = ctx.run_ui(input, |ui| done = media.draw(ui));
        media.refresh(&mut wishes);
        (wishes.asks.into_iter().map(|(method, _)| method).collect(), done)
    }

    fn drives() -> Value {
        let cd = json!({ "file": "/a/first.iso", "bytes": 5 << 20, "read-only": true, "written": 0 });
        json!({ "drives": [
            { "drive": "cd0", "tray": "closed", "held": true, "asked": false, "medium": cd },
            { "drive": "floppy0", "asked": false, "medium": null },
        ]})
    }

    #[test]
    fn everything_is_done_by_keyboard() {
        let (ctx, mut media) = (Context::default(), Media::default());
        let (asked, done) = press(&ctx, &mut media, &[]);
        assert_eq!((asked, done), (vec![Method::MediaList], false));
        media.hear(&drives());
        press(&ctx, &mut media, &[]);
        let eject = |force| Method::Eject { drive: "cd0".to_owned(), force };
        // From the first Insert on: to Eject, and to what does not ask.
        for (tabs, expected) in [(1, eject(false)), (2, eject(true))] {
            let mut media = Media::default();
            media.hear(&drives());
            let ctx = Context::default();
            press(&ctx, &mut media, &[]);
            press(&ctx, &mut media, &[]);
            for _ in 0..tabs {
                press(&ctx, &mut media, &[Key::Tab]);
            }
            let (asked, done) = press(&ctx, &mut media, &[Key::Enter]);
            assert_eq!((asked.first(), done), (Some(&expected), false), "{tabs}");
        }
        let (asked, done) = press(&ctx, &mut media, &[Key::Escape]);
        assert!(done && !asked.contains(&eject(false)));
    }

    #[test]
    fn a_file_goes_into_the_drive_it_was_chosen_for() {
        let mut media = Media::default();
        media.hear(&drives());
        media.protects = true;
        let mut asked = |what, file: &str| {
            media.choose(what, file.into());
            let mut wishes = Wishes::default();
            media.refresh(&mut wishes);
            wishes.asks.remove(0).0
        };
        let insert = |drive: &str, file: &str, read_only| Method::Insert {
            drive: drive.to_owned(),
            file: file.into(),
            read_only,
        };
        assert_eq!(asked(For::Insert(0), "/b.iso"), insert("cd0", "/b.iso", false));
        assert_eq!(asked(For::Insert(1), "/b.img"), insert("floppy0", "/b.img", true));
        let export = Method::MediaExport { drive: "floppy0".to_owned(), file: "/c.img".into() };
        assert_eq!(asked(For::Export(1), "/c.img"), export);
        media.choose(For::Insert(7), "/b.iso".into());
        assert!(media.change.is_none());
    }

    #[test]
    fn a_drive_is_told_of_in_words() {
        let [cd, floppy] = &Drive::all(&drives())[..] else { panic!("two drives") };
        assert_eq!(words(cd), "5 MiB; the guest holds it");
        assert_eq!(words(floppy), "ready for a medium");
        let asked = Drive { asked: true, tray_open: true, ..cd.clone() };
        assert_eq!(words(&asked), "5 MiB; the guest was asked to let go of it; the tray is open");
    }
}
