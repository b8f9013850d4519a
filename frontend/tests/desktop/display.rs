//! The display image in a window: it draws in each mode, and lists what keyboard and mouse send.

use super::{Desktop, Image, await_some, missing, run_with_input};
use amber_tests::program::Scratch;

const DISPLAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../roms/display/image.bin");

/// A step at which that image waits for a key at its first picture.
const FIRST_PICTURE: &str = "100000000";

/// The program with that image, stopped at its first picture.
pub fn display(name: &str, more: &[&str]) -> Option<(Desktop, Scratch)> {
    if let Some(sentence) = missing() {
        eprintln!("{sentence}");
        return None;
    }
    // The image asks for its `i` at once, so a run without a window comes to the first picture.
    let store = Scratch::new(&format!("desktop-store-{name}"));
    let folder = store.0.display().to_string();
    let prepare = ["run", "--headless", "--rom", DISPLAY, "--memory", "64M", "--store", &folder];
    let until = ["--stop-at", FIRST_PICTURE, "--save-on-exit", "picture"];
    run_with_input(&[&prepare[..], &until[..]].concat(), b"i");
    let args = ["--from", "picture", "--store", &folder, "--control", "socket"];
    let desktop = Desktop::start(name, &[&args[..], more].concat())?;
    desktop.await_text("AMBER DISPLAY");
    Some((desktop, store))
}

/// Waits until the window shows the machine's screen, so many times enlarged, pixel by pixel; where.
pub fn await_screen(desktop: &Desktop, factor: usize) -> (usize, usize, Image) {
    let file = desktop.scratch.0.join("screen.png");
    let target = file.display().to_string();
    await_some("the machine's screen in the window", || {
        desktop.ctl(&["screenshot", &target])?;
        let screen = Image::read(&file).enlarged(factor);
        let (x, y) = desktop.look().find(&screen)?;
        Some((x, y, screen))
    })
}

/// The size of the machine's screen.
pub fn screen_size(desktop: &Desktop) -> (usize, usize) {
    let file = desktop.scratch.0.join("size.png");
    let target = file.display().to_string();
    await_some("a picture", || desktop.ctl(&["screenshot", &target]));
    let screen = Image::read(&file);
    (screen.width, screen.height)
}
