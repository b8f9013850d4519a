//! SMBIOS 2.8 structures: what DMI tools and kernels print about the machine (DMTF DSP0134).

use crate::platform::{PlatformConfig, RamLayout};

/// Where [`crate::place_tables`] puts the entry point: on a paragraph of the area a kernel scans.
pub const SMBIOS_ADDRESS: u64 = 0xf_0000;
/// Where it puts the structures.
const STRUCTURES_ADDRESS: u64 = 0xf_0020;

const ENTRY_LEN: u8 = 0x1f;
const MANUFACTURER: &str = "Amber";
const PRODUCT: &str = "Q35 + ICH9 PC";
const VERSION: &str = "q35-1";
/// Sizes in KiB and MiB that no longer fit are given elsewhere or not at all.
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// "Unknown" and "other" in most enumerations.
const OTHER: u8 = 1;
const UNKNOWN: u8 = 2;
const SAFE: u8 = 3;
const NO_HANDLE: u16 = 0xfffe;
const ARRAY_HANDLE: u16 = 0x1000;

/// Structures one after the other.
struct Structures {
    bytes: Vec<u8>,
    count: u16,
    longest: u16,
}

impl Structures {
    /// Appends a structure: its formatted area after the header, and its strings.
    fn add(&mut self, kind: u8, handle: u16, formatted: &[u8], strings: &[&str]) {
        let start = self.bytes.len();
        self.bytes.extend([kind, formatted.len() as u8 + 4]);
        self.bytes.extend(handle.to_le_bytes());
        self.bytes.extend(formatted);
        for string in strings {
            self.bytes.extend(string.as_bytes());
            self.bytes.push(0);
        }
        if strings.is_empty() {
            self.bytes.push(0);
        }
        self.bytes.push(0);
        self.count += 1;
        self.longest = self.longest.max((self.bytes.len() - start) as u16);
    }
}

fn structures(config: &PlatformConfig) -> Structures {
    let mut all = Structures { bytes: Vec::new(), count: 0, longest: 0 };
    system(&mut all);
    for cpu in 0..config.cpus.min(255) as u16 {
        processor(&mut all, cpu);
    }
    memory(&mut all, config);
    // System boot: no error detected. End of table.
    all.add(32, 0x2000, &[0; 7], &[]);
    all.add(127, 0x7f00, &[], &[]);
    all
}

