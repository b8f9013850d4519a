//! The VGA's own modes: the CRTC counts characters, and the graphics and attribute controllers make colours of what lies in
//! the four planes there.

use super::text::Text;
use super::{Colour, Content, DARK, Drawn, Linear, Picture, Scanout, VideoMemory, all_colours, opaque};
use crate::vga::{DisplayKind, PALETTE_ON, PLANES_LEN, Registers, Vga};
use std::ops::Range;

const SR1_SCREEN_OFF: u8 = 0x20;
const GR5_SHIFT_2: u8 = 0x20;
const GR5_SHIFT_8: u8 = 0x40;
const GR6_GRAPHICS: u8 = 0x01;
const CR9_DOUBLE: u8 = 0x80;
const CR14_DOUBLE_WORD: u8 = 0x40;
const CR17_ROW_BIT_0: u8 = 0x01;
const CR17_ROW_BIT_1: u8 = 0x02;
const CR17_WRAP_64K: u8 = 0x20;
const CR17_BYTE: u8 = 0x40;
/// Panning ends where the screen is split.
const AR10_PAN_ABOVE: u8 = 0x20;
const AR10_COLOUR_SELECT: u8 = 0x80;

/// The bytes of the planes: four at each address.
pub(super) struct Planes(Vec<u8>);

impl Planes {
    pub const MEMORY: Range<u64> = 0..PLANES_LEN;

    pub fn read(memory: &dyn VideoMemory) -> Self {
        let mut bytes = vec![0; PLANES_LEN as usize];
        memory.read(0, &mut bytes);
        Self(bytes)
    }

    /// The planes of a display that has text alone: characters and attributes in turn, glyphs of the font.
    pub fn of_text(memory: &dyn VideoMemory, len: u64) -> Self {
        let mut flat = vec![0; len as usize];
        memory.read(0, &mut flat);
        let mut bytes = vec![0; PLANES_LEN as usize];
        for (n, pair) in flat.chunks_exact(2).enumerate() {
            bytes[8 * n..][..2].copy_from_slice(pair);
        }
        for (code, glyph) in super::font::glyphs().iter().enumerate() {
            for (row, bits) in glyph.iter().enumerate() {
                bytes[4 * (32 * code + row) + 2] = *bits;
            }
        }
        Self(bytes)
    }

    /// The four bytes at an address.
    pub fn at(&self, address: u16) -> [u8; 4] {
        let at = usize::from(address) * 4;
        [self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]]
    }
}

/// A line of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// What the CRTC counts its first character as.
    pub start: u16,
    /// Which line of its row of characters it is.
    pub row: u8,
    /// Dots left of the first one shown.
    pub pan: u8,
}

/// How the CRTC makes addresses of its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addressing {
    /// Counts are addresses of words: shifted left, with this bit of them below.
    word: Option<u8>,
    /// Address bits 13 and 14 are those of the line within its row.
    row_bits: (bool, bool),
}

impl Addressing {
    /// The address in each plane of the `n`th character of a line.
    pub fn address(self, line: Line, n: u16) -> u16 {
        let count = line.start.wrapping_add(n);
        let mut address = match self.word {
            Some(bit) => count << 1 | count >> bit & 1,
            None => count,
        };
        let (bit_13, bit_14) = self.row_bits;
        if bit_13 {
            address = address & !0x2000 | u16::from(line.row & 1) << 13;
        }
        if bit_14 {
            address = address & !0x4000 | u16::from(line.row >> 1 & 1) << 14;
        }
        address
    }

    /// The bytes of the planes in which the characters of a line up to the `last`th are.
    fn bytes(self, line: Line, last: u16) -> Range<u64> {
        let (from, to) = (self.address(line, 0), self.address(line, last));
        // Counts that wrap are anywhere.
        let wraps = to < from || to - from < last;
        if wraps { Planes::MEMORY } else { u64::from(from) * 4..(u64::from(to) + 1) * 4 }
    }
}

/// What the bits at an address are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shift {
    /// Eight pixels, a bit of each plane.
    Planar,
    /// Eight pixels, two bits of planes 0 and 2, then of 1 and 3: CGA's.
    Two,
    /// Four pixels, a byte of each plane.
    Eight,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Graphics {
    lines: Vec<Line>,
    addressing: Addressing,
    shift: Shift,
    colours: Vec<Colour>,
}

impl Graphics {
    pub fn redraw(
        &self,
        memory: &dyn VideoMemory,
        changed: &dyn Fn(Range<u64>) -> bool,
        picture: &mut Picture,
        drawn: &mut Drawn,
    ) {
        if !changed(Planes::MEMORY) {
            return;
        }
        let planes = Planes::read(memory);
        let pixels = if self.shift == Shift::Eight { 4 } else { 8 };
        for (y, line) in self.lines.iter().enumerate() {
            let pan = usize::from(line.pan);
            let last = (picture.width as usize - 1 + pan) / pixels;
            if !changed(self.addressing.bytes(*line, last as u16)) {
                continue;
            }
            for (x, pixel) in picture.line(y).iter_mut().enumerate() {
                let from = x + pan;
                let bytes = planes.at(self.addressing.address(*line, (from / pixels) as u16));
                *pixel = opaque(self.colours[usize::from(self.index(bytes, from % pixels))]);
            }
            drawn.add(y);
        }
    }

