//! Pictures of a region: which 2 MiB groups of it differ, and which pages of a group.

use super::{PAGE, RegionView};
use amber_snapshot::GROUP_PAGES;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Groups in a row of the map.
const COLUMNS: u64 = 32;
const CELL: u64 = 18;
/// Groups that are drawn; of a larger region several share a cell.
const CELLS: u64 = 2048;

/// Pages and bytes that differ, by group.
pub fn groups(region: &RegionView) -> BTreeMap<u64, (u64, u64)> {
    let mut groups = BTreeMap::new();
    for page in &region.diff.pages {
        let (pages, bytes) = groups.entry(page.page / GROUP_PAGES as u64).or_insert((0, 0));
        *pages += 1;
        *bytes += page.ranges.iter().map(|range| range.len() as u64).sum::<u64>();
    }
    groups
}

/// The whole region, a cell for each 2 MiB, darker where more pages differ.
pub fn map(region: &RegionView) -> String {
    let table = region.diff.a.into_iter().chain(region.diff.b);
    let pages = table.map(|table| table.pages).max().unwrap_or(0);
    let all = pages.div_ceil(GROUP_PAGES as u64).max(1);
    let per_cell = all.div_ceil(CELLS);
    let cells = all.div_ceil(per_cell);
    let (width, height) = (COLUMNS.min(cells) * CELL, cells.div_ceil(COLUMNS) * CELL);
    let mut changed: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (group, (pages, bytes)) in groups(region) {
        let sum = changed.entry(group / per_cell).or_insert((0, 0));
        *sum = (sum.0 + pages, sum.1 + bytes);
    }
    let mut svg = format!(
        "<svg class=map role=img viewBox=\"0 0 {width} {height}\" style=\"max-width:{width}px\">\
         <title>where {} differs</title>",
        super::html::escape(region.diff.name)
    );
    for cell in 0..cells {
        let (x, y) = (cell % COLUMNS * CELL, cell / COLUMNS * CELL);
        let size = CELL - 2;
        let shape = format!("<rect x={x} y={y} width={size} height={size} rx=3");
        let _ = match changed.get(&cell) {
            None => write!(svg, "{shape} class=same />"),
            Some((pages, bytes)) => {
                let start = region.address(cell * per_cell * GROUP_PAGES as u64 * PAGE);
                // From a third for one page to full for all of them.
                let share =
                    (1.0 + *pages as f64).log2() / (1.0 + (per_cell * GROUP_PAGES as u64) as f64).log2();
                let tint = 0.3 + 0.7 * share;
                write!(
                    svg,
                    "{shape} class=other fill-opacity={tint:.2}><title>{start:#x}: {} and {} differ</title></rect>",
                    super::count(*pages, "page"),
                    super::count(*bytes, "byte")
                )
            }
        };
    }
    svg.push_str("</svg>");
    svg
}

/// One group, a stripe for each page that differs.
pub fn stripes(region: &RegionView, group: u64) -> String {
    let mut svg = format!(
        "<svg class=stripes viewBox=\"0 0 {GROUP_PAGES} 10\" preserveAspectRatio=none><rect class=same \
         width={GROUP_PAGES} height=10 />"
    );
    let first = group * GROUP_PAGES as u64;
    let start = region.diff.pages.partition_point(|page| page.page < first);
    let inside = region.diff.pages[start..].iter().take_while(|page| page.page < first + GROUP_PAGES as u64);
    for page in inside {
        let bytes: u64 = page.ranges.iter().map(|range| range.len() as u64).sum();
        let tint = 0.4 + 0.6 * (bytes as f64 / PAGE as f64).sqrt();
        let _ = write!(
            svg,
            "<rect class=other x={} width=1 height=10 fill-opacity={tint:.2} />",
            page.page - first
        );
    }
    svg.push_str("</svg>");
    svg
}
