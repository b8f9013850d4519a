//! The display adapter: a VGA with Bochs' VBE extensions (DISPI), as QEMU's `stdvga` shows them. Registers only: video
//! memory is a region, lent by [`crate::Dma`].
//!
//! Video memory holds the four planes side by side: byte `4 * a + p` is address `a` of plane `p`. Chain-4 and linear
//! modes use it byte by byte.

mod dac;
pub(crate) mod dispi;
mod edid;
mod firmware;
mod function;
mod memory;
mod ports;
mod timing;
mod upgrade;

use crate::device::{Device, DeviceCtx};
use crate::effects::Effect;
use crate::map::VRAM_LEN_TEXT;
use crate::pci::endpoint::Endpoint;
use amber_snapshot::{Schema, Section};
pub(crate) use dac::Dac;
use dispi::Dispi;
pub use function::{OPTION_ROM_MAX, STDVGA_VRAM};
pub(crate) use ports::PALETTE_ON;
use serde::{Deserialize, Serialize};
pub use upgrade::VGA_UPGRADE;

const ATTRIBUTE_REGISTERS: usize = 0x15;
const SEQUENCER_REGISTERS: usize = 5;
const GRAPHICS_REGISTERS: usize = 9;
const CRTC_REGISTERS: usize = 0x19;
/// Bytes of the four planes, of all video memory the VGA's own registers reach.
pub(crate) const PLANES_LEN: u64 = 4 << 16;

/// Which display adapter a platform has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisplayKind {
    /// Registers that hold what is written and 32 KiB of text memory at B8000h: what machines had that were built before
    /// there was more.
    Text,
    /// A PCI function with 16 MiB of video memory.
    #[default]
    Std,
}

impl DisplayKind {
    /// Bytes of video memory.
    pub fn vram_len(self) -> u64 {
        match self {
            Self::Text => VRAM_LEN_TEXT,
            Self::Std => STDVGA_VRAM,
        }
    }
}

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Registers {
    pub misc_output: u8,
    pub feature_control: u8,
    pub attribute_index: u8,
    /// The next write to 3C0h is data.
    pub attribute_data: bool,
    pub attribute: Vec<u8>,
    pub sequencer_index: u8,
    pub sequencer: Vec<u8>,
    pub graphics_index: u8,
    pub graphics: Vec<u8>,
    pub crtc_index: u8,
    pub crtc: Vec<u8>,
    /// What the last read of planar memory left, by plane.
    pub latches: [u8; 4],
    pub dac: Dac,
    pub dispi: Dispi,
    /// Configuration space, of an adapter that is a PCI function.
    pub function: Option<Endpoint>,
}

impl Section for Registers {
    const KIND: &'static str = "vga-registers";
    const VERSION: u32 = 2;
}

/// The adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vga {
    pub(crate) registers: Registers,
    pub(crate) kind: DisplayKind,
    /// Bytes of the option ROM, a multiple of 4 KiB; 0 without.
    option_rom_len: u64,
}

impl Vga {
    pub(crate) fn new(kind: DisplayKind, option_rom_len: u64) -> Self {
        let function = match kind {
            DisplayKind::Text => None,
            DisplayKind::Std => Some(function::endpoint()),
        };
        Self { registers: Registers::new(function), kind, option_rom_len }
    }

    /// Does something to the registers, and says so if memory is elsewhere afterwards.
    fn change(&mut self, cx: &mut DeviceCtx, act: impl FnOnce(&mut Self, &mut DeviceCtx)) {
        let before = self.aperture();
        act(self, cx);
        if self.aperture() != before {
            cx.effects.push(Effect::MapChanged);
        }
    }
}

impl Registers {
    fn new(function: Option<Endpoint>) -> Self {
        Self {
            misc_output: 0,
            feature_control: 0,
            attribute_index: 0,
            attribute_data: false,
            attribute: vec![0; ATTRIBUTE_REGISTERS],
            sequencer_index: 0,
            sequencer: vec![0; SEQUENCER_REGISTERS],
            graphics_index: 0,
            graphics: vec![0; GRAPHICS_REGISTERS],
            crtc_index: 0,
            crtc: vec![0; CRTC_REGISTERS],
            latches: [0; 4],
            dac: Dac::new(),
            dispi: Dispi::new(),
            function,
        }
    }

    fn impossible(&self, kind: DisplayKind) -> Option<(&'static str, String)> {
        let lengths = [
            ("attribute", self.attribute.len(), ATTRIBUTE_REGISTERS),
            ("sequencer", self.sequencer.len(), SEQUENCER_REGISTERS),
            ("graphics", self.graphics.len(), GRAPHICS_REGISTERS),
            ("crtc", self.crtc.len(), CRTC_REGISTERS),
        ];
        if let Some((name, len, _)) = lengths.into_iter().find(|(_, len, expected)| len != expected) {
            return Some((name, format!("{len} bytes")));
        }
        self.dac.impossible().or_else(|| self.dispi.impossible(kind.vram_len()))
    }
}

impl Device for Vga {
    fn pio_read(&mut self, cx: &mut DeviceCtx, port: u16, size: u8) -> u32 {
        match port {
            dispi::INDEX_PORT..=dispi::DATA_PORT_EVEN => self.dispi_port_read(port, size),
            _ => u32::from(self.registers.port_read(cx.now(), port)),
        }
    }

    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, size: u8, value: u32) {
        self.change(cx, |vga, cx| match port {
            dispi::INDEX_PORT..=dispi::DATA_PORT_EVEN => vga.dispi_port_write(cx, port, size, value),
            _ => vga.registers.port_write(port, value as u8),
        });
    }

    /// `offset` is the guest-physical address: the window moves.
    fn mmio_read(&mut self, cx: &mut DeviceCtx, offset: u64, size: u8) -> u64 {
        (0..u64::from(size)).fold(0, |value, at| {
            let byte = self.memory_read(cx, offset.wrapping_add(at));
            value | u64::from(byte) << (at * 8)
        })
    }

    fn mmio_write(&mut self, cx: &mut DeviceCtx, offset: u64, size: u8, value: u64) {
        if let Some(value) = value.to_le_bytes().get(..usize::from(size)) {
            self.memory_write(cx, offset, value);
        }
    }

    fn reset(&mut self, cx: &mut DeviceCtx) {
        let (kind, option_rom_len) = (self.kind, self.option_rom_len);
        self.change(cx, |vga, _| *vga = Self::new(kind, option_rom_len));
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        self.registers.impossible(self.kind).or_else(|| self.impossible_function())
    }
}
