//! From the guest a configuration names to its boot image: the only part of boot loading that reads files.

use super::{BootError, BootFile, BootImage, BootMemory, flat, load_kernel, read_file, rom};
use crate::config::{Firmware, Guest};
use std::path::Path;

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
        Guest::Bios(path) | Guest::Rom(path) => {
            rom::load(BootFile { name: &name(path), bytes: &read_file(path)? })
        }
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
