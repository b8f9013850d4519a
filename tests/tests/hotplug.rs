//! Debian as the judge of hot-plug: it takes what comes and gives back what is asked for, round after round, the same on both
//! engines, and goes on to the same state from snapshots in the middle of that. Run by name:
//!
//!     cargo test --release -p amber-tests --test hotplug -- --ignored --nocapture

use amber_cpu::Engine;
use amber_devices::Part;
use amber_emu::cli::build;
use amber_emu::config::MachineConfig;
use amber_emu::machine::{Machine, Plug, Stop};
use amber_snapshot::{StateHash, Store};
use amber_tests::program::Scratch;
use amber_tests::{Quiet, Random, debian};
use std::sync::Arc;

/// Between looks at what the guest says, steps.
const STRIDE: u64 = 500_000;
/// The guest does what is asked of it within this virtual time, ns.
const PATIENCE: u64 = 20_000_000_000;
const MODULE: u64 = 128 << 20;

/// The guest of `tests/fetch-debian.sh` that says what is there whenever that changes.
fn guest() -> Option<Machine> {
    let folder = debian()?;
    let (kernel, initrd) = (folder.join("vmlinuz"), folder.join("hotplug.gz"));
    let config = MachineConfig {
        kernel: Some(kernel),
        initrd: Some(initrd),
        append: Some("console=ttyS0 quiet panic=-1 mitigations=off".into()),
        cpus: 1,
        cpus_max: Some(4),
        memory: "512M".parse().expect("a size"),
        memory_slots: Some(4),
        memory_max: Some("2G".parse().expect("a size")),
        ..MachineConfig::default()
    };
    Some(build::machine(&config).expect("the folder has all of it"))
}

fn go(machine: &mut Machine, host: &mut Quiet, steps: u64) {
    let to = machine.step() + steps;
    assert_eq!(machine.run(to, host, true), Stop::Step, "{}", said(host));
}

fn said(host: &Quiet) -> String {
    String::from_utf8_lossy(&host.serial).into_owned()
}

/// Runs until the guest says that this is there, and nothing else.
fn until(machine: &mut Machine, host: &mut Quiet, what: &str) {
    let (line, end) = (format!("NOW {what}."), machine.now() + PATIENCE);
    loop {
        let said = said(host);
        if said.lines().rfind(|line| line.starts_with("NOW ")).is_some_and(|last| last.trim_end() == line) {
            return;
        }
        assert!(machine.now() < end, "never {line}: {said}");
        go(machine, host, STRIDE);
    }
}

/// What is in a machine.
fn parts(machine: &Machine) -> usize {
    let modules = machine.hotplug().memory.as_ref().map_or(0, |memory| memory.dimms().len());
    machine.vcpus().len() + modules
}

fn plug(machine: &mut Machine, host: &mut Quiet) -> [Part; 2] {
    let id = machine.free_cpu().expect("there is room");
    [Plug::Cpu(id), Plug::Dimm(MODULE)].map(|plug| machine.plug(host, plug).expect("there is room"))
}

/// Asks for parts, and runs until they have gone.
fn unplug(machine: &mut Machine, host: &mut Quiet, leaving: &[Part]) {
    leaving.iter().for_each(|part| machine.unplug(host, *part).expect("it is there"));
    let end = machine.now() + PATIENCE;
    while leaving.iter().any(|part| machine.part_state(*part).present) {
        let reports: Vec<_> = leaving.iter().map(|part| machine.part_state(*part).report).collect();
        let refused = reports.iter().flatten().any(|report| report.refuses_ejection());
        assert!(!refused && machine.now() < end, "{reports:?}: {}", said(host));
        go(machine, host, STRIDE);
    }
}

fn round(machine: &mut Machine, host: &mut Quiet) {
    let came = plug(machine, host);
    until(machine, host, "cpus 0-1 blocks 5 disks ");
    unplug(machine, host, &came);
    until(machine, host, "cpus 0 blocks 4 disks ");
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn debian_takes_and_gives_back_parts_for_50_rounds() {
    let rounds = std::env::var("AMBER_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let run = |engine| -> Option<(u64, StateHash)> {
        let (mut machine, mut host) = (guest()?, Quiet::default());
        machine.set_engine(engine);
        until(&mut machine, &mut host, "cpus 0 blocks 4 disks ");
        (0..rounds).for_each(|_| round(&mut machine, &mut host));
        let said = said(&host);
        assert!(!said.contains("BUG") && !said.contains("WARNING"), "{said}");
        println!("{rounds} rounds, {engine:?}: {} steps, {} ms", machine.step(), machine.now() / 1_000_000);
        Some((machine.step(), machine.state_hash()))
    };
    assert_eq!(run(Engine::Jit), run(Engine::Interpreter), "the engines differ");
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_machine_cut_while_parts_go_comes_to_the_same_state() {
    const CUTS: usize = 20;
    let Some(mut machine) = guest() else { return };
    let (mut host, scratch) = (Quiet::default(), Scratch::new("hotplug"));
    until(&mut machine, &mut host, "cpus 0 blocks 4 disks ");
    let before = machine.freeze();
    let came = plug(&mut machine, &mut host);
    until(&mut machine, &mut host, "cpus 0-1 blocks 5 disks ");
    came.iter().for_each(|part| machine.unplug(&mut host, *part).expect("it is there"));
    let asked = machine.freeze();
    // How long that lasts.
    let start = machine.step();
    while parts(&machine) > 1 {
        go(&mut machine, &mut host, 1000);
    }
    let (gone, end) = (machine.step(), machine.step() + 20_000_000);
    go(&mut machine, &mut host, end - gone);
    let hash = machine.state_hash();

    let mut random = Random(5);
    let mut cuts: Vec<u64> = (0..CUTS).map(|_| start + random.below(gone - start)).collect();
    cuts.sort_unstable();
    machine.rewind(&asked);
    for at in cuts {
        assert_eq!(machine.run(at, &mut host, true), Stop::Step);
        assert!(parts(&machine) > 1);
        let open = || Arc::new(Store::open(&scratch.0.join("store")).expect("the folder is writable"));
        let id = machine.freeze().save(&open(), None).expect("saved").id;
        let mut loaded = Machine::load(open().load(id).expect("there")).expect("a machine");
        assert_eq!(parts(&loaded), parts(&machine));
        assert_eq!(loaded.run(end, &mut Quiet::default(), true), Stop::Step);
        assert_eq!(loaded.state_hash(), hash, "cut at {at}");
    }
    assert_eq!(machine.run(end, &mut host, true), Stop::Step);
    assert_eq!(machine.state_hash(), hash);
    machine.rewind(&before);
    round(&mut machine, &mut Quiet::default());
    println!("{CUTS} cuts between steps {start} and {gone}");
}
