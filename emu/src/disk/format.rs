//! What an image's bytes are: as the guest sees them, or in a container.

use std::fmt;
use std::str::FromStr;

/// The bytes a qcow2 file begins with.
pub const QCOW2_MAGIC: [u8; 4] = *b"QFI\xfb";

/// Bytes of a file that are looked at to tell what it is.
pub(super) const LOOKED_AT: usize = 512;

/// Formats Amber reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes, one after another; an ISO image is such a file.
    Raw,
    /// QEMU's format, versions 2 and 3.
    Qcow2,
}

impl Format {
    /// The format of a file that begins like this.
    ///
    /// # Errors
    /// The name of a format that Amber does not read.
    pub(super) fn of(start: &[u8]) -> Result<Self, &'static str> {
        const OTHERS: [(usize, &[u8], &str); 7] = [
            (0, b"KDMV", "VMDK"),
            (0, b"# Disk DescriptorFile", "VMDK"),
            (0x40, b"\x7f\x10\xda\xbe", "VDI"),
            (0, b"vhdxfile", "VHDX"),
            (0, b"conectix", "VHD"),
            (0, b"QED\0", "QED"),
            (0, b"WithouFreSpacExt", "Parallels"),
        ];
        if start.starts_with(&QCOW2_MAGIC) {
            return Ok(Self::Qcow2);
        }
        let is =
            |(at, magic, _): &&(usize, &[u8], &str)| start.get(*at..).is_some_and(|s| s.starts_with(magic));
        OTHERS.iter().find(is).map_or(Ok(Self::Raw), |(_, _, name)| Err(name))
    }
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            other => Err(format!("unknown format `{other}`; known: raw, qcow2")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        })
    }
}
