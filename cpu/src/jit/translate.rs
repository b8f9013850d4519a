//! From the decoded instructions of a block to host code: the driver, what is interpreted, and the ways out.

use super::emit::{Code, Fixup, Opcode, at, cc};
use super::enter::{Routines, jump_to_code, look_up};
use super::flags::{FlagState, reads_overflow, restore};
use super::frame::{self, Site, here};
use super::host::HostCpu;
use super::interpret;
use super::link::{Exit, Guess, Link};
use super::operate::Access;
use super::plan::{Planned, Way};
use super::registers::{BUDGET, Homes, Host, RAX, RCX};
use super::window::{KeptMiss, Live, Loop, Windows};
use crate::exec::{iflag, is_canonical};
use crate::state::Vcpu;
use amber_mmu::PAGE;
use std::cell::Cell;
use std::mem::offset_of;

const SUB: u8 = 5;
const CMP: u8 = 7;
const SHL: u8 = 4;
const SAR: u8 = 7;

/// Where a translation will be.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Offset in code memory.
    pub code: usize,
    /// Numbers of its first site and its first way out.
    pub site: u32,
    pub link: u32,
}

/// A translation, before it has a place.
pub(super) struct Unit {
    pub code: Vec<u8>,
    pub sites: Vec<Site>,
    pub links: Vec<Exit>,
    /// Instructions.
    pub count: u32,
    /// Flags at the start are of no use to it.
    pub ignores_flags: bool,
}

/// Code out of the way.
enum Cold {
    /// An access the TLB does not answer: the instruction is interpreted.
    Slow(Slow),
    /// An access to another page of the stack than the last one.
    Stack {
        miss: StackMiss,
        slow: Slow,
    },
    /// The budget is used up; RIP is known.
    Spent {
        from: Fixup,
        rip: u64,
        flags: FlagState,
        /// Registers are where a loop has them.
        looping: bool,
    },
    /// The same; RIP is in the frame.
    SpentAt {
        from: Fixup,
    },
    /// The jump cache does not know the RIP in the frame.
    Unknown {
        from: Vec<Fixup>,
        arrival: Arrival,
        link: u32,
    },
    /// An indirect branch leads elsewhere than was guessed.
    Guess {
        number: usize,
        arrival: Arrival,
    },
    /// XMM registers are not the guest's yet.
    LoadXmm {
        from: Fixup,
        back: usize,
    },
    /// x87 registers are not the guest's yet.
    LoadX87 {
        from: Fixup,
        back: usize,
    },
    /// A window was not found again after an instruction: goes on behind it, in other code.
    Lost {
        from: Vec<Fixup>,
        index: usize,
    },
    /// A loop is left for another RIP after an instruction.
    Exit {
        from: Fixup,
        index: usize,
        to: u64,
        flags: FlagState,
    },
    /// The pages that a loop keeps are not in their place.
    Forgotten {
        from: Fixup,
        back: usize,
    },
    /// A page that a loop keeps is not the right one.
    Kept {
        miss: KeptMiss,
        slow: Slow,
    },
    /// A link's own.
    Link {
        number: usize,
        jump: Fixup,
        flags: FlagState,
    },
    Done,
}

/// What an indirect branch does besides.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    /// What RSP is moved by.
    pub stack: i32,
    /// The instruction that is interpreted if the RIP is not canonical.
    pub checked: Option<usize>,
}

/// How an instruction goes on that is interpreted instead.
#[derive(Clone)]
struct Slow {
    from: Vec<Fixup>,
    index: usize,
    back: usize,
    /// Where the flags are before it.
    before: FlagState,
    /// Whether the host has them after it.
    native_after: bool,
    /// Windows that are open after it.
    live: Vec<Live>,
}

/// An access to the stack by way of the frame's entry for it.
pub(super) struct StackMiss {
    pub from: Fixup,
    pub access: Access,
    /// Where to go on with host memory in RCX and RAX.
    pub hit: usize,
}

