//! The platform as a machine uses it: interrupts on their way to the processors, the memory map, reset.

use amber_devices::{Backing, ConfigError, Dma, Effect, MapRange, Platform, PlatformConfig, RegionId};

struct NoMemory;

impl Dma for NoMemory {
    fn read(&mut self, _gpa: u64, into: &mut [u8]) {
        into.fill(0xff);
    }
    fn write(&mut self, _gpa: u64, _from: &[u8]) {}
}

fn platform(config: &PlatformConfig) -> Platform {
    Platform::new(config).unwrap()
}

fn out(platform: &mut Platform, port: u16, value: u32) {
    platform.pio_write(&mut NoMemory, port, 1, value);
}

fn run_until(platform: &mut Platform, end: u64) {
    while let Some(at) = platform.next_deadline().filter(|at| *at <= end) {
        platform.clock.advance_to(at);
        platform.run_due_timers(&mut NoMemory);
    }
    platform.clock.advance_to(end);
}

/// What answers reads and writes at `gpa`, with the offset of that very address.
fn at(map: &[MapRange], gpa: u64) -> (Backing, Backing) {
    let Some(range) = map.iter().find(|range| (range.base..range.end()).contains(&gpa)) else {
        return (Backing::Open, Backing::Open);
    };
    let here = |backing: Backing| match backing {
        Backing::Region { region, offset } => Backing::Region { region, offset: offset + gpa - range.base },
        other => other,
    };
    (here(range.read), here(range.write))
}

fn region(region: RegionId, offset: u64) -> Backing {
    Backing::Region { region, offset }
}

fn firmware() -> PlatformConfig {
    PlatformConfig { firmware_len: 0x4_0000, ..PlatformConfig::default() }
}

#[test]
fn a_timer_tick_reaches_both_interrupt_controllers() {
    let mut platform = platform(&PlatformConfig::default());
    out(&mut platform, 0x21, 0xfe);
    platform.mmio_write(&mut NoMemory, 0xfec0_0000, 4, 0x14);
    platform.mmio_write(&mut NoMemory, 0xfec0_0010, 4, 0x30);
    assert!(!platform.intr());
    run_until(&mut platform, 54_927_000);
    assert!(platform.intr());
    assert_eq!(platform.intack(), 0x08);
    assert!(!platform.intr());
    let messages: Vec<Effect> = platform.effects().drain().collect();
    assert_eq!(messages, [Effect::Msi { address: 0xfee0_0000, data: 0x4030 }]);
}

#[test]
fn hpet_edges_reach_the_8259_in_legacy_mode() {
    const HPET: u64 = 0xfed0_0000;
    for (periodic, edges) in [(0, 1), (1 << 3, 3)] {
        let mut platform = platform(&PlatformConfig::default());
        let write = |platform: &mut Platform, offset: u64, value: u64| {
            platform.mmio_write(&mut NoMemory, HPET + offset, 8, value);
        };
        out(&mut platform, 0x21, 0xfe);
        write(&mut platform, 0x100, 1 << 2 | periodic | 1 << 6);
        write(&mut platform, 0x108, 1000);
        write(&mut platform, 0x108, 1000);
        write(&mut platform, 0x10, 3);
        for n in 1..=edges {
            run_until(&mut platform, n * 10_000);
            assert!(platform.intr(), "edge {n}");
            assert_eq!(platform.intack(), 0x08);
            out(&mut platform, 0x20, 0x20);
            assert!(!platform.intr(), "one edge, one interrupt");
        }
        // Whoever stops the counter takes the line down.
        write(&mut platform, 0x10, 2);
        run_until(&mut platform, 100_000);
        assert!(!platform.intr());
    }
}

#[test]
fn the_power_button_is_a_level_interrupt_until_it_is_acknowledged() {
    let mut platform = platform(&PlatformConfig::default());
    platform.mmio_write(&mut NoMemory, 0xfec0_0000, 4, 0x22);
    platform.mmio_write(&mut NoMemory, 0xfec0_0010, 4, 0x8039);
    platform.pio_write(&mut NoMemory, 0x602, 2, 0x0100);
    platform.power_button(&mut NoMemory);
    assert_eq!(platform.effects().drain().count(), 1);
    platform.eoi_broadcast(0x39);
    assert_eq!(platform.effects().drain().count(), 1, "still asserted");
    platform.pio_write(&mut NoMemory, 0x600, 2, 0x0100);
    platform.eoi_broadcast(0x39);
    assert_eq!(platform.effects().drain().count(), 0);
}

