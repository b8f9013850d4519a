//! Media that come and go: what is put into drives and taken out of them.

use crate::ata::media::{CdDrives, Tray};
use crate::device::{DeviceCtx, Dma};
use crate::disk::MediumConfig;
use crate::pci::Attached;
use crate::platform::{ConfigError, Platform};

/// Why a drive does not take a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The machine's disk is none in a drive.
    #[error("it is no drive whose medium could be changed")]
    NoDrive,
    /// It is no diskette, or one for another drive.
    #[error(
        "{} bytes are no diskette for this drive: one of 720, 1440 or 2880 KiB takes those of its size and smaller ones of 3.5 \
         inches, one of 360 or 1200 KiB those of its size alone",
        .0 * crate::disk::SECTOR
    )]
    Diskette(u64),
    /// There is nothing on it, or more than a disk can have.
    #[error("a medium has at least one sector, and at most 2^54")]
    Sectors,
}

impl Platform {
    /// Whether a drive takes a medium.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_medium(&self, disk: u8, medium: &MediumConfig) -> Result<(), Misfit> {
        if !medium.has_sectors() {
            return Err(Misfit::Sectors);
        }
        let takes = self.floppy.as_ref().and_then(|floppy| floppy.takes(disk, medium.sectors));
        match (takes, self.tray(disk)) {
            (Some(false), _) => Err(Misfit::Diskette(medium.sectors)),
            (None, None) => Err(Misfit::NoDrive),
            _ => Ok(()),
        }
    }

    /// How the tray of a CD drive stands; none of another disk.
    pub fn tray(&self, disk: u8) -> Option<Tray> {
        self.pci.attached.iter().filter_map(Attached::as_cd_drives).find_map(|drives| drives.tray(disk))
    }

    /// A person puts a medium, which fits, into a drive: what was in it is taken out before. The guest is told as the
    /// drive tells.
    pub fn insert(&mut self, dma: &mut dyn Dma, disk: u8, medium: &MediumConfig) {
        self.hold_diskette(disk, Some(medium));
        self.change_cd(dma, disk, |drives, cx| drives.insert(cx, disk, medium));
    }

    /// A person takes the medium out of a drive, whose tray stays open.
    pub fn take_out(&mut self, dma: &mut dyn Dma, disk: u8) {
        self.hold_diskette(disk, None);
        self.change_cd(dma, disk, |drives, cx| drives.take_out(cx, disk));
    }

    /// A person presses the button of a drive whose tray the guest holds.
    pub fn ask_for_medium(&mut self, disk: u8) {
        if let Some(cd) = self.cd_drives().find_map(|drives| drives.cd(disk)) {
            cd.drive.ask_for_medium();
        }
    }

    /// What is in the drives of a platform that is built.
    pub(crate) fn load(&mut self, media: &[(u8, Option<MediumConfig>)]) -> Result<(), ConfigError> {
        for (disk, medium) in media {
            let fits = medium.as_ref().map_or(Ok(()), |medium| self.check_medium(*disk, medium));
            fits.map_err(|why| ConfigError::Medium { disk: *disk, why })?;
            self.hold_diskette(*disk, medium.as_ref());
            if let Some(cd) = self.cd_drives().find_map(|drives| drives.cd(*disk)) {
                cd.unit.config.hold(medium.as_ref());
            }
        }
        Ok(())
    }

    fn hold_diskette(&mut self, disk: u8, medium: Option<&MediumConfig>) {
        if let Some(floppy) = &mut self.floppy {
            floppy.hold(disk, medium);
        }
    }

    fn cd_drives(&mut self) -> impl Iterator<Item = &mut dyn CdDrives> {
        self.pci.attached.iter_mut().filter_map(Attached::as_cd_drives_mut)
    }

    fn change_cd(
        &mut self,
        dma: &mut dyn Dma,
        disk: u8,
        change: impl FnOnce(&mut dyn CdDrives, &mut DeviceCtx),
    ) {
        let Self { clock, irqs, effects, pci, .. } = self;
        let mut drives = pci.attached.iter_mut().filter_map(Attached::as_cd_drives_mut);
        if let Some(drives) = drives.find(|drives| drives.tray(disk).is_some()) {
            change(drives, &mut DeviceCtx { clock, irqs, effects, dma });
        }
        self.settle();
    }
}
