//! Firmware, as a user names it, and what it is told.

use super::values::{ValueError, text_form, wrong};
use amber_devices::BootDevice;
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

/// A BIOS: a file, or by name the one that is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bios {
    /// SeaBIOS, where distributions have it.
    #[default]
    SeaBios,
    File(PathBuf),
}

impl Bios {
    /// What the installed one is called.
    pub const SEABIOS: &'static str = "seabios";

    /// The file, to make its path another one.
    pub fn file_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::SeaBios => None,
            Self::File(file) => Some(file),
        }
    }
}

impl FromStr for Bios {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "" => wrong("bios names no file; write a file's name, or seabios"),
            Self::SEABIOS => Ok(Self::SeaBios),
            file => Ok(Self::File(file.into())),
        }
    }
}

impl Display for Bios {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::SeaBios => f.write_str(Self::SEABIOS),
            Self::File(file) => file.display().fmt(f),
        }
    }
}

/// UEFI firmware: `CODE[,VARS]`, or `ovmf[,VARS]` for the one that is installed. A comma in a file's name is written twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uefi {
    /// Its code. Unset: OVMF's, where distributions have it.
    pub code: Option<PathBuf>,
    /// What its variables are at first. Unset: the file that comes with the code.
    pub vars: Option<PathBuf>,
}

impl Uefi {
    /// What the installed one is called.
    pub const OVMF: &'static str = "ovmf";

    /// The files, to make their paths others.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.code.iter_mut().chain(&mut self.vars)
    }
}

impl FromStr for Uefi {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        // No file's name has a NUL in it.
        let doubled = text.replace(",,", "\0");
        let parts: Vec<String> = doubled.split(',').map(|part| part.replace('\0', ",")).collect();
        if parts.len() > 2 || parts.iter().any(String::is_empty) {
            return wrong(format!("uefi `{text}`: write CODE[,VARS], or ovmf[,VARS]"));
        }
        let code = (parts[0] != Self::OVMF).then(|| PathBuf::from(&parts[0]));
        Ok(Self { code, vars: parts.get(1).map(PathBuf::from) })
    }
}

impl Display for Uefi {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let written = |file: &PathBuf| file.display().to_string().replace(',', ",,");
        f.write_str(&self.code.as_ref().map_or(Self::OVMF.to_owned(), written))?;
        self.vars.iter().try_for_each(|vars| write!(f, ",{}", written(vars)))
    }
}

/// A file for firmware: `NAME=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FwCfgChoice {
    pub name: String,
    pub file: PathBuf,
}

impl FromStr for FwCfgChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once('=') {
            Some((name, file)) if (1..56).contains(&name.len()) && !file.is_empty() => {
                Ok(Self { name: name.to_owned(), file: file.into() })
            }
            _ => wrong(format!("fw-cfg `{text}`: write NAME=FILE, with a name of at most 55 bytes")),
        }
    }
}

impl Display for FwCfgChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{}={}", self.name, self.file.display())
    }
}

/// Where firmware looks for something to boot: `DEVICE,...[,menu=MS][,retry=MS]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootOrder {
    pub devices: Vec<BootDevice>,
    /// How long firmware offers its boot menu, ms; unset, it offers none of itself.
    pub menu: Option<u16>,
    /// How long firmware waits before it tries again where nothing boots, ms; unset, as it likes.
    pub retry: Option<u16>,
}

const KINDS: [(&str, BootDevice); 4] = [
    ("disk", BootDevice::Disks),
    ("cd", BootDevice::Cds),
    ("floppy", BootDevice::Floppies),
    ("network", BootDevice::Network),
];

fn device(text: &str) -> Option<BootDevice> {
    if let Some((_, all)) = KINDS.iter().find(|(name, _)| *name == text) {
        return Some(*all);
    }
    let number = |prefix| text.strip_prefix(prefix)?.parse().ok();
    let disk = number("disk").map(BootDevice::Disk);
    disk.or_else(|| number("cd").map(BootDevice::Cd)).or_else(|| number("floppy").map(BootDevice::Floppy))
}

