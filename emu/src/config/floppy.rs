//! Images of diskettes, as a user names them.

use super::drive::{DriveChoice, NO_MEDIUM, to_text};
use super::values::{ValueError, text_form, wrong};
use amber_devices::DiskInterface;
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

/// A diskette: `FILE[,ro]`, or `none`, an empty drive for 1440 KiB. A comma in the file's name is written twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloppyChoice {
    /// None of a drive with nothing in it.
    pub file: Option<PathBuf>,
    /// The diskette is write-protected.
    pub read_only: bool,
}

impl FloppyChoice {
    /// Whether there is a diskette, and it is write-protected.
    fn protects(&self) -> bool {
        self.read_only && self.file.is_some()
    }

    /// As a drive.
    pub fn drive(&self) -> DriveChoice {
        DriveChoice::removable(self.file.clone(), DiskInterface::Floppy, self.protects())
    }
}

impl FromStr for FloppyChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        // No file's name has a NUL in it.
        let doubled = text.replace(",,", "\0");
        let mut parts = doubled.split(',');
        let file = parts.next().unwrap_or("").replace('\0', ",");
        let form = "write FILE[,ro], or none for an empty drive";
        if file.is_empty() {
            return wrong(format!("floppy `{text}` names no file; {form}"));
        }
        let mut read_only = false;
        for part in parts {
            match part {
                "ro" => read_only = true,
                other => return wrong(format!("floppy `{text}`: unknown option `{other}`; {form}")),
            }
        }
        if file == NO_MEDIUM && read_only {
            return wrong(format!("floppy `{text}`: ro is said of a diskette, and there is none"));
        }
        Ok(Self { file: (file != NO_MEDIUM).then(|| file.into()), read_only })
    }
}

impl Display for FloppyChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let file = to_text(self.file.as_ref());
        write!(f, "{file}{}", if self.protects() { ",ro" } else { "" })
    }
}

text_form!(FloppyChoice);
