//! I1, I2 and I4 on the first-party images: a run is a function of its initial state, whatever happens around it.

use amber_emu::config::Firmware;
use amber_emu::machine::Stop;
use amber_tests::history::{Disturbance, History, difference, length, narrow, points, record, record_with};
use amber_tests::{Typed, rom};
use std::sync::atomic::{AtomicBool, Ordering};

/// Images and numbers of processors. The monitor waits for input, so its runs end as hung.
const MACHINES: [(Firmware, u32); 8] = [
    (Firmware::Selftest, 1),
    (Firmware::Interrupts, 1),
    (Firmware::Interrupts, 2),
    (Firmware::Paging, 1),
    (Firmware::Smp, 1),
    (Firmware::Smp, 2),
    (Firmware::Smp, 4),
    (Firmware::Monitor, 2),
];

/// No run is followed beyond this step.
const BOUND: u64 = 2_000_000;

fn quiet_run(firmware: Firmware, cpus: u32) -> History {
    let points = points(length(rom(firmware, cpus), BOUND));
    record(rom(firmware, cpus), &points, Disturbance::Nothing, 0)
}

fn check(disturbance: Disturbance, seeds: u64) {
    let mut failures = Vec::new();
    for (firmware, cpus) in MACHINES {
        let quiet = quiet_run(firmware, cpus);
        for seed in 0..seeds {
            let disturbed = record(rom(firmware, cpus), &quiet.points, disturbance, seed);
            if let Some(difference) = difference(&quiet, &disturbed) {
                let difference = narrow(|| rom(firmware, cpus), difference, disturbance, seed);
                failures
                    .push(format!("{firmware}, {cpus} vCPUs, {disturbance:?}, seed {seed}: {difference}"));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn two_runs_agree() {
    check(Disturbance::Nothing, 1);
}

#[test]
fn caches_may_go_at_any_moment() {
    check(Disturbance::DropCaches, 2);
}

#[test]
fn runs_may_be_split_anywhere() {
    check(Disturbance::Split, 3);
}

#[test]
fn single_steps_add_up() {
    check(Disturbance::SingleStep, 1);
}

#[test]
fn breakpoints_are_invisible() {
    check(Disturbance::Breakpoints, 2);
}

#[test]
fn watchpoints_are_invisible() {
    check(Disturbance::Watched, 1);
}

/// Input from a file: polls, the queue of bytes that wait, the receiver, the end of input.
#[test]
fn input_is_taken_at_the_same_steps() {
    let typed = || Typed { input: "time\rhelp\rpci\r".repeat(12).into_bytes().into(), ..Typed::default() };
    let mut host = typed();
    let mut machine = rom(Firmware::Monitor, 1);
    assert_eq!(machine.run(BOUND, &mut host, true), Stop::Step);
    let text = String::from_utf8_lossy(&host.serial);
    assert!(
        text.matches("PM timer").count() > 5 && text.contains("end of input"),
        "all input is read: {text}"
    );
    let points = points(BOUND);
    let recorded =
        |disturbance, seed| record_with(rom(Firmware::Monitor, 1), &mut typed(), &points, disturbance, seed);
    let quiet = recorded(Disturbance::Nothing, 0);
    for disturbance in [Disturbance::DropCaches, Disturbance::Split, Disturbance::Breakpoints] {
        for seed in 0..2 {
            let difference = difference(&quiet, &recorded(disturbance, seed));
            assert!(difference.is_none(), "{disturbance:?}, seed {seed}: {}", difference.unwrap());
        }
    }
}

#[test]
fn a_busy_host_changes_nothing() {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let outcome = std::panic::catch_unwind(|| check(Disturbance::Nothing, 1));
        done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}
