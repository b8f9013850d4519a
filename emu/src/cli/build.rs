//! From a configuration to a machine.

use crate::boot::{self, BootMemory};
use crate::config::{DiskChoice, MachineConfig};
use crate::disk::Base;
use crate::machine::{DiskImage, Machine, MachineSpec};
use amber_devices::{RamLayout, place_tables};
use anyhow::Result;

/// Builds the machine a configuration describes, ready to run.
///
/// # Errors
/// One sentence naming the file, field or option at fault.
pub fn machine(config: &MachineConfig) -> Result<Machine> {
    let guest = config.guest()?;
    let memory = config.memory.bytes();
    let spec = MachineSpec {
        machine: config.machine.to_string(),
        cpu: config.cpu.model.clone(),
        features: config.cpu.features.clone(),
        cpus: config.cpus,
        memory,
        seed: config.seed.0,
        rtc_start: config.rtc.unix_seconds() as i64,
        quantum: config.quantum,
        firmware_len: 0,
        boot_len: 0,
        disks: Vec::new(),
    };
    let direct = BootMemory::pc(memory, RamLayout::new(memory).low, Some(amber_devices::acpi::RSDP_ADDRESS));
    let image = boot::load_guest(&guest, &direct)?;
    // Without firmware nobody else places the tables.
    let tables = if image.rom.is_some() { Vec::new() } else { place_tables(&spec.chipset()) };
    let mut machine = Machine::with_disks(spec, image, tables, &disks(config)?)?;
    machine.set_engine(config.engine.into());
    Ok(machine)
}

/// Opens the images of the disks.
fn disks(config: &MachineConfig) -> Result<Vec<DiskImage>> {
    let open = |disk: &DiskChoice| -> Result<DiskImage> {
        Ok(DiskImage { base: Base::open(&disk.file)?, read_only: disk.read_only })
    };
    config.disk.iter().map(open).collect()
}
