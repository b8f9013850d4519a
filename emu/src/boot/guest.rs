//! From the guest a configuration names to its boot image: the only part of boot loading that reads files.

use super::{BootError, BootFile, BootImage, BootMemory, flat, installed, load_kernel, read_file, rom};
use crate::config::{Bios, Firmware, Guest, Uefi};
use std::path::{Path, PathBuf};

/// Content of a first-party image, built from `roms/`.
fn embedded(firmware: Firmware) -> &'static [u8] {
    match firmware {
        Firmware::Monitor => include_bytes!("../../../roms/monitor/image.bin"),
        Firmware::Selftest => include_bytes!("../../../roms/selftest/image.bin"),
        Firmware::Interrupts => include_bytes!("../../../roms/interrupts/image.bin"),
        Firmware::Paging => include_bytes!("../../../roms/paging/image.bin"),
        Firmware::Smp => include_bytes!("../../../roms/smp/image.bin"),
        Firmware::Requests => include_bytes!("../../../roms/requests/image.bin"),
    }
}

/// Reads the guest's files and loads them.
///
/// # Errors
/// Names the file, the field and what to do; see [`BootError`].
pub fn load_guest(guest: &Guest, memory: &BootMemory) -> Result<BootImage, BootError> {
    let name = |path: &Path| path.display().to_string();
    match *guest {
        Guest::Kernel { kernel, initrd, append } => {
            let (kernel_name, kernel) = (name(kernel), read_file(kernel)?);
            let initrd = initrd.map(|path| Ok::<_, BootError>((name(path), read_file(path)?))).transpose()?;
            let initrd = initrd.as_ref().map(|(name, bytes)| BootFile { name, bytes });
            load_kernel(BootFile { name: &kernel_name, bytes: &kernel }, initrd, append, memory)
        }
        Guest::Bios(bios) => {
            let path = bios_file(bios)?;
            rom::load(BootFile { name: &name(&path), bytes: &read_file(&path)? })
        }
        Guest::Uefi(uefi) => load_uefi(uefi),
        Guest::Rom(path) => rom::load(BootFile { name: &name(path), bytes: &read_file(path)? }),
        Guest::Flat(image) => {
            let file = BootFile { name: &name(&image.file), bytes: &read_file(&image.file)? };
            flat::load(file, image.address, memory)
        }
        Guest::Snapshot(name) => Err(BootError::Snapshot(name.to_owned())),
        Guest::Embedded(firmware) => {
            rom::load(BootFile { name: &firmware.to_string(), bytes: embedded(firmware) })
        }
    }
}

/// The file of a BIOS.
///
/// # Errors
/// When it is named, not as a file, and not installed.
pub fn bios_file(bios: &Bios) -> Result<PathBuf, BootError> {
    match bios {
        Bios::SeaBios => installed::seabios(),
        Bios::File(file) => Ok(file.clone()),
    }
}

fn load_uefi(uefi: &Uefi) -> Result<BootImage, BootError> {
    let code = uefi.code.clone().map_or_else(installed::ovmf, Ok)?;
    let variables = uefi.vars.clone().or_else(|| installed::variables(&code));
    let variables = variables
        .map(|file| Ok::<_, BootError>((file.display().to_string(), read_file(&file)?)))
        .transpose()?;
    let variables = variables.as_ref().map(|(name, bytes)| BootFile { name, bytes });
    rom::uefi(BootFile { name: &code.display().to_string(), bytes: &read_file(&code)? }, variables)
}
