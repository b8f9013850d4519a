//! The battery of every device, for network adapters: a saved state goes on like the original, reset is complete, and
//! neither a mad driver nor a state read from a file makes the platform panic.

use amber_devices::{
    ADAPTER_SLOT, ConfigError, DisplayKind, Dma, Effect, FRAME_MAX, FRAME_MIN, FunctionSlots, HotplugConfig,
    NicConfig, NicModel, Part, Platform, PlatformConfig,
};
use amber_snapshot::OwnedSection;
use proptest::prelude::*;

const RAM: usize = 0x4000;
const CONFIG: u64 = 0xb000_0000 + 0x1_0000;
/// BARs of the adapter, where the chipset comes up with them.
const MSIX: u64 = 0xfe00_0000;
const NIC: u64 = 0xfe00_4000;
/// The queues' tables, available rings and used rings, and buffers in memory.
const TABLES: [u64; 2] = [0x1000, 0x1800];
const DRIVER: u64 = 0x200;
const USED: u64 = 0x400;
const BUFFERS: u64 = 0x2000;
/// Registers of the 82540EM, where the chipset comes up with them, and its rings in memory.
const E1000: u64 = 0xfe00_0000;
const RINGS: [u64; 2] = [0x1000, 0x1800];

/// An adapter, and what a driver does with it.
#[derive(Clone, Copy)]
struct Subject {
    model: NicModel,
    section: &'static str,
    ready: fn() -> Vec<Op>,
    windows: &'static [(u64, u64)],
    /// What moves frames: a bell, and where the ends of queues are.
    bell: fn(u8) -> Op,
    queues: [u64; 2],
    fill: fn(u64, u8) -> Op,
}

const VIRTIO: Subject = Subject {
    model: NicModel::Virtio,
    section: "p/virtio-net0",
    ready: driver_is_ready,
    windows: &[
        (CONFIG, 0x100),
        (MSIX, 0x38),
        (MSIX + 0x800, 8),
        (NIC, 0x40),
        (NIC + 0x1000, 1),
        (NIC + 0x2000, 0x10),
        (NIC + 0x3000, 8),
    ],
    bell: |_| Op::Write { gpa: NIC + 0x3004, size: 2, value: 1 },
    queues: TABLES,
    fill: |table, index| Op::Poke(table + DRIVER + 2, vec![index, 0]),
};

const INTEL: Subject = Subject {
    model: NicModel::E1000,
    section: "p/e1000",
    ready: rings_are_ready,
    windows: &[
        (CONFIG, 0x100),
        (E1000, 0xe0),
        (E1000 + 0x100, 4),
        (E1000 + 0x400, 4),
        (E1000 + 0x2800, 0x20),
        (E1000 + 0x3800, 0x20),
        (E1000 + 0x4000, 0x128),
        (E1000 + 0x5000, 4),
        (E1000 + 0x5200, 0x600),
    ],
    bell: |index| Op::Write { gpa: E1000 + 0x3818, size: 4, value: u64::from(index) & 7 },
    queues: [E1000 + 0x2818, E1000 + 0x3818],
    fill: |tail, index| Op::Write { gpa: tail, size: 4, value: u64::from(index) & 7 },
};

/// RAM, which repeats.
#[derive(Clone, Debug, PartialEq)]
struct Memory(Vec<u8>);

