//! A Debian system disk boots to a login and a shell by each controller and either firmware, shuts down, and its file system is
//! clean. Run by name: `tests/build-system-disk.sh` builds the disk.

use amber_devices::DiskInterface;
use amber_emu::cli::build;
use amber_emu::config::{Bios, DiskChoice, MachineConfig, Uefi};
use amber_emu::machine::Stop;
use amber_tests::disks::fsck;
use amber_tests::program::Scratch;
use amber_tests::sitting::Sitting;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where the root begins in the disk, and its bytes.
const ROOT: (u64, u64) = (69_632 * 512, 2_621_440 * 512);
/// Virtual seconds to a login.
const BOOT: u64 = 600;

fn system_disk() -> Option<PathBuf> {
    let file = amber_tests::debian()?.join("system.img");
    if !file.is_file() {
        eprintln!("skipped: no {}; tests/build-system-disk.sh builds it", file.display());
        return None;
    }
    Some(file)
}

fn machine(uefi: bool, interface: DiskInterface) -> Option<Sitting> {
    let file = system_disk()?;
    let config = MachineConfig {
        bios: (!uefi).then_some(Bios::SeaBios),
        uefi: uefi.then(Uefi::default),
        disk: vec![DiskChoice { file, interface, ..DiskChoice::default() }],
        ..MachineConfig::default()
    };
    Some(Sitting::new(build::machine(&config).expect("firmware and disk are there")))
}

fn log_in(sitting: &mut Sitting) {
    sitting.until_said("amber login:", BOOT);
    sitting.send("root\r");
    sitting.until_said("Password:", 60);
    sitting.send("amber\r");
    sitting.until_said("root@amber:~#", 60);
}

fn boots(uefi: bool, interface: DiskInterface, device: &str) {
    let Some(mut sitting) = machine(uefi, interface) else { return };
    log_in(&mut sitting);
    sitting.send("findmnt -no SOURCE,FSTYPE / && test -d /sys/firmware/efi; echo efi=$?\r");
    sitting.until_said("efi=", 60);
    sitting.until_said("root@amber:~#", 60);
    let said = sitting.said();
    assert!(said.contains(&format!("{device} ext4")), "{said}");
    assert!(said.contains(if uefi { "efi=0" } else { "efi=1" }), "{said}");
    // Both are written to the disk.
    sitting.send("dd if=/dev/zero of=/root/written bs=1M count=8 && systemctl poweroff\r");
    assert_eq!(sitting.until_end(600), Stop::PowerOff, "{}", sitting.said());
    assert!(!sitting.said().contains("Failed to unmount"), "{}", sitting.said());
    let scratch = Scratch::new(&format!("system-{uefi}-{}", interface.name()));
    let root = scratch.0.join("root.ext4");
    write_root(&sitting, &root).expect("room for it");
    let (code, report) = fsck(&root, "-fn");
    assert_eq!(code, Some(0), "{report}");
    eprintln!("{} steps, {} s virtual", sitting.machine.step(), sitting.machine.now() / 1_000_000_000);
}

/// Writes the root as it is now to a file, with holes where it is zero.
fn write_root(sitting: &Sitting, file: &Path) -> std::io::Result<()> {
    const PIECE: u64 = 1 << 20;
    let disk = sitting.machine.disks().next().expect("the machine has it");
    let mut out = File::create(file)?;
    out.set_len(ROOT.1)?;
    let mut piece = vec![0; PIECE as usize];
    for at in (0..ROOT.1).step_by(PIECE as usize) {
        disk.read(ROOT.0 + at, &mut piece).expect("its image is there");
        if piece.iter().any(|byte| *byte != 0) {
            out.seek(SeekFrom::Start(at))?;
            out.write_all(&piece)?;
        }
    }
    Ok(())
}

#[test]
#[ignore = "run by name"]
fn seabios_virtio() {
    boots(false, DiskInterface::Virtio, "/dev/vda3");
}

#[test]
#[ignore = "run by name"]
fn seabios_nvme() {
    boots(false, DiskInterface::Nvme, "/dev/nvme0n1p3");
}

#[test]
#[ignore = "run by name"]
fn seabios_ahci() {
    boots(false, DiskInterface::Ahci, "/dev/sda3");
}

#[test]
#[ignore = "run by name"]
fn ovmf_virtio() {
    boots(true, DiskInterface::Virtio, "/dev/vda3");
}

#[test]
#[ignore = "run by name"]
fn ovmf_nvme() {
    boots(true, DiskInterface::Nvme, "/dev/nvme0n1p3");
}

#[test]
#[ignore = "run by name"]
fn ovmf_ahci() {
    boots(true, DiskInterface::Ahci, "/dev/sda3");
}

/// How a sleeping machine is woken.
#[derive(Clone, Copy, Debug)]
enum Waker {
    Alarm,
    Key,
    PowerButton,
}

/// The shell suspends to RAM, is woken, and goes on.
fn sleeps(sitting: &mut Sitting, waker: Waker) {
    sitting.send(match waker {
        Waker::Alarm => "test -e /run/before && rtcwake -m mem -s 20; echo woken-$?\r",
        _ => "test -e /run/before && echo mem > /sys/power/state; echo woken-$?\r",
    });
    sitting.until("sleep", 60, |sitting| sitting.machine.platform().asleep());
    let asleep = sitting.machine.now();
    match waker {
        Waker::Alarm => {}
        Waker::Key => sitting.press("a"),
        Waker::PowerButton => {
            sitting.go_on();
            sitting.press_power();
        }
    }
    sitting.until_said("woken-0", 120);
    let early = sitting.machine.now() - asleep < 10_000_000_000;
    assert_eq!(early, !matches!(waker, Waker::Alarm), "when it woke by {waker:?}");
}

/// Suspended to RAM again and again and woken by the clock, by a key and by the power button, the same shell goes on.
fn suspends(uefi: bool) {
    let Some(mut sitting) = machine(uefi, DiskInterface::Virtio) else { return };
    log_in(&mut sitting);
    sitting.send("touch /run/before\r");
    for waker in [Waker::Alarm, Waker::Key, Waker::PowerButton, Waker::Alarm, Waker::Key] {
        sleeps(&mut sitting, waker);
    }
    sitting.send("dmesg | grep -c 'PM: suspend exit'; dd if=/dev/vda of=/dev/null count=9; echo read-$?\r");
    sitting.until_said("read-0", 60);
    assert!(sitting.said().lines().any(|line| line.trim() == "5"), "{}", sitting.said());
    // The power button of a system that is awake shuts it down.
    sitting.until_said("root@amber:~#", 60);
    sitting.press_power();
    assert_eq!(sitting.until_end(600), Stop::PowerOff, "{}", sitting.said());
}

#[test]
#[ignore = "run by name"]
fn seabios_suspends() {
    suspends(false);
}

#[test]
#[ignore = "run by name"]
fn ovmf_suspends() {
    suspends(true);
}