#[test]
fn out_of_reset_firmware_shows_below_1_mib_and_below_4_gib() {
    let platform = platform(&firmware());
    let map = platform.memory_map(false);
    assert_eq!(at(&map, 0xffff_fff0), (region(RegionId::Firmware, 0x3_fff0), Backing::Open));
    assert_eq!(at(&map, 0xf_0000).0, region(RegionId::Firmware, 0x3_0000));
    assert_eq!(at(&map, 0xf_0000).1, Backing::Open);
    assert_eq!(at(&map, 0xc_0000), (Backing::Open, Backing::Open));
    assert_eq!(at(&map, 0xa_0000), (Backing::Open, Backing::Open));
    assert_eq!(at(&map, 0xb_8000).0, Backing::Open, "the display is off");
    assert_eq!(at(&map, 0xfec0_0000).0, Backing::Device);
    assert_eq!(at(&map, 0xb000_0000).0, Backing::Open);
}

#[test]
fn without_firmware_everything_below_1_mib_is_ram_and_the_chipset_is_set_up() {
    let mut platform = platform(&PlatformConfig::default());
    let map = platform.memory_map(false);
    assert!(matches!(at(&map, 0xf_0000).1, Backing::Region { region: RegionId::Ram, .. }));
    assert_eq!(at(&map, 0xb000_0000).0, Backing::Device);
    assert_eq!(platform.pio_read(&mut NoMemory, 0x604, 2), 1, "SCI_EN");
    assert_eq!(platform.mmio_read(&mut NoMemory, 0xb00f_8000, 4), 0x2918_8086);
}

#[test]
fn much_ram_is_split_at_2_gib() {
    let map =
        platform(&PlatformConfig { memory_size: 4 << 30, ..PlatformConfig::default() }).memory_map(false);
    assert_eq!(at(&map, 0x8000_0000).0, Backing::Open);
    assert_eq!(at(&map, 1 << 32).0, region(RegionId::Ram, 0x8000_0000));
    assert_eq!(map.last().unwrap().end(), (4 << 30) + 0x8000_0000);
    let map =
        platform(&PlatformConfig { memory_size: 0xaff0_0000, ..PlatformConfig::default() }).memory_map(false);
    assert!(matches!(at(&map, 0xafef_f000).0, Backing::Region { region: RegionId::Ram, .. }));
}

#[test]
fn firmware_switches_its_shadow_on() {
    let mut platform = platform(&firmware());
    platform.pio_write(&mut NoMemory, 0xcf8, 4, 0x8000_0090);
    platform.pio_write(&mut NoMemory, 0xcfc, 4, 0x3333_3330);
    assert_eq!(platform.effects().drain().filter(|effect| *effect == Effect::MapChanged).count(), 1);
    assert!(matches!(
        at(&platform.memory_map(false), 0xf_0000).1,
        Backing::Region { region: RegionId::Ram, .. }
    ));
    platform.reset(&mut NoMemory);
    assert_eq!(at(&platform.memory_map(false), 0xf_0000).1, Backing::Open);
    assert_eq!(platform.pio_read(&mut NoMemory, 0xcfc, 4), u32::MAX, "the latch is cleared");
}

#[test]
fn a_wide_access_to_byte_registers_is_split() {
    let mut platform = platform(&PlatformConfig::default());
    platform.pio_write(&mut NoMemory, 0x70, 2, 0xa540);
    out(&mut platform, 0x70, 0x40);
    assert_eq!(platform.pio_read(&mut NoMemory, 0x71, 1), 0xa5);
    assert_eq!(platform.pio_read(&mut NoMemory, 0x1234, 2), 0xffff);
}

#[test]
fn an_idle_machine_with_firmware_has_nothing_pending() {
    assert_eq!(platform(&firmware()).next_deadline(), None);
}

#[test]
fn an_impossible_configuration_is_refused_with_a_sentence() {
    let none = PlatformConfig::default();
    let refused = |config: PlatformConfig| Platform::new(&config).unwrap_err();
    assert_eq!(refused(PlatformConfig { memory_size: 5000, ..none.clone() }), ConfigError::Memory(5000));
    assert_eq!(
        refused(PlatformConfig { cpus: 0, ..none.clone() }).to_string(),
        "0 processors: a platform has 1 to 255"
    );
    let odd = PlatformConfig { firmware_len: 1000, ..none.clone() };
    assert_eq!(refused(odd), ConfigError::Firmware(1000));
    let long = PlatformConfig { fw_cfg_files: vec![("x".repeat(56), Vec::new())], ..none };
    assert!(matches!(refused(long), ConfigError::FileName(_)));
}
