//! Text modes: characters and attributes in planes 0 and 1, glyphs in plane 2.

use super::font::character;
use super::vga::{Addressing, Line, Planes};
use super::{Colour, Content, Drawn, Picture, Scanout, VideoMemory, opaque};
use crate::vga::{DisplayKind, Registers};
use std::ops::Range;

const CRA_NO_CURSOR: u8 = 0x20;
const AR10_LINE_GRAPHICS: u8 = 0x04;
const AR10_BLINK: u8 = 0x08;
/// Frames for which the cursor is shown, and then not; characters blink half as fast.
const CURSOR_FRAMES: u64 = 16;
const BLINK_FRAMES: u64 = 32;
/// Glyphs are this far apart, whatever their height.
const GLYPH_STRIDE: u16 = 32;
/// Codes whose ninth dot is the eighth once more, so that boxes join.
const JOINED: Range<u8> = 0xc0..0xe0;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    lines: Vec<Line>,
    columns: u16,
    /// Dots of a character: 8 or 9.
    width: u16,
    addressing: Addressing,
    /// Addresses of the glyphs for characters without and with attribute bit 3.
    fonts: [u16; 2],
    line_graphics: bool,
    /// Attribute bit 7 makes a character blink, and whether those are shown now.
    blink: Option<bool>,
    /// Count, first and last line of the cursor, while it is shown.
    cursor: Option<(u16, u8, u8)>,
    /// Line on which attributes 1 and 9 have an underline.
    underline: u8,
    colours: [Colour; 16],
    /// The display has nothing but text: memory holds characters and attributes in turn.
    only: bool,
}

impl Text {
    /// The text screen these registers make.
    pub fn scanout(registers: &Registers, now: u64) -> Scanout {
        let frame = registers.timing().frame(now);
        let mode = registers.attribute[0x10];
        let width = registers.character_width() as u16;
        let (lines, times) = registers.lines(pan(registers.attribute[0x13], width));
        let lines: Vec<Line> = lines.into_iter().step_by(times).collect();
        let columns = u16::from(registers.crtc[1]) + 1;
        let text = Self {
            lines,
            columns,
            width,
            addressing: registers.addressing(),
            fonts: fonts(registers.sequencer[3]),
            line_graphics: mode & AR10_LINE_GRAPHICS != 0,
            blink: (mode & AR10_BLINK != 0).then_some((frame / BLINK_FRAMES).is_multiple_of(2)),
            cursor: cursor(registers).filter(|_| (frame / CURSOR_FRAMES).is_multiple_of(2)),
            underline: registers.crtc[0x14] & 0x1f,
            colours: registers.sixteen_colours(),
            only: false,
        };
        let (width, height) = (u32::from(columns) * u32::from(width), text.lines.len() as u32);
        Scanout { width, height, content: Content::Text(text) }
    }

    /// The screen of a display that has text alone: as firmware would have set it, from where the CRTC says.
    pub fn only(registers: &Registers, now: u64) -> Scanout {
        let mut shown = Registers::text_mode();
        shown.crtc[0x0c..0x10].copy_from_slice(&registers.crtc[0x0c..0x10]);
        let mut scanout = Self::scanout(&shown, now);
        if let Content::Text(text) = &mut scanout.content {
            text.only = true;
        }
        scanout
    }

    /// Whether it is another by what blinks alone.
    pub fn only_blinks(&self, other: &Self) -> bool {
        let blinks = self.blink.is_some() == other.blink.is_some();
        let cursor = self.cursor.is_none() || other.cursor.is_none() || self.cursor == other.cursor;
        let still = Self { blink: other.blink, cursor: other.cursor, ..self.clone() };
        blinks && cursor && still == *other
    }

    pub fn memory(&self) -> Range<u64> {
        if self.only { 0..DisplayKind::Text.vram_len() } else { Planes::MEMORY }
    }

    fn planes(&self, memory: &dyn VideoMemory) -> Planes {
        match self.only {
            true => Planes::of_text(memory, DisplayKind::Text.vram_len()),
            false => Planes::read(memory),
        }
    }

