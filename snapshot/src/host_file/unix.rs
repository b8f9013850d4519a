//! Files on Unix.

use std::fs::{File, FileType, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, PermissionsExt};
use std::path::Path;
use tempfile::NamedTempFile;

/// Fills `into` with what lies from byte `at` on. Several threads may read at once.
///
/// # Errors
/// When the file cannot be read or ends before.
pub fn read_exact_at(file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
    file.read_exact_at(into, at)
}

/// Writes all of `bytes` from byte `at` on. Several threads may write at once.
///
/// # Errors
/// When the file cannot be written.
pub fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}

/// A new file in `folder`, removed unless it is moved to its place. What others may do with it is the umask's to say,
/// as with any file a program makes.
///
/// # Errors
/// When it cannot be made.
pub fn new_in(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    let ordinary = Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(prefix).permissions(ordinary).tempfile_in(folder)
}

/// Returns when the names in `folder` are on the disk.
///
/// # Errors
/// When the folder cannot be read or the disk not be written.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether it is a device, which may have no end.
pub fn is_device(kind: FileType) -> bool {
    kind.is_char_device() || kind.is_block_device()
}
