//! What a driver leaves in memory: command headers, command tables and their physical regions (AHCI 1.3.1, 4.2), and the
//! movement of data between those regions and a disk.

use crate::device::{Dma, MediumError};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Bytes of a command header.
const HEADER_LEN: u64 = 32;
/// Bytes of a command FIS that are looked at.
const FIS_LEN: usize = 20;
/// Fewest dwords of a command FIS.
const FIS_DWORDS: u32 = 5;
const FIS_H2D: u8 = 0x27;
const FIS_IS_COMMAND: u8 = 0x80;
const PACKET_AT: u64 = 0x40;
const REGIONS_AT: u64 = 0x80;
const REGION_LEN: u64 = 16;
const REGION_BYTES: u32 = 0x3f_ffff;
const REGION_INTERRUPT: u32 = 1 << 31;
/// Bytes moved at a time.
const CHUNK: usize = 64 << 10;

/// A command header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    at: u64,
    /// Dwords of the command FIS.
    fis_dwords: u32,
    /// Entries of the table of regions.
    regions: u32,
    table: u64,
}

impl Header {
    pub fn read(dma: &mut dyn Dma, list: u64, slot: u8) -> Self {
        let at = list.wrapping_add(u64::from(slot) * HEADER_LEN);
        let mut bytes = [0; 16];
        dma.read(at, &mut bytes);
        let word = u128::from_le_bytes(bytes);
        let first = word as u32;
        Self { at, fis_dwords: first & 0x1f, regions: first >> 16, table: (word >> 64) as u64 & !0x7f }
    }

    /// PRDBC: how many bytes were moved.
    pub fn set_moved(&self, dma: &mut dyn Dma, bytes: u64) {
        dma.write(self.at.wrapping_add(4), &(bytes as u32).to_le_bytes());
    }

    /// What the command FIS and the ATAPI command say; none if it is no FIS from a host.
    pub fn task(&self, dma: &mut dyn Dma) -> Option<Task> {
        let (mut fis, mut packet) = ([0; FIS_LEN], [0; 16]);
        dma.read(self.table, &mut fis);
        dma.read(self.table.wrapping_add(PACKET_AT), &mut packet);
        if self.fis_dwords < FIS_DWORDS || fis[0] != FIS_H2D {
            return None;
        }
        let byte = |at: usize| u64::from(fis[at]);
        Some(Task {
            is_command: fis[1] & FIS_IS_COMMAND != 0,
            command: fis[2],
            features: u16::from_le_bytes([fis[3], fis[11]]),
            lba: byte(4) | byte(5) << 8 | byte(6) << 16 | byte(8) << 24 | byte(9) << 32 | byte(10) << 40,
            count: u16::from_le_bytes([fis[12], fis[13]]),
            device: fis[7],
            control: fis[15],
            packet,
        })
    }
}

/// The registers of a command, as the host's FIS has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Task {
    /// The FIS is for the command register, not for device control.
    pub is_command: bool,
    pub command: u8,
    pub features: u16,
    /// 48 bits.
    pub lba: u64,
    pub count: u16,
    pub device: u8,
    pub control: u8,
    /// The packet of a PACKET command.
    pub packet: [u8; 16],
}

impl Task {
    /// Whether a FIS can have said so, as a file may not.
    pub fn is_possible(&self) -> bool {
        self.is_command && self.lba < 1 << 48
    }
}

/// Data on its way between a command's regions and the device.
pub(super) struct Transfer<'a> {
    dma: &'a mut dyn Dma,
    header: Header,
    /// The region that is in use, and how far.
    index: u32,
    offset: u32,
    /// Bytes moved.
    pub moved: u64,
    /// A region that asks for an interrupt was filled or emptied.
    pub interrupt: bool,
    /// There was more data than room.
    pub overflow: bool,
}

/// A run of bytes in memory.
struct Piece {
    address: u64,
    len: usize,
}

impl<'a> Transfer<'a> {
    pub fn new(dma: &'a mut dyn Dma, header: Header) -> Self {
        Self { dma, header, index: 0, offset: 0, moved: 0, interrupt: false, overflow: false }
    }

    /// The next run of at most `most` bytes.
    fn next(&mut self, most: u64) -> Option<Piece> {
        if self.index >= self.header.regions {
            self.overflow = true;
            return None;
        }
        let mut bytes = [0; REGION_LEN as usize];
        let at = REGIONS_AT + u64::from(self.index) * REGION_LEN;
        self.dma.read(self.header.table.wrapping_add(at), &mut bytes);
        let word = u128::from_le_bytes(bytes);
        let (base, last) = (word as u64 & !1, (word >> 96) as u32);
        // Regions have an even number of bytes.
        let len = (last & REGION_BYTES | 1) + 1;
        let left = len.saturating_sub(self.offset).max(1);
        let taken = u64::from(left).min(most).min(CHUNK as u64) as u32;
        let piece = Piece { address: base.wrapping_add(self.offset.into()), len: taken as usize };
        self.offset += taken;
        if self.offset >= len {
            (self.index, self.offset) = (self.index + 1, 0);
            self.interrupt |= last & REGION_INTERRUPT != 0;
        }
        self.moved += u64::from(taken);
        Some(piece)
    }

    /// Moves `bytes` to memory.
    pub fn give(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(piece) = self.next(bytes.len() as u64) else { return };
            let (now, rest) = bytes.split_at(piece.len);
            self.dma.write(piece.address, now);
            bytes = rest;
        }
    }

    /// Moves `len` bytes of a disk from byte `at` on to memory; where it cannot be read.
    pub fn read_disk(&mut self, disk: u8, at: u64, len: u64) -> Result<(), u64> {
        let (mut here, mut buffer) = (at, vec![0; CHUNK]);
        while here < at + len {
            let Some(piece) = self.next(at + len - here) else { break };
            let bytes = &mut buffer[..piece.len];
            if let Err(MediumError) = self.dma.read_disk(disk, here, bytes) {
                return Err(here);
            }
            self.dma.write(piece.address, bytes);
            here += piece.len as u64;
        }
        Ok(())
    }

    /// Moves `len` bytes of memory to a disk from byte `at` on; where it cannot be written.
    pub fn write_disk(&mut self, disk: u8, at: u64, len: u64) -> Result<(), u64> {
        let (mut here, mut buffer) = (at, vec![0; CHUNK]);
        while here < at + len {
            let Some(piece) = self.next(at + len - here) else { break };
            let bytes = &mut buffer[..piece.len];
            self.dma.read(piece.address, bytes);
            if let Err(MediumError) = self.dma.write_disk(disk, here, bytes) {
                return Err(here);
            }
            here += piece.len as u64;
        }
        Ok(())
    }
}
