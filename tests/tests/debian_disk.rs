//! A Debian guest that writes an ext4, cut in mid-write a hundred times: every loaded machine comes to the same end and
//! disk, and the disk at each cut is as after a power failure, no worse. Run by name: it takes minutes.
//!
//!     cargo test --release -p amber-tests --test debian_disk -- --ignored --nocapture

use amber_devices::DiskInterface;
use amber_emu::machine::{Machine, Stop};
use amber_snapshot::Store;
use amber_tests::cuts::run;
use amber_tests::disks::{busy, contents, debian_with, fsck};
use amber_tests::program::Scratch;
use amber_tests::{Quiet, Random};
use std::path::Path;
use std::sync::Arc;

const CUTS: usize = 100;
/// Steps between looks for requests in flight, which last longer.
const STRIDE: u64 = 5_000;

fn has_said(host: &Quiet, text: &str) -> bool {
    String::from_utf8_lossy(&host.serial).contains(text)
}

/// Steps at which the disk has requests in flight, while the guest writes. The run goes on to its end.
fn writes(machine: &mut Machine, host: &mut Quiet) -> Vec<u64> {
    let mut steps = Vec::new();
    while !has_said(host, "WRITTEN") {
        let next = machine.step() + STRIDE;
        assert_eq!(machine.run(next, host, true), Stop::Step);
        if busy(machine) {
            steps.push(machine.step());
        }
    }
    assert_eq!(machine.run(u64::MAX, host, true), Stop::PowerOff);
    assert!(has_said(host, "PASS"), "{}", String::from_utf8_lossy(&host.serial));
    steps
}

/// `count` of `steps`, in their order.
fn some(mut steps: Vec<u64>, count: usize, seed: u64) -> Vec<u64> {
    let mut random = Random(seed);
    while steps.len() > count {
        steps.swap_remove(random.below(steps.len() as u64) as usize);
    }
    steps.sort_unstable();
    steps
}

/// A file system that lost power is repaired without a question, and clean after that. Whether its journal was replayed.
fn check_cut(image: &Path, bytes: &[u8], at: u64) -> bool {
    std::fs::write(image, bytes).expect("the temporary folder is writable");
    let (code, said) = fsck(image, "-fp");
    assert!(matches!(code, Some(0 | 1)), "cut at {at}: e2fsck -fp ends with {code:?}: {said}");
    check_clean(image, at);
    said.contains("recovering journal")
}

fn check_clean(image: &Path, at: u64) {
    let (code, said) = fsck(image, "-fn");
    assert_eq!(code, Some(0), "at {at}: {said}");
}

fn a_disk_is_the_same_whatever_cuts_its_writes(initrd: &str, interface: DiskInterface, cpus: u32) {
    let Some(new) = debian_with(initrd, interface, cpus) else { return };
    let scratch = Scratch::new(&format!("debian-{}{cpus}", interface.name()));
    let (store, image) = (scratch.0.join("store"), scratch.0.join("disk.img"));
    let (mut machine, mut host) = (new(), Quiet::default());
    while !has_said(&host, "WRITING") {
        let next = machine.step() + 10_000_000;
        assert_eq!(machine.run(next, &mut host, true), Stop::Step);
    }
    let mut whole = Machine::fork(&machine.freeze()).expect("it was a machine");
    let steps = writes(&mut whole, &mut host.clone());
    let found = steps.len();
    let (end, hash, disk) = (whole.step(), whole.state_hash(), contents(&whole, 0));
    std::fs::write(&image, &disk).expect("the temporary folder is writable");
    check_clean(&image, end);

    let (mut parent, mut replayed) = (None, 0);
    for at in some(steps, CUTS, cpus.into()) {
        assert_eq!(run(&mut machine, at), Stop::Step);
        assert!(busy(&machine), "as before");
        let open = || Arc::new(Store::open(&store).expect("the folder is writable"));
        let mut frozen = machine.freeze();
        let id = frozen.save(&open(), parent).expect("saved").id;
        machine.adopt_trees(frozen);
        parent = Some(id);
        let mut loaded = Machine::load(open().load(id).expect("there")).expect("a machine");
        replayed += usize::from(check_cut(&image, &contents(&loaded, 0), at));
        assert_eq!(run(&mut loaded, u64::MAX), Stop::PowerOff);
        assert_eq!((loaded.step(), loaded.state_hash()), (end, hash), "cut at {at}");
        assert!(contents(&loaded, 0) == disk, "cut at {at}");
    }
    assert_eq!(run(&mut machine, u64::MAX), Stop::PowerOff);
    assert_eq!((machine.step(), machine.state_hash()), (end, hash));
    println!(
        "{initrd}, {cpus} vCPUs: {CUTS} cuts of {found} moments in mid-write, {replayed} journals replayed"
    );
    assert!(replayed >= CUTS * 9 / 10, "only {replayed} journals were replayed");
    assert!(found >= CUTS, "only {found} moments in mid-write");
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_disk_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes("disk.gz", DiskInterface::Virtio, 1);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_disk_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes("disk.gz", DiskInterface::Virtio, 2);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_nvme_disk_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes("nvme.gz", DiskInterface::Nvme, 1);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_nvme_disk_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes("nvme.gz", DiskInterface::Nvme, 2);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_ahci_disk_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes("ahci.gz", DiskInterface::Ahci, 1);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_ahci_disk_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes("ahci.gz", DiskInterface::Ahci, 2);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_ide_disk_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes("ide.gz", DiskInterface::Ide, 1);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_ide_disk_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes("ide.gz", DiskInterface::Ide, 2);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_usb_disk_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes("usb.gz", DiskInterface::Usb, 1);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_usb_disk_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes("usb.gz", DiskInterface::Usb, 2);
}
