//! The pages of a share: those that were written, shared by copies until they are written again.

use crate::disk::Overlay;
use amber_devices::MediumError;
use amber_devices::share::Volume;
use amber_mmu::{PAGE, PageSource};
use amber_snapshot::{RegionPages, RegionTree};
use std::sync::Arc;

/// All of them; zeroes where nothing was written. A clone costs nothing per byte.
#[derive(Clone)]
pub struct Pages(Overlay);

impl Pages {
    /// So many pages of zeroes.
    pub fn new(pages: u64) -> Self {
        Self(Overlay::new(pages as usize))
    }

    /// Pages `tree` has ids of, to come from `source`.
    pub fn stored(tree: &RegionTree, source: &Arc<dyn PageSource>) -> Self {
        Self(Overlay::stored(tree, source))
    }

    /// Why a page cannot be had, if one was asked for.
    pub fn damaged(&self) -> Option<&str> {
        self.0.damaged()
    }

    /// Reads the pages that are still to come.
    pub fn fetch_all(&self) {
        self.0.fetch_all();
    }

    fn spans(at: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let here = at + start as u64;
            let offset = (here % PAGE) as usize;
            let taken = (PAGE as usize - offset).min(len - start);
            let span = ((here / PAGE) as usize, offset, start..start + taken);
            start += taken;
            (taken > 0).then_some(span)
        })
    }

    fn reach(&self, at: u64, len: usize) -> Result<(), MediumError> {
        let end = at.checked_add(len as u64).ok_or(MediumError)?;
        if end <= self.0.pages() as u64 * PAGE { Ok(()) } else { Err(MediumError) }
    }
}

impl Volume for Pages {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        self.reach(at, into.len())?;
        for (page, offset, range) in Self::spans(at, into.len()) {
            let len = range.len();
            match self.0.block(page).map_err(|_| MediumError)? {
                Some(bytes) => into[range].copy_from_slice(&bytes[offset..offset + len]),
                None => into[range].fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediumError> {
        self.reach(at, from.len())?;
        for (page, offset, range) in Self::spans(at, from.len()) {
            let bytes = &from[range];
            let whole = bytes.len() == PAGE as usize;
            if whole || !self.0.update(page, offset, bytes).map_err(|_| MediumError)? {
                let mut block = Box::new([0; PAGE as usize]);
                block[offset..offset + bytes.len()].copy_from_slice(bytes);
                self.0.insert(page, block);
            }
        }
        Ok(())
    }
}

/// As a region of the machine's state.
impl RegionPages for Pages {
    fn pages(&self) -> usize {
        self.0.pages()
    }
    fn newest(&self, group: usize) -> u64 {
        self.0.newest(group)
    }
    fn generation(&self, page: usize) -> Option<u64> {
        self.0.stamp(page)
    }
    fn bytes(&self, page: usize) -> &[u8] {
        self.0.bytes(page)
    }
}
