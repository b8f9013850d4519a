//! What is left when the program is killed, and when it has a fault of its own.

use super::hand::Ear;
use super::{Desktop, await_some, missing};
use amber_emu::input;
use amber_emu::machine::Machine;
use amber_snapshot::{SnapshotId, Store};
use amber_tests::Random;
use amber_tests::program::{SCRIBBLER, Scratch, run};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the program is killed; more with `AMBER_KILLS=N`.
fn kills() -> u64 {
    std::env::var("AMBER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(4)
}

/// Has the machine saved again and again for some time; what it told, by name.
fn save_for(desktop: &Desktop, round: u64, time: Duration) -> BTreeMap<String, (String, u64)> {
    let mut ear = Ear::at(desktop);
    let (from, mut told) = (Instant::now(), BTreeMap::new());
    for n in 0.. {
        let name = format!("kill{round}-{n}");
        ear.ask("save", json!({ "name": name }));
        if from.elapsed() >= time {
            break;
        }
        let answer = ear.hear().expect("it answers")["result"].clone();
        let id = answer["id"].as_str().expect("it was saved").to_owned();
        told.insert(name, (id, answer["step"].as_u64().expect("a number")));
    }
    told
}

/// Every snapshot that is new in the store is whole, and is a machine; every one that was told has its name.
fn check_store(folder: &Path, told: &BTreeMap<String, (String, u64)>, seen: &mut BTreeSet<SnapshotId>) {
    let store = Arc::new(Store::open(folder).expect("a store"));
    for id in store.list().expect("it is readable").into_iter().filter(|id| seen.insert(*id)) {
        store.verify(id, &mut |_, _| {}).expect("it is whole");
        Machine::load(store.load(id).expect("it is there")).expect("it is a machine");
    }
    for (name, (id, _)) in told {
        let found: SnapshotId = store.resolve(name).expect("it has its name");
        assert_eq!(found.to_string(), *id, "{name}");
    }
}

/// The log repeats the run as far as the last snapshot, to the same state.
fn check_log(scratch: &Scratch, told: &BTreeMap<String, (String, u64)>) {
    let log = scratch.0.join("log");
    assert!(input::read(&log).is_ok(), "what there is of it is a log");
    let Some((name, (_, step))) = told.iter().max_by_key(|(_, (_, step))| *step) else { return };
    let store = Arc::new(Store::open(&scratch.0.join("store")).expect("a store"));
    let id = store.resolve(name).expect("it has its name");
    let saved = Machine::load(store.load(id).expect("it is there")).expect("it is a machine").state_hash();
    let file = log.display().to_string();
    let output = run(&["replay", &file, "--stop-at", &step.to_string(), "--hash"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("state-hash {saved}")), "{name} at step {step} is {saved}\n{said}");
}

#[test]
fn nothing_that_was_saved_is_lost_when_the_program_is_killed() {
    if let Some(sentence) = missing() {
        return eprintln!("{sentence}");
    }
    let scratch = Rc::new(Scratch::new("desktop-killed"));
    let flat = scratch.file("scribbler.bin", SCRIBBLER).display().to_string() + "@0x100000";
    let (mut random, mut all, mut seen) = (Random(6), BTreeMap::new(), BTreeSet::new());
    for round in 0..kills() {
        let _ = std::fs::remove_file(scratch.0.join("socket"));
        let args = ["--flat", &flat, "--memory", "8M", "--control", "socket", "--record", "log"];
        let Some(desktop) = Desktop::start_in(Rc::clone(&scratch), &args, &[]) else { return };
        // Its new size is written to the settings in the meantime.
        desktop.put([700 + round as i32 * 10, 500, 0, 0]);
        let told = save_for(&desktop, round, Duration::from_millis(100 + random.below(1500)));
        std::thread::sleep(Duration::from_millis(random.below(30)));
        // Killed, as nothing else ends it here.
        drop(desktop);
        eprintln!("killed after {} saves", told.len());
        check_log(&scratch, &told);
        all.extend(told);
        check_store(&scratch.0.join("store"), &all, &mut seen);
        if let Ok(settings) = std::fs::read_to_string(scratch.0.join("settings.toml")) {
            settings.parse::<toml::Table>().expect("settings are whole");
        }
        assert!(!scratch.0.join("settings.broken.toml").exists(), "what was read was whole");
    }
    assert!(!all.is_empty(), "something was saved");
}

#[test]
fn a_fault_leaves_the_window_with_a_sentence_and_a_bundle() {
    if let Some(sentence) = missing() {
        return eprintln!("{sentence}");
    }
    let scratch = Rc::new(Scratch::new("desktop-fault"));
    let environment = [("AMBER_FAULT_AT", "100000".to_owned()), ("TMPDIR", scratch.0.display().to_string())];
    let args = ["--memory", "16M", "--record", "log"];
    let Some(desktop) = Desktop::start_in(Rc::clone(&scratch), &args, &environment) else { return };
    let bundles = || {
        let files = std::fs::read_dir(&scratch.0).expect("it is there").flatten();
        let paths = files.map(|file| file.path());
        paths.filter(|path| path.display().to_string().contains("amber-fault")).collect::<Vec<PathBuf>>()
    };
    desktop.await_title("ended");
    let bundle = await_some("a bundle", || bundles().pop());
    for (file, word) in [("panic.txt", "AMBER_FAULT_AT"), ("machine.toml", "16"), ("processors.txt", "rip")] {
        let text = std::fs::read_to_string(bundle.join(file)).expect("it is in the bundle");
        assert!(text.contains(word), "{file}: {text}");
    }
    assert!(input::read(&scratch.0.join("log")).is_ok(), "the log is whole");
    assert!(desktop.still().colours() > 2, "the window stands, and says it");
    // It is started again, and has the fault again.
    desktop.chord("a");
    await_some("another bundle", || (bundles().len() == 2).then_some(()));
    desktop.await_title("ended");
    // Back to the start screen, where other machines are.
    desktop.chord("x");
    desktop.await_title("start screen");
    desktop.chord("q");
    let (_, said) = desktop.end();
    assert!(said.contains(&bundle.display().to_string()), "{said}");
}
