//! The configuration of a machine: what `MACHINE.toml` and the command line can say.
//!
//! [`MachineConfig`] is complete: written with [`MachineConfig::to_toml`] it repeats the run. Every value type reads and
//! writes the text a user types, so file and command line share one syntax and one set of errors.

mod audio;
mod cd;
mod display;
mod drive;
mod firmware;
mod floppy;
mod history;
mod network;
mod places;
mod share;
mod values;

use crate::checkpoints::Policy;
use crate::files;
use amber_devices::{AHCI_PORTS, CPUS_MAX, DISKS_MAX, DiskInterface, FLOPPY_DRIVES, IDE_DRIVES, USB_DISKS};
pub use audio::{AudioChoice, ConsoleChoice, DeviceChoice};
pub use cd::CdChoice;
pub use display::{Screenshot, VgaBios, VgaChoice};
pub use drive::{DriveChoice, NO_MEDIUM};
pub use firmware::{Bios, BootOrder, FwCfgChoice, Uefi};
pub use floppy::FloppyChoice;
pub use history::HistoryChoice;
pub use network::{Mac, NetChoice, NicChoice};
pub use places::{CpuCount, MemoryChoice};
use serde::{Deserialize, Serialize};
pub use share::ShareChoice;
use std::path::{Path, PathBuf};
pub use values::{
    CpuChoice, Debugcon, DiskChoice, Engine, Firmware, FlatImage, LogCategory, MachineType, MemorySize, Pace,
    RtcDate, SaveAt, Seed, ValueError,
};

/// Virtual time one vCPU has before the next one's turn, ns, unless said otherwise.
pub const DEFAULT_QUANTUM: u64 = 20_000;

