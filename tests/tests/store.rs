//! A store under a program that is killed while it saves, and on a disk that is full.

use amber_emu::machine::Machine;
use amber_snapshot::Store;
use amber_tests::{Random, program};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Times a saving program is killed; 1,000 with `AMBER_KILLS=1000`.
fn kills() -> u64 {
    std::env::var("AMBER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(25)
}

/// A program that saves snapshot after snapshot of the self-test, named after `round`.
fn saving(store: &Path, round: u64) -> Command {
    let mut command = Command::new(program::amber());
    command.args(["run", "--firmware", "selftest", "--headless", "--memory", "8M", "--store"]).arg(store);
    for save in 1..=30 {
        command.arg(format!("--save-at={}=kill{round}-{save}", save * 3000 + round));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_killed_save_leaves_every_earlier_snapshot_whole_and_no_half_of_a_new_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut random = Random(7);
    let (mut before, mut seen) = (0, BTreeSet::new());
    for round in 0..kills() {
        let mut child = saving(dir.path(), round).spawn().expect("amber starts");
        std::thread::sleep(Duration::from_micros(random.below(120_000)));
        child.kill().expect("it was started");
        child.wait().expect("it was started");
        let store = Arc::new(Store::open(dir.path()).expect("a store"));
        let snapshots = store.list().expect("readable");
        assert!(snapshots.len() >= before, "round {round}: {} snapshots, {before} before", snapshots.len());
        before = snapshots.len();
        for id in snapshots.into_iter().filter(|id| seen.insert(*id)) {
            store.verify(id, &mut |_, _| {}).expect("whole");
            Machine::load(store.load(id).expect("there")).expect("a machine");
        }
        let labels = store.labels().expect("readable");
        assert!(labels.iter().all(|label| store.resolve(&label.name).is_ok_and(|id| seen.contains(&id))));
    }
    assert!(before > 0, "no save was ever finished");
    let store = Arc::new(Store::open(dir.path()).expect("a store"));
    store.collect(&mut |_, _| {}).expect("collected");
    assert_eq!(store.list().expect("readable").len(), before);
    for id in seen {
        store.verify(id, &mut |_, _| {}).expect("whole");
    }
}

#[test]
fn a_full_disk_is_one_sentence_and_the_machine_runs_on() {
    let dir = tempfile::tempdir().expect("a folder");
    // A limit on the size of files fails a write as a full disk does, and needs no rights.
    let amber = program::amber();
    let script = format!(
        "ulimit -f 8; trap '' XFSZ; exec {} run --firmware selftest --headless --hash --store {} --save-at 100000=never",
        amber.display(),
        dir.path().display()
    );
    let output = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().expect("sh runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot be written"), "{said}");
    assert!(said.contains("state-hash"), "the machine did not run to its end: {said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
    let store = Store::open(dir.path()).expect("a store");
    assert!(store.list().expect("readable").is_empty());
    assert!(store.labels().expect("readable").is_empty());
}
