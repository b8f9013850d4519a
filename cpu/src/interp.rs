//! The run loop of the interpreter: boundaries between instructions, blocks, time.

use crate::block::{BLOCK_INSNS, CodeCache, Found, jump};
use crate::event::{DB, Event, Source};
use crate::exec::{Bus, Cx, Insn, iflag};
use crate::flags::bit;
use crate::state::{Activity, BLOCK_RIP, CodeSize, Raised, Shadow, Vcpu};
use amber_mmu::Mmu;

/// DR6.BS: single-step.
const SINGLE_STEP: u64 = 1 << 14;

/// Where the processor is in time while it runs. Never saved: empty between runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Instructions of the current block that may start; 0 once the block is to be left.
    pub(crate) limit: u32,
    /// Index in the block of the instruction being executed.
    pub(crate) at: u32,
    /// Instructions that the last one stood for besides itself.
    pub(crate) extra: u32,
    /// Steps that the instruction being executed has taken, but for the last.
    again: u32,
    /// Virtual time at the start of the block, ns.
    start: u64,
    /// Cost beyond one ns an instruction, in this block.
    charged: u64,
    deadline: u64,
    steps: u64,
    /// `steps` at the start of the run.
    given: u64,
    /// Steps that were events rather than instructions.
    events: u64,
    paused: bool,
}

impl Timing {
    /// Where what was charged is, for translated code.
    pub(crate) const CHARGED: usize = std::mem::offset_of!(Self, charged);

    /// Virtual time of the instruction being executed, ns.
    #[inline]
    pub fn now(&self) -> u64 {
        self.start + u64::from(self.at) + u64::from(self.again) + self.charged
    }
    /// Adds to the cost of the instruction.
    pub fn charge(&mut self, ns: u64) {
        self.charged += ns;
    }
    /// What was charged in this block so far.
    pub fn charged(&self) -> u64 {
        self.charged
    }
    /// Ends the slice after this instruction, for the benefit of other processors.
    pub fn pause(&mut self) {
        self.paused = true;
    }
    /// Lowers the time at which the run loop has to stop.
    pub fn lower_deadline(&mut self, at: u64) {
        self.deadline = self.deadline.min(at);
    }
    /// Virtual time at the start of the block, ns.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }
    /// Instructions that may run before steps or time are used up.
    #[inline(always)]
    pub(crate) fn room(&self) -> u64 {
        self.steps.min(self.deadline.saturating_sub(self.start))
    }
    /// Begins another step of the instruction being executed, if there is room for one.
    fn step_again(&mut self) -> bool {
        let taken = u64::from(self.at) + u64::from(self.again) + 1;
        let room =
            taken < self.steps && self.start + taken + self.charged < self.deadline && self.again < u32::MAX;
        self.again += u32::from(room);
        room
    }
    fn steps_taken(&self) -> bool {
        self.steps != self.given
    }
    /// Accounts for `n` instructions, of which the last may have been several steps.
    #[inline(always)]
    pub(crate) fn commit(&mut self, n: u64) {
        let n = n + u64::from(std::mem::take(&mut self.again));
        self.steps -= n;
        self.start += n;
        self.at = 0;
        if self.charged != 0 {
            self.start += std::mem::take(&mut self.charged);
        }
    }
}

/// Counters of the engine, for `--stats`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineCounters {
    /// Blocks entered.
    pub blocks: u64,
    /// Exceptions and interrupts delivered, by vector.
    pub interrupts: u64,
    pub faults: u64,
}

/// Why [`Vcpu::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Steps or time are used up.
    Budget,
    /// Nothing to do until an event.
    Halted,
    /// Shutdown after a triple fault.
    Shutdown,
    /// The machine must act on effects of the last access.
    Attention,
    /// PAUSE or MWAIT: another processor should run.
    Pause,
    /// A debugger's breakpoint is next.
    Breakpoint,
    /// A debugger's watchpoint was hit by the last instruction.
    Watchpoint,
}

/// What a run did.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    pub exit: Exit,
    /// Steps taken.
    pub steps: u64,
    /// Virtual time afterwards, ns.
    pub now: u64,
}

