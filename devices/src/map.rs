//! The map of guest-physical memory: which address is backed by what, for reads and for writes.

/// Memory that is large and lives outside the devices' sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegionId {
    /// Guest RAM, one region: what is below 4 GiB first, then what is above.
    Ram,
    /// The firmware image, its variables first, and behind it the display's option ROM.
    Firmware,
    /// Video memory.
    Vram,
    /// The memory module in this slot.
    Dimm(u8),
}

/// Bytes of video memory of a display that shows text alone: 0xB8000-0xBFFFF.
pub(crate) const VRAM_LEN_TEXT: u64 = 0x8000;

/// What answers an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Memory, from `offset` in the region on.
    Region { region: RegionId, offset: u64 },
    /// Registers: ask [`crate::Platform::mmio_read`] and [`crate::Platform::mmio_write`].
    Device,
    /// Nothing: reads as ones, writes are lost.
    Open,
}

/// A range of guest-physical addresses with one answer. Ranges of a map are in order and do not overlap;
/// addresses in none of them are [`Backing::Open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRange {
    /// First guest-physical address.
    pub base: u64,
    /// Bytes.
    pub len: u64,
    /// What answers reads and instruction fetches.
    pub read: Backing,
    /// What takes writes.
    pub write: Backing,
}

impl MapRange {
    /// A range whose reads and writes go to the same place.
    pub fn new(base: u64, len: u64, backing: Backing) -> Self {
        Self { base, len, read: backing, write: backing }
    }

    /// RAM at `base` that is `offset` into the region.
    pub fn ram(base: u64, len: u64, offset: u64) -> Self {
        Self::new(base, len, Backing::Region { region: RegionId::Ram, offset })
    }

    /// First address after the range.
    pub fn end(&self) -> u64 {
        self.base + self.len
    }

    /// The part of the range within `base..end`, with the regions' offsets moved along.
    fn clip(&self, base: u64, end: u64) -> Option<Self> {
        let (start, end) = (self.base.max(base), self.end().min(end));
        let moved = |backing: Backing| match backing {
            Backing::Region { region, offset } => {
                Backing::Region { region, offset: offset + (start.saturating_sub(self.base)) }
            }
            other => other,
        };
        (start < end).then(|| Self {
            base: start,
            len: end - start,
            read: moved(self.read),
            write: moved(self.write),
        })
    }
}

/// Puts `layers` on top of each other, later ones above, and merges what belongs together.
pub fn flatten(layers: &[MapRange]) -> Vec<MapRange> {
    let mut map: Vec<MapRange> = Vec::new();
    for layer in layers.iter().filter(|layer| layer.len > 0) {
        let mut next = Vec::with_capacity(map.len() + 2);
        for range in &map {
            next.extend(range.clip(0, layer.base));
            next.extend(range.clip(layer.end(), u64::MAX));
        }
        next.push(*layer);
        next.sort_by_key(|range| range.base);
        map = next;
    }
    map.retain(|range| (range.read, range.write) != (Backing::Open, Backing::Open));
    merge(map)
}

fn merge(map: Vec<MapRange>) -> Vec<MapRange> {
    let continues = |before: Backing, len: u64, after: Backing| match (before, after) {
        (Backing::Region { region: a, offset: at }, Backing::Region { region: b, offset }) => {
            a == b && at + len == offset
        }
        (before, after) => before == after,
    };
    let mut merged: Vec<MapRange> = Vec::with_capacity(map.len());
    for range in map {
        match merged.last_mut() {
            Some(last)
                if last.end() == range.base
                    && continues(last.read, last.len, range.read)
                    && continues(last.write, last.len, range.write) =>
            {
                last.len += range.len;
            }
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_cover_earlier_ones_and_neighbours_merge() {
        let map = flatten(&[
            MapRange::ram(0, 0x10_0000, 0),
            MapRange::new(0xa_0000, 0x2_0000, Backing::Open),
            MapRange::ram(0xc_0000, 0x4000, 0xc_0000),
        ]);
        assert_eq!(map, [MapRange::ram(0, 0xa_0000, 0), MapRange::ram(0xc_0000, 0x4_0000, 0xc_0000)]);
    }
}
