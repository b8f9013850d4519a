//! Split virtqueues as the device sees them (virtio 1.2, 2.7). Everything in them is the guest's: every index is taken
//! modulo the queue's size, every chain is bounded, and what makes no sense breaks the queue.

use crate::device::Dma;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Largest queue a device here offers.
pub(crate) const QUEUE_SIZE_MAX: u16 = 256;
/// Most descriptors of a chain, with those of an indirect table. A driver's are no longer than its queue.
const CHAIN_MAX: usize = 1024;

const DESCRIPTOR: u64 = 16;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAIL_NO_INTERRUPT: u16 = 1;
/// Offset of the rings' entries, behind flags and index.
const RING: u64 = 4;

/// No MSI-X vector.
pub(crate) const NO_VECTOR: u16 = 0xffff;

/// What a driver did that makes no sense. The device needs a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub &'static str);

/// What driver and device agreed on that concerns queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingFeatures {
    pub indirect: bool,
    pub event_index: bool,
}

/// A buffer in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub address: u64,
    pub len: u32,
}

/// The buffers of a chain: those the device reads, then those it writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub readable: Vec<Segment>,
    pub writable: Vec<Segment>,
}

/// A queue as the driver set it up, and how far the device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Queue {
    pub size: u16,
    pub enabled: bool,
    /// MSI-X vector of its interrupts.
    pub vector: u16,
    /// Descriptor table, available ring and used ring.
    pub descriptors: u64,
    pub driver: u64,
    pub device: u64,
    /// Index of the next available entry, and of the next used one. They run freely.
    next_avail: u16,
    next_used: u16,
}

#[derive(Clone, Copy)]
struct Descriptor {
    segment: Segment,
    flags: u16,
    next: u16,
}

impl Queue {
    pub fn new() -> Self {
        Self {
            size: QUEUE_SIZE_MAX,
            enabled: false,
            vector: NO_VECTOR,
            descriptors: 0,
            driver: 0,
            device: 0,
            next_avail: 0,
            next_used: 0,
        }
    }

    /// Whether it could be a queue of a device with `vectors` messages, as one from a file may not.
    pub fn is_consistent(&self, vectors: u16) -> bool {
        is_size(self.size) && (self.vector < vectors || self.vector == NO_VECTOR)
    }

    fn slot(&self, index: u16) -> u64 {
        u64::from(index & (self.size - 1))
    }

    /// The head of the next available chain.
    pub fn pop(&mut self, dma: &mut dyn Dma) -> Result<Option<u16>, Broken> {
        let waiting = read_u16(dma, self.driver.wrapping_add(2)).wrapping_sub(self.next_avail);
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.size {
            return Err(Broken("the available index is further ahead than the queue is long"));
        }
        let entry = RING + 2 * self.slot(self.next_avail);
        let head = read_u16(dma, self.driver.wrapping_add(entry));
        if head >= self.size {
            return Err(Broken("an available entry names no descriptor"));
        }
        self.next_avail = self.next_avail.wrapping_add(1);
        Ok(Some(head))
    }

    /// Whether a chain is available.
    pub fn has_chain(&self, dma: &mut dyn Dma) -> bool {
        read_u16(dma, self.driver.wrapping_add(2)) != self.next_avail
    }

    /// Leaves the last `count` chains that were taken available.
    pub fn put_back(&mut self, count: u16) {
        self.next_avail = self.next_avail.wrapping_sub(count);
    }

    /// Tells the driver that it need not notify before the next entry.
    pub fn ask_for_notification(&self, dma: &mut dyn Dma, features: RingFeatures) {
        if features.event_index {
            let at = RING + 8 * u64::from(self.size);
            dma.write(self.device.wrapping_add(at), &self.next_avail.to_le_bytes());
        }
    }

    /// The buffers of the chain that begins at `head`.
    pub fn chain(&self, dma: &mut dyn Dma, head: u16, features: RingFeatures) -> Result<Chain, Broken> {
        let (mut table, mut entries) = (self.descriptors, u32::from(self.size));
        let (mut chain, mut index, mut indirect) = (Chain::default(), head, false);
        for _ in 0..CHAIN_MAX {
            if u32::from(index) >= entries {
                return Err(Broken("a chain leads to no descriptor"));
            }
            let descriptor = read_descriptor(dma, table, index);
            if descriptor.flags & INDIRECT != 0 {
                let Segment { address, len } = descriptor.segment;
                let whole = len != 0 && u64::from(len).is_multiple_of(DESCRIPTOR);
                if !features.indirect || indirect || descriptor.flags & NEXT != 0 || !whole {
                    return Err(Broken(
                        "an indirect descriptor where there must be none, or of an odd length",
                    ));
                }
                (table, entries, index, indirect) = (address, len / DESCRIPTOR as u32, 0, true);
                continue;
            }
            chain.add(descriptor)?;
            if descriptor.flags & NEXT == 0 {
                return Ok(chain);
            }
            index = descriptor.next;
        }
        Err(Broken("a chain does not end"))
    }

