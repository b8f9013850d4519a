//! Reading qcow2 images (QEMU's docs/interop/qcow2.txt).

mod compressed;
mod header;
mod write;

pub use header::{Backing, Compression, Fault, Header};
pub use write::{Cluster, Writer};

use super::recent::Recent;
use amber_snapshot::host_file::read_exact_at;
use std::fs::File;
use std::io::{self, Error, ErrorKind};
use std::sync::Arc;

const OFFSET: u64 = 0x00FF_FFFF_FFFF_FE00;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1 << 0;
/// Parts of a cluster where the tables say so.
const PARTS: u64 = 32;
/// Most bytes of tables, and of unpacked clusters, that are kept.
const TABLES_KEPT: usize = 8 << 20;
const CLUSTERS_KEPT: usize = 4 << 20;

/// Where bytes of the disk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// In the file, from this offset on.
    Data(u64),
    /// In a compressed cluster, which this entry of a table describes.
    Compressed(u64),
    /// They are zeroes.
    Zero,
    /// In the image below.
    Below,
}

/// A qcow2 file.
#[derive(Debug)]
pub struct Qcow2 {
    file: File,
    file_len: u64,
    header: Header,
    /// The table of the first level.
    l1: Vec<u64>,
    tables: Recent<Vec<u8>>,
    clusters: Recent<Vec<u8>>,
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

fn entry(table: &[u8], n: usize) -> u64 {
    table.get(n * 8..n * 8 + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes)
}

impl Qcow2 {
    /// Opens the image in `file`, which has `file_len` bytes.
    ///
    /// # Errors
    /// When it cannot be read, or asks for what Amber does not do.
    pub fn open(file: File, file_len: u64) -> Result<Self, Fault> {
        let header = Header::read(&file, file_len)?;
        let len = header.l1_entries() * 8;
        if header.l1_offset.checked_add(len).is_none_or(|end| end > file_len) {
            return Err(Fault::Unfit("it was cut short: its table lies behind its end".to_owned()));
        }
        let mut bytes = vec![0; len as usize];
        read_exact_at(&file, &mut bytes, header.l1_offset)?;
        let l1 = (0..bytes.len() / 8).map(|n| entry(&bytes, n)).collect();
        let cluster = 1 << header.cluster_bits;
        let (tables, clusters) = (Recent::new(TABLES_KEPT / cluster), Recent::new(CLUSTERS_KEPT / cluster));
        Ok(Self { file, file_len, header, l1, tables, clusters })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the bytes from `at` on are, and of how many that is said.
    ///
    /// # Errors
    /// When a table cannot be read, or says what cannot be.
    pub fn map(&self, at: u64) -> io::Result<(Mapping, u64)> {
        let Header { cluster_bits, extended_l2, .. } = self.header;
        let covers = self.header.l2_covers();
        let table = self.l1.get((at / covers) as usize).map_or(0, |entry| entry & OFFSET);
        if table == 0 {
            return Ok((Mapping::Below, covers - at % covers));
        }
        let table = self.table(table)?;
        let (n, within) = ((at % covers) >> cluster_bits, at & ((1 << cluster_bits) - 1));
        let rest = (1 << cluster_bits) - within;
        if !extended_l2 {
            return Ok((self.standard(entry(&table, n as usize), within)?, rest));
        }
        let (entry, parts) = (entry(&table, 2 * n as usize), entry(&table, 2 * n as usize + 1));
        if entry & COMPRESSED != 0 {
            return Ok((Mapping::Compressed(entry), rest));
        }
        let part = (1 << cluster_bits) / PARTS;
        Ok((self.part(entry, parts, within / part, within)?, part - within % part))
    }

    fn table(&self, at: u64) -> io::Result<Arc<Vec<u8>>> {
        let cluster = 1 << self.header.cluster_bits;
        if !at.is_multiple_of(cluster) {
            return Err(invalid(format!("a table is said to lie at {at:#x}, where none can")));
        }
        if at.checked_add(cluster).is_none_or(|end| end > self.file_len) {
            return Err(invalid(format!("it was cut short: a table lies behind its end, at {at:#x}")));
        }
        self.tables.get(at, || {
            let mut table = vec![0; cluster as usize];
            read_exact_at(&self.file, &mut table, at).map(|()| table)
        })
    }

    fn standard(&self, entry: u64, within: u64) -> io::Result<Mapping> {
        Ok(match entry & OFFSET {
            _ if entry & COMPRESSED != 0 => Mapping::Compressed(entry),
            _ if entry & ZERO != 0 && self.header.version >= 3 => Mapping::Zero,
            0 => Mapping::Below,
            at => Mapping::Data(self.data(at)? + within),
        })
    }

    /// Part `part` of a cluster, by its bits: one of two says it is there, the other that it is zeroes.
    fn part(&self, entry: u64, parts: u64, part: u64, within: u64) -> io::Result<Mapping> {
        let (there, zero) = (parts >> part & 1 != 0, parts >> (PARTS + part) & 1 != 0);
        match (there, zero, entry & OFFSET) {
            (false, false, _) => Ok(Mapping::Below),
            (false, true, _) => Ok(Mapping::Zero),
            (true, false, at) if at != 0 => Ok(Mapping::Data(self.data(at)? + within)),
            _ => Err(invalid(format!("the entry {entry:#x} of a table contradicts its parts {parts:#x}"))),
        }
    }

    fn data(&self, at: u64) -> io::Result<u64> {
        if at.is_multiple_of(1 << self.header.cluster_bits) {
            return Ok(at);
        }
        Err(invalid(format!("a cluster is said to lie at {at:#x}, where none can")))
    }

    /// Reads a part of a compressed cluster from the disk's byte `at` on.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn unpack(&self, entry: u64, at: u64, into: &mut [u8]) -> io::Result<()> {
        let make = || compressed::cluster(&self.header, &self.file, self.file_len, entry);
        let cluster = self.clusters.get(entry, make)?;
        let from = (at & ((1 << self.header.cluster_bits) - 1)) as usize;
        into.copy_from_slice(&cluster[from..from + into.len()]);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
