//! The memory of a machine: frames, maps, TLB and the bookkeeping that keeps the TLB and decoded code coherent.

mod coherence;
mod fetch;
mod place;

use crate::aliases::{Aliases, Revoke};
use crate::frames::{Frames, FrozenFrames};
use crate::info::{CODE, FrameInfos, MONITORED, TABLE};
use crate::map::{AddressMap, Backing};
use crate::paging::{Access, AddressSpace};
use crate::pending::{PageSource, Pending};
use crate::pool::{FrameId, FramesError, GROUP, PAGE, Word};
use crate::tables::Tables;
use crate::tlb::{Claim, ContextId, ContextKey, Tlb, TlbEntry};
use fetch::Fetches;
use std::ops::Range;
use std::sync::Arc;

/// Most frames that a rewind copies; more are shared.
const COPIED_MAX: usize = 2048;

/// Which of the platform's address maps a CPU sees: 0 ordinarily, 1 in SMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewId(pub u8);

/// With what rights, and how, memory is accessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// A user-mode access.
    pub user: bool,
    /// CR4.SMAP applies (EFLAGS.AC is clear or the access is implicit).
    pub smap_enforced: bool,
    /// Every access takes the slow path, where someone looks at it.
    pub watched: bool,
}

/// Where a linear address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A frame; offset is the low 12 bits of the address.
    Frame(FrameId),
    /// A device at this guest-physical address.
    Device(u64),
    /// Nothing.
    Open,
}

/// Where instructions are fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecPage {
    /// A frame.
    Frame(FrameId),
    /// Not memory.
    Device(u64),
}

/// A store hit a 64-byte granule with bytes that were decoded as code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smc {
    /// The frame.
    pub frame: FrameId,
    /// The bytes of it that were stored to.
    pub bytes: Range<usize>,
}

/// What coherence costs; printed by `--stats`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Page walks.
    pub walks: u64,
    /// Stores to frames marked as page tables.
    pub table_stores: u64,
    /// Translations dropped because their tables changed.
    pub dropped: u64,
    /// TLB contexts made.
    pub contexts: u64,
    /// Stores that hit decoded code.
    pub code_stores: u64,
    /// Stores that went the slow way because decoded code shares their page.
    pub near_code_stores: u64,
    /// Frames marked as tables over time.
    pub tables_marked: u64,
}

/// Bytes MONITOR watches, naturally aligned.
pub const MONITOR_LINE: u64 = 64;

/// A line that a processor's MONITOR watches.
#[derive(Clone, Copy)]
struct Monitored {
    processor: u32,
    /// Guest-physical address.
    line: u64,
    frame: FrameId,
}

/// The memory of a machine.
pub struct Mmu {
    frames: Frames,
    info: FrameInfos,
    maps: [AddressMap; 2],
    tlb: Tlb,
    tables: Tables,
    a20_mask: u64,
    context_epoch: u64,
    fetches: Fetches,
    disturbed: bool,
    smc: Vec<Smc>,
    monitored: Vec<Monitored>,
    /// Processors whose line was stored to.
    triggered: Vec<u32>,
    /// What coherence costs.
    pub counters: Counters,
}

impl Mmu {
    /// Memory with room for `frames` frames and an empty map.
    pub fn new(frames: u32) -> Result<Self, FramesError> {
        Ok(Self::over(Frames::new(frames)?))
    }

    /// Memory that starts as `frozen`, with an empty map. `None` if that has no frames.
    pub fn fork(frozen: &FrozenFrames) -> Option<Self> {
        Frames::fork(frozen).map(Self::over)
    }

