//! The battery every device passes: a saved state goes on like the original, every register can be touched
//! with every width, reset is complete, and no state read from a file makes the platform panic.

use amber_devices::{Dma, Effect, Key, MouseEvent, Platform, PlatformConfig};
use proptest::prelude::*;

/// A device's registers, as the guest reaches them.
struct Target {
    name: &'static str,
    ports: &'static [(u16, u16)],
    windows: &'static [(u64, u64)],
}

const ECAM: u64 = 0xb000_0000;

/// Ports as (first, count) and memory as (base, bytes).
const TARGETS: [Target; 14] = [
    Target { name: "pic", ports: &[(0x20, 2), (0xa0, 2), (0x4d0, 2)], windows: &[] },
    Target { name: "pit", ports: &[(0x40, 4), (0x61, 1)], windows: &[] },
    Target { name: "rtc", ports: &[(0x70, 4)], windows: &[] },
    Target { name: "ioapic", ports: &[], windows: &[(0xfec0_0000, 0x60)] },
    Target { name: "hpet", ports: &[], windows: &[(0xfed0_0000, 0x180)] },
    Target { name: "pm", ports: &[(0x600, 0x80), (0xb2, 2)], windows: &[] },
    Target { name: "uart0", ports: &[(0x3f8, 8)], windows: &[] },
    Target { name: "uart1", ports: &[(0x2f8, 8)], windows: &[] },
    Target { name: "i8042", ports: &[(0x60, 1), (0x64, 1)], windows: &[] },
    Target {
        name: "single ports",
        ports: &[(0x80, 1), (0x92, 1), (0xe9, 1), (0xf4, 4), (0xcf9, 1)],
        windows: &[],
    },
    Target {
        name: "pci",
        ports: &[(0xcf8, 8)],
        windows: &[(ECAM, 0x1000), (ECAM + 0xf_8000, 0x1000), (ECAM + 0xf_b000, 0x1000)],
    },
    Target { name: "fw_cfg", ports: &[(0x510, 12)], windows: &[] },
    Target { name: "coprocessor", ports: &[(0xf0, 1)], windows: &[] },
    Target { name: "vga", ports: &[(0x3b4, 8), (0x3c0, 16), (0x3d4, 8)], windows: &[] },
];

#[derive(Clone, Debug)]
enum Op {
    In { port: u16, size: u8 },
    Out { port: u16, size: u8, value: u32 },
    Read { gpa: u64, size: u8 },
    Write { gpa: u64, size: u8, value: u64 },
    Advance(u64),
    Serial(u8, Vec<u8>),
    Key(u8, bool),
    Mouse(i8, i8),
    Eoi(u8),
    Intack,
    PowerButton,
}

struct Memory(Vec<u8>);

impl Dma for Memory {
    fn read(&mut self, gpa: u64, into: &mut [u8]) {
        for (index, byte) in into.iter_mut().enumerate() {
            *byte = self.0[(gpa as usize).wrapping_add(index) % self.0.len()];
        }
    }

    fn write(&mut self, gpa: u64, from: &[u8]) {
        // A fw_cfg command may ask for 4 GiB of padding; a megabyte of it shows all there is to see.
        let len = self.0.len();
        for (index, byte) in from.iter().enumerate() {
            self.0[(gpa as usize).wrapping_add(index) % len] = *byte;
        }
    }
}

fn config() -> PlatformConfig {
    PlatformConfig { cpus: 2, rtc_start: 1_700_000_000, ..PlatformConfig::default() }
}

fn machine() -> (Platform, Memory) {
    (Platform::new(&config()).unwrap(), Memory(vec![0; 0x4000]))
}

/// What a guest and the world could tell: values read and effects, in order.
#[derive(Debug, Default, PartialEq)]
struct Log {
    values: Vec<u64>,
    effects: Vec<Effect>,
}

fn run(platform: &mut Platform, memory: &mut Memory, ops: &[Op]) -> Log {
    let mut log = Log::default();
    for op in ops {
        let value = step(platform, memory, op);
        log.values.push(value);
        log.values.push(u64::from(platform.intr()));
        log.effects.extend(platform.effects().drain());
    }
    log
}

fn step(platform: &mut Platform, memory: &mut Memory, op: &Op) -> u64 {
    match op {
        Op::In { port, size } => return u64::from(platform.pio_read(memory, *port, *size)),
        Op::Out { port, size, value } => platform.pio_write(memory, *port, *size, *value),
        Op::Read { gpa, size } => return platform.mmio_read(memory, *gpa, *size),
        Op::Write { gpa, size, value } => platform.mmio_write(memory, *gpa, *size, *value),
        Op::Advance(ns) => advance(platform, memory, *ns),
        Op::Serial(port, bytes) => return platform.serial_input(memory, *port, bytes) as u64,
        Op::Key(code, pressed) => {
            let key = Key { code: code & 0x7f, extended: code & 0x80 != 0 };
            return u64::from(platform.key(memory, key, *pressed));
        }
        Op::Mouse(dx, dy) => {
            let event =
                MouseEvent { dx: i32::from(*dx), dy: i32::from(*dy), wheel: 0, buttons: *dx as u8 & 7 };
            platform.mouse(memory, event);
        }
        Op::Eoi(vector) => platform.eoi_broadcast(*vector),
        Op::Intack => return u64::from(platform.intack()),
        Op::PowerButton => platform.power_button(memory),
    }
    0
}

