//! What translated code finds on the stack, and what it shares with the run loop.

use super::emit::{Mem, at};
use super::registers::RSP;
use super::tags::Tags;
use super::x87;
use crate::block::jump;
use crate::exec::{Cx, Insn};
use crate::flags::{Flags, bit};
use crate::interp::Look;
use amber_mmu::{ContextId, TlbEntry};
use std::any::Any;
use std::cell::Cell;
use std::mem::offset_of;

/// Offsets from RSP while translated code runs.
pub(super) const FLAGS: i32 = 0;
/// Names the way code is found (see [`Level::tag_id`]).
pub(super) const TAG_ID: i32 = 8;
/// Whether XMM registers and MXCSR are the guest's.
pub(super) const XMM_LIVE: i32 = 12;
pub(super) const ENTRY: i32 = 16;
pub(super) const VCPU: i32 = 24;
pub(super) const TLB: i32 = 32;
pub(super) const JUMPS: i32 = 40;
pub(super) const TAG: i32 = 48;
pub(super) const TAG_MIX: i32 = 56;
pub(super) const CODE_BASE: i32 = 64;
const SLOTS: i32 = 72;
pub(super) const RIP: i32 = 104;
pub(super) const LINK: i32 = 112;
/// MXCSR as Rust code expects it.
pub(super) const HOST_MXCSR: i32 = 116;
/// See [`Level::tlb_mask`].
pub(super) const TLB_MASK: i32 = 120;
/// The page of the stack that was read last: its tag, then how far host memory is from it, then how many bytes from the
/// tag on an access may begin in, and the same for a wide one. Those are 0 while there is no page: no tag is one that RSP
/// cannot be.
pub(super) const STACK_READ: i32 = 128;
/// The same for writes.
pub(super) const STACK_WRITE: i32 = 160;
pub(super) const STACK_DISTANCE: i32 = 8;
pub(super) const STACK_REACH: i32 = 16;
pub(super) const STACK_WIDE_REACH: i32 = 24;
/// Bytes of an access at most.
pub(super) const NARROW: i32 = 16;
/// Bytes of a window at most.
pub(super) const WIDE: i32 = 128;
/// Whether the x87 registers are the guest's.
pub(super) const X87_LIVE: i32 = 192;
/// See [`Entry::interrupted`].
pub(super) const INTERRUPTED: i32 = 196;
/// Offset of an x87 operand, on its way.
pub(super) const OPERAND: i32 = 200;
/// An address, on its way.
pub(super) const ADDRESS: i32 = 208;
/// See [`Entry::clock`].
pub(super) const CLOCK: i32 = 216;
/// See [`Entry::other`].
pub(super) const OTHER: i32 = 224;
const FIRST_WINDOW: i32 = OTHER + 40;
/// Windows of a translation at most.
pub(super) const WINDOWS: usize = 16;
/// Places for the pages that loops keep.
pub(super) const PLACES: usize = 32;
/// Pages a loop keeps at most.
pub(super) const KEPT: usize = 12;
const KEPT_SIZE: i32 = 24;
const OWNERS: i32 = FIRST_WINDOW + 8 * WINDOWS as i32;
const FIRST_KEPT: i32 = OWNERS + 4 * PLACES as i32;
/// Of a page that a loop keeps: its tag, and how many bytes from its start on an access may begin in. That is 0 while there
/// is no page. Before them is how far host memory is from the guest's.
pub(super) const KEPT_TAG: i32 = 8;
pub(super) const KEPT_REACH: i32 = 16;
/// Bytes of it. With the return address and six registers pushed, RSP is a multiple of 16.
pub(super) const SIZE: i32 = FIRST_KEPT + KEPT_SIZE * (KEPT * PLACES) as i32;
const _: () = assert!(SIZE % 16 == 8);

/// How far host memory of a window is from the guest's.
pub(super) fn window(n: usize) -> i32 {
    FIRST_WINDOW + 8 * n as i32
}

/// The loop whose pages are in a place, 0 if none.
pub(super) fn owner(place: usize) -> i32 {
    OWNERS + 4 * place as i32
}

/// Page `n` of those in a place.
pub(super) fn kept(place: usize, n: usize) -> i32 {
    FIRST_KEPT + KEPT_SIZE * (KEPT * place + n) as i32
}

/// How many bytes from a page's start on an access of `size` bytes may begin in.
pub(super) const fn reach(size: i32) -> i32 {
    4096 - size + 1
}

/// The frame's slot of a guest register that has no host register.
pub(super) fn slot(n: u8) -> Mem {
    at(RSP, SLOTS + 8 * i32::from(n))
}

/// A place in the frame.
pub(super) fn here(offset: i32) -> Mem {
    at(RSP, offset)
}

