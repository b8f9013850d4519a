//! The screen: what is on it, and whether that has changed. Looking changes nothing in the machine.

use super::{Frozen, Machine, Region, VRAM};
use amber_devices::display::{Picture, Scanout, VideoMemory};
use amber_mmu::{FrameId, PAGE};
use std::ops::Range;

/// Largest picture that goes with a snapshot, pixels.
const THUMBNAIL: (u32, u32) = (320, 200);

/// Video memory of a machine, by its frames.
struct Frames<'a, F> {
    region: &'a Region,
    bytes: F,
}

impl<'a, F: Fn(FrameId) -> &'a [u8]> VideoMemory for Frames<'a, F> {
    fn read(&self, at: u64, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let from = at + done as u64;
            let offset = (from % PAGE) as usize;
            let len = (PAGE as usize - offset).min(into.len() - done);
            let page = u32::try_from(from / PAGE).ok().filter(|page| *page < self.region.pages);
            match page {
                Some(page) => {
                    let bytes = (self.bytes)(FrameId(self.region.first.0 + page));
                    into[done..done + len].copy_from_slice(&bytes[offset..offset + len]);
                }
                None => into[done..done + len].fill(0),
            }
            done += len;
        }
    }
}

/// What somebody who watches the screen saw last.
#[derive(Debug, Default)]
pub struct Seen {
    scanout: Option<Scanout>,
    /// The generations of the frames that were shown.
    generations: Vec<Option<u64>>,
    picture: Picture,
    lines: Range<u32>,
}

impl Seen {
    /// The lines of the last picture that were drawn, from the first to the last; the others are as they were before.
    pub fn lines(&self) -> Range<u32> {
        self.lines.clone()
    }
}

impl Machine {
    fn video_memory(&self) -> impl VideoMemory {
        Frames { region: self.region(VRAM), bytes: |frame| self.mmu.frame(frame) }
    }

    /// The picture on the screen.
    pub fn picture(&self) -> Picture {
        self.platform.scanout().render(&self.video_memory())
    }

    /// The characters on the screen, a line each; `None` when it shows graphics, or nothing.
    pub fn screen_text(&self) -> Option<String> {
        self.platform.scanout().text(&self.video_memory())
    }

    /// The picture, if it may be another one than when `seen` was last asked. As long as the guest writes nothing to it, this
    /// costs a look at the generations of its frames; after that, the lines that lie in frames it wrote are drawn.
    pub fn changed_picture<'a>(&mut self, seen: &'a mut Seen) -> Option<&'a Picture> {
        let scanout = self.platform.scanout();
        let generations = self.generations_shown(&scanout);
        let same_screen = seen.scanout.as_ref() == Some(&scanout);
        let written = seen.generations != generations;
        if same_screen && !written {
            return None;
        }
        let first = scanout.memory().start / PAGE;
        let changed = |bytes: Range<u64>| {
            let pages = bytes.start / PAGE - first..bytes.end.div_ceil(PAGE) - first;
            let of =
                |generations: &[Option<u64>], page: u64| generations.get(page as usize).copied().flatten();
            pages.into_iter().any(|page| of(&seen.generations, page) != of(&generations, page))
        };
        if same_screen {
            seen.lines = scanout.redraw(&self.video_memory(), &changed, &mut seen.picture);
        } else {
            seen.picture = scanout.render(&self.video_memory());
            seen.lines = 0..seen.picture.height;
        }
        if written {
            // What is written from now on is newer than what was just seen.
            self.mmu.seal();
        }
        (seen.scanout, seen.generations) = (Some(scanout), generations);
        Some(&seen.picture)
    }

    /// Whether the picture is another than what `seen` saw by what blinks alone.
    pub fn only_blinks(&self, seen: &Seen) -> bool {
        let scanout = self.platform.scanout();
        let other = seen.scanout.as_ref().is_some_and(|before| scanout.only_blinks(before));
        other && seen.generations == self.generations_shown(&scanout)
    }

    fn generations_shown(&self, scanout: &Scanout) -> Vec<Option<u64>> {
        let (region, shown) = (self.region(VRAM), scanout.memory());
        let pages = shown.start / PAGE..shown.end.div_ceil(PAGE).min(region.pages.into());
        pages.map(|page| self.mmu.generation(FrameId(region.first.0 + page as u32))).collect()
    }
}

impl Frozen {
    /// The picture on the screen.
    pub fn picture(&self) -> Picture {
        let memory = Frames { region: &self.regions[VRAM], bytes: |frame| self.frames.bytes(frame) };
        self.platform.scanout().render(&memory)
    }

    /// A small picture of the screen.
    pub fn thumbnail(&self) -> Picture {
        self.picture().shrunk(THUMBNAIL.0, THUMBNAIL.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::build;
    use crate::config::MachineConfig;

    #[test]
    fn what_is_written_is_drawn_and_an_idle_screen_is_not() {
        let mut machine = build::machine(&MachineConfig::default()).expect("the monitor");
        let mut seen = Seen::default();
        let lines = machine.changed_picture(&mut seen).expect("nobody saw it").height;
        assert_eq!(seen.lines(), 0..lines);
        assert_eq!(machine.changed_picture(&mut seen), None);
        // 800x600 in 32 bits: ten lines lie in eight pages.
        for (index, value) in [(1u16, 800u16), (2, 600), (3, 32), (4, 0x41)] {
            machine.with_dma(|platform, dma| {
                platform.pio_write(dma, 0x1ce, 2, index.into());
                platform.pio_write(dma, 0x1cf, 2, value.into());
                platform.pio_write(dma, 0x3c0, 1, 0x20);
            });
        }
        assert_eq!(machine.changed_picture(&mut seen).map(|picture| picture.height), Some(600));
        let first = machine.region(VRAM).first.0;
        for (page, drawn) in [(8u32, 10..12), (468, 599..600), (0, 0..2)] {
            machine.mmu_mut().write_frame(FrameId(first + page), 4, &[0xff; 4]);
            let picture = machine.changed_picture(&mut seen).cloned().expect("it was written");
            assert_eq!(seen.lines(), drawn, "page {page}");
            assert_eq!(picture, machine.picture());
            assert_eq!(machine.changed_picture(&mut seen), None);
        }
        // What is written behind the screen is not on it.
        machine.mmu_mut().write_frame(FrameId(first + 469), 0, &[0xff; 4]);
        assert_eq!(machine.changed_picture(&mut seen), None);
    }
}
