//! `amber snapshot diff`: what differs between two snapshots.

mod code;
mod html;
mod json;
mod picture;
mod table;
mod text;

use super::export::whole;
use super::snapshot_args::DiffArgs;
use super::stores::{self, Found};
use crate::machine::{Machine, RamLayout};
use crate::symbols::Symbols;
use amber_snapshot::{Diff, ObjectId, PageDiff, Pattern, RegionDiff, Rules, Snapshot, decode, diff};
use anyhow::{Context, Result, bail};
use code::{CodeChange, CodePage};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
pub use table::{Table, TableOfPages, TableOfSection};

const PAGE: u64 = 4096;

/// What is shown of two snapshots, in whatever form.
struct Report<'a> {
    a: &'a Found,
    b: &'a Found,
    diff: &'a Diff<'a>,
    /// Of the regions of `diff`, in the same order.
    regions: Vec<RegionView<'a>>,
    symbols: Option<&'a Symbols>,
}

/// What is shown of a region.
struct RegionView<'a> {
    diff: &'a RegionDiff<'a>,
    layout: Option<RamLayout>,
    /// The first of its pages that differ.
    pages: Vec<PageView>,
}

/// What is shown of a page.
struct PageView {
    /// Its address: guest-physical for RAM, else the offset in the region.
    address: u64,
    /// Linear address, if it is code.
    code: Option<CodePage>,
    /// Its bytes; none where they are those of a disk's image.
    a: Option<Box<[u8; PAGE as usize]>>,
    b: Option<Box<[u8; PAGE as usize]>>,
    ranges: Vec<Range<u16>>,
    changes: Vec<CodeChange>,
}

impl RegionView<'_> {
    fn address(&self, offset: u64) -> u64 {
        self.layout.map_or(offset, |layout| layout.address(offset))
    }

    /// Runs of pages that differ, with the bytes that do.
    fn runs(&self) -> Vec<(Range<u64>, u64)> {
        let mut runs: Vec<(Range<u64>, u64)> = Vec::new();
        for page in &self.diff.pages {
            let bytes: u64 = page.ranges.iter().map(|range| range.len() as u64).sum();
            let start = self.address(page.page * PAGE);
            match runs.last_mut() {
                Some((run, sum)) if run.end == start => (run.end, *sum) = (start + PAGE, *sum + bytes),
                _ => runs.push((start..start + PAGE, bytes)),
            }
        }
        runs
    }
}

/// Does what was asked; returns the exit code.
///
/// # Errors
/// When a snapshot cannot be read.
pub fn run(store: Option<&Path>, args: &DiffArgs, json: bool) -> Result<i32> {
    let (a, b) = stores::find_two(store, &args.a, &args.b)?;
    let rules = Rules { only: args.only.clone(), ignore: args.ignore.clone() };
    check(&rules, &a.snapshot, &b.snapshot)?;
    with_report(&a, &b, args, |report| {
        if let Some(file) = &args.html {
            let page = html::page(report);
            let bytes = whole(file, |out| Ok(out.write_all(page.as_bytes()).map(|()| page.len() as u64)?))?;
            println!("{}: {bytes} bytes", file.display());
        } else if json {
            println!("{}", serde_json::to_string_pretty(&json::report(report))?);
        } else {
            print!("{}", text::report(report));
        }
        Ok(i32::from(args.exit_code && !report.diff.is_empty()))
    })
}

/// What differs, for people to read.
///
/// # Errors
/// When a snapshot cannot be read.
pub fn text_of(a: &Found, b: &Found, args: &DiffArgs) -> Result<String> {
    with_report(a, b, args, |report| Ok(text::report(report)))
}

/// What differs, as JSON.
///
/// # Errors
/// When a snapshot cannot be read.
pub fn json_of(a: &Found, b: &Found, args: &DiffArgs) -> Result<serde_json::Value> {
    with_report(a, b, args, |report| Ok(json::report(report)))
}

/// What differs, as tables.
///
/// # Errors
/// When a snapshot cannot be read.
pub fn table_of(a: &Found, b: &Found, args: &DiffArgs) -> Result<Table> {
    with_report(a, b, args, |report| Ok(table::report(report)))
}

fn with_report<R>(
    a: &Found,
    b: &Found,
    args: &DiffArgs,
    show: impl FnOnce(&Report) -> Result<R>,
) -> Result<R> {
    let symbols = args.symbols.as_deref().map(Symbols::from_file).transpose()?;
    let rules = Rules { only: args.only.clone(), ignore: args.ignore.clone() };
    let diff = diff(&a.snapshot, &b.snapshot, &rules)?;
    let code = if args.hex { BTreeMap::new() } else { code_in(&diff, [a, b], symbols.as_ref()) };
    let region = |region| view(region, &a.snapshot, &b.snapshot, &code, symbols.as_ref(), args.limit);
    let regions = diff.regions.iter().map(region).collect::<Result<_>>()?;
    show(&Report { a, b, diff: &diff, regions, symbols: symbols.as_ref() })
}

