//! The tray of a CD drive, and what the host is told of media that come and go (MMC-5, 6.6; SPC-3, 5.5).

use super::drive::{Drive, Sense, Unit};
use super::packet::NOT_READY;
use crate::device::DeviceCtx;
use crate::disk::MediumConfig;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Not ready to ready change, medium may have changed.
const MEDIUM_CHANGED: Sense = Sense { key: 6, code: 0x28, qualifier: 0 };

/// Medium not present, tray open or closed.
pub(crate) fn no_medium(tray_open: bool) -> Sense {
    Sense { key: NOT_READY, code: 0x3a, qualifier: if tray_open { 2 } else { 1 } }
}

/// What GET EVENT STATUS NOTIFICATION tells of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) enum MediaEvent {
    /// Somebody wants it out.
    EjectRequest,
    NewMedia,
    MediaRemoval,
}

impl MediaEvent {
    pub fn code(self) -> u8 {
        match self {
            Self::EjectRequest => 1,
            Self::NewMedia => 2,
            Self::MediaRemoval => 3,
        }
    }
}

/// How the tray of a CD drive stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tray {
    pub open: bool,
    /// The guest prevents removal.
    pub locked: bool,
}

impl Drive {
    pub fn tray(&self) -> Tray {
        Tray { open: self.tray_open, locked: self.tray_locked }
    }

    /// Whether there is a medium that can be read.
    pub fn has_loaded(&self, unit: &Unit) -> bool {
        !self.tray_open && unit.has_medium()
    }

    /// The tray opens, with what is in it.
    pub fn open_tray(&mut self, unit: &Unit) {
        if self.has_loaded(unit) {
            self.event = Some(MediaEvent::MediaRemoval);
        }
        self.tray_open = true;
    }

    /// The tray closes over what is in it.
    pub fn close_tray(&mut self, unit: &Unit) {
        if std::mem::take(&mut self.tray_open) && unit.has_medium() {
            self.tell_of_medium();
        }
    }

    /// There is a medium that was not there before. Who was told of no reset yet takes nothing for granted anyway.
    fn tell_of_medium(&mut self) {
        self.event = Some(MediaEvent::NewMedia);
        self.attention.get_or_insert(MEDIUM_CHANGED);
    }

    /// The tray was closed over another medium.
    fn insert(&mut self) {
        self.tray_open = false;
        self.tell_of_medium();
    }

    /// Somebody wants a medium out that the host holds.
    pub fn ask_for_medium(&mut self) {
        self.event = Some(MediaEvent::EjectRequest);
    }
}

/// A CD drive, and what it is.
pub(crate) struct CdDrive<'a> {
    pub unit: &'a mut Unit,
    pub drive: &'a mut Drive,
}

/// A controller with CD drives.
pub(crate) trait CdDrives {
    /// The drive of one of the machine's disks.
    fn cd(&mut self, disk: u8) -> Option<CdDrive<'_>>;
    /// How its tray stands.
    fn tray(&self, disk: u8) -> Option<Tray>;
    /// What the drive was reading is there no more.
    fn interrupt_reading(&mut self, cx: &mut DeviceCtx, disk: u8);

    /// Somebody opens the tray, puts a medium in, in place of what was there, and closes it.
    fn insert(&mut self, cx: &mut DeviceCtx, disk: u8, medium: &MediumConfig) {
        if let Some(CdDrive { unit, drive }) = self.cd(disk) {
            unit.config.hold(Some(medium));
            drive.insert();
        }
        self.interrupt_reading(cx, disk);
    }

    /// Somebody takes the medium out. The tray stays open.
    fn take_out(&mut self, cx: &mut DeviceCtx, disk: u8) {
        if let Some(CdDrive { unit, drive }) = self.cd(disk) {
            drive.open_tray(unit);
            unit.config.hold(None);
        }
        self.interrupt_reading(cx, disk);
    }
}
