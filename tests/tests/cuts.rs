//! I4 at length: runs are cut at thousands of steps, saved, loaded by a store of its own and followed.
//!
//!     AMBER_CUTS=10000 cargo test --release -p amber-tests --test cuts -- --ignored --nocapture

use amber_emu::cli::build;
use amber_emu::config::{Firmware, MachineConfig};
use amber_emu::machine::{Machine, Stop};
use amber_tests::cuts::{Cutter, run};
use amber_tests::history::length;
use amber_tests::{Random, rom};
use std::collections::BTreeMap;

const MACHINES: [(Firmware, u32); 5] = [
    (Firmware::Selftest, 1),
    (Firmware::Interrupts, 2),
    (Firmware::Paging, 1),
    (Firmware::Smp, 2),
    (Firmware::Smp, 4),
];

/// Cuts of each first-party image.
const CUTS: u64 = 60;
/// No image is followed beyond this step.
const BOUND: u64 = 2_000_000;

#[test]
fn images_go_on_from_any_step() {
    for (firmware, cpus) in MACHINES {
        let end = length(rom(firmware, cpus), BOUND);
        let mut cutter = Cutter::new(rom(firmware, cpus), 1);
        for n in 0..CUTS {
            let distance = if n % 2 == 0 { 1000 } else { end / 20 };
            if let Err(what) = cutter.cut(end / CUTS / 2, distance) {
                panic!("{firmware}, {cpus} vCPUs: {what}");
            }
            if cutter.machine().step() >= end {
                cutter = Cutter::new(rom(firmware, cpus), n);
            }
        }
    }
}

fn debian(folder: &std::path::Path, cpus: u32) -> Machine {
    let config = MachineConfig {
        kernel: Some(folder.join("vmlinuz")),
        initrd: Some(folder.join("initrd.gz")),
        append: Some(std::env::var("AMBER_APPEND").unwrap_or("console=ttyS0 panic=-1".into())),
        cpus,
        ..MachineConfig::default()
    };
    build::machine(&config).expect("Debian's kernel can be loaded")
}

/// Cuts a run from power-up to power-off: half are followed for up to 10^4 steps, half for more than 10^7, and a
/// hundredth to the end of the run.
#[test]
#[ignore = "needs a kernel and up to an hour"]
fn debian_goes_on_from_any_step() {
    let Some(folder) = amber_tests::debian() else { return };
    let cuts: u64 = std::env::var("AMBER_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(400);
    let mut at = BTreeMap::new();
    for cpus in [1, 2] {
        let mut whole = debian(&folder, cpus);
        let stop = run(&mut whole, u64::MAX);
        let end = whole.step();
        println!("{cpus} vCPUs: {end} steps to {stop:?}");
        assert_eq!(stop, Stop::PowerOff);
        let (mut cutter, mut random) = (Cutter::new(debian(&folder, cpus), cpus.into()), Random(9));
        let on_the_way = cuts / 2 * 99 / 100;
        let mut last = None;
        for n in 0..on_the_way {
            let distance =
                if n % 2 == 0 { 1 + random.below(10_000) } else { 10_000_000 + random.below(2_000_000) };
            // As far apart as fills the run.
            let left = (end - cutter.machine().step()) / (on_the_way - n);
            if let Err(what) = cutter.cut((2 * left).saturating_sub(distance).max(1000), distance) {
                panic!("{cpus} vCPUs: {what}");
            }
            if cutter.machine().step() + 30_000_000 < end {
                last = Some(cutter.machine().freeze());
            }
            if cutter.machine().step() + 20_000_000 > end {
                break;
            }
        }
        let last = last.expect("the run is longer than that");
        for seed in 0..(cuts / 2 - on_the_way).max(1) {
            let mut fork = Machine::fork(&last).expect("it was a machine");
            run(&mut fork, end - 1 - random.below(10_000));
            let mut cutter = Cutter::new(fork, seed);
            if let Err(what) = cutter.cut(1, u64::MAX / 4) {
                panic!("{cpus} vCPUs, at the end: {what}");
            }
            *at.entry("power-off".to_owned()).or_insert(0) += 1;
        }
        for (moment, count) in &cutter.at {
            *at.entry(format!("{moment:?}")).or_insert(0) += count;
        }
    }
    println!("{at:#?}");
}
