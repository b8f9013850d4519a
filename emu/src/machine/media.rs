//! Media of CD and floppy drives, which come and go while the machine runs. What is in a drive is in a section of its own,
//! which only machines have whose media were changed.

use super::disks::{Attached, DISK_NAMES};
use super::{DiskSpec, HostIo, Machine, MachineSpec, PlacedDisk};
use crate::disk::{self, Base, Disk};
use crate::input::Input;
use amber_devices::{DiskInterface, MediumConfig, Misfit, Tray};
use amber_snapshot::{BaseImage, OwnedSection, Schema, Section, SectionError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A medium. Its image is known by its contents: where it is does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct MediumSpec {
    /// Bytes of the base image.
    pub len: u64,
    /// blake3 of the base image.
    pub hash: [u8; 32],
    /// The guest cannot write it.
    pub read_only: bool,
}

/// What is in a drive now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct DriveSpec {
    /// Number of the disk.
    pub disk: u8,
    pub medium: Option<MediumSpec>,
}

/// What is in the drives whose media were changed since the machine was built. The section `media`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Media {
    /// By number.
    pub(super) drives: Vec<DriveSpec>,
}

impl Section for Media {
    const KIND: &'static str = "media";
    const VERSION: u32 = 1;
}

impl Media {
    pub(super) const PATH: &'static str = "media";

    /// Those of a machine's sections.
    ///
    /// # Errors
    /// When the section is not one this build reads, or not one a machine has.
    pub(super) fn of(sections: &[OwnedSection]) -> Result<Self, SectionError> {
        let Some(section) = sections.iter().find(|section| section.path == Self::PATH) else {
            return Ok(Self::default());
        };
        let own = Self::from_section(section)?;
        let ordered = own.drives.windows(2).all(|pair| pair[0].disk < pair[1].disk);
        if own.drives.is_empty() || !ordered {
            return Err(own.refuse(format!("{} of them", own.drives.len())));
        }
        Ok(own)
    }

    pub(super) fn to_section(&self) -> Option<OwnedSection> {
        (!self.drives.is_empty()).then(|| Section::to_section(self, Self::PATH))
    }

    /// What a stored machine cannot have. The media themselves are looked at with all disks.
    pub(super) fn check(&self, spec: &MachineSpec) -> Result<(), SectionError> {
        let drive = |own: &DriveSpec| spec.disks.get(usize::from(own.disk)).is_some_and(DiskSpec::is_drive);
        let medium = |own: &DriveSpec| own.medium.as_ref().is_none_or(|medium| medium.len != 0);
        match self.drives.iter().find(|own| !drive(own) || !medium(own)) {
            Some(own) => Err(self.refuse(format!("disk {}", own.disk))),
            None => Ok(()),
        }
    }

    fn refuse(&self, value: String) -> SectionError {
        SectionError::Value { path: Self::PATH.to_owned(), field: "drives", value }
    }

    /// The chipset's part.
    pub(super) fn chipset(&self) -> Vec<(u8, Option<MediumConfig>)> {
        self.drives.iter().map(|own| (own.disk, own.medium.as_ref().map(MediumSpec::device))).collect()
    }

    /// Says of `disks` what is in them now.
    pub(super) fn apply(&self, disks: &mut [PlacedDisk]) {
        for own in &self.drives {
            let Some(disk) = disks.iter_mut().find(|disk| disk.n == own.disk) else { continue };
            disk.spec.hold(own.medium.as_ref());
        }
    }

    /// The medium of a drive, if it was changed.
    pub(super) fn get_mut(&mut self, disk: u8) -> Option<&mut MediumSpec> {
        self.drives.iter_mut().find(|own| own.disk == disk)?.medium.as_mut()
    }

    fn set(&mut self, disk: u8, medium: Option<MediumSpec>) {
        match self.drives.binary_search_by_key(&disk, |own| own.disk) {
            Ok(at) => self.drives[at].medium = medium,
            Err(at) => self.drives.insert(at, DriveSpec { disk, medium }),
        }
    }
}

impl MediumSpec {
    fn device(&self) -> MediumConfig {
        MediumConfig { sectors: disk::sectors(self.len), read_only: self.read_only }
    }
}

/// What is done to a drive. What the input log has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediumChange {
    /// A medium over this image comes into the drive of a disk; what was in it is taken out.
    Insert { disk: u8, image: BaseImage, read_only: bool },
    /// The medium is taken out, or, if the guest holds it and it is not forced, asked for.
    Eject { disk: u8, force: bool },
}

/// What came of the wish to take a medium out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejection {
    Out,
    /// The guest holds it, and was asked for it.
    Asked,
}

/// Why a medium is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediumRefusal {
    #[error("{0}: {1}")]
    Misfit(String, Misfit),
    #[error("disk {0} is in no drive")]
    NoDrive(u8),
    #[error("there is nothing in {0}")]
    Empty(String),
    #[error("the guest holds the tray of {0}; eject it first")]
    Held(String),
    #[error(
        "{0}: write-through is for disks that stay; leave it out for a medium that is put in while the machine runs"
    )]
    WrittenThrough(String),
    #[error("{0}")]
    Image(String),
}

/// A drive for media, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// `cd0`, `floppy1`: by kind, in the order the machine was given them.
    pub name: String,
    /// Number of the disk.
    pub disk: u8,
    pub interface: DiskInterface,
    /// The image of its medium.
    pub medium: Option<BaseImage>,
    /// The guest cannot write it.
    pub read_only: bool,
    /// Blocks of it that the guest wrote.
    pub written: u64,
    /// How its tray stands, if it has one.
    pub tray: Option<Tray>,
}

