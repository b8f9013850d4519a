//! Memory modules that come and go, each a region of its own.

use super::super::{Machine, MachineSpec, Region};
use super::PlugError;
use amber_devices::{DIMM_ALIGN, Dimm, Part, RamLayout};
use amber_mmu::PAGE;
use amber_snapshot::{Schema, Section, SectionError};
use serde::{Deserialize, Serialize};

/// Names of the modules' regions.
pub(in crate::machine) const DIMM_NAMES: [&str; amber_devices::DIMMS_MAX] = [
    "dimm0", "dimm1", "dimm2", "dimm3", "dimm4", "dimm5", "dimm6", "dimm7", "dimm8", "dimm9", "dimm10",
    "dimm11", "dimm12", "dimm13", "dimm14", "dimm15", "dimm16", "dimm17", "dimm18", "dimm19", "dimm20",
    "dimm21", "dimm22", "dimm23", "dimm24", "dimm25", "dimm26", "dimm27", "dimm28", "dimm29", "dimm30",
    "dimm31",
];

/// Slots for modules, and what is in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct MemoryParts {
    slots: u8,
    /// Most memory, that of the start included, bytes.
    max: u64,
    /// By slot.
    dimms: Vec<Dimm>,
}

impl Section for MemoryParts {
    const KIND: &'static str = "hotplug-memory";
    const VERSION: u32 = 1;
}

impl MemoryParts {
    /// `slots` empty slots in a machine of at most `max` bytes.
    pub fn new(slots: u8, max: u64) -> Self {
        Self { slots, max, dimms: Vec::new() }
    }

    pub fn slots(&self) -> u8 {
        self.slots
    }

    /// Most memory, that of the start included, bytes.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The modules, by slot.
    pub fn dimms(&self) -> &[Dimm] {
        &self.dimms
    }

    pub(super) fn chipset(&self) -> amber_devices::MemorySlots {
        amber_devices::MemorySlots { count: self.slots, max: self.max, dimms: self.dimms.clone() }
    }

    /// Names and pages of the modules' regions.
    pub(in crate::machine) fn regions(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.dimms.iter().filter_map(|dimm| {
            let name = DIMM_NAMES.get(usize::from(dimm.slot))?;
            Some((*name, dimm.len / PAGE))
        })
    }

    /// What a stored machine cannot have: the chipset's check says it, before anything is made of it.
    pub(in crate::machine) fn check(&self, spec: &MachineSpec) -> Result<(), SectionError> {
        let path = super::MEMORY.to_owned();
        self.chipset().check(spec.memory).map_err(|error| SectionError::Value {
            path,
            field: "dimms",
            value: error.to_string(),
        })
    }

    /// The lowest range for a module of `len` bytes.
    fn place(&self, memory: u64, len: u64) -> Option<u64> {
        let (start, end) = RamLayout::new(memory).dimms(self.max - memory);
        let mut taken: Vec<(u64, u64)> =
            self.dimms.iter().map(|dimm| (dimm.base, dimm.base + dimm.len)).collect();
        taken.sort_unstable();
        taken.push((end, end));
        let mut at = start;
        for (base, next) in taken {
            if len <= base - at {
                return Some(at);
            }
            at = next;
        }
        None
    }
}

impl Machine {
    /// The slot and range that a module of `len` bytes would get.
    pub(super) fn place_for_dimm(&self, len: u64) -> Result<Dimm, PlugError> {
        let memory = self.equipment.hotplug.memory.as_ref().ok_or(PlugError::NoMemory)?;
        if len == 0 || !len.is_multiple_of(DIMM_ALIGN) {
            return Err(PlugError::DimmLen(len));
        }
        let taken = |slot: &u8| memory.dimms.iter().any(|dimm| dimm.slot == *slot);
        let slot = (0..memory.slots).find(|slot| !taken(slot)).ok_or(PlugError::SlotsFull(memory.slots))?;
        let base =
            memory.place(self.spec.memory, len).ok_or(PlugError::MemoryFull { len, max: memory.max })?;
        Ok(Dimm { slot, base, len })
    }

    /// Memory for a module.
    pub(in crate::machine) fn allocate_dimm(&mut self, dimm: &Dimm) -> Option<()> {
        let pages = u32::try_from(dimm.len / PAGE).ok()?;
        let name = DIMM_NAMES.get(usize::from(dimm.slot))?;
        let first = self.mmu.allocate(pages)?;
        self.regions.push(Region::new(name, first, pages));
        let slot = |region: &Region| DIMM_NAMES.iter().position(|name| *name == region.name);
        self.regions.sort_by_key(slot);
        Some(())
    }

    /// The region of the module in a slot.
    pub(in crate::machine) fn dimm(&self, slot: u8) -> Option<&Region> {
        let name = DIMM_NAMES.get(usize::from(slot))?;
        self.regions.iter().find(|region| region.name == *name)
    }

    pub(super) fn plug_dimm(&mut self, dimm: Dimm) -> Part {
        if let Some(memory) = &mut self.equipment.hotplug.memory {
            memory.dimms.push(dimm);
            memory.dimms.sort_by_key(|dimm| dimm.slot);
        }
        self.with_dma(|platform, dma| platform.plug_dimm(dma, &dimm));
        Part::Dimm(dimm.slot)
    }

    /// The map has the module no more; what was cached of it goes.
    pub(super) fn remove_dimm(&mut self, slot: u8) {
        let Some(memory) = &mut self.equipment.hotplug.memory else { return };
        memory.dimms.retain(|dimm| dimm.slot != slot);
        let name = DIMM_NAMES[usize::from(slot)];
        let Some(at) = self.regions.iter().position(|region| region.name == name) else { return };
        let region = self.regions.remove(at);
        self.drop_caches();
        self.end_monitors();
        self.mmu.release(region.first, region.pages);
    }

    /// Takes over the regions of a frozen state: those there all the time keep their trees.
    pub(in crate::machine) fn rewind_regions(&mut self, then: &[Region]) {
        if self.regions.len() == then.len() && self.regions.iter().zip(then).all(|(own, then)| own.is(then)) {
            return;
        }
        // Frames that were there then may have been others' since.
        self.drop_caches();
        let own = std::mem::take(&mut self.regions);
        let same = |then: &Region| own.iter().find(|own| own.is(then)).unwrap_or(then).clone();
        self.regions = then.iter().map(same).collect();
    }
}
