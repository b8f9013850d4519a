//! SeaBIOS and OVMF, GRUB, the Debian installer and memtest86+, by keyboard. Those that take long are run by name.

use amber_devices::{BootDevice, DiskInterface};
use amber_emu::cli::build;
use amber_emu::config::{Bios, BootOrder, CdChoice, DiskChoice, FloppyChoice, MachineConfig, Uefi};
use amber_emu::machine::{Machine, Stop};
use amber_tests::disks::GRUB_CD;
use amber_tests::program::Scratch;
use amber_tests::sitting::Sitting;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether all files are there; said if not.
fn all_there(files: &[&str], packages: &str) -> bool {
    let there = files.iter().all(|file| Path::new(file).is_file());
    if !there {
        eprintln!("skipped: apt-get install {packages}");
    }
    there
}

const SEABIOS: &str = "/usr/share/seabios/bios-256k.bin";
const OVMF: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";

fn sitting(config: MachineConfig) -> Sitting {
    Sitting::new(build::machine(&config).expect("all files are there"))
}

fn seabios(config: MachineConfig) -> MachineConfig {
    MachineConfig { bios: Some(Bios::SeaBios), ..config }
}

fn ovmf(config: MachineConfig) -> MachineConfig {
    MachineConfig { uefi: Some(Uefi::default()), ..config }
}

/// A FAT file system with these files in its root.
fn fat(scratch: &Scratch, files: &[(&str, &Path)]) -> Option<PathBuf> {
    let image = scratch.file("fat.img", &vec![0; 34 << 20]);
    let run = |program: &str, args: &[&str]| {
        Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
    };
    let text = image.display().to_string();
    let mut made = run("/sbin/mkfs.vfat", &["-i", "5eed5eed", &text]);
    for (name, file) in files {
        for (end, _) in name.match_indices('/') {
            made = made && run("mmd", &["-D", "s", "-i", &text, &format!("::{}", &name[..end])]);
        }
        made = made && run("mcopy", &["-i", &text, &file.display().to_string(), &format!("::{name}")]);
    }
    if !made {
        eprintln!("skipped: apt-get install dosfstools mtools");
    }
    made.then_some(image)
}

/// At the prompt of OVMF's shell, which it comes to when nothing boots.
fn at_the_shell(sitting: &mut Sitting) {
    sitting.until_said("to skip startup.nsh", 120);
    sitting.press("esc");
    sitting.until_said("Shell>", 60);
}

#[test]
fn the_menu_and_the_shell_of_grub() {
    if !all_there(&[SEABIOS, GRUB_CD], "seabios grub-rescue-pc") {
        return;
    }
    let cdrom = vec![CdChoice { file: Some(GRUB_CD.into()), at_ide: false }];
    let mut sitting = sitting(seabios(MachineConfig { cdrom, ..MachineConfig::default() }));
    sitting.until_shown("*GNU/Linux", 60);
    sitting.press("down");
    sitting.until_shown("*GNU (aka GNU/Hurd)", 10);
    sitting.press("c");
    sitting.until_shown("grub>", 10);
    sitting.type_keys("echo $prefix; ls\n");
    sitting.until_shown("(cd)", 30);
    let shown = sitting.machine.screen_text().unwrap_or_default();
    assert!(shown.contains("/boot/grub") && shown.contains("(cd,"), "{shown}");
}

#[test]
fn the_shell_of_ovmf_lists_a_disk_and_keeps_variables() {
    let scratch = Scratch::new("ovmf-shell");
    let hello = scratch.file("hello", b"from a file\r\n");
    let Some(file) = fat(&scratch, &[("HELLO.TXT", &hello)]) else { return };
    if !all_there(&[OVMF], "ovmf") {
        return;
    }
    let disk = vec![DiskChoice { file, ..DiskChoice::default() }];
    let mut sitting = sitting(ovmf(MachineConfig { disk, ..MachineConfig::default() }));
    at_the_shell(&mut sitting);
    sitting.type_keys("ls fs0:\n");
    sitting.until_said("1 File(s)", 30);
    assert!(sitting.said().contains("HELLO.TXT"), "{}", sitting.said());
    sitting.type_keys("setvar Amber -guid 5eed5eed-5eed-5eed-5eed-5eed5eed5eed -bs -rt -nv =5a17\n");
    sitting.until_said("Shell>", 30);
    sitting.type_keys("reset\n");
    at_the_shell(&mut sitting);
    sitting.type_keys("dmpstore Amber -guid 5eed5eed-5eed-5eed-5eed-5eed5eed5eed\n");
    sitting.until_said("DataSize = 0x02", 30);
    sitting.until_said("5A 17", 30);
    sitting.type_keys("reset -s\n");
    assert_eq!(sitting.until_end(60), Stop::PowerOff);
}

