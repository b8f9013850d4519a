//! Where firmware looks for something to boot: the fw_cfg file `bootorder`, with a device in every line as QEMU names it, by
//! its path in an OpenFirmware device tree (IEEE 1275), which SeaBIOS and OVMF both read.

use crate::disk::{DiskConfig, DiskInterface};
use crate::ide;
use crate::pci::FIRST_DISK;
use crate::xhci;

/// Something to boot from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootDevice {
    /// All disks that are no CDs, in their order.
    Disks,
    /// All CDs, in their order.
    Cds,
    /// A disk by its number among those that are no CDs.
    Disk(usize),
    /// A CD by its number among the CDs.
    Cd(usize),
}

/// The content of `bootorder`, for firmware of a platform with `disks`. A device that is none of them is left out.
pub fn boot_order(disks: &[DiskConfig], order: &[BootDevice]) -> Vec<u8> {
    let of_kind = |cd: bool| (0..disks.len()).filter(move |n| disks[*n].interface.is_cd() == cd);
    let mut chosen: Vec<usize> = Vec::new();
    for device in order {
        let wanted: Vec<usize> = match *device {
            BootDevice::Disks => of_kind(false).collect(),
            BootDevice::Cds => of_kind(true).collect(),
            BootDevice::Disk(n) => of_kind(false).nth(n).into_iter().collect(),
            BootDevice::Cd(n) => of_kind(true).nth(n).into_iter().collect(),
        };
        chosen.extend(wanted.iter().filter(|n| !chosen.contains(n)).copied().collect::<Vec<_>>());
    }
    let lines: Vec<String> = chosen.into_iter().map(|n| path(disks, n)).collect();
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
        DiskInterface::Nvme => format!("/pci@i0cf8/pci8086,5845@{slot:x}/namespace@1,0"),
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
        let disks = [Virtio, Nvme, Cdrom, Ahci, Ide, IdeCdrom, Ide];
        let disks = disks.map(|interface| DiskConfig { interface, sectors: 1, read_only: interface.is_cd() });
        let order = |order: &[BootDevice]| String::from_utf8(boot_order(&disks, order)).unwrap();
        assert_eq!(
            order(&[BootDevice::Cds, BootDevice::Disk(2), BootDevice::Disks]),
            "/pci@i0cf8/pci8086,2922@1f,2/drive@0/disk@0\n\
             /pci@i0cf8/ide@13/drive@0/disk@1\n\
             /pci@i0cf8/pci8086,2922@1f,2/drive@1/disk@0\n\
             /pci@i0cf8/scsi@3/disk@0,0\n\
             /pci@i0cf8/pci8086,5845@4/namespace@1,0\n\
             /pci@i0cf8/ide@13/drive@0/disk@0\n\
             /pci@i0cf8/ide@13/drive@1/disk@0\0"
        );
        assert_eq!(order(&[BootDevice::Cd(2)]), "");
    }
}
