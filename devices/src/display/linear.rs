//! Modes of DISPI: pixels of 8 to 32 bits one after the other, or four planes.

use super::{Colour, Content, Picture, Scanout, VideoMemory, all_colours};
use crate::vga::Registers;
use crate::vga::dispi::Mode;
use std::ops::Range;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Linear {
    bpp: u16,
    /// Bytes from line to line; of one plane, with 4 bits.
    pitch: u64,
    /// First pixel and line that are shown.
    x: u64,
    y: u64,
    /// Of pixels with 4 or 8 bits.
    colours: Vec<Colour>,
}

impl Linear {
    /// The screen in this mode.
    pub fn scanout(registers: &Registers, mode: Mode) -> Scanout {
        let colours = match mode.bpp {
            4 => registers.sixteen_colours().to_vec(),
            8 => all_colours(&registers.dac, registers.dispi.has_wide_dac()),
            _ => Vec::new(),
        };
        let linear = Self { bpp: mode.bpp, pitch: mode.pitch, x: mode.x.into(), y: mode.y.into(), colours };
        Scanout { width: mode.width.into(), height: mode.height.into(), content: Content::Linear(linear) }
    }

    /// Bytes from line to line, of all planes.
    fn stride(&self) -> u64 {
        if self.bpp == 4 { self.pitch * 4 } else { self.pitch }
    }

    pub fn memory(&self, height: u32) -> Range<u64> {
        self.y * self.stride()..(self.y + u64::from(height)) * self.stride()
    }

    pub fn render(&self, memory: &dyn VideoMemory, picture: &mut Picture) {
        let mut line = vec![0; self.stride() as usize];
        for y in 0..picture.height as usize {
            memory.read((self.y + y as u64) * self.stride(), &mut line);
            for x in 0..picture.width as usize {
                picture.set(y, x, self.colour(&line, self.x as usize + x));
            }
        }
    }

    fn colour(&self, line: &[u8], x: usize) -> Colour {
        let byte = |at: usize| line.get(at).copied().unwrap_or(0);
        let word = |at: usize| u16::from_le_bytes([byte(at), byte(at + 1)]);
        match self.bpp {
            4 => {
                let bit = 7 - x % 8;
                let index =
                    (0..4).fold(0, |index, plane| index | (byte(x / 8 * 4 + plane) >> bit & 1) << plane);
                self.colours[usize::from(index)]
            }
            8 => self.colours[usize::from(byte(x))],
            15 => rgb(word(x * 2), 10, 5),
            16 => rgb(word(x * 2), 11, 6),
            24 => [byte(x * 3 + 2), byte(x * 3 + 1), byte(x * 3)],
            _ => [byte(x * 4 + 2), byte(x * 4 + 1), byte(x * 4)],
        }
    }
}

/// Five bits of red from `red` on, `green` bits of green, five of blue, each spread over 8 bits.
fn rgb(word: u16, red: u16, green: u16) -> Colour {
    let five = |bits: u16| (bits << 3 | bits >> 2) as u8;
    let middle = word >> 5 & ((1 << green) - 1);
    let middle = if green == 6 { (middle << 2 | middle >> 4) as u8 } else { five(middle) };
    [five(word >> red & 0x1f), middle, five(word & 0x1f)]
}
