//! The window for real: in an X server without a screen, drawn by software, with keys and a mouse.

mod debugger;
mod desktop;
mod media;
mod start;

use desktop::display::{await_screen, display, screen_size};
use desktop::{Desktop, HOST, await_some, missing, replays};

#[test]
fn the_window_shows_the_screen_and_takes_keys_and_mouse() {
    let Some((mut desktop, _store)) = display("hands", &["--record", "log"]) else { return };
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
    // The machine stands where it ended, to be looked at.
    desktop.await_text("30 B0");
    desktop.chord("q");
    assert_eq!(desktop.code(), Some(0));
    let log = desktop.scratch.0.join("log");
    assert!(replays(&log), "the log repeats the run");
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

/// The middle of the timeline, and where its slider begins and ends.
const TIMELINE: usize = 525;
const SLIDER: (usize, usize) = (286, 680);

#[test]
fn the_timeline_goes_back_while_it_is_dragged_and_the_machine_runs_on_from_there() {
    let Some((mut desktop, _store)) = display("timeline", &["--record", "log"]) else { return };
    let status = |what: &str| {
        let status = desktop.ctl(&["status"]).expect("it answers");
        let (_, rest) = status.split_once(&format!("\"{what}\": ")).expect("it is there");
        rest.split([',', '\n']).next().unwrap_or_default().trim_matches('"').to_owned()
    };
    let step = || status("step").parse::<u64>().expect("a number");
    desktop.chord("b");
    for size in [(640, 480), (320, 200)] {
        std::thread::sleep(std::time::Duration::from_millis(700));
        desktop.press(&["space"]);
        await_some("the next mode", || (screen_size(&desktop) == size).then_some(()));
    }
    std::thread::sleep(std::time::Duration::from_millis(700));
    let end = step();
    // Held at the left end it shows the first picture, and at the right one the last.
    desktop.point(SLIDER.1, TIMELINE);
    desktop.xdotool(&["mousedown", "1"]);
    for x in [600, 500, 400, SLIDER.0] {
        desktop.point(x, TIMELINE);
    }
    desktop.await_title("rewinding");
    await_some("the first picture", || (screen_size(&desktop) == (720, 400)).then_some(()));
    let (_, _, screen) = await_screen(&desktop, 1);
    assert!(screen.colours() > 1);
    let back = step();
    assert!(back < end, "{back} {end}");
    for x in [400, 500, 600, SLIDER.1] {
        desktop.point(x, TIMELINE);
    }
    await_some("the last picture", || (screen_size(&desktop) == (320, 200)).then_some(()));
    desktop.point(SLIDER.0, TIMELINE);
    await_some("the first picture", || (screen_size(&desktop) == (720, 400)).then_some(()));
    // Let go, it runs on from there as it ran before; what was typed later is not typed again.
    desktop.xdotool(&["mouseup", "1"]);
    desktop.await_title("running");
    await_some("a later step than it came to", || (step() > end).then_some(()));
    assert_eq!(screen_size(&desktop), (720, 400));
    desktop.press(&["space"]);
    await_some("the next mode", || (screen_size(&desktop) == (640, 480)).then_some(()));
    // What it left can be returned to.
    desktop.chord("p");
    desktop.await_title("paused");
    assert!(desktop.ctl(&["return", "1"]).is_some(), "the way it left is kept");
    assert_eq!(screen_size(&desktop), (320, 200));
    let last = step();
    desktop.chord("Left");
    desktop.await_title("rewinding");
    await_some("a step back", || (step() == last - 1).then_some(()));
    desktop.chord("End");
    await_some("the end", || (step() == last).then_some(()));
    desktop.chord("q");
    assert_eq!(desktop.code(), Some(0));
    assert!(replays(&desktop.scratch.0.join("log")), "the log is that of the way it stands on");
}

#[test]
fn speed_is_slow_and_fast_and_back() {
    let Some((desktop, _store)) = display("speed", &[]) else { return };
    let speed = |what: &str| {
        await_some(what, || {
            desktop.ctl(&["status"]).filter(|status| status.contains(&format!("\"speed\": {what}")))
        });
    };
    speed("100");
    desktop.chord("l");
    speed("25");
    desktop.chord("l");
    speed("100");
    desktop.chord("space");
    speed("null");
    desktop.chord("space");
    speed("100");
    desktop.xdotool(&["keydown", HOST]);
    desktop.xdotool(&["keydown", "Tab"]);
    speed("null");
    desktop.xdotool(&["keyup", "Tab"]);
    speed("100");
    desktop.xdotool(&["keyup", HOST]);
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
