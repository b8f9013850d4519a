//! A file was dropped on the window: what it is, and what can be done with it.

use super::cards::card;
use super::image::{Image, Kind, recognise};
use crate::app::About;
use crate::dialog::modal;
use crate::media::Drive;
use crate::status::size;
use crate::wishes::Wishes;
use amber_devices::DiskInterface;
use amber_emu::config::DiskChoice;
use amber_emu::control::{DeviceKind, Method};
use egui::{RichText, Ui};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Whether a machine takes disks while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// There is no machine.
    #[default]
    NoMachine,
    /// It has not answered yet.
    Unknown,
    Free,
    /// It takes none, and says why.
    None(String),
}

/// What is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    Plug(DiskInterface),
    /// Puts it into the drive of that name.
    Insert(String),
    /// Opens it, when the machine that runs is closed.
    Open(PathBuf),
    Nothing,
}

/// See the module.
pub struct Dropped {
    file: PathBuf,
    image: Result<Image, String>,
    pub room: Room,
    /// The machine's drives for media, when it has told.
    drives: Option<Vec<Drive>>,
    focused: bool,
}

impl Dropped {
    pub fn new(file: &Path, room: Room) -> Self {
        Self { file: file.to_owned(), image: recognise(file), room, drives: None, focused: false }
    }

    /// What is in the drives.
    pub fn hear(&mut self, answer: &Value) {
        self.drives = Some(Drive::all(answer));
    }

    /// Draws it; whether it is done with.
    pub fn draw(&mut self, ui: &mut Ui, wishes: &mut Wishes) -> bool {
        let response = modal(ui, "dropped").show(ui.ctx(), |ui| {
            ui.set_width(460.0);
            self.choices(ui)
        });
        let closes = response.should_close();
        let doing = response.inner.or(closes.then_some(Doing::Nothing));
        match &doing {
            Some(Doing::Plug(interface)) => wishes.ask(self.plug(*interface), About::Plugged),
            Some(Doing::Insert(drive)) => wishes.ask(self.insertion(drive.clone()), About::Medium),
            Some(Doing::Open(file)) => wishes.drop_in(file.clone()),
            Some(Doing::Nothing) | None => {}
        }
        doing.is_some()
    }

    /// The file as the machine finds it.
    fn found(&self) -> PathBuf {
        self.image.as_ref().map_or(&self.file, |image| &image.file).clone()
    }

    /// The request that puts it into a drive.
    fn insertion(&self, drive: String) -> Method {
        Method::Insert { drive, file: self.found(), read_only: false }
    }

    /// The request that plugs it in.
    fn plug(&self, interface: DiskInterface) -> Method {
        let disk = DiskChoice { file: self.found(), interface, ..DiskChoice::default() };
        Method::DeviceAdd { kind: DeviceKind::Disk, device: disk.to_string() }
    }

    fn choices(&mut self, ui: &mut Ui) -> Option<Doing> {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        ui.label(RichText::new(name).strong().size(16.0));
        let image = match &self.image {
            Ok(image) => image.clone(),
            Err(sentence) => {
                ui.label(sentence);
                ui.add_space(8.0);
                let ok = ui.button("OK");
                self.focus(&ok);
                return ok.clicked().then_some(Doing::Nothing);
            }
        };
        ui.label(format!("This is {}, {}.", image.kind.words(), size(image.bytes)));
        ui.add_space(8.0);
        let mut doing = None;
        if self.room != Room::NoMachine {
            self.plugs(ui, image.kind, &mut doing);
        }
        let opens = card(ui, opening(image.kind), self.consequence());
        if opens.clicked() {
            doing = Some(Doing::Open(image.file));
        }
        ui.add_space(8.0);
        let cancel = ui.button("Cancel");
        if cancel.clicked() {
            doing = Some(Doing::Nothing);
        }
        // Nothing that ends a machine is a key away.
        self.focus(if self.room == Room::NoMachine { &opens } else { &cancel });
        doing
    }

    fn focus(&mut self, response: &egui::Response) {
        if !std::mem::replace(&mut self.focused, true) {
            response.request_focus();
        }
    }

    /// What the machine that runs can do with it.
    fn plugs(&self, ui: &mut Ui, kind: Kind, doing: &mut Option<Doing>) {
        match (kind, &self.room) {
            (Kind::Cd | Kind::Floppy, _) => self.inserts(ui, kind == Kind::Cd, doing),
            (kind, _) if !kind.is_disk() => {}
            (_, Room::Free) => {
                for (interface, title) in [
                    (DiskInterface::Virtio, "Plug in as a virtio disk"),
                    (DiskInterface::Nvme, "Plug in as an NVMe disk"),
                ] {
                    let words = "the machine goes on, and its guest finds a new disk; what it writes stays in the machine's state";
                    if card(ui, title, words).clicked() {
                        *doing = Some(Doing::Plug(interface));
                    }
                }
            }
            (_, Room::None(why)) => {
                ui.label(format!("It cannot be plugged in: {why}."));
            }
            (..) => {
                ui.label("Whether it can be plugged in is being asked.");
            }
        }
        ui.add_space(4.0);
    }

