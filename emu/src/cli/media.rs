//! Media that other programs have put into drives and taken out of them.

use super::host::SessionHost;
use super::session::Session;
use crate::control::{Call, Method};
use crate::disk::{Access, Base, DiskError, Format, Purpose};
use crate::machine::{Drive, Ejection, Machine, MediumRefusal};
use amber_mmu::PAGE;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// What a drive is to have in it.
enum Want {
    Nothing,
    Medium {
        base: Arc<Base>,
        read_only: bool,
    },
    /// The same, when another thread has opened the image: the first time it is read as a whole.
    Image {
        base: Receiver<Result<Arc<Base>, DiskError>>,
        read_only: bool,
    },
}

/// A wish that an image has to be opened for, or the guest to let go of a medium, and the program that waits.
struct Pending {
    disk: u8,
    want: Want,
    call: Call,
}

/// What waits, and is done as soon as it can be.
#[derive(Default)]
pub struct Changing {
    waiting: Vec<Pending>,
}

impl Changing {
    /// Another machine is there, or the same at another time; `why` says which.
    pub fn forget(&mut self, why: &str) {
        for Pending { call, .. } in self.waiting.drain(..) {
            call.answer(Err(format!("{why} before the medium was changed")));
        }
    }

    /// Whether the guest was asked for the medium of a drive.
    fn asks_for(&self, disk: u8) -> bool {
        self.waiting.iter().any(|pending| pending.disk == disk && !matches!(pending.want, Want::Image { .. }))
    }

    /// A newer wish for a drive takes the place of what was wanted before.
    fn replace(&mut self, disk: u8, name: &str) {
        let (older, others) =
            std::mem::take(&mut self.waiting).into_iter().partition(|pending| pending.disk == disk);
        self.waiting = others;
        for Pending { call, .. } in older {
            call.answer(Err(format!("something else was asked of {name} meanwhile")));
        }
    }
}

/// The drive of that name.
fn named(machine: &Machine, name: &str) -> Result<Drive> {
    let drives = machine.drives();
    match drives.iter().find(|drive| drive.name == name) {
        Some(drive) => Ok(drive.clone()),
        None if drives.is_empty() => {
            bail!(
                "there is no drive {name}: this machine has none; --cdrom none or --floppy none gives it an empty one"
            )
        }
        None => {
            let names = drives.iter().map(|drive| &*drive.name).collect::<Vec<_>>().join(", ");
            bail!("there is no drive {name}; this machine has {names}")
        }
    }
}

/// Opens an image on another thread, and wakes the machine's.
fn open_beside(file: PathBuf, host: &SessionHost) -> Receiver<Result<Arc<Base>, DiskError>> {
    let (sender, receiver) = channel();
    let wake = host.waker();
    std::thread::spawn(move || {
        let access = Access { format: Some(Format::Raw), purpose: Purpose::Read };
        // Who asked may have gone.
        let _ = sender.send(Base::open_as(&file, access));
        wake();
    });
    receiver
}

