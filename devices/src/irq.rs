//! Interrupt lines between the devices and the two interrupt controllers, and the A20 gates.
//!
//! A line is the OR of its sources. Each change of a level is recorded; the platform applies the changes to
//! the 8259A pair and the IOAPIC in order after each access, so a pulse within one access is an edge to the IOAPIC; an
//! 8259A input that falls again withdraws its request.
//! Levels are state: a restore sets them and re-drives nothing.

use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Pins of the IOAPIC.
pub const IOAPIC_PINS: u8 = 24;

/// Who drives a line. Sources of one line are ORed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqSource {
    /// Counter 0 of the 8254.
    Pit,
    /// IRQ# of the MC146818.
    Rtc,
    /// Keyboard side of the i8042.
    Keyboard,
    /// Auxiliary side of the i8042.
    Mouse,
    /// COM1.
    Uart0,
    /// COM2.
    Uart1,
    /// Power management event.
    Sci,
    /// HPET comparators 0, 1 and 2.
    Hpet0,
    Hpet1,
    Hpet2,
    /// SMBus host controller.
    Smbus,
    /// Numeric error of the first processor.
    Coprocessor,
    /// The function in this slot of PCI bus 0, 1 to [`SLOT_MAX`].
    Slot(u8),
    /// Serial ATA controller.
    Sata,
    /// IDE controller.
    Ide,
    /// Floppy disk controller.
    Floppy,
}

/// Highest slot of PCI bus 0 whose function has an interrupt pin of its own here.
pub const SLOT_MAX: u8 = 24;
/// First slot whose bit is also that of a source without PIRQ.
const FIRST_SHARED: u8 = 20;

impl IrqSource {
    /// The source's bit in the word of a line. Part of the saved state.
    fn bit(self) -> u32 {
        let number = match self {
            Self::Pit => 0,
            Self::Rtc => 1,
            Self::Keyboard => 2,
            Self::Mouse => 3,
            Self::Uart0 => 4,
            Self::Uart1 => 5,
            Self::Sci => 6,
            Self::Hpet0 => 7,
            Self::Hpet1 => 8,
            Self::Hpet2 => 9,
            Self::Smbus => 10,
            Self::Coprocessor => 11,
            // The first slots drive PIRQs only, these ISA interrupts only.
            Self::Ide => 12,
            Self::Floppy => 13,
            // The last slots share the bits of the first sources above, which drive ISA interrupts only, too.
            Self::Slot(slot @ FIRST_SHARED..) => slot.min(SLOT_MAX) - FIRST_SHARED,
            Self::Slot(slot) => 11 + slot.max(1),
            Self::Sata => 31,
        };
        1 << number
    }
}

/// Where a source is wired to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// ISA IRQ 0-15: the 8259A input, and the IOAPIC pin of the same number (IRQ0: pin 2).
    Isa(u8),
    /// PIRQ A-H (0-7): IOAPIC pins 16-23, and the 8259A input its PIRQ route register names.
    Pirq(u8),
    /// An IOAPIC pin alone.
    Pin(u8),
}

/// One of the two ways to open the A20 gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum A20Source {
    /// Output port of the keyboard controller.
    I8042 = 0,
    /// Port 0x92, "fast A20".
    Port92 = 1,
}

/// A change of an interrupt controller's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Pic { irq: u8, level: bool },
    Ioapic { pin: u8, level: bool },
}

/// Levels of all lines of a platform, one bit per [`IrqSource`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Levels {
    isa: [u32; 16],
    pirq: [u32; 8],
    pin: [u32; 24],
    /// PIRQ[A-H]_ROUT of the LPC bridge: bit 7 off, bits 3:0 the ISA IRQ (ICH9, 13.1.8).
    pirq_rout: [u8; 8],
    /// HPET LEG_RT_CNF: the 8254 and the RTC are cut off from IRQ0 and IRQ8.
    legacy_replacement: bool,
    /// Levels of the two A20 gates, by [`A20Source`].
    a20: [bool; 2],
}

impl Section for Levels {
    const KIND: &'static str = "irq-lines";
    const VERSION: u32 = 1;
}

/// The lines: their levels, and the changes that have not reached the interrupt controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IrqLines {
    pub(crate) levels: Levels,
    /// Empty between accesses, and so no part of a saved state.
    changes: Vec<Change>,
}

/// PIRQx_ROUT bit 7: the PIRQ is not routed to the 8259A pair.
pub const PIRQ_IRQEN: u8 = 0x80;

impl IrqLines {
    pub(crate) fn new() -> Self {
        let levels = Levels { pirq_rout: [PIRQ_IRQEN; 8], a20: [true, false], ..Levels::default() };
        Self { levels, changes: Vec::new() }
    }

    /// Sets the level `source` drives on `line`.
    pub fn set(&mut self, line: Line, source: IrqSource, level: bool) {
        if self.level(line, source) == level {
            return;
        }
        let before = (self.pic_inputs(), self.ioapic_inputs());
        let word = match line {
            Line::Isa(irq) => &mut self.levels.isa[usize::from(irq & 15)],
            Line::Pirq(pirq) => &mut self.levels.pirq[usize::from(pirq & 7)],
            Line::Pin(pin) => &mut self.levels.pin[usize::from(pin % IOAPIC_PINS)],
        };
        *word ^= source.bit();
        self.record(before);
    }

