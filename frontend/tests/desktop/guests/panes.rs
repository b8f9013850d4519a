//! A Debian shell with each of the panes beside it: the snapshots as a tree, a comparison, the past, the debugger; and the start
//! screen that has it among the recent machines.

use super::{all_there, enter, window};
use crate::desktop::{Desktop, await_some};
use serde_json::Value;
use std::time::Duration;

const WIDE: [i32; 4] = [1240, 760, 0, 0];

fn click(desktop: &Desktop, from_right: usize, y: usize) {
    let (width, _) = desktop.size();
    desktop.point(width - from_right, y);
    desktop.xdotool(&["click", "1"]);
    std::thread::sleep(Duration::from_millis(700));
}

fn status(desktop: &Desktop) -> Value {
    let status = desktop.ctl(&["status"]).unwrap_or_default();
    serde_json::from_str(&status).unwrap_or_default()
}

/// Saves a snapshot, and waits until it is the machine's last one.
fn save(desktop: &Desktop) -> String {
    let before = status(desktop)["parent"].clone();
    desktop.chord("g");
    let parent = |status: Value| status["parent"].as_str().map(str::to_owned);
    await_some("a save", || parent(status(desktop)).filter(|now| Some(&**now) != before.as_str()))
}

#[test]
#[ignore = "cargo test --release -p amber-frontend --test window -- --ignored guests; needs Debian's files (tests/fetch-debian.sh), xclip"]
fn a_shell_is_saved_branched_compared_taken_back_and_looked_into() {
    let Some(folder) = amber_tests::debian() else { return };
    let [kernel, initrd, map] = ["vmlinuz", "shell.gz", "System.map"].map(|name| folder.join(name));
    if !all_there(&[&kernel, &initrd], "run tests/fetch-debian.sh") {
        return;
    }
    let [kernel, initrd] = [&kernel, &initrd].map(|file| file.display().to_string());
    let args = ["--kernel", &kernel, "--initrd", &initrd, "--append", "console=tty0", "--memory", "512M"];
    let Some(mut desktop) = window("panes", &args) else { return };
    desktop.put(WIDE);
    desktop.await_text("/ #");
    desktop.chord("w");
    let first = save(&desktop);
    enter(&desktop, "ls -l /");
    desktop.await_text("total");
    save(&desktop);
    enter(&desktop, "dmesg | tail");
    desktop.await_text("HOME=/");
    let third = save(&desktop);
    desktop.ctl(&["load", &first]).expect("it is in the store");
    enter(&desktop, "free");
    desktop.await_text("Swap:");
    let branch = save(&desktop);
    assert!(branch != third);
    std::thread::sleep(Duration::from_secs(3));
    click(&desktop, 230, 92 + 2 * 72);
    desktop.picture("snapshots");
    // The third has a parent: two lines of buttons, and the comparison in the last.
    let (_, height) = desktop.size();
    click(&desktop, 350, height - 42);
    await_some("a comparison", || desktop.look().pixels.contains(&[130, 210, 140]).then_some(()));
    desktop.picture("comparison");
    desktop.press(&["Escape"]);
    desktop.chord("w");
    for n in 0..6 {
        enter(&desktop, &format!("echo $((6 * {n}))"));
        std::thread::sleep(Duration::from_millis(600));
    }
    desktop.await_text("30");
    desktop.chord("p");
    desktop.await_title("paused");
    desktop.chord("Prior");
    desktop.await_title("rewinding");
    let past =
        await_some("an earlier screen", || desktop.ctl(&["text"]).filter(|text| !text.contains("* 5")));
    assert!(past.contains("Swap:"), "{past}");
    desktop.picture("rewind");
    desktop.ctl(&["symbols", &map.display().to_string()]).expect("a System.map");
    desktop.chord("d");
    desktop.ctl(&["step-into"]).or_else(|| desktop.ctl(&["step", "1"])).expect("a step");
    std::thread::sleep(Duration::from_secs(1));
    desktop.picture("debugger");
    desktop.chord("End");
    desktop.chord("p");
    desktop.await_title("running");
    desktop.chord("q");
    assert_eq!(desktop.code(), Some(0));
}
