//! Going back to where the machine would have stopped, had it been watched: the past is played again, stretch by stretch and the
//! last first, and the last stop of a stretch is where to go.

use super::Session;
use super::goal::PARAMETERS_MAX;
use crate::cli::disassembly::{Flow, flow, is_interrupt_return};
use crate::cli::host::SessionHost;
use crate::history::{Place, Point};
use crate::machine::{Machine, Stop};
use anyhow::{Result, bail};
use serde_json::json;
use std::ops::RangeInclusive;

/// Steps between two points that are not divided further.
const STRETCH: u64 = 1 << 18;
/// Steps that are looked at one by one, back from a place: first so many, then each time so many more.
const FEW: u64 = 1;
const MORE: u64 = 64;
/// At most so many to find where an interrupt came.
const INTERRUPT_MAX: u64 = 1 << 22;
/// Lengths of instructions that call.
const CALL: RangeInclusive<u64> = 1..=15;

/// Where a search through the past comes to.
enum Found {
    /// The place, and the stop there.
    At(Place, Stop),
    Nothing,
    /// Something else was asked for.
    GivenUp,
}

/// What a processor's registers say of the function it is in.
#[derive(Clone, Copy)]
struct Frame {
    cpu: usize,
    linear: u64,
    stack: u64,
    space: Option<u64>,
    retired: u64,
}

impl Frame {
    fn of(machine: &Machine, cpu: usize) -> Self {
        let vcpu = &machine.vcpus()[cpu];
        let (linear, stack, space) = (vcpu.linear_rip(), vcpu.gpr[4], super::goal::space(vcpu));
        Self { cpu, linear, stack, space, retired: vcpu.system.retired }
    }

    fn is_at(&self, other: &Self) -> bool {
        (self.linear, self.stack, self.space) == (other.linear, other.stack, other.space)
    }

    /// Whether what is called next there, by any processor, returns here.
    fn is_returned_to_from(&self, machine: &Machine, n: usize) -> bool {
        let (there, (kind, next)) = (Self::of(machine, n), flow(machine, n));
        let popped = self.stack.wrapping_sub(there.stack);
        kind == Flow::Call && next == self.linear && popped <= PARAMETERS_MAX && there.space == self.space
    }
}

