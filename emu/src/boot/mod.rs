//! Boot loading: turns guest files into writes to guest memory and an entry state.
//!
//! Everything here is a pure function of bytes and a memory map; the machine applies the result. Nothing a file
//! contains can make a loader panic or allocate more than a small multiple of the file's size.

mod bytes;
pub mod bzimage;
mod elf;
mod error;
pub mod flat;
mod guest;
pub mod installed;
mod layout;
mod long_mode;
pub mod multiboot;
pub mod pvh;
pub mod rom;
#[cfg(test)]
mod tests;

use crate::files;
pub use error::BootError;
pub use guest::{bios_file, load_guest};
pub use long_mode::DescriptorTable;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Largest guest file the loaders read: nothing larger fits below 4 GiB beside the machine's own windows.
pub const MAX_FILE: u64 = 3 << 30;

/// A file's content with the name to use in errors.
#[derive(Clone, Copy, Debug)]
pub struct BootFile<'a> {
    pub name: &'a str,
    pub bytes: &'a [u8],
}

/// Kind of a range in the firmware memory map (ACPI 6.5, 15: Address Range Types).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum E820Kind {
    Ram = 1,
    Reserved = 2,
    AcpiReclaimable = 3,
    AcpiNvs = 4,
}

/// One range of the firmware memory map, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct E820Entry {
    pub addr: u64,
    pub size: u64,
    pub kind: E820Kind,
}

/// What a loader must know about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootMemory {
    /// The map given to the guest. Only ranges of kind RAM are ever written.
    pub e820: Vec<E820Entry>,
    /// End of the RAM that starts at 1 MiB (guest-physical), for multiboot's `mem_upper`.
    pub low_ram_end: u64,
    /// End of the RAM that starts at 4 GiB; 4 GiB when there is none.
    pub high_ram_end: u64,
    /// Guest-physical address of the ACPI RSDP, if the machine placed tables.
    pub rsdp: Option<u64>,
}

impl BootMemory {
    /// The map of a PC with `ram` bytes below the PCI hole at `hole` and the rest from 4 GiB on. The 128 KiB below
    /// 1 MiB are reserved, and so is 0x9FC00..0xA0000 (extended BIOS data area).
    #[must_use]
    pub fn pc(ram: u64, hole: u64, rsdp: Option<u64>) -> Self {
        let entry = |addr, end: u64, kind| E820Entry { addr, size: end - addr, kind };
        let low_ram_end = ram.min(hole);
        let mut e820 = vec![entry(0, low_ram_end.min(0x9_FC00), E820Kind::Ram)];
        if low_ram_end > 0x9_FC00 {
            e820.push(entry(0x9_FC00, 0xA_0000, E820Kind::Reserved));
            e820.push(entry(0xE_0000, 0x10_0000, E820Kind::Reserved));
        }
        if low_ram_end > 0x10_0000 {
            e820.push(entry(0x10_0000, low_ram_end, E820Kind::Ram));
        }
        let high_ram_end = (4u64 << 30) + (ram - low_ram_end);
        if high_ram_end > 4 << 30 {
            e820.push(entry(4 << 30, high_ram_end, E820Kind::Ram));
        }
        Self { e820, low_ram_end, high_ram_end, rsdp }
    }
}

/// Guest memory to write and the state to start the boot processor in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootImage {
    /// RAM (guest-physical address, bytes) that must be zero before the writes, as it is at power-up.
    pub zeros: Vec<(u64, u64)>,
    /// RAM writes (guest-physical address, bytes), in order.
    pub writes: Vec<(u64, Vec<u8>)>,
    /// Read-only memory to map.
    pub rom: Option<rom::RomImage>,
    pub entry: BootEntry,
}

/// How the boot processor starts. Registers not named keep their values after reset; interrupts are off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BootEntry {
    /// At the reset vector, F000:FFF0.
    Reset,
    /// In 64-bit mode: CR0 = PE|ET|NE|WP|PG, CR4 = PAE, EFER = LME|LMA.
    Long64 {
        rip: u64,
        rsp: u64,
        rsi: u64,
        cr3: u64,
        gdt: DescriptorTable,
        /// Selector of a flat 64-bit code segment in `gdt`.
        cs: u16,
        /// Selector of a flat writable data segment in `gdt`, for DS, ES, FS, GS and SS.
        ds: u16,
    },
    /// In 32-bit protected mode, paging off, flat segments (base 0, limit 4 GiB) and CR0 = PE|ET. The hidden parts are
    /// what counts: neither PVH nor multiboot promises a GDT. TR holds a 32-bit TSS of base 0, limit 0x67.
    Protected32 { eip: u32, eax: u32, ebx: u32 },
}

/// What `--kernel` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelKind {
    /// Linux bzImage (Documentation/arch/x86/boot.rst).
    BzImage,
    /// ELF with a PVH entry note (Xen docs/misc/pvh.pandoc).
    Pvh,
    /// Multiboot 1 kernel (GNU multiboot specification 0.6.96).
    Multiboot,
}

/// Tells what kind of kernel `file` is.
///
/// # Errors
/// When it is none of the three; the sentence says what was found.
pub fn recognise(file: BootFile) -> Result<KernelKind, BootError> {
    if file.bytes.is_empty() {
        return Err(BootError::Empty { file: file.name.into() });
    }
    if bzimage::is_bzimage(file.bytes) {
        return Ok(KernelKind::BzImage);
    }
    if multiboot::find_header(file.bytes).is_some() {
        return Ok(KernelKind::Multiboot);
    }
    if !elf::is_elf(file.bytes) {
        let first: Vec<_> = file.bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        return Err(BootError::Unrecognised { file: file.name.into(), first: first.join(" ") });
    }
    match pvh::entry_note(file)? {
        Some(_) => Ok(KernelKind::Pvh),
        None => Err(BootError::ElfWithoutEntry { file: file.name.into() }),
    }
}

/// Loads a kernel of any recognised kind. `initrd` is Linux' initrd or the only module of PVH and multiboot.
///
/// # Errors
/// Names the file, the field and what to do; see [`BootError`].
pub fn load_kernel(
    kernel: BootFile,
    initrd: Option<BootFile>,
    append: &str,
    memory: &BootMemory,
) -> Result<BootImage, BootError> {
    match recognise(kernel)? {
        KernelKind::BzImage => bzimage::load(kernel, initrd, append, memory),
        KernelKind::Pvh => pvh::load(kernel, initrd, append, memory),
        KernelKind::Multiboot => multiboot::load(kernel, initrd, append, memory),
    }
}

/// Reads a guest file whole.
///
/// # Errors
/// When it cannot be read, is a directory, is empty or is larger than [`MAX_FILE`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, BootError> {
    let file = || path.display().to_string();
    let read_error = |cause| BootError::Read { file: file(), cause };
    let meta = std::fs::metadata(path).map_err(read_error)?;
    if meta.is_dir() {
        return Err(BootError::Directory { file: file() });
    }
    if meta.len() > MAX_FILE {
        return Err(BootError::TooLarge { file: file(), size: meta.len(), limit: MAX_FILE });
    }
    let bytes = files::read(path, MAX_FILE).map_err(read_error)?;
    if bytes.is_empty() {
        return Err(BootError::Empty { file: file() });
    }
    Ok(bytes)
}
