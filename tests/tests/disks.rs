//! Disks: what a guest wrote goes with its state wherever that is saved, forked or taken back, with requests in flight, and
//! the images below are never written.

use amber_devices::DiskInterface;
use amber_emu::cli::build;
use amber_emu::config::{Bios, DiskChoice, MachineConfig};
use amber_emu::machine::{LoadError, Machine, Stop};
use amber_snapshot::Store;
use amber_tests::cuts::run;
use amber_tests::disks::{busy, contents, disk_rom};
use amber_tests::history::{Disturbance, difference, length, narrow, points, record};
use amber_tests::program::{Scratch, amber};
use amber_tests::{Quiet, Random};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// No run is followed beyond this step.
const BOUND: u64 = 40_000_000;
const PASS: Stop = Stop::DebugExit(0x10);

#[test]
fn a_run_with_disks_is_a_function_of_its_state() {
    let scratch = Scratch::new("disk-determinism");
    let machine = || disk_rom(&scratch.0);
    let points = points(length(machine(), BOUND));
    let quiet = record(machine(), &points, Disturbance::Nothing, 0);
    assert_eq!(quiet.end, Some(PASS));
    for (disturbance, seeds) in
        [(Disturbance::Nothing, 1), (Disturbance::Split, 3), (Disturbance::DropCaches, 2)]
    {
        for seed in 0..seeds {
            let disturbed = record(machine(), &points, disturbance, seed);
            if let Some(found) = difference(&quiet, &disturbed) {
                panic!("{disturbance:?}, seed {seed}: {}", narrow(machine, found, disturbance, seed));
            }
        }
    }
}

#[test]
fn every_way_to_the_end_leaves_the_same_disk() {
    let scratch = Scratch::new("disk-ways");
    let mut whole = disk_rom(&scratch.0);
    assert_eq!(run(&mut whole, BOUND), PASS);
    let (end, hash, disk) = (whole.step(), whole.state_hash(), contents(&whole, 0));
    let image = std::fs::read(scratch.0.join("disk0.img")).unwrap();
    assert_ne!(disk, image);
    let traffic = whole.traffic();
    let differs = disk.iter().zip(&image).filter(|(now, then)| now != then).count() as u64;
    assert!(traffic.disk_writes.bytes >= differs && traffic.disk_reads.times > 0, "{traffic:?}");
    assert!(traffic.disk_flushes > 0 && traffic.mmio_writes >= traffic.disk_writes.times, "{traffic:?}");
    assert_eq!(contents(&whole, 1), image);
    let store = Arc::new(Store::open(&scratch.0.join("store")).unwrap());
    let (mut random, mut in_flight) = (Random(3), 0);
    for _ in 0..12 {
        let mut machine = disk_rom(&scratch.0);
        run(&mut machine, random.below(end));
        while !busy(&machine) && machine.step() < end && in_flight < 10 {
            let next = machine.step() + 500;
            run(&mut machine, next);
        }
        in_flight += usize::from(busy(&machine));
        let saved = machine.freeze().save(&store, None).unwrap();
        let mut loaded = Machine::load(store.load(saved.id).unwrap()).unwrap();
        let frozen = machine.freeze();
        let mut fork = Machine::fork(&frozen).unwrap();
        let further = fork.step() + random.below(200_000);
        run(&mut fork, further);
        fork.rewind(&frozen);
        for machine in [&mut machine, &mut loaded, &mut fork] {
            run(machine, BOUND);
            assert_eq!((machine.step(), machine.state_hash()), (end, hash));
            assert!(contents(machine, 0) == disk);
        }
        assert_eq!(
            loaded.freeze().save(&store, None).unwrap().id,
            whole.freeze().save(&store, None).unwrap().id
        );
    }
    assert!(in_flight >= 5, "{in_flight} cuts with requests in flight");
    assert_eq!(std::fs::read(scratch.0.join("disk0.img")).unwrap(), image, "the image was written");
}

#[test]
fn where_an_image_lies_is_no_part_of_the_state() {
    let (here, there) = (Scratch::new("disk-here"), Scratch::new("disk-there"));
    let (mut a, mut b) = (disk_rom(&here.0), disk_rom(&there.0));
    assert_eq!(a.state_hash(), b.state_hash());
    std::fs::write(there.0.join("disk1.img"), vec![1; 0x1_0000]).unwrap();
    assert_ne!(a.state_hash(), disk_rom(&there.0).state_hash(), "what it holds is");
}

