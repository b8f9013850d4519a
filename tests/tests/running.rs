//! How runs go on and end: pace, limits, exit codes, waits.

use amber_cpu::state::Activity;
use amber_emu::config::Firmware;
use amber_emu::machine::{Machine, Stop};
use amber_tests::program::{Scratch, run};
use amber_tests::{Quiet, rom};
use std::time::{Duration, Instant};

/// Standard error and the time a run takes.
fn timed(args: &[&str]) -> (String, Duration) {
    let started = Instant::now();
    let output = run(args);
    let took = started.elapsed();
    assert!(output.status.success(), "{output:?}");
    (String::from_utf8_lossy(&output.stderr).into_owned(), took)
}

/// A guest that idles: no interrupt is let through, but the timers run, and each look at the host's input, every
/// millisecond, is a step.
#[test]
fn pace_real_keeps_to_the_wall_clock_and_changes_nothing() {
    let scratch = Scratch::new("pace");
    // sti; hlt; jmp $ - 1
    let flat = format!("{}@0x100000", scratch.file("idle.bin", &[0xFB, 0xF4, 0xEB, 0xFD]).display());
    let args =
        ["run", "--flat", &flat, "--memory", "16M", "--headless", "--stop-at", "1000", "--hash", "--stats"];
    run(&args);
    let (fast, quick) = timed(&[&args[..], &["--pace", "none"]].concat());
    let (paced, slow) = timed(&[&args[..], &["--pace", "real"]].concat());
    let line = |text: &str, start: &str| {
        text.lines().find(|line| line.starts_with(start)).expect("the line is there").to_owned()
    };
    assert_eq!(line(&fast, "state-hash"), line(&paced, "state-hash"));
    let time = line(&fast, "virtual time");
    let virtual_ns: u64 = time.split_whitespace().last().and_then(|ns| ns.parse().ok()).expect("a number");
    assert!(virtual_ns >= 300_000_000, "{time}");
    // Virtual time after the last look at the input is not waited for.
    assert!(slow >= Duration::from_nanos(virtual_ns - 2_000_000), "{time}, took {slow:?}");
    assert!(quick < slow / 2, "{quick:?} without pace, {slow:?} with");
}

#[test]
fn a_limit_is_exit_code_8_with_a_report() {
    let run = |limits: &[&str]| {
        let args = [&["run", "--firmware", "paging", "--memory", "16M", "--headless"], limits].concat();
        let output = run(&args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run(&["--limit", "5000"]);
    assert_eq!(code, Some(8));
    assert!(text.contains("still runs at the limit, cpu0, step 5000,") && text.contains("rax"), "{text}");
    assert_eq!(run(&["--limit", "5000", "--stop-at", "4000"]).0, Some(0));
    assert_eq!(run(&["--limit", "5000", "--stop-at", "6000"]).0, Some(8));
    assert_eq!(run(&["--limit", "1000000000"]).0, Some(33));
}

/// A state in which processors wait in MWAIT goes on as the machine does, forked or gone back to.
#[test]
fn waits_in_mwait_survive_fork_and_rewind() {
    let waits = |machine: &Machine| {
        machine.vcpus().iter().any(|cpu| matches!(cpu.system.activity, Activity::Waiting { .. }))
    };
    let mut machine = rom(Firmware::Smp, 2);
    let mut host = Quiet::default();
    while !waits(&machine) {
        let next = machine.step() + 50;
        assert_eq!(machine.run(next, &mut host, true), Stop::Step, "nobody waits in MWAIT");
    }
    let then = machine.freeze();
    let mut finish = |machine: &mut Machine| {
        assert_eq!(machine.run(10_000_000, &mut host, true), Stop::DebugExit(0x10));
        machine.state_hash()
    };
    let expected = finish(&mut machine);
    assert_eq!(finish(&mut Machine::fork(&then).unwrap()), expected);
    machine.rewind(&then);
    assert_eq!(finish(&mut machine), expected);
}
