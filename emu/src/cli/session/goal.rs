//! Where a paused machine goes on to: one step of a processor, over a call, out of a function, to an address. Until it is there
//! the machine runs as ever, and may be paused.

use super::Session;
use crate::cli::disassembly::{Flow, flow};
use crate::cli::host::SessionHost;
use crate::control::Place;
use crate::machine::{self, Stop};
use amber_cpu::Vcpu;
use anyhow::{Result, bail};

/// Most bytes a function takes from the stack as it returns, beside the address it returns to.
pub(super) const PARAMETERS_MAX: u64 = 256;

/// Where a processor is to be, to be where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    linear: u64,
    /// The stack pointer before the call. A task may come back on another processor, but has its own stack.
    stack: Option<u64>,
    cpu: usize,
    /// The address space, of an application.
    space: Option<u64>,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The processor took a step.
    Step {
        cpu: usize,
    },
    /// Any processor is there.
    Address(u64),
    Return(Return),
    /// The function returned; `inner` is one called from it meanwhile.
    Out {
        cpu: usize,
        stack: u64,
        inner: Option<Return>,
    },
}

pub(super) fn space(vcpu: &Vcpu) -> Option<u64> {
    (vcpu.system.cpl == 3).then_some(vcpu.system.cr3)
}

impl Return {
    /// To `linear`, when what the processor calls has returned.
    fn from_call(vcpu: &Vcpu, cpu: usize, linear: u64) -> Self {
        Self { linear, stack: Some(vcpu.gpr[4]), cpu, space: space(vcpu) }
    }

    /// To `linear`, whatever becomes of the stack pointer.
    fn from_here(vcpu: &Vcpu, cpu: usize, linear: u64) -> Self {
        Self { linear, stack: None, cpu, space: space(vcpu) }
    }

    fn is_at(&self, vcpu: &Vcpu, n: usize) -> bool {
        let stack = match self.stack {
            Some(stack) => (0..=PARAMETERS_MAX).contains(&vcpu.gpr[4].wrapping_sub(stack)),
            None => n == self.cpu,
        };
        vcpu.linear_rip() == self.linear && stack && self.space.is_none_or(|own| space(vcpu) == Some(own))
    }
}

