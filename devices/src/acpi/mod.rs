//! ACPI tables of a platform, laid out once and delivered two ways: to firmware with a linker script
//! (QEMU's table loader), or at fixed addresses for a kernel that is booted without firmware.

mod dsdt;
pub(crate) mod present;
mod tables;
mod terms;

use crate::platform::PlatformConfig;
use crate::smbios;
use tables::Tables;

/// Where [`place_tables`] puts the RSDP: in the area a kernel scans (ACPI 6.5, 5.2.5.1).
pub const RSDP_ADDRESS: u64 = 0xe_0000;
/// Where [`place_tables`] puts the other tables.
pub const TABLES_ADDRESS: u64 = 0xe_1000;

pub(crate) const TABLES_FILE: &str = "etc/acpi/tables";
const RSDP_FILE: &str = "etc/acpi/rsdp";

/// Commands of the table loader, which firmware runs in order.
const ALLOCATE: u32 = 1;
const ADD_POINTER: u32 = 2;
const ADD_CHECKSUM: u32 = 3;
const ZONE_HIGH: u8 = 1;
const ZONE_FSEG: u8 = 2;
const COMMAND_LEN: usize = 128;
const FILE_NAME_LEN: usize = 56;

/// The tables as blocks of memory (guest-physical address, bytes) for a guest that boots without firmware:
/// ACPI's at [`RSDP_ADDRESS`] and [`TABLES_ADDRESS`], then SMBIOS's. They lie in 0xE0000-0xFFFFF, which a
/// machine without firmware has as RAM and should report as reserved.
pub fn place_tables(config: &PlatformConfig) -> Vec<(u64, Vec<u8>)> {
    let tables = Tables::new(config);
    let mut bytes = tables.bytes.clone();
    for pointer in &tables.pointers {
        add(&mut bytes, pointer.at, pointer.size, TABLES_ADDRESS);
    }
    for table in &tables.checksums {
        checksum(&mut bytes, table.at, table.start, table.len);
    }
    let mut rsdp = tables.rsdp.clone();
    for pointer in &tables.rsdp_pointers {
        add(&mut rsdp, pointer.at, pointer.size, TABLES_ADDRESS);
    }
    for sum in tables::RSDP_CHECKSUMS {
        checksum(&mut rsdp, sum.at, sum.start, sum.len);
    }
    let mut blocks = vec![(RSDP_ADDRESS, rsdp), (TABLES_ADDRESS, bytes)];
    blocks.extend(smbios::place(config));
    blocks
}

