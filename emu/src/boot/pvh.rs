//! PVH: an ELF kernel entered in 32-bit protected mode with an `hvm_start_info` (Xen docs/misc/pvh.pandoc and
//! xen/include/public/arch-x86/hvm/start_info.h, version 1).

use super::bytes::{c_string, put, u32_at, u64_at};
use super::layout::Layout;
use super::{BootEntry, BootError, BootFile, BootImage, BootMemory, elf};
use object::Endianness;
use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
const START_MAGIC: u32 = 0x336E_C578;
const START_VERSION: u32 = 1;
const START_INFO_SIZE: usize = 56;
const MODULE_SIZE: usize = 32;
const MEMMAP_ENTRY_SIZE: usize = 24;
const FOUR_GIB: u64 = 4 << 30;
/// A note table of a sane kernel has a few dozen entries.
const MAX_NOTES: usize = 4096;

/// The 32-bit entry point named by the ELF's PVH note, `None` without such a note.
///
/// # Errors
/// When the ELF or its notes are damaged.
pub fn entry_note(kernel: BootFile) -> Result<Option<u32>, BootError> {
    if elf::is_elf64(kernel.bytes) {
        typed_entry_note::<FileHeader64<Endianness>>(kernel)
    } else {
        typed_entry_note::<FileHeader32<Endianness>>(kernel)
    }
}

fn typed_entry_note<Elf: FileHeader<Endian = Endianness>>(
    kernel: BootFile,
) -> Result<Option<u32>, BootError> {
    let bad = |e: object::read::Error| BootError::field(kernel.name, "ELF notes", e, "the file is damaged");
    let (header, endian) = elf::parse::<Elf>(kernel)?;
    for program in header.program_headers(endian, kernel.bytes).map_err(bad)? {
        let Some(mut notes) = program.notes(endian, kernel.bytes).map_err(bad)? else { continue };
        for _ in 0..MAX_NOTES {
            let Some(note) = notes.next().map_err(bad)? else { break };
            if note.name() != b"Xen" || note.n_type(endian) != XEN_ELFNOTE_PHYS32_ENTRY {
                continue;
            }
            let desc = note.desc();
            let entry = if desc.len() >= 8 { u64_at(desc, 0) } else { u32_at(desc, 0).map(u64::from) };
            let entry = entry.and_then(|entry| u32::try_from(entry).ok());
            let value = || format!("{} bytes", desc.len());
            let hint = "it must hold an address below 4 GiB";
            return entry
                .map(Some)
                .ok_or_else(|| BootError::field(kernel.name, "PHYS32_ENTRY", value(), hint));
        }
    }
    Ok(None)
}

/// Places the ELF's segments, one module, command line and `hvm_start_info`.
///
/// # Errors
/// When the ELF is damaged or something does not fit into RAM.
pub fn load(
    kernel: BootFile,
    initrd: Option<BootFile>,
    append: &str,
    memory: &BootMemory,
) -> Result<BootImage, BootError> {
    let Some(eip) = entry_note(kernel)? else {
        return Err(BootError::ElfWithoutEntry { file: kernel.name.into() });
    };
    let mut layout = Layout::new(kernel.name, memory);
    let mut writes = Vec::new();
    let (_, segments) = elf::segments(kernel)?;
    let zeros = elf::place(&segments, &mut layout, &mut writes)?;
    let mut place = |what, bytes: Vec<u8>| -> Result<u64, BootError> {
        let address = layout.lowest(what, bytes.len() as u64, 8, FOUR_GIB)?;
        writes.push((address, bytes));
        Ok(address)
    };
    let cmdline = place("the command line", c_string(append))?;
    let memmap = place("the memory map", memory_map(memory))?;
    let modlist = layout.lowest("the module list", MODULE_SIZE as u64, 8, FOUR_GIB)?;
    let start = layout.lowest("hvm_start_info", START_INFO_SIZE as u64, 8, FOUR_GIB)?;

    if let Some(initrd) = initrd {
        let address = layout.highest("the initrd", initrd.bytes.len() as u64, 0x1000, FOUR_GIB)?;
        let mut module = vec![0; MODULE_SIZE];
        put(&mut module, 0, address.to_le_bytes());
        put(&mut module, 8, (initrd.bytes.len() as u64).to_le_bytes());
        writes.push((modlist, module));
        writes.push((address, initrd.bytes.to_vec()));
    }
    let mut info = vec![0; START_INFO_SIZE];
    put(&mut info, 0, START_MAGIC.to_le_bytes());
    put(&mut info, 4, START_VERSION.to_le_bytes());
    put(&mut info, 12, u32::from(initrd.is_some()).to_le_bytes());
    put(&mut info, 16, if initrd.is_some() { modlist } else { 0 }.to_le_bytes());
    put(&mut info, 24, cmdline.to_le_bytes());
    put(&mut info, 32, memory.rsdp.unwrap_or(0).to_le_bytes());
    put(&mut info, 40, memmap.to_le_bytes());
    put(&mut info, 48, (memory.e820.len() as u32).to_le_bytes());
    writes.push((start, info));
    Ok(BootImage {
        zeros,
        writes,
        rom: None,
        entry: BootEntry::Protected32 { eip, eax: 0, ebx: start as u32 },
    })
}

fn memory_map(memory: &BootMemory) -> Vec<u8> {
    let mut map = vec![0; memory.e820.len() * MEMMAP_ENTRY_SIZE];
    for (entry, bytes) in memory.e820.iter().zip(map.chunks_exact_mut(MEMMAP_ENTRY_SIZE)) {
        put(bytes, 0, entry.addr.to_le_bytes());
        put(bytes, 8, entry.size.to_le_bytes());
        put(bytes, 16, (entry.kind as u32).to_le_bytes());
    }
    map
}
