//! A disk's base image: a file, or a chain of them, known by the length and blake3 of what the guest sees of it. It is
//! opened to read and never written, unless asked for.

use super::format::{Format, LOOKED_AT};
use super::identity;
use super::image::Image;
use super::lock::Hold;
use amber_snapshot::BaseImage;
use amber_snapshot::host_file::write_all_at;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longest image, in bytes.
pub const MAX_LEN: u64 = 4 << 40;

/// What is wrong with a disk's image.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("disk image {}: cannot be read: {cause}", file.display())]
    Read { file: PathBuf, cause: std::io::Error },
    #[error("disk image {}: cannot be written: {cause}", file.display())]
    Write { file: PathBuf, cause: std::io::Error },
    #[error("disk image {}: {why}", file.display())]
    Unfit { file: PathBuf, why: String },
    #[error("{}; {} lies over it", error, file.display())]
    Below { file: PathBuf, error: Box<DiskError> },
    #[error("disk image {}: {}", file.display(), in_use(*hold))]
    Locked { file: PathBuf, hold: Hold },
    #[error(
        "disk image {}, which {name} of the snapshot is based on, cannot be read: {cause}; say where it is now \
         with --disk, or --image of `amber disk`",
        file.display()
    )]
    Missing { file: PathBuf, name: String, cause: std::io::Error },
    #[error(
        "disk image {} is not the one {name} of the snapshot is based on: {why}; say where that is with --disk, or \
         --image of `amber disk`",
        file.display()
    )]
    Another { file: PathBuf, name: String, why: String },
}

/// Whether a file would be taken as raw, had nobody said what it is.
fn looks_raw(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LOOKED_AT as u64).read_to_end(&mut start));
    read.is_ok() && Format::of(&start) == Ok(Format::Raw)
}

fn in_use(hold: Hold) -> &'static str {
    match hold {
        Hold::Read => {
            "another program may write it, such as a virtual machine; end that first, or use a copy"
        }
        Hold::Write => "another program uses it, such as a virtual machine; end that first, or use a copy",
    }
}

/// What an image is opened for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To read it.
    #[default]
    Read,
    /// To have the guest's writes go to it, too.
    WriteThrough,
    /// To put another file in its place.
    Replace,
}

/// How an image is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// What its bytes are in; without it, what they look like.
    pub format: Option<Format>,
    pub purpose: Purpose,
}

/// A base image.
#[derive(Debug)]
pub struct Base {
    image: Image,
    path: PathBuf,
    hash: [u8; 32],
    /// The file, if it is written through.
    through: Option<File>,
    /// An error was told.
    told: AtomicBool,
}

impl Base {
    /// Opens an image, in the format it looks like, to read it.
    ///
    /// # Errors
    /// As [`Self::open_as`].
    pub fn open(path: &Path) -> Result<Arc<Self>, DiskError> {
        Self::open_as(path, Access::default())
    }

    /// Opens an image. Its hash is computed unless the user's cache knows it for files unchanged since.
    ///
    /// # Errors
    /// Names the file, which cannot be read, is empty, too large, no plain file, in use, or in no format Amber reads.
    pub fn open_as(path: &Path, access: Access) -> Result<Arc<Self>, DiskError> {
        Self::new(path, access).map(Arc::new)
    }

    /// Opens an image that will lie at `to`, and says so.
    ///
    /// # Errors
    /// As [`Self::open_as`].
    pub(super) fn open_to_move(path: &Path, format: Format, to: &Path) -> Result<Arc<Self>, DiskError> {
        let base = Self::new(path, Access { format: Some(format), purpose: Purpose::Read })?;
        Ok(Arc::new(Self { path: to.to_owned(), ..base }))
    }

