//! The flash chip firmware keeps its variables in: 8 bits wide, with the Intel command set, as QEMU's `pflash_cfi01` is
//! (Intel StrataFlash P30 datasheet, 320003; JESD68.01 for the query).
//!
//! While the chip is in read-array mode its bytes are memory like any other, and only writes come here: they are commands. In all
//! other modes reads are answered here, too. What is programmed or erased is so at once, and the status says that it is done.

mod query;

use crate::device::{Device, DeviceCtx, DeviceId};
use crate::effects::Effect;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// What the platform knows it by. It has no timers.
pub(crate) const FLASH: DeviceId = DeviceId::Slot(33);
/// Bytes of an erase block.
pub(crate) const BLOCK: u64 = 0x1000;
/// Most bytes of a buffered program.
const BUFFER_MAX: usize = 256;
/// Largest chip.
pub const VARIABLES_MAX: u64 = 4 << 20;

const MANUFACTURER: u8 = 0x89;
const DEVICE: u8 = 0x18;

/// Status register (P30 datasheet, table 24).
const READY: u8 = 0x80;
const ERASE_ERROR: u8 = 0x20;
const PROGRAM_ERROR: u8 = 0x10;
/// A command whose second cycle is not what has to follow.
const SEQUENCE_ERROR: u8 = ERASE_ERROR | PROGRAM_ERROR;

/// What the chip does with the next write, and answers reads with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) enum Mode {
    /// Reads are its bytes.
    ReadArray,
    /// Reads are the status register.
    ReadStatus,
    /// Reads are manufacturer, device and what blocks are locked.
    ReadId,
    /// Reads are the CFI query.
    Query,
    /// The next write is the byte to program.
    Program,
    /// The next write confirms that its block is to be erased.
    Erase,
    /// The next write is the number of bytes less one.
    BufferCount,
    /// So many writes are bytes for the buffer.
    BufferData(u16),
    /// The next write confirms that the buffer is to be programmed.
    BufferConfirm,
    /// The next write says what to do with a lock.
    Lock,
}

/// A byte that waits in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Buffered {
    at: u64,
    byte: u8,
}

/// Registers. The bytes are the machine's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Flash {
    mode: Mode,
    status: u8,
    buffer: Vec<Buffered>,
    /// Bytes of the chip.
    len: u64,
}

impl Section for Flash {
    const KIND: &'static str = "cfi-flash";
    const VERSION: u32 = 1;
}

impl Flash {
    /// A chip of so many bytes, a multiple of [`BLOCK`].
    pub(crate) fn new(len: u64) -> Self {
        Self { mode: Mode::ReadArray, status: READY, buffer: Vec::new(), len }
    }

    /// Bytes of the chip. Configuration.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether reads are its bytes.
    pub(crate) fn is_array(&self) -> bool {
        self.mode == Mode::ReadArray
    }

    fn enter(&mut self, cx: &mut DeviceCtx, mode: Mode) {
        let was_array = self.is_array();
        self.mode = mode;
        if was_array != self.is_array() {
            cx.effects.push(Effect::MapChanged);
        }
    }

    /// A first write cycle (P30 datasheet, table 20).
    fn command(&mut self, cx: &mut DeviceCtx, command: u8) {
        let mode = match command {
            0x10 | 0x40 => Mode::Program,
            0x20 => Mode::Erase,
            // OVMF takes a chip whose status is still 80h now for none; QEMU's has no bit set.
            0x50 => {
                self.status = 0;
                Mode::ReadArray
            }
            0x60 => Mode::Lock,
            // Nothing is ever under way that could be suspended.
            0x70 | 0xb0 | 0xd0 => Mode::ReadStatus,
            0x90 => Mode::ReadId,
            0x98 => Mode::Query,
            0xe8 => {
                self.status |= READY;
                self.buffer.clear();
                Mode::BufferCount
            }
            _ => Mode::ReadArray,
        };
        self.enter(cx, mode);
    }

