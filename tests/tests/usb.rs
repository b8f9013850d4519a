//! Keyboard and tablet at USB: what a person does is what Debian's driver hears, part of the state and of the log. Run by
//! name: it needs a kernel.
//!
//!     cargo test --release -p amber-tests --test usb -- --ignored

use amber_cpu::Engine;
use amber_devices::{DiskInterface, Key, PointerEvent};
use amber_emu::cli::build;
use amber_emu::config::{DiskChoice, MachineConfig};
use amber_emu::input::{Input, Record};
use amber_emu::machine::{Gesture, HostIo, Machine, Ready, Stop};
use std::collections::VecDeque;

/// A person who begins when the guest listens.
#[derive(Clone, Default)]
struct Person {
    serial: String,
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
        Vec::new()
    }
    fn may_input(&self) -> bool {
        true
    }
    fn gesture(&mut self, _step: u64, _now: u64, ready: Ready) -> Option<Gesture> {
        let listening = self.serial.contains("LISTENING");
        self.hands.pop_front_if(|next| listening && ready.takes(next))
    }
    fn note(&mut self, record: &Record) {
        self.records.push(record.clone());
    }
}

fn machine() -> Option<Machine> {
    let folder = amber_tests::debian()?;
    let (initrd, file) = (folder.join("usb.gz"), folder.join("ext4.img"));
    if !initrd.is_file() || !file.is_file() {
        eprintln!("skipped: no {}; tests/fetch-debian.sh makes it", initrd.display());
        return None;
    }
    let config = MachineConfig {
        kernel: Some(folder.join("vmlinuz")),
        initrd: Some(initrd),
        append: Some("console=ttyS0 panic=-1".into()),
        disk: vec![DiskChoice { file, interface: DiskInterface::Usb, ..DiskChoice::default() }],
        device: vec!["usb-keyboard".parse().unwrap(), "usb-tablet".parse().unwrap()],
        ..MachineConfig::default()
    };
    Some(build::machine(&config).expect("Debian's kernel can be loaded"))
}

/// Lines of the guest's for events of these type, code and value, in hexadecimal but for the last.
fn hears(serial: &str, events: &[(u16, u16, i32)]) {
    let mut rest = serial;
    for (kind, code, value) in events {
        let line = format!(" {kind:x} {code:x} {value}\r\n");
        let at = rest.find(&line).unwrap_or_else(|| panic!("no event{line} in {rest}"));
        rest = &rest[at + line.len()..];
    }
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_hears_keyboard_and_tablet() {
    let Some(mut machine) = machine() else { return };
    let mut person = Person::default();
    for name in ["shift", "a", "page-up"] {
        let key = Key::named(name).unwrap();
        person.hands.extend([true, false].map(|pressed| Gesture::Key { key, pressed }));
    }
    for (x, y, wheel, buttons) in [(100, 32767, 0, 0), (101, 5, -2, 1)] {
        person.hands.push_back(Gesture::Pointer(PointerEvent { x, y, wheel, buttons }));
    }
    let mut other = Machine::fork(&machine.freeze()).unwrap();
    let mut twin = person.clone();
    assert_eq!(machine.run(u64::MAX, &mut person, true), Stop::PowerOff);
    assert!(person.serial.contains("PASS"), "{}", person.serial);
    // Keys are those of the kernel: KEY_LEFTSHIFT, KEY_A, KEY_PAGEUP; then ABS_X, ABS_Y, BTN_LEFT and REL_WHEEL.
    let keys = [(1, 0x2a, 1), (1, 0x2a, 0), (1, 0x1e, 1), (1, 0x1e, 0), (1, 0x68, 1), (1, 0x68, 0)];
    hears(&person.serial, &keys);
    hears(&person.serial, &[(3, 0, 100), (3, 1, 32767)]);
    hears(&person.serial, &[(1, 0x110, 1), (3, 0, 101), (3, 1, 5), (2, 8, 2)]);
    let gestures = person.records.iter().filter(|record| matches!(record.input, Input::Gesture(_)));
    assert_eq!(gestures.count(), 8);
    other.set_engine(Engine::Interpreter);
    assert_eq!(other.run(u64::MAX, &mut twin, true), Stop::PowerOff);
    assert!(
        (twin.records, other.state_hash()) == (person.records, machine.state_hash()),
        "the engines differ"
    );
}
