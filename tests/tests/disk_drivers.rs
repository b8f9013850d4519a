//! Debian's own drivers as the judges of disk controllers: they find the disk, write an ext4 and read it back, with the same
//! end on both engines. Run by name:
//!
//!     cargo test --release -p amber-tests --test disk_drivers -- --ignored --nocapture

use amber_cpu::Engine;
use amber_devices::DiskInterface;
use amber_emu::machine::Stop;
use amber_tests::Quiet;
use amber_tests::disks::{GRUB_CD, contents, debian_with, fsck};
use amber_tests::program::Scratch;
use std::process::Command;

/// Runs a guest on both engines; what it said.
fn debian_works_on(interface: DiskInterface, cpus: u32) -> Option<String> {
    let new = debian_with(&format!("{}.gz", interface.name()), interface, cpus)?;
    let run = |engine| {
        let (mut machine, mut host) = (new(), Quiet::default());
        machine.set_engine(engine);
        assert_eq!(machine.run(u64::MAX, &mut host, true), Stop::PowerOff);
        let said = String::from_utf8_lossy(&host.serial).into_owned();
        (said, machine.step(), machine.state_hash(), contents(&machine, 0))
    };
    let (said, step, hash, disk) = run(Engine::Jit);
    assert!(said.contains("PASS"), "{said}");
    let scratch = Scratch::new(&format!("{}{cpus}", interface.name()));
    let (code, found) = fsck(&scratch.file("disk.img", &disk), "-fn");
    assert_eq!(code, Some(0), "{found}");
    let other = run(Engine::Interpreter);
    assert!((&other.0, other.1, other.2) == (&said, step, hash) && other.3 == disk, "the engines differ");
    println!("{}, {cpus} vCPUs: {step} steps, state {hash}", interface.name());
    Some(said)
}

fn says(said: &str, texts: &[&str]) {
    for text in texts {
        assert!(said.contains(text), "no {text} in: {said}");
    }
}

fn nvme(cpus: u32) {
    let Some(said) = debian_works_on(DiskInterface::Nvme, cpus) else { return };
    says(&said, &["amber-disk0", "write back"]);
    for queue in 0..cpus {
        says(&said, &[&format!("/mq/{queue}")]);
    }
}

fn ata(interface: DiskInterface, cpus: u32, driver: &str) {
    let Some(said) = debian_works_on(interface, cpus) else { return };
    says(&said, &["AMBER HARDDISK", "AMBER DVD-ROM", "write back", driver]);
    says(&said, &[&md5(GRUB_CD)]);
}

/// As md5sum says it.
fn md5(file: &str) -> String {
    let output = Command::new("md5sum").arg(file).output().expect("it is in coreutils");
    String::from_utf8_lossy(&output.stdout).split(' ').next().expect("a sum").to_owned()
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_works_on_nvme_with_1_vcpu() {
    nvme(1);
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_works_on_nvme_with_2_vcpus() {
    nvme(2);
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_works_on_ahci_with_1_vcpu() {
    ata(DiskInterface::Ahci, 1, "SATA link up");
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_works_on_ahci_with_2_vcpus() {
    ata(DiskInterface::Ahci, 2, "SATA link up");
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_works_on_ide_with_1_vcpu() {
    ata(DiskInterface::Ide, 1, "ata_piix");
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_works_on_ide_with_2_vcpus() {
    ata(DiskInterface::Ide, 2, "ata_piix");
}

fn usb(cpus: u32) {
    let Some(said) = debian_works_on(DiskInterface::Usb, cpus) else { return };
    says(&said, &["new SuperSpeed USB device", "Amber    USB Disk", "Write cache: enabled"]);
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_works_on_usb_with_1_vcpu() {
    usb(1);
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_works_on_usb_with_2_vcpus() {
    usb(2);
}