    fn index(&self, bytes: [u8; 4], n: usize) -> u8 {
        match self.shift {
            Shift::Eight => bytes[n],
            Shift::Planar => (0..4).fold(0, |index, plane| index | (bytes[plane] >> (7 - n) & 1) << plane),
            Shift::Two => {
                let (half, bit) = (n / 4, 6 - n % 4 * 2);
                bytes[half] >> bit & 3 | (bytes[half + 2] >> bit & 3) << 2
            }
        }
    }
}

impl Vga {
    /// When the next vertical retrace begins, if the mode has one.
    pub(super) fn next_retrace(&self, now: u64) -> Option<u64> {
        self.registers.timing().next_retrace(now)
    }

    /// What the screen shows at time `now`.
    pub(super) fn scanout(&self, now: u64) -> Scanout {
        if self.kind == DisplayKind::Text {
            return Text::only(&self.registers, now);
        }
        let registers = &self.registers;
        let lit = registers.attribute_index & PALETTE_ON != 0;
        match registers.dispi.mode() {
            Some(mode) if lit => Linear::scanout(registers, mode),
            Some(mode) => Scanout::dark((mode.width.into(), mode.height.into())),
            None if !lit || registers.sequencer[1] & SR1_SCREEN_OFF != 0 => Scanout::dark(DARK),
            None if registers.graphics[6] & GR6_GRAPHICS != 0 => registers.graphics_scanout(),
            None => Text::scanout(registers, now),
        }
    }
}

impl Registers {
    /// The colours pixels of 4 bits have.
    pub(super) fn sixteen_colours(&self) -> [Colour; 16] {
        let (mode, select) = (self.attribute[0x10], self.attribute[0x14]);
        std::array::from_fn(|index| {
            let mut entry = self.attribute[index & usize::from(self.attribute[0x12] & 0x0f)] & 0x3f;
            if mode & AR10_COLOUR_SELECT != 0 {
                entry = entry & 0x0f | (select & 3) << 4;
            }
            self.dac.colour(entry | (select & 0x0c) << 4, self.dispi.has_wide_dac())
        })
    }

    pub(super) fn addressing(&self) -> Addressing {
        let mode = self.crtc[0x17];
        // Counts of double words would be addresses of every fourth byte in each plane. Chain-4 has its bytes side by side
        // here, so that they are addresses as they are.
        let bytes = mode & CR17_BYTE != 0 || self.crtc[0x14] & CR14_DOUBLE_WORD != 0;
        let top = if mode & CR17_WRAP_64K != 0 { 15 } else { 13 };
        Addressing {
            word: (!bytes).then_some(top),
            row_bits: (mode & CR17_ROW_BIT_0 == 0, mode & CR17_ROW_BIT_1 == 0),
        }
    }

    /// The lines as the beam draws them, each as often as it does, and how many times each line is drawn at least. `pan` is how
    /// many dots the attribute controller shifts them by.
    pub(super) fn lines(&self, pan: u8) -> (Vec<Line>, usize) {
        let double = self.crtc[9] & CR9_DOUBLE != 0;
        let last_row = self.crtc[9] & 0x1f;
        let pitch = u16::from(self.crtc[0x13]) * 2;
        // Panning by characters: CR8 bits 6:5.
        let characters = u16::from(self.crtc[8] >> 5 & 3);
        let start = u16::from_be_bytes([self.crtc[0x0c], self.crtc[0x0d]]).wrapping_add(characters);
        let mut line = Line { start, row: (self.crtc[8] & 0x1f).min(last_row), pan };
        let below = match self.attribute[0x10] & AR10_PAN_ABOVE {
            0 => Line { start: characters, row: 0, pan },
            _ => Line { start: 0, row: 0, pan: 0 },
        };
        let (mut lines, mut again) = (Vec::new(), double);
        for y in 0..self.lines_shown() {
            lines.push(line);
            if again {
                again = false;
            } else {
                again = double;
                if line.row == last_row {
                    line = Line { start: line.start.wrapping_add(pitch), row: 0, ..line };
                } else {
                    line.row += 1;
                }
            }
            if y == self.line_compare() {
                (line, again) = (below, double);
            }
        }
        (lines, if double { 2 } else { 1 })
    }

    fn graphics_scanout(&self) -> Scanout {
        let addressing = self.addressing();
        let shift = match self.graphics[5] {
            mode if mode & GR5_SHIFT_8 != 0 => Shift::Eight,
            mode if mode & GR5_SHIFT_2 != 0 => Shift::Two,
            _ => Shift::Planar,
        };
        let pan = self.attribute[0x13] & 7;
        let (pixels, pan, colours) = match shift {
            Shift::Eight => (4, pan / 2, all_colours(&self.dac, self.dispi.has_wide_dac())),
            _ => (8, pan, self.sixteen_colours().to_vec()),
        };
        let (lines, mut times) = self.lines(pan);
        if addressing.row_bits == (false, false) {
            times *= usize::from(self.crtc[9] & 0x1f) + 1;
        }
        let lines: Vec<Line> = lines.into_iter().step_by(times).collect();
        let (width, height) = ((u32::from(self.crtc[1]) + 1) * pixels, lines.len() as u32);
        let content = Content::Graphics(Graphics { lines, addressing, shift, colours });
        Scanout { width, height, content }
    }
}
