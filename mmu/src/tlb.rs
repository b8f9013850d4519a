//! The soft TLB: direct-mapped entries in a bounded number of contexts, one per (address space, privilege, view).

use crate::device_pages::DevicePages;
use crate::paging::{Access, AddressSpace, Step};
use crate::pool::FrameId;
use crate::structures::Structures;
use std::mem::offset_of;
use std::ops::Range;

/// Contexts kept at a time; sets of them fit a `u64`.
pub(crate) const CONTEXTS: usize = 64;
/// The last of them are code spaces.
const CODE_SPACES: usize = 4;
/// Entries of a context at first: a power of two, as every size is.
const FIRST_ENTRIES: usize = 2048;
/// Entries it may come to have, which reach 256 MiB.
const MOST_ENTRIES: usize = 1 << 16;
const EXEC_ENTRIES: usize = 512;
/// Filled slots that are remembered one by one.
const FILLED: usize = 512;
/// Ranges whose translations are counted, and log2 of their size.
const RANGES: usize = 256;
const RANGE_SHIFT: u32 = 21;
/// log2 of the size of ranges for whose sake a context is emptied.
const FLUSHED: u8 = 30;

/// A tag that no address looked up in entry `slot` is within a page of: it belongs to the neighbouring entry.
/// (It is not canonical either, but the fast path does not check that.)
const fn invalid(slot: usize) -> u64 {
    1 << 62 | ((slot ^ 1) as u64) << 12
}

/// Names a context until `Mmu::context_epoch` changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextId(pub(crate) u8);

impl ContextId {
    pub(crate) fn bit(self) -> u64 {
        1 << self.0
    }
    /// A small number that tells contexts apart, below 64.
    pub fn index(self) -> u64 {
        u64::from(self.0)
    }
}

/// An entry of the TLB, as translated code sees it: a table for each context, indexed by the low bits of the page number.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub struct TlbEntry {
    /// The linear page if reads may use `host`, else an invalid tag.
    pub(crate) read: u64,
    /// The linear page if writes may use `host`, else an invalid tag.
    pub(crate) write: u64,
    /// Host address of the page.
    pub(crate) host: usize,
    /// The linear page this entry is about, whatever the tags say.
    pub(crate) page: u64,
}

impl TlbEntry {
    /// Bytes of an entry.
    pub const SIZE: usize = size_of::<Self>();
    /// Offset of the tag for reads: an address less than a page above it may be read.
    pub const READ: usize = offset_of!(Self, read);
    /// Offset of the tag for writes.
    pub const WRITE: usize = offset_of!(Self, write);
    /// Offset of the host address of the page.
    pub const HOST: usize = offset_of!(Self, host);
}

const fn empty(slot: usize) -> TlbEntry {
    let tag = invalid(slot);
    TlbEntry { read: tag, write: tag, host: 0, page: tag }
}

#[derive(Clone, Copy)]
struct ExecEntry {
    page: u64,
    frame: FrameId,
}

const EXEC_EMPTY: ExecEntry = ExecEntry { page: 1 << 62, frame: FrameId(0) };

/// How many translations there are to each 2 MiB range, ranges that hash alike being one.
struct Population([u32; RANGES]);

impl Population {
    const EMPTY: Self = Self([0; RANGES]);

    fn of(&mut self, page: u64) -> &mut u32 {
        let range = page >> RANGE_SHIFT;
        &mut self.0[(range ^ range >> 9) as usize % RANGES]
    }

    fn add(&mut self, page: u64) {
        *self.of(page) += 1;
    }

    fn remove(&mut self, page: u64) {
        *self.of(page) -= 1;
    }

    /// Whether there may be any to the `pages` pages from `base` on, at least a range of them.
    fn any_in(&mut self, base: u64, pages: u64) -> bool {
        let count = (pages >> (RANGE_SHIFT - 12)).max(1);
        count >= RANGES as u64 || (0..count).any(|i| *self.of(base.wrapping_add(i << RANGE_SHIFT)) != 0)
    }
}

/// What a context is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ContextKey {
    pub space: AddressSpace,
    pub rights: crate::mmu::Rights,
    pub view: u8,
}

/// How a context came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    Known,
    Made,
    /// Made in the place of another one.
    Evicted,
}

/// The entries of one context.
struct Entries {
    data: Box<[TlbEntry]>,
    exec: [ExecEntry; EXEC_ENTRIES],
    structures: Structures,
    devices: DevicePages,
    population: Population,
    /// Translations of late that others had to go for.
    pressure: usize,
    /// Slots of `data` that were filled since all were empty, unless there were too many.
    filled: Vec<u32>,
    /// They are those of another address space now.
    reused: bool,
}