    fn over(frames: Frames) -> Self {
        Self {
            frames,
            info: FrameInfos::default(),
            maps: Default::default(),
            tlb: Tlb::new(),
            tables: Tables::default(),
            a20_mask: !0,
            context_epoch: 1,
            fetches: Fetches::default(),
            disturbed: false,
            smc: Vec::new(),
            monitored: Vec::new(),
            triggered: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Takes consecutive zero frames from a multiple of 512 on, e.g. for a region.
    pub fn allocate(&mut self, count: u32) -> Option<FrameId> {
        self.frames.allocate(count)
    }

    /// Gives back what [`Self::allocate`] gave. No map leads there any more, and nothing is cached of it: see
    /// [`Self::drop_translations`] and [`Self::drop_code_marks`].
    pub fn release(&mut self, first: FrameId, count: u32) {
        debug_assert!((first.0..first.0 + count).all(|frame| self.info.traps(FrameId(frame)) == 0));
        self.frames.release(first, count);
    }

    /// Replaces the address map of a view. Every translation goes.
    pub fn set_map(&mut self, view: ViewId, map: AddressMap) {
        let slot = &mut self.maps[usize::from(view.0 & 1)];
        if *slot != map {
            *slot = map;
            self.drop_translations();
        }
    }

    /// The address map of a view.
    pub fn map(&self, view: ViewId) -> &AddressMap {
        &self.maps[usize::from(view.0 & 1)]
    }

    /// Opens or closes the A20 gate.
    pub fn set_a20(&mut self, enabled: bool) {
        let mask = if enabled { !0 } else { !(1 << 20) };
        if mask != self.a20_mask {
            self.a20_mask = mask;
            self.drop_translations();
        }
    }

    /// Drops every cached translation. The guest cannot tell.
    pub fn drop_translations(&mut self) {
        self.tlb.flush_all();
        self.leave_code_spaces(!0, 0, 64);
        self.exec_changed(!0);
        for info in self.info.touched() {
            info.aliases = Aliases::default();
            if info.traps & TABLE != 0 {
                info.traps &= !TABLE;
                self.tables.close(info.table);
            }
        }
    }

    /// Changes when context ids held by a CPU may have been given to others.
    #[inline(always)]
    pub fn context_epoch(&self) -> u64 {
        self.context_epoch
    }

    /// Whether decoded code or its mapping changed since the last [`Self::take_smc`].
    #[inline(always)]
    pub fn disturbed(&self) -> bool {
        self.disturbed
    }

    /// The stores that hit decoded code since the last call.
    pub fn take_smc(&mut self) -> Vec<Smc> {
        self.disturbed = false;
        std::mem::take(&mut self.smc)
    }

    /// The context for an address space as seen with a privilege; stays valid until the context epoch changes.
    pub fn context(&mut self, space: &AddressSpace, rights: Rights, view: ViewId) -> ContextId {
        let key = ContextKey { space: *space, rights, view: view.0 };
        let (id, claim) = self.tlb.context(&key);
        if claim == Claim::Evicted {
            self.context_epoch += 1;
            self.leave_code_spaces(id.bit(), 0, 64);
            self.exec_changed(id.bit());
        }
        self.counters.contexts += u64::from(claim != Claim::Known);
        id
    }

    /// Makes `context` the one the fast paths use.
    #[inline(always)]
    pub fn activate(&mut self, context: ContextId) {
        self.tlb.activate(context);
    }

    /// The table of a context's translations, for translated code: addresses it gives out are good until anything but a load
    /// or store through it happens to this memory. `None` if it never had any.
    pub fn entries_of(&self, context: ContextId) -> Option<&[TlbEntry]> {
        self.tlb.entries_of(context)
    }

    /// Gives the active context as much room for translations as it could do with.
    pub fn fit(&mut self) {
        // Kernels sweep memory when they begin and never come back to most of it; programs do.
        if self.tlb.fit() {
            self.frames.memory().prefer_huge_pages();
        }
    }

    /// Reads through the active context if its TLB allows it: one compare covers tag, permission and page end.
    #[inline(always)]
    pub fn read_fast<T: Word>(&self, linear: u64) -> Option<T> {
        let entry = self.tlb.active_entry(linear);
        let offset = linear.wrapping_sub(entry.read) as usize;
        if offset <= PAGE as usize - T::SIZE {
            Some(self.frames.memory().load(entry.host.wrapping_add(offset)))
        } else {
            None
        }
    }

    /// Reads through the active context if its TLB allows writing there.
    #[inline(always)]
    pub fn modify_fast<T: Word>(&self, linear: u64) -> Option<T> {
        let entry = self.tlb.active_entry(linear);
        let offset = linear.wrapping_sub(entry.write) as usize;
        if offset <= PAGE as usize - T::SIZE {
            Some(self.frames.memory().load(entry.host.wrapping_add(offset)))
        } else {
            None
        }
    }

    /// Writes through the active context if its TLB allows it.
    #[inline(always)]
    pub fn write_fast<T: Word>(&mut self, linear: u64, value: T) -> bool {
        let entry = self.tlb.active_entry(linear);
        let offset = linear.wrapping_sub(entry.write) as usize;
        let hit = offset <= PAGE as usize - T::SIZE;
        if hit {
            self.frames.memory().store(entry.host.wrapping_add(offset), value);
        }
        hit
    }

    /// Host address for a read of `len` bytes that stays in its page, through the active context.
    #[inline(always)]
    fn span(&self, linear: u64, len: usize, write: bool) -> Option<usize> {
        let entry = self.tlb.active_entry(linear);
        let tag = if write { entry.write } else { entry.read };
        let (last, offset) = ((PAGE as usize).checked_sub(len)?, linear.wrapping_sub(tag) as usize);
        (offset <= last).then(|| entry.host.wrapping_add(offset))
    }

    /// Copies `len` bytes inside one page to inside another, as if all were read first. False if the TLB does not
    /// hold both; nothing is done then.
    #[inline]
    pub fn copy_fast(&mut self, from: u64, to: u64, len: usize) -> bool {
        let (Some(source), Some(target)) = (self.span(from, len, false), self.span(to, len, true)) else {
            return false;
        };
        self.frames.memory().copy(source, target, len);
        true
    }

    /// Whether two linear addresses in the TLB lead to overlapping memory of `len` bytes.
    pub fn overlap_fast(&self, from: u64, to: u64, len: usize) -> bool {
        match (self.span(from, len, false), self.span(to, len, true)) {
            (Some(a), Some(b)) => a.abs_diff(b) < len,
            _ => true,
        }
    }

    /// Reads bytes inside one page through the active context. False if the TLB does not hold it.
    pub fn read_span(&self, from: u64, into: &mut [u8]) -> bool {
        let Some(address) = self.span(from, into.len(), false) else { return false };
        self.frames.memory().read(address, into);
        true
    }

    /// Whether a copy inside one page each from `from` to `to` might overwrite what it has yet to read, where `to` need
    /// not be in the TLB: the page offsets decide. At equal ones both are the same bytes or in different frames.
    pub fn overlaps_frame(&self, from: u64, to: u64, len: usize) -> bool {
        (from & 0xFFF).abs_diff(to & 0xFFF) < len as u64 && from & 0xFFF != to & 0xFFF
    }

    /// Whether a write to `linear` in the context is known to lead to a device.
    #[inline]
    pub fn leads_to_device(&self, context: ContextId, linear: u64) -> bool {
        self.tlb.device(context, linear & !0xFFF, Access::Write).is_some()
    }

    /// Fills `count` words inside one page. False if the TLB does not hold it.
    #[inline]
    pub fn fill_fast<T: Word>(&mut self, to: u64, value: T, count: usize) -> bool {
        let Some(target) = self.span(to, count * T::SIZE, true) else { return false };
        self.frames.memory().fill(target, value, count);
        true
    }

    /// Notes that bytes of `frame` were decoded; stores to them will be reported.
    pub fn mark_code(&mut self, frame: FrameId, granules: u64) {
        let info = self.info.at(frame);
        if info.traps & CODE == 0 {
            info.traps |= CODE;
            info.aliases.revoke(&mut self.tlb, Revoke::Write);
        }
        info.code |= granules;
    }

    /// Notes that only `granules` of `frame` hold decoded code any more.
    pub fn set_code(&mut self, frame: FrameId, granules: u64) {
        let info = self.info.at(frame);
        info.code = granules;
        if granules == 0 {
            info.traps &= !CODE;
        }
    }

    /// Forgets where decoded code lies, after all of it was dropped.
    pub fn drop_code_marks(&mut self) {
        for info in self.info.touched() {
            info.code = 0;
            info.traps &= !CODE;
        }
        self.smc.clear();
    }

    fn note_code_store(&mut self, frame: FrameId, offset: usize, len: usize) {
        let Some(code) = self.info.code(frame) else { return };
        if granules(offset, len) & code == 0 {
            self.counters.near_code_stores += 1;
        } else {
            self.counters.code_stores += 1;
            self.disturbed = true;
            self.smc.push(Smc { frame, bytes: offset..offset + len });
        }
    }

    /// Makes `line`, an aligned guest-physical address, the one `processor` monitors; `None` ends that. From then on
    /// the first store to it, by whomever, is reported by [`Self::take_triggered`]. False if stores there go to no memory.
    pub fn monitor(&mut self, processor: u32, view: ViewId, line: Option<u64>) -> bool {
        self.triggered.retain(|other| *other != processor);
        self.end_monitors(|monitored| monitored.processor == processor);
        let Some(line) = line else { return true };
        let Backing::Frames(frame) = self.map(view).lookup(line).1 else { return false };
        self.monitored.push(Monitored { processor, line, frame });
        let info = self.info.at(frame);
        info.traps |= MONITORED;
        info.aliases.revoke(&mut self.tlb, Revoke::Write);
        true
    }

    /// The line `processor` monitors, until it is stored to.
    pub fn monitored(&self, processor: u32) -> Option<u64> {
        self.monitored.iter().find(|monitored| monitored.processor == processor).map(|found| found.line)
    }

    /// Whether [`Self::take_triggered`] has anything to report.
    #[inline(always)]
    pub fn any_triggered(&self) -> bool {
        !self.triggered.is_empty()
    }

    /// Processors whose line was stored to since the last call. They monitor nothing any more.
    pub fn take_triggered(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.triggered)
    }

    /// Forgets what is monitored; whoever knows it calls [`Self::monitor`] again.
    pub fn drop_monitors(&mut self) {
        self.end_monitors(|_| true);
        self.triggered.clear();
    }

    fn end_monitors(&mut self, ends: impl Fn(&Monitored) -> bool) {
        let Self { monitored, info, .. } = self;
        if !monitored.iter().any(&ends) {
            return;
        }
        for gone in monitored.extract_if(.., |monitored| ends(monitored)) {
            info.at(gone.frame).traps &= !MONITORED;
        }
        for left in monitored {
            info.at(left.frame).traps |= MONITORED;
        }
    }

    #[cold]
    fn note_monitored_store(&mut self, frame: FrameId, offset: usize, len: usize) {
        let touched = granules(offset, len);
        let hit = |monitored: &Monitored| {
            monitored.frame == frame && touched >> (monitored.line % PAGE / MONITOR_LINE) & 1 != 0
        };
        let hits = self.monitored.iter().filter(|monitored| hit(monitored)).map(|found| found.processor);
        self.triggered.extend(hits);
        self.end_monitors(hit);
    }

    /// Writes inside one frame, keeping TLB, decoded code and generations true.
    ///
    /// # Panics
    /// If the range leaves the frame.
    pub fn write_frame(&mut self, frame: FrameId, offset: usize, bytes: &[u8]) {
        let traps = self.info.traps(frame);
        if traps & CODE != 0 {
            self.note_code_store(frame, offset, bytes.len());
        }
        if traps & MONITORED != 0 {
            self.note_monitored_store(frame, offset, bytes.len());
        }
        if traps & TABLE != 0
            && !bytes.is_empty()
            && self.frames.bytes(frame)[offset..offset + bytes.len()] != *bytes
        {
            self.table_store(frame, offset, bytes);
        }
        self.store(frame, offset, bytes);
    }

    fn store(&mut self, frame: FrameId, offset: usize, bytes: &[u8]) {
        if let Some(owned) = self.frames.own(frame) {
            if owned.moved {
                self.info.at(frame).aliases.revoke(&mut self.tlb, Revoke::Translation);
            }
            self.frames.memory().write(owned.host, offset, bytes);
        }
    }

    /// The bytes of a frame.
    pub fn frame(&self, frame: FrameId) -> &[u8] {
        self.frames.bytes(frame)
    }

    /// Translates without side effects, for debuggers. `None` if not mapped.
    pub fn probe(&self, space: &AddressSpace, view: ViewId, linear: u64) -> Option<u64> {
        self.probe_as(space, view, linear, false)
    }

    /// As [`Self::probe`], but only what a program of that privilege may read.
    pub fn probe_as(&self, space: &AddressSpace, view: ViewId, linear: u64, user: bool) -> Option<u64> {
        let rights = Rights { user, ..Rights::default() };
        let key = ContextKey { space: *space, rights, view: view.0 };
        let walk = self.walk(&key, linear, None, Access::Read).ok()?;
        Some((walk.page | linear & 0xFFF) & self.a20_mask)
    }

    /// Reads guest-physical memory; what is not memory reads as ones.
    pub fn read_physical(&self, view: ViewId, gpa: u64, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let at = gpa.wrapping_add(done as u64) & self.a20_mask;
            let offset = (at & (PAGE - 1)) as usize;
            let len = (PAGE as usize - offset).min(into.len() - done);
            match self.map(view).lookup(at).0 {
                Backing::Frames(frame) => {
                    into[done..done + len].copy_from_slice(&self.frames.bytes(frame)[offset..offset + len]);
                }
                Backing::Device | Backing::Open => into[done..done + len].fill(0xFF),
            }
            done += len;
        }
    }

