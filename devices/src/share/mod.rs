//! The files of a share, as pages of a region: what a folder of the host was when the machine was made, and what the guest has
//! done to it since. The host's folder is never looked at again.
//!
//! The pages are the state ([`layout`] says how they are laid out). [`Tree`] is derived from them: it finds what they hold,
//! keeps them up to date, and can be dropped at any moment.

mod bytes;
mod contents;
mod inode;
mod layout;
mod names;
mod open;
mod slots;
#[cfg(test)]
mod tests;
mod tree;

pub use contents::{Contents, Filling, Item, What};
pub use inode::{Attributes, FileTime, Inode, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
pub use layout::{SHARE_MAX, SHARE_MIN, ShareLayout};
pub use tree::{Changes, Entry, ROOT, Tree};

use crate::device::{Dma, MediumError};

/// Bytes of a block of a file.
pub const BLOCK: u64 = 4096;
/// Longest name.
pub const NAME_MAX: usize = 255;
/// Longest target of a symbolic link.
pub const TARGET_MAX: usize = 4095;
/// Longest file.
pub const FILE_MAX: u64 = 1 << 40;

/// Why something cannot be done, as Linux numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u32);

impl Errno {
    pub const PERM: Self = Self(1);
    pub const NOENT: Self = Self(2);
    pub const IO: Self = Self(5);
    pub const BADF: Self = Self(9);
    pub const EXIST: Self = Self(17);
    pub const NOTDIR: Self = Self(20);
    pub const ISDIR: Self = Self(21);
    pub const INVAL: Self = Self(22);
    pub const NFILE: Self = Self(23);
    pub const FBIG: Self = Self(27);
    pub const NOSPC: Self = Self(28);
    pub const ROFS: Self = Self(30);
    pub const MLINK: Self = Self(31);
    pub const NAMETOOLONG: Self = Self(36);
    pub const NOTEMPTY: Self = Self(39);
    pub const PROTO: Self = Self(71);
    pub const MSGSIZE: Self = Self(90);
    pub const OPNOTSUPP: Self = Self(95);
}

/// The pages of a share.
pub trait Volume {
    /// Reads from byte `at` on.
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), MediumError>;
    /// Writes from byte `at` on.
    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediumError>;
}

/// Those the machine lends its devices.
pub(crate) struct Lent<'a>(pub &'a mut dyn Dma);

impl Volume for Lent<'_> {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        self.0.read_share(at, into)
    }

    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediumError> {
        self.0.write_share(at, from)
    }
}

impl From<MediumError> for Errno {
    fn from(_: MediumError) -> Self {
        Self::IO
    }
}
