//! Linux bzImage by the 64-bit boot protocol (kernel Documentation/arch/x86/boot.rst and zero-page.rst).

use super::bytes::{array, c_string, put, u16_at, u32_at, u64_at};
use super::layout::Layout;
use super::{BootError, BootFile, BootImage, BootMemory, long_mode};

/// Offsets in the setup header, the same in the file and in `boot_params`.
mod header {
    pub const SETUP_SECTS: usize = 0x1F1;
    pub const SYSSIZE: usize = 0x1F4;
    pub const BOOT_FLAG: usize = 0x1FE;
    pub const JUMP: usize = 0x200;
    pub const MAGIC: usize = 0x202;
    pub const VERSION: usize = 0x206;
    pub const TYPE_OF_LOADER: usize = 0x210;
    pub const LOADFLAGS: usize = 0x211;
    pub const CODE32_START: usize = 0x214;
    pub const RAMDISK_IMAGE: usize = 0x218;
    pub const RAMDISK_SIZE: usize = 0x21C;
    pub const CMD_LINE_PTR: usize = 0x228;
    pub const INITRD_ADDR_MAX: usize = 0x22C;
    pub const KERNEL_ALIGNMENT: usize = 0x230;
    pub const RELOCATABLE_KERNEL: usize = 0x234;
    pub const XLOADFLAGS: usize = 0x236;
    pub const CMDLINE_SIZE: usize = 0x238;
    pub const PREF_ADDRESS: usize = 0x258;
    pub const INIT_SIZE: usize = 0x260;
    /// First byte behind the fields used here.
    pub const END: usize = 0x264;
}

/// Offsets in `boot_params` (the zero page) outside the setup header.
mod zero_page {
    pub const ORIG_VIDEO_MODE: usize = 0x006;
    pub const ORIG_VIDEO_COLS: usize = 0x007;
    pub const ORIG_VIDEO_EGA_BX: usize = 0x00A;
    pub const ORIG_VIDEO_LINES: usize = 0x00E;
    pub const ORIG_VIDEO_ISVGA: usize = 0x00F;
    pub const ORIG_VIDEO_POINTS: usize = 0x010;
    pub const ACPI_RSDP_ADDR: usize = 0x070;
    pub const EXT_RAMDISK_IMAGE: usize = 0x0C0;
    pub const EXT_RAMDISK_SIZE: usize = 0x0C4;
    pub const E820_ENTRIES: usize = 0x1E8;
    pub const E820_TABLE: usize = 0x2D0;
    pub const E820_MAX: usize = 128;
    pub const SIZE: usize = 0x1000;
}

const LOADED_HIGH: u8 = 1;
const LOADER_UNDEFINED: u8 = 0xFF;
const XLF_KERNEL_64: u16 = 1;
const XLF_CAN_BE_LOADED_ABOVE_4G: u16 = 2;
/// Version 2.12 introduced `xloadflags`.
const MIN_VERSION: u16 = 0x020C;
const ENTRY_64: u64 = 0x200;
const ONE_MIB: u64 = 1 << 20;
const FOUR_GIB: u64 = 4 << 30;

/// What the loader needs of the setup header.
#[derive(Clone, Copy, Debug)]
struct Setup {
    payload: usize,
    xloadflags: u16,
    initrd_addr_max: u32,
    cmdline_size: u32,
    kernel_alignment: u64,
    relocatable: bool,
    pref_address: u64,
    init_size: u32,
}

/// Whether the file carries the boot sector signature and the "HdrS" magic.
pub(super) fn is_bzimage(bytes: &[u8]) -> bool {
    u16_at(bytes, header::BOOT_FLAG) == Some(0xAA55) && array(bytes, header::MAGIC) == Some(*b"HdrS")
}

