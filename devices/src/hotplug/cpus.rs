//! The processors' block: a selector, the selected processor's flags, and commands.

use super::{CpuSlots, Outcome, Part, PartState, Place, read_bytes};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

const SELECTOR: u16 = 0;
const FLAGS: u16 = 4;
const COMMAND: u16 = 5;
const DATA: u16 = 8;

/// Flags, read: the processor is there, it came, it is to go.
const ENABLED: u8 = 1 << 0;
/// Written, these two clear themselves.
const INSERTING: u8 = 1 << 1;
const REMOVING: u8 = 1 << 2;
/// Written, the guest lets go of the processor.
const EJECT: u8 = 1 << 3;

/// Selects the next processor with an event; the data register has the selector.
const NEXT_WITH_EVENT: u8 = 0;
/// What is written to the data register is the event of a report.
const REPORT_EVENT: u8 = 1;
/// What is written to the data register is the status of a report, which ends it.
const REPORT_STATUS: u8 = 2;
/// The data register has the selected processor's APIC id.
const APIC_ID: u8 = 3;

/// Registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct CpuHotplug {
    selector: u32,
    command: u8,
    /// By processor.
    cpus: Vec<Place>,
}

impl Section for CpuHotplug {
    const KIND: &'static str = "acpi-cpu-hotplug";
    const VERSION: u32 = 1;
}

impl CpuHotplug {
    pub fn new(slots: &CpuSlots) -> Self {
        let place = |id| Place { present: slots.present.contains(&id), ..Place::default() };
        Self { selector: 0, command: NEXT_WITH_EVENT, cpus: (0..slots.max).map(place).collect() }
    }

    /// How processor `id` stands.
    pub fn state(&self, id: u32) -> PartState {
        self.cpus.get(id as usize).map(Place::state).unwrap_or_default()
    }

    /// How many are there.
    pub fn count(&self) -> u32 {
        self.cpus.iter().filter(|place| place.present).count() as u32
    }

    /// A processor came.
    pub fn insert(&mut self, id: u32) {
        if let Some(place) = self.cpus.get_mut(id as usize) {
            place.insert();
        }
    }

    /// A processor that is there is asked for.
    pub fn ask_for(&mut self, id: u32) {
        if let Some(place) = self.cpus.get_mut(id as usize).filter(|place| place.present) {
            place.ask_for();
        }
    }

    /// PLTRST#. What is there stays, and the guest that starts anew looks at all of it by itself.
    pub fn reset(&mut self) {
        (self.selector, self.command) = (0, NEXT_WITH_EVENT);
        for place in &mut self.cpus {
            *place = Place { present: place.present, ..Place::default() };
        }
    }

    /// Whether it has places for as many processors as `own` has, the same of which are there, in states there can be.
    pub fn is_like(&self, own: &Self) -> bool {
        let present = |block: &Self| block.cpus.iter().map(|place| place.present).collect::<Vec<_>>();
        present(self) == present(own) && !self.cpus.iter().any(Place::is_impossible)
    }

    fn selected(&self) -> Option<&Place> {
        self.cpus.get(self.selector as usize)
    }

    fn register(&self, at: u16) -> u32 {
        let Some(place) = self.selected() else { return 0 };
        match (at, self.command) {
            (FLAGS, _) => u32::from(place.flags(ENABLED, INSERTING, REMOVING)),
            (DATA, NEXT_WITH_EVENT | APIC_ID) => self.selector,
            // The high half of an APIC id, and reserved.
            _ => 0,
        }
    }

    pub fn read(&self, offset: u16, size: u8) -> u32 {
        read_bytes(offset, size, |at| self.register(at))
    }

    pub fn write(&mut self, offset: u16, size: u8, value: u32) -> Option<Outcome> {
        match (offset, size) {
            (SELECTOR, 4) => {
                self.selector = value;
                None
            }
            (DATA, 4) => self.write_data(value),
            _ => {
                let bytes = (offset..).zip(value.to_le_bytes()).take(size.into());
                bytes.fold(None, |outcome, (at, byte)| self.write_byte(at, byte).or(outcome))
            }
        }
    }

    fn write_byte(&mut self, at: u16, value: u8) -> Option<Outcome> {
        match at {
            FLAGS => self.write_flags(value),
            COMMAND => {
                self.write_command(value);
                None
            }
            _ => None,
        }
    }

    fn write_flags(&mut self, value: u8) -> Option<Outcome> {
        let id = self.selector;
        let place = self.cpus.get_mut(id as usize)?;
        if value & INSERTING != 0 {
            place.inserting = false;
        } else if value & REMOVING != 0 {
            place.removing = false;
        } else if value & EJECT != 0 && place.present && id != 0 {
            // The bootstrap processor cannot go.
            *place = Place { report: place.report, ..Place::default() };
            return Some(Outcome::Eject(Part::Cpu(id)));
        }
        None
    }

