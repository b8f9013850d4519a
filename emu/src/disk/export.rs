//! Writing a snapshot's disk to a file: whole, with its image.

use super::merged::{Merged, Progress};
use super::qcow2::{Cluster, Writer};
use amber_snapshot::StoreError;
use amber_snapshot::host_file::write_all_at;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// qemu-img's size of a cluster.
const CLUSTER_BITS: u32 = 16;
/// Zeroes are left out of a raw image in pieces of this.
const PIECE: u64 = 64 << 10;

/// Why a disk cannot be written to a file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("disk image {}: cannot be read: {cause}", file.display())]
    Image { file: PathBuf, cause: io::Error },
    #[error("cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes the disk's bytes to an empty file, which has holes where they are zeroes. Bytes of the file.
///
/// # Errors
/// When the disk cannot be read or the file not be written.
pub fn to_raw(disk: &Merged, out: &File, progress: Progress) -> Result<u64, ExportError> {
    out.set_len(disk.len())?;
    disk.pieces(PIECE, progress, |at, bytes| Ok(write_all_at(out, bytes, at)?))?;
    Ok(disk.len())
}

/// Writes the disk as a qcow2 image to an empty file. Bytes of the file.
///
/// # Errors
/// When the disk cannot be read or the file not be written.
pub fn to_qcow2(disk: &Merged, out: &File, progress: Progress) -> Result<u64, ExportError> {
    let mut writer = Writer::new(out, disk.len(), CLUSTER_BITS, None);
    disk.pieces(1 << CLUSTER_BITS, progress, |at, bytes| {
        Ok(writer.put(at >> CLUSTER_BITS, Cluster::Data(bytes))?)
    })?;
    Ok(writer.finish()?)
}