    fn new(path: &Path, access: Access) -> Result<Self, DiskError> {
        let read = |cause| DiskError::Read { file: path.to_owned(), cause };
        let unfit = |why: &str| Err(DiskError::Unfit { file: path.to_owned(), why: why.to_owned() });
        let hold = if access.purpose == Purpose::Read { Hold::Read } else { Hold::Write };
        let write_through = access.purpose == Purpose::WriteThrough;
        let image = Image::open(path, access.format, hold)?;
        match image.size() {
            0 => return unfit("it is empty; a disk needs at least one sector, e.g. truncate -s 1G FILE"),
            len if len > MAX_LEN => return unfit("it is larger than 4 TiB"),
            _ => {}
        }
        if write_through && image.top().format() != Format::Raw {
            return unfit(
                "a qcow2 image cannot be written through; leave write-through out, save a snapshot and `amber disk \
                 commit` it",
            );
        }
        let through = write_through.then(|| image.top().file().try_clone()).transpose().map_err(read)?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let hash = identity::hash(&path, &image).map_err(read)?;
        Ok(Self { image, path, hash, through, told: AtomicBool::new(false) })
    }

    /// Opens the image that disk `name` of a snapshot is based on: `now`, if it is elsewhere now.
    ///
    /// # Errors
    /// Names the file, which is not there or is another one.
    pub fn of_snapshot(image: &BaseImage, now: Option<&Path>, name: &str) -> Result<Arc<Self>, DiskError> {
        Self::of_snapshot_for(image, now, name, Purpose::Read)
    }

    /// The same, not only to read it.
    ///
    /// # Errors
    /// As [`Self::of_snapshot`], and when it is in use.
    pub fn of_snapshot_for(
        image: &BaseImage,
        now: Option<&Path>,
        name: &str,
        purpose: Purpose,
    ) -> Result<Arc<Self>, DiskError> {
        let file = now.unwrap_or(Path::new(&image.path));
        let open = |format| Self::in_format(image, file, name, Access { format, purpose });
        let looks = open(None);
        // A snapshot does not say which format its run took the image to be in.
        if let Err(DiskError::Another { .. } | DiskError::Unfit { .. }) = looks
            && !looks_raw(file)
            && let Ok(base) = open(Some(Format::Raw))
        {
            return Ok(base);
        }
        looks
    }

    fn in_format(image: &BaseImage, file: &Path, name: &str, access: Access) -> Result<Arc<Self>, DiskError> {
        let base = match Self::open_as(file, access) {
            Ok(base) => base,
            Err(DiskError::Read { file, cause }) => {
                return Err(DiskError::Missing { file, name: name.to_owned(), cause });
            }
            Err(other) => return Err(other),
        };
        let why = if base.len() != image.len {
            format!("it has {} bytes, that one {}", base.len(), image.len)
        } else if base.hash != image.hash {
            "its contents have changed".to_owned()
        } else {
            return Ok(base);
        };
        Err(DiskError::Another { file: file.to_owned(), name: name.to_owned(), why })
    }

    /// Bytes the guest sees.
    pub fn len(&self) -> u64 {
        self.image.size()
    }

    /// Whether there are none, which there always are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// blake3 over the bytes the guest sees.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files it is made of.
    pub fn chain(&self) -> &Image {
        &self.image
    }

    /// What a snapshot says of it.
    pub fn image(&self) -> BaseImage {
        BaseImage { path: self.path.display().to_string(), len: self.len(), hash: self.hash }
    }

    /// Reads from byte `at` on; zeroes behind the end.
    ///
    /// # Errors
    /// When a file cannot be read, or is damaged there.
    pub fn read(&self, at: u64, into: &mut [u8]) -> std::io::Result<()> {
        self.image.read(at, into)
    }

    /// Whether the guest's writes go to the file, too.
    pub fn is_written_through(&self) -> bool {
        self.through.is_some()
    }

    /// Writes the file, if it is written through.
    ///
    /// # Errors
    /// When it cannot be written, e.g. on a full disk.
    pub(super) fn write_through(&self, at: u64, from: &[u8]) -> std::io::Result<()> {
        self.through.as_ref().map_or(Ok(()), |file| write_all_at(file, from, at))
    }

    /// Returns when what was written through is on the host's disk.
    ///
    /// # Errors
    /// When it cannot be brought there.
    pub(super) fn flush(&self) -> std::io::Result<()> {
        self.through.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// Tells once what cannot be done with it: the guest may ask again and again.
    pub fn tell(&self, what: &str, error: &std::io::Error) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let path = self.path.display();
            tracing::error!(target: "disk", "{path}: cannot be {what}: {error}; the guest sees errors");
        }
    }
}