    /// Whether `source` drives `line` high.
    pub fn level(&self, line: Line, source: IrqSource) -> bool {
        let word = match line {
            Line::Isa(irq) => self.levels.isa[usize::from(irq & 15)],
            Line::Pirq(pirq) => self.levels.pirq[usize::from(pirq & 7)],
            Line::Pin(pin) => self.levels.pin[usize::from(pin % IOAPIC_PINS)],
        };
        word & source.bit() != 0
    }

    /// Sets a PIRQ route register of the LPC bridge.
    pub(crate) fn set_pirq_rout(&mut self, pirq: u8, rout: u8) {
        let before = (self.pic_inputs(), self.ioapic_inputs());
        self.levels.pirq_rout[usize::from(pirq & 7)] = rout;
        self.record(before);
    }

    /// Sets HPET LEG_RT_CNF.
    pub(crate) fn set_legacy_replacement(&mut self, on: bool) {
        let before = (self.pic_inputs(), self.ioapic_inputs());
        self.levels.legacy_replacement = on;
        self.record(before);
    }

    /// Sets one A20 gate; the new OR of both if that changed.
    pub(crate) fn set_a20(&mut self, source: A20Source, level: bool) -> Option<bool> {
        let before = self.a20();
        self.levels.a20[source as usize] = level;
        (self.a20() != before).then_some(!before)
    }

    /// Whether address bit 20 passes.
    pub fn a20(&self) -> bool {
        self.levels.a20[0] || self.levels.a20[1]
    }

    /// The oldest change that has not reached its controller yet.
    pub(crate) fn take_change(&mut self) -> Option<Change> {
        if self.changes.is_empty() { None } else { Some(self.changes.remove(0)) }
    }

    fn isa_level(&self, irq: usize) -> bool {
        let cut = match irq {
            0 if self.levels.legacy_replacement => IrqSource::Pit.bit(),
            8 if self.levels.legacy_replacement => IrqSource::Rtc.bit(),
            _ => 0,
        };
        self.levels.isa[irq] & !cut != 0
    }

    fn pic_inputs(&self) -> u16 {
        let mut inputs = 0;
        for irq in 0..16 {
            inputs |= u16::from(self.isa_level(irq)) << irq;
        }
        for (rout, sources) in self.levels.pirq_rout.iter().zip(self.levels.pirq) {
            if rout & PIRQ_IRQEN == 0 && sources != 0 {
                inputs |= 1 << (rout & 15);
            }
        }
        inputs & !(1 << 2)
    }

    fn ioapic_inputs(&self) -> u32 {
        let mut inputs = 0;
        for irq in 0..16 {
            let pin = if irq == 0 { 2 } else { irq };
            inputs |= u32::from(self.isa_level(irq)) << pin;
        }
        for (index, sources) in self.levels.pirq.iter().enumerate() {
            inputs |= u32::from(*sources != 0) << (16 + index);
        }
        for (index, sources) in self.levels.pin.iter().enumerate() {
            inputs |= u32::from(*sources != 0) << index;
        }
        inputs
    }

    fn record(&mut self, before: (u16, u32)) {
        let pic = self.pic_inputs();
        for irq in bits(u32::from(before.0 ^ pic)) {
            self.changes.push(Change::Pic { irq, level: pic >> irq & 1 != 0 });
        }
        let ioapic = self.ioapic_inputs();
        for pin in bits(before.1 ^ ioapic) {
            self.changes.push(Change::Ioapic { pin, level: ioapic >> pin & 1 != 0 });
        }
    }
}

fn bits(word: u32) -> impl Iterator<Item = u8> {
    (0..32).filter(move |bit| word >> bit & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(lines: &mut IrqLines) -> Vec<Change> {
        std::iter::from_fn(|| lines.take_change()).collect()
    }

    #[test]
    fn a_shared_line_stays_up_until_its_last_source_drops() {
        let mut lines = IrqLines::new();
        lines.set(Line::Isa(4), IrqSource::Uart0, true);
        lines.set(Line::Isa(4), IrqSource::Sci, true);
        lines.set(Line::Isa(4), IrqSource::Uart0, false);
        assert_eq!(
            changes(&mut lines),
            [Change::Pic { irq: 4, level: true }, Change::Ioapic { pin: 4, level: true }]
        );
        lines.set(Line::Isa(4), IrqSource::Sci, false);
        assert_eq!(changes(&mut lines).len(), 2);
    }

    #[test]
    fn irq0_is_pin_2_and_legacy_replacement_cuts_the_8254_off() {
        let mut lines = IrqLines::new();
        lines.set(Line::Isa(0), IrqSource::Pit, true);
        assert_eq!(changes(&mut lines)[1], Change::Ioapic { pin: 2, level: true });
        lines.set_legacy_replacement(true);
        assert_eq!(changes(&mut lines)[1], Change::Ioapic { pin: 2, level: false });
        lines.set(Line::Isa(0), IrqSource::Hpet0, true);
        assert_eq!(changes(&mut lines)[1], Change::Ioapic { pin: 2, level: true });
    }

    #[test]
    fn a_pirq_reaches_its_pin_always_and_the_8259_when_routed() {
        let mut lines = IrqLines::new();
        lines.set(Line::Pirq(1), IrqSource::Smbus, true);
        assert_eq!(changes(&mut lines), [Change::Ioapic { pin: 17, level: true }]);
        lines.set_pirq_rout(1, 11);
        assert_eq!(changes(&mut lines), [Change::Pic { irq: 11, level: true }]);
    }
}
