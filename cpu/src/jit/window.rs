//! Windows: stretches of memory about a register that one check covers for several instructions.
//!
//! Compilers reach the fields of a structure, and the stack, by one register and constant offsets. The first access
//! of such a run checks the whole stretch and keeps how far host memory is from it; the others just add that.

use super::emit::{Fixup, Mem, Opcode, at, cc};
use super::enter::{distance, tag};
use super::frame::{self, here};
use super::operate::{Access, aligns};
use super::plan::{Planned, Use, Way};
use super::registers::{GUEST_RSP, Home, RAX, RCX};
use super::translate::Translator;
use crate::decode::register_code;
use iced_x86::{Mnemonic, OpKind, Register};

/// Bytes a window covers at most.
const WIDEST: i64 = frame::WIDE as i64;
const RSP: u8 = 4;
const RBP: u8 = 5;
const CMP: u8 = 7;

/// A stretch of memory. Offsets are from the register's value when it was last set to something new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The guest register.
    base: u8,
    low: i64,
    high: i64,
    /// Whether some access writes.
    write: bool,
    /// The first and the last instruction that use it.
    pub first: usize,
    pub last: usize,
    accesses: usize,
    /// Whether its register stays the same all over the loop.
    stays: bool,
}

impl Window {
    fn reached_by(&self, low: i64, high: i64) -> bool {
        high.max(self.high) - low.min(self.low) <= WIDEST
    }

    /// What is checked at once.
    fn access(&self) -> Access {
        Access { size: (self.high - self.low) as usize, write: self.write, aligned: false }
    }
}

/// The windows an instruction uses.
#[derive(Clone, Copy, Default)]
struct Used {
    operand: Option<usize>,
    stack: Option<usize>,
}

/// Which of an instruction's accesses is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Operand,
    Stack,
}

/// A loop, by a number that no other has.
#[derive(Clone, Copy)]
pub(super) struct Loop(pub u32);

impl Loop {
    /// Where the frame has its pages.
    fn place(self) -> usize {
        self.0 as usize % frame::PLACES
    }
}

/// The windows of a translation.
pub(super) struct Windows {
    windows: Vec<Window>,
    used: Vec<Used>,
    /// By how much each register has moved from what it was last set to, before the instruction at hand.
    moved: [i64; 16],
    /// Of a loop.
    looping: Option<Loop>,
    /// Windows that stay are open from the start.
    again: bool,
    /// Other operands whose page the loop keeps.
    kept: Vec<usize>,
}

/// By how much an instruction moves a register, if that is a constant.
fn step(planned: &Planned) -> Option<(u8, i64)> {
    let instr = &planned.instr;
    match planned.way {
        Way::Push | Way::PushFlags | Way::Call | Way::IndirectCall => return Some((RSP, -8)),
        Way::Pop => return Some((RSP, 8)),
        Way::ModRm { .. } | Way::Accumulator | Way::Lea => {}
        _ => return None,
    }
    let register = instr.op_register(0);
    if instr.op_kind(0) != OpKind::Register || register.size() != 8 {
        return None;
    }
    let constant = || match instr.op_kind(1) {
        OpKind::Register | OpKind::Memory => None,
        _ => Some(instr.immediate(1) as i64),
    };
    let by = match instr.mnemonic() {
        Mnemonic::Add => constant()?,
        Mnemonic::Sub => constant()?.checked_neg()?,
        Mnemonic::Inc => 1,
        Mnemonic::Dec => -1,
        Mnemonic::Lea if instr.memory_base() == register && instr.memory_index() == Register::None => {
            instr.memory_displacement64() as i64
        }
        _ => return None,
    };
    (i32::try_from(by).is_ok()).then_some((register_code(register), by))
}

/// Keeps account of what an instruction does to registers. Those that are something new now, a bit each.
fn follow(planned: &Planned, moved: &mut [i64; 16]) -> u16 {
    let mut new = planned.written();
    if let Some((register, by)) = step(planned) {
        if planned.way != Way::Pop || register_code(planned.instr.op_register(0)) != register {
            new &= !(1 << register);
        }
        moved[usize::from(register)] = moved[usize::from(register)].saturating_add(by);
    }
    (0..16).filter(|n| new >> n & 1 != 0).for_each(|n| moved[n] = 0);
    new
}

