//! What a machine is attached to, whether it is a disk or a drive whose medium comes and goes.

use super::values::DiskChoice;
use crate::disk::Format;
use amber_devices::DiskInterface;
use std::path::PathBuf;

/// What stands for a file where a drive is to be empty.
pub const NO_MEDIUM: &str = "none";

/// A disk, or a drive for media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveChoice {
    /// Its image; none of a drive with nothing in it.
    pub file: Option<PathBuf>,
    /// What it is attached to.
    pub interface: DiskInterface,
    /// What the file's bytes are in; without it, what they look like.
    pub format: Option<Format>,
    /// The guest cannot write it.
    pub read_only: bool,
    /// The guest's writes go to the file, too.
    pub write_through: bool,
}

impl DriveChoice {
    /// A drive with a medium in it, whose bytes are the medium's whatever they look like, or with none.
    pub(super) fn removable(file: Option<PathBuf>, interface: DiskInterface, read_only: bool) -> Self {
        Self { file, interface, format: Some(Format::Raw), read_only, write_through: false }
    }
}

impl From<&DiskChoice> for DriveChoice {
    fn from(disk: &DiskChoice) -> Self {
        let DiskChoice { file, interface, format, read_only, write_through } = disk.clone();
        Self { file: Some(file), interface, format, read_only, write_through }
    }
}

/// A file as it is written before options, or what stands for none.
pub(super) fn to_text(file: Option<&PathBuf>) -> String {
    match file {
        None => NO_MEDIUM.to_owned(),
        Some(file) if file.as_os_str() == NO_MEDIUM => format!("./{NO_MEDIUM}"),
        Some(file) => file.display().to_string().replace(',', ",,"),
    }
}
