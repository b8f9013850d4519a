//! The ways into translated code and out of it, as code: entering, leaving, having an instruction interpreted.
#![allow(unsafe_code)]

use super::emit::{Code, Fixup, Mem, Opcode, at, cc};
use super::frame::{self, Entry, Level, Reason, here};
use super::interpret;
use super::registers::{BUDGET, Home, Host, RAX, RCX, RDI, RDX, RSI, RSP, homes};
use crate::state::Vcpu;
use amber_mmu::TlbEntry;
use std::mem::offset_of;

/// Registers a function of the System V ABI preserves, in the order they are pushed.
const PRESERVED: [Host; 6] = [Host(3), Host(5), Host(12), Host(13), Host(14), Host(15)];
const ADD: u8 = 0;
const SUB: u8 = 5;
const CMP: u8 = 7;

/// Offsets of the routines every translation uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Routines {
    /// `enter(entry, code)` of the System V ABI.
    pub enter: usize,
    /// CALLed with a site in EAX: has its instruction interpreted.
    pub interpret: usize,
    /// Jumped to with a RIP in RAX and a link in ECX: back to the run loop.
    pub leave: usize,
    /// Jumped to where a jump-cache entry has no translation; RIP is in the frame.
    pub untranslated: usize,
    /// CALLed before the first use of XMM registers.
    pub load_xmm: usize,
    /// Jumped to with a RIP in RAX: goes on at its translation if the jump cache knows one.
    pub look_up: usize,
    /// CALLed where the frame's entry for the stack has another page: see [`fill_stack`].
    pub fill_stack_read: usize,
    pub fill_stack_write: usize,
    /// CALLed with an address in RAX: see [`find`].
    pub find_read: usize,
    pub find_write: usize,
}

fn gpr(n: usize) -> i32 {
    (offset_of!(Vcpu, gpr) + 8 * n) as i32
}
fn xmm(n: u8) -> i32 {
    (offset_of!(Vcpu, xmm) + 16 * usize::from(n)) as i32
}
fn mxcsr(vcpu: Host) -> Mem {
    at(vcpu, offset_of!(Vcpu, mxcsr) as i32)
}
fn entry(base: Host, offset: usize) -> Mem {
    at(base, offset as i32)
}

/// LDMXCSR 2, STMXCSR 3.
fn mxcsr_op(code: &mut Code, operation: u8, memory: Mem) {
    code.op(Opcode::two(0xAE), operation, memory, &[]);
}

/// Guest registers to the processor that `vcpu` points to; RDI is lost, after it was stored. `above`: bytes pushed
/// since the frame was on top.
fn store_registers(code: &mut Code, vcpu: Host, above: i32) {
    for (n, home) in homes() {
        if let Home::Register(register) = home {
            code.store(at(vcpu, gpr(n)), register);
        }
    }
    for (n, home) in homes() {
        if let Home::Slot(slot) = home {
            let slot = frame::slot(slot);
            code.load(RDI, Mem { disp: slot.disp + above, ..slot });
            code.store(at(vcpu, gpr(n)), RDI);
        }
    }
}

/// The reverse of [`store_registers`].
fn load_registers(code: &mut Code, vcpu: Host, above: i32) {
    for (n, home) in homes() {
        if let Home::Slot(slot) = home {
            let slot = frame::slot(slot);
            code.load(RDI, at(vcpu, gpr(n)));
            code.store(Mem { disp: slot.disp + above, ..slot }, RDI);
        }
    }
    for (n, home) in homes() {
        if let Home::Register(register) = home {
            code.load(register, at(vcpu, gpr(n)));
        }
    }
}

/// XMM registers and MXCSR to the processor, the host's MXCSR back, where they are the guest's.
fn store_xmm_if_live(code: &mut Code, vcpu: Host, above: i32) {
    code.group1(false, CMP, here(frame::XMM_LIVE + above), 0);
    let skip = code.jump_if(cc::E);
    for n in 0..16 {
        code.op(Opcode::two(0x29), n, at(vcpu, xmm(n)), &[]);
    }
    mxcsr_op(code, 3, mxcsr(vcpu));
    mxcsr_op(code, 2, here(frame::HOST_MXCSR + above));
    code.bind(skip);
}

/// x87 registers to `entry`, where they are the guest's; the host's are as the ABI wants them.
fn store_x87_if_live(code: &mut Code, shared: Host, above: i32) {
    code.group1(false, CMP, here(frame::X87_LIVE + above), 0);
    let skip = code.jump_if(cc::E);
    code.op(Opcode::one(0xDD), 6, entry(shared, offset_of!(Entry, x87)), &[]);
    code.store32_immediate(entry(shared, offset_of!(Entry, x87_stored)), 1);
    code.bind(skip);
}

