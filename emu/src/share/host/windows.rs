//! Files of a Windows host, which knows less of them.

use amber_devices::share::{Attributes, FileTime, S_IFDIR, S_IFLNK, S_IFREG};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

pub fn bytes(name: &OsStr) -> Vec<u8> {
    name.to_string_lossy().into_owned().into_bytes()
}

pub fn name(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

pub fn attributes(known: &Metadata) -> Attributes {
    let kind = match () {
        () if known.is_dir() => S_IFDIR | 0o755,
        () if known.is_symlink() => S_IFLNK | 0o777,
        () => S_IFREG | 0o644,
    };
    let mode = if known.permissions().readonly() { kind & !0o222 } else { kind };
    let since =
        known.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let time = FileTime { seconds: since.as_secs() as i64, nanoseconds: since.subsec_nanos() };
    Attributes { mode, uid: 0, gid: 0, device: 0, time }
}

pub fn identity(_known: &Metadata) -> Option<(u64, u64)> {
    None
}

pub fn symlink(_target: &[u8], _path: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "symbolic links are not made on Windows"))
}

pub fn set(path: &Path, mode: u32, modified: FileTime) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    super::set_modified(&File::options().write(true).open(path)?, modified)?;
    let mut permissions = path.metadata()?.permissions();
    permissions.set_readonly(mode & 0o222 == 0);
    std::fs::set_permissions(path, permissions)
}
