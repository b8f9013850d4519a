//! The DSDT: PCI root with interrupt routing, LPC devices, processors and soft off, in AML.

use super::tables::{OEM_ID, OEM_TABLE_ID};
use crate::hpet::{HPET_BASE, HPET_LEN};
use crate::pci::{Lpc, PCIEXBAR_BASE, PMBASE_FIRMWARE};
use crate::platform::{PlatformConfig, RamLayout};
use crate::pm::{PM_LEN, SLP_TYP_S3, SLP_TYP_S5};
use acpi_tables::aml::*;
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, AmlSink};

/// First address of the PCI memory window below 4 GiB, after ECAM, and the last one before the IOAPIC.
const PCI_WINDOW: (u32, u32) = (0xc000_0000, 0xfebf_ffff);
/// Bytes of the PCI memory window above RAM, and what its base is aligned to.
const PCI_WINDOW_64: u64 = 32 << 30;
const PCI_WINDOW_64_ALIGN: u64 = 1 << 30;
const RCBA_FIRMWARE: u32 = 0xfed1_c000;
/// Names of the link devices and of the fields with their route registers, PIRQ A-H.
const LINKS: [&str; 8] = ["LNKA", "LNKB", "LNKC", "LNKD", "LNKE", "LNKF", "LNKG", "LNKH"];
const ROUTES: [&str; 8] = ["PRQA", "PRQB", "PRQC", "PRQD", "PRQE", "PRQF", "PRQG", "PRQH"];
/// ISA IRQs a link can be routed to.
const LINK_IRQS: [u32; 3] = [5, 10, 11];

/// A term that is already AML.
struct Raw(Vec<u8>);

impl Aml for Raw {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(&self.0);
    }
}

fn aml(term: &dyn Aml) -> Raw {
    let mut bytes = Vec::new();
    term.to_aml_bytes(&mut bytes);
    Raw(bytes)
}

fn all(terms: &[Raw]) -> Vec<&dyn Aml> {
    terms.iter().map(|term| term as &dyn Aml).collect()
}

fn name(path: &str, value: &dyn Aml) -> Raw {
    aml(&Name::new(path.into(), value))
}

fn device(path: &str, children: &[Raw]) -> Raw {
    aml(&Device::new(path.into(), all(children)))
}

fn method(path: &str, args: u8, serialized: bool, body: &[Raw]) -> Raw {
    aml(&Method::new(path.into(), args, serialized, all(body)))
}

fn resources(descriptors: &[Raw]) -> Raw {
    aml(&ResourceTemplate::new(all(descriptors)))
}

/// A fixed range of I/O ports.
fn ports(base: u16, len: u8) -> Raw {
    aml(&IO::new(base, base, 1, len))
}

/// An edge-triggered ISA interrupt: the small descriptor without flags (ACPI 6.5, 6.4.2.1).
fn isa_irq(irq: u8) -> Raw {
    let mask = (1u16 << irq).to_le_bytes();
    Raw(vec![0x22, mask[0], mask[1]])
}

/// A level-triggered, active high, shared interrupt, one of `irqs` (ACPI 6.5, 6.4.3.6).
fn level_irq(irqs: &[u32]) -> Raw {
    let mut bytes = vec![0x89];
    bytes.extend((2 + 4 * irqs.len() as u16).to_le_bytes());
    // Consumer, level, high, shared.
    bytes.extend([0x09, irqs.len() as u8]);
    irqs.iter().for_each(|irq| bytes.extend(irq.to_le_bytes()));
    Raw(bytes)
}

fn hid(id: &str) -> Raw {
    name("_HID", &EISAName::new(id))
}

