//! The platform under test: one of everything.

use crate::memory::*;
use amber_devices::share::{Attributes, FileTime, S_IFDIR, SHARE_MIN, ShareLayout, Tree};
use amber_devices::{
    ADAPTER_SLOT, CpuSlots, DIMM_ALIGN, Dimm, DiskConfig, DiskInterface, FunctionSlots, HotplugConfig,
    MemorySlots, NicConfig, NicModel, Part, Peripheral, Platform, PlatformConfig, ShareConfig, disk_slot,
};

/// Disks that come and go.
pub const PLUGGABLE: [u8; 4] = [0, 1, 2, 9];
pub fn config() -> PlatformConfig {
    let sectors = (DISK_LEN / 512) as u64;
    let disk = |interface, read_only| DiskConfig { interface, sectors, read_only };
    let disks = vec![
        disk(DiskInterface::Virtio, false),
        disk(DiskInterface::Virtio, true),
        disk(DiskInterface::Nvme, false),
        disk(DiskInterface::Ahci, false),
        disk(DiskInterface::Cdrom, true),
        disk(DiskInterface::Ide, false),
        disk(DiskInterface::IdeCdrom, true),
        DiskConfig { sectors: DISKETTE, ..disk(DiskInterface::Floppy, false) },
    ];
    let cpus = Some(CpuSlots { max: CPUS_MAX, present: vec![0, 1] });
    let hotplug =
        HotplugConfig { cpus, memory: Some(slots(Vec::new())), functions: Some(functions(&[0, 1, 2])) };
    let peripherals = Peripheral::all().collect::<Vec<_>>();
    PlatformConfig {
        cpus: 2,
        rtc_start: 1_700_000_000,
        disks,
        peripherals,
        share: Some(ShareConfig { tag: "files".into(), size: SHARE_MIN, read_only: false }),
        hotplug,
        ..PlatformConfig::default()
    }
}

/// Disks, of which those with these numbers are there.
pub fn functions(there: &[u8]) -> FunctionSlots {
    FunctionSlots { disks: there.iter().map(|n| (*n, pluggable(*n))).collect(), adapter: true }
}

pub const ADAPTER: Part = Part::Function(ADAPTER_SLOT);

pub fn nic() -> NicConfig {
    NicConfig { model: NicModel::E1000, mac: [2, 0, 0, 0, 0, 1] }
}

pub fn pluggable(n: u8) -> DiskConfig {
    let interface = if n == 2 { DiskInterface::Nvme } else { DiskInterface::Virtio };
    DiskConfig { interface, sectors: (DISK_LEN / 512) as u64, read_only: n == 1 }
}

/// Slots for memory modules.
pub fn slots(dimms: Vec<Dimm>) -> MemorySlots {
    MemorySlots { count: 3, max: 2 << 30, dimms }
}

pub fn function(n: u8) -> Part {
    Part::Function(disk_slot(n))
}

pub fn dimm(slot: u8) -> Dimm {
    Dimm { slot, base: 0x1_4000_0000 + DIMM_ALIGN * u64::from(slot), len: DIMM_ALIGN }
}

/// Places for processors.
pub const CPUS_MAX: u32 = 4;

/// What a platform that has the parts of `platform` is built from.
pub fn config_of(platform: &Platform) -> PlatformConfig {
    let mut config = config();
    let present = (0..CPUS_MAX).filter(|id| platform.part_state(Part::Cpu(*id)).present).collect();
    config.hotplug.cpus = Some(CpuSlots { max: CPUS_MAX, present });
    let there = (0..3).filter(|slot| platform.part_state(Part::Dimm(*slot)).present);
    config.hotplug.memory = Some(slots(there.map(dimm).collect()));
    let there: Vec<u8> =
        PLUGGABLE.into_iter().filter(|n| platform.part_state(function(*n)).present).collect();
    config.hotplug.functions = Some(functions(&there));
    config.nic = platform.part_state(ADAPTER).present.then(nic);
    config
}

pub fn machine() -> (Platform, Memory) {
    let layout = ShareLayout::new(SHARE_MIN);
    let mut memory = Memory(vec![0; SHARE_AT + layout.pages() as usize * 0x1000]);
    let time = FileTime { seconds: 0, nanoseconds: 0 };
    let root = Attributes { mode: S_IFDIR | 0o755, uid: 0, gid: 0, device: 0, time };
    Tree::format(&mut Pages(&mut memory), layout, &root).unwrap();
    (Platform::new(&config()).unwrap(), memory)
}