/// Lets time pass as the run loop does: from deadline to deadline, but not through too many.
fn advance(platform: &mut Platform, memory: &mut Memory, ns: u64) {
    let end = platform.clock.now().saturating_add(ns);
    for _ in 0..100 {
        match platform.next_deadline() {
            Some(at) if at <= end => platform.clock.advance_to(at),
            _ => break,
        }
        platform.run_due_timers(memory);
    }
    if platform.next_deadline().is_none_or(|at| at > end) {
        platform.clock.advance_to(end);
    }
}

fn size() -> impl Strategy<Value = u8> {
    prop_oneof![Just(1u8), Just(2), Just(4)]
}

fn register_op(target: &'static Target) -> BoxedStrategy<Op> {
    let mut choices = Vec::new();
    for (first, count) in target.ports {
        let port = *first..=first + (count - 1);
        choices.push((port.clone(), size()).prop_map(|(port, size)| Op::In { port, size }).boxed());
        let value = prop_oneof![any::<u32>(), (0u32..=0xff)];
        let out = (port, size(), value).prop_map(|(port, size, value)| Op::Out { port, size, value });
        choices.push(out.boxed());
    }
    for (base, len) in target.windows {
        let gpa = *base..base + len;
        let size = prop_oneof![Just(1u8), Just(2), Just(4), Just(8)];
        choices.push((gpa.clone(), size.clone()).prop_map(|(gpa, size)| Op::Read { gpa, size }).boxed());
        let write = (gpa, size, any::<u64>()).prop_map(|(gpa, size, value)| Op::Write { gpa, size, value });
        choices.push(write.boxed());
    }
    proptest::strategy::Union::new(choices).boxed()
}

fn outside_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u64..2_000_000).prop_map(Op::Advance),
        1 => (0u64..3_000_000_000).prop_map(Op::Advance),
        1 => (0u8..3, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(port, bytes)| Op::Serial(port, bytes)),
        1 => any::<(u8, bool)>().prop_map(|(code, pressed)| Op::Key(code, pressed)),
        1 => any::<(i8, i8)>().prop_map(|(dx, dy)| Op::Mouse(dx, dy)),
        1 => any::<u8>().prop_map(Op::Eoi),
        1 => Just(Op::Intack),
        1 => Just(Op::PowerButton),
    ]
}

fn ops(target: &'static Target) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![5 => register_op(target), 1 => outside_op()];
    proptest::collection::vec(op, 0..80)
}

fn device_ops() -> impl Strategy<Value = (&'static str, Vec<Op>, Vec<Op>)> {
    (0..TARGETS.len()).prop_flat_map(|index| {
        let target = &TARGETS[index];
        (Just(target.name), ops(target), ops(target))
    })
}

/// fw_cfg commands take lengths from memory; keep the padding of zeros short.
fn without_long_dma(ops: Vec<Op>) -> Vec<Op> {
    ops.into_iter().filter(|op| !matches!(op, Op::Out { port: 0x518, size: 4, .. })).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_platform_goes_on_like_the_saved_one((_name, before, after) in device_ops()) {
        let (before, after) = (without_long_dma(before), without_long_dma(after));
        let (mut platform, mut memory) = machine();
        run(&mut platform, &mut memory, &before);
        let saved = platform.sections("platform0");
        let mut memory_too = Memory(memory.0.clone());
        let log = run(&mut platform, &mut memory, &after);

        let mut restored = Platform::new(&config()).unwrap();
        restored.restore("platform0", &saved).unwrap();
        prop_assert_eq!(&restored.sections("platform0"), &saved);
        let map = restored.memory_map(false);
        let log_too = run(&mut restored, &mut memory_too, &after);
        prop_assert_eq!(log, log_too);
        prop_assert_eq!(platform.sections("platform0"), restored.sections("platform0"));
        prop_assert_eq!(memory.0, memory_too.0);
        prop_assert!(map.windows(2).all(|pair| pair[0].end() <= pair[1].base));
    }

    #[test]
    fn reset_is_complete_and_idempotent((_name, before, after) in device_ops()) {
        let (mut platform, mut memory) = machine();
        run(&mut platform, &mut memory, &without_long_dma(before));
        run(&mut platform, &mut memory, &without_long_dma(after));
        platform.reset(&mut memory);
        let once = platform.sections("p");
        let deadline = platform.next_deadline();
        platform.reset(&mut memory);
        let twice = platform.sections("p");
        prop_assert_eq!(deadline, platform.next_deadline());
        // The clock counts how many timers were ever armed.
        let rest = |sections: &[amber_snapshot::OwnedSection]| {
            sections.iter().filter(|section| section.path != "p/clock").cloned().collect::<Vec<_>>()
        };
        prop_assert_eq!(rest(&once), rest(&twice));
    }

    #[test]
    fn a_damaged_section_is_refused_or_harmless(
        (_name, before, after) in device_ops(),
        section in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (mut platform, mut memory) = machine();
        run(&mut platform, &mut memory, &without_long_dma(before));
        let mut saved = platform.sections("platform0");
        let damaged = section.index(saved.len());
        let bytes = &mut saved[damaged].bytes;
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let unchanged = platform.sections("platform0");
        match platform.restore("platform0", &saved) {
            Ok(()) => drop(run(&mut platform, &mut memory, &without_long_dma(after))),
            Err(_) => prop_assert_eq!(platform.sections("platform0"), unchanged),
        }
    }
}

