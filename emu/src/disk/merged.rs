//! A disk as a snapshot has it: its image, and over it the blocks that were written.

use super::export::ExportError;
use super::{BLOCK, Base, sectors};
use amber_devices::SECTOR;
use amber_snapshot::{Objects, RegionTree};
use std::sync::Arc;

/// What moves a bar: done, of.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// A disk of a snapshot, to be read whole.
pub struct Merged<'a> {
    name: String,
    base: Arc<Base>,
    tree: RegionTree,
    objects: &'a Objects,
}

impl<'a> Merged<'a> {
    /// The disk `name` whose written blocks `tree` has ids of.
    pub fn new(name: String, base: Arc<Base>, tree: RegionTree, objects: &'a Objects) -> Self {
        Self { name, base, tree, objects }
    }

    /// Its name, e.g. `disk0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// Bytes: whole sectors.
    pub fn len(&self) -> u64 {
        sectors(self.base.len()) * SECTOR
    }

    /// Whether there are none, which there always are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Blocks that were written.
    pub fn written(&self) -> u64 {
        let absent = self.tree.absent();
        self.tree.groups().flat_map(|(_, ids)| ids).filter(|id| **id != absent).count() as u64
    }

    /// Whether any block from byte `at` on was written.
    pub fn is_written(&self, at: u64, len: u64) -> bool {
        let last = (at + len).div_ceil(BLOCK).min(self.tree.pages() as u64);
        (at / BLOCK..last).any(|block| self.tree.page(block as usize) != self.tree.absent())
    }

    /// Reads from byte `at` on, which begins a block; zeroes behind the end.
    ///
    /// # Errors
    /// When the image or a written block cannot be read.
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<(), ExportError> {
        let mut run = 0;
        while run < into.len() {
            let here = at + run as u64;
            let block = (here / BLOCK) as usize;
            let rest = &mut into[run..];
            if block < self.tree.pages() && self.tree.page(block) != self.tree.absent() {
                let mut page = [0; BLOCK as usize];
                self.objects.page(self.tree.page(block), &mut page)?;
                let len = rest.len().min(page.len());
                rest[..len].copy_from_slice(&page[..len]);
                run += len;
            } else {
                let blocks = (1..)
                    .take_while(|n| *n * BLOCK < rest.len() as u64 && !self.is_written(here + n * BLOCK, 1));
                let len = ((blocks.count() as u64 + 1) * BLOCK).min(rest.len() as u64) as usize;
                self.read_base(here, &mut rest[..len])?;
                run += len;
            }
        }
        Ok(())
    }

    fn read_base(&self, at: u64, into: &mut [u8]) -> Result<(), ExportError> {
        let named = |cause| ExportError::Image { file: self.base.path().to_owned(), cause };
        self.base.read(at, into).map_err(named)
    }

    /// Shows `each` the pieces of `size` bytes, a number of whole blocks, that are not zeroes, in order.
    ///
    /// # Errors
    /// As [`Self::read`], and those of `each`.
    pub fn pieces(
        &self,
        size: u64,
        progress: Progress,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let named = |cause| ExportError::Image { file: self.base.path().to_owned(), cause };
        let (mut buffer, mut hole) = (vec![0; size as usize], 0);
        for at in (0..self.len()).step_by(size as usize) {
            let len = size.min(self.len() - at);
            progress(at, self.len());
            if !self.is_written(at, len) {
                if hole <= at {
                    hole = at + self.base.chain().zeroes(at, self.len() - at).map_err(named)?;
                }
                if hole >= at + len {
                    continue;
                }
            }
            let piece = &mut buffer[..len as usize];
            self.read(at, piece)?;
            if piece.iter().any(|byte| *byte != 0) {
                each(at, piece)?;
            }
        }
        progress(self.len(), self.len());
        Ok(())
    }
}
