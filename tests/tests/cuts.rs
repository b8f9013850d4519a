//! I4 at length: runs are cut at thousands of steps, saved, loaded by a store of its own and followed.
//!
//!     AMBER_CUTS=10000 cargo test --release -p amber-tests --test cuts -- --ignored --nocapture

use amber_emu::config::Firmware;
use amber_emu::machine::{Machine, Stop};
use amber_tests::cuts::{Cutter, run};
use amber_tests::disks::{debian_with_disk, disk_rom};
use amber_tests::history::length;
use amber_tests::moments::{MOMENTS, Moment, guest};
use amber_tests::program::Scratch;
use amber_tests::{Random, rom};
use std::collections::BTreeMap;

/// Cuts of each first-party image.
const CUTS: u64 = 112;
/// No image is followed beyond this step.
const BOUND: u64 = 40_000_000;

/// Cuts a whole run of an image again and again, until there are enough.
fn cut_image(name: &str, image: impl Fn() -> Machine, at: &mut BTreeMap<Moment, u64>) {
    let end = length(image(), BOUND);
    let (mut cuts, mut seed) = (0, 0);
    while cuts < CUTS {
        let mut cutter = Cutter::new(image(), seed);
        let outcome = loop {
            let distance = if cutter.cuts.is_multiple_of(2) { 1000 } else { end / 20 };
            let cut = cutter.cut(end / 25, distance);
            if cut.is_err() || cutter.machine().step() >= end || cuts + cutter.cuts >= CUTS {
                break cut.and_then(|()| cutter.finish());
            }
        };
        if let Err(what) = outcome {
            panic!("{name}: {what}");
        }
        assert_eq!(cutter.compared, cutter.cuts);
        cutter.at.iter().for_each(|(moment, count)| *at.entry(*moment).or_default() += count);
        (cuts, seed) = (cuts + cutter.cuts, seed + 1);
    }
}

#[test]
fn images_go_on_from_any_step() {
    let mut at = BTreeMap::new();
    for (firmware, cpus) in [
        (Firmware::Selftest, 1),
        (Firmware::Interrupts, 2),
        (Firmware::Paging, 1),
        (Firmware::Smp, 2),
        (Firmware::Smp, 4),
    ] {
        cut_image(&format!("{firmware}, {cpus} vCPUs"), || rom(firmware, cpus), &mut at);
    }
    let scratch = Scratch::new("cuts");
    cut_image("disk", || disk_rom(&scratch.0), &mut at);
    cut_image("moments", || guest(&scratch.0), &mut at);
    println!("{at:?}");
    for moment in MOMENTS {
        assert!(at[&moment] >= 10, "too few cuts at {moment:?}: {at:?}");
    }
}

/// Steps of the end of the run, where cuts are followed to it.
const LAST: u64 = 100_000;

/// Cuts a Debian boot and the guest's work after it: half of the cuts are followed for up to 10^4 steps, half for more
/// than 10^7. One in a hundred is near the end of the run or at it, and followed to power-off.
fn debian_goes_on(cpus: u32) {
    let Some(machine) = debian_with_disk("work.gz", cpus) else { return };
    let cuts: u64 = std::env::var("AMBER_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(400) / 2;
    let mut whole = machine();
    assert_eq!(run(&mut whole, u64::MAX), Stop::PowerOff);
    let (end, hash) = (whole.step(), whole.state_hash());
    drop(whole);
    let (mut cutter, mut random) = (Cutter::new(machine(), cpus.into()), Random(9));
    let at_end = (cuts / 100).max(2);
    for left in (1..=cuts - at_end).rev() {
        let distance =
            if left % 2 == 0 { 1 + random.below(10_000) } else { 10_000_001 + random.below(2_000_000) };
        let gap = 2 * (end - LAST).saturating_sub(cutter.machine().step()) / left;
        let cut = cutter.cut(gap.max(1), distance);
        cut.unwrap_or_else(|what| panic!("{cpus} vCPUs: {what}"));
        if left % 500 == 0 {
            println!("{cpus} vCPUs, at step {}, {left} to go: {:?}", cutter.machine().step(), cutter.at);
        }
    }
    for left in (1..=at_end).rev() {
        let gap = if left == 1 { LAST } else { end.saturating_sub(cutter.machine().step()) / left };
        let cut = cutter.cut(gap.max(1), u64::MAX / 4);
        cut.unwrap_or_else(|what| panic!("{cpus} vCPUs, at the end: {what}"));
    }
    cutter.finish().unwrap_or_else(|what| panic!("{cpus} vCPUs: {what}"));
    println!(
        "{cpus} vCPUs: {end} steps, {} cuts, {} followed to power-off, {:?}",
        cutter.compared, cutter.ended, cutter.at
    );
    assert_eq!((cutter.machine().step(), cutter.machine().state_hash()), (end, hash));
    assert_eq!(cutter.compared, cuts);
    assert!(cutter.ended >= at_end);
    // One processor is hardly ever halted, and has no slices.
    let common = if cpus == 1 { &MOMENTS[..5] } else { &MOMENTS[..] };
    let enough = common.iter().all(|moment| cutter.at[moment] >= 100);
    assert!(enough || cuts < 5000, "a kind of moment came up in less than a hundred cuts");
}

#[test]
#[ignore = "needs a kernel and up to an hour"]
fn debian_goes_on_from_any_step_on_1_vcpu() {
    debian_goes_on(1);
}

#[test]
#[ignore = "needs a kernel and up to an hour"]
fn debian_goes_on_from_any_step_on_2_vcpus() {
    debian_goes_on(2);
}
