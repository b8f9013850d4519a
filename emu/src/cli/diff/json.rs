//! A diff as JSON.

use super::{PAGE, PageView, RegionView, Report, region_remarks, remark};
use crate::cli::show::described;
use amber_snapshot::{SectionDiff, to_json};
use serde_json::{Value, json};

/// The whole report.
pub fn report(report: &Report) -> Value {
    json!({
        "equal": report.diff.is_empty(),
        "a": described(report.a),
        "b": described(report.b),
        "sections": report.diff.sections.iter().map(section).collect::<Vec<_>>(),
        "regions": report.regions.iter().map(region).collect::<Vec<_>>(),
    })
}

fn section(section: &SectionDiff) -> Value {
    let field = |field: &amber_snapshot::FieldDiff| json!({ "path": field.path, "a": field.a.as_ref().map(to_json), "b": field.b.as_ref().map(to_json) });
    json!({
        "path": section.path,
        "remark": remark(section),
        "fields": section.fields.iter().map(field).collect::<Vec<_>>(),
    })
}

fn region(region: &RegionView) -> Value {
    let diff = region.diff;
    let page = |(n, page): (usize, &amber_snapshot::PageDiff)| {
        let shown = region.pages.get(n);
        json!({
            "page": page.page,
            "address": region.address(page.page * PAGE),
            "linear": shown.and_then(|shown| shown.code).map(|code| format!("{:#x}", code.linear)),
            "bytes": page.ranges.iter().map(|range| bytes(range, shown)).collect::<Vec<_>>(),
        })
    };
    json!({
        "name": diff.name,
        "disk": diff.is_disk(),
        "remarks": region_remarks(diff),
        "pages": diff.a.or(diff.b).map(|table| table.pages),
        "bytes_that_differ": diff.bytes(),
        "pages_that_differ": diff.pages.iter().enumerate().map(page).collect::<Vec<_>>(),
    })
}

/// A range of a page; what it holds, for pages that are shown.
fn bytes(range: &std::ops::Range<u16>, page: Option<&PageView>) -> Value {
    let inside = usize::from(range.start)..usize::from(range.end);
    let hex = |side: &Option<Box<[u8; PAGE as usize]>>| {
        side.as_ref()
            .map(|bytes| bytes[inside.clone()].iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    };
    let (a, b) = page.map_or((None, None), |page| (hex(&page.a), hex(&page.b)));
    json!({ "offset": range.start, "len": range.len(), "a": a, "b": b })
}
