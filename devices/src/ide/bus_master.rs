//! The bus master of a channel (82371SB, 2.6): its registers, and the regions its table describes.

use crate::ata::transfer::{Piece, Pieces};
use crate::device::Dma;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const COMMAND_START: u8 = 1;
/// Towards memory.
const COMMAND_TO_MEMORY: u8 = 1 << 3;
const STATUS_ACTIVE: u8 = 1;
const STATUS_ERROR: u8 = 1 << 1;
const STATUS_INTERRUPT: u8 = 1 << 2;
/// What software says of the drives.
const STATUS_CAPABLE: u8 = 3 << 5;

const ENTRY_LEN: u64 = 8;
const ENTRY_LAST: u64 = 1 << 63;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct BusMaster {
    command: u8,
    status: u8,
    /// Address of the table.
    table: u32,
}

impl BusMaster {
    pub fn read(&self, at: u64) -> u8 {
        match at {
            0 => self.command,
            2 => self.status,
            4..8 => self.table.to_le_bytes()[at as usize & 3],
            _ => 0,
        }
    }

    pub fn write(&mut self, at: u64, value: u8) {
        match at {
            0 => {
                let starts = value & !self.command & COMMAND_START != 0;
                self.command = value & (COMMAND_START | COMMAND_TO_MEMORY);
                if starts {
                    self.status |= STATUS_ACTIVE;
                } else if value & COMMAND_START == 0 {
                    self.status &= !STATUS_ACTIVE;
                }
            }
            2 => {
                let kept = self.status & !(value & (STATUS_ERROR | STATUS_INTERRUPT)) & !STATUS_CAPABLE;
                self.status = kept | value & STATUS_CAPABLE;
            }
            4..8 => {
                let shift = (at & 3) * 8;
                self.table = (self.table & !(0xff << shift) | u32::from(value) << shift) & !3;
            }
            _ => {}
        }
    }

    /// Whether it moves data in a direction now.
    pub fn moves(&self, to_memory: bool) -> bool {
        self.status & STATUS_ACTIVE != 0 && (self.command & COMMAND_TO_MEMORY != 0) == to_memory
    }

    /// The drive interrupts.
    pub fn interrupt(&mut self) {
        self.status |= STATUS_INTERRUPT;
    }

    /// It came to the end of its table.
    pub fn rest(&mut self) {
        self.status &= !STATUS_ACTIVE;
    }

    /// The regions of the table.
    pub fn regions<'a>(&self, dma: &'a mut dyn Dma) -> Regions<'a> {
        Regions { dma, entry: self.table.into(), offset: 0, taken: 0, ended: false, overflow: false }
    }

    pub fn is_possible(&self) -> bool {
        let Self { command, status, table } = self;
        command & !(COMMAND_START | COMMAND_TO_MEMORY) == 0
            && status & !(STATUS_ACTIVE | STATUS_ERROR | STATUS_INTERRUPT | STATUS_CAPABLE) == 0
            && (command & COMMAND_START != 0 || status & STATUS_ACTIVE == 0)
            && table & 3 == 0
    }
}

/// The regions, and how far they are used.
pub(super) struct Regions<'a> {
    dma: &'a mut dyn Dma,
    /// Address of the entry that is in use.
    entry: u64,
    offset: u64,
    taken: u64,
    /// The last region was used up.
    pub ended: bool,
    /// There was more data than room.
    pub overflow: bool,
}

impl Pieces for Regions<'_> {
    fn dma(&mut self) -> &mut dyn Dma {
        self.dma
    }

    fn next(&mut self, most: u64) -> Option<Piece> {
        if self.ended {
            self.overflow = true;
            return None;
        }
        let mut bytes = [0; ENTRY_LEN as usize];
        self.dma.read(self.entry, &mut bytes);
        let word = u64::from_le_bytes(bytes);
        let len = match word >> 32 & 0xfffe {
            0 => 0x1_0000,
            len => len,
        };
        // The data that was moved may lie over the table.
        let taken = len.saturating_sub(self.offset).clamp(1, most.max(1));
        let address = (word as u32 & !1).wrapping_add(self.offset as u32);
        self.offset += taken;
        if self.offset >= len {
            self.ended = word & ENTRY_LAST != 0;
            (self.entry, self.offset) = (self.entry + ENTRY_LEN & 0xffff_ffff, 0);
        }
        self.taken += taken;
        Some(Piece { address: address.into(), len: taken as usize })
    }

    fn taken(&self) -> u64 {
        self.taken
    }
}
