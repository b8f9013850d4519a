//! The header of a qcow2 file, versions 2 and 3 (QEMU's docs/interop/qcow2.txt).

use crate::disk::format::QCOW2_MAGIC;
use amber_snapshot::host_file::read_exact_at;
use std::fs::File;
use std::io;

/// Longest table of the first level, bytes: QEMU's limit.
const L1_MAX: u64 = 32 << 20;
/// The header up to the type of compression.
const HEADER_LEN: usize = 105;
const V2_LEN: u32 = 72;
const V3_LEN: u32 = 104;
const BACKING_NAME_MAX: u32 = 1023;

const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const KNOWN: u64 = COMPRESSION_TYPE | EXTENDED_L2;

const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xE279_2ACA;
const EXTENSION_BITMAPS: u32 = 0x2385_2875;

/// What compressed clusters are compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Raw deflate.
    Deflate,
    Zstd,
}

/// The image that clusters without content of their own show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    pub file: String,
    /// If the image says it.
    pub format: Option<String>,
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub version: u32,
    /// Size of a cluster: 1 << this.
    pub cluster_bits: u32,
    /// Bytes the guest sees.
    pub size: u64,
    pub l1_offset: u64,
    pub backing: Option<Backing>,
    pub compression: Compression,
    /// Clusters have 32 parts of their own.
    pub extended_l2: bool,
    /// States of the disk that are kept besides the present one.
    pub snapshots: u32,
    /// Bitmaps of changed blocks are kept.
    pub bitmaps: bool,
}

/// Why a header cannot be used.
#[derive(Debug)]
pub enum Fault {
    Read(io::Error),
    Unfit(String),
}

impl From<io::Error> for Fault {
    fn from(cause: io::Error) -> Self {
        Self::Read(cause)
    }
}

fn unfit<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Unfit(why.into()))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}

impl Header {
    /// Reads the header of `file`, which has `len` bytes.
    ///
    /// # Errors
    /// When it cannot be read, is none, or asks for what Amber does not do.
    pub fn read(file: &File, len: u64) -> Result<Self, Fault> {
        let mut start = [0; HEADER_LEN];
        let there = len.min(HEADER_LEN as u64) as usize;
        read_exact_at(file, &mut start[..there], 0)?;
        if there < V2_LEN as usize || start[..4] != QCOW2_MAGIC {
            return unfit("it has no header of a qcow2 image");
        }
        let mut header = Self::parse(&start)?;
        let cluster = (1u64 << header.cluster_bits).min(len) as usize;
        let mut first = vec![0; cluster];
        read_exact_at(file, &mut first, 0)?;
        let header_len = if header.version == 2 { V2_LEN } else { u32_at(&start, 100) };
        let (format, bitmaps) = extensions(&first, header_len as usize);
        header.backing = backing(&first, format)?;
        header.bitmaps = bitmaps;
        Ok(header)
    }

    fn parse(start: &[u8; HEADER_LEN]) -> Result<Self, Fault> {
        let version = u32_at(start, 4);
        let features = match version {
            2 => 0,
            3 => u64_at(start, 72),
            other => return unfit(format!("it is of qcow2 version {other}; Amber reads 2 and 3")),
        };
        check_features(features)?;
        match u32_at(start, 32) {
            0 => {}
            method => {
                let name = if method == 1 { "AES" } else { "LUKS" };
                return unfit(format!(
                    "it is encrypted ({name}), which Amber does not read; `qemu-img convert` makes a plain one of it"
                ));
            }
        }
        let cluster_bits = u32_at(start, 20);
        let extended_l2 = features & EXTENDED_L2 != 0;
        let least = if extended_l2 { 14 } else { 9 };
        if !(least..=21).contains(&cluster_bits) {
            return unfit(format!(
                "its header says clusters of 1 << {cluster_bits} bytes; {least} to 21 are possible"
            ));
        }
        if version == 3 && !(V3_LEN..=1 << cluster_bits).contains(&u32_at(start, 100)) {
            return unfit(format!("its header says that it has {} bytes itself", u32_at(start, 100)));
        }
        let (size, l1_offset) = (u64_at(start, 24), u64_at(start, 40));
        let compression = match start[104] {
            _ if features & COMPRESSION_TYPE == 0 => Compression::Deflate,
            0 => Compression::Deflate,
            1 => Compression::Zstd,
            other => {
                return unfit(format!(
                    "it is compressed by method {other}; Amber knows zlib (0) and zstd (1)"
                ));
            }
        };
        let header = Self {
            version,
            cluster_bits,
            size,
            l1_offset,
            backing: None,
            compression,
            extended_l2,
            snapshots: u32_at(start, 60),
            bitmaps: false,
        };
        header.check_l1(u64::from(u32_at(start, 36)))?;
        Ok(header)
    }

