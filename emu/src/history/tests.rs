//! Points and branches, on a machine that counts.

use super::*;
use crate::cli::build;
use crate::config::MachineConfig;
use crate::input::Input;
use crate::machine::HostIo;

struct Quiet;

impl HostIo for Quiet {
    fn serial_output(&mut self, _port: u8, _byte: u8) {}
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        true
    }
}

fn monitor() -> Machine {
    build::machine(&MachineConfig::default()).expect("the monitor")
}

fn run(machine: &mut Machine, steps: u64) {
    machine.run(machine.step() + steps, &mut Quiet, false);
}

/// A point where the machine stands.
fn point(machine: &mut Machine) -> Point {
    Point { place: Place::of(machine), state: machine.freeze(), said: 0 }
}

fn way(records: &[u64]) -> Way {
    let record = |step: &u64| Record { step: *step, input: Input::Reset };
    Way { records: records.iter().map(record).collect(), lineage: Lineage::new(None), log: None }
}

#[test]
fn points_are_dense_where_the_machine_stands_and_sparse_far_back() {
    let mut times: Vec<u64> = Vec::new();
    for n in 0..20_000u64 {
        times.push(n * 250_000_000);
        while times.len() > 100 {
            let here = *times.last().expect("there are some");
            times.remove(thinning::least(&times, here).expect("there are some"));
        }
    }
    let here = *times.last().expect("there are some");
    let gap = |seconds: u64| {
        let at = times.partition_point(|time| here - time > seconds * 1_000_000_000).max(1);
        (times[at] - times[at - 1]) / 1_000_000
    };
    assert!(here - times[0] > here / 4, "an hour and a half are not forgotten in seconds");
    assert_eq!(gap(1), 250);
    assert!(gap(30) < gap(300) && gap(300) < gap(1200), "{} {} {}", gap(30), gap(300), gap(1200));
    // Each is within a quarter of how far back it is.
    assert!(gap(30) < 8_000 && gap(300) < 75_000 && gap(1200) < 300_000);
    assert_eq!(thinning::least(&[5], 9), None);
    assert_eq!(thinning::least(&[], 9), None);
}

#[test]
fn a_history_stays_within_its_count_and_its_bytes() {
    let mut machine = monitor();
    let mut history = History::new(1 << 30, &mut machine);
    for _ in 0..300 {
        run(&mut machine, 100_000);
        history.take(&mut machine, 0);
        history.thin(&machine, 0);
    }
    assert_eq!(history.points().len(), POINTS_MAX);
    let steps: Vec<u64> = history.points().iter().map(|point| point.place.step).collect();
    assert!(steps.is_sorted());
    assert_eq!(history.nearest(Place::at(steps[7] + 1)).map(|point| point.place.step), Some(steps[7]));
    drop(history);
    let mut small = History::new(1 << 20, &mut machine);
    for _ in 0..50 {
        (0..64).for_each(|page| machine.mmu_mut().write_physical(amber_mmu::ViewId(0), page << 12, &[1; 8]));
        run(&mut machine, 100_000);
        small.take(&mut machine, 0);
        small.thin(&machine, 0);
        assert!(extra(&machine) <= 1 << 20 || small.points().len() == 1, "{}", extra(&machine));
    }
    assert!(small.points().len() > 1);
}

#[test]
fn ways_that_were_left_keep_their_ends_and_what_came_in() {
    let mut machine = monitor();
    let mut history = History::new(1 << 30, &mut machine);
    let start = point(&mut machine);
    run(&mut machine, 1000);
    let early = Place { inputs: 2, ..Place::of(&machine) };
    run(&mut machine, 1000);
    let late = Place { inputs: 4, ..Place::of(&machine) };
    run(&mut machine, 1000);
    let mut end = point(&mut machine);
    end.place.inputs = 6;
    history.leave(late, end.clone(), way(&[50, 60]));
    // Another way goes from there, and is left before it.
    history.leave(early, end.clone(), way(&[30, 40, 70]));
    let branches: Vec<_> = history.branches().collect();
    let steps = |n: usize| branches[n].records.iter().map(|record| record.step).collect::<Vec<_>>();
    assert_eq!((branches[0].from, steps(0)), (early, vec![30, 40, 50, 60]));
    assert_eq!((branches[1].from, steps(1)), (early, vec![30, 40, 70]));
    for _ in 0..10 {
        history.leave(early, end.clone(), way(&[]));
    }
    assert_eq!(history.branches().count(), BRANCHES_MAX);
    assert!(history.take_branch(1).is_none(), "the oldest is gone");
    let newest = history.take_branch(12).expect("the last");
    assert!(history.return_to(newest.from, newest.end), "all is known from the start");
    assert_eq!(history.points().len(), 2);
    assert_eq!(history.nearest(start.place).map(|point| point.place), Some(start.place));
}

#[test]
fn a_tape_knows_what_is_ahead_and_tears_it_off() {
    let record = |step| Record { step, input: Input::Reset };
    let mut tape = Tape::new(10, 0);
    (1..=4).for_each(|step| tape.note(&record(step)));
    assert_eq!(tape.ahead_of(12).map(<[Record]>::len), Some(2));
    assert!(tape.ahead_of(9).is_none() && tape.ahead_of(15).is_none());
    assert!(tape.tear().is_none(), "the machine stands at the end");
    tape.stand(11, 0, true);
    tape.tear().expect("three lie ahead");
    tape.note(&record(9));
    let torn = tape.take_torn().expect("they were torn off");
    assert_eq!((torn.inputs, torn.records.len()), (11, 3));
    assert_eq!(tape.ahead_of(10), Some(&[record(1), record(9)][..]));
    tape.forget_before(11);
    assert_eq!((tape.ahead_of(10), tape.ahead_of(11)), (None, Some(&[record(9)][..])));
    let left = tape.split_off(11);
    assert_eq!((left.len(), tape.bytes()), (1, 0));
}
