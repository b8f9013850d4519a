//! Debian as the judge of hot-plug: it takes what comes and gives back what is asked for, round after round, the same on both
//! engines, and goes on to the same state from snapshots in the middle of that. Run by name:
//!
//!     cargo test --release -p amber-tests --test hotplug -- --ignored --nocapture

use amber_cpu::Engine;
use amber_devices::{DiskInterface, NicModel, Part};
use amber_emu::cli::build;
use amber_emu::config::MachineConfig;
use amber_emu::disk::Base;
use amber_emu::machine::{DiskImage, HostIo, Machine, NicSpec, Plug, Stop};
use amber_emu::net::{Link, Nat, Setup};
use amber_snapshot::{StateHash, Store};
use amber_tests::program::Scratch;
use amber_tests::{Quiet, Random, debian};
use std::sync::Arc;

/// Between looks at what the guest says, steps.
const STRIDE: u64 = 500_000;
/// The guest does what is asked of it within this virtual time, ns.
const PATIENCE: u64 = 20_000_000_000;
const MODULE: u64 = 128 << 20;
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// A quiet host with a network, or without.
#[derive(Default)]
struct Networked {
    quiet: Quiet,
    link: Option<Nat>,
}

impl HostIo for Networked {
    fn serial_output(&mut self, port: u8, byte: u8) {
        self.quiet.serial_output(port, byte);
    }
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        false
    }
    fn frame_output(&mut self, now: u64, frame: &[u8]) {
        self.link.iter_mut().for_each(|link| link.send(now, frame));
    }
    fn frame_input(&mut self, _step: u64, now: u64) -> Option<Vec<u8>> {
        self.link.as_mut()?.receive(now)
    }
}

/// The guest of `tests/fetch-debian.sh` that says what is there whenever that changes.
fn guest() -> Option<Machine> {
    guest_with(1)
}

fn guest_with(cpus: u32) -> Option<Machine> {
    let folder = debian()?;
    let (kernel, initrd) = (folder.join("vmlinuz"), folder.join("hotplug.gz"));
    let config = MachineConfig {
        kernel: Some(kernel),
        initrd: Some(initrd),
        append: Some("console=ttyS0 quiet panic=-1 mitigations=off".into()),
        cpus,
        cpus_max: Some(4),
        memory: "512M".parse().expect("a size"),
        memory_slots: Some(4),
        memory_max: Some("2G".parse().expect("a size")),
        pci_hotplug: true,
        ..MachineConfig::default()
    };
    Some(build::machine(&config).expect("the folder has all of it"))
}

fn go(machine: &mut Machine, host: &mut Networked, steps: u64) {
    let to = machine.step() + steps;
    assert_eq!(machine.run(to, host, true), Stop::Step, "{}", said(host));
}

fn said(host: &Networked) -> String {
    String::from_utf8_lossy(&host.quiet.serial).into_owned()
}

/// Runs until the guest says that this is there, and nothing else.
fn until(machine: &mut Machine, host: &mut Networked, what: &str) {
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
    let nics = usize::from(machine.equipment().nic.is_some());
    machine.vcpus().len() + modules + machine.placed_disks().len() + nics
}

/// The disk that comes and goes.
fn disk(interface: DiskInterface) -> DiskImage {
    let base = Base::open(&debian().expect("it was there").join("ext4.img")).expect("it can be read");
    DiskImage { base, interface, read_only: false }
}

/// What comes and goes together: a disk, an adapter, and whether that has a network.
#[derive(Clone, Copy)]
struct Kinds {
    disk: DiskInterface,
    nic: NicModel,
    network: bool,
}

impl Kinds {
    /// All of them have their turn.
    fn of_round(n: usize) -> Self {
        let disk = [DiskInterface::Virtio, DiskInterface::Nvme][n % 2];
        Self { disk, nic: NicModel::ALL[n / 2 % 2], network: n % 5 != 4 }
    }

    fn driver(self) -> &'static str {
        match self.nic {
            NicModel::Virtio => "virtio_net",
            NicModel::E1000 => "e1000",
        }
    }
}

/// A processor, a memory module, a disk and a network adapter come; what the guest says then.
fn plug(machine: &mut Machine, host: &mut Networked, kinds: Kinds) -> ([Part; 4], String) {
    let id = machine.free_cpu().expect("there is room");
    let nic = Plug::Nic(NicSpec::new(kinds.nic, MAC));
    let [cpu, module, adapter] =
        [Plug::Cpu(id), Plug::Dimm(MODULE), nic].map(|plug| machine.plug(host, plug).expect("there is room"));
    let function = machine.plug_disk(host, &disk(kinds.disk)).expect("there is room");
    let setup = Setup { mac: MAC, ..Setup::default() };
    host.link =
        kinds.network.then(|| Nat::new(&setup).map_err(|(_, error)| error).expect("no port is asked for"));
    let name = if kinds.disk == DiskInterface::Nvme { "nvme0n1" } else { "vda" };
    ([cpu, module, function, adapter], format!("cpus 0-1 blocks 5 disks {name} nics eth0 "))
}

