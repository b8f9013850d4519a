//! A kernel, its initial RAM disk and command line as items, for firmware that boots Linux by itself
//! (Linux Documentation/arch/x86/boot.rst for the setup header).

use super::items::Items;

const KERNEL_ADDR: u16 = 0x07;
const KERNEL_SIZE: u16 = 0x08;
const INITRD_ADDR: u16 = 0x0a;
const INITRD_SIZE: u16 = 0x0b;
const KERNEL_DATA: u16 = 0x11;
const INITRD_DATA: u16 = 0x12;
const CMDLINE_ADDR: u16 = 0x13;
const CMDLINE_SIZE: u16 = 0x14;
const CMDLINE_DATA: u16 = 0x15;
const SETUP_ADDR: u16 = 0x16;
const SETUP_SIZE: u16 = 0x17;
const SETUP_DATA: u16 = 0x18;

/// Where the parts go in guest memory.
const SETUP_BASE: u32 = 0x1_0000;
const CMDLINE_BASE: u32 = 0x2_0000;
const KERNEL_BASE: u32 = 0x10_0000;

/// Fields of the setup header.
const SETUP_SECTS: usize = 0x1f1;
const HEADER_MAGIC: usize = 0x202;
const TYPE_OF_LOADER: usize = 0x210;
const LOADFLAGS: usize = 0x211;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const HEAP_END_PTR: usize = 0x224;
const CMD_LINE_PTR: usize = 0x228;
const INITRD_ADDR_MAX: usize = 0x22c;
const HEADER_END: usize = 0x230;
const LOADER_QEMU: u8 = 0xb0;
const CAN_USE_HEAP: u8 = 0x80;

/// Files firmware can boot from fw_cfg.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelImages {
    /// A bzImage of boot protocol 2.02 or later.
    pub kernel: Vec<u8>,
    /// Initial RAM disk, or empty.
    pub initrd: Vec<u8>,
    /// Command line without its terminating zero.
    pub cmdline: String,
}

impl KernelImages {
    /// Whether the setup header can be read.
    pub(crate) fn is_bzimage(&self) -> bool {
        self.kernel.len() >= HEADER_END
            && self.kernel[HEADER_MAGIC..HEADER_MAGIC + 4] == *b"HdrS"
            && self.setup_len() <= self.kernel.len()
    }

    fn setup_len(&self) -> usize {
        let sectors = match self.kernel[SETUP_SECTS] {
            0 => 4,
            sectors => usize::from(sectors),
        };
        (sectors + 1) * 512
    }

    fn initrd_base(&self, low_ram: u64) -> u32 {
        let max = u32::from_le_bytes([0, 1, 2, 3].map(|index| self.kernel[INITRD_ADDR_MAX + index]));
        // The last MiB below the end of RAM is the firmware's.
        let end = low_ram.saturating_sub(1 << 20).min(u64::from(max));
        (end.saturating_sub(self.initrd.len() as u64) as u32) & !0xfff
    }

    /// Adds the items, with the RAM disk at the end of `low_ram` bytes of RAM below 4 GiB; nothing if the kernel is no bzImage.
    pub(super) fn add_to(&self, items: &mut Items, low_ram: u64) {
        if !self.is_bzimage() {
            return;
        }
        let (setup, kernel) = self.kernel.split_at(self.setup_len());
        let mut setup = setup.to_vec();
        let mut put = |at: usize, bytes: &[u8]| setup[at..at + bytes.len()].copy_from_slice(bytes);
        put(TYPE_OF_LOADER, &[LOADER_QEMU]);
        put(LOADFLAGS, &[self.kernel[LOADFLAGS] | CAN_USE_HEAP]);
        let heap_end = (CMDLINE_BASE - SETUP_BASE - 0x200) as u16;
        put(HEAP_END_PTR, &heap_end.to_le_bytes());
        put(CMD_LINE_PTR, &CMDLINE_BASE.to_le_bytes());
        if !self.initrd.is_empty() {
            put(RAMDISK_IMAGE, &self.initrd_base(low_ram).to_le_bytes());
            put(RAMDISK_SIZE, &(self.initrd.len() as u32).to_le_bytes());
        }
        let mut cmdline = self.cmdline.clone().into_bytes();
        cmdline.push(0);
        for (address_key, address, size_key, data_key, data) in [
            (KERNEL_ADDR, KERNEL_BASE, KERNEL_SIZE, KERNEL_DATA, kernel),
            (INITRD_ADDR, self.initrd_base(low_ram), INITRD_SIZE, INITRD_DATA, self.initrd.as_slice()),
            (CMDLINE_ADDR, CMDLINE_BASE, CMDLINE_SIZE, CMDLINE_DATA, cmdline.as_slice()),
            (SETUP_ADDR, SETUP_BASE, SETUP_SIZE, SETUP_DATA, setup.as_slice()),
        ] {
            items.set(address_key, &address.to_le_bytes());
            items.set(size_key, &(data.len() as u32).to_le_bytes());
            items.set(data_key, data);
        }
    }
}
