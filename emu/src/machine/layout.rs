//! From the chipset's map of guest-physical memory to frames.

use super::hotplug::DIMM_NAMES;
use super::{Machine, MachineError, MachineSpec};
use amber_devices::Platform;
use amber_devices::map::{Backing as From, RegionId};
use amber_mmu::{AddressMap, Backing, FrameId, MapRange, PAGE, ViewId};

/// Where the bytes of the region `ram` are in guest-physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RamLayout {
    /// Bytes below the hole under 4 GiB.
    low: u64,
}

const HIGH: u64 = 1 << 32;

impl RamLayout {
    /// Of the machine with this configuration.
    ///
    /// # Errors
    /// When there is no such machine.
    pub fn of(spec: &MachineSpec) -> Result<Self, MachineError> {
        let platform = Platform::new(&spec.chipset()).map_err(|e| MachineError::Platform(e.to_string()))?;
        let high = platform.memory_map(false).into_iter().find(|range| range.base == HIGH);
        let low = match high.map(|range| range.read) {
            Some(From::Region { region: RegionId::Ram, offset }) => offset,
            _ => u64::MAX,
        };
        Ok(Self { low })
    }

    /// Guest-physical address of a byte of the region.
    pub fn address(self, offset: u64) -> u64 {
        if offset < self.low { offset } else { offset - self.low + HIGH }
    }
}

impl Machine {
    /// The region whose byte is read at a guest-physical address, and where in it. `None` where there is no memory.
    pub fn region_at(&self, gpa: u64) -> Option<(&'static str, u64)> {
        let map = self.platform.memory_map(false);
        let range = map.iter().find(|range| range.base <= gpa && gpa < range.end())?;
        let From::Region { region, offset } = range.read else { return None };
        let index = match region {
            RegionId::Ram => super::RAM,
            RegionId::Firmware => super::FIRMWARE,
            RegionId::Vram => super::VRAM,
            RegionId::Dimm(slot) => {
                return Some((*DIMM_NAMES.get(usize::from(slot))?, offset + (gpa - range.base)));
            }
        };
        Some((super::REGION_NAMES[index], offset + (gpa - range.base)))
    }

    /// Takes over the chipset's current map, for the ordinary view and for SMM.
    pub(crate) fn map_changed(&mut self) {
        for (view, smm) in [(ViewId(0), false), (ViewId(1), true)] {
            let ranges = self.platform.memory_map(smm);
            let ranges = ranges
                .iter()
                .map(|range| MapRange {
                    base: range.base,
                    len: range.len,
                    read: self.backing(range.read),
                    write: self.backing(range.write),
                })
                .collect();
            self.mmu.set_map(view, AddressMap::new(ranges));
        }
    }

    fn backing(&self, from: From) -> Backing {
        match from {
            From::Device => Backing::Device,
            From::Open => Backing::Open,
            From::Region { region, offset } => {
                let region = match region {
                    RegionId::Ram => self.region(super::RAM),
                    RegionId::Firmware => self.region(super::FIRMWARE),
                    RegionId::Vram => self.region(super::VRAM),
                    RegionId::Dimm(slot) => match self.dimm(slot) {
                        Some(region) => region,
                        None => return Backing::Open,
                    },
                };
                debug_assert!(
                    offset / PAGE < u64::from(region.pages),
                    "the chipset maps beyond {}",
                    region.name
                );
                Backing::Frames(FrameId(region.first.0 + (offset / PAGE) as u32))
            }
        }
    }
}