/// The memory operand, if it is reached by a register and a constant: the register, the constant, size, and whether it
/// is written.
fn operand(planned: &Planned) -> Option<(u8, i64, usize, bool)> {
    let instr = &planned.instr;
    let memory = (0..instr.op_count()).find(|i| instr.op_kind(*i) == OpKind::Memory)?;
    let uses = |first: Use, second: Use| if memory == 0 { first.writes() } else { second.writes() };
    let size = instr.memory_size().size();
    let write = match planned.way {
        Way::ModRm { .. } if planned.is_bit_test() => return None,
        Way::ModRm { first, second } | Way::High { first, second } => uses(first, second),
        Way::Multiply if size > 1 => false,
        Way::Divide | Way::Push | Way::IndirectJump | Way::IndirectCall => false,
        Way::Vector if size < 16 || !aligns(instr.mnemonic()) => memory == 0,
        Way::Mmx if size < 16 => memory == 0,
        _ => return None,
    };
    let base = instr.memory_base();
    let plain = base.is_gpr64()
        && instr.memory_index() == Register::None
        && !matches!(instr.memory_segment(), Register::FS | Register::GS);
    let displacement = i64::from(instr.memory_displacement64() as i32);
    let near = displacement.abs() < 1 << 30;
    (plain && near && size > 0).then(|| (register_code(base), displacement, size, write))
}

/// The access to the stack that an instruction makes besides its operand.
fn stack(planned: &Planned) -> Option<(u8, i64, usize, bool)> {
    match planned.way {
        Way::Push | Way::PushFlags | Way::Call | Way::IndirectCall => Some((RSP, -8, 8, true)),
        Way::Pop | Way::Return => Some((RSP, 0, 8, false)),
        Way::Leave => Some((RBP, 0, 8, false)),
        _ => None,
    }
}

impl Windows {
    /// Finds them.
    pub fn of(insns: &[Planned], looping: Option<Loop>) -> Self {
        let mut windows: Vec<Window> = Vec::new();
        let mut used = vec![Used::default(); insns.len()];
        let mut open = [None; 16];
        let mut moved = [0; 16];
        for (index, planned) in insns.iter().enumerate() {
            let mut note = |access: Option<(u8, i64, usize, bool)>, moved: &[i64; 16]| {
                let (base, displacement, size, write) = access?;
                let low = moved[usize::from(base)].saturating_add(displacement);
                let high = low.saturating_add(size as i64);
                let known: Option<usize> = open[usize::from(base)];
                let number = match known.filter(|n| windows[*n].reached_by(low, high)) {
                    Some(number) => number,
                    None => {
                        windows.push(Window {
                            base,
                            low,
                            high,
                            write,
                            first: index,
                            last: index,
                            accesses: 0,
                            stays: false,
                        });
                        windows.len() - 1
                    }
                };
                open[usize::from(base)] = Some(number);
                let window = &mut windows[number];
                (window.low, window.high) = (window.low.min(low), window.high.max(high));
                (window.last, window.write) = (index, window.write | write);
                window.accesses += 1;
                Some(number)
            };
            used[index].operand = note(operand(planned), &moved);
            used[index].stack = note(stack(planned), &moved);
            let new = follow(planned, &mut moved);
            (0..16).filter(|n| new >> n & 1 != 0).for_each(|n| open[n] = None);
        }
        let mut windows = Self { windows, used, moved: [0; 16], looping, again: false, kept: Vec::new() };
        windows.keep_useful();
        if looping.is_some() {
            windows.find_lasting(insns);
        }
        windows
    }

    /// Drops those that only one access uses, and those there is no room for.
    fn keep_useful(&mut self) {
        let most = if self.looping.is_some() { frame::KEPT } else { frame::WINDOWS };
        let mut left = Vec::new();
        let numbers: Vec<Option<usize>> = self
            .windows
            .iter()
            .map(|window| {
                ((window.accesses > 1 || self.looping.is_some()) && left.len() < most).then(|| {
                    left.push(*window);
                    left.len() - 1
                })
            })
            .collect();
        for used in &mut self.used {
            used.operand = used.operand.and_then(|number| numbers[number]);
            used.stack = used.stack.and_then(|number| numbers[number]);
        }
        self.windows = left;
    }

    /// Finds those whose registers the loop leaves alone.
    fn find_lasting(&mut self, insns: &[Planned]) {
        let changed = insns.iter().fold(0, |all, planned| all | planned.written());
        for window in self.windows.iter_mut().filter(|window| changed >> window.base & 1 == 0) {
            (window.stays, window.last) = (true, usize::MAX);
        }
    }

    /// Begins with the first instruction once more, everything known that the loop leaves alone.
    pub fn start_again(&mut self) {
        self.again = true;
        self.moved = [0; 16];
    }

