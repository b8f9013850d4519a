//! A Debian guest that writes an ext4, cut in mid-write a hundred times: every loaded machine comes to the same end and
//! disk, and the disk at each cut is as after a power failure, no worse. Run by name: it takes minutes.
//!
//!     cargo test --release -p amber-tests --test debian_disk -- --ignored --nocapture

use amber_devices::DiskInterface;
use amber_emu::cli::build;
use amber_emu::config::MachineConfig;
use amber_emu::machine::{Machine, Stop};
use amber_snapshot::Store;
use amber_tests::cuts::run;
use amber_tests::disks::{busy, contents, debian_config, debian_with_diskettes, fsck, fsck_fat};
use amber_tests::program::Scratch;
use amber_tests::{Quiet, Random};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const CUTS: usize = 100;

/// What is on a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileSystem {
    /// With a journal.
    Ext4,
    Ext2,
    Fat,
}

impl FileSystem {
    /// The file system in an image that lost power is repaired without a question, and clean after that. Whether its journal
    /// was replayed.
    fn check_cut(self, image: &Path, bytes: &[u8], at: u64) -> bool {
        std::fs::write(image, bytes).expect("the temporary folder is writable");
        let (code, said) = match self {
            Self::Ext4 => fsck(image, "-fp"),
            // Without a journal there may be more to do than -p does by itself.
            Self::Ext2 => fsck(image, "-fy"),
            Self::Fat => fsck_fat(image, "-a"),
        };
        assert!(matches!(code, Some(0 | 1)), "cut at {at}: it is not repaired ({code:?}): {said}");
        self.check_clean(image, at);
        said.contains("recovering journal")
    }

    fn check_clean(self, image: &Path, at: u64) {
        let (code, said) = if self == Self::Fat { fsck_fat(image, "-n") } else { fsck(image, "-fn") };
        assert_eq!(code, Some(0), "at {at}: {said}");
    }
}

/// A guest that writes, and what is on its disks.
struct Writer {
    name: String,
    config: MachineConfig,
    disks: &'static [FileSystem],
    /// Steps between looks for requests in flight, which last longer.
    stride: u64,
    /// What the guest says of how data move.
    says: &'static str,
}

impl Writer {
    /// A guest with an ext4 on a disk.
    fn new(initrd: &str, interface: DiskInterface, cpus: u32) -> Option<Self> {
        let config = debian_config(initrd, interface, cpus)?;
        let name = format!("{}{cpus}", interface.name());
        let says = if interface == DiskInterface::Ide { "XFER_MW_DMA_2" } else { "" };
        Some(Self { name, config, disks: &[FileSystem::Ext4], stride: 5_000, says })
    }

    /// The host moves every word by itself.
    fn without_dma(mut self) -> Self {
        self.config.append = Some("console=ttyS0 panic=-1 libata=dma=0".into());
        self.name += "-pio";
        self.says = "XFER_PIO_4";
        self
    }

    /// The image is a qcow2.
    fn on_qcow2(mut self, folder: &Path) -> Self {
        let image = folder.join("disk.qcow2");
        let file = &mut self.config.disk[0].file;
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-O", "qcow2", "-c"]).arg(&*file).arg(&image);
        assert!(convert.status().expect("qemu-img starts").success());
        *file = image;
        self.name += "-qcow2";
        self
    }

    /// A guest with an ext2 and a FAT on diskettes, which waits for them most of its time.
    fn of_diskettes(cpus: u32) -> Option<Self> {
        let config = debian_with_diskettes(cpus)?;
        let disks = &[FileSystem::Ext2, FileSystem::Fat];
        Some(Self { name: format!("diskettes{cpus}"), config, disks, stride: 500, says: "" })
    }
}

fn has_said(host: &Quiet, text: &str) -> bool {
    String::from_utf8_lossy(&host.serial).contains(text)
}

