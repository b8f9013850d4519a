//! The soft TLB: direct-mapped entries in a bounded number of contexts, one per (address space, privilege, view).

use crate::frames::FrameId;
use crate::paging::AddressSpace;

/// Contexts kept at a time; sets of them fit a `u64`.
pub(crate) const CONTEXTS: usize = 64;
const ENTRIES: usize = 2048;
const EXEC_ENTRIES: usize = 512;
const TOTAL: usize = CONTEXTS * ENTRIES;
const EXEC_TOTAL: usize = CONTEXTS * EXEC_ENTRIES;

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

#[derive(Clone, Copy)]
#[repr(align(32))]
pub(crate) struct Entry {
    /// The linear page if reads may use `addend`, else an invalid tag.
    pub read: u64,
    /// The linear page if writes may use `addend`, else an invalid tag.
    pub write: u64,
    /// Host address minus linear page.
    pub addend: usize,
    /// The linear page this entry is about, whatever the tags say.
    pub page: u64,
}

const fn empty(slot: usize) -> Entry {
    let tag = invalid(slot);
    Entry { read: tag, write: tag, addend: 0, page: tag }
}

#[derive(Clone, Copy)]
struct ExecEntry {
    page: u64,
    frame: FrameId,
}

const EXEC_EMPTY: ExecEntry = ExecEntry { page: 1 << 62, frame: FrameId(0) };

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

pub(crate) struct Tlb {
    entries: Box<[Entry; TOTAL]>,
    exec: Box<[ExecEntry; EXEC_TOTAL]>,
    keys: [Option<ContextKey>; CONTEXTS],
    stamps: [u64; CONTEXTS],
    stamp: u64,
    /// Contexts that hold any translation: emptying the others costs nothing.
    filled: u64,
    /// Start of the active context's entries.
    active: usize,
}

fn boxed<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
    vec![value; N].into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("the vector has N elements"))
}

impl Tlb {
    pub fn new() -> Self {
        let mut entries = boxed::<Entry, TOTAL>(empty(0));
        entries.iter_mut().enumerate().for_each(|(slot, entry)| *entry = empty(slot));
        Self {
            entries,
            exec: boxed(EXEC_EMPTY),
            keys: [None; CONTEXTS],
            stamps: [0; CONTEXTS],
            stamp: 0,
            filled: 0,
            active: 0,
        }
    }

    pub fn key(&self, context: ContextId) -> Option<&ContextKey> {
        self.keys[context.0 as usize % CONTEXTS].as_ref()
    }

    /// The context for `key`, and what became of the table of contexts.
    pub fn context(&mut self, key: &ContextKey) -> (ContextId, Claim) {
        self.stamp += 1;
        let known = self.keys.iter().position(|have| have.as_ref() == Some(key));
        let (slot, claim) = match known {
            Some(slot) => (slot, Claim::Known),
            None => {
                let active = self.active / ENTRIES;
                let oldest =
                    (0..CONTEXTS).filter(|slot| *slot != active).min_by_key(|slot| self.stamps[*slot]);
                let slot = oldest.unwrap_or(0);
                let evicted = self.keys[slot].is_some();
                if evicted {
                    self.flush(ContextId(slot as u8));
                }
                self.keys[slot] = Some(*key);
                (slot, if evicted { Claim::Evicted } else { Claim::Made })
            }
        };
        self.stamps[slot] = self.stamp;
        (ContextId(slot as u8), claim)
    }

    #[inline(always)]
    pub fn activate(&mut self, context: ContextId) {
        self.active = context.0 as usize * ENTRIES;
    }

    #[inline(always)]
    fn slot(context: usize, linear: u64) -> usize {
        (context + (linear >> 12) as usize % ENTRIES) % TOTAL
    }

    /// The active context's entry for `linear`.
    #[inline(always)]
    pub fn active_entry(&self, linear: u64) -> &Entry {
        &self.entries[Self::slot(self.active, linear)]
    }

