//! What firmware finds in fw_cfg: numbered items and named files.

use crate::acpi;
use crate::platform::{PlatformConfig, RamLayout};
use crate::smbios;
use crate::suspend::{SYSTEM_STATES, system_states};
use std::collections::BTreeMap;

const SIGNATURE: u16 = 0x00;
const ID: u16 = 0x01;
const UUID: u16 = 0x02;
const RAM_SIZE: u16 = 0x03;
const NOGRAPHIC: u16 = 0x04;
const NB_CPUS: u16 = 0x05;
const NUMA: u16 = 0x0d;
const BOOT_MENU: u16 = 0x0e;
const MAX_CPUS: u16 = 0x0f;
const FILE_DIR: u16 = 0x19;
const FILE_FIRST: u16 = 0x20;
const ARCH_LOCAL: u16 = 0x8000;
const IRQ0_OVERRIDE: u16 = ARCH_LOCAL + 2;
/// Bit 14 of a selector says "write", which is history; bit 15 is part of the key.
const KEY_MASK: u16 = 0xbfff;
/// Traditional interface and DMA.
const ID_FEATURES: u32 = 3;
const FILE_NAME_LEN: usize = 56;

/// How long firmware shows its boot menu, ms. That it shows one is an item of its own.
const BOOT_MENU_WAIT: &str = "etc/boot-menu-wait";

const E820_RAM: u32 = 1;

/// Items by key. The file directory is one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Items {
    items: BTreeMap<u16, Vec<u8>>,
}

impl Items {
    pub fn new(config: &PlatformConfig) -> Self {
        let mut items = Self::default();
        let cpus = config.cpus.min(0xffff) as u16;
        items.set(SIGNATURE, b"QEMU");
        items.set(ID, &ID_FEATURES.to_le_bytes());
        items.set(UUID, &[0; 16]);
        items.set(RAM_SIZE, &config.memory_size.to_le_bytes());
        items.set(NOGRAPHIC, &[0; 2]);
        items.set(NB_CPUS, &cpus.to_le_bytes());
        items.set(NUMA, &[0; 8]);
        let menu = config.fw_cfg_files.iter().any(|(name, _)| name == BOOT_MENU_WAIT);
        items.set(BOOT_MENU, &u16::from(menu).to_le_bytes());
        items.set(MAX_CPUS, &(config.cpus_max() as u16).to_le_bytes());
        items.set(IRQ0_OVERRIDE, &[1]);
        let mut files = BTreeMap::from([
            ("bootorder".to_owned(), Vec::new()),
            ("etc/e820".to_owned(), e820(config)),
            (SYSTEM_STATES.to_owned(), system_states(false)),
        ]);
        if let Some((_, end)) = config.dimms() {
            // Where firmware may have PCI's 64-bit BARs begin.
            files.insert(
                "etc/reserved-memory-end".to_owned(),
                end.next_multiple_of(1 << 30).to_le_bytes().to_vec(),
            );
        }
        files.extend(acpi::files(config));
        files.extend(smbios::files(config));
        files.extend(config.fw_cfg_files.iter().cloned());
        items.add_files(files);
        items
    }

    /// How many processors are there now, and which.
    pub fn set_cpus(&mut self, cpus: u32, is_present: impl Fn(u32) -> bool) {
        self.set(NB_CPUS, &(cpus as u16).to_le_bytes());
        if let Some(tables) = self.file_mut(acpi::TABLES_FILE) {
            acpi::present::mark(tables, is_present);
        }
    }

    /// The contents of a file.
    fn file_mut(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        let directory = self.items.get(&FILE_DIR)?;
        let mut entries = directory.get(4..)?.chunks_exact(8 + FILE_NAME_LEN);
        let entry = entries.find(|entry| {
            let padded = &entry[8..];
            padded.starts_with(name.as_bytes()) && padded[name.len()..].iter().all(|byte| *byte == 0)
        })?;
        let key = u16::from_be_bytes([entry[4], entry[5]]);
        self.items.get_mut(&key)
    }

    pub fn set(&mut self, key: u16, bytes: &[u8]) {
        self.items.insert(key, bytes.to_vec());
    }

    /// The item of a selector; one that is not there is empty.
    pub fn get(&self, selector: u16) -> &[u8] {
        self.items.get(&(selector & KEY_MASK)).map_or(&[], Vec::as_slice)
    }

    /// Files get keys in the order of their names, and the directory an entry for each.
    fn add_files(&mut self, files: BTreeMap<String, Vec<u8>>) {
        let mut directory = (files.len() as u32).to_be_bytes().to_vec();
        for (key, (name, bytes)) in (FILE_FIRST..).zip(files) {
            directory.extend((bytes.len() as u32).to_be_bytes());
            directory.extend(key.to_be_bytes());
            directory.extend([0; 2]);
            let mut padded = name.into_bytes();
            padded.resize(FILE_NAME_LEN, 0);
            directory.extend(padded);
            self.items.insert(key, bytes);
        }
        self.items.insert(FILE_DIR, directory);
    }

    /// blake3 over keys, lengths and bytes.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (key, bytes) in &self.items {
            hasher.update(&key.to_le_bytes());
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        *hasher.finalize().as_bytes()
    }
}

fn e820(config: &PlatformConfig) -> Vec<u8> {
    let layout = RamLayout::new(config.memory_size);
    let mut bytes = Vec::new();
    for (base, len) in [(0, layout.low), (1 << 32, layout.high)] {
        if len > 0 {
            bytes.extend(u64::to_le_bytes(base));
            bytes.extend(u64::to_le_bytes(len));
            bytes.extend(E820_RAM.to_le_bytes());
        }
    }
    bytes
}