/// What a look between two instructions led to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    /// The next block is to run: only its first instruction if `single`, with a trap after it if `stepping`.
    Run {
        single: bool,
        stepping: bool,
    },
    Leave(Exit),
}

/// What is due at a boundary.
enum Due {
    /// The next block; `single` if only its first instruction.
    Run {
        single: bool,
    },
    /// An event was delivered: look again.
    Again,
    Leave(Exit),
}

impl Vcpu {
    /// Runs for at most `steps` steps, and not past virtual time `deadline`. `now` is the time at the start.
    pub fn run(
        &mut self,
        code: &mut CodeCache,
        mmu: &mut Mmu,
        bus: &mut dyn Bus,
        now: u64,
        deadline: u64,
        steps: u64,
    ) -> Ran {
        self.timing = Timing { start: now, deadline, steps, given: steps, ..Timing::default() };
        if let Some(at) = self.apic.timer_expires() {
            self.timing.lower_deadline(at);
        }
        self.attention = true;
        self.context_stale = true;
        let mut cx = Cx { cpu: self, mmu, bus };
        // A loop of its own, so that the other one pays nothing for coverage.
        let left = if code.edges.is_some() { cx.run_loop::<true>(code) } else { cx.run_loop::<false>(code) };
        let exit = match left {
            // The steps ended with a PAUSE: the slice still ends with it.
            Exit::Budget if self.timing.paused => Exit::Pause,
            exit => exit,
        };
        let timing = self.timing;
        let idle = matches!(exit, Exit::Halted | Exit::Shutdown) && timing.steps == steps;
        debug_assert!(!idle || !self.runnable(bus.intr()), "a processor that can run makes a step");
        self.system.retired += steps - timing.steps - timing.events;
        if exit == Exit::Breakpoint {
            self.watch.reported = Some((self.linear_rip(), self.system.retired));
        }
        Ran { exit, steps: steps - timing.steps, now: timing.start }
    }
}

/// Whether code that is looked up by `tag` may become host code.
fn is_translated(tag: u64) -> bool {
    tag & 3 == CodeSize::Bits64 as u64
}

