//! `amber snapshot show`: what a snapshot is, and its fields.

use super::fields::Fields;
use super::snapshot::{Row, name_of, row};
use super::snapshot_args::ShowArgs;
use super::stores::Found;
use amber_snapshot::{Label, OwnedSection, Rules, decode, to_json};
use anyhow::{Result, bail};
use serde::Serialize;

/// Does what was asked; returns the exit code.
///
/// # Errors
/// When the snapshot or a section cannot be read.
pub fn run(found: &Found, args: &ShowArgs, json: bool) -> Result<i32> {
    if !args.fields && args.section.is_empty() {
        return summary(found, json);
    }
    let rules = Rules { only: args.section.clone(), ignore: Vec::new() };
    if json { fields_json(found, &rules) } else { fields(found, &rules) }
}

/// A snapshot as a line of the list.
pub(super) fn described(found: &Found) -> Row {
    let label = |(name, created): &(String, u64)| Label {
        name: name.clone(),
        snapshot: found.id.to_string(),
        created: *created,
    };
    let labels: Vec<Label> = found.label.iter().map(label).collect();
    row(found.id, &found.snapshot.manifest, &labels)
}

fn fields(found: &Found, rules: &Rules) -> Result<i32> {
    let mut any = false;
    for section in &found.snapshot.manifest.sections {
        let names = Fields::of(section);
        let mut lines: Vec<(String, String)> = Vec::new();
        decode(section)?.leaves(&section.path, &mut |path, value| {
            if rules.field(path) {
                lines.push((names.label(path), names.show(path, value, None)));
            }
        });
        if lines.is_empty() {
            continue;
        }
        println!(
            "{}{} ({}, version {})",
            if any { "\n" } else { "" },
            section.path,
            section.kind,
            section.version
        );
        any = true;
        let width = lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        lines.iter().for_each(|(label, value)| println!("  {label:width$}  {value}"));
    }
    if !any {
        bail!("no field fits; `amber snapshot show --fields` lists them all");
    }
    Ok(0)
}

/// The sections that have fields that fit, whole.
fn fields_json(found: &Found, rules: &Rules) -> Result<i32> {
    let mut object = serde_json::Map::new();
    for section in &found.snapshot.manifest.sections {
        let value = decode(section)?;
        let mut fits = rules.field(&section.path);
        value.leaves(&section.path, &mut |path, _| fits |= rules.field(path));
        if fits {
            let (kind, version, value) = (&section.kind, section.version, to_json(&value));
            let section_json = serde_json::json!({ "kind": kind, "version": version, "value": value });
            object.insert(section.path.clone(), section_json);
        }
    }
    if object.is_empty() {
        bail!("no field fits; `amber snapshot show --fields` lists them all");
    }
    println!("{}", serde_json::to_string_pretty(&object)?);
    Ok(0)
}

#[derive(Serialize)]
struct Description {
    #[serde(flatten)]
    row: Row,
    inputs: u64,
    /// Bytes of the small picture of the screen, PNG.
    thumbnail: Option<usize>,
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

fn summary(found: &Found, json: bool) -> Result<i32> {
    let Found { snapshot, .. } = found;
    let manifest = &snapshot.manifest;
    let section = |section: &OwnedSection| SectionRow {
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
        row: described(found),
        inputs: manifest.inputs,
        thumbnail: manifest.thumbnail.as_ref().map(Vec::len),
        sections: manifest.sections.iter().map(section).collect(),
        regions,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&description)?);
        return Ok(0);
    }
    let Description { row, inputs, thumbnail, sections, regions } = description;
    println!("name        {}\nid          {}", name_of(&row), row.id);
    println!("parent      {}", row.parent.as_deref().unwrap_or("none"));
    println!("step        {}\ntime        {:.9} s", row.step, row.time_ns as f64 / 1e9);
    println!("inputs      {inputs}\nstate-hash  {}", row.state_hash);
    if let Some(bytes) = thumbnail {
        println!("thumbnail   {bytes} bytes, PNG");
    }
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
