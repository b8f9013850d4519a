//! From a configuration to a machine.

use crate::boot::{self, BootFile, BootImage, BootMemory, read_file};
use crate::config::{Firmware, Guest, MachineConfig};
use crate::machine::{Machine, MachineError, MachineSpec};
use amber_cpu::CpuModel;
use amber_devices::{PlatformConfig, RamLayout, place_tables};
use anyhow::{Context, Result, anyhow};
use std::path::Path;

/// The bytes of an embedded first-party image.
pub fn embedded(firmware: Firmware) -> &'static [u8] {
    match firmware {
        Firmware::Monitor => include_bytes!("../../../roms/monitor/image.bin"),
        Firmware::Selftest => include_bytes!("../../../roms/selftest/image.bin"),
        Firmware::Interrupts => include_bytes!("../../../roms/interrupts/image.bin"),
        Firmware::Paging => include_bytes!("../../../roms/paging/image.bin"),
        Firmware::Smp => include_bytes!("../../../roms/smp/image.bin"),
    }
}

/// The CPU model a configuration chooses, with its feature changes.
fn cpu_model(config: &MachineConfig) -> Result<CpuModel> {
    let name = &config.cpu.model;
    let mut model = CpuModel::named(name).ok_or_else(|| {
        let known: Vec<_> = amber_cpu::cpuid::MODELS.iter().map(|model| model.name).collect();
        anyhow!("cpu {name}: there is no such model; this build knows {}", known.join(", "))
    })?;
    for (feature, on) in &config.cpu.features {
        if !model.set_feature(feature, *on) {
            return Err(anyhow!("cpu {name}: it has no feature named {feature}"));
        }
    }
    Ok(model)
}

/// Builds the machine a configuration describes, ready to run.
///
/// # Errors
/// One sentence naming the file, field or option at fault.
pub fn machine(config: &MachineConfig) -> Result<Machine> {
    let guest = config.guest()?;
    let memory = config.memory.bytes();
    let spec = MachineSpec {
        model: cpu_model(config)?,
        cpus: config.cpus,
        memory,
        seed: config.seed.0,
        rtc_start: config.rtc.unix_seconds() as i64,
        quantum: config.quantum,
    };
    let mut chipset = PlatformConfig {
        memory_size: memory,
        cpus: config.cpus,
        rtc_start: spec.rtc_start,
        ..PlatformConfig::default()
    };
    let ram = RamLayout::new(memory);
    let firmware = |path: &Path| -> Result<BootImage> {
        let bytes = read_file(path)?;
        Ok(boot::rom::load(BootFile { name: &path.display().to_string(), bytes: &bytes })?)
    };
    let direct = BootMemory::pc(memory, ram.low, Some(amber_devices::acpi::RSDP_ADDRESS));
    let (image, tables) = match guest {
        Guest::Embedded(which) => {
            let name = which.to_string();
            (boot::rom::load(BootFile { name: &name, bytes: embedded(which) })?, Vec::new())
        }
        Guest::Bios(path) | Guest::Rom(path) => (firmware(path)?, Vec::new()),
        Guest::Kernel { kernel, initrd, append } => {
            let image = kernel_image(kernel, initrd, append, &direct)?;
            (image, place_tables(&chipset))
        }
        Guest::Flat(flat) => {
            let bytes = read_file(&flat.file)?;
            let name = flat.file.display().to_string();
            let image = boot::flat::load(BootFile { name: &name, bytes: &bytes }, flat.address, &direct)?;
            (image, place_tables(&chipset))
        }
    };
    chipset.firmware = image.rom.as_ref().map(|rom| rom.bytes.clone());
    Machine::new(spec, &chipset, image, tables).map_err(|e: MachineError| anyhow!(e))
}

fn kernel_image(
    kernel: &Path,
    initrd: Option<&Path>,
    append: &str,
    memory: &BootMemory,
) -> Result<BootImage> {
    let kernel_bytes = read_file(kernel)?;
    let initrd_bytes = initrd.map(read_file).transpose().context("--initrd")?;
    let kernel_name = kernel.display().to_string();
    let initrd_name = initrd.map(|path| path.display().to_string()).unwrap_or_default();
    let initrd = initrd_bytes.as_deref().map(|bytes| BootFile { name: &initrd_name, bytes });
    Ok(boot::load_kernel(BootFile { name: &kernel_name, bytes: &kernel_bytes }, initrd, append, memory)?)
}
