//! The pane of snapshots: saved, loaded, compared, renamed and deleted in the window.

use super::display::{await_screen, display, screen_size};
use super::{Desktop, await_some};
use amber_tests::program::{Scratch, run};
use serde_json::Value;

/// From the window's right and upper edge to the middle of the first snapshot, and from each to the next.
const ROW: (usize, usize) = (230, 92);
const PITCH: usize = 72;
/// From the window's right and lower edge to the last line of buttons: its first one.
const LAST: (usize, usize) = (350, 42);
/// The line above.
const ABOVE: usize = 64;

/// The names of the snapshots in the store, the earliest saved first.
fn names(store: &Scratch) -> Vec<String> {
    let folder = store.0.display().to_string();
    let output = run(&["snapshot", "--store", &folder, "list", "--json"]);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| row["names"][0].as_str().map(str::to_owned)).collect()
}

fn click(desktop: &Desktop, from_right: usize, y: usize) {
    let (width, _) = desktop.size();
    desktop.point(width - from_right, y);
    desktop.xdotool(&["click", "1"]);
}

/// The sentence above the status line was read.
fn dismiss(desktop: &Desktop) {
    let (_, height) = desktop.size();
    desktop.point(28, height - 32);
    desktop.xdotool(&["click", "1"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
}

/// Chooses the snapshot in a row.
fn choose(desktop: &Desktop, row: usize) {
    click(desktop, ROW.0, ROW.1 + row * PITCH);
    std::thread::sleep(std::time::Duration::from_millis(500));
}

fn button(desktop: &Desktop, from_bottom: usize, along: usize) {
    let (_, height) = desktop.size();
    click(desktop, LAST.0 - along, height - from_bottom);
}

#[test]
fn snapshots_are_saved_loaded_compared_renamed_and_deleted() {
    let Some((desktop, store)) = display("snapshots", &[]) else { return };
    desktop.chord("w");
    desktop.chord("g");
    await_some("a snapshot", || (names(&store).len() == 2).then_some(()));
    desktop.press(&["space"]);
    await_some("the next mode", || (screen_size(&desktop) == (640, 480)).then_some(()));
    desktop.chord("g");
    await_some("another", || (names(&store).len() == 3).then_some(()));
    let second = names(&store)[1].clone();
    std::thread::sleep(std::time::Duration::from_secs(3));
    // The first has no parent, and one line of buttons.
    choose(&desktop, 0);
    button(&desktop, LAST.1, 0);
    await_some("the first picture again", || (screen_size(&desktop) == (720, 400)).then_some(()));
    await_screen(&desktop, 1);
    choose(&desktop, 2);
    button(&desktop, LAST.1, 0);
    let colours = [[240, 150, 130], [130, 210, 140]];
    await_some("a comparison", || {
        let seen = desktop.look();
        colours.iter().all(|colour| seen.pixels.contains(colour)).then_some(())
    });
    desktop.press(&["Escape"]);
    await_screen(&desktop, 1);
    choose(&desktop, 1);
    button(&desktop, ABOVE, 70);
    std::thread::sleep(std::time::Duration::from_millis(500));
    desktop.press(&["ctrl+a", "b", "e", "f", "o", "r", "e", "Return"]);
    await_some("its name", || names(&store).contains(&"before".to_owned()).then_some(()));
    assert!(!names(&store).contains(&second));
    std::thread::sleep(std::time::Duration::from_secs(1));
    dismiss(&desktop);
    button(&desktop, ABOVE, 220);
    std::thread::sleep(std::time::Duration::from_millis(500));
    desktop.press(&["Return"]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(names(&store).len(), 3, "the safe answer is the first");
    button(&desktop, ABOVE, 220);
    std::thread::sleep(std::time::Duration::from_millis(500));
    desktop.press(&["shift+Tab", "Return"]);
    await_some("that it is gone", || (names(&store).len() == 2).then_some(()));
    desktop.chord("q");
    assert_eq!(desktop.end().0, Some(0));
}

#[test]
fn the_keyboard_alone_saves_under_a_name_and_reaches_a_menu_in_a_menu() {
    let Some((desktop, store)) = display("snapshots-keys", &[]) else { return };
    let settles = || std::thread::sleep(std::time::Duration::from_millis(400));
    desktop.chord("p");
    desktop.await_title("paused");
    desktop.chord("w");
    settles();
    // The first thing beside the screen is the name.
    desktop.chord("k");
    settles();
    desktop.write("by-hand");
    desktop.press(&["Return"]);
    await_some("a snapshot", || names(&store).contains(&"by-hand".to_owned()).then_some(()));
    // View, Colours, Light: below three scalings, what is shown, and Zoom.
    desktop.press(&["Escape"]);
    desktop.chord("F10");
    settles();
    for key in ["Right", "Right"].into_iter().chain(["Down"; 8]).chain(["Right", "Down", "Return"]) {
        desktop.press(&[key]);
        settles();
    }
    let seen = desktop.still();
    let beside_the_menus = seen.pixels[seen.width * 4 + seen.width / 2];
    assert!(beside_the_menus.iter().all(|part| *part > 200), "{beside_the_menus:?} is light");
}
