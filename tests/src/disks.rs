//! Machines with disks, and what is on them.

use amber_emu::cli::build;
use amber_emu::config::{DiskChoice, MachineConfig};
use amber_emu::machine::Machine;
use std::path::Path;

/// A machine with the image that drives disks, and two disks over copies of it in `folder`, the second read-only.
pub fn disk_rom(folder: &Path) -> Machine {
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../roms/disk/image.bin");
    let disk = |name: &str, read_only| {
        let file = folder.join(name);
        if !file.exists() {
            std::fs::copy(&image, &file).expect("the folder is writable");
        }
        DiskChoice { file, read_only }
    };
    let disk = vec![disk("disk0.img", false), disk("disk1.img", true)];
    let memory = "64M".parse().expect("a size");
    let config = MachineConfig { rom: Some(image.clone()), disk, memory, ..MachineConfig::default() };
    build::machine(&config).expect("a first-party image can be built")
}

/// Bytes of a disk as the guest sees it.
pub fn contents(machine: &Machine, disk: usize) -> Vec<u8> {
    let disk = machine.disks().nth(disk).expect("the machine has it");
    let mut bytes = vec![0; disk.sectors() as usize * 512];
    disk.read(0, &mut bytes).expect("its image is there");
    bytes
}

/// Whether the first disk has requests in flight: their list is the end of its section, one byte 0 if it is empty.
pub fn busy(machine: &mut Machine) -> bool {
    let sections = machine.sections();
    let section = sections.iter().find(|section| section.path == "platform0/virtio-blk0").expect("a disk");
    section.bytes.last() != Some(&0)
}
