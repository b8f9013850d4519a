//! A CD drive: the commands of a packet device (ATA8-ACS), and the packets (MMC-5, SPC-3).

use super::disk::{CHECK_POWER, FLUSH, SET_FEATURES, set_features};
use super::drive::{ABRT, BLOCK, Drive, ERR, Outcome, Protocol, READY, Sense, Unit};
use super::identify::identity;
use super::media::no_medium;
use super::task::Task;
use super::transfer::Transfer;

mod features;
mod toc;

pub(crate) const PACKET: u8 = 0xa0;
pub(crate) const DEVICE_RESET: u8 = 0x08;
pub(crate) const IDENTIFY_PACKET_DEVICE: u8 = 0xa1;
const READ_SECTORS: u8 = 0x20;
const IDENTIFY_DEVICE: u8 = 0xec;
/// Features: data of the packet command goes by DMA.
const FEATURES_DMA: u16 = 1;
/// Interrupt reason of a packet command that is done: I/O and C/D.
const REASON_DONE: u16 = 3;
/// Most blocks of a read.
const BLOCKS_MAX: u64 = 1 << 16;

pub(super) const NOT_READY: u8 = 2;
const MEDIUM_ERROR: u8 = 3;
const ILLEGAL_REQUEST: u8 = 5;

pub(crate) const UNREADABLE: Sense = Sense { key: MEDIUM_ERROR, code: 0x11, qualifier: 0 };
const INVALID_COMMAND: Sense = Sense { key: ILLEGAL_REQUEST, code: 0x20, qualifier: 0 };
const OUT_OF_RANGE: Sense = Sense { key: ILLEGAL_REQUEST, code: 0x21, qualifier: 0 };
const INVALID_FIELD: Sense = Sense { key: ILLEGAL_REQUEST, code: 0x24, qualifier: 0 };
const REMOVAL_PREVENTED: Sense = Sense { key: ILLEGAL_REQUEST, code: 0x53, qualifier: 2 };

const TEST_UNIT_READY: u8 = 0x00;
const REQUEST_SENSE: u8 = 0x03;
const INQUIRY: u8 = 0x12;
const START_STOP: u8 = 0x1b;
const PREVENT_ALLOW: u8 = 0x1e;
const READ_CAPACITY: u8 = 0x25;
const READ_10: u8 = 0x28;
const SEEK: u8 = 0x2b;
const READ_TOC: u8 = 0x43;
const GET_CONFIGURATION: u8 = 0x46;
const GET_EVENT: u8 = 0x4a;
const READ_DISC_INFO: u8 = 0x51;
const READ_TRACK_INFO: u8 = 0x52;
const MODE_SENSE_10: u8 = 0x5a;
const READ_12: u8 = 0xa8;
const SET_SPEED: u8 = 0xbb;
const MECHANISM_STATUS: u8 = 0xbd;

/// A packet, read big-endian.
struct Packet<'a>(&'a [u8; 16]);

impl Packet<'_> {
    fn u8(&self, at: usize) -> u8 {
        self.0[at]
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) << 16 | u32::from(self.u16(at + 2))
    }
}

/// What a packet command answers.
pub(crate) enum Answer {
    Nothing,
    /// Bytes, no more than the host has room for.
    Bytes(Vec<u8>),
    /// Bytes of the medium: where and how many.
    Medium {
        at: u64,
        len: u64,
    },
}

/// Bytes of the medium that a command reads, for the time it takes.
pub(crate) fn load(task: &Task) -> u64 {
    match read_extent(&Packet(&task.packet)) {
        Some((_, blocks)) if task.command == PACKET => blocks.min(BLOCKS_MAX) * BLOCK,
        _ => 0,
    }
}

fn read_extent(packet: &Packet) -> Option<(u64, u64)> {
    let blocks = match packet.u8(0) {
        READ_10 => u64::from(packet.u16(7)),
        READ_12 => u64::from(packet.u32(6)),
        _ => return None,
    };
    Some((packet.u32(2).into(), blocks))
}

