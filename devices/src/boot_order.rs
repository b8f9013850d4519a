//! Where firmware looks for something to boot: the fw_cfg file `bootorder`, with a device in every line as QEMU names it, by
//! its path in an OpenFirmware device tree (IEEE 1275), which SeaBIOS and OVMF both read.

use crate::disk::{DiskConfig, DiskInterface};
use crate::ide;
use crate::nvme;
use crate::pci::{ADAPTER_SLOT, FIRST_DISK};
use crate::xhci;

/// Something to boot from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootDevice {
    /// All disks that are neither CDs nor diskettes, in their order.
    Disks,
    /// All CDs, in their order.
    Cds,
    /// All diskettes, in their order.
    Floppies,
    /// A disk by its number among those that are neither CDs nor diskettes.
    Disk(usize),
    /// A CD by its number among the CDs.
    Cd(usize),
    /// A diskette by its number among them.
    Floppy(usize),
    /// The network adapter.
    Network,
}

/// What firmware calls a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Disk,
    Cd,
    Floppy,
}

fn kind(disk: &DiskConfig) -> Kind {
    match disk.interface {
        DiskInterface::Floppy => Kind::Floppy,
        interface if interface.is_cd() => Kind::Cd,
        _ => Kind::Disk,
    }
}

/// The content of `bootorder`, for firmware of a platform with `disks`. A device that is none of them is left out.
pub fn boot_order(disks: &[DiskConfig], order: &[BootDevice]) -> Vec<u8> {
    let of = |wanted: Kind| (0..disks.len()).filter(move |n| kind(&disks[*n]) == wanted);
    let mut lines: Vec<String> = Vec::new();
    for device in order {
        let wanted: Vec<usize> = match *device {
            BootDevice::Disks => of(Kind::Disk).collect(),
            BootDevice::Cds => of(Kind::Cd).collect(),
            BootDevice::Floppies => of(Kind::Floppy).collect(),
            BootDevice::Disk(n) => of(Kind::Disk).nth(n).into_iter().collect(),
            BootDevice::Cd(n) => of(Kind::Cd).nth(n).into_iter().collect(),
            BootDevice::Floppy(n) => of(Kind::Floppy).nth(n).into_iter().collect(),
            BootDevice::Network => Vec::new(),
        };
        let network = (*device == BootDevice::Network)
            .then(|| format!("/pci@i0cf8/ethernet@{ADAPTER_SLOT:x}/ethernet-phy@0"));
        for line in wanted.into_iter().map(|n| path(disks, n)).chain(network) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    let mut text = lines.join("\n").into_bytes();
    if !text.is_empty() {
        text.push(0);
    }
    text
}

/// The path of disk `n`.
fn path(disks: &[DiskConfig], n: usize) -> String {
    let slot = FIRST_DISK + n as u8;
    let before = |at: fn(DiskInterface) -> bool| disks[..n].iter().filter(|disk| at(disk.interface)).count();
    match disks[n].interface {
        DiskInterface::Virtio => format!("/pci@i0cf8/scsi@{slot:x}/disk@0,0"),
        // The namespace by its EUI-64, which OVMF compares, as the number that its bytes are in memory.
        DiskInterface::Nvme => {
            let eui64 = u64::from_le_bytes(nvme::eui64(n as u8));
            format!("/pci@i0cf8/pci8086,5845@{slot:x}/namespace@1,{eui64:x}")
        }
        DiskInterface::Ahci | DiskInterface::Cdrom => {
            format!("/pci@i0cf8/pci8086,2922@1f,2/drive@{}/disk@0", before(DiskInterface::is_at_ahci))
        }
        DiskInterface::Ide | DiskInterface::IdeCdrom => {
            let drive = before(DiskInterface::is_at_ide);
            format!("/pci@i0cf8/ide@{:x}/drive@{}/disk@{}", ide::SLOT, drive / 2, drive % 2)
        }
        DiskInterface::Floppy => {
            let drive = before(|interface| interface == DiskInterface::Floppy);
            format!("/pci@i0cf8/isa@1f/fdc@03f0/floppy@{drive}")
        }
        DiskInterface::Usb => {
            let port = xhci::FIRST_DISK_PORT + before(|interface| interface == DiskInterface::Usb);
            format!("/pci@i0cf8/usb@{:x}/storage@{port:x}/channel@0/disk@0,0", xhci::SLOT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_qemu_writes() {
        use DiskInterface::*;
        let disks = [Virtio, Nvme, Cdrom, Ahci, Ide, IdeCdrom, Ide, Floppy, Floppy];
        let disks = disks.map(|interface| DiskConfig { interface, sectors: 1, read_only: interface.is_cd() });
        let order = |order: &[BootDevice]| String::from_utf8(boot_order(&disks, order)).unwrap();
        assert_eq!(
            order(&[BootDevice::Cds, BootDevice::Disk(2), BootDevice::Disks]),
            "/pci@i0cf8/pci8086,2922@1f,2/drive@0/disk@0\n\
             /pci@i0cf8/ide@13/drive@0/disk@1\n\
             /pci@i0cf8/pci8086,2922@1f,2/drive@1/disk@0\n\
             /pci@i0cf8/scsi@3/disk@0,0\n\
             /pci@i0cf8/pci8086,5845@4/namespace@1,1000000004d4102\n\
             /pci@i0cf8/ide@13/drive@0/disk@0\n\
             /pci@i0cf8/ide@13/drive@1/disk@0\0"
        );
        assert_eq!(order(&[BootDevice::Cd(2)]), "");
        assert_eq!(
            order(&[BootDevice::Network, BootDevice::Floppy(1), BootDevice::Floppies, BootDevice::Network]),
            "/pci@i0cf8/ethernet@2/ethernet-phy@0\n\
             /pci@i0cf8/isa@1f/fdc@03f0/floppy@1\n\
             /pci@i0cf8/isa@1f/fdc@03f0/floppy@0\0"
        );
    }
}
