//! A run as its person sees it: the machine, what it is saved to, and what is asked of it while it runs.

mod answer;
mod debug;
mod edit;
mod forward;
mod goal;
mod heed;
mod inspect;
mod past;
mod reverse;
mod saving;
mod share;
mod symbols;
mod ways;

use super::host::SessionHost;
use super::media::Changing;
use super::onlooker::Standing;
use super::parts::Leaving;
use super::saving::Saver;
use crate::checkpoints::{Checkpoints, Policy};
use crate::config::{MachineConfig, NetChoice, SaveAt};
use crate::control::Call;
use crate::history::History;
use crate::machine::{Machine, Stop};
use crate::screenshot;
use amber_snapshot::SnapshotId;
use anyhow::Result;
use debug::Debugger;
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

/// A run.
pub struct Session<'a> {
    pub machine: &'a mut Machine,
    pub config: &'a MachineConfig,
    /// The snapshot the run went on from.
    pub parent: Option<SnapshotId>,
    /// Made when something is first saved.
    saver: Option<Saver>,
    checkpoints: Checkpoints,
    /// Parts the guest was asked to let go of, and who waits for that.
    pub(super) leaving: Leaving,
    /// Media it was asked to let go of, and who waits for that.
    pub(super) changing: Changing,
    /// The past of a run that remembers it.
    history: Option<History>,
    /// What the network adapter's cable was led to.
    pub(super) net: NetChoice,
    debugger: Debugger,
    /// What was asked while the machine was on its way through its past.
    queued: VecDeque<Call>,
    /// The step it is on its way to there.
    bound: Option<u64>,
    started: Instant,
    paused: bool,
    /// The guest ended, and the run lingers.
    ended: Option<Stop>,
    quit: bool,
}

/// What is to be done at a step.
#[derive(Clone, Copy)]
enum Due<'a> {
    Save(&'a str),
    Screenshot(&'a Path),
}

/// Whether the guest ended itself.
fn is_end(stop: Stop) -> bool {
    matches!(stop, Stop::PowerOff | Stop::Reset | Stop::DebugExit(_) | Stop::TripleFault(_) | Stop::Hung)
}

/// All of it, the last first.
fn points(config: &MachineConfig) -> Vec<(u64, Due<'_>)> {
    let saves = config.save_at.iter().map(|SaveAt { step, name }| (*step, Due::Save(name)));
    let shots = config.screenshot.iter().filter_map(|shot| Some((shot.step?, Due::Screenshot(&shot.file))));
    let mut points: Vec<_> = saves.chain(shots).collect();
    points.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
    points
}

impl<'a> Session<'a> {
    /// A run of `machine`, which went on from `parent`.
    ///
    /// # Errors
    /// When a snapshot that is to be saved cannot have its name.
    pub fn new(
        machine: &'a mut Machine,
        config: &'a MachineConfig,
        parent: Option<SnapshotId>,
    ) -> Result<Self> {
        let checkpoints = Checkpoints::new(config.guest_checkpoints);
        let leaving = Leaving::default();
        let mut session = Self {
            machine,
            config,
            parent,
            saver: None,
            checkpoints,
            leaving,
            changing: Changing::default(),
            history: None,
            net: config.net.clone(),
            debugger: Debugger::new(config)?,
            queued: VecDeque::new(),
            bound: None,
            started: Instant::now(),
            paused: false,
            ended: None,
            quit: false,
        };
        session.check_names()?;
        Ok(session)
    }

    /// Runs to step `until`, saving on the way what is to be saved and doing what is asked.
    ///
    /// # Errors
    /// None of the guest's doing.
    pub fn run(&mut self, until: u64, host: &mut SessionHost) -> Result<Stop> {
        host.serves = self.config.guest_checkpoints != Policy::Deny;
        let mut points = points(self.config);
        self.remember(host);
        let stop = loop {
            while let Some(point) = points.pop_if(|point| point.0 <= self.machine.step()) {
                self.reach(point.1);
            }
            let next = points.last().map_or(until, |point| point.0.min(until));
            let stop = self.proceed(next, host);
            match stop {
                Stop::Step if self.machine.step() < until => {}
                Stop::Request(asking) => self.serve(asking, host),
                Stop::User | Stop::Breakpoint(_) | Stop::Watchpoint(..) => {
                    self.note_stop(stop);
                    self.attend(host);
                    if self.quit || host.quit() {
                        break Stop::User;
                    }
                }
                stop if host.lingers && is_end(stop) => {
                    (self.paused, self.ended) = (true, Some(stop));
                    self.attend(host);
                    if self.quit {
                        break Stop::User;
                    }
                }
                stop => break stop,
            }
        };
        // The log is that of the machine as it stands, and what was ahead of it has one of its own.
        self.part_ways(host);
        Ok(stop)
    }

    /// Whether the machine went back, and has its future ahead.
    pub(super) fn is_behind(&self) -> bool {
        self.history.as_ref().is_some_and(History::is_behind)
    }

    fn standing(&self) -> Standing {
        let behind = self.is_behind();
        Standing { paused: self.paused, ended: self.ended, behind, ..Standing::default() }
    }

    /// Does what is to be done at a step.
    fn reach(&mut self, due: Due) {
        match due {
            Due::Save(name) => self.save_or_say(name),
            Due::Screenshot(file) => {
                if let Err(error) = screenshot::write(&self.machine.picture(), file) {
                    eprintln!("amber: {error}; the machine runs on");
                }
            }
        }
    }

    /// Does what the person at the console and other programs ask for.
    fn attend(&mut self, host: &mut SessionHost) {
        if host.take_save_request() {
            let name = format!("step-{}", self.machine.step());
            self.save_or_say(&name);
            eprintln!("amber: saving {name}");
        }
        self.look_at_save();
        host.parts_changed = false;
        self.take_point(host);
        self.leaving.look(self.machine);
        self.let_go_of_cable(host);
        loop {
            self.change_waiting(host);
            self.part_from_torn(host);
            host.show(self.machine, self.standing());
            let Some(call) = self.next_call(host) else {
                // Nobody is left who could resume it.
                self.quit |= self.paused;
                return;
            };
            let call = self.ask_to_leave(call, host).and_then(|call| self.export_medium(call));
            let call = call.and_then(|call| self.change_medium(call, host));
            // An input may have torn the future off: a part that is asked to leave is one, and so is a medium.
            self.part_from_torn(host);
            let Some(call) = call.and_then(|call| self.save_beside(call)) else { continue };
            let outcome = self.answer(&call.method, host);
            self.part_from_torn(host);
            call.answer(outcome.map_err(|e| format!("{e:#}")));
            if self.quit {
                return;
            }
        }
    }
}
