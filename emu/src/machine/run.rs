//! The run loop: slices, time, idle jumps and input.

use super::bus::{HostIo, PlatformBus};
use super::request::{Answer, Asking, Operation, Refusal, Request, VERSION};
use super::{Machine, POLL_NS};
use crate::input::{Input, Record};
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
    /// Software asks for something: see [`Machine::request`], and answer.
    Request(Asking),
    /// A debugger's watchpoint was hit by this processor's last instruction.
    Watchpoint(usize, Watchpoint),
}

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    pub step: u64,
    /// Virtual time, ns.
    pub time: u64,
}

impl Goal {
    /// To a step.
    pub fn step(step: u64) -> Self {
        Self { step, time: u64::MAX }
    }
}

impl Machine {
    /// Runs until step `until`, or until something else ends the run. Wherever it stops, what the steps so far caused
    /// and what is due at that time has been carried out: the state at a step is the same whatever stopped the run there.
    pub fn run(&mut self, until: u64, host: &mut dyn HostIo, no_reboot: bool) -> Stop {
        self.run_to(Goal::step(until), host, no_reboot)
    }

    /// The same, to a step or a virtual time, whichever comes first: [`Stop::Step`] at either. That of a time is the first
    /// step at which it has come.
    pub fn run_to(&mut self, goal: Goal, host: &mut dyn HostIo, no_reboot: bool) -> Stop {
        self.arm_monitors();
        let stop = self.advance(goal, host, no_reboot);
        self.catch_up(host, no_reboot).unwrap_or(stop)
    }

    /// Whether it stands at a goal, or beyond.
    pub fn has_come_to(&self, goal: Goal) -> bool {
        self.position.step >= goal.step || self.now() >= goal.time
    }

    /// What keeps the machine from going on after [`Stop::Damaged`].
    pub fn damage(&self) -> Option<&str> {
        self.mmu.damaged()
    }

    fn advance(&mut self, goal: Goal, host: &mut dyn HostIo, no_reboot: bool) -> Stop {
        loop {
            if let Some(stop) = self.catch_up(host, no_reboot) {
                return stop;
            }
            if self.has_come_to(goal) {
                return Stop::Step;
            }
            if host.stop_requested() {
                return Stop::User;
            }
            let Some(current) = self.choose() else {
                match self.idle(host) {
                    None => continue,
                    Some(stop) => return stop,
                }
            };
            if let Some(stop) = self.run_slice(current, goal) {
                return stop;
            }
        }
    }

    /// Carries out all that the steps so far caused and all that is due now. `Some` if the guest has ended.
    fn catch_up(&mut self, host: &mut dyn HostIo, no_reboot: bool) -> Option<Stop> {
        let ended = self.settle(host, no_reboot);
        if let Some(stop) = self.hear(host) {
            return Some(stop);
        }
        self.run_due(host);
        // Timers never arm themselves for the same time again, so this comes to rest.
        while !self.platform.effects().is_empty() || !self.messages.is_empty() {
            self.settle(host, no_reboot);
            self.run_due(host);
        }
        ended.or_else(|| self.settle(host, no_reboot))
    }

