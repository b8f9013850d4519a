//! How long the window lets a person wait, from the hand to what is seen. What is aimed at is for a quiet host; here three times
//! that is let pass, and what was measured is printed.

use super::await_some;
use super::display::{await_screen, display, screen_size};
use super::hand::{Ear, Eye, Hand};
use super::{Desktop, missing};
use amber_emu::input::{self, Input};
use amber_tests::debian;
use serde_json::json;
use std::time::{Duration, Instant};

/// How often each is measured; the median counts.
const TIMES: usize = 7;
/// Hosts of tests are slow and busy.
const PATIENCE: u32 = 3;

const REWIND: Duration = Duration::from_millis(50);
const SAVE: Duration = Duration::from_millis(150);
const FRAME: Duration = Duration::from_micros(16_667);

/// Prints what was measured; its median must be short enough.
fn judge(what: &str, aim: Duration, mut took: Vec<Duration>) {
    took.sort_unstable();
    let median = took[took.len() / 2];
    let list: Vec<_> = took.iter().map(|took| format!("{:.1}", took.as_secs_f64() * 1e3)).collect();
    eprintln!(
        "{what}: {:.1} ms of {:.1} ({})",
        median.as_secs_f64() * 1e3,
        aim.as_secs_f64() * 1e3,
        list.join(" ")
    );
    assert!(median <= aim * PATIENCE, "{what}: {median:?}");
}

/// From `act` until the eye sees something else.
fn until_seen(eye: &Eye, act: impl FnOnce()) -> Duration {
    let before = eye.sees();
    let from = Instant::now();
    act();
    while eye.sees() == before {
        assert!(from.elapsed() < Duration::from_secs(20), "nothing changes");
        std::thread::sleep(Duration::from_micros(500));
    }
    from.elapsed()
}

/// How long a chord takes to go back, of a machine that is paused, until the window's screen is another.
fn rewinds(desktop: &Desktop, eye: &Eye, hand: &mut Hand) -> Vec<Duration> {
    desktop.chord("p");
    desktop.await_title("paused");
    let back = |_| {
        std::thread::sleep(Duration::from_millis(700));
        hand.does("keydown 105");
        let took = until_seen(eye, || hand.does("key --delay 0 Prior"));
        hand.does("keyup 105");
        took
    };
    (0..TIMES).map(back).collect()
}

/// How long it takes until the status line says that a save is under way: what it says is longer then.
fn shows_that_it_saves(desktop: &Desktop, hand: &mut Hand) -> Duration {
    std::thread::sleep(Duration::from_millis(1500));
    let picture = desktop.look();
    let line = &picture.pixels[(picture.height - 12) * picture.width..][..picture.width];
    let last = (0..picture.width).rev().find(|x| {
        (0..12).any(|up| {
            let row = &picture.pixels[(picture.height - 5 - up) * picture.width..];
            row[*x] != line[picture.width - 1]
        })
    });
    let beyond = last.expect("it says something") as i16 + 20;
    let eye = Eye::on(desktop, (beyond, picture.height as i16 - 18, 40, 14));
    hand.does("keydown 105");
    std::thread::sleep(Duration::from_millis(50));
    let took = until_seen(&eye, || hand.does("key --delay 0 g"));
    hand.does("keyup 105");
    took
}

/// How long the machine stands still after the chord that saves it, and how long until a save is told.
fn saves(desktop: &Desktop, hand: &mut Hand, times: usize) -> (Vec<Duration>, Vec<Duration>) {
    let mut ear = Ear::at(desktop);
    let save = |_| {
        std::thread::sleep(Duration::from_millis(1500));
        hand.does("keydown 105");
        std::thread::sleep(Duration::from_millis(50));
        let from = Instant::now();
        hand.does("key --delay 0 g");
        let (mut step, mut moved, mut stood) = (ear.step(), Instant::now(), Duration::ZERO);
        while from.elapsed() < Duration::from_millis(400) {
            let now = ear.step();
            if now > step {
                stood = stood.max(moved.elapsed());
                (step, moved) = (now, Instant::now());
            }
        }
        hand.does("keyup 105");
        stood.max(moved.elapsed())
    };
    let stood = (0..times).map(save).collect();
    let mut told = Vec::new();
    for n in 0..times {
        std::thread::sleep(Duration::from_millis(1500));
        let from = Instant::now();
        ear.ask("save", json!({ "name": format!("measured-{n}") }));
        ear.hear().filter(|answer| answer["result"].is_object()).expect("it is saved");
        told.push(from.elapsed());
    }
    (stood, told)
}