impl Session<'_> {
    /// Writes a medium to a file, while the machine goes on. Other calls come back.
    pub(super) fn export_medium(&self, call: Call) -> Option<Call> {
        let Method::MediaExport { drive, file } = &call.method else { return Some(call) };
        let medium = named(self.machine, drive).and_then(|drive| {
            let empty = MediumRefusal::Empty(drive.name);
            Ok(self.machine.medium(drive.disk).ok_or(empty)?)
        });
        match medium {
            Ok(medium) => {
                let (drive, file) = (drive.clone(), file.clone());
                std::thread::spawn(move || {
                    let written = medium.write_to(&file);
                    let answer = written.map(|bytes| json!({ "drive": drive, "file": file, "bytes": bytes }));
                    call.answer(answer.map_err(|error| error.to_string()));
                });
            }
            Err(error) => call.answer(Err(error.to_string())),
        }
        None
    }

    /// Changes the medium of a drive; the answer comes when the guest has let go of what is in there. Other calls come back.
    pub(super) fn change_medium(&mut self, call: Call, host: &mut SessionHost) -> Option<Call> {
        let wish = match &call.method {
            Method::Eject { drive, force } => {
                named(self.machine, drive).map(|drive| (drive, Want::Nothing, *force))
            }
            Method::Insert { drive, file, read_only } => named(self.machine, drive).map(|drive| {
                let base = open_beside(file.clone(), host);
                (drive, Want::Image { base, read_only: *read_only }, false)
            }),
            _ => return Some(call),
        };
        match wish {
            Ok((drive, want, force)) => {
                self.changing.replace(drive.disk, &drive.name);
                self.change(&drive, want, force, call, host);
            }
            Err(error) => call.answer(Err(error.to_string())),
        }
        None
    }

    /// Does it, or waits for what it takes.
    fn change(&mut self, drive: &Drive, want: Want, force: bool, call: Call, host: &mut SessionHost) {
        let (disk, want) = match self.opened(drive.disk, want) {
            Ok(want) => (drive.disk, want),
            Err(why) => return call.answer(Err(why)),
        };
        let outcome = match &want {
            Want::Image { .. } => Ok(Ejection::Asked),
            Want::Medium { base, read_only } if !drive.is_held() => {
                self.machine.insert(host, disk, base, *read_only).map(|()| Ejection::Out)
            }
            _ => self.machine.eject(host, disk, force),
        };
        match outcome {
            Ok(Ejection::Out) => call.answer(Ok(self.changed(&drive.name))),
            Ok(Ejection::Asked) => self.changing.waiting.push(Pending { disk, want, call }),
            Err(refusal) => call.answer(Err(refusal.to_string())),
        }
    }

    /// What is wanted, with its image if that has been opened by now.
    fn opened(&self, disk: u8, want: Want) -> Result<Want, String> {
        let Want::Image { base, read_only } = want else { return Ok(want) };
        let base = match base.try_recv() {
            Ok(opened) => opened.map_err(|error| error.to_string())?,
            Err(TryRecvError::Empty) => return Ok(Want::Image { base, read_only }),
            Err(TryRecvError::Disconnected) => return Err("the image could not be opened".to_owned()),
        };
        match self.machine.check_insert(disk, &base) {
            Ok(()) | Err(MediumRefusal::Held(_)) => Ok(Want::Medium { base, read_only }),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    /// Changes media whose images are open by now, and that the guest has let go of.
    pub(super) fn change_waiting(&mut self, host: &mut SessionHost) {
        for Pending { disk, want, call } in std::mem::take(&mut self.changing.waiting) {
            let drive = self.machine.drives().into_iter().find(|drive| drive.disk == disk);
            let asked = !matches!(want, Want::Image { .. });
            match drive {
                Some(drive) if asked && drive.is_held() => {
                    self.changing.waiting.push(Pending { disk, want, call });
                }
                Some(drive) => self.change(&drive, want, false, call, host),
                None => call.answer(Err("the drive is gone".to_owned())),
            }
        }
    }

    fn changed(&self, name: &str) -> Value {
        json!({ "drive": name, "step": self.machine.step() })
    }

    pub(super) fn media(&self) -> Value {
        let drives = self.machine.drives().into_iter().map(|drive| {
            let medium = drive.medium.as_ref().map(|image| {
                let (file, bytes) = (&image.path, image.len);
                json!({ "file": file, "bytes": bytes, "read-only": drive.read_only, "written": drive.written * PAGE })
            });
            let mut what = json!({
                "drive": drive.name,
                "interface": drive.interface.name(),
                "region": format!("disk{}", drive.disk),
                "medium": medium,
                "asked": self.changing.asks_for(drive.disk),
            });
            if let Some(tray) = drive.tray {
                what["tray"] = json!(if tray.open { "open" } else { "closed" });
                what["held"] = json!(drive.is_held());
            }
            what
        });
        json!({ "drives": drives.collect::<Vec<_>>() })
    }
}
