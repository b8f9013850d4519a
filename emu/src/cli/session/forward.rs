//! Going forward. What is known to lie ahead of a machine that went back comes in again as it did, until a person does something
//! new; beyond its end the machine runs on.

use super::Session;
use crate::cli::host::SessionHost;
use crate::cli::player::{self, Player};
use crate::history::{History, Place};
use crate::machine::{Goal, Stop};
use anyhow::{Result, bail};
use serde_json::{Value, json};

impl Session<'_> {
    /// Runs the machine to a goal, or to what stops it before.
    pub(super) fn advance(&mut self, goal: Goal, host: &mut SessionHost) -> Stop {
        if host.any_waits() {
            self.part_ways(host);
        }
        while let Some(end) = self.history.as_ref().and_then(History::end).map(|end| end.place) {
            let known = Goal { step: goal.step.min(end.step), ..goal };
            let stop = match self.follow(known, host) {
                Ok(stop) => stop,
                Err(error) => {
                    eprintln!("amber: {error:#}; the machine stands where it was last");
                    self.bring_to_end(host);
                    self.arrive(host);
                    self.halt(json!({ "why": "pause" }));
                    Stop::User
                }
            };
            if stop != Stop::Step || self.machine.has_come_to(goal) {
                return stop;
            }
        }
        self.machine.run_to(goal, host, self.config.no_reboot)
    }

    /// Goes along what is known to lie ahead, which ends at or beyond the goal.
    fn follow(&mut self, goal: Goal, host: &mut SessionHost) -> Result<Stop> {
        let Some((records, at)) = host.tape.as_mut().map(crate::history::Tape::lend) else {
            bail!("what came in is not remembered")
        };
        let mut player = Player::of_past(host, &records[at..]);
        let followed = player::follow(self.machine, &mut player, goal, self.config.no_reboot);
        if let Some(tape) = &mut host.tape {
            tape.take_back(records);
        }
        // One that goes astray is still behind, and is brought to the end.
        let followed = followed?;
        if !self.stand(host) {
            // Here it runs on.
            self.go_live(host);
        } else if followed == Stop::Step {
            let end = self.history.as_ref().and_then(History::end).map(|end| end.place);
            if end.is_some_and(|end| end.step <= self.machine.step()) {
                bail!("the run is another one: it comes to {:?} and not to {end:?}", Place::of(self.machine));
            }
        }
        Ok(followed)
    }

    /// A paused machine goes to a step or a time.
    pub(super) fn go_to(&mut self, goal: Goal, name: &str, host: &mut SessionHost) -> Result<Value> {
        if !self.paused {
            bail!("{name}: the machine runs; pause it first");
        }
        host.deaf = true;
        self.go_on();
        self.debugger.arm(self.machine, None);
        let stop = loop {
            match self.advance(goal, host) {
                Stop::Request(asking) => self.serve(asking, host),
                // What is asked in between comes to nothing, or afterwards.
                Stop::User if !self.heed(host) && !host.quit() && self.stopped().is_null() => {}
                stop => break stop,
            }
        };
        host.deaf = false;
        self.note_stop(stop);
        self.ended = Some(stop).filter(|stop| super::is_end(*stop));
        let mut status = self.status();
        status["stop"] = json!(format!("{stop:?}"));
        Ok(status)
    }
}
