//! Debian's own NVMe driver as the judge: it finds the disk, writes an ext4 and reads it back, with the same end on both
//! engines. Run by name:
//!
//!     cargo test --release -p amber-tests --test nvme -- --ignored --nocapture

use amber_cpu::Engine;
use amber_devices::DiskInterface;
use amber_emu::machine::Stop;
use amber_tests::Quiet;
use amber_tests::disks::{contents, debian_with, fsck};
use amber_tests::program::Scratch;

fn debian_works_on_nvme(cpus: u32) {
    let Some(new) = debian_with("nvme.gz", DiskInterface::Nvme, cpus) else { return };
    let run = |engine| {
        let (mut machine, mut host) = (new(), Quiet::default());
        machine.set_engine(engine);
        assert_eq!(machine.run(u64::MAX, &mut host, true), Stop::PowerOff);
        let said = String::from_utf8_lossy(&host.serial).into_owned();
        (said, machine.step(), machine.state_hash(), contents(&machine, 0))
    };
    let (said, step, hash, disk) = run(Engine::Jit);
    for text in ["amber-disk0", "write back", "PASS"] {
        assert!(said.contains(text), "no {text} in: {said}");
    }
    for queue in 0..cpus {
        assert!(said.contains(&format!("/mq/{queue}")), "no queue {queue} in: {said}");
    }
    let scratch = Scratch::new(&format!("nvme{cpus}"));
    let (code, found) = fsck(&scratch.file("disk.img", &disk), "-fn");
    assert_eq!(code, Some(0), "{found}");
    let other = run(Engine::Interpreter);
    assert!((&other.0, other.1, other.2) == (&said, step, hash) && other.3 == disk, "the engines differ");
    println!("{cpus} vCPUs: {step} steps, state {hash}");
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_works_on_nvme_with_1_vcpu() {
    debian_works_on_nvme(1);
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn debian_works_on_nvme_with_2_vcpus() {
    debian_works_on_nvme(2);
}
