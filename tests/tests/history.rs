//! A run goes back in its past, and forward again, and is the same at every step; what it left can be returned to.

use amber_emu::config::{Engine, Firmware, HistoryChoice, MachineConfig};
use amber_emu::control::Method;
use amber_snapshot::{SnapshotId, Store};
use amber_tests::Random;
use amber_tests::program::{Scratch, replays};
use amber_tests::session::Asked;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn config(firmware: Firmware, cpus: u32, engine: Engine) -> MachineConfig {
    MachineConfig {
        firmware: Some(firmware),
        cpus,
        engine,
        memory: "64M".parse().expect("a size"),
        history: Some(HistoryChoice::Bytes(256 << 20)),
        ..MachineConfig::default()
    }
}

fn monitor() -> MachineConfig {
    config(Firmware::Monitor, 1, Engine::default())
}

fn serial(text: &str) -> Method {
    Method::Serial { text: text.to_owned() }
}

fn keys(keys: &str) -> Method {
    Method::Key { keys: keys.to_owned() }
}

/// Somebody types at both keyboards while the machine goes on in pieces; where it stood after each, and in what state.
fn typed(run: &Asked, pieces: u64, steps: u64) -> Vec<(u64, String)> {
    let mut known = Vec::new();
    for n in 0..pieces {
        match n % 4 {
            0 => run.get(serial("cpu\n")),
            1 => run.get(keys("a shift+b")),
            2 => run.get(serial("nonsense")),
            _ => run.get(Method::Mouse { dx: 3, dy: -2, wheel: 0, buttons: n as u8 & 1 }),
        };
        run.get(Method::Step { count: steps });
        known.push((run.step(), run.hash()));
    }
    known
}

fn goes_back_and_forth(config: MachineConfig, steps: u64) {
    let run = Asked::start(config, true);
    let known = typed(&run, 24, steps);
    let mut random = Random(7);
    let end = known.last().expect("some").clone();
    for _ in 0..30 {
        let (step, hash) = &known[random.below(known.len() as u64) as usize];
        run.get(Method::Rewind { step: *step });
        assert_eq!((run.step(), &run.hash()), (*step, hash));
    }
    // Every tenth step of a stretch, forward and then back.
    run.get(Method::Rewind { step: known[9].0 - 100 });
    let forward: Vec<_> = (0..20)
        .map(|_| {
            run.get(Method::Step { count: 10 });
            (run.step(), run.hash())
        })
        .collect();
    for (step, hash) in forward.iter().rev().skip(1) {
        run.get(Method::StepBack { count: 10 });
        assert_eq!((&run.step(), &run.hash()), (step, hash));
    }
    run.get(Method::Rewind { step: end.0 });
    assert_eq!(run.hash(), end.1);
    assert_eq!(run.get(Method::History)["behind"], Value::Bool(false));
    let beyond = run.ask(Method::Rewind { step: end.0 + 1 }).expect_err("it was never there");
    assert!(beyond.contains(&format!("to {}", end.0)), "{beyond}");
    run.quit();
}

#[test]
fn every_step_is_found_again_by_the_jit() {
    goes_back_and_forth(monitor(), 700_001);
    goes_back_and_forth(config(Firmware::Smp, 2, Engine::default()), 13_999);
}

#[test]
fn every_step_is_found_again_by_the_interpreter() {
    goes_back_and_forth(config(Firmware::Monitor, 1, Engine::Interp), 700_001);
    goes_back_and_forth(config(Firmware::Smp, 2, Engine::Interp), 13_999);
}

#[test]
fn steps_beyond_the_end_take_what_is_known_on_the_way() {
    let run = Asked::start(monitor(), true);
    let known = typed(&run, 8, 100_000);
    run.get(Method::Step { count: 50_000 });
    let far = (run.step(), run.hash());
    run.get(Method::Rewind { step: known[2].0 });
    run.get(Method::Step { count: far.0 - known[2].0 });
    assert_eq!((run.step(), run.hash()), far);
    // And from before an end that was the end of all.
    run.get(Method::Rewind { step: known[2].0 });
    run.get(Method::Step { count: far.0 + 70_000 - known[2].0 });
    let beyond = (run.step(), run.hash());
    assert_eq!(run.get(Method::History)["branches"], serde_json::json!([]), "no way was left");
    run.get(Method::Rewind { step: far.0 });
    assert_eq!(run.hash(), far.1);
    run.get(Method::Step { count: 70_000 });
    assert_eq!((run.step(), run.hash()), beyond);
    run.quit();
}

