//! How one gets a machine, in a window for real, by keyboard alone.

use crate::desktop::{Desktop, await_some, missing};
use amber_tests::program::{Scratch, run};
use std::rc::Rc;

/// The monitor's own image.
const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../roms/monitor/image.bin");
/// Down from the first thing of the start screen to the built-in monitor.
const TO_MONITOR: usize = 5;

/// From the name of a kernel's machine to the button that chooses its file.
const TO_CHOOSE: usize = 7;

/// The program at its start screen.
fn start(name: &str) -> Option<Desktop> {
    if let Some(sentence) = missing() {
        eprintln!("{sentence}");
        return None;
    }
    let desktop = Desktop::start(name, &["--control", "socket"])?;
    desktop.await_title("start screen");
    desktop.still();
    Some(desktop)
}

fn down(desktop: &Desktop, times: usize) {
    // Of arrows that come within one drawing the last counts, and that may be late on a busy host.
    for _ in 0..times {
        desktop.press(&["Down"]);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    desktop.press(&["Return"]);
}

/// Waits until the machine that was made runs, and answers.
fn await_probe(desktop: &Desktop) {
    desktop.await_title("Amber - probe - running");
    await_some("an answer", || desktop.ctl(&["status"]).filter(|status| status.contains("running")));
}

/// Waits until there is no machine in the program.
fn await_no_machine(desktop: &Desktop) {
    desktop.await_title("start screen");
    await_some("the machine's thread to end", || {
        (!desktop.threads().iter().any(|name| name == "machine")).then_some(())
    });
    assert!(!desktop.scratch.0.join("socket").exists(), "nobody listens any more");
    desktop.still();
}

/// Closes the machine, which is asked about. It is paused first, so that the window stands still.
fn close(desktop: &Desktop) {
    desktop.chord("p");
    desktop.await_title("paused");
    let before = desktop.still();
    desktop.chord("x");
    assert!(desktop.still() != before, "the person is asked");
    desktop.press(&["Return"]);
    await_no_machine(desktop);
}

#[test]
fn a_guest_starts_by_keyboard_and_is_closed_and_another_starts() {
    let Some(desktop) = start("start-keys") else { return };
    down(&desktop, TO_MONITOR);
    desktop.await_title("Amber - monitor - running");
    assert!(desktop.threads().iter().any(|name| name == "machine"));
    let inputs = || {
        let status = desktop.ctl(&["status"])?;
        let (_, rest) = status.split_once("\"inputs\": ")?;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().ok()
    };
    let before = await_some("an answer", inputs);
    desktop.write("pci");
    await_some("what is typed", || inputs().filter(|now| *now > before));
    // By the menu bar: to the machine, and closed at the second asking.
    desktop.chord("F10");
    desktop.press(&["Escape"]);
    desktop.chord("x");
    desktop.press(&["Escape"]);
    assert!(desktop.title().contains("monitor"), "who escapes keeps the machine");
    close(&desktop);
    down(&desktop, TO_MONITOR + 1);
    desktop.await_title("Amber - selftest");
    desktop.chord("q");
    assert_eq!(desktop.end().0, Some(0));
}

#[test]
fn an_image_becomes_a_machine_that_runs_and_is_remembered_as_the_window_is() {
    let Some(desktop) = start("start-form") else { return };
    let scratch = Rc::clone(&desktop.scratch);
    let image = scratch.file("image with no kind", &std::fs::read(IMAGE).expect("it is in the tree"));
    desktop.put([1000, 720, 60, 40]);
    // The dialog, by the path.
    desktop.press(&["Return"]);
    desktop.still();
    desktop.press(&["slash"]);
    desktop.still();
    desktop.press(&["ctrl+a"]);
    desktop.still();
    desktop.write(&scratch.0.display().to_string());
    // What is typed and entered within one drawing is not whole for the dialog.
    desktop.still();
    desktop.press(&["Return"]);
    desktop.still();
    desktop.write("image with");
    desktop.still();
    desktop.press(&["Down"]);
    desktop.still();
    desktop.press(&["Return"]);
    let form = desktop.still();
    // Its form begins with the name.
    desktop.press(&["ctrl+a"]);
    desktop.write("probe");
    assert!(desktop.still() != form);
    desktop.press(&["ctrl+Return"]);
    await_probe(&desktop);
    let file = scratch.0.join("machines/probe.toml");
    let said = run(&["run", &file.display().to_string(), "--dump-config"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains(&format!("rom = \"{}\"", image.display())), "{said}");
    desktop.chord("2");
    close(&desktop);
    let place = desktop.place();
    desktop.chord("q");
    assert_eq!(desktop.end().0, Some(0));
    let settings = std::fs::read_to_string(scratch.0.join("settings.toml")).expect("it is written");
    assert!(
        settings.contains("scaling = \"aspect\"") && settings.contains("machines/probe.toml"),
        "{settings}"
    );
    let pictures = std::fs::read_dir(scratch.0.join("pictures")).expect("the last screen is kept");
    assert_eq!(pictures.count(), 1);
    again(&scratch, place);
}

/// The program started again in the same folder.
fn again(scratch: &Rc<Scratch>, place: [i32; 4]) {
    let desktop =
        Desktop::start_in(Rc::clone(scratch), &["--control", "socket"], &[]).expect("it drew before");
    desktop.await_title("start screen");
    desktop.still();
    assert_eq!(desktop.place(), place, "the window is as it was");
    desktop.picture("start");
    // To the right there is the machine, and its first button starts it.
    desktop.press(&["Right", "Return"]);
    await_probe(&desktop);
    desktop.chord("q");
    assert_eq!(desktop.end().0, Some(0));
}

#[test]
fn who_leaves_the_dialog_for_files_still_has_the_form() {
    let Some(desktop) = start("start-escape") else { return };
    // A kernel's form, and the button beside its file.
    down(&desktop, 1);
    desktop.write("x");
    desktop.press(&["Tab"; TO_CHOOSE]);
    let form = desktop.still();
    desktop.press(&["Return"]);
    assert!(desktop.still() != form);
    desktop.press(&["Escape"]);
    assert!(desktop.still() == form, "the button has the keyboard again, and what was written is there");
    desktop.press(&["Escape"]);
    assert!(desktop.still() != form);
}

#[test]
fn settings_that_are_not_understood_are_said_and_kept_aside() {
    if let Some(sentence) = missing() {
        return eprintln!("{sentence}");
    }
    let scratch = Rc::new(Scratch::new("desktop-start-broken"));
    scratch.file("settings.toml", b"zoom = \"large\"\n");
    let Some(desktop) = Desktop::start_in(Rc::clone(&scratch), &[], &[]) else { return };
    desktop.await_title("start screen");
    let said = desktop.still();
    assert_eq!(
        std::fs::read(scratch.0.join("settings.broken.toml")).expect("it is kept"),
        b"zoom = \"large\"\n"
    );
    desktop.chord("Escape");
    assert!(desktop.still() != said, "the sentence was read");
    desktop.chord("q");
    assert_eq!(desktop.end().0, Some(0));
}
