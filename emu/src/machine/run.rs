//! The run loop: slices, time, idle jumps and input.

use super::bus::{HostIo, PlatformBus};
use super::{Machine, POLL_NS};
use amber_cpu::state::Activity;
use amber_cpu::{Exit, Vcpu, Watchpoint};

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// ACPI S5.
    PowerOff,
    /// The guest asked for a reset and the run allows none.
    Reset,
    /// The guest wrote this to isa-debug-exit.
    DebugExit(u32),
    /// This processor is in shutdown after a triple fault, and nothing can wake it.
    TripleFault(usize),
    /// Every processor waits for an event and none can come.
    Hung,
    /// The step asked for was reached.
    Step,
    /// The person at the console ended the run.
    User,
    /// A debugger's breakpoint is next on this processor.
    Breakpoint(usize),
    /// The machine's memory cannot be read any more; [`Machine::damage`] says why.
    Damaged,
    /// A debugger's watchpoint was hit by this processor's last instruction.
    Watchpoint(usize, Watchpoint),
}

impl Machine {
    /// Runs until step `until`, or until something else ends the run.
    pub fn run(&mut self, until: u64, host: &mut dyn HostIo, no_reboot: bool) -> Stop {
        self.arm_monitors();
        let stop = self.advance(until, host, no_reboot);
        // What the last step caused is part of it.
        self.settle(host, no_reboot).unwrap_or(stop)
    }

    /// What keeps the machine from going on after [`Stop::Damaged`].
    pub fn damage(&self) -> Option<&str> {
        self.mmu.damaged()
    }

    fn advance(&mut self, until: u64, host: &mut dyn HostIo, no_reboot: bool) -> Stop {
        loop {
            if let Some(stop) = self.settle(host, no_reboot) {
                return stop;
            }
            if self.position.step >= until {
                return Stop::Step;
            }
            self.run_due(host);
            if host.stop_requested() {
                return Stop::User;
            }
            if !self.platform.effects().is_empty() || !self.messages.is_empty() {
                continue;
            }
            let Some(current) = self.choose() else {
                match self.idle(host) {
                    None => continue,
                    Some(stop) => return stop,
                }
            };
            if let Some(stop) = self.run_slice(current, until) {
                return stop;
            }
        }
    }

    /// Timers and input that are due now.
    fn run_due(&mut self, host: &mut dyn HostIo) {
        let now = self.now();
        if self.platform.next_deadline().is_some_and(|at| at <= now) {
            self.with_dma(|platform, dma| platform.run_due_timers(dma));
        }
        for vcpu in &mut self.vcpus {
            vcpu.apic.run_timer(now);
        }
        if now >= self.position.poll_at {
            self.position.poll_at = now - now % POLL_NS + POLL_NS;
            host.pace(now);
            let bytes = host.serial_input(None);
            self.input(&bytes);
        }
        self.end_waits();
    }

    /// Tells memory again what processors monitor: that it knows is derived.
    pub(crate) fn arm_monitors(&mut self) {
        self.end_waits();
        for vcpu in &mut self.vcpus {
            let (id, line) = (vcpu.apic.id(), vcpu.system.monitor);
            if self.mmu.monitored(id) != line && !self.mmu.monitor(id, vcpu.view(), line) {
                vcpu.system.monitor = None;
            }
        }
    }

    /// Disarms every monitor.
    pub(crate) fn end_monitors(&mut self) {
        self.mmu.drop_monitors();
        self.vcpus.iter_mut().for_each(|vcpu| vcpu.system.monitor = None);
    }

    /// Stores to monitored lines reach the processors that monitor them.
    pub(crate) fn end_waits(&mut self) {
        if self.mmu.any_triggered() {
            let triggered = self.mmu.take_triggered();
            for vcpu in self.vcpus.iter_mut().filter(|vcpu| triggered.contains(&vcpu.apic.id())) {
                vcpu.system.monitor = None;
            }
        }
    }

