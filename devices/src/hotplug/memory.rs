//! The memory block: a selector, the selected module's range and flags, and reports.

use super::{MemorySlots, Outcome, Part, PartState, Place, read_bytes};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

// Written.
const SELECTOR: u16 = 0x0;
const EVENT: u16 = 0x4;
const STATUS: u16 = 0x8;
// Read.
const BASE: u16 = 0x0;
const BASE_HIGH: u16 = 0x4;
const LEN: u16 = 0x8;
const LEN_HIGH: u16 = 0xc;
const FLAGS: u16 = 0x14;

/// Flags, read: the module is there, it came, it is to go.
const ENABLED: u8 = 1 << 0;
/// Written, these two clear themselves.
const INSERTING: u8 = 1 << 1;
const REMOVING: u8 = 1 << 2;
/// Written, the guest lets go of the module.
const EJECT: u8 = 1 << 3;

/// A memory module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Dimm {
    /// The slot it is in.
    pub slot: u8,
    /// Guest-physical address.
    pub base: u64,
    /// Bytes.
    pub len: u64,
}

/// A slot: a module that is not there has no range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Slot {
    place: Place,
    base: u64,
    len: u64,
}

/// Registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct MemoryHotplug {
    selector: u32,
    slots: Vec<Slot>,
}

impl Section for MemoryHotplug {
    const KIND: &'static str = "acpi-memory-hotplug";
    const VERSION: u32 = 1;
}

impl MemoryHotplug {
    pub fn new(slots: &MemorySlots) -> Self {
        let mut block = Self { selector: 0, slots: vec![Slot::default(); slots.count.into()] };
        for dimm in &slots.dimms {
            if let Some(slot) = block.slots.get_mut(usize::from(dimm.slot)) {
                let place = Place { present: true, ..Place::default() };
                *slot = Slot { place, base: dimm.base, len: dimm.len };
            }
        }
        block
    }

    /// How slot `n` stands.
    pub fn state(&self, n: u8) -> PartState {
        self.slots.get(usize::from(n)).map(|slot| slot.place.state()).unwrap_or_default()
    }

    /// The modules that are there.
    pub fn dimms(&self) -> impl Iterator<Item = Dimm> + '_ {
        let slots = (0..).zip(&self.slots).filter(|(_, slot)| slot.place.present);
        slots.map(|(n, slot)| Dimm { slot: n, base: slot.base, len: slot.len })
    }

    /// A module came.
    pub fn insert(&mut self, dimm: &Dimm) {
        if let Some(slot) = self.slots.get_mut(usize::from(dimm.slot)) {
            slot.place.insert();
            (slot.base, slot.len) = (dimm.base, dimm.len);
        }
    }

    /// A module that is there is asked for.
    pub fn ask_for(&mut self, n: u8) {
        if let Some(slot) = self.slots.get_mut(usize::from(n)).filter(|slot| slot.place.present) {
            slot.place.ask_for();
        }
    }

    /// PLTRST#. What is there stays, and the guest that starts anew looks at all of it by itself.
    pub fn reset(&mut self) {
        self.selector = 0;
        for slot in &mut self.slots {
            slot.place = Place { present: slot.place.present, ..Place::default() };
        }
    }

    /// Whether it has as many slots as `own`, with the same modules, in states there can be.
    pub fn is_like(&self, own: &Self) -> bool {
        let possible = |slot: &Slot| {
            !slot.place.is_impossible() && (slot.place.present || (slot.base, slot.len) == (0, 0))
        };
        self.slots.len() == own.slots.len() && self.dimms().eq(own.dimms()) && self.slots.iter().all(possible)
    }

    fn selected(&mut self) -> Option<(u8, &mut Slot)> {
        let n = u8::try_from(self.selector).ok()?;
        Some((n, self.slots.get_mut(usize::from(n))?))
    }

    fn register(&self, at: u16) -> u32 {
        let Some(slot) = self.slots.get(self.selector as usize) else { return 0 };
        match at {
            BASE => slot.base as u32,
            BASE_HIGH => (slot.base >> 32) as u32,
            LEN => slot.len as u32,
            LEN_HIGH => (slot.len >> 32) as u32,
            FLAGS => u32::from(slot.place.flags(ENABLED, INSERTING, REMOVING)),
            // All memory is in proximity domain 0.
            _ => 0,
        }
    }

    pub fn read(&self, offset: u16, size: u8) -> u32 {
        read_bytes(offset, size, |at| self.register(at))
    }

    pub fn write(&mut self, offset: u16, size: u8, value: u32) -> Option<Outcome> {
        if (offset, size) == (SELECTOR, 4) {
            self.selector = value;
            return None;
        }
        let (n, slot) = self.selected()?;
        match (offset, size) {
            (EVENT, 4) => slot.place.event = value,
            (STATUS, 4) => {
                slot.place.report(value);
                return Some(Outcome::Reported(Part::Dimm(n)));
            }
            (FLAGS, _) => return write_flags(n, slot, value as u8),
            _ => {}
        }
        None
    }
}