    /// Writes guest-physical memory; what is not writable memory swallows it.
    pub fn write_physical(&mut self, view: ViewId, gpa: u64, from: &[u8]) {
        let mut done = 0;
        while done < from.len() {
            let at = gpa.wrapping_add(done as u64) & self.a20_mask;
            let offset = (at & (PAGE - 1)) as usize;
            let len = (PAGE as usize - offset).min(from.len() - done);
            if let Backing::Frames(frame) = self.map(view).lookup(at).1 {
                self.write_frame(frame, offset, &from[done..done + len]);
            }
            done += len;
        }
    }

    /// Closes a write generation: writes from now on are newer than all before.
    pub fn seal(&mut self) {
        self.tlb.drop_all_writes();
        self.frames.seal();
    }

    /// The contents of all frames now, at no cost per byte; what is written from now on is copied first.
    pub fn freeze(&mut self) -> FrozenFrames {
        self.tlb.drop_all_data();
        self.info.touched().for_each(|info| info.aliases = Aliases::default());
        self.frames.freeze()
    }

    /// Puts the contents back that `frozen` holds, from which this memory was forked or as which it was frozen. Costs
    /// what was written since; decoded code and translations of other frames stay.
    pub fn rewind(&mut self, frozen: &FrozenFrames) {
        let changed = self.frames.begin_rewind(frozen);
        if changed.len() > COPIED_MAX && self.frames.shares_memory_with(frozen) {
            self.share_again(&changed, frozen);
        } else {
            self.copy_again(&changed, frozen);
        }
        self.frames.rewound(frozen);
    }

