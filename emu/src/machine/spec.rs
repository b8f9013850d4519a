//! What a machine is built from.

use super::MachineError;
use crate::disk;
use amber_cpu::CpuModel;
use amber_devices::{DiskConfig, PlatformConfig};
use amber_mmu::PAGE;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

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
}

/// A disk. Its image is known by its contents: where it is does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct DiskSpec {
    /// What it is attached to: `virtio`.
    pub interface: String,
    /// Bytes of the base image.
    pub len: u64,
    /// blake3 of the base image.
    pub hash: [u8; 32],
    /// The guest cannot write it.
    pub read_only: bool,
}

impl Section for MachineSpec {
    const KIND: &'static str = "config";
    const VERSION: u32 = 2;
}

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
            rtc_start: self.rtc_start,
            firmware_len: self.firmware_len,
            disks: self.disks.iter().map(DiskSpec::device).collect(),
            ..PlatformConfig::default()
        }
    }

    /// Pages of each region, in the order of the regions.
    pub(super) fn region_pages(&self) -> [u64; 4] {
        let pages = |bytes: u64| bytes.div_ceil(PAGE).max(1);
        [
            pages(self.memory),
            pages(self.firmware_len),
            amber_devices::map::VRAM_LEN / PAGE,
            pages(self.boot_len),
        ]
    }
}

impl DiskSpec {
    /// What the device is built from.
    fn device(&self) -> DiskConfig {
        DiskConfig { sectors: disk::sectors(self.len), read_only: self.read_only }
    }
}
