//! QEMU's firmware configuration device: selector and data ports, and the DMA interface
//! (QEMU docs/specs/fw_cfg).
//!
//! What the items hold is configuration, not state: the section has the registers and a digest of the items,
//! so that a restore into a platform that was configured otherwise is refused.

mod items;

use crate::device::{Device, DeviceCtx};
use amber_snapshot::{Schema, Section};
pub(crate) use items::Items;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const DMA_HIGH: u16 = 0x514;
const DMA_LOW: u16 = 0x518;
const DMA_END: u16 = 0x51b;
/// What the DMA address register reads as: "QEMU CFG".
const DMA_SIGNATURE: [u8; 8] = *b"QEMU CFG";

const CONTROL_ERROR: u32 = 0x01;
const CONTROL_READ: u32 = 0x02;
const CONTROL_SKIP: u32 = 0x04;
const CONTROL_SELECT: u32 = 0x08;
const CONTROL_WRITE: u32 = 0x10;
const ZEROS: [u8; 4096] = [0; 4096];

/// Registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct FwCfgRegisters {
    selector: u16,
    offset: u32,
    /// High half of the DMA address, written first.
    dma_high: u32,
    /// blake3 of all items, as the platform starts with them.
    items_digest: [u8; 32],
}

impl Section for FwCfgRegisters {
    const KIND: &'static str = "fw-cfg";
    const VERSION: u32 = 2;
}

/// Registers and items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FwCfg {
    pub(crate) registers: FwCfgRegisters,
    /// Shared by copies. It changes only with the number of processors, which follows from what is there.
    items: Arc<Items>,
    /// First address behind RAM: nothing is written beyond. Configuration.
    ram_end: u64,
}

impl FwCfg {
    pub(crate) fn new(items: Items, ram_end: u64) -> Self {
        let items_digest = items.digest();
        Self {
            registers: FwCfgRegisters { selector: 0, offset: 0, dma_high: 0, items_digest },
            items: Arc::new(items),
            ram_end,
        }
    }

    /// Firmware is told how many processors there are, and which. That is no part of the digest.
    pub(crate) fn set_cpus(&mut self, cpus: u32, is_present: impl Fn(u32) -> bool) {
        Arc::make_mut(&mut self.items).set_cpus(cpus, is_present);
    }

    /// The registers of a saved state belong to the items this platform has.
    pub(crate) fn accepts(&self, registers: &FwCfgRegisters) -> bool {
        registers.items_digest == self.registers.items_digest
    }

    fn select(&mut self, selector: u16) {
        self.registers.selector = selector;
        self.registers.offset = 0;
    }

    /// What is left of the selected item.
    fn rest(&self) -> &[u8] {
        let item = self.items.get(self.registers.selector);
        let offset = usize::try_from(self.registers.offset).unwrap_or(usize::MAX);
        item.get(offset..).unwrap_or(&[])
    }

    fn advance(&mut self, len: u32) {
        self.registers.offset = self.registers.offset.saturating_add(len);
    }

    fn read_byte(&mut self) -> u8 {
        let byte = self.rest().first().copied().unwrap_or(0);
        self.advance(1);
        byte
    }

    /// Runs the command at `gpa`: control, length and address, big endian.
    fn dma(&mut self, cx: &mut DeviceCtx, gpa: u64) {
        let mut command = [0; 16];
        cx.dma.read(gpa, &mut command);
        let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|index| command[at + index]));
        let (control, len) = (word(0), word(4));
        let address = u64::from(word(8)) << 32 | u64::from(word(12));
        if control & CONTROL_SELECT != 0 {
            self.select((control >> 16) as u16);
        }
        let mut result = 0;
        if control & CONTROL_READ != 0 {
            self.dma_read(cx, address, len);
        } else if control & CONTROL_WRITE != 0 {
            // No item can be written.
            result = CONTROL_ERROR;
        } else if control & CONTROL_SKIP != 0 {
            self.advance(len);
        }
        cx.dma.write(gpa, &result.to_be_bytes());
    }

    /// Copies the item to RAM; beyond its end come zeros.
    fn dma_read(&mut self, cx: &mut DeviceCtx, address: u64, len: u32) {
        let rest = self.rest();
        let available = rest.len().min(len as usize);
        cx.dma.write(address, &rest[..available]);
        let mut at = address.saturating_add(available as u64);
        let end = address.saturating_add(u64::from(len)).min(self.ram_end);
        while at < end {
            let chunk = (ZEROS.len() as u64).min(end - at);
            cx.dma.write(at, &ZEROS[..chunk as usize]);
            at += chunk;
        }
        self.advance(len);
    }
}