fn add(bytes: &mut [u8], at: usize, size: usize, base: u64) {
    let mut raw = [0; 8];
    raw[..size].copy_from_slice(&bytes[at..at + size]);
    let value = u64::from_le_bytes(raw) + base;
    bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

fn checksum(bytes: &mut [u8], at: usize, start: usize, len: usize) {
    bytes[at] = 0;
    let sum = bytes[start..start + len].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[at] = sum.wrapping_neg();
}

/// Files for fw_cfg: the RSDP, the tables, and the script that links them.
pub(crate) fn files(config: &PlatformConfig) -> Vec<(String, Vec<u8>)> {
    let tables = Tables::new(config);
    let mut script = Vec::new();
    script.extend(allocate(RSDP_FILE, 16, ZONE_FSEG));
    script.extend(allocate(TABLES_FILE, 64, ZONE_HIGH));
    for pointer in &tables.pointers {
        script.extend(add_pointer(TABLES_FILE, pointer.at, pointer.size));
    }
    for sum in &tables.checksums {
        script.extend(add_checksum(TABLES_FILE, sum.at, sum.start, sum.len));
    }
    for pointer in &tables.rsdp_pointers {
        script.extend(add_pointer(RSDP_FILE, pointer.at, pointer.size));
    }
    for sum in tables::RSDP_CHECKSUMS {
        script.extend(add_checksum(RSDP_FILE, sum.at, sum.start, sum.len));
    }
    vec![
        (RSDP_FILE.to_owned(), tables.rsdp),
        (TABLES_FILE.to_owned(), tables.bytes),
        ("etc/table-loader".to_owned(), script),
    ]
}

fn command(kind: u32, fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    for field in fields {
        bytes.extend_from_slice(field);
    }
    bytes.resize(COMMAND_LEN, 0);
    bytes
}

fn file_name(name: &str) -> [u8; FILE_NAME_LEN] {
    let mut bytes = [0; FILE_NAME_LEN];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

fn allocate(file: &str, align: u32, zone: u8) -> Vec<u8> {
    command(ALLOCATE, &[&file_name(file), &align.to_le_bytes(), &[zone]])
}

/// All pointers are into the file of tables.
fn add_pointer(file: &str, at: usize, size: usize) -> Vec<u8> {
    let at = (at as u32).to_le_bytes();
    command(ADD_POINTER, &[&file_name(file), &file_name(TABLES_FILE), &at, &[size as u8]])
}

fn add_checksum(file: &str, at: usize, start: usize, len: usize) -> Vec<u8> {
    let words = [at, start, len].map(|value| (value as u32).to_le_bytes());
    command(ADD_CHECKSUM, &[&file_name(file), &words[0], &words[1], &words[2]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
    }

    fn word(bytes: &[u8], at: usize) -> u64 {
        u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()))
    }

    fn table(blocks: &[(u64, Vec<u8>)], address: u64) -> &[u8] {
        let at = (address - TABLES_ADDRESS) as usize;
        let len = word(&blocks[1].1, at + 4) as usize;
        &blocks[1].1[at..at + len]
    }

    #[test]
    fn placed_tables_are_linked_and_sum_to_zero() {
        let blocks = place_tables(&PlatformConfig { cpus: 3, ..PlatformConfig::default() });
        let rsdp = &blocks[0].1;
        assert_eq!(&rsdp[..8], b"RSD PTR ");
        assert_eq!((sum(&rsdp[..20]), sum(rsdp)), (0, 0));
        let xsdt = table(&blocks, word(rsdp, 24));
        assert_eq!((&xsdt[..4], sum(xsdt)), (&b"XSDT"[..], 0));
        let mut found = Vec::new();
        for at in (36..xsdt.len()).step_by(8) {
            let table = table(&blocks, word(xsdt, at));
            assert_eq!(sum(table), 0);
            found.push(String::from_utf8_lossy(&table[..4]).into_owned());
        }
        assert_eq!(found, ["FACP", "APIC", "HPET", "MCFG"]);
        let fadt = table(&blocks, word(xsdt, 36));
        let dsdt = table(&blocks, word(fadt, 40));
        assert_eq!((&dsdt[..4], sum(dsdt)), (&b"DSDT"[..], 0));
        assert_eq!(word(fadt, 40), word(fadt, 140));
        assert_eq!(&table(&blocks, word(fadt, 36))[..4], b"FACS");
        assert!(TABLES_ADDRESS as usize + blocks[1].1.len() <= smbios::SMBIOS_ADDRESS as usize);
    }

    #[test]
    fn tables_of_the_largest_machine_fit() {
        let config = PlatformConfig { cpus: 255, memory_size: 1 << 40, ..PlatformConfig::default() };
        let mut blocks = place_tables(&config);
        blocks.sort();
        assert!(blocks.windows(2).all(|pair| pair[0].0 + pair[0].1.len() as u64 <= pair[1].0));
        assert!(blocks.iter().all(|(base, bytes)| base + bytes.len() as u64 <= 0x10_0000));
    }

    /// For a look with `iasl -d`, or for QEMU's `-machine acpi=off -fw_cfg name=etc/acpi/tables,file=...`:
    /// AMBER_ACPI_DUMP=DIR cargo test dump_tables.
    #[test]
    fn dump_tables() {
        let Ok(directory) = std::env::var("AMBER_ACPI_DUMP") else { return };
        let directory = std::path::Path::new(&directory);
        let config = PlatformConfig { cpus: 2, ..PlatformConfig::default() };
        let bytes = &place_tables(&config)[1].1;
        for sum in &Tables::new(&config).checksums {
            let table = &bytes[sum.start..sum.start + sum.len];
            let name = String::from_utf8_lossy(&table[..4]).into_owned();
            std::fs::write(directory.join(format!("{name}.dat")), table).unwrap();
        }
        for (name, bytes) in files(&config) {
            std::fs::write(directory.join(name.replace('/', "_")), bytes).unwrap();
        }
    }
}
