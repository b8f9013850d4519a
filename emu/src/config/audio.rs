//! Devices that are there or not, where sound goes, and what is typed.

use super::values::{ValueError, name_of, one_of, text_form, wrong};
use amber_devices::Peripheral;
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

/// A device a machine has if it is asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceChoice(pub Peripheral);

impl DeviceChoice {
    fn names() -> [(&'static str, Self); Peripheral::NAMES.len()] {
        Peripheral::NAMES.map(|(name, peripheral)| (name, Self(peripheral)))
    }
}

impl FromStr for DeviceChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        one_of("device", text, &Self::names())
    }
}

impl Display for DeviceChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(name_of(*self, &Self::names()))
    }
}

/// Where what is typed goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsoleChoice {
    /// Serial port 0.
    #[default]
    Serial,
    /// The virtio console.
    Virtio,
}

impl ConsoleChoice {
    const NAMES: [(&'static str, Self); 2] = [("serial", Self::Serial), ("virtio", Self::Virtio)];
}

impl FromStr for ConsoleChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        one_of("console", text, &Self::NAMES)
    }
}

impl Display for ConsoleChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(name_of(*self, &Self::NAMES))
    }
}

/// Where sound goes: `none`, `wav:FILE`, or `cpal`: to the host's loudspeakers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AudioChoice {
    #[default]
    None,
    Wav(PathBuf),
    Cpal,
}

impl AudioChoice {
    /// The file, to make its path another one.
    pub fn file_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::None | Self::Cpal => None,
            Self::Wav(file) => Some(file),
        }
    }
}

impl FromStr for AudioChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "cpal" => Ok(Self::Cpal),
            Some(("wav", file)) if !file.is_empty() => Ok(Self::Wav(file.into())),
            _ => wrong(format!("audio `{text}`: write none, wav:FILE or cpal")),
        }
    }
}

impl Display for AudioChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::None => f.write_str("none"),
            Self::Cpal => f.write_str("cpal"),
            Self::Wav(file) => write!(f, "wav:{}", file.display()),
        }
    }
}

text_form!(DeviceChoice, ConsoleChoice, AudioChoice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_goes_nowhere_or_to_a_file() {
        let parsed = |text: &str| text.parse::<AudioChoice>();
        assert_eq!(parsed("none"), Ok(AudioChoice::None));
        assert_eq!(parsed("wav:a:b.wav"), Ok(AudioChoice::Wav("a:b.wav".into())));
        assert_eq!(parsed("cpal"), Ok(AudioChoice::Cpal));
        assert!(parsed("wav:").is_err() && parsed("alsa").is_err());
        assert_eq!("hda".parse::<DeviceChoice>().unwrap().to_string(), "hda");
        assert!("teapot".parse::<DeviceChoice>().is_err());
    }
}
