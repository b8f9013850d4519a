//! Function 00:1f.0: the LPC bridge of the ICH9 (ICH9, 13.1) and its root complex registers (ICH9, 10.1).

use super::config::{ConfigSpace, Identity};
use super::endpoint;
use crate::irq::{IrqLines, PIRQ_IRQEN};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

const PMBASE: u16 = 0x40;
const ACPI_CNTL: u16 = 0x44;
const PIRQA_ROUT: u16 = 0x60;
const PIRQE_ROUT: u16 = 0x68;
const GEN_PMCON_1: u16 = 0xa0;
const RCBA: u16 = 0xf0;

const ACPI_EN: u8 = 0x80;
const SMI_LOCK: u8 = 0x10;
const RCBA_EN: u32 = 0x01;
const PMBASE_MASK: u16 = 0xff80;
/// Where firmware puts the power management registers.
pub(crate) const PMBASE_FIRMWARE: u16 = 0x600;
/// Bytes of the root complex register block.
pub(crate) const RCRB_LEN: u64 = 0x4000;

/// First of the registers that route the interrupt pins of the functions, and how many bytes they take.
const RCRB_ROUTES: u64 = 0x3140;
const RCRB_ROUTES_LEN: usize = 0x14;
/// DxxIR after reset: INTA# to PIRQA and so on.
const ROUTE_DEFAULT: u16 = 0x3210;

/// Registers of the LPC bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Lpc {
    config: ConfigSpace,
    /// D31IR to D25IR of the root complex registers.
    routes: Vec<u8>,
}

impl Section for Lpc {
    const KIND: &'static str = "ich9-lpc";
    const VERSION: u32 = 1;
}

impl Lpc {
    pub(crate) fn new() -> Self {
        let mut config = ConfigSpace::new(&Identity {
            vendor_device: 0x2918_8086,
            class_revision: 0x0601_0002,
            multifunction: true,
            interrupt_pin: 0,
        });
        config.set_u16(PMBASE, 1);
        for pirq in 0..8 {
            config.set_u8(pirq_rout(pirq), PIRQ_IRQEN);
        }
        let routes = ROUTE_DEFAULT.to_le_bytes().repeat(RCRB_ROUTES_LEN / 2);
        Self { config, routes }
    }

    pub(crate) fn config(&self) -> &ConfigSpace {
        &self.config
    }

    /// The state SeaBIOS leaves: PMBASE on, PIRQs shared by IRQ 10 and 11.
    pub(crate) fn set_up_as_firmware(&mut self, irqs: &mut IrqLines) {
        self.config.set_u16(PMBASE, PMBASE_FIRMWARE | 1);
        self.config.set_u8(ACPI_CNTL, ACPI_EN);
        for pirq in 0..8 {
            self.write(irqs, pirq_rout(pirq), if pirq & 2 == 0 { 10 } else { 11 });
        }
    }

    /// I/O base of the power management registers, while they are on.
    pub fn pmbase(&self) -> Option<u16> {
        let enabled = self.config.u8(ACPI_CNTL) & ACPI_EN != 0;
        enabled.then_some(self.config.u16(PMBASE) & PMBASE_MASK)
    }

    /// Guest-physical base of the root complex registers, while they are on.
    pub fn rcba(&self) -> Option<u64> {
        let rcba = self.config.u32(RCBA);
        (rcba & RCBA_EN != 0).then_some(u64::from(rcba & 0xffff_c000))
    }

    /// Whether SMI_EN's global bit is locked.
    pub(crate) fn smi_lock(&self) -> bool {
        self.config.u8(GEN_PMCON_1) & SMI_LOCK != 0
    }

    /// The PIRQ (0-7) that interrupt pin `pin` (1-4) of slot `slot` on bus 0 is wired to: slots below 25
    /// rotate over PIRQ E-H, the ICH9's own follow DxxIR.
    pub fn pirq_of(&self, slot: u8, pin: u8) -> u8 {
        let pin = pin.wrapping_sub(1) & 3;
        let register = match slot {
            31 => 0x00,
            30 => 0x02,
            29 => 0x04,
            28 => 0x06,
            27 => 0x08,
            26 => 0x0c,
            25 => 0x10,
            _ => return endpoint::pirq_of(slot, pin + 1),
        };
        self.routes.get(register + usize::from(pin / 2)).map_or(0, |byte| byte >> (pin % 2 * 4) & 7)
    }

    fn writable(&self, offset: u16) -> u8 {
        match offset {
            PMBASE => PMBASE_MASK as u8,
            0x41 => (PMBASE_MASK >> 8) as u8,
            0x42 | 0x43 => 0,
            ACPI_CNTL => 0x87,
            0x60..=0x63 | 0x68..=0x6b => 0x8f,
            GEN_PMCON_1 if self.smi_lock() => !SMI_LOCK,
            RCBA => 0x01,
            0xf1 => 0xc0,
            0x00..=0x3f => ConfigSpace::header_writable(offset),
            // The other registers configure what a PC has wired elsewhere; they hold what is written.
            _ => 0xff,
        }
    }

    /// Writes a byte; whether the memory map may have changed.
    pub(crate) fn write(&mut self, irqs: &mut IrqLines, offset: u16, value: u8) -> bool {
        let writable = self.writable(offset);
        let before = self.rcba();
        self.config.write(offset, value, writable);
        for pirq in 0..8 {
            if offset == pirq_rout(pirq) {
                irqs.set_pirq_rout(pirq as u8, self.config.u8(offset));
            }
        }
        self.rcba() != before
    }

    /// Whether the route registers are as many as there are, as in a section read from a file they may not be.
    pub(crate) fn has_its_routes(&self) -> bool {
        self.routes.len() == RCRB_ROUTES_LEN
    }

    pub(crate) fn read_rcrb(&self, offset: u64) -> u8 {
        let index = offset.checked_sub(RCRB_ROUTES).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.routes.get(index)).copied().unwrap_or(0)
    }

    pub(crate) fn write_rcrb(&mut self, offset: u64, value: u8) {
        let index = offset.checked_sub(RCRB_ROUTES).and_then(|index| usize::try_from(index).ok());
        if let Some(byte) = index.and_then(|index| self.routes.get_mut(index)) {
            *byte = value;
        }
    }

    pub(crate) fn reset(&mut self, irqs: &mut IrqLines) {
        *self = Self::new();
        for pirq in 0..8 {
            irqs.set_pirq_rout(pirq, PIRQ_IRQEN);
        }
    }
}

fn pirq_rout(pirq: u16) -> u16 {
    if pirq < 4 { PIRQA_ROUT + pirq } else { PIRQE_ROUT + pirq - 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pmbase_needs_acpi_en() {
        let (mut lpc, mut irqs) = (Lpc::new(), IrqLines::new());
        lpc.write(&mut irqs, 0x41, 0x06);
        assert_eq!(lpc.pmbase(), None);
        lpc.write(&mut irqs, ACPI_CNTL, 0x80);
        assert_eq!(lpc.pmbase(), Some(0x600));
        assert_eq!(lpc.config().u8(PMBASE), 1);
    }

    #[test]
    fn pins_are_wired_as_on_q35() {
        let lpc = Lpc::new();
        assert_eq!(lpc.pirq_of(31, 1), 0);
        assert_eq!(lpc.pirq_of(31, 4), 3);
        assert_eq!(lpc.pirq_of(2, 1), 6);
        assert_eq!(lpc.pirq_of(3, 2), 4);
    }
}
