//! Unix sockets. Windows has them as well, but its standard library does not.

#[cfg(unix)]
pub use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
#[cfg(windows)]
pub use uds_windows::{UnixListener, UnixStream};

/// Whether a socket is there, and no other file.
#[cfg(unix)]
pub fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.symlink_metadata().is_ok_and(|there| there.file_type().is_socket())
}

/// Whether a socket is there, and no other file: Windows has them as reparse points without contents.
#[cfg(windows)]
pub fn is_socket(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|there| !there.is_dir() && there.len() == 0)
}