    /// Glyphs lie among the characters, so that what changes one line may change all.
    pub fn redraw(
        &self,
        memory: &dyn VideoMemory,
        changed: &dyn Fn(Range<u64>) -> bool,
        picture: &mut Picture,
        drawn: &mut Drawn,
    ) {
        if !changed(self.memory()) {
            return;
        }
        let planes = self.planes(memory);
        for (y, line) in self.lines.iter().enumerate() {
            self.draw_line(&planes, picture.line(y), *line);
            drawn.add(y);
        }
    }

    /// One line of a row of characters, of which the first and the last may be seen in part.
    fn draw_line(&self, planes: &Planes, pixels: &mut [[u8; 4]], line: Line) {
        let mut dots = pixels.iter_mut();
        let mut skipped = u16::from(line.pan);
        for column in 0..=self.columns {
            let (bits, [back, front]) = self.character(planes, line, column);
            for dot in skipped..self.width {
                let Some(pixel) = dots.next() else { return };
                *pixel = opaque(if bits >> (8 - dot) & 1 != 0 { front } else { back });
            }
            skipped = skipped.saturating_sub(self.width);
        }
    }

    /// The nine dots of a character's line, the leftmost in bit 8, and the colours of dots that are clear and set.
    fn character(&self, planes: &Planes, line: Line, column: u16) -> (u16, [Colour; 2]) {
        let [code, attribute, ..] = planes.at(self.addressing.address(line, column));
        let font = self.fonts[usize::from(attribute >> 3 & 1)];
        let glyph = font.wrapping_add(u16::from(code) * GLYPH_STRIDE + u16::from(line.row));
        let (mut front, mut back) = (attribute & 0x0f, attribute >> 4);
        if let Some(shown) = self.blink {
            back &= 7;
            if attribute & 0x80 != 0 && !shown {
                front = back;
            }
        }
        let count = line.start.wrapping_add(column);
        let under_cursor =
            self.cursor.is_some_and(|(at, first, last)| at == count && (first..=last).contains(&line.row));
        let dots = if under_cursor || attribute & 0x77 == 1 && line.row == self.underline {
            0x1ff
        } else {
            let dots = u16::from(planes.at(glyph)[2]);
            dots << 1 | if self.line_graphics && JOINED.contains(&code) { dots & 1 } else { 0 }
        };
        (dots, [back, front].map(|colour| self.colours[usize::from(colour)]))
    }

    pub fn characters(&self, memory: &dyn VideoMemory) -> String {
        let planes = self.planes(memory);
        let mut all = String::new();
        // A row of characters is as many lines; the first of them stands for it.
        let mut before = None;
        for line in &self.lines {
            if before.replace(line.start) == Some(line.start) && line.row != 0 {
                continue;
            }
            let codes = (0..self.columns).map(|n| planes.at(self.addressing.address(*line, n))[0]);
            let row: String = codes.map(character).collect();
            all.push_str(row.trim_end());
            all.push('\n');
        }
        all
    }
}

/// Dots that AR13 shifts characters of `width` dots to the left: of nine, 8 is none and 0 is one.
fn pan(shift: u8, width: u16) -> u8 {
    match (width, shift & 0x0f) {
        (9, 0x08..) => 0,
        (9, shift) => shift + 1,
        (_, shift) => shift & 7,
    }
}

/// Where the glyphs are that SR3 chooses, by attribute bit 3: B without it, A with it. Eight tables of 8 KiB; the odd ones
/// lie between the even ones.
fn fonts(select: u8) -> [u16; 2] {
    let table = |low: u8, high: u8| u16::from(low) << 14 | u16::from(high) << 13;
    [table(select & 3, select >> 4 & 1), table(select >> 2 & 3, select >> 5 & 1)]
}

fn cursor(registers: &Registers) -> Option<(u16, u8, u8)> {
    let crtc = &registers.crtc;
    let at = u16::from_be_bytes([crtc[0x0e], crtc[0x0f]]);
    let shown = crtc[0x0a] & CRA_NO_CURSOR == 0;
    shown.then_some((at, crtc[0x0a] & 0x1f, crtc[0x0b] & 0x1f))
}
