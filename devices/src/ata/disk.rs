//! The commands of a hard disk (ATA8-ACS, 7).

use super::drive::{ABRT, Drive, ERR, IDNF, Outcome, QueuedError, UNC, Unit};
use super::identify::{MULTIPLE_MAX, identity};
use super::task::Task;
use super::transfer::Transfer;
use crate::device::MediumError;
use crate::disk::SECTOR;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const IDENTIFY_DEVICE: u8 = 0xec;
pub(crate) const SET_FEATURES: u8 = 0xef;
const READ_LOG_EXT: u8 = 0x2f;
const READ_LOG_DMA_EXT: u8 = 0x47;
const SET_MULTIPLE: u8 = 0xc6;
const SMART: u8 = 0xb0;
/// Its operations that read.
const SMART_DATA: u8 = 0xd0;
const SMART_THRESHOLDS: u8 = 0xd1;
const INITIALIZE_PARAMETERS: u8 = 0x91;
pub(crate) const CHECK_POWER: u8 = 0xe5;
pub(crate) const FLUSH: u8 = 0xe7;
const FLUSH_EXT: u8 = 0xea;
/// Power modes in which a drive keeps no cache.
const STANDBY_IMMEDIATE: u8 = 0xe0;
const STANDBY: u8 = 0xe2;
const SLEEP: u8 = 0xe6;
const READ_FPDMA: u8 = 0x60;
const WRITE_FPDMA: u8 = 0x61;
const WRITE_DMA_FUA_EXT: u8 = 0x3d;
const WRITE_MULTIPLE_FUA_EXT: u8 = 0xce;
/// Operation of SET FEATURES.
const WRITE_CACHE_OFF: u8 = 0x82;

/// The drive is addressed by LBA.
const DEVICE_LBA: u8 = 0x40;
/// Of a queued command: it ends no sooner than its data is on the medium.
const DEVICE_FUA: u8 = 0x80;
/// A drive that is active or idle, for CHECK POWER MODE.
const POWER_ACTIVE: u16 = 0xff;
/// What SMART's commands carry in the middle of the LBA.
const SMART_KEY: u64 = 0xc2_4f00;
/// Log of queued commands that failed.
const LOG_QUEUED_ERROR: u64 = 0x10;

/// Where a command reads or writes, and whether the host moves the data itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read { pio: bool },
    Write { pio: bool },
    Verify,
}

/// Which way the data of a command goes, and who moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    None,
    PioIn,
    PioOut,
    DmaIn,
    DmaOut,
}

/// Sectors a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Extent {
    pub first: u64,
    pub sectors: u64,
}

impl Extent {
    pub fn lies_on(&self, unit: &Unit) -> bool {
        self.first.checked_add(self.sectors).is_some_and(|end| end <= unit.config.sectors)
    }

    fn bytes(&self) -> (u64, u64) {
        (self.first * SECTOR, self.sectors * SECTOR)
    }
}

/// Whether a command is one of those that queue.
pub(crate) fn is_queued(command: u8) -> bool {
    matches!(command, READ_FPDMA | WRITE_FPDMA)
}

/// Tag of a queued command.
pub(crate) fn tag(task: &Task) -> u8 {
    (task.count >> 3) as u8 & 31
}

fn kind(command: u8) -> Option<Kind> {
    Some(match command {
        0x20 | 0x21 | 0x24 | 0x29 | 0xc4 => Kind::Read { pio: true },
        0x25 | 0xc8 | 0xc9 | READ_FPDMA => Kind::Read { pio: false },
        0x30 | 0x31 | 0x34 | 0x39 | 0xc5 | WRITE_MULTIPLE_FUA_EXT => Kind::Write { pio: true },
        0x35 | WRITE_DMA_FUA_EXT | 0xca | 0xcb | WRITE_FPDMA => Kind::Write { pio: false },
        0x40..=0x42 => Kind::Verify,
        _ => return None,
    })
}

/// Commands whose sector number has 48 bits.
fn is_wide(command: u8) -> bool {
    matches!(
        command,
        0x24 | 0x25 | 0x29 | 0x34 | 0x35 | 0x39 | WRITE_DMA_FUA_EXT | 0x42 | WRITE_MULTIPLE_FUA_EXT
    ) || is_queued(command)
}

/// READ MULTIPLE, WRITE MULTIPLE and their kin.
fn is_multiple(command: u8) -> bool {
    matches!(command, 0x29 | 0x39 | 0xc4 | 0xc5 | WRITE_MULTIPLE_FUA_EXT)
}