#[test]
fn a_part_that_is_asked_to_leave_is_another_way() {
    let config = MachineConfig { cpus_max: Some(2), ..monitor() };
    let run = Asked::start(config, true);
    run.get(Method::Step { count: 10_000 });
    run.get(Method::CpuAdd(None));
    let known = typed(&run, 8, 20_000);
    run.get(Method::Rewind { step: known[3].0 });
    // The monitor answers nobody: the request stays open.
    run.begin(Method::CpuRemove { id: 1 });
    assert_eq!(run.get(Method::History)["behind"], Value::Bool(false));
    run.get(Method::Step { count: 40_000 });
    let there = (run.step(), run.hash());
    run.get(Method::Rewind { step: known[1].0 });
    assert_eq!(run.hash(), known[1].1);
    run.get(Method::Rewind { step: there.0 });
    assert_eq!(run.hash(), there.1, "on the way with the request");
    run.quit();
}

#[test]
fn what_is_remembered_changes_no_state() {
    let hashes = [HistoryChoice::None, HistoryChoice::Bytes(64 << 20)].map(|history| {
        let run = Asked::start(MachineConfig { history: Some(history), ..monitor() }, false);
        let known = typed(&run, 6, 700_001);
        run.quit();
        known
    });
    assert_eq!(hashes[0], hashes[1]);
}

/// Lets it run for some time of the wall clock.
fn runs(run: &Asked, ms: u64) {
    run.get(Method::Resume);
    std::thread::sleep(Duration::from_millis(ms));
    run.get(Method::Pause);
}

#[test]
fn a_run_takes_points_and_comes_back_to_its_end() {
    let run = Asked::start(monitor(), false);
    run.get(serial("cpu\n"));
    runs(&run, 1500);
    let end = (run.step(), run.hash());
    let history = run.get(Method::History);
    let points = history["points"].as_array().expect("a list");
    assert!(points.len() >= 4, "{history:#}");
    for n in [1, 3, 2] {
        let step = points[n]["step"].as_u64().expect("a number");
        run.get(Method::Rewind { step });
        assert_eq!(run.step(), step);
    }
    assert_eq!(run.get(Method::History)["last"]["step"], end.0);
    run.get(Method::Rewind { step: end.0 });
    assert_eq!(run.hash(), end.1);
    // On from the past: the end is a branch, and can be returned to, which leaves another.
    let past = points[2]["step"].as_u64().expect("a number");
    run.get(Method::Rewind { step: past });
    run.get(serial("mem\n"));
    runs(&run, 300);
    let other = (run.step(), run.hash());
    let history = run.get(Method::History);
    assert_eq!((&history["branches"][0]["end"]["step"], &history["behind"]), (&end.0.into(), &false.into()));
    run.get(Method::Return { branch: 1 });
    assert_eq!((run.step(), run.hash()), end);
    // All between is known there, too.
    run.get(Method::Rewind { step: end.0 - 1000 });
    run.get(Method::Rewind { step: end.0 });
    assert_eq!(run.hash(), end.1);
    run.get(Method::Return { branch: 2 });
    assert_eq!((run.step(), run.hash()), other);
    assert!(run.ask(Method::Return { branch: 9 }).expect_err("there is none").contains("no such branch"));
    run.quit();
}

#[test]
fn a_log_repeats_the_history_of_the_machine_that_stands() {
    let folder = Scratch::new("history-log");
    let log = folder.0.join("log");
    let beside = |n: u32| folder.0.join(format!("log.{n}"));
    let run = Asked::start(MachineConfig { record: Some(log.clone()), ..monitor() }, false);
    let known = typed(&run, 8, 700_001);
    run.get(Method::Rewind { step: known[4].0 });
    run.get(serial("time\n"));
    run.get(Method::Reset);
    run.get(Method::Step { count: 3_000_000 });
    replays(&beside(1));
    // Once more, and back to the first way.
    run.get(Method::Rewind { step: known[2].0 });
    run.get(keys("x"));
    run.get(Method::Step { count: 2_000_000 });
    replays(&beside(2));
    run.get(Method::Return { branch: 1 });
    assert_eq!(run.hash(), known[7].1);
    assert!(!beside(1).exists(), "it is the log again");
    run.get(serial("again"));
    run.get(Method::Step { count: 1_000_000 });
    run.quit();
    replays(&log);
    replays(&beside(2));
    replays(&beside(3));
}