/// Places kernel, initrd, command line and `boot_params`; the boot processor enters at the 64-bit entry point.
///
/// # Errors
/// When the header is not of a 64-bit bzImage, the file is truncated, or something does not fit.
pub fn load(
    kernel: BootFile,
    initrd: Option<BootFile>,
    append: &str,
    memory: &BootMemory,
) -> Result<BootImage, BootError> {
    let setup = Setup::parse(kernel)?;
    let mut layout = Layout::new(kernel.name, memory);
    let mut writes = Vec::new();
    let address = place_kernel(&setup, kernel, &mut layout)?;
    writes.push((address, kernel.bytes[setup.payload..].to_vec()));

    let mut params = boot_params(kernel.bytes, address);
    // The kernel reads these through its own early mappings, which cover the low 4 GiB.
    let cmdline = place_cmdline(&setup, kernel, append, &mut layout)?;
    put(&mut params, header::CMD_LINE_PTR, (cmdline as u32).to_le_bytes());
    writes.push((cmdline, c_string(append)));
    put_memory_map(&mut params, kernel, memory)?;

    let zero_page = layout.lowest("boot_params", zero_page::SIZE as u64, 0x1000, FOUR_GIB)?;
    let entry = long_mode::enter(&mut layout, &mut writes, address + ENTRY_64, zero_page)?;
    if let Some(initrd) = initrd {
        let address = place_initrd(&setup, initrd, &mut layout)?;
        let size = initrd.bytes.len() as u64;
        put(&mut params, header::RAMDISK_IMAGE, (address as u32).to_le_bytes());
        put(&mut params, header::RAMDISK_SIZE, (size as u32).to_le_bytes());
        put(&mut params, zero_page::EXT_RAMDISK_IMAGE, ((address >> 32) as u32).to_le_bytes());
        put(&mut params, zero_page::EXT_RAMDISK_SIZE, ((size >> 32) as u32).to_le_bytes());
        writes.push((address, initrd.bytes.to_vec()));
    }
    writes.push((zero_page, params));
    Ok(BootImage { zeros: Vec::new(), writes, rom: None, entry })
}

impl Setup {
    fn parse(kernel: BootFile) -> Result<Self, BootError> {
        let BootFile { name, bytes } = kernel;
        let truncated = |field, want: usize| BootError::Truncated {
            file: name.into(),
            field,
            want: want as u64,
            have: bytes.len() as u64,
        };
        if !is_bzimage(bytes) {
            let hint = "it must be HdrS with boot_flag 0xaa55; this is not a bzImage";
            return Err(BootError::field(name, "setup header magic", "missing", hint));
        }
        let version =
            u16_at(bytes, header::VERSION).ok_or_else(|| truncated("version", header::VERSION + 2))?;
        if version < MIN_VERSION {
            let hint = "the 64-bit entry needs protocol 0x20c (Linux 3.8) or later";
            return Err(BootError::field(name, "boot protocol version", format!("{version:#x}"), hint));
        }
        if bytes.len() < header::END {
            return Err(truncated("the setup header", header::END));
        }
        let byte = |at| bytes[at];
        let word = |at| u16_at(bytes, at).unwrap_or(0);
        let dword = |at| u32_at(bytes, at).unwrap_or(0);
        let sectors = match byte(header::SETUP_SECTS) {
            0 => 4,
            n => n as usize,
        };
        let payload = (sectors + 1) * 512;
        let want = payload + dword(header::SYSSIZE) as usize * 16;
        // syssize counts paragraphs: a file may end up to 15 bytes before the last one does (memtest86+ does).
        if bytes.len() < want.saturating_sub(15).max(payload + 1) {
            return Err(truncated("syssize", want.max(payload + 1)));
        }
        let setup = Self {
            payload,
            xloadflags: word(header::XLOADFLAGS),
            initrd_addr_max: dword(header::INITRD_ADDR_MAX),
            cmdline_size: dword(header::CMDLINE_SIZE),
            kernel_alignment: dword(header::KERNEL_ALIGNMENT).into(),
            relocatable: byte(header::RELOCATABLE_KERNEL) != 0,
            pref_address: u64_at(bytes, header::PREF_ADDRESS).unwrap_or(0),
            init_size: dword(header::INIT_SIZE),
        };
        setup.check(name, byte(header::LOADFLAGS))?;
        Ok(setup)
    }

    fn check(&self, name: &str, loadflags: u8) -> Result<(), BootError> {
        if loadflags & LOADED_HIGH == 0 {
            let hint = "LOADED_HIGH is clear: a zImage; build a bzImage";
            return Err(BootError::field(name, "loadflags", format!("{loadflags:#x}"), hint));
        }
        if self.xloadflags & XLF_KERNEL_64 == 0 {
            let hint = "XLF_KERNEL_64 is clear: a 32-bit kernel; the entry used is the 64-bit one";
            return Err(BootError::field(name, "xloadflags", format!("{:#x}", self.xloadflags), hint));
        }
        if self.relocatable && !self.kernel_alignment.is_power_of_two() {
            let value = format!("{:#x}", self.kernel_alignment);
            return Err(BootError::field(
                name,
                "kernel_alignment",
                value,
                "it must be a power of two; the file is damaged",
            ));
        }
        Ok(())
    }
}

