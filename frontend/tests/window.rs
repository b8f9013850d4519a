//! The window for real: in an X server without a screen, drawn by software, with keys and a mouse.

mod desktop;

use desktop::{Desktop, Image, await_some, missing, replays};

/// Draws in each mode, and lists what keyboard and mouse send.
const DISPLAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../roms/display/image.bin");

/// The program with that image, stopped at its first picture.
fn display(name: &str) -> Option<Desktop> {
    if let Some(sentence) = missing() {
        eprintln!("{sentence}");
        return None;
    }
    let args = ["--rom", DISPLAY, "--memory", "64M", "--control", "socket", "--record", "log"];
    let desktop = Desktop::start(name, &args)?;
    await_some("the machine", || desktop.ctl(&["serial", "i"]));
    desktop.await_text("AMBER DISPLAY");
    Some(desktop)
}

/// Waits until the window shows the machine's screen, pixel by pixel; where.
fn await_screen(desktop: &Desktop) -> (usize, usize, Image) {
    let file = desktop.scratch.0.join("screen.png");
    let target = file.display().to_string();
    await_some("the machine's screen in the window", || {
        desktop.ctl(&["screenshot", &target])?;
        let screen = Image::read(&file);
        let (x, y) = desktop.look().find(&screen)?;
        Some((x, y, screen))
    })
}

#[test]
fn the_window_shows_the_screen_and_takes_keys_and_mouse() {
    let Some(desktop) = display("hands") else { return };
    assert!(desktop.title().starts_with("Amber - image - running - Right Ctrl"), "{}", desktop.title());
    // Text, planes, 13h, linear: each a picture with more than text's two colours but the first.
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let (x, y, screen) = await_screen(&desktop);
        assert!(y > 0 && screen.colours() > 1, "below the menu, at {x}, {y}");
        sizes.push((screen.width, screen.height));
        desktop.press(&["space"]);
        await_some("the next mode", || {
            let next = await_size(&desktop);
            (next != (screen.width, screen.height)).then_some(())
        });
    }
    assert_eq!(sizes[..2], [(720, 400), (640, 480)]);
    desktop.press(&["space"]);
    desktop.await_text("KEYS");
    let (x, y, screen) = await_screen(&desktop);
    desktop.press(&["a", "Pause"]);
    desktop.await_text("1E 9E E1 1D 45 E1 9D C5");
    // The click that takes the mouse is not the guest's; what is moved then is.
    desktop.point(x + screen.width / 2, y + screen.height / 2);
    desktop.xdotool(&["click", "1"]);
    desktop.xdotool(&["mousemove_relative", "--", "3", "2"]);
    desktop.await_text("28 03 FE 00");
    desktop.press(&["Control_R"]);
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

/// The size of the machine's screen.
fn await_size(desktop: &Desktop) -> (usize, usize) {
    let file = desktop.scratch.0.join("size.png");
    let target = file.display().to_string();
    await_some("a picture", || desktop.ctl(&["screenshot", &target]));
    let screen = Image::read(&file);
    (screen.width, screen.height)
}

#[test]
fn chords_pause_step_and_end_the_run_and_lost_keys_go_up() {
    let Some(desktop) = display("chords") else { return };
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
