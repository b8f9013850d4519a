//! MOVS, STOS, LODS, CMPS, SCAS, INS, OUTS and their REP forms (SDM Vol. 2).
//!
//! One step of a REP form is a chunk: as many elements as stay in one page each of source and destination, or up to
//! the first that reaches a device. The chunk is a function of the state alone, never of what caches hold. Steps follow each other
//! without a look in between where it would find nothing.

use crate::decode::by_size;
use crate::exec::{Cx, Exec, Fault, Handler, Insn, PIO_NS, Trapped, Width, iflag};
use crate::flags::bit;
use crate::semantics::arith::{Binary, Cmp};
use crate::state::seg;
use iced_x86::{Instruction, Mnemonic};

const RAX: u8 = 0;
const RCX: usize = 1;
const RDX: u8 = 2;
const RSI: usize = 6;
const RDI: usize = 7;
const ES: u8 = seg::ES as u8;

impl Cx<'_> {
    /// Writes the count register as wide as the address size of `i`.
    pub fn set_count(&mut self, i: &Insn, value: u64) {
        self.set_pointer(i, RCX, value);
    }

    #[inline(always)]
    fn set_pointer(&mut self, i: &Insn, register: usize, value: u64) {
        let mask = self.address_mask(i);
        let keep = if mask == 0xFFFF { self.cpu.gpr[register] & !0xFFFF } else { 0 };
        self.cpu.gpr[register] = value & mask | keep;
    }

    #[inline(always)]
    fn advance(&mut self, i: &Insn, register: usize, by: u64) {
        let value = self.cpu.gpr[register].wrapping_add(by);
        self.set_pointer(i, register, value);
    }

    /// Brings the page into the TLB. False if reading there faults; the element that reads will say so.
    fn readable_memory(&mut self, linear: u64) -> bool {
        self.mmu.read_fast::<u8>(linear).is_some() || self.touch(linear, false)
    }
    /// What stores to a page reach, whose page is brought into the TLB if that can be. None if it is no memory, or a store faults.
    fn target(&mut self, linear: u64) -> Option<Target> {
        let present = |cx: &Self| cx.mmu.modify_fast::<u8>(linear).is_some();
        if present(self) {
            return Some(Target::Present);
        }
        let trapped = self.trapped_memory(linear)?;
        Some(if present(self) { Target::Present } else { Target::Trapped(trapped) })
    }

    /// Fills memory that lies in one page, in one store. False if there is none.
    fn fill<T: Width>(&mut self, to: u64, value: T, count: usize) -> bool {
        let trapped = match self.target(to) {
            None => return false,
            Some(Target::Present) => return self.mmu.fill_fast(to, value, count),
            Some(Target::Trapped(trapped)) => trapped,
        };
        let mut bytes = [0; 4096];
        let len = count * T::SIZE;
        bytes[..T::SIZE].copy_from_slice(&value.to_le()[..T::SIZE]);
        let mut filled = T::SIZE;
        while filled < len {
            let more = filled.min(len - filled);
            bytes.copy_within(..more, filled);
            filled += more;
        }
        self.store_trapped(&trapped, &bytes[..len]);
        true
    }

    /// Copies between memory that lies in one page each. False if there is none, or the copy overlaps itself.
    fn copy(&mut self, from: u64, to: u64, len: usize) -> bool {
        if !self.readable_memory(from) {
            return false;
        }
        let trapped = match self.target(to) {
            None => return false,
            // A forward copy into its own source repeats a pattern: element by element.
            Some(Target::Present) => {
                return !self.mmu.overlap_fast(from, to, len) && self.mmu.copy_fast(from, to, len);
            }
            Some(Target::Trapped(trapped)) => trapped,
        };
        let mut bytes = [0; 4096];
        if self.mmu.overlaps_frame(from, to, len) || !self.mmu.read_span(from, &mut bytes[..len]) {
            return false;
        }
        self.store_trapped(&trapped, &bytes[..len]);
        true
    }

    /// +SIZE or -SIZE by DF.
    #[inline(always)]
    fn stride<T: Width>(&self) -> u64 {
        if self.cpu.flags.has(bit::DF) { (T::SIZE as u64).wrapping_neg() } else { T::SIZE as u64 }
    }

    #[inline(always)]
    fn source_linear<T: Width>(&mut self, i: &Insn) -> Result<u64, Fault> {
        let offset = self.cpu.gpr[RSI] & self.address_mask(i);
        self.linear(i, i.seg, offset, T::SIZE as u64, false)
    }
    #[inline(always)]
    fn target_linear<T: Width>(&mut self, i: &Insn, write: bool) -> Result<u64, Fault> {
        let offset = self.cpu.gpr[RDI] & self.address_mask(i);
        self.linear(i, ES, offset, T::SIZE as u64, write)
    }
}

