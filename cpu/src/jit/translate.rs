//! From the decoded instructions of a block to host code: the driver, what is interpreted, and the ways out.

use super::emit::{Code, Fixup, Opcode, at, cc};
use super::enter::{Routines, look_up};
use super::flags::{FlagState, reads_overflow, restore};
use super::frame::{self, Site, here};
use super::plan::{Planned, Way};
use super::registers::{BUDGET, RAX, RCX};
use crate::exec::{iflag, is_canonical};
use crate::state::Vcpu;
use amber_mmu::PAGE;
use std::mem::offset_of;

const SUB: u8 = 5;
const CMP: u8 = 7;

/// A way out to code that may be translated later: what is patched then.
pub(super) struct Link {
    pub target: u64,
    /// The displacement of the jump to the target.
    pub jump: usize,
    /// Of a target in another page: where the tag is compared, and the displacement of the jump if it is another one.
    pub guard: Option<(usize, usize)>,
    /// Where both jumps lead until then: back to the run loop.
    pub unlinked: usize,
    /// Where a jump under another tag leads once there is a link.
    pub other_tag: usize,
}

/// A translation, before it has a place.
pub(super) struct Unit {
    pub code: Vec<u8>,
    pub sites: Vec<Site>,
    pub links: Vec<Link>,
    /// Instructions.
    pub count: u32,
}

/// Code out of the way.
enum Cold {
    /// An access the TLB does not answer: the instruction is interpreted.
    Slow { from: Vec<Fixup>, index: usize, back: usize, native_after: bool },
    /// The budget is used up; RIP is known.
    Spent { from: Fixup, rip: u64 },
    /// The same; RIP is in RAX.
    SpentAt { from: Fixup },
    /// XMM registers are not the guest's yet.
    LoadXmm { from: Fixup, back: usize },
    /// A link's own.
    Link(usize, Fixup),
}

/// Translates one block.
pub(super) struct Translator<'a> {
    pub code: Code,
    /// Offset in code memory at which the translation will be.
    place: usize,
    routines: &'a Routines,
    /// RIP of the block.
    start: u64,
    pub insns: &'a [Planned<'a>],
    pub flags: FlagState,
    /// Where accesses of the instruction at hand go that the TLB does not answer.
    pub slow: Vec<Fixup>,
    cold: Vec<Cold>,
    first_site: u32,
    first_link: u32,
    sites: Vec<Site>,
    links: Vec<Link>,
}