    /// Whether there are windows that stay open.
    pub fn has_lasting(&self) -> bool {
        self.windows.iter().any(|window| window.stays)
    }

    /// Whether pages are kept from one turn to the next.
    pub fn looping(&self) -> Option<Loop> {
        self.looping
    }

    /// Where the frame says how far host memory of a window is from the guest's.
    fn entry(&self, number: usize) -> i32 {
        self.looping.map_or_else(|| frame::window(number), |looping| frame::kept(looping.place(), number))
    }

    /// Windows and other operands whose page is kept.
    pub fn count(&self) -> usize {
        self.windows.len() + self.kept.len()
    }

    /// The number under which the page of an operand that is in no window is kept, if there is room.
    pub fn keep(&mut self, index: usize) -> Option<usize> {
        self.looping?;
        let known = self.kept.iter().position(|kept| *kept == index);
        let number = known.or_else(|| {
            let room = self.count() < frame::KEPT;
            room.then(|| {
                self.kept.push(index);
                self.kept.len() - 1
            })
        });
        number.map(|n| self.windows.len() + n)
    }

    fn used(&self, index: usize, which: Which) -> Option<usize> {
        match which {
            Which::Operand => self.used[index].operand,
            Which::Stack => self.used[index].stack,
        }
    }

    /// Whether an instruction's accesses are all covered by checks before it.
    pub fn cover(&self, index: usize, planned: &Planned) -> bool {
        let covered = |number: Option<usize>| number.is_some_and(|n| self.windows[n].first < index);
        let used = self.used[index];
        (!planned.has_memory() || covered(used.operand)) && (stack(planned).is_none() || covered(used.stack))
    }

    /// Goes on to the next instruction.
    pub fn follow(&mut self, planned: &Planned) {
        follow(planned, &mut self.moved);
    }

    /// The windows that instructions after `index` use and it or one before has opened, with where each begins relative
    /// to its register after instruction `index`.
    pub fn live_after(&self, index: usize, planned: &Planned) -> Vec<Live> {
        let mut moved = self.moved;
        let opened = |window: &Window| window.first <= index || self.again && window.stays;
        let live = |window: &Window| opened(window) && window.last > index;
        if !self.windows.iter().any(live) {
            return Vec::new();
        }
        follow(planned, &mut moved);
        let all = self.windows.iter().enumerate().filter(|(_, window)| live(window));
        all.map(|(number, window)| Live {
            number,
            window: *window,
            from: window.low - moved[usize::from(window.base)],
        })
        .collect()
    }
}

/// A window to be found again after the interpreter ran.
#[derive(Clone, Copy)]
pub(super) struct Live {
    number: usize,
    window: Window,
    /// Where it begins, from its register on.
    from: i64,
}

/// An operand whose page is not the one kept.
pub(super) struct KeptMiss {
    miss: Fixup,
    number: usize,
    access: Access,
    from: Option<(u8, i32)>,
    /// Where to go on, RCX being how far host memory is from the guest's.
    hit: usize,
}