/// What stores to a page reach.
enum Target {
    /// Memory whose page is in the TLB for writing.
    Present,
    /// Memory stores to which are watched.
    Trapped(Trapped),
}

/// One element of a string instruction.
trait Element {
    /// Compares: REPE and REPNE look at ZF.
    const COMPARES: bool = false;
    /// Uses rSI.
    const SOURCE: bool;
    /// Uses ES:rDI.
    const TARGET: bool;
    fn step<T: Width>(cx: &mut Cx, i: &Insn) -> Exec;
    /// Does `count` elements, which lie in one page each of source and target, at once. False if that cannot be
    /// done; nothing has happened then.
    fn span<T: Width>(_cx: &mut Cx, _i: &Insn, _count: u64) -> bool {
        false
    }
}

struct Movs;
struct Stos;
struct Lods;
struct Cmps;
struct Scas;
struct Ins;
struct Outs;

/// How many of `count` elements from the pointer in `register` on stay in one page and in the segment.
fn room<T: Width>(cx: &mut Cx, i: &Insn, register: usize, segment: u8, write: bool, count: u64) -> u64 {
    let size = T::SIZE as u64;
    let mask = cx.address_mask(i);
    let offset = cx.cpu.gpr[register] & mask;
    let Ok(linear) = cx.linear(i, segment, offset, size, write) else { return 1 };
    let backward = cx.cpu.flags.has(bit::DF);
    let in_page = if backward { (linear & 0xFFF) / size + 1 } else { (0x1000 - (linear & 0xFFF)) / size };
    let count = count.min(in_page).max(1);
    let span = (count - 1) * size;
    let last = if backward { offset.checked_sub(span) } else { offset.checked_add(span) };
    match last {
        Some(last) if last <= mask && cx.linear(i, segment, last, size, write).is_ok() => count,
        _ => 1,
    }
}

/// Whether it is known at once that the next element reaches a device, which ends a chunk.
fn writes_device<E: Element, T: Width>(cx: &mut Cx, i: &Insn) -> bool {
    if !E::TARGET || E::COMPARES {
        return false;
    }
    let context = cx.active_context();
    cx.target_linear::<T>(i, true).is_ok_and(|to| cx.mmu.leads_to_device(context, to))
}

/// Elements in the next chunk.
fn chunk<E: Element, T: Width>(cx: &mut Cx, i: &Insn, count: u64) -> u64 {
    if cx.cpu.flags.has(bit::TF) {
        return 1;
    }
    let mut count = count.min(4096 / T::SIZE as u64);
    if E::SOURCE {
        count = room::<T>(cx, i, RSI, i.seg, false, count);
    }
    if E::TARGET {
        count = room::<T>(cx, i, RDI, ES, !E::COMPARES, count);
    }
    count
}