    /// A processor that asks for something: refused, unless the host takes requests.
    fn hear(&mut self, host: &mut dyn HostIo) -> Option<Stop> {
        let asking = self.asking.take().filter(|asking| self.is_request(*asking))?;
        if host.takes_requests() {
            return Some(Stop::Request(asking));
        }
        let answer = match self.request(asking) {
            Ok(Request { operation: Operation::Probe, .. }) => {
                Answer { result: VERSION.into(), argument: None }
            }
            Ok(_) => Refusal::Denied.into(),
            Err(refusal) => refusal.into(),
        };
        self.answer(asking.processor, host, answer);
        None
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
            host.attend();
            self.input(host, None);
            self.take_gestures(host);
            self.take_frames(host);
            self.take_console(host, None);
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

    /// Gives serial port 0 as many of the bytes that wait as it takes, and asks the host for more only when none wait:
    /// what the guest does not read stays with the host. How many bytes were taken.
    fn input(&mut self, host: &mut dyn HostIo, idle: Option<u64>) -> usize {
        let mut queue = std::mem::take(&mut self.position.serial_queue);
        if queue.is_empty() {
            queue = host.serial_input(self.position.step, idle);
            if !queue.is_empty() {
                self.note(host, Input::Serial(queue.clone()));
            } else if !host.may_input() && !self.position.input_ended {
                self.position.input_ended = true;
                let end = host.end_of_input();
                queue.extend(end);
                self.note(host, Input::End(end));
            }
        }
        let taken = self.with_dma(|platform, dma| platform.serial_input(dma, 0, &queue)).min(queue.len());
        queue.drain(..taken);
        self.position.serial_queue = queue;
        taken
    }

    /// Has an input logged that takes effect now.
    pub(super) fn note(&mut self, host: &mut dyn HostIo, input: Input) {
        self.position.inputs += 1;
        host.note(&Record { step: self.position.step, input });
    }

    /// Presses the reset button.
    pub fn press_reset(&mut self, host: &mut dyn HostIo) {
        self.note(host, Input::Reset);
        self.reset();
    }

    /// Presses the power button, which a guest may answer by powering off.
    pub fn press_power(&mut self, host: &mut dyn HostIo) {
        self.note(host, Input::PowerButton);
        self.with_dma(|platform, dma| platform.power_button(dma));
        // Nothing waits outside the sections: the machine may be saved now.
        self.settle(host, true);
    }

    /// Says how many inputs there were, after the machine went back and the log did not.
    pub fn set_inputs(&mut self, inputs: u64) {
        self.position.inputs = inputs;
    }

    /// Inputs so far.
    pub fn inputs(&self) -> u64 {
        self.position.inputs
    }

    /// The processor that runs next: the current one while its slice lasts, else the next that has something to do.
    /// None if all wait. Meaningful where [`Machine::run`] stops.
    pub fn next_processor(&self) -> Option<usize> {
        if self.platform.asleep() {
            return None;
        }
        let external = self.platform.intr();
        let count = self.vcpus.len();
        let current = self.position.current as usize;
        // With one processor slices mean nothing.
        let stays = count == 1 || self.now() < self.position.slice_end;
        if stays && self.vcpus[current].runnable(external) {
            return Some(current);
        }
        (1..=count).map(|n| (current + n) % count).find(|n| self.vcpus[*n].runnable(external))
    }

    /// Virtual time at which the next timer is due, ns.
    pub fn next_deadline(&self) -> Option<u64> {
        let timers = self.vcpus.iter().filter_map(|vcpu| vcpu.apic.timer_expires());
        timers.chain(self.platform.next_deadline()).min()
    }

    /// Begins the next slice, if the current one is over.
    fn choose(&mut self) -> Option<usize> {
        let next = self.next_processor()?;
        let now = self.now();
        let stays = next == self.position.current as usize && now < self.position.slice_end;
        if self.vcpus.len() > 1 && !stays {
            self.position.current = next as u32;
            self.position.slice_end = now + self.spec.quantum;
        }
        Some(next)
    }

    fn run_slice(&mut self, current: usize, goal: Goal) -> Option<Stop> {
        let now = self.now();
        let alone = self.vcpus.len() == 1;
        let slice = if alone { u64::MAX } else { self.position.slice_end };
        let timers = self.vcpus.iter().filter_map(|vcpu| vcpu.apic.timer_expires()).min().unwrap_or(u64::MAX);
        let end = slice.min(self.position.poll_at).min(timers).min(goal.time);
        let processor = self.vcpus[current].apic.id();
        let lent = self.lent();
        let mut bus = PlatformBus {
            platform: &mut self.platform,
            disks: &mut self.disks,
            share: &mut self.share,
            traffic: &mut self.traffic,
            lent,
            messages: &mut self.messages,
            until: end,
            processor,
            requested: None,
            ferr_wired: current == 0,
        };
        let deadline = amber_cpu::Bus::deadline(&bus);
        let steps = goal.step - self.position.step;
        let ran = self.vcpus[current].run(&mut self.code, &mut self.mmu, &mut bus, now, deadline, steps);
        self.asking = bus.requested.map(|by| Asking { processor: current, by });
        self.position.step += ran.steps;
        self.platform.clock.advance_to(ran.now);
        self.end_waits();
        if self.mmu.damaged().is_some() {
            return Some(Stop::Damaged);
        }
        match ran.exit {
            Exit::Halted if ran.steps == 0 => Some(self.stuck(current)),
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

    /// A processor that was chosen because it has something to do did nothing: it would be chosen again for ever.
    fn stuck(&mut self, current: usize) -> Stop {
        let activity = self.vcpus[current].system.activity;
        self.mmu.damage(format!("cpu{current} has something to do and does nothing ({activity:?})"));
        Stop::Damaged
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
        // With interrupts off everywhere no timer and no input can wake a processor, unless by an NMI, SMI or INIT.
        let deaf = !self.vcpus.iter().any(Vcpu::interruptible) && !self.platform.unmaskable_pins();
        if deaf && !self.platform.asleep() {
            return Some(Stop::Hung);
        }
        let next = self.next_deadline();
        // Nothing but input can wake the guest: wait for it without burning the host. If there is none, or the serial
        // port has no room for it, and no frame either, nothing will ever change.
        if next.is_none() {
            let patience = Some(100_000_000);
            if self.input(host, patience) != 0
                || self.take_gestures(host)
                || self.take_frames(host)
                || self.take_console(host, patience)
            {
                return None;
            }
            let waits = !self.position.serial_queue.is_empty();
            if (waits || !host.may_input()) && !host.may_receive() {
                return Some(Stop::Hung);
            }
        }
        // Jumps never pass a look at the host's input, so that their number does not depend on the host.
        let target = next.unwrap_or(u64::MAX).min(self.position.poll_at).max(self.now());
        host.idle(target - self.now());
        self.platform.clock.advance_to(target);
        self.position.step += 1;
        self.position.idle_jumps += 1;
        None
    }
}
