//! What the display is, and what pictures of it are wanted.

use super::values::{ValueError, name_of, one_of, text_form, wrong};
use amber_devices::DisplayKind;
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

/// The display adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VgaChoice(pub DisplayKind);

impl VgaChoice {
    const NAMES: [(&'static str, Self); 2] =
        [("std", Self(DisplayKind::Std)), ("text", Self(DisplayKind::Text))];
}

impl FromStr for VgaChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        one_of("display adapter", text, &Self::NAMES)
    }
}

impl Display for VgaChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(name_of(*self, &Self::NAMES))
    }
}

/// The display's option ROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VgaBios {
    None,
    File(PathBuf),
}

impl VgaBios {
    /// The file, to make its path another one.
    pub fn file_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::None => None,
            Self::File(file) => Some(file),
        }
    }
}

impl FromStr for VgaBios {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "" => wrong("vga-bios names no file; write a file's name, or none"),
            "none" => Ok(Self::None),
            file => Ok(Self::File(file.into())),
        }
    }
}

impl Display for VgaBios {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::None => f.write_str("none"),
            Self::File(file) => file.display().fmt(f),
        }
    }
}

/// A picture of the screen: `[STEP=]FILE`, without a step at the end of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screenshot {
    pub step: Option<u64>,
    pub file: PathBuf,
}

impl FromStr for Screenshot {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parts = text.split_once('=').and_then(|(step, file)| Some((step.parse().ok()?, file)));
        let (step, file) = parts.map_or((None, text), |(step, file)| (Some(step), file));
        match file {
            "" => wrong(format!("screenshot `{text}`: write [STEP=]FILE, e.g. end.png or 2000000=boot.png")),
            file => Ok(Self { step, file: file.into() }),
        }
    }
}

impl Display for Screenshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self.step {
            Some(step) => write!(f, "{step}={}", self.file.display()),
            None => self.file.display().fmt(f),
        }
    }
}

text_form!(VgaChoice, VgaBios, Screenshot);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screenshots_name_a_file_and_perhaps_a_step() {
        let parsed = |text: &str| text.parse::<Screenshot>().map(|shot| (shot.step, shot.file));
        assert_eq!(parsed("a.png"), Ok((None, "a.png".into())));
        assert_eq!(parsed("12=a=b.png"), Ok((Some(12), "a=b.png".into())));
        assert_eq!(parsed("x=a.png"), Ok((None, "x=a.png".into())));
        assert!(parsed("12=").is_err() && parsed("").is_err());
        assert_eq!("12=a.png".parse::<Screenshot>().map(|shot| shot.to_string()), Ok("12=a.png".into()));
    }
}
