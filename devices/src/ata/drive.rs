//! A drive: what it is, what it remembers between commands, and how a command ends.

use super::media::MediaEvent;
use super::task::Task;
use crate::disk::{DiskConfig, SECTOR};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Status register.
pub(crate) const BSY: u8 = 0x80;
pub(crate) const DRDY: u8 = 0x40;
const DEVICE_FAULT: u8 = 0x20;
const DSC: u8 = 0x10;
pub(crate) const DRQ: u8 = 0x08;
pub(crate) const ERR: u8 = 0x01;
/// Status of a drive that waits for commands.
pub(crate) const READY: u8 = DRDY | DSC;

/// Error register.
pub(crate) const ABRT: u8 = 0x04;
pub(crate) const IDNF: u8 = 0x10;
pub(crate) const UNC: u8 = 0x40;

/// Bytes of a CD's block.
pub(crate) const BLOCK: u64 = 2048;

/// A disk or CD at a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Which of the machine's disks it is.
    pub disk: u8,
    pub config: DiskConfig,
}

impl Unit {
    pub fn is_cd(&self) -> bool {
        self.config.interface.is_cd()
    }

    /// Whether it is a serial ATA drive.
    pub fn is_serial(&self) -> bool {
        self.config.interface.is_at_ahci()
    }

    /// Whether anything is in it.
    pub fn has_medium(&self) -> bool {
        self.config.sectors != 0
    }

    /// Blocks of a CD.
    pub fn blocks(&self) -> u64 {
        (self.config.sectors * SECTOR).div_ceil(BLOCK)
    }

    /// What the drive's registers say after a reset: LBA and count (ATA8-ACS, 7.1 signature).
    pub fn signature(&self) -> (u64, u16) {
        (if self.is_cd() { 0xeb_1401 } else { 0x00_0001 }, 1)
    }

    /// Status after a reset: a packet device is not ready for other commands than its own.
    pub fn reset_status(&self) -> u8 {
        if self.is_cd() { 0 } else { READY }
    }
}

/// Why a packet command failed (SPC-3, 4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Sense {
    pub key: u8,
    /// Additional sense code and its qualifier.
    pub code: u8,
    pub qualifier: u8,
}

/// A queued command that failed, for the log that tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct QueuedError {
    pub tag: u8,
    pub status: u8,
    pub error: u8,
    pub lba: u64,
    pub count: u16,
    pub device: u8,
}

/// What a drive remembers. All of it comes back with a reset, but for the tray.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Drive {
    pub write_cache: bool,
    pub look_ahead: bool,
    pub smart: bool,
    /// Sectors of READ MULTIPLE and WRITE MULTIPLE; 0 before SET MULTIPLE MODE.
    pub multiple: u8,
    /// Heads and sectors of a track that CHS addresses are made of.
    pub heads: u8,
    pub track: u8,
    /// Transfer mode of SET FEATURES.
    pub mode: u8,
    pub queued_error: Option<QueuedError>,
    pub sense: Sense,
    /// A unit attention that has not been told.
    pub attention: Option<Sense>,
    pub tray_open: bool,
    pub tray_locked: bool,
    /// What happened to its medium last, until the host is told.
    pub event: Option<MediaEvent>,
}

/// What CHS addresses are made of, unless the host says otherwise.
pub(crate) const HEADS: u8 = 16;
pub(crate) const TRACK: u8 = 63;

/// Ultra DMA mode 6.
pub(crate) const MODE_DEFAULT: u8 = 0x46;

impl Drive {
    pub fn new() -> Self {
        Self {
            write_cache: true,
            look_ahead: true,
            smart: true,
            multiple: 0,
            heads: HEADS,
            track: TRACK,
            mode: MODE_DEFAULT,
            queued_error: None,
            sense: Sense::default(),
            // Power on, reset, or bus device reset.
            attention: Some(Sense { key: 6, code: 0x29, qualifier: 0 }),
            tray_open: false,
            tray_locked: false,
            event: None,
        }
    }

    /// As it is after a reset, which moves no tray.
    pub fn after_reset(&self) -> Self {
        Self { tray_open: self.tray_open, ..Self::new() }
    }

    /// Whether a drive can come to this.
    pub fn is_possible(&self) -> bool {
        (1..=HEADS).contains(&self.heads) && self.track != 0
    }
}

/// How data goes, which decides what FISes the drive sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// None, or by DMA.
    Plain,
    /// Programmed data to the host.
    PioIn,
    /// The same, with a register FIS behind it: a packet command.
    PacketIn,
}

/// How a command ended: the registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub status: u8,
    pub error: u8,
    pub lba: u64,
    pub count: u16,
    pub device: u8,
    pub protocol: Protocol,
}

impl Outcome {
    pub fn done(task: &Task) -> Self {
        let (lba, device) = (task.lba, task.device);
        Self { status: READY, error: 0, lba, count: 0, device, protocol: Protocol::Plain }
    }

    pub fn pio_in(task: &Task) -> Self {
        Self { protocol: Protocol::PioIn, ..Self::done(task) }
    }

    pub fn failed(task: &Task, error: u8) -> Self {
        Self { status: READY | ERR, error, ..Self::done(task) }
    }

    /// The medium cannot be written.
    pub fn write_fault(task: &Task) -> Self {
        Self { status: READY | DEVICE_FAULT | ERR, error: ABRT, ..Self::done(task) }
    }
}