impl Entries {
    #[cold]
    #[inline(never)]
    fn new(count: usize) -> Box<Self> {
        let data = (0..count).map(empty).collect();
        Box::new(Self {
            data,
            exec: [EXEC_EMPTY; EXEC_ENTRIES],
            structures: Structures::EMPTY,
            devices: DevicePages::EMPTY,
            population: Population::EMPTY,
            pressure: 0,
            filled: Vec::with_capacity(FILLED),
            reused: false,
        })
    }

    #[inline(always)]
    fn slot(&self, linear: u64) -> usize {
        (linear >> 12) as usize & (self.data.len() - 1)
    }

    /// The entry for `page`, if there is one.
    fn about(&mut self, page: u64) -> Option<(&mut TlbEntry, usize)> {
        let slot = self.slot(page);
        let entry = &mut self.data[slot];
        (entry.page == page).then_some((entry, slot))
    }

    fn clear_data(&mut self) {
        self.devices = DevicePages::EMPTY;
        if self.filled.len() < FILLED {
            self.filled.iter().for_each(|slot| self.data[*slot as usize] = empty(*slot as usize));
        } else {
            self.data.iter_mut().enumerate().for_each(|(slot, entry)| *entry = empty(slot));
        }
        self.filled.clear();
        self.count_anew();
    }

    /// Has `count` entries, all of them empty.
    fn resize(&mut self, count: usize) {
        self.data = (0..count).map(empty).collect();
        self.filled.clear();
        self.count_anew();
        self.pressure = 0;
    }

    /// Counts what is left when the data translations have gone.
    fn count_anew(&mut self) {
        self.population = Population::EMPTY;
        for entry in self.exec.iter().filter(|entry| entry.page != EXEC_EMPTY.page) {
            self.population.add(entry.page);
        }
        self.devices.pages().for_each(|page| self.population.add(page));
    }

    /// Empties an entry that is about some page.
    fn remove(&mut self, slot: usize) {
        self.population.remove(self.data[slot].page);
        self.data[slot] = empty(slot);
    }

    fn clear(&mut self) {
        self.exec.fill(EXEC_EMPTY);
        self.clear_data();
        self.structures = Structures::EMPTY;
    }

    /// Removes the translations of `pages` pages from `base` on. Returns how many.
    fn drop_range(&mut self, base: u64, pages: u64) -> u64 {
        let mut dropped = 0;
        if pages > 1 && !self.population.any_in(base, pages) {
            return 0;
        }
        let first = self.slot(base);
        let last = self.data.len() - 1;
        for slot in (first..first + (pages as usize).min(last + 1)).map(|slot| slot & last) {
            if self.data[slot].page.wrapping_sub(base) < pages << 12 {
                self.remove(slot);
                dropped += 1;
            }
        }
        let first = exec_slot(base);
        for slot in first..first + (pages as usize).min(EXEC_ENTRIES) {
            let entry = &mut self.exec[slot % EXEC_ENTRIES];
            if entry.page.wrapping_sub(base) < pages << 12 {
                self.population.remove(entry.page);
                *entry = EXEC_EMPTY;
                dropped += 1;
            }
        }
        self.devices.drop_range(base, pages << 12, |page| {
            self.population.remove(page);
            dropped += 1;
        });
        dropped
    }

    /// Has more entries if there were too few of late, and as few as at first if they are reused. All are empty then. Whether
    /// there were too few.
    fn fit(&mut self) -> bool {
        let count = self.data.len();
        let grows = self.pressure > count / 4 && count < MOST_ENTRIES;
        if std::mem::take(&mut self.reused) && count > FIRST_ENTRIES {
            self.resize(FIRST_ENTRIES);
        } else if grows {
            self.resize(2 * count);
        }
        self.pressure -= self.pressure / 8;
        grows
    }
}

pub(crate) struct Tlb {
    /// The active context's entries.
    active: Box<Entries>,
    active_id: usize,
    /// The other contexts' entries, made when first used.
    others: [Option<Box<Entries>>; CONTEXTS],
    keys: [Option<ContextKey>; CONTEXTS],
    stamps: [u64; CONTEXTS],
    stamp: u64,
    /// Contexts that hold any translation: emptying the others costs nothing.
    filled: u64,
}

impl Tlb {
    pub fn new() -> Self {
        Self {
            active: Entries::new(FIRST_ENTRIES),
            active_id: 0,
            others: [const { None }; CONTEXTS],
            keys: [None; CONTEXTS],
            stamps: [0; CONTEXTS],
            stamp: 0,
            filled: 0,
        }
    }

