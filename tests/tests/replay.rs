//! A recorded run is the same run again, from its start or from a snapshot on its way; another program can reach it.

use amber_tests::program::{self, Scratch};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn amber(args: &[&str]) -> Output {
    Command::new(program::amber()).args(args).stdin(Stdio::null()).output().expect("amber starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The line `state-hash ...` that a run ends with.
fn hash(output: &Output) -> String {
    let said = said(output);
    said.lines().find(|line| line.starts_with("state-hash")).unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// A run of the monitor to which a person types, with pauses that are never the same.
fn typed(log: &Path, store: &Path, more: &[&str]) -> Output {
    let mut child = Command::new(program::amber())
        .args(["run", "--headless", "--hash", "--record"])
        .arg(log)
        .arg("--store")
        .arg(store)
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("amber starts");
    let mut keys = child.stdin.take().expect("it has an input");
    for line in ["help\n", "cpu\n", "nonsense\n", "mem\n"] {
        std::thread::sleep(Duration::from_millis(30));
        keys.write_all(line.as_bytes()).expect("it reads");
    }
    drop(keys);
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_recorded_run_is_the_same_again_and_from_a_snapshot_on_its_way() {
    let folder = Scratch::new("replay");
    let (log, store) = (folder.0.join("log"), folder.0.join("store"));
    let (log_text, store_text) = (log.to_string_lossy(), store.to_string_lossy());
    let recorded = typed(&log, &store, &["--save-at", "60000=early", "--save-at", "3000000=later"]);
    assert!(recorded.status.success(), "{}", said(&recorded));
    let again = amber(&["replay", &log_text, "--hash"]);
    assert_eq!(hash(&again), hash(&recorded), "{}", said(&again));
    assert_eq!(again.stdout, recorded.stdout);
    assert!(said(&again).contains("the same run"), "{}", said(&again));
    for snapshot in ["early", "later"] {
        let again = amber(&["replay", &log_text, "--from", snapshot, "--store", &store_text, "--hash"]);
        assert_eq!(hash(&again), hash(&recorded), "from {snapshot}: {}", said(&again));
    }
}

#[test]
fn a_log_of_another_run_is_found_out() {
    let folder = Scratch::new("replay-other");
    let (log, store) = (folder.0.join("log"), folder.0.join("store"));
    let recorded = typed(&log, &store, &[]);
    assert!(recorded.status.success(), "{}", said(&recorded));
    // One typed byte is another one.
    let mut bytes = std::fs::read(&log).expect("recorded");
    let at = bytes.windows(4).position(|bytes| bytes == b"help").expect("it was typed");
    bytes[at] = b'k';
    std::fs::write(&log, bytes).expect("the folder is writable");
    let again = amber(&["replay", &log.to_string_lossy()]);
    assert_eq!(again.status.code(), Some(2));
    assert!(said(&again).contains("the run is another one"), "{}", said(&again));
}

/// A running monitor that listens at a socket. Killed with this value.
struct Controlled(Child, String);

impl Controlled {
    fn start(folder: &Scratch) -> Self {
        let socket = folder.0.join("socket").to_string_lossy().into_owned();
        let child = Command::new(program::amber())
            .args(["run", "--headless", "--control", &socket, "--store"])
            .arg(folder.0.join("store"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("amber starts");
        let started = Instant::now();
        while !Path::new(&socket).exists() {
            assert!(started.elapsed() < Duration::from_secs(20), "nobody listens at {socket}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child, socket)
    }

    fn ask(&self, words: &[&str]) -> Result<serde_json::Value, String> {
        let mut args = vec!["ctl", &self.1];
        args.extend(words);
        let output = amber(&args);
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).expect("answers are JSON"))
        } else {
            Err(said(&output))
        }
    }
}

impl Drop for Controlled {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_program_saves_steps_and_takes_back_a_running_machine() {
    let folder = Scratch::new("control");
    let machine = Controlled::start(&folder);
    let paused = machine.ask(&["pause"]).expect("it pauses");
    assert_eq!(paused["state"], "paused");
    let hash = machine.ask(&["hash"]).expect("it has one");
    let saved = machine.ask(&["save", "here"]).expect("it saves");
    assert_eq!(saved["step"], paused["step"]);
    assert!(machine.ask(&["save", "here"]).expect_err("taken").contains("here"));
    let later = machine.ask(&["step", "1000"]).expect("it steps");
    assert_eq!(later["step"].as_u64(), paused["step"].as_u64().map(|step| step + 1000));
    assert_ne!(machine.ask(&["hash"]).expect("it has one"), hash);
    assert!(machine.ask(&["load", "nothing"]).expect_err("unknown").contains("nothing"));
    machine.ask(&["load", "here"]).expect("it was saved");
    assert_eq!(machine.ask(&["hash"]).expect("it has one"), hash);
    assert_eq!(machine.ask(&["status"]).expect("it answers")["step"], paused["step"]);
    let (socket, archive) = (machine.1.as_str(), folder.0.join("there.amber"));
    let snapshot = |words: &[&str]| {
        let output = Command::new(program::amber())
            .arg("snapshot")
            .args(words)
            .current_dir(&folder.0)
            .output()
            .expect("amber starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output))
    };
    let (code, text) = snapshot(&["save", socket, "there"]);
    assert!(code == Some(0) && text.starts_with("there  "), "{text}");
    assert!(snapshot(&["save", socket, "there"]).1.contains("there already"));
    assert_eq!(snapshot(&["--store", "store", "export", "there", "there.amber"]).0, Some(0));
    assert!(archive.exists());
    machine.ask(&["step", "10"]).expect("it steps");
    let (code, text) = snapshot(&["load", socket, "there.amber", "--json"]);
    assert!(code == Some(0) && text.contains("\"state\": \"paused\""), "{text}");
    assert_eq!(machine.ask(&["hash"]).expect("it has one"), hash);
    let (code, text) = snapshot(&["save", "no-socket", "x"]);
    assert!(code == Some(2) && text.contains("run with --control no-socket"), "{text}");
    let bytes = machine.ask(&["read", "0xfffffff0", "16"]).expect("it reads");
    assert_eq!(bytes["bytes"].as_str().map(str::len), Some(32));
    machine.ask(&["resume"]).expect("it resumes");
    machine.ask(&["serial", "poweroff\n"]).expect("it types");
    machine.ask(&["quit"]).map_or_else(
        |error| assert!(error.contains("ended") || error.contains("listens"), "{error}"),
        |_| (),
    );
}
