//! Runs cut at chosen moments: saved there, loaded elsewhere, and both followed.

use crate::moments::{MOMENTS, Moment, places};
use crate::{Quiet, Random};
use amber_cpu::Watch;
use amber_emu::machine::{Machine, Stop};
use amber_snapshot::{RegionPages, SnapshotId, StateHash, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tempfile::TempDir;

/// Single steps in search of a moment.
const SEARCH: u64 = 3_000;
/// In as many cuts each kind of moment has a turn; the others are made wherever the run is.
const TURNS: u64 = 2 * MOMENTS.len() as u64;
/// Steps in search of a moment, but for those, at most.
const REACH: u64 = 5_000_000;
/// A timer due in less time, ns, is waited for in single steps.
const SOON: u64 = 1_500;
/// Steps between looks for requests in flight, which last longer.
const STRIDE: u64 = 5_000;
/// Cuts that share a store.
const CUTS_PER_STORE: u64 = 50;

/// A run that is cut. It goes its way once; the loaded machines run ahead of it, each as far as it is followed, and
/// what they came to is compared when it comes there.
pub struct Cutter {
    machine: Machine,
    random: Random,
    store: Rc<TempDir>,
    parent: Option<SnapshotId>,
    /// Where each processor stood a step ago.
    before: Vec<u64>,
    /// Instructions seen that may lead to moments.
    leads: BTreeMap<Moment, BTreeSet<u64>>,
    /// What loaded machines came to, by step.
    expected: BTreeMap<u64, Vec<Expected>>,
    /// Cuts made.
    pub cuts: u64,
    /// How many of them at each kind of moment.
    pub at: BTreeMap<Moment, u64>,
    /// How many were compared with this run already.
    pub compared: u64,
    /// How many of these at its end.
    pub ended: u64,
}

/// What a loaded machine came to.
struct Expected {
    cut: u64,
    stop: Stop,
    hash: StateHash,
    /// Where it came from.
    store: Rc<TempDir>,
    snapshot: SnapshotId,
}

impl Cutter {
    /// A run from where `machine` stands.
    pub fn new(machine: Machine, seed: u64) -> Self {
        Self {
            before: places(&machine),
            machine,
            random: Random(seed),
            store: folder(),
            parent: None,
            leads: BTreeMap::new(),
            expected: BTreeMap::new(),
            cuts: 0,
            at: BTreeMap::new(),
            compared: 0,
            ended: 0,
        }
    }

    /// The machine.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Runs on for up to `gap` steps, then to the kind of moment whose turn it is, if one is as near; cuts there.
    /// The loaded machine runs for `distance` steps or to its end.
    ///
    /// # Errors
    /// What differs between this run and an earlier cut's, and where.
    pub fn cut(&mut self, gap: u64, distance: u64) -> Result<(), String> {
        let to = self.machine.step() + 1 + self.random.below(gap);
        self.go(to)?;
        let turn = (self.cuts % TURNS) as usize;
        self.search(*MOMENTS.get(turn).unwrap_or(&Moment::Any), to + gap.min(REACH))?;
        for moment in MOMENTS {
            *self.at.entry(moment).or_default() += u64::from(moment.is_now(&self.machine, &self.before));
        }
        if self.cuts.is_multiple_of(CUTS_PER_STORE) {
            self.store = folder();
            self.parent = None;
        }
        self.cuts += 1;
        self.follow(distance);
        Ok(())
    }

    /// Runs on until every cut was compared.
    ///
    /// # Errors
    /// What differs between this run and a cut's, and where.
    pub fn finish(&mut self) -> Result<(), String> {
        match self.expected.keys().next_back() {
            Some(last) => self.advance(*last).map(drop),
            None => Ok(()),
        }
    }

    /// Saves the machine, and loads it as another process would: what that comes to is expected of this run.
    fn follow(&mut self, distance: u64) {
        let cut = self.machine.step();
        let mut frozen = self.machine.freeze();
        let saved = frozen.save(&open(self.store.path()), self.parent).expect("the store can be written");
        self.machine.adopt_trees(frozen);
        self.parent = Some(saved.id);
        let mut other = load(self.store.path(), saved.id);
        let stop = run(&mut other, cut + distance);
        let (hash, store) = (other.state_hash(), Rc::clone(&self.store));
        let expected = Expected { cut, stop, hash, store, snapshot: saved.id };
        self.expected.entry(other.step()).or_default().push(expected);
    }

    /// Runs to `to`, and compares on the way.
    ///
    /// # Errors
    /// What differs.
    pub fn advance(&mut self, to: u64) -> Result<Stop, String> {
        while let Some(step) = self.expected.keys().next().copied().filter(|step| *step <= to) {
            let stop = run(&mut self.machine, step);
            if let Stop::Breakpoint(_) = stop {
                return Ok(stop);
            }
            for expected in self.expected.remove(&step).unwrap_or_default() {
                self.compare(&expected, step, stop)?;
            }
        }
        Ok(run(&mut self.machine, to))
    }

    fn compare(&mut self, expected: &Expected, step: u64, stop: Stop) -> Result<(), String> {
        let (cut, here) = (expected.cut, self.machine.step());
        if (here, stop) != (step, expected.stop) {
            let other = expected.stop;
            return Err(format!(
                "cut at {cut}: at {here} by {stop:?}, the loaded one at {step} by {other:?}"
            ));
        }
        if self.machine.state_hash() != expected.hash {
            let mut other = load(expected.store.path(), expected.snapshot);
            run(&mut other, step);
            let what = differing(&mut self.machine, &mut other);
            return Err(format!("cut at {cut}, {} steps after it: {what}", step - cut));
        }
        self.compared += 1;
        self.ended += u64::from(stop != Stop::Step);
        Ok(())
    }

    /// Runs to `to`, the last step by itself. Whether the run goes on.
    fn go(&mut self, to: u64) -> Result<bool, String> {
        Ok(self.advance(to - 1)? == Stop::Step && self.step()?)
    }

    /// A single step. Whether the run goes on.
    fn step(&mut self) -> Result<bool, String> {
        self.before = places(&self.machine);
        if let Some(moment) = Moment::ahead(&self.machine) {
            let place = self.before[self.machine.next_processor().unwrap_or_default()];
            self.leads.entry(moment).or_default().insert(place);
        }
        let stop = self.advance(self.machine.step() + 1)?;
        Ok(matches!(stop, Stop::Step | Stop::Breakpoint(_)))
    }

    /// Runs to a moment of a kind, or to about step `until`.
    fn search(&mut self, wanted: Moment, until: u64) -> Result<(), String> {
        match wanted {
            Moment::Any => {}
            Moment::SliceEnd => {
                let several = self.machine.vcpus().len() > 1;
                while several && self.machine.step() < until && !self.step_to(wanted)? && self.step()? {}
            }
            Moment::MidRep | Moment::Shadow | Moment::Halted => {
                if !self.step_to(wanted)? {
                    self.break_before(wanted, until)?;
                }
            }
            Moment::PendingEvent => {
                while self.wait_for_timer(until)? && !self.step_to(wanted)? && self.step()? {}
            }
            Moment::InFlight => {
                let has_disk = self.machine.disks().next().is_some();
                while has_disk
                    && !wanted.is_now(&self.machine, &self.before)
                    && self.machine.step() < until
                    && self.go(self.machine.step() + STRIDE)?
                {}
            }
        }
        Ok(())
    }

    /// Steps to a moment of a kind, if one is near.
    fn step_to(&mut self, wanted: Moment) -> Result<bool, String> {
        for _ in 0..SEARCH {
            if wanted.is_now(&self.machine, &self.before) {
                return Ok(true);
            }
            if !self.step()? {
                break;
            }
        }
        Ok(false)
    }

    /// Runs from one instruction to the next that was seen to lead to moments of a kind.
    fn break_before(&mut self, wanted: Moment, until: u64) -> Result<(), String> {
        let breakpoints = self.leads.get(&wanted).cloned().unwrap_or_default();
        self.watch(breakpoints);
        while self.machine.step() < until && !wanted.is_now(&self.machine, &self.before) {
            let stop = self.advance(until - 1)?;
            if !matches!(stop, Stop::Step | Stop::Breakpoint(_)) || !self.step()? {
                break;
            }
        }
        self.watch(BTreeSet::new());
        Ok(())
    }

    fn watch(&mut self, breakpoints: BTreeSet<u64>) {
        for n in 0..self.machine.vcpus().len() {
            let watch = Watch { breakpoints: breakpoints.clone(), ..Watch::default() };
            self.machine.vcpu_mut(n).set_watch(watch);
        }
    }

    /// Runs until a timer is due soon, if one is by about step `until`.
    fn wait_for_timer(&mut self, until: u64) -> Result<bool, String> {
        while self.machine.step() < until {
            let Some(at) = self.machine.next_deadline() else { break };
            let left = at.saturating_sub(self.machine.now());
            // An idle machine jumps there.
            if left < SOON || self.machine.next_processor().is_none() {
                return Ok(true);
            }
            // A step takes 1 ns, but for accesses to devices.
            if !self.go(self.machine.step() + left / 2)? {
                break;
            }
        }
        Ok(false)
    }
}

fn folder() -> Rc<TempDir> {
    Rc::new(tempfile::tempdir().expect("the temporary folder is writable"))
}

fn open(dir: &Path) -> Arc<Store> {
    Arc::new(Store::open(dir).expect("the folder is writable"))
}

fn load(dir: &Path, id: SnapshotId) -> Machine {
    let snapshot = open(dir).load(id).expect("it was saved");
    Machine::load(snapshot).expect("it was a machine")
}

/// Runs a machine without input.
pub fn run(machine: &mut Machine, to: u64) -> Stop {
    machine.run(to, &mut Quiet::default(), true)
}

/// Which sections and regions differ.
fn differing(a: &mut Machine, b: &mut Machine) -> String {
    let (a, b) = (a.freeze(), b.freeze());
    let sections = a.sections().into_iter().zip(b.sections()).filter(|(a, b)| a != b).map(|(a, _)| a.path);
    let regions = a.regions().zip(b.regions()).filter_map(|(a, b)| {
        let page = (0..a.pages()).find(|page| a.bytes(*page) != b.bytes(*page))?;
        Some(format!("{} page {page:#x}", a.name()))
    });
    sections.chain(regions).collect::<Vec<_>>().join(", ")
}
