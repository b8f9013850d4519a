//! The static tables (ACPI 6.5, 5.2), in one block with offsets where addresses will be.

use super::dsdt;
use super::present::{ENABLED, ONLINE_CAPABLE};
use crate::hpet::{GCAP_ID_LOW, HPET_BASE};
use crate::ioapic::IOAPIC_BASE;
use crate::pci::{PCIEXBAR_BASE, PMBASE_FIRMWARE};
use crate::platform::{PlatformConfig, RamLayout};
use crate::pm::{ACPI_DISABLE, ACPI_ENABLE, GPE0_STS, SCI_IRQ};
use acpi_tables::fadt::{FADT, FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::{Aml, facs::FACS, mcfg::MCFG, sdt::Sdt};

pub(super) const OEM_ID: [u8; 6] = *b"AMBER ";
pub(super) const OEM_TABLE_ID: [u8; 8] = *b"Q35     ";
const LAPIC_BASE: u32 = 0xfee0_0000;
const RSDP_LEN: usize = 36;
const TABLE_CHECKSUM: usize = 9;

/// A field that holds an offset into the block and becomes an address.
pub(super) struct Pointer {
    pub at: usize,
    pub size: usize,
}

/// A checksum at `at` over `len` bytes from `start`.
pub(super) struct Checksum {
    pub at: usize,
    pub start: usize,
    pub len: usize,
}

/// Both checksums of the RSDP: the first 20 bytes and all of it.
pub(super) const RSDP_CHECKSUMS: [Checksum; 2] =
    [Checksum { at: 8, start: 0, len: 20 }, Checksum { at: 32, start: 0, len: RSDP_LEN }];

/// All tables of a platform.
pub(super) struct Tables {
    pub bytes: Vec<u8>,
    pub pointers: Vec<Pointer>,
    pub checksums: Vec<Checksum>,
    pub rsdp: Vec<u8>,
    pub rsdp_pointers: [Pointer; 2],
}

impl Tables {
    pub fn new(config: &PlatformConfig) -> Self {
        let mut tables = Self {
            bytes: Vec::new(),
            pointers: Vec::new(),
            checksums: Vec::new(),
            rsdp: Vec::new(),
            rsdp_pointers: [Pointer { at: 16, size: 4 }, Pointer { at: 24, size: 8 }],
        };
        // The FACS has no checksum and must be aligned to 64 bytes.
        FACS::new().to_aml_bytes(&mut tables.bytes);
        let dsdt = tables.append(&dsdt::dsdt(config));
        let fadt = tables.append(&fadt(dsdt));
        tables.pointers.push(Pointer { at: fadt + 36, size: 4 });
        tables.pointers.push(Pointer { at: fadt + 40, size: 4 });
        tables.pointers.push(Pointer { at: fadt + 140, size: 8 });
        let madt = tables.append(madt(config).as_slice());
        let hpet = tables.append(hpet().as_slice());
        let mcfg = tables.append(&mcfg());
        let mut listed = vec![fadt, madt, hpet, mcfg];
        if let Some(srat) = srat(config) {
            listed.push(tables.append(srat.as_slice()));
        }
        let rsdt = tables.append_root(*b"RSDT", &listed, 4);
        let xsdt = tables.append_root(*b"XSDT", &listed, 8);
        tables.rsdp = rsdp(rsdt, xsdt);
        tables
    }

    /// Appends a table, aligned to 16 bytes; its offset.
    fn append(&mut self, table: &[u8]) -> usize {
        let start = self.bytes.len().next_multiple_of(16);
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(table);
        // The loader subtracts the sum of the bytes, this one included.
        self.bytes[start + TABLE_CHECKSUM] = 0;
        self.checksums.push(Checksum { at: start + TABLE_CHECKSUM, start, len: table.len() });
        start
    }

    fn append_root(&mut self, signature: [u8; 4], listed: &[usize], size: usize) -> usize {
        let mut root = Sdt::new(signature, 36, 1, OEM_ID, OEM_TABLE_ID, 1);
        for offset in listed {
            root.append_slice(&(*offset as u64).to_le_bytes()[..size]);
        }
        let start = self.append(root.as_slice());
        for index in 0..listed.len() {
            self.pointers.push(Pointer { at: start + 36 + index * size, size });
        }
        start
    }
}

fn rsdp(rsdt: usize, xsdt: usize) -> Vec<u8> {
    let mut rsdp = b"RSD PTR \0".to_vec();
    rsdp.extend_from_slice(&OEM_ID);
    rsdp.push(2);
    rsdp.extend_from_slice(&(rsdt as u32).to_le_bytes());
    rsdp.extend_from_slice(&(RSDP_LEN as u32).to_le_bytes());
    rsdp.extend_from_slice(&(xsdt as u64).to_le_bytes());
    rsdp.resize(RSDP_LEN, 0);
    rsdp
}

fn io_block(offset: u16, bits: u8) -> GAS {
    GAS::new(AddressSpace::SystemIo, bits, 0, AccessSize::Undefined, u64::from(PMBASE_FIRMWARE + offset))
}

/// Fixed ACPI description table: what ICH9 has at PMBASE (ACPI 6.5, 5.2.9).
fn fadt(dsdt: usize) -> Vec<u8> {
    let pm = u32::from(PMBASE_FIRMWARE);
    let mut fadt: FADTBuilder = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, 1);
    fadt.dsdt = (dsdt as u32).into();
    fadt.x_dsdt = (dsdt as u64).into();
    fadt.sci_int = u16::from(SCI_IRQ).into();
    fadt.smi_cmd = 0xb2.into();
    fadt.acpi_enable = ACPI_ENABLE;
    fadt.acpi_disable = ACPI_DISABLE;
    fadt.pm1a_evt_blk = pm.into();
    fadt.pm1a_cnt_blk = (pm + 4).into();
    fadt.pm_tmr_blk = (pm + 8).into();
    fadt.gpe0_blk = (pm + u32::from(GPE0_STS)).into();
    fadt.pm1_evt_len = 4;
    fadt.pm1_cnt_len = 2;
    fadt.pm_tmr_len = 4;
    fadt.gpe0_blk_len = 16;
    fadt.x_pm1a_evt_blk = io_block(0, 32);
    fadt.x_pm1a_cnt_blk = io_block(4, 16);
    fadt.x_pm_tmr_blk = io_block(8, 32);
    fadt.x_gpe0_blk = io_block(GPE0_STS, 128);
    // C2 and C3 are not there.
    fadt.p_lvl2_lat = 0xfff.into();
    fadt.p_lvl3_lat = 0xfff.into();
    fadt.century = 0x32;
    // An 8042 is there (IAPC_BOOT_ARCH bit 1).
    fadt.iapc_boot_arch = 0x2.into();
    fadt.reset_reg = GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::Undefined, 0xcf9);
    fadt.reset_value = 0x0f;
    let flags = [Flags::Wbinvd, Flags::ProcC1, Flags::SlpButton, Flags::RtcS4, Flags::ResetRegSup];
    let fadt = flags.into_iter().fold(fadt, FADTBuilder::flag).flag(Flags::UsePlatformClock);
    let fadt: FADT = fadt.finalize();
    let mut bytes = Vec::new();
    fadt.to_aml_bytes(&mut bytes);
    bytes
}