    /// The entry for `page`, emptied first if it was about another one or had another host page.
    fn claim(&mut self, context: ContextId, page: u64, addend: usize) -> &mut Entry {
        self.filled |= context.bit();
        let slot = Self::slot(context.0 as usize * ENTRIES, page);
        let entry = &mut self.entries[slot];
        if entry.page != page || entry.addend != addend {
            *entry = Entry { page, addend, ..empty(slot) };
        }
        entry
    }

    pub fn fill_read(&mut self, context: ContextId, page: u64, host: usize) {
        self.claim(context, page, host.wrapping_sub(page as usize)).read = page;
    }

    pub fn fill_write(&mut self, context: ContextId, page: u64, host: usize) {
        self.claim(context, page, host.wrapping_sub(page as usize)).write = page;
    }

    pub fn exec(&self, context: ContextId, page: u64) -> Option<FrameId> {
        let entry = &self.exec[Self::exec_slot(context, page)];
        (entry.page == page).then_some(entry.frame)
    }

    pub fn fill_exec(&mut self, context: ContextId, page: u64, frame: FrameId) {
        self.filled |= context.bit();
        self.exec[Self::exec_slot(context, page)] = ExecEntry { page, frame };
    }

    fn exec_slot(context: ContextId, page: u64) -> usize {
        (context.0 as usize * EXEC_ENTRIES + (page >> 12) as usize % EXEC_ENTRIES) % EXEC_TOTAL
    }

    /// Removes the write permission of `page` in the contexts of `set`.
    pub fn drop_write(&mut self, set: u64, page: u64) {
        for context in bits(set) {
            let slot = Self::slot(context * ENTRIES, page);
            let entry = &mut self.entries[slot];
            if entry.page == page {
                entry.write = invalid(slot);
            }
        }
    }

    /// Removes the translations of `1 << shift` bytes from `base` in the contexts of `set`. Returns how many.
    pub fn drop_range(&mut self, set: u64, base: u64, shift: u8) -> u64 {
        let mut dropped = 0;
        for context in bits(set & self.filled) {
            if shift >= 30 {
                self.flush(ContextId(context as u8));
                dropped += 1;
                continue;
            }
            let pages = 1u64 << (shift - 12);
            for page in (0..pages).map(|i| base.wrapping_add(i << 12)) {
                let slot = Self::slot(context * ENTRIES, page);
                let entry = &mut self.entries[slot];
                if entry.page == page {
                    *entry = empty(slot);
                    dropped += 1;
                }
            }
            for page in (0..pages.min(EXEC_ENTRIES as u64)).map(|i| base.wrapping_add(i << 12)) {
                let entry = &mut self.exec[Self::exec_slot(ContextId(context as u8), page)];
                if entry.page.wrapping_sub(base) < pages << 12 {
                    *entry = EXEC_EMPTY;
                    dropped += 1;
                }
            }
        }
        dropped
    }

    /// Empties a context.
    pub fn flush(&mut self, context: ContextId) {
        if self.filled & context.bit() == 0 {
            return;
        }
        self.filled &= !context.bit();
        let first = context.0 as usize * ENTRIES;
        for slot in first..first + ENTRIES {
            self.entries[slot] = empty(slot);
        }
        let first = context.0 as usize * EXEC_ENTRIES;
        self.exec[first..first + EXEC_ENTRIES].fill(EXEC_EMPTY);
    }

    /// Empties every context.
    pub fn flush_all(&mut self) {
        for slot in 0..CONTEXTS {
            if self.keys[slot].is_some() {
                self.flush(ContextId(slot as u8));
            }
        }
    }

    /// Removes every write permission.
    pub fn drop_all_writes(&mut self) {
        for slot in (0..CONTEXTS).filter(|slot| self.keys[*slot].is_some()) {
            for slot in slot * ENTRIES..(slot + 1) * ENTRIES {
                self.entries[slot].write = invalid(slot);
            }
        }
    }
}

/// The set bits of `set`, lowest first.
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = set.trailing_zeros() as usize;
        set &= set.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}
