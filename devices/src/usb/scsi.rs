//! The commands of a direct-access block device (SPC-4, SBC-3), as far as a disk at USB has them.

use crate::disk::SECTOR;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const TEST_UNIT_READY: u8 = 0x00;
const REQUEST_SENSE: u8 = 0x03;
const READ_6: u8 = 0x08;
const WRITE_6: u8 = 0x0a;
const INQUIRY: u8 = 0x12;
const MODE_SENSE_6: u8 = 0x1a;
const START_STOP_UNIT: u8 = 0x1b;
const PREVENT_ALLOW: u8 = 0x1e;
const READ_FORMAT_CAPACITIES: u8 = 0x23;
const READ_CAPACITY_10: u8 = 0x25;
const READ_10: u8 = 0x28;
const WRITE_10: u8 = 0x2a;
const VERIFY_10: u8 = 0x2f;
const SYNCHRONIZE_CACHE_10: u8 = 0x35;
const MODE_SENSE_10: u8 = 0x5a;
const READ_16: u8 = 0x88;
const WRITE_16: u8 = 0x8a;
const SYNCHRONIZE_CACHE_16: u8 = 0x91;
const SERVICE_ACTION_IN_16: u8 = 0x9e;
const REPORT_LUNS: u8 = 0xa0;
const READ_12: u8 = 0xa8;
const WRITE_12: u8 = 0xaa;
const FORCE_UNIT_ACCESS: u8 = 1 << 3;

/// Why a command failed: sense key, additional code and qualifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Sense {
    pub key: u8,
    pub code: u8,
    pub qualifier: u8,
}

impl Sense {
    const fn illegal(code: u8) -> Self {
        Self { key: 5, code, qualifier: 0 }
    }
    pub const NO_COMMAND: Self = Self::illegal(0x20);
    pub const NO_BLOCK: Self = Self::illegal(0x21);
    pub const NO_FIELD: Self = Self::illegal(0x24);
    pub const PROTECTED: Self = Self { key: 7, code: 0x27, qualifier: 0 };
    pub const UNREADABLE: Self = Self { key: 3, code: 0x11, qualifier: 0 };
    pub const UNWRITABLE: Self = Self { key: 3, code: 0x0c, qualifier: 0 };