/// Whether flags before the instructions may be seen by the guest.
fn flags_matter(insns: &[Planned]) -> bool {
    for planned in insns {
        if planned.reads_flags || planned.may_leave() {
            return true;
        }
        if planned.sets_flags {
            return false;
        }
    }
    true
}

/// Translates one block.
pub(super) struct Translator<'a> {
    pub code: Code,
    place: Place,
    routines: &'a Routines,
    pub host: HostCpu,
    /// RIP of the block.
    start: u64,
    pub insns: &'a [Planned<'a>],
    pub windows: Windows,
    pub homes: Homes,
    /// Registers and slots of the frame that a loop exchanges.
    exchanges: Vec<(Host, u8)>,
    pub flags: FlagState,
    /// Where accesses of the instruction at hand go that the TLB does not answer.
    pub slow: Vec<Fixup>,
    /// Where its accesses to the stack go that the frame's entry does not answer.
    pub stack_misses: Vec<StackMiss>,
    /// Where its accesses go whose page the loop does not keep.
    pub kept_misses: Vec<KeptMiss>,
    /// CALLs of the code that forgets the pages a loop keeps.
    forgets: Vec<Fixup>,
    /// Where the flags are there.
    slow_flags: FlagState,
    cold: Vec<Cold>,
    sites: Vec<Site>,
    links: Vec<Exit>,
}

