//! Software in the guest asks for checkpoints and goes back to them; what it exports is edited elsewhere and comes back.

use amber_tests::program::{self, Scratch};
use std::process::{Command, Output, Stdio};

fn amber(args: &[&str]) -> Output {
    Command::new(program::amber()).args(args).stdin(Stdio::null()).output().expect("amber starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const IMAGE: [&str; 6] = ["run", "--firmware", "requests", "--headless", "--memory", "64M"];
const PASS: Option<i32> = Some(33);

fn run(more: &[&str]) -> Output {
    amber(&[&IMAGE[..], more].concat())
}

#[test]
fn a_program_searches_by_going_back_to_itself_and_the_run_can_be_replayed() {
    let folder = Scratch::new("requests");
    let (store, log) = (folder.0.join("store"), folder.0.join("log"));
    let (store, log) = (store.to_string_lossy(), log.to_string_lossy());
    let output = run(&[
        "--guest-checkpoints",
        "16,64M",
        "--store",
        &store,
        "--record",
        &log,
        "--hash",
        "--limit",
        "100000000",
    ]);
    assert_eq!(output.status.code(), PASS, "{}", text(&output));
    assert!(text(&output).contains("ok solutions of eight queens"), "{}", text(&output));
    for mode in ["real", "v86"] {
        for check in
            ["checkpoint by port, restore by nop: times", "checkpoint by nop, restore by port: times"]
        {
            let line = format!("ok {mode}/{check}");
            assert!(text(&output).contains(&line), "no `{line}`: {}", text(&output));
        }
    }
    assert!(text(&output).contains("ok v86/port denied by the bitmap"), "{}", text(&output));
    let again = amber(&["replay", &log, "--store", &store]);
    assert!(text(&again).contains("the same run"), "{}", text(&again));
}

#[test]
fn the_host_decides_how_much() {
    let denied = run(&["--limit", "100000000"]);
    assert_eq!(denied.status.code(), PASS, "{}", text(&denied));
    assert!(text(&denied).contains("skip checkpoints"), "{}", text(&denied));
    let folder = Scratch::new("requests-few");
    let store = folder.0.join("store");
    let few =
        run(&["--guest-checkpoints", "3,64M", "--store", &store.to_string_lossy(), "--limit", "100000000"]);
    assert!(text(&few).contains("FAIL checkpoint got fffffffffffffff9"), "{}", text(&few));
    let bad = run(&["--guest-checkpoints", "many"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad).contains("guest-checkpoints `many`"), "{}", text(&bad));
}

#[test]
fn an_exported_checkpoint_is_edited_in_another_place_and_comes_back() {
    let (here, there) = (Scratch::new("requests-here"), Scratch::new("requests-there"));
    let path = |folder: &Scratch, name: &str| folder.0.join(name).to_string_lossy().into_owned();
    let (store, other) = (path(&here, "store"), path(&there, "store"));
    let ok = |output: Output| assert!(output.status.success(), "{}", text(&output));
    let live = run(&["--guest-checkpoints", "16,64M", "--store", &store, "--limit", "100000000"]);
    assert_eq!(live.status.code(), PASS, "{}", text(&live));
    let (out, back) = (path(&here, "out.amber"), path(&there, "back.amber"));
    ok(amber(&["snapshot", "--store", &store, "export", "exported", &out]));
    ok(amber(&["snapshot", "--store", &other, "import", &out]));
    ok(amber(&[
        "snapshot",
        "--store",
        &other,
        "edit",
        "exported",
        "--set",
        "cpu0.rdx=0x5eed",
        "-o",
        "edited",
    ]));
    ok(amber(&["snapshot", "--store", &other, "export", "edited", &back]));
    ok(amber(&["snapshot", "--store", &store, "import", &back]));
    let again = amber(&["run", "--headless", "--store", &store, "--from", "edited", "--limit", "100000000"]);
    assert_eq!(again.status.code(), PASS, "{}", text(&again));
    assert!(text(&again).contains("came back 1 with 5eed"), "{}", text(&again));
}
