//! Where a file has no bytes of its own and reads as zeroes.

use std::fs::{File, Metadata};

/// How many bytes of `file`, which has `len`, lie in a hole from `at` on; 0 where the host does not tell.
#[cfg(target_os = "linux")]
pub(super) fn hole(file: &File, at: u64, len: u64) -> u64 {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;

    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data.min(len).saturating_sub(at),
        // None behind.
        Err(Errno::NXIO) => len.saturating_sub(at),
        Err(_) => 0,
    }
}

/// How many bytes of `file`, which has `len`, lie in a hole from `at` on; 0 where the host does not tell.
#[cfg(not(target_os = "linux"))]
pub(super) fn hole(_file: &File, _at: u64, _len: u64) -> u64 {
    0
}

/// Bytes of the host's disk that a file takes. `None` where the host does not tell.
#[cfg(unix)]
pub fn allocated(metadata: &Metadata) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::blocks(metadata).saturating_mul(512))
}

/// Bytes of the host's disk that a file takes. `None` where the host does not tell.
#[cfg(not(unix))]
pub fn allocated(_: &Metadata) -> Option<u64> {
    None
}
