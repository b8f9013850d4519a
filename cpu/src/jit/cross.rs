//! Between two instructions, from within translated code: what the run loop would do there, without going back to it.

use super::frame::{Entry, Level, Reason, pack};
use super::tags::Tags;
use crate::block::BLOCK_INSNS;
use crate::exec::Cx;
use crate::interp::Look;
use crate::state::CodeSize;

impl Entry {
    /// Has translated code run for at most `room` steps. Each block, and each turn of a loop, is begun only if the longest one
    /// fits.
    pub fn set_out(&mut self, cx: &mut Cx, tags: &mut Tags, room: u64) {
        cx.mmu.fit();
        let context = cx.active_context();
        self.level = Level::new(cx, context, tags);
        let other = cx.context_of_other_level();
        self.other = other.map_or(Level::UNKNOWN, |other| Level::new(cx, other, tags));
        self.flags = pack(&cx.cpu.flags);
        self.given = room.min(self.longest) as i64 - BLOCK_INSNS as i64;
        self.budget = self.given;
        self.clock = cx.cpu.timing.start().wrapping_add(self.given as u64);
        self.interrupted = cx.interrupt_waits().into();
    }

    /// Steps taken since then, but for those of the block at hand.
    pub fn done(&self) -> u64 {
        (self.given - self.budget) as u64
    }
}

/// After an instruction that faulted, or after which something may be due; its steps are accounted for.
pub(super) fn cross(cx: &mut Cx, entry: &mut Entry, tags: &mut Tags) -> Reason {
    entry.run += entry.done();
    if cx.cpu.attention {
        let look = cx.look();
        entry.looked = Some(look);
        if !matches!(look, Look::Run { single: false, stepping: false }) {
            return Reason::Leave;
        }
    }
    let room = cx.cpu.timing.room();
    // Decoded code is the run loop's.
    let goes_on = room >= BLOCK_INSNS as u64
        && !cx.mmu.disturbed()
        && cx.translatable()
        && cx.cpu.code_size == CodeSize::Bits64
        && tags.left();
    if !goes_on {
        return Reason::Leave;
    }
    entry.looked = None;
    entry.crossed += 1;
    entry.rip = cx.cpu.rip;
    cx.cpu.tagged_modes = cx.cpu.native_modes();
    entry.set_out(cx, tags, room);
    Reason::Cross
}
