//! Commands of the NVM command set (NVM Express 1.4, chapter 6).

use super::prp::Segment;
use super::queue::Command;
use super::status::Status;
use super::{ALL_NAMESPACES, NAMESPACE, Nvme, TRANSFER_MAX};
use crate::device::{DeviceCtx, MediumError};
use crate::disk::SECTOR;

const FLUSH: u8 = 0x00;
const WRITE: u8 = 0x01;
const READ: u8 = 0x02;
const COMPARE: u8 = 0x05;
const WRITE_ZEROES: u8 = 0x08;
const DATASET_MANAGEMENT: u8 = 0x09;

/// CDW12: it ends no sooner than what was written is on the medium.
const FORCE_UNIT_ACCESS: u32 = 1 << 30;

/// What commands take, in ns of virtual time: this, and a ns for every four bytes (4 GB/s).
const READ_NS: u64 = 12_000;
const WRITE_NS: u64 = 16_000;
const FLUSH_NS: u64 = 40_000;
const OTHER_NS: u64 = 5_000;

/// Bytes of a range of DATASET MANAGEMENT.
const RANGE: usize = 16;
/// Zeroes are written so many at a time.
const ZEROES: [u8; 4096] = [0; 4096];

/// Blocks a command is about.
struct Extent {
    /// First byte.
    at: u64,
    /// Bytes.
    len: u64,
}

impl Nvme {
    /// Carries a command out.
    pub(super) fn io(&mut self, cx: &mut DeviceCtx, command: &Command) -> Result<u32, Status> {
        command.check_flags()?;
        let is_flush = command.opcode == FLUSH;
        if command.nsid != NAMESPACE && !(is_flush && command.nsid == ALL_NAMESPACES) {
            return Err(Status::INVALID_NAMESPACE);
        }
        match command.opcode {
            FLUSH => self.commit(cx),
            WRITE => self.write(cx, command),
            READ => self.read(cx, command),
            COMPARE => self.compare(cx, command),
            WRITE_ZEROES => self.write_zeroes(cx, command),
            DATASET_MANAGEMENT => self.dataset_management(cx, command),
            _ => Err(Status::INVALID_OPCODE),
        }?;
        if self.is_durable(command) {
            self.commit(cx)?;
        }
        Ok(0)
    }

    /// Whether a command ends no sooner than all that was written is on the medium. FUA is of reads, too.
    fn is_durable(&self, command: &Command) -> bool {
        let forced = command.cdw12 & FORCE_UNIT_ACCESS != 0;
        match command.opcode {
            WRITE | WRITE_ZEROES => forced || !self.registers.features.write_cache(),
            READ | COMPARE => forced,
            _ => false,
        }
    }

    /// Brings what was written to the medium.
    pub(super) fn commit(&self, cx: &mut DeviceCtx) -> Result<(), Status> {
        cx.dma.flush_disk(self.disk).map_err(|MediumError| Status::WRITE_FAULT)
    }

    /// The blocks of a command, which are on the disk.
    fn extent(&self, command: &Command) -> Result<Extent, Status> {
        let first = u64::from(command.cdw11) << 32 | u64::from(command.cdw10);
        self.check_range(first, blocks(command))?;
        Ok(Extent { at: first * SECTOR, len: blocks(command) * SECTOR })
    }

    fn check_range(&self, first: u64, blocks: u64) -> Result<(), Status> {
        let fits = first.checked_add(blocks).is_some_and(|end| end <= self.config.sectors);
        if fits { Ok(()) } else { Err(Status::OUT_OF_RANGE) }
    }

    fn check_writable(&self) -> Result<(), Status> {
        if self.config.read_only { Err(Status::WRITE_PROTECTED) } else { Ok(()) }
    }

    /// Extent and buffer of a command that moves data.
    fn transfer(&self, cx: &mut DeviceCtx, command: &Command) -> Result<(Extent, Vec<Segment>), Status> {
        if blocks(command) * SECTOR > TRANSFER_MAX {
            return Err(Status::INVALID_FIELD);
        }
        let extent = self.extent(command)?;
        let segments = command.data().segments(cx.dma, extent.len)?;
        Ok((extent, segments))
    }