/// How translated code goes on after an instruction that was interpreted, or why it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Reason {
    /// The block goes on. Left: the code at `rip` is not translated, or not linked at `link`, or the budget is used up.
    Continue = 0,
    /// The instruction led elsewhere: goes on at `rip`, with what is new in [`Entry`].
    Cross = 1,
    /// Left, as the run loop has something to do. All steps are accounted for.
    Leave = 2,
    /// A panic is under way.
    Panic = 3,
}

/// An instruction that translated code may have carried out by the interpreter.
pub(crate) struct Site {
    pub insn: Insn,
    /// RIP of its block.
    pub rip: u64,
    /// Instructions of the block before it.
    pub index: u32,
    /// Whether it reads or changes arithmetic flags.
    pub flags: bool,
    /// What it is.
    pub code: iced_x86::Code,
    /// Times it was interpreted.
    pub count: Cell<u64>,
}

/// How memory and code are found at one privilege level.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Level {
    pub tlb: *const u8,
    /// What of an offset in the TLB selects an entry.
    pub tlb_mask: usize,
    pub tag: u64,
    pub tag_mix: u64,
    /// Unique for each tag there was; 0 if nothing is known of this level.
    pub tag_id: u32,
}

impl Level {
    pub const UNKNOWN: Self = Self { tlb: std::ptr::null(), tlb_mask: 0, tag: 0, tag_mix: 0, tag_id: 0 };

    /// The level of a TLB context. Unknown if that has no entries yet.
    pub fn new(cx: &Cx, context: ContextId, tags: &mut Tags) -> Self {
        let Some(entries) = cx.mmu.entries_of(context) else { return Self::UNKNOWN };
        let tag = cx.tag_in(context);
        Self {
            tlb: entries.as_ptr().cast(),
            tlb_mask: (entries.len() - 1) * TlbEntry::SIZE,
            tag,
            tag_mix: jump::mix(tag),
            tag_id: tags.number(tag),
        }
    }
}

/// Offsets of the 64-bit fields of a [`Level`], and their places in the frame.
pub(super) const LEVEL: [(usize, i32); 4] = [
    (offset_of!(Level, tlb), TLB),
    (offset_of!(Level, tlb_mask), TLB_MASK),
    (offset_of!(Level, tag), TAG),
    (offset_of!(Level, tag_mix), TAG_MIX),
];

/// What the run loop and translated code tell each other.
#[repr(C)]
pub(super) struct Entry {
    pub vcpu: *mut crate::state::Vcpu,
    pub level: Level,
    /// The one that SYSCALL or SYSRET lead to.
    pub other: Level,
    pub jumps: *const u8,
    pub code_base: u64,
    /// As LAHF (AH) and SETO (AL) leave them.
    pub flags: u32,
    pub budget: i64,
    /// Virtual time at which the budget is 0, ns.
    pub clock: u64,
    /// Not 0 if an interrupt waits for RFLAGS.IF.
    pub interrupted: u32,
    pub rip: u64,
    pub link: u32,
    pub reason: u32,
    /// Budget at the start.
    pub given: i64,
    /// Steps it may run in one go.
    pub longest: u64,
    pub cx: *mut Cx<'static>,
    pub sites: *const Vec<Site>,
    pub tags: *mut Tags,
    /// What came of the look between two instructions after which it was left.
    pub looked: Option<Look>,
    /// Instructions run since it was entered, up to the last look.
    pub run: u64,
    /// Looks after which it went on.
    pub crossed: u64,
    /// Instructions interpreted so far.
    pub interpreted: u64,
    /// The x87 state as FNSAVE leaves it, and whether it is newer than the processor's.
    pub x87: [u8; x87::IMAGE],
    pub x87_stored: u32,
    pub panic: Option<Box<dyn Any + Send>>,
}

impl Entry {
    /// Of no processor.
    pub const EMPTY: Self = Self {
        vcpu: std::ptr::null_mut(),
        level: Level::UNKNOWN,
        other: Level::UNKNOWN,
        jumps: std::ptr::null(),
        code_base: 0,
        flags: 0,
        budget: 0,
        clock: 0,
        interrupted: 0,
        rip: 0,
        link: 0,
        reason: 0,
        given: 0,
        longest: 0,
        cx: std::ptr::null_mut(),
        sites: std::ptr::null(),
        tags: std::ptr::null_mut(),
        looked: None,
        run: 0,
        crossed: 0,
        interpreted: 0,
        x87: [0; x87::IMAGE],
        x87_stored: 0,
        panic: None,
    };
}

/// Arithmetic flags in the form of [`Entry::flags`].
pub(super) fn pack(flags: &Flags) -> u32 {
    let bits = flags.arithmetic() as u32;
    (bits & 0xD5) << 8 | bits >> 11 & 1 | 2 << 8
}

/// Puts flags in the form of [`Entry::flags`] where they belong.
pub(super) fn unpack(packed: u32, flags: &mut Flags) {
    let overflow = if packed & 1 != 0 { bit::OF } else { 0 };
    flags.set_arithmetic(u64::from(packed >> 8 & 0xD5) | overflow);
}
