//! Queues in memory, and what is in them (NVM Express 1.4, 4.1, 4.2 and 4.6).

use super::prp::Prp;
use super::status::Status;
use crate::device::Dma;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Most entries of an I/O queue, and most commands of any queue that are under way.
pub(super) const ENTRIES_MAX: u16 = 256;
const COMMAND: u64 = 64;
const ENTRY: u64 = 16;

/// A submission queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct SubmissionQueue {
    pub id: u16,
    pub base: u64,
    /// Entries, at least 2.
    pub size: u16,
    /// Next entry to take.
    pub head: u16,
    /// First entry that is not the driver's.
    pub tail: u16,
    /// The completion queue.
    pub completion: u16,
}

/// A completion queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct CompletionQueue {
    pub id: u16,
    pub base: u64,
    /// Entries, at least 2.
    pub size: u16,
    /// First entry the driver has not read.
    pub head: u16,
    /// Next entry to write.
    pub tail: u16,
    /// The phase tag of what is written.
    pub phase: bool,
    /// Whether it interrupts, and with which vector.
    pub interrupts: bool,
    pub vector: u16,
}

/// A command, but for the fields nothing here asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Command {
    pub opcode: u8,
    /// Fused operation, and PRP or SGL.
    pub flags: u8,
    pub id: u16,
    pub nsid: u32,
    prp1: u64,
    prp2: u64,
    pub cdw10: u32,
    pub cdw11: u32,
    pub cdw12: u32,
    pub cdw13: u32,
}

/// A command's end, to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Completion {
    /// Where it came from.
    pub submission: u16,
    /// Where it goes.
    pub completion: u16,
    pub command: u16,
    pub status: u16,
    /// Dword 0.
    pub result: u32,
}

impl SubmissionQueue {
    pub fn new(id: u16, base: u64, size: u16, completion: u16) -> Self {
        Self { id, base, size, head: 0, tail: 0, completion }
    }

    /// Takes the next command.
    pub fn pop(&mut self, dma: &mut dyn Dma) -> Option<Command> {
        if self.head == self.tail {
            return None;
        }
        let mut raw = [0; COMMAND as usize];
        dma.read(self.base.wrapping_add(u64::from(self.head) * COMMAND), &mut raw);
        self.head = next(self.head, self.size);
        Some(Command::from_bytes(&raw))
    }

    pub fn is_consistent(&self) -> bool {
        self.size >= 2 && self.head < self.size && self.tail < self.size
    }
}

impl CompletionQueue {
    pub fn new(id: u16, base: u64, size: u16, vector: Option<u16>) -> Self {
        let (interrupts, vector) = (vector.is_some(), vector.unwrap_or(0));
        Self { id, base, size, head: 0, tail: 0, phase: true, interrupts, vector }
    }

    pub fn is_full(&self) -> bool {
        next(self.tail, self.size) == self.head
    }

    /// Whether there is something the driver has not read.
    pub fn is_open(&self) -> bool {
        self.head != self.tail
    }

    /// Writes an entry, for which there is room. `head` is how far the submission queue was read.
    pub fn post(&mut self, dma: &mut dyn Dma, completion: &Completion, head: u16) {
        let status = completion.status << 1 | u16::from(self.phase);
        let word = u128::from(completion.result)
            | u128::from(head) << 64
            | u128::from(completion.submission) << 80
            | u128::from(completion.command) << 96
            | u128::from(status) << 112;
        dma.write(self.base.wrapping_add(u64::from(self.tail) * ENTRY), &word.to_le_bytes());
        self.tail = next(self.tail, self.size);
        self.phase ^= self.tail == 0;
    }

    pub fn is_consistent(&self, vectors: u16) -> bool {
        self.size >= 2 && self.head < self.size && self.tail < self.size && self.vector < vectors
    }
}

impl Command {
    fn from_bytes(raw: &[u8; COMMAND as usize]) -> Self {
        let (dwords, _) = raw.as_chunks();
        let dword = |n: usize| u32::from_le_bytes(dwords[n]);
        let qword = |n: usize| u64::from(dword(n + 1)) << 32 | u64::from(dword(n));
        Self {
            opcode: raw[0],
            flags: raw[1],
            id: (dword(0) >> 16) as u16,
            nsid: dword(1),
            prp1: qword(6),
            prp2: qword(8),
            cdw10: dword(10),
            cdw11: dword(11),
            cdw12: dword(12),
            cdw13: dword(13),
        }
    }

    /// Where its data is.
    pub fn data(&self) -> Prp {
        Prp { first: self.prp1, second: self.prp2 }
    }

    /// First PRP entry: where a queue to be created is.
    pub fn queue_base(&self) -> u64 {
        self.prp1
    }

    /// Neither fused with another, nor with its data in an SGL: there are neither here.
    pub fn check_flags(&self) -> Result<(), Status> {
        if self.flags == 0 { Ok(()) } else { Err(Status::INVALID_FIELD) }
    }
}

fn next(index: u16, size: u16) -> u16 {
    if index + 1 >= size { 0 } else { index + 1 }
}