#[test]
fn an_image_that_is_gone_or_another_is_named() {
    let scratch = Scratch::new("disk-gone");
    let store = Arc::new(Store::open(&scratch.0.join("store")).unwrap());
    let mut machine = disk_rom(&scratch.0);
    run(&mut machine, 100_000);
    let id = machine.freeze().save(&store, None).unwrap().id;
    let refused = |images: &[std::path::PathBuf]| -> String {
        match Machine::load_with(store.load(id).unwrap(), images) {
            Err(LoadError::Disk(_, why)) => why.to_string(),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was loaded"),
        }
    };
    let (image, moved) = (scratch.0.join("disk1.img"), scratch.0.join("moved.img"));
    std::fs::rename(&image, &moved).unwrap();
    let said = refused(&[]);
    assert!(said.contains("disk1.img") && said.contains("disk1 of the snapshot"), "{said}");
    let images = [scratch.0.join("disk0.img"), moved.clone()];
    let mut loaded = Machine::load_with(store.load(id).unwrap(), &images).unwrap();
    assert_eq!(run(&mut loaded, BOUND), PASS);
    std::fs::write(&moved, vec![1; 0x1_0000]).unwrap();
    assert!(refused(&images).contains("contents have changed"));
    std::fs::write(&moved, vec![1; 0x1_0001]).unwrap();
    assert!(refused(&images).contains("65537 bytes"));
}

#[test]
fn an_image_that_vanishes_under_a_run_is_an_io_error_to_the_guest() {
    let scratch = Scratch::new("disk-vanished");
    let (mut machine, mut host) = (disk_rom(&scratch.0), Quiet::default());
    std::fs::write(scratch.0.join("disk0.img"), []).unwrap();
    assert_eq!(machine.run(BOUND, &mut host, true), Stop::DebugExit(1));
    let text = String::from_utf8_lossy(&host.serial);
    assert!(text.contains("FAIL disk0/a read succeeds got 1 want 0"), "{text}");
    assert_eq!(machine.damage(), None);
}

fn amber_run(store: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(amber());
    command.args(["run", "--headless", "--hash", "--store"]).arg(store).args(args);
    command.stdin(Stdio::null()).output().expect("amber starts")
}

fn hash_of(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().last().unwrap_or_default();
    assert!(line.starts_with("state-hash "), "{text}");
    line.to_owned()
}

