//! Configuration space of a PCI function: bytes, and which bits of them can be written (PCI 3.0, chapter 6).

use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Bytes of configuration space a conventional function has.
const LEN: usize = 256;

pub(crate) const COMMAND: u16 = 0x04;
pub(crate) const COMMAND_IO: u16 = 1 << 0;
pub(crate) const COMMAND_MEMORY: u16 = 1 << 1;
pub(crate) const COMMAND_MASTER: u16 = 1 << 2;
pub(crate) const COMMAND_INTX_OFF: u16 = 1 << 10;
pub(crate) const STATUS: u16 = 0x06;
/// An interrupt pin is asserted, whether or not the command register holds it back.
pub(crate) const STATUS_INTERRUPT: u16 = 1 << 3;
pub(crate) const STATUS_CAPABILITIES: u16 = 1 << 4;
pub(crate) const BAR0: u16 = 0x10;
pub(crate) const OPTION_ROM: u16 = 0x30;
pub(crate) const CAPABILITIES: u16 = 0x34;
const REVISION: u16 = 0x08;
const HEADER_TYPE: u16 = 0x0e;
const SUBSYSTEM: u16 = 0x2c;
pub(crate) const INTERRUPT_LINE: u16 = 0x3c;
const INTERRUPT_PIN: u16 = 0x3d;
/// I/O, memory and bus master enable, SERR# enable, interrupt disable.
const COMMAND_WRITABLE: u16 = 0x0507;
/// Subsystem QEMU's functions carry, which guests know as "QEMU virtual machine".
const SUBSYSTEM_ID: u32 = 0x1100_1af4;

/// Identity of a function.
pub(crate) struct Identity {
    pub vendor_device: u32,
    /// Class, subclass, programming interface and revision, as in the register.
    pub class_revision: u32,
    pub multifunction: bool,
    /// INTA# is 1; 0 without interrupt.
    pub interrupt_pin: u8,
}

/// The bytes of a function's configuration space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct ConfigSpace {
    bytes: Vec<u8>,
}

impl ConfigSpace {
    pub fn new(identity: &Identity) -> Self {
        let mut config = Self { bytes: vec![0; LEN] };
        config.set_u32(0, identity.vendor_device);
        config.set_u32(REVISION, identity.class_revision);
        config.set_u8(HEADER_TYPE, u8::from(identity.multifunction) << 7);
        config.set_u32(SUBSYSTEM, SUBSYSTEM_ID);
        config.set_u8(INTERRUPT_PIN, identity.interrupt_pin);
        config
    }

    pub fn u8(&self, offset: u16) -> u8 {
        self.bytes.get(usize::from(offset)).copied().unwrap_or(0)
    }

    pub fn u16(&self, offset: u16) -> u16 {
        u16::from_le_bytes([self.u8(offset), self.u8(offset + 1)])
    }

    pub fn u32(&self, offset: u16) -> u32 {
        u32::from(self.u16(offset)) | u32::from(self.u16(offset + 2)) << 16
    }

    pub fn set_u8(&mut self, offset: u16, value: u8) {
        if let Some(byte) = self.bytes.get_mut(usize::from(offset)) {
            *byte = value;
        }
    }

    pub fn set_u16(&mut self, offset: u16, value: u16) {
        for (index, byte) in (0..).zip(value.to_le_bytes()) {
            self.set_u8(offset + index, byte);
        }
    }

    pub fn set_u32(&mut self, offset: u16, value: u32) {
        for (index, byte) in (0..).zip(value.to_le_bytes()) {
            self.set_u8(offset + index, byte);
        }
    }

    /// Writes one byte through `writable`, the bits of it the function lets software write.
    pub fn write(&mut self, offset: u16, value: u8, writable: u8) {
        let old = self.u8(offset);
        self.set_u8(offset, old & !writable | value & writable);
    }

    /// Writable bits of the header's registers that all functions here share.
    pub fn header_writable(offset: u16) -> u8 {
        match offset {
            COMMAND => COMMAND_WRITABLE as u8,
            0x05 => (COMMAND_WRITABLE >> 8) as u8,
            STATUS | 0x07 => 0,
            // Cache line size and interrupt line are software's own.
            0x0c | INTERRUPT_LINE => 0xff,
            _ => 0,
        }
    }

    /// Whether `bytes` has the length a function's has; one from a file may not.
    pub fn is_consistent(&self) -> bool {
        self.bytes.len() == LEN
    }
}