/// The disk would boot, too: it is the CD that is asked for.
#[test]
fn both_firmwares_boot_in_the_order_they_are_told() {
    if !all_there(&[SEABIOS, GRUB_CD], "seabios grub-rescue-pc") {
        return;
    }
    let scratch = Scratch::new("boot-order");
    // Prints D and halts.
    let mut sector = vec![0xb8, 0x44, 0x0e, 0xcd, 0x10, 0xf4, 0xeb, 0xfd];
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    // SeaBIOS reads no disk that is smaller than a cylinder.
    sector.resize(1 << 20, 0);
    let file = scratch.file("disk.img", &sector);
    for (order, expected) in [(BootDevice::Cds, "GNU GRUB"), (BootDevice::Disk(0), "\nD")] {
        let mut sitting = sitting(seabios(MachineConfig {
            disk: vec![DiskChoice { file: file.clone(), ..DiskChoice::default() }],
            cdrom: vec![CdChoice { file: Some(GRUB_CD.into()), at_ide: false }],
            boot: Some(BootOrder { devices: vec![order], ..BootOrder::default() }),
            ..MachineConfig::default()
        }));
        sitting.until_shown(expected, 60);
    }
}

#[test]
fn seabios_boots_from_a_diskette_before_a_disk_if_it_is_told_to() {
    if !all_there(&[SEABIOS], "seabios") {
        return;
    }
    let scratch = Scratch::new("boot-floppy");
    let image = |name: &str, letter: u8, len: usize| {
        let mut image = vec![0xb8, letter, 0x0e, 0xcd, 0x10, 0xf4, 0xeb, 0xfd];
        image.resize(510, 0);
        image.extend([0x55, 0xaa]);
        image.resize(len, 0);
        scratch.file(name, &image)
    };
    let (disk, floppy) = (image("disk.img", b'D', 1 << 20), image("floppy.img", b'F', 1440 << 10));
    for (order, expected) in [("floppy,disk", "\nF"), ("disk,floppy", "\nD")] {
        let mut sitting = sitting(seabios(MachineConfig {
            disk: vec![DiskChoice { file: disk.clone(), ..DiskChoice::default() }],
            floppy: vec![FloppyChoice { file: Some(floppy.clone()), read_only: false }],
            boot: Some(order.parse().expect("an order")),
            ..MachineConfig::default()
        }));
        sitting.until_shown(expected, 60);
    }
}

/// A UEFI application that writes `value` to isa-debug-exit: a PE32+ image of one section (Microsoft PE, 3 and 4).
fn application(value: u8) -> Vec<u8> {
    const SECTION: u32 = 0x1000;
    const HEADERS: u32 = 0x200;
    let mut image = b"MZ".to_vec();
    image.resize(0x3c, 0);
    image.extend(0x40u32.to_le_bytes());
    image.extend(b"PE\0\0");
    let words =
        |image: &mut Vec<u8>, words: &[u32]| words.iter().for_each(|word| image.extend(word.to_le_bytes()));
    // x86-64, one section; an optional header of F0h bytes; executable, large addresses.
    words(&mut image, &[0x0001_8664, 0, 0, 0, 0x0022_00f0]);
    words(&mut image, &[0x020b, HEADERS, 0, 0, SECTION, SECTION]);
    // Image base; alignments; versions; sizes; a UEFI application.
    words(&mut image, &[0, 0, SECTION, HEADERS, 0, 0, 0, 0, 2 * SECTION, HEADERS, 0, 10]);
    // Stack and heap; no directories.
    words(&mut image, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 16]);
    image.extend([0; 16 * 8]);
    image.extend(b".text\0\0\0");
    words(&mut image, &[HEADERS, SECTION, HEADERS, HEADERS, 0, 0, 0, 0x6000_0020]);
    image.resize(HEADERS as usize, 0);
    image.extend([0xb0, value, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd]);
    image.resize(2 * HEADERS as usize, 0);
    image
}

#[test]
fn ovmf_boots_the_disk_it_is_told_to_be_it_the_second_and_nvme() {
    if !all_there(&[OVMF], "ovmf") {
        return;
    }
    let scratches = [Scratch::new("boot-first"), Scratch::new("boot-second")];
    let values = [0x20, 0x30];
    let images = scratches.each_ref().map(|scratch| {
        let value = if scratch.0 == scratches[0].0 { values[0] } else { values[1] };
        let file = scratch.file("app", &application(value));
        fat(scratch, &[("EFI/BOOT/BOOTX64.EFI", &file)])
    });
    let [Some(first), Some(second)] = images else { return };
    for interfaces in
        [[DiskInterface::Virtio, DiskInterface::Nvme], [DiskInterface::Nvme, DiskInterface::Ahci]]
    {
        for (order, value) in [("disk0", values[0]), ("disk1", values[1]), ("disk1,disk0", values[1])] {
            let disk = [&first, &second].into_iter().zip(interfaces);
            let disk = disk.map(|(file, interface)| DiskChoice {
                file: file.clone(),
                interface,
                ..DiskChoice::default()
            });
            let boot = Some(order.parse().expect("an order"));
            let mut sitting =
                sitting(ovmf(MachineConfig { disk: disk.collect(), boot, ..MachineConfig::default() }));
            assert_eq!(sitting.until_end(120), Stop::DebugExit(value.into()), "{order} of {interfaces:?}");
        }
    }
}

