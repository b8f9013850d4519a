//! The folder a machine shares: read once, kept as pages of the machine's state, written to another folder when asked.

mod export;
mod folder;
mod host;
mod pages;
#[cfg(all(test, unix))]
mod tests;

pub use export::write_folder;
pub use folder::{fill, read_folder};
pub use pages::Pages;

use amber_devices::share::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// What keeps a folder from being shared, or files from being written to one.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    #[error("{}: cannot be read: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{}: cannot be written: {cause}", path.display())]
    Write { path: PathBuf, cause: io::Error },
    #[error("{}: it is there already, and not empty", .0.display())]
    Full(PathBuf),
    #[error("{}: {}", path.display(), reason(*why))]
    Refused { path: PathBuf, why: Errno },
    #[error("the share has no tree of files: {0}")]
    NoTree(String),
}

impl ShareError {
    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |cause| Self::Read { path: path.to_owned(), cause }
    }

    fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |cause| Self::Write { path: path.to_owned(), cause }
    }
}

/// Why a file does not go into a share.
fn reason(why: Errno) -> String {
    match why {
        Errno::NOSPC => "the share has no room for it; give it a larger size".to_owned(),
        Errno::FBIG => "it is longer than 1 TiB".to_owned(),
        Errno::NAMETOOLONG => {
            "its name is longer than 255 bytes, or where it leads longer than 4095".to_owned()
        }
        Errno(number) => format!("the share does not take it (error {number})"),
    }
}
