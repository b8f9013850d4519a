//! A pack's index: where each object is.

use super::{HEADER, MAX_OBJECT};
use crate::hash::ObjectId;
use serde::Deserialize;

/// A record of the index: id, offset (8 bytes), stored and full length (4 each).
const RECORD: usize = 32 + 8 + 4 + 4;
/// Most bytes that were compressed together in format 1.
const MAX_RAW: usize = 16 * 4096 + MAX_OBJECT;

/// Where an object is: the bytes that are stored together, and its own among what they become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub offset: u64,
    pub stored: u32,
    /// Bytes that those stored become.
    pub raw: u32,
    /// Stored as they are.
    pub plain: bool,
    /// The object's first byte, and how many it has.
    pub start: u32,
    pub len: u32,
}

impl Place {
    /// Whether other objects are stored with it.
    pub fn is_shared(&self) -> bool {
        self.len != self.raw
    }
}

/// The index of a pack that is written.
#[derive(Default)]
pub(super) struct NewIndex(Vec<[u8; RECORD]>);

impl NewIndex {
    pub fn add(&mut self, id: ObjectId, offset: u64, stored: usize, raw: usize) {
        let mut record = [0; RECORD];
        record[..32].copy_from_slice(&id.0);
        record[32..40].copy_from_slice(&offset.to_le_bytes());
        record[40..44].copy_from_slice(&(stored as u32).to_le_bytes());
        record[44..].copy_from_slice(&(raw as u32).to_le_bytes());
        self.0.push(record);
    }

    /// The records in the order of the ids.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.0.sort_unstable();
        self.0.concat()
    }
}

/// The index of a pack that is read.
pub(super) enum Index {
    Grouped(Grouped),
    /// Records, searched as they lie in the file: opening a pack costs no more than reading them.
    Records {
        bytes: Vec<u8>,
        end: u64,
    },
}

impl Index {
    /// Reads the index of a pack of `format` whose objects end at `end`.
    pub fn parse(format: u32, bytes: Vec<u8>, end: u64) -> Result<Self, String> {
        if format == 1 {
            let grouped: Grouped =
                postcard::from_bytes(&bytes).map_err(|e| format!("its index does not parse: {e}"))?;
            grouped.check(end)?;
            return Ok(Self::Grouped(grouped));
        }
        if !bytes.len().is_multiple_of(RECORD) {
            return Err("it is damaged: its index ends within a record".to_owned());
        }
        Ok(Self::Records { bytes, end })
    }

    /// Where an object is. What leads out of the pack, or to more bytes than an object has, is nowhere.
    pub fn place(&self, id: ObjectId) -> Option<Place> {
        let (bytes, end) = match self {
            Self::Grouped(grouped) => return grouped.place(id),
            Self::Records { bytes, end } => (bytes, *end),
        };
        let (records, _) = bytes.as_chunks::<RECORD>();
        // The first 8 bytes of a hash tell almost all apart.
        let first = records.partition_point(|record| start_of(record) < start_of(&id.0));
        let same_start = records[first..].iter().take_while(|record| start_of(*record) == start_of(&id.0));
        let record = same_start.into_iter().find(|record| record[..32] == id.0)?;
        let offset = u64::from_le_bytes(record[32..40].try_into().ok()?);
        let stored = u32::from_le_bytes(record[40..44].try_into().ok()?);
        let raw = u32::from_le_bytes(record[44..].try_into().ok()?);
        let inside = offset >= HEADER && offset.checked_add(stored.into()).is_some_and(|to| to <= end);
        let place = Place { offset, stored, raw, plain: stored == raw, start: 0, len: raw };
        (inside && raw as usize <= MAX_OBJECT).then_some(place)
    }

    /// Ids of all objects, in order.
    pub fn ids(&self) -> Box<dyn Iterator<Item = ObjectId> + '_> {
        match self {
            Self::Grouped(grouped) => Box::new(grouped.entries.iter().map(|entry| entry.id)),
            Self::Records { bytes, .. } => Box::new(bytes.as_chunks::<RECORD>().0.iter().map(id_of)),
        }
    }
}

fn start_of(id: &[u8]) -> u64 {
    u64::from_be_bytes(id[..8].try_into().unwrap_or_default())
}

fn id_of(record: &[u8; RECORD]) -> ObjectId {
    ObjectId(record[..32].try_into().unwrap_or_default())
}

/// The index of format 1: several objects were compressed together.
#[derive(Default, Deserialize)]
pub(super) struct Grouped {
    blocks: Vec<Block>,
    /// By id.
    entries: Vec<Entry>,
}

/// A run of objects compressed together.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Block {
    offset: u64,
    stored: u32,
    raw: u32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Entry {
    id: ObjectId,
    block: u32,
    offset: u32,
    len: u32,
}

impl Grouped {
    /// Nothing in the index leads outside of the blocks, or makes a reader allocate more than a block.
    fn check(&self, end: u64) -> Result<(), &'static str> {
        let inside = |block: &Block| {
            block.offset >= HEADER
                && block.offset.checked_add(block.stored.into()).is_some_and(|to| to <= end)
                && block.raw as usize <= MAX_RAW
        };
        if !self.blocks.iter().all(inside) {
            return Err("it is damaged: a block lies outside of the file");
        }
        let known = |entry: &Entry| {
            self.blocks.get(entry.block as usize).is_some_and(|block| {
                entry.len as usize <= MAX_OBJECT
                    && u64::from(entry.offset) + u64::from(entry.len) <= block.raw.into()
            })
        };
        if !self.entries.iter().all(known) || !self.entries.is_sorted_by(|a, b| a.id < b.id) {
            return Err("it is damaged: its index is not in order");
        }
        Ok(())
    }

    fn place(&self, id: ObjectId) -> Option<Place> {
        let at = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        let Entry { block, offset: start, len, .. } = self.entries[at];
        let Block { offset, stored, raw } = *self.blocks.get(block as usize)?;
        Some(Place { offset, stored, raw, plain: false, start, len })
    }
}
