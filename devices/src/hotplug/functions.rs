//! The block of functions on PCI bus 0: bitmaps by slot of what came and what is to go.

use super::{FunctionSlots, Outcome, Part, PartState, read_bytes};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Slots with a function that came; reading it clears it.
const UP: u16 = 0x00;
/// Slots with a function that is to go.
const DOWN: u16 = 0x04;
/// Written, the guest lets go of the function in the lowest of these slots.
const EJECT: u16 = 0x08;
/// Slots with a function that can go.
const REMOVABLE: u16 = 0x0c;
/// The bus the others are about. There is one.
const BUS: u16 = 0x10;

/// Registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct FunctionHotplug {
    up: u32,
    down: u32,
    present: u32,
    bus: u32,
}

impl Section for FunctionHotplug {
    const KIND: &'static str = "acpi-pci-hotplug";
    const VERSION: u32 = 1;
}

fn bit(slot: u8) -> u32 {
    1u32.checked_shl(slot.into()).unwrap_or(0)
}

impl FunctionHotplug {
    /// Those of a platform that has a network adapter or not.
    pub fn new(slots: &FunctionSlots, has_adapter: bool) -> Self {
        let present = slots.occupied(has_adapter).fold(0, |bits, slot| bits | bit(slot));
        Self { up: 0, down: 0, present, bus: 0 }
    }

    /// How the function in a slot stands.
    pub fn state(&self, slot: u8) -> PartState {
        let has = |bits: u32| bits & bit(slot) != 0;
        let (present, inserting, removing) = (has(self.present), has(self.up), has(self.down));
        PartState { present, inserting, removing, report: None }
    }

    /// A function came.
    pub fn insert(&mut self, slot: u8) {
        self.present |= bit(slot);
        self.up |= bit(slot);
    }

    /// A function that is there is asked for.
    pub fn ask_for(&mut self, slot: u8) {
        self.down |= bit(slot) & self.present;
    }

    /// PLTRST#. What is there stays, and the guest that starts anew looks at all of it by itself.
    pub fn reset(&mut self) {
        (self.up, self.down, self.bus) = (0, 0, 0);
    }

    /// Whether it has the functions of `own`, in states there can be.
    pub fn is_like(&self, own: &Self) -> bool {
        self.present == own.present && (self.up | self.down) & !self.present == 0
    }

    fn register(&self, at: u16) -> u32 {
        match at {
            BUS => self.bus,
            _ if self.bus != 0 => 0,
            UP => self.up,
            DOWN => self.down,
            REMOVABLE => self.present,
            _ => 0,
        }
    }

    pub fn read(&mut self, offset: u16, size: u8) -> u32 {
        let value = read_bytes(offset, size, |at| self.register(at));
        if offset == UP && self.bus == 0 {
            self.up = 0;
        }
        value
    }

    pub fn write(&mut self, offset: u16, size: u8, value: u32) -> Option<Outcome> {
        match (offset, size) {
            (BUS, 4) => self.bus = value,
            (EJECT, 4) if self.bus == 0 => return self.eject(value & self.present),
            _ => {}
        }
        None
    }

    fn eject(&mut self, slots: u32) -> Option<Outcome> {
        let slot = u8::try_from(slots.trailing_zeros()).ok().filter(|slot| *slot < 32)?;
        for bits in [&mut self.up, &mut self.down, &mut self.present] {
            *bits &= !bit(slot);
        }
        Some(Outcome::Eject(Part::Function(slot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DiskConfig, DiskInterface};
    use crate::testing::Random;

    fn block() -> FunctionHotplug {
        let disk = DiskConfig { interface: DiskInterface::Virtio, sectors: 8, read_only: false };
        FunctionHotplug::new(&FunctionSlots { disks: vec![(1, disk)], adapter: true }, false)
    }

    #[test]
    fn a_function_comes_and_goes() {
        let mut block = block();
        assert_eq!([UP, DOWN, REMOVABLE].map(|at| block.read(at, 4)), [0, 0, 1 << 4]);
        block.insert(9);
        assert_eq!([UP, UP, REMOVABLE].map(|at| block.read(at, 4)), [1 << 9, 0, 1 << 4 | 1 << 9]);
        block.ask_for(9);
        block.ask_for(10);
        assert_eq!(block.read(DOWN, 4), 1 << 9);
        block.write(BUS, 4, 1);
        assert_eq!((block.read(DOWN, 4), block.write(EJECT, 4, 1 << 9), block.read(BUS, 4)), (0, None, 1));
        block.write(BUS, 4, 0);
        assert_eq!(block.write(EJECT, 4, 1 << 10), None, "nothing is there");
        assert_eq!(block.write(EJECT, 4, 3 << 9), Some(Outcome::Eject(Part::Function(9))));
        assert_eq!((block.read(DOWN, 4), block.state(9)), (0, PartState::default()));
    }

    /// AMBER_HOSTILE=N operations instead of 20,000.
    #[test]
    fn a_hostile_driver_gets_nowhere() {
        let count = std::env::var("AMBER_HOSTILE").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000u64);
        let (mut block, mut random, mut gone) = (block(), Random(7), 0u64);
        for _ in 0..count {
            let (offset, size) = (random.below(28) as u16, random.of(&[1, 2, 4]));
            match random.below(8) {
                0 => drop(block.read(offset, size)),
                1 => block.insert(random.below(32) as u8),
                2 => block.ask_for(random.below(40) as u8),
                3 => drop(block.write(BUS, 4, random.below(2) as u32)),
                n => {
                    let offset = if n == 4 { EJECT } else { offset };
                    let outcome = block.write(offset, size, random.0 as u32);
                    gone += u64::from(matches!(outcome, Some(Outcome::Eject(_))));
                }
            }
            assert!(block.is_like(&block.clone()), "{block:?}");
        }
        assert!(gone > count / 2000, "{gone} functions went");
    }
}
