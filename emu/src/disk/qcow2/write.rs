//! Writing a qcow2 image anew, version 3, from its first cluster to its last.

use super::{Backing, OFFSET, ZERO};
use crate::disk::format::QCOW2_MAGIC;
use amber_snapshot::host_file::write_all_at;
use std::fs::File;
use std::io;

/// A cluster that is named once alone.
const COPIED: u64 = 1 << 63;
const HEADER_LEN: u32 = 104;
/// Counts of references have 1 << 4 bits.
const REFCOUNT_ORDER: u32 = 4;
const REFCOUNT_LEN: u64 = 2;
const EXTENSION_BACKING_FORMAT: u32 = 0xE279_2ACA;

/// What a cluster holds.
#[derive(Clone, Copy, Debug)]
pub enum Cluster<'a> {
    /// These bytes: a whole cluster of them.
    Data(&'a [u8]),
    /// Zeroes, whatever the image below holds.
    Zero,
}

/// An image that is being written.
#[derive(Debug)]
pub struct Writer<'a> {
    file: &'a File,
    cluster_bits: u32,
    size: u64,
    backing: Option<Backing>,
    l1: Vec<u64>,
    /// The table of the second level that is being filled, and which it is.
    table: Option<(usize, Vec<u64>)>,
    /// Clusters of the file so far. Each is in use.
    clusters: u64,
}

fn bytes(table: &[u64]) -> Vec<u8> {
    table.iter().flat_map(|entry| entry.to_be_bytes()).collect()
}

impl<'a> Writer<'a> {
    /// An image of `size` bytes in clusters of `1 << cluster_bits`, in an empty file.
    pub fn new(file: &'a File, size: u64, cluster_bits: u32, backing: Option<Backing>) -> Self {
        let covers = (1u64 << cluster_bits) / 8 << cluster_bits;
        let l1 = vec![0; size.div_ceil(covers) as usize];
        let mut writer = Self { file, cluster_bits, size, backing, l1, table: None, clusters: 1 };
        writer.clusters += writer.clusters_of(writer.l1.len() as u64 * 8);
        writer
    }

    fn clusters_of(&self, bytes: u64) -> u64 {
        bytes.div_ceil(1 << self.cluster_bits)
    }

    /// Gives the file one more cluster.
    fn add(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.clusters << self.cluster_bits;
        self.clusters += 1;
        write_all_at(self.file, bytes, at)?;
        Ok(at)
    }

    /// Writes cluster `n` of the disk. They come in order; those that do not come show the image below, or zeroes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&mut self, n: u64, cluster: Cluster) -> io::Result<()> {
        let entries = (1u64 << self.cluster_bits) / 8;
        let table = (n / entries) as usize;
        if self.table.as_ref().is_some_and(|(filled, _)| *filled != table) {
            self.end_table()?;
        }
        let entry = match cluster {
            Cluster::Data(bytes) => self.add(bytes)? | COPIED,
            Cluster::Zero => ZERO,
        };
        let (_, filled) = self.table.get_or_insert_with(|| (table, vec![0; entries as usize]));
        filled[(n % entries) as usize] = entry;
        Ok(())
    }

    fn end_table(&mut self) -> io::Result<()> {
        if let Some((n, table)) = self.table.take() {
            self.l1[n] = self.add(&bytes(&table))? & OFFSET | COPIED;
        }
        Ok(())
    }

    /// Writes what is left. Before that the file is no image: its header comes last. Bytes of the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> io::Result<u64> {
        self.end_table()?;
        write_all_at(self.file, &bytes(&self.l1), 1 << self.cluster_bits)?;
        let (table, table_clusters) = self.count_references()?;
        // A file's last cluster may have been written in part alone.
        self.file.set_len(self.clusters << self.cluster_bits)?;
        write_all_at(self.file, &self.header(table, table_clusters), 0)?;
        Ok(self.clusters << self.cluster_bits)
    }

    /// Writes how often each cluster is named: once, those of these counts too. Where their table is, and its clusters.
    fn count_references(&mut self) -> io::Result<(u64, u32)> {
        let per_block = (1u64 << self.cluster_bits) / REFCOUNT_LEN;
        let (mut blocks, mut tables) = (0, 0);
        loop {
            let all = self.clusters + blocks + tables;
            let (want, want_tables) = (all.div_ceil(per_block), self.clusters_of(blocks * 8).max(1));
            if (want, want_tables) == (blocks, tables) {
                break;
            }
            (blocks, tables) = (want, want_tables);
        }
        let all = self.clusters + blocks + tables;
        let mut table = Vec::new();
        for block in 0..blocks {
            let used = (all - block * per_block).min(per_block);
            let mut counts = vec![0; 1 << self.cluster_bits];
            (0..used as usize).for_each(|n| counts[2 * n + 1] = 1);
            table.push(self.add(&counts)?);
        }
        let at = self.clusters << self.cluster_bits;
        write_all_at(self.file, &bytes(&table), at)?;
        self.clusters += tables;
        Ok((at, tables as u32))
    }

    fn header(&self, refcounts: u64, refcount_clusters: u32) -> Vec<u8> {
        let mut extensions = Vec::new();
        if let Some(format) = self.backing.as_ref().and_then(|backing| backing.format.as_ref()) {
            extensions.extend(EXTENSION_BACKING_FORMAT.to_be_bytes());
            extensions.extend((format.len() as u32).to_be_bytes());
            extensions.extend(format.as_bytes());
            extensions.resize(extensions.len().next_multiple_of(8), 0);
        }
        extensions.extend([0; 8]);
        let name = self.backing.as_ref().map_or("", |backing| &backing.file);
        let name_at = if name.is_empty() { 0 } else { u64::from(HEADER_LEN) + extensions.len() as u64 };
        let mut header = QCOW2_MAGIC.to_vec();
        header.extend(3u32.to_be_bytes());
        header.extend(name_at.to_be_bytes());
        header.extend((name.len() as u32).to_be_bytes());
        header.extend(self.cluster_bits.to_be_bytes());
        header.extend(self.size.to_be_bytes());
        header.extend(0u32.to_be_bytes());
        header.extend((self.l1.len() as u32).to_be_bytes());
        header.extend((1u64 << self.cluster_bits).to_be_bytes());
        header.extend(refcounts.to_be_bytes());
        header.extend(refcount_clusters.to_be_bytes());
        // No snapshots; features: none that must be known, may be known, or is lost by writing.
        header.resize(96, 0);
        header.extend(REFCOUNT_ORDER.to_be_bytes());
        header.extend(HEADER_LEN.to_be_bytes());
        header.extend(extensions);
        header.extend(name.as_bytes());
        header
    }
}
