//! Where things go in guest RAM before the first instruction: what is RAM, and what is already taken.

use super::{BootError, BootMemory, E820Kind};
use std::ops::Range;

/// First address the loaders use for their own structures; below lie the real-mode vectors and the BIOS data area.
const LOW_START: u64 = 0x1000;

/// RAM with the parts already claimed by the guest image and the loader's structures.
#[derive(Clone, Debug)]
pub(super) struct Layout<'a> {
    file: &'a str,
    ram: Vec<Range<u64>>,
    used: Vec<Range<u64>>,
}

impl<'a> Layout<'a> {
    /// A layout over the RAM of `memory`, for errors about `file`. The real-mode vectors count as used.
    pub fn new(file: &'a str, memory: &BootMemory) -> Self {
        let used = std::iter::once(0..LOW_START).collect();
        Self { file, ram: ram_ranges(memory), used }
    }

    /// Takes `[start, start + size)` for `what`.
    ///
    /// # Errors
    /// When part of it is not RAM, or something else was placed there before.
    pub fn claim(&mut self, what: &'static str, start: u64, size: u64) -> Result<(), BootError> {
        let end = start.checked_add(size);
        let inside = |end| size == 0 || self.ram.iter().any(|ram| ram.start <= start && end <= ram.end);
        let Some(end) = end.filter(|&end| inside(end)) else {
            return Err(BootError::NotRam {
                file: self.file.into(),
                what,
                start,
                size,
                ram: self.describe(),
            });
        };
        if size != 0 {
            self.used.push(start..end);
        }
        Ok(())
    }

    /// Like [`Layout::claim`], and refuses to overlap what was claimed before.
    pub fn claim_free(&mut self, what: &'static str, start: u64, size: u64) -> Result<(), BootError> {
        if let Some(taken) = self.conflict(start, size) {
            return Err(BootError::Overlap {
                file: self.file.into(),
                what,
                start,
                size,
                with: taken.start,
                end: taken.end,
            });
        }
        self.claim(what, start, size)
    }

    /// Marks everything below `end` as used.
    pub fn reserve_below(&mut self, end: u64) {
        self.used.push(0..end);
    }

    /// Lowest free place for `size` bytes whose end is not above `limit`.
    ///
    /// # Errors
    /// When no such place exists.
    pub fn lowest(
        &mut self,
        what: &'static str,
        size: u64,
        align: u64,
        limit: u64,
    ) -> Result<u64, BootError> {
        let found =
            self.candidates_up(align).into_iter().filter(|&start| self.fits(start, size, limit)).min();
        self.take(what, found, size, limit)
    }

    /// Highest free place for `size` bytes whose end is not above `limit`.
    ///
    /// # Errors
    /// When no such place exists.
    pub fn highest(
        &mut self,
        what: &'static str,
        size: u64,
        align: u64,
        limit: u64,
    ) -> Result<u64, BootError> {
        let found = self
            .candidates_down(size, align, limit)
            .into_iter()
            .filter(|&start| self.fits(start, size, limit))
            .max();
        self.take(what, found, size, limit)
    }

    fn take(
        &mut self,
        what: &'static str,
        found: Option<u64>,
        size: u64,
        limit: u64,
    ) -> Result<u64, BootError> {
        let Some(start) = found else {
            return Err(BootError::NoRoom {
                file: self.file.into(),
                what,
                size,
                limit,
                ram: self.describe(),
            });
        };
        self.used.push(start..start + size);
        Ok(start)
    }

    fn candidates_up(&self, align: u64) -> Vec<u64> {
        let starts = self.ram.iter().map(|ram| ram.start).chain(self.used.iter().map(|used| used.end));
        starts.filter_map(|start| start.checked_next_multiple_of(align)).collect()
    }

    fn candidates_down(&self, size: u64, align: u64, limit: u64) -> Vec<u64> {
        let ends = self.ram.iter().map(|ram| ram.end).chain(self.used.iter().map(|used| used.start));
        ends.filter_map(|end| Some(end.min(limit).checked_sub(size)? / align * align)).collect()
    }

    fn fits(&self, start: u64, size: u64, limit: u64) -> bool {
        let Some(end) = start.checked_add(size) else { return false };
        end <= limit
            && self.ram.iter().any(|ram| ram.start <= start && end <= ram.end)
            && self.conflict(start, size).is_none()
    }

    fn conflict(&self, start: u64, size: u64) -> Option<Range<u64>> {
        let end = start.saturating_add(size);
        self.used.iter().find(|used| used.start < end && start < used.end).cloned()
    }

    fn describe(&self) -> String {
        let ranges: Vec<_> = self.ram.iter().map(|ram| format!("{:#x}..{:#x}", ram.start, ram.end)).collect();
        ranges.join(", ")
    }
}

/// RAM ranges of the memory map, sorted, with touching ones joined.
fn ram_ranges(memory: &BootMemory) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = memory
        .e820
        .iter()
        .filter(|entry| entry.kind == E820Kind::Ram && entry.size != 0)
        .map(|entry| entry.addr..entry.addr.saturating_add(entry.size))
        .collect();
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|next, range| {
        let joins = next.start <= range.end;
        if joins {
            range.end = range.end.max(next.end);
        }
        joins
    });
    ranges
}
