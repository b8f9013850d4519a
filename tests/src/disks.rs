//! Machines with disks, and what is on them.

use amber_emu::cli::build;
use amber_emu::config::{DiskChoice, MachineConfig};
use amber_emu::machine::Machine;
use std::path::Path;
use std::process::{Command, Stdio};

/// A machine with the image that drives disks, and two disks over copies of it in `folder`, the second read-only.
pub fn disk_rom(folder: &Path) -> Machine {
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../roms/disk/image.bin");
    let disk = |name: &str, read_only| {
        let file = folder.join(name);
        if !file.exists() {
            std::fs::copy(&image, &file).expect("the folder is writable");
        }
        DiskChoice { file, read_only, ..DiskChoice::default() }
    };
    let disk = vec![disk("disk0.img", false), disk("disk1.img", true)];
    let memory = "64M".parse().expect("a size");
    let config = MachineConfig { rom: Some(image.clone()), disk, memory, ..MachineConfig::default() };
    build::machine(&config).expect("a first-party image can be built")
}

/// A Debian guest of `tests/fetch-debian.sh` that works with the file system on its disk, if that was fetched.
pub fn debian_with_disk(initrd: &str, cpus: u32) -> Option<impl Fn() -> Machine> {
    let folder = crate::debian()?;
    let (initrd, file) = (folder.join(initrd), folder.join("ext4.img"));
    if !initrd.is_file() || !file.is_file() {
        eprintln!("skipped: no file system in {}; tests/fetch-debian.sh makes one", folder.display());
        return None;
    }
    let config = MachineConfig {
        kernel: Some(folder.join("vmlinuz")),
        initrd: Some(initrd),
        append: Some(std::env::var("AMBER_APPEND").unwrap_or("console=ttyS0 panic=-1".into())),
        disk: vec![DiskChoice { file, ..DiskChoice::default() }],
        cpus,
        ..MachineConfig::default()
    };
    Some(move || build::machine(&config).expect("Debian's kernel can be loaded"))
}

/// Bytes of a disk as the guest sees it.
pub fn contents(machine: &Machine, disk: usize) -> Vec<u8> {
    let disk = machine.disks().nth(disk).expect("the machine has it");
    let mut bytes = vec![0; disk.sectors() as usize * 512];
    disk.read(0, &mut bytes).expect("its image is there");
    bytes
}

/// Whether the first disk has requests in flight: their list is the end of its section, one byte 0 if it is empty.
pub fn busy(machine: &Machine) -> bool {
    let sections = machine.platform().sections("platform0");
    let section = sections.iter().find(|section| section.path == "platform0/virtio-blk0");
    section.is_some_and(|section| section.bytes.last() != Some(&0))
}

/// What e2fsck says about the file system in an image, and its exit code.
///
/// # Panics
/// If there is no e2fsck.
pub fn fsck(image: &Path, how: &str) -> (Option<i32>, String) {
    let mut e2fsck = Command::new("/sbin/e2fsck");
    let output = e2fsck.arg(how).arg(image).stdin(Stdio::null()).output().expect("e2fsck starts");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}
