//! Runs cut at chosen moments: saved there, loaded elsewhere, and both followed.

use crate::{Quiet, Random};
use amber_cpu::state::{Activity, Pending, Shadow};
use amber_emu::machine::{Machine, Stop};
use amber_snapshot::{SnapshotId, Store};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// Kinds of moments that are easily got wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    Any,
    /// Between two chunks of a REP.
    MidRep,
    /// In the shadow of STI or MOV SS.
    Shadow,
    /// An event has arrived and was not delivered yet.
    PendingEvent,
    /// Between two processors' slices.
    SliceEnd,
    /// A processor is halted.
    Halted,
}

const MOMENTS: [Moment; 6] =
    [Moment::Any, Moment::MidRep, Moment::Shadow, Moment::PendingEvent, Moment::SliceEnd, Moment::Halted];

/// Single steps in search of a moment.
const SEARCH: u64 = 3_000;
/// Cuts that share a store.
const CUTS_PER_STORE: u64 = 50;

/// A run that is cut.
pub struct Cutter {
    machine: Machine,
    random: Random,
    store: TempDir,
    parent: Option<SnapshotId>,
    /// Cuts made.
    pub cuts: u64,
    /// How many of them at each kind of moment.
    pub at: BTreeMap<Moment, u64>,
}

impl Cutter {
    /// A run from where `machine` stands.
    pub fn new(machine: Machine, seed: u64) -> Self {
        let (store, random) = (folder(), Random(seed));
        Self { machine, random, store, parent: None, cuts: 0, at: BTreeMap::new() }
    }

    /// The machine.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Runs on for up to `gap` steps, then to the kind of moment whose turn it is if one is near; cuts there, and
    /// follows both for `distance` steps or to their end.
    ///
    /// # Errors
    /// What differs, and where.
    pub fn cut(&mut self, gap: u64, distance: u64) -> Result<(), String> {
        let to = self.machine.step() + 1 + self.random.below(gap);
        let before = self.last_steps(to);
        self.search(MOMENTS[(self.cuts % MOMENTS.len() as u64) as usize], before);
        let step = self.machine.step();
        let mut other = self.save_and_load();
        self.cuts += 1;
        let (ended, other_ended) =
            (run(&mut self.machine, step + distance), run(&mut other, step + distance));
        if ended != other_ended {
            return Err(format!(
                "cut at {step}: one run ends by {ended:?}, the loaded one by {other_ended:?}"
            ));
        }
        if self.machine.state_hash() != other.state_hash() {
            let what = differing(&mut self.machine, &mut other);
            return Err(format!("cut at {step}, {distance} steps after it: {what}"));
        }
        Ok(())
    }

    /// Runs to `to`; where each processor stood a step before that.
    fn last_steps(&mut self, to: u64) -> Vec<u64> {
        run(&mut self.machine, to - 1);
        let before = self.places();
        run(&mut self.machine, to);
        before
    }

    fn places(&self) -> Vec<u64> {
        self.machine.vcpus().iter().map(|cpu| cpu.linear_rip()).collect()
    }

    /// Steps until the machine is at `wanted`, or not for long.
    fn search(&mut self, wanted: Moment, mut before: Vec<u64>) {
        for _ in 0..SEARCH {
            let here = self.moments(&before);
            if here.contains(&wanted) {
                break;
            }
            before = self.places();
            let next = self.machine.step() + 1;
            if run(&mut self.machine, next) != Stop::Step {
                break;
            }
        }
        for moment in self.moments(&before) {
            *self.at.entry(moment).or_default() += 1;
        }
    }

    /// What kinds of moment this is.
    fn moments(&self, before: &[u64]) -> Vec<Moment> {
        let machine = &self.machine;
        let cpus = machine.vcpus();
        let current = machine.current();
        let mid_rep = cpus[current].linear_rip() == before[current]
            && cpus[current].system.activity == Activity::Running
            && is_rep(machine, cpus[current].linear_rip());
        let pending = cpus
            .iter()
            .any(|cpu| cpu.system.pending != Pending::default() || cpu.apic.deliverable().is_some());
        let checks = [
            (Moment::Any, true),
            (Moment::MidRep, mid_rep),
            (Moment::Shadow, cpus.iter().any(|cpu| cpu.system.shadow != Shadow::None)),
            (Moment::PendingEvent, pending),
            (Moment::SliceEnd, cpus.len() > 1 && machine.slice_is_over()),
            (Moment::Halted, cpus.iter().any(|cpu| cpu.system.activity == Activity::Halted)),
        ];
        checks.into_iter().filter(|(_, here)| *here).map(|(moment, _)| moment).collect()
    }

    /// The machine as another process would have it.
    fn save_and_load(&mut self) -> Machine {
        if self.cuts.is_multiple_of(CUTS_PER_STORE) {
            self.store = folder();
            self.parent = None;
        }
        let mut frozen = self.machine.freeze();
        let saved = frozen.save(&open(self.store.path()), self.parent).expect("the store can be written");
        self.machine.adopt_trees(frozen);
        self.parent = Some(saved.id);
        let snapshot = open(self.store.path()).load(saved.id).expect("it was saved");
        Machine::load(snapshot).expect("it was a machine")
    }
}

/// Whether a repeated string instruction is next at a linear address.
fn is_rep(machine: &Machine, linear: u64) -> bool {
    let cpu = &machine.vcpus()[machine.current()];
    let mut bytes = [0; 2];
    for (i, byte) in bytes.iter_mut().enumerate() {
        let at = machine.mmu().probe(cpu.address_space(), cpu.view(), linear.wrapping_add(i as u64));
        let Some(gpa) = at else { return false };
        machine.mmu().read_physical(cpu.view(), gpa, std::slice::from_mut(byte));
    }
    matches!(bytes[0], 0xF2 | 0xF3) && (matches!(bytes[1], 0x48 | 0x66 | 0x67) || string_opcode(bytes[1]))
}

fn string_opcode(opcode: u8) -> bool {
    matches!(opcode, 0xA4..=0xA7 | 0xAA..=0xAF | 0x6C..=0x6F)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("the temporary folder is writable")
}

fn open(dir: &Path) -> Arc<Store> {
    Arc::new(Store::open(dir).expect("the folder is writable"))
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
        use amber_snapshot::RegionPages;
        let page = (0..a.pages()).find(|page| a.bytes(*page) != b.bytes(*page))?;
        Some(format!("{} page {page:#x}", a.name()))
    });
    sections.chain(regions).collect::<Vec<_>>().join(", ")
}