impl<'a> Translator<'a> {
    pub fn new(
        routines: &'a Routines,
        host: HostCpu,
        insns: &'a [Planned<'a>],
        windows: Windows,
        start: u64,
        place: Place,
    ) -> Self {
        let (homes, exchanges) = match windows.looping() {
            Some(_) => Homes::of_loop(insns.iter().fold(0, |all, planned| all | planned.used())),
            None => (Homes::USUAL, Vec::new()),
        };
        Self {
            code: Code::default(),
            place,
            routines,
            host,
            start,
            insns,
            windows,
            homes,
            exchanges,
            flags: FlagState::SAVED,
            slow: Vec::new(),
            stack_misses: Vec::new(),
            kept_misses: Vec::new(),
            forgets: Vec::new(),
            slow_flags: FlagState::SAVED,
            cold: Vec::new(),
            sites: Vec::new(),
            links: Vec::new(),
        }
    }

    /// The translation.
    pub fn translate(mut self) -> Unit {
        if self.insns.iter().any(Planned::uses_xmm) {
            self.code.group1(false, CMP, here(frame::XMM_LIVE), 0);
            let from = self.code.jump_if(cc::E);
            self.cold.push(Cold::LoadXmm { from, back: self.code.here() });
        }
        if self.insns.iter().any(Planned::uses_x87) {
            let from = self.unless_x87_live();
            self.cold.push(Cold::LoadX87 { from, back: self.code.here() });
        }
        if let Some(looping) = self.windows.looping() {
            self.turns(looping);
        } else {
            self.instructions();
            let last = &self.insns[self.insns.len() - 1];
            if last.insn.flags & iflag::BRANCH == 0 {
                self.flags.settle(&mut self.code);
                self.edge(last.next(), self.insns.len());
            }
        }
        let mut done = 0;
        while done < self.cold.len() {
            self.emit_cold(done);
            done += 1;
        }
        if let Some(looping) = self.windows.looping() {
            std::mem::take(&mut self.forgets).into_iter().for_each(|call| self.code.bind(call));
            self.emit_forget(looping);
        }
        Unit {
            code: self.code.bytes,
            sites: self.sites,
            links: self.links,
            count: self.insns.len() as u32,
            ignores_flags: !flags_matter(self.insns),
        }
    }

    fn instructions(&mut self) {
        for index in 0..self.insns.len() {
            self.instruction(index);
        }
    }

    /// A loop: its first turn, and the others, which know what the one before left.
    fn turns(&mut self, looping: Loop) {
        let from = self.check_owner(looping);
        self.cold.push(Cold::Forgotten { from, back: self.code.here() });
        self.move_registers();
        let first = self.code.here();
        self.instructions();
        if self.end_turn() == FlagState::SAVED && !self.windows.has_lasting() {
            return self.code.jump_to(first);
        }
        let (again, known) = (self.code.here(), self.flags);
        self.windows.start_again();
        self.instructions();
        let left = self.end_turn();
        if left == known {
            return self.code.jump_to(again);
        }
        self.flags.save(&mut self.code);
        self.code.jump_to(first);
    }

    /// Between two turns: where the flags are then.
    fn end_turn(&mut self) -> FlagState {
        self.flags.settle(&mut self.code);
        self.flags.lose();
        self.count(self.insns.len());
        let from = self.code.jump_if(cc::L);
        self.cold.push(Cold::Spent { from, rip: self.start, flags: self.flags, looping: true });
        self.flags
    }

    /// Brings registers to where the loop has them, or back. RAX is lost; flags stay.
    fn move_registers(&mut self) {
        for (register, slot) in self.exchanges.clone() {
            self.code.load(RAX, frame::slot(slot));
            self.code.store(frame::slot(slot), register);
            self.code.copy(register, RAX);
        }
    }

    /// A jump out of a loop after instruction `index`.
    pub fn leave_loop(&mut self, from: Fixup, index: usize, to: u64) {
        self.cold.push(Cold::Exit { from, index, to, flags: self.flags });
    }

    /// Forgets the pages that a loop keeps.
    fn forget(&mut self) {
        if self.windows.looping().is_some() {
            let call = self.code.call();
            self.forgets.push(call);
        }
    }

    fn instruction(&mut self, index: usize) {
        let planned = &self.insns[index];
        let killed = planned.sets_flags && !planned.reads_flags;
        self.flags.before_write(&mut self.code, planned.writes(&self.homes), killed);
        match planned.way {
            Way::Interpret => self.interpret(index),
            Way::Nothing => {}
            Way::Jump | Way::JumpIf | Way::Call | Way::Return | Way::IndirectJump | Way::IndirectCall => {
                self.branch(index);
            }
            Way::EnterKernel => self.enter_kernel(index),
            Way::LeaveKernel => self.leave_kernel(index),
            _ => self.operate(index),
        }
        let slow = self.slow_path(index);
        for miss in std::mem::take(&mut self.stack_misses) {
            self.cold.push(Cold::Stack { miss, slow: Slow { from: Vec::new(), ..slow.clone() } });
        }
        for miss in std::mem::take(&mut self.kept_misses) {
            self.cold.push(Cold::Kept { miss, slow: Slow { from: Vec::new(), ..slow.clone() } });
        }
        if !slow.from.is_empty() {
            self.cold.push(Cold::Slow(slow));
        }
        self.windows.follow(planned);
    }

    /// How the instruction that was just translated goes on where it is interpreted.
    fn slow_path(&mut self, index: usize) -> Slow {
        Slow {
            from: std::mem::take(&mut self.slow),
            index,
            back: self.code.here(),
            before: self.slow_flags,
            native_after: self.flags.native(),
            live: self.windows.live_after(index, &self.insns[index]),
        }
    }

    /// RIP of an instruction's successor.
    pub fn next_rip(&self, index: usize) -> u64 {
        self.insns[index].next()
    }

    /// Whether the flags before instruction `index + 1` may still be seen by the guest.
    pub fn flags_matter_after(&self, index: usize) -> bool {
        flags_matter(&self.insns[index + 1..])
    }

    /// Before code that destroys the host's flags and may have the instruction interpreted: the flags are in the frame,
    /// or can be made again.
    pub fn lose_flags(&mut self) {
        self.flags.settle(&mut self.code);
        self.flags.lose();
        self.slow_flags = self.flags;
    }

    pub fn routines(&self) -> &'a Routines {
        self.routines
    }

    /// CALL of a routine.
    pub fn call_routine(&mut self, routine: usize) {
        let call = self.code.call();
        self.routine(call, routine);
    }

    fn routine(&mut self, fixup: Fixup, routine: usize) {
        self.code.bind_to(fixup, routine as i64 - self.place.code as i64);
    }

    fn site(&mut self, index: usize) -> u32 {
        let number = self.place.site + self.sites.len() as u32;
        let planned = &self.insns[index];
        self.sites.push(Site {
            insn: planned.insn,
            rip: planned.rip,
            index: index as u32,
            flags: planned.touches_flags(),
            code: planned.instr.code(),
            count: Cell::new(0),
        });
        number
    }

    /// Has the interpreter carry an instruction out. Flags must be saved, and are afterwards.
    fn call_interpreter(&mut self, index: usize) {
        let site = self.site(index);
        self.move_registers();
        self.code.constant(RAX, site.into());
        self.call_routine(self.routines.interpret);
        self.move_registers();
    }

    /// An instruction that is not translated.
    pub fn interpret(&mut self, index: usize) {
        self.flags.save(&mut self.code);
        self.call_interpreter(index);
        self.flags = FlagState::SAVED;
        if self.insns[index].insn.flags & iflag::BRANCH != 0 {
            return self.follow_interpreter();
        }
        self.forget();
        let live = self.windows.live_after(index, &self.insns[index]);
        let from = self.reopen(&live);
        if !from.is_empty() {
            self.cold.push(Cold::Lost { from, index });
        }
    }

    /// Goes on where an interpreted branch led.
    fn follow_interpreter(&mut self) {
        self.code.load(RCX, here(frame::VCPU));
        self.code.load(RAX, at(RCX, offset_of!(Vcpu, rip) as i32));
        self.jump_to_rax(Arrival { stack: 0, checked: None });
    }

    /// Accounts for instructions: the sign says that too few steps are left for another one.
    fn count(&mut self, count: usize) {
        self.code.group1(true, SUB, BUDGET, count as i32);
    }

    /// Goes on at the RIP in RAX, at once if that is where the branch led the first time. Flags must be saved.
    pub fn guess_rax(&mut self, arrival: Arrival) {
        self.code.store(here(frame::RIP), RAX);
        self.code.op(Opcode::one(0x81), CMP, here(frame::TAG_ID), &[0; 4]);
        let tag = self.code.here() - 4;
        let other_tag = self.code.jump_if(cc::NE);
        let rip = self.code.constant64(RCX);
        self.code.op(Opcode::wide(0x3B), RAX.0, RCX, &[]);
        let other = self.code.jump_if(cc::NE);
        self.arrive(arrival);
        let jump = self.code.jump();
        let number = self.links.len();
        self.links.push(Exit::Guess(Guess {
            tag: (tag, other_tag.0),
            rip: (rip.0, other.0),
            jump: jump.0,
            unknown: 0,
            look_up: 0,
        }));
        self.cold.push(Cold::Guess { number, arrival });
    }

    /// Goes on at the RIP in RAX. Flags must be saved.
    pub fn jump_to_rax(&mut self, arrival: Arrival) {
        let from = look_up(&mut self.code);
        self.arrive(arrival);
        jump_to_code(&mut self.code);
        self.cold.push(Cold::Unknown { from: from.to_vec(), arrival, link: 0 });
    }

    /// Accounts for the block before it goes on at the RIP in the frame.
    fn arrive(&mut self, arrival: Arrival) {
        if arrival.stack != 0 {
            self.move_stack(arrival.stack);
        }
        self.count(self.insns.len());
        let spent = self.code.jump_if(cc::L);
        self.cold.push(Cold::SpentAt { from: spent });
    }

    /// Goes on at a RIP that is known, `count` instructions done. Flags must be settled.
    pub fn edge(&mut self, target: u64, count: usize) {
        let mut flags = self.flags;
        flags.lose();
        self.count(count);
        if !is_canonical(target) {
            flags.save(&mut self.code);
            self.code.constant(RAX, target);
            return self.leave(0);
        }
        let spent = self.code.jump_if(cc::L);
        self.cold.push(Cold::Spent { from: spent, rip: target, flags, looping: false });
        let near = target / PAGE == self.start / PAGE;
        let guard = if near {
            None
        } else {
            self.code.op(Opcode::one(0x81), CMP, here(frame::TAG_ID), &[0; 4]);
            let tag = self.code.here() - 4;
            Some((tag, self.code.jump_if(cc::NE)))
        };
        let jump = self.code.jump();
        let number = self.links.len();
        self.links.push(Exit::Link(Link {
            target,
            jump: jump.0,
            guard: guard.map(|(tag, other)| (tag, other.0)),
            unlinked: 0,
            look_up: 0,
            saves: None,
        }));
        self.cold.push(Cold::Link { number, jump, flags });
    }

    /// Jcc on the guest's flags.
    pub fn jump_if(&mut self, condition: u8) -> Fixup {
        if !self.flags.native() || reads_overflow(condition) {
            self.flags.restore(&mut self.code);
        }
        self.code.jump_if(condition)
    }

    fn emit_cold(&mut self, n: usize) {
        match std::mem::replace(&mut self.cold[n], Cold::Done) {
            Cold::Slow(slow) => self.emit_slow(slow),
            Cold::Stack { miss, slow } => self.emit_stack(miss, slow),
            Cold::Spent { from, rip, mut flags, looping } => {
                self.code.bind(from);
                flags.save(&mut self.code);
                if looping {
                    self.move_registers();
                }
                self.code.constant(RAX, rip);
                self.leave(0);
            }
            Cold::SpentAt { from } => {
                self.code.bind(from);
                self.code.load(RAX, here(frame::RIP));
                self.leave(0);
            }
            Cold::Unknown { from, arrival, link } => self.emit_unknown(from, arrival, link),
            Cold::Guess { number, arrival } => self.emit_guess(number, arrival),
            Cold::LoadXmm { from, back } => {
                self.code.bind(from);
                self.call_routine(self.routines.load_xmm);
                self.code.jump_to(back);
            }
            Cold::LoadX87 { from, back } => {
                self.code.bind(from);
                self.code.constant(RAX, interpret::X87_IMAGE.into());
                self.call_routine(self.routines.interpret);
                self.load_x87();
                self.code.jump_to(back);
            }
            Cold::Exit { from, index, to, flags } => {
                self.code.bind(from);
                self.flags = flags;
                if self.exchanges.is_empty() {
                    self.flags.settle(&mut self.code);
                } else {
                    // They could not be made again from registers that move.
                    self.flags.save(&mut self.code);
                    self.flags = FlagState::SAVED;
                    self.move_registers();
                }
                self.edge(to, index + 1);
            }
            Cold::Forgotten { from, back } => {
                self.code.bind(from);
                self.forget();
                self.code.jump_to(back);
            }
            Cold::Kept { miss, mut slow } => {
                slow.from.push(self.emit_kept(&miss));
                self.emit_slow(slow);
            }
            Cold::Lost { from, index } => self.emit_lost(from, index),
            Cold::Link { number, jump, flags } => self.emit_link(number, jump, flags),
            Cold::Done => {}
        }
    }

    fn emit_slow(&mut self, slow: Slow) {
        let Slow { from, index, back, mut before, native_after, live } = slow;
        from.into_iter().for_each(|fixup| self.code.bind(fixup));
        before.save(&mut self.code);
        self.call_interpreter(index);
        if self.insns[index].insn.flags & iflag::BRANCH != 0 {
            return self.follow_interpreter();
        }
        self.forget();
        let lost = self.reopen(&live);
        if native_after {
            restore(&mut self.code);
        }
        self.code.jump_to(back);
        if !lost.is_empty() {
            self.emit_lost(lost, index);
        }
    }

    fn emit_lost(&mut self, from: Vec<Fixup>, index: usize) {
        from.into_iter().for_each(|fixup| self.code.bind(fixup));
        self.move_registers();
        self.code.constant(RAX, self.next_rip(index));
        self.code.group1(true, SUB, BUDGET, index as i32 + 1);
        let spent = self.code.jump_if(cc::L);
        let jump = self.code.jump();
        self.routine(jump, self.routines.look_up);
        self.code.bind(spent);
        self.leave(0);
    }

    /// Fills the frame's entry for the stack from the TLB and looks at it once more.
    fn emit_stack(&mut self, miss: StackMiss, mut slow: Slow) {
        let StackMiss { from, access, hit } = miss;
        let (tag, routine) = if access.write {
            (frame::STACK_WRITE, self.routines.fill_stack_write)
        } else {
            (frame::STACK_READ, self.routines.fill_stack_read)
        };
        self.code.bind(from);
        self.call_routine(routine);
        self.code.group1(true, CMP, RAX, 4096 - access.size as i32);
        slow.from.push(self.code.jump_if(cc::A));
        self.code.load(RCX, here(tag + frame::STACK_DISTANCE));
        self.code.jump_to(hit);
        self.emit_slow(slow);
    }

    fn emit_unknown(&mut self, from: Vec<Fixup>, arrival: Arrival, link: u32) {
        from.into_iter().for_each(|fixup| self.code.bind(fixup));
        self.code.load(RAX, here(frame::RIP));
        let wrong = arrival.checked.map(|index| {
            self.code.copy(RCX, RAX);
            self.code.shift(true, SHL, RCX, 16);
            self.code.shift(true, SAR, RCX, 16);
            self.code.op(Opcode::wide(0x3B), RCX.0, RAX, &[]);
            (self.code.jump_if(cc::NE), index)
        });
        if arrival.stack != 0 {
            self.move_stack(arrival.stack);
        }
        self.count(self.insns.len());
        self.leave(link);
        if let Some((wrong, index)) = wrong {
            self.emit_slow(Slow {
                from: vec![wrong],
                index,
                back: 0,
                before: FlagState::SAVED,
                native_after: false,
                live: Vec::new(),
            });
        }
    }

    fn emit_guess(&mut self, number: usize, arrival: Arrival) {
        let look_up = self.code.here();
        self.code.load(RAX, here(frame::RIP));
        self.jump_to_rax(arrival);
        let unknown = self.code.here();
        self.emit_unknown(Vec::new(), arrival, self.place.link + number as u32);
        let Exit::Guess(guess) = &mut self.links[number] else { return };
        (guess.look_up, guess.unknown) = (look_up, unknown);
        for jump in [guess.tag.1, guess.rip.1, guess.jump] {
            self.code.bind_to(Fixup(jump), unknown as i64);
        }
    }

    fn emit_link(&mut self, number: usize, jump: Fixup, flags: FlagState) {
        let Exit::Link(Link { target, guard, .. }) = self.links[number] else { return };
        let unlinked = self.code.here();
        self.code.bind(jump);
        self.save_and_set_target(flags, target);
        self.leave(self.place.link + number as u32);
        if let Some((_, other)) = guard {
            self.code.bind_to(Fixup(other), unlinked as i64);
        }
        let look_up = self.code.here();
        self.save_and_set_target(flags, target);
        let jump = self.code.jump();
        self.routine(jump, self.routines.look_up);
        let saves = (!flags.saved()).then(|| {
            let saving = self.code.here();
            let mut flags = flags;
            flags.save(&mut self.code);
            (saving, self.code.jump().0)
        });
        let Exit::Link(link) = &mut self.links[number] else { return };
        (link.unlinked, link.look_up, link.saves) = (unlinked, look_up, saves);
    }

    fn save_and_set_target(&mut self, mut flags: FlagState, target: u64) {
        flags.save(&mut self.code);
        self.code.constant(RAX, target);
    }

    /// Back to the run loop with the RIP in RAX.
    fn leave(&mut self, link: u32) {
        self.code.constant(RCX, link.into());
        let jump = self.code.jump();
        self.routine(jump, self.routines.leave);
    }
}
