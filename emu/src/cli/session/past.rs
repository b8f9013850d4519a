//! A session goes back in its own past, and forward again: what it remembers, and how it stands at a step of that.

use super::Session;
use crate::cli::cable;
use crate::cli::host::SessionHost;
use crate::cli::player::{self, Player};
use crate::cli::ports::Ports;
use crate::config::{HistoryChoice, NetChoice};
use crate::history::{self, History, Lineage, Mark, Place, Point, Tape, Torn, Way};
use crate::input::{self, Input, Record};
use crate::machine::{Goal, HostIo, Machine};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a stretch is played between two points that are made on the way.
const STRETCH: Duration = Duration::from_millis(20);
/// Steps of the first of them.
const FIRST: u64 = 1 << 20;

/// Hears a machine say again what it said: bytes for a terminal are counted.
#[derive(Default)]
struct Again {
    said: u64,
}

impl HostIo for Again {
    fn serial_output(&mut self, port: u8, _byte: u8) {
        self.said += u64::from(port == 0);
    }
    fn debug_output(&mut self, _byte: u8) {}
    fn console_output(&mut self, port: u8, bytes: &[u8]) {
        self.said += if port == Ports::CHANNEL { 0 } else { bytes.len() as u64 };
    }
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        false
    }
}

fn place(at: Place) -> Value {
    json!({ "step": at.step, "time-ns": at.now })
}