/// Everything a run depends on. Paths in a file are relative to the file's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MachineConfig {
    /// bzImage, PVH ELF or multiboot 1 kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<PathBuf>,
    /// Linux' initrd, or the multiboot/PVH module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append: Option<String>,
    /// Firmware mapped to end at 4 GiB, SeaBIOS style.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bios: Option<Bios>,
    /// UEFI firmware: code that ends at 4 GiB, and its variables below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uefi: Option<Uefi>,
    /// Raw image at the reset vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rom: Option<PathBuf>,
    /// 64-bit flat binary and its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flat: Option<FlatImage>,
    /// Embedded first-party image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// Snapshot to go on from: a name or the start of an id in the store, or a .amber file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Folder of the snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<PathBuf>,
    /// Snapshots to save on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub save_at: Vec<SaveAt>,
    /// File that every input is recorded to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<PathBuf>,
    /// Unix socket to listen at for other programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<PathBuf>,
    /// What software in the guest may ask for.
    pub guest_checkpoints: Policy,
    /// How much of its past the run remembers. Unset: nothing, but in a window 1G.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryChoice>,
    /// Name of the snapshot to save at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_on_exit: Option<String>,
    pub machine: MachineType,
    pub cpu: CpuChoice,
    /// Number of vCPUs, 1 to [`CPUS_MAX`].
    pub cpus: u32,
    /// Most vCPUs, of which more come and go while the machine runs. Unset: none do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus_max: Option<u32>,
    pub memory: MemorySize,
    /// Slots for memory modules that come and go while the machine runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_slots: Option<u8>,
    /// Most memory, with modules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<MemorySize>,
    pub seed: Seed,
    /// What the RTC shows at reset (UTC).
    pub rtc: RtcDate,
    /// Virtual time of a vCPU's slice, ns, at least 1.
    pub quantum: u64,
    /// Disks, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disk: Vec<DiskChoice>,
    /// Disks on virtio and NVMe come and go while the machine runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pci_hotplug: bool,
    /// CDs, each in a drive of its own, behind the disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cdrom: Vec<CdChoice>,
    /// Diskettes, each in a drive of its own, behind the CDs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub floppy: Vec<FloppyChoice>,
    /// What else the machine has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device: Vec<DeviceChoice>,
    /// What the network adapter is connected to, if there is one.
    pub net: NetChoice,
    /// The folder whose files the machine has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareChoice>,
    /// Display adapter.
    pub vga: VgaChoice,
    /// The display's option ROM. Unset: SeaBIOS's, if it lies beside the file of `bios`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vga_bios: Option<VgaBios>,
    /// Where firmware looks for something to boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootOrder>,
    /// Files for firmware, beside those every machine has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fw_cfg: Vec<FwCfgChoice>,
    /// Pictures of the screen to write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub screenshot: Vec<Screenshot>,
    /// Where sound goes. Unset: nowhere, and to the loudspeakers of a host with a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioChoice>,
    /// Where what is typed goes.
    pub console: ConsoleChoice,
    /// Unset: real at a terminal, none when headless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    pub engine: Engine,
    pub headless: bool,
    pub no_reboot: bool,
    /// Absolute step to stop before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_at: Option<u64>,
    /// Absolute step at which a run that still goes on is a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    pub hash: bool,
    pub stats: bool,
    /// Counters as JSON.
    pub json: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogCategory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debugcon: Option<Debugcon>,
    /// Address the gdb server listens on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gdb: Option<String>,
    /// ELF or System.map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbols: Option<PathBuf>,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            kernel: None,
            initrd: None,
            append: None,
            bios: None,
            uefi: None,
            rom: None,
            flat: None,
            firmware: None,
            from: None,
            store: None,
            save_at: Vec::new(),
            record: None,
            control: None,
            guest_checkpoints: Policy::Deny,
            history: None,
            save_on_exit: None,
            machine: MachineType::default(),
            cpu: CpuChoice::default(),
            cpus: 1,
            cpus_max: None,
            memory: MemorySize::default(),
            memory_slots: None,
            memory_max: None,
            seed: Seed::default(),
            rtc: RtcDate::default(),
            quantum: DEFAULT_QUANTUM,
            disk: Vec::new(),
            pci_hotplug: false,
            cdrom: Vec::new(),
            floppy: Vec::new(),
            device: Vec::new(),
            net: NetChoice::None,
            share: None,
            vga: VgaChoice::default(),
            vga_bios: None,
            boot: None,
            fw_cfg: Vec::new(),
            screenshot: Vec::new(),
            audio: None,
            console: ConsoleChoice::Serial,
            pace: None,
            engine: Engine::default(),
            headless: false,
            no_reboot: false,
            stop_at: None,
            limit: None,
            hash: false,
            stats: false,
            json: false,
            trace: None,
            log: Vec::new(),
            debugcon: None,
            gdb: None,
            symbols: None,
        }
    }
}

