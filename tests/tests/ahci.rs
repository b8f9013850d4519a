//! Stock drivers at the AHCI controller: SeaBIOS and GRUB start from a CD, and Debian's kernel writes an ext4, however it is
//! cut. The Debian guest is run by name: it takes minutes.
//!
//!     cargo test --release -p amber-tests --test ahci -- --include-ignored --nocapture

use amber_emu::cli::build;
use amber_emu::config::MachineConfig;
use amber_emu::machine::{Machine, Stop};
use amber_snapshot::Store;
use amber_tests::cuts::run;
use amber_tests::disks::{contents, debian_with_ahci, fsck};
use amber_tests::program::Scratch;
use amber_tests::{Quiet, Random};
use std::path::Path;
use std::sync::Arc;

/// Of Debian's grub-rescue-pc.
const CD: &str = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso";
const CUTS: u64 = 12;

#[test]
fn grub_starts_from_a_cd() {
    let (bios, cd) = (Path::new("/usr/share/seabios/bios-256k.bin"), Path::new(CD));
    if !bios.is_file() || !cd.is_file() {
        eprintln!("skipped: apt-get install seabios grub-rescue-pc");
        return;
    }
    let config = MachineConfig {
        bios: Some(bios.to_owned()),
        cdrom: vec![cd.to_owned()],
        memory: "64M".parse().unwrap(),
        ..MachineConfig::default()
    };
    let mut machine = build::machine(&config).unwrap();
    let mut seen = String::new();
    while !seen.contains("GNU GRUB") {
        let next = machine.step() + 100_000_000;
        assert!(next < 20_000_000_000, "no GRUB on the screen: {seen}");
        assert_eq!(run(&mut machine, next), Stop::Step);
        seen = machine.screen_text().unwrap_or_default();
    }
}

fn run_until(machine: &mut Machine, host: &mut Quiet, text: &str) {
    while !String::from_utf8_lossy(&host.serial).contains(text) {
        let next = machine.step() + 1_000_000;
        assert_eq!(machine.run(next, host, true), Stop::Step, "{}", String::from_utf8_lossy(&host.serial));
    }
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn debian_writes_a_disk_and_reads_a_cd_whatever_cuts_it() {
    let Some(new) = debian_with_ahci(Path::new(CD)) else { return };
    let scratch = Scratch::new("ahci-debian");
    let (store, image) = (scratch.0.join("store"), scratch.0.join("disk.img"));
    let (mut machine, mut host) = (new(), Quiet::default());
    run_until(&mut machine, &mut host, "WRITING");
    let mut whole = Machine::fork(&machine.freeze()).expect("it was a machine");
    let first = machine.step();
    run_until(&mut whole, &mut host, "WRITTEN");
    let last = whole.step();
    assert_eq!(whole.run(u64::MAX, &mut host, true), Stop::PowerOff);
    let said = String::from_utf8_lossy(&host.serial);
    assert!(said.contains("PASS"), "{said}");
    let (end, hash, disk) = (whole.step(), whole.state_hash(), contents(&whole, 0));
    std::fs::write(&image, &disk).expect("the temporary folder is writable");
    assert_eq!(fsck(&image, "-fn").0, Some(0));
    let mut random = Random(1);
    let mut steps: Vec<u64> = (0..CUTS).map(|_| first + random.below(last - first)).collect();
    steps.sort_unstable();
    let mut parent = None;
    for at in steps {
        assert_eq!(run(&mut machine, at), Stop::Step);
        let open = || Arc::new(Store::open(&store).expect("the folder is writable"));
        let mut frozen = machine.freeze();
        let id = frozen.save(&open(), parent).expect("saved").id;
        machine.adopt_trees(frozen);
        parent = Some(id);
        let mut loaded = Machine::load(open().load(id).expect("there")).expect("a machine");
        assert_eq!(run(&mut loaded, u64::MAX), Stop::PowerOff);
        assert_eq!((loaded.step(), loaded.state_hash()), (end, hash), "cut at {at}");
        assert!(contents(&loaded, 0) == disk, "cut at {at}");
    }
}
