//! Real guests in the window, by keys and mouse: firmware, GRUB, the Debian installer, a login, a graphical desktop. Run by name:
//!
//!     tests/fetch-debian.sh; tests/build-system-disk.sh; tests/build-graphical-disk.sh
//!     cargo test --release -p amber-frontend --test window -- --ignored --test-threads=1 guests
//!
//! With `AMBER_PICTURES=$PWD/docs/pictures` they write the pictures that are there again.

mod firmware;
mod graphical;
mod linux;

use super::{Desktop, Image, await_some, missing};
use amber_devices::display::Picture;
use amber_emu::cli::build;
use amber_emu::config::MachineConfig;
use amber_snapshot::Store;
use amber_tests::program::Scratch;
use amber_tests::sitting::Sitting;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Width and height of the windows of these tests.
const SIZE: (i32, i32) = (1100, 720);

/// Whether all files and tools are there; said if not.
fn all_there(files: &[&Path], how: &str) -> bool {
    let no_xclip = || Command::new("xclip").arg("-version").output().is_err();
    let missing =
        missing().or_else(|| no_xclip().then(|| "skipped: apt-get install xclip".to_owned())).or_else(|| {
            let file = files.iter().find(|file| !file.is_file())?;
            Some(format!("skipped: no {}: {how}", file.display()))
        });
    missing.iter().for_each(|sentence| eprintln!("{sentence}"));
    missing.is_none()
}

/// The window of these tests.
fn window(name: &str, args: &[&str]) -> Option<Desktop> {
    let desktop = Desktop::start(&format!("guest-{name}"), &[args, &["--control", "socket"]].concat())?;
    desktop.put([SIZE.0, SIZE.1, 0, 0]);
    Some(desktop)
}

/// A guest that was brought to a place without a window, where it can be gone on with in one.
struct Prepared {
    name: &'static str,
    store: Scratch,
    /// It goes on from there, too.
    sitting: Sitting,
}

impl Prepared {
    fn new(name: &'static str, config: &MachineConfig, so_far: impl FnOnce(&mut Sitting)) -> Self {
        let scratch = Scratch::new(&format!("desktop-store-guest-{name}"));
        let store = Store::open(&scratch.0).expect("a folder");
        let mut sitting = Sitting::new(build::machine(config).expect("all files are there"));
        so_far(&mut sitting);
        let saved = sitting.machine.freeze().save(&store, None).expect("room");
        store.name(name, saved.id, 0, false).expect("nothing has that name");
        Self { name, store: scratch, sitting }
    }

    fn window(&self, more: &[&str]) -> Option<Desktop> {
        let store = self.store.0.display().to_string();
        let args = [&["--from", self.name, "--store", &store], more].concat();
        window(self.name, &args)
    }
}

/// Goes on for so many ms of virtual time, until what was asked for is drawn.
fn go_on(sitting: &mut Sitting, ms: u64) {
    let end = sitting.machine.now() + ms * 1_000_000;
    sitting.until("a later time", ms, |sitting| sitting.machine.now() >= end);
}

fn image(picture: &Picture) -> Image {
    let pixels = picture.pixels.chunks_exact(4).map(|pixel| [pixel[0], pixel[1], pixel[2]]);
    Image { width: picture.width as usize, height: picture.height as usize, pixels: pixels.collect() }
}

/// The machine's screen.
fn screen(desktop: &Desktop) -> Image {
    let file = desktop.scratch.0.join("guest.png");
    let target = file.display().to_string();
    await_some("a picture", || desktop.ctl(&["screenshot", &target]));
    Image::read(&file)
}

/// Waits until the machine's screen is that of a machine without a window.
fn await_same(desktop: &Desktop, sitting: &Sitting, what: &str) {
    let expected = image(&sitting.machine.picture());
    await_some(what, || (screen(desktop) == expected).then_some(()));
}

/// Types a line, and has it read.
fn enter(desktop: &Desktop, line: &str) {
    desktop.write(line);
    desktop.press(&["Return"]);
}

/// Puts text on the clipboard, and has it typed in the guest.
fn paste(desktop: &Desktop, text: &str) {
    let mut clipboard = Command::new("xclip")
        .args(["-selection", "clipboard", "-in"])
        .env("DISPLAY", &desktop.server.display)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("xclip starts");
    let mut input = clipboard.stdin.take().expect("it is piped");
    input.write_all(text.as_bytes()).expect("xclip reads");
    drop(input);
    assert!(clipboard.wait().expect("it is a child").success(), "it has the clipboard");
    desktop.chord("v");
}

/// What is on the clipboard.
fn clipboard(desktop: &Desktop) -> String {
    desktop.server.tool("xclip", &["-selection", "clipboard", "-out"]).unwrap_or_default()
}

/// Writes a picture of the window, where pictures are asked for.
fn picture(desktop: &Desktop, name: &str) {
    let Some(folder) = std::env::var_os("AMBER_PICTURES") else { return };
    // A sentence or a key may be under way.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let file = Path::new(&folder).join(format!("desktop-{name}.png")).display().to_string();
    let reduce = ["+dither", "-colors", "128", "-strip", "-define", "png:compression-level=9"];
    let args = [&["-window", &desktop.window], &reduce[..], &[&file]].concat();
    desktop.server.tool("import", &args).expect("the folder is there");
}
