//! The 82093AA I/O APIC as the ICH9 has it: version 0x20, 24 pins, an EOI register (ICH9, 13.5).

use crate::device::{Device, DeviceCtx};
use crate::effects::{Effect, Effects};
use crate::irq::IOAPIC_PINS;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Guest-physical address of the registers.
pub const IOAPIC_BASE: u64 = 0xfec0_0000;

const IOREGSEL: u64 = 0x00;
const IOWIN: u64 = 0x10;
const EOIR: u64 = 0x40;
const IOAPICID: u8 = 0x00;
const IOAPICVER: u8 = 0x01;
const IOAPICARB: u8 = 0x02;
const IOREDTBL: u8 = 0x10;
const VERSION: u32 = 0x20 | (IOAPIC_PINS as u32 - 1) << 16;

const REMOTE_IRR: u64 = 1 << 14;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
/// Delivery status and remote IRR.
const READ_ONLY: u64 = 1 << 12 | REMOTE_IRR;
/// Destination, mask, trigger, remote IRR, polarity, status, mode and vector.
const IMPLEMENTED: u64 = 0xff00_0000_0001_ffff;
/// Where interrupt messages go (SDM vol. 3, 11.11.1).
const MSI_BASE: u64 = 0xfee0_0000;
const MSI_LEVEL_ASSERT: u32 = 1 << 14;

/// Registers and input levels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Ioapic {
    ioregsel: u8,
    id: u8,
    /// Redirection table.
    ioredtbl: [u64; IOAPIC_PINS as usize],
    /// Levels of the input pins, bit n for pin n.
    pins: u32,
}

impl Section for Ioapic {
    const KIND: &'static str = "i82093aa";
    const VERSION: u32 = 1;
}

impl Ioapic {
    pub(crate) fn new() -> Self {
        Self { ioregsel: 0, id: 0, ioredtbl: [MASKED; IOAPIC_PINS as usize], pins: 0 }
    }

    /// Sets the level of input pin `pin`.
    pub(crate) fn set_pin(&mut self, effects: &mut Effects, pin: u8, level: bool) {
        let bit = 1 << pin;
        let rose = level && self.pins & bit == 0;
        self.pins = if level { self.pins | bit } else { self.pins & !bit };
        // An edge on a masked pin is lost (82093AA, 3.2.4).
        if rose && self.ioredtbl[usize::from(pin)] & MASKED == 0 {
            self.service(effects, usize::from(pin));
        }
    }

    /// Whether an unmasked pin has delivery mode SMI, NMI or INIT.
    pub(crate) fn unmaskable_pins(&self) -> bool {
        self.ioredtbl.iter().any(|entry| entry & MASKED == 0 && matches!(entry >> 8 & 7, 2 | 4 | 5))
    }

    /// An EOI for `vector` reached the bus: level pins with it may interrupt again.
    pub(crate) fn eoi(&mut self, effects: &mut Effects, vector: u8) {
        for pin in 0..self.ioredtbl.len() {
            let entry = self.ioredtbl[pin];
            if entry & LEVEL != 0 && entry & REMOTE_IRR != 0 && entry as u8 == vector {
                self.ioredtbl[pin] &= !REMOTE_IRR;
                self.deliver_level(effects, pin);
            }
        }
    }

    fn service(&mut self, effects: &mut Effects, pin: usize) {
        if self.ioredtbl[pin] & LEVEL != 0 {
            self.deliver_level(effects, pin);
        } else {
            self.send(effects, pin);
        }
    }

    fn deliver_level(&mut self, effects: &mut Effects, pin: usize) {
        let entry = self.ioredtbl[pin];
        let asserted = self.pins & 1 << pin != 0;
        if entry & LEVEL != 0 && entry & (MASKED | REMOTE_IRR) == 0 && asserted {
            self.ioredtbl[pin] |= REMOTE_IRR;
            self.send(effects, pin);
        }
    }

    fn send(&self, effects: &mut Effects, pin: usize) {
        let entry = self.ioredtbl[pin];
        let destination = entry >> 56;
        let logical = entry >> 11 & 1;
        let trigger = if entry & LEVEL != 0 { 1 << 15 } else { 0 };
        let data = entry as u32 & 0x7ff | MSI_LEVEL_ASSERT | trigger;
        effects.push(Effect::Msi { address: MSI_BASE | destination << 12 | logical << 2, data });
    }

    fn read(&self) -> u32 {
        match self.ioregsel {
            IOAPICID | IOAPICARB => u32::from(self.id) << 24,
            IOAPICVER => VERSION,
            select => match self.entry(select) {
                Some((pin, shift)) => (self.ioredtbl[pin] >> shift) as u32,
                None => 0,
            },
        }
    }

