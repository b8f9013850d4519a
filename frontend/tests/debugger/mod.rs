//! The debugger's pane for real: opened by a chord, clicked, and compared with what the machine says.

use crate::desktop::{Desktop, Image, await_some, missing};
use serde_json::Value;

/// The window is wide enough for the pane, and the machine paused in the monitor.
fn paused(name: &str, args: &[&str]) -> Option<Desktop> {
    if let Some(sentence) = missing() {
        eprintln!("{sentence}");
        return None;
    }
    let desktop = Desktop::start(name, &[&["--control", "socket"], args].concat())?;
    await_some("the monitor to wait", || {
        let status = ask(&desktop, &["status"])?;
        (status["step"].as_u64()? > 100_000).then_some(())
    });
    desktop.chord("p");
    desktop.await_title("paused");
    Some(desktop)
}

fn ask(desktop: &Desktop, words: &[&str]) -> Option<Value> {
    serde_json::from_str(&desktop.ctl(words)?).ok()
}

fn status(desktop: &Desktop) -> Value {
    ask(desktop, &["status"]).expect("it answers")
}

/// Pixels of the window that have another colour.
fn differing(a: &Image, b: &Image) -> Vec<(usize, usize)> {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let differs = (0..a.pixels.len()).filter(|n| a.pixels[*n] != b.pixels[*n]);
    differs.map(|n| (n % a.width, n / a.width)).collect()
}

/// The line that is marked as next: its left edge below the margin's middle, and the y of its middle.
fn marked(picture: &Image) -> Option<(usize, usize)> {
    // The first rows of pixels of one colour that are wide, not the background, and in the right half; the frame of what has the
    // keyboard is thinner.
    let half = picture.width / 2;
    for y in 100..picture.height / 2 + 60 {
        let line = &picture.pixels[y * picture.width..][..picture.width];
        let background = line[picture.width - 2];
        let inside = line[picture.width - 30];
        let below = picture.pixels[(y + 6) * picture.width + picture.width - 30];
        if inside != background && inside == below {
            let from = (half..picture.width - 30).rev().find(|x| line[*x] == background)?;
            return Some((from, y + 6));
        }
    }
    None
}

#[test]
fn the_debugger_steps_and_stops_where_it_was_clicked() {
    let Some(desktop) = paused("debugger", &["--firmware", "monitor"]) else { return };
    let narrow = desktop.still();
    desktop.chord("d");
    await_some("a wider window", || (desktop.look().width > narrow.width).then_some(()));
    let first = desktop.still();
    assert!(first.colours() > narrow.colours());
    // One instruction: the step counts on, and the window shows another place or other values.
    let before = status(&desktop)["step"].as_u64();
    desktop.chord("n");
    await_some("a step", || (status(&desktop)["step"].as_u64() > before).then_some(()));
    let second = desktop.still();
    assert!(!differing(&first, &second).is_empty(), "a step shows");
    // A click in the margin of the line that is next sets a breakpoint there, a second one takes it away.
    let (x, y) = marked(&second).expect("a line is marked");
    desktop.point(x + 9, y);
    desktop.xdotool(&["click", "1"]);
    let points = || ask(&desktop, &["break-list"]).expect("it answers")["points"].clone();
    await_some("a breakpoint", || points().get(0).cloned());
    let rip = status(&desktop)["rip"][0].clone();
    assert_eq!(points()[0]["address"], rip, "it is where the line is");
    let dotted = desktop.still();
    let dot =
        differing(&second, &dotted).into_iter().filter(|at| at.0.abs_diff(x + 9) < 8 && at.1.abs_diff(y) < 8);
    assert!(dot.count() > 20, "a dot shows in the margin");
    // The monitor waits in a loop, and comes there again.
    desktop.chord("p");
    let stopped = await_some("the breakpoint", || {
        let status = status(&desktop);
        (status["stopped"]["why"] == "breakpoint").then_some(status)
    });
    assert_eq!(stopped["stopped"]["address"], rip);
    assert!(stopped["step"].as_u64() > before.map(|step| step + 1));
    desktop.await_title("paused");
    let again = desktop.still();
    let (_, line) = marked(&again).expect("a line is marked");
    desktop.point(x + 9, line);
    desktop.xdotool(&["click", "1"]);
    await_some("no breakpoint", || points().as_array()?.is_empty().then_some(()));
    // Over what is next, and out of the function that waits, once somebody types.
    let stands = |since: Option<u64>| {
        await_some("it to go on and stand", || {
            let status = status(&desktop);
            (status["state"] == "paused" && status["step"].as_u64() > since).then_some(status)
        })
    };
    let before = status(&desktop)["step"].as_u64();
    desktop.chord("m");
    let over = stands(before);
    let caller = ask(&desktop, &["stack", "1"]).expect("it answers")["values"][0]["value"].clone();
    desktop.chord("u");
    desktop.await_title("running");
    desktop.ctl(&["serial", "x"]).expect("it listens");
    let out = stands(over["step"].as_u64());
    let [at, caller] =
        [&out["rip"][0], &caller].map(|text| text.as_str().expect("it is text").trim_start_matches("0x"));
    assert_eq!(u64::from_str_radix(at, 16), u64::from_str_radix(caller, 16), "the function returned");
    // Its monitor had less room than the pane wanted: closed again, the window is as it was.
    assert_eq!(desktop.look().width, 1280);
    desktop.chord("d");
    await_some("the window as it was", || (desktop.look().width == narrow.width).then_some(()));
}