impl Machine {
    /// The drives for media.
    pub fn drives(&self) -> Vec<Drive> {
        let (mut cds, mut floppies) = (0.., 0..);
        let all = self.placed_disks().into_iter();
        all.filter_map(|placed| {
            let interface = DiskInterface::named(&placed.spec.interface)?;
            let (kind, n) = match interface.is_removable() {
                true if interface.is_cd() => ("cd", cds.next()?),
                true => ("floppy", floppies.next()?),
                false => return None,
            };
            let attached = self.disks.iter().find(|attached| attached.n() == placed.n);
            Some(Drive {
                name: format!("{kind}{n}"),
                disk: placed.n,
                interface,
                medium: attached.map(|attached| attached.disk.base().image()),
                read_only: placed.spec.read_only,
                written: attached.map_or(0, |attached| attached.disk.written()),
                tray: self.platform.tray(placed.n),
            })
        })
        .collect()
    }

    /// The medium in the drive of a disk, as it is now: what is written later it does not have.
    pub fn medium(&self, disk: u8) -> Option<Disk> {
        self.disks.iter().find(|attached| attached.n() == disk).map(|attached| attached.disk.clone())
    }

    fn drive(&self, disk: u8) -> Result<Drive, MediumRefusal> {
        let found = self.drives().into_iter().find(|drive| drive.disk == disk);
        found.ok_or(MediumRefusal::NoDrive(disk))
    }

    /// Does to a drive what a log has.
    ///
    /// # Errors
    /// When it cannot be done, or the image is missing or another one.
    pub fn change_medium(
        &mut self,
        host: &mut dyn HostIo,
        change: &MediumChange,
    ) -> Result<(), MediumRefusal> {
        match change {
            MediumChange::Insert { disk, image, read_only } => {
                let name = self.drive(*disk)?.name;
                let known = self.inserted.iter().find(|base| base.image() == *image).cloned();
                let base = known.map_or_else(|| Base::of_snapshot(image, None, &name), Ok);
                let base = base.map_err(|error| MediumRefusal::Image(error.to_string()))?;
                self.insert(host, *disk, &base, *read_only)
            }
            MediumChange::Eject { disk, force } => self.eject(host, *disk, *force).map(drop),
        }
    }

    /// Whether a medium could be put into the drive of a disk now.
    ///
    /// # Errors
    /// When it does not fit, or the guest holds the one that is in there.
    pub fn check_insert(&self, disk: u8, base: &Base) -> Result<(), MediumRefusal> {
        let drive = self.drive(disk)?;
        if base.is_written_through() {
            return Err(MediumRefusal::WrittenThrough(drive.name));
        }
        let config = MediumConfig { sectors: disk::sectors(base.len()), read_only: true };
        match self.platform.check_medium(disk, &config) {
            Err(why) => Err(MediumRefusal::Misfit(drive.name, why)),
            Ok(()) if drive.is_held() => Err(MediumRefusal::Held(drive.name)),
            Ok(()) => Ok(()),
        }
    }

    /// Puts a medium into the drive of a disk, in place of what is there. An input: the log has it, with the identity of
    /// its image.
    ///
    /// # Errors
    /// As [`Self::check_insert`].
    pub fn insert(
        &mut self,
        host: &mut dyn HostIo,
        disk: u8,
        base: &Arc<Base>,
        read_only: bool,
    ) -> Result<(), MediumRefusal> {
        self.check_insert(disk, base)?;
        let read_only = read_only || self.drive(disk)?.interface.is_cd();
        if !self.inserted.iter().any(|known| Arc::ptr_eq(known, base)) {
            self.inserted.push(Arc::clone(base));
        }
        let image = base.image();
        self.note(host, Input::Medium(MediumChange::Insert { disk, image, read_only }));
        let medium = MediumSpec { len: base.len(), hash: base.hash(), read_only };
        let config = medium.device();
        self.equipment.media.set(disk, Some(medium));
        self.disks.retain(|attached| attached.n() != disk);
        self.disks.push(Attached::new(DISK_NAMES[usize::from(disk)], Disk::new(Arc::clone(base))));
        self.disks.sort_by_key(Attached::n);
        self.with_dma(|platform, dma| platform.insert(dma, disk, &config));
        self.settle(host, true);
        Ok(())
    }

    /// Takes the medium out of the drive of a disk; one that the guest holds is asked for, unless it is `force`d out. What
    /// the guest wrote to it goes with it. An input.
    ///
    /// # Errors
    /// When there is none.
    pub fn eject(&mut self, host: &mut dyn HostIo, disk: u8, force: bool) -> Result<Ejection, MediumRefusal> {
        let drive = self.drive(disk)?;
        if drive.medium.is_none() {
            return Err(MediumRefusal::Empty(drive.name));
        }
        self.note(host, Input::Medium(MediumChange::Eject { disk, force }));
        if drive.is_held() && !force {
            self.platform.ask_for_medium(disk);
            return Ok(Ejection::Asked);
        }
        self.equipment.media.set(disk, None);
        self.with_dma(|platform, dma| platform.take_out(dma, disk));
        self.disks.retain(|attached| attached.n() != disk);
        self.settle(host, true);
        Ok(Ejection::Out)
    }
}

impl Drive {
    /// Whether the guest keeps its tray closed over a medium.
    pub fn is_held(&self) -> bool {
        self.medium.is_some() && self.tray.is_some_and(|tray| tray.locked && !tray.open)
    }
}