impl FromStr for BootOrder {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut order = Self::default();
        let form = "write DEVICE,...[,menu=MS][,retry=MS], a device being disk, cd, floppy, network, disk0, cd0 and so on";
        for part in text.split(',') {
            let number = |value: &str| match value.parse::<u16>() {
                Ok(ms) => Ok(Some(ms)),
                Err(_) => wrong(format!("boot `{text}`: `{part}` is no number of ms below 65536")),
            };
            match (part.split_once('='), device(part)) {
                (Some(("menu", ms)), _) => order.menu = number(ms)?,
                (Some(("retry", ms)), _) => order.retry = number(ms)?,
                (_, Some(device)) => order.devices.push(device),
                _ => return wrong(format!("boot `{text}`: unknown device `{part}`; {form}")),
            }
        }
        Ok(order)
    }
}

impl Display for BootOrder {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let name = |device: &BootDevice| match device {
            BootDevice::Disks => "disk".to_owned(),
            BootDevice::Cds => "cd".to_owned(),
            BootDevice::Floppies => "floppy".to_owned(),
            BootDevice::Network => "network".to_owned(),
            BootDevice::Floppy(n) => format!("floppy{n}"),
            BootDevice::Disk(n) => format!("disk{n}"),
            BootDevice::Cd(n) => format!("cd{n}"),
        };
        let devices = self.devices.iter().map(name);
        let menu = self.menu.map(|ms| format!("menu={ms}"));
        let retry = self.retry.map(|ms| format!("retry={ms}"));
        f.write_str(&devices.chain(menu).chain(retry).collect::<Vec<_>>().join(","))
    }
}

text_form!(Bios, Uefi, FwCfgChoice, BootOrder);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_is_a_name_or_files() {
        assert_eq!("seabios".parse(), Ok(Bios::SeaBios));
        assert_eq!("a/seabios".parse(), Ok(Bios::File("a/seabios".into())));
        let uefi = |text: &str| text.parse::<Uefi>().map(|uefi| (uefi.code, uefi.vars));
        assert_eq!(uefi("ovmf"), Ok((None, None)));
        assert_eq!(uefi("ovmf,my.fd"), Ok((None, Some("my.fd".into()))));
        assert_eq!(uefi("a,,b.fd,v"), Ok((Some("a,b.fd".into()), Some("v".into()))));
        assert!(uefi("").is_err() && uefi("a,b,c").is_err() && uefi("a,").is_err());
        for text in ["ovmf", "a,,b.fd,v", "ovmf,v"] {
            assert_eq!(text.parse::<Uefi>().map(|uefi| uefi.to_string()), Ok(text.into()));
        }
    }

    #[test]
    fn the_boot_order_names_kinds_and_devices() {
        let order: BootOrder = "cd,disk1,menu=3000,retry=5".parse().unwrap();
        assert_eq!(order.devices, [BootDevice::Cds, BootDevice::Disk(1)]);
        let more: BootOrder = "floppy1,network,floppy".parse().unwrap();
        assert_eq!(more.devices, [BootDevice::Floppy(1), BootDevice::Network, BootDevice::Floppies]);
        assert_eq!(more.to_string(), "floppy1,network,floppy");
        assert_eq!((order.menu, order.retry), (Some(3000), Some(5)));
        assert_eq!(order.to_string(), "cd,disk1,menu=3000,retry=5");
        for bad in ["", "tape", "disk,menu=x", "cd,menu=70000", "diskx"] {
            assert!(bad.parse::<BootOrder>().is_err(), "{bad}");
        }
    }

    #[test]
    fn files_for_firmware_have_a_name() {
        let parsed = "opt/a=b=c".parse::<FwCfgChoice>().map(|choice| (choice.name, choice.file));
        assert_eq!(parsed, Ok(("opt/a".into(), "b=c".into())));
        assert!("=x".parse::<FwCfgChoice>().is_err() && "a=".parse::<FwCfgChoice>().is_err());
        assert!(format!("{}=x", "n".repeat(56)).parse::<FwCfgChoice>().is_err());
    }
}
