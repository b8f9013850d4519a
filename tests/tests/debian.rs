//! I1, I2 and I4 on Debian's kernel, which `tests/fetch-debian.sh` fetches. Run by name: they take minutes.
//!
//!     AMBER_DEBIAN_STEPS=8000000000 cargo test --release -p amber-tests --test debian -- --ignored

use amber_emu::cli::build;
use amber_emu::config::{DiskChoice, MachineConfig};
use amber_emu::machine::{Machine, Stop};
use amber_snapshot::Store;
use amber_tests::Quiet;
use amber_tests::disks::{busy, contents};
use amber_tests::history::{Disturbance, difference, narrow, points, record};
use amber_tests::program::Scratch;
use std::path::Path;
use std::sync::Arc;

/// How far the boot is followed, unless AMBER_DEBIAN_STEPS says otherwise. The kernel unpacks itself for 4.5 billion.
const STEPS: u64 = 6_000_000_000;

fn steps() -> u64 {
    match std::env::var("AMBER_DEBIAN_STEPS") {
        Ok(steps) => steps.parse().expect("AMBER_DEBIAN_STEPS is a number"),
        Err(_) => STEPS,
    }
}

fn boot(folder: &Path, cpus: u32) -> Machine {
    let config = MachineConfig {
        kernel: Some(folder.join("vmlinuz")),
        initrd: Some(folder.join("initrd.gz")),
        append: Some("console=ttyS0 panic=-1".into()),
        cpus,
        ..MachineConfig::default()
    };
    build::machine(&config).expect("Debian's kernel can be loaded")
}

fn check(disturbance: Disturbance) {
    let Some(folder) = amber_tests::debian() else { return };
    let points = points(steps());
    for cpus in [1, 2, 4] {
        let quiet = record(boot(&folder, cpus), &points, Disturbance::Nothing, 0);
        let disturbed = record(boot(&folder, cpus), &points, disturbance, 1);
        if let Some(found) = difference(&quiet, &disturbed) {
            let found = narrow(|| boot(&folder, cpus), found, disturbance, 1);
            panic!("{cpus} vCPUs, {disturbance:?}: {found}");
        }
    }
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn two_boots_agree() {
    check(Disturbance::Nothing);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn caches_may_go_while_booting() {
    check(Disturbance::DropCaches);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn the_boot_may_be_split_anywhere() {
    check(Disturbance::Split);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn watchpoints_do_not_change_the_boot() {
    check(Disturbance::Watched);
}

/// A machine whose guest makes a file system on its disk, writes it, and reads it back.
fn writer(folder: &Path, disk: &Path, cpus: u32) -> Machine {
    let config = MachineConfig {
        kernel: Some(folder.join("vmlinuz")),
        initrd: Some(folder.join("disk.gz")),
        append: Some("console=ttyS0 panic=-1 quiet".into()),
        disk: vec![DiskChoice { file: disk.to_owned(), read_only: false }],
        cpus,
        ..MachineConfig::default()
    };
    build::machine(&config).expect("Debian's kernel can be loaded")
}

fn has_said(host: &Quiet, text: &str) -> bool {
    String::from_utf8_lossy(&host.serial).contains(text)
}

/// Cut while the kernel writes its file system, with requests in flight, and loaded elsewhere: the same end and disk.
#[test]
#[ignore = "needs a kernel and minutes"]
fn a_disk_is_the_same_whatever_cuts_its_writes() {
    let Some(folder) = amber_tests::debian().filter(|folder| folder.join("disk.gz").is_file()) else {
        return;
    };
    let scratch = Scratch::new("debian-disk");
    let image = scratch.file("disk.img", &[]);
    std::fs::File::create(&image).and_then(|file| file.set_len(32 << 20)).expect("room for a sparse file");
    let store = Arc::new(Store::open(&scratch.0.join("store")).expect("a store"));
    for cpus in [1, 2] {
        let (mut machine, mut host) = (writer(&folder, &image, cpus), Quiet::default());
        while !has_said(&host, "WRITING") {
            let next = machine.step() + 10_000_000;
            assert_eq!(machine.run(next, &mut host, true), Stop::Step);
        }
        let mut cuts = Vec::new();
        while cuts.len() < 3 && !has_said(&host, "PASS") {
            let next = machine.step() + if cuts.is_empty() { 1000 } else { 5000 };
            assert_eq!(machine.run(next, &mut host, true), Stop::Step);
            if busy(&mut machine) {
                let mut frozen = machine.freeze();
                let id = frozen.save(&store, None).expect("saved").id;
                machine.adopt_trees(frozen);
                cuts.push((
                    machine.step(),
                    Machine::load(store.load(id).expect("there")).expect("a machine"),
                ));
                let apart = machine.step() + 20_000_000;
                machine.run(apart, &mut host, true);
            }
        }
        assert_eq!(cuts.len(), 3, "the kernel wrote all the time");
        assert_eq!(machine.run(u64::MAX, &mut host, true), Stop::PowerOff);
        assert!(has_said(&host, "PASS"), "{}", String::from_utf8_lossy(&host.serial));
        let mut straight = writer(&folder, &image, cpus);
        assert_eq!(straight.run(u64::MAX, &mut Quiet::default(), true), Stop::PowerOff);
        cuts.push((0, straight));
        for (at, mut other) in cuts {
            assert_eq!(other.run(u64::MAX, &mut Quiet::default(), true), Stop::PowerOff);
            assert_eq!(other.state_hash(), machine.state_hash(), "{cpus} vCPUs, cut at {at}");
            assert!(contents(&other, 0) == contents(&machine, 0));
        }
    }
}