/// How the data of a command goes.
pub(crate) fn data(task: &Task) -> Data {
    match (kind(task.command), task.command) {
        (Some(Kind::Read { pio: true }), _) | (_, IDENTIFY_DEVICE | READ_LOG_EXT) => Data::PioIn,
        (Some(Kind::Write { pio: true }), _) => Data::PioOut,
        (Some(Kind::Read { .. }), _) | (_, READ_LOG_DMA_EXT) => Data::DmaIn,
        (Some(Kind::Write { .. }), _) => Data::DmaOut,
        (_, SMART) if matches!(task.features as u8, SMART_DATA | SMART_THRESHOLDS) => Data::PioIn,
        _ => Data::None,
    }
}

/// Sectors that go at a time when the host moves them.
pub(crate) fn block(drive: &Drive, task: &Task) -> u64 {
    if is_multiple(task.command) { drive.multiple.max(1).into() } else { 1 }
}

/// The sectors of a command that reads, writes or verifies some; none if it cannot say which.
pub(crate) fn extent(drive: &Drive, task: &Task) -> Option<Extent> {
    kind(task.command)?;
    let count = if is_queued(task.command) { task.features } else { task.count };
    let is_lba = task.device & DEVICE_LBA != 0;
    let (first, count, most) = if is_wide(task.command) {
        (Some(task.lba).filter(|_| is_lba), u64::from(count), 1 << 16)
    } else {
        let low = task.lba & 0xff_ffff | u64::from(task.device & 0xf) << 24;
        let first = if is_lba { Some(low) } else { from_chs(drive, low) };
        (first, u64::from(count & 0xff), 1 << 8)
    };
    Some(Extent { first: first?, sectors: if count == 0 { most } else { count } })
}

/// A sector by head (bits 27:24), cylinder (23:8) and number (7:0), which counts from 1.
fn from_chs(drive: &Drive, chs: u64) -> Option<u64> {
    let (heads, track) = (u64::from(drive.heads), u64::from(drive.track));
    let (head, cylinder, number) = (chs >> 24, chs >> 8 & 0xffff, chs & 0xff);
    let there = head < heads && (1..=track).contains(&number);
    there.then(|| (cylinder * heads + head) * track + number - 1)
}

/// The registers of a command that ended at a sector.
fn at_sector(drive: &Drive, task: &Task, sector: u64, outcome: Outcome) -> Outcome {
    let low = if is_wide(task.command) {
        return Outcome { lba: sector, ..outcome };
    } else if task.device & DEVICE_LBA != 0 {
        sector
    } else {
        let (heads, track) = (u64::from(drive.heads), u64::from(drive.track));
        let (number, head) = (sector % track + 1, sector / track % heads);
        head << 24 | (sector / (track * heads)) << 8 | number
    };
    let device = outcome.device & 0xf0 | (low >> 24 & 0xf) as u8;
    Outcome { lba: low & 0xff_ffff, device, ..outcome }
}

/// Bytes a command moves, for the time it takes, and whether it writes them.
pub(crate) fn load(drive: &Drive, task: &Task) -> Option<(u64, bool)> {
    let kind = kind(task.command)?;
    Some((extent(drive, task)?.sectors * SECTOR, matches!(kind, Kind::Write { .. })))
}

/// Whether a command empties the cache.
pub(crate) fn is_flush(command: u8) -> bool {
    matches!(command, FLUSH | FLUSH_EXT)
}

/// Whether a command that moved its data ends no sooner than all that was written is on the medium.
fn is_durable(drive: &Drive, task: &Task) -> bool {
    match task.command {
        WRITE_DMA_FUA_EXT | WRITE_MULTIPLE_FUA_EXT => true,
        command if is_queued(command) && task.device & DEVICE_FUA != 0 => true,
        command => !drive.write_cache && matches!(kind(command), Some(Kind::Write { .. })),
    }
}

/// How a command ends whose last sector has moved, if one did.
pub(crate) fn settle(
    drive: &Drive,
    unit: &Unit,
    task: &Task,
    outcome: Outcome,
    transfer: &mut dyn Transfer,
) -> Outcome {
    if outcome.status & ERR != 0 || !is_durable(drive, task) {
        return outcome;
    }
    let flushed = flush(unit, task, transfer);
    if flushed.status & ERR == 0 { outcome } else { flushed }
}

/// Empties the cache.
fn flush(unit: &Unit, task: &Task, transfer: &mut dyn Transfer) -> Outcome {
    match transfer.flush_disk(unit.disk) {
        Ok(()) => Outcome::done(task),
        Err(MediumError) => Outcome::write_fault(task),
    }
}

