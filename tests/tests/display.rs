//! Screen, keyboard and mouse by the image `display`: what it draws is what is seen, what is typed is what it reads, and all of
//! it is part of the machine's state and of its log.

use amber_devices::display::Picture;
use amber_devices::{Key, MouseEvent};
use amber_emu::cli::build;
use amber_emu::config::MachineConfig;
use amber_emu::input::Record;
use amber_emu::machine::{Gesture, HostIo, Machine, Ready, Seen, Stop};
use amber_snapshot::Store;
use amber_tests::program::{Scratch, amber, run};
use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../roms/display/image.bin");
/// Far more steps than the image takes.
const BOUND: u64 = 1_000_000_000;
const PASS: Stop = Stop::DebugExit(0x10);

fn machine() -> Machine {
    let memory = "64M".parse().expect("a size");
    let config = MachineConfig { rom: Some(IMAGE.into()), memory, ..MachineConfig::default() };
    build::machine(&config).expect("the image can be run")
}

/// A person who starts the image's pictures and stops the run when the guest says one of these.
#[derive(Default)]
struct Person {
    started: bool,
    serial: String,
    awaited: String,
    hands: VecDeque<Gesture>,
    records: Vec<Record>,
}

impl HostIo for Person {
    fn serial_output(&mut self, port: u8, byte: u8) {
        if port == 0 {
            self.serial.push(char::from(byte));
        }
    }
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        if std::mem::replace(&mut self.started, true) { Vec::new() } else { b"i".to_vec() }
    }
    fn may_input(&self) -> bool {
        true
    }
    fn gesture(&mut self, _step: u64, _now: u64, ready: Ready) -> Option<Gesture> {
        self.hands.pop_front_if(|next| ready.takes(next))
    }
    fn note(&mut self, record: &Record) {
        self.records.push(record.clone());
    }
    fn stop_requested(&self) -> bool {
        !self.awaited.is_empty() && self.serial.ends_with(&self.awaited)
    }
}

impl Person {
    /// Waits until the guest says `line`.
    fn await_line(&mut self, machine: &mut Machine, line: &str) {
        self.awaited = format!("{line}\n");
        assert_eq!(machine.run(BOUND, self, true), Stop::User, "{line} in {}", self.serial);
        self.awaited.clear();
    }

    fn press(&mut self, names: &[&str]) {
        for name in names {
            let key = Key::named(name).expect("a key");
            self.hands.extend([true, false].map(|pressed| Gesture::Key { key, pressed }));
        }
    }
}

fn hash(picture: &Picture) -> String {
    blake3::hash(&picture.pixels).to_hex()[..16].to_owned()
}

#[test]
fn pictures_of_every_kind_of_mode_are_those_known() {
    let (mut machine, mut person, mut seen) = (machine(), Person::default(), Seen::default());
    let known = [
        ("text", (720, 400), "9ffeeb1ee9ca7cf1"),
        ("planes", (640, 480), "23dcb28c4d0ca368"),
        ("chained", (320, 200), "83dc7f42d7989772"),
        ("linear", (800, 600), "6c07a5e92b25d45d"),
    ];
    let mut found = Vec::new();
    for (name, ..) in known {
        person.await_line(&mut machine, &format!("shown {name}"));
        let picture = machine.changed_picture(&mut seen).expect("it is another one");
        found.push((name, (picture.width, picture.height), hash(picture)));
        assert_eq!(machine.picture(), *picture);
        assert_eq!(machine.changed_picture(&mut seen), None, "nothing was drawn");
        person.press(&["space"]);
    }
    assert_eq!(found, known.map(|(name, size, hash)| (name, size, hash.to_owned())));
    person.await_line(&mut machine, "listening");
    person.press(&["a", "pause"]);
    person.hands.push_back(Gesture::Mouse(MouseEvent { dx: 3, dy: -2, wheel: 1, buttons: 2 }));
    let here = machine.step();
    machine.run(here + 50_000_000, &mut person, true);
    let text = machine.screen_text().expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "KEYS                                    MOUSE");
    assert_eq!(lines[1], "B9 1E 9E E1 1D 45 E1 9D C5              2A 03 FE 01");
    person.press(&["esc"]);
    assert_eq!(machine.run(BOUND, &mut person, true), PASS, "{}", person.serial);
}