#[test]
fn the_program_saves_and_goes_on_with_disks() {
    let scratch = Scratch::new("disk-program");
    let rom = concat!(env!("CARGO_MANIFEST_DIR"), "/../roms/disk/image.bin");
    let disk = scratch.file("a,b.img", &std::fs::read(rom).unwrap()).display().to_string().replace(',', ",,");
    let (store, ro) = (scratch.0.join("store"), format!("{disk},ro"));
    let machine = ["--rom", rom, "--memory", "64M", "--disk", &disk, "--disk", &ro];
    let whole = amber_run(&store, &[&machine[..], &["--save-at", "5000000=half"]].concat());
    assert_eq!(whole.status.code(), Some(33), "{}", String::from_utf8_lossy(&whole.stderr));
    let rest = amber_run(&store, &["--from", "half"]);
    assert_eq!((rest.status.code(), hash_of(&rest)), (Some(33), hash_of(&whole)));
    let told = amber_run(&store, &["--from", "half", "--disk", &disk, "--disk", &ro]);
    assert_eq!(hash_of(&told), hash_of(&whole));
    let refused = |args: &[&str]| {
        let output = amber_run(&store, args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
        text
    };
    assert!(refused(&["--from", "half", "--disk", &disk]).contains("2 disks"));
    assert!(refused(&["--from", "half", "--disk", &disk, "--disk", &disk]).contains("read-only"));
    assert!(refused(&["--disk", "/no/such.img"]).contains("/no/such.img"));
    assert!(refused(&["--disk", "/dev/null"]).contains("/dev/null"));
    assert!(refused(&["--disk", "x,if=scsi"]).contains("virtio"));
    std::fs::remove_file(scratch.0.join("a,b.img")).unwrap();
    let gone = refused(&["--from", "half"]);
    assert!(gone.contains("a,b.img") && gone.contains("--disk"), "{gone}");
}

/// A boot sector: reads sector 1 by INT 13h, writes it to sector 2, and says pass if both went well.
const BOOT: [u8; 0x60] = [
    0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0, // xor ax, ax; mov ds, ax; mov es, ax; mov ss, ax
    0xBC, 0x00, 0x7C, 0x88, 0x16, 0x00, 0x06, // mov sp, 7C00h; mov [600h], dl
    0xBE, 0x40, 0x7C, 0xB4, 0x42, 0xCD, 0x13, 0x72, 0x12, // mov si, 7C40h; mov ah, 42h; int 13h; jc bad
    0xBE, 0x50, 0x7C, 0x8A, 0x16, 0x00, 0x06, // mov si, 7C50h; mov dl, [600h]
    0xB8, 0x00, 0x43, 0xCD, 0x13, 0x72, 0x04, // mov ax, 4300h; int 13h; jc bad
    0xB0, 0x10, 0xEB, 0x02, 0xB0, 0x01, // mov al, 10h; jmp out; bad: mov al, 1
    0xBA, 0xF4, 0x00, 0xEE, 0xF4, 0, 0, 0, // out: mov dx, F4h; out dx, al; hlt
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // Two packets: sector 1 to 8000h, and from there to sector 2.
    0x10, 0, 1, 0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, //
    0x10, 0, 1, 0, 0, 0x80, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
];

#[test]
fn seabios_boots_from_a_disk() {
    boots_from(DiskInterface::Virtio);
}

#[test]
fn seabios_boots_from_an_nvme_disk() {
    boots_from(DiskInterface::Nvme);
}

#[test]
fn seabios_boots_from_an_ahci_disk() {
    boots_from(DiskInterface::Ahci);
}

#[test]
fn seabios_boots_from_an_ide_disk() {
    boots_from(DiskInterface::Ide);
}

#[test]
fn seabios_boots_from_a_usb_disk() {
    boots_from(DiskInterface::Usb);
}

fn boots_from(interface: DiskInterface) {
    let bios = Path::new("/usr/share/seabios/bios-256k.bin");
    if !bios.is_file() {
        eprintln!("skipped: no SeaBIOS; apt-get install seabios");
        return;
    }
    let scratch = Scratch::new(&format!("disk-seabios-{}", interface.name()));
    let mut image = vec![0; 1 << 20];
    image[..BOOT.len()].copy_from_slice(&BOOT);
    image[510..512].copy_from_slice(&[0x55, 0xAA]);
    (512..1024).for_each(|at| image[at] = (at * 7) as u8);
    let file = scratch.file("boot.img", &image);
    let boot = |write_through| {
        let disk = vec![DiskChoice { file: file.clone(), interface, write_through, ..DiskChoice::default() }];
        let memory = "64M".parse().unwrap();
        let config = MachineConfig {
            bios: Some(Bios::File(bios.to_owned())),
            disk,
            memory,
            ..MachineConfig::default()
        };
        let mut machine = build::machine(&config).unwrap();
        assert_eq!(run(&mut machine, 2_000_000_000), PASS);
        (contents(&machine, 0), machine.state_hash())
    };
    let (after, hash) = boot(false);
    assert!(after[1024..1536] == image[512..1024] && after[1536..] == image[1536..]);
    assert!(std::fs::read(&file).unwrap() == image, "the image was written");
    #[cfg(target_os = "linux")]
    a_host_without_room_is_an_error_of_int_13h(&scratch, bios, interface);
    // To the guest, and to its state, it is the same run.
    assert!(boot(true) == (after.clone(), hash));
    assert!(std::fs::read(&file).unwrap() == after);
}

/// No file may have a byte behind the image's second sector, and the program is told, not killed.
#[cfg(target_os = "linux")]
fn a_host_without_room_is_an_error_of_int_13h(scratch: &Scratch, bios: &Path, interface: DiskInterface) {
    let (amber, bios, interface) = (amber(), bios.display(), interface.name());
    let words =
        format!("run --headless --bios {bios} --memory 64M --disk boot.img,write-through,if={interface}");
    let script = format!("trap '' XFSZ; ulimit -f 1; exec {} {words}", amber.display());
    let output =
        Command::new("sh").arg("-c").arg(script).current_dir(&scratch.0).stdin(Stdio::null()).output();
    let output = output.expect("there is a shell");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), err.matches("cannot be written").count()), (Some(3), 1), "{err}");
}
