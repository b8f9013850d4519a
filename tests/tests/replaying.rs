//! A machine that went back goes forward as it did before, whatever it is asked to go to, until something new is done to it.

use amber_emu::config::{Engine, Firmware, FlatImage, MachineConfig};
use amber_emu::control::{Method, Place};
use amber_emu::input::{self, Input};
use amber_emu::machine::Gesture;
use amber_tests::caller::{caller, remembering};
use amber_tests::program::{Scratch, replays};
use amber_tests::session::Asked;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn monitor(engine: Engine) -> MachineConfig {
    MachineConfig { firmware: Some(Firmware::Monitor), ..remembering(engine) }
}

fn serial(text: &str) -> Method {
    Method::Serial { text: text.to_owned() }
}

fn keys(keys: &str) -> Method {
    Method::Key { keys: keys.to_owned() }
}

/// Where the branch begins, in the middle, and ends: steps and states.
type Known = Vec<(u64, String)>;

/// Somebody does something of every kind between pieces of so many steps.
fn lived(run: &Asked, steps: u64) -> Known {
    let acts =
        [serial("cpu\n"), keys("a"), Method::Power, serial("mem\n"), Method::Reset, keys("b"), serial("x")];
    let live = |method: Method| {
        // What is done at a step is done when somebody comes to it again.
        run.get(Method::Step { count: 1 });
        run.get(method);
        run.get(Method::Step { count: steps });
        (run.step(), run.hash())
    };
    acts.into_iter().map(live).collect()
}

fn branches(run: &Asked) -> usize {
    run.get(Method::History)["branches"].as_array().expect("a list").len()
}

fn behind(run: &Asked) -> bool {
    run.get(Method::Status)["behind"] == true
}

/// Every way to go forward is along what is known.
fn goes_along(engine: Engine) {
    let run = Asked::start(monitor(engine), true);
    let known = lived(&run, 400_001);
    let end = known.last().expect("some").clone();
    let place = |step: u64| {
        run.get(Method::Rewind { step });
        run.get(Method::Registers { cpu: 0 })["registers"]
            .as_array()
            .and_then(|rows| rows.iter().find(|row| row["name"] == "rip").cloned())
            .and_then(|row| u64::from_str_radix(row["value"].as_str()?.trim_start_matches("0x"), 16).ok())
            .expect("it has one")
    };
    let there = place(known[3].0 + 5000);
    let methods = [
        Method::Step { count: 300_000 },
        Method::Frame,
        Method::StepInto { cpu: 0 },
        Method::StepOver { cpu: 0 },
        Method::RunTo { address: Place::Address(there) },
    ];
    for method in methods {
        let what = format!("{method:?}");
        run.get(Method::Rewind { step: known[1].0 });
        run.get(method);
        run.stands();
        let at = (run.step(), run.hash());
        assert!(at.0 > known[1].0, "{what}");
        run.get(Method::Rewind { step: at.0 });
        assert_eq!((run.step(), run.hash()), at, "{what}");
        assert_eq!(branches(&run), 0, "{what}");
        assert_eq!(run.get(Method::History)["last"]["step"], end.0, "{what}");
        for (step, hash) in known.iter().filter(|(step, _)| *step > at.0) {
            run.get(Method::Step { count: step - run.step() });
            assert_eq!(&run.hash(), hash, "{what}, at {step}");
        }
        assert!(!behind(&run), "{what}");
    }
    // A run goes along, too, and on beyond the end.
    run.get(Method::Rewind { step: known[0].0 });
    run.get(Method::Play);
    let start = Instant::now();
    while run.step() <= end.0 {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not come there");
        std::thread::sleep(Duration::from_millis(2));
    }
    run.get(Method::Pause);
    assert_eq!((behind(&run), branches(&run)), (false, 0));
    for (step, hash) in known.iter().rev() {
        run.get(Method::Rewind { step: *step });
        assert_eq!(&run.hash(), hash);
    }
    run.quit();
}