/// Claims `init_size` bytes at the preferred address, or elsewhere if the kernel is relocatable.
fn place_kernel(setup: &Setup, kernel: BootFile, layout: &mut Layout) -> Result<u64, BootError> {
    let size = u64::from(setup.init_size).max((kernel.bytes.len() - setup.payload) as u64);
    let end = setup.pref_address.saturating_add(size);
    let preferred = setup.pref_address >= ONE_MIB && end <= FOUR_GIB;
    if preferred && layout.claim_free("the kernel", setup.pref_address, size).is_ok() {
        return Ok(setup.pref_address);
    }
    if !setup.relocatable {
        layout.claim_free("the kernel (not relocatable)", setup.pref_address.max(ONE_MIB), size)?;
        return Ok(setup.pref_address.max(ONE_MIB));
    }
    // Keep what lies below 1 MiB for the loader's structures: the kernel is never started there.
    let mut above = layout.clone();
    above.reserve_below(ONE_MIB);
    let address = above.lowest("the kernel", size, setup.kernel_alignment.max(0x1000), FOUR_GIB)?;
    layout.claim_free("the kernel", address, size)?;
    Ok(address)
}

fn place_cmdline(
    setup: &Setup,
    kernel: BootFile,
    append: &str,
    layout: &mut Layout,
) -> Result<u64, BootError> {
    if append.len() as u64 > u64::from(setup.cmdline_size) {
        let value = format!("{} bytes, cmdline_size {}", append.len(), setup.cmdline_size);
        return Err(BootError::field(
            kernel.name,
            "--append",
            value,
            "this kernel takes no longer command line",
        ));
    }
    layout.lowest("the command line", append.len() as u64 + 1, 16, FOUR_GIB)
}

/// As high as the kernel allows: above 4 GiB only when it says so.
fn place_initrd(setup: &Setup, initrd: BootFile, layout: &mut Layout) -> Result<u64, BootError> {
    let size = initrd.bytes.len() as u64;
    let limit = u64::from(setup.initrd_addr_max) + 1;
    let below = layout.highest("the initrd", size, 0x1000, limit.min(FOUR_GIB));
    match below {
        Err(_) if setup.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G != 0 => {
            layout.highest("the initrd", size, 0x1000, u64::MAX)
        }
        placed => placed,
    }
}

/// `boot_params` with the setup header of the file and the loader's obligatory fields.
fn boot_params(bytes: &[u8], address: u64) -> Vec<u8> {
    let mut params = vec![0; zero_page::SIZE];
    // The jump at 0x200 spans the rest of the header: its displacement tells the end.
    let end = (header::MAGIC + usize::from(bytes[header::JUMP + 1])).max(header::END).min(bytes.len());
    let end = end.min(zero_page::E820_TABLE);
    params[header::SETUP_SECTS..end].copy_from_slice(&bytes[header::SETUP_SECTS..end]);
    params[header::TYPE_OF_LOADER] = LOADER_UNDEFINED;
    put(&mut params, header::CODE32_START, (address as u32).to_le_bytes());
    put(&mut params, header::RAMDISK_IMAGE, [0; 8]);
    put_screen(&mut params);
    params
}

/// The screen as the display comes up without firmware: 80x25 characters of 16 lines on a VGA with 256 KiB (EGA's BX).
fn put_screen(params: &mut [u8]) {
    let bytes = [
        (zero_page::ORIG_VIDEO_MODE, 3),
        (zero_page::ORIG_VIDEO_COLS, 80),
        (zero_page::ORIG_VIDEO_EGA_BX, 3),
        (zero_page::ORIG_VIDEO_LINES, 25),
        (zero_page::ORIG_VIDEO_ISVGA, 1),
        (zero_page::ORIG_VIDEO_POINTS, 16),
    ];
    bytes.into_iter().for_each(|(at, byte)| params[at] = byte);
}

fn put_memory_map(params: &mut [u8], kernel: BootFile, memory: &BootMemory) -> Result<(), BootError> {
    if memory.e820.len() > zero_page::E820_MAX {
        let hint = "boot_params holds 128 entries";
        return Err(BootError::field(
            kernel.name,
            "the memory map",
            format!("{} entries", memory.e820.len()),
            hint,
        ));
    }
    params[zero_page::E820_ENTRIES] = memory.e820.len() as u8;
    for (i, entry) in memory.e820.iter().enumerate() {
        let at = zero_page::E820_TABLE + i * 20;
        put(params, at, entry.addr.to_le_bytes());
        put(params, at + 8, entry.size.to_le_bytes());
        put(params, at + 16, (entry.kind as u32).to_le_bytes());
    }
    if let Some(rsdp) = memory.rsdp {
        put(params, zero_page::ACPI_RSDP_ADDR, rsdp.to_le_bytes());
    }
    Ok(())
}
