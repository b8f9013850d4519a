//! What a machine is built from.

mod upgrade;

use super::{MachineError, MediumSpec};
use crate::disk;
use amber_cpu::CpuModel;
use amber_devices::{DiskConfig, DiskInterface, DisplayKind, PlatformConfig};
use amber_mmu::PAGE;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};
pub(super) use upgrade::SPEC_UPGRADES;

/// What a machine is built from. The section `config`: it never changes while the machine lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct MachineSpec {
    /// Versioned machine type.
    pub machine: String,
    /// Versioned CPU model.
    pub cpu: String,
    /// Features added to the model (true) or taken away, in order.
    pub features: Vec<(String, bool)>,
    pub cpus: u32,
    /// RAM, bytes.
    pub memory: u64,
    pub seed: u64,
    /// RTC at power-up, Unix seconds.
    pub rtc_start: i64,
    /// ns a processor runs before the next one's turn.
    pub quantum: u64,
    /// Bytes of firmware below 4 GiB; set when the machine is built.
    pub firmware_len: u64,
    /// Bytes of the region `boot`; set when the machine is built.
    pub boot_len: u64,
    /// Disks in order; set when the machine is built.
    pub disks: Vec<DiskSpec>,
    /// Display adapter: `std` or `text`.
    pub display: String,
    /// Bytes of the display's option ROM, behind the firmware; set when the machine is built.
    pub option_rom_len: u64,
    /// Bytes of the firmware that are a flash chip for its variables; set when the machine is built.
    pub variables_len: u64,
    /// Files for firmware, beside those every machine has.
    pub fw_cfg: Vec<FwCfgFile>,
}

/// Most bytes of all files for firmware: they are copied with the configuration.
pub const FW_CFG_MAX: u64 = 1 << 20;

/// A file in fw_cfg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct FwCfgFile {
    pub name: String,
    pub content: Vec<u8>,
}

/// A disk. Its image is known by its contents: where it is does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct DiskSpec {
    /// What it is attached to: `virtio`, `nvme`, `ahci`, `ide`, a CD's `cdrom` or `ide-cdrom`, or `floppy`.
    pub interface: String,
    /// Bytes of the base image; 0 of a drive with nothing in it.
    pub len: u64,
    /// blake3 of the base image; zeroes where there is none.
    pub hash: [u8; 32],
    /// The guest cannot write it.
    pub read_only: bool,
}

impl Section for MachineSpec {
    const KIND: &'static str = "config";
    const VERSION: u32 = 4;
}

/// The display adapters by name.
const DISPLAYS: [(&str, DisplayKind); 2] = [("std", DisplayKind::Std), ("text", DisplayKind::Text)];

impl MachineSpec {
    /// The CPU model with its feature changes.
    ///
    /// # Errors
    /// When this build has no such model, or the model no such feature.
    pub fn model(&self) -> Result<CpuModel, MachineError> {
        let Some(mut model) = CpuModel::named(&self.cpu) else {
            let known: Vec<_> = amber_cpu::cpuid::MODELS.iter().map(|model| model.name).collect();
            return Err(MachineError::Cpu(self.cpu.clone(), known.join(", ")));
        };
        for (feature, on) in &self.features {
            if !model.set_feature(feature, *on) {
                return Err(MachineError::Feature(self.cpu.clone(), feature.clone()));
            }
        }
        Ok(model)
    }

    /// The chipset's part.
    pub fn chipset(&self) -> PlatformConfig {
        PlatformConfig {
            memory_size: self.memory,
            cpus: self.cpus,
            seed: self.seed,
            rtc_start: self.rtc_start,
            firmware_len: self.firmware_len,
            disks: self.disks.iter().map(DiskSpec::device).collect(),
            display: self.display(),
            option_rom_len: self.option_rom_len,
            variables_len: self.variables_len,
            fw_cfg_files: self.fw_cfg.iter().map(|file| (file.name.clone(), file.content.clone())).collect(),
            ..PlatformConfig::default()
        }
    }

    /// The display adapter. An unknown one is refused before.
    fn display(&self) -> DisplayKind {
        DISPLAYS.iter().find(|(name, _)| *name == self.display).map_or(DisplayKind::Std, |(_, kind)| *kind)
    }

    /// Whether this build has such a display adapter.
    pub(super) fn knows_display(&self) -> bool {
        DISPLAYS.iter().any(|(name, _)| *name == self.display)
    }

    /// Pages of each region, in the order of the regions.
    pub(super) fn region_pages(&self) -> [u64; 4] {
        let pages = |bytes: u64| bytes.div_ceil(PAGE).max(1);
        [
            pages(self.memory),
            pages(self.firmware_len.saturating_add(self.option_rom_len)),
            self.display().vram_len() / PAGE,
            pages(self.boot_len),
        ]
    }
}

impl DiskSpec {
    /// Whether this build has such a disk.
    pub(super) fn is_known(&self) -> bool {
        let interface = DiskInterface::named(&self.interface);
        interface.is_some_and(|interface| !interface.is_cd() || self.read_only)
    }

    /// Whether it is a drive whose medium may change.
    pub fn is_drive(&self) -> bool {
        DiskInterface::named(&self.interface).is_some_and(DiskInterface::is_removable)
    }

    /// Whether there is anything in it.
    pub fn has_medium(&self) -> bool {
        self.len != 0
    }

    /// Another medium is in the drive, or none.
    pub(super) fn hold(&mut self, medium: Option<&MediumSpec>) {
        (self.len, self.hash) = medium.map_or((0, [0; 32]), |medium| (medium.len, medium.hash));
        let is_cd = DiskInterface::named(&self.interface).is_some_and(DiskInterface::is_cd);
        self.read_only = is_cd || medium.is_some_and(|medium| medium.read_only);
    }

    /// What the device is built from. An unknown interface is refused before.
    pub(super) fn device(&self) -> DiskConfig {
        let interface = DiskInterface::named(&self.interface).unwrap_or_default();
        DiskConfig { interface, sectors: disk::sectors(self.len), read_only: self.read_only }
    }
}
