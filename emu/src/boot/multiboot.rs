//! Multiboot 1 (GNU multiboot specification, version 0.6.96): ELF32 kernels, and raw ones whose header tells the
//! addresses ("a.out kludge").

use super::bytes::{c_string, put, u32_at};
use super::layout::Layout;
use super::{BootEntry, BootError, BootFile, BootImage, BootMemory, elf};

const HEADER_MAGIC: u32 = 0x1BAD_B002;
const LOADER_MAGIC: u32 = 0x2BAD_B002;
/// The header lies 4-byte aligned within this many bytes.
const SEARCH: usize = 8192;
const NEEDS_PAGE_ALIGN: u32 = 1 << 0;
const NEEDS_MEMORY: u32 = 1 << 1;
const HAS_ADDRESSES: u32 = 1 << 16;
/// Bits 0 to 15 are requirements; a loader must refuse those it does not know.
const KNOWN_NEEDS: u32 = NEEDS_PAGE_ALIGN | NEEDS_MEMORY;
const INFO_SIZE: usize = 88;
const INFO_MEMORY: u32 = 1 << 0;
const INFO_CMDLINE: u32 = 1 << 2;
const INFO_MODS: u32 = 1 << 3;
const INFO_MMAP: u32 = 1 << 6;
const INFO_LOADER_NAME: u32 = 1 << 9;
const FOUR_GIB: u64 = 4 << 30;

/// Ranges (address, bytes) the kernel is promised zero.
type Zeros = Vec<(u64, u64)>;

/// Where the multiboot header lies in the file and its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub offset: usize,
    pub flags: u32,
}

/// Finds a header with a correct checksum.
#[must_use]
pub fn find_header(bytes: &[u8]) -> Option<Header> {
    let end = bytes.len().min(SEARCH);
    (0..end).step_by(4).find_map(|offset| {
        let field = |at| u32_at(bytes, offset + at);
        let (magic, flags, checksum) = (field(0)?, field(4)?, field(8)?);
        let sum = magic.wrapping_add(flags).wrapping_add(checksum);
        (magic == HEADER_MAGIC && sum == 0).then_some(Header { offset, flags })
    })
}

/// Places the kernel, one module, command line, memory map and information structure.
///
/// # Errors
/// When the header asks for something unknown, the image is damaged, or something does not fit into RAM.
pub fn load(
    kernel: BootFile,
    initrd: Option<BootFile>,
    append: &str,
    memory: &BootMemory,
) -> Result<BootImage, BootError> {
    let Some(header) = find_header(kernel.bytes) else {
        let hint = "no multiboot 1 header in the first 8 KiB";
        return Err(BootError::field(kernel.name, "multiboot magic", "missing", hint));
    };
    if header.flags & 0xFFFF & !KNOWN_NEEDS != 0 {
        let hint =
            "it requires more than aligned modules and a memory map (a video mode?), which is not offered";
        return Err(BootError::field(kernel.name, "multiboot flags", format!("{:#x}", header.flags), hint));
    }
    let mut layout = Layout::new(kernel.name, memory);
    let mut writes = Vec::new();
    let (eip, zeros) = if header.flags & HAS_ADDRESSES != 0 {
        place_by_addresses(kernel, header, &mut layout, &mut writes)?
    } else {
        place_elf(kernel, &mut layout, &mut writes)?
    };
    let ebx = place_info(kernel, initrd, append, memory, &mut layout, &mut writes)?;
    Ok(BootImage { zeros, writes, rom: None, entry: BootEntry::Protected32 { eip, eax: LOADER_MAGIC, ebx } })
}

fn place_elf(
    kernel: BootFile,
    layout: &mut Layout,
    writes: &mut Vec<(u64, Vec<u8>)>,
) -> Result<(u32, Zeros), BootError> {
    if elf::is_elf64(kernel.bytes) {
        let hint = "multiboot 1 starts 32-bit ELFs only: objcopy -O elf32-i386";
        return Err(BootError::field(kernel.name, "ELF class", "64-bit", hint));
    }
    let (entry, segments) = elf::segments(kernel)?;
    let zeros = elf::place(&segments, layout, writes)?;
    Ok((elf::physical_entry(entry, &segments) as u32, zeros))
}