fn load_xmm(code: &mut Code, vcpu: Host) {
    for n in 0..16 {
        code.op(Opcode::two(0x28), n, at(vcpu, xmm(n)), &[]);
    }
    mxcsr_op(code, 2, mxcsr(vcpu));
}

/// Emits all routines.
pub(super) fn routines(code: &mut Code) -> Routines {
    let mut routines = Routines { untranslated: code.here(), ..Routines::default() };
    debug_assert_eq!(routines.untranslated, crate::block::jump::UNTRANSLATED as usize);
    code.load(RAX, here(frame::RIP));
    code.constant(RCX, 0);
    let to_leave = code.jump();
    routines.enter = code.here();
    enter_routine(code);
    code.bind(to_leave);
    routines.leave = code.here();
    leave(code);
    let tail = code.here();
    unwind(code);
    routines.interpret = code.here();
    let on = interpret_routine(code, tail);
    routines.load_xmm = code.here();
    // RSP is 8 lower than the frame.
    code.load(RCX, here(frame::VCPU + 8));
    load_xmm(code, RCX);
    code.store32_immediate(here(frame::XMM_LIVE + 8), 1);
    code.ret();
    routines.look_up = code.here();
    code.bind(on);
    for miss in look_up(code) {
        code.bind_to(miss, routines.untranslated as i64);
    }
    jump_to_code(code);
    routines.fill_stack_read = code.here();
    fill_stack(code, frame::STACK_READ, tag(false));
    routines.fill_stack_write = code.here();
    fill_stack(code, frame::STACK_WRITE, tag(true));
    routines.find_read = code.here();
    find(code, tag(false));
    routines.find_write = code.here();
    find(code, tag(true));
    routines
}

fn enter_routine(code: &mut Code) {
    for register in PRESERVED {
        code.push(register);
    }
    code.group1(true, SUB, RSP, frame::SIZE);
    code.store(here(frame::ENTRY), RDI);
    // RSI is where to go; it is a guest register, so the address goes through the frame.
    code.store(here(frame::RIP), RSI);
    copy(code, offset_of!(Entry, vcpu), frame::VCPU);
    copy(code, offset_of!(Entry, jumps), frame::JUMPS);
    copy(code, offset_of!(Entry, code_base), frame::CODE_BASE);
    mxcsr_op(code, 3, here(frame::HOST_MXCSR));
    set_out(code);
    code.op(Opcode::one(0xFF), 4, here(frame::RIP), &[]);
}

/// 64 bits of the entry in RDI to the frame.
fn copy(code: &mut Code, from: usize, to: i32) {
    code.load(RAX, entry(RDI, from));
    code.store(here(to), RAX);
}

/// Loads what [`Entry::set_out`] has set, and the guest's registers. RDI is the entry.
fn set_out(code: &mut Code) {
    for (from, to) in frame::LEVEL {
        copy(code, offset_of!(Entry, level) + from, to);
        copy(code, offset_of!(Entry, other) + from, frame::OTHER + from as i32);
    }
    let tag_id = offset_of!(Level, tag_id);
    for (from, to) in [
        (offset_of!(Entry, level) + tag_id, frame::TAG_ID),
        (offset_of!(Entry, other) + tag_id, frame::OTHER + tag_id as i32),
    ] {
        code.load32(RAX, entry(RDI, from));
        code.store32(here(to), RAX);
    }
    copy(code, offset_of!(Entry, clock), frame::CLOCK);
    code.load32(RAX, entry(RDI, offset_of!(Entry, interrupted)));
    code.store32(here(frame::INTERRUPTED), RAX);
    code.load32(RAX, entry(RDI, offset_of!(Entry, flags)));
    code.store32(here(frame::FLAGS), RAX);
    code.store32_immediate(here(frame::XMM_LIVE), 0);
    code.store32_immediate(here(frame::X87_LIVE), 0);
    code.load(BUDGET, entry(RDI, offset_of!(Entry, budget)));
    code.load(RCX, here(frame::VCPU));
    load_registers(code, RCX, 0);
    forget_pages(code, 0);
}