#[test]
fn a_machine_saved_while_a_mode_is_set_goes_on_from_there() {
    let scratch = Scratch::new("display-cuts");
    let store = Arc::new(Store::open(&scratch.0).expect("a store"));
    let mut whole = machine();
    assert_eq!(whole.run(BOUND, &mut Person { started: true, ..Person::default() }, true), PASS);
    let (end, expected) = (whole.step(), whole.state_hash());
    for n in 1..=12 {
        let mut machine = machine();
        let cut = end * n / 13;
        let mut person = Person { started: true, ..Person::default() };
        assert_eq!(machine.run(cut, &mut person, true), Stop::Step);
        let picture = machine.picture();
        let saved = machine.freeze().save(&store, None).expect("saved");
        let snapshot = store.load(saved.id).expect("it was saved");
        let thumbnail = snapshot.manifest.thumbnail.clone().expect("a small picture");
        assert_eq!(thumbnail[..4], *b"\x89PNG");
        let mut restored = Machine::load(snapshot).expect("it was a machine");
        assert_eq!(restored.picture(), picture, "at step {cut}");
        assert_eq!(restored.run(BOUND, &mut person, true), PASS);
        assert_eq!(restored.state_hash(), expected, "saved at step {cut}");
    }
}

/// A running amber and its control socket.
struct Running {
    child: Child,
    socket: String,
}

impl Running {
    fn start(scratch: &Scratch, log: &Path) -> Self {
        let socket = scratch.0.join("socket").display().to_string();
        let mut child = Command::new(amber())
            .args(["run", "--headless", "--rom", IMAGE, "--memory", "64M", "--control", &socket, "--hash"])
            .arg("--record")
            .arg(log)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("amber starts");
        child.stdin.take().expect("it is piped").write_all(b"i").expect("amber reads");
        Self { child, socket }
    }

    fn ctl(&self, args: &[&str]) -> Result<String, String> {
        let output = run(&[&["ctl", &*self.socket], args].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Asks for the text on the screen until it has `what`, pressing a key where there is none.
    fn await_text(&self, what: &str) -> String {
        let start = Instant::now();
        loop {
            match self.ctl(&["text"]) {
                Ok(text) if text.contains(what) => return text,
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        }
    }
}

#[test]
fn programs_see_the_screen_and_type_and_the_log_repeats_it() {
    let scratch = Scratch::new("display-ctl");
    let (log, shot) = (scratch.0.join("log"), scratch.0.join("shot.png"));
    let mut running = Running::start(&scratch, &log);
    running.await_text("AMBER DISPLAY");
    let told = running.ctl(&["screenshot", &shot.display().to_string()]).expect("a picture");
    assert!(told.contains("720"), "{told}");
    assert_eq!(std::fs::read(&shot).expect("it was written")[..4], *b"\x89PNG");
    running.ctl(&["key", "space space space space"]).expect("keys");
    running.await_text("KEYS");
    assert!(running.ctl(&["type", "ö"]).expect_err("no such key").contains("'ö'"));
    assert!(running.ctl(&["key", "hyper"]).expect_err("no such key").contains("`hyper`"));
    running.ctl(&["type", "A"]).expect("typed");
    running.await_text("2A 1E 9E AA");
    running.ctl(&["mouse", "-1", "2", "0", "4"]).expect("moved");
    running.await_text("3C FF FE 00");
    running.ctl(&["key", "esc"]).expect("keys");
    assert_eq!(running.child.wait().expect("it ends").code(), Some(33));
    let replay = run(&["replay", &log.display().to_string()]);
    let said = String::from_utf8_lossy(&replay.stderr).into_owned();
    assert!(replay.status.success() && said.contains("the same run"), "{said}");
}

#[test]
fn screenshots_are_written_at_steps_and_at_the_end() {
    let scratch = Scratch::new("display-shots");
    let at = |name: &str| scratch.0.join(name).display().to_string();
    let (early, late) = (format!("1000={}", at("early.png")), at("late.png"));
    let output = run(&[
        "run",
        "--headless",
        "--rom",
        IMAGE,
        "--memory",
        "64M",
        "--screenshot",
        &early,
        "--screenshot",
        &late,
    ]);
    assert_eq!(output.status.code(), Some(33));
    let bytes = |name: &str| std::fs::read(at(name)).expect("it was written");
    let size = |png: &[u8]| [16, 20].map(|at| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()));
    assert_eq!((size(&bytes("early.png")), size(&bytes("late.png"))), ([720, 400], [720, 400]));
    assert!(bytes("early.png").len() < bytes("late.png").len(), "the first is dark");
    let missing = run(&["run", "--headless", "--rom", IMAGE, "--screenshot", "/no/such/folder/x.png"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/no/such/folder/x.png"));
}
