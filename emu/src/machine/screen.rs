//! The screen: what is on it, and whether that has changed. Looking changes nothing in the machine.

use super::{Frozen, Machine, Region, VRAM};
use amber_devices::display::{Picture, Scanout, VideoMemory};
use amber_mmu::{FrameId, PAGE};

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
    /// The newest generation among the frames that were shown.
    newest: Option<u64>,
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
    /// costs a look at the generations of its frames.
    pub fn changed_picture(&mut self, seen: &mut Seen) -> Option<Picture> {
        let scanout = self.platform.scanout();
        let newest = self.newest_shown(&scanout);
        if seen.scanout.as_ref() == Some(&scanout) && seen.newest == newest {
            return None;
        }
        let picture = scanout.render(&self.video_memory());
        if seen.newest != newest {
            // What is written from now on is newer than what was just seen.
            self.mmu.seal();
        }
        *seen = Seen { scanout: Some(scanout), newest };
        Some(picture)
    }

    fn newest_shown(&self, scanout: &Scanout) -> Option<u64> {
        let (region, shown) = (self.region(VRAM), scanout.memory());
        let pages = shown.start / PAGE..shown.end.div_ceil(PAGE).min(region.pages.into());
        pages.filter_map(|page| self.mmu.generation(FrameId(region.first.0 + page as u32))).max()
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
