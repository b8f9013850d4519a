//! The harness for fuzzers: markers, verdicts, coverage; and its example finds the planted bug of `roms/boottable` and
//! saves what reproduces it.

#[path = "../../emu/examples/fuzz_parser/fuzzer.rs"]
mod fuzzer;

use amber_emu::config::Firmware;
use amber_emu::harness::{Harness, HarnessError, Marker, Seen, Verdict, run_to};
use amber_emu::machine::Stop;
use amber_snapshot::Store;
use amber_tests::{program, rom};
use std::collections::BTreeSet;

/// Where the firmware has its table.
const TABLE: u64 = 0x20_0000;
/// An input far from any bug: not even a table.
const NONSENSE: &[u8] = b"nonsense";
/// Graphics and a packed logo: what is left to find is a second run that makes the sum wrap.
const LOGO: &[u8] = b"BOOT\x02\0\0\0\0\0\0\0\x03\x02\0\x02\x08\x04\x07\0L\x08\x01\x40\x01\x20\xFE\0\0\0";

fn harness() -> Harness {
    Harness::new(&fuzzer::boot().expect("the image boots")).expect("it was a machine")
}

#[test]
fn a_harness_comes_to_verdicts_and_back() {
    let mut harness = harness();
    let start = harness.machine().state_hash();
    for _ in 0..2 {
        assert_eq!(harness.run(100_000).expect("runs"), Verdict::Exit(0x10), "the standard table");
        harness.rewind();
        harness.write(TABLE, NONSENSE).expect("RAM");
        assert_eq!(harness.run(100_000).expect("runs"), Verdict::Exit(2), "a bad header");
        harness.rewind();
        assert_eq!(harness.run(3).expect("runs"), Verdict::Limit);
        harness.rewind();
        // A guest whose next instruction lies where nothing is mapped, and no handler either.
        harness.machine().vcpu_mut(0).rip = 1 << 40;
        assert_eq!(harness.run(100_000).expect("runs"), Verdict::Crash(0));
        assert!(harness.report(None).contains("triple fault"), "{}", harness.report(None));
        harness.rewind();
        assert_eq!(harness.machine().state_hash(), start);
    }
    assert!(matches!(harness.write(0xF000_0000, NONSENSE), Err(HarnessError::Memory { .. })));
    let nowhere = harness.write_linear(0, 1 << 40, NONSENSE);
    assert!(matches!(nowhere, Err(HarnessError::Unmapped { processor: 0, linear: 0x100_0000_0000 })));
    harness.write_linear(0, TABLE, NONSENSE).expect("mapped one to one");
    assert_eq!(harness.run(100_000).expect("runs"), Verdict::Exit(2));
}

#[test]
fn markers_are_addresses_and_debug_output() {
    let said = |bytes: &[u8]| Marker::Debug(bytes.to_vec());
    let mut machine = rom(Firmware::Selftest, 1);
    run_to(&mut machine, &said(b"Amber selftest\n"), 1_000_000).expect("it says so");
    let first = machine.step();
    let missed = run_to(&mut machine, &said(b"nothing of that"), first + 1000);
    assert!(matches!(missed, Err(HarnessError::Marker { stop: Stop::Step, .. })));

    let mut machine = rom(Firmware::Selftest, 1);
    run_to(&mut machine, &said(b"A"), 1_000_000).expect("it says so");
    // Behind the OUT for the letter is code that runs for every letter.
    let linear = machine.vcpus()[0].linear_rip();
    run_to(&mut machine, &Marker::Address { linear, hits: 1 }, 1_000_000).expect("comes there");
    let mut again = rom(Firmware::Selftest, 1);
    run_to(&mut again, &Marker::Address { linear, hits: 2 }, 1_000_000).expect("comes there");
    assert!(again.step() > machine.step(), "{} {}", again.step(), machine.step());

    let mut harness = Harness::new(&machine.freeze()).expect("it was a machine");
    harness.end_at(BTreeSet::from([linear]));
    for _ in 0..3 {
        assert_eq!(harness.run(1_000_000).expect("runs"), Verdict::Reached(0));
        assert_eq!(harness.machine().step(), again.step());
        assert_eq!(harness.machine().state_hash(), again.state_hash());
        harness.rewind();
    }
}

#[test]
fn coverage_is_a_function_of_the_run() {
    let mut harness = harness();
    assert!(harness.edges().is_none(), "off unless asked for");
    harness.cover();
    let mut edges = |input: &[u8], cold: bool, pieces: u64| {
        harness.rewind();
        if cold {
            harness.machine().drop_caches();
        }
        harness.write(TABLE, input).expect("RAM");
        while harness.run(pieces).expect("runs") == Verdict::Limit {}
        harness.edges().expect("on").to_vec()
    };
    let mut table = fuzzer::TITLE.to_vec();
    table[6] = table.len() as u8;
    table[8] = table.iter().fold(0, |sum: u8, byte| sum.wrapping_sub(*byte));
    let (whole, other) = (edges(&table, false, 100_000), edges(NONSENSE, false, 100_000));
    assert_ne!(whole, other);
    assert!(whole.iter().filter(|count| **count != 0).count() > 10);
    // Warm or cold, in one piece or many.
    for (cold, pieces) in [(false, 100_000), (true, 100_000), (true, 1), (false, 7)] {
        assert_eq!(edges(&table, cold, pieces), whole, "cold {cold}, in pieces of {pieces}");
    }
    assert_eq!(edges(NONSENSE, true, 3), other);

    let mut seen = Seen::default();
    let other = other.try_into().expect("all counters");
    assert!(seen.add(&other) && !seen.add(&other));
    assert!(seen.add(&whole.try_into().expect("all counters")));
}

#[test]
fn the_planted_bug_is_found_and_its_reproducer_crashes() {
    let start = fuzzer::boot().expect("the image boots");
    let mut search = fuzzer::Fuzzer::new(&start, &[fuzzer::TITLE, LOGO], 1).expect("runs");
    let (input, verdict) = search.search(300_000).expect("runs").expect("found");
    assert_eq!(verdict, Verdict::Crash(0), "{input:02x?}");
    assert!(search.report().contains("triple fault"));
    let (executions, (corpus, edges)) = (search.executions, search.progress());
    eprintln!("found after {executions} executions, corpus {corpus}, edges {edges}");
    let mut twin = fuzzer::Fuzzer::new(&start, &[fuzzer::TITLE, LOGO], 1).expect("runs");
    assert_eq!(twin.search(300_000).expect("runs"), Some((input.clone(), verdict)));
    assert_eq!(
        (twin.executions, twin.progress()),
        (executions, (corpus, edges)),
        "the search is a function, too"
    );

    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("a store");
    search.save(&input, &store, "crash").expect("saved");
    assert_eq!(std::fs::read(folder.path().join("crash.input")).expect("saved"), input);
    let dir = folder.path().to_str().expect("a plain path");
    let replay = |name| program::run(&["run", "--headless", "--store", dir, "--from", name]);
    let crash = replay("crash");
    let said = String::from_utf8_lossy(&crash.stderr);
    assert!(crash.status.code() == Some(4) && said.contains("triple fault"), "{said}");
    assert_eq!(replay("crash-start").status.code(), Some(33), "the same without the input");
}
