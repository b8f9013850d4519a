//! Modes of DISPI: pixels of 8 to 32 bits one after the other, or four planes.

use super::{Colour, Content, Drawn, Picture, Scanout, VideoMemory, all_colours, opaque};
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

    pub fn redraw(
        &self,
        memory: &dyn VideoMemory,
        changed: &dyn Fn(Range<u64>) -> bool,
        picture: &mut Picture,
        drawn: &mut Drawn,
    ) {
        let shown = self.shown(picture.width);
        let mut bytes = vec![0; (shown.end - shown.start) as usize];
        for y in 0..picture.height as usize {
            let line = (self.y + y as u64) * self.stride();
            if changed(line + shown.start..line + shown.end) {
                memory.read(line + shown.start, &mut bytes);
                self.draw(&bytes, picture.line(y));
                drawn.add(y);
            }
        }
    }

    /// The bytes of a line that `width` pixels are in.
    fn shown(&self, width: u32) -> Range<u64> {
        let (first, end) = (self.x, self.x + u64::from(width));
        match self.bpp {
            4 => first / 8 * 4..end.div_ceil(8) * 4,
            bpp => {
                let bytes = u64::from(bpp).div_ceil(8);
                first * bytes..end * bytes
            }
        }
    }

    fn draw(&self, bytes: &[u8], line: &mut [[u8; 4]]) {
        match self.bpp {
            4 => line.iter_mut().enumerate().for_each(|(n, pixel)| *pixel = opaque(self.planar(bytes, n))),
            8 => line
                .iter_mut()
                .zip(bytes)
                .for_each(|(pixel, byte)| *pixel = opaque(self.colours[usize::from(*byte)])),
            15 => convert(line, bytes, |word| rgb(u16::from_le_bytes(word), (10, 5))),
            16 => convert(line, bytes, |word| rgb(u16::from_le_bytes(word), (11, 6))),
            24 => convert(line, bytes, |[blue, green, red]| [red, green, blue]),
            _ => convert(line, bytes, |[blue, green, red, _]| [red, green, blue]),
        }
    }

    /// The `n`th pixel that is shown, of four planes.
    fn planar(&self, bytes: &[u8], n: usize) -> Colour {
        let x = self.x as usize % 8 + n;
        let (byte, bit) = (x / 8 * 4, 7 - x % 8);
        let index = (0..4).fold(0, |index, plane| index | (bytes[byte + plane] >> bit & 1) << plane);
        self.colours[usize::from(index)]
    }
}

/// Makes pixels of `N` bytes each.
fn convert<const N: usize>(line: &mut [[u8; 4]], bytes: &[u8], colour: impl Fn([u8; N]) -> Colour) {
    line.iter_mut().zip(bytes.as_chunks().0).for_each(|(pixel, from)| *pixel = opaque(colour(*from)));
}

/// Five bits of red from `red` on, `green` bits of green, five of blue, each spread over 8 bits.
fn rgb(word: u16, (red, green): (u16, u16)) -> Colour {
    let five = |bits: u16| (bits << 3 | bits >> 2) as u8;
    let middle = word >> 5 & ((1 << green) - 1);
    let middle = if green == 6 { (middle << 2 | middle >> 4) as u8 } else { five(middle) };
    [five(word >> red & 0x1f), middle, five(word & 0x1f)]
}