fn place_by_addresses(
    kernel: BootFile,
    header: Header,
    layout: &mut Layout,
    writes: &mut Vec<(u64, Vec<u8>)>,
) -> Result<(u32, Zeros), BootError> {
    let field = |at: usize, name| {
        let have = kernel.bytes.len() as u64;
        let truncated = || BootError::Truncated { file: kernel.name.into(), field: name, want: 32, have };
        u32_at(kernel.bytes, header.offset + at).ok_or_else(truncated)
    };
    let header_addr = field(12, "header_addr")?;
    let load_addr = field(16, "load_addr")?;
    let load_end = field(20, "load_end_addr")?;
    let bss_end = field(24, "bss_end_addr")?;
    let entry = field(28, "entry_addr")?;
    let damaged = |name, value: u32, hint| BootError::field(kernel.name, name, format!("{value:#x}"), hint);
    let before = header_addr.checked_sub(load_addr).map(|before| before as usize);
    let Some(start) = before.and_then(|before| header.offset.checked_sub(before)) else {
        return Err(damaged("load_addr", load_addr, "the text before the header must lie in the file"));
    };
    let bytes = &kernel.bytes[start..];
    let size = match load_end {
        0 => bytes.len(),
        end => match end.checked_sub(load_addr) {
            Some(size) if size as usize <= bytes.len() => size as usize,
            _ => {
                return Err(damaged(
                    "load_end_addr",
                    load_end,
                    "it lies outside the file; the file is truncated",
                ));
            }
        },
    };
    let loaded_end = u64::from(load_addr) + size as u64;
    let end = if bss_end == 0 { loaded_end } else { u64::from(bss_end) };
    if end < loaded_end {
        return Err(damaged("bss_end_addr", bss_end, "it lies below the end of the loaded part"));
    }
    layout.claim_free("the kernel", load_addr.into(), end - u64::from(load_addr))?;
    writes.push((load_addr.into(), bytes[..size].to_vec()));
    Ok((entry, vec![(loaded_end, end - loaded_end)]))
}

fn place_info(
    kernel: BootFile,
    initrd: Option<BootFile>,
    append: &str,
    memory: &BootMemory,
    layout: &mut Layout,
    writes: &mut Vec<(u64, Vec<u8>)>,
) -> Result<u32, BootError> {
    let mut place = |what, bytes: Vec<u8>| -> Result<u32, BootError> {
        let address = layout.lowest(what, bytes.len() as u64, 8, FOUR_GIB)?;
        writes.push((address, bytes));
        Ok(address as u32)
    };
    // The first word of a multiboot command line is the kernel's name.
    let name = kernel.name.rsplit('/').next().unwrap_or("kernel");
    let cmdline = place("the command line", c_string(format!("{name} {append}").trim_end()))?;
    let map = memory_map(memory);
    let map_size = map.len() as u32;
    let map = place("the memory map", map)?;
    let loader = place("the loader's name", c_string("Amber"))?;
    let module_name = place("the module's name", c_string(initrd.map_or("", |file| file.name)))?;
    let modules = layout.lowest("the module list", 16, 8, FOUR_GIB)? as u32;
    let info_address = layout.lowest("the information structure", INFO_SIZE as u64, 8, FOUR_GIB)? as u32;

    let mut info = vec![0; INFO_SIZE];
    let mut set = |at, value: u32| put(&mut info, at, value.to_le_bytes());
    let kib = |bytes: u64| u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
    set(0, INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_LOADER_NAME);
    set(4, kib(memory.low_ram_end.min(0xA_0000)));
    set(8, kib(memory.low_ram_end.saturating_sub(0x10_0000)));
    set(16, cmdline);
    set(20, initrd.is_some().into());
    set(24, modules);
    set(44, map_size);
    set(48, map);
    set(64, loader);
    writes.push((info_address.into(), info));
    if let Some(initrd) = initrd {
        let size = initrd.bytes.len() as u64;
        let start = layout.highest("the module", size, 0x1000, FOUR_GIB)?;
        let fields = [start as u32, (start + size) as u32, module_name, 0];
        writes.push((modules.into(), fields.into_iter().flat_map(u32::to_le_bytes).collect()));
        writes.push((start, initrd.bytes.to_vec()));
    }
    Ok(info_address)
}

/// Entries of 20 bytes, each behind its size.
fn memory_map(memory: &BootMemory) -> Vec<u8> {
    let mut map = Vec::with_capacity(memory.e820.len() * 24);
    for entry in &memory.e820 {
        map.extend(20u32.to_le_bytes());
        map.extend(entry.addr.to_le_bytes());
        map.extend(entry.size.to_le_bytes());
        map.extend((entry.kind as u32).to_le_bytes());
    }
    map
}
