//! `amber disk commit`: a snapshot's disk back into its image.

use super::size;
use crate::cli::disk_args::CommitArgs;
use crate::cli::snapshot::now;
use crate::cli::stores::{self, Found};
use crate::disk::{Base, Merged, Prepared, Purpose};
use crate::machine::{Machine, stored_disk};
use crate::progress;
use amber_snapshot::{SnapshotId, Store, StoreError};
use anyhow::{Context, Result, anyhow, bail};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Names of snapshots that a sentence lists.
const LISTED: usize = 3;

/// Does what was asked; returns the exit code.
///
/// # Errors
/// When the image is not the snapshot's, in use, needed by others, or cannot be written; it is as it was then.
pub fn run(store: Option<&Path>, args: &CommitArgs) -> Result<i32> {
    let found = stores::find(store, &args.which.snapshot)?;
    let (name, image) = (args.which.disk.as_deref(), args.which.image.as_deref());
    let merged = stored_disk(&found.snapshot, name, image, Purpose::Replace)?;
    let path = merged.base().path().to_owned();
    if merged.written() == 0 {
        println!("{}: the guest wrote nothing to {}", path.display(), merged.name());
        return Ok(0);
    }
    check_keep(args.keep.as_deref())?;
    let others = match &found.store {
        Some(store) => others(store, found.id, &merged)?,
        None => Vec::new(),
    };
    if !args.force && args.keep.is_none() && !others.is_empty() {
        bail!(
            "{}: {} need it as it is; --keep FILE keeps it for them, --force does not",
            path.display(),
            listed(&others)
        );
    }
    let target = args.save_as.as_ref().map(|name| -> Result<_> {
        let target = found.store.clone().map_or_else(|| stores::open(store), Ok)?;
        target.check_name(name)?;
        Ok((target, name))
    });
    let target = target.transpose()?;
    let bar = progress::bytes("commit", merged.len());
    let prepared = Prepared::new(&merged, &mut progress::moving(&bar))?;
    bar.finish_and_clear();
    // Saved before the image is in its place: a crash in between leaves the old snapshot over the old image.
    let saved = match &target {
        Some((target, _)) => Some(save_over(target, &found, &merged, prepared.base(&merged)?)?),
        None => None,
    };
    prepared.install(args.keep.as_deref())?;
    println!("{}: {} of {} written", path.display(), size(merged.written() * 4096), merged.name());
    if let (Some((target, name)), Some(id)) = (&target, saved) {
        target.name(name, id, now(), false)?;
        println!("{name}: {} over the new image", args.which.snapshot);
    }
    Ok(0)
}

fn check_keep(keep: Option<&Path>) -> Result<()> {
    match keep {
        Some(keep) if keep.exists() => {
            bail!("{}: it is there already; give --keep another name", keep.display())
        }
        _ => Ok(()),
    }
}

/// Saves the machine with its disk over the new image.
fn save_over(store: &Store, found: &Found, merged: &Merged, base: Arc<Base>) -> Result<SnapshotId> {
    let open = |image: &_, name: &str| {
        if name == merged.name() {
            Ok(Arc::clone(merged.base()))
        } else {
            Base::of_snapshot(image, None, name)
        }
    };
    let mut machine = Machine::load_over(found.snapshot.again(), open)?;
    if !machine.rebase(merged.name(), base) {
        return Err(anyhow!("the machine has no {}", merged.name()));
    }
    Ok(machine.freeze().save(store, Some(found.id)).context("--save-as")?.id)
}

/// Snapshots in the store, other than `but`, whose disks lie over the same image.
fn others(store: &Store, but: SnapshotId, merged: &Merged) -> Result<Vec<String>, StoreError> {
    let place = fs::canonicalize(merged.base().path()).ok();
    let labels = store.labels()?;
    let mut others = Vec::new();
    for id in store.list()?.into_iter().filter(|id| *id != but) {
        let manifest = store.manifest(id)?;
        let mut bases = manifest.regions.iter().filter_map(|table| table.base.as_ref());
        if bases.any(|base| base.hash == merged.base().hash() && fs::canonicalize(&base.path).ok() == place) {
            let label = labels.iter().find(|label| label.snapshot == id.to_string());
            others.push(label.map_or_else(|| id.to_string()[..12].to_owned(), |label| label.name.clone()));
        }
    }
    Ok(others)
}

fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(LISTED)].join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => format!("other snapshots ({shown})"),
        more => format!("other snapshots ({shown} and {more} more)"),
    }
}