impl<'a> Translator<'a> {
    pub fn new(
        routines: &'a Routines,
        insns: &'a [Planned<'a>],
        start: u64,
        place: usize,
        first_site: u32,
        first_link: u32,
    ) -> Self {
        Self {
            code: Code::default(),
            place,
            routines,
            start,
            insns,
            flags: FlagState::SAVED,
            slow: Vec::new(),
            cold: Vec::new(),
            first_site,
            first_link,
            sites: Vec::new(),
            links: Vec::new(),
        }
    }

    /// The translation.
    pub fn translate(mut self) -> Unit {
        if self.insns.iter().any(|planned| planned.way == Way::Vector) {
            self.code.group1(false, CMP, here(frame::XMM_LIVE), 0);
            let from = self.code.jump_if(cc::E);
            self.cold.push(Cold::LoadXmm { from, back: self.code.here() });
        }
        for index in 0..self.insns.len() {
            self.instruction(index);
        }
        let last = &self.insns[self.insns.len() - 1];
        if last.insn.flags & iflag::BRANCH == 0 {
            let next = self.next_rip(self.insns.len() - 1);
            self.flags.save(&mut self.code);
            self.edge(next);
        }
        let mut done = 0;
        while done < self.cold.len() {
            self.emit_cold(done);
            done += 1;
        }
        Unit { code: self.code.bytes, sites: self.sites, links: self.links, count: self.insns.len() as u32 }
    }

    fn instruction(&mut self, index: usize) {
        let planned = &self.insns[index];
        match planned.way {
            Way::Interpret => self.interpret(index),
            Way::Nothing => {}
            Way::Jump | Way::JumpIf | Way::Call | Way::Return | Way::IndirectJump | Way::IndirectCall => {
                self.branch(index);
            }
            _ => self.operate(index),
        }
        let from = std::mem::take(&mut self.slow);
        if !from.is_empty() {
            let (back, native_after) = (self.code.here(), self.flags.native());
            self.cold.push(Cold::Slow { from, index, back, native_after });
        }
    }

    /// RIP of an instruction's successor.
    pub fn next_rip(&self, index: usize) -> u64 {
        self.start.wrapping_add(u64::from(self.insns[index].insn.next))
    }

    /// RIP of the block.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Whether the flags before instruction `index + 1` may still be seen by the guest.
    pub fn flags_matter_after(&self, index: usize) -> bool {
        for planned in &self.insns[index + 1..] {
            if planned.reads_flags || planned.may_leave() {
                return true;
            }
            if planned.sets_flags {
                return false;
            }
        }
        true
    }

    fn routine(&mut self, fixup: Fixup, routine: usize) {
        self.code.bind_to(fixup, routine as i64 - self.place as i64);
    }

    fn site(&mut self, index: usize) -> u32 {
        let number = self.first_site + self.sites.len() as u32;
        self.sites.push(Site { insn: self.insns[index].insn, rip: self.start, index: index as u32 });
        number
    }

    /// Has the interpreter carry an instruction out. Flags must be saved, and are afterwards.
    fn call_interpreter(&mut self, index: usize) {
        let site = self.site(index);
        self.code.constant(RAX, site.into());
        let call = self.code.call();
        self.routine(call, self.routines.interpret);
    }

    /// An instruction that is not translated.
    pub fn interpret(&mut self, index: usize) {
        self.flags.save(&mut self.code);
        self.call_interpreter(index);
        self.flags = FlagState::SAVED;
        if self.insns[index].insn.flags & iflag::BRANCH != 0 {
            self.follow_interpreter();
        }
    }

    /// Goes on where an interpreted branch led.
    fn follow_interpreter(&mut self) {
        self.code.load(RCX, here(frame::VCPU));
        self.code.load(RAX, at(RCX, offset_of!(Vcpu, rip) as i32));
        self.count();
        let from = self.code.jump_if(cc::S);
        self.cold.push(Cold::SpentAt { from });
        self.look_up();
    }

    fn look_up(&mut self) {
        look_up(&mut self.code, self.routines.untranslated as i64 - self.place as i64);
    }

    /// Accounts for the block's instructions: the sign says that too few steps are left for another one.
    fn count(&mut self) {
        self.code.group1(true, SUB, BUDGET, self.insns.len() as i32);
    }

    /// Goes on at the RIP in RAX. Flags must be saved.
    pub fn edge_to_rax(&mut self) {
        self.count();
        let from = self.code.jump_if(cc::S);
        self.cold.push(Cold::SpentAt { from });
        self.look_up();
    }

    /// Goes on at a RIP that is known. Flags must be saved.
    pub fn edge(&mut self, target: u64) {
        self.count();
        if !is_canonical(target) {
            self.code.constant(RAX, target);
            return self.leave(0);
        }
        let spent = self.code.jump_if(cc::S);
        self.cold.push(Cold::Spent { from: spent, rip: target });
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
        self.links.push(Link {
            target,
            jump: jump.0,
            guard: guard.map(|(tag, other)| (tag, other.0)),
            unlinked: 0,
            other_tag: 0,
        });
        self.cold.push(Cold::Link(number, jump));
    }

    /// Jcc on the guest's flags, which must be saved too.
    pub fn jump_if(&mut self, condition: u8) -> Fixup {
        if !self.flags.native() || reads_overflow(condition) {
            self.flags.restore(&mut self.code);
        }
        self.code.jump_if(condition)
    }

    fn emit_cold(&mut self, n: usize) {
        let cold = std::mem::replace(&mut self.cold[n], Cold::SpentAt { from: Fixup(usize::MAX) });
        match cold {
            Cold::Slow { from, index, back, native_after } => {
                from.into_iter().for_each(|fixup| self.code.bind(fixup));
                self.call_interpreter(index);
                if self.insns[index].insn.flags & iflag::BRANCH != 0 {
                    self.follow_interpreter();
                } else {
                    if native_after {
                        restore(&mut self.code);
                    }
                    self.code.jump_to(back);
                }
            }
            Cold::Spent { from, rip } => {
                self.code.bind(from);
                self.code.constant(RAX, rip);
                self.leave(0);
            }
            Cold::SpentAt { from } => {
                self.code.bind(from);
                self.leave(0);
            }
            Cold::LoadXmm { from, back } => {
                self.code.bind(from);
                let call = self.code.call();
                self.routine(call, self.routines.load_xmm);
                self.code.jump_to(back);
            }
            Cold::Link(number, jump) => self.cold_link(number, jump),
        }
    }

    fn cold_link(&mut self, number: usize, jump: Fixup) {
        let unlinked = self.code.here();
        self.code.bind(jump);
        let target = self.links[number].target;
        self.code.constant(RAX, target);
        self.leave(self.first_link + number as u32);
        let other_tag = self.code.here();
        if let Some((_, other)) = self.links[number].guard {
            self.code.bind_to(Fixup(other), unlinked as i64);
            self.code.constant(RAX, target);
            let jump = self.code.jump();
            self.routine(jump, self.routines.look_up);
        }
        let link = &mut self.links[number];
        (link.unlinked, link.other_tag) = (unlinked, other_tag);
    }

    /// Back to the run loop with the RIP in RAX.
    fn leave(&mut self, link: u32) {
        self.code.constant(RCX, link.into());
        let jump = self.code.jump();
        self.routine(jump, self.routines.leave);
    }
}
