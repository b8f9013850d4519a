//! A graphical desktop: the pointer is where the host's is, and clicks and keys come to the programs, however the screen is scaled.

use super::{Prepared, SIZE, all_there, enter, go_on, picture, screen};
use crate::desktop::display::await_screen;
use crate::desktop::{Desktop, Image, await_some, replays};
use amber_devices::DiskInterface;
use amber_emu::config::{DiskChoice, MachineConfig};

/// What tests/build-graphical-disk.sh has the background painted with.
const BACKGROUND: [u8; 3] = [0x30, 0x50, 0x6c];
/// The same after the command that is typed.
const PAINTED: [u8; 3] = [0x2f, 0x6f, 0x5f];
/// Keys of the calculator, in the guest's screen.
const CALCULATOR: [(&str, (usize, usize)); 6] = [
    ("7", (613, 282)),
    ("*", (748, 282)),
    ("8", (658, 282)),
    ("=", (748, 350)),
    ("5", (658, 305)),
    ("6", (703, 305)),
];
/// The key that has it forget all.
const CLEAR: (usize, usize) = (748, 122);
/// Left, top, width and height of the calculator's digits, of one eye, and of where the menu of programs opens.
const DIGITS: [usize; 4] = [557, 68, 205, 14];
const EYE: [usize; 4] = [575, 420, 64, 90];
const MENU: [usize; 4] = [2, 450, 80, 110];
const START_BUTTON: (usize, usize) = (25, 587);
const TERMINAL: (usize, usize) = (270, 250);

/// Where the guest's screen is in the window.
struct Place {
    at: (f64, f64),
    scale: (f64, f64),
}

