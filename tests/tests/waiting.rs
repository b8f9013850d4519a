//! Nobody waits long for a machine that is on its way through its past, or that saves.

use amber_emu::config::{FlatImage, HistoryChoice, MachineConfig};
use amber_emu::control::{Method, Place};
use amber_emu::machine::Stop;
use amber_snapshot::{SnapshotId, Store};
use amber_tests::caller::CALLER;
use amber_tests::program::Scratch;
use amber_tests::session::Asked;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is aimed at is 20 ms; hosts of tests are busy.
const PATIENCE: Duration = Duration::from_millis(200);

/// Fills most of its memory with numbers, and goes round for ever:
///
/// ```text
///        mov rdi, 400000h
/// fill:  mov [rdi], rdi
///        add rdi, 8
///        cmp rdi, 18000000h
///        jb fill
///        jmp $
/// ```
const FILLER: &[u8] =
    b"\x48\xC7\xC7\x00\x00\x40\x00\x48\x89\x3F\x48\x83\xC7\x08\x48\x81\xFF\x00\x00\x00\x18\x72\xF0\xEB\xFE";

fn flat(folder: &Scratch, code: &[u8], memory: &str) -> MachineConfig {
    MachineConfig {
        flat: Some(FlatImage { file: folder.file("guest.bin", code), address: 0x10_0000 }),
        memory: memory.parse().expect("a size"),
        history: Some(HistoryChoice::Bytes(256 << 20)),
        ..MachineConfig::default()
    }
}

/// How long it takes.
fn took(what: &str, act: impl FnOnce()) {
    let start = Instant::now();
    act();
    let took = start.elapsed();
    eprintln!("{what}: {:.1} ms", took.as_secs_f64() * 1e3);
    assert!(took < PATIENCE, "{what}: {took:?}");
}

#[test]
fn a_machine_on_its_way_through_its_past_answers_and_gives_up() {
    let folder = Scratch::new("waiting-rewind");
    let run = Asked::start(flat(&folder, CALLER, "64M"), true);
    // As one piece, so that no points are on the way.
    run.get(Method::Step { count: 2_000_000_000 });
    let end = (run.step(), run.hash());
    let far = run.later(Method::Rewind { step: 1_900_000_000 });
    std::thread::sleep(Duration::from_millis(30));
    took("status", || {
        let status = run.get(Method::Status);
        assert_eq!(status["bound"], 1_900_000_000u64, "it is still on its way: {status}");
    });
    took("another rewind", || drop(run.get(Method::Rewind { step: 1000 })));
    assert_eq!(run.step(), 1000);
    let why = far.recv().expect("an answer").expect_err("it never came there");
    assert!(why.contains("something else was asked for"), "{why}");
    let far = run.later(Method::Rewind { step: 1_800_000_000 });
    std::thread::sleep(Duration::from_millis(30));
    took("pause", || drop(run.get(Method::Pause)));
    far.recv().expect("an answer").expect_err("it never came there");
    let (step, hash) = (run.step(), run.hash());
    assert!((1000..1_800_000_000).contains(&step), "{step}");
    // What is to be done there is done there, whatever is asked after it.
    let there = run.later(Method::Rewind { step: 1_500_000_000 });
    let hashed = run.later(Method::Hash);
    run.get(Method::Rewind { step });
    assert_eq!(there.recv().expect("an answer").expect("it came there")["step"], 1_500_000_000u64);
    assert_eq!(run.hash(), hash);
    run.get(Method::Rewind { step: 1_500_000_000 });
    assert_eq!(hashed.recv().expect("an answer").expect("a hash")["state-hash"], run.hash());
    // A search that is given up leaves the machine where it was.
    run.get(Method::Rewind { step: end.0 });
    assert_eq!(run.hash(), end.1);
    run.get(Method::Break { address: Place::Address(0x10_0800) });
    let search = run.later(Method::ReverseContinue);
    std::thread::sleep(Duration::from_millis(30));
    took("pause of a search", || drop(run.get(Method::Pause)));
    search.recv().expect("an answer").expect_err("it was given up");
    assert_eq!((run.step(), run.hash()), end);
    assert_eq!(run.get(Method::Status)["behind"], false);
    let far = run.later(Method::Rewind { step: 1 });
    let farther = run.later(Method::Rewind { step: 1_700_000_001 });
    std::thread::sleep(Duration::from_millis(5));
    took("quit", || assert_eq!(run.quit(), Stop::User));
    drop((far.recv(), farther.recv()));
}

#[test]
fn saves_that_follow_each_other_let_the_guest_go_on() {
    let folder = Scratch::new("waiting-saves");
    let store = folder.0.join("store");
    let config = MachineConfig { store: Some(store.clone()), ..flat(&folder, FILLER, "512M") };
    let run = Asked::start(config, false);
    run.get(Method::Step { count: 250_000_000 });
    run.get(Method::Resume);
    let save = |name: &str| run.later(Method::Save { name: name.to_owned() });
    let saves = ["first", "second", "third", "fourth"].map(save);
    // A name is taken at once, and more is refused.
    let twice = save("second").recv().expect("an answer").expect_err("it is taken");
    assert!(twice.contains("second"), "{twice}");
    let more = save("fifth").recv().expect("an answer").expect_err("it is too much");
    assert!(more.contains("on their way to the disk"), "{more}");
    let (mut longest, start) = (Duration::ZERO, Instant::now());
    let mut told = Vec::new();
    for save in &saves {
        let saved = loop {
            let asked = Instant::now();
            run.get(Method::Status);
            longest = longest.max(asked.elapsed());
            if let Ok(saved) = save.try_recv() {
                break saved.expect("it is saved");
            }
            assert!(start.elapsed() < Duration::from_secs(120), "it is never saved");
        };
        told.push((saved["id"].as_str().and_then(|id| id.parse::<SnapshotId>().ok()).expect("an id"), saved));
    }
    eprintln!(
        "saved after {:?}; the longest wait for an answer meanwhile was {:.1} ms",
        start.elapsed(),
        longest.as_secs_f64() * 1e3
    );
    assert!(longest < PATIENCE, "{longest:?}");
    assert_eq!(run.get(Method::History)["snapshots"].as_array().map(Vec::len), Some(4));
    assert_eq!(run.get(Method::Status)["parent"], json!(told[3].0.to_string()));
    save("fifth").recv().expect("an answer").expect("there is room again");
    run.quit();
    let store = Arc::new(Store::open(&store).expect("a store"));
    let parent = |n: usize| store.load(told[n].0).expect("it was saved").manifest.parent;
    assert_eq!([0, 1, 2, 3].map(parent), [None, Some(told[0].0), Some(told[1].0), Some(told[2].0)]);
    let steps: Vec<_> = told.iter().map(|(_, saved)| saved["step"].as_u64().expect("a number")).collect();
    assert!(steps.is_sorted() && steps[0] >= 250_000_000, "{steps:?}");
}

#[test]
fn a_machine_that_stands_is_saved_as_often_as_one_likes() {
    let folder = Scratch::new("waiting-stands");
    let config = MachineConfig { store: Some(folder.0.join("store")), ..flat(&folder, FILLER, "64M") };
    let run = Asked::start(config, false);
    for n in 0..6 {
        run.get(Method::Step { count: 1000 });
        run.get(Method::Save { name: format!("stand-{n}") });
    }
    run.quit();
}
