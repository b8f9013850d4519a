//! Two snapshots of 1 GiB laid side by side, and a core file of one.

use super::{Figures, Target, guest, median, timed};
use crate::cli::snapshot_args::{DiffArgs, Print};
use crate::cli::{diff, stores};
use crate::machine::Machine;
use crate::vmcore;
use amber_snapshot::{SnapshotId, Store};
use anyhow::{Context, Result};
use std::path::Path;

const MEMORY: u64 = 1 << 30;
const CHANGED: u64 = 1_000;
const RUN: u64 = 100;
const ROUNDS: usize = 9;
const CORES: usize = 3;

/// Measures diffs and core files of machines with 1 GiB of RAM that repeats what `machine` has in its own.
///
/// # Errors
/// When the temporary folder cannot be written.
pub fn measure(machine: &Machine, figures: &mut Figures) -> Result<()> {
    let folder = tempfile::tempdir().context("no folder for a store to measure with")?;
    let store = folder.path().join("store");
    let (mut large, used) = repeated(machine)?;
    let before = keep(&mut large, &store, "before", None)?;
    let mut child = |name, pages: &[u64], value: u64| -> Result<()> {
        for page in pages {
            guest::write(&mut large, *page, 64 + page % 400 * 8, &(value | page).to_le_bytes());
        }
        keep(&mut large, &store, name, Some(before)).map(|_| ())
    };
    let scattered = spread(&used, 1);
    child("one", &scattered, 1 << 32)?;
    child("other", &scattered, 2 << 32)?;
    child("runs", &spread(&used, RUN), 3 << 32)?;
    let pairs = [
        ("diff", "scattered, of two children", "one", "other"),
        ("diff-parent", "scattered, of parent and child", "before", "one"),
        ("diff-runs", "in runs of 100, of child and child's child", "other", "runs"),
    ];
    for (name, how, a, b) in pairs {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let (text, took) = timed(|| shown(&store, a, b));
            text?;
            times.push(took);
        }
        let what = format!("diff of two 1 GiB snapshots, 1,000 pages {how}");
        figures.time(name, &what, median(&mut times), Target::AtMost(10.0));
    }
    cores(&store, folder.path(), figures)
}

/// A machine of 1 GiB whose RAM repeats that of `machine`, no two pages the same; and its pages that are not zero.
fn repeated(machine: &Machine) -> Result<(Machine, Vec<u64>)> {
    let mut large = guest::of_size(MEMORY)?;
    let mut used = Vec::new();
    for page in 0..guest::pages(&large) {
        let mut bytes = guest::read(machine, page % guest::pages(machine));
        if bytes.iter().any(|byte| *byte != 0) {
            bytes[..8].copy_from_slice(&page.to_le_bytes());
            guest::write(&mut large, page, 0, &bytes);
            used.push(page);
        }
    }
    // The embedded monitor uses little memory: there, pages that hold little else than their number.
    if used.len() < 4 * CHANGED as usize {
        for page in (0..guest::pages(&large)).step_by(64).skip(1) {
            guest::write(&mut large, page, 0, &page.to_le_bytes());
            used.push(page);
        }
    }
    used.sort_unstable();
    used.dedup();
    Ok((large, used))
}

/// [`CHANGED`] of the pages, in runs spread over all.
fn spread(used: &[u64], run: u64) -> Vec<u64> {
    let runs = CHANGED / run;
    let start = |n: u64| (n * (used.len() as u64 - run) / runs) as usize;
    (0..runs).flat_map(|n| used[start(n)..start(n) + run as usize].to_vec()).collect()
}

fn keep(machine: &mut Machine, store: &Path, name: &str, parent: Option<SnapshotId>) -> Result<SnapshotId> {
    let store = Store::open(store)?;
    let mut frozen = machine.freeze();
    let id = frozen.save(&store, parent)?.id;
    machine.adopt_trees(frozen);
    store.name(name, id, 0, false)?;
    Ok(id)
}

/// What `amber snapshot diff --hex` prints.
fn shown(store: &Path, a: &str, b: &str) -> Result<String> {
    let (found_a, found_b) = stores::find_two(Some(store), a, b)?;
    let args = DiffArgs {
        a: a.to_owned(),
        b: b.to_owned(),
        only: Vec::new(),
        ignore: Vec::new(),
        symbols: None,
        hex: true,
        limit: 64,
        html: None,
        exit_code: false,
        print: Print::default(),
    };
    diff::text_of(&found_a, &found_b, &args)
}

fn cores(store: &Path, folder: &Path, figures: &mut Figures) -> Result<()> {
    let mut times = Vec::new();
    for n in 0..CORES {
        // To overwrite one would be to wait for the host to free it.
        let file = folder.join(format!("core{n}"));
        let (written, took) = timed(|| -> Result<_> {
            let found = stores::find(Some(store), "before")?;
            let out = std::fs::File::create(&file)?;
            Ok(vmcore::write(&found.snapshot, &out, &mut |_, _| {})?)
        });
        written?;
        times.push(took);
    }
    figures.time("vmcore", "export of a core file, per GiB", median(&mut times), Target::AtMost(500.0));
    Ok(())
}
