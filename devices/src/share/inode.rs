//! What is known of a file beside its bytes.

use super::Errno;
use serde::{Deserialize, Serialize};

/// Bytes of a record.
pub(super) const INODE_LEN: u64 = 128;
const TIMES_AT: usize = 48;

/// The kind of a file, in its mode.
pub const S_IFMT: u32 = 0o170_000;
pub const S_IFDIR: u32 = 0o040_000;
pub const S_IFREG: u32 = 0o100_000;
pub const S_IFLNK: u32 = 0o120_000;
const KINDS: [u32; 7] = [S_IFDIR, S_IFREG, S_IFLNK, 0o010_000, 0o020_000, 0o060_000, 0o140_000];

/// Seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileTime {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// What a new file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Kind and permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of a device.
    pub device: u64,
    /// When it was made, or last written.
    pub time: FileTime,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    /// Tells files apart that follow each other under one number.
    pub generation: u32,
    /// Counts the changes of its bytes or names.
    pub version: u32,
    pub device: u64,
    pub size: u64,
    pub accessed: FileTime,
    pub modified: FileTime,
    pub changed: FileTime,
}

impl Inode {
    pub(super) fn new(attributes: &Attributes, generation: u32) -> Self {
        let Attributes { mode, uid, gid, device, time } = *attributes;
        let links = if mode & S_IFMT == S_IFDIR { 2 } else { 1 };
        let (accessed, modified, changed) = (time, time, time);
        Self { mode, uid, gid, links, generation, version: 0, device, size: 0, accessed, modified, changed }
    }

    pub fn is_directory(&self) -> bool {
        self.mode & S_IFMT == S_IFDIR
    }

    pub fn is_file(&self) -> bool {
        self.mode & S_IFMT == S_IFREG
    }

    pub fn is_symlink(&self) -> bool {
        self.mode & S_IFMT == S_IFLNK
    }

    /// Its bytes or names changed at `now`.
    pub(super) fn touch(&mut self, now: FileTime) {
        (self.modified, self.changed) = (now, now);
        self.version = self.version.wrapping_add(1);
    }

    pub(super) fn to_bytes(&self) -> [u8; INODE_LEN as usize] {
        let mut bytes = [0; INODE_LEN as usize];
        let words = [self.mode, self.uid, self.gid, self.links, self.generation, self.version];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes[24..32].copy_from_slice(&self.device.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.size.to_le_bytes());
        let times = [self.accessed, self.modified, self.changed];
        for (place, time) in bytes[TIMES_AT..].chunks_exact_mut(12).zip(times) {
            place[..8].copy_from_slice(&time.seconds.to_le_bytes());
            place[8..].copy_from_slice(&time.nanoseconds.to_le_bytes());
        }
        bytes
    }

    /// The file in a record; `None` where there is none.
    pub(super) fn from_bytes(bytes: &[u8; INODE_LEN as usize]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let time = |n: usize| {
            let at = TIMES_AT + 12 * n;
            FileTime { seconds: long(at) as i64, nanoseconds: word(at + 8) }
        };
        (word(0) != 0).then(|| Self {
            mode: word(0),
            uid: word(4),
            gid: word(8),
            links: word(12),
            generation: word(16),
            version: word(20),
            device: long(24),
            size: long(32),
            accessed: time(0),
            modified: time(1),
            changed: time(2),
        })
    }

    /// A record without a file: what is left is the generation.
    pub(super) fn vacant(generation: u32) -> [u8; INODE_LEN as usize] {
        let mut bytes = [0; INODE_LEN as usize];
        bytes[16..20].copy_from_slice(&generation.to_le_bytes());
        bytes
    }

    pub(super) fn generation_in(bytes: &[u8; INODE_LEN as usize]) -> u32 {
        u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]])
    }
}

/// A mode names one kind of file.
pub(super) fn check_mode(mode: u32) -> Result<(), Errno> {
    let known = KINDS.contains(&(mode & S_IFMT)) && mode & !(S_IFMT | 0o7777) == 0;
    if known { Ok(()) } else { Err(Errno::INVAL) }
}
