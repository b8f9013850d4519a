//! A diff for people to read.

use super::{PAGE, PageView, RegionView, Report, count, region_remarks, remark, summary};
use crate::cli::fields::Fields;
use crate::cli::snapshot::SHORT;
use crate::cli::stores::Found;
use crate::symbols::Symbols;
use amber_snapshot::{FieldDiff, RegionDiff, SectionDiff};
use std::fmt::Write;

/// Runs of pages that are listed before the bytes.
const RUNS: usize = 200;
/// Widest first value that the second one stands beside.
const BESIDE: usize = 44;

/// The whole report.
pub fn report(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "a  {}\nb  {}\n{}", side(report.a), side(report.b), summary(report));
    for found in &report.diff.sections {
        section(&mut text, found, report.symbols);
    }
    for found in &report.regions {
        region(&mut text, found, report.symbols);
    }
    text
}

pub fn side(found: &Found) -> String {
    let manifest = &found.snapshot.manifest;
    let name = found.label.as_ref().map_or("-", |(name, _)| name);
    let id = found.id.to_string();
    format!("{name}  {}  step {}  {:.9} s", &id[..SHORT], manifest.step, manifest.time as f64 / 1e9)
}

fn section(text: &mut String, section: &SectionDiff, symbols: Option<&Symbols>) {
    let Some(known) = section.a.or(section.b) else { return };
    let names = Fields::of(known);
    let _ = write!(text, "\n{} ({})", section.path, known.kind);
    let _ = match remark(section) {
        Some(remark) => writeln!(text, ": {remark}"),
        None => writeln!(text),
    };
    let rows: Vec<_> = section.fields.iter().map(|field| row(field, &names, symbols)).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, value) = (widest(0), widest(1).min(BESIDE));
    for [label, a, b] in &rows {
        if a.chars().count() <= value {
            let _ = writeln!(text, "  {label:name$}  {a:value$}  -> {b}");
        } else {
            let _ = writeln!(text, "  {label:name$}  {a}\n  {:name$}  -> {b}", "");
        }
    }
}

pub fn row(field: &FieldDiff, names: &Fields, symbols: Option<&Symbols>) -> [String; 3] {
    let show = |value: &Option<amber_snapshot::Value>| match value {
        Some(value) => names.show(&field.path, value, symbols),
        None => "absent".to_owned(),
    };
    let bits = field.a.as_ref().zip(field.b.as_ref());
    let bits = bits.and_then(|(a, b)| names.changed_bits(&field.path, a, b));
    let changed = bits.map_or_else(String::new, |bits| format!("  {bits}"));
    [names.label(&field.path), show(&field.a), show(&field.b) + &changed]
}

/// How much of a region differs.
pub fn headline(diff: &RegionDiff) -> String {
    let what = if diff.is_disk() { "block" } else { "page" };
    let all = diff.a.or(diff.b).map_or(0, |table| table.pages);
    let pages = count(diff.pages.len() as u64, what);
    format!("{}: {pages} of {all} differ, {}", diff.name, count(diff.bytes(), "byte"))
}

fn region(text: &mut String, region: &RegionView, symbols: Option<&Symbols>) {
    let diff = region.diff;
    let what = if diff.is_disk() { "block" } else { "page" };
    let pages = diff.pages.len() as u64;
    let _ = writeln!(text, "\n{}", headline(diff));
    for remark in region_remarks(diff) {
        let _ = writeln!(text, "  {remark}");
    }
    let runs = region.runs();
    for (run, bytes) in runs.iter().take(RUNS) {
        let pages = (run.end - run.start) / PAGE;
        let _ = writeln!(
            text,
            "  {:#012x}-{:#012x}  {:>12}  {:>14}",
            run.start,
            run.end - 1,
            count(pages, what),
            count(*bytes, "byte")
        );
    }
    if runs.len() > RUNS {
        let _ = writeln!(text, "  and {} more", count((runs.len() - RUNS) as u64, "run"));
    }
    for page in &region.pages {
        self::page(text, page, symbols);
    }
    let hidden = pages - region.pages.len() as u64;
    if hidden > 0 {
        let _ = writeln!(text, "\n  The bytes of {} more are not shown; see --limit.", count(hidden, what));
    }
}

pub fn page(text: &mut String, page: &PageView, symbols: Option<&Symbols>) {
    let _ = write!(text, "\n  {:#012x}", page.address);
    let _ = match page.code {
        Some(code) => writeln!(text, "  code at {:016x}", code.linear),
        None => writeln!(text),
    };
    let (Some(a), Some(b)) = (&page.a, &page.b) else {
        let side = if page.a.is_none() { "a" } else { "b" };
        let _ = writeln!(text, "    in {side} it is the image's");
        return;
    };
    if page.changes.is_empty() {
        rows(text, page, a, b);
        return;
    }
    for change in &page.changes {
        if let Some(symbol) = &change.symbol {
            let _ = writeln!(text, "    {symbol}:");
        }
        for (sign, list) in [('-', &change.a), ('+', &change.b)] {
            for (at, instruction) in list {
                let _ = writeln!(text, "    {sign} {at:016x}  {instruction}");
            }
        }
    }
    let _ = symbols;
}

/// 16 bytes to a line; of the second snapshot only those that differ.
fn rows(text: &mut String, page: &PageView, a: &[u8; PAGE as usize], b: &[u8; PAGE as usize]) {
    for (n, (a, b)) in a.chunks(16).zip(b.chunks(16)).enumerate() {
        let start = n * 16;
        let inside =
            |range: &std::ops::Range<u16>| usize::from(range.start) < start + 16 && start < range.end.into();
        if !page.ranges.iter().any(inside) {
            continue;
        }
        let all = |bytes: &[u8]| bytes.iter().map(|byte| format!(" {byte:02x}")).collect::<String>();
        let new = |(a, b): (&u8, &u8)| if a == b { " ..".to_owned() } else { format!(" {b:02x}") };
        let changed: String = a.iter().zip(b).map(new).collect();
        let _ = writeln!(text, "    {:012x} {}  |{}|", page.address + start as u64, all(a), ascii(a));
        let _ = writeln!(text, "              {changed}  |{}|", ascii(b));
    }
}

/// Bytes as characters, where they are printable.
pub fn ascii(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if (0x20..0x7F).contains(byte) { char::from(*byte) } else { '.' }).collect()
}