/// Multiple APIC description table (ACPI 6.5, 5.2.12).
fn madt(config: &PlatformConfig) -> Sdt {
    // The fifth revision knows processors that are not there yet (ACPI 6.3).
    let revision = if config.hotplug.cpus.is_some() { 5 } else { 1 };
    let mut madt = Sdt::new(*b"APIC", 36, revision, OEM_ID, OEM_TABLE_ID, 1);
    madt.append_slice(&LAPIC_BASE.to_le_bytes());
    // PCAT_COMPAT: a pair of 8259As is there.
    madt.append_slice(&1u32.to_le_bytes());
    for cpu in 0..config.cpus_max().min(255) as u8 {
        let flags = if u32::from(cpu) < config.cpus { ENABLED } else { ONLINE_CAPABLE };
        madt.append_slice(&[0, 8, cpu, cpu, flags, 0, 0, 0]);
    }
    madt.append_slice(&[1, 12, 0, 0]);
    madt.append_slice(&(IOAPIC_BASE as u32).to_le_bytes());
    madt.append_slice(&0u32.to_le_bytes());
    // IRQ0 is pin 2; the SCI and the IRQs PCI can take are level triggered and active high.
    for (irq, pin, flags) in [(0, 2, 0), (5, 5, 0xd), (SCI_IRQ, 9, 0xd), (10, 10, 0xd), (11, 11, 0xd)] {
        madt.append_slice(&[2, 10, 0, irq, pin, 0, 0, 0, flags, 0]);
    }
    // NMI is LINT1 of every processor.
    madt.append_slice(&[4, 6, 0xff, 0, 0, 1]);
    madt
}

/// System resource affinity table (ACPI 6.5, 5.2.16), of platforms with memory slots: it tells systems how far memory may
/// come to reach, before any is there. All is in one domain.
fn srat(config: &PlatformConfig) -> Option<Sdt> {
    const HOT_PLUGGABLE: u32 = 2;
    let (start, end) = config.dimms()?;
    let mut srat = Sdt::new(*b"SRAT", 36, 3, OEM_ID, OEM_TABLE_ID, 1);
    srat.append_slice(&1u32.to_le_bytes());
    srat.append_slice(&[0; 8]);
    for cpu in 0..config.cpus_max().min(255) as u8 {
        srat.append_slice(&[0, 16, 0, cpu, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let layout = RamLayout::new(config.memory_size);
    let ranges = [(0, layout.low, 0), (1 << 32, layout.high, 0), (start, end - start, HOT_PLUGGABLE)];
    for (base, len, flags) in ranges.into_iter().filter(|(_, len, _)| *len != 0) {
        srat.append_slice(&[1, 40, 0, 0, 0, 0, 0, 0]);
        srat.append_slice(&u64::to_le_bytes(base));
        srat.append_slice(&u64::to_le_bytes(len));
        srat.append_slice(&[0; 4]);
        srat.append_slice(&(flags | 1).to_le_bytes());
        srat.append_slice(&[0; 8]);
    }
    Some(srat)
}

/// HPET description table (IA-PC HPET 1.0a, 3.2.4).
fn hpet() -> Sdt {
    let mut hpet = Sdt::new(*b"HPET", 36, 1, OEM_ID, OEM_TABLE_ID, 1);
    hpet.append_slice(&GCAP_ID_LOW.to_le_bytes());
    hpet.append_slice(&[0, 0, 0, 0]);
    hpet.append_slice(&HPET_BASE.to_le_bytes());
    hpet.append_slice(&[0, 0, 0, 0]);
    hpet
}

/// Where ECAM is, once firmware has programmed PCIEXBAR (PCI firmware 3.3, 4.1.2).
fn mcfg() -> Vec<u8> {
    let mut mcfg = MCFG::new(OEM_ID, OEM_TABLE_ID, 1);
    mcfg.add_ecam(PCIEXBAR_BASE, 0, 0, 0xff);
    let mut bytes = Vec::new();
    mcfg.to_aml_bytes(&mut bytes);
    bytes
}
