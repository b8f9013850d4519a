//! All a person does in a session is in its log.

use super::display::{await_screen, display, screen_size};
use super::{await_some, replays};
use serde_json::Value;
use std::time::Duration;

/// From the window's right edge to the values of the debugger's registers, and where the one of r15 is.
const VALUE: usize = 520;
const R15: usize = 289;

#[test]
fn a_session_of_all_that_can_be_done_is_repeated_without_the_window() {
    let Some((mut desktop, _store)) = display("recorded", &["--record", "log"]) else { return };
    let status = || {
        let status = desktop.ctl(&["status"]).expect("it answers");
        serde_json::from_str::<Value>(&status).expect("it is JSON")
    };
    let step = || status()["step"].as_u64().expect("a number");
    desktop.press(&["space", "space", "space", "space"]);
    desktop.await_text("KEYS");
    desktop.press(&["a"]);
    desktop.await_text("1E 9E");
    let (x, y, screen) = await_screen(&desktop, 1);
    desktop.point(x + screen.width / 2, y + screen.height / 2);
    desktop.xdotool(&["click", "1"]);
    desktop.xdotool(&["mousemove_relative", "--", "3", "2"]);
    desktop.await_text("28 03 FE 00");
    desktop.press(&[super::HOST]);
    desktop.chord("p");
    desktop.await_title("paused");
    let before = step();
    desktop.chord("n");
    await_some("a step", || (step() == before + 1).then_some(()));
    // A register is changed in the debugger.
    let inputs = status()["inputs"].as_u64();
    desktop.chord("d");
    desktop.still();
    desktop.point(desktop.size().0 - VALUE, R15);
    desktop.xdotool(&["click", "--repeat", "2", "--delay", "60", "1"]);
    std::thread::sleep(Duration::from_millis(400));
    desktop.press(&["ctrl+a", "0", "x", "5", "a", "f", "e", "Return"]);
    await_some("the edit", || {
        desktop.ctl(&["registers"]).filter(|registers| registers.contains("0000000000005afe"))
    });
    assert!(status()["inputs"].as_u64() > inputs, "an edit is an input");
    desktop.chord("d");
    desktop.chord("p");
    desktop.await_title("running");
    std::thread::sleep(Duration::from_millis(1600));
    // Back, and on from there.
    desktop.chord("p");
    desktop.await_title("paused");
    let end = step();
    desktop.chord("Prior");
    desktop.await_title("rewinding");
    await_some("an earlier step", || (step() < end).then_some(()));
    desktop.chord("y");
    desktop.await_title("replaying");
    desktop.press(&["c"]);
    desktop.await_title("running");
    desktop.await_text("2E AE");
    desktop.chord("r");
    await_some("the image to begin anew", || (screen_size(&desktop) != (800, 600)).then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    desktop.chord("q");
    assert_eq!(desktop.code(), Some(0));
    assert!(replays(&desktop.scratch.0.join("log")), "the log repeats the run to its state");
}
