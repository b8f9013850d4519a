//! The machine as gdb drives it: running, stepping, breakpoints, and what a stop is reported as.

use super::host::Listening;
use super::registers::{self, Register};
use crate::cli::run::exit;
use crate::machine::{HostIo, Machine, Stop};
use amber_cpu::Watchpoint;
use gdbstub::common::{Signal, Tid};
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::target::ext::breakpoints::WatchKind;
use std::collections::BTreeSet;

/// A stop as gdb is told of it.
pub type Reason = MultiThreadStopReason<u64>;

/// A machine under gdb's control.
pub struct Debuggee<'a> {
    pub(super) machine: &'a mut Machine,
    pub(super) table: Vec<Register>,
    /// Linear addresses.
    pub(super) soft: BTreeSet<u64>,
    pub(super) hard: BTreeSet<u64>,
    pub(super) watchpoints: BTreeSet<Watchpoint>,
    /// Processors gdb steps; all others continue.
    pub(super) stepping: BTreeSet<usize>,
    until: u64,
    no_reboot: bool,
    /// Why the run cannot go on, and since which step.
    ended: Option<(Stop, u64)>,
}

/// Processor of a thread; threads count from 1.
pub(super) fn processor(tid: Tid) -> usize {
    tid.get() - 1
}

/// Thread of a processor.
pub(super) fn thread(n: usize) -> Tid {
    Tid::MIN.saturating_add(n)
}

impl<'a> Debuggee<'a> {
    /// `until` is the step at which the run ends.
    pub fn new(machine: &'a mut Machine, until: u64, no_reboot: bool) -> Self {
        Self {
            machine,
            table: registers::table(),
            soft: BTreeSet::new(),
            hard: BTreeSet::new(),
            watchpoints: BTreeSet::new(),
            stepping: BTreeSet::new(),
            until,
            no_reboot,
            ended: None,
        }
    }

    /// Why the run ended, if it did.
    pub fn ended(&self) -> Option<Stop> {
        self.ended.map(|(stop, _)| stop)
    }

    /// Runs as gdb asked; `None` if gdb has something to say.
    pub(super) fn go(&mut self, host: &mut Listening) -> Option<Reason> {
        let stop = if self.stepping.is_empty() { self.proceed(host) } else { self.single_step(host) };
        if stop == Stop::User && host.heard() {
            return None;
        }
        Some(self.reason(stop))
    }

    /// gdb's Ctrl-C.
    pub fn interrupted(&self) -> Reason {
        Reason::SignalWithThread { tid: thread(self.machine.current()), signal: Signal::SIGINT }
    }

    /// Runs to the next stop.
    pub(super) fn proceed(&mut self, host: &mut dyn HostIo) -> Stop {
        self.machine.run(self.until, host, self.no_reboot)
    }

    /// Runs until one of the processors gdb steps has taken a step. The schedule stays what it is, so others may run
    /// first; they stop at their breakpoints.
    pub(super) fn single_step(&mut self, host: &mut dyn HostIo) -> Stop {
        loop {
            let before = self.machine.step();
            let jumps = self.machine.position.idle_jumps;
            let next = before.saturating_add(1).min(self.until);
            match self.machine.run(next, host, self.no_reboot) {
                Stop::Step if next < self.until || self.machine.step() != before => {}
                stop => return stop,
            }
            if self.machine.position.idle_jumps != jumps {
                continue;
            }
            let ran = self.machine.current();
            let linear = self.machine.vcpus()[ran].linear_rip();
            if self.soft.contains(&linear) || self.hard.contains(&linear) {
                return Stop::Breakpoint(ran);
            }
            if self.stepping.contains(&ran) {
                return Stop::Step;
            }
        }
    }

    fn reason(&mut self, stop: Stop) -> Reason {
        match stop {
            Stop::Breakpoint(n) => self.breakpoint_reason(n),
            Stop::Watchpoint(n, hit) => Reason::Watch { tid: thread(n), kind: kind(&hit), addr: hit.linear },
            Stop::Step if self.machine.step() < self.until => {
                self.signal(self.machine.current(), Signal::SIGTRAP)
            }
            // A guest that died or hangs can still be looked at, and brought back; only going on ends the run.
            Stop::TripleFault(n) if self.is_news(stop) => self.signal(n, Signal::SIGSEGV),
            Stop::Hung if self.is_news(stop) => self.signal(self.machine.current(), Signal::SIGQUIT),
            _ => {
                self.ended = Some((stop, self.machine.step()));
                Reason::Exited(exit::code(stop) as u8)
            }
        }
    }

    fn signal(&self, n: usize, signal: Signal) -> Reason {
        Reason::SignalWithThread { tid: thread(n), signal }
    }

    /// Notes an end of the run; whether gdb has not been told of it yet.
    fn is_news(&mut self, stop: Stop) -> bool {
        let now = Some((stop, self.machine.step()));
        std::mem::replace(&mut self.ended, now) != now
    }

    /// gdb believes a breakpoint only at the address RIP names. With a segment base in between it is told of a trap.
    fn breakpoint_reason(&self, n: usize) -> Reason {
        let (cpu, tid) = (&self.machine.vcpus()[n], thread(n));
        let linear = cpu.linear_rip();
        if linear != cpu.rip {
            Reason::SignalWithThread { tid, signal: Signal::SIGTRAP }
        } else if self.hard.contains(&linear) {
            Reason::HwBreak(tid)
        } else {
            Reason::SwBreak(tid)
        }
    }

    /// Tells every processor what to watch.
    pub(super) fn watch(&mut self) {
        let breakpoints: BTreeSet<u64> = self.soft.union(&self.hard).copied().collect();
        self.machine.watch(&breakpoints, &self.watchpoints);
    }
}

impl Drop for Debuggee<'_> {
    fn drop(&mut self) {
        self.machine.watch(&BTreeSet::new(), &BTreeSet::new());
    }
}

fn kind(hit: &Watchpoint) -> WatchKind {
    match (hit.read, hit.write) {
        (true, true) => WatchKind::ReadWrite,
        (true, false) => WatchKind::Read,
        _ => WatchKind::Write,
    }
}
