//! Walks of the page tables, and how they fill the TLB.

use super::{Mmu, Place};
use crate::aliases::Revoke;
use crate::info::MONITORED;
use crate::map::Backing;
use crate::paging::{ACCESSED, Access, DIRTY, PageFault, Step, Used, Walk};
use crate::pool::{FrameId, PAGE};
use crate::tlb::{ContextId, ContextKey};

impl Mmu {
    /// Walks the tables, fills the TLB of `context` and says where the access goes.
    ///
    /// # Errors
    /// The page fault the access causes.
    pub fn place(&mut self, context: ContextId, linear: u64, access: Access) -> Result<Place, PageFault> {
        let page = linear & !0xFFF;
        if let Some(gpa) = self.tlb.device(context, page, access) {
            return Ok(Place::Device(gpa | linear & 0xFFF));
        }
        let key = self.key(context);
        let from = self.tlb.structures(context).and_then(|structures| structures.get(linear));
        let walk = self.translate(&key, context, linear, from, access)?;
        let gpa = walk.page & self.a20_mask;
        let (read, write) = self.maps[usize::from(key.view & 1)].lookup(gpa);
        let backing = if access == Access::Write { write } else { read };
        let Backing::Frames(frame) = backing else {
            if backing != Backing::Device {
                return Ok(Place::Open);
            }
            if access != Access::Execute {
                self.tlb.fill_device(context, page, access, gpa);
            }
            return Ok(Place::Device(gpa | linear & 0xFFF));
        };
        match access {
            Access::Execute => self.tlb.fill_exec(context, page, frame),
            _ if key.rights.watched => {}
            Access::Read => self.fill_read(context, page, frame),
            Access::Write => self.fill_write(context, page, frame, read == write),
        }
        Ok(Place::Frame(frame))
    }

    pub(super) fn key(&self, context: ContextId) -> ContextKey {
        let Some(key) = self.tlb.key(context) else {
            unreachable!("context ids are renewed when the context epoch changes")
        };
        *key
    }

    /// Walks the tables with all that follows from it, short of the access.
    pub(super) fn translate(
        &mut self,
        key: &ContextKey,
        context: ContextId,
        linear: u64,
        from: Option<Step>,
        access: Access,
    ) -> Result<Walk, PageFault> {
        self.counters.walks += 1;
        let walk = self.walk(key, linear, from, access)?;
        self.set_flags(key, &walk, access);
        for used in &walk.used[..walk.levels] {
            self.mark_table(key, context, linear, used);
        }
        if from.is_none() && walk.levels != 0 {
            self.tlb.note_structure(context, linear, walk.last);
        }
        Ok(walk)
    }

    fn fill_read(&mut self, context: ContextId, page: u64, frame: FrameId) {
        if self.frames.shared(frame) {
            let aliases = &mut self.info.at(frame).aliases;
            aliases.add(page, context.bit(), &mut self.tlb, Revoke::Translation);
        }
        self.tlb.fill_read(context, page, self.frames.address(frame));
    }

    /// Makes a frame this machine's own for a write; translations to where it was go. False if the host has no
    /// memory for that.
    fn own(&mut self, frame: FrameId) -> bool {
        let owned = self.frames.own(frame);
        if owned.as_ref().is_some_and(|owned| owned.moved) {
            self.info.at(frame).aliases.revoke(&mut self.tlb, Revoke::Translation);
        }
        owned.is_some()
    }

    fn fill_write(&mut self, context: ContextId, page: u64, frame: FrameId, readable: bool) {
        if !readable {
            return;
        }
        if self.info.traps(frame) != 0 {
            return self.fill_read(context, page, frame);
        }
        if self.own(frame) {
            let aliases = &mut self.info.at(frame).aliases;
            aliases.add(page, context.bit(), &mut self.tlb, Revoke::Write);
            let host = self.frames.address(frame);
            self.tlb.fill_write(context, page, host);
            self.tlb.fill_read(context, page, host);
        }
    }

    pub(super) fn walk(
        &self,
        key: &ContextKey,
        linear: u64,
        from: Option<Step>,
        access: Access,
    ) -> Result<Walk, PageFault> {
        key.space.walk(linear, from, access, key.rights.user, key.rights.smap_enforced, |gpa, size| {
            self.read_entry(key.view, gpa, size)
        })
    }

    pub(super) fn read_entry(&self, view: u8, gpa: u64, size: u64) -> u64 {
        let gpa = gpa & self.a20_mask;
        match self.maps[usize::from(view & 1)].lookup(gpa).0 {
            Backing::Frames(frame) => {
                let address = self.frames.address(frame) + (gpa & (PAGE - 1) & !(size - 1)) as usize;
                if size == 4 {
                    u64::from(self.frames.memory().load::<u32>(address))
                } else {
                    self.frames.memory().load::<u64>(address)
                }
            }
            Backing::Device | Backing::Open => !0 >> (64 - 8 * size),
        }
    }

    /// Sets accessed and dirty flags of a walk that succeeded (SDM 4.8).
    fn set_flags(&mut self, key: &ContextKey, walk: &Walk, access: Access) {
        for (level, used) in walk.used[..walk.levels].iter().enumerate() {
            let leaf = level + 1 == walk.levels;
            let want = ACCESSED | if leaf && access == Access::Write { DIRTY } else { 0 };
            if used.value & want != want {
                self.write_entry(key.view, used, used.value | want, key.space.entry_size());
            }
        }
    }

    fn write_entry(&mut self, view: u8, used: &Used, value: u64, size: u64) {
        let gpa = used.entry & self.a20_mask;
        if let Backing::Frames(frame) = self.maps[usize::from(view & 1)].lookup(gpa).1 {
            let offset = (gpa & (PAGE - 1)) as usize;
            self.note_code_store(frame, offset, size as usize);
            if self.info.traps(frame) & MONITORED != 0 {
                self.note_monitored_store(frame, offset, size as usize);
            }
            self.store(frame, offset, &value.to_le_bytes()[..size as usize]);
        }
    }
}