    /// Frames that were written are shared with `frozen` once more: as quick for many as for few, but each translation goes.
    fn share_again(&mut self, changed: &[FrameId], frozen: &FrozenFrames) {
        for frame in changed.iter().copied().filter(|frame| self.info.traps(*frame) != 0).collect::<Vec<_>>()
        {
            self.rewind_trapped(frame, frozen.bytes(frame));
        }
        self.tlb.drop_all_data();
        self.info.touched().for_each(|info| info.aliases = Aliases::default());
        self.frames.share_groups(frozen);
    }

    /// Frames that were written get their bytes back where they are.
    fn copy_again(&mut self, changed: &[FrameId], frozen: &FrozenFrames) {
        for frame in changed.iter().copied() {
            if self.info.traps(frame) == 0 {
                self.store(frame, 0, frozen.bytes(frame));
            } else {
                self.rewind_trapped(frame, frozen.bytes(frame));
            }
            self.info.at(frame).aliases.revoke(&mut self.tlb, Revoke::Write);
        }
    }

    /// Writes only what differs, so that decoded code and translations that stay true stay.
    fn rewind_trapped(&mut self, frame: FrameId, bytes: &[u8]) {
        for (granule, bytes) in bytes.chunks(64).enumerate() {
            if self.frames.bytes(frame)[granule * 64..][..64] != *bytes {
                self.write_frame(frame, granule * 64, bytes);
            }
        }
    }

