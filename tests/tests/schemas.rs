//! A section's schema does not change without its version: a state saved before would be read as something else.

use amber_cpu::state::CpuSection;
use amber_devices::{
    CpuSlots, DiskConfig, DiskInterface, FunctionSlots, HotplugConfig, MemorySlots, NicConfig, NicModel,
    Peripheral, Platform, PlatformConfig, SYSTEM_STATES, ShareConfig, system_states,
};
use amber_emu::config::Firmware;
use amber_emu::machine::{CpuParts, FunctionParts, Media, MemoryParts, NicSpec, Peripherals, ShareSpec};
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
    let diskette = DiskConfig { sectors: 2880, ..disk(DiskInterface::Floppy) };
    let disks =
        vec![disk(DiskInterface::Nvme), disk(DiskInterface::Ahci), disk(DiskInterface::Ide), diskette];
    let mac = [2, 0, 0, 0, 0, 1];
    let hotplug = HotplugConfig {
        cpus: Some(CpuSlots { max: 2, present: vec![0] }),
        memory: Some(MemorySlots { count: 1, max: 1 << 30, dimms: Vec::new() }),
        functions: Some(FunctionSlots { disks: vec![(0, disk(DiskInterface::Nvme))], adapter: true }),
    };
    let chipset = PlatformConfig {
        disks,
        peripherals: Peripheral::all().collect::<Vec<_>>(),
        firmware_len: 0x2000,
        variables_len: 0x1000,
        nic: Some(NicConfig { model: NicModel::Virtio, mac }),
        share: Some(ShareConfig { tag: "files".into(), size: 1 << 20, read_only: false }),
        hotplug,
        fw_cfg_files: vec![(SYSTEM_STATES.to_owned(), system_states(true))],
        ..PlatformConfig::default()
    };
    let chipset = Platform::new(&chipset).expect("it can be built").sections("platform0");
    let other =
        PlatformConfig { nic: Some(NicConfig { model: NicModel::E1000, mac }), ..PlatformConfig::default() };
    let other = Platform::new(&other).expect("it can be built").sections("platform0");
    let peripherals: Peripherals = Peripheral::all().collect();
    let own = [
        Section::to_section(&peripherals, "peripherals"),
        NicSpec::new(NicModel::Virtio, mac).to_section("nic0"),
        ShareSpec { tag: "files".into(), size: 1 << 20, read_only: false }.to_section("share0"),
        CpuParts::new(1, 2).to_section("hotplug/cpus"),
        MemoryParts::new(1, 1 << 30).to_section("hotplug/memory"),
        FunctionParts::new(&[]).to_section("hotplug/functions"),
        Section::to_section(&Media::default(), "media"),
    ];
    let machine = disk_rom(&scratch.0).sections();
    let now: BTreeSet<String> = machine.iter().chain(&chipset).chain(&other).chain(&own).map(line).collect();
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
