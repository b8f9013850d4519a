//! A ring of descriptors: base, length, head and tail (manual, 3.2.6 and 3.4).

use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Bytes of a descriptor.
pub const DESCRIPTOR: u64 = 16;
/// Writable bits of the length: whole cache lines.
const LENGTH_BITS: u32 = 0xf_ff80;
const INDEX_BITS: u32 = 0xffff;

/// See the module. Head and tail are what software made them: the ring is empty where they make no sense.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Ring {
    base: u64,
    length: u32,
    head: u32,
    tail: u32,
}

impl Ring {
    /// Reads the register `at` bytes behind the first.
    pub fn read(&self, at: u64) -> u32 {
        match at {
            0x00 => self.base as u32,
            0x04 => (self.base >> 32) as u32,
            0x08 => self.length,
            0x10 => self.head,
            0x18 => self.tail,
            _ => 0,
        }
    }

    /// Writes the register `at` bytes behind the first.
    pub fn write(&mut self, at: u64, value: u32) {
        match at {
            0x00 => self.base = self.base & !0xffff_ffff | u64::from(value & !0xf),
            0x04 => self.base = self.base & 0xffff_ffff | u64::from(value) << 32,
            0x08 => self.length = value & LENGTH_BITS,
            0x10 => self.head = value & INDEX_BITS,
            0x18 => self.tail = value & INDEX_BITS,
            _ => {}
        }
    }

    /// Descriptors it has.
    pub fn size(&self) -> u32 {
        self.length / DESCRIPTOR as u32
    }

    /// Descriptors from head to tail.
    pub fn available(&self) -> u32 {
        let size = self.size();
        if self.head >= size || self.tail >= size {
            return 0;
        }
        (self.tail + size - self.head) % size
    }

    /// Where descriptor `n` from the head on is. There must be such a one.
    pub fn place(&self, n: u32) -> u64 {
        let index = (self.head + n) % self.size().max(1);
        self.base.wrapping_add(u64::from(index) * DESCRIPTOR)
    }

    /// Moves the head over `n` descriptors.
    pub fn advance(&mut self, n: u32) {
        self.head = (self.head + n) % self.size().max(1);
    }

    /// Whether it could be a state: registers without bits they do not have.
    pub fn is_consistent(&self) -> bool {
        self.base & 0xf == 0 && self.length & !LENGTH_BITS == 0 && (self.head | self.tail) & !INDEX_BITS == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_from_head_to_tail() {
        let mut ring = Ring::default();
        assert_eq!(ring.available(), 0);
        for (at, value) in [(0, 0x1234_5678), (4, 9), (8, 0x8f), (0x10, 6), (0x18, 2)] {
            ring.write(at, value);
        }
        assert_eq!([ring.read(0), ring.read(4), ring.read(8)], [0x1234_5670, 9, 0x80]);
        assert_eq!((ring.size(), ring.available()), (8, 4));
        assert_eq!(ring.place(3), 0x9_1234_5670 + 16);
        ring.advance(4);
        assert_eq!((ring.read(0x10), ring.available()), (2, 0));
        ring.write(0x18, 8);
        assert_eq!(ring.available(), 0, "there is no such descriptor");
    }
}