    fn check_l1(&self, entries: u64) -> Result<(), Fault> {
        let needed = self.l1_entries();
        if needed > entries {
            return unfit(format!("its table has {entries} entries, {} bytes need {needed}", self.size));
        }
        if needed * 8 > L1_MAX {
            return unfit(format!(
                "{} bytes in so small clusters need a table of more than 32 MiB",
                self.size
            ));
        }
        if !self.l1_offset.is_multiple_of(1 << self.cluster_bits) {
            return unfit(format!("its table lies at {:#x}, in mid-cluster", self.l1_offset));
        }
        Ok(())
    }

    /// Entries of a table of the second level.
    pub fn l2_entries(&self) -> u64 {
        (1 << self.cluster_bits) / if self.extended_l2 { 16 } else { 8 }
    }

    /// Bytes of the disk that a table of the second level stands for.
    pub fn l2_covers(&self) -> u64 {
        self.l2_entries() << self.cluster_bits
    }

    /// Entries of the table of the first level that are used.
    pub fn l1_entries(&self) -> u64 {
        self.size.div_ceil(self.l2_covers())
    }
}

fn check_features(features: u64) -> Result<(), Fault> {
    if features & CORRUPT != 0 {
        return unfit("it is marked as corrupt; `qemu-img check -r all` mends what can be mended");
    }
    if features & DIRTY != 0 {
        return unfit(
            "it is marked as dirty: who wrote it did not come to the end; `qemu-img check -r all` mends it",
        );
    }
    if features & EXTERNAL_DATA != 0 {
        return unfit(
            "its data is in another file, which Amber does not read; `qemu-img convert -O qcow2` makes one file of it",
        );
    }
    match features & !KNOWN {
        0 => Ok(()),
        unknown => unfit(format!(
            "it needs feature {} of qcow2, which Amber does not know",
            unknown.trailing_zeros()
        )),
    }
}

/// The format of the backing file, and whether there are bitmaps.
fn extensions(first: &[u8], mut at: usize) -> (Option<String>, bool) {
    let (mut format, mut bitmaps) = (None, false);
    while at + 8 <= first.len() {
        let (kind, len) = (u32_at(first, at), u32_at(first, at + 4) as usize);
        let Some(data) = first.get(at + 8..).and_then(|rest| rest.get(..len)) else { break };
        match kind {
            EXTENSION_END => break,
            EXTENSION_BACKING_FORMAT => format = Some(String::from_utf8_lossy(data).into_owned()),
            EXTENSION_BITMAPS => bitmaps = true,
            _ => {}
        }
        at += 8 + len.next_multiple_of(8);
    }
    (format, bitmaps)
}

fn backing(first: &[u8], format: Option<String>) -> Result<Option<Backing>, Fault> {
    let (at, len) = (u64_at(first, 8), u32_at(first, 16));
    if at == 0 || len == 0 {
        return Ok(None);
    }
    let name = usize::try_from(at).ok().and_then(|at| first.get(at..)?.get(..len as usize));
    let name = name.filter(|_| len <= BACKING_NAME_MAX).and_then(|name| std::str::from_utf8(name).ok());
    match name {
        Some(name) => Ok(Some(Backing { file: name.to_owned(), format })),
        None => unfit("the name of its backing file is no text in its first cluster"),
    }
}
