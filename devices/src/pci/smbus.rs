//! Function 00:1f.3: the SMBus host controller of the ICH9, with nothing on its bus (ICH9, 18).

use super::config::{COMMAND, COMMAND_IO, ConfigSpace, Identity};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

const BAR4: u16 = 0x20;
const HOSTC: u16 = 0x40;
const HOSTC_HST_EN: u8 = 0x01;
/// Bytes of I/O registers.
const IO_LEN: u16 = 0x20;

const HST_STS: u16 = 0x00;
const HST_CNT: u16 = 0x02;
const STS_INTR: u8 = 0x02;
const STS_DEV_ERR: u8 = 0x04;
const STS_CLEARABLE: u8 = 0xfe;
const CNT_INTREN: u8 = 0x01;
const CNT_START: u8 = 0x40;

/// Configuration space and host registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Smbus {
    config: ConfigSpace,
    hst_sts: u8,
    hst_cnt: u8,
    /// HST_CMD, XMIT_SLVA, HST_D0, HST_D1 and the rest, which only hold what is written.
    held: [u8; IO_LEN as usize],
}

impl Section for Smbus {
    const KIND: &'static str = "ich9-smbus";
    const VERSION: u32 = 1;
}

impl Smbus {
    pub(crate) fn new() -> Self {
        let mut config = ConfigSpace::new(&Identity {
            vendor_device: 0x2930_8086,
            class_revision: 0x0c05_0002,
            multifunction: true,
            interrupt_pin: 1,
        });
        config.set_u8(BAR4, 1);
        Self { config, hst_sts: 0, hst_cnt: 0, held: [0; IO_LEN as usize] }
    }

    pub(crate) fn config(&self) -> &ConfigSpace {
        &self.config
    }

    /// I/O base of the host registers, while they are on.
    pub(crate) fn io_base(&self) -> Option<(u16, u16)> {
        let base = self.config.u16(BAR4) & !(IO_LEN - 1);
        let enabled = self.config.u16(COMMAND) & COMMAND_IO != 0;
        let hosted = self.config.u8(HOSTC) & HOSTC_HST_EN != 0;
        (enabled && hosted && base != 0).then_some((base, IO_LEN))
    }

    pub(crate) fn write(&mut self, offset: u16, value: u8) {
        let writable = match offset {
            BAR4 => !(IO_LEN as u8 - 1),
            // Bits 31:16 are writable too: firmware that sizes BARs in 32 bits would see a huge one otherwise.
            0x21..=0x23 => 0xff,
            HOSTC => 0x07,
            _ => ConfigSpace::header_writable(offset),
        };
        self.config.write(offset, value, writable);
    }

    /// Level of INTA#.
    pub(crate) fn interrupt(&self) -> bool {
        self.hst_cnt & CNT_INTREN != 0 && self.hst_sts & (STS_INTR | STS_DEV_ERR) != 0
    }

    pub(crate) fn io_read(&self, offset: u16) -> u8 {
        match offset {
            HST_STS => self.hst_sts,
            HST_CNT => self.hst_cnt,
            _ => self.held.get(usize::from(offset)).copied().unwrap_or(0xff),
        }
    }

    pub(crate) fn io_write(&mut self, offset: u16, value: u8) {
        match offset {
            HST_STS => self.hst_sts &= !(value & STS_CLEARABLE),
            HST_CNT => {
                self.hst_cnt = value & !CNT_START;
                // No slave acknowledges its address.
                if value & CNT_START != 0 {
                    self.hst_sts |= STS_DEV_ERR;
                }
            }
            _ => {
                if let Some(byte) = self.held.get_mut(usize::from(offset)) {
                    *byte = value;
                }
            }
        }
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}
