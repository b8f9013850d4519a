//! Diskettes: SeaBIOS boots from one, and Debian's driver is a judge of the controller.

use amber_cpu::Engine;
use amber_emu::cli::build;
use amber_emu::config::{Bios, FloppyChoice, MachineConfig};
use amber_emu::machine::{Machine, Stop};
use amber_tests::Quiet;
use amber_tests::cuts::run;
use amber_tests::disks::contents;
use amber_tests::program::Scratch;
use std::path::Path;
use std::process::Command;

const SEABIOS: &str = "/usr/share/seabios/bios-256k.bin";
const SECTOR: usize = 512;
const TEXT: &[u8] = b"Amber read this from a diskette\0";

/// Reads a track of cylinder 1 by INT 13h, writes its first sector to cylinder 79, prints what is in it, and
/// ends by isa-debug-exit: 10h, or 1 if something fails.
#[rustfmt::skip]
const BOOT: [u8; 56] = [
    0x31, 0xc0,             // xor ax, ax
    0x8e, 0xd8,             // mov ds, ax
    0x8e, 0xc0,             // mov es, ax
    0xb8, 0x12, 0x02,       // mov ax, 0212h
    0xb9, 0x01, 0x01,       // mov cx, 0101h
    0xb6, 0x01,             // mov dh, 1
    0xbb, 0x00, 0x80,       // mov bx, 8000h
    0xcd, 0x13,             // int 13h
    0x72, 0x1c,             // jc fail
    0xb8, 0x01, 0x03,       // mov ax, 0301h
    0xb9, 0x12, 0x4f,       // mov cx, 4f12h
    0xb6, 0x00,             // mov dh, 0
    0xcd, 0x13,             // int 13h
    0x72, 0x10,             // jc fail
    0xbe, 0x00, 0x80,       // mov si, 8000h
    0x31, 0xdb,             // xor bx, bx
    0xac,                   // next: lodsb
    0x84, 0xc0,             // test al, al
    0xb4, 0x0e,             // mov ah, 0eh
    0x74, 0x09,             // jz done
    0xcd, 0x10,             // int 10h
    0xeb, 0xf5,             // jmp next
    0xb0, 0x01,             // fail: mov al, 1
    0xe6, 0xf4,             // out f4h, al
    0xf4,                   // hlt
    0xb0, 0x10,             // done: mov al, 10h
];

/// Where sector `sector` of a track is on a diskette of 1440 KiB.
fn at(cylinder: usize, head: usize, sector: usize) -> usize {
    ((cylinder * 2 + head) * 18 + sector - 1) * SECTOR
}

fn boot_image() -> Vec<u8> {
    let mut image = vec![0; 2880 * SECTOR];
    image[..BOOT.len()].copy_from_slice(&BOOT);
    image[BOOT.len()..BOOT.len() + 2].copy_from_slice(&[0xe6, 0xf4]); // out f4h, al
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image[at(1, 1, 1)..][..TEXT.len()].copy_from_slice(TEXT);
    image
}

#[test]
fn seabios_boots_from_a_diskette() {
    if !Path::new(SEABIOS).is_file() {
        eprintln!("skipped: apt-get install seabios");
        return;
    }
    let scratch = Scratch::new("floppy");
    let file = scratch.file("boot.img", &boot_image());
    let config = MachineConfig {
        bios: Some(Bios::File(SEABIOS.into())),
        floppy: vec![FloppyChoice { file: Some(file), read_only: false }],
        memory: "64M".parse().unwrap(),
        ..MachineConfig::default()
    };
    let end = |engine| {
        let mut machine = build::machine(&config).unwrap();
        machine.set_engine(engine);
        let stop = run(&mut machine, 20_000_000_000);
        let seen = machine.screen_text().unwrap_or_default();
        assert_eq!(stop, Stop::DebugExit(0x10), "{seen}");
        assert!(seen.contains("Amber read this from a diskette"), "{seen}");
        assert!(contents(&machine, 0)[at(79, 0, 18)..].starts_with(TEXT));
        (machine.step(), machine.state_hash())
    };
    assert_eq!(end(Engine::Jit), end(Engine::Interpreter));
}

/// Debian's driver on both engines.
fn debian_drives_it(cpus: u32) {
    let Some(folder) = amber_tests::debian() else { return };
    let initrd = folder.join("floppy.gz");
    if !initrd.is_file() {
        eprintln!("skipped: no {}; tests/fetch-debian.sh makes it", initrd.display());
        return;
    }
    let scratch = Scratch::new(&format!("floppy{cpus}"));
    let image = |sectors: usize| (0..sectors * SECTOR).map(|at| (at >> 9 ^ at) as u8).collect::<Vec<u8>>();
    let floppy = [(2880, false), (720, true)].map(|(sectors, read_only)| {
        let file = scratch.file(&format!("{sectors}.img"), &image(sectors));
        FloppyChoice { file: Some(file), read_only }
    });
    let config = MachineConfig {
        kernel: Some(folder.join("vmlinuz")),
        initrd: Some(initrd),
        append: Some("console=ttyS0 panic=-1".into()),
        floppy: floppy.to_vec(),
        cpus,
        ..MachineConfig::default()
    };
    let end = |engine| {
        let mut machine: Machine = build::machine(&config).unwrap();
        machine.set_engine(engine);
        let mut host = Quiet::default();
        assert_eq!(machine.run(u64::MAX, &mut host, true), Stop::PowerOff);
        let said = String::from_utf8_lossy(&host.serial).into_owned();
        (said, machine.step(), machine.state_hash())
    };
    let (said, step, hash) = end(Engine::Jit);
    assert!(said.contains("PASS") && said.contains("FDC 0 is a post-1991 82077"), "{said}");
    for choice in &floppy {
        let file = choice.file.as_ref().expect("there is a diskette");
        let md5 = Command::new("md5sum").arg(file).output().expect("it is in coreutils");
        let md5 = String::from_utf8_lossy(&md5.stdout).into_owned();
        assert!(said.contains(md5.split(' ').next().unwrap()), "no {md5} in {said}");
    }
    assert!(end(Engine::Interpreter) == (said, step, hash), "the engines differ");
    println!("{cpus} vCPUs: {step} steps, state {hash}");
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_drives_it_with_1_vcpu() {
    debian_drives_it(1);
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_drives_it_with_2_vcpus() {
    debian_drives_it(2);
}
