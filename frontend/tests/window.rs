//! The window for real: in an X server without a screen, drawn by software, with keys and a mouse.

mod desktop;
mod start;

use desktop::display::{await_screen, display, screen_size};
use desktop::{Desktop, HOST, await_some, missing, replays};

#[test]
fn the_window_shows_the_screen_and_takes_keys_and_mouse() {
    let Some((desktop, _store)) = display("hands", &["--record", "log"]) else { return };
    desktop.await_title("Amber - picture - running - Right Ctrl");
    // Text, planes and mode 13h fit, the last twice as large.
    for (size, factor) in [((720, 400), 1), ((640, 480), 1), ((320, 200), 2)] {
        await_some("the next mode", || (screen_size(&desktop) == size).then_some(()));
        await_screen(&desktop, factor);
        desktop.press(&["space"]);
    }
    await_some("the last mode", || (screen_size(&desktop) == (800, 600)).then_some(()));
    desktop.press(&["space"]);
    desktop.await_text("KEYS");
    let (x, y, screen) = await_screen(&desktop, 1);
    desktop.press(&["a", "Pause"]);
    desktop.await_text("1E 9E E1 1D 45 E1 9D C5");
    // The click that takes the mouse is not the guest's; what is moved then is.
    desktop.point(x + screen.width / 2, y + screen.height / 2);
    desktop.xdotool(&["click", "1"]);
    desktop.xdotool(&["mousemove_relative", "--", "3", "2"]);
    let text = desktop.await_text("28 03 FE 00");
    assert_eq!(text.matches("28 03 FE 00").count(), 1, "{text}");
    desktop.press(&[HOST]);
    desktop.xdotool(&["mousemove_relative", "--", "5", "5"]);
    desktop.press(&["b"]);
    let text = desktop.await_text("30 B0");
    assert!(!text.contains("05 FB"), "the mouse was given back\n{text}");
    desktop.press(&["Escape"]);
    desktop.await_title("ended");
    desktop.chord("q");
    let log = desktop.scratch.0.join("log");
    assert!(replays(&log), "the log repeats the run");
    assert_eq!(desktop.end().0, Some(0));
}

#[test]
fn chords_pause_step_and_end_the_run_and_lost_keys_go_up() {
    let Some((desktop, _store)) = display("chords", &[]) else { return };
    desktop.press(&["space", "space", "space", "space"]);
    desktop.await_text("KEYS");
    desktop.chord("p");
    desktop.await_title("paused");
    let step = || {
        let status = desktop.ctl(&["status"]).expect("it is paused and answers");
        let (_, rest) = status.split_once("\"step\": ").expect("a step");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().expect("a number")
    };
    let before = step();
    desktop.chord("n");
    await_some("a step", || (step() == before + 1).then_some(()));
    desktop.chord("p");
    desktop.await_title("running");
    // Another window takes the keyboard while Shift is down.
    desktop.xdotool(&["keydown", "Shift_L"]);
    desktop.await_text("2A");
    let root =
        desktop.server.tool("xdotool", &["search", "--maxdepth", "0", "--class", ""]).expect("the root");
    desktop.xdotool(&["windowfocus", root.lines().next().expect("the root")]);
    desktop.await_text("2A AA");
    desktop.xdotool(&["keyup", "Shift_L"]);
}

#[test]
fn what_is_wrong_is_said_in_the_window() {
    if let Some(sentence) = missing() {
        return eprintln!("{sentence}");
    }
    let mut pictures = Vec::new();
    for (args, words) in [
        (&["--rom", "no-such-file"][..], "no-such-file"),
        (&["--memory", "half"][..], "half"),
        (&["--headless"][..], "amber run"),
        (&["--memory", "half"][..], "half"),
    ] {
        let Some(desktop) = Desktop::start("wrong", args) else { return };
        desktop.await_title("ended");
        pictures.push(desktop.still());
        desktop.chord("q");
        let (code, said) = desktop.end();
        assert_eq!(code, Some(2));
        assert!(said.contains(words), "{said}");
    }
    // But for the sentence these windows are alike.
    assert!(pictures[1] == pictures[3], "one sentence looks the same twice");
    assert!(pictures[0] != pictures[1] && pictures[1] != pictures[2] && pictures[0] != pictures[2]);
}