impl Element for Movs {
    const SOURCE: bool = true;
    const TARGET: bool = true;
    #[inline(always)]
    fn step<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
        let from = cx.source_linear::<T>(i)?;
        let value = cx.load::<T>(from, i.seg)?;
        let to = cx.target_linear::<T>(i, true)?;
        cx.store(to, ES, value)?;
        let stride = cx.stride::<T>();
        cx.advance(i, RSI, stride);
        cx.advance(i, RDI, stride);
        Ok(())
    }
    fn span<T: Width>(cx: &mut Cx, i: &Insn, count: u64) -> bool {
        let (Ok(from), Ok(to)) = (cx.source_linear::<T>(i), cx.target_linear::<T>(i, true)) else {
            return false;
        };
        let bytes = count * T::SIZE as u64;
        if !cx.copy(from, to, bytes as usize) {
            return false;
        }
        cx.advance(i, RSI, bytes);
        cx.advance(i, RDI, bytes);
        true
    }
}
impl Element for Stos {
    const SOURCE: bool = false;
    const TARGET: bool = true;
    #[inline(always)]
    fn step<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
        let to = cx.target_linear::<T>(i, true)?;
        let value = cx.get::<T>(RAX);
        cx.store(to, ES, value)?;
        let stride = cx.stride::<T>();
        cx.advance(i, RDI, stride);
        Ok(())
    }
    fn span<T: Width>(cx: &mut Cx, i: &Insn, count: u64) -> bool {
        let Ok(to) = cx.target_linear::<T>(i, true) else { return false };
        let value = cx.get::<T>(RAX);
        if !cx.fill(to, value, count as usize) {
            return false;
        }
        cx.advance(i, RDI, count * T::SIZE as u64);
        true
    }
}
impl Element for Lods {
    const SOURCE: bool = true;
    const TARGET: bool = false;
    #[inline(always)]
    fn step<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
        let from = cx.source_linear::<T>(i)?;
        let value = cx.load::<T>(from, i.seg)?;
        cx.put(RAX, value);
        let stride = cx.stride::<T>();
        cx.advance(i, RSI, stride);
        Ok(())
    }
}
impl Element for Cmps {
    const SOURCE: bool = true;
    const TARGET: bool = true;
    const COMPARES: bool = true;
    #[inline(always)]
    fn step<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
        let from = cx.source_linear::<T>(i)?;
        let a = cx.load::<T>(from, i.seg)?;
        let to = cx.target_linear::<T>(i, false)?;
        let b = cx.load::<T>(to, ES)?;
        Cmp::apply(&mut cx.cpu.flags, a, b);
        let stride = cx.stride::<T>();
        cx.advance(i, RSI, stride);
        cx.advance(i, RDI, stride);
        Ok(())
    }
}
impl Element for Scas {
    const SOURCE: bool = false;
    const TARGET: bool = true;
    const COMPARES: bool = true;
    #[inline(always)]
    fn step<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
        let to = cx.target_linear::<T>(i, false)?;
        let b = cx.load::<T>(to, ES)?;
        let a = cx.get::<T>(RAX);
        Cmp::apply(&mut cx.cpu.flags, a, b);
        let stride = cx.stride::<T>();
        cx.advance(i, RDI, stride);
        Ok(())
    }
}
impl Element for Ins {
    const SOURCE: bool = false;
    const TARGET: bool = true;
    fn step<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
        let port = cx.get::<u16>(RDX);
        cx.check_io(port, T::SIZE as u8)?;
        let to = cx.target_linear::<T>(i, true)?;
        cx.check_writable(to, ES, T::SIZE)?;
        let now = cx.now();
        let value = cx.bus.pio_read(cx.mmu, now, port, T::SIZE as u8);
        cx.after_bus(PIO_NS - 1);
        cx.store(to, ES, T::from_u64(u64::from(value)))?;
        cx.watch_io(port, T::SIZE as u8);
        let stride = cx.stride::<T>();
        cx.advance(i, RDI, stride);
        Ok(())
    }
}
impl Element for Outs {
    const SOURCE: bool = true;
    const TARGET: bool = false;
    fn step<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
        let port = cx.get::<u16>(RDX);
        cx.check_io(port, T::SIZE as u8)?;
        let from = cx.source_linear::<T>(i)?;
        let value = cx.load::<T>(from, i.seg)?;
        let now = cx.now();
        cx.bus.pio_write(cx.mmu, now, port, T::SIZE as u8, value.to_u64() as u32);
        cx.after_bus(PIO_NS - 1);
        cx.watch_io(port, T::SIZE as u8);
        let stride = cx.stride::<T>();
        cx.advance(i, RSI, stride);
        Ok(())
    }
}

/// A string instruction without REP.
fn once<E: Element, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    E::step::<T>(cx, i)
}

/// A string instruction with REP, REPE or REPNE: as many chunks as nothing comes between.
fn repeat<E: Element, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    while !repeat_once::<E, T>(cx, i)? {
        if !cx.step_again() {
            cx.cpu.rip = cx.this_rip(i);
            // Until the last iteration no code breakpoint hits, not even on the way back from an interrupt (SDM 18.3.1.1).
            cx.cpu.flags.set(bit::RF, true);
            cx.recheck();
            return Ok(());
        }
    }
    cx.cpu.rip = cx.next_rip(i);
    Ok(())
}