    /// Has 512 frames from `first` on (just allocated) come from `source` when they are first needed: frame i from
    /// its page `base + i`, for the bits set in `pages`.
    pub fn expect(
        &mut self,
        first: FrameId,
        source: Arc<dyn PageSource>,
        base: u64,
        pages: [u64; GROUP / 64],
    ) {
        self.frames.expect(first, source, base, pages);
    }

    /// What is still to come, for a thread that fetches it ahead of need.
    pub fn pending(&self) -> Vec<Arc<Pending>> {
        self.frames.pending()
    }

    /// Notes that the memory is not what it should be.
    pub fn damage(&self, why: String) {
        self.frames.damage(why);
    }

    /// What went wrong with the memory, if anything: then the machine must not go on.
    pub fn damaged(&self) -> Option<&str> {
        self.frames.damaged()
    }

    /// Guest memory there is, bytes.
    pub fn guest_bytes(&self) -> u64 {
        self.frames.guest_bytes()
    }

    /// Host memory behind the frames, with those of forks and frozen states, bytes.
    pub fn host_bytes(&self) -> u64 {
        self.frames.host_bytes()
    }

    /// Frames written since this memory was last frozen or brought back to a frozen state.
    pub fn written(&self) -> usize {
        self.frames.written()
    }

    /// Generation of the last write to `frame`, `None` while it was never written.
    pub fn generation(&self, frame: FrameId) -> Option<u64> {
        self.frames.generation(frame)
    }

    /// The latest generation among the 512 frames from `first` on, which starts a group.
    pub fn newest(&self, first: FrameId) -> u64 {
        self.frames.newest(first)
    }

    /// Frames marked as page tables now.
    pub fn marked_tables(&self) -> usize {
        self.tables.marked()
    }
}

/// The 64-byte granules that a range of a frame touches.
pub(crate) fn granules(offset: usize, len: usize) -> u64 {
    let (first, last) = (offset / 64, (offset + len.max(1) - 1) / 64);
    (!0u64 >> (63 - (last - first).min(63))) << first
}
