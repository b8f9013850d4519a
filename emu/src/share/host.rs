//! What each host knows of files in its own way.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{attributes, bytes, identity, name, set, symlink};
#[cfg(windows)]
pub use windows::{attributes, bytes, identity, name, set, symlink};

use amber_devices::share::FileTime;
use std::fs::File;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

/// Sets when a file was last written. Times a host cannot have are left out.
fn set_modified(file: &File, time: FileTime) -> io::Result<()> {
    let since = Duration::new(time.seconds.unsigned_abs(), 0);
    let second = if time.seconds < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
    match second.and_then(|second| second.checked_add(Duration::from_nanos(time.nanoseconds.into()))) {
        Some(time) => file.set_modified(time),
        None => Ok(()),
    }
}
