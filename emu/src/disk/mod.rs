//! The media of a machine's disks: a base image that is not written unless asked for, and over it an overlay of blocks that
//! were.

mod base;
mod commit;
mod copy;
mod export;
mod format;
mod holes;
mod identity;
mod image;
mod lock;
mod merged;
mod overlay;
mod qcow2;
mod recent;

pub use base::{Access, Base, DiskError, MAX_LEN, Purpose};
pub use commit::{CommitError, Prepared};
pub use copy::WriteError;
pub use export::{ExportError, to_qcow2, to_raw};
pub use format::{Format, QCOW2_MAGIC};
pub use holes::allocated;
pub use image::{Image, Layer};
pub use lock::Hold;
pub use merged::Merged;
pub use overlay::Overlay;
pub use qcow2::Compression;

use amber_devices::SECTOR;
use amber_mmu::{PAGE, PageSource};
use amber_snapshot::{RegionPages, RegionTree};
use std::sync::Arc;

const BLOCK: u64 = PAGE;

/// Why bytes cannot be had.
#[derive(Debug)]
pub enum Failure {
    /// The base image cannot be read there: an error of the medium.
    Base(std::io::Error),
    /// The base image cannot be written, as was asked for: an error of the medium, e.g. that the host's disk is full.
    Through(std::io::Error),
    /// A block of the overlay cannot be had from its snapshot: the state itself is lost.
    Overlay(String),
}

/// A disk's medium. A clone costs nothing per byte: what either writes afterwards is copied first.
#[derive(Clone)]
pub struct Disk {
    base: Arc<Base>,
    overlay: Overlay,
}

impl Disk {
    /// A disk nobody has written.
    pub fn new(base: Arc<Base>) -> Self {
        let overlay = Overlay::new(pages(base.len()));
        Self { base, overlay }
    }

    /// A disk whose written blocks are those `tree` has ids of, to come from `source`.
    pub fn stored(base: Arc<Base>, tree: &RegionTree, source: &Arc<dyn PageSource>) -> Self {
        Self { base, overlay: Overlay::stored(tree, source) }
    }

    /// The image below.
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// Blocks that were written.
    pub fn written(&self) -> u64 {
        self.overlay.written()
    }

    /// Sectors. An image that ends within one is continued with zeroes.
    pub fn sectors(&self) -> u64 {
        sectors(self.base.len())
    }

    /// Reads from byte `at` on, which lies on the disk.
    ///
    /// # Errors
    /// When the image or a block of the overlay cannot be read.
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Failure> {
        for piece in pieces(at, into.len()) {
            let to = &mut into[piece.start..piece.start + piece.len];
            match self.overlay.block(piece.block).map_err(Failure::Overlay)? {
                Some(bytes) => to.copy_from_slice(&bytes[piece.offset..piece.offset + piece.len]),
                None => {
                    let at = piece.block as u64 * BLOCK + piece.offset as u64;
                    self.base.read(at, to).map_err(Failure::Base)?;
                }
            }
        }
        Ok(())
    }

    /// Writes from byte `at` on, which lies on the disk.
    ///
    /// # Errors
    /// When the rest of a block that is written in part cannot be read, or the image cannot be written through.
    pub fn write(&mut self, at: u64, from: &[u8]) -> Result<(), Failure> {
        self.base.write_through(at, from).map_err(Failure::Through)?;
        for piece in pieces(at, from.len()) {
            let bytes = &from[piece.start..piece.start + piece.len];
            let written = self.overlay.update(piece.block, piece.offset, bytes).map_err(Failure::Overlay)?;
            if !written {
                let mut block = [0; BLOCK as usize];
                if piece.len < block.len() {
                    self.base.read(piece.block as u64 * BLOCK, &mut block).map_err(Failure::Base)?;
                }
                block[piece.offset..piece.offset + piece.len].copy_from_slice(bytes);
                self.overlay.insert(piece.block, Box::new(block));
            }
        }
        Ok(())
    }

    /// Returns when what was written is as safe as it will be. The overlay is the machine's, and as safe as its memory.
    ///
    /// # Errors
    /// When an image that is written through cannot be brought to the host's disk.
    pub fn flush(&self) -> Result<(), Failure> {
        self.base.flush().map_err(Failure::Through)
    }

    /// Blocks of the overlay that cannot be had, if any were asked for.
    pub fn damaged(&self) -> Option<&str> {
        self.overlay.damaged()
    }

    /// Reads the blocks of the overlay that are still to come.
    pub fn fetch_all(&self) {
        self.overlay.fetch_all();
    }
}

/// The overlay as a region of the machine's state.
impl RegionPages for Disk {
    fn pages(&self) -> usize {
        self.overlay.pages()
    }
    fn newest(&self, group: usize) -> u64 {
        self.overlay.newest(group)
    }
    fn generation(&self, page: usize) -> Option<u64> {
        self.overlay.stamp(page)
    }
    fn bytes(&self, page: usize) -> &[u8] {
        self.overlay.bytes(page)
    }
}

/// Blocks of a disk over an image of `len` bytes.
pub fn pages(len: u64) -> usize {
    len.div_ceil(BLOCK) as usize
}

/// Sectors of a disk over an image of `len` bytes.
pub fn sectors(len: u64) -> u64 {
    len.div_ceil(SECTOR)
}

/// A part of an access that lies in one block.
struct Piece {
    block: usize,
    /// Offset in the block.
    offset: usize,
    /// Offset in the access.
    start: usize,
    len: usize,
}

fn pieces(at: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let here = at + start as u64;
        let offset = (here % BLOCK) as usize;
        let taken = (BLOCK as usize - offset).min(len - start);
        let piece = Piece { block: (here / BLOCK) as usize, offset, start, len: taken };
        start += taken;
        (taken > 0).then_some(piece)
    })
}

#[cfg(test)]
mod tests;
