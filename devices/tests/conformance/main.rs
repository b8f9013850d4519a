//! The battery every device passes: a saved state goes on like the original, every register can be touched
//! with every width, reset is complete, and no state read from a file makes the platform panic.

mod drivers;
mod hostile;
mod machine;
mod memory;
mod operation;
mod strategy;

use amber_devices::{Platform, PlatformConfig};
use drivers::ECAM;
use drivers::ahci::{ABAR, AHCI};
use drivers::hda::{HDA, HDA_CONFIG};
use drivers::nvme::{NVME, NVME_CONFIG};
use drivers::vga::VGA;
use drivers::virtio::{CONSOLE, CONSOLE_CONFIG, RNG, RNG_CONFIG, SHARE, SHARE_CONFIG};
use drivers::virtio_blk::{DISK, MSIX};
use machine::{config, config_of, machine};
use memory::Memory;
use operation::run;
use proptest::prelude::*;
use strategy::{device_ops, without_long_dma};

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_platform_goes_on_like_the_saved_one((_name, before, after) in device_ops()) {
        let (before, after) = (without_long_dma(before), without_long_dma(after));
        let (mut platform, mut memory) = machine();
        run(&mut platform, &mut memory, &before);
        let saved = platform.sections("platform0");
        let same = config_of(&platform);
        let mut memory_too = Memory(memory.0.clone());
        let log = run(&mut platform, &mut memory, &after);

        let mut restored = Platform::new(&same).unwrap();
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
    let windows = [
        (0xfec0_0000, 0x1000),
        (0xfed0_0000, 0x1000),
        (MSIX, 0x1000),
        (DISK, 0x4000),
        (ABAR, 0x1000),
        (AHCI, 0x1000),
        (ECAM, 0x2000),
        (ECAM + 0xf_8000, 0x4000),
        (ECAM + 0x1_8000, 0x1000),
        (NVME, 0x5000),
        (NVME_CONFIG, 0x1000),
        (HDA, 0x4000),
        (HDA_CONFIG, 0x1000),
        (RNG - 0x3000, 0x7000),
        (RNG_CONFIG, 0x1000),
        (CONSOLE - 0x4000, 0x8000),
        (CONSOLE_CONFIG, 0x1000),
        (SHARE - 0x4000, 0x8000),
        (SHARE_CONFIG, 0x1000),
        (0xa_0000, 0x1000),
        (0xb_8000, 0x1000),
        (VGA, 0x1000),
        (ECAM + 0x8000, 0x1000),
    ];
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
    let other = PlatformConfig { memory_size: 384 << 20, ..config() };
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
