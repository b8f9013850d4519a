//! `amber bench snapshot`: what freezing, saving, loading, forking and resetting cost here.

use super::snapshot_args::BenchArgs;
use super::{build, stores};
use crate::machine::{HostIo, Machine};
use amber_mmu::{PAGE, ViewId};
use amber_snapshot::{Archive, Snapshot, Store, export};
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const FORKS: usize = 200;
const RESETS: usize = 5_000;
const RESET_PAGES: u64 = 100;
const INCREMENT: u64 = 64 << 20;

/// A measured figure.
#[derive(Serialize)]
struct Figure {
    what: &'static str,
    value: f64,
    unit: &'static str,
}

/// Nobody listens to a machine that is measured.
struct Silent;

impl HostIo for Silent {
    fn serial_output(&mut self, _port: u8, _byte: u8) {}
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        true
    }
}

/// Measures and prints; returns the exit code.
///
/// # Errors
/// When the snapshot to measure with cannot be read, or the temporary store not be written.
pub fn run(args: &BenchArgs) -> Result<i32> {
    let mut machine = match &args.from {
        Some(from) => Machine::load(stores::find(args.store.as_deref(), from)?.snapshot)?,
        None => build::machine(&crate::config::MachineConfig::default())?,
    };
    for pages in machine.mmu().pending() {
        pages.complete();
    }
    let folder = tempfile::tempdir().context("no folder for a store to measure with")?;
    let store = Arc::new(Store::open(folder.path())?);
    let mut figures = Vec::new();
    let mut figure = |what, value, unit| figures.push(Figure { what, value, unit });

    let (mut frozen, pause) = timed(|| machine.freeze());
    let (saved, took) = timed(|| frozen.save(&store, None));
    let full = saved?;
    machine.adopt_trees(frozen);
    figure("full save: pause", millis(pause), "ms");
    figure("full save: until it is on the disk", millis(took), "ms");
    figure("full save: bytes written", full.written as f64 / 1e6, "MB");

    dirty(&mut machine, INCREMENT / PAGE, 1);
    let (mut frozen, pause) = timed(|| machine.freeze());
    let (saved, took) = timed(|| frozen.save(&store, Some(full.id)));
    let increment = saved?;
    machine.adopt_trees(frozen);
    figure("save with 64 MiB written since: pause", millis(pause), "ms");
    figure("save with 64 MiB written since: until it is on the disk", millis(took), "ms");

    let Snapshot { manifest, objects } = store.load(full.id)?;
    let file = folder.path().join("full.amber");
    let (size, took) = timed(|| export(&manifest, &objects, None, &file, &mut |_, _| {}));
    figure("export", millis(took), "ms");
    figure("export: file", size? as f64 / 1e6, "MB");

    uncached(&file);
    let (loaded, took) = timed(|| -> Result<Machine> {
        let mut loaded = Machine::load(Archive::open(&file)?.snapshot)?;
        let next = loaded.step() + 1;
        loaded.run(next, &mut Silent, true);
        Ok(loaded)
    });
    figure("cold file to first instruction", millis(took), "ms");
    drop(loaded?);
    drop(store.load(increment.id)?);

    let frozen = machine.freeze();
    let mut forks = Vec::new();
    for _ in 0..FORKS {
        let (fork, took) = timed(|| -> Result<Machine> {
            let mut fork = Machine::fork(&frozen)?;
            let next = fork.step() + 1;
            fork.run(next, &mut Silent, true);
            Ok(fork)
        });
        drop(fork?);
        forks.push(took);
    }
    forks.sort();
    figure("fork in memory and run an instruction: median", millis(forks[FORKS / 2]), "ms");
    figure("fork in memory and run an instruction: 99 of 100 within", millis(forks[FORKS * 99 / 100]), "ms");

    let mut fork = Machine::fork(&frozen)?;
    let mut resetting = Duration::ZERO;
    for round in 0..RESETS {
        dirty(&mut fork, RESET_PAGES, round as u64);
        resetting += timed(|| fork.rewind(&frozen)).1;
    }
    figure("resets at 100 written pages", RESETS as f64 / resetting.as_secs_f64(), "per s");
    figure("host memory of the frames", machine.mmu().host_bytes() as f64 / 1e6, "MB");
    print(&figures, args.json)
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = act();
    (result, start.elapsed())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Writes to `pages` pages in the upper half of RAM, spread out.
fn dirty(machine: &mut Machine, pages: u64, value: u64) {
    let all = machine.region_pages("ram").unwrap_or(1);
    let stride = (all / 2 / pages).max(1);
    for page in 0..pages {
        let at = (all / 2 + page * stride % (all / 2).max(1)) * PAGE;
        let bytes = (value << 32 | page | 1).to_le_bytes();
        machine.mmu_mut().write_physical(ViewId(0), at + value % 500 * 8, &bytes);
    }
}

/// Has the host forget what it cached of a file.
fn uncached(file: &Path) {
    if let Ok(file) = std::fs::File::open(file) {
        let _ = file.sync_all();
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
}

fn print(figures: &[Figure], json: bool) -> Result<i32> {
    if json {
        println!("{}", serde_json::to_string_pretty(figures)?);
        return Ok(0);
    }
    let width = figures.iter().map(|figure| figure.what.len()).max().unwrap_or(0);
    for Figure { what, value, unit } in figures {
        println!("{what:width$}  {value:>12.3} {unit}");
    }
    Ok(0)
}
