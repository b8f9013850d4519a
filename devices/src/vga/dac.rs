//! The colour table: 256 entries of three bytes, of 6 bits or, by DISPI, 8.

use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

pub(crate) const PALETTE_BYTES: usize = 768;

/// The table and where it is read and written next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Dac {
    pub mask: u8,
    /// Byte that is read or written next; entries have three.
    pub read: u16,
    pub write: u16,
    pub reading: bool,
    pub palette: Vec<u8>,
}

impl Dac {
    pub fn new() -> Self {
        Self { mask: 0xff, read: 0, write: 0, reading: false, palette: vec![0; PALETTE_BYTES] }
    }

    pub fn start_reading(&mut self, entry: u8) {
        self.read = u16::from(entry) * 3;
        self.reading = true;
    }

    pub fn start_writing(&mut self, entry: u8) {
        self.write = u16::from(entry) * 3;
        self.reading = false;
    }

    pub fn read(&mut self) -> u8 {
        let byte = self.palette[usize::from(self.read)];
        self.read = (self.read + 1) % PALETTE_BYTES as u16;
        byte
    }

    /// `wide`: colours have 8 bits, not 6.
    pub fn write(&mut self, value: u8, wide: bool) {
        self.palette[usize::from(self.write)] = if wide { value } else { value & 0x3f };
        self.write = (self.write + 1) % PALETTE_BYTES as u16;
    }

    /// An entry's red, green and blue, of 8 bits each.
    pub fn colour(&self, entry: u8, wide: bool) -> [u8; 3] {
        let at = usize::from(entry & self.mask) * 3;
        let bits = |byte: u8| if wide { byte } else { byte << 2 | byte >> 4 & 3 };
        [bits(self.palette[at]), bits(self.palette[at + 1]), bits(self.palette[at + 2])]
    }

    pub fn impossible(&self) -> Option<(&'static str, String)> {
        if self.palette.len() != PALETTE_BYTES {
            return Some(("palette", format!("{} bytes", self.palette.len())));
        }
        let position = self.read.max(self.write);
        (usize::from(position) >= PALETTE_BYTES).then(|| ("palette position", position.to_string()))
    }
}
