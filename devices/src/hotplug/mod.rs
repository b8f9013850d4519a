//! ACPI hot-plug of processors, memory and functions of PCI bus 0: register blocks with the layout of QEMU's (its docs/specs/acpi_cpu_hotplug,
//! acpi_mem_hotplug and acpi_pci_hotplug), through which the guest's AML learns what came and what is to go, and lets go of it. A block is there only on platforms that
//! ask for it.

mod blocks;
mod cpus;
mod functions;
mod memory;
mod plug;

use crate::device::size_mask;
use crate::disk::DiskConfig;
use crate::pci::{ADAPTER_SLOT, DISKS_MAX, FIRST_DISK, LAST_DISK, disk_slot};
use crate::platform::{CPUS_MAX, MEMORY_MAX, PlatformConfig, RamLayout};
use amber_snapshot::Schema;
pub(crate) use blocks::Hotplug;
pub(crate) use cpus::CpuHotplug;
pub(crate) use functions::FunctionHotplug;
pub use memory::Dimm;
pub(crate) use memory::MemoryHotplug;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// First port of the processors' block, and how many it has.
pub(crate) const CPU_PORTS: (u16, u16) = (0xcd8, 12);
/// General-purpose event that a processor came or is to go.
pub(crate) const CPU_GPE: u8 = 2;

/// First port of the memory block, and how many it has.
pub(crate) const MEMORY_PORTS: (u16, u16) = (0xa00, 24);
/// General-purpose event that a module came or is to go.
pub(crate) const MEMORY_GPE: u8 = 3;

/// First port of the block of functions, and how many it has.
pub(crate) const FUNCTION_PORTS: (u16, u16) = (0xae00, 24);
/// General-purpose event that a function came or is to go.
pub(crate) const FUNCTION_GPE: u8 = 1;

/// Most slots for memory modules.
pub const DIMMS_MAX: usize = 32;
/// Bytes that a module begins and ends at a multiple of: blocks of Linux' hot-plug are as large.
pub const DIMM_ALIGN: u64 = 128 << 20;

/// What can be plugged in and out while the platform runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotplugConfig {
    /// The processors' block.
    pub cpus: Option<CpuSlots>,
    /// The memory block.
    pub memory: Option<MemorySlots>,
    /// The block of functions on PCI bus 0.
    pub functions: Option<FunctionSlots>,
}

/// Places for processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSlots {
    /// Most processors: their ids are below it.
    pub max: u32,
    /// Ids of the processors that are there, in order.
    pub present: Vec<u32>,
}

/// The functions on PCI bus 0 that may come and go: disks, which the platform's own list has as it starts, and the network
/// adapter, which [`PlatformConfig::nic`] is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionSlots {
    /// Disks by number.
    pub disks: Vec<(u8, DiskConfig)>,
    /// The network adapter may come and go, too.
    pub adapter: bool,
}

impl FunctionSlots {
    /// All of them.
    pub(crate) fn slots(&self) -> RangeInclusive<u8> {
        let first = if self.adapter { ADAPTER_SLOT } else { FIRST_DISK };
        first..=LAST_DISK
    }

    /// The slots that are occupied, in a platform that has a network adapter or not.
    pub(crate) fn occupied(&self, has_adapter: bool) -> impl Iterator<Item = u8> {
        let adapter = (self.adapter && has_adapter).then_some(ADAPTER_SLOT);
        adapter.into_iter().chain(self.disks.iter().map(|(n, _)| disk_slot(*n)))
    }

    fn check(&self) -> Result<(), HotplugError> {
        let ordered = self.disks.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let fits = |(n, disk): &&(u8, DiskConfig)| {
            ordered && usize::from(*n) < DISKS_MAX && disk.interface.is_function() && disk.has_sectors()
        };
        let wrong = self.disks.iter().find(|disk| !fits(disk));
        wrong.map_or(Ok(()), |(n, _)| Err(HotplugError::Disk(*n)))
    }
}