#[test]
fn a_snapshot_has_the_parent_that_lies_before_it() {
    let folder = Scratch::new("history-parents");
    let store = folder.0.join("store");
    let run = Asked::start(MachineConfig { store: Some(store.clone()), ..monitor() }, false);
    let save = |name: &str| {
        let id = run.get(Method::Save { name: name.to_owned() })["id"].as_str().expect("an id").to_owned();
        id.parse::<SnapshotId>().expect("an id")
    };
    run.get(Method::Step { count: 100_000 });
    let first = save("first");
    run.get(Method::Step { count: 100_000 });
    let second = save("second");
    run.get(Method::Rewind { step: 150_000 });
    let third = save("third");
    run.get(Method::Step { count: 1 });
    let marks = || run.get(Method::History)["snapshots"].as_array().map_or(0, Vec::len);
    // What is ahead is known, too.
    await_some(|| (marks() == 3).then_some(()));
    run.get(serial("x"));
    run.get(Method::Step { count: 200_000 });
    let fourth = save("fourth");
    await_some(|| (marks() == 3).then_some(()));
    run.quit();
    let store = Arc::new(Store::open(&store).expect("a store"));
    let parent = |id| store.load(id).expect("it was saved").manifest.parent;
    assert_eq!([first, second, third, fourth].map(parent), [None, Some(first), Some(first), Some(third)]);
}

/// Waits until the guest has ended; how the run stands then.
fn await_end(run: &Asked) -> Value {
    await_some(|| Some(run.get(Method::Status)).filter(|status| status["ended"].is_string()))
}

fn await_some<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_guest_that_ended_can_be_looked_at_and_taken_back() {
    let run = Asked::start(monitor(), true);
    run.get(Method::Step { count: 5_000_000 });
    let before = (run.step(), run.hash());
    run.get(serial("\u{4}"));
    run.get(Method::Resume);
    let status = await_end(&run);
    assert_eq!((&status["state"], &status["ended"]), (&"paused".into(), &"The guest powered off.".into()));
    run.get(Method::Resume);
    await_end(&run);
    run.get(Method::Rewind { step: before.0 });
    assert_eq!(run.hash(), before.1);
    assert!(run.get(Method::Status)["ended"].is_null());
    run.get(Method::Step { count: 1000 });
    // The reset button has a machine that ended run again.
    run.get(serial("\u{4}"));
    run.get(Method::Resume);
    await_end(&run);
    run.get(Method::Reset);
    assert_eq!(run.get(Method::Status)["state"], "running");
    run.quit();
}

#[test]
fn frames_end_at_retraces_and_change_nothing() {
    for (firmware, cpus, engine, frames) in [
        (Firmware::Monitor, 1, Engine::default(), 4),
        (Firmware::Smp, 2, Engine::default(), 1),
        (Firmware::Smp, 2, Engine::Interp, 1),
    ] {
        let run = Asked::start(config(firmware, cpus, engine), true);
        let mut times = vec![run.get(Method::Status)["time-ns"].as_u64().expect("a number")];
        for _ in 0..frames {
            times.push(run.get(Method::Frame)["time-ns"].as_u64().expect("a number"));
        }
        // What is left of the first, or of a last step, is not much.
        let spans: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(spans.iter().all(|span| (15_600_000..17_700_000).contains(span)), "{spans:?}");
        let (step, hash) = (run.step(), run.hash());
        run.quit();
        let straight = Asked::start(config(firmware, cpus, engine), true);
        straight.get(Method::Step { count: step });
        assert_eq!(straight.hash(), hash, "{firmware:?} {cpus} {engine:?}");
        straight.quit();
    }
}

#[test]
fn speed_is_a_share_of_the_wall_clocks() {
    let run = Asked::start(monitor(), false);
    let time = |run: &Asked| run.get(Method::Status)["time-ns"].as_u64().expect("a number");
    let mut went = Vec::new();
    for percent in [Some(10), Some(50), None] {
        assert_eq!(run.get(Method::Speed { percent })["speed"], percent.map_or(Value::Null, Value::from));
        let (from, start) = (time(&run), Instant::now());
        runs(&run, 400);
        went.push((time(&run) - from) as f64 / 1e9 / start.elapsed().as_secs_f64());
    }
    assert!(went[0] < 0.11 && went[1] < 0.52 && went[0] < went[1] && went[1] < went[2], "{went:?}");
    assert!(run.ask(Method::Speed { percent: Some(0) }).expect_err("no speed").contains("percent"));
    run.quit();
}

#[test]
fn a_run_without_a_history_says_how_to_have_one() {
    let run = Asked::start(MachineConfig { history: None, ..monitor() }, false);
    let why = run.ask(Method::History).expect_err("there is none");
    assert!(why.contains("--history"), "{why}");
    assert_eq!(
        run.ask(Method::StepBack { count: 1 }).expect_err("there is none"),
        "step-back 1: the machine has taken fewer steps"
    );
    run.quit();
}