impl Translator<'_> {
    /// Host memory of an access by guest register `base` and `displacement`, if it lies in a window.
    pub fn in_window(&mut self, index: usize, which: Which, base: u8, displacement: i32) -> Option<Mem> {
        let number = self.windows.used(index, which)?;
        let window = self.windows.windows[number];
        debug_assert_eq!(window.base, base);
        // An instruction may use a window twice.
        let first = which == Which::Operand || self.windows.used(index, Which::Operand) != Some(number);
        let opens = window.first == index && first && !(self.windows.again && window.stays);
        if opens {
            let from = (window.low - self.windows.moved[usize::from(base)]) as i32;
            self.lose_flags();
            self.open_window(number, window, from);
        } else {
            self.code.load(RCX, here(self.windows.entry(number)));
        }
        Some(self.about(base, displacement))
    }

    /// Memory that is as far from a guest address as RCX says. RAX is lost.
    pub fn about(&mut self, base: u8, displacement: i32) -> Mem {
        let base = self.value(base, RAX);
        Mem { base: Some(RCX), index: Some((base, 0)), disp: displacement }
    }

    /// Checks a window, `from` bytes from its register on; RCX is then how far host memory is from the guest's.
    fn open_window(&mut self, number: usize, window: Window, from: i32) {
        let base = self.value(window.base, RAX);
        if self.windows.looping.is_some() {
            self.code.lea(RCX, at(base, from));
            return self.find_kept(number, window.access(), Some((window.base, from)));
        }
        self.code.lea(RAX, at(base, from));
        if window.base == RSP {
            debug_assert_eq!(self.homes.of(RSP), Home::Register(GUEST_RSP));
            self.find_on_stack(window.access());
        } else {
            self.find_in_tlb(window.access());
            distance(&mut self.code, tag(window.write), RAX);
        }
        self.code.store(here(frame::window(number)), RCX);
    }

    /// The start of a loop: whether its pages are in their place. The jump that is returned is taken if not.
    pub fn check_owner(&mut self, looping: Loop) -> Fixup {
        let owner = here(frame::owner(looping.place()));
        self.code.op(Opcode::one(0x81), CMP, owner, &looping.0.to_le_bytes());
        self.code.jump_if(cc::NE)
    }

    /// Host memory of an operand at the linear address in RAX, whose page is kept under a number.
    pub fn kept_operand(&mut self, number: usize, access: Access) -> Mem {
        self.code.copy(RCX, RAX);
        self.find_kept(number, access, None);
        self.check_alignment(access);
        Mem { base: Some(RCX), index: Some((RAX, 0)), disp: 0 }
    }

    /// How far host memory is from the address in RCX, in RCX. That is in RAX too, or this far `from` a register.
    fn find_kept(&mut self, number: usize, access: Access, from: Option<(u8, i32)>) {
        let entry = self.windows.entry(number);
        self.code.op(Opcode::wide(0x2B), RCX.0, here(entry + frame::KEPT_TAG), &[]);
        self.code.op(Opcode::wide(0x3B), RCX.0, here(entry + frame::KEPT_REACH), &[]);
        let miss = self.code.jump_if(cc::AE);
        self.code.load(RCX, here(entry));
        self.kept_misses.push(KeptMiss { miss, number, access, from, hit: self.code.here() });
    }

    /// Has a page be kept that was not, if the TLB knows it. The jump that is returned is taken if it does not.
    pub fn emit_kept(&mut self, kept: &KeptMiss) -> Fixup {
        self.code.bind(kept.miss);
        if let Some((base, from)) = kept.from {
            let base = self.value(base, RAX);
            self.code.lea(RAX, at(base, from));
        }
        self.code.store(here(frame::ADDRESS), RAX);
        let unknown = self.find(kept.access);
        let entry = self.windows.entry(kept.number);
        self.code.store(here(entry), RCX);
        self.code.load(RCX, here(frame::ADDRESS));
        self.code.op(Opcode::wide(0x2B), RCX.0, RAX, &[]);
        self.code.store(here(entry + frame::KEPT_TAG), RCX);
        let reach = frame::reach(kept.access.size as i32);
        self.code.op(Opcode::wide(0xC7), 0, here(entry + frame::KEPT_REACH), &reach.to_le_bytes());
        self.code.load(RAX, here(frame::ADDRESS));
        self.code.load(RCX, here(entry));
        self.code.jump_to(kept.hit);
        unknown
    }

    /// Looks the address in RAX up: how far it is in its page, in RAX, and how far host memory is from the guest's, in RCX. The
    /// jump that is returned is taken if the TLB does not allow the access. Flags are lost.
    fn find(&mut self, access: Access) -> Fixup {
        let routines = self.routines();
        self.call_routine(if access.write { routines.find_write } else { routines.find_read });
        self.code.group1(true, CMP, RAX, 4096 - access.size as i32);
        self.code.jump_if(cc::A)
    }

    /// The end of a loop's code: forgets all pages that are kept. CALLed; flags stay.
    pub fn emit_forget(&mut self, looping: Loop) {
        // The return address is on top of the frame.
        for number in 0..self.windows.count() {
            let reach = here(self.windows.entry(number) + frame::KEPT_REACH + 8);
            self.code.op(Opcode::wide(0xC7), 0, reach, &[0; 4]);
        }
        self.code.store32_immediate(here(frame::owner(looping.place()) + 8), looping.0);
        self.code.ret();
    }

    /// Finds windows again after the interpreter ran: it may have put other memory in their place. The jumps that are
    /// returned are taken if one is not in the TLB. Flags are lost.
    pub fn reopen(&mut self, live: &[Live]) -> Vec<Fixup> {
        let mut lost = Vec::new();
        for Live { number, window, from } in live {
            let Ok(from) = i32::try_from(*from) else {
                lost.push(self.code.jump());
                continue;
            };
            let base = self.value(window.base, RAX);
            self.code.lea(RAX, at(base, from));
            lost.push(self.find(window.access()));
            self.code.store(here(self.windows.entry(*number)), RCX);
        }
        lost
    }
}
