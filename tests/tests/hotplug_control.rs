//! `amber ctl` has a network adapter come and go in a Debian guest: with a network and without, in snapshots and in the input
//! log, and from a guest that does not listen at first. Run by name:
//!
//!     cargo test --release -p amber-tests --test hotplug_control -- --ignored --nocapture

use amber_tests::controlled::{PATIENCE, Running, state_hash};
use amber_tests::debian;
use amber_tests::program::{Scratch, amber, run};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A guest that says what is there.
fn guest(scratch: &Scratch, args: &[&str]) -> Option<Running> {
    let folder = debian()?;
    let [kernel, initrd] = ["vmlinuz", "hotplug.gz"].map(|file| folder.join(file).display().to_string());
    let append = "console=ttyS0 quiet panic=-1 mitigations=off";
    let own =
        ["--kernel", &kernel, "--initrd", &initrd, "--append", append, "--memory", "512M", "--pci-hotplug"];
    Some(Running::start(scratch, "socket", &[&own, args].concat()))
}

/// How the adapter stands; `None` if there is none.
fn adapter_of(running: &Running) -> Option<Value> {
    let list = running.ctl(&["device", "list"]).expect("a list");
    let devices = list["devices"].as_array().expect("it is a list").clone();
    devices.into_iter().find(|device| device["id"] == "nic0")
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn an_adapter_comes_and_goes_by_the_socket_and_the_log_repeats_it() {
    let scratch = Scratch::new("hotplug-control");
    let log = scratch.0.join("log").display().to_string();
    let Some(running) = guest(&scratch, &["--record", &log]) else { return };
    running.until("NOW ", 1);
    let none = running.ctl(&["device", "add", "net", "none"]).expect_err("no adapter");
    assert!(none.contains("`nowhere`"), "{none}");
    let mac = "52:54:00:0a:0b:0c";
    let came = running.ctl(&["device", "add", "net", &format!("user,model=e1000,mac={mac}")]).expect("room");
    assert_eq!((&came["id"], &came["slot"]), (&"nic0".into(), &2.into()));
    running.until("2 packets received", 1);
    assert!(running.said().contains(&format!("NIC eth0 {mac} e1000 ")), "{}", running.said());
    let adapter = adapter_of(&running).expect("it is there");
    assert_eq!([&adapter["model"], &adapter["mac"]], ["e1000", mac]);
    assert_eq!([&adapter["present"], &adapter["removal-asked"]], [true, false]);
    let second = running.ctl(&["device", "add", "net", "user"]).expect_err("one is there");
    assert!(second.contains("already"), "{second}");
    running.ctl(&["save", "with"]).expect("saved");
    running.ctl(&["device", "remove", "nic0"]).expect("the guest lets go of it");
    assert_eq!(adapter_of(&running), None);
    running.until("nics .", 2);
    running.ctl(&["device", "add", "net", "nowhere"]).expect("room");
    running.until("nics eth0 .", 2);
    let said = running.said();
    assert!(said.contains("NIC eth0 52:54:00:12:34:56 virtio_net "), "{said}");
    assert_eq!(said.matches("LEASE 10.0.2.15").count(), 1, "{said}");
    let hash = running.quit();

    let replayed = run(&["replay", "--hash", &log]);
    let stderr = String::from_utf8_lossy(&replayed.stderr).into_owned();
    assert!(replayed.status.success() && stderr.contains("the same run"), "{stderr}");
    assert_eq!(state_hash(&replayed.stderr), hash);

    let restored = Running::start(&scratch, "restored", &["--from", "with", "--net", "user"]);
    assert_eq!(adapter_of(&restored), Some(adapter), "it is in the snapshot");
    restored.ctl(&["device", "remove", "nic0"]).expect("the guest lets go of it");
    restored.ctl(&["device", "add", "net", "user"]).expect("room");
    restored.until("2 packets received", 1);
    restored.quit();
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn who_waits_for_a_guest_that_is_reset_is_told() {
    let scratch = Scratch::new("hotplug-reset");
    let Some(running) = guest(&scratch, &["--net", "nowhere"]) else { return };
    running.ctl(&["pause"]).expect("it runs");
    let ask = ["ctl", &*running.socket, "device", "remove", "nic0"];
    let mut first = Command::new(amber());
    let first = first.args(ask).stderr(Stdio::piped()).spawn().expect("amber starts");
    while adapter_of(&running).expect("it is there")["removal-asked"] == false {}
    running.ctl(&["reset"]).expect("the button is there");
    running.ctl(&["resume"]).expect("it was paused");
    let first = first.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(!first.status.success() && said.contains("was reset"), "{said}");
    assert_eq!(adapter_of(&running).expect("it stays")["removal-asked"], false);
    running.quit();
}

/// The kernel forgets what it is asked before it looks after events of ACPI, and nobody says so.
#[test]
#[ignore = "needs a kernel and a minute"]
fn a_guest_that_did_not_listen_is_asked_again() {
    let scratch = Scratch::new("hotplug-deaf");
    let Some(running) = guest(&scratch, &["--net", "nowhere"]) else { return };
    running.ctl(&["pause"]).expect("it runs");
    assert!(running.said().is_empty(), "the guest has begun already: {}", running.said());
    let ask = ["ctl", &*running.socket, "device", "remove", "nic0"];
    let first = Command::new(amber()).args(ask).stdout(Stdio::piped()).spawn().expect("amber starts");
    let start = Instant::now();
    while adapter_of(&running).expect("it is there")["removal-asked"] == false {
        assert!(start.elapsed() < PATIENCE, "it was asked for");
    }
    running.ctl(&["resume"]).expect("it was paused");
    running.until("nics eth0 .", 1);
    let adapter = adapter_of(&running).expect("the guest did not let go of it");
    assert_eq!([&adapter["present"], &adapter["removal-asked"]], [true, true]);
    let second = running.ctl(&["device", "remove", "nic0"]).expect("the guest lets go of it");
    let first = first.wait_with_output().expect("it ends");
    let first: Value = serde_json::from_slice(&first.stdout).expect("it is answered, too");
    assert_eq!(first, second);
    assert_eq!(adapter_of(&running), None);
    running.quit();
}
