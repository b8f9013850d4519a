//! Guest-physical address maps: what lies behind each 4 KiB page.

use crate::pool::{FrameId, PAGE};

/// What a page of the guest-physical address space leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Consecutive frames, the first of which is named.
    Frames(FrameId),
    /// A device, or nothing that is memory: accesses go to the bus.
    Device,
    /// Nothing: reads give all ones, writes are dropped (a write to ROM).
    Open,
}

impl Backing {
    fn advance(self, pages: u64) -> Self {
        match self {
            Self::Frames(FrameId(first)) => Self::Frames(FrameId(first + pages as u32)),
            other => other,
        }
    }
}

/// A page-aligned range of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRange {
    /// First guest-physical address, page-aligned.
    pub base: u64,
    /// Length in bytes, a multiple of the page size.
    pub len: u64,
    /// Where reads and instruction fetches go.
    pub read: Backing,
    /// Where writes go.
    pub write: Backing,
}

impl MapRange {
    fn holds(&self, gpa: u64) -> bool {
        gpa.wrapping_sub(self.base) < self.len
    }
}

/// The guest-physical address space as one view sees it. Pages in no range belong to devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap {
    ranges: Vec<MapRange>,
    /// The largest of them, which is asked for most.
    largest: Option<MapRange>,
}

impl AddressMap {
    /// Makes a map of ranges that do not overlap.
    pub fn new(mut ranges: Vec<MapRange>) -> Self {
        ranges.retain(|range| range.len >= PAGE);
        ranges.sort_by_key(|range| range.base);
        debug_assert!(ranges.windows(2).all(|pair| pair[0].base + pair[0].len <= pair[1].base));
        let largest = ranges.iter().max_by_key(|range| range.len).copied();
        Self { ranges, largest }
    }

    /// (read, write) backing of the page that `gpa` lies in.
    #[inline]
    pub fn lookup(&self, gpa: u64) -> (Backing, Backing) {
        match self.largest.filter(|range| range.holds(gpa)).or_else(|| self.range_of(gpa)) {
            Some(range) => {
                let pages = (gpa - range.base) / PAGE;
                (range.read.advance(pages), range.write.advance(pages))
            }
            None => (Backing::Device, Backing::Device),
        }
    }

    fn range_of(&self, gpa: u64) -> Option<MapRange> {
        let after = self.ranges.partition_point(|range| range.base <= gpa);
        self.ranges.get(after.checked_sub(1)?).filter(|range| range.holds(gpa)).copied()
    }

    /// The ranges, by address.
    pub fn ranges(&self) -> &[MapRange] {
        &self.ranges
    }
}