impl Dma for Memory {
    fn read(&mut self, gpa: u64, into: &mut [u8]) {
        for (index, byte) in into.iter_mut().enumerate() {
            *byte = self.0[(gpa as usize).wrapping_add(index) % RAM];
        }
    }
    fn write(&mut self, gpa: u64, from: &[u8]) {
        for (index, byte) in from.iter().enumerate() {
            self.0[(gpa as usize).wrapping_add(index) % RAM] = *byte;
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Read { gpa: u64, size: u8 },
    Write { gpa: u64, size: u8, value: u64 },
    Advance(u64),
    Poke(u64, Vec<u8>),
    Frame(usize),
    Link(bool),
}

fn config(model: NicModel) -> PlatformConfig {
    let nic = Some(NicConfig { model, mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56] });
    PlatformConfig { display: DisplayKind::Text, nic, ..PlatformConfig::default() }
}

fn machine(model: NicModel) -> (Platform, Memory) {
    (Platform::new(&config(model)).expect("it can be built"), Memory(vec![0; RAM]))
}

/// What a guest and the world could tell.
fn run(platform: &mut Platform, memory: &mut Memory, ops: &[Op]) -> (Vec<u64>, Vec<Effect>) {
    let (mut values, mut effects) = (Vec::new(), Vec::new());
    for op in ops {
        values.push(step(platform, memory, op));
        values.push(u64::from(platform.intr()));
        effects.extend(platform.effects().drain());
    }
    (values, effects)
}

fn step(platform: &mut Platform, memory: &mut Memory, op: &Op) -> u64 {
    match op {
        Op::Read { gpa, size } => return platform.mmio_read(memory, *gpa, *size),
        Op::Write { gpa, size, value } => platform.mmio_write(memory, *gpa, *size, *value),
        Op::Advance(ns) => advance(platform, memory, *ns),
        Op::Poke(gpa, bytes) => memory.write(*gpa, bytes),
        Op::Link(up) => platform.set_link(memory, *up),
        Op::Frame(len) => {
            let takes = platform.takes_frames(memory);
            let frame: Vec<u8> = (0..*len).map(|at| at as u8).collect();
            let landed = platform.receive(memory, &frame);
            assert!(takes || !landed, "a frame landed where there was no buffer");
            return u64::from(takes) << 1 | u64::from(landed);
        }
    }
    0
}

/// Lets time pass as the run loop does: from deadline to deadline, but not through too many.
fn advance(platform: &mut Platform, memory: &mut Memory, ns: u64) {
    let end = platform.clock.now().saturating_add(ns);
    for _ in 0..100 {
        match platform.next_deadline() {
            Some(at) if at <= end => platform.clock.advance_to(at),
            _ => return platform.clock.advance_to(end),
        }
        platform.run_due_timers(memory);
    }
}

fn descriptor(address: u64, len: u32, flags: u16, next: u16) -> Vec<u8> {
    let word =
        u128::from(address) | u128::from(len) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
    word.to_le_bytes().to_vec()
}

/// The driver agreed to everything, the queues of 8 are on; there are buffers of several lengths, and two frames are on
/// their way.
fn driver_is_ready() -> Vec<Op> {
    let mut ops = vec![Op::Write { gpa: CONFIG + 4, size: 2, value: 6 }];
    let mut set = |at: u64, size: u8, value: u64| ops.push(Op::Write { gpa: NIC + at, size, value });
    let features = 1 << 5 | 1 << 15 | 1 << 16 | 1 << 28 | 1 << 12 | 1 << 11 | 3;
    for (at, size, value) in
        [(0x14, 1, 3), (8, 4, 1), (12, 4, 1), (8, 4, 0), (12, 4, features), (0x14, 1, 0xb)]
    {
        set(at, size, value);
    }
    for (n, table) in (0..).zip(TABLES) {
        for (at, size, value) in [(0x16, 2, n), (0x18, 2, 8), (0x1a, 2, n + 1), (0x20, 8, table)] {
            set(at, size, value);
        }
        for (at, size, value) in [(0x28, 8, table + DRIVER), (0x30, 8, table + USED), (0x1c, 2, 1)] {
            set(at, size, value);
        }
    }
    set(0x14, 1, 0xf);
    for n in 0..8u16 {
        let buffer = BUFFERS + 0x200 * u64::from(n);
        ops.push(Op::Poke(TABLES[0] + 16 * u64::from(n), descriptor(buffer, 40 + 60 * u32::from(n), 2, 0)));
        ops.push(Op::Poke(
            TABLES[1] + 16 * u64::from(n),
            descriptor(buffer + 0x1000, 20 + 70 * u32::from(n), 0, 0),
        ));
        for table in TABLES {
            ops.push(Op::Poke(table + DRIVER + 4 + 2 * u64::from(n), n.to_le_bytes().to_vec()));
        }
    }
    ops.push(Op::Poke(TABLES[0] + DRIVER + 2, vec![4, 0]));
    ops.push(Op::Poke(TABLES[1] + DRIVER + 2, vec![2, 0]));
    ops.push(Op::Write { gpa: NIC + 0x3004, size: 2, value: 1 });
    ops
}

/// Rings of 8, with buffers of 256 bytes, for any frame; checksums are put in and looked at, and two frames are on their way.
fn rings_are_ready() -> Vec<Op> {
    let mut ops = vec![Op::Write { gpa: CONFIG + 4, size: 2, value: 7 }];
    for n in 0..8u64 {
        let buffer = BUFFERS + 0x100 * n;
        ops.push(Op::Poke(RINGS[0] + 16 * n, u128::from(buffer).to_le_bytes().into()));
        let high = [0x0b00_0000 | (20 + 70 * n), 0x2700_0000, 3 << 40 | 0x2b10_0000 | 90][n as usize % 3];
        let word = u128::from(buffer + 0x1000) | u128::from(high) << 64;
        ops.push(Op::Poke(RINGS[1] + 16 * n, word.to_le_bytes().into()));
    }
    let mut set = |at: u64, value: u64| ops.push(Op::Write { gpa: E1000 + at, size: 4, value });
    for (base, ring) in [(0x2800, RINGS[0]), (0x3800, RINGS[1])] {
        set(base, ring);
        set(base + 8, 0x80);
    }
    for (at, value) in [(0xc4, 4), (0xd0, 0x1ffff), (0x5000, 0x300), (0x2818, 7), (0x100, 0x3801a)] {
        set(at, value);
    }
    set(0x400, 2);
    set(0x3818, 4);
    ops
}

fn op(subject: Subject) -> impl Strategy<Value = Op> {
    let size = prop_oneof![Just(1u8), Just(2), Just(4), Just(8)];
    let gpa = prop::sample::select(subject.windows).prop_flat_map(|(base, len)| base..base + len);
    let write = (gpa.clone(), size.clone(), any::<u64>());
    let index = (prop::sample::select(subject.queues.to_vec()), 0u8..12);
    let wild = (TABLES[0]..BUFFERS, proptest::collection::vec(any::<u8>(), 1..4));
    prop_oneof![
        1 => (gpa, size).prop_map(|(gpa, size)| Op::Read { gpa, size }),
        1 => write.prop_map(|(gpa, size, value)| Op::Write { gpa, size, value }),
        3 => any::<u8>().prop_map(subject.bell),
        3 => index.prop_map(move |(queue, index)| (subject.fill)(queue, index)),
        1 => wild.prop_map(|(gpa, bytes)| Op::Poke(gpa, bytes)),
        3 => (0u64..5_000).prop_map(Op::Advance),
        4 => (0..FRAME_MAX + 10).prop_map(Op::Frame),
        1 => any::<bool>().prop_map(Op::Link),
    ]
}

fn ops(subject: Subject) -> impl Strategy<Value = Vec<Op>> {
    (any::<bool>(), proptest::collection::vec(op(subject), 0..60)).prop_map(move |(ready, ops)| {
        let prelude = if ready { (subject.ready)() } else { Vec::new() };
        [prelude, ops].concat()
    })
}

/// An adapter, and what is done with it at two times.
fn story() -> impl Strategy<Value = (Subject, Vec<Op>, Vec<Op>)> {
    let subject = prop::sample::select(vec![VIRTIO, INTEL]);
    subject.prop_flat_map(|subject| (Just(subject), ops(subject), ops(subject)))
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.section)
    }
}

