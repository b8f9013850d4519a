//! Writing a snapshot's disk back into its image.
//!
//! The new image is written whole beside the old one, brought to the host's disk, and then takes its name in one step. So
//! whenever that is cut off there is the old image or the new one, and nothing in between.

use super::base::{Base, DiskError};
use super::export::{self, ExportError};
use super::format::{Format, LOOKED_AT};
use super::merged::{Merged, Progress};
use super::qcow2::{Cluster, Mapping, Qcow2, Writer};
use amber_snapshot::host_file::{new_in, sync_folder};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;

/// Why a disk cannot be written back.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("disk image {}: {error}", file.display())]
    Export { file: PathBuf, error: ExportError },
    #[error(transparent)]
    Image(#[from] DiskError),
    #[error("disk image {}: {why}", file.display())]
    Unfit { file: PathBuf, why: String },
    #[error("disk image {}: the old one cannot be kept as {}: {cause}", file.display(), keep.display())]
    Keep { file: PathBuf, keep: PathBuf, cause: io::Error },
}

/// A new image that lies beside the old one, whole and on the host's disk.
pub struct Prepared {
    new: NamedTempFile,
    /// Where the old one is, whatever links lead there.
    place: PathBuf,
    format: Format,
}

impl Prepared {
    /// Writes the image that holds what `disk` does. The disk's image is open to be replaced.
    ///
    /// # Errors
    /// When it cannot be written, or the image has what would be lost.
    pub fn new(disk: &Merged, progress: Progress) -> Result<Self, CommitError> {
        let top = disk.base().chain().top();
        let file = || top.path().to_owned();
        let failed = |error| CommitError::Export { file: file(), error };
        let written = |cause| failed(ExportError::Write(cause));
        let place = fs::canonicalize(top.path()).map_err(written)?;
        let unfit = |why: &str| Err(CommitError::Unfit { file: file(), why: why.to_owned() });
        match top.qcow2().map(Qcow2::header) {
            None if changes_looks(disk).map_err(failed)? => {
                return unfit(
                    "the guest wrote what would make the image look like one in another format; `amber disk export` \
                     writes a new one",
                );
            }
            Some(header) if header.snapshots > 0 || header.bitmaps => {
                return unfit(
                    "it holds snapshots or bitmaps of its own, which would be lost; use `amber disk export`",
                );
            }
            _ => {}
        }
        let new = new_in(place.parent().unwrap_or(Path::new(".")), ".amber-").map_err(written)?;
        match top.qcow2() {
            None => export::to_raw(disk, new.as_file(), progress),
            Some(qcow2) => rewrite(disk, qcow2, new.as_file(), progress),
        }
        .map_err(failed)?;
        owned_alike(top.file(), new.as_file()).and_then(|()| new.as_file().sync_all()).map_err(written)?;
        Ok(Self { new, place, format: top.format() })
    }

    /// The new image, as it will be when it is in its place.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn base(&self, disk: &Merged) -> Result<Arc<Base>, CommitError> {
        Ok(Base::open_to_move(self.new.path(), self.format, disk.base().path())?)
    }

    /// Puts it in its place; the old one keeps the name `keep`, if any.
    ///
    /// # Errors
    /// When that cannot be done; the old image is there then.
    pub fn install(self, keep: Option<&Path>) -> Result<(), CommitError> {
        let Self { new, place, .. } = self;
        if let Some(keep) = keep {
            let failed = |cause| CommitError::Keep { file: place.clone(), keep: keep.to_owned(), cause };
            fs::hard_link(&place, keep).map_err(failed)?;
            let folder = keep.parent().filter(|folder| !folder.as_os_str().is_empty());
            sync_folder(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        }
        let failed = |cause| CommitError::Export { file: place.clone(), error: ExportError::Write(cause) };
        new.persist(&place).map_err(|e| failed(e.error))?;
        sync_folder(place.parent().unwrap_or(Path::new("."))).map_err(failed)
    }
}

/// Whether a raw image would be taken for one in another format than before.
fn changes_looks(disk: &Merged) -> Result<bool, ExportError> {
    let (mut before, mut after) = ([0; LOOKED_AT], [0; LOOKED_AT]);
    let failed = |cause| ExportError::Image { file: disk.base().path().to_owned(), cause };
    disk.base().read(0, &mut before).map_err(failed)?;
    disk.read(0, &mut after)?;
    Ok(Format::of(&before) != Format::of(&after))
}

/// Writes the top file of a chain anew: what it has itself, and what was written over it.
fn rewrite(disk: &Merged, qcow2: &Qcow2, out: &File, progress: Progress) -> Result<u64, ExportError> {
    let header = qcow2.header();
    let size = 1u64 << header.cluster_bits;
    let failed = |cause| ExportError::Image { file: disk.base().path().to_owned(), cause };
    let mut writer = Writer::new(out, disk.len(), header.cluster_bits, header.backing.clone());
    let mut cluster = vec![0; size as usize];
    for n in 0..disk.len().div_ceil(size) {
        let at = n * size;
        progress(at, disk.len());
        let written = disk.is_written(at, size);
        let own = own(qcow2, at, size).map_err(failed)?;
        match own {
            Own::Nothing if !written => continue,
            Own::Zeroes if !written => writer.put(n, Cluster::Zero)?,
            _ => {
                read_cluster(disk, at, &mut cluster)?;
                let zeroes = cluster.iter().all(|byte| *byte == 0);
                writer.put(n, if zeroes { Cluster::Zero } else { Cluster::Data(&cluster) })?;
            }
        }
    }
    progress(disk.len(), disk.len());
    Ok(writer.finish()?)
}

/// Clusters may be smaller than blocks.
fn read_cluster(disk: &Merged, at: u64, cluster: &mut [u8]) -> Result<(), ExportError> {
    let within = (at % super::BLOCK) as usize;
    if within == 0 {
        return disk.read(at, cluster);
    }
    let mut block = vec![0; within + cluster.len()];
    disk.read(at - within as u64, &mut block)?;
    cluster.copy_from_slice(&block[within..]);
    Ok(())
}

/// What an image has of a cluster, itself.
enum Own {
    Nothing,
    Zeroes,
    Data,
}

fn own(qcow2: &Qcow2, at: u64, size: u64) -> io::Result<Own> {
    let (mut done, mut zeroes, mut below) = (0, true, true);
    while done < size {
        let (mapping, run) = qcow2.map(at + done)?;
        zeroes &= mapping == Mapping::Zero;
        below &= mapping == Mapping::Below;
        done += run;
    }
    Ok(match (below, zeroes) {
        (true, _) => Own::Nothing,
        (_, true) => Own::Zeroes,
        _ => Own::Data,
    })
}

/// Gives the new file the owner and the permissions of the old one. To whom it belongs is root's to say.
fn owned_alike(old: &File, new: &File) -> io::Result<()> {
    let metadata = old.metadata()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let _ = fchown(new, Some(metadata.uid()), Some(metadata.gid()));
    }
    new.set_permissions(metadata.permissions())
}
