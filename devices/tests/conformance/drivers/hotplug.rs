//! The blocks of parts that come and go.

use super::virtio_blk::disk_is_ready;
use super::*;

/// The hot-plug blocks of processors and memory.
const CPU_HOTPLUG: u16 = 0xcd8;
const MEMORY_HOTPLUG: u16 = 0xa00;
const PCI_HOTPLUG: u16 = 0xae00;

pub const TARGETS: [Target; 4] = [
    Target {
        name: "cpu hot-plug",
        ports: &[(CPU_HOTPLUG, 12), (CPU_HOTPLUG + 4, 2), (0x620, 16)],
        windows: &[],
        prelude: a_processor_came,
    },
    Target {
        name: "pci hot-plug",
        ports: &[(PCI_HOTPLUG, 24), (PCI_HOTPLUG + 8, 1)],
        windows: &[(ECAM + 0x1_8000, 0x100), (ECAM + 0x6_0000, 0x100)],
        prelude: a_disk_came,
    },
    Target {
        name: "hot-plug of the adapter",
        ports: &[(PCI_HOTPLUG, 24), (PCI_HOTPLUG + 8, 1)],
        windows: &[(ECAM + 0x1_0000, 0x100)],
        prelude: an_adapter_came,
    },
    Target {
        name: "memory hot-plug",
        ports: &[(MEMORY_HOTPLUG, 24), (MEMORY_HOTPLUG + 0x14, 1)],
        windows: &[],
        prelude: a_module_came,
    },
];

/// Events are on, a processor came, and another is asked for.
fn a_processor_came() -> Vec<Op> {
    let event = [(0x604, 2, 1), (0x628, 4, 0xe)].map(|(port, size, value)| Op::Out { port, size, value });
    [event.to_vec(), vec![Op::PlugCpu(2), Op::AskForCpu(1)]].concat()
}

/// Events are on, a disk came, and another, with requests in flight, is asked for.
fn a_disk_came() -> Vec<Op> {
    let event = [(0x604, 2, 1), (0x628, 4, 0xe)].map(|(port, size, value)| Op::Out { port, size, value });
    [disk_is_ready(), event.to_vec(), vec![Op::PlugDisk(9), Op::AskForDisk(0)]].concat()
}

/// Events are on, and a network adapter came and is asked for again.
fn an_adapter_came() -> Vec<Op> {
    let event = [(0x604, 2, 1), (0x628, 4, 0xe)].map(|(port, size, value)| Op::Out { port, size, value });
    [&event[..], &[Op::PlugNic, Op::AskForNic]].concat()
}

/// Events are on, a memory module came and another is asked for.
fn a_module_came() -> Vec<Op> {
    let event = [(0x604, 2, 1), (0x628, 4, 0xe)].map(|(port, size, value)| Op::Out { port, size, value });
    [event.to_vec(), vec![Op::PlugDimm(2), Op::PlugDimm(1), Op::AskForDimm(1)]].concat()
}

#[test]
fn a_processor_that_came_is_a_general_purpose_event_and_ejected_by_the_guest() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &a_processor_came());
    assert_eq!(platform.pio_read(&mut memory, 0x620, 4), 1 << 2);
    let out = |port, size, value| Op::Out { port, size, value };
    let next = [out(CPU_HOTPLUG, 4, 0), out(CPU_HOTPLUG + 5, 1, 0)];
    run(&mut platform, &mut memory, &next);
    assert_eq!(platform.pio_read(&mut memory, CPU_HOTPLUG + 8, 4), 1);
    assert_eq!(platform.pio_read(&mut memory, CPU_HOTPLUG + 4, 1), 5, "it is asked for");
    let log = run(&mut platform, &mut memory, &[out(CPU_HOTPLUG + 4, 1, 8)]);
    assert_eq!(log.effects, [Effect::Ejected(Part::Cpu(1))]);
    run(&mut platform, &mut memory, &next);
    assert_eq!(platform.pio_read(&mut memory, CPU_HOTPLUG + 4, 1), 3, "the other came");
    run(&mut platform, &mut memory, &[out(0x70, 1, 0x5f)]);
    assert_eq!(platform.pio_read(&mut memory, 0x71, 1), 1, "firmware finds two");
    let saved = platform.sections("platform0");
    let other = Platform::new(&config()).unwrap().restore("platform0", &saved).unwrap_err();
    assert!(other.to_string().contains("platform0/cpu-hotplug: field cpus"), "{other}");
    let without = PlatformConfig { hotplug: HotplugConfig::default(), ..config() };
    assert_eq!(Platform::new(&without).unwrap().pio_read(&mut memory, CPU_HOTPLUG, 4), u32::MAX);
}

#[test]
fn a_module_that_came_is_mapped_and_ejected_by_the_guest() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &a_module_came());
    assert_eq!(platform.pio_read(&mut memory, 0x620, 4), 1 << 3);
    let mapped = |platform: &Platform, slot: u8| {
        let map = platform.memory_map(false);
        map.iter().any(|range| range.base <= dimm(slot).base && dimm(slot).base < range.end())
    };
    assert_eq!([0, 1, 2].map(|slot| mapped(&platform, slot)), [false, true, true]);
    let out = |port, size, value| Op::Out { port, size, value };
    let select = out(MEMORY_HOTPLUG, 4, 1);
    let log = run(&mut platform, &mut memory, &[select, out(MEMORY_HOTPLUG + 0x14, 1, 8)]);
    assert_eq!(log.effects, [Effect::MapChanged, Effect::Ejected(Part::Dimm(1))]);
    assert_eq!([0, 1, 2].map(|slot| mapped(&platform, slot)), [false, false, true]);
    let two = MemorySlots { dimms: vec![dimm(1), Dimm { slot: 2, ..dimm(1) }], ..slots(Vec::new()) };
    let overlapping = HotplugConfig { memory: Some(two), ..config().hotplug };
    assert!(Platform::new(&PlatformConfig { hotplug: overlapping, ..config() }).is_err());
}

#[test]
fn a_disk_goes_with_requests_in_flight_and_they_never_land() {
    let (mut platform, mut memory) = machine();
    run(&mut platform, &mut memory, &a_disk_came());
    assert_eq!(platform.pio_read(&mut memory, PCI_HOTPLUG, 4), 1 << 12, "disk 9 is in slot 12");
    assert_eq!(platform.pio_read(&mut memory, PCI_HOTPLUG + 4, 4), 1 << 3);
    assert_eq!(platform.mmio_read(&mut memory, ECAM + 0x6_0000, 4), 0x1042_1af4);
    let log = run(&mut platform, &mut memory, &[Op::Out { port: PCI_HOTPLUG + 8, size: 4, value: 1 << 3 }]);
    assert_eq!(log.effects, [Effect::MapChanged, Effect::Ejected(Part::Function(3))]);
    run(&mut platform, &mut memory, &[Op::Advance(1_000_000)]);
    let mut used = [0; 4];
    memory.read(USED, &mut used);
    assert_eq!(used[2], 0);
    assert_eq!(platform.mmio_read(&mut memory, ECAM + 0x1_8000, 4), 0xffff_ffff);
    assert!(platform.sections("p").iter().all(|section| section.path != "p/virtio-blk0"));
    run(&mut platform, &mut memory, &[Op::PlugDisk(0), Op::Advance(1_000_000)]);
    assert_eq!(platform.mmio_read(&mut memory, ECAM + 0x1_8004, 2), 0, "it is a new one");
}
