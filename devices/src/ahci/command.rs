//! What a driver leaves in memory: command headers, command tables and their physical regions (AHCI 1.3.1, 4.2), and the
//! regions as pieces of memory.

use crate::ata::task::Task;
use crate::ata::transfer::{Piece, Pieces};
use crate::device::Dma;

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

/// The regions of a command, and how far they are used.
pub(super) struct Regions<'a> {
    dma: &'a mut dyn Dma,
    header: Header,
    /// The region that is in use, and how far.
    index: u32,
    offset: u32,
    /// Bytes of the regions so far.
    pub moved: u64,
    /// A region that asks for an interrupt was filled or emptied.
    pub interrupt: bool,
    /// There was more data than room.
    pub overflow: bool,
}

impl<'a> Regions<'a> {
    pub fn new(dma: &'a mut dyn Dma, header: Header) -> Self {
        Self { dma, header, index: 0, offset: 0, moved: 0, interrupt: false, overflow: false }
    }
}

impl Pieces for Regions<'_> {
    fn dma(&mut self) -> &mut dyn Dma {
        self.dma
    }

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
        let taken = u64::from(left).min(most) as u32;
        let piece = Piece { address: base.wrapping_add(self.offset.into()), len: taken as usize };
        self.offset += taken;
        if self.offset >= len {
            (self.index, self.offset) = (self.index + 1, 0);
            self.interrupt |= last & REGION_INTERRUPT != 0;
        }
        self.moved += u64::from(taken);
        Some(piece)
    }

    fn taken(&self) -> u64 {
        self.moved
    }
}
