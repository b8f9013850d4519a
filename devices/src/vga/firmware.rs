//! The adapter as a PC's firmware leaves it, for a kernel that is booted without: 80x25 characters (mode 3).

use super::ports::PALETTE_ON;
use super::{DisplayKind, Registers, Vga};
use crate::device::DeviceCtx;
use crate::display::font::{GLYPH_LEN, glyphs};

const MISC: u8 = 0x67;
const SEQUENCER: [u8; 5] = [0x03, 0x00, 0x03, 0x00, 0x02];
const CRTC: [u8; 25] = [
    0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c,
    0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
];
const GRAPHICS: [u8; 9] = [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff];
const ATTRIBUTE: [u8; 21] = [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c,
    0x00, 0x0f, 0x08, 0x00,
];
/// Entries of the colour table that text has: EGA's 64 colours.
const COLOURS: u8 = 64;
const CHARACTERS: usize = 80 * 25;
/// Addresses from one glyph to the next in plane 2.
const GLYPH_STRIDE: usize = 32;
const SPACE: u8 = b' ';
const WHITE_ON_BLACK: u8 = 0x07;

impl Vga {
    /// Sets mode 3, with its font, colours and an empty screen.
    pub(crate) fn set_text_mode(&mut self, cx: &mut DeviceCtx) {
        if self.kind == DisplayKind::Text {
            return;
        }
        self.change(cx, |vga, cx| {
            let function = vga.registers.function.take();
            vga.registers = Registers { function, ..Registers::text_mode() };
            write_text_memory(cx);
        });
    }

    /// Writes the font and the empty screen of mode 3 to video memory.
    pub(crate) fn fill_text_memory(&self, cx: &mut DeviceCtx) {
        if self.kind == DisplayKind::Std {
            write_text_memory(cx);
        }
    }
}

impl Registers {
    /// Mode 3.
    pub fn text_mode() -> Self {
        let mut registers = Self::new(None);
        registers.misc_output = MISC;
        registers.sequencer.copy_from_slice(&SEQUENCER);
        registers.crtc.copy_from_slice(&CRTC);
        registers.graphics.copy_from_slice(&GRAPHICS);
        registers.attribute.copy_from_slice(&ATTRIBUTE);
        registers.attribute_index = PALETTE_ON;
        for byte in (0..COLOURS).flat_map(colour) {
            registers.dac.write(byte, false);
        }
        registers
    }
}

/// Red, green and blue of one of EGA's colours: two bits each.
fn colour(n: u8) -> [u8; 3] {
    let level = |bit: u8| 0x2a * (n >> bit & 1) + 0x15 * (n >> (bit + 3) & 1);
    [level(2), level(1), level(0)]
}

/// Characters in plane 0, attributes in plane 1, glyphs in plane 2.
fn write_text_memory(cx: &mut DeviceCtx) {
    let glyphs = glyphs();
    let mut memory = vec![0; 4 * GLYPH_STRIDE * glyphs.len()];
    for address in (0..CHARACTERS).map(|n| 2 * n) {
        memory[4 * address..][..2].copy_from_slice(&[SPACE, WHITE_ON_BLACK]);
    }
    for (n, glyph) in glyphs.iter().enumerate() {
        for row in 0..GLYPH_LEN {
            memory[4 * (n * GLYPH_STRIDE + row) + 2] = glyph[row];
        }
    }
    cx.dma.write_vram(0, &memory);
}
