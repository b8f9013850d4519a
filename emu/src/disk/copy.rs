//! Writing what is on a running machine's disk to a file.

use super::{Disk, Failure};
use amber_devices::SECTOR;
use amber_snapshot::host_file::write_all_at;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Bytes moved at a time.
const CHUNK: u64 = 1 << 20;

/// Why what is on a disk cannot be written to a file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{}: cannot be written: {cause}", file.display())]
    Write { file: PathBuf, cause: std::io::Error },
    #[error("disk image {}: cannot be read: {cause}", file.display())]
    Image { file: PathBuf, cause: std::io::Error },
    #[error("{0}")]
    Overlay(String),
}

impl WriteError {
    /// The disk could not be read, whose image is `file`.
    fn of(failure: Failure, file: &Path) -> Self {
        match failure {
            Failure::Base(cause) | Failure::Through(cause) => Self::Image { file: file.to_owned(), cause },
            Failure::Overlay(why) => Self::Overlay(why),
        }
    }
}

impl Disk {
    /// Writes what is on it to a new file. Bytes of that.
    ///
    /// # Errors
    /// When it cannot be read, or the file is there already or cannot be written; what was written of it is removed.
    pub fn write_to(&self, file: &Path) -> Result<u64, WriteError> {
        let write = |cause| WriteError::Write { file: file.to_owned(), cause };
        let out = File::create_new(file).map_err(write)?;
        self.copy_to(&out, file).inspect_err(|_| {
            let _ = std::fs::remove_file(file);
        })
    }

    fn copy_to(&self, out: &File, file: &Path) -> Result<u64, WriteError> {
        let (len, mut buffer) = (self.sectors() * SECTOR, vec![0; CHUNK as usize]);
        for at in (0..len).step_by(CHUNK as usize) {
            let bytes = &mut buffer[..(len - at).min(CHUNK) as usize];
            self.read(at, bytes).map_err(|failure| WriteError::of(failure, self.base.path()))?;
            let written = write_all_at(out, bytes, at);
            written.map_err(|cause| WriteError::Write { file: file.to_owned(), cause })?;
        }
        Ok(len)
    }
}