    fn write(&mut self, effects: &mut Effects, value: u32) {
        if self.ioregsel == IOAPICID {
            self.id = (value >> 24 & 0x0f) as u8;
            return;
        }
        let Some((pin, shift)) = self.entry(self.ioregsel) else { return };
        let writable = IMPLEMENTED & !READ_ONLY & 0xffff_ffff << shift;
        let mut entry = self.ioredtbl[pin] & !writable | u64::from(value) << shift & writable;
        // Software clears a stuck remote IRR by going through edge mode.
        if entry & LEVEL == 0 {
            entry &= !REMOTE_IRR;
        }
        self.ioredtbl[pin] = entry;
        self.deliver_level(effects, pin);
    }

    fn entry(&self, select: u8) -> Option<(usize, u32)> {
        let index = select.checked_sub(IOREDTBL)?;
        (index < 2 * IOAPIC_PINS).then_some((usize::from(index / 2), u32::from(index & 1) * 32))
    }
}

impl Device for Ioapic {
    fn mmio_read(&mut self, _cx: &mut DeviceCtx, offset: u64, _size: u8) -> u64 {
        let word = match offset & !3 {
            IOREGSEL => u32::from(self.ioregsel),
            IOWIN => self.read(),
            _ => 0,
        };
        u64::from(word) >> ((offset & 3) * 8)
    }

    fn mmio_write(&mut self, cx: &mut DeviceCtx, offset: u64, size: u8, value: u64) {
        match offset {
            IOREGSEL => self.ioregsel = value as u8,
            // The window takes 32-bit accesses only (82093AA, 3.1.2).
            IOWIN if size >= 4 => self.write(cx.effects, value as u32),
            EOIR => self.eoi(cx.effects, value as u8),
            _ => {}
        }
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn program(ioapic: &mut Ioapic, bench: &mut Bench, pin: u64, entry: u64) {
        for half in 0..2 {
            ioapic.mmio_write(&mut bench.cx(), IOREGSEL, 4, 0x10 + pin * 2 + (1 - half));
            ioapic.mmio_write(&mut bench.cx(), IOWIN, 4, entry >> ((1 - half) * 32) & 0xffff_ffff);
        }
    }

    fn messages(bench: &mut Bench) -> Vec<Effect> {
        bench.effects.drain().collect()
    }

    #[test]
    fn an_edge_is_one_message() {
        let (mut ioapic, mut bench) = (Ioapic::new(), Bench::new());
        program(&mut ioapic, &mut bench, 4, 0x0300_0000_0000_0831);
        ioapic.set_pin(&mut bench.effects, 4, true);
        ioapic.set_pin(&mut bench.effects, 4, true);
        assert_eq!(messages(&mut bench), [Effect::Msi { address: 0xfee0_3004, data: 0x4031 }]);
    }

    #[test]
    fn a_level_repeats_after_eoi_while_it_is_asserted() {
        let (mut ioapic, mut bench) = (Ioapic::new(), Bench::new());
        ioapic.set_pin(&mut bench.effects, 9, true);
        program(&mut ioapic, &mut bench, 9, 0x8041);
        assert_eq!(messages(&mut bench), [Effect::Msi { address: 0xfee0_0000, data: 0xc041 }]);
        assert_eq!(ioapic.ioredtbl[9] & REMOTE_IRR, REMOTE_IRR);
        ioapic.eoi(&mut bench.effects, 0x41);
        assert_eq!(messages(&mut bench).len(), 1);
        ioapic.set_pin(&mut bench.effects, 9, false);
        ioapic.mmio_write(&mut bench.cx(), EOIR, 4, 0x41);
        assert_eq!(messages(&mut bench).len(), 0);
        assert_eq!(ioapic.ioredtbl[9] & REMOTE_IRR, 0);
    }

    #[test]
    fn a_masked_edge_is_lost_and_a_masked_level_waits() {
        let (mut ioapic, mut bench) = (Ioapic::new(), Bench::new());
        ioapic.set_pin(&mut bench.effects, 5, true);
        program(&mut ioapic, &mut bench, 5, 0x0035);
        assert_eq!(messages(&mut bench).len(), 0);
        ioapic.set_pin(&mut bench.effects, 6, true);
        program(&mut ioapic, &mut bench, 6, 0x8036);
        assert_eq!(messages(&mut bench).len(), 1);
    }

    #[test]
    fn version_and_id() {
        let (mut ioapic, mut bench) = (Ioapic::new(), Bench::new());
        ioapic.mmio_write(&mut bench.cx(), IOREGSEL, 4, 1);
        assert_eq!(ioapic.mmio_read(&mut bench.cx(), IOWIN, 4), 0x17_0020);
        ioapic.mmio_write(&mut bench.cx(), IOREGSEL, 4, 0);
        ioapic.mmio_write(&mut bench.cx(), IOWIN, 4, 0xff00_0000);
        assert_eq!(ioapic.mmio_read(&mut bench.cx(), IOWIN, 4), 0x0f00_0000);
    }
}