    /// One write cycle.
    fn cycle(&mut self, cx: &mut DeviceCtx, at: u64, byte: u8) {
        match self.mode {
            Mode::ReadArray | Mode::ReadStatus | Mode::ReadId | Mode::Query => self.command(cx, byte),
            Mode::Program => {
                program(cx, at, byte);
                self.done(0);
            }
            Mode::Erase if byte == 0xd0 => {
                cx.dma.write_firmware(at - at % BLOCK, &[0xff; BLOCK as usize]);
                self.done(0);
            }
            Mode::BufferCount => self.mode = Mode::BufferData(u16::from(byte) + 1),
            Mode::BufferData(left) => {
                self.buffer.push(Buffered { at, byte });
                self.mode = if left > 1 { Mode::BufferData(left - 1) } else { Mode::BufferConfirm };
            }
            Mode::BufferConfirm if byte == 0xd0 => {
                let buffer = std::mem::take(&mut self.buffer);
                // A buffer is programmed within one block (P30 datasheet, 9.3).
                let block = |buffered: &Buffered| buffered.at / BLOCK;
                if buffer.iter().all(|each| block(each) == block(&buffer[0])) {
                    buffer.iter().for_each(|each| program(cx, each.at, each.byte));
                    self.done(0);
                } else {
                    self.done(SEQUENCE_ERROR);
                }
            }
            // Blocks are never locked.
            Mode::Lock if matches!(byte, 0x01 | 0x2f | 0xd0 | 0x03) => self.done(0),
            Mode::Erase | Mode::BufferConfirm | Mode::Lock => {
                self.buffer.clear();
                self.done(SEQUENCE_ERROR);
            }
        }
    }

    /// An operation has ended; the status can be read.
    fn done(&mut self, errors: u8) {
        self.status |= READY | errors;
        self.mode = Mode::ReadStatus;
    }

    fn read_byte(&self, cx: &mut DeviceCtx, at: u64) -> u8 {
        match self.mode {
            Mode::ReadArray => {
                let mut byte = [0];
                cx.dma.read_firmware(at, &mut byte);
                byte[0]
            }
            Mode::ReadId => match at % BLOCK {
                0 => MANUFACTURER,
                1 => DEVICE,
                _ => 0,
            },
            Mode::Query => query::byte(self.len, at),
            _ => self.status,
        }
    }
}

/// Programming clears bits and sets none.
fn program(cx: &mut DeviceCtx, at: u64, byte: u8) {
    let mut old = [0];
    cx.dma.read_firmware(at, &mut old);
    cx.dma.write_firmware(at, &[old[0] & byte]);
}

impl Device for Flash {
    /// Wider accesses are cycles of a byte each.
    fn mmio_read(&mut self, cx: &mut DeviceCtx, offset: u64, size: u8) -> u64 {
        (0..u64::from(size))
            .filter(|index| offset + index < self.len)
            .fold(0, |value, index| value | u64::from(self.read_byte(cx, offset + index)) << (index * 8))
    }

    fn mmio_write(&mut self, cx: &mut DeviceCtx, offset: u64, size: u8, value: u64) {
        for (index, byte) in (0..u64::from(size)).zip(value.to_le_bytes()) {
            if offset + index < self.len {
                self.cycle(cx, offset + index, byte);
            }
        }
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        *self = Self::new(self.len);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let waiting = match self.mode {
            Mode::BufferData(left) if left == 0 || usize::from(left) > BUFFER_MAX => {
                return Some(("mode", format!("{:?}", self.mode)));
            }
            Mode::BufferData(left) => BUFFER_MAX - usize::from(left),
            Mode::BufferConfirm => BUFFER_MAX,
            _ => 0,
        };
        if self.buffer.len() > waiting {
            return Some(("buffer", format!("{} bytes in mode {:?}", self.buffer.len(), self.mode)));
        }
        let beyond = self.buffer.iter().find(|each| each.at >= self.len)?;
        Some(("buffer", format!("a byte at {:#x}", beyond.at)))
    }
}

#[cfg(test)]
mod tests;
