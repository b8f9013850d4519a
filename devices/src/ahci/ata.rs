//! The commands of a hard disk (ATA8-ACS, 7).

use super::command::{Task, Transfer};
use super::drive::{ABRT, Drive, IDNF, Outcome, QueuedError, UNC, Unit};
use super::identify::{MULTIPLE_MAX, identity};
use crate::disk::SECTOR;

const IDENTIFY_DEVICE: u8 = 0xec;
pub(super) const SET_FEATURES: u8 = 0xef;
const READ_LOG_EXT: u8 = 0x2f;
const READ_LOG_DMA_EXT: u8 = 0x47;
const SET_MULTIPLE: u8 = 0xc6;
const SMART: u8 = 0xb0;
pub(super) const CHECK_POWER: u8 = 0xe5;
pub(super) const FLUSH: u8 = 0xe7;
const FLUSH_EXT: u8 = 0xea;
const READ_FPDMA: u8 = 0x60;
const WRITE_FPDMA: u8 = 0x61;

/// The drive is addressed by LBA.
const DEVICE_LBA: u8 = 0x40;
/// A drive that is active or idle, for CHECK POWER MODE.
const POWER_ACTIVE: u16 = 0xff;
/// What SMART's commands carry in the middle of the LBA.
const SMART_KEY: u64 = 0xc2_4f00;
/// Log of queued commands that failed.
const LOG_QUEUED_ERROR: u64 = 0x10;

/// Where a command reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read { pio: bool },
    Write,
    Verify,
}

/// Sectors a command is about.
struct Extent {
    first: u64,
    sectors: u64,
}

impl Extent {
    fn lies_on(&self, unit: &Unit) -> bool {
        self.first.checked_add(self.sectors).is_some_and(|end| end <= unit.config.sectors)
    }

    fn bytes(&self) -> (u64, u64) {
        (self.first * SECTOR, self.sectors * SECTOR)
    }
}

/// Whether a command is one of those that queue.
pub(super) fn is_queued(command: u8) -> bool {
    matches!(command, READ_FPDMA | WRITE_FPDMA)
}

/// Tag of a queued command.
pub(super) fn tag(task: &Task) -> u8 {
    (task.count >> 3) as u8 & 31
}

fn kind(command: u8) -> Option<Kind> {
    Some(match command {
        0x20 | 0x21 | 0x24 | 0x29 | 0xc4 => Kind::Read { pio: true },
        0x25 | 0xc8 | 0xc9 | READ_FPDMA => Kind::Read { pio: false },
        0x30 | 0x31 | 0x34 | 0x39 | 0xc5 | 0xce | 0x35 | 0x3d | 0xca | 0xcb | WRITE_FPDMA => Kind::Write,
        0x40..=0x42 => Kind::Verify,
        _ => return None,
    })
}

/// Commands whose sector number has 48 bits.
fn is_wide(command: u8) -> bool {
    matches!(command, 0x24 | 0x25 | 0x29 | 0x34 | 0x35 | 0x39 | 0x3d | 0x42 | 0xce) || is_queued(command)
}

fn extent(task: &Task) -> Option<Extent> {
    if task.device & DEVICE_LBA == 0 {
        return None;
    }
    let count = if is_queued(task.command) { task.features } else { task.count };
    let (first, count, most) = if is_wide(task.command) {
        (task.lba, u64::from(count), 1 << 16)
    } else {
        let high = u64::from(task.device & 0xf) << 24;
        (task.lba & 0xff_ffff | high, u64::from(count & 0xff), 1 << 8)
    };
    Some(Extent { first, sectors: if count == 0 { most } else { count } })
}

/// Bytes a command moves, for the time it takes, and whether it writes them.
pub(super) fn load(task: &Task) -> Option<(u64, bool)> {
    let kind = kind(task.command)?;
    Some((extent(task)?.sectors * SECTOR, kind == Kind::Write))
}

/// Whether a command empties the cache.
pub(super) fn is_flush(command: u8) -> bool {
    matches!(command, FLUSH | FLUSH_EXT)
}

/// Carries a command out.
pub(super) fn carry_out(drive: &mut Drive, unit: &Unit, task: &Task, transfer: &mut Transfer) -> Outcome {
    if let Some(kind) = kind(task.command) {
        return access(kind, unit, task, transfer);
    }
    match task.command {
        IDENTIFY_DEVICE => {
            transfer.give(&identity(unit, drive));
            Outcome::pio_in(task)
        }
        SET_FEATURES => set_features(drive, task),
        SET_MULTIPLE => set_multiple(drive, task),
        // What landed is on the disk.
        FLUSH | FLUSH_EXT => Outcome::done(task),
        READ_LOG_EXT | READ_LOG_DMA_EXT => read_log(drive, task, transfer),
        SMART => smart(drive, task, transfer),
        CHECK_POWER => Outcome { count: POWER_ACTIVE, ..Outcome::done(task) },
        // Power modes, in which nothing changes, and INITIALIZE DEVICE PARAMETERS.
        0xe0..=0xe3 | 0xe6 | 0x91 => Outcome::done(task),
        _ => Outcome::failed(task, ABRT),
    }
}

