//! Page tables that live translations were read from: what a store to one takes out of the TLB.

use super::Mmu;
use crate::aliases::Revoke;
use crate::info::TABLE;
use crate::map::Backing;
use crate::paging::{ACCESSED, NX, Used};
use crate::pool::FrameId;
use crate::tables::{Marked, TableUse};
use crate::tlb::{ContextId, ContextKey};

/// Bytes of one store that say a frame is no table any more.
const BULK: usize = 512;

impl Mmu {
    /// Notes that translations of `context` depend on the table of an entry.
    pub(super) fn mark_table(&mut self, key: &ContextKey, context: ContextId, linear: u64, used: &Used) {
        let gpa = used.entry & self.a20_mask;
        let (read, write) = self.maps[usize::from(key.view & 1)].lookup(gpa);
        let Backing::Frames(frame) = read else { return };
        let entry_size = key.space.entry_size() as u8;
        let covered = u32::from(used.shift) + if entry_size == 4 { 10 } else { 9 };
        let base = if covered >= 48 { 0 } else { linear & !((1u64 << covered) - 1) };
        let slot = self.mark(frame);
        let (shift, contexts) = (used.shift, context.bit());
        let new = TableUse { base, shift, entry_size, contexts, unflagged: read != write };
        if let Some(gone) = self.tables.add(slot, new) {
            self.drop_table(&gone);
        }
    }

    fn mark(&mut self, frame: FrameId) -> u32 {
        let info = self.info.at(frame);
        if info.traps & TABLE == 0 {
            info.table = self.tables.open();
            info.traps |= TABLE;
            info.aliases.revoke(&mut self.tlb, Revoke::Write);
            self.counters.tables_marked += 1;
        }
        info.table
    }

    fn unmark(&mut self, marked: Marked) {
        self.info.at(marked.frame).traps &= !TABLE;
        for gone in self.tables.close(marked.slot) {
            self.drop_table(&gone);
        }
    }

    /// Drops every translation that depends on one use of a table.
    fn drop_table(&mut self, gone: &TableUse) {
        let covered = gone.shift + if gone.entry_size == 4 { 10 } else { 9 };
        self.counters.dropped += self.tlb.drop_range(gone.contexts, gone.base, covered);
        let executing = self.executing(gone.contexts, gone.base, covered);
        self.exec_changed(executing);
        self.leave_code_spaces(gone.contexts, gone.base, covered);
    }

    /// Drops what depends on the entries that a store to a table frame is about to change.
    pub(super) fn table_store(&mut self, frame: FrameId, offset: usize, new: &[u8]) {
        self.counters.table_stores += 1;
        let Some(slot) = self.info.table(frame) else { return };
        // A frame filled or copied over in bulk is a page being recycled: all that depends on it goes at once.
        let recycled = new.len() >= BULK;
        let mut effective = false;
        // Downwards none is left out where a table that points to itself loses uses on the way.
        for nth in (0..self.tables.uses(slot)).rev() {
            let Some(table) = self.tables.nth(slot, nth) else { continue };
            if recycled && !table.is_directory() {
                continue;
            }
            let size = usize::from(table.entry_size);
            for index in offset / size..=(offset + new.len() - 1) / size {
                let Some(old) = self.cached_entry(frame, &table, index as u64) else { continue };
                let base = table.first_of(index as u64);
                effective |= !recycled && self.entry_store(&table, base, old);
                if table.is_directory() {
                    self.forget_child(old, TableUse { base, shift: 12, ..table });
                }
            }
        }
        if self.info.traps(frame) & TABLE != 0 && (recycled || self.tables.note_store(slot, effective)) {
            self.unmark(Marked { frame, slot });
        }
    }

    /// A table entry, if anything may depend on it.
    fn cached_entry(&self, frame: FrameId, table: &TableUse, index: u64) -> Option<u64> {
        let size = u64::from(table.entry_size);
        let address = self.frames.address(frame) + (index * size) as usize;
        let old = if size == 4 {
            u64::from(self.frames.memory().load::<u32>(address))
        } else {
            self.frames.memory().load(address)
        };
        // A walk sets the accessed flag of every entry it uses, and an entry without it was never cached.
        (old & 1 != 0 && (old & ACCESSED != 0 || table.unflagged)).then_some(old)
    }

    /// Drops what depends on the entry `old` for the range from `base` on. False if nothing did.
    fn entry_store(&mut self, table: &TableUse, base: u64, old: u64) -> bool {
        let dropped = self.tlb.drop_range(table.contexts, base, table.shift);
        self.counters.dropped += dropped;
        if table.entry_size == 4 || old & NX == 0 {
            let executing = self.executing(table.contexts, base, table.shift);
            self.exec_changed(executing);
        }
        self.leave_code_spaces(table.contexts, base, table.shift);
        dropped != 0 || table.shift > 12
    }

    /// A directory entry changed: the table it pointed to serves these contexts no more.
    fn forget_child(&mut self, old: u64, gone: TableUse) {
        let address = if gone.entry_size == 4 { 0xFFFF_F000 } else { 0x000F_FFFF_FFFF_F000 };
        let gpa = old & address & self.a20_mask;
        for view in 0..self.maps.len() {
            let gone = TableUse { contexts: self.tlb.of_view(gone.contexts, view as u8), ..gone };
            let Backing::Frames(child) = self.maps[view].lookup(gpa).0 else { continue };
            let Some(slot) = self.info.table(child).filter(|_| gone.contexts != 0) else { continue };
            if self.tables.forget(slot, &gone) {
                self.unmark(Marked { frame: child, slot });
            }
        }
    }
}
