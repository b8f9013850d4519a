//! A session goes back in its own past, and forward again: what it remembers, and how it stands at a step of that.

use super::Session;
use crate::cli::host::SessionHost;
use crate::cli::player::{self, Player};
use crate::cli::ports::Ports;
use crate::config::HistoryChoice;
use crate::control::Calls;
use crate::history::{self, History, Mark, Place, Point, Tape};
use crate::machine::{Goal, HostIo, Machine, Stop};
use amber_snapshot::SnapshotId;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a stretch is played between two points that are made on the way.
const STRETCH: Duration = Duration::from_millis(20);
/// Steps of the first of them.
const FIRST: u64 = 1 << 20;

/// Hears a machine say again what it said: bytes for a terminal are counted. Stops it when somebody asks for something.
struct Again<'a> {
    said: u64,
    calls: Option<&'a Calls>,
}

impl HostIo for Again<'_> {
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
    fn stop_requested(&self) -> bool {
        self.calls.is_some_and(Calls::any)
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
        history.forget_for_inputs(tape.bytes());
        history.thin(self.machine, tape.bytes());
        if let Some(first) = history.points().first() {
            tape.forget_before(first.place.inputs);
        }
        host.schedule.taken(from.elapsed(), pages);
    }

    pub(super) fn past(&self) -> Result<&History> {
        self.history.as_ref().ok_or_else(|| anyhow!("{}", self.config.no_history()))
    }

    /// What is remembered.
    pub(super) fn history(&mut self) -> Result<Value> {
        self.look_at_save();
        let mark = |(mark, id): (&Mark, SnapshotId)| json!({ "name": mark.name, "id": id.to_string(), "step": mark.step, "time-ns": mark.now });
        let marks: Vec<_> = self.saver.iter().flat_map(|saver| saver.lineage().marks()).map(mark).collect();
        let (history, here) = (self.past()?, Place::of(self.machine));
        let points: Vec<_> = history.points().iter().map(|point| place(point.place)).collect();
        let last = history.end().map_or(here, |end| end.place);
        let branches: Vec<_> = history
            .branches()
            .map(|branch| json!({ "id": branch.id, "from": place(branch.from), "end": place(branch.end.place) }))
            .collect();
        Ok(json!({
            "first": points.first(),
            "here": place(here),
            "last": place(last),
            "behind": history.is_behind(),
            "points": points,
            "branches": branches,
            "snapshots": marks,
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
        let played = self.go_back_to(Place::at(step), host);
        if played.is_err() {
            self.bring_to_end(host);
        }
        self.arrive(host);
        match played? {
            true => Ok(()),
            false => bail!(
                "rewind {step}: something else was asked for on the way, at step {}",
                self.machine.step()
            ),
        }
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

    /// The present is the end of the branch, which the machine can come back to.
    pub(super) fn keep_end(&mut self, host: &SessionHost) {
        let said = host.tape.as_ref().map_or(0, |tape| tape.said);
        if let Some(history) = &mut self.history {
            history.keep_end(self.machine, said);
        }
    }

    /// Brings the machine to a place of its way; false if it was given up for something else that is asked.
    pub(super) fn go_back_to(&mut self, place: Place, host: &mut SessionHost) -> Result<bool> {
        self.bring_near(place, host)?;
        self.play(place, host)
    }

    /// Brings the machine to the last point at or before a place, unless it stands between the two already.
    fn bring_near(&mut self, place: Place, host: &mut SessionHost) -> Result<()> {
        let Some(point) = self.history.as_ref().and_then(|history| history.nearest(place)).cloned() else {
            bail!("step {} is not remembered any more", place.step);
        };
        let here = Place::of(self.machine);
        if !(point.place <= here && here <= place) {
            self.stand_at(&point, host);
        }
        Ok(())
    }

    pub(super) fn stand_at(&mut self, point: &Point, host: &mut SessionHost) {
        self.machine.rewind(&point.state);
        stand(self.machine, point.said, false, host);
    }

    pub(super) fn bring_to_end(&mut self, host: &mut SessionHost) {
        if let Some(end) = self.history.as_ref().and_then(History::end).cloned() {
            self.stand_at(&end, host);
        }
    }

    /// Plays what is known to lie ahead, to a place. Where that takes long there are points on the way
    /// afterwards. False if it was given up for something else that is asked.
    pub(super) fn play(&mut self, to: Place, host: &mut SessionHost) -> Result<bool> {
        self.debugger.disarm(self.machine);
        self.bound = Some(to.step);
        let played = self.play_in_stretches(to, host);
        self.bound = None;
        if let Some((history, tape)) = self.history.as_mut().zip(host.tape.as_ref()) {
            history.thin(self.machine, tape.bytes());
        }
        played
    }

    fn play_in_stretches(&mut self, to: Place, host: &mut SessionHost) -> Result<bool> {
        let mut steps = FIRST;
        loop {
            let (from, until) = (Instant::now(), self.machine.step().saturating_add(steps).min(to.step));
            let stop = self.play_stretch(Place { step: until, ..to }, host)?;
            if stop == Stop::User {
                if self.heed(host) {
                    return Ok(false);
                }
                continue;
            }
            if stop == Stop::Damaged || self.machine.step() < until {
                bail!("the run is another one: it ends at step {} ({stop:?})", self.machine.step());
            }
            if until == to.step {
                return Ok(true);
            }
            if let Some((history, tape)) = self.history.as_mut().zip(host.tape.as_ref()) {
                history.take(self.machine, tape.said);
            }
            let factor = STRETCH.as_secs_f64() / from.elapsed().as_secs_f64().max(1e-6);
            steps = ((steps as f64 * factor.clamp(0.25, 4.0)) as u64).max(1);
        }
    }

    /// Plays to a place, or to a stop before.
    pub(super) fn play_stretch(&mut self, to: Place, host: &mut SessionHost) -> Result<Stop> {
        let Some(tape) = &mut host.tape else { bail!("what came in is not remembered") };
        let mut again = Again { said: tape.said, calls: host.calls.as_ref() };
        let ahead = tape.ahead();
        let most = usize::try_from(to.inputs.saturating_sub(self.machine.inputs())).unwrap_or(usize::MAX);
        let mut player = Player::of_past(&mut again, &ahead[..most.min(ahead.len())]);
        let stop = player::follow(self.machine, &mut player, Goal::step(to.step), self.config.no_reboot)?;
        let said = again.said;
        stand(self.machine, said, false, host);
        Ok(stop)
    }

    /// The machine stands at another time than before.
    pub(super) fn arrive(&mut self, host: &mut SessionHost) {
        let behind = self.stand(host);
        self.ended = None;
        self.debugger.arrive();
        self.leaving.forget("the machine went to another time");
        self.changing.forget("the machine went to another time");
        host.jump(self.machine.now());
        if !behind {
            self.go_live(host);
        }
    }

    /// The past knows where the machine stands; whether it has its future ahead.
    pub(super) fn stand(&mut self, host: &mut SessionHost) -> bool {
        let Some(history) = &mut self.history else { return false };
        history.stand(Place::of(self.machine));
        let said = host.tape.as_ref().map_or(0, |tape| tape.said);
        stand(self.machine, said, history.is_behind(), host);
        history.is_behind()
    }
}

/// Tells the tape where the machine stands.
pub(super) fn stand(machine: &Machine, said: u64, behind: bool, host: &mut SessionHost) {
    if let Some(tape) = &mut host.tape {
        tape.stand(machine.inputs(), said, behind);
    }
}
