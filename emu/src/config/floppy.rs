//! Images of diskettes, as a user names them.

use super::values::{DiskChoice, ValueError, text_form, wrong};
use crate::disk::Format;
use amber_devices::DiskInterface;
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

/// A diskette: `FILE[,ro]`. A comma in the file's name is written twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloppyChoice {
    pub file: PathBuf,
    /// The diskette is write-protected.
    pub read_only: bool,
}

impl FloppyChoice {
    /// As a disk. Its bytes are the diskette's, whatever they look like.
    pub fn disk(&self) -> DiskChoice {
        DiskChoice {
            file: self.file.clone(),
            interface: DiskInterface::Floppy,
            format: Some(Format::Raw),
            read_only: self.read_only,
            write_through: false,
        }
    }
}

impl FromStr for FloppyChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        // No file's name has a NUL in it.
        let doubled = text.replace(",,", "\0");
        let mut parts = doubled.split(',');
        let file = PathBuf::from(parts.next().unwrap_or("").replace('\0', ","));
        let form = "write FILE[,ro]";
        if file.as_os_str().is_empty() {
            return wrong(format!("floppy `{text}` names no file; {form}"));
        }
        let mut read_only = false;
        for part in parts {
            match part {
                "ro" => read_only = true,
                other => return wrong(format!("floppy `{text}`: unknown option `{other}`; {form}")),
            }
        }
        Ok(Self { file, read_only })
    }
}

impl Display for FloppyChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let file = self.file.display().to_string().replace(',', ",,");
        write!(f, "{file}{}", if self.read_only { ",ro" } else { "" })
    }
}

text_form!(FloppyChoice);
