//! MSI-X: the table of messages and the pending bits, as a BAR shows them (PCI 3.0, 6.8.2).

use crate::effects::{Effect, Effects};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Offset of the pending bits in the BAR, behind the largest table.
pub(crate) const PBA: u64 = 0x800;
/// Bytes of the BAR.
pub(crate) const MSIX_LEN: u64 = 0x1000;
/// Most vectors a function here may have: one word of pending bits.
const VECTORS_MAX: usize = 64;
const ENTRY: u64 = 16;
const MASKED: u32 = 1;

/// Message control: MSI-X is in use.
pub(crate) const CONTROL_ENABLE: u16 = 1 << 15;
/// Message control: every vector is masked.
pub(crate) const CONTROL_MASK: u16 = 1 << 14;

/// An entry of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Entry {
    address: u64,
    data: u32,
    /// Bit 0 masks the vector; the others are reserved.
    control: u32,
}

/// Table and pending bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Msix {
    table: Vec<Entry>,
    pending: u64,
}

impl Msix {
    pub fn new(vectors: usize) -> Self {
        let masked = Entry { address: 0, data: 0, control: MASKED };
        Self { table: vec![masked; vectors.min(VECTORS_MAX)], pending: 0 }
    }

    pub fn vectors(&self) -> usize {
        self.table.len()
    }

    /// Sends the message of a vector, or keeps it pending while it is masked or the function must not send (`open`).
    pub fn send(&mut self, effects: &mut Effects, open: bool, vector: u16) {
        if usize::from(vector) < self.table.len() {
            self.pending |= 1 << vector;
            self.flush(effects, open);
        }
    }

    /// Sends what is pending and not masked any more.
    pub fn flush(&mut self, effects: &mut Effects, open: bool) {
        for (n, entry) in self.table.iter().enumerate() {
            let bit = 1 << n;
            if open && self.pending & bit != 0 && entry.control & MASKED == 0 {
                self.pending &= !bit;
                effects.push(Effect::Msi { address: entry.address, data: entry.data });
            }
        }
    }

    pub fn read(&self, offset: u64, size: u8) -> u64 {
        (0..u64::from(size))
            .fold(0, |value, index| value | u64::from(self.byte(offset + index)) << (index * 8))
    }

    fn byte(&self, offset: u64) -> u8 {
        if let Some(at) = offset.checked_sub(PBA) {
            return self.pending.to_le_bytes().get(at as usize).copied().unwrap_or(0);
        }
        let entry = self.table.get((offset / ENTRY) as usize);
        entry.map_or(0, |entry| bytes(entry)[(offset % ENTRY) as usize])
    }

    pub fn write(&mut self, effects: &mut Effects, open: bool, offset: u64, size: u8, value: u64) {
        for index in 0..u64::from(size) {
            let at = offset + index;
            // The pending bits are read-only.
            if let Some(entry) = self.table.get_mut((at / ENTRY) as usize).filter(|_| at < PBA) {
                let mut raw = bytes(entry);
                raw[(at % ENTRY) as usize] = (value >> (index * 8)) as u8;
                *entry = from_bytes(raw);
            }
        }
        self.flush(effects, open);
    }

    /// Whether it has `vectors` entries and only bits of theirs pending, as one from a file may not.
    pub fn is_consistent(&self, vectors: usize) -> bool {
        let bits = self.pending.checked_shr(vectors as u32).unwrap_or(0);
        self.table.len() == vectors
            && bits == 0
            && self.table.iter().all(|entry| entry.control & !MASKED == 0)
    }
}

fn bytes(entry: &Entry) -> [u8; ENTRY as usize] {
    let Entry { address, data, control } = entry;
    let word = u128::from(*address) | u128::from(*data) << 64 | u128::from(*control) << 96;
    word.to_le_bytes()
}

fn from_bytes(raw: [u8; ENTRY as usize]) -> Entry {
    let word = u128::from_le_bytes(raw);
    // Messages are dwords at aligned addresses.
    Entry { address: word as u64 & !3, data: (word >> 64) as u32, control: (word >> 96) as u32 & MASKED }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(effects: &mut Effects) -> Vec<Effect> {
        effects.drain().collect()
    }

    #[test]
    fn a_masked_message_waits_and_comes_once() {
        let (mut msix, mut effects) = (Msix::new(2), Effects::default());
        msix.write(&mut effects, true, 16, 8, 0xfee0_0000);
        msix.write(&mut effects, true, 24, 4, 0x4031);
        msix.send(&mut effects, true, 1);
        msix.send(&mut effects, true, 1);
        assert_eq!((msix.read(PBA, 8), messages(&mut effects).len()), (2, 0));
        msix.write(&mut effects, false, 28, 4, 0);
        assert!(effects.is_empty(), "the function is masked");
        msix.flush(&mut effects, true);
        assert_eq!(messages(&mut effects), [Effect::Msi { address: 0xfee0_0000, data: 0x4031 }]);
        assert_eq!(msix.read(PBA, 4), 0);
        msix.send(&mut effects, true, 7);
        assert!(effects.is_empty(), "there is no vector 7");
    }

    #[test]
    fn entries_can_be_written_in_any_width() {
        let (mut msix, mut effects) = (Msix::new(3), Effects::default());
        for index in 0..16 {
            msix.write(&mut effects, true, 32 + index, 1, 0xf0 + index);
        }
        assert_eq!(msix.read(32, 8), 0xf7f6_f5f4_f3f2_f1f0);
        assert_eq!(msix.read(40, 8), 0xfbfa_f9f8);
        assert_eq!(msix.read(48, 8), 0, "there are three entries");
        msix.write(&mut effects, true, PBA, 8, u64::MAX);
        assert_eq!(msix.read(PBA, 8), 0);
    }
}