/// One chunk: one step. Whether the instruction is complete.
fn repeat_once<E: Element, T: Width>(cx: &mut Cx, i: &Insn) -> Result<bool, Fault> {
    let count = cx.cpu.gpr[RCX] & cx.address_mask(i);
    if count == 0 {
        return Ok(true);
    }
    let elements = if writes_device::<E, T>(cx, i) { 1 } else { chunk::<E, T>(cx, i, count) };
    let fast = elements > 1 && !cx.cpu.watched && !cx.cpu.flags.has(bit::DF) && E::span::<T>(cx, i, elements);
    let (done, finished) = if fast {
        cx.set_count(i, count - elements);
        (elements, elements == count)
    } else {
        one_by_one::<E, T>(cx, i, count, elements)?
    };
    cx.charge(done * T::SIZE as u64 / 32);
    Ok(finished)
}

/// The elements of a chunk one at a time; a device access ends it early. Returns how many were done, and whether
/// the instruction is complete. A fault after the first element commits those before it.
fn one_by_one<E: Element, T: Width>(
    cx: &mut Cx,
    i: &Insn,
    count: u64,
    most: u64,
) -> Result<(u64, bool), Fault> {
    let charged = cx.cpu.timing.charged();
    let mut done = 0;
    loop {
        let (traps, hit) = (cx.cpu.system.pending.debug, cx.cpu.watch.hit);
        if let Err(fault) = E::step::<T>(cx, i) {
            (cx.cpu.system.pending.debug, cx.cpu.watch.hit) = (traps, hit);
            return if done == 0 { Err(fault) } else { Ok((done, false)) };
        }
        done += 1;
        cx.set_count(i, count - done);
        let mismatch = E::COMPARES
            && (i.flags & iflag::REP != 0 && !cx.cpu.flags.zf()
                || i.flags & iflag::REPNE != 0 && cx.cpu.flags.zf());
        if done == count || mismatch {
            return Ok((done, true));
        }
        if done == most || cx.cpu.timing.charged() != charged {
            return Ok((done, false));
        }
    }
}

fn pick<E: Element>(instr: &Instruction, size: usize) -> Handler {
    if instr.has_rep_prefix() || instr.has_repne_prefix() {
        by_size(size, [repeat::<E, u8>, repeat::<E, u16>, repeat::<E, u32>, repeat::<E, u64>])
    } else {
        by_size(size, [once::<E, u8>, once::<E, u16>, once::<E, u32>, once::<E, u64>])
    }
}

/// Whether this is a string instruction (not the SSE ones that share names).
pub fn is_string(instr: &Instruction) -> bool {
    instr.is_string_instruction()
}

/// Whether RIP may stay on the instruction.
pub fn repeats(instr: &Instruction) -> bool {
    is_string(instr) && (instr.has_rep_prefix() || instr.has_repne_prefix())
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    if !is_string(instr) {
        return None;
    }
    Some(match instr.mnemonic() {
        M::Movsb => pick::<Movs>(instr, 1),
        M::Movsw => pick::<Movs>(instr, 2),
        M::Movsd => pick::<Movs>(instr, 4),
        M::Movsq => pick::<Movs>(instr, 8),
        M::Stosb => pick::<Stos>(instr, 1),
        M::Stosw => pick::<Stos>(instr, 2),
        M::Stosd => pick::<Stos>(instr, 4),
        M::Stosq => pick::<Stos>(instr, 8),
        M::Lodsb => pick::<Lods>(instr, 1),
        M::Lodsw => pick::<Lods>(instr, 2),
        M::Lodsd => pick::<Lods>(instr, 4),
        M::Lodsq => pick::<Lods>(instr, 8),
        M::Cmpsb => pick::<Cmps>(instr, 1),
        M::Cmpsw => pick::<Cmps>(instr, 2),
        M::Cmpsd => pick::<Cmps>(instr, 4),
        M::Cmpsq => pick::<Cmps>(instr, 8),
        M::Scasb => pick::<Scas>(instr, 1),
        M::Scasw => pick::<Scas>(instr, 2),
        M::Scasd => pick::<Scas>(instr, 4),
        M::Scasq => pick::<Scas>(instr, 8),
        M::Insb => pick::<Ins>(instr, 1),
        M::Insw => pick::<Ins>(instr, 2),
        M::Insd => pick::<Ins>(instr, 4),
        M::Outsb => pick::<Outs>(instr, 1),
        M::Outsw => pick::<Outs>(instr, 2),
        M::Outsd => pick::<Outs>(instr, 4),
        _ => return None,
    })
}
