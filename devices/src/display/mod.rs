//! What is on the screen: a function of the display's registers, of time and of video memory. For whoever shows, saves or
//! reads it; no guest can tell whether anybody does.
//!
//! [`Scanout`] holds all that is not video memory. While two are equal, and nothing was written to the range
//! [`Scanout::memory`], the picture is the same.

mod boxes;
pub(crate) mod font;
mod linear;
mod text;
mod vga;

use crate::clock::NS_PER_SECOND;
use crate::platform::Platform;
use crate::vga::Dac;
use linear::Linear;
use std::ops::Range;
use text::Text;
use vga::{Graphics, Planes};

/// Red, green, blue.
type Colour = [u8; 3];

/// Size of the picture of a screen that shows nothing, in pixels: that of a text screen.
const DARK: (u32, u32) = (720, 400);

/// Video memory, to read.
pub trait VideoMemory {
    /// Reads from byte `at` on; what is beyond the end reads as zeroes.
    fn read(&self, at: u64, into: &mut [u8]);
}

/// Pixels of a screen, from the top left one on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Red, green, blue and 255 for each pixel.
    pub pixels: Vec<u8>,
}

/// Lines that were drawn, from the first to the last.
struct Drawn(Range<u32>);

impl Drawn {
    fn add(&mut self, y: usize) {
        let y = y as u32;
        self.0 = if self.0.is_empty() { y..y + 1 } else { self.0.start.min(y)..self.0.end.max(y + 1) };
    }
}

/// A colour as a pixel.
fn opaque([red, green, blue]: Colour) -> [u8; 4] {
    [red, green, blue, 0xff]
}

/// All that decides what the screen shows, but for video memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanout {
    width: u32,
    height: u32,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Dark,
    Text(Text),
    Graphics(Graphics),
    Linear(Linear),
}

impl Picture {
    fn dark(width: u32, height: u32) -> Self {
        let pixels = [0, 0, 0, 0xff].repeat(width as usize * height as usize);
        Self { width, height, pixels }
    }

    /// The pixels of a line.
    fn line(&mut self, y: usize) -> &mut [[u8; 4]] {
        let len = self.width as usize;
        self.pixels.as_chunks_mut().0.get_mut(y * len..(y + 1) * len).unwrap_or(&mut [])
    }

    /// The picture in half the width and height again and again, until it has at most `width` by `height` pixels.
    pub fn shrunk(mut self, width: u32, height: u32) -> Self {
        while self.width > width || self.height > height {
            self = self.halved();
        }
        self
    }

    /// Each pixel is the mean of four.
    fn halved(&self) -> Self {
        let (width, height) = ((self.width / 2).max(1), (self.height / 2).max(1));
        let mut pixels = Vec::with_capacity(width as usize * height as usize * 4);
        let at = |x: u32, y: u32, channel: usize| {
            let (x, y) = (x.min(self.width - 1) as usize, y.min(self.height - 1) as usize);
            u16::from(self.pixels[(y * self.width as usize + x) * 4 + channel])
        };
        for y in (0..height).map(|y| 2 * y) {
            for x in (0..width).map(|x| 2 * x) {
                for channel in 0..4 {
                    let sum = at(x, y, channel)
                        + at(x + 1, y, channel)
                        + at(x, y + 1, channel)
                        + at(x + 1, y + 1, channel);
                    pixels.push((sum / 4) as u8);
                }
            }
        }
        Self { width, height, pixels }
    }
}

impl Scanout {
    fn dark((width, height): (u32, u32)) -> Self {
        Self { width, height, content: Content::Dark }
    }

    /// Width and height of the picture.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// The bytes of video memory that the picture depends on.
    pub fn memory(&self) -> Range<u64> {
        match &self.content {
            Content::Dark => 0..0,
            Content::Text(text) => text.memory(),
            Content::Graphics(_) => Planes::MEMORY,
            Content::Linear(linear) => linear.memory(self.height),
        }
    }

    /// The picture.
    pub fn render(&self, memory: &dyn VideoMemory) -> Picture {
        let mut picture = Picture::dark(self.width, self.height);
        self.redraw(memory, &|_| true, &mut picture);
        picture
    }

    /// Draws the lines whose bytes of video memory may have changed, as `changed` says of a range of them, into the picture of
    /// the same screen before; which lines these are, from the first to the last.
    pub fn redraw(
        &self,
        memory: &dyn VideoMemory,
        changed: &dyn Fn(Range<u64>) -> bool,
        picture: &mut Picture,
    ) -> Range<u32> {
        let mut drawn = Drawn(0..0);
        match &self.content {
            Content::Dark => {}
            Content::Text(text) => text.redraw(memory, changed, picture, &mut drawn),
            Content::Graphics(graphics) => graphics.redraw(memory, changed, picture, &mut drawn),
            Content::Linear(linear) => linear.redraw(memory, changed, picture, &mut drawn),
        }
        drawn.0
    }

    /// Whether this screen is another than that one by what blinks alone: characters, and the cursor.
    pub fn only_blinks(&self, other: &Self) -> bool {
        match (&self.content, &other.content) {
            (Content::Text(text), Content::Text(other)) => text.only_blinks(other),
            _ => self == other,
        }
    }

    /// The characters of a text screen, line by line without the blanks at their ends. `None` when it shows graphics, or
    /// nothing.
    pub fn text(&self, memory: &dyn VideoMemory) -> Option<String> {
        match &self.content {
            Content::Text(text) => Some(text.characters(memory)),
            _ => None,
        }
    }
}

impl Platform {
    /// What the screen shows now.
    pub fn scanout(&self) -> Scanout {
        self.pci.vga.scanout(self.clock.now())
    }

    /// Virtual time at which the screen's next frame is whole, ns: when the next vertical retrace begins, by the timing of the
    /// mode. Where the mode has none, frames are 1/60 s.
    pub fn next_frame(&self) -> u64 {
        let now = self.clock.now();
        self.pci.vga.next_retrace(now).unwrap_or(now + NS_PER_SECOND / 60)
    }
}

/// The colours pixels of 8 bits have.
fn all_colours(dac: &Dac, wide: bool) -> Vec<Colour> {
    (0..=255).map(|entry| dac.colour(entry, wide)).collect()
}