    pub fn key(&self, context: ContextId) -> Option<&ContextKey> {
        self.keys[context.0 as usize % CONTEXTS].as_ref()
    }

    /// Those of `contexts` that see the address map of `view`.
    pub fn of_view(&self, contexts: u64, view: u8) -> u64 {
        bits(contexts)
            .filter(|context| self.keys[*context].is_some_and(|key| key.view == view))
            .fold(0, |found, context| found | 1 << context)
    }

    /// The context for `key`, and what became of the table of contexts.
    pub fn context(&mut self, key: &ContextKey) -> (ContextId, Claim) {
        self.claim_id(key, 0..CONTEXTS - CODE_SPACES)
    }

    /// The same for a code space.
    pub fn code_space(&mut self, key: &ContextKey) -> (ContextId, Claim) {
        self.claim_id(key, CONTEXTS - CODE_SPACES..CONTEXTS)
    }

    fn claim_id(&mut self, key: &ContextKey, ids: Range<usize>) -> (ContextId, Claim) {
        self.stamp += 1;
        let known = ids.clone().find(|slot| self.keys[*slot].as_ref() == Some(key));
        let (slot, claim) = match known {
            Some(slot) => (slot, Claim::Known),
            None => {
                let active = self.active_id;
                let oldest = ids.filter(|slot| *slot != active).min_by_key(|slot| self.stamps[*slot]);
                let slot = oldest.unwrap_or(0);
                let evicted = self.keys[slot].is_some();
                if evicted {
                    self.flush(ContextId(slot as u8));
                    if let Some(entries) = self.entries(slot) {
                        (entries.reused, entries.pressure) = (true, 0);
                    }
                }
                self.keys[slot] = Some(*key);
                (slot, if evicted { Claim::Evicted } else { Claim::Made })
            }
        };
        self.stamps[slot] = self.stamp;
        (ContextId(slot as u8), claim)
    }

    /// Makes a context's entries those that [`Self::active_entry`] looks at.
    #[inline]
    pub fn activate(&mut self, context: ContextId) {
        let id = context.0 as usize % CONTEXTS;
        if id != self.active_id {
            let next = self.others[id].take().unwrap_or_else(|| Entries::new(FIRST_ENTRIES));
            self.others[self.active_id] = Some(std::mem::replace(&mut self.active, next));
            self.active_id = id;
        }
    }

    /// Gives the active context as many entries as it could do with. Whether it had too few for a program.
    pub fn fit(&mut self) -> bool {
        self.active.fit() && self.keys[self.active_id].is_some_and(|key| key.rights.user)
    }

    /// The active context's entry for `linear`.
    #[inline(always)]
    pub fn active_entry(&self, linear: u64) -> &TlbEntry {
        &self.active.data[self.active.slot(linear)]
    }

    /// Those of any context, if it ever had any.
    pub fn entries_of(&self, context: ContextId) -> Option<&[TlbEntry]> {
        let id = context.0 as usize % CONTEXTS;
        if id == self.active_id { Some(&self.active.data) } else { Some(&self.others[id].as_ref()?.data) }
    }

    /// A context's entries, if it ever had any.
    fn entries(&mut self, context: usize) -> Option<&mut Entries> {
        if context == self.active_id { Some(&mut self.active) } else { self.others[context].as_deref_mut() }
    }

    /// A context's entries, which are about to hold something.
    fn filling(&mut self, context: ContextId) -> &mut Entries {
        self.filled |= context.bit();
        let id = context.0 as usize % CONTEXTS;
        if id == self.active_id {
            &mut self.active
        } else {
            self.others[id].get_or_insert_with(|| Entries::new(FIRST_ENTRIES))
        }
    }

    /// The entry for `page`, emptied first if it was about another one or had another host page.
    fn claim(&mut self, context: ContextId, page: u64, host: usize) -> &mut TlbEntry {
        let entries = self.filling(context);
        let slot = entries.slot(page);
        let old = &entries.data[slot];
        if old.page != page || old.host != host {
            if old.page != page {
                if old.page != invalid(slot) {
                    entries.pressure += 1;
                    entries.population.remove(old.page);
                } else if entries.filled.len() < FILLED {
                    entries.filled.push(slot as u32);
                }
                entries.population.add(page);
            }
            entries.data[slot] = TlbEntry { page, host, ..empty(slot) };
        }
        &mut entries.data[slot]
    }

    pub fn fill_read(&mut self, context: ContextId, page: u64, host: usize) {
        self.claim(context, page, host).read = page;
    }

