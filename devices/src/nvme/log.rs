//! Log pages (NVM Express 1.4, 5.14.1), and the events that lead to them (5.2).

use super::status::Status;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const ERRORS: u8 = 0x01;
const HEALTH: u8 = 0x02;
const FIRMWARE: u8 = 0x03;
const CHANGED_NAMESPACES: u8 = 0x04;

/// Composite temperature, K.
const TEMPERATURE: u16 = 310;
const NS_PER_HOUR: u64 = 3_600_000_000_000;
/// Data is counted in thousands of blocks.
const BLOCKS_PER_UNIT: u64 = 1000;

/// Most requests for events that wait for one.
pub(super) const EVENT_REQUESTS_MAX: usize = 4;

/// A doorbell was misused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DoorbellError {
    /// There is no such queue.
    Register = 0,
    /// The queue has no such entry.
    Value = 1,
}

/// Events of the error type, the only ones that happen, and who waits for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Events {
    /// Identifiers of the commands that wait.
    requests: Vec<u16>,
    /// What happened and was not told: bits by [`DoorbellError`].
    pending: u8,
    /// One was told, and the log not read since.
    masked: bool,
    /// Errors since power-on.
    errors: u64,
}

impl Events {
    /// A command waits for an event.
    pub fn request(&mut self, id: u16) -> Result<(), Status> {
        if self.requests.len() >= EVENT_REQUESTS_MAX {
            return Err(Status::TOO_MANY_EVENT_REQUESTS);
        }
        self.requests.push(id);
        Ok(())
    }

    /// Takes a waiting command back, if it is one.
    pub fn cancel(&mut self, id: u16) -> bool {
        let found = self.requests.iter().position(|request| *request == id);
        found.map(|at| self.requests.remove(at)).is_some()
    }

    pub fn raise(&mut self, error: DoorbellError) {
        self.errors = self.errors.saturating_add(1);
        self.pending |= 1 << error as u8;
    }

    /// The command that hears of an event now, and its dword 0.
    pub fn next(&mut self) -> Option<(u16, u32)> {
        if self.masked || self.pending == 0 || self.requests.is_empty() {
            return None;
        }
        let information = self.pending.trailing_zeros();
        self.pending &= self.pending - 1;
        self.masked = true;
        Some((self.requests.remove(0), u32::from(ERRORS) << 16 | information << 8))
    }

    /// The controller was reset: nobody waits any more.
    pub fn reset(&mut self) {
        *self = Self { errors: self.errors, ..Self::default() };
    }

    pub fn is_consistent(&self) -> bool {
        self.requests.len() <= EVENT_REQUESTS_MAX && self.pending < 4
    }

    /// The newest entry.
    fn log(&self) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        if self.errors != 0 {
            bytes[..8].copy_from_slice(&self.errors.to_le_bytes());
            // Of no queue's command.
            bytes[8..12].fill(0xff);
            bytes[14..16].fill(0xff);
        }
        bytes
    }
}

/// What the controller did since power-on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Counters {
    pub reads: u64,
    pub writes: u64,
    pub read_blocks: u64,
    pub written_blocks: u64,
}

impl Counters {
    pub fn read(&mut self, blocks: u64) {
        self.reads = self.reads.saturating_add(1);
        self.read_blocks = self.read_blocks.saturating_add(blocks);
    }

    pub fn wrote(&mut self, blocks: u64) {
        self.writes = self.writes.saturating_add(1);
        self.written_blocks = self.written_blocks.saturating_add(blocks);
    }

    fn log(&self, now: u64, errors: u64) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[1..3].copy_from_slice(&TEMPERATURE.to_le_bytes());
        // Spare, %, and the least there should be.
        bytes[3..5].copy_from_slice(&[100, 10]);
        let units = |blocks: u64| blocks.div_ceil(BLOCKS_PER_UNIT);
        let values = [
            (32, units(self.read_blocks)),
            (48, units(self.written_blocks)),
            (64, self.reads),
            (80, self.writes),
            (112, 1),
            (128, now / NS_PER_HOUR),
            (176, errors),
        ];
        for (at, value) in values {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }
}

/// The whole of a page. Reading that of errors lets the next event through, unless `keep`.
pub(super) fn page(
    id: u8,
    keep: bool,
    now: u64,
    events: &mut Events,
    counters: &Counters,
) -> Result<Vec<u8>, Status> {
    match id {
        ERRORS => {
            events.masked &= keep;
            Ok(events.log())
        }
        HEALTH => Ok(counters.log(now, events.errors)),
        FIRMWARE => {
            // Slot 1 is active and has revision "1".
            let mut bytes = vec![0; 512];
            bytes[0] = 1;
            bytes[8..16].copy_from_slice(b"1       ");
            Ok(bytes)
        }
        CHANGED_NAMESPACES => Ok(vec![0; 4096]),
        _ => Err(Status::INVALID_LOG_PAGE),
    }
}
