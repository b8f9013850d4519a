//! Files of a Unix host.

use amber_devices::share::{Attributes, FileTime};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

pub fn bytes(name: &OsStr) -> Vec<u8> {
    name.as_bytes().to_vec()
}

pub fn name(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

pub fn attributes(known: &Metadata) -> Attributes {
    Attributes {
        mode: known.mode(),
        uid: known.uid(),
        gid: known.gid(),
        device: known.rdev(),
        time: time(known.mtime(), known.mtime_nsec()),
    }
}

/// What a file with several names is known by.
pub fn identity(known: &Metadata) -> Option<(u64, u64)> {
    (known.nlink() > 1).then(|| (known.dev(), known.ino()))
}

pub fn symlink(target: &[u8], path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(name(target), path)
}

/// Permissions, without those that lend a user's rights, and the time of the last write.
pub fn set(path: &Path, mode: u32, modified: FileTime) -> io::Result<()> {
    let file = File::open(path)?;
    file.set_permissions(Permissions::from_mode(mode & 0o777))?;
    super::set_modified(&file, modified)
}

/// The time a file of the host was last written, from seconds and nanoseconds since 1970.
fn time(seconds: i64, nanoseconds: i64) -> FileTime {
    FileTime { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0).min(999_999_999) }
}
