//! Page tables that live translations were read from: what a store to one takes out of the TLB.

use super::Mmu;
use crate::aliases::Revoke;
use crate::info::TABLE;
use crate::map::Backing;
use crate::paging::{ACCESSED, NX, Walk};
use crate::pool::FrameId;
use crate::tables::{Marked, TableUse};
use crate::tlb::{ContextId, ContextKey};

/// Bytes of one store that say a frame is no table any more.
const BULK: usize = 512;

impl Mmu {
    /// Notes what depends on the tables of a walk that is about to fill the TLB.
    pub(super) fn mark_tables(&mut self, key: &ContextKey, context: ContextId, linear: u64, walk: &Walk) {
        let entry_size = key.space.entry_size();
        let index_bits = if entry_size == 4 { 10 } else { 9 };
        for used in &walk.used[..walk.levels] {
            let gpa = used.entry & self.a20_mask;
            let (read, write) = self.maps[usize::from(key.view & 1)].lookup(gpa);
            let Backing::Frames(frame) = read else { continue };
            let covered = u32::from(used.shift) + index_bits;
            let base = if covered >= 48 { 0 } else { linear & !((1u64 << covered) - 1) };
            let slot = self.mark(frame);
            let new = TableUse {
                base,
                shift: used.shift,
                entry_size: entry_size as u8,
                contexts: context.bit(),
                unflagged: read != write,
            };
            if let Some(gone) = self.tables.add(slot, new) {
                self.drop_table(&gone);
            }
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
        self.info.get(frame).table
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
        self.exec_changed(gone.contexts);
    }

    /// Drops what depends on the entries that a store to a table frame is about to change.
    pub(super) fn table_store(&mut self, frame: FrameId, offset: usize, new: &[u8]) {
        self.counters.table_stores += 1;
        let slot = self.info.get(frame).table;
        let mut effective = false;
        // Downwards none is left out where a table that points to itself loses uses on the way.
        for nth in (0..self.tables.uses(slot)).rev() {
            let Some(table) = self.tables.nth(slot, nth) else { continue };
            let size = usize::from(table.entry_size);
            for index in offset / size..=(offset + new.len() - 1) / size {
                effective |= self.entry_store(frame, &table, index as u64);
            }
        }
        if self.info.get(frame).traps & TABLE == 0 {
            return;
        }
        // A frame filled or copied over in bulk is a page being recycled.
        if self.tables.note_store(slot, effective) || new.len() >= BULK {
            self.unmark(Marked { frame, slot });
        }
    }

    /// Drops what depends on one table entry. False if nothing could.
    fn entry_store(&mut self, frame: FrameId, table: &TableUse, index: u64) -> bool {
        let size = u64::from(table.entry_size);
        let address = self.frames.address(frame) + (index * size) as usize;
        let old = if size == 4 {
            u64::from(self.frames.memory().load::<u32>(address))
        } else {
            self.frames.memory().load(address)
        };
        // A walk sets the accessed flag of every entry it uses, and an entry without it was never cached.
        if old & 1 == 0 || old & ACCESSED == 0 && !table.unflagged {
            return false;
        }
        let base = table.base.wrapping_add(index << table.shift);
        let dropped = self.tlb.drop_range(table.contexts, base, table.shift);
        self.counters.dropped += dropped;
        let executable = size == 4 || old & NX == 0;
        if executable {
            let fetched =
                if table.shift > 12 { table.contexts } else { self.executing(table.contexts, base) };
            if fetched != 0 {
                self.exec_changed(fetched);
            }
        }
        if table.shift == 21 || (table.shift == 22 && size == 4) {
            self.forget_child(old, TableUse { base, shift: 12, ..*table });
        }
        dropped != 0 || table.shift > 12
    }

    /// A directory entry changed: the table it pointed to serves these contexts no more.
    fn forget_child(&mut self, old: u64, gone: TableUse) {
        let address = if gone.entry_size == 4 { 0xFFFF_F000 } else { 0x000F_FFFF_FFFF_F000 };
        let gpa = old & address & self.a20_mask;
        for view in 0..self.maps.len() {
            let gone = TableUse { contexts: self.tlb.of_view(gone.contexts, view as u8), ..gone };
            let Backing::Frames(child) = self.maps[view].lookup(gpa).0 else { continue };
            let info = self.info.get(child);
            if gone.contexts != 0 && info.traps & TABLE != 0 && self.tables.forget(info.table, &gone) {
                self.unmark(Marked { frame: child, slot: info.table });
            }
        }
    }
}