/// System information and chassis (7.2 and 7.4).
fn system(all: &mut Structures) {
    let mut formatted = vec![1, 2, 3, 0];
    formatted.extend([0; 16]);
    // Woken by the power switch; no SKU, no family.
    formatted.extend([6, 0, 0]);
    all.add(1, 0x0100, &formatted, &[MANUFACTURER, PRODUCT, VERSION]);
    let chassis = [1, OTHER, 2, 0, 0, SAFE, SAFE, SAFE, UNKNOWN, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    all.add(3, 0x0300, &chassis, &[MANUFACTURER, VERSION]);
}

/// Processor information (7.5).
fn processor(all: &mut Structures, cpu: u16) {
    let socket = format!("CPU {cpu}");
    // Central processor of another family.
    let mut formatted = vec![1, 3, OTHER, 2];
    formatted.extend([0; 8]);
    formatted.push(3);
    // Voltage, external clock, maximum and current speed in MHz: unknown.
    formatted.extend([0; 7]);
    // Populated and enabled; other upgrade.
    formatted.extend([0x41, OTHER]);
    formatted.extend([0xff; 6]);
    formatted.extend([0, 0, 0]);
    // One core, enabled, one thread; 64-bit capable.
    formatted.extend([1, 1, 1, 0x04, 0]);
    formatted.extend([OTHER, 0]);
    all.add(4, 0x0400 + cpu, &formatted, &[&socket, MANUFACTURER, VERSION]);
}

/// Memory array, device and mapped address (7.17, 7.18 and 7.20).
fn memory(all: &mut Structures, config: &PlatformConfig) {
    let size = config.memory_size;
    // On the board, system memory, multi-bit ECC as QEMU says; capacity in the extended field.
    let mut array = vec![OTHER, 3, 6];
    array.extend(0x8000_0000u32.to_le_bytes());
    array.extend(NO_HANDLE.to_le_bytes());
    array.extend(1u16.to_le_bytes());
    array.extend(size.to_le_bytes());
    all.add(16, ARRAY_HANDLE, &array, &[]);

    let mut device = ARRAY_HANDLE.to_le_bytes().to_vec();
    device.extend(NO_HANDLE.to_le_bytes());
    device.extend([0xff; 4]);
    let mib = size / MIB;
    let small = if mib < 0x7fff { mib as u16 } else { 0x7fff };
    device.extend(small.to_le_bytes());
    // DIMM, no set, locator, bank, RAM of another kind.
    device.extend([9, 0, 1, 0, 7, UNKNOWN, 0, 0, 0, 2, 0, 0, 0, 0]);
    device.extend((mib as u32).to_le_bytes());
    device.extend([0; 8]);
    all.add(17, 0x1100, &device, &["DIMM 0", MANUFACTURER]);

    let layout = RamLayout::new(size);
    for (handle, base, len) in [(0x1300, 0, layout.low), (0x1301, 4 << 30, layout.high)] {
        if len > 0 {
            mapped(all, handle, base, len);
        }
    }
}

fn mapped(all: &mut Structures, handle: u16, base: u64, len: u64) {
    let mut formatted = Vec::new();
    let end = base + len - 1;
    let fits = end / KIB < 0xffff_ffff;
    let short = |value: u64| if fits { (value / KIB) as u32 } else { u32::MAX };
    formatted.extend(short(base).to_le_bytes());
    formatted.extend(short(end).to_le_bytes());
    formatted.extend(ARRAY_HANDLE.to_le_bytes());
    formatted.push(1);
    let (base, end) = if fits { (0, 0) } else { (base, end) };
    formatted.extend(base.to_le_bytes());
    formatted.extend(end.to_le_bytes());
    all.add(19, handle, &formatted, &[]);
}

/// The entry point (5.2.1) for structures at `address`.
fn entry_point(all: &Structures, address: u64) -> Vec<u8> {
    let mut entry = b"_SM_\0".to_vec();
    entry.extend([ENTRY_LEN, 2, 8]);
    entry.extend(all.longest.to_le_bytes());
    entry.extend([0; 6]);
    entry.extend(b"_DMI_\0");
    entry.extend((all.bytes.len() as u16).to_le_bytes());
    entry.extend((address as u32).to_le_bytes());
    entry.extend(all.count.to_le_bytes());
    entry.push(0x28);
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg();
    entry[0x15] = sum(&entry[0x10..]);
    entry[0x04] = sum(&entry);
    entry
}

/// Files for fw_cfg: firmware places the structures and completes the entry point.
pub(crate) fn files(config: &PlatformConfig) -> Vec<(String, Vec<u8>)> {
    let all = structures(config);
    let entry = entry_point(&all, 0);
    vec![("etc/smbios/smbios-anchor".to_owned(), entry), ("etc/smbios/smbios-tables".to_owned(), all.bytes)]
}

/// Entry point and structures as blocks of guest memory.
pub(crate) fn place(config: &PlatformConfig) -> Vec<(u64, Vec<u8>)> {
    let all = structures(config);
    vec![(SMBIOS_ADDRESS, entry_point(&all, STRUCTURES_ADDRESS)), (STRUCTURES_ADDRESS, all.bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_can_be_walked() {
        let blocks = place(&PlatformConfig { cpus: 2, memory_size: 8 << 30, ..PlatformConfig::default() });
        let (entry, bytes) = (&blocks[0].1, &blocks[1].1);
        assert_eq!(entry.len(), usize::from(ENTRY_LEN));
        assert_eq!(entry.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        let mut kinds = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            kinds.push((bytes[at], bytes[at + 1]));
            at += usize::from(bytes[at + 1]);
            while bytes[at..at + 2] != [0, 0] {
                at += 1;
            }
            at += 2;
        }
        let expected = [
            (1, 0x1b),
            (3, 0x16),
            (4, 0x2a),
            (4, 0x2a),
            (16, 0x17),
            (17, 0x28),
            (19, 0x1f),
            (19, 0x1f),
            (32, 0x0b),
            (127, 4),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(u16::from_le_bytes([entry[0x1c], entry[0x1d]]), 10);
    }

    /// For a look with `dmidecode --from-dump`: AMBER_SMBIOS_DUMP=FILE cargo test dump_smbios.
    #[test]
    fn dump_smbios() {
        let Ok(path) = std::env::var("AMBER_SMBIOS_DUMP") else { return };
        let all = structures(&PlatformConfig::default());
        let mut dump = entry_point(&all, 0x20);
        dump.resize(0x20, 0);
        dump.extend(&all.bytes);
        std::fs::write(path, dump).unwrap();
    }
}
