//! The PCI root: windows, interrupt routing and link devices.

use super::super::terms::*;
use super::{board, slots};
use crate::pci::{Lpc, PCIEXBAR_BASE};
use crate::platform::{PlatformConfig, RamLayout};
use acpi_tables::Aml;
use acpi_tables::aml::*;

/// First address of the PCI memory window below 4 GiB, after ECAM, and the last one before the IOAPIC.
const PCI_WINDOW: (u32, u32) = (0xc000_0000, 0xfebf_ffff);
/// Bytes of the PCI memory window above RAM, and what its base is aligned to.
const PCI_WINDOW_64: u64 = 32 << 30;
const PCI_WINDOW_64_ALIGN: u64 = 1 << 30;
/// Names of the link devices, PIRQ A-H.
const LINKS: [&str; 8] = ["LNKA", "LNKB", "LNKC", "LNKD", "LNKE", "LNKF", "LNKG", "LNKH"];
/// ISA IRQs a link can be routed to.
const LINK_IRQS: [u32; 3] = [5, 10, 11];

pub(super) fn pci_root(config: &PlatformConfig) -> Raw {
    let windows = resources(&bridge_windows(config));
    let mut children = vec![
        hid("PNP0A08"),
        name("_CID", &EISAName::new("PNP0A03")),
        name("_ADR", &ZERO),
        name("_BBN", &ZERO),
        name("_UID", &ZERO),
        name("_CRS", &windows),
        osc(),
        name("PRTP", &routing(false)),
        name("PRTA", &routing(true)),
        method(
            "_PRT",
            0,
            false,
            &[
                aml(&If::new(&Path::new("PICF"), vec![&Return::new(&Path::new("PRTA"))])),
                aml(&Return::new(&Path::new("PRTP"))),
            ],
        ),
        board::lpc(config),
    ];
    if let Some(functions) = &config.hotplug.functions {
        children.extend(slots::slots(functions));
    }
    device("PCI0", &children)
}

/// What the host bridge passes on: buses, ports, video memory, and memory below ECAM, below the IOAPIC and
/// above RAM.
fn bridge_windows(config: &PlatformConfig) -> Vec<Raw> {
    let layout = RamLayout::new(config.memory_size);
    let memory = |min: u32, max: u32| {
        aml(&AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, min, max, None))
    };
    let memory_end = config.dimms().map_or((4 << 30) + layout.high, |(_, end)| end);
    let high = memory_end.next_multiple_of(PCI_WINDOW_64_ALIGN);
    let high_end = high + PCI_WINDOW_64 - 1;
    let mut windows = vec![
        aml(&AddressSpace::new_bus_number(0u16, 0xff)),
        ports(0xcf8, 8),
        aml(&AddressSpace::new_io(0u16, 0x0cf7, None)),
        aml(&AddressSpace::new_io(0x0d00u16, 0xffff, None)),
        aml(&AddressSpace::new_memory(AddressSpaceCacheable::Cacheable, true, 0xa_0000u32, 0xb_ffff, None)),
    ];
    if layout.low < PCIEXBAR_BASE {
        windows.push(memory(layout.low as u32, PCIEXBAR_BASE as u32 - 1));
    }
    windows.push(memory(PCI_WINDOW.0, PCI_WINDOW.1));
    let cacheable = AddressSpaceCacheable::Cacheable;
    windows.push(aml(&AddressSpace::new_memory(cacheable, true, high, high_end, None)));
    windows
}

/// _OSC: the system may take over the PCI Express capability structures (bit 4). There are no ports, so there is no
/// hot-plug, PME or AER to take over (PCI firmware 3.3, 4.5.1).
fn osc() -> Raw {
    let uuid = Uuid::new("33DB4D5B-1FF7-401C-9657-7441C03DD766");
    let (status, control) = (Path::new("CDW1"), Path::new("CDW3"));
    let status_field = CreateDWordField::new(&status, &Arg(3), &ZERO);
    let control_field = CreateDWordField::new(&control, &Arg(3), &8u8);
    let asked = Store::new(&Local(0), &control);
    let native = And::new(&control, &control, &0x10u8);
    let masked = Or::new(&status, &status, &0x10u8);
    let less_than_asked = LessThan::new(&control, &Local(0));
    let masked_check = If::new(&less_than_asked, vec![&masked]);
    let unknown_revision = Or::new(&status, &status, &8u8);
    let not_one = LessThan::new(&Arg(1), &ONE);
    let revision_check = If::new(&not_one, vec![&unknown_revision]);
    let is_pci = Equal::new(&Arg(0), &uuid);
    let granted = If::new(&is_pci, vec![&control_field, &asked, &native, &masked_check, &revision_check]);
    let unknown_uuid = Or::new(&status, &status, &4u8);
    let otherwise = Else::new(vec![&unknown_uuid]);
    let answer = Return::new(&Arg(3));
    let body: [&dyn Aml; 4] = [&status_field, &granted, &otherwise, &answer];
    aml(&Method::new("_OSC".into(), 4, true, body.to_vec()))
}

/// _PRT: each slot's four pins, to link devices (8259A) or to global interrupts 16-23.
fn routing(apic: bool) -> Raw {
    let wiring = Lpc::new();
    let mut entries = Vec::new();
    for slot in 0..32u8 {
        for pin in 1..=4 {
            let pirq = wiring.pirq_of(slot, pin);
            let address = u32::from(slot) << 16 | 0xffff;
            let (source, index) = if apic {
                (aml(&ZERO), aml(&(16 + pirq)))
            } else {
                (aml(&Path::new(LINKS[usize::from(pirq & 7)])), aml(&ZERO))
            };
            let pin = pin - 1;
            entries.push(aml(&Package::new(vec![&address, &pin, &source, &index])));
        }
    }
    aml(&Package::new(all(&entries)))
}

/// PCI interrupt link devices over PIRQx_ROUT, for systems that use the 8259A pair.
pub(super) fn links() -> Vec<Raw> {
    (0..8).map(link).collect()
}

fn link(index: usize) -> Raw {
    let route = Path::new(&format!("\\_SB_.PCI0.ISA_.{}", board::ROUTES[index]));
    let possible = resources(&[level_irq(&LINK_IRQS)]);
    let current = resources(&[level_irq(&[0])]);
    let off = And::new(&Local(0), &route, &0x80u8);
    let disabled = aml(&If::new(&Local(0), vec![&Return::new(&9u8)]));
    let sta = [aml(&off), disabled, aml(&Return::new(&0x0bu8))];
    let dis = [aml(&Or::new(&route, &route, &0x80u8))];
    // The interrupt number is five bytes into the descriptor.
    let number = Path::new("PRRI");
    let crs = [
        name("PRR0", &current),
        aml(&CreateDWordField::new(&number, &Path::new("PRR0"), &5u8)),
        aml(&And::new(&number, &route, &0x0fu8)),
        aml(&Return::new(&Path::new("PRR0"))),
    ];
    let srs = [aml(&CreateDWordField::new(&number, &Arg(0), &5u8)), aml(&Store::new(&route, &number))];
    device(
        LINKS[index],
        &[
            hid("PNP0C0F"),
            name("_UID", &(index as u8)),
            name("_PRS", &possible),
            method("_STA", 0, false, &sta),
            method("_DIS", 0, false, &dis),
            method("_CRS", 0, true, &crs),
            method("_SRS", 1, false, &srs),
        ],
    )
}
