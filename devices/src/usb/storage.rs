//! A disk: SCSI commands over bulk endpoints (USB Mass Storage Class, Bulk-Only Transport 1.0).
//!
//! A command takes its time before its data moves; what the host asks for earlier is refused by NAK, as on the bus.

use super::scsi::{self, Command, Sense};
use super::{Answer, Model, Setup};
use crate::device::DeviceCtx;
use crate::disk::SECTOR;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const GET_MAX_LUN: u8 = 0xfe;
const RESET: u8 = 0xff;
const WRAPPER_LEN: usize = 31;
const COMMAND_SIGNATURE: u32 = 0x4342_5355;
const STATUS_SIGNATURE: u32 = 0x5342_5355;
const PASSED: u8 = 0;
const FAILED: u8 = 1;
const PHASE_ERROR: u8 = 2;
/// What a command takes, and every two bytes of its data, ns.
const COMMAND_NS: u64 = 25_000;
const BYTES_A_NS: u64 = 2;

/// What is next on the bus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
enum Phase {
    /// A command.
    #[default]
    Command,
    /// Bytes that are the answer, for the host.
    Answer(Vec<u8>),
    /// Bytes of the medium, for the host.
    Read { at: u64, left: u64 },
    /// Bytes for the medium. What is less than a sector waits for the rest of it.
    Write { at: u64, left: u64, through: bool, part: Vec<u8> },
    /// Bytes for the host that do not come, or from the host that go nowhere: the endpoint stalls once.
    Refuse,
    /// The status.
    Status,
}

/// State of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Storage {
    phase: Phase,
    tag: u32,
    /// Bytes the host said it would send or take, less what it did.
    residue: u32,
    status: u8,
    sense: Sense,
    /// When the bus goes on, ns.
    ready_at: u64,
}

impl Storage {
    pub fn request(&mut self, setup: Setup) -> Answer {
        match (setup.is_in(), setup.request) {
            (true, GET_MAX_LUN) => Answer::Done(vec![0]),
            (false, RESET) => {
                *self = Self { sense: self.sense, ..Self::default() };
                Answer::Done(Vec::new())
            }
            _ => Answer::Stall,
        }
    }

    /// When what is refused now is taken; `None` while a command is waited for.
    pub fn ready_at(&self) -> Option<u64> {
        (self.phase != Phase::Command).then_some(self.ready_at)
    }

    fn is_busy(&self, cx: &DeviceCtx) -> bool {
        self.phase != Phase::Command && cx.now() < self.ready_at
    }

    pub fn give(&mut self, cx: &mut DeviceCtx, model: Model, bytes: &[u8]) -> Answer {
        let Model::Storage { disk, sectors, read_only } = model else { return Answer::Stall };
        if self.is_busy(cx) {
            return Answer::Nak;
        }
        match &self.phase {
            Phase::Command => self.begin(cx, bytes, sectors, read_only, disk),
            Phase::Write { .. } => self.write(cx, disk, bytes),
            Phase::Refuse => {
                self.phase = Phase::Status;
                Answer::Stall
            }
            _ => Answer::Stall,
        }
    }

