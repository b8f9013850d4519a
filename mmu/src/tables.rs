//! Which frames live translations were read from, and what of the TLB depends on each of their entries.

use crate::pool::FrameId;

/// Stores without effect after which a frame is taken to be no table any more.
const IDLE_LIMIT: u32 = 32;
/// Linear ranges remembered per table frame.
const USES: usize = 8;

/// One way a frame serves as a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableUse {
    /// First linear address the table covers.
    pub base: u64,
    /// log2 of what one entry covers.
    pub shift: u8,
    /// Bytes per entry.
    pub entry_size: u8,
    /// Contexts that read it.
    pub contexts: u64,
    /// Its entries may be used without their accessed flag, which could not be written.
    pub unflagged: bool,
}

impl TableUse {
    fn same(&self, other: &Self) -> bool {
        self.base == other.base && self.shift == other.shift && self.entry_size == other.entry_size
    }

    /// First linear address entry `index` covers, canonical.
    pub fn first_of(&self, index: u64) -> u64 {
        let address = self.base.wrapping_add(index << self.shift);
        if self.shift == 39 { ((address << 16) as i64 >> 16) as u64 } else { address }
    }

    /// Whether entries lead to tables of 4 KiB pages, or map larger pages.
    pub fn is_directory(&self) -> bool {
        self.shift == 21 || self.shift == 22 && self.entry_size == 4
    }

    /// Whether what is true of `other` is of this one.
    fn includes(&self, other: &Self) -> bool {
        self.same(other) && other.contexts & !self.contexts == 0 && other.unflagged <= self.unflagged
    }
}

#[derive(Default)]
struct TableFrame {
    /// The one last relied on is last.
    uses: Vec<TableUse>,
    idle: u32,
}

/// All marked table frames. Slots are referred to from the frame's own record.
#[derive(Default)]
pub(crate) struct Tables {
    slots: Vec<TableFrame>,
    free: Vec<u32>,
}

impl Tables {
    /// Takes a slot for a frame that becomes a table.
    pub fn open(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(TableFrame::default());
            self.slots.len() as u32 - 1
        })
    }

    /// Gives the slot back; returns the uses it still had.
    pub fn close(&mut self, slot: u32) -> Vec<TableUse> {
        debug_assert!(!self.free.contains(&slot), "a slot is closed once");
        self.free.push(slot);
        std::mem::take(&mut self.slots[slot as usize]).uses
    }

    /// Records a use. Returns a use that had to be forgotten for it: its range must leave the TLB.
    #[inline]
    pub fn add(&mut self, slot: u32, new: TableUse) -> Option<TableUse> {
        let table = &mut self.slots[slot as usize];
        table.idle = 0;
        if table.uses.last().is_some_and(|last| last.includes(&new)) {
            return None;
        }
        if let Some(at) = table.uses.iter().position(|known| known.same(&new)) {
            // At the back a walk with fewer levels than USES evicts nothing that it has relied on itself.
            table.uses[at..].rotate_left(1);
            if let Some(known) = table.uses.last_mut() {
                known.contexts |= new.contexts;
                known.unflagged |= new.unflagged;
            }
            return None;
        }
        let evicted = (table.uses.len() >= USES).then(|| table.uses.remove(0));
        table.uses.push(new);
        evicted
    }

    /// Removes the contexts of `gone` from that use. True when no use is left.
    pub fn forget(&mut self, slot: u32, gone: &TableUse) -> bool {
        let table = &mut self.slots[slot as usize];
        for known in table.uses.iter_mut().filter(|known| known.same(gone)) {
            known.contexts &= !gone.contexts;
        }
        table.uses.retain(|known| known.contexts != 0);
        table.uses.is_empty()
    }

    /// How many uses a slot has.
    pub fn uses(&self, slot: u32) -> usize {
        self.slots[slot as usize].uses.len()
    }

    /// The i-th use of a slot.
    pub fn nth(&self, slot: u32, i: usize) -> Option<TableUse> {
        self.slots[slot as usize].uses.get(i).copied()
    }

    /// Notes whether a store had an effect on the TLB. True when the frame looks like plain data by now.
    pub fn note_store(&mut self, slot: u32, effective: bool) -> bool {
        let table = &mut self.slots[slot as usize];
        table.idle = if effective { 0 } else { table.idle + 1 };
        table.idle >= IDLE_LIMIT
    }

    /// Frames marked now.
    pub fn marked(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// A frame and the slot of its table record.
#[derive(Clone, Copy)]
pub(crate) struct Marked {
    pub frame: FrameId,
    pub slot: u32,
}