/// With a RIP in RAX and a link in ECX.
fn leave(code: &mut Code) {
    code.store(here(frame::RIP), RAX);
    code.store32(here(frame::LINK), RCX);
    code.load(RCX, here(frame::VCPU));
    store_registers(code, RCX, 0);
    store_xmm_if_live(code, RCX, 0);
    code.load(RDI, here(frame::ENTRY));
    code.load(RAX, here(frame::RIP));
    code.store(entry(RDI, offset_of!(Entry, rip)), RAX);
    code.load32(RAX, here(frame::LINK));
    code.store32(entry(RDI, offset_of!(Entry, link)), RAX);
    code.load32(RAX, here(frame::FLAGS));
    code.store32(entry(RDI, offset_of!(Entry, flags)), RAX);
    code.store(entry(RDI, offset_of!(Entry, budget)), BUDGET);
    store_x87_if_live(code, RDI, 0);
    code.store32_immediate(entry(RDI, offset_of!(Entry, reason)), Reason::Continue as u32);
}

/// Back to the caller of `enter`.
fn unwind(code: &mut Code) {
    code.group1(true, ADD, RSP, frame::SIZE);
    for register in PRESERVED.into_iter().rev() {
        code.pop(register);
    }
    code.ret();
}

/// `tail` is the way out. The jump that is returned is to lead to [`Routines::look_up`].
fn interpret_routine(code: &mut Code, tail: usize) -> Fixup {
    // The return address and this make 16: RSP is aligned for the call.
    let above = 16;
    code.group1(true, SUB, RSP, 8);
    code.load(RCX, here(frame::VCPU + above));
    store_registers(code, RCX, above);
    code.op(Opcode::one(0x8B), RSI.0, RAX, &[]);
    code.load(RDI, here(frame::ENTRY + above));
    code.load32(RAX, here(frame::FLAGS + above));
    code.store32(entry(RDI, offset_of!(Entry, flags)), RAX);
    code.store(entry(RDI, offset_of!(Entry, budget)), BUDGET);
    store_x87_if_live(code, RDI, above);
    store_xmm_if_live(code, RCX, above);
    code.constant(RAX, interpret::interpret as *const () as u64);
    code.op(Opcode::one(0xFF), 2, RAX, &[]);
    code.op(Opcode::one(0x85), RAX.0, RAX, &[]);
    let stays = code.jump_if(cc::E);
    // The translation is not returned to.
    code.group1(true, ADD, RSP, above);
    code.group1(false, CMP, RAX, Reason::Cross as i32);
    let leaves = code.jump_if(cc::NE);
    code.bind_to(leaves, tail as i64);
    code.load(RDI, here(frame::ENTRY));
    set_out(code);
    code.load(RAX, here(frame::ENTRY));
    code.load(RAX, entry(RAX, offset_of!(Entry, rip)));
    let on = code.jump();
    code.bind(stays);
    code.load(RCX, here(frame::VCPU + above));
    code.group1(false, CMP, here(frame::XMM_LIVE + above), 0);
    let skip = code.jump_if(cc::E);
    load_xmm(code, RCX);
    code.bind(skip);
    code.load(RDI, here(frame::ENTRY + above));
    code.group1(false, CMP, here(frame::X87_LIVE + above), 0);
    let skip = code.jump_if(cc::E);
    code.op(Opcode::one(0xDD), 4, entry(RDI, offset_of!(Entry, x87)), &[]);
    code.bind(skip);
    code.load32(RAX, entry(RDI, offset_of!(Entry, flags)));
    code.store32(here(frame::FLAGS + above), RAX);
    load_registers(code, RCX, above);
    forget_pages(code, above);
    code.group1(true, ADD, RSP, 8);
    code.ret();
    on
}

/// Looks the RIP in RAX up in the current context; it is in the frame afterwards. RCX is the offset of the translation.
/// Where there is none, the jumps that are returned are taken.
pub(super) fn look_up(code: &mut Code) -> [Fixup; 2] {
    use crate::block::jump;
    code.store(here(frame::RIP), RAX);
    code.copy(RCX, RAX);
    code.shift(true, 5, RCX, jump::HASH_SHIFT);
    code.op(Opcode::wide(0x33), RCX.0, RAX, &[]);
    code.op(Opcode::wide(0x33), RCX.0, here(frame::TAG_MIX), &[]);
    code.group1(false, 4, RCX, (jump::COUNT - 1) as i32);
    code.shift(false, 4, RCX, jump::SIZE.trailing_zeros() as u8);
    code.op(Opcode::wide(0x03), RCX.0, here(frame::JUMPS), &[]);
    code.op(Opcode::wide(0x3B), RAX.0, at(RCX, jump::LINEAR), &[]);
    let other = code.jump_if(cc::NE);
    code.load(RAX, here(frame::TAG));
    code.op(Opcode::wide(0x3B), RAX.0, at(RCX, jump::TAG), &[]);
    let stale = code.jump_if(cc::NE);
    code.load32(RCX, at(RCX, jump::CODE));
    [other, stale]
}