#[test]
fn every_port_takes_every_width() {
    let (mut platform, mut memory) = machine();
    for value in [0, 0xff, 0x5a5a_5a5a, u32::MAX] {
        for port in 0..=u16::MAX {
            for size in [1, 2, 4] {
                let read = platform.pio_read(&mut memory, port, size);
                assert!(u64::from(read) < 1 << (size * 8), "port {port:#x} size {size}");
                // A fw_cfg command at a wild address could move gigabytes.
                if !(0x514..=0x51b).contains(&port) {
                    platform.pio_write(&mut memory, port, size, value);
                }
            }
        }
        platform.effects().drain().for_each(drop);
    }
}

#[test]
fn every_window_takes_every_width() {
    let (mut platform, mut memory) = machine();
    let windows = [(0xfec0_0000, 0x1000), (0xfed0_0000, 0x1000), (ECAM, 0x2000), (ECAM + 0xf_8000, 0x4000)];
    for (base, len) in windows {
        for gpa in base..base + len + 8 {
            for size in [1, 2, 4, 8] {
                platform.mmio_read(&mut memory, gpa, size);
                platform.mmio_write(&mut memory, gpa, size, 0x5aa5_1234_5678_9abc);
                platform.mmio_read(&mut memory, gpa, size);
            }
        }
        platform.effects().drain().for_each(drop);
    }
    assert_eq!(platform.mmio_read(&mut memory, 0xfeed_0000, 4), 0xffff_ffff);
}

#[test]
fn missing_and_unknown_sections_are_refused_by_name() {
    let (mut platform, _) = machine();
    let saved = platform.sections("platform0");
    let missing = platform.restore("platform0", &saved[1..]).unwrap_err();
    assert_eq!(missing.to_string(), "section platform0/clock is missing");
    let mut more = saved.clone();
    more.push(amber_snapshot::OwnedSection { path: "platform0/teapot".into(), ..saved[0].clone() });
    assert!(platform.restore("platform0", &more).unwrap_err().to_string().contains("platform0/teapot"));
    let other = PlatformConfig { memory_size: 64 << 20, ..config() };
    assert!(Platform::new(&other).unwrap().restore("platform0", &saved).is_err());
}

#[test]
fn sections_of_another_configuration_or_place_are_refused_by_name() {
    let (mut platform, _) = machine();
    let saved = platform.sections("platform0");
    let at = |path: &str| saved.iter().position(|section| section.path == path).unwrap();
    let mut refused = |sections: &[amber_snapshot::OwnedSection]| {
        platform.restore("platform0", sections).unwrap_err().to_string()
    };
    let without_smm = Platform::new(&PlatformConfig { smm: false, ..config() }).unwrap();
    let mut other = saved.clone();
    other[at("platform0/pm")] = without_smm.sections("platform0")[at("platform0/pm")].clone();
    assert!(refused(&other).contains("smm"));
    let mut swapped = saved.clone();
    let (uart0, uart1) = (at("platform0/uart0"), at("platform0/uart1"));
    swapped[uart0].bytes = saved[uart1].bytes.clone();
    swapped[uart1].bytes = saved[uart0].bytes.clone();
    assert!(refused(&swapped).contains("platform0/uart0: field port"));
    // The last field is the list of routes: its length comes first.
    let mut short = saved.clone();
    let lpc = &mut short[at("platform0/pci/lpc")].bytes;
    let routes = lpc.len() - 0x14 - 1;
    assert_eq!(lpc[routes], 0x14);
    lpc[routes] = 0x13;
    lpc.pop();
    assert!(refused(&short).contains("routes"));
}