#[test]
fn whoever_goes_forward_in_the_past_stays_on_the_way() {
    goes_along(Engine::default());
}

#[test]
fn whoever_goes_forward_in_the_past_stays_on_the_way_interpreted() {
    goes_along(Engine::Interp);
}

#[test]
fn breakpoints_stop_a_machine_in_its_past() {
    for engine in [Engine::default(), Engine::Interp] {
        let folder = Scratch::new("replaying-breaks");
        let run = Asked::start(caller(&folder, engine), true);
        run.get(Method::Step { count: 1_000_000 });
        run.get(serial("heard by nobody"));
        run.get(Method::Step { count: 1_000_000 });
        let end = (run.step(), run.hash());
        run.get(Method::Rewind { step: 999_990 });
        run.get(Method::Break { address: Place::Address(0x10_0021) });
        let mut seen = Vec::new();
        for _ in 0..3 {
            run.get(Method::Play);
            let stopped = run.stands()["stopped"].clone();
            assert_eq!((&stopped["why"], &stopped["address"]), (&json!("breakpoint"), &json!("0x100021")));
            seen.push((run.step(), run.hash()));
        }
        let stop = run.get(Method::Step { count: 1000 });
        assert!(stop["stop"].as_str().is_some_and(|stop| stop.contains("Breakpoint")), "{stop}");
        run.get(Method::Unbreak { id: 1 });
        run.get(Method::Watch { address: Place::Address(0x30_0000), len: 8, read: false, write: true });
        run.get(Method::Play);
        assert_eq!(run.stands()["stopped"]["why"], "watchpoint");
        run.get(Method::Unbreak { id: 2 });
        for (step, hash) in seen.iter().rev().chain([&end]) {
            run.get(Method::Rewind { step: *step });
            assert_eq!(&run.hash(), hash);
        }
        assert_eq!((behind(&run), branches(&run)), (false, 0));
        run.quit();
    }
}

#[test]
fn who_takes_a_great_many_steps_can_be_stopped() {
    let run = Asked::start(monitor(Engine::default()), true);
    let stepped = run.later(Method::Step { count: u64::MAX });
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    assert!(run.step() > 0, "it is on its way");
    run.get(Method::Pause);
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    let told = stepped.recv().expect("an answer").expect("it stands");
    assert_eq!(told["stop"], "User");
    run.quit();
}

#[test]
fn only_what_is_new_begins_another_way() {
    let run = Asked::start(MachineConfig { cpus_max: Some(2), ..monitor(Engine::default()) }, true);
    let known = lived(&run, 100_001);
    let news = [
        serial("y"),
        keys("c"),
        Method::Mouse { dx: 1, dy: 1, wheel: 0, buttons: 0 },
        Method::Reset,
        Method::Power,
        Method::Set { path: "cpu0.rbx".into(), value: "7".into() },
        Method::CpuAdd(None),
        Method::Resume,
    ];
    for (n, method) in news.into_iter().enumerate() {
        let what = format!("{method:?}");
        run.get(Method::Rewind { step: known[2].0 });
        assert!(behind(&run), "{what}");
        run.get(method);
        run.get(Method::Pause);
        run.get(Method::Step { count: 1000 });
        assert!(!behind(&run), "{what}");
        assert_eq!(branches(&run), 8.min(n + 1), "{what}");
        // On from the end of the first way.
        let first = run.get(Method::History)["branches"][n]["id"].as_u64().expect("a number");
        let end = run.get(Method::History)["branches"][n]["end"]["step"].as_u64().expect("a number");
        run.get(Method::Return { branch: first });
        assert_eq!(run.step(), end, "{what}");
    }
    // Whoever lets go of a key that is not down does nothing new.
    run.get(Method::Rewind { step: known[2].0 });
    run.get(keys("a:up"));
    run.get(Method::Mouse { dx: 0, dy: 0, wheel: 0, buttons: 0 });
    run.get(Method::Step { count: 1000 });
    assert!(behind(&run));
    run.quit();
}