    fn write_command(&mut self, command: u8) {
        if self.selected().is_none() {
            return;
        }
        self.command = command;
        if command == NEXT_WITH_EVENT {
            let (count, from) = (self.cpus.len(), self.selector as usize);
            let mut round = (0..count).map(|n| (from + n) % count);
            let next = round.find(|id| self.cpus[*id].inserting || self.cpus[*id].removing);
            self.selector = next.unwrap_or(from) as u32;
        }
    }

    fn write_data(&mut self, value: u32) -> Option<Outcome> {
        let (id, command) = (self.selector, self.command);
        let place = self.cpus.get_mut(id as usize)?;
        match command {
            REPORT_EVENT => place.event = value,
            REPORT_STATUS => {
                place.report(value);
                return Some(Outcome::Reported(Part::Cpu(id)));
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hotplug::Report;
    use crate::testing::Random;

    fn block() -> CpuHotplug {
        CpuHotplug::new(&CpuSlots { max: 4, present: vec![0, 1] })
    }

    fn command(block: &mut CpuHotplug, command: u32) -> u32 {
        assert_eq!(block.write(COMMAND, 1, command), None);
        block.read(DATA, 4)
    }

    fn select(block: &mut CpuHotplug, id: u32) -> u32 {
        assert_eq!(block.write(SELECTOR, 4, id), None);
        block.read(FLAGS, 1)
    }

    #[test]
    fn a_processor_comes_and_goes() {
        let mut block = block();
        assert_eq!([0, 1, 2, 4].map(|id| select(&mut block, id)), [1, 1, 0, 0]);
        select(&mut block, 0);
        assert_eq!(command(&mut block, 0), 0, "nothing happened");
        block.insert(3);
        assert_eq!((command(&mut block, 0), block.read(FLAGS, 1)), (3, 3));
        block.write(FLAGS, 1, 2);
        assert_eq!(block.read(FLAGS, 1), 1);
        block.ask_for(3);
        select(&mut block, 0);
        assert_eq!((command(&mut block, 0), block.read(FLAGS, 1)), (3, 5));
        block.write(FLAGS, 1, 4);
        assert_eq!(block.write(FLAGS, 1, 8), Some(Outcome::Eject(Part::Cpu(3))));
        assert_eq!((block.read(FLAGS, 1), block.write(FLAGS, 1, 8)), (0, None), "it is gone");
        assert_eq!((select(&mut block, 0), block.write(FLAGS, 1, 8)), (1, None), "the first stays");
    }

    #[test]
    fn the_guest_reports() {
        let mut block = block();
        select(&mut block, 1);
        for (number, value) in [(1, 3), (2, 0x84), (1, 0x103), (2, 0x82)] {
            block.write(COMMAND, 1, number);
            let reported = block.write(DATA, 4, value);
            assert_eq!(reported.is_some(), number == 2);
        }
        let report = block.state(1).report.unwrap();
        assert_eq!(report, Report { event: 0x103, status: 0x82 });
        assert!(report.refuses_ejection() && !Report { event: 3, status: 0x84 }.refuses_ejection());
        assert_eq!((command(&mut block, 3), block.read(0, 4), block.read(9, 1)), (1, 0, 0));
    }

    /// AMBER_HOSTILE=N operations instead of 20,000.
    #[test]
    fn a_hostile_driver_gets_nowhere() {
        let count = std::env::var("AMBER_HOSTILE").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000u64);
        let (mut block, mut random, mut gone) = (block(), Random(7), 0u64);
        for _ in 0..count {
            let (offset, size) = (random.below(16) as u16, random.of(&[1, 2, 4]));
            match random.below(8) {
                0 => drop(block.read(offset, size)),
                1 if !block.state(2).present => block.insert(2),
                1 => block.ask_for(2),
                2 => drop(block.write(SELECTOR, 4, random.below(6) as u32)),
                3 => drop(block.write(COMMAND, 1, random.below(5) as u32)),
                _ => {
                    let value = random.of(&[random.0 as u32, 1 << (random.0 >> 7 & 7)]);
                    let outcome = block.write(offset, size, value);
                    gone += u64::from(matches!(outcome, Some(Outcome::Eject(_))));
                }
            }
            assert!(block.state(0).present && !block.cpus.iter().any(Place::is_impossible));
        }
        assert!(gone > count / 2000, "{gone} processors went");
    }
}