/// Carries a command out.
pub(crate) fn carry_out(drive: &mut Drive, unit: &Unit, task: &Task, transfer: &mut dyn Transfer) -> Outcome {
    if kind(task.command).is_some() {
        return match extent(drive, task) {
            Some(extent) => {
                let outcome = access(drive, unit, task, extent, transfer);
                settle(drive, unit, task, outcome, transfer)
            }
            None => Outcome::failed(task, if is_wide(task.command) { ABRT } else { IDNF }),
        };
    }
    match task.command {
        IDENTIFY_DEVICE => {
            transfer.give(&identity(unit, drive));
            Outcome::pio_in(task)
        }
        SET_FEATURES if task.features as u8 == WRITE_CACHE_OFF => {
            drive.write_cache = false;
            flush(unit, task, transfer)
        }
        SET_FEATURES => set_features(drive, task),
        SET_MULTIPLE => set_multiple(drive, task),
        INITIALIZE_PARAMETERS => set_geometry(drive, task),
        FLUSH | FLUSH_EXT | STANDBY_IMMEDIATE | STANDBY | SLEEP => flush(unit, task, transfer),
        READ_LOG_EXT | READ_LOG_DMA_EXT => read_log(drive, task, transfer),
        SMART => smart(drive, task, transfer),
        CHECK_POWER => Outcome { count: POWER_ACTIVE, ..Outcome::done(task) },
        // Other power modes, in which nothing changes, RECALIBRATE, and SEEK.
        0x10..=0x1f | 0x70..=0x7f | 0xe1 | 0xe3 => Outcome::done(task),
        _ => Outcome::failed(task, ABRT),
    }
}

/// Reads, writes or verifies `extent`, which is the command's or a part of it.
pub(crate) fn access(
    drive: &Drive,
    unit: &Unit,
    task: &Task,
    extent: Extent,
    transfer: &mut dyn Transfer,
) -> Outcome {
    let Some(kind) = kind(task.command) else { return Outcome::failed(task, ABRT) };
    if let Some(refused) = refusal(drive, unit, task, extent) {
        return refused;
    }
    let (at, len) = extent.bytes();
    match kind {
        Kind::Read { pio } => match transfer.read_disk(unit.disk, at, len) {
            Ok(()) if pio => Outcome::pio_in(task),
            Ok(()) => Outcome::done(task),
            Err(here) => at_sector(drive, task, here / SECTOR, Outcome::failed(task, UNC)),
        },
        Kind::Write { .. } => match transfer.write_disk(unit.disk, at, len) {
            Ok(()) => Outcome::done(task),
            Err(here) => at_sector(drive, task, here / SECTOR, Outcome::write_fault(task)),
        },
        Kind::Verify => Outcome::done(task),
    }
}

/// How a command on sectors ends before any of them moved, if it cannot be carried out.
pub(crate) fn refusal(drive: &Drive, unit: &Unit, task: &Task, extent: Extent) -> Option<Outcome> {
    let unknown = is_queued(task.command) && !unit.is_serial();
    let unset = is_multiple(task.command) && drive.multiple == 0;
    if unknown || unset {
        return Some(Outcome::failed(task, ABRT));
    }
    if !extent.lies_on(unit) {
        return Some(Outcome::failed(task, IDNF));
    }
    let writes = matches!(kind(task.command), Some(Kind::Write { .. }));
    (writes && unit.config.read_only).then(|| Outcome::failed(task, ABRT))
}

/// INITIALIZE DEVICE PARAMETERS: what CHS addresses are made of from now on.
fn set_geometry(drive: &mut Drive, task: &Task) -> Outcome {
    let track = task.count as u8;
    if track == 0 {
        return Outcome::failed(task, ABRT);
    }
    (drive.heads, drive.track) = ((task.device & 0xf) + 1, track);
    Outcome::done(task)
}

/// SET FEATURES (7.45), of disks and CDs.
pub(crate) fn set_features(drive: &mut Drive, task: &Task) -> Outcome {
    let mode = task.count as u8;
    match task.features as u8 {
        0x02 => drive.write_cache = true,
        WRITE_CACHE_OFF => drive.write_cache = false,
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
fn read_log(drive: &mut Drive, task: &Task, transfer: &mut dyn Transfer) -> Outcome {
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
fn smart(drive: &mut Drive, task: &Task, transfer: &mut dyn Transfer) -> Outcome {
    const ENABLE: u8 = 0xd8;
    let operation = task.features as u8;
    if task.lba & 0xff_ff00 != SMART_KEY || (!drive.smart && operation != ENABLE) {
        return Outcome::failed(task, ABRT);
    }
    match operation {
        // Attributes and thresholds: none, version 1.
        SMART_DATA | SMART_THRESHOLDS => {
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
