//! Windows: stretches of memory about a register that one check covers for several instructions.
//!
//! Compilers reach the fields of a structure, and the stack, by one register and constant offsets. The first access
//! of such a run checks the whole stretch and keeps how far host memory is from it; the others just add that.

use super::emit::{Fixup, Mem, Opcode, at, cc};
use super::frame::{self, here};
use super::operate::{Access, aligns};
use super::plan::{Planned, Use, Way};
use super::registers::{GUEST_RSP, Home, RAX, RCX, home};
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

/// The windows of a translation.
pub(super) struct Windows {
    windows: Vec<Window>,
    used: Vec<Used>,
    /// By how much each register has moved from what it was last set to, before the instruction at hand.
    moved: [i64; 16],
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
    pub fn of(insns: &[Planned]) -> Self {
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
        let mut windows = Self { windows, used, moved: [0; 16] };
        windows.keep_useful();
        windows
    }

    /// Drops those that only one access uses, and those there is no room for.
    fn keep_useful(&mut self) {
        let mut left = Vec::new();
        let numbers: Vec<Option<usize>> = self
            .windows
            .iter()
            .map(|window| {
                (window.accesses > 1 && left.len() < frame::WINDOWS).then(|| {
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
        let live = |window: &Window| window.first <= index && window.last > index;
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

impl Translator<'_> {
    /// Host memory of an access by guest register `base` and `displacement`, if it lies in a window.
    pub fn in_window(&mut self, index: usize, which: Which, base: u8, displacement: i32) -> Option<Mem> {
        let number = self.windows.used(index, which)?;
        let window = self.windows.windows[number];
        debug_assert_eq!(window.base, base);
        // An instruction may use a window twice.
        let opens = window.first == index
            && (which == Which::Operand || self.windows.used(index, Which::Operand) != Some(number));
        if opens {
            let from = (window.low - self.windows.moved[usize::from(base)]) as i32;
            self.lose_flags();
            self.open_window(number, window, from);
        } else {
            self.code.load(RCX, here(frame::window(number)));
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
        self.code.lea(RAX, at(base, from));
        if window.base == RSP {
            debug_assert_eq!(home(RSP), Home::Register(GUEST_RSP));
            self.find_on_stack(window.access());
        } else {
            self.find_in_tlb(window.access());
            let tag = super::enter::tag(window.write);
            self.code.load(RAX, at(RCX, tag));
            self.code.load(RCX, at(RCX, amber_mmu::TlbEntry::HOST as i32));
            self.code.op(Opcode::wide(0x2B), RCX.0, RAX, &[]);
        }
        self.code.store(here(frame::window(number)), RCX);
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
            let routine = if window.write { self.routines().find_write } else { self.routines().find_read };
            self.call_routine(routine);
            self.code.group1(true, CMP, RAX, 4096 - window.access().size as i32);
            lost.push(self.code.jump_if(cc::A));
            self.code.store(here(frame::window(*number)), RCX);
        }
        lost
    }
}