/// A pattern that fits nothing is a slip of the pen.
///
/// # Errors
/// Names the pattern.
pub fn check(rules: &Rules, a: &Snapshot, b: &Snapshot) -> Result<()> {
    let fits = |pattern: &Pattern| {
        let only = Rules { only: vec![pattern.clone()], ignore: Vec::new() };
        [a, b].iter().any(|snapshot| {
            let manifest = &snapshot.manifest;
            let region = |len: u64, name: &str| !only.bytes(name, len.saturating_mul(PAGE)).is_empty();
            manifest.regions.iter().any(|table| region(table.pages, &table.name))
                || manifest.sections.iter().any(|section| {
                    let mut found = only.field(&section.path);
                    if let (false, Ok(value)) = (found, decode(section)) {
                        value.leaves(&section.path, &mut |path, _| found |= only.field(path));
                    }
                    found
                })
        })
    };
    for (option, patterns) in [("--only", &rules.only), ("--ignore", &rules.ignore)] {
        if let Some(pattern) = patterns.iter().find(|pattern| !fits(pattern)) {
            bail!("{option} {pattern}: no field and no region of either snapshot fits");
        }
    }
    Ok(())
}

/// The pages of RAM that differ and are code, as far as this build can run the machines.
fn code_in(diff: &Diff, sides: [&Found; 2], symbols: Option<&Symbols>) -> BTreeMap<u64, CodePage> {
    let ram = diff.regions.iter().find(|region| region.name == "ram");
    let wanted: BTreeSet<u64> = ram.iter().flat_map(|ram| &ram.pages).map(|page| page.page).collect();
    let mut found = BTreeMap::new();
    for side in sides.into_iter().filter(|_| !wanted.is_empty()) {
        match Machine::load(side.snapshot.again()) {
            Ok(machine) => code::code_pages(&machine, &wanted, symbols, &mut found),
            Err(error) => tracing::debug!(target: "snapshot", "no code of {}: {error}", side.id),
        }
    }
    found
}

fn view<'a>(
    diff: &'a RegionDiff<'a>,
    a: &Snapshot,
    b: &Snapshot,
    code: &BTreeMap<u64, CodePage>,
    symbols: Option<&Symbols>,
    limit: usize,
) -> Result<RegionView<'a>> {
    let ram = diff.name == "ram";
    let spec = [a, b].into_iter().find_map(|side| Machine::spec_in(&side.manifest.sections).ok());
    let layout = spec.filter(|_| ram).and_then(|spec| RamLayout::of(&spec).ok());
    let mut view = RegionView { diff, layout, pages: Vec::new() };
    for page in diff.pages.iter().take(limit) {
        let code = code.get(&page.page).copied().filter(|_| ram);
        view.pages.push(page_view(page, view.address(page.page * PAGE), a, b, code, symbols)?);
    }
    Ok(view)
}

fn page_view(
    page: &PageDiff,
    address: u64,
    a: &Snapshot,
    b: &Snapshot,
    code: Option<CodePage>,
    symbols: Option<&Symbols>,
) -> Result<PageView> {
    let read = |id: ObjectId, side: &Snapshot| {
        let mut bytes = Box::new([0; PAGE as usize]);
        match id {
            ObjectId::ABSENT => return Ok(None),
            ObjectId::ZERO => {}
            id => side.objects.page(id, &mut bytes).context("a page that differs")?,
        }
        anyhow::Ok(Some(bytes))
    };
    let (a, b) = (read(page.a, a)?, read(page.b, b)?);
    let changes = match (code, &a, &b) {
        (Some(code), Some(a), Some(b)) => code::changes(code, &a[..], &b[..], &page.ranges, symbols),
        _ => Vec::new(),
    };
    Ok(PageView { address, code, a, b, ranges: page.ranges.clone(), changes })
}

/// `1 page`, `2 pages`.
pub fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The first sentence of a report.
fn summary(report: &Report) -> String {
    if report.diff.is_empty() {
        return "nothing differs".to_owned();
    }
    let fields: u64 = report.diff.sections.iter().map(|section| section.fields.len() as u64).sum();
    let pages: u64 = report.diff.regions.iter().map(|region| region.pages.len() as u64).sum();
    let bytes: u64 = report.diff.regions.iter().map(RegionDiff::bytes).sum();
    format!(
        "{} in {} and {} in {} differ ({})",
        count(fields, "field"),
        count(report.diff.sections.len() as u64, "section"),
        count(pages, "page"),
        count(report.diff.regions.len() as u64, "region"),
        count(bytes, "byte")
    )
}

/// What to say of a section besides its fields.
fn remark(section: &amber_snapshot::SectionDiff) -> Option<String> {
    match (section.a, section.b) {
        (Some(_), None) => Some("only in a".to_owned()),
        (None, Some(_)) => Some("only in b".to_owned()),
        (Some(a), Some(b)) if (&a.kind, a.version) != (&b.kind, b.version) => {
            Some(format!("a: {} version {}, b: {} version {}", a.kind, a.version, b.kind, b.version))
        }
        _ => section.unreadable.as_ref().map(|why| format!("its bytes differ; {why}")),
    }
}

/// What to say of a region besides its pages.
fn region_remarks(region: &RegionDiff) -> Vec<String> {
    let pages = |table: Option<&amber_snapshot::RegionTable>| table.map(|table| table.pages);
    let mut remarks = Vec::new();
    match (pages(region.a), pages(region.b)) {
        (Some(_), None) => remarks.push("only in a".to_owned()),
        (None, Some(_)) => remarks.push("only in b".to_owned()),
        (Some(a), Some(b)) if a != b => remarks.push(format!("{a} pages in a, {b} pages in b")),
        _ => {}
    }
    if region.a.is_some() && region.b.is_some() && region.bases_differ() {
        remarks.push("the images under the overlays are not the same".to_owned());
    }
    remarks
}
