//! The folder a machine shares, as a user names it.

use super::values::{MemorySize, ValueError, text_form, wrong};
use amber_devices::TAG_MAX;
use amber_devices::share::{BLOCK, SHARE_MAX, SHARE_MIN};
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

/// Bytes of files a share has room for, unless said otherwise.
const SIZE: u64 = 2 << 30;
const TAG: &str = "share";

/// `DIR`, or `dir=DIR[,tag=TAG][,size=SIZE][,readonly]`. A comma in the folder's name is written twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareChoice {
    pub folder: PathBuf,
    /// What guests mount it by.
    pub tag: String,
    pub size: MemorySize,
    pub read_only: bool,
}

impl FromStr for ShareChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        // No folder's name has a NUL in it.
        let doubled = text.replace(",,", "\0");
        let (mut folder, mut tag, mut size) = (None, TAG.to_owned(), MemorySize::from_bytes(SIZE));
        let mut read_only = false;
        let form = "write DIR, or dir=DIR[,tag=TAG][,size=SIZE][,readonly]";
        for (n, part) in doubled.split(',').enumerate() {
            let part = part.replace('\0', ",");
            match part.split_once('=') {
                Some(("dir", dir)) => folder = Some(PathBuf::from(dir)),
                Some(("tag", name)) => name.clone_into(&mut tag),
                Some(("size", bytes)) => size = bytes.parse()?,
                None if part == "readonly" => read_only = true,
                _ if n == 0 => folder = Some(PathBuf::from(part)),
                _ => return wrong(format!("share `{text}`: unknown option `{part}`; {form}")),
            }
        }
        let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) else {
            return wrong(format!("share `{text}` names no folder; {form}"));
        };
        if !(1..=TAG_MAX).contains(&tag.len()) || tag.contains('\0') {
            return wrong(format!("share `{text}`: a tag has 1 to {TAG_MAX} bytes"));
        }
        if !(SHARE_MIN..=SHARE_MAX).contains(&size.bytes()) || !size.bytes().is_multiple_of(BLOCK) {
            return wrong(format!("share `{text}`: its size must be a multiple of 4K from 2M to 64G"));
        }
        Ok(Self { folder, tag, size, read_only })
    }
}

impl Display for ShareChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let folder = self.folder.display().to_string().replace(',', ",,");
        write!(f, "dir={folder},tag={},size={}", self.tag, self.size)?;
        if self.read_only { write!(f, ",readonly") } else { Ok(()) }
    }
}

text_form!(ShareChoice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_folder_and_what_is_said_of_it() {
        let parsed = |text: &str| text.parse::<ShareChoice>();
        let plain = parsed("a=b/c").unwrap();
        assert_eq!((plain.folder, &*plain.tag, plain.size.bytes()), ("a=b/c".into(), "share", 2 << 30));
        let full = parsed("tag=x,dir=a,,b,size=4M,readonly").unwrap();
        assert_eq!((full.folder.as_os_str(), &*full.tag, full.read_only), ("a,b".as_ref(), "x", true));
        assert_eq!(parsed(&full.to_string()), Ok(full));
        for wrong in ["", "tag=x", "dir=", "a,b", "a,tag=", "a,size=3K", "a,size=99999G"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