#[test]
fn seabios_offers_its_menu_when_it_is_told_to() {
    if !all_there(&[SEABIOS, GRUB_CD], "seabios grub-rescue-pc") {
        return;
    }
    let mut sitting = sitting(seabios(MachineConfig {
        cdrom: vec![CdChoice { file: Some(GRUB_CD.into()), at_ide: false }],
        boot: Some("cd,menu=5000".parse().expect("an order")),
        ..MachineConfig::default()
    }));
    sitting.until_shown("Press ESC for boot menu", 30);
    sitting.press("esc");
    sitting.until_shown("Select boot device:", 10);
    sitting.press("1");
    sitting.until_shown("GNU GRUB", 60);
}

/// Five screens, each answered by a key.
#[test]
#[ignore = "run by name"]
fn the_first_screens_of_the_debian_installer() {
    const FOLDER: &str = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64";
    let [kernel, initrd] = ["linux", "initrd.gz"].map(|name| format!("{FOLDER}/{name}"));
    if !all_there(&[&kernel, &initrd], "debian-installer-12-netboot-amd64") {
        return;
    }
    let mut sitting = sitting(MachineConfig {
        kernel: Some(kernel.into()),
        initrd: Some(initrd.into()),
        // The console stays in a text mode.
        append: Some("nomodeset fb=false".into()),
        memory: "1G".parse().expect("a size"),
        ..MachineConfig::default()
    });
    for screen in [
        "Select a language",
        "Select your location",
        "Configure the keyboard",
        "No Ethernet card was detected",
    ] {
        sitting.until_shown(screen, 20_000);
        sitting.press("enter");
    }
    // Without a network it goes on with the next question it can ask.
    sitting.until("a fifth screen", 20_000, |sitting| {
        let shown = sitting.machine.screen_text().unwrap_or_default();
        shown.contains("<Continue>") && !shown.contains("Ethernet card")
    });
    eprintln!("{}", sitting.machine.screen_text().unwrap_or_default());
}

#[test]
#[ignore = "run by name"]
fn memtest_finds_no_error() {
    const MEMTEST: [&str; 2] = ["/boot/memtest86+x64.bin", "/boot/memtest86+x64.efi"];
    if !all_there(&[MEMTEST[0], MEMTEST[1], OVMF], "memtest86+ ovmf") {
        return;
    }
    let memory = "32M".parse().expect("a size");
    let kernel = Some(MEMTEST[0].into());
    let mut direct = sitting(MachineConfig { kernel, memory, ..MachineConfig::default() });
    direct.until_shown("Pass:  1        Errors: 0", 600);
    let scratch = Scratch::new("memtest");
    let Some(file) = fat(&scratch, &[("memtest.efi", Path::new(MEMTEST[1]))]) else { return };
    let disk = vec![DiskChoice { file, ..DiskChoice::default() }];
    let mut sitting = sitting(ovmf(MachineConfig { disk, ..MachineConfig::default() }));
    at_the_shell(&mut sitting);
    let before = sitting.machine.picture();
    sitting.type_keys("fs0:memtest.efi\n");
    // It draws a screen of its own, of which nothing but the picture tells.
    let start = sitting.machine.now();
    sitting.until("its screen", 60, |sitting| sitting.machine.now() > start + 10_000_000_000);
    assert!(sitting.machine.picture() != before);
}

/// Cut anywhere between power-on and the first boot device, saved, loaded and gone on with, a firmware comes to the same state.
fn cut_in_the_middle(machine: impl Fn() -> Machine, end: u64, cuts: u64) {
    let mut whole = machine();
    assert_eq!(amber_tests::cuts::run(&mut whole, end), Stop::Step);
    let expected = whole.state_hash();
    let scratch = Scratch::new(&format!("post-{end}"));
    let store = std::sync::Arc::new(amber_snapshot::Store::open(&scratch.0).expect("a folder"));
    let mut running = machine();
    for n in 1..=cuts {
        assert_eq!(amber_tests::cuts::run(&mut running, end / (cuts + 1) * n), Stop::Step);
        let saved = running.freeze().save(&store, None).expect("room");
        let mut other = Machine::load(store.load(saved.id).expect("saved")).expect("a machine");
        assert_eq!(amber_tests::cuts::run(&mut other, end), Stop::Step);
        assert_eq!(other.state_hash(), expected, "cut at step {}", running.step());
    }
}

#[test]
#[ignore = "run by name"]
fn a_post_of_seabios_is_cut() {
    if all_there(&[SEABIOS], "seabios") {
        let config = seabios(MachineConfig::default());
        cut_in_the_middle(|| build::machine(&config).expect("it is there"), 5_000_000, 40);
    }
}

#[test]
#[ignore = "run by name"]
fn a_post_of_ovmf_is_cut() {
    if all_there(&[OVMF], "ovmf") {
        let config = ovmf(MachineConfig::default());
        cut_in_the_middle(|| build::machine(&config).expect("it is there"), 1_400_000_000, 20);
    }
}
