//! From a configuration to a machine.

use crate::boot::{self, BootFile, BootMemory};
use crate::config::{DriveChoice, FwCfgChoice, Guest, MachineConfig, VgaBios};
use crate::disk::{Access, Base, Purpose, sectors};
use crate::machine::{
    Attachment, CpuParts, DiskImage, DiskSpec, Equipment, FW_CFG_MAX, FunctionParts, FwCfgFile, Hotplug,
    Machine, MachineSpec, Media, MemoryParts, NicSpec, ShareSpec,
};
use amber_devices::{
    BootDevice, DiskConfig, DiskInterface, DisplayKind, NicModel, RamLayout, SYSTEM_STATES, boot_order,
    is_diskette, place_tables, system_states,
};
use anyhow::{Context, Result, bail};

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
        disks: images.iter().map(Attachment::spec).collect(),
        display: config.vga.to_string(),
        option_rom_len: 0,
        variables_len: 0,
        fw_cfg: fw_cfg(config, &guest)?,
    };
    let peripherals = config.device.iter().map(|device| device.0).collect();
    let nic = config.net.nic().map(|nic| NicSpec::new(nic.model(), nic.mac().0));
    let share = config.share.as_ref().map(|share| ShareSpec {
        tag: share.tag.clone(),
        size: share.size.bytes(),
        read_only: share.read_only,
    });
    let hotplug = hotplug(config, &spec.disks);
    let equipment = Equipment { peripherals, nic, share, hotplug, media: Media::default() };
    let direct = BootMemory::pc(memory, RamLayout::new(memory).low, Some(amber_devices::acpi::RSDP_ADDRESS));
    let mut image = boot::load_guest(&guest, &direct)?;
    if let Some(rom) = &mut image.rom {
        rom.option_rom = option_rom(config, &guest)?;
    }
    // Without firmware nobody else places the tables.
    let chipset = equipment.chipset(spec.chipset());
    let tables = if image.rom.is_some() { Vec::new() } else { place_tables(&chipset) };
    let mut machine = Machine::equipped(spec, image, tables, &images, equipment)?;
    if let Some(share) = &config.share {
        machine.fill_share(&share.folder).context("--share")?;
    }
    machine.set_engine(config.engine.into());
    Ok(machine)
}

/// What may come and go.
fn hotplug(config: &MachineConfig, disks: &[DiskSpec]) -> Hotplug {
    let modules = config.memory_slots.zip(config.memory_max);
    Hotplug {
        cpus: config.cpus_max.map(|max| CpuParts::new(config.cpus, max)),
        functions: config.pci_hotplug.then(|| FunctionParts::new(disks)),
        memory: modules.map(|(slots, max)| MemoryParts::new(slots, max.bytes())),
    }
}

/// The display's option ROM: the one named, else the one of SeaBIOS that lies beside the BIOS. Only a BIOS runs it.
fn option_rom(config: &MachineConfig, guest: &Guest) -> Result<Vec<u8>> {
    const SEABIOS: &str = "vgabios-stdvga.bin";
    let (Guest::Bios(bios), DisplayKind::Std) = (guest, config.vga.0) else { return Ok(Vec::new()) };
    let file = match &config.vga_bios {
        Some(VgaBios::None) => return Ok(Vec::new()),
        Some(VgaBios::File(file)) => file.clone(),
        None => boot::bios_file(bios)?.with_file_name(SEABIOS),
    };
    if config.vga_bios.is_none() && !file.exists() {
        return Ok(Vec::new());
    }
    let name = file.display().to_string();
    Ok(boot::rom::option_rom(BootFile { name: &name, bytes: &boot::read_file(&file)? })?)
}

/// Opens the images of the disks.
fn disks(config: &MachineConfig) -> Result<Vec<Attachment>> {
    let open = |disk: &DriveChoice| -> Result<Attachment> {
        let Some(file) = &disk.file else { return Ok(Attachment::Empty(disk.interface)) };
        let purpose = if disk.write_through { Purpose::WriteThrough } else { Purpose::Read };
        let access = Access { format: disk.format, purpose };
        let base = Base::open_as(file, access)?;
        if disk.interface == DiskInterface::Floppy && !is_diskette(sectors(base.len())) {
            bail!(
                "disk image {}: it has {} bytes, as no diskette of 160, 180, 320, 360, 720, 1200, 1440 or 2880 KiB has",
                file.display(),
                base.len()
            );
        }
        let image = DiskImage { base, interface: disk.interface, read_only: disk.read_only };
        Ok(Attachment::Disk(image))
    };
    config.media().iter().map(open).collect()
}

/// Whether firmware can boot from the network: adapters have no option ROM, and OVMF has a driver for virtio alone.
fn check_network_boot(config: &MachineConfig, guest: &Guest) -> Result<()> {
    match config.net.nic() {
        None => bail!("--boot network: there is no network adapter; add one with --net"),
        Some(nic) if nic.model() != NicModel::Virtio || !matches!(guest, Guest::Uefi(_)) => {
            bail!(
                "--boot network: only OVMF has a driver for a network adapter, and for virtio alone; use --uefi and model=virtio"
            )
        }
        Some(_) => Ok(()),
    }
}

/// Files for firmware: those the user has, and what it is told of the boot.
fn fw_cfg(config: &MachineConfig, guest: &Guest) -> Result<Vec<FwCfgFile>> {
    let mut files = config
        .fw_cfg
        .iter()
        .map(|FwCfgChoice { name, file }| {
            Ok(FwCfgFile { name: name.clone(), content: boot::read_file(file)? })
        })
        .collect::<Result<Vec<_>>>()?;
    let has_firmware = matches!(guest, Guest::Bios(_) | Guest::Uefi(_));
    if has_firmware && !files.iter().any(|file| file.name == SYSTEM_STATES) {
        files.push(FwCfgFile { name: SYSTEM_STATES.to_owned(), content: system_states(true) });
    }
    if let Some(boot) = &config.boot {
        let device = |disk: &DriveChoice| DiskConfig {
            interface: disk.interface,
            sectors: 1,
            read_only: disk.read_only,
        };
        let disks: Vec<DiskConfig> = config.media().iter().map(device).collect();
        let mut tell =
            |name: &str, content: Vec<u8>| files.push(FwCfgFile { name: name.to_owned(), content });
        if boot.devices.contains(&BootDevice::Network) {
            check_network_boot(config, guest)?;
        }
        if !boot.devices.is_empty() {
            tell("bootorder", boot_order(&disks, &boot.devices));
        }
        let wait = |ms: u16| ms.to_le_bytes().to_vec();
        boot.menu.into_iter().for_each(|ms| tell("etc/boot-menu-wait", wait(ms)));
        boot.retry
            .into_iter()
            .for_each(|ms| tell("etc/boot-fail-wait", u32::from(ms).to_le_bytes().to_vec()));
    }
    let bytes: u64 = files.iter().map(|file| file.content.len() as u64).sum();
    if bytes > FW_CFG_MAX {
        bail!("the files of --fw-cfg have {bytes} bytes, more than the {FW_CFG_MAX} a machine keeps");
    }
    Ok(files)
}
