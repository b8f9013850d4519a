//! What translated code has interpreted: instructions that are not translated, and accesses the TLB does not answer.
#![allow(unsafe_code)]

use super::cross::cross;
use super::follow_level;
use super::frame::{Entry, Reason, Site, pack, unpack};
use super::tags::Tags;
use super::x87::{give, take};
use crate::exec::{Cx, iflag};
use crate::state::BLOCK_RIP;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// In place of a site: makes the image of the x87 state that FRSTOR is to load.
pub(super) const X87_IMAGE: u32 = u32::MAX;

/// Carries out the instruction of a site. Called from translated code alone, with all registers stored. 0 if the block
/// goes on.
pub(super) unsafe extern "sysv64" fn interpret(entry: *mut Entry, number: u32) -> u32 {
    // SAFETY: translated code passes the entry it was entered with, whose pointers lead to different things, are good
    // until it returns, and are used by nobody else meanwhile.
    let (entry, sites, tags) = unsafe { (&mut *entry, &*(*entry).sites, &mut *(*entry).tags) };
    // SAFETY: as above.
    let cx = unsafe { &mut *entry.cx };
    if number == X87_IMAGE {
        give(&cx.cpu.x87, &mut entry.x87);
        return Reason::Continue as u32;
    }
    let live = std::mem::take(&mut entry.x87_stored) != 0;
    if live {
        take(&mut cx.cpu.x87, &entry.x87);
    }
    entry.interpreted += 1;
    let site = &sites[number as usize];
    site.count.set(site.count.get() + 1);
    // A panic must not unwind through translated code, which has no tables for that.
    let reason = match catch_unwind(AssertUnwindSafe(|| step(cx, entry, tags, site))) {
        Ok(reason) => reason,
        Err(panic) => {
            entry.panic = Some(panic);
            Reason::Panic
        }
    };
    if live && reason == Reason::Continue {
        give(&cx.cpu.x87, &mut entry.x87);
    }
    entry.reason = reason as u32;
    reason as u32
}

fn step(cx: &mut Cx, entry: &mut Entry, tags: &mut Tags, site: &Site) -> Reason {
    let before = entry.done() + u64::from(site.index);
    follow_level(cx);
    if site.flags {
        unpack(entry.flags, &mut cx.cpu.flags);
    }
    cx.cpu.rip = site.rip;
    cx.cpu.gpr[BLOCK_RIP as usize] = site.rip;
    cx.cpu.timing.at = before as u32;
    cx.cpu.timing.limit = u32::MAX;
    let outcome = (site.insn.exec)(cx, &site.insn);
    // Whatever asks for a look between two instructions may be looked at after any of them.
    let leaves = cx.cpu.timing.limit == 0 || cx.cpu.attention || cx.mmu.disturbed();
    if !site.flags && (leaves || outcome.is_err()) {
        unpack(entry.flags, &mut cx.cpu.flags);
    }
    if outcome.is_err() {
        cx.fault_in_block(site.rip, &site.insn, before);
    } else if leaves {
        if site.insn.flags & iflag::BRANCH == 0 {
            cx.cpu.rip = site.rip.wrapping_add(u64::from(site.insn.next));
        }
        cx.cpu.timing.commit(before + 1);
    } else {
        if site.flags {
            entry.flags = pack(&cx.cpu.flags);
        }
        return Reason::Continue;
    }
    cross(cx, entry, tags)
}