/// Jumps to the code at the offset in RCX.
pub(super) fn jump_to_code(code: &mut Code) {
    code.op(Opcode::wide(0x03), RCX.0, here(frame::CODE_BASE), &[]);
    code.op(Opcode::one(0xFF), 4, RCX, &[]);
}

/// CALLed with an address in RAX less the tag of the frame's entry for the stack: makes it the entry of that address,
/// if the TLB knows it. RAX is the address less the tag again.
fn fill_stack(code: &mut Code, entry: i32, tag: i32) {
    code.op(Opcode::wide(0x03), RAX.0, here(entry + 8), &[]);
    tlb_entry(code, 8);
    code.op(Opcode::wide(0x2B), RAX.0, at(RCX, tag), &[]);
    code.group1(true, CMP, RAX, 4095);
    let miss = code.jump_if(cc::A);
    code.push(RDX);
    // The return address and RDX are on top of the frame.
    let own = |offset| here(entry + offset + 16);
    distance(code, tag, RDX);
    code.store(own(0), RDX);
    code.store(own(frame::STACK_DISTANCE), RCX);
    for (reach, size) in [(frame::STACK_REACH, frame::NARROW), (frame::STACK_WIDE_REACH, frame::WIDE)] {
        code.op(Opcode::wide(0xC7), 0, own(reach), &frame::reach(size).to_le_bytes());
    }
    code.pop(RDX);
    code.bind(miss);
    code.ret();
}

/// CALLed with an address in RAX: RAX is how far it is in its page then, and RCX how far host memory is from the guest's.
/// RAX is 4,096 or more if the TLB does not know it.
fn find(code: &mut Code, tag: i32) {
    tlb_entry(code, 8);
    code.op(Opcode::wide(0x2B), RAX.0, at(RCX, tag), &[]);
    code.push(RDX);
    distance(code, tag, RDX);
    code.pop(RDX);
    code.ret();
}

/// From the TLB's entry in RCX: its tag in `into`, and how far host memory is from that in RCX.
pub(super) fn distance(code: &mut Code, tag: i32, into: Host) {
    code.load(into, at(RCX, tag));
    code.load(RCX, at(RCX, TlbEntry::HOST as i32));
    code.op(Opcode::wide(0x2B), RCX.0, into, &[]);
}

/// Offset of the tag in an entry of the TLB.
pub(super) fn tag(write: bool) -> i32 {
    (if write { TlbEntry::WRITE } else { TlbEntry::READ }) as i32
}

/// The TLB's entry for the address in RAX, in RCX. `above`: bytes pushed since the frame was on top.
pub(super) fn tlb_entry(code: &mut Code, above: i32) {
    code.op(Opcode::one(0x8B), RCX.0, RAX, &[]);
    code.shift(false, 5, RCX, 12 - TlbEntry::SIZE.trailing_zeros() as u8);
    code.op(Opcode::one(0x23), RCX.0, here(frame::TLB_MASK + above), &[]);
    code.op(Opcode::wide(0x03), RCX.0, here(frame::TLB + above), &[]);
}

/// Empties the frame's entries for the stack, and the places of loops.
pub(super) fn forget_pages(code: &mut Code, above: i32) {
    for entry in [frame::STACK_READ, frame::STACK_WRITE] {
        for reach in [frame::STACK_REACH, frame::STACK_WIDE_REACH] {
            code.op(Opcode::wide(0xC7), 0, here(entry + reach + above), &[0; 4]);
        }
    }
    for place in (0..frame::PLACES).step_by(2) {
        code.op(Opcode::wide(0xC7), 0, here(frame::owner(place) + above), &[0; 4]);
    }
}

/// Runs translated code: `routine` is the address of [`Routines::enter`], `code` that of a translation in the same
/// memory, and `entry` says which processor and machine it runs on.
pub(super) fn enter(routine: u64, entry: &mut Entry, code: u64) {
    // SAFETY: the routine follows the System V ABI and takes these arguments.
    let routine: unsafe extern "sysv64" fn(*mut Entry, u64) =
        unsafe { std::mem::transmute(routine as *const ()) };
    // SAFETY: code memory changes only through `&mut Jit`, which the caller holds; the pointers in `entry` were made
    // from references that live across the call and are not used meanwhile but by `interpret`.
    unsafe { routine(entry, code) }
}

/// Calls code that takes nothing, keeps what the ABI says, and returns RAX.
pub(super) fn call(code: u64) -> u64 {
    // SAFETY: only `host` calls this, with the address of code it has just emitted that is such a function.
    let code: unsafe extern "sysv64" fn() -> u64 = unsafe { std::mem::transmute(code as *const ()) };
    // SAFETY: as above.
    unsafe { code() }
}
