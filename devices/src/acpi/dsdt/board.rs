//! What is soldered to the board: the LPC bridge's devices, the HPET, fw_cfg, and what belongs to no driver.

use super::super::terms::*;
use crate::disk::DiskInterface;
use crate::hpet::{HPET_BASE, HPET_LEN};
use crate::pci::{PCIEXBAR_BASE, PMBASE_FIRMWARE};
use crate::platform::PlatformConfig;
use crate::pm::PM_LEN;
use acpi_tables::aml::*;

const RCBA_FIRMWARE: u32 = 0xfed1_c000;
/// Names of the fields with the route registers of the link devices, PIRQ A-H.
pub(super) const ROUTES: [&str; 8] = ["PRQA", "PRQB", "PRQC", "PRQD", "PRQE", "PRQF", "PRQG", "PRQH"];

pub(super) fn lpc(config: &PlatformConfig) -> Raw {
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
    if config.disks.iter().any(|disk| disk.interface == DiskInterface::Floppy) {
        children.extend(floppy());
    }
    device("ISA_", &children)
}

/// The floppy disk controller and the DMA controllers.
fn floppy() -> [Raw; 2] {
    let crs = [ports(0x3f2, 4), ports(0x3f7, 1), isa_irq(6), dma(2)];
    let controllers = [ports(0, 16), ports(0x81, 15), ports(0xc0, 32), dma(4)];
    [
        device("FDC0", &[hid("PNP0700"), present(), name("_CRS", &resources(&crs))]),
        device("DMAC", &[hid("PNP0200"), name("_CRS", &resources(&controllers))]),
    ]
}

/// A DMA channel for bytes, of no special kind (ACPI 6.5, 6.4.2.2).
fn dma(channel: u8) -> Raw {
    Raw(vec![0x2a, 1 << channel, 0])
}

fn present() -> Raw {
    name("_STA", &0x0fu8)
}

fn serial(path: &str, uid: u8, base: u16, irq: u8) -> Raw {
    let crs = resources(&[ports(base, 8), isa_irq(irq)]);
    device(path, &[hid("PNP0501"), name("_UID", &uid), present(), name("_CRS", &crs)])
}

/// What belongs to the board and to no driver: ECAM, the root complex registers, the PM block and those of hot-plug.
pub(super) fn motherboard(config: &PlatformConfig) -> Raw {
    let mut ranges = vec![
        aml(&Memory32Fixed::new(true, PCIEXBAR_BASE as u32, 0x1000_0000)),
        aml(&Memory32Fixed::new(true, RCBA_FIRMWARE, 0x4000)),
        ports(PMBASE_FIRMWARE, PM_LEN as u8),
    ];
    ranges.extend(config.hotplug.ports().map(|(first, count)| ports(first, count as u8)));
    device("MBRD", &[hid("PNP0C02"), name("_UID", &ZERO), name("_CRS", &resources(&ranges))])
}

pub(super) fn hpet() -> Raw {
    let crs = resources(&[aml(&Memory32Fixed::new(false, HPET_BASE as u32, HPET_LEN as u32))]);
    device("HPET", &[hid("PNP0103"), name("_UID", &ZERO), name("_CRS", &crs)])
}

pub(super) fn fw_cfg() -> Raw {
    let crs = resources(&[ports(0x510, 12)]);
    // Present but not for the user to see.
    device("FWCF", &[name("_HID", &"QEMU0002"), name("_STA", &0x0bu8), name("_CRS", &crs)])
}
