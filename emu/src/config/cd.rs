//! Images of CDs, as a user names them.

use super::drive::{DriveChoice, NO_MEDIUM, to_text};
use super::values::{ValueError, text_form, wrong};
use amber_devices::DiskInterface;
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

/// A CD and the controller of its drive: `FILE[,if=ahci|ide]`, `none` being an empty drive. A comma in the file's name is
/// written twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdChoice {
    /// None of a drive with nothing in it.
    pub file: Option<PathBuf>,
    /// At the IDE controller, not at AHCI.
    pub at_ide: bool,
}

impl CdChoice {
    /// As a drive, whose medium the guest cannot write.
    pub fn drive(&self) -> DriveChoice {
        let interface = if self.at_ide { DiskInterface::IdeCdrom } else { DiskInterface::Cdrom };
        DriveChoice::removable(self.file.clone(), interface, true)
    }
}

impl FromStr for CdChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        // No file's name has a NUL in it.
        let doubled = text.replace(",,", "\0");
        let mut parts = doubled.split(',');
        let file = parts.next().unwrap_or("").replace('\0', ",");
        let form = "write FILE[,if=ahci|ide], or none for an empty drive";
        if file.is_empty() {
            return wrong(format!("CD `{text}` names no file; {form}"));
        }
        let mut at_ide = false;
        for part in parts {
            at_ide = match part {
                "if=ahci" => false,
                "if=ide" => true,
                other => return wrong(format!("CD `{text}`: unknown option `{other}`; {form}")),
            };
        }
        Ok(Self { file: (file != NO_MEDIUM).then(|| file.into()), at_ide })
    }
}

impl Display for CdChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let file = to_text(self.file.as_ref());
        write!(f, "{file}{}", if self.at_ide { ",if=ide" } else { "" })
    }
}

text_form!(CdChoice);
