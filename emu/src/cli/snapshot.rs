//! `amber snapshot`: what is in a store.

use super::snapshot_args::{SnapshotArgs, SnapshotCommand};
use super::stores::{self, Found};
use crate::machine::Machine;
use amber_snapshot::{Archive, Label, Manifest, SnapshotId, Store, export};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Digits of an id that a person is shown.
const SHORT: usize = 12;

/// Does what was asked; returns the exit code.
///
/// # Errors
/// One sentence.
pub fn run(args: &SnapshotArgs) -> Result<i32> {
    let store = || stores::open(args.store.as_deref());
    let find = |text: &str| stores::find(args.store.as_deref(), text);
    match &args.command {
        SnapshotCommand::List => list(&store()?, args.json),
        SnapshotCommand::Tree => tree(&store()?, args.json),
        SnapshotCommand::Show { snapshot } => show(&find(snapshot)?, args.json),
        SnapshotCommand::Export { snapshot, file } => export_to(find(snapshot)?, file),
        SnapshotCommand::Import { file, name } => import(&store()?, file, name.as_deref()),
        SnapshotCommand::Verify { snapshots } => verify(&store()?, snapshots),
        SnapshotCommand::Rename { snapshot, name } => rename(&store()?, snapshot, name),
        SnapshotCommand::Remove { snapshots } => remove(&store()?, snapshots),
        SnapshotCommand::Gc => collect(&store()?, args.json),
    }
}

/// A line of the list.
#[derive(Serialize)]
struct Row {
    id: String,
    names: Vec<String>,
    parent: Option<String>,
    /// Unix seconds at which it was named first.
    created: Option<u64>,
    step: u64,
    time_ns: u64,
    machine: String,
    memory: u64,
    cpus: u32,
    state_hash: String,
}

fn rows(store: &Store) -> Result<Vec<Row>> {
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

fn row(id: SnapshotId, manifest: &Manifest, labels: &[Label]) -> Row {
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
        cpus: spec.as_ref().map_or(0, |spec| spec.cpus),
        state_hash: manifest.state_hash.to_string(),
    }
}

fn name_of(row: &Row) -> String {
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

#[derive(Serialize)]
struct Description {
    #[serde(flatten)]
    row: Row,
    inputs: u64,
    sections: Vec<SectionRow>,
    regions: Vec<RegionRow>,
}

#[derive(Serialize)]
struct SectionRow {
    path: String,
    kind: String,
    version: u32,
    bytes: usize,
}

#[derive(Serialize)]
struct RegionRow {
    name: String,
    pages: u64,
    /// Pages with bytes of their own.
    own: u64,
    /// Image that has the bytes of the others.
    base: Option<String>,
}

fn show(found: &Found, json: bool) -> Result<i32> {
    let Found { id, snapshot, label, .. } = found;
    let manifest = &snapshot.manifest;
    let labels: Vec<Label> = label
        .iter()
        .map(|(name, created)| Label { name: name.clone(), snapshot: id.to_string(), created: *created })
        .collect();
    let section = |section: &amber_snapshot::OwnedSection| SectionRow {
        path: section.path.clone(),
        kind: section.kind.clone(),
        version: section.version,
        bytes: section.bytes.len(),
    };
    let mut regions = Vec::new();
    for table in &manifest.regions {
        let tree = table.tree(&snapshot.objects, 1)?;
        let own = tree.groups().flat_map(|(_, ids)| ids).filter(|id| **id != tree.absent()).count() as u64;
        let base = table.base.as_ref().map(|base| base.path.clone());
        regions.push(RegionRow { name: table.name.clone(), pages: table.pages, own, base });
    }
    let description = Description {
        row: row(*id, manifest, &labels),
        inputs: manifest.inputs,
        sections: manifest.sections.iter().map(section).collect(),
        regions,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&description)?);
        return Ok(0);
    }
    let Description { row, inputs, sections, regions } = description;
    println!("name        {}\nid          {}", name_of(&row), row.id);
    println!("parent      {}", row.parent.as_deref().unwrap_or("none"));
    println!("step        {}\ntime        {:.9} s", row.step, row.time_ns as f64 / 1e9);
    println!("inputs      {inputs}\nstate-hash  {}", row.state_hash);
    println!("machine     {}, {} vCPU, {} MiB\n", row.machine, row.cpus, row.memory >> 20);
    for region in &regions {
        let base = region.base.as_ref().map_or_else(String::new, |base| format!(" over {base}"));
        println!(
            "region {:12} {:>8} pages, {:>8} with bytes of their own{base}",
            region.name, region.pages, region.own
        );
    }
    println!();
    for section in &sections {
        println!("{:28} {} {}, {} bytes", section.path, section.kind, section.version, section.bytes);
    }
    Ok(0)
}

/// A bar that is drawn only at a terminal.
fn bar(what: &str) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target).with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar
}

fn moving(bar: &ProgressBar) -> impl FnMut(u64, u64) + '_ {
    |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    }
}

fn export_to(found: Found, file: &Path) -> Result<i32> {
    let bar = bar("export");
    let amber_snapshot::Snapshot { manifest, objects } = &found.snapshot;
    let bytes = export(manifest, objects, found.label, file, &mut moving(&bar))?;
    bar.finish_and_clear();
    println!("{}: {bytes} bytes", file.display());
    Ok(0)
}

fn import(store: &Arc<Store>, file: &Path, name: Option<&str>) -> Result<i32> {
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
    let bar = bar("import");
    let id = archive.import(store, &mut moving(&bar))?;
    bar.finish_and_clear();
    if let Some((name, created)) = &label {
        store.name(name, id, *created, true)?;
    }
    println!("{}  {}", label.map_or_else(|| "-".into(), |(name, _)| name), &id.to_string()[..SHORT]);
    Ok(0)
}

fn now() -> u64 {
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

fn rename(store: &Arc<Store>, snapshot: &str, name: &str) -> Result<i32> {
    let id = store.resolve(snapshot)?;
    let old: Vec<_> = store.labels()?.into_iter().filter(|label| label.snapshot == id.to_string()).collect();
    let created = old.iter().map(|label| label.created).min().unwrap_or_else(now);
    store.name(name, id, created, false)?;
    // Meant by a name, it loses that one; meant by its id, all.
    let by_name = old.iter().any(|label| label.name == snapshot);
    for label in old.iter().filter(|label| !by_name || label.name == snapshot) {
        store.unname(&label.name)?;
    }
    Ok(0)
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
        println!("{}", serde_json::json!({ "objects": collected.objects, "bytes": collected.bytes }));
    } else {
        println!("freed {} objects, {} bytes", collected.objects, collected.bytes);
    }
    Ok(0)
}
