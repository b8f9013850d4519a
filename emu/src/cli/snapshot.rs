//! `amber snapshot`: what is in a store.

use super::snapshot_args::{Print, SnapshotArgs, SnapshotCommand};
use super::{ctl, diff, edit, export, show, stores};
use crate::machine::Machine;
use crate::progress::{bar, moving};
use amber_cpu::state::CpuSection;
use amber_snapshot::{Archive, Label, Manifest, Progress, Section, SnapshotId, Store};
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Digits of an id that a person is shown.
pub const SHORT: usize = 12;

/// Does what was asked; returns the exit code.
///
/// # Errors
/// One sentence.
pub fn run(args: &SnapshotArgs) -> Result<i32> {
    let store = || stores::open(args.store.as_deref());
    let find = |text: &str| stores::find(args.store.as_deref(), text);
    let json = |print: &Print| print.json || args.print.json;
    match &args.command {
        SnapshotCommand::Save { socket, name, print } => save(socket, name, json(print)),
        SnapshotCommand::Load { socket, snapshot, print } => load(socket, snapshot, json(print)),
        SnapshotCommand::List { print } => list(&store()?, json(print)),
        SnapshotCommand::Tree { print } => tree(&store()?, json(print)),
        SnapshotCommand::Show(show) => show::run(&find(&show.snapshot)?, show, json(&show.print)),
        SnapshotCommand::Diff(diff) => diff::run(args.store.as_deref(), diff, json(&diff.print)),
        SnapshotCommand::Edit(edit) => edit::run(args.store.as_deref(), edit, json(&edit.print)),
        SnapshotCommand::Export(to) => export::run(find(&to.snapshot)?, &to.to),
        SnapshotCommand::Import { file, name } => import(&store()?, file, name.as_deref()),
        SnapshotCommand::Verify { snapshots } => verify(&store()?, snapshots),
        SnapshotCommand::Rename { snapshot, name } => rename(&*store()?, snapshot, name).map(|()| 0),
        SnapshotCommand::Remove { snapshots } => remove(&store()?, snapshots),
        SnapshotCommand::Gc { print } => collect(&store()?, json(print)),
    }
}

/// Saves a machine that runs.
fn save(socket: &Path, name: &str, json: bool) -> Result<i32> {
    let saved = ctl::ask(socket, "save", json!({ "name": name }))?;
    if json {
        println!("{saved:#}");
        return Ok(0);
    }
    let id = saved["id"].as_str().unwrap_or("-");
    println!("{name}  {}  step {}, {} bytes", id.get(..SHORT).unwrap_or(id), saved["step"], saved["bytes"]);
    Ok(0)
}

/// Has a machine that runs go on from a snapshot.
fn load(socket: &Path, snapshot: &str, json: bool) -> Result<i32> {
    let status = ctl::ask(socket, "load", json!({ "snapshot": ctl::absolute(snapshot) }))?;
    if json {
        println!("{status:#}");
    } else {
        println!("{snapshot}  step {}", status["step"]);
    }
    Ok(0)
}

/// A snapshot as lists and trees show it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub id: String,
    pub names: Vec<String>,
    pub parent: Option<String>,
    /// Unix seconds at which it was named first.
    pub created: Option<u64>,
    pub step: u64,
    pub time_ns: u64,
    pub machine: String,
    pub memory: u64,
    pub cpus: u32,
    pub state_hash: String,
}

/// All snapshots of a store, the earliest named first.
///
/// # Errors
/// When a manifest or a name cannot be read.
pub fn rows(store: &Store) -> Result<Vec<Row>> {
    let mut labels: BTreeMap<String, Vec<Label>> = BTreeMap::new();
    for label in store.labels()? {
        labels.entry(label.snapshot.clone()).or_default().push(label);
    }
    let mut rows = Vec::new();
    for id in store.list()? {
        let labels = labels.remove(&id.to_string()).unwrap_or_default();
        rows.push(row(id, &store.manifest(id)?, &labels));
    }
    rows.sort_by(|a, b| (a.created, a.step, &a.id).cmp(&(b.created, b.step, &b.id)));
    Ok(rows)
}

pub(super) fn row(id: SnapshotId, manifest: &Manifest, labels: &[Label]) -> Row {
    let spec = Machine::spec_in(&manifest.sections).ok();
    Row {
        id: id.to_string(),
        names: labels.iter().map(|label| label.name.clone()).collect(),
        parent: manifest.parent.map(|parent| parent.to_string()),
        created: labels.iter().map(|label| label.created).min(),
        step: manifest.step,
        time_ns: manifest.time,
        machine: spec.as_ref().map_or_else(|| "?".into(), |spec| format!("{}, {}", spec.machine, spec.cpu)),
        memory: spec.as_ref().map_or(0, |spec| spec.memory),
        cpus: manifest.sections.iter().filter(|section| section.kind == CpuSection::KIND).count() as u32,
        state_hash: manifest.state_hash.to_string(),
    }
}

