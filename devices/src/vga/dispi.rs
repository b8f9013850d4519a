//! Bochs' VBE extensions (DISPI): a mode is a width, a height and a depth. Reached by ports 1CEh and 1CFh and by the PCI
//! function's registers.

use super::Vga;
use crate::device::DeviceCtx;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

pub(super) const INDEX_PORT: u16 = 0x1ce;
pub(super) const DATA_PORT: u16 = 0x1cf;
/// The same once more, at an even address.
pub(super) const DATA_PORT_EVEN: u16 = 0x1d0;

const ID: u16 = 0;
const XRES: u16 = 1;
const YRES: u16 = 2;
const BPP: u16 = 3;
const ENABLE: u16 = 4;
const BANK: u16 = 5;
const VIRT_WIDTH: u16 = 6;
const VIRT_HEIGHT: u16 = 7;
const X_OFFSET: u16 = 8;
const Y_OFFSET: u16 = 9;
const VRAM_64K: u16 = 10;

const ID_0: u16 = 0xb0c0;
const ID_5: u16 = 0xb0c5;
const ENABLED: u16 = 1 << 0;
const GET_CAPABILITIES: u16 = 1 << 1;
const WIDE_DAC: u16 = 1 << 5;
const KEEP_MEMORY: u16 = 1 << 7;
const ENABLE_WRITABLE: u16 = 0x00ff;

/// Limits that are told with GET_CAPABILITIES.
const WIDTH_MAX: u16 = 16_000;
const HEIGHT_MAX: u16 = 12_000;
const BPP_MAX: u16 = 32;
const BANK_LEN: u64 = 64 << 10;
const PAGE: usize = 4096;

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Dispi {
    index: u16,
    id: u16,
    width: u16,
    height: u16,
    bpp: u16,
    enable: u16,
    bank: u16,
    /// Pixels of a line in memory.
    virt_width: u16,
    x: u16,
    y: u16,
}

/// A mode that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub width: u16,
    pub height: u16,
    /// Bits of a pixel: 4 (planar), 8, 15, 16, 24 or 32.
    pub bpp: u16,
    /// Bytes of a line in memory; of one plane, with 4 bits.
    pub pitch: u64,
    /// Pixels left of, and lines above, what is shown.
    pub x: u16,
    pub y: u16,
}

impl Dispi {
    pub fn new() -> Self {
        Self {
            index: 0,
            id: ID_5,
            width: 0,
            height: 0,
            bpp: 8,
            enable: 0,
            bank: 0,
            virt_width: 0,
            x: 0,
            y: 0,
        }
    }

    /// Whether colours have 8 bits.
    pub fn has_wide_dac(&self) -> bool {
        self.enable & WIDE_DAC != 0
    }

    /// The mode, while one is on.
    pub fn mode(&self) -> Option<Mode> {
        (self.enable & ENABLED != 0).then(|| Mode {
            width: self.width,
            height: self.height,
            bpp: self.bpp,
            pitch: self.pitch(),
            x: self.x,
            y: self.y,
        })
    }

    /// Where the window at A0000h begins in video memory; of one plane, with 4 bits.
    pub fn bank_offset(&self) -> u64 {
        u64::from(self.bank) * BANK_LEN
    }

    fn pitch(&self) -> u64 {
        u64::from(self.virt_width) * u64::from(self.bits()) / 8
    }

    /// Bits of a pixel in one stretch of memory.
    fn bits(&self) -> u16 {
        match self.bpp {
            4 => 1,
            15 => 16,
            bpp => bpp,
        }
    }

    /// Bytes that a mode's lines lie in; planar ones in each plane.
    fn room(&self, vram: u64) -> u64 {
        if self.bpp == 4 { vram / 4 } else { vram }
    }

    fn virt_height(&self, vram: u64) -> u16 {
        let lines = self.room(vram).checked_div(self.pitch()).unwrap_or(0);
        u16::try_from(lines).unwrap_or(u16::MAX)
    }

    /// Reads register `index`; with `vram` bytes of video memory.
    fn register(&self, index: u16, vram: u64) -> u16 {
        let capabilities = self.enable & GET_CAPABILITIES != 0;
        match index {
            ID => self.id,
            XRES if capabilities => WIDTH_MAX,
            XRES => self.width,
            YRES if capabilities => HEIGHT_MAX,
            YRES => self.height,
            BPP if capabilities => BPP_MAX,
            BPP => self.bpp,
            ENABLE => self.enable,
            BANK => self.bank,
            VIRT_WIDTH => self.virt_width,
            VIRT_HEIGHT => self.virt_height(vram),
            X_OFFSET => self.x,
            Y_OFFSET => self.y,
            VRAM_64K => (vram / BANK_LEN) as u16,
            _ => 0,
        }
    }

