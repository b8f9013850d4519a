//! Files on Windows: the functions of `unix.rs`.

use std::fs::{File, FileType};
use std::io::{self, ErrorKind};
use std::os::windows::fs::FileExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// Fills `into` with what lies from byte `at` on. Several threads may read at once.
///
/// # Errors
/// When the file cannot be read or ends before.
pub fn read_exact_at(file: &File, mut into: &mut [u8], mut at: u64) -> io::Result<()> {
    while !into.is_empty() {
        match file.seek_read(into, at)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            len => {
                into = &mut into[len..];
                at += len as u64;
            }
        }
    }
    Ok(())
}

/// Writes all of `bytes` from byte `at` on. Several threads may write at once.
///
/// # Errors
/// When the file cannot be written.
pub fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_write(bytes, at)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            len => {
                bytes = &bytes[len..];
                at += len as u64;
            }
        }
    }
    Ok(())
}

/// A new file in `folder`, removed unless it is moved to its place. What others may do with it is the folder's to say.
///
/// # Errors
/// When it cannot be made.
pub fn new_in(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(prefix).tempfile_in(folder)
}

/// Nothing: a folder cannot be flushed there. NTFS keeps its names in a journal.
///
/// # Errors
/// None.
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Nothing tells: devices are opened under names of their own, e.g. `NUL`.
pub fn is_device(_: FileType) -> bool {
    false
}