    fn read(&mut self, cx: &mut DeviceCtx, command: &Command) -> Result<(), Status> {
        let (Extent { mut at, len }, segments) = self.transfer(cx, command)?;
        let mut buffer = ZEROES;
        for segment in segments {
            let bytes = &mut buffer[..segment.len];
            cx.dma.read_disk(self.disk, at, bytes).map_err(|MediumError| Status::READ_ERROR)?;
            cx.dma.write(segment.address, bytes);
            at += segment.len as u64;
        }
        self.registers.counters.read(len / SECTOR);
        Ok(())
    }

    fn write(&mut self, cx: &mut DeviceCtx, command: &Command) -> Result<(), Status> {
        self.check_writable()?;
        let (Extent { mut at, len }, segments) = self.transfer(cx, command)?;
        let mut buffer = ZEROES;
        for segment in segments {
            let bytes = &mut buffer[..segment.len];
            cx.dma.read(segment.address, bytes);
            cx.dma.write_disk(self.disk, at, bytes).map_err(|MediumError| Status::WRITE_FAULT)?;
            at += segment.len as u64;
        }
        self.registers.counters.wrote(len / SECTOR);
        Ok(())
    }

    fn compare(&mut self, cx: &mut DeviceCtx, command: &Command) -> Result<(), Status> {
        let (Extent { mut at, len }, segments) = self.transfer(cx, command)?;
        let (mut theirs, mut ours) = (ZEROES, ZEROES);
        for segment in segments {
            let (theirs, ours) = (&mut theirs[..segment.len], &mut ours[..segment.len]);
            cx.dma.read(segment.address, theirs);
            cx.dma.read_disk(self.disk, at, ours).map_err(|MediumError| Status::READ_ERROR)?;
            if theirs != ours {
                return Err(Status::COMPARE_FAILURE);
            }
            at += segment.len as u64;
        }
        self.registers.counters.read(len / SECTOR);
        Ok(())
    }

    fn write_zeroes(&mut self, cx: &mut DeviceCtx, command: &Command) -> Result<(), Status> {
        self.check_writable()?;
        let Extent { mut at, len } = self.extent(command)?;
        let end = at + len;
        while at < end {
            // Whole pages of the disk, but for the ends.
            let page = ZEROES.len() as u64;
            let here = (page - at % page).min(end - at);
            let zeroes = &ZEROES[..here as usize];
            cx.dma.write_disk(self.disk, at, zeroes).map_err(|MediumError| Status::WRITE_FAULT)?;
            at += here;
        }
        Ok(())
    }

    /// Ranges are checked and that is all: what is deallocated keeps its contents, as it may, and costs nothing.
    fn dataset_management(&self, cx: &mut DeviceCtx, command: &Command) -> Result<(), Status> {
        self.check_writable()?;
        let mut bytes = vec![0; (command.cdw10 as usize & 0xff) * RANGE + RANGE];
        command.data().read(cx.dma, &mut bytes)?;
        let (ranges, _) = bytes.as_chunks::<RANGE>();
        for range in ranges {
            let word = u128::from_le_bytes(*range);
            self.check_range((word >> 64) as u64, word as u64 >> 32)?;
        }
        Ok(())
    }
}

/// How many blocks a command is about.
fn blocks(command: &Command) -> u64 {
    u64::from(command.cdw12 & 0xffff) + 1
}

/// How long a command takes, ns.
pub(super) fn latency(command: &Command) -> u64 {
    let data = blocks(command) * SECTOR / 4;
    match command.opcode {
        READ | COMPARE => READ_NS + data.min(TRANSFER_MAX / 4),
        WRITE => WRITE_NS + data.min(TRANSFER_MAX / 4),
        WRITE_ZEROES => WRITE_NS + data,
        FLUSH => FLUSH_NS,
        _ => OTHER_NS,
    }
}
