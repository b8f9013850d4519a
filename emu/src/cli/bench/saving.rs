//! Saving to a store and to a file, and going on from that.

use super::{Figures, PAGE, Silent, Target, guest, median, timed};
use crate::machine::Machine;
use amber_snapshot::{Archive, Saved, Snapshot, SnapshotId, Store, export};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const INCREMENT: u64 = 64 << 20;
const NOISE: u64 = 200 << 20;
const ROUNDS: usize = 5;
/// The guest for which there is a figure of QEMU's: Debian idle at a shell in so much memory.
const IDLE_GUEST: u64 = 512 << 20;
/// Half of that figure (QEMU 7.2, migration to a file).
const IDLE_FILE: f64 = 44.5;

/// Measures what a save costs, whole and in part, and what to begin with a file does.
///
/// # Errors
/// When the temporary folder cannot be written.
pub fn measure(machine: &mut Machine, figures: &mut Figures) -> Result<()> {
    let folder = tempfile::tempdir().context("no folder for a store to measure with")?;
    let store = Arc::new(Store::open(&folder.path().join("store"))?);
    let (full, pause, took) = save(machine, &store, None)?;
    figures.time("full-save-pause", "full save: pause", pause, Target::AtMost(100.0));
    figures.time("full-save", "full save: until it is on the disk", took, Target::None);
    figures.add("full-save-bytes", "full save: bytes written", mb(full.written), "MB", Target::None);
    increments(machine, &store, full.id, figures)?;
    noise(machine, &folder.path().join("noise"), figures)?;
    file(machine, &store, full.id, &folder.path().join("full.amber"), figures)
}

/// What was saved, the pause, and the time until it was on the disk.
fn save(
    machine: &mut Machine,
    store: &Store,
    parent: Option<SnapshotId>,
) -> Result<(Saved, Duration, Duration)> {
    let (mut frozen, pause) = timed(|| machine.freeze());
    let (saved, took) = timed(|| frozen.save(store, parent));
    let saved = saved?;
    machine.adopt_trees(frozen);
    Ok((saved, pause, took))
}

fn increments(machine: &mut Machine, store: &Store, full: SnapshotId, figures: &mut Figures) -> Result<()> {
    let (mut pauses, mut times) = (Vec::new(), Vec::new());
    let mut parent = full;
    for round in 0..ROUNDS as u64 {
        guest::dirty(machine, INCREMENT / PAGE, round);
        let (saved, pause, took) = save(machine, store, Some(parent))?;
        parent = saved.id;
        pauses.push(pause);
        times.push(took);
    }
    let what = "save with 64 MiB written since";
    let name = "increment-pause";
    figures.time(name, &format!("{what}: pause"), median(&mut pauses), Target::AtMost(10.0));
    let until = format!("{what}: until it is on the disk");
    figures.time("increment", &until, median(&mut times), Target::None);
    Ok(())
}

/// A full save of the guest with random data in its memory.
fn noise(machine: &mut Machine, folder: &Path, figures: &mut Figures) -> Result<()> {
    let mut fork = Machine::fork(&machine.freeze())?;
    let bytes = NOISE.min(guest::pages(&fork) / 2 * PAGE);
    guest::fill(&mut fork, bytes);
    let store = Store::open(folder)?;
    let (_, pause, took) = save(&mut fork, &store, None)?;
    let what = format!("full save with {} MiB of random data", bytes >> 20);
    figures.time("random-save-pause", &format!("{what}: pause"), pause, Target::AtMost(100.0));
    figures.time("random-save", &format!("{what}: until it is on the disk"), took, Target::None);
    Ok(())
}

/// The guest in one file, and from there to its next instruction.
fn file(
    machine: &Machine,
    store: &Arc<Store>,
    id: SnapshotId,
    file: &Path,
    figures: &mut Figures,
) -> Result<()> {
    let Snapshot { manifest, objects } = store.load(id)?;
    let (size, took) = timed(|| export(&manifest, &objects, None, file, &mut |_, _| {}));
    figures.time("export", "export to a file", took, Target::None);
    let idle_guest = guest::pages(machine) * PAGE == IDLE_GUEST;
    let target = if idle_guest { Target::AtMost(IDLE_FILE) } else { Target::None };
    figures.add("file", "exported file", mb(size?), "MB", target);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        if !uncached(file) {
            return Ok(());
        }
        let (loaded, took) = timed(|| first_instruction(file));
        drop(loaded?);
        times.push(took);
    }
    let what = "file the host has not cached, to the first instruction";
    figures.time("cold-start", what, median(&mut times), Target::AtMost(20.0));
    Ok(())
}

fn first_instruction(file: &Path) -> Result<Machine> {
    let mut loaded = Machine::load(Archive::open(file)?.snapshot)?;
    let next = loaded.step() + 1;
    loaded.run(next, &mut Silent, true);
    Ok(loaded)
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Has the host forget what it cached of a file; whether it can be told to.
#[cfg(unix)]
fn uncached(file: &Path) -> bool {
    std::fs::File::open(file).is_ok_and(|file| {
        let _ = file.sync_all();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).is_ok()
    })
}

#[cfg(windows)]
fn uncached(_: &Path) -> bool {
    false
}
