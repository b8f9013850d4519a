//! The registers of a drive at an IDE channel (ATA/ATAPI-6, 7). Some are two deep: the upper halves are what was written
//! before, as commands with 48 bits of sector number have it.

use crate::ata::drive::Outcome;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Where they are in the command block.
pub(super) const DATA: u64 = 0;
const ERROR: u64 = 1;
const COUNT: u64 = 2;
pub(super) const DEVICE: u64 = 6;
pub(super) const STATUS: u64 = 7;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Registers {
    pub features: u16,
    pub count: u16,
    /// 48 bits.
    pub lba: u64,
    pub status: u8,
    pub error: u8,
}

impl Registers {
    /// Writes features, count or a byte of the sector number.
    pub fn write(&mut self, at: u64, value: u8) {
        let deeper = |old: u16| old << 8 | u16::from(value);
        match at {
            ERROR => self.features = deeper(self.features),
            COUNT => self.count = deeper(self.count),
            3..=5 => {
                let (now, before) = ((at - 3) * 8, (at - 3) * 8 + 24);
                let old = self.lba >> now & 0xff;
                self.lba &= !(0xff << now | 0xff << before);
                self.lba |= u64::from(value) << now | old << before;
            }
            _ => {}
        }
    }

    /// Reads error, count or a byte of the sector number, of the latter two the upper half if `high`.
    pub fn read(&self, at: u64, high: bool) -> u8 {
        match at {
            ERROR => self.error,
            COUNT => (self.count >> if high { 8 } else { 0 }) as u8,
            3..=5 => (self.lba >> ((at - 3) * 8 + if high { 24 } else { 0 })) as u8,
            _ => 0,
        }
    }

    /// A command ended.
    pub fn set(&mut self, outcome: &Outcome) {
        (self.status, self.error) = (outcome.status, outcome.error);
        (self.count, self.lba) = (outcome.count, outcome.lba);
    }

    /// Bytes of a packet's data: how many there are, and of the register by which the host says how many it takes at most.
    pub fn set_byte_count(&mut self, bytes: u16) {
        self.lba = self.lba & !0xff_ff00 | u64::from(bytes) << 8;
    }
}
