//! A section's schema does not change without its version: a state saved before would be read as something else.

use amber_cpu::state::CpuSection;
use amber_devices::{DiskConfig, DiskInterface, Platform, PlatformConfig, SYSTEM_STATES, system_states};
use amber_emu::config::Firmware;
use amber_snapshot::{ObjectId, OwnedSection, Section, SectionError};
use amber_tests::disks::disk_rom;
use amber_tests::program::Scratch;
use amber_tests::rom;
use std::collections::BTreeSet;

/// Kind, version and hash of the schema of every section, one a line.
const PINNED: &str = include_str!("schemas.txt");

#[test]
fn schemas_change_with_their_versions() {
    let line = |section: &OwnedSection| {
        let id = ObjectId::of(format!("{:?}", section.schema).as_bytes());
        format!("{} {} {id:?}", section.kind, section.version)
    };
    let scratch = Scratch::new("schemas");
    let disk = |interface| DiskConfig { interface, sectors: 8, read_only: false };
    let disks = vec![disk(DiskInterface::Nvme), disk(DiskInterface::Ahci), disk(DiskInterface::Ide)];
    let (firmware_len, variables_len) = (0x2000, 0x1000);
    let fw_cfg_files = vec![(SYSTEM_STATES.to_owned(), system_states(true))];
    let chipset =
        PlatformConfig { disks, firmware_len, variables_len, fw_cfg_files, ..PlatformConfig::default() };
    let chipset = Platform::new(&chipset).expect("it can be built").sections("platform0");
    let now: BTreeSet<String> = disk_rom(&scratch.0).sections().iter().chain(&chipset).map(line).collect();
    let pinned: BTreeSet<String> = PINNED.lines().map(str::to_owned).collect();
    let new: Vec<&String> = now.difference(&pinned).collect();
    let all: Vec<&str> = now.iter().map(String::as_str).collect();
    assert!(
        now == pinned,
        "raise VERSION of a section whose schema changed ({new:?}), then tests/tests/schemas.txt is:\n{}\n",
        all.join("\n")
    );
}

#[test]
fn another_schema_of_the_same_version_is_refused() {
    let sections = rom(Firmware::Smp, 1).sections();
    let cpu = sections.iter().find(|section| section.path == "cpu0").expect("a processor");
    let odd = OwnedSection { schema: sections[0].schema.clone(), ..cpu.clone() };
    assert!(matches!(CpuSection::from_section(&odd), Err(SectionError::Schema { .. })));
    assert!(CpuSection::from_section(cpu).is_ok());
}
