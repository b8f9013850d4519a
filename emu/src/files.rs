//! Reading files that a user names, within bounds.

use amber_snapshot::host_file::is_device;
use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

/// Most bytes of a file that people write: `MACHINE.toml`, `test.toml`.
pub const TEXT_MAX: u64 = 1 << 20;

/// A file's bytes, `limit` at most: a file may turn out to be longer than its directory entry says, and a device never
/// ends. Pipes can be read.
///
/// # Errors
/// When it cannot be read, is a device, or is longer.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut file = File::open(path)?;
    if is_device(file.metadata()?.file_type()) {
        return Err(Error::new(ErrorKind::InvalidInput, "it is a device, not a file"));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// The text of a file of at most [`TEXT_MAX`] bytes.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read(path, TEXT_MAX)?)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_refused() {
        assert!(read(Path::new("/dev/zero"), 100).unwrap_err().to_string().contains("device"));
        let own = std::env::current_exe().unwrap();
        assert_eq!(read(&own, 100).unwrap_err().kind(), ErrorKind::FileTooLarge);
        // Files of /proc have length 0 until they are read.
        assert!(read(Path::new("/proc/self/maps"), 10).is_err());
        assert!(!read_text(Path::new("/proc/self/status")).unwrap().is_empty());
    }
}