/// The guest a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guest<'a> {
    Kernel {
        kernel: &'a Path,
        initrd: Option<&'a Path>,
        append: &'a str,
    },
    Bios(&'a Bios),
    Uefi(&'a Uefi),
    Rom(&'a Path),
    Flat(&'a FlatImage),
    Embedded(Firmware),
    /// The state a snapshot holds.
    Snapshot(&'a str),
}

/// A configuration that cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("{}: cannot be read: {cause}", file.display())]
    Read { file: PathBuf, cause: std::io::Error },
    #[error("{}: {why}", file.display())]
    Parse { file: PathBuf, why: String },
    #[error("{first} and {second} both name a guest; keep one of them")]
    TwoGuests { first: &'static str, second: &'static str },
    #[error("{option} needs --kernel; it means nothing for {guest}")]
    NeedsKernel { option: &'static str, guest: &'static str },
    #[error(
        "--disk {disk} goes with no {option}: what is written to an image cannot be taken back; leave write-through out, \
         and `amber disk commit` a snapshot"
    )]
    WriteThrough { disk: String, option: &'static str },
    #[error("--history cannot be kept: {0}; leave one of the two out")]
    History(&'static str),
    #[error("{key} is {value}; it must be between {min} and {max}")]
    OutOfRange { key: &'static str, value: u64, min: u64, max: u64 },
    #[error("memory-slots and memory-max go together; one of them is missing")]
    MemorySlots,
    #[error("the configuration cannot be written as TOML: {0}")]
    Write(#[from] toml::ser::Error),
}

impl MachineConfig {
    /// Reads `MACHINE.toml`; relative paths in it become relative to its folder.
    ///
    /// # Errors
    /// When the file cannot be read, is no TOML, or has an unknown key or a bad value (named, with its line).
    pub fn from_file(file: &Path) -> Result<Self, ConfigError> {
        let text =
            files::read_text(file).map_err(|cause| ConfigError::Read { file: file.to_owned(), cause })?;
        let mut config = Self::from_toml(&text, file)?;
        config.rebase_paths(file.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Parses TOML text; `file` is for errors only.
    ///
    /// # Errors
    /// See [`MachineConfig::from_file`].
    pub fn from_toml(text: &str, file: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            ConfigError::Parse { file: file.to_owned(), why: format!("{at}{}", e.message()) }
        })
    }

    /// The file that repeats the run, with all paths absolute.
    ///
    /// # Errors
    /// When a number is beyond what TOML can hold (2^63 - 1).
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        let mut config = self.clone();
        for path in config.paths_mut() {
            *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
        }
        Ok(toml::to_string(&config)?)
    }

    /// Checks ranges and that exactly one guest is named; no guest means the embedded monitor.
    ///
    /// # Errors
    /// Names the option at fault.
    pub fn guest(&self) -> Result<Guest<'_>, ConfigError> {
        self.check_ranges()?;
        self.check_write_through()?;
        if let (Some(HistoryChoice::Bytes(_)), Some(why)) = (self.history, self.not_taken_back()) {
            return Err(ConfigError::History(why));
        }
        let named = self.named_guests();
        if let [first, second, ..] = named[..] {
            return Err(ConfigError::TwoGuests { first, second });
        }
        let guest = named.first().copied().unwrap_or("the embedded monitor");
        if self.kernel.is_none() {
            let options = [("--initrd", self.initrd.is_some()), ("--append", self.append.is_some())];
            if let Some((option, _)) = options.into_iter().find(|(_, given)| *given) {
                return Err(ConfigError::NeedsKernel { option, guest });
            }
        }
        Ok(if let Some(kernel) = &self.kernel {
            let append = self.append.as_deref().unwrap_or("");
            Guest::Kernel { kernel, initrd: self.initrd.as_deref(), append }
        } else if let Some(bios) = &self.bios {
            Guest::Bios(bios)
        } else if let Some(uefi) = &self.uefi {
            Guest::Uefi(uefi)
        } else if let Some(rom) = &self.rom {
            Guest::Rom(rom)
        } else if let Some(flat) = &self.flat {
            Guest::Flat(flat)
        } else if let Some(snapshot) = &self.from {
            Guest::Snapshot(snapshot)
        } else {
            Guest::Embedded(self.firmware.unwrap_or_default())
        })
    }

    /// Forgets the guest, for a command line that names another one than the file.
    pub fn clear_guest(&mut self) {
        self.kernel = None;
        self.initrd = None;
        self.append = None;
        self.bios = None;
        self.uefi = None;
        self.rom = None;
        self.flat = None;
        self.firmware = None;
        self.from = None;
    }

    /// Pacing in effect: what was asked, else real with a person at a `terminal` and none when headless.
    #[must_use]
    pub fn effective_pace(&self, terminal: bool) -> Pace {
        self.pace.unwrap_or(if terminal && !self.headless { Pace::Real } else { Pace::None })
    }

    fn named_guests(&self) -> Vec<&'static str> {
        let all = [
            ("--kernel", self.kernel.is_some()),
            ("--bios", self.bios.is_some()),
            ("--uefi", self.uefi.is_some()),
            ("--rom", self.rom.is_some()),
            ("--flat", self.flat.is_some()),
            ("--firmware", self.firmware.is_some()),
            ("--from", self.from.is_some()),
        ];
        all.into_iter().filter_map(|(name, given)| given.then_some(name)).collect()
    }

    /// The disks, behind them the CDs, and behind these the diskettes.
    pub fn media(&self) -> Vec<DriveChoice> {
        let removable =
            self.cdrom.iter().map(CdChoice::drive).chain(self.floppy.iter().map(FloppyChoice::drive));
        self.disk.iter().map(DriveChoice::from).chain(removable).collect()
    }

    fn check_ranges(&self) -> Result<(), ConfigError> {
        let range = |key, value, min, max| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::OutOfRange { key, value, min, max })
            }
        };
        range("cpus", self.cpus.into(), 1, CPUS_MAX.into())?;
        range("cpus-max", self.cpus_max.unwrap_or(CPUS_MAX).into(), self.cpus.into(), CPUS_MAX.into())?;
        if self.memory_slots.is_some() != self.memory_max.is_some() {
            return Err(ConfigError::MemorySlots);
        }
        let media = self.media();
        range("number of disks", media.len() as u64, 0, DISKS_MAX as u64)?;
        let ported = media.iter().filter(|disk| disk.interface.is_at_ahci()).count();
        range("number of disks and CDs at AHCI", ported as u64, 0, AHCI_PORTS as u64)?;
        let drives = media.iter().filter(|disk| disk.interface.is_at_ide()).count();
        range("number of disks and CDs at IDE", drives as u64, 0, IDE_DRIVES as u64)?;
        let diskettes = media.iter().filter(|disk| disk.interface == DiskInterface::Floppy).count();
        range("number of diskettes", diskettes as u64, 0, FLOPPY_DRIVES as u64)?;
        let at_usb = media.iter().filter(|disk| disk.interface == DiskInterface::Usb).count();
        range("number of disks at USB", at_usb as u64, 0, USB_DISKS as u64)?;
        range("quantum", self.quantum, 1, i64::MAX as u64)?;
        range("stop-at", self.stop_at.unwrap_or(0), 0, i64::MAX as u64)?;
        range("limit", self.limit.unwrap_or(0), 0, i64::MAX as u64)
    }

    /// What is written through to an image cannot be taken back there.
    fn check_write_through(&self) -> Result<(), ConfigError> {
        let Some(disk) = self.disk.iter().find(|disk| disk.write_through) else { return Ok(()) };
        let others = [
            ("--from", self.from.is_some()),
            ("--guest-checkpoints", self.guest_checkpoints != Policy::Deny),
        ];
        match others.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(ConfigError::WriteThrough { disk: disk.to_string(), option }),
            None => Ok(()),
        }
    }

    /// Has no disk written through: the run was there already, or goes back and forth.
    pub fn spare_images(&mut self) {
        self.disk.iter_mut().for_each(|disk| disk.write_through = false);
    }

    fn rebase_paths(&mut self, folder: &Path) {
        for path in self.paths_mut() {
            *path = folder.join(&*path);
        }
    }

    fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let plain = [
            &mut self.kernel,
            &mut self.initrd,
            &mut self.rom,
            &mut self.store,
            &mut self.record,
            &mut self.control,
            &mut self.trace,
            &mut self.symbols,
        ];
        let debugcon = self.debugcon.as_mut().and_then(Debugcon::file_mut);
        let flat = self.flat.as_mut().map(|flat| &mut flat.file);
        let disks = self.disk.iter_mut().map(|disk| &mut disk.file);
        let audio = self.audio.as_mut().and_then(AudioChoice::file_mut);
        let bios = self.bios.as_mut().and_then(Bios::file_mut);
        let uefi = self.uefi.iter_mut().flat_map(Uefi::files_mut);
        let net = self.net.socket_mut();
        let share = self.share.as_mut().map(|share| &mut share.folder);
        let vga_bios = self.vga_bios.as_mut().and_then(VgaBios::file_mut);
        let screenshots = self.screenshot.iter_mut().map(|shot| &mut shot.file);
        plain
            .into_iter()
            .flatten()
            .chain(flat)
            .chain(debugcon)
            .chain(disks)
            .chain(self.cdrom.iter_mut().filter_map(|cd| cd.file.as_mut()))
            .chain(self.floppy.iter_mut().filter_map(|floppy| floppy.file.as_mut()))
            .chain(bios)
            .chain(uefi)
            .chain(self.fw_cfg.iter_mut().map(|choice| &mut choice.file))
            .chain(net)
            .chain(share)
            .chain(vga_bios)
            .chain(audio)
            .chain(screenshots)
    }
}

#[cfg(test)]
mod tests;