    /// The drives of the machine that runs that take it.
    fn inserts(&self, ui: &mut Ui, is_cd: bool, doing: &mut Option<Doing>) {
        let Some(drives) = &self.drives else {
            ui.label("The machine is asked for its drives.");
            return;
        };
        let mut none = true;
        for drive in drives.iter().filter(|drive| drive.is_cd() == is_cd) {
            none = false;
            let words = match &drive.medium {
                None => "it is empty".to_owned(),
                Some(medium) if drive.held => {
                    format!("{} is in there, and the guest is asked to let go of it", medium.name())
                }
                Some(medium) => format!("in place of {}", medium.name()),
            };
            if card(ui, &format!("Insert into {} {}", drive.kind(), drive.name), &words).clicked() {
                *doing = Some(Doing::Insert(drive.name.clone()));
            }
        }
        if none {
            let kind = if is_cd { "CDs" } else { "diskettes" };
            ui.label(format!(
                "The machine that runs has no drive for {kind}: one is given to it before it starts."
            ));
        }
    }

    fn consequence(&self) -> &'static str {
        match self.room {
            Room::NoMachine => "its form comes first, unless it is a whole machine",
            _ => "the machine that runs is closed; what was not saved as a snapshot is lost",
        }
    }
}

fn opening(kind: Kind) -> &'static str {
    match kind {
        Kind::Machine => "Start this machine",
        Kind::Snapshot => "Go on from this snapshot",
        _ => "Make a new machine with it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amber_tests::program::Scratch;

    #[test]
    fn what_is_plugged_in_is_the_file_whatever_its_name() {
        let scratch = Scratch::new("dropped-name");
        let file = scratch.file("a,b.img", &[0; 4096]);
        let dropped = Dropped::new(&file, Room::Free);
        let Method::DeviceAdd { device, .. } = dropped.plug(DiskInterface::Nvme) else { panic!("a device") };
        assert_eq!(
            device.parse::<DiskChoice>().map(|disk| (disk.file, disk.interface)),
            Ok((file, DiskInterface::Nvme))
        );
    }

    /// Draws it as often as there are lists of keys, and presses these; whether it is done with, and what came of it.
    fn press(dropped: &mut Dropped, keys: &[&[egui::Key]]) -> (bool, Wishes) {
        let (ctx, mut outcome) = (egui::Context::default(), (false, Wishes::default()));
        for keys in keys {
            let event = |key: &egui::Key| egui::Event::Key {
                key: *key,
                physical_key: None,
                pressed: true,
                repeat: false,
                modifiers: egui::Modifiers::NONE,
            };
            let input =
                egui::RawInput { events: keys.iter().map(event).collect(), ..egui::RawInput::default() };
            let _ = ctx.run_ui(input, |ui| {
                let mut wishes = Wishes::default();
                outcome = (dropped.draw(ui, &mut wishes), wishes);
            });
        }
        outcome
    }

    #[test]
    fn nothing_is_done_before_a_person_chooses() {
        use egui::Key;
        let scratch = Scratch::new("dropped-choice");
        let file = scratch.file("data.img", &[0; 4096]);
        let dropped = |room| Dropped::new(&file, room);
        for room in [Room::NoMachine, Room::Unknown, Room::Free, Room::None("it is full".to_owned())] {
            let (done, wishes) = press(&mut dropped(room.clone()), &[&[], &[]]);
            assert!(!done && wishes.asks.is_empty() && wishes.drops.is_empty(), "{room:?}");
            let (done, wishes) = press(&mut dropped(room.clone()), &[&[], &[], &[Key::Escape]]);
            assert!(done && wishes.asks.is_empty() && wishes.drops.is_empty(), "{room:?}");
            let (done, wishes) = press(&mut dropped(room.clone()), &[&[], &[], &[Key::Enter]]);
            let opened = if room == Room::NoMachine { vec![file.clone()] } else { Vec::new() };
            assert_eq!((done, wishes.drops, wishes.asks.len()), (true, opened, 0), "{room:?}");
        }
        let up: &[Key] = &[Key::ArrowUp];
        let (done, wishes) = press(&mut dropped(Room::Free), &[&[], &[], up, &[], &[Key::Enter]]);
        assert_eq!((done, wishes.drops, wishes.asks.len()), (true, vec![file.clone()], 0));
        // Above what makes a new machine there is what plugs it in, where it can be.
        let (done, wishes) = press(&mut dropped(Room::Free), &[&[], &[], up, &[], up, &[], &[Key::Enter]]);
        assert!(done && wishes.drops.is_empty());
        assert!(
            matches!(&wishes.asks[..], [(Method::DeviceAdd { device, .. }, About::Plugged)] if device.ends_with(",if=nvme"))
        );
    }

    #[test]
    fn a_cd_goes_into_a_drive_for_it() {
        use egui::Key;
        let scratch = Scratch::new("dropped-cd");
        let mut iso = vec![0; 40 << 10];
        iso[0x8001..0x8006].copy_from_slice(b"CD001");
        let file = scratch.file("new.iso", &iso);
        let mut dropped = Dropped::new(&file, Room::Free);
        dropped.hear(&serde_json::json!({ "drives": [
            { "drive": "floppy0", "medium": null },
            { "drive": "cd0", "medium": { "file": "/old.iso", "bytes": 1 }, "held": true },
        ]}));
        let up: &[Key] = &[Key::ArrowUp];
        let (done, wishes) = press(&mut dropped, &[&[], &[], up, &[], up, &[], &[Key::Enter]]);
        let insert = Method::Insert { drive: "cd0".to_owned(), file, read_only: false };
        assert_eq!((done, &wishes.asks[..]), (true, &[(insert, About::Medium)][..]));
    }

    #[test]
    fn what_is_no_image_can_only_be_read_about() {
        let scratch = Scratch::new("dropped-none");
        let file = scratch.file("notes.gz", b"\x1F\x8B");
        let (done, wishes) = press(&mut Dropped::new(&file, Room::Free), &[&[], &[], &[egui::Key::Enter]]);
        assert!(done && wishes.drops.is_empty() && wishes.asks.is_empty());
    }
}