impl Cx<'_> {
    fn run_loop<const COVERAGE: bool>(&mut self, code: &mut CodeCache) -> Exit {
        let (mut tag, mut translate) = (0, false);
        // What translated code found out before it was left.
        let mut looked = None;
        loop {
            let mut single = false;
            let mut stepping = false;
            if looked.is_some() || self.cpu.attention || self.mmu.disturbed() {
                if looked.is_none() && self.cpu.attention {
                    looked = Some(self.look());
                }
                match looked.take() {
                    Some(Look::Run { single: only, stepping: traps }) => (single, stepping) = (only, traps),
                    Some(Look::Leave(exit)) => return exit,
                    None => {}
                }
                code.invalidate(self);
                tag = self.code_tag();
                translate = code.translates() && self.translatable();
            }
            let mut room = self.cpu.timing.room();
            if room == 0 {
                return Exit::Budget;
            }
            let known = code.find(self.cpu.linear_rip(), tag).filter(|known| {
                self.cpu.code_size == CodeSize::Bits64 || self.in_code_limit(known.span.bytes)
            });
            let span = match known {
                Some(known) => {
                    let linear = self.cpu.linear_rip();
                    let whole = room >= BLOCK_INSNS as u64;
                    let translates = translate && is_translated(tag);
                    if !COVERAGE && translates && !single && whole && !code.records(self, linear, tag, known)
                    {
                        let translation = match known.code {
                            jump::UNTRANSLATED => code.warm(self, linear, tag, known),
                            translation => translation,
                        };
                        if translation != jump::UNTRANSLATED {
                            (tag, looked) = code.run_translated(self, translation, tag, room);
                            continue;
                        }
                    }
                    known.span
                }
                None => match code.find_slow(self) {
                    Ok(Found::Cached(span)) => {
                        tag = self.code_tag();
                        if translate && is_translated(tag) && !single && !stepping {
                            // The jump cache knows it now, and its translation, if there is one.
                            continue;
                        }
                        span
                    }
                    Ok(Found::Loose(insn)) => {
                        tag = self.code_tag();
                        let branched = self.run_block(&[insn], 1);
                        if COVERAGE && branched {
                            self.cover(code);
                        }
                        self.stepped(stepping);
                        continue;
                    }
                    Err(_) => {
                        self.fetch_faulted();
                        continue;
                    }
                },
            };
            if single || !self.cpu.watch.breakpoints.is_empty() && self.breakpoint_in(u64::from(span.bytes)) {
                room = 1;
            }
            let branched = self.run_block(code.insns(span), room);
            if COVERAGE && branched {
                self.cover(code);
            }
            self.stepped(stepping);
        }
    }

    /// Looks at all that may be due before the next instruction, and deals with it.
    pub(crate) fn look(&mut self) -> Look {
        loop {
            if self.cpu.timing.steps == 0 {
                return Look::Leave(Exit::Budget);
            }
            match self.boundary() {
                Due::Run { single } => {
                    self.cpu.suppress_trap = false;
                    return Look::Run { single, stepping: self.cpu.flags.has(bit::TF) };
                }
                Due::Again => {}
                Due::Leave(exit) => return Look::Leave(exit),
            }
        }
    }

    /// Begins another step of a REP instruction at once. False if it must be left first: there is no room, or a look would find
    /// something due.
    pub(crate) fn step_again(&mut self) -> bool {
        let cpu = &self.cpu;
        let seen = cpu.flags.has(bit::TF) || cpu.code_breakpoints() || !self.translatable();
        let stale =
            cpu.context_stale || self.mmu.context_epoch() != cpu.context_epoch || self.mmu.disturbed();
        let due = cpu.init_due() || cpu.smi_due() || cpu.system.pending.nmi || cpu.system.pending.debug != 0;
        !seen
            && !stale
            && !due
            && !self.interrupt_deliverable()
            && !self.bus.attention()
            && self.cpu.timing.step_again()
    }

    /// Whether an interrupt is delivered at the next boundary, if the instruction before does not hold it off.
    fn interrupt_deliverable(&self) -> bool {
        self.cpu.flags.has(bit::IF)
            && (self.cpu.apic.deliverable().is_some()
                || self.cpu.apic.external_interrupts() && self.bus.intr())
    }

    /// Whether nobody wants to see each instruction, or each access to memory.
    pub(crate) fn translatable(&self) -> bool {
        !self.cpu.watched && self.cpu.watch.breakpoints.is_empty()
    }

    /// Counts the edge of the branch that was taken last.
    fn cover(&mut self, code: &mut CodeCache) {
        if let Some(edges) = &mut code.edges {
            edges.branch(self.cpu.apic.id(), self.cpu.linear_rip());
        }
    }

    /// After an instruction run with TF set: a trap is due.
    #[inline(always)]
    fn stepped(&mut self, stepping: bool) {
        if stepping && !self.cpu.suppress_trap {
            self.cpu.system.pending.debug |= SINGLE_STEP;
            self.cpu.attention = true;
        }
    }

    /// Whether a single-step trap follows an instruction depends on the TF it loads (SYSCALL, SYSRET).
    pub(crate) fn step_by_new_flags(&mut self) {
        self.cpu.suppress_trap = true;
        if self.cpu.flags.has(bit::TF) {
            self.cpu.system.pending.debug |= SINGLE_STEP;
        }
    }

    /// The fetch itself faulted.
    #[cold]
    fn fetch_faulted(&mut self) {
        let rip = self.cpu.rip;
        self.cpu.fault_rip = None;
        self.cpu.system.pending.debug = 0;
        self.cpu.counters.faults += 1;
        self.take_fault(rip);
        self.cpu.timing.commit(1);
        self.cpu.timing.events += 1;
    }

    /// Runs instructions of a block until it ends, `room` is used up or something asks to leave. Whether the last one
    /// was a branch.
    #[inline(always)]
    fn run_block(&mut self, insns: &[Insn], room: u64) -> bool {
        self.cpu.counters.blocks += 1;
        let base = self.cpu.rip;
        self.cpu.gpr[BLOCK_RIP as usize] = base;
        self.cpu.timing.limit = (insns.len() as u64).min(room) as u32;
        let mut n = 0;
        while n < self.cpu.timing.limit {
            let insn = &insns[n as usize];
            self.cpu.timing.at = n;
            if (insn.exec)(self, insn).is_err() {
                self.fault_in_block(base, insn, u64::from(n));
                return false;
            }
            n += 1;
        }
        // A fused pair stands for two instructions.
        n += std::mem::take(&mut self.cpu.timing.extra);
        let last = &insns[n as usize - 1];
        let branched = last.flags & iflag::BRANCH != 0;
        if !branched {
            self.cpu.rip = base.wrapping_add(u64::from(last.next));
        }
        self.cpu.timing.commit(u64::from(n));
        branched
    }

    /// Instruction `n` of a block faulted: those before it have retired; delivery is one step. So is standing still.
    #[cold]
    pub(crate) fn fault_in_block(&mut self, base: u64, insn: &Insn, n: u64) {
        let rip = base.wrapping_add(u64::from(insn.next) - u64::from(insn.len));
        let rip = self.cpu.fault_rip.take().unwrap_or(rip);
        self.cpu.rip = rip;
        self.cpu.suppress_trap = true;
        // Debug traps follow an instruction that completed (SDM 18.3.1.4); what this one touched it will touch again.
        self.cpu.system.pending.debug = 0;
        self.cpu.watch.hit = None;
        if std::mem::take(&mut self.cpu.freeze) {
            self.cpu.system.activity = Activity::Frozen;
            self.recheck();
        } else {
            self.cpu.counters.faults += 1;
            self.take_fault(rip);
        }
        self.cpu.timing.commit(n + 1);
        self.cpu.timing.events += 1;
    }

    /// Whether a debugger's breakpoint lies in the next `bytes` of code.
    fn breakpoint_in(&self, bytes: u64) -> bool {
        let linear = self.cpu.linear_rip();
        self.cpu.watch.breakpoints.range(linear..linear.saturating_add(bytes)).next().is_some()
    }

    /// Everything that may be due between two instructions, in the order of SDM table 6-2.
    fn boundary(&mut self) -> Due {
        self.cpu.attention = false;
        if self.cpu.context_stale || self.mmu.context_epoch() != self.cpu.context_epoch {
            self.select_context();
        }
        if self.bus.attention() {
            self.cpu.attention = true;
            return Due::Leave(Exit::Attention);
        }
        if std::mem::take(&mut self.cpu.timing.paused) {
            self.cpu.attention = true;
            return Due::Leave(Exit::Pause);
        }
        if self.cpu.watch.hit.is_some() {
            self.cpu.attention = true;
            return Due::Leave(Exit::Watchpoint);
        }
        // What is due by now on the machine comes before events are looked at, as it does when a run begins here.
        if self.cpu.timing.room() == 0 {
            self.cpu.attention = true;
            return Due::Leave(Exit::Budget);
        }
        let now = self.now();
        if self.cpu.apic.timer_expires().is_some_and(|at| at <= now) {
            self.cpu.apic.run_timer(now);
            if let Some(at) = self.cpu.apic.timer_expires() {
                self.cpu.timing.lower_deadline(at);
            }
        }
        if self.cpu.init_due() {
            self.disarm_monitor();
            self.cpu.init();
            return self.delivered();
        }
        // An SMI does not end HLT: RSM goes back to it.
        if self.cpu.system.activity != Activity::Running
            && !self.cpu.smi_due()
            && let Some(exit) = self.wake()
        {
            return Due::Leave(exit);
        }
        if self.cpu.smi_due() {
            self.enter_smm();
            return self.delivered();
        }
        self.events_due()
    }

    /// Traps, interrupts and instruction breakpoints, as far as the instruction before does not hold them off: MOV SS all
    /// of them, STI interrupts alone (SDM 6.8.3).
    fn events_due(&mut self) -> Due {
        let shadow = std::mem::take(&mut self.cpu.system.shadow);
        self.cpu.attention |= shadow != Shadow::None;
        if shadow == Shadow::MovSs {
            return Due::Run { single: true };
        }
        if let Some(due) = self.trap_due() {
            return due;
        }
        if shadow == Shadow::None
            && let Some(due) = self.interrupt_due()
        {
            return due;
        }
        self.debug_due(shadow != Shadow::None)
    }

    /// A step was spent on an event.
    fn delivered(&mut self) -> Due {
        self.cpu.timing.commit(1);
        self.cpu.timing.events += 1;
        self.cpu.attention = true;
        Due::Again
    }

    /// Leaves HLT, shutdown or wait-for-SIPI if an event says so; else says why not to run.
    fn wake(&mut self) -> Option<Exit> {
        if self.cpu.runnable(self.bus.intr()) {
            if self.cpu.system.activity == Activity::WaitForSipi
                && let Some(vector) = self.cpu.system.pending.sipi.take()
            {
                self.cpu.start_up(vector);
                self.select_context();
            }
            if let Activity::Waiting { .. } = self.cpu.system.activity {
                self.disarm_monitor();
            }
            self.cpu.system.activity = Activity::Running;
            return None;
        }
        self.cpu.attention = true;
        Some(if self.cpu.system.activity == Activity::Shutdown { Exit::Shutdown } else { Exit::Halted })
    }

    /// Delivers a debug trap.
    fn trap_due(&mut self) -> Option<Due> {
        let bits = std::mem::take(&mut self.cpu.system.pending.debug);
        if bits == 0 {
            return None;
        }
        let rip = self.cpu.rip;
        self.cpu.raised = Raised { vector: DB, error: None, address: bits };
        self.take_fault(rip);
        Some(self.delivered())
    }

    /// Whether an interrupt would be delivered at the boundary if RFLAGS.IF were set.
    pub(crate) fn interrupt_waits(&self) -> bool {
        !self.cpu.flags.has(bit::IF)
            && (self.cpu.apic.deliverable().is_some()
                || self.cpu.apic.external_interrupts() && self.bus.intr())
    }

    /// Delivers an NMI or interrupt.
    fn interrupt_due(&mut self) -> Option<Due> {
        let rip = self.cpu.rip;
        if self.cpu.system.pending.nmi && !self.cpu.system.nmi_blocked {
            self.cpu.system.pending.nmi = false;
            self.cpu.system.nmi_blocked = true;
            self.take_event(Event { vector: 2, error: None, source: Source::External, rip });
            return Some(self.delivered());
        }
        if !self.cpu.flags.has(bit::IF) {
            return None;
        }
        let vector = if let Some(vector) = self.cpu.apic.deliverable() {
            self.cpu.apic.acknowledge(vector);
            vector
        } else if self.cpu.apic.external_interrupts() && self.bus.intr() {
            let now = self.now();
            self.bus.intack(self.mmu, now)
        } else {
            return None;
        };
        self.cpu.counters.interrupts += 1;
        self.take_event(Event { vector, error: None, source: Source::External, rip });
        Some(self.delivered())
    }

    /// Instruction breakpoints, RF and TF: whether the next instruction must run alone, which it does if `single`.
    fn debug_due(&mut self, single: bool) -> Due {
        let linear = self.cpu.linear_rip();
        let resume = self.cpu.flags.has(bit::RF);
        if self.cpu.code_breakpoints() && !resume {
            let hit = self.cpu.code_breakpoint_at(linear);
            if hit != 0 {
                self.cpu.raised = Raised { vector: DB, error: None, address: hit };
                let rip = self.cpu.rip;
                // A code breakpoint is a fault: RF is set in the image pushed.
                self.cpu.flags.set(bit::RF, true);
                self.take_fault(rip);
                return self.delivered();
            }
        }
        if resume {
            self.cpu.flags.set(bit::RF, false);
        }
        if !self.cpu.watch.breakpoints.is_empty() {
            self.cpu.attention = true;
            let here = Some((linear, self.cpu.system.retired));
            let reported = !self.cpu.timing.steps_taken() && self.cpu.watch.reported == here;
            if self.cpu.watch.breakpoints.contains(&linear) && !reported {
                return Due::Leave(Exit::Breakpoint);
            }
        }
        let single = single || resume || self.cpu.flags.has(bit::TF) || self.cpu.code_breakpoints();
        self.cpu.attention |= single;
        Due::Run { single }
    }
}