/// Carries a command out.
pub(crate) fn carry_out(drive: &mut Drive, unit: &Unit, task: &Task, transfer: &mut dyn Transfer) -> Outcome {
    match task.command {
        PACKET => packet_command(drive, unit, task, transfer),
        IDENTIFY_PACKET_DEVICE => {
            transfer.give(&identity(unit, drive));
            Outcome::pio_in(task)
        }
        // They are refused in a way that tells what it is.
        IDENTIFY_DEVICE | READ_SECTORS => {
            let (lba, count) = unit.signature();
            Outcome { lba, count, ..Outcome::failed(task, ABRT) }
        }
        DEVICE_RESET => {
            *drive = drive.after_reset();
            let (lba, count) = unit.signature();
            Outcome { status: unit.reset_status(), error: 1, lba, count, ..Outcome::done(task) }
        }
        SET_FEATURES => set_features(drive, task),
        CHECK_POWER => Outcome { count: 0xff, ..Outcome::done(task) },
        FLUSH | 0xe0..=0xe3 | 0xe6 => Outcome::done(task),
        _ => Outcome::failed(task, ABRT),
    }
}

fn packet_command(drive: &mut Drive, unit: &Unit, task: &Task, transfer: &mut dyn Transfer) -> Outcome {
    let moved = answer(drive, unit, task).and_then(|answer| match answer {
        Answer::Nothing => Ok(()),
        Answer::Bytes(bytes) => {
            transfer.give(&bytes);
            Ok(())
        }
        Answer::Medium { at, len } => transfer.read_disk(unit.disk, at, len).map_err(|_| UNREADABLE),
    });
    let by_host = !goes_by_dma(task) && transfer.moved() != 0;
    let outcome = end(drive, task, moved);
    match outcome.status & ERR {
        0 if by_host => Outcome { protocol: Protocol::PacketIn, ..outcome },
        _ => outcome,
    }
}

/// Whether the data of a packet command goes by DMA.
pub(crate) fn goes_by_dma(task: &Task) -> bool {
    task.features & FEATURES_DMA != 0
}

/// How a packet command ended that moved its data, or did not.
pub(crate) fn end(drive: &mut Drive, task: &Task, moved: Result<(), Sense>) -> Outcome {
    let done = Outcome { count: REASON_DONE, ..Outcome::done(task) };
    match moved {
        Ok(()) => done,
        Err(sense) => {
            drive.sense = sense;
            let error = sense.key << 4 | ABRT;
            Outcome { status: READY | ERR, error, ..done }
        }
    }
}