    /// A command wrapper (5.1).
    fn begin(&mut self, cx: &mut DeviceCtx, bytes: &[u8], sectors: u64, read_only: bool, disk: u8) -> Answer {
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|n| bytes[at + n]));
        if bytes.len() != WRAPPER_LEN || word(0) != COMMAND_SIGNATURE {
            return Answer::Stall;
        }
        let mut command = [0; 16];
        command.copy_from_slice(&bytes[15..31]);
        let (wanted, to_host) = (word(8), bytes[12] & 0x80 != 0);
        (self.tag, self.residue, self.status) = (word(4), wanted, PASSED);
        let command = scsi::command(&command, sectors, read_only, self.sense);
        self.sense = Sense::default();
        let len = match &command {
            Command::Answer(bytes) => bytes.len() as u64,
            Command::Read { len, .. } | Command::Write { len, .. } => *len,
            _ => 0,
        };
        self.ready_at = cx.now() + COMMAND_NS + len.min(wanted.into()) / BYTES_A_NS;
        self.phase = self.expect(cx, command, wanted, to_host, disk);
        Answer::Done(Vec::new())
    }

    /// What comes next, by what host and device want (6.7).
    fn expect(
        &mut self,
        cx: &mut DeviceCtx,
        command: Command,
        wanted: u32,
        to_host: bool,
        disk: u8,
    ) -> Phase {
        let refuse = if wanted == 0 { Phase::Status } else { Phase::Refuse };
        match command {
            Command::Answer(mut bytes) if to_host && wanted != 0 => {
                bytes.truncate(wanted as usize);
                Phase::Answer(bytes)
            }
            Command::Read { at, len } if to_host && len <= u64::from(wanted) && len != 0 => {
                Phase::Read { at, left: len }
            }
            Command::Write { at, len, through } if !to_host && len <= u64::from(wanted) && len != 0 => {
                Phase::Write { at, left: len, through, part: Vec::new() }
            }
            Command::Flush => {
                if cx.dma.flush_disk(disk).is_err() {
                    self.fail(Sense::UNWRITABLE);
                }
                refuse
            }
            Command::Answer(bytes) if bytes.is_empty() => refuse,
            Command::Read { len: 0, .. } | Command::Write { len: 0, .. } | Command::Nothing => refuse,
            Command::Fail(sense) => {
                self.fail(sense);
                refuse
            }
            _ => {
                self.status = PHASE_ERROR;
                refuse
            }
        }
    }

    fn fail(&mut self, sense: Sense) {
        (self.status, self.sense) = (FAILED, sense);
    }

    fn write(&mut self, cx: &mut DeviceCtx, disk: u8, bytes: &[u8]) -> Answer {
        let Phase::Write { at, left, through, part } = &mut self.phase else { return Answer::Stall };
        if bytes.len() as u64 > *left {
            self.status = PHASE_ERROR;
            self.phase = Phase::Status;
            return Answer::Stall;
        }
        part.extend(bytes);
        *left -= bytes.len() as u64;
        self.residue = self.residue.saturating_sub(bytes.len() as u32);
        let whole = part.len() - part.len() % SECTOR as usize;
        let mut wrote = cx.dma.write_disk(disk, *at, &part[..whole]);
        *at += whole as u64;
        part.drain(..whole);
        let done = *left == 0;
        if done && *through {
            wrote = wrote.and(cx.dma.flush_disk(disk));
        }
        if wrote.is_err() {
            self.fail(Sense::UNWRITABLE);
        }
        if done {
            // A host that said more than the command takes gets the rest refused.
            self.phase = if self.residue == 0 { Phase::Status } else { Phase::Refuse };
        }
        Answer::Done(Vec::new())
    }

    pub fn take(&mut self, cx: &mut DeviceCtx, model: Model, len: usize) -> Answer {
        let Model::Storage { disk, .. } = model else { return Answer::Stall };
        if self.is_busy(cx) {
            return Answer::Nak;
        }
        match &mut self.phase {
            Phase::Answer(bytes) => {
                let now = bytes.drain(..bytes.len().min(len)).collect::<Vec<_>>();
                let done = bytes.is_empty();
                self.gave(now.len(), done, len);
                Answer::Done(now)
            }
            Phase::Read { at, left } => {
                let mut bytes = vec![0; (*left).min(len as u64) as usize];
                let read = cx.dma.read_disk(disk, *at, &mut bytes);
                *at += bytes.len() as u64;
                *left -= bytes.len() as u64;
                let done = *left == 0;
                if read.is_err() {
                    bytes.fill(0);
                    self.fail(Sense::UNREADABLE);
                }
                self.gave(bytes.len(), done, len);
                Answer::Done(bytes)
            }
            Phase::Refuse => {
                self.phase = Phase::Status;
                Answer::Stall
            }
            Phase::Status => self.status(),
            // The host waits for what it has not asked for.
            Phase::Command | Phase::Write { .. } => Answer::Nak,
        }
    }

    /// So many bytes went to the host, which had room for `room`. A short packet tells it that no more come; where that
    /// cannot be, the endpoint stalls after them.
    fn gave(&mut self, len: usize, done: bool, room: usize) {
        self.residue = self.residue.saturating_sub(len as u32);
        if done {
            let told = self.residue == 0 || len < room;
            self.phase = if told { Phase::Status } else { Phase::Refuse };
        }
    }

    /// A status wrapper (5.2).
    fn status(&mut self) -> Answer {
        let mut bytes = STATUS_SIGNATURE.to_le_bytes().to_vec();
        bytes.extend(self.tag.to_le_bytes());
        bytes.extend(self.residue.to_le_bytes());
        bytes.push(self.status);
        self.phase = Phase::Command;
        Answer::Done(bytes)
    }

    pub fn is_possible(&self, sectors: u64) -> bool {
        let inside = |at: u64, left: u64| {
            at.checked_add(left).is_some_and(|end| end <= sectors * SECTOR) && at.is_multiple_of(SECTOR)
        };
        match &self.phase {
            Phase::Answer(bytes) => bytes.len() <= 256,
            Phase::Read { at, left } => at.checked_add(*left).is_some_and(|end| end <= sectors * SECTOR),
            Phase::Write { at, left, part, .. } => {
                part.len() < SECTOR as usize && inside(*at, left.saturating_add(part.len() as u64))
            }
            _ => true,
        }
    }
}