impl Session<'_> {
    /// A paused machine goes back to the last stop of a breakpoint or watchpoint.
    pub(super) fn reverse_continue(&mut self, host: &mut SessionHost) -> Result<()> {
        self.begin_back("reverse-continue", 0)?;
        if !self.debugger.any() {
            bail!("reverse-continue: there is no breakpoint or watchpoint that counts; set one first");
        }
        let origin = self.origin(host);
        let found = self.find_back(&[], &|_, _| true, host);
        self.end_search("reverse-continue", &origin, found, host)
    }

    /// A paused machine goes back to before the last step of a processor.
    pub(super) fn reverse_step(&mut self, cpu: u32, host: &mut SessionHost) -> Result<()> {
        let cpu = self.begin_back("reverse-step", cpu)?;
        let origin = self.origin(host);
        let found = self.step_before(cpu, u64::MAX, &|_, _| true, host);
        self.end_search("reverse-step", &origin, found, host)
    }

    /// The same, but what returned there is one step.
    pub(super) fn reverse_step_over(&mut self, cpu: u32, host: &mut SessionHost) -> Result<()> {
        let cpu = self.begin_back("reverse-step-over", cpu)?;
        let origin = self.origin(host);
        let found = self.find_over(cpu, host);
        self.end_search("reverse-step-over", &origin, found, host)
    }

    fn begin_back(&mut self, what: &str, cpu: u32) -> Result<usize> {
        self.past()?;
        if !self.paused {
            bail!("{what}: the machine runs; pause it first");
        }
        self.checked(what, cpu)
    }

    /// Where the machine stands before a search, to come back to.
    fn origin(&mut self, host: &SessionHost) -> Point {
        self.keep_end(host);
        let said = host.tape.as_ref().map_or(0, |tape| tape.said);
        Point { place: Place::of(self.machine), state: self.machine.freeze(), said }
    }

    /// The machine stands where the search ended, or where it began.
    fn end_search(
        &mut self,
        what: &str,
        origin: &Point,
        found: Result<Found>,
        host: &mut SessionHost,
    ) -> Result<()> {
        let gone = match &found {
            Ok(Found::At(place, _)) => self.go_back_to(*place, host),
            _ => Ok(false),
        };
        if !matches!(gone, Ok(true)) {
            self.stand_at(origin, host);
        }
        self.arrive(host);
        let first = self.past()?.points().first().map_or(0, |first| first.place.step);
        match (found?, gone?) {
            (Found::At(_, stop), true) => {
                self.note_stop(stop);
                Ok(())
            }
            (Found::Nothing, _) => {
                self.halt(json!({ "why": "pause" }));
                bail!(
                    "{what}: there is nothing before, back to step {first}, where what is remembered begins"
                )
            }
            _ => bail!("{what}: something else was asked for; the machine stands where it stood"),
        }
    }

    /// Brings the machine to the last point before a step; `None` if there is none.
    fn bring_before(&mut self, step: u64, host: &mut SessionHost) -> Option<u64> {
        let point = self.history.as_ref().and_then(|history| history.before(step)).cloned()?;
        self.stand_at(&point, host);
        Some(point.place.step)
    }

    /// The last step before where the machine stands at which it stops, by its breakpoints and watchpoints and others `also`, if the
    /// stop counts.
    fn find_back(
        &mut self,
        also: &[u64],
        counts: &dyn Fn(&Machine, Stop) -> bool,
        host: &mut SessionHost,
    ) -> Result<Found> {
        let here = self.machine.step();
        let mut end = here;
        loop {
            let Some(from) = self.bring_before(end, host) else { return Ok(Found::Nothing) };
            // At full speed, which leaves points on the way; then from the last of these.
            if end - from > STRETCH && !self.play(Place::at(end), host)? {
                return Ok(Found::GivenUp);
            }
            let Some(from) = self.bring_before(end, host) else { return Ok(Found::Nothing) };
            match self.last_stop(end, here, also, counts, host)? {
                Found::Nothing => end = from,
                found => return Ok(found),
            }
        }
    }

    /// The last stop on the way to step `end` that is before `here`.
    fn last_stop(
        &mut self,
        end: u64,
        here: u64,
        also: &[u64],
        counts: &dyn Fn(&Machine, Stop) -> bool,
        host: &mut SessionHost,
    ) -> Result<Found> {
        self.debugger.arm(self.machine, also.iter().copied());
        for n in 0..self.machine.vcpus().len() {
            self.machine.vcpu_mut(n).meet_breakpoint();
        }
        let mut found = Found::Nothing;
        loop {
            let stop = self.play_stretch(Place::at(end), host)?;
            let place = Place::of(self.machine);
            match stop {
                Stop::User if self.heed(host) => return Ok(Found::GivenUp),
                Stop::User => {}
                Stop::Breakpoint(n) => {
                    if place.step < here && self.is_stop(stop, counts) {
                        found = Found::At(place, stop);
                    }
                    self.machine.vcpu_mut(n).pass_breakpoint();
                }
                Stop::Watchpoint(..) if place.step < here => found = Found::At(place, stop),
                Stop::Watchpoint(..) => {}
                Stop::Damaged => bail!("the run cannot go on at step {}", place.step),
                _ => return Ok(found),
            }
        }
    }

    /// Whether one of the person's breakpoints stops it there, or it counts for another reason.
    fn is_stop(&self, stop: Stop, counts: &dyn Fn(&Machine, Stop) -> bool) -> bool {
        let Stop::Breakpoint(n) = stop else { return true };
        self.debugger.breaks_at(self.machine.vcpus()[n].linear_rip()) || counts(self.machine, stop)
    }

    /// The last step before where the machine stands that a processor took, if it counts for how the processor was before it and is
    /// after it; `most` steps are looked at.
    fn step_before(
        &mut self,
        cpu: usize,
        most: u64,
        counts: &dyn Fn(Frame, &Machine) -> bool,
        host: &mut SessionHost,
    ) -> Result<Found> {
        let (here, mut end, mut size) = (self.machine.step(), self.machine.step(), FEW);
        while here - end < most {
            let first = self.past()?.points().first().map_or(end, |first| first.place.step);
            let from = end.saturating_sub(size).max(first);
            if from >= end {
                return Ok(Found::Nothing);
            }
            if !self.go_back_to(Place::at(from), host)? {
                return Ok(Found::GivenUp);
            }
            match self.last_step(cpu, end, counts, host)? {
                Found::Nothing => (end, size) = (from, size.saturating_mul(MORE)),
                found => return Ok(found),
            }
        }
        Ok(Found::Nothing)
    }

    /// The last of the steps from here to `end` that counts.
    fn last_step(
        &mut self,
        cpu: usize,
        end: u64,
        counts: &dyn Fn(Frame, &Machine) -> bool,
        host: &mut SessionHost,
    ) -> Result<Found> {
        let mut found = Found::Nothing;
        while self.machine.step() < end {
            let (place, jumps) = (Place::of(self.machine), self.machine.position.idle_jumps);
            let before = (cpu < self.machine.vcpus().len()).then(|| Frame::of(self.machine, cpu));
            match self.play_stretch(Place::at(place.step + 1), host)? {
                Stop::User if self.heed(host) => return Ok(Found::GivenUp),
                Stop::Damaged => bail!("the run cannot go on at step {}", place.step),
                _ if self.machine.step() == place.step => continue,
                _ => {}
            }
            let took = self.machine.position.idle_jumps == jumps && self.machine.current() == cpu;
            if took && before.is_some_and(|before| counts(before, self.machine)) {
                found = Found::At(place, Stop::Breakpoint(cpu));
            }
        }
        Ok(found)
    }

    /// The place before what a processor did last in the function it is in.
    fn find_over(&mut self, cpu: usize, host: &mut SessionHost) -> Result<Found> {
        let mut found;
        loop {
            let frame = Frame::of(self.machine, cpu);
            found = self.step_before(cpu, u64::MAX, &|_, _| true, host)?;
            let Found::At(place, _) = found else { break };
            if !self.go_back_to(place, host)? {
                return Ok(Found::GivenUp);
            }
            if cpu >= self.machine.vcpus().len() || flow(self.machine, cpu).0 != Flow::Return {
                break;
            }
            if is_interrupt_return(self.machine, cpu) {
                match self.interrupted(frame, host)? {
                    // What the function did last is before that.
                    Found::At(place, _) if self.go_back_to(place, host)? => continue,
                    Found::Nothing => {}
                    _ => return Ok(Found::GivenUp),
                }
                // An instruction called it.
                if !self.go_back_to(place, host)? {
                    return Ok(Found::GivenUp);
                }
            }
            let calls: Vec<u64> = CALL.map(|len| frame.linear.wrapping_sub(len)).collect();
            let is_call = |machine: &Machine, stop| matches!(stop, Stop::Breakpoint(n) if frame.is_returned_to_from(machine, n));
            match self.find_back(&calls, &is_call, host)? {
                // Nobody called it: what switched to it returned there.
                Found::Nothing => break,
                called => return Ok(called),
            }
        }
        Ok(found)
    }

    /// Where an interrupt or exception came that has returned to a frame.
    fn interrupted(&mut self, frame: Frame, host: &mut SessionHost) -> Result<Found> {
        let came = |before: Frame, after: &Machine| {
            let retired = after.vcpus().get(frame.cpu).map(|vcpu| vcpu.system.retired);
            before.is_at(&frame) && retired == Some(before.retired)
        };
        self.step_before(frame.cpu, INTERRUPT_MAX, &came, host)
    }
}