/// Slots for memory modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemorySlots {
    /// How many there are.
    pub count: u8,
    /// Most memory, what is no module included, in bytes.
    pub max: u64,
    /// The modules that are there, by slot.
    pub dimms: Vec<Dimm>,
}

impl MemorySlots {
    /// Whether there can be such slots in a platform with `memory` bytes that are no modules.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn check(&self, memory: u64) -> Result<(), HotplugError> {
        if !(1..=DIMMS_MAX).contains(&usize::from(self.count)) {
            return Err(HotplugError::Slots(self.count));
        }
        let room = self.max.checked_sub(memory).filter(|room| *room != 0 && room.is_multiple_of(DIMM_ALIGN));
        let Some(room) = room.filter(|_| self.max <= MEMORY_MAX) else {
            return Err(HotplugError::MemoryMax { max: self.max, memory });
        };
        let (start, end) = RamLayout::new(memory).dimms(room);
        let mut by_base = self.dimms.clone();
        by_base.sort_unstable_by_key(|dimm| dimm.base);
        let mut at = start;
        for Dimm { base, len, .. } in by_base {
            let aligned = len != 0 && base.is_multiple_of(DIMM_ALIGN) && len.is_multiple_of(DIMM_ALIGN);
            match base.checked_add(len).filter(|next| aligned && base >= at && *next <= end) {
                Some(next) => at = next,
                None => return Err(HotplugError::Dimm { base, len }),
            }
        }
        let ordered = self.dimms.windows(2).all(|pair| pair[0].slot < pair[1].slot);
        match self.dimms.last().filter(|last| !ordered || last.slot >= self.count) {
            Some(dimm) => Err(HotplugError::Dimm { base: dimm.base, len: dimm.len }),
            None => Ok(()),
        }
    }
}

/// Why there can be no such hot-plug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HotplugError {
    /// The number of places for processors.
    #[error("room for {max} processors: it must be for at least the {cpus} there are and at most {CPUS_MAX}")]
    Cpus { max: u32, cpus: u32 },
    /// The processors that are there.
    #[error("processors {0:?}: they must be in order, the first be 0, and all have places")]
    Present(Vec<u32>),
    /// The number of slots for memory modules.
    #[error("{0} slots for memory modules: there can be 1 to {DIMMS_MAX}")]
    Slots(u8),
    /// The most memory there can be.
    #[error(
        "room for {max} bytes of memory: it must be for at least 128 MiB more than the {memory} there are, for a multiple of \
         128 MiB more, and for at most 64 GiB"
    )]
    MemoryMax { max: u64, memory: u64 },
    /// A module.
    #[error("a memory module of {len} bytes at {base:#x}: there is no such slot, or no room for it there")]
    Dimm { base: u64, len: u64 },
    /// A disk.
    #[error("disk {0}: it is out of order, or no disk that may come and go")]
    Disk(u8),
}

impl HotplugConfig {
    /// Ports of the blocks: first and count.
    pub(crate) fn ports(&self) -> impl Iterator<Item = (u16, u16)> {
        let memory = self.memory.iter().map(|_| MEMORY_PORTS);
        let functions = self.functions.iter().map(|_| FUNCTION_PORTS);
        self.cpus.iter().map(|_| CPU_PORTS).chain(memory).chain(functions)
    }

    pub(crate) fn check(&self, config: &PlatformConfig) -> Result<(), HotplugError> {
        if let Some(memory) = &self.memory {
            memory.check(config.memory_size)?;
        }
        self.functions.as_ref().map_or(Ok(()), FunctionSlots::check)?;
        let Some(CpuSlots { max, present }) = &self.cpus else { return Ok(()) };
        if !(config.cpus..=CPUS_MAX).contains(max) {
            return Err(HotplugError::Cpus { max: *max, cpus: config.cpus });
        }
        let ordered = present.windows(2).all(|pair| pair[0] < pair[1]);
        if !ordered || present.first() != Some(&0) || present.last().is_some_and(|last| last >= max) {
            return Err(HotplugError::Present(present.clone()));
        }
        Ok(())
    }
}

