//! Hashes of base images: of what the guest sees, in whatever format that is kept. A large one takes seconds, so what was
//! computed is kept in the user's cache directory, beside what tells whether a file has been touched since: device, inode,
//! length, times of modification and change.

use super::format::Format;
use super::image::{Image, Layer};
use crate::progress;
use serde::{Deserialize, Serialize};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file touched less than this ago may be touched again without its times telling.
const SETTLED: Duration = Duration::from_secs(2);
const CHUNK: usize = 1 << 20;

/// What tells whether a file was touched.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Touched {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What is known of an image.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    top: Touched,
    hash: [u8; 32],
    /// The files it lies over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    below: Vec<Touched>,
}

impl Touched {
    #[cfg(unix)]
    fn new(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Nothing: the standard library tells neither inode nor time of change there, and the time of modification can be
    /// set back.
    #[cfg(windows)]
    fn new(_: &Metadata) -> Option<Self> {
        None
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let touched = self.modified.0.max(self.changed.0);
        let touched = UNIX_EPOCH + Duration::from_secs(u64::try_from(touched).unwrap_or(u64::MAX >> 8));
        now.duration_since(touched).is_ok_and(|age| age > SETTLED)
    }
}

impl Known {
    /// What is to be kept of `image`. `None` where the host does not tell enough.
    fn new(image: &Image, hash: [u8; 32]) -> io::Result<Option<Self>> {
        let touched = |layer: &Layer| layer.file().metadata().map(|metadata| Touched::new(&metadata));
        let files: Option<Vec<_>> = image.layers().iter().map(touched).collect::<io::Result<_>>()?;
        Ok(files.and_then(|files| {
            let mut files = files.into_iter();
            Some(Self { top: files.next()?, hash, below: files.collect() })
        }))
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        self.below.iter().chain([&self.top]).all(|file| file.is_settled(now))
    }
}

/// blake3 over the bytes the guest sees of `image`, which is at `path`.
pub(super) fn hash(path: &Path, image: &Image) -> io::Result<[u8; 32]> {
    let place = folder().map(|folder| place(&folder, path, image.top().format()));
    cached(path, place.as_deref(), image, SystemTime::now())
}

fn cached(path: &Path, place: Option<&Path>, image: &Image, now: SystemTime) -> io::Result<[u8; 32]> {
    let known = place.and_then(|place| fs::read(place).ok());
    let known = known.and_then(|text| serde_json::from_slice::<Known>(&text).ok());
    if let Some(known) = known
        && Known::new(image, known.hash)?.is_some_and(|now| now == known)
    {
        return Ok(known.hash);
    }
    // As it is before it is read: what touches it meanwhile tells the next time.
    let before = Known::new(image, [0; 32])?;
    let hash = compute(path, image)?;
    if let Some(place) = place
        && let Some(known) = before.map(|before| Known { hash, ..before })
        && known.is_settled(now)
    {
        // A cache that cannot be written is none.
        let _ = keep(place, &known);
    }
    Ok(hash)
}

fn compute(path: &Path, image: &Image) -> io::Result<[u8; 32]> {
    static ZEROES: [u8; CHUNK] = [0; CHUNK];
    let (mut hasher, mut chunk) = (blake3::Hasher::new(), vec![0; CHUNK]);
    let bar = progress::bytes(&format!("hashing {}, once", path.display()), image.size());
    let (mut at, mut hole) = (0, 0);
    while at < image.size() {
        if hole <= at {
            hole = at + image.zeroes(at, image.size() - at)?;
        }
        let zeroes = hole > at;
        let len = (if zeroes { hole } else { image.size() } - at).min(CHUNK as u64) as usize;
        if !zeroes {
            image.read(at, &mut chunk[..len])?;
        }
        hasher.update(if zeroes { &ZEROES[..len] } else { &chunk[..len] });
        at += len as u64;
        bar.inc(len as u64);
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

fn place(folder: &Path, path: &Path, format: Format) -> PathBuf {
    let name = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    let format = if format == Format::Raw { String::new() } else { format!("-{format}") };
    folder.join(format!("{}{format}.json", &name[..32]))
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
    use crate::disk::lock::Hold;

    #[test]
    fn a_hash_is_kept_until_the_file_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (image, place) = (dir.path().join("disk.img"), dir.path().join("cache/known.json"));
        fs::write(&image, b"one").unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        let hash = |now| {
            let opened = Image::open(&image, None, Hold::Read).unwrap();
            cached(&image, Some(&place), &opened, now).unwrap()
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