/// What a packet asks for. Its data has not moved yet.
pub(crate) fn answer(drive: &mut Drive, unit: &Unit, task: &Task) -> Result<Answer, Sense> {
    let packet = &Packet(&task.packet);
    let operation = packet.u8(0);
    let patient = matches!(operation, INQUIRY | REQUEST_SENSE | GET_CONFIGURATION | GET_EVENT);
    if let Some(attention) = drive.attention.filter(|_| !patient) {
        drive.attention = None;
        return Err(attention);
    }
    let needs_medium = matches!(
        operation,
        TEST_UNIT_READY
            | READ_CAPACITY
            | READ_10
            | READ_12
            | SEEK
            | READ_TOC
            | READ_DISC_INFO
            | READ_TRACK_INFO
    );
    if needs_medium && !drive.has_loaded(unit) {
        return Err(no_medium(drive.tray_open));
    }
    let bytes = |mut bytes: Vec<u8>, room: u16| {
        bytes.truncate(room.into());
        Ok(if bytes.is_empty() { Answer::Nothing } else { Answer::Bytes(bytes) })
    };
    match operation {
        TEST_UNIT_READY | SET_SPEED => Ok(Answer::Nothing),
        SEEK => in_range(unit, packet.u32(2).into(), 1).map(|()| Answer::Nothing),
        READ_10 | READ_12 => read(unit, packet),
        REQUEST_SENSE => bytes(sense_data(drive), packet.u8(4).into()),
        INQUIRY => bytes(inquiry(packet)?, packet.u16(3)),
        START_STOP => start_stop(drive, unit, packet).map(|()| Answer::Nothing),
        PREVENT_ALLOW => {
            drive.tray_locked = packet.u8(4) & 1 != 0;
            Ok(Answer::Nothing)
        }
        READ_CAPACITY => {
            let last = u32::try_from(unit.blocks() - 1).unwrap_or(u32::MAX);
            bytes([last.to_be_bytes(), (BLOCK as u32).to_be_bytes()].concat(), 8)
        }
        READ_TOC => bytes(toc::toc(unit, packet)?, packet.u16(7)),
        READ_DISC_INFO => bytes(toc::disc_information(), packet.u16(7)),
        READ_TRACK_INFO => bytes(toc::track_information(unit), packet.u16(7)),
        GET_CONFIGURATION => bytes(features::configuration(drive.has_loaded(unit), packet), packet.u16(7)),
        GET_EVENT => bytes(features::event(drive, unit, packet)?, packet.u16(7)),
        MODE_SENSE_10 => bytes(features::mode_pages(drive, packet)?, packet.u16(7)),
        MECHANISM_STATUS => bytes(features::mechanism(drive), packet.u16(8)),
        _ => Err(INVALID_COMMAND),
    }
}

fn in_range(unit: &Unit, first: u64, blocks: u64) -> Result<(), Sense> {
    if first + blocks <= unit.blocks() { Ok(()) } else { Err(OUT_OF_RANGE) }
}

fn read(unit: &Unit, packet: &Packet) -> Result<Answer, Sense> {
    let (first, blocks) = read_extent(packet).ok_or(INVALID_COMMAND)?;
    if blocks > BLOCKS_MAX {
        return Err(INVALID_FIELD);
    }
    in_range(unit, first, blocks)?;
    Ok(match blocks {
        0 => Answer::Nothing,
        _ => Answer::Medium { at: first * BLOCK, len: blocks * BLOCK },
    })
}

/// Fixed format sense data (SPC-3, 4.5.3). Telling of it ends it.
fn sense_data(drive: &mut Drive) -> Vec<u8> {
    let told = std::mem::take(&mut drive.sense);
    let sense = if told == Sense::default() { drive.attention.take().unwrap_or(told) } else { told };
    let mut bytes = vec![0; 18];
    (bytes[0], bytes[2], bytes[7]) = (0x70, sense.key, 10);
    (bytes[12], bytes[13]) = (sense.code, sense.qualifier);
    bytes
}

fn inquiry(packet: &Packet) -> Result<Vec<u8>, Sense> {
    const VITAL_PRODUCT_DATA: u8 = 1;
    if packet.u8(1) & VITAL_PRODUCT_DATA != 0 || packet.u8(2) != 0 {
        return Err(INVALID_FIELD);
    }
    // A CD drive, removable, MMC; response format of ATAPI.
    let mut bytes = vec![0x05, 0x80, 0x05, 0x32, 31, 0, 0, 0];
    bytes.extend(b"AMBER   ");
    bytes.extend(b"DVD-ROM         ");
    bytes.extend(b"1.0 ");
    Ok(bytes)
}

fn start_stop(drive: &mut Drive, unit: &Unit, packet: &Packet) -> Result<(), Sense> {
    const LOAD_EJECT: u8 = 2;
    const START: u8 = 1;
    match packet.u8(4) & (LOAD_EJECT | START) {
        LOAD_EJECT if drive.tray_locked => return Err(REMOVAL_PREVENTED),
        LOAD_EJECT => drive.open_tray(unit),
        both if both == LOAD_EJECT | START => drive.close_tray(unit),
        _ => {}
    }
    Ok(())
}