impl Session<'_> {
    /// Runs the machine to step `until`, or to what it goes on to, or to what stops it.
    pub(super) fn proceed(&mut self, until: u64, host: &mut SessionHost) -> Stop {
        loop {
            let stop = match self.debugger.goal {
                None => {
                    self.debugger.arm(self.machine, None);
                    return self.advance(machine::Goal::step(until), host);
                }
                Some(Goal::Step { cpu }) => self.take_step(cpu, until, host).map(|()| cpu),
                Some(Goal::Address(linear)) => self.run_there(linear, until, host),
                Some(Goal::Return(back)) => self.come_back(back, until, host),
                Some(Goal::Out { cpu, stack, inner }) => {
                    match self.on_the_way(cpu, stack, inner, until, host) {
                        Ok(false) => continue,
                        Ok(true) => Ok(cpu),
                        Err(stop) => Err(stop),
                    }
                }
            };
            return match stop {
                Ok(n) => {
                    self.debugger.goal = None;
                    Stop::Breakpoint(n)
                }
                Err(stop) => stop,
            };
        }
    }

    /// Runs until a processor is at `linear`; which one.
    fn run_there(&mut self, linear: u64, until: u64, host: &mut SessionHost) -> Result<usize, Stop> {
        self.debugger.arm(self.machine, Some(linear));
        match self.advance(machine::Goal::step(until), host) {
            Stop::Breakpoint(n) if self.machine.vcpus()[n].linear_rip() == linear => Ok(n),
            stop => Err(stop),
        }
    }

    /// Runs until `back` is reached; by which processor. A breakpoint on the way stops it.
    fn come_back(&mut self, back: Return, until: u64, host: &mut SessionHost) -> Result<usize, Stop> {
        loop {
            let n = self.run_there(back.linear, until, host)?;
            if back.is_at(&self.machine.vcpus()[n], n) {
                return Ok(n);
            }
            if self.debugger.breaks_at(back.linear) {
                return Err(Stop::Breakpoint(n));
            }
        }
    }

    /// Runs until a processor has taken a step; others may take some before.
    fn take_step(&mut self, cpu: usize, until: u64, host: &mut SessionHost) -> Result<(), Stop> {
        self.debugger.arm(self.machine, None);
        loop {
            let (step, jumps) = (self.machine.step(), self.machine.position.idle_jumps);
            if step >= until {
                return Err(Stop::Step);
            }
            match self.advance(machine::Goal::step(step + 1), host) {
                Stop::Step => {}
                stop => return Err(stop),
            }
            if self.machine.position.idle_jumps == jumps && self.machine.current() == cpu {
                return Ok(());
            }
        }
    }

    /// Goes on towards the end of a function. Whether it is reached.
    fn on_the_way(
        &mut self,
        cpu: usize,
        stack: u64,
        inner: Option<Return>,
        until: u64,
        host: &mut SessionHost,
    ) -> Result<bool, Stop> {
        let goal = |cpu, inner| Some(Goal::Out { cpu, stack, inner });
        if let Some(back) = inner {
            let n = self.come_back(back, until, host)?;
            self.debugger.goal = goal(n, None);
            return Ok(false);
        }
        let Some(vcpu) = self.machine.vcpus().get(cpu) else { return Err(Stop::User) };
        let (flow, next) = flow(self.machine, cpu);
        if flow == Flow::Call {
            self.debugger.goal = goal(cpu, Some(Return::from_call(vcpu, cpu, next)));
            return Ok(false);
        }
        let (retired, here) = (vcpu.system.retired, Return::from_call(vcpu, cpu, vcpu.linear_rip()));
        self.take_step(cpu, until, host)?;
        let Some(vcpu) = self.machine.vcpus().get(cpu) else { return Err(Stop::User) };
        if vcpu.system.retired == retired {
            // An interrupt or exception was delivered, and comes back.
            self.debugger.goal = goal(cpu, Some(here));
            return Ok(false);
        }
        Ok(flow == Flow::Return && vcpu.gpr[4] > stack)
    }

    fn begin(&mut self, what: &str, cpu: u32, host: &mut SessionHost) -> Result<usize> {
        if !self.paused {
            bail!("{what}: the machine runs; pause it first");
        }
        let cpu = self.checked(what, cpu)?;
        self.resume(host);
        Ok(cpu)
    }

    /// The processor of that number, if there is one.
    pub(super) fn checked(&self, what: &str, cpu: u32) -> Result<usize> {
        let count = self.machine.vcpus().len();
        if cpu as usize >= count {
            bail!("{what}: there is no processor {cpu}; the machine has {count}");
        }
        Ok(cpu as usize)
    }

    pub(super) fn step_into(&mut self, cpu: u32, host: &mut SessionHost) -> Result<()> {
        let cpu = self.begin("step-into", cpu, host)?;
        self.debugger.goal = Some(Goal::Step { cpu });
        Ok(())
    }

    pub(super) fn step_over(&mut self, cpu: u32, host: &mut SessionHost) -> Result<()> {
        let cpu = self.begin("step-over", cpu, host)?;
        let vcpu = &self.machine.vcpus()[cpu];
        self.debugger.goal = Some(match flow(self.machine, cpu) {
            (Flow::Call, next) => Goal::Return(Return::from_call(vcpu, cpu, next)),
            (Flow::Next, next) => Goal::Return(Return::from_here(vcpu, cpu, next)),
            _ => Goal::Step { cpu },
        });
        Ok(())
    }

    pub(super) fn step_out(&mut self, cpu: u32, host: &mut SessionHost) -> Result<()> {
        let cpu = self.begin("step-out", cpu, host)?;
        let stack = self.machine.vcpus()[cpu].gpr[4];
        self.debugger.goal = Some(Goal::Out { cpu, stack, inner: None });
        Ok(())
    }

    pub(super) fn run_to(&mut self, place: &Place, host: &mut SessionHost) -> Result<()> {
        let linear = self.address(place)?;
        self.begin("run-to", 0, host)?;
        self.debugger.goal = Some(Goal::Address(linear));
        Ok(())
    }
}
