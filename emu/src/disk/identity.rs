//! Hashes of base images. A large one takes seconds, so what was computed is kept in the user's cache directory, beside
//! what tells whether the file has been touched since: device, inode, length, times of modification and change.

use crate::progress;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file touched less than this ago may be touched again without its times telling.
const SETTLED: Duration = Duration::from_secs(2);
const CHUNK: usize = 1 << 20;

/// What is known of a file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    hash: [u8; 32],
}

impl Known {
    #[cfg(unix)]
    fn new(metadata: &Metadata, hash: [u8; 32]) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            hash,
        })
    }

    /// Nothing: the standard library tells neither inode nor time of change there, and the time of modification can be
    /// set back.
    #[cfg(windows)]
    fn new(_: &Metadata, _: [u8; 32]) -> Option<Self> {
        None
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let touched = self.modified.0.max(self.changed.0);
        let touched = UNIX_EPOCH + Duration::from_secs(u64::try_from(touched).unwrap_or(u64::MAX >> 8));
        now.duration_since(touched).is_ok_and(|age| age > SETTLED)
    }
}

/// blake3 over the bytes of `file`, which is at `path`.
pub(super) fn hash(path: &Path, file: &File, metadata: &Metadata) -> io::Result<[u8; 32]> {
    let place = folder().map(|folder| place(&folder, path));
    cached(path, place.as_deref(), file, metadata, SystemTime::now())
}

fn cached(
    path: &Path,
    place: Option<&Path>,
    file: &File,
    metadata: &Metadata,
    now: SystemTime,
) -> io::Result<[u8; 32]> {
    let known = place.and_then(|place| fs::read(place).ok());
    let known = known.and_then(|text| serde_json::from_slice::<Known>(&text).ok());
    if let Some(known) = known
        && Known::new(metadata, known.hash).is_some_and(|now| now == known)
    {
        return Ok(known.hash);
    }
    let hash = compute(path, file, metadata.len())?;
    if let Some(place) = place
        && let Some(known) = Known::new(metadata, hash)
        && known.is_settled(now)
    {
        // A cache that cannot be written is none.
        let _ = keep(place, &known);
    }
    Ok(hash)
}

fn compute(path: &Path, mut file: &File, len: u64) -> io::Result<[u8; 32]> {
    let (mut hasher, mut chunk) = (blake3::Hasher::new(), vec![0; CHUNK]);
    let bar = progress::bytes(&format!("hashing {}, once", path.display()), len);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            len => {
                hasher.update(&chunk[..len]);
                bar.inc(len as u64);
            }
        };
    }
    bar.finish_and_clear();
    Ok(*hasher.finalize().as_bytes())
}

fn keep(place: &Path, known: &Known) -> io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let file = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(file.path(), serde_json::to_vec(known)?)?;
    file.persist(place)?;
    Ok(())
}

fn place(folder: &Path, path: &Path) -> PathBuf {
    let name = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    folder.join(format!("{}.json", &name[..32]))
}

/// `amber/disks` in the user's cache directory.
fn folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("amber/disks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_kept_until_the_file_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (image, place) = (dir.path().join("disk.img"), dir.path().join("cache/known.json"));
        fs::write(&image, b"one").unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        let hash = |now| {
            let file = File::open(&image).unwrap();
            cached(&image, Some(&place), &file, &file.metadata().unwrap(), now).unwrap()
        };
        let one = *blake3::hash(b"one").as_bytes();
        assert_eq!(hash(SystemTime::now()), one);
        assert!(!place.exists(), "too fresh to tell a change by its times");
        assert_eq!(hash(later), one);
        let mut known: Known = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
        known.hash = [7; 32];
        fs::write(&place, serde_json::to_vec(&known).unwrap()).unwrap();
        assert_eq!(hash(later), [7; 32], "it is not computed again");
        fs::write(&image, b"two!").unwrap();
        assert_eq!(hash(later), *blake3::hash(b"two!").as_bytes());
        fs::write(&place, b"nonsense").unwrap();
        assert_eq!(hash(later), *blake3::hash(b"two!").as_bytes());
    }
}
