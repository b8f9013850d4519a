//! Where things are in the pages of a share. All of it is little-endian, and zero where nothing is:
//!
//! - a record of 128 bytes for each file: what stat says of it;
//! - a record of 272 bytes for each name in a directory: directory, file, length and bytes of the name;
//! - a word of 8 bytes for each block: whose it is, and which one of its;
//! - the blocks.

use super::inode::INODE_LEN;
use super::{BLOCK, NAME_MAX};

/// Smallest and largest share, bytes of files.
pub const SHARE_MIN: u64 = 1 << 20;
pub const SHARE_MAX: u64 = 64 << 30;
/// Most files of a share of any size.
const FILES_MAX: u64 = 1 << 18;

/// Bytes of a name's record.
pub(super) const ENTRY_LEN: u64 = 16 + NAME_MAX as u64 + 1;
/// Bytes of a block's word.
pub(super) const OWNER_LEN: u64 = 8;

/// Sizes of a share's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareLayout {
    /// Most files, and most names.
    pub files: u32,
    /// Most blocks of files.
    pub blocks: u32,
}

impl ShareLayout {
    /// For `size` bytes of files, a multiple of 4 KiB from [`SHARE_MIN`] to [`SHARE_MAX`]: a file for every 8 KiB, but no
    /// more than 262,144.
    pub fn new(size: u64) -> Self {
        let blocks = size.clamp(SHARE_MIN, SHARE_MAX) / BLOCK;
        Self { files: (blocks / 2).min(FILES_MAX) as u32, blocks: blocks as u32 }
    }

    /// Pages of 4 KiB.
    pub fn pages(&self) -> u64 {
        self.block(self.blocks) / BLOCK
    }

    pub(super) fn inode(&self, n: u32) -> u64 {
        u64::from(n) * INODE_LEN
    }

    pub(super) fn entry(&self, n: u32) -> u64 {
        self.inode(self.files).next_multiple_of(BLOCK) + u64::from(n) * ENTRY_LEN
    }

    pub(super) fn owner(&self, n: u32) -> u64 {
        self.entry(self.files).next_multiple_of(BLOCK) + u64::from(n) * OWNER_LEN
    }

    pub(super) fn block(&self, n: u32) -> u64 {
        self.owner(self.blocks).next_multiple_of(BLOCK) + u64::from(n) * BLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other() {
        for size in [SHARE_MIN, 3 << 20, 2 << 30, SHARE_MAX] {
            let layout = ShareLayout::new(size);
            assert_eq!(u64::from(layout.blocks) * BLOCK, size);
            assert!(layout.inode(layout.files) <= layout.entry(0));
            assert!(layout.entry(layout.files) <= layout.owner(0));
            assert!(layout.owner(layout.blocks) <= layout.block(0));
            assert_eq!(layout.pages() * BLOCK, layout.block(0) + size);
        }
    }
}
