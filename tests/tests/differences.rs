//! `amber snapshot diff`, `edit`, `show` and `export`, and what they rest on: sections by their stored schema.

use amber_emu::config::{Firmware, MachineConfig};
use amber_emu::machine::Machine;
use amber_snapshot::{Rules, Snapshot, SnapshotId, Store, decode, diff, encode};
use amber_tests::program::{Scratch, run};
use amber_tests::{Quiet, Random, rom};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn open(dir: &Path) -> Arc<Store> {
    Arc::new(Store::open(dir).expect("a store"))
}

fn save(machine: &mut Machine, store: &Store, parent: Option<SnapshotId>, name: &str) -> SnapshotId {
    let id = machine.freeze().save(store, parent, 0).expect("saved").id;
    store.name(name, id, 1_700_000_000, false).expect("named");
    id
}

/// A store with the snapshots `one` and `two`, 5000 steps apart.
fn pair(scratch: &Scratch) -> Arc<Store> {
    let store = open(&scratch.0.join("store"));
    let mut machine = rom(Firmware::Paging, 1);
    machine.run(5_000, &mut Quiet::default(), true);
    let one = save(&mut machine, &store, None, "one");
    machine.run(10_000, &mut Quiet::default(), true);
    save(&mut machine, &store, Some(one), "two");
    store
}

/// Runs `amber snapshot ARGS` on a scratch folder's store; what it prints.
fn snapshot(scratch: &Scratch, args: &[&str]) -> String {
    let store = scratch.0.join("store").display().to_string();
    let output = run(&[&["snapshot", "--store", &store], args].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs `amber snapshot ARGS`, which must refuse; its sentence.
fn refused(scratch: &Scratch, args: &[&str]) -> String {
    let store = scratch.0.join("store").display().to_string();
    let output = run(&[&["snapshot", "--store", &store], args].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn every_section_of_a_machine_is_what_its_schema_says() {
    for (firmware, cpus) in [(Firmware::Smp, 2), (Firmware::Interrupts, 1), (Firmware::Monitor, 1)] {
        let mut machine = rom(firmware, cpus);
        for step in [0, 1_000, 30_000, 200_000] {
            machine.run(step, &mut Quiet::default(), true);
            for section in machine.sections() {
                let value = decode(&section).unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(encode(&section, &value), Ok(section.bytes.clone()), "{}", section.path);
            }
        }
    }
}

/// Pages of 1 GiB that look like memory: some zero, some that compress well, some that do not.
fn fill(machine: &mut Machine, random: &mut Random) {
    for page in 0..256 * 1024u64 {
        let mut bytes = [0u8; 4096];
        let kind = random.below(4);
        for word in bytes.as_chunks_mut::<8>().0.iter_mut().take([0, 512, 200, 512][kind as usize]) {
            let value = if kind == 3 {
                random.below(u64::MAX)
            } else {
                0xFFFF_8880_0000_0000 | random.below(1 << 12)
            };
            *word = value.to_le_bytes();
        }
        if kind > 0 {
            machine.mmu_mut().write_physical(amber_mmu::ViewId(0), page * 4096, &bytes);
        }
    }
}

/// Two descendants of a snapshot of 1 GiB that differ in 1,000 pages. Run by name, with --release.
#[test]
#[ignore = "a measurement"]
fn a_gibibyte_is_compared_in_the_time_of_what_differs() {
    let scratch = Scratch::new("large-diff");
    let store = open(&scratch.0.join("store"));
    let memory = "1G".parse().expect("a size");
    let config = MachineConfig { firmware: Some(Firmware::Monitor), memory, ..MachineConfig::default() };
    let mut machine = amber_emu::cli::build::machine(&config).expect("it can be built");
    let mut random = Random(1);
    fill(&mut machine, &mut random);
    let base = save(&mut machine, &store, None, "base");
    let then = machine.freeze();
    let mut write = |machine: &mut Machine, run: u64, pages: u64, value: u64| {
        for _ in 0..pages / run {
            let first = random.below(200 * 1024 / run) * run + 4096;
            for page in first..first + run {
                machine.mmu_mut().write_physical(
                    amber_mmu::ViewId(0),
                    page * 4096 + 64,
                    &value.to_le_bytes(),
                );
            }
        }
    };
    for run in [1, 10, 100] {
        machine.rewind(&then);
        write(&mut machine, run, 500, 1);
        let a = save(&mut machine, &store, Some(base), &format!("a{run}"));
        machine.rewind(&then);
        write(&mut machine, run, 500, 2);
        let b = save(&mut machine, &store, Some(base), &format!("b{run}"));
        for _ in 0..3 {
            let started = Instant::now();
            let fresh = open(store.dir());
            let load = |id| -> Snapshot { fresh.load(id).expect("it is there") };
            let (a, b) = (load(a), load(b));
            let opened = started.elapsed();
            let started = Instant::now();
            let found = diff(&a, &b, &Rules::default()).expect("it can be read");
            let took = started.elapsed();
            let pages: usize = found.regions.iter().map(|region| region.pages.len()).sum();
            println!("runs of {run}: {pages} pages in {took:?}, after {opened:?} to open the store");
            assert!(took < Duration::from_millis(500) && pages <= 1000);
        }
    }
}