fn write_flags(n: u8, slot: &mut Slot, value: u8) -> Option<Outcome> {
    if value & INSERTING != 0 {
        slot.place.inserting = false;
    } else if value & REMOVING != 0 {
        slot.place.removing = false;
    } else if value & EJECT != 0 && slot.place.present {
        let place = Place { report: slot.place.report, ..Place::default() };
        *slot = Slot { place, ..Slot::default() };
        return Some(Outcome::Eject(Part::Dimm(n)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn block() -> MemoryHotplug {
        let dimms = vec![Dimm { slot: 1, base: 0x1_4000_0000, len: 0x800_0000 }];
        MemoryHotplug::new(&MemorySlots { count: 3, max: 1 << 30, dimms })
    }

    fn select(block: &mut MemoryHotplug, slot: u32) -> u32 {
        assert_eq!(block.write(SELECTOR, 4, slot), None);
        block.read(FLAGS, 1)
    }

    #[test]
    fn a_module_comes_and_goes() {
        let mut block = block();
        assert_eq!([0, 1, 2, 3, 256, 257].map(|slot| select(&mut block, slot)), [0, 1, 0, 0, 0, 0]);
        block.insert(&Dimm { slot: 2, base: 0x12_3456_7000, len: 0x1_8000_0000 });
        assert_eq!(select(&mut block, 2), 3);
        let registers = [0, 4, 8, 0xc, 0x10].map(|at| block.read(at, 4));
        assert_eq!(registers, [0x3456_7000, 0x12, 0x8000_0000, 1, 0]);
        block.write(FLAGS, 1, 2);
        block.ask_for(2);
        assert_eq!(block.read(FLAGS, 1), 5);
        block.write(FLAGS, 1, 4);
        for (at, value) in [(EVENT, 3), (STATUS, 0x80)] {
            assert_eq!(block.write(at, 4, value).is_some(), at == STATUS);
        }
        assert!(block.state(2).report.unwrap().refuses_ejection());
        assert_eq!(block.write(FLAGS, 1, 8), Some(Outcome::Eject(Part::Dimm(2))));
        assert_eq!((block.read(FLAGS, 1), block.read(LEN_HIGH, 4), block.write(FLAGS, 1, 8)), (0, 0, None));
        assert_eq!(block.dimms().count(), 1);
    }

    /// AMBER_HOSTILE=N operations instead of 20,000.
    #[test]
    fn a_hostile_driver_gets_nowhere() {
        let count = std::env::var("AMBER_HOSTILE").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000u64);
        let (mut block, mut random, mut gone) = (block(), Random(7), 0u64);
        let module = Dimm { slot: 0, base: 0x1_5000_0000, len: 0x800_0000 };
        for _ in 0..count {
            let (offset, size) = (random.below(28) as u16, random.of(&[1, 2, 4]));
            match random.below(8) {
                0 => drop(block.read(offset, size)),
                1 if !block.state(0).present => block.insert(&module),
                1 => block.ask_for(0),
                2 => drop(block.write(SELECTOR, 4, random.below(5) as u32)),
                n => {
                    let offset = if n == 3 { FLAGS } else { offset };
                    let value = random.of(&[random.0 as u32, 1 << (random.0 >> 7 & 7)]);
                    let outcome = block.write(offset, size, value);
                    gone += u64::from(matches!(outcome, Some(Outcome::Eject(_))));
                }
            }
            assert!(block.is_like(&block.clone()), "{block:?}");
        }
        assert!(gone > count / 2000, "{gone} modules went");
    }
}