impl RamLayout {
    /// First address of memory modules, and the one behind their last, with room for `room` bytes of them.
    pub fn dimms(&self, room: u64) -> (u64, u64) {
        const WINDOW_ALIGN: u64 = 1 << 30;
        let start = ((1 << 32) + self.high).next_multiple_of(WINDOW_ALIGN);
        (start, start.saturating_add(room))
    }
}

impl PlatformConfig {
    /// First address of memory modules, and the one behind their last.
    pub(crate) fn dimms(&self) -> Option<(u64, u64)> {
        let memory = self.hotplug.memory.as_ref()?;
        Some(RamLayout::new(self.memory_size).dimms(memory.max.saturating_sub(self.memory_size)))
    }

    /// Most processors there can be.
    pub(crate) fn cpus_max(&self) -> u32 {
        self.hotplug.cpus.as_ref().map_or(self.cpus, |slots| slots.max)
    }

    /// How many there are now. [`PlatformConfig::cpus`] are those of the start.
    pub(crate) fn cpus_present(&self) -> u32 {
        self.hotplug.cpus.as_ref().map_or(self.cpus, |slots| slots.present.len() as u32)
    }
}

/// Something that is plugged in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// A processor, by its APIC id.
    Cpu(u32),
    /// A memory module, by its slot.
    Dimm(u8),
    /// The function in a slot of PCI bus 0.
    Function(u8),
}

/// What the guest said last about an event of a part: arguments of _OST (ACPI 6.5, 6.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// 1: a part came; 3: it is to be ejected; 103h: it is being ejected.
    pub event: u32,
    /// 0 is success.
    pub status: u32,
}

impl Report {
    /// The guest will not eject the part: it says so of the request (3) or on its way (103h), and it is not that it still
    /// works on it (84h) (ACPI 6.5, table 6.56).
    pub fn refuses_ejection(&self) -> bool {
        matches!(self.event, 3 | 0x103) && !matches!(self.status, 0 | 0x84)
    }
}

/// How a part stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartState {
    pub present: bool,
    /// The guest has not heard yet that it came.
    pub inserting: bool,
    /// The guest has not heard yet that it is to go. Of a function it is not known whether the guest has: it is asked for.
    pub removing: bool,
    pub report: Option<Report>,
}

/// What a place has for a part to come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Place {
    present: bool,
    inserting: bool,
    removing: bool,
    /// Event code of the report that is being written.
    event: u32,
    report: Option<Report>,
}

impl Place {
    fn insert(&mut self) {
        *self = Self { present: true, inserting: true, ..Self::default() };
    }

    fn ask_for(&mut self) {
        self.removing = true;
        self.report = None;
    }

    fn report(&mut self, status: u32) -> Report {
        *self.report.insert(Report { event: self.event, status })
    }

    fn state(&self) -> PartState {
        let Self { present, inserting, removing, report, event: _ } = *self;
        PartState { present, inserting, removing, report }
    }

    /// Its flags, with a bit for each.
    fn flags(&self, present: u8, inserting: u8, removing: u8) -> u8 {
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        bit(self.present, present) | bit(self.inserting, inserting) | bit(self.removing, removing)
    }

    /// A state that none comes to: an absent part has no events.
    fn is_impossible(&self) -> bool {
        !self.present && (self.inserting || self.removing)
    }
}

/// What a write to a block does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The guest lets go of the part.
    Eject(Part),
    /// The guest said something about the part.
    Reported(Part),
}

/// `size` bytes at `offset` of a block, made of its aligned 32-bit registers.
fn read_bytes(offset: u16, size: u8, register: impl Fn(u16) -> u32) -> u32 {
    let at = offset & !3;
    let both = u64::from(register(at + 4)) << 32 | u64::from(register(at));
    (both >> ((offset & 3) * 8) & size_mask(size)) as u32
}