    /// Gives a chain back, `len` bytes of whose writable buffers were written.
    pub fn push(&mut self, dma: &mut dyn Dma, head: u16, len: u32) {
        let at = self.device.wrapping_add(RING + 8 * self.slot(self.next_used));
        let mut entry = [0; 8];
        entry[..2].copy_from_slice(&head.to_le_bytes());
        entry[4..].copy_from_slice(&len.to_le_bytes());
        dma.write(at, &entry);
        self.next_used = self.next_used.wrapping_add(1);
        dma.write(self.device.wrapping_add(2), &self.next_used.to_le_bytes());
    }

    /// Index of the next used entry.
    pub fn used(&self) -> u16 {
        self.next_used
    }

    /// Whether the driver wants to hear of the entries used since the index was `before`.
    pub fn wants_interrupt(&self, dma: &mut dyn Dma, before: u16, features: RingFeatures) -> bool {
        if self.next_used == before {
            return false;
        }
        if !features.event_index {
            return read_u16(dma, self.driver) & AVAIL_NO_INTERRUPT == 0;
        }
        let at = RING + 2 * u64::from(self.size);
        let event = read_u16(dma, self.driver.wrapping_add(at));
        // The index passed the one the driver asked for (2.7.10).
        let passed = self.next_used.wrapping_sub(event).wrapping_sub(1);
        passed < self.next_used.wrapping_sub(before)
    }
}

/// Whether a queue may have this size.
pub(crate) fn is_size(size: u16) -> bool {
    size.is_power_of_two() && size <= QUEUE_SIZE_MAX
}

impl Chain {
    fn add(&mut self, descriptor: Descriptor) -> Result<(), Broken> {
        if descriptor.segment.len == 0 {
            return Err(Broken("a descriptor of no bytes"));
        }
        if descriptor.flags & WRITE != 0 {
            self.writable.push(descriptor.segment);
        } else if self.writable.is_empty() {
            self.readable.push(descriptor.segment);
        } else {
            return Err(Broken("a readable descriptor behind a writable one"));
        }
        Ok(())
    }
}

/// Bytes of buffers.
pub(crate) fn total(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| u64::from(segment.len)).sum()
}

/// The part of `segments` from byte `skip` on, `len` bytes of it.
pub(crate) fn part(segments: &[Segment], skip: u64, len: u64) -> Vec<Segment> {
    let (mut skip, mut left, mut parts) = (skip, len, Vec::new());
    for segment in segments {
        let here = u64::from(segment.len);
        let taken = here.saturating_sub(skip).min(left);
        if taken > 0 {
            parts.push(Segment { address: segment.address.wrapping_add(skip), len: taken as u32 });
            left -= taken;
        }
        skip = skip.saturating_sub(here);
    }
    parts
}

/// Reads the first bytes of buffers, as many as they have and `into` holds.
pub(crate) fn gather(dma: &mut dyn Dma, segments: &[Segment], into: &mut [u8]) {
    let mut at = 0;
    for segment in part(segments, 0, into.len() as u64) {
        let end = at + segment.len as usize;
        dma.read(segment.address, &mut into[at..end]);
        at = end;
    }
}

/// Writes the first bytes of buffers, as many as they have room for.
pub(crate) fn scatter(dma: &mut dyn Dma, segments: &[Segment], from: &[u8]) {
    let mut at = 0;
    for segment in part(segments, 0, from.len() as u64) {
        let end = at + segment.len as usize;
        dma.write(segment.address, &from[at..end]);
        at = end;
    }
}

fn read_u16(dma: &mut dyn Dma, gpa: u64) -> u16 {
    let mut bytes = [0; 2];
    dma.read(gpa, &mut bytes);
    u16::from_le_bytes(bytes)
}

fn read_descriptor(dma: &mut dyn Dma, table: u64, index: u16) -> Descriptor {
    let mut raw = [0; DESCRIPTOR as usize];
    dma.read(table.wrapping_add(u64::from(index) * DESCRIPTOR), &mut raw);
    let word = u128::from_le_bytes(raw);
    Descriptor {
        segment: Segment { address: word as u64, len: (word >> 64) as u32 },
        flags: (word >> 96) as u16,
        next: (word >> 112) as u16,
    }
}

#[cfg(test)]
mod tests;
