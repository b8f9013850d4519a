//! Machines with disks, and what is on them.

use amber_devices::DiskInterface;
use amber_emu::cli::build;
use amber_emu::config::{CdChoice, DiskChoice, FloppyChoice, MachineConfig};
use amber_emu::machine::Machine;
use amber_snapshot::{Value, decode};
use std::path::Path;
use std::process::{Command, Stdio};

/// A CD that starts GRUB, of Debian's grub-rescue-pc.
pub const GRUB_CD: &str = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso";

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
    debian_with(initrd, DiskInterface::Virtio, cpus)
}

/// The same with a disk of any kind, and beside one at an ATA controller a CD.
pub fn debian_with(
    initrd: &str,
    interface: DiskInterface,
    cpus: u32,
) -> Option<impl Fn() -> Machine + use<>> {
    let config = debian_config(initrd, interface, cpus)?;
    Some(move || build::machine(&config).expect("Debian's kernel can be loaded"))
}

/// What that machine is built from.
pub fn debian_config(initrd: &str, interface: DiskInterface, cpus: u32) -> Option<MachineConfig> {
    let folder = crate::debian()?;
    let (initrd, file) = (folder.join(initrd), folder.join("ext4.img"));
    let is_at_ata = interface.is_at_ahci() || interface.is_at_ide();
    let cd = CdChoice { file: Some(GRUB_CD.into()), at_ide: interface.is_at_ide() };
    let cdrom = if is_at_ata { vec![cd] } else { Vec::new() };
    let mut files = vec![&initrd, &file];
    files.extend(cdrom.iter().filter_map(|cd| cd.file.as_ref()));
    let missing = files.into_iter().find(|file| !file.is_file());
    if let Some(missing) = missing {
        eprintln!(
            "skipped: no {}; tests/fetch-debian.sh makes guests, and the CD is of grub-rescue-pc",
            missing.display()
        );
        return None;
    }
    Some(MachineConfig {
        kernel: Some(folder.join("vmlinuz")),
        initrd: Some(initrd),
        append: Some(std::env::var("AMBER_APPEND").unwrap_or("console=ttyS0 panic=-1".into())),
        disk: vec![DiskChoice { file, interface, ..DiskChoice::default() }],
        cdrom,
        cpus,
        ..MachineConfig::default()
    })
}

/// A Debian guest that writes an ext2 on one diskette and a FAT on another, if that was fetched.
pub fn debian_with_diskettes(cpus: u32) -> Option<MachineConfig> {
    let folder = crate::debian()?;
    let files = ["diskettes.gz", "diskette-ext2.img", "diskette-fat.img"].map(|file| folder.join(file));
    if let Some(missing) = files.iter().find(|file| !file.is_file()) {
        eprintln!("skipped: no {}; tests/fetch-debian.sh makes it", missing.display());
        return None;
    }
    let [initrd, ext2, fat] = files;
    Some(MachineConfig {
        kernel: Some(folder.join("vmlinuz")),
        initrd: Some(initrd),
        append: Some("console=ttyS0 panic=-1".into()),
        floppy: [ext2, fat].map(|file| FloppyChoice { file: Some(file), read_only: false }).to_vec(),
        cpus,
        ..MachineConfig::default()
    })
}

/// Bytes of a disk as the guest sees it.
pub fn contents(machine: &Machine, disk: usize) -> Vec<u8> {
    let disk = machine.disks().nth(disk).expect("the machine has it");
    let mut bytes = vec![0; disk.sectors() as usize * 512];
    disk.read(0, &mut bytes).expect("its image is there");
    bytes
}

/// Whether a disk has requests in flight.
pub fn busy(machine: &Machine) -> bool {
    let sections = machine.platform().sections("platform0");
    let is_disk = |path: &str| {
        let name = path.strip_prefix("platform0/").unwrap_or("");
        matches!(name, "virtio-blk0" | "nvme0" | "ahci" | "ide" | "xhci" | "floppy")
    };
    sections.iter().filter(|section| is_disk(&section.path)).any(|section| {
        let value = decode(section).expect("a device's section is what its schema says");
        has_in_flight(&value)
    })
}

fn has_in_flight(value: &Value) -> bool {
    match value {
        Value::Struct(fields) => fields.iter().any(|(name, value)| match value {
            Value::List(requests) if *name == "in_flight" => !requests.is_empty(),
            // A channel has one command, and is done with what it does of it then.
            Value::Option(due) if *name == "due" => due.is_some(),
            // A disk at USB does one command at a time, too, and so does the controller of diskettes.
            Value::Variant { name: phase, .. } if *name == "phase" => {
                !matches!(&**phase, "Command" | "Result")
            }
            value => has_in_flight(value),
        }),
        Value::Variant { value, .. } => has_in_flight(value),
        Value::List(values) => values.iter().any(has_in_flight),
        _ => false,
    }
}

/// What e2fsck says about the file system in an image, and its exit code.
///
/// # Panics
/// If there is no e2fsck.
pub fn fsck(image: &Path, how: &str) -> (Option<i32>, String) {
    checked_by("/sbin/e2fsck", image, how)
}

/// The same of a FAT, by fsck.fat of dosfstools.
///
/// # Panics
/// If there is none.
pub fn fsck_fat(image: &Path, how: &str) -> (Option<i32>, String) {
    checked_by("/sbin/fsck.fat", image, how)
}

fn checked_by(tool: &str, image: &Path, how: &str) -> (Option<i32>, String) {
    let output = Command::new(tool).arg(how).arg(image).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{tool}: {error}"));
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}
