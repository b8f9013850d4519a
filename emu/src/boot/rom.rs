//! Raw firmware images: mapped to end at 4 GiB; the chipset shows their last 128 KiB below 1 MiB as on a PC.

use super::{BootEntry, BootError, BootFile, BootImage};
use amber_devices::{OPTION_ROM_MAX, VARIABLES_MAX};

/// Largest firmware image: the flash window of the ICH9 (datasheet 9.4, FWH range) is 16 MiB.
pub const MAX_ROM: usize = 16 << 20;
const PAGE: usize = 4096;

/// Read-only memory that ends at 4 GiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RomImage {
    /// Content, a multiple of 4 KiB.
    pub bytes: Vec<u8>,
    /// The display's option ROM, a multiple of 4 KiB; empty without.
    pub option_rom: Vec<u8>,
    /// Bytes at the beginning that are a flash chip which the guest can write, for firmware's variables; 0 without.
    pub variables_len: u64,
}

/// An image that starts at the reset vector. Used for both `--rom` and `--bios`. Sizes that are no multiple of 4 KiB are
/// filled up at the front with 0xFF, as erased flash.
///
/// # Errors
/// When the image is empty, too small to hold the reset vector, or larger than 16 MiB.
pub fn load(file: BootFile) -> Result<BootImage, BootError> {
    let BootFile { name, bytes } = file;
    if bytes.is_empty() {
        return Err(BootError::Empty { file: name.into() });
    }
    if bytes.len() < 16 {
        let hint = "the reset vector alone takes 16";
        return Err(BootError::field(name, "size", format!("{} bytes", bytes.len()), hint));
    }
    if bytes.len() > MAX_ROM {
        return Err(BootError::TooLarge {
            file: name.into(),
            size: bytes.len() as u64,
            limit: MAX_ROM as u64,
        });
    }
    let size = bytes.len().next_multiple_of(PAGE);
    let mut content = vec![0xFF; size - bytes.len()];
    content.extend_from_slice(bytes);
    let rom = RomImage { bytes: content, option_rom: Vec::new(), variables_len: 0 };
    Ok(BootImage { zeros: Vec::new(), writes: Vec::new(), rom: Some(rom), entry: BootEntry::Reset })
}

/// UEFI firmware: code that ends at 4 GiB, below it a flash chip with the variables. Without variables, the code alone.
///
/// # Errors
/// As [`load`], and when the variables are no whole number of blocks or both together are larger than 16 MiB.
pub fn uefi(code: BootFile, variables: Option<BootFile>) -> Result<BootImage, BootError> {
    const BLOCK: usize = PAGE;
    let mut image = load(code)?;
    let (Some(rom), Some(BootFile { name, bytes })) = (&mut image.rom, variables) else { return Ok(image) };
    if bytes.is_empty() {
        return Err(BootError::Empty { file: name.into() });
    }
    if !bytes.len().is_multiple_of(BLOCK) {
        let hint = "a flash chip has blocks of 4096";
        return Err(BootError::field(name, "size", format!("{} bytes", bytes.len()), hint));
    }
    if bytes.len() as u64 > VARIABLES_MAX || bytes.len() + rom.bytes.len() > MAX_ROM {
        let (size, limit) = (bytes.len() as u64, VARIABLES_MAX.min((MAX_ROM - rom.bytes.len()) as u64));
        return Err(BootError::TooLarge { file: name.into(), size, limit });
    }
    rom.variables_len = bytes.len() as u64;
    rom.bytes.splice(..0, bytes.iter().copied());
    Ok(image)
}

/// An option ROM (PCI 3.0, 6.3): it says by its first bytes that it is one, and in how many blocks of 512 bytes.
///
/// # Errors
/// When it is none, is cut off, or is larger than any.
pub fn option_rom(file: BootFile) -> Result<Vec<u8>, BootError> {
    let BootFile { name, bytes } = file;
    let [0x55, 0xAA, blocks, ..] = *bytes else {
        return Err(BootError::field(name, "signature", "missing", "an option ROM starts with 55 AA"));
    };
    let (want, have) = (u64::from(blocks) * 512, bytes.len() as u64);
    if have < want {
        return Err(BootError::Truncated { file: name.into(), field: "the option ROM", want, have });
    }
    if have > OPTION_ROM_MAX {
        return Err(BootError::TooLarge { file: name.into(), size: have, limit: OPTION_ROM_MAX });
    }
    let mut content = bytes.to_vec();
    content.resize(bytes.len().next_multiple_of(PAGE), 0xFF);
    Ok(content)
}
