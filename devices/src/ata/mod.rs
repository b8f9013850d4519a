//! Drives with ATA's command set, whatever controller they are at: hard disks (ATA8-ACS) and CD drives (MMC-5 over ATAPI).

pub(crate) mod disk;
pub(crate) mod drive;
mod identify;
pub(crate) mod media;
pub(crate) mod packet;
pub(crate) mod task;
pub(crate) mod transfer;
pub(crate) mod upgrade;

use drive::{Drive, Outcome, Unit};
use task::Task;
use transfer::Transfer;

/// What commands take, in ns of virtual time: this, and a ns for every two bytes (2 GB/s); of a CD five
/// ns for every byte (200 MB/s).
const READ_NS: u64 = 20_000;
pub(crate) const WRITE_NS: u64 = 30_000;
const FLUSH_NS: u64 = 60_000;
const OTHER_NS: u64 = 5_000;
const PACKET_NS: u64 = 50_000;
/// The same of blocks that follow a first one.
pub(crate) const NEXT_NS: u64 = 5_000;

/// Carries a command out, the whole of it.
pub(crate) fn carry_out(drive: &mut Drive, unit: &Unit, task: &Task, transfer: &mut dyn Transfer) -> Outcome {
    if unit.is_cd() {
        packet::carry_out(drive, unit, task, transfer)
    } else {
        disk::carry_out(drive, unit, task, transfer)
    }
}

/// How long a command takes, ns.
pub(crate) fn latency(drive: &Drive, unit: &Unit, task: &Task) -> u64 {
    if unit.is_cd() {
        return packet_latency(packet::load(task));
    }
    match disk::load(drive, task) {
        Some((bytes, false)) => READ_NS + bytes / 2,
        Some((bytes, true)) => WRITE_NS + bytes / 2,
        None if disk::is_flush(task.command) => FLUSH_NS,
        None => OTHER_NS,
    }
}

/// The same of a packet that reads so many bytes.
pub(crate) fn packet_latency(bytes: u64) -> u64 {
    PACKET_NS + bytes * 5
}
