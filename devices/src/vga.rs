//! VGA registers that text mode needs: they hold what is written, and input status 1 shows the retrace on
//! virtual time (IBM VGA; text memory is a region, not here).

use crate::clock::NS_PER_SECOND;
use crate::device::{Device, DeviceCtx};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

const ATTRIBUTE_REGISTERS: usize = 0x15;
const SEQUENCER_REGISTERS: usize = 5;
const GRAPHICS_REGISTERS: usize = 9;
const CRTC_REGISTERS: usize = 0x19;
const PALETTE_BYTES: usize = 768;

const MISC_COLOUR: u8 = 0x01;
const STATUS_DISPLAY_DISABLED: u8 = 0x01;
const STATUS_VERTICAL_RETRACE: u8 = 0x08;

/// 80x25 text: 449 lines of 31.469 kHz make a frame of 70.087 Hz, of which 400 are shown and two are retrace.
const LINES: u64 = 449;
const LINES_SHOWN: u64 = 400;
const RETRACE_START: u64 = 412;
const RETRACE_LINES: u64 = 2;
const LINE_HZ: u64 = 31_469;
/// Of a line's 900 dots 720 are shown.
const DOTS: u64 = 900;
const DOTS_SHOWN: u64 = 720;

/// Register files and indices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Vga {
    misc_output: u8,
    feature_control: u8,
    attribute_index: u8,
    /// The next write to 0x3C0 is data.
    attribute_data: bool,
    attribute: Vec<u8>,
    sequencer_index: u8,
    sequencer: Vec<u8>,
    graphics_index: u8,
    graphics: Vec<u8>,
    crtc_index: u8,
    crtc: Vec<u8>,
    pel_mask: u8,
    /// Byte in the palette that is read or written next; entries have three.
    palette_read: u16,
    palette_write: u16,
    palette_reading: bool,
    palette: Vec<u8>,
}

impl Section for Vga {
    const KIND: &'static str = "vga-registers";
    const VERSION: u32 = 1;
}

impl Vga {
    pub(crate) fn new() -> Self {
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
            pel_mask: 0xff,
            palette_read: 0,
            palette_write: 0,
            palette_reading: false,
            palette: vec![0; PALETTE_BYTES],
        }
    }

    /// Start of the shown text and the cursor, in characters from 0xB8000.
    pub fn text_position(&self) -> (u16, u16) {
        let pair = |index: usize| u16::from_be_bytes([self.crtc[index], self.crtc[index + 1]]);
        (pair(0x0c), pair(0x0e))
    }

    /// Whether the CRTC answers at 0x3D4 (colour) and not at 0x3B4.
    fn claims(&self, port: u16) -> bool {
        let colour = self.misc_output & MISC_COLOUR != 0;
        match port {
            0x3b4 | 0x3b5 | 0x3ba => !colour,
            0x3d4 | 0x3d5 | 0x3da => colour,
            _ => true,
        }
    }

    fn input_status_1(&mut self, now: u64) -> u8 {
        self.attribute_data = false;
        let dots = u128::from(now) * u128::from(LINE_HZ * DOTS) / u128::from(NS_PER_SECOND);
        let (line, dot) = ((dots / u128::from(DOTS)) as u64 % LINES, (dots % u128::from(DOTS)) as u64);
        let mut status = 0;
        if line >= LINES_SHOWN || dot >= DOTS_SHOWN {
            status |= STATUS_DISPLAY_DISABLED;
        }
        if (RETRACE_START..RETRACE_START + RETRACE_LINES).contains(&line) {
            status |= STATUS_VERTICAL_RETRACE;
        }
        status
    }

    fn write_attribute(&mut self, value: u8) {
        if self.attribute_data {
            if let Some(register) = self.attribute.get_mut(usize::from(self.attribute_index & 0x1f)) {
                *register = value;
            }
        } else {
            self.attribute_index = value & 0x3f;
        }
        self.attribute_data = !self.attribute_data;
    }

    fn write_crtc(&mut self, value: u8) {
        // CR11 bit 7 protects CR0-CR7, except the line compare bit in CR7.
        let protected = self.crtc[0x11] & 0x80 != 0;
        match usize::from(self.crtc_index) {
            7 if protected => self.crtc[7] = self.crtc[7] & !0x10 | value & 0x10,
            0..=7 if protected => {}
            index => set(&mut self.crtc, index, value),
        }
    }

    fn read_palette(&mut self) -> u8 {
        let index = usize::from(self.palette_read);
        self.palette_read = (self.palette_read + 1) % PALETTE_BYTES as u16;
        self.palette[index]
    }

    fn write_palette(&mut self, value: u8) {
        let index = usize::from(self.palette_write);
        self.palette_write = (self.palette_write + 1) % PALETTE_BYTES as u16;
        self.palette[index] = value & 0x3f;
    }
}