/// Steps at which a disk has requests in flight, while the guest writes. The run goes on to its end.
fn writes(machine: &mut Machine, host: &mut Quiet, stride: u64) -> Vec<u64> {
    let mut steps = Vec::new();
    while !has_said(host, "WRITTEN") {
        let next = machine.step() + stride;
        assert_eq!(machine.run(next, host, true), Stop::Step);
        if busy(machine) {
            steps.push(machine.step());
        }
    }
    assert_eq!(machine.run(u64::MAX, host, true), Stop::PowerOff);
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

fn a_disk_is_the_same_whatever_cuts_its_writes(writer: Option<Writer>) {
    let Some(Writer { name, config, disks, stride, says }) = writer else { return };
    let scratch = Scratch::new(&format!("debian-{name}"));
    let (store, image) = (scratch.0.join("store"), scratch.0.join("disk.img"));
    let mut machine = build::machine(&config).expect("Debian's kernel can be loaded");
    let mut host = Quiet::default();
    while !has_said(&host, "WRITING") {
        let next = machine.step() + 10_000_000;
        assert_eq!(machine.run(next, &mut host, true), Stop::Step);
    }
    let mut whole = Machine::fork(&machine.freeze()).expect("it was a machine");
    let steps = writes(&mut whole, &mut host, stride);
    for what in ["PASS", says] {
        assert!(has_said(&host, what), "no {what}: {}", String::from_utf8_lossy(&host.serial));
    }
    let found = steps.len();
    let (end, hash) = (whole.step(), whole.state_hash());
    let all = |machine: &Machine| (0..disks.len()).map(|n| contents(machine, n)).collect::<Vec<_>>();
    let written = all(&whole);
    for (file_system, bytes) in disks.iter().zip(&written) {
        std::fs::write(&image, bytes).expect("the temporary folder is writable");
        file_system.check_clean(&image, end);
    }

    let (mut parent, mut replayed) = (None, 0);
    for at in some(steps, CUTS, config.cpus.into()) {
        assert_eq!(run(&mut machine, at), Stop::Step);
        assert!(busy(&machine), "as before");
        let open = || Arc::new(Store::open(&store).expect("the folder is writable"));
        let mut frozen = machine.freeze();
        let id = frozen.save(&open(), parent).expect("saved").id;
        machine.adopt_trees(frozen);
        parent = Some(id);
        let mut loaded = Machine::load(open().load(id).expect("there")).expect("a machine");
        for (file_system, bytes) in disks.iter().zip(all(&loaded)) {
            replayed += usize::from(file_system.check_cut(&image, &bytes, at));
        }
        assert_eq!(run(&mut loaded, u64::MAX), Stop::PowerOff);
        assert_eq!((loaded.step(), loaded.state_hash()), (end, hash), "cut at {at}");
        assert!(all(&loaded) == written, "cut at {at}");
    }
    assert_eq!(run(&mut machine, u64::MAX), Stop::PowerOff);
    assert_eq!((machine.step(), machine.state_hash()), (end, hash));
    println!("{name}: {CUTS} cuts of {found} moments in mid-write, {replayed} journals replayed");
    let journals = disks.iter().filter(|file_system| **file_system == FileSystem::Ext4).count();
    assert!(replayed >= CUTS * journals * 9 / 10, "only {replayed} journals were replayed");
    assert!(found >= CUTS, "only {found} moments in mid-write");
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_disk_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::new("disk.gz", DiskInterface::Virtio, 1));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_disk_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::new("disk.gz", DiskInterface::Virtio, 2));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_nvme_disk_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::new("nvme.gz", DiskInterface::Nvme, 1));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_nvme_disk_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::new("nvme.gz", DiskInterface::Nvme, 2));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_ahci_disk_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::new("ahci.gz", DiskInterface::Ahci, 1));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_ahci_disk_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::new("ahci.gz", DiskInterface::Ahci, 2));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_ide_disk_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::new("ide.gz", DiskInterface::Ide, 1));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_ide_disk_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::new("ide.gz", DiskInterface::Ide, 2));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_usb_disk_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::new("usb.gz", DiskInterface::Usb, 1));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_usb_disk_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::new("usb.gz", DiskInterface::Usb, 2));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn diskettes_are_the_same_whatever_cuts_their_writes_on_1_vcpu() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::of_diskettes(1));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_ide_disk_without_dma_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    let writer = Writer::new("ide.gz", DiskInterface::Ide, 1);
    a_disk_is_the_same_whatever_cuts_its_writes(writer.map(Writer::without_dma));
}

#[test]
#[ignore = "needs a kernel and minutes, and qemu-img"]
fn a_disk_over_a_qcow2_is_the_same_whatever_cuts_its_writes_on_1_vcpu() {
    let scratch = Scratch::new("debian-image1");
    let writer = Writer::new("disk.gz", DiskInterface::Virtio, 1);
    a_disk_is_the_same_whatever_cuts_its_writes(writer.map(|writer| writer.on_qcow2(&scratch.0)));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn diskettes_are_the_same_whatever_cuts_their_writes_on_2_vcpus() {
    a_disk_is_the_same_whatever_cuts_its_writes(Writer::of_diskettes(2));
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn an_ide_disk_without_dma_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    let writer = Writer::new("ide.gz", DiskInterface::Ide, 2);
    a_disk_is_the_same_whatever_cuts_its_writes(writer.map(Writer::without_dma));
}

#[test]
#[ignore = "needs a kernel and minutes, and qemu-img"]
fn a_disk_over_a_qcow2_is_the_same_whatever_cuts_its_writes_on_2_vcpus() {
    let scratch = Scratch::new("debian-image2");
    let writer = Writer::new("disk.gz", DiskInterface::Virtio, 2);
    a_disk_is_the_same_whatever_cuts_its_writes(writer.map(|writer| writer.on_qcow2(&scratch.0)));
}