fn without_clock(sections: Vec<OwnedSection>) -> Vec<OwnedSection> {
    // The clock counts how many timers were ever armed.
    sections.into_iter().filter(|section| section.path != "p/clock").collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_adapter_goes_on_like_the_saved_one((subject, before, after) in story()) {
        let (mut platform, mut memory) = machine(subject.model);
        run(&mut platform, &mut memory, &before);
        let saved = platform.sections("p");
        let mut memory_too = memory.clone();
        let log = run(&mut platform, &mut memory, &after);

        let (mut restored, _) = machine(subject.model);
        restored.restore("p", &saved).expect("it was saved");
        prop_assert_eq!(&restored.sections("p"), &saved);
        prop_assert_eq!(log, run(&mut restored, &mut memory_too, &after));
        prop_assert_eq!(platform.sections("p"), restored.sections("p"));
        prop_assert_eq!(memory, memory_too);
    }

    #[test]
    fn reset_is_complete((subject, before, _) in story()) {
        let (mut platform, mut memory) = machine(subject.model);
        let fresh = without_clock(platform.sections("p"));
        run(&mut platform, &mut memory, &before);
        // Nobody but who pulled the cable out plugs it in again.
        platform.set_link(&mut memory, true);
        platform.reset(&mut memory);
        let now = without_clock(platform.sections("p"));
        let adapter = |sections: &[OwnedSection]| {
            sections.iter().find(|section| section.path == subject.section).cloned()
        };
        prop_assert!(adapter(&now).is_some());
        prop_assert_eq!(adapter(&now), adapter(&fresh));
        prop_assert!(!platform.takes_frames(&mut memory));
    }

    #[test]
    fn a_damaged_section_is_refused_or_harmless(
        (subject, before, after) in story(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (mut platform, mut memory) = machine(subject.model);
        run(&mut platform, &mut memory, &before);
        let mut saved = platform.sections("p");
        let adapter = saved.iter_mut().find(|section| section.path == subject.section).expect("there is one");
        let at = at.index(adapter.bytes.len());
        adapter.bytes[at] = byte;
        let unchanged = platform.sections("p");
        match platform.restore("p", &saved) {
            Ok(()) => drop(run(&mut platform, &mut memory, &after)),
            Err(_) => prop_assert_eq!(platform.sections("p"), unchanged),
        }
    }
}

#[test]
fn the_prelude_sends_and_takes_frames() {
    let (mut platform, mut memory) = machine(NicModel::Virtio);
    run(&mut platform, &mut memory, &driver_is_ready());
    assert_eq!(platform.mmio_read(&mut memory, NIC + 0x14, 1), 0xf, "no reset is needed");
    let (values, effects) =
        run(&mut platform, &mut memory, &[Op::Advance(1_000_000), Op::Frame(FRAME_MIN), Op::Frame(200)]);
    // The first frame is shorter than one may be.
    assert_eq!(effects, [Effect::Frame(vec![0; 78])]);
    assert_eq!([values[2], values[4]], [3, 3]);
    let mut used = [[0; 4]; 2];
    for (used, table) in used.iter_mut().zip(TABLES) {
        memory.read(table + USED, used);
    }
    assert_eq!([used[0][2], used[1][2]], [3, 2], "the second frame from outside is in two buffers");
}

#[test]
fn the_other_prelude_does_so_too() {
    let (mut platform, mut memory) = machine(NicModel::E1000);
    run(&mut platform, &mut memory, &rings_are_ready());
    let (values, effects) =
        run(&mut platform, &mut memory, &[Op::Advance(1_000_000), Op::Frame(FRAME_MIN), Op::Frame(600)]);
    let frames = effects.into_iter().map(|effect| match effect {
        Effect::Frame(frame) => frame.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(frames.collect::<Vec<_>>(), [20, 90, 230]);
    assert_eq!(([values[2], values[4]], values[1]), ([3, 3], 0), "interrupts are not routed");
    assert_eq!(platform.mmio_read(&mut memory, E1000 + 0x2810, 4), 4);
}

fn touch(platform: &mut Platform, memory: &mut Memory, windows: &[(u64, u64)]) {
    for (base, len) in windows {
        for gpa in *base..base + len + 8 {
            for size in [1, 2, 4, 8] {
                platform.mmio_read(memory, gpa, size);
                platform.mmio_write(memory, gpa, size, 0x5aa5_1234_5678_9abc);
            }
        }
        platform.effects().drain().for_each(drop);
    }
}

#[test]
fn every_window_takes_every_width() {
    let (mut platform, mut memory) = machine(NicModel::Virtio);
    touch(&mut platform, &mut memory, &[(CONFIG, 0x1000), (MSIX, 0x1000), (NIC, 0x4000)]);
    let (mut platform, mut memory) = machine(NicModel::E1000);
    touch(&mut platform, &mut memory, &[(E1000, 0x6000), (CONFIG, 0x1000)]);
}

#[test]
fn an_adapter_and_none_are_two_machines() {
    let (mut platform, mut memory) = machine(NicModel::Virtio);
    let mut without =
        Platform::new(&PlatformConfig { nic: None, ..config(NicModel::Virtio) }).expect("it can be built");
    assert!(!without.takes_frames(&mut memory) && !without.receive(&mut memory, &[0; 60]));
    let unknown = without.restore("p", &platform.sections("p")).unwrap_err().to_string();
    assert!(unknown.contains("p/virtio-net0"), "{unknown}");
    let missing = platform.restore("p", &without.sections("p")).unwrap_err().to_string();
    assert!(missing.contains("p/virtio-net0 is missing"), "{missing}");
    for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        let config = PlatformConfig {
            nic: Some(NicConfig { model: NicModel::Virtio, mac }),
            ..config(NicModel::Virtio)
        };
        assert!(matches!(Platform::new(&config), Err(ConfigError::Mac(_))));
    }
}

/// Ports of the hot-plug block: what came, and what the guest lets go of.
const CAME: u16 = 0xae00;
const EJECT: u16 = 0xae08;

#[test]
fn an_adapter_that_goes_takes_along_what_was_on_its_way() {
    for subject in [VIRTIO, INTEL] {
        let functions = Some(FunctionSlots { adapter: true, ..FunctionSlots::default() });
        let hotplug = HotplugConfig { functions, ..HotplugConfig::default() };
        let config = PlatformConfig { hotplug, ..config(subject.model) };
        let (mut platform, mut memory) =
            (Platform::new(&config).expect("it can be built"), Memory(vec![0; RAM]));
        run(&mut platform, &mut memory, &(subject.ready)());
        platform.pio_write(&mut memory, EJECT, 4, 1 << ADAPTER_SLOT);
        let effects: Vec<_> = platform.effects().drain().collect();
        assert_eq!(effects, [Effect::MapChanged, Effect::Ejected(Part::Function(ADAPTER_SLOT))]);
        let before = memory.clone();
        let after = [Op::Advance(1_000_000), Op::Frame(200), Op::Read { gpa: CONFIG, size: 4 }];
        let (values, effects) = run(&mut platform, &mut memory, &after);
        assert_eq!((effects, &values[2..], memory == before), (vec![], &[0, 0, 0xffff_ffff, 0][..], true));
        assert!(platform.sections("p").iter().all(|section| section.path != subject.section));

        platform.plug_nic(&mut memory, config.nic.as_ref().expect("there was one"));
        assert_eq!(platform.pio_read(&mut memory, CAME, 4), 1 << ADAPTER_SLOT);
        assert_eq!(platform.mmio_read(&mut memory, CONFIG + 4, 2), 0, "it is a new one");
        assert!(!platform.takes_frames(&mut memory));
        let saved = platform.sections("p");
        let mut restored = Platform::new(&config).expect("it can be built");
        restored.restore("p", &saved).expect("it was saved");
        assert_eq!(restored.sections("p"), saved);
        let without = PlatformConfig { nic: None, ..config };
        let refused = Platform::new(&without).expect("it can be built").restore("p", &saved).unwrap_err();
        assert!(refused.to_string().contains(subject.section), "{refused}");
    }
}