/// Asks for parts, and runs until they have gone.
fn unplug(machine: &mut Machine, host: &mut Networked, leaving: &[Part]) {
    leaving.iter().for_each(|part| machine.unplug(host, *part).expect("it is there"));
    let end = machine.now() + PATIENCE;
    while leaving.iter().any(|part| machine.part_state(*part).present) {
        let reports: Vec<_> = leaving.iter().map(|part| machine.part_state(*part).report).collect();
        let refused = reports.iter().flatten().any(|report| report.refuses_ejection());
        assert!(!refused && machine.now() < end, "{reports:?}: {}", said(host));
        go(machine, host, STRIDE);
    }
}

/// What the guest says when nothing is there that may go.
const BARE: &str = "cpus 0 blocks 4 disks nics ";

fn round(machine: &mut Machine, host: &mut Networked, n: usize) {
    let kinds = Kinds::of_round(n);
    let before = host.quiet.serial.len();
    let (came, there) = plug(machine, host, kinds);
    until(machine, host, &there);
    let said = String::from_utf8_lossy(&host.quiet.serial[before..]).into_owned();
    let adapter = format!("NIC eth0 52:54:00:12:34:56 {} ", kinds.driver());
    assert!(said.contains(&adapter), "no {adapter}: {said}");
    let answers = [said.contains("LEASE 10.0.2.15"), said.contains("2 packets received")];
    assert_eq!(answers, [kinds.network; 2], "{said}");
    unplug(machine, host, &came);
    until(machine, host, BARE);
    host.link = None;
}

/// As md5sum says it.
fn md5(file: &std::path::Path) -> String {
    let output = std::process::Command::new("md5sum").arg(file).output().expect("it is in coreutils");
    String::from_utf8_lossy(&output.stdout).split(' ').next().expect("a sum").to_owned()
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn debian_takes_and_gives_back_parts_for_50_rounds() {
    let rounds = std::env::var("AMBER_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let run = |engine| -> Option<(u64, StateHash)> {
        let (mut machine, mut host) = (guest()?, Networked::default());
        machine.set_engine(engine);
        until(&mut machine, &mut host, BARE);
        (0..rounds).for_each(|n| round(&mut machine, &mut host, n));
        let said = said(&host);
        assert!(!said.contains("BUG") && !said.contains("WARNING"), "{said}");
        let image = std::fs::read(debian()?.join("ext4.img")).expect("it can be read");
        let scratch = Scratch::new("hotplug-md5");
        let sum = md5(&scratch.file("start", &image[..65536]));
        let read = said.matches(&format!("READ vda {sum}")).count()
            + said.matches(&format!("READ nvme0n1 {sum}")).count();
        assert!(read >= rounds, "the guest reads each disk right, {read} times");
        println!("{rounds} rounds, {engine:?}: {} steps, {} ms", machine.step(), machine.now() / 1_000_000);
        Some((machine.step(), machine.state_hash()))
    };
    assert_eq!(run(Engine::Jit), run(Engine::Interpreter), "the engines differ");
}

fn cut_while_parts_go(round_n: usize) {
    const CUTS: usize = 20;
    let Some(mut machine) = guest() else { return };
    let (mut host, scratch) = (Networked::default(), Scratch::new(&format!("hotplug{round_n}")));
    until(&mut machine, &mut host, BARE);
    let before = machine.freeze();
    let (came, there) = plug(&mut machine, &mut host, Kinds::of_round(round_n));
    until(&mut machine, &mut host, &there);
    // What comes from there would not come again.
    host.link = None;
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
        assert_eq!(loaded.run(end, &mut Networked::default(), true), Stop::Step);
        assert_eq!(loaded.state_hash(), hash, "cut at {at}");
    }
    assert_eq!(machine.run(end, &mut host, true), Stop::Step);
    assert_eq!(machine.state_hash(), hash);
    machine.rewind(&before);
    round(&mut machine, &mut Networked::default(), round_n + 1);
    println!("round {round_n}: {CUTS} cuts between steps {start} and {gone}");
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_machine_cut_while_parts_and_a_virtio_net_go_comes_to_the_same_state() {
    cut_while_parts_go(0);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn a_machine_cut_while_parts_and_an_82540em_go_comes_to_the_same_state() {
    cut_while_parts_go(3);
}

#[test]
#[ignore = "needs a kernel and a minute"]
fn a_guest_that_boots_anew_does_not_wait_for_a_processor_that_has_gone() {
    /// A boot takes 7 s, and 10 more where it waits.
    const BOOT: u64 = 10_000_000_000;
    let Some(mut machine) = guest_with(2) else { return };
    let mut host = Networked::default();
    until(&mut machine, &mut host, "cpus 0-1 blocks 4 disks nics ");
    unplug(&mut machine, &mut host, &[Part::Cpu(1)]);
    until(&mut machine, &mut host, BARE);
    for (came, there) in [(None, BARE), (Some(Plug::Cpu(3)), "cpus 0-1 blocks 4 disks nics ")] {
        if let Some(plug) = came {
            machine.plug(&mut host, plug).expect("there is room");
        }
        host.quiet.serial.clear();
        machine.press_reset(&mut host);
        let start = machine.now();
        until(&mut machine, &mut host, there);
        let (took, said) = (machine.now() - start, said(&host));
        assert!(took < BOOT && !said.contains("alive") && !said.contains("wakeup"), "{took} ns: {said}");
        println!("{there}after {} ms", took / 1_000_000);
    }
}
