//! I4: a machine can be saved, loaded, forked and taken back at any step, and goes on as if nothing had happened.

use amber_emu::config::Firmware;
use amber_emu::machine::{Machine, Stop};
use amber_snapshot::{SnapshotId, StateHash, Store};
use amber_tests::history::length;
use amber_tests::{Quiet, Random, rom};
use std::path::Path;
use std::sync::Arc;

const MACHINES: [(Firmware, u32); 6] = [
    (Firmware::Selftest, 1),
    (Firmware::Interrupts, 2),
    (Firmware::Paging, 1),
    (Firmware::Smp, 2),
    (Firmware::Smp, 4),
    (Firmware::Monitor, 1),
];

/// No run is followed beyond this step.
const BOUND: u64 = 2_000_000;

fn run(machine: &mut Machine, to: u64) -> Stop {
    machine.run(to, &mut Quiet::default(), true)
}

fn open(dir: &Path) -> Arc<Store> {
    Arc::new(Store::open(dir).expect("a store"))
}

fn save(machine: &mut Machine, dir: &Path) -> SnapshotId {
    machine.freeze().save(&open(dir), None).expect("saved").id
}

fn load(dir: &Path, id: SnapshotId) -> Machine {
    Machine::load(open(dir).load(id).expect("it was saved")).expect("it was a machine")
}

/// A machine at a cut, got there by another way than running.
type Way = fn(&mut Machine, &mut Random) -> Machine;

fn stored(machine: &mut Machine, _: &mut Random) -> Machine {
    let dir = tempfile::tempdir().expect("a folder");
    let id = save(machine, dir.path());
    let mut loaded = load(dir.path(), id);
    // Saved again, unchanged, it is the same snapshot to the last byte; that takes every page out of the store.
    assert_eq!(save(&mut load(dir.path(), id), dir.path()), id);
    let other = tempfile::tempdir().expect("a folder");
    assert_eq!(save(&mut loaded, other.path()), id);
    load(other.path(), id)
}

fn forked(machine: &mut Machine, random: &mut Random) -> Machine {
    let frozen = machine.freeze();
    let fork = Machine::fork(&frozen).expect("it was a machine");
    // What the parent does meanwhile is its own business.
    let to = machine.step() + random.below(10_000);
    run(machine, to);
    fork
}

fn taken_back(machine: &mut Machine, random: &mut Random) -> Machine {
    let frozen = machine.freeze();
    let mut other = Machine::fork(&frozen).expect("it was a machine");
    for _ in 0..3 {
        let to = other.step() + random.below(10_000);
        run(&mut other, to);
        other.rewind(&frozen);
    }
    other
}

/// Cuts runs at `cuts` random steps each and compares their ends with that of the uninterrupted run.
fn cut(way: Way, cuts: u64) {
    for (firmware, cpus) in MACHINES {
        let end = length(rom(firmware, cpus), BOUND);
        let mut whole = rom(firmware, cpus);
        run(&mut whole, end);
        let expected: StateHash = whole.state_hash();
        for seed in 0..cuts {
            let mut random = Random(seed);
            let at = random.below(end);
            let mut machine = rom(firmware, cpus);
            run(&mut machine, at);
            let hash = machine.state_hash();
            let mut other = way(&mut machine, &mut random);
            // Not always: asking for the hash must not be what makes it right afterwards.
            if seed % 2 == 0 {
                assert_eq!(other.state_hash(), hash, "{firmware}, {cpus} vCPUs, at the cut at {at}");
            }
            run(&mut other, end);
            assert_eq!(other.state_hash(), expected, "{firmware}, {cpus} vCPUs, {end} after the cut at {at}");
            assert_eq!(other.damage(), None);
        }
    }
}

#[test]
fn a_loaded_machine_goes_on_as_if_nothing_had_happened() {
    cut(stored, 6);
}

#[test]
fn a_fork_goes_on_as_its_parent_would() {
    cut(forked, 10);
}

#[test]
fn a_machine_taken_back_runs_the_same_again() {
    cut(taken_back, 10);
}
