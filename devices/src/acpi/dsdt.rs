//! The DSDT: PCI root with interrupt routing, LPC devices, processors and soft off, in AML.

mod board;
mod memory;
mod processors;
mod root;
mod slots;

use super::tables::{OEM_ID, OEM_TABLE_ID};
use super::terms::*;
use crate::platform::PlatformConfig;
use crate::pm::{SLP_TYP_S3, SLP_TYP_S5};
use acpi_tables::Aml;
use acpi_tables::aml::*;
use acpi_tables::sdt::Sdt;

/// The whole table, with its checksum.
pub(super) fn dsdt(config: &PlatformConfig) -> Vec<u8> {
    let board = [root::pci_root(config), board::motherboard(config), board::hpet(), board::fw_cfg()];
    let mut terms = vec![
        name("PICF", &ZERO),
        // _PIC tells which interrupt controllers the system uses: 0 is the 8259A pair.
        method("_PIC", 1, false, &[aml(&Store::new(&Path::new("PICF"), &Arg(0)))]),
        name("_S5_", &Package::new(vec![&SLP_TYP_S5, &ZERO, &ZERO, &ZERO])),
        aml(&Scope::new("_SB_".into(), all(&board))),
        aml(&Scope::new("_SB_".into(), all(&root::links()))),
        aml(&Scope::new("_SB_".into(), all(&[processors::processors(config)]))),
    ];
    if let Some(slots) = &config.hotplug.memory {
        terms.push(aml(&Scope::new("_SB_".into(), all(&[memory::memory(slots.count)]))));
    }
    let events = events(config);
    if !events.is_empty() {
        terms.push(aml(&Scope::new("_GPE".into(), all(&events))));
    }
    let mut body = Vec::new();
    if config.offers_s3() {
        let s3 = Package::new(vec![&SLP_TYP_S3, &SLP_TYP_S3, &ZERO, &ZERO]);
        name("_S3_", &s3).to_aml_bytes(&mut body);
    }
    terms.iter().for_each(|term| term.to_aml_bytes(&mut body));
    // Revision 2: integers have 64 bits.
    let mut table = Sdt::new(*b"DSDT", 36, 2, OEM_ID, OEM_TABLE_ID, 1);
    table.append_slice(&body);
    table.as_slice().to_vec()
}

/// What general-purpose events do.
fn events(config: &PlatformConfig) -> Vec<Raw> {
    let functions = config.hotplug.functions.iter().map(|_| slots::event());
    let memory = config.hotplug.memory.iter().map(|_| memory::event());
    config.hotplug.cpus.iter().map(|_| processors::event()).chain(memory).chain(functions).collect()
}