#[test]
fn a_run_that_ends_in_its_past_leaves_a_log_of_what_it_saw() {
    let folder = Scratch::new("replaying-quit");
    let log = folder.0.join("log");
    let run = Asked::start(MachineConfig { record: Some(log.clone()), ..monitor(Engine::default()) }, false);
    let known = lived(&run, 100_001);
    run.get(Method::Rewind { step: known[1].0 });
    run.get(Method::Step { count: 100 });
    run.quit();
    replays(&log);
    let (_, records) = input::read(&log).expect("a log");
    assert_eq!(records.last().map(|record| record.step), Some(known[1].0 + 100));
    replays(&folder.0.join("log.1"));
}

#[test]
fn what_is_down_is_let_go_where_a_way_is_left() {
    let folder = Scratch::new("replaying-keys");
    let log = folder.0.join("log");
    // It does nothing but read what the keyboard has: in al, 60h; jmp.
    let flat = FlatImage { file: folder.file("reader.bin", b"\xE4\x60\xEB\xFC"), address: 0x10_0000 };
    let config =
        MachineConfig { flat: Some(flat), record: Some(log.clone()), ..remembering(Engine::default()) };
    let run = Asked::start(config, false);
    run.get(keys("shift:down"));
    run.get(Method::Mouse { dx: 0, dy: 0, wheel: 0, buttons: 1 });
    run.get(Method::Step { count: 100_000 });
    let down = (run.step(), run.hash());
    run.get(keys("shift:up"));
    run.get(Method::Mouse { dx: 0, dy: 0, wheel: 0, buttons: 0 });
    run.get(Method::Step { count: 100_000 });
    run.get(Method::Rewind { step: down.0 });
    assert_eq!(run.hash(), down.1);
    run.get(keys("x"));
    run.get(Method::Step { count: 200_000 });
    run.quit();
    replays(&log);
    let (_, records) = input::read(&log).expect("a log");
    let since: Vec<_> = records.iter().filter(|record| record.step >= down.0).collect();
    let told: Vec<String> = since
        .iter()
        .filter_map(|record| match record.input {
            Input::Gesture(Gesture::Key { pressed, .. }) => Some(format!("key {pressed}")),
            Input::Gesture(Gesture::Mouse(event)) => Some(format!("buttons {}", event.buttons)),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["key false", "buttons 0", "key true", "key false"]);
    let shift = records.iter().find_map(|record| match record.input {
        Input::Gesture(Gesture::Key { key, .. }) => Some(key),
        _ => None,
    });
    let first = since.iter().find_map(|record| match record.input {
        Input::Gesture(Gesture::Key { key, .. }) => Some(key),
        _ => None,
    });
    assert_eq!(first, shift, "it is the key that was down");
}

#[test]
fn input_that_comes_to_a_guest_that_only_waits_is_found_again() {
    let run = Asked::start(monitor(Engine::default()), false);
    run.get(Method::Step { count: 5_000_000 });
    let mut known: Known = vec![(run.step(), run.hash())];
    for n in 0..40 {
        run.get(Method::Play);
        run.get(serial(if n % 3 == 0 { "cpu\n" } else { "z" }));
        std::thread::sleep(Duration::from_micros(n * 97 % 3000));
        run.get(Method::Pause);
        known.push((run.step(), run.hash()));
    }
    known.dedup_by_key(|(step, _)| *step);
    // Of two pauses at one step the later one counts; only the last ones of a step are known for certain.
    for n in [30, 3, 17, 5, 38, 1] {
        let Some((step, _)) = known.get(n) else { continue };
        run.get(Method::Rewind { step: *step });
        assert_eq!(run.step(), *step);
        run.get(Method::Step { count: 10 });
    }
    let (last, _) = known.last().expect("some").clone();
    run.get(Method::Rewind { step: last });
    assert_eq!(branches(&run), 0);
    assert_eq!(run.get(Method::History)["behind"], Value::Bool(false), "the very end is reached");
    run.quit();
}