impl Device for FwCfg {
    fn pio_read(&mut self, _cx: &mut DeviceCtx, port: u16, size: u8) -> u32 {
        match port {
            SELECTOR => u32::from(self.registers.selector),
            DATA => u32::from(self.read_byte()),
            DMA_HIGH..=DMA_END => (0..usize::from(size.min(4))).fold(0, |value, index| {
                let byte = DMA_SIGNATURE.get(usize::from(port - DMA_HIGH) + index).copied().unwrap_or(0xff);
                value | u32::from(byte) << (index * 8)
            }),
            _ => 0,
        }
    }

    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, size: u8, value: u32) {
        match (port, size) {
            (SELECTOR, 2) => self.select(value as u16),
            (DMA_HIGH, 4) => self.registers.dma_high = value.swap_bytes(),
            (DMA_LOW, 4) => {
                let high = std::mem::take(&mut self.registers.dma_high);
                self.dma(cx, u64::from(high) << 32 | u64::from(value.swap_bytes()));
            }
            _ => {}
        }
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        self.select(0);
        self.registers.dma_high = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::PlatformConfig;
    use crate::testing::Bench;

    fn fw_cfg() -> FwCfg {
        let files = vec![("opt/hello".to_owned(), b"hello world".to_vec())];
        let items = Items::new(&PlatformConfig { fw_cfg_files: files, ..PlatformConfig::default() });
        FwCfg::new(items, 0x1_0000)
    }

    fn read(fw_cfg: &mut FwCfg, bench: &mut Bench, len: usize) -> Vec<u8> {
        (0..len).map(|_| fw_cfg.pio_read(&mut bench.cx(), DATA, 1) as u8).collect()
    }

    /// The key of a file, by the directory a guest reads.
    fn find(fw_cfg: &mut FwCfg, bench: &mut Bench, wanted: &str) -> Option<u16> {
        fw_cfg.pio_write(&mut bench.cx(), SELECTOR, 2, 0x19);
        let count = u32::from_be_bytes(read(fw_cfg, bench, 4).try_into().unwrap());
        (0..count).find_map(|_| {
            let entry = read(fw_cfg, bench, 64);
            let name = String::from_utf8_lossy(&entry[8..]).trim_end_matches('\0').to_owned();
            (name == wanted).then(|| u16::from_be_bytes([entry[4], entry[5]]))
        })
    }

    #[test]
    fn signature_and_sizes() {
        let (mut fw_cfg, mut bench) = (fw_cfg(), Bench::new());
        assert_eq!(read(&mut fw_cfg, &mut bench, 5), b"QEMU\0");
        fw_cfg.pio_write(&mut bench.cx(), SELECTOR, 2, 1);
        assert_eq!(read(&mut fw_cfg, &mut bench, 4), [3, 0, 0, 0]);
        assert_eq!(fw_cfg.pio_read(&mut bench.cx(), DMA_HIGH, 4).to_le_bytes(), *b"QEMU");
    }

    #[test]
    fn dma_reads_a_file_and_pads_with_zeros() {
        let (mut fw_cfg, mut bench) = (fw_cfg(), Bench::new());
        let key = find(&mut fw_cfg, &mut bench, "opt/hello").unwrap();
        let mut command = (u32::from(key) << 16 | CONTROL_SELECT | CONTROL_READ).to_be_bytes().to_vec();
        command.extend(13u32.to_be_bytes());
        command.extend(0x2000u64.to_be_bytes());
        bench.memory.0[0x1000..0x1010].copy_from_slice(&command);
        bench.memory.0[0x2000..0x2010].fill(0xaa);
        fw_cfg.pio_write(&mut bench.cx(), DMA_LOW, 4, 0x1000u32.swap_bytes());
        assert_eq!(&bench.memory.0[0x2000..0x200e], b"hello world\0\0\xaa");
        assert_eq!(&bench.memory.0[0x1000..0x1004], [0; 4]);
    }

    #[test]
    fn padding_ends_with_ram() {
        struct Counted(Vec<u8>, u64);
        impl crate::device::Dma for Counted {
            fn read(&mut self, _gpa: u64, into: &mut [u8]) {
                into.copy_from_slice(&self.0);
            }
            fn write(&mut self, gpa: u64, from: &[u8]) {
                assert!(from.is_empty() || gpa + from.len() as u64 <= 0x1_0000, "{gpa:#x}");
                self.1 += from.len() as u64;
            }
        }
        let (mut fw_cfg, mut bench) = (fw_cfg(), Bench::new());
        for address in [0x2000u64, u64::MAX - 5] {
            // The item itself goes where it is sent: an empty one for the address that is nowhere.
            let key = if address > 1 << 32 { 0x7777 } else { 0 };
            let mut command = (key << 16 | CONTROL_SELECT | CONTROL_READ).to_be_bytes().to_vec();
            command.extend(u32::MAX.to_be_bytes());
            command.extend(address.to_be_bytes());
            let mut memory = Counted(command, 0);
            let Bench { clock, irqs, effects, .. } = &mut bench;
            let mut cx = DeviceCtx { clock, irqs, effects, dma: &mut memory };
            fw_cfg.pio_write(&mut cx, DMA_LOW, 4, 0x1000u32.swap_bytes());
            assert!(memory.1 <= 0x1_0000, "{} bytes", memory.1);
        }
    }

    #[test]
    fn firmware_finds_its_tables() {
        let (mut fw_cfg, mut bench) = (fw_cfg(), Bench::new());
        for name in ["etc/acpi/tables", "etc/acpi/rsdp", "etc/table-loader", "etc/e820", "bootorder"] {
            assert!(find(&mut fw_cfg, &mut bench, name).is_some(), "{name}");
        }
    }
}