/// Its names.
pub fn name_of(row: &Row) -> String {
    if row.names.is_empty() { "-".into() } else { row.names.join(", ") }
}

fn list(store: &Arc<Store>, json: bool) -> Result<i32> {
    let rows = rows(store)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(0);
    }
    if rows.is_empty() {
        println!("no snapshots in {}", store.dir().display());
        return Ok(0);
    }
    let width = rows.iter().map(|row| name_of(row).chars().count()).max().unwrap_or(0).max(4);
    println!("{:width$}  {:SHORT$}  {:>15}  {:>12}  machine", "name", "id", "step", "time");
    for row in &rows {
        let machine = format!("{}, {} vCPU, {} MiB", row.machine, row.cpus, row.memory >> 20);
        let time = format!("{:.6} s", row.time_ns as f64 / 1e9);
        println!("{:width$}  {}  {:>15}  {time:>12}  {machine}", name_of(row), &row.id[..SHORT], row.step);
    }
    Ok(0)
}

fn tree(store: &Arc<Store>, json: bool) -> Result<i32> {
    let rows = rows(store)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(0);
    }
    let known: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let is_root = |row: &&Row| row.parent.as_deref().is_none_or(|parent| !known.contains(parent));
    for root in rows.iter().filter(is_root) {
        branch(&rows, root, 0);
    }
    Ok(0)
}

fn branch(rows: &[Row], row: &Row, depth: usize) {
    // Children may be as many generations deep as there are snapshots: no recursion.
    let mut left = vec![(row, depth)];
    while let Some((row, depth)) = left.pop() {
        let indent = "  ".repeat(depth);
        println!("{indent}{}  {}  step {}", name_of(row), &row.id[..SHORT], row.step);
        let children = rows.iter().filter(|child| child.parent.as_deref() == Some(row.id.as_str()));
        let at = left.len();
        left.extend(children.map(|child| (child, depth + 1)));
        left[at..].reverse();
    }
}

fn import(store: &Arc<Store>, file: &Path, name: Option<&str>) -> Result<i32> {
    let bar = bar("import");
    let (id, name) = import_as(store, file, name, &mut moving(&bar))?;
    bar.finish_and_clear();
    println!("{}  {}", name.as_deref().unwrap_or("-"), &id.to_string()[..SHORT]);
    Ok(0)
}

/// Puts the snapshot of a `.amber` file into a store, under `name` or the one it had there; it and its name.
///
/// # Errors
/// When the file is none or damaged, or the name is taken.
pub fn import_as(
    store: &Store,
    file: &Path,
    name: Option<&str>,
    progress: Progress,
) -> Result<(SnapshotId, Option<String>)> {
    let archive = Archive::open(file)?;
    let label = match (name, &archive.label) {
        (Some(name), label) => {
            Some((name.to_owned(), label.as_ref().map_or_else(now, |(_, created)| *created)))
        }
        (None, label) => label.clone(),
    };
    if let Some((name, _)) = &label
        && store.resolve(name).ok() != Some(archive.id)
    {
        store.check_name(name).context("give it another one with --name")?;
    }
    let id = archive.import(store, progress)?;
    if let Some((name, created)) = &label {
        store.name(name, id, *created, true)?;
    }
    Ok((id, label.map(|(name, _)| name)))
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn verify(store: &Arc<Store>, snapshots: &[String]) -> Result<i32> {
    let ids = match snapshots {
        [] => store.list()?,
        named => named.iter().map(|name| store.resolve(name)).collect::<Result<_, _>>()?,
    };
    for id in ids {
        let bar = bar("verify");
        store.verify(id, &mut moving(&bar))?;
        bar.finish_and_clear();
        println!("{id}: whole");
    }
    Ok(0)
}

/// Gives a snapshot another name.
///
/// # Errors
/// When there is no such snapshot, or the name is taken or is none.
pub fn rename(store: &Store, snapshot: &str, name: &str) -> Result<()> {
    let id = store.resolve(snapshot)?;
    let old: Vec<_> = store.labels()?.into_iter().filter(|label| label.snapshot == id.to_string()).collect();
    let created = old.iter().map(|label| label.created).min().unwrap_or_else(now);
    store.name(name, id, created, false)?;
    // Meant by a name, it loses that one; meant by its id, all.
    let by_name = old.iter().any(|label| label.name == snapshot);
    for label in old.iter().filter(|label| !by_name || label.name == snapshot) {
        store.unname(&label.name)?;
    }
    Ok(())
}

fn remove(store: &Arc<Store>, snapshots: &[String]) -> Result<i32> {
    for snapshot in snapshots {
        store.remove(store.resolve(snapshot)?)?;
    }
    Ok(0)
}

fn collect(store: &Arc<Store>, json: bool) -> Result<i32> {
    let bar = bar("gc");
    let collected = store.collect(&mut moving(&bar))?;
    bar.finish_and_clear();
    if json {
        println!("{}", json!({ "objects": collected.objects, "bytes": collected.bytes }));
    } else {
        println!("freed {} objects, {} bytes", collected.objects, collected.bytes);
    }
    Ok(0)
}