impl Session<'_> {
    /// Begins to remember, if the run is to.
    pub(super) fn remember(&mut self, host: &mut SessionHost) {
        if self.history.is_none() {
            self.begin_history(host);
        }
    }

    /// A past that begins here.
    pub(super) fn begin_history(&mut self, host: &mut SessionHost) {
        let HistoryChoice::Bytes(budget) = self.config.history_kept() else { return };
        self.history = Some(History::new(budget, self.machine));
        let said = host.tape.as_ref().map_or(0, |tape| tape.said);
        host.tape = Some(Tape::new(self.machine.inputs(), said));
    }

    /// Takes a point, if it is time for one.
    pub(super) fn take_point(&mut self, host: &mut SessionHost) {
        if !std::mem::take(&mut host.point_due) || self.paused {
            return;
        }
        let Some((history, tape)) = self.history.as_mut().zip(host.tape.as_mut()) else { return };
        let (pages, from) = (self.machine.mmu().written(), Instant::now());
        history.take(self.machine, tape.said);
        history.thin(self.machine, tape.bytes());
        if let Some(first) = history.points().first() {
            tape.forget_before(first.place.inputs);
        }
        host.schedule.taken(from.elapsed(), pages);
    }

    fn past(&self) -> Result<&History> {
        self.history.as_ref().ok_or_else(|| anyhow!("{}", self.config.no_history()))
    }

    /// What is remembered.
    pub(super) fn history(&mut self) -> Result<Value> {
        self.look_at_save();
        let marks = self.saver.as_ref().map_or_else(Vec::new, |saver| saver.lineage().marks().to_vec());
        let (history, here) = (self.past()?, Place::of(self.machine));
        let points: Vec<_> = history.points().iter().map(|point| place(point.place)).collect();
        let last = history.end().map_or(here, |end| end.place);
        let branches: Vec<_> = history
            .branches()
            .map(|branch| json!({ "id": branch.id, "from": place(branch.from), "end": place(branch.end.place) }))
            .collect();
        let mark = |mark: &Mark| json!({ "name": mark.name, "id": mark.id.to_string(), "step": mark.step, "time-ns": mark.now });
        Ok(json!({
            "first": points.first(),
            "here": place(here),
            "last": place(last),
            "behind": history.is_behind(),
            "points": points,
            "branches": branches,
            "snapshots": marks.iter().map(mark).collect::<Vec<_>>(),
            "bytes": history::extra(self.machine),
            "budget": history.budget(),
        }))
    }

    /// Has the machine stand at a step: back, or forward as far as it was.
    pub(super) fn rewind(&mut self, step: u64, host: &mut SessionHost) -> Result<()> {
        let history = self.past()?;
        let here = self.machine.step();
        let first = history.points().first().map_or(here, |first| first.place.step);
        let last = history.end().map_or(here, |end| end.place.step);
        if !(first..=last).contains(&step) {
            bail!("rewind {step}: what is remembered goes from step {first} to {last}");
        }
        self.keep_end(host);
        self.bring_near(step, host);
        let played = self.play(Goal::step(step), true, host);
        if played.is_err() {
            self.bring_to_end(host);
        }
        self.arrive(host);
        played
    }

    /// Takes steps back.
    pub(super) fn step_back(&mut self, count: u64, host: &mut SessionHost) -> Result<()> {
        if !self.paused {
            bail!("step-back: the machine runs; pause it first");
        }
        let step = self.machine.step().checked_sub(count);
        self.rewind(
            step.with_context(|| format!("step-back {count}: the machine has taken fewer steps"))?,
            host,
        )
    }

    /// The machine goes along what is ahead of it, if it stands behind, the goal lies before the end, and nobody wants anything
    /// else of it.
    pub(super) fn go_ahead(&mut self, goal: Goal, host: &mut SessionHost) -> Result<bool> {
        let end = self.history.as_ref().and_then(History::end).map(|end| end.place);
        let Some(end) = end.filter(|_| !host.any_waits()) else { return Ok(false) };
        let beyond = goal.step > end.step && goal.time > end.now;
        // What is beyond is run from the end on.
        let known = if beyond { Goal::step(end.step) } else { goal };
        let played = self.play(known, false, host);
        if played.is_err() {
            self.bring_to_end(host);
        }
        self.arrive(host);
        played.map(|()| !beyond)
    }

    /// The present is the end of the branch, which the machine can come back to.
    fn keep_end(&mut self, host: &SessionHost) {
        let said = host.tape.as_ref().map_or(0, |tape| tape.said);
        if let Some(history) = &mut self.history {
            history.keep_end(self.machine, said);
        }
    }

    /// Brings the machine to the last point at or before a step, unless it stands between the two already.
    fn bring_near(&mut self, step: u64, host: &mut SessionHost) {
        let Some(point) = self.history.as_ref().and_then(|history| history.nearest(step)) else { return };
        let here = Place::of(self.machine);
        if !(point.place <= here && here.step <= step) {
            self.machine.rewind(&point.state);
            stand(self.machine, point.said, false, host);
        }
    }

    fn bring_to_end(&mut self, host: &mut SessionHost) {
        if let Some(end) = self.history.as_ref().and_then(History::end) {
            self.machine.rewind(&end.state);
            stand(self.machine, end.said, false, host);
        }
    }

    /// Plays what is known to lie ahead, to a goal. With `points`, a stretch that takes long has points on the way afterwards.
    fn play(&mut self, goal: Goal, points: bool, host: &mut SessionHost) -> Result<()> {
        let Some((history, tape)) = self.history.as_mut().zip(host.tape.as_mut()) else { return Ok(()) };
        let mut again = Again { said: tape.said };
        let mut steps = FIRST;
        while !self.machine.has_come_to(goal) {
            let records = tape.ahead_of(self.machine.inputs()).context("what came in is not remembered")?;
            let stretch = if points { self.machine.step().saturating_add(steps) } else { u64::MAX };
            let until = Goal { step: stretch.min(goal.step), ..goal };
            let (from, mut player) = (Instant::now(), Player::of_past(&mut again, records));
            // A run that remembers serves no requests.
            player::play(self.machine, &mut player, until, self.config.no_reboot, &mut |_, _, _| ())?;
            if !self.machine.has_come_to(goal) {
                history.take(self.machine, again.said);
            }
            let factor = STRETCH.as_secs_f64() / from.elapsed().as_secs_f64().max(1e-6);
            steps = ((steps as f64 * factor.clamp(0.25, 4.0)) as u64).max(1);
        }
        history.thin(self.machine, tape.bytes());
        stand(self.machine, again.said, false, host);
        Ok(())
    }

    /// The machine stands at another time than before.
    fn arrive(&mut self, host: &mut SessionHost) {
        let here = Place::of(self.machine);
        if let Some(history) = &mut self.history {
            history.stand(here);
            let behind = history.is_behind();
            let said = host.tape.as_ref().map_or(0, |tape| tape.said);
            stand(self.machine, said, behind, host);
        }
        self.ended = None;
        self.debugger.arrive();
        self.leaving.forget("the machine went to another time");
        self.changing.forget("the machine went to another time");
        host.jump(self.machine.now());
    }

    /// The machine runs on: what is ahead of it is a way it leaves.
    pub(super) fn part_ways(&mut self, host: &mut SessionHost) {
        host.part_ways();
        self.part_from_torn(host);
    }

    /// What was torn off becomes a branch.
    pub(super) fn part_from_torn(&mut self, host: &mut SessionHost) {
        let Some(Torn { inputs, records, log }) = host.tape.as_mut().and_then(Tape::take_torn) else {
            return;
        };
        let end = self.history.as_ref().and_then(History::end).cloned();
        let from = Place { inputs, ..Place::of(self.machine) };
        if let Some(end) = end {
            self.leave(from, end, Torn { inputs, records, log });
        }
        self.lay_cable_again(host);
    }

    fn leave(&mut self, from: Place, mut end: Point, torn: Torn) {
        let Torn { records, log, .. } = torn;
        if let Some(log) = &log {
            let stop = Record { step: end.place.step, input: Input::Stop(end.state.hash()) };
            if let Err(error) = input::append(log, &stop) {
                eprintln!("amber: {error}; the run goes on");
            }
        }
        let lineage = match &mut self.saver {
            Some(saver) => {
                let (lineage, finished) = saver.leave(self.machine);
                if let Err(error) = finished {
                    eprintln!("amber: {error}; the machine runs on");
                }
                lineage
            }
            None => Lineage::new(self.parent),
        };
        if let Some(history) = &mut self.history {
            history.leave(from, end, Way { records, lineage, log });
        }
    }

    /// Has the machine stand at the end of a way it left. The present way is left then.
    pub(super) fn return_to(&mut self, id: u64, host: &mut SessionHost) -> Result<()> {
        self.past()?;
        let known = |history: &mut History| history.branches().any(|branch| branch.id == id);
        if !self.history.as_mut().is_some_and(known) {
            bail!("return {id}: there is no such branch; `history` lists those there are");
        }
        // What is ahead first, then the rest of the present way.
        self.part_ways(host);
        let Some(branch) = self.history.as_mut().and_then(|history| history.take_branch(id)) else {
            bail!("return {id}: eight other branches were left since");
        };
        self.leave_present(branch.from, host);
        self.machine.rewind(&branch.end.state);
        if let Some((recorder, log)) = host.recorder.as_mut().zip(branch.log.as_ref()) {
            recorder.return_to(log, self.machine.inputs());
        }
        if let Some(saver) = &mut self.saver {
            saver.return_to(branch.lineage);
        }
        let said = branch.end.said;
        if let Some((history, tape)) = self.history.as_mut().zip(host.tape.as_mut()) {
            if history.return_to(branch.from, branch.end) {
                tape.go_on_with(branch.records);
            } else {
                *tape = Tape::new(self.machine.inputs(), said);
            }
        }
        stand(self.machine, said, false, host);
        self.arrive(host);
        self.lay_cable_again(host);
        Ok(())
    }

    /// The machine, which stands at the end of its way, leaves it as if it had gone back to `from`.
    fn leave_present(&mut self, from: Place, host: &mut SessionHost) {
        if Place::of(self.machine) <= from {
            return;
        }
        let log = host.recorder.as_mut().and_then(|recorder| recorder.leave(from.inputs));
        let Some(tape) = host.tape.as_mut() else { return };
        let end = Point { place: Place::of(self.machine), state: self.machine.freeze(), said: tape.said };
        let torn = Torn { inputs: from.inputs, records: tape.split_off(from.inputs), log };
        self.leave(from, end, torn);
    }

    /// Behind the network of the host nobody knows the guest's connections of another time: it begins anew. Another machine
    /// at the cable stays.
    pub(super) fn lay_cable_again(&self, host: &mut SessionHost) {
        let NetChoice::User { .. } = self.net else { return };
        let nic = self.machine.equipment().nic.as_ref();
        host.link = None;
        match nic.map(|nic| cable::lay(&self.net, Some(nic))) {
            Some(Ok(link)) => host.link = link,
            Some(Err(error)) => eprintln!("amber: {error:#}; the network is cut off"),
            None => {}
        }
    }
}

/// Tells the tape where the machine stands.
fn stand(machine: &Machine, said: u64, behind: bool, host: &mut SessionHost) {
    if let Some(tape) = &mut host.tape {
        tape.stand(machine.inputs(), said, behind);
    }
}
