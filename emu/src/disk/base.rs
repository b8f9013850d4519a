//! A disk's base image: a raw file, opened to read and never written, known by its length and blake3.

use super::identity;
use amber_snapshot::BaseImage;
use amber_snapshot::host_file::read_exact_at;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longest image, in bytes.
pub const MAX_LEN: u64 = 4 << 40;

/// What is wrong with a disk's image.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("disk image {}: cannot be read: {cause}", file.display())]
    Read { file: PathBuf, cause: std::io::Error },
    #[error("disk image {}: {why}", file.display())]
    Unfit { file: PathBuf, why: String },
    #[error(
        "disk image {}, which {name} of the snapshot is based on, cannot be read: {cause}; say where it is now \
         with --disk",
        file.display()
    )]
    Missing { file: PathBuf, name: String, cause: std::io::Error },
    #[error(
        "disk image {} is not the one {name} of the snapshot is based on: {why}; say where that is with --disk",
        file.display()
    )]
    Another { file: PathBuf, name: String, why: String },
}

/// A base image.
#[derive(Debug)]
pub struct Base {
    file: File,
    path: PathBuf,
    len: u64,
    hash: [u8; 32],
    /// An error was told.
    told: AtomicBool,
}

impl Base {
    /// Opens an image. Its hash is computed unless the user's cache knows it for a file unchanged since.
    ///
    /// # Errors
    /// Names the file, which cannot be read, is empty, too large, or no plain file.
    pub fn open(path: &Path) -> Result<Arc<Self>, DiskError> {
        let read = |cause| DiskError::Read { file: path.to_owned(), cause };
        let unfit = |why: &str| Err(DiskError::Unfit { file: path.to_owned(), why: why.to_owned() });
        // To open a pipe would wait for somebody to write it.
        if !std::fs::metadata(path).map_err(read)?.is_file() {
            return unfit("it is no plain file");
        }
        let file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        match metadata.len() {
            0 => return unfit("it is empty; a disk needs at least one sector, e.g. truncate -s 1G FILE"),
            len if len > MAX_LEN => return unfit("it is larger than 4 TiB"),
            _ => {}
        }
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let hash = identity::hash(&path, &file, &metadata).map_err(read)?;
        Ok(Arc::new(Self { file, path, len: metadata.len(), hash, told: AtomicBool::new(false) }))
    }

    /// Opens the image that disk `name` of a snapshot is based on: `now`, if it is elsewhere now.
    ///
    /// # Errors
    /// Names the file, which is not there or is another one.
    pub fn of_snapshot(image: &BaseImage, now: Option<&Path>, name: &str) -> Result<Arc<Self>, DiskError> {
        let file = now.unwrap_or(Path::new(&image.path));
        let base = match Self::open(file) {
            Ok(base) => base,
            Err(DiskError::Read { file, cause }) => {
                return Err(DiskError::Missing { file, name: name.to_owned(), cause });
            }
            Err(other) => return Err(other),
        };
        let why = if base.len != image.len {
            format!("it has {} bytes, that one {}", base.len, image.len)
        } else if base.hash != image.hash {
            "its contents have changed".to_owned()
        } else {
            return Ok(base);
        };
        Err(DiskError::Another { file: file.to_owned(), name: name.to_owned(), why })
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none, which there always are.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// blake3 over its bytes.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// What a snapshot says of it.
    pub fn image(&self) -> BaseImage {
        BaseImage { path: self.path.display().to_string(), len: self.len, hash: self.hash }
    }

    /// Reads from byte `at` on; zeroes behind the end.
    pub(super) fn read(&self, at: u64, into: &mut [u8]) -> std::io::Result<()> {
        let there = (self.len.saturating_sub(at)).min(into.len() as u64) as usize;
        let (bytes, beyond) = into.split_at_mut(there);
        beyond.fill(0);
        read_exact_at(&self.file, bytes, at)
    }

    /// Tells once that it cannot be read: the guest may ask again and again.
    pub fn tell(&self, error: &std::io::Error) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!(target: "disk", "{}: cannot be read: {error}; the guest sees errors", self.path.display());
        }
    }
}
