//! Images of CDs, as a user names them.

use super::values::{DiskChoice, ValueError, text_form, wrong};
use crate::disk::Format;
use amber_devices::DiskInterface;
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

/// A CD and the controller of its drive: `FILE[,if=ahci|ide]`. A comma in the file's name is written twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdChoice {
    pub file: PathBuf,
    /// At the IDE controller, not at AHCI.
    pub at_ide: bool,
}

impl CdChoice {
    /// As a disk, which the guest cannot write. Its bytes are the CD's, whatever they look like.
    pub fn disk(&self) -> DiskChoice {
        let interface = if self.at_ide { DiskInterface::IdeCdrom } else { DiskInterface::Cdrom };
        DiskChoice {
            file: self.file.clone(),
            interface,
            format: Some(Format::Raw),
            read_only: true,
            write_through: false,
        }
    }
}

impl FromStr for CdChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        // No file's name has a NUL in it.
        let doubled = text.replace(",,", "\0");
        let mut parts = doubled.split(',');
        let file = PathBuf::from(parts.next().unwrap_or("").replace('\0', ","));
        let form = "write FILE[,if=ahci|ide]";
        if file.as_os_str().is_empty() {
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
        Ok(Self { file, at_ide })
    }
}

impl Display for CdChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let file = self.file.display().to_string().replace(',', ",,");
        write!(f, "{file}{}", if self.at_ide { ",if=ide" } else { "" })
    }
}

text_form!(CdChoice);