/// The whole table, with its checksum.
pub(super) fn dsdt(config: &PlatformConfig) -> Vec<u8> {
    let terms = [
        name("PICF", &ZERO),
        // _PIC tells which interrupt controllers the system uses: 0 is the 8259A pair.
        method("_PIC", 1, false, &[aml(&Store::new(&Path::new("PICF"), &Arg(0)))]),
        name("_S5_", &Package::new(vec![&SLP_TYP_S5, &ZERO, &ZERO, &ZERO])),
        aml(&Scope::new("_SB_".into(), all(&[pci_root(config), motherboard(), hpet(), fw_cfg()]))),
        aml(&Scope::new("_SB_".into(), all(&links()))),
        aml(&Scope::new("_SB_".into(), all(&[processors(config.cpus)]))),
    ];
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

fn pci_root(config: &PlatformConfig) -> Raw {
    let windows = resources(&bridge_windows(config));
    device(
        "PCI0",
        &[
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
            lpc(),
        ],
    )
}

/// What the host bridge passes on: buses, ports, video memory, and memory below ECAM, below the IOAPIC and
/// above RAM.
fn bridge_windows(config: &PlatformConfig) -> Vec<Raw> {
    let layout = RamLayout::new(config.memory_size);
    let memory = |min: u32, max: u32| {
        aml(&AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, min, max, None))
    };
    let high = ((4 << 30) + layout.high).next_multiple_of(PCI_WINDOW_64_ALIGN);
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

fn lpc() -> Raw {
    let field = |route: &str| FieldEntry::Named(route.as_bytes().try_into().expect("four letters"), 8);
    let mut fields: Vec<FieldEntry> = ROUTES[..4].iter().map(|route| field(route)).collect();
    fields.push(FieldEntry::Reserved(32));
    fields.extend(ROUTES[4..].iter().map(|route| field(route)));
    let region = OpRegion::new("PIRQ".into(), OpRegionSpace::PCIConfig, &0x60u8, &0x0cu8);
    let routes = Field::new(
        "PIRQ".into(),
        FieldAccessType::Byte,
        FieldLockRule::NoLock,
        FieldUpdateRule::Preserve,
        fields,
    );
    let keyboard = resources(&[ports(0x60, 1), ports(0x64, 1), isa_irq(1)]);
    let mut children = vec![
        name("_ADR", &0x001f_0000u32),
        aml(&region),
        aml(&routes),
        device("KBD_", &[hid("PNP0303"), present(), name("_CRS", &keyboard)]),
        device("MOU_", &[hid("PNP0F13"), present(), name("_CRS", &resources(&[isa_irq(12)]))]),
        serial("COM1", 1, 0x3f8, 4),
        serial("COM2", 2, 0x2f8, 3),
    ];
    children.push(device("RTC_", &[hid("PNP0B00"), name("_CRS", &resources(&[ports(0x70, 8), isa_irq(8)]))]));
    let pic = [ports(0x20, 2), ports(0xa0, 2), ports(0x4d0, 2)];
    children.push(device("PIC_", &[hid("PNP0000"), name("_CRS", &resources(&pic))]));
    let timer = [ports(0x40, 4), isa_irq(0)];
    children.push(device("TIMR", &[hid("PNP0100"), name("_CRS", &resources(&timer))]));
    device("ISA_", &children)
}

fn present() -> Raw {
    name("_STA", &0x0fu8)
}

fn serial(path: &str, uid: u8, base: u16, irq: u8) -> Raw {
    let crs = resources(&[ports(base, 8), isa_irq(irq)]);
    device(path, &[hid("PNP0501"), name("_UID", &uid), present(), name("_CRS", &crs)])
}

/// PCI interrupt link devices over PIRQx_ROUT, for systems that use the 8259A pair.
fn links() -> Vec<Raw> {
    (0..8).map(link).collect()
}

fn link(index: usize) -> Raw {
    let route = Path::new(&format!("\\_SB_.PCI0.ISA_.{}", ROUTES[index]));
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

/// What belongs to the board and to no driver: ECAM, the root complex registers and the PM block.
fn motherboard() -> Raw {
    let crs = resources(&[
        aml(&Memory32Fixed::new(true, PCIEXBAR_BASE as u32, 0x1000_0000)),
        aml(&Memory32Fixed::new(true, RCBA_FIRMWARE, 0x4000)),
        ports(PMBASE_FIRMWARE, PM_LEN as u8),
    ]);
    device("MBRD", &[hid("PNP0C02"), name("_UID", &ZERO), name("_CRS", &crs)])
}

fn hpet() -> Raw {
    let crs = resources(&[aml(&Memory32Fixed::new(false, HPET_BASE as u32, HPET_LEN as u32))]);
    device("HPET", &[hid("PNP0103"), name("_UID", &ZERO), name("_CRS", &crs)])
}

fn fw_cfg() -> Raw {
    let crs = resources(&[ports(0x510, 12)]);
    // Present but not for the user to see.
    device("FWCF", &[name("_HID", &"QEMU0002"), name("_STA", &0x0bu8), name("_CRS", &crs)])
}

fn processors(cpus: u32) -> Raw {
    let mut children = vec![name("_HID", &"ACPI0010"), name("_CID", &EISAName::new("PNP0A05"))];
    for cpu in 0..cpus.min(255) {
        let path = format!("C{cpu:03X}");
        children.push(device(&path, &[name("_HID", &"ACPI0007"), name("_UID", &cpu)]));
    }
    device("CPUS", &children)
}