    /// Writes register `index`; whether video memory is to be cleared.
    fn set_register(&mut self, index: u16, value: u16, vram: u64) -> bool {
        match index {
            ID if (ID_0..=ID_5).contains(&value) => self.id = value,
            XRES => self.width = value,
            YRES => self.height = value,
            BPP => self.bpp = value,
            ENABLE => return self.switch(value & ENABLE_WRITABLE, vram),
            BANK => self.bank = value & (vram / BANK_LEN - 1) as u16,
            VIRT_WIDTH => self.virt_width = value,
            X_OFFSET => self.x = value,
            Y_OFFSET => self.y = value,
            _ => return false,
        }
        if self.enable & ENABLED != 0 {
            self.fit(vram);
        }
        false
    }

    fn switch(&mut self, value: u16, vram: u64) -> bool {
        let starts = value & ENABLED != 0 && self.enable & ENABLED == 0;
        self.enable = value;
        if value & ENABLED == 0 {
            self.bank = 0;
        }
        if !starts {
            return false;
        }
        self.virt_width = self.width;
        (self.x, self.y) = (0, 0);
        self.fit(vram);
        value & KEEP_MEMORY == 0
    }

    /// Makes the nearest mode there is of what was asked for: all of it lies in video memory.
    fn fit(&mut self, vram: u64) {
        if !matches!(self.bpp, 4 | 8 | 15 | 16 | 24 | 32) {
            self.bpp = 8;
        }
        let (room, bits) = (self.room(vram), u64::from(self.bits()));
        let widest = (room * 8 / bits).min(u64::from(WIDTH_MAX)) as u16;
        self.width = (self.width & !7).clamp(8, widest & !7);
        self.virt_width = (self.virt_width & !7).clamp(self.width, widest & !7);
        let lines = self.virt_height(vram).min(HEIGHT_MAX);
        self.height = self.height.clamp(1, lines);
        self.x = self.x.min(self.virt_width - self.width);
        self.y = self.y.min(self.virt_height(vram) - self.height);
    }

    pub fn impossible(&self, vram: u64) -> Option<(&'static str, String)> {
        let mut fitting = self.clone();
        if self.enable & ENABLED != 0 {
            fitting.fit(vram);
        }
        let banks = (vram / BANK_LEN).max(1);
        (fitting != *self || u64::from(self.bank) >= banks).then(|| ("dispi", format!("{self:?}")))
    }
}

impl Vga {
    pub(super) fn dispi_register(&self, index: u16) -> u16 {
        self.registers.dispi.register(index, self.kind.vram_len())
    }

    pub(super) fn set_dispi_register(&mut self, cx: &mut DeviceCtx, index: u16, value: u16) {
        let vram = self.kind.vram_len();
        // An adapter that is no PCI function has no such modes either.
        if self.registers.function.is_some() && self.registers.dispi.set_register(index, value, vram) {
            self.clear(cx);
        }
    }

    /// Zeroes the screen, which starts where video memory does.
    fn clear(&self, cx: &mut DeviceCtx) {
        let Some(mode) = self.registers.dispi.mode() else { return };
        let planes = if mode.bpp == 4 { 4 } else { 1 };
        let len = (mode.pitch * u64::from(mode.height) * planes).min(self.kind.vram_len());
        let mut page = [0; PAGE];
        for at in (0..len).step_by(PAGE) {
            let here = (len - at).min(PAGE as u64) as usize;
            cx.dma.read_vram(at, &mut page[..here]);
            // Pages of zeroes stay unwritten, and shared.
            if page[..here].iter().any(|byte| *byte != 0) {
                cx.dma.write_vram(at, &[0; PAGE][..here]);
            }
        }
    }

    pub(super) fn dispi_port_read(&self, port: u16, size: u8) -> u32 {
        if self.registers.function.is_none() {
            return u32::MAX;
        }
        let value = match port {
            INDEX_PORT => self.registers.dispi.index,
            _ => self.dispi_register(self.registers.dispi.index),
        };
        // Of more than 16 bits the upper ones are those of nothing.
        if size > 2 { 0xffff_0000 | u32::from(value) } else { u32::from(value) }
    }

    pub(super) fn dispi_port_write(&mut self, cx: &mut DeviceCtx, port: u16, size: u8, value: u32) {
        let index = self.registers.dispi.index;
        match port {
            _ if size == 1 => {}
            INDEX_PORT => self.registers.dispi.index = value as u16,
            DATA_PORT | DATA_PORT_EVEN => self.set_dispi_register(cx, index, value as u16),
            _ => {}
        }
    }
}