    /// Fixed format (SPC-4, 4.5.3).
    fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; 18];
        (bytes[0], bytes[2], bytes[7], bytes[12], bytes[13]) =
            (0x70, self.key, 10, self.code, self.qualifier);
        bytes
    }
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// These bytes.
    Answer(Vec<u8>),
    /// Nothing but that it is done.
    Nothing,
    /// Bytes of the medium.
    Read { at: u64, len: u64 },
    /// Bytes for the medium; with `through` they outlive the host's power when it is done.
    Write { at: u64, len: u64, through: bool },
    /// What was written is to outlive the host's power.
    Flush,
    /// Something that cannot be.
    Fail(Sense),
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Reads a command. `sense` is that of the one before.
pub(super) fn command(bytes: &[u8; 16], sectors: u64, read_only: bool, sense: Sense) -> Command {
    let blocks = |at: u64, count: u64| {
        let inside = at.checked_add(count).is_some_and(|end| end <= sectors);
        inside.then_some((at * SECTOR, count * SECTOR))
    };
    let transfer = |at: u64, count: u64| match bytes[0] {
        READ_6 | READ_10 | READ_12 | READ_16 => {
            blocks(at, count).map_or(Command::Fail(Sense::NO_BLOCK), |(at, len)| Command::Read { at, len })
        }
        _ if read_only => Command::Fail(Sense::PROTECTED),
        code => {
            let through = code != WRITE_6 && bytes[1] & FORCE_UNIT_ACCESS != 0;
            blocks(at, count).map_or(Command::Fail(Sense::NO_BLOCK), |(at, len)| Command::Write {
                at,
                len,
                through,
            })
        }
    };
    match bytes[0] {
        TEST_UNIT_READY | START_STOP_UNIT | PREVENT_ALLOW => Command::Nothing,
        VERIFY_10 => blocks(number(&bytes[2..6]), number(&bytes[7..9]))
            .map_or(Command::Fail(Sense::NO_BLOCK), |_| Command::Nothing),
        REQUEST_SENSE => answer(sense.bytes(), bytes[4].into()),
        INQUIRY => inquiry(bytes),
        MODE_SENSE_6 => answer(mode(bytes[2], read_only, false), bytes[4].into()),
        MODE_SENSE_10 => answer(mode(bytes[2], read_only, true), number(&bytes[7..9])),
        READ_FORMAT_CAPACITIES => answer(format_capacities(sectors), number(&bytes[7..9])),
        READ_CAPACITY_10 => {
            let last = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
            answer([last.to_be_bytes(), (SECTOR as u32).to_be_bytes()].concat(), 8)
        }
        SERVICE_ACTION_IN_16 if bytes[1] & 0x1f == 0x10 => {
            let mut capacity = (sectors - 1).to_be_bytes().to_vec();
            capacity.extend((SECTOR as u32).to_be_bytes());
            capacity.resize(32, 0);
            answer(capacity, number(&bytes[10..14]))
        }
        REPORT_LUNS => answer([&[0, 0, 0, 8][..], &[0; 12]].concat(), number(&bytes[6..10])),
        READ_6 | WRITE_6 => {
            let count = if bytes[4] == 0 { 256 } else { bytes[4].into() };
            transfer(number(&bytes[1..4]) & 0x1f_ffff, count)
        }
        READ_10 | WRITE_10 => transfer(number(&bytes[2..6]), number(&bytes[7..9])),
        READ_12 | WRITE_12 => transfer(number(&bytes[2..6]), number(&bytes[6..10])),
        READ_16 | WRITE_16 => transfer(number(&bytes[2..10]), number(&bytes[10..14])),
        SYNCHRONIZE_CACHE_10 | SYNCHRONIZE_CACHE_16 => Command::Flush,
        _ => Command::Fail(Sense::NO_COMMAND),
    }
}

/// As much as there is room for.
fn answer(mut bytes: Vec<u8>, room: u64) -> Command {
    bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    Command::Answer(bytes)
}

fn inquiry(bytes: &[u8; 16]) -> Command {
    let room = number(&bytes[3..5]);
    if bytes[1] & 1 == 0 {
        // A removable disk, SPC-3.
        let mut data = vec![0, 0x80, 5, 2, 31, 0, 0, 0];
        data.extend(b"Amber   USB Disk        1.0 ");
        return answer(data, room);
    }
    match bytes[2] {
        0x00 => answer(vec![0, 0, 0, 2, 0, 0x80], room),
        0x80 => answer(vec![0, 0x80, 0, 1, b'1'], room),
        _ => Command::Fail(Sense::NO_FIELD),
    }
}

/// Mode parameters: a header, and the caching page if it or all are asked for.
fn mode(page: u8, read_only: bool, long: bool) -> Vec<u8> {
    let mut pages = Vec::new();
    if matches!(page & 0x3f, 0x08 | 0x3f) {
        // A cache for writes is there and on.
        pages.extend([0x08, 18, 1 << 2]);
        pages.resize(20, 0);
    }
    // The medium is write-protected; forced access is known.
    let specific = u8::from(read_only) << 7 | 1 << 4;
    let mut header = match long {
        true => vec![0, 6 + pages.len() as u8, 0, specific, 0, 0, 0, 0],
        false => vec![3 + pages.len() as u8, 0, specific, 0],
    };
    header.extend(pages);
    header
}

fn format_capacities(sectors: u64) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 8];
    bytes.extend(u32::try_from(sectors).unwrap_or(u32::MAX).to_be_bytes());
    // A formatted medium.
    bytes.extend((2 << 24 | SECTOR as u32).to_be_bytes());
    bytes
}
