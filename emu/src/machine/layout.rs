//! From the chipset's map of guest-physical memory to frames.

use super::Machine;
use amber_devices::map::{Backing as From, RegionId};
use amber_mmu::{AddressMap, Backing, FrameId, MapRange, PAGE, ViewId};

impl Machine {
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