fn get(registers: &[u8], index: u8) -> u8 {
    registers.get(usize::from(index)).copied().unwrap_or(0)
}

fn set(registers: &mut [u8], index: usize, value: u8) {
    if let Some(register) = registers.get_mut(index) {
        *register = value;
    }
}

impl Device for Vga {
    fn pio_read(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8) -> u32 {
        if !self.claims(port) {
            return 0xff;
        }
        let value = match port {
            0x3c0 => self.attribute_index,
            0x3c1 => get(&self.attribute, self.attribute_index & 0x1f),
            0x3c2 => 0,
            0x3c4 => self.sequencer_index,
            0x3c5 => get(&self.sequencer, self.sequencer_index),
            0x3c6 => self.pel_mask,
            0x3c7 => u8::from(self.palette_reading) * 3,
            0x3c8 => (self.palette_write / 3) as u8,
            0x3c9 => self.read_palette(),
            0x3ca => self.feature_control,
            0x3cc => self.misc_output,
            0x3ce => self.graphics_index,
            0x3cf => get(&self.graphics, self.graphics_index),
            0x3b4 | 0x3d4 => self.crtc_index,
            0x3b5 | 0x3d5 => get(&self.crtc, self.crtc_index),
            0x3ba | 0x3da => self.input_status_1(cx.now()),
            _ => 0xff,
        };
        u32::from(value)
    }

    fn pio_write(&mut self, _cx: &mut DeviceCtx, port: u16, _size: u8, value: u32) {
        let value = value as u8;
        if !self.claims(port) {
            return;
        }
        match port {
            0x3c0 => self.write_attribute(value),
            0x3c2 => self.misc_output = value,
            0x3c4 => self.sequencer_index = value & 7,
            0x3c5 => set(&mut self.sequencer, usize::from(self.sequencer_index), value),
            0x3c6 => self.pel_mask = value,
            0x3c7 => {
                self.palette_read = u16::from(value) * 3;
                self.palette_reading = true;
            }
            0x3c8 => {
                self.palette_write = u16::from(value) * 3;
                self.palette_reading = false;
            }
            0x3c9 => self.write_palette(value),
            0x3ba | 0x3da => self.feature_control = value,
            0x3ce => self.graphics_index = value & 15,
            0x3cf => set(&mut self.graphics, usize::from(self.graphics_index), value),
            0x3b4 | 0x3d4 => self.crtc_index = value & 0x3f,
            0x3b5 | 0x3d5 => self.write_crtc(value),
            _ => {}
        }
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        *self = Self::new();
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let lengths = [
            ("attribute", self.attribute.len(), ATTRIBUTE_REGISTERS),
            ("sequencer", self.sequencer.len(), SEQUENCER_REGISTERS),
            ("graphics", self.graphics.len(), GRAPHICS_REGISTERS),
            ("crtc", self.crtc.len(), CRTC_REGISTERS),
            ("palette", self.palette.len(), PALETTE_BYTES),
        ];
        let wrong = lengths.into_iter().find(|(_, len, expected)| len != expected);
        if let Some((name, len, _)) = wrong {
            return Some((name, format!("{len} bytes")));
        }
        let position = self.palette_read.max(self.palette_write);
        (usize::from(position) >= PALETTE_BYTES).then(|| ("palette position", position.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn retrace_toggles_once_per_frame() {
        let (mut vga, mut bench) = (Vga::new(), Bench::new());
        vga.pio_write(&mut bench.cx(), 0x3c2, 1, 1);
        let mut edges = 0;
        let mut last = 0;
        for step in 0..100_000 {
            bench.clock.advance_to(step * 10_000);
            let retrace = vga.pio_read(&mut bench.cx(), 0x3da, 1) & 8;
            edges += u32::from(retrace > last);
            last = retrace;
        }
        assert_eq!(edges, 70);
    }

    #[test]
    fn the_attribute_flip_flop_follows_input_status_1() {
        let (mut vga, mut bench) = (Vga::new(), Bench::new());
        vga.pio_write(&mut bench.cx(), 0x3c2, 1, 1);
        vga.pio_write(&mut bench.cx(), 0x3c0, 1, 0x10);
        vga.pio_write(&mut bench.cx(), 0x3c0, 1, 0x0c);
        vga.pio_read(&mut bench.cx(), 0x3da, 1);
        vga.pio_write(&mut bench.cx(), 0x3c0, 1, 0x30);
        assert_eq!(vga.pio_read(&mut bench.cx(), 0x3c1, 1), 0x0c);
    }
}