/// From a key's going down until its code came into a busy machine, by the log and the steps the machine had taken at each ms.
fn keys(desktop: &Desktop, hand: &mut Hand) -> Vec<Duration> {
    let mut ear = Ear::at(desktop);
    let mut seen = Vec::new();
    for _ in 0..TIMES {
        std::thread::sleep(Duration::from_millis(300));
        let (from, first) = (Instant::now(), ear.step());
        hand.does("key --delay 0 a");
        let mut samples = Vec::new();
        while from.elapsed() < Duration::from_millis(250) {
            samples.push((ear.step(), from.elapsed()));
            std::thread::sleep(Duration::from_millis(1));
        }
        seen.push((first, samples));
    }
    let (_, records) = input::read(&desktop.scratch.0.join("log")).expect("a log");
    let gestures: Vec<_> = records
        .iter()
        .filter(|record| matches!(record.input, Input::Gesture(_)))
        .map(|record| record.step)
        .collect();
    let took = |(first, samples): &(u64, Vec<(u64, Duration)>)| {
        let key = gestures.iter().find(|step| *step >= first).expect("the key came in");
        samples.iter().find(|(step, _)| step >= key).expect("within a quarter of a second").1
    };
    seen.iter().map(took).collect()
}

#[test]
fn a_rewind_is_seen_and_a_save_lets_the_guest_go_on_and_a_key_comes_in() {
    let Some((desktop, _store)) = display("latency", &["--record", "log"]) else { return };
    let mut hand = Hand::of(&desktop);
    let (x, y, _) = await_screen(&desktop, 1);
    let (stood, told) = saves(&desktop, &mut hand, 3);
    judge("the guest stands still for a save", SAVE, stood);
    judge("a save is told", SAVE, told);
    // What goes back over a change of mode is another picture.
    let eye = Eye::on(&desktop, (x as i16 + 8, y as i16 + 8, 600, 100));
    let mut took = Vec::new();
    for size in [(640, 480), (320, 200), (800, 600)] {
        desktop.press(&["space"]);
        await_some("the next mode", || (screen_size(&desktop) == size).then_some(()));
        desktop.chord("p");
        desktop.await_title("paused");
        desktop.still();
        hand.does("keydown 105");
        took.push(until_seen(&eye, || hand.does("key --delay 0 Prior")));
        desktop.await_title("rewinding");
        hand.does("key --delay 0 End");
        hand.does("keyup 105");
        await_some("the mode it came to", || (screen_size(&desktop) == size).then_some(()));
        desktop.chord("p");
        desktop.await_title("running");
        std::thread::sleep(Duration::from_millis(1300));
    }
    judge("a rewind is seen", REWIND, took);
    desktop.press(&["space"]);
    desktop.await_text("KEYS");
    judge("a key comes in", FRAME, keys(&desktop, &mut hand));
}

/// As above in a Debian guest of 512 MiB that is busy writing on its screen.
/// `cargo test --release -p amber-frontend -- --ignored --nocapture busy_debian`
#[test]
#[ignore = "needs the kernel of tests/fetch-debian.sh"]
fn a_busy_debian_lets_nobody_wait() {
    let (None, Some(folder)) = (missing(), debian()) else { return };
    let file = |name: &str| folder.join(name).display().to_string();
    let (kernel, initrd) = (file("vmlinuz"), file("shell.gz"));
    let guest =
        ["--kernel", &kernel, "--initrd", &initrd, "--append", "console=tty0 quiet", "--memory", "512M"];
    let Some(desktop) =
        Desktop::start("busy", &[&guest[..], &["--control", "socket", "--record", "log"]].concat())
    else {
        return;
    };
    await_some("a shell", || desktop.ctl(&["text"]).filter(|text| text.contains("/ #")));
    // Room for all the status line says.
    desktop.put([1100, 600, 0, 0]);
    desktop.write("while :; do i=$((i+1)); echo $i; done");
    desktop.press(&["Return"]);
    std::thread::sleep(Duration::from_secs(3));
    let mut hand = Hand::of(&desktop);
    judge("a key comes into a busy Debian", FRAME, keys(&desktop, &mut hand));
    let shown = shows_that_it_saves(&desktop, &mut hand);
    judge("a save of a busy Debian is seen", SAVE, vec![shown]);
    let (stood, told) = saves(&desktop, &mut hand, 3);
    judge("a busy Debian stands still for a save", SAVE, stood);
    eprintln!("saves of it are on the disk after {told:?}");
    std::thread::sleep(Duration::from_secs(8));
    let eye = Eye::on(&desktop, (100, 150, 400, 200));
    let took = rewinds(&desktop, &eye, &mut hand);
    judge("a rewind of a busy Debian is seen", REWIND, took);
}
