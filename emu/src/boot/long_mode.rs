//! The 64-bit entry state: a GDT and page tables that map the low 4 GiB one to one (SDM vol. 3A, 4.5).

use super::layout::Layout;
use super::{BootEntry, BootError};
use serde::{Deserialize, Serialize};

/// Linux' `__BOOT_CS`, required by its 64-bit boot protocol.
const BOOT_CS: u16 = 0x10;
/// Linux' `__BOOT_DS`.
const BOOT_DS: u16 = 0x18;
const FLAT_CODE64: u64 = 0x00AF_9B00_0000_FFFF;
const FLAT_DATA: u64 = 0x00CF_9300_0000_FFFF;
const PRESENT_WRITE: u64 = 0x3;
const PAGE_SIZE_BIT: u64 = 0x80;
const STACK: u64 = 0x1000;
/// One PML4, one PDPT and four page directories of 2 MiB pages.
const TABLES: u64 = 6 * 0x1000;

/// GDTR or IDTR: linear base and limit (size - 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorTable {
    pub base: u64,
    pub limit: u16,
}

/// Builds GDT, page tables and a 4 KiB stack in free RAM below 4 GiB, and the entry state that uses them.
pub(super) fn enter(
    layout: &mut Layout,
    writes: &mut Vec<(u64, Vec<u8>)>,
    rip: u64,
    rsi: u64,
) -> Result<BootEntry, BootError> {
    let limit = 4 << 30;
    let gdt = layout.lowest("the GDT", 32, 16, limit)?;
    let tables = layout.lowest("the page tables", TABLES, 0x1000, limit)?;
    let stack = layout.lowest("the stack", STACK, 0x1000, limit)?;
    let descriptors = [0, 0, FLAT_CODE64, FLAT_DATA];
    writes.push((gdt, descriptors.into_iter().flat_map(u64::to_le_bytes).collect()));
    writes.push((tables, identity_tables(tables)));
    let gdt = DescriptorTable { base: gdt, limit: 31 };
    Ok(BootEntry::Long64 { rip, rsp: stack + STACK, rsi, cr3: tables, gdt, cs: BOOT_CS, ds: BOOT_DS })
}

fn identity_tables(base: u64) -> Vec<u8> {
    let mut entries = vec![0u64; TABLES as usize / 8];
    entries[0] = (base + 0x1000) | PRESENT_WRITE;
    for (i, entry) in entries[512..516].iter_mut().enumerate() {
        *entry = (base + 0x2000 + i as u64 * 0x1000) | PRESENT_WRITE;
    }
    for (i, entry) in entries[1024..].iter_mut().enumerate() {
        *entry = ((i as u64) << 21) | PAGE_SIZE_BIT | PRESENT_WRITE;
    }
    entries.into_iter().flat_map(u64::to_le_bytes).collect()
}
