//! From a configuration to a machine.

use crate::boot::{self, BootFile, BootMemory};
use crate::config::{DiskChoice, Guest, MachineConfig, VgaBios};
use crate::disk::{Access, Base, Purpose, sectors};
use crate::machine::{DiskImage, Equipment, Machine, MachineSpec, NicSpec};
use amber_devices::{DiskInterface, DisplayKind, RamLayout, is_diskette, place_tables};
use anyhow::{Result, bail};

/// Builds the machine a configuration describes, ready to run.
///
/// # Errors
/// One sentence naming the file, field or option at fault.
pub fn machine(config: &MachineConfig) -> Result<Machine> {
    let guest = config.guest()?;
    let memory = config.memory.bytes();
    let images = disks(config)?;
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
        disks: images.iter().map(DiskImage::spec).collect(),
        display: config.vga.to_string(),
        option_rom_len: 0,
    };
    let direct = BootMemory::pc(memory, RamLayout::new(memory).low, Some(amber_devices::acpi::RSDP_ADDRESS));
    let mut image = boot::load_guest(&guest, &direct)?;
    if let Some(rom) = &mut image.rom {
        rom.option_rom = option_rom(config, &guest)?;
    }
    // Without firmware nobody else places the tables.
    let tables = if image.rom.is_some() { Vec::new() } else { place_tables(&spec.chipset()) };
    let equipment = Equipment {
        peripherals: config.device.iter().map(|device| device.0).collect(),
        nic: config.net.nic().map(|nic| NicSpec::new(nic.model(), nic.mac().0)),
    };
    let mut machine = Machine::equipped(spec, image, tables, &images, equipment)?;
    machine.set_engine(config.engine.into());
    Ok(machine)
}

/// The display's option ROM: the one named, else the one of SeaBIOS that lies beside the BIOS. Only a BIOS runs it.
fn option_rom(config: &MachineConfig, guest: &Guest) -> Result<Vec<u8>> {
    const SEABIOS: &str = "vgabios-stdvga.bin";
    let (Guest::Bios(bios), DisplayKind::Std) = (guest, config.vga.0) else { return Ok(Vec::new()) };
    let file = match &config.vga_bios {
        Some(VgaBios::None) => return Ok(Vec::new()),
        Some(VgaBios::File(file)) => file.clone(),
        None => bios.with_file_name(SEABIOS),
    };
    if config.vga_bios.is_none() && !file.exists() {
        return Ok(Vec::new());
    }
    let name = file.display().to_string();
    Ok(boot::rom::option_rom(BootFile { name: &name, bytes: &boot::read_file(&file)? })?)
}

/// Opens the images of the disks.
fn disks(config: &MachineConfig) -> Result<Vec<DiskImage>> {
    let open = |disk: &DiskChoice| -> Result<DiskImage> {
        let purpose = if disk.write_through { Purpose::WriteThrough } else { Purpose::Read };
        let access = Access { format: disk.format, purpose };
        let base = Base::open_as(&disk.file, access)?;
        if disk.interface == DiskInterface::Floppy && !is_diskette(sectors(base.len())) {
            bail!(
                "disk image {}: it has {} bytes, as no diskette of 160, 180, 320, 360, 720, 1200, 1440 or 2880 KiB has",
                disk.file.display(),
                base.len()
            );
        }
        Ok(DiskImage { base, interface: disk.interface, read_only: disk.read_only })
    };
    config.media().iter().map(open).collect()
}