    /// Gives bytes to serial port 0, as many as it takes; the rest waits.
    fn input(&mut self, bytes: &[u8]) {
        self.position.serial_queue.extend(bytes);
        if self.position.serial_queue.is_empty() {
            return;
        }
        let queued = self.position.serial_queue.clone();
        let taken = self.with_dma(|platform, dma| platform.serial_input(dma, 0, &queued));
        self.position.serial_queue.drain(..taken.min(queued.len()));
    }

    /// The processor to run: the current one while its slice lasts, else the next that has something to do.
    fn choose(&mut self) -> Option<usize> {
        let external = self.platform.intr();
        let now = self.now();
        let count = self.vcpus.len();
        if count == 1 {
            // Slices mean nothing; where a run was stopped must not show in the state.
            return self.vcpus[0].runnable(external).then_some(0);
        }
        let current = self.position.current as usize;
        if now < self.position.slice_end && self.vcpus[current].runnable(external) {
            return Some(current);
        }
        let next = (1..=count).map(|n| (current + n) % count).find(|n| self.vcpus[*n].runnable(external))?;
        self.position.current = next as u32;
        self.position.slice_end = now + self.spec.quantum;
        Some(next)
    }

    fn run_slice(&mut self, current: usize, until: u64) -> Option<Stop> {
        let now = self.now();
        let alone = self.vcpus.len() == 1;
        let slice = if alone { u64::MAX } else { self.position.slice_end };
        let timers = self.vcpus.iter().filter_map(|vcpu| vcpu.apic.timer_expires()).min().unwrap_or(u64::MAX);
        let end = slice.min(self.position.poll_at).min(timers);
        let mut bus = PlatformBus {
            platform: &mut self.platform,
            messages: &mut self.messages,
            until: end,
            ferr_wired: current == 0,
        };
        let deadline = amber_cpu::Bus::deadline(&bus);
        let steps = until - self.position.step;
        let ran = self.vcpus[current].run(&mut self.code, &mut self.mmu, &mut bus, now, deadline, steps);
        self.position.step += ran.steps;
        self.platform.clock.advance_to(ran.now);
        self.end_waits();
        if self.mmu.damaged().is_some() {
            return Some(Stop::Damaged);
        }
        match ran.exit {
            Exit::Budget | Exit::Attention | Exit::Halted => None,
            Exit::Pause if alone => None,
            Exit::Pause => {
                self.position.slice_end = self.position.slice_end.min(ran.now);
                None
            }
            Exit::Shutdown => self.shutdown(current),
            Exit::Breakpoint => Some(Stop::Breakpoint(current)),
            Exit::Watchpoint => {
                self.vcpus[current].take_watch_hit().map(|hit| Stop::Watchpoint(current, hit))
            }
        }
    }

    /// A processor shut down. On a PC that asserts INIT or resets; here it ends the run with a report.
    fn shutdown(&mut self, current: usize) -> Option<Stop> {
        let activity = self.vcpus[current].system.activity;
        (activity == Activity::Shutdown).then_some(Stop::TripleFault(current))
    }

    /// Every processor waits: time jumps to the next event. One step.
    fn idle(&mut self, host: &mut dyn HostIo) -> Option<Stop> {
        if let Some(down) = self.vcpus.iter().position(|vcpu| vcpu.system.activity == Activity::Shutdown) {
            return Some(Stop::TripleFault(down));
        }
        // With interrupts off everywhere no timer and no input can wake a processor.
        if !self.vcpus.iter().any(Vcpu::interruptible) {
            return Some(Stop::Hung);
        }
        let timers = self.vcpus.iter().filter_map(|vcpu| vcpu.apic.timer_expires());
        let next = timers.chain(self.platform.next_deadline()).min();
        if next.is_none() {
            if !host.may_input() && self.position.serial_queue.is_empty() {
                return Some(Stop::Hung);
            }
            // Nothing but input can wake the guest: wait for it without burning the host.
            let bytes = host.serial_input(Some(100_000_000));
            self.input(&bytes);
        }
        // Jumps never pass a look at the host's input, so that their number does not depend on the host.
        let target = next.unwrap_or(u64::MAX).min(self.position.poll_at).max(self.now());
        self.platform.clock.advance_to(target);
        self.position.step += 1;
        self.position.idle_jumps += 1;
        None
    }
}