    pub fn fill_write(&mut self, context: ContextId, page: u64, host: usize) {
        self.claim(context, page, host).write = page;
    }

    pub fn exec(&self, context: ContextId, page: u64) -> Option<FrameId> {
        let id = context.0 as usize % CONTEXTS;
        let entries = if id == self.active_id { &self.active } else { self.others[id].as_ref()? };
        let entry = &entries.exec[exec_slot(page)];
        (entry.page == page).then_some(entry.frame)
    }

    pub fn fill_exec(&mut self, context: ContextId, page: u64, frame: FrameId) {
        let entries = self.filling(context);
        let entry = &mut entries.exec[exec_slot(page)];
        if entry.page != EXEC_EMPTY.page {
            entries.population.remove(entry.page);
        }
        entries.population.add(page);
        *entry = ExecEntry { page, frame };
    }

    /// Where an access to the linear `page` leads if that is known to be a device.
    #[inline]
    pub fn device(&self, context: ContextId, page: u64, access: Access) -> Option<u64> {
        let id = context.0 as usize % CONTEXTS;
        let entries = if id == self.active_id { &self.active } else { self.others[id].as_ref()? };
        entries.devices.get(page, access)
    }

    /// Notes that an access to the linear `page` leads to a device at the page `gpa`.
    pub fn fill_device(&mut self, context: ContextId, page: u64, access: Access, gpa: u64) {
        let entries = self.filling(context);
        let (forgotten, new) = entries.devices.note(page, access, gpa);
        if let Some(forgotten) = forgotten {
            entries.population.remove(forgotten);
        }
        if new {
            entries.population.add(page);
        }
    }

    /// Removes the write permission of `page` in the contexts of `set`.
    pub fn drop_write(&mut self, set: u64, page: u64) {
        for context in bits(set & self.filled) {
            if let Some((entry, slot)) = self.entries(context).and_then(|entries| entries.about(page)) {
                entry.write = invalid(slot);
            }
        }
    }

    /// Removes the translations of data accesses to `page` in the contexts of `set`.
    pub fn drop_page(&mut self, set: u64, page: u64) {
        for context in bits(set & self.filled) {
            let Some(entries) = self.entries(context) else { continue };
            if let Some((_, slot)) = entries.about(page) {
                entries.remove(slot);
            }
        }
    }

    /// Where walks in `context` may begin, if it holds anything.
    #[inline]
    pub fn structures(&self, context: ContextId) -> Option<&Structures> {
        let id = context.0 as usize % CONTEXTS;
        let entries = if id == self.active_id { &self.active } else { self.others[id].as_ref()? };
        Some(&entries.structures)
    }

    /// Notes where the last table of a walk for `linear` was reached.
    pub fn note_structure(&mut self, context: ContextId, linear: u64, step: Step) {
        self.filling(context).structures.note(linear, step);
    }

    /// Removes the translations of `1 << shift` bytes from `base` in the contexts of `set`. Returns how many.
    pub fn drop_range(&mut self, set: u64, base: u64, shift: u8) -> u64 {
        let mut dropped = 0;
        for context in bits(set & self.filled) {
            if shift >= FLUSHED {
                self.flush(ContextId(context as u8));
                dropped += 1;
            } else if let Some(entries) = self.entries(context) {
                dropped += entries.drop_range(base, 1 << (shift - 12));
                if shift > 12 {
                    entries.structures.drop_range(base, shift);
                }
            }
        }
        dropped
    }

    /// Empties a context.
    pub fn flush(&mut self, context: ContextId) {
        if self.filled & context.bit() != 0 {
            self.filled &= !context.bit();
            if let Some(entries) = self.entries(context.0 as usize % CONTEXTS) {
                entries.clear();
            }
        }
    }

    /// Empties every context.
    pub fn flush_all(&mut self) {
        for context in bits(self.filled) {
            self.flush(ContextId(context as u8));
        }
    }

    /// Removes every translation of data accesses.
    pub fn drop_all_data(&mut self) {
        for context in bits(self.filled) {
            if let Some(entries) = self.entries(context) {
                entries.clear_data();
            }
        }
    }

    /// Removes every write permission.
    pub fn drop_all_writes(&mut self) {
        for context in bits(self.filled) {
            if let Some(entries) = self.entries(context) {
                entries.data.iter_mut().enumerate().for_each(|(slot, entry)| entry.write = invalid(slot));
            }
        }
    }
}

fn exec_slot(page: u64) -> usize {
    (page >> 12) as usize % EXEC_ENTRIES
}

/// The set bits of `set`, lowest first.
pub(crate) fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = set.trailing_zeros() as usize;
        set &= set.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}