impl Place {
    fn point(&self, desktop: &Desktop, (x, y): (usize, usize)) {
        let along = |at: f64, scale: f64, n: usize| (at + (n as f64 + 0.5) * scale) as usize;
        desktop.point(along(self.at.0, self.scale.0, x), along(self.at.1, self.scale.1, y));
        // The guest is told every 8 ms.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }

    fn click(&self, desktop: &Desktop, to: (usize, usize)) {
        self.point(desktop, to);
        desktop.xdotool(&["click", "1"]);
    }

    /// Of a screen that fills all between the menus and the status line: those are as high, whatever its scaling.
    fn filling(desktop: &Desktop, screen: &Image) -> Self {
        let height = await_some("a screen that fills the window", || {
            let seen = desktop.look();
            let column = |x: usize| {
                (0..seen.height).filter(|y| seen.pixels[y * seen.width + x] == BACKGROUND).collect()
            };
            let (left, right): (Vec<usize>, Vec<usize>) = (column(0), column(seen.width - 1));
            let (first, last) = (*left.first()?, *left.last()?);
            (left == right && last > first).then_some((first, last + 1))
        });
        // Below the background is the task bar.
        let background =
            (0..screen.height).take_while(|y| screen.pixels[y * screen.width] == BACKGROUND).count();
        let scale = (height.1 - height.0) as f64 / background as f64;
        Self { at: (0.0, height.0 as f64), scale: (SIZE.0 as f64 / screen.width as f64, scale) }
    }
}

fn part(image: &Image, [x, y, width, height]: [usize; 4]) -> Image {
    let lines = image.pixels.chunks_exact(image.width).skip(y).take(height);
    Image { width, height, pixels: lines.flat_map(|line| &line[x..x + width]).copied().collect() }
}

/// Clicks these keys of the calculator.
fn calculate(desktop: &Desktop, place: &Place, keys: &[&str]) {
    for key in keys {
        let (_, to) = CALCULATOR.iter().find(|(name, _)| name == key).expect("it has that key");
        place.click(desktop, *to);
        // It blinks.
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

/// How far to the right the pupil is.
fn gaze(eye: &Image) -> usize {
    let black = (0..eye.pixels.len()).filter(|n| eye.pixels[*n] == [0; 3]);
    let (sum, count) = black.fold((0, 0), |(sum, count), n| (sum + n % eye.width, count + 1));
    sum / std::cmp::max(count, 1)
}

fn prepared() -> Option<Prepared> {
    let folder = amber_tests::debian()?;
    let [kernel, initrd, file] = ["vmlinuz", "graphical.gz", "graphical.img"].map(|name| folder.join(name));
    if !all_there(&[&kernel, &initrd, &file], "run tests/build-graphical-disk.sh") {
        return None;
    }
    let config = MachineConfig {
        kernel: Some(kernel),
        initrd: Some(initrd),
        append: Some("console=tty0 console=ttyS0 quiet".into()),
        disk: vec![DiskChoice { file, interface: DiskInterface::Virtio, ..DiskChoice::default() }],
        device: ["usb-keyboard", "usb-tablet"].map(|name| name.parse().expect("a device")).into(),
        ..MachineConfig::default()
    };
    Some(Prepared::new("desktop", &config, |sitting| {
        sitting.until_said("READY", 600);
        go_on(sitting, 1000);
    }))
}

#[test]
#[ignore = "cargo test --release -p amber-frontend --test window -- --ignored guests; needs xclip, and the disk of tests/build-graphical-disk.sh"]
fn a_graphical_desktop_is_used_by_mouse_and_keys() {
    let Some(prepared) = prepared() else { return };
    let Some(mut desktop) = prepared.window(&["--record", "log"]) else { return };
    desktop.await_title("running");
    let (x, y, first) = await_screen(&desktop, 1);
    let place = Place { at: (x as f64, y as f64), scale: (1.0, 1.0) };
    let nothing = part(&first, DIGITS);
    // The arrow is where the host's pointer is, and the eyes look there.
    let mut gazes = Vec::new();
    for to in [(60, 520), (520, 500), (780, 520)] {
        let arrow = [to.0, to.1, 8, 12];
        assert!(part(&first, arrow).colours() == 1, "nothing is there");
        place.point(&desktop, to);
        await_some("the arrow", || (part(&screen(&desktop), arrow).colours() > 1).then_some(()));
        gazes.push(gaze(&part(&screen(&desktop), EYE)));
    }
    assert!(gazes[0] < gazes[2], "the eyes follow: {gazes:?}");
    calculate(&desktop, &place, &["7", "*", "8", "="]);
    let product = part(&screen(&desktop), DIGITS);
    assert!(product != nothing, "the calculator shows something else");
    place.click(&desktop, TERMINAL);
    enter(&desktop, "uname -srm; ls -C /; date");
    place.click(&desktop, START_BUTTON);
    await_some("the menu of programs", || (part(&screen(&desktop), MENU).colours() > 1).then_some(()));
    await_screen(&desktop, 1);
    picture(&desktop, "x");
    desktop.press(&["Escape"]);
    await_some("no menu", || (part(&screen(&desktop), MENU).colours() == 1).then_some(()));
    // Stretched, and with its proportions, what is clicked is what is seen.
    desktop.chord("3");
    let stretched = Place::filling(&desktop, &first);
    stretched.click(&desktop, CLEAR);
    await_some("an empty calculator", || (part(&screen(&desktop), DIGITS) == nothing).then_some(()));
    desktop.chord("2");
    let scale = stretched.scale.0.min(stretched.scale.1);
    let height = stretched.scale.1 * first.height as f64;
    let left = (SIZE.0 as f64 - scale * first.width as f64) / 2.0;
    let top = stretched.at.1 + (height - scale * first.height as f64) / 2.0;
    let proportional = Place { at: (left, top), scale: (scale, scale) };
    calculate(&desktop, &proportional, &["5", "6"]);
    await_some("the same number", || (part(&screen(&desktop), DIGITS) == product).then_some(()));
    desktop.chord("1");
    place.click(&desktop, TERMINAL);
    enter(&desktop, "xsetroot -solid '#2f6f5f'");
    await_some("another background", || {
        (part(&screen(&desktop), [300, 450, 1, 1]).pixels == [PAINTED]).then_some(())
    });
    await_screen(&desktop, 1);
    desktop.chord("q");
    assert_eq!(desktop.code(), Some(0));
    assert!(replays(&desktop.scratch.0.join("log")), "the log repeats what was done");
}