fn access(kind: Kind, unit: &Unit, task: &Task, transfer: &mut Transfer) -> Outcome {
    let Some(extent) = extent(task) else { return Outcome::failed(task, ABRT) };
    if !extent.lies_on(unit) {
        return Outcome::failed(task, IDNF);
    }
    let (at, len) = extent.bytes();
    match kind {
        Kind::Read { pio } => match transfer.read_disk(unit.disk, at, len) {
            Ok(()) if pio => Outcome::pio_in(task),
            Ok(()) => Outcome::done(task),
            Err(here) => Outcome { lba: here / SECTOR, ..Outcome::failed(task, UNC) },
        },
        Kind::Write if unit.config.read_only => Outcome::failed(task, ABRT),
        Kind::Write => match transfer.write_disk(unit.disk, at, len) {
            Ok(()) => Outcome::done(task),
            Err(here) => Outcome { lba: here / SECTOR, ..Outcome::write_fault(task) },
        },
        Kind::Verify => Outcome::done(task),
    }
}

/// SET FEATURES (7.45), of disks and CDs.
pub(super) fn set_features(drive: &mut Drive, task: &Task) -> Outcome {
    let mode = task.count as u8;
    match task.features as u8 {
        0x02 => drive.write_cache = true,
        0x82 => drive.write_cache = false,
        0xaa => drive.look_ahead = true,
        0x55 => drive.look_ahead = false,
        0x03 if matches!(mode, 0 | 1 | 8..=12 | 0x20..=0x22 | 0x40..=0x46) => drive.mode = mode,
        // Whether a soft reset brings the defaults back: here it does.
        0x66 | 0xcc => {}
        _ => return Outcome::failed(task, ABRT),
    }
    Outcome::done(task)
}

fn set_multiple(drive: &mut Drive, task: &Task) -> Outcome {
    let sectors = task.count as u8;
    if sectors > MULTIPLE_MAX || (sectors != 0 && !sectors.is_power_of_two()) {
        return Outcome::failed(task, ABRT);
    }
    drive.multiple = sectors;
    Outcome::done(task)
}

/// READ LOG EXT: the directory, and the queued command that failed (7.27, A.12).
fn read_log(drive: &mut Drive, task: &Task, transfer: &mut Transfer) -> Outcome {
    let (log, page) = (task.lba & 0xff, task.lba >> 8 & 0xff | task.lba >> 24 & 0xff00);
    if task.count != 1 || page != 0 {
        return Outcome::failed(task, ABRT);
    }
    let mut bytes = [0u8; SECTOR as usize];
    match log {
        0 => {
            bytes[0] = 1;
            bytes[LOG_QUEUED_ERROR as usize * 2] = 1;
        }
        LOG_QUEUED_ERROR => queued_error(&mut bytes, drive.queued_error.take()),
        _ => return Outcome::failed(task, ABRT),
    }
    transfer.give(&bytes);
    if task.command == READ_LOG_EXT { Outcome::pio_in(task) } else { Outcome::done(task) }
}

fn queued_error(bytes: &mut [u8; SECTOR as usize], failed: Option<QueuedError>) {
    // No queued command failed.
    const NONE: u8 = 0x80;
    match failed {
        None => bytes[0] = NONE,
        Some(failed) => {
            let lba = failed.lba.to_le_bytes();
            (bytes[0], bytes[2], bytes[3]) = (failed.tag, failed.status, failed.error);
            bytes[4..7].copy_from_slice(&lba[..3]);
            bytes[7] = failed.device;
            bytes[8..11].copy_from_slice(&lba[3..6]);
            bytes[12..14].copy_from_slice(&failed.count.to_le_bytes());
        }
    }
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[511] = sum.wrapping_neg();
}

/// SMART: a drive that is well (7.53).
fn smart(drive: &mut Drive, task: &Task, transfer: &mut Transfer) -> Outcome {
    const ENABLE: u8 = 0xd8;
    let operation = task.features as u8;
    if task.lba & 0xff_ff00 != SMART_KEY || (!drive.smart && operation != ENABLE) {
        return Outcome::failed(task, ABRT);
    }
    match operation {
        // Attributes and thresholds: none, version 1.
        0xd0 | 0xd1 => {
            let mut bytes = [0u8; SECTOR as usize];
            (bytes[0], bytes[511]) = (1, 0xff);
            transfer.give(&bytes);
            return Outcome::pio_in(task);
        }
        // Autosave, self-tests, which find nothing, and RETURN STATUS: no threshold is exceeded.
        0xd2 | 0xd4 | 0xda => {}
        ENABLE => drive.smart = true,
        0xd9 => drive.smart = false,
        _ => return Outcome::failed(task, ABRT),
    }
    Outcome::done(task)
}
