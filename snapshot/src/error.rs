//! What can be wrong with a store, a manifest or an archive.

use crate::{ObjectId, SnapshotId};
use std::path::{Path, PathBuf};

/// Why a snapshot cannot be saved, found or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}: cannot be read: {cause}", file.display())]
    Read { file: PathBuf, cause: std::io::Error },
    #[error("{}: cannot be written: {cause}", file.display())]
    Write { file: PathBuf, cause: std::io::Error },
    /// Not what its name says, or damaged.
    #[error("{}: {why}", file.display())]
    Format { file: PathBuf, why: String },
    #[error("{}: format version {found}, this build reads up to {newest}", file.display())]
    Newer { file: PathBuf, found: u32, newest: u32 },
    #[error("snapshot {0} is not in the store; `amber snapshot list` shows what is")]
    Unknown(String),
    #[error("{0} is the start of several snapshots' ids; write more of it")]
    Ambiguous(String),
    #[error("a snapshot named {0} is there already; choose another name or remove it first")]
    Taken(String),
    #[error(
        "`{0}` cannot name a snapshot: use 1 to 100 letters, digits and any of . _ + - but none in front"
    )]
    Name(String),
    #[error("snapshot {snapshot}: object {object:?} is not in the store")]
    Missing { snapshot: SnapshotId, object: ObjectId },
    #[error("snapshot {snapshot}: {why}")]
    Inconsistent { snapshot: SnapshotId, why: String },
}

impl StoreError {
    pub(crate) fn read(file: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |cause| Self::Read { file: file.to_owned(), cause }
    }

    pub(crate) fn write(file: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |cause| Self::Write { file: file.to_owned(), cause }
    }

    pub(crate) fn format(file: &Path, why: impl Into<String>) -> Self {
        Self::Format { file: file.to_owned(), why: why.into() }
    }
}
