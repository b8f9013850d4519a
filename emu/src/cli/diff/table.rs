//! A diff as tables, for a window.

use super::{PAGE, RegionView, Report, picture, region_remarks, remark, summary, text};
use crate::cli::fields::Fields;
use crate::symbols::Symbols;
use amber_snapshot::{GROUP_PAGES, SectionDiff};

/// What differs between snapshots a and b.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Name, id, step and time of a and b.
    pub sides: [String; 2],
    pub summary: String,
    pub sections: Vec<TableOfSection>,
    pub regions: Vec<TableOfPages>,
}

/// Fields of a section that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOfSection {
    /// Its path and kind.
    pub title: String,
    pub remark: Option<String>,
    /// Field, value in a, value in b with the bits that changed.
    pub rows: Vec<[String; 3]>,
}

/// Pages of a region that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOfPages {
    pub headline: String,
    pub remarks: Vec<String>,
    /// Groups of 2 MiB of the region.
    pub groups: u64,
    /// Of groups that differ: number, address, pages and bytes.
    pub map: Vec<[u64; 4]>,
    /// The first pages in text: bytes, or instructions of code.
    pub pages: Vec<String>,
    /// Pages that are not among them.
    pub hidden: u64,
}

/// The whole report.
pub fn report(report: &Report) -> Table {
    Table {
        sides: [text::side(report.a), text::side(report.b)],
        summary: summary(report),
        sections: report.diff.sections.iter().map(|found| section(found, report.symbols)).collect(),
        regions: report.regions.iter().map(|found| region(found, report.symbols)).collect(),
    }
}

fn section(section: &SectionDiff, symbols: Option<&Symbols>) -> TableOfSection {
    let known = section.a.or(section.b);
    let rows = known.map(Fields::of).map_or_else(Vec::new, |names| {
        section.fields.iter().map(|field| text::row(field, &names, symbols)).collect()
    });
    let kind = known.map_or("", |known| known.kind.as_str());
    TableOfSection { title: format!("{} ({kind})", section.path), remark: remark(section), rows }
}

fn region(region: &RegionView, symbols: Option<&Symbols>) -> TableOfPages {
    let group_bytes = GROUP_PAGES as u64 * PAGE;
    let tables = region.diff.a.into_iter().chain(region.diff.b);
    let pages = tables.map(|table| table.pages).max().unwrap_or(0);
    let place = |(group, (pages, bytes)): (u64, (u64, u64))| {
        [group, region.address(group * group_bytes), pages, bytes]
    };
    let shown = |page| {
        let mut text = String::new();
        text::page(&mut text, page, symbols);
        text.trim_matches('\n').to_owned()
    };
    TableOfPages {
        headline: text::headline(region.diff),
        remarks: region_remarks(region.diff),
        groups: pages.div_ceil(GROUP_PAGES as u64),
        map: picture::groups(region).into_iter().map(place).collect(),
        pages: region.pages.iter().map(shown).collect(),
        hidden: (region.diff.pages.len() - region.pages.len()) as u64,
    }
}
