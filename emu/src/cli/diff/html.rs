//! A diff as one page for a browser, which needs nothing else.

use super::text::ascii;
use super::{PAGE, PageView, RegionView, Report, count, picture, region_remarks, remark, summary};
use crate::cli::fields::{Fields, names_of};
use crate::cli::stores::Found;
use crate::symbols::Symbols;
use amber_snapshot::{FieldDiff, GROUP_PAGES, SectionDiff, Value};
use std::fmt::Write;

const CSS: &str = include_str!("page.css");
/// Sections with more fields than this are closed at first.
const OPEN_FIELDS: usize = 48;

/// Text in a page.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The whole page.
pub fn page(report: &Report) -> String {
    let name = |found: &Found| match &found.label {
        Some((name, _)) => escape(name),
        None => found.id.to_string()[..12].to_owned(),
    };
    let (a, b) = (name(report.a), name(report.b));
    let mut out = format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width,initial-scale=1\"><title>{a} and {b}</title>\n<style>\n{CSS}</style>\n\
         <h1>{a} <span>&rarr;</span> {b}</h1>\n<p class=sum>{}</p>\n<div class=sides>{}{}</div>\n",
        escape(&summary(report)),
        side("a", &a, report.a),
        side("b", &b, report.b)
    );
    if !report.diff.sections.is_empty() {
        out.push_str("<h2>Fields</h2>\n");
    }
    for found in &report.diff.sections {
        section(&mut out, found, report.symbols);
    }
    for found in &report.regions {
        region(&mut out, found);
    }
    out.push_str("</html>\n");
    out
}

fn side(class: &str, name: &str, found: &Found) -> String {
    let manifest = &found.snapshot.manifest;
    format!(
        "<div class=\"card {class}\"><b>{name}</b><p>step {}, {:.9} s</p><p class=faint>snapshot \
         <code>{}</code><br>state hash <code>{}</code></p></div>",
        manifest.step,
        manifest.time as f64 / 1e9,
        found.id,
        manifest.state_hash
    )
}

fn section(out: &mut String, section: &SectionDiff, symbols: Option<&Symbols>) {
    let Some(known) = section.a.or(section.b) else { return };
    let names = Fields::of(known);
    let open = if section.fields.len() <= OPEN_FIELDS { " open" } else { "" };
    let _ = write!(
        out,
        "<details{open}><summary><b>{}</b> <span class=faint>{}</span><span class=n>{}</span></summary>\
         <div class=scroll>",
        escape(section.path),
        escape(&known.kind),
        count(section.fields.len() as u64, "field")
    );
    if let Some(remark) = remark(section) {
        let _ = write!(out, "<p>{}</p>", escape(&remark));
    }
    if !section.fields.is_empty() {
        out.push_str("<table><tr><th>field<th>a<th>b</tr>");
        section.fields.iter().for_each(|field| row(out, field, &names, symbols));
        out.push_str("</table>");
    }
    out.push_str("</div></details>\n");
}

fn row(out: &mut String, field: &FieldDiff, names: &Fields, symbols: Option<&Symbols>) {
    let show = |value: Option<&Value>, other: Option<&Value>| match value {
        None => "<span class=faint>absent</span>".to_owned(),
        Some(value) => shown(field, value, other, names, symbols),
    };
    let _ = write!(
        out,
        "<tr><td class=k>{}<td class=\"v a\">{}<td class=\"v b\">{}</tr>",
        escape(&names.label(&field.path)),
        show(field.a.as_ref(), field.b.as_ref()),
        show(field.b.as_ref(), field.a.as_ref())
    );
}

/// A value, with what is not so in the other one marked.
fn shown(
    field: &FieldDiff,
    value: &Value,
    other: Option<&Value>,
    names: &Fields,
    symbols: Option<&Symbols>,
) -> String {
    match (value, other) {
        (Value::Unsigned(a, _), Some(Value::Unsigned(b, _))) => {
            let digits = format!("{:x}", a.max(b)).len();
            let (text, other) = (format!("{a:0digits$x}"), format!("{b:0digits$x}"));
            let hex = marked(text.chars().zip(other.chars()).map(|(a, b)| (a.to_string(), a != b)));
            let note = match names.bits(&field.path) {
                Some(bits) => {
                    let named = names_of(bits, *a).into_iter().map(|name| {
                        let set = |value: u128| names_of(bits, value).contains(&name);
                        (format!("{name} "), !set(*b))
                    });
                    marked(named)
                }
                None => {
                    let located = symbols.zip(u64::try_from(*a).ok());
                    let symbol = located.and_then(|(symbols, at)| symbols.locate(at));
                    let symbol = symbol.map_or_else(String::new, |symbol| format!(" <{symbol}>"));
                    escape(&format!("{a}{symbol}"))
                }
            };
            format!("0x{hex} <span class=faint>{note}</span>")
        }
        (Value::Bytes(a), Some(Value::Bytes(b))) => {
            let byte = |(n, byte): (usize, &u8)| (format!("{byte:02x}"), b.get(n) != Some(byte));
            marked(a.iter().enumerate().map(byte).take(512))
        }
        _ => format!("<mark>{}</mark>", escape(&names.show(&field.path, value, symbols))),
    }
}

/// Pieces of text, those that differ marked; neighbours together.
fn marked(pieces: impl Iterator<Item = (String, bool)>) -> String {
    let mut out = String::new();
    let mut inside = false;
    for (piece, differs) in pieces {
        if differs != inside {
            out.push_str(if differs { "<mark>" } else { "</mark>" });
            inside = differs;
        }
        out.push_str(&escape(&piece));
    }
    if inside {
        out.push_str("</mark>");
    }
    out
}

fn region(out: &mut String, region: &RegionView) {
    let diff = region.diff;
    let what = if diff.is_disk() { "block" } else { "page" };
    let _ = write!(
        out,
        "<h2>{}</h2>\n<p>{} and {} differ.",
        escape(diff.name),
        count(diff.pages.len() as u64, what),
        count(diff.bytes(), "byte")
    );
    for remark in region_remarks(diff) {
        let _ = write!(out, " {}.", escape(&remark));
    }
    if diff.pages.is_empty() {
        out.push_str("</p>\n");
        return;
    }
    let _ = write!(
        out,
        " <span class=faint>Each square is 2 MiB.</span></p>\n<div class=card>{}</div>\n",
        picture::map(region)
    );
    for (group, (pages, bytes)) in picture::groups(region) {
        self::group(out, region, group, (pages, bytes));
    }
}

fn group(out: &mut String, region: &RegionView, group: u64, (pages, bytes): (u64, u64)) {
    let start = region.address(group * GROUP_PAGES as u64 * PAGE);
    let _ = write!(
        out,
        "<details><summary><code>{start:#012x}</code>{}<span class=n>{}, {}</span></summary>",
        picture::stripes(region, group),
        count(pages, "page"),
        count(bytes, "byte")
    );
    let inside = region.diff.pages.iter().zip(&region.pages);
    let mut shown = 0;
    for (_, page) in inside.filter(|(page, _)| page.page / GROUP_PAGES as u64 == group) {
        shown += 1;
        memory(out, page);
    }
    if shown < pages {
        let _ = write!(
            out,
            "<p class=scroll><span class=faint>The bytes of {} are not shown; see --limit.</span></p>",
            count(pages - shown, "page")
        );
    }
    out.push_str("</details>\n");
}

fn memory(out: &mut String, page: &PageView) {
    let bytes: u64 = page.ranges.iter().map(|range| range.len() as u64).sum();
    let code = page.code.map_or_else(String::new, |code| format!("code at {:x}", code.linear));
    let _ = write!(
        out,
        "<details><summary><code>{:#012x}</code> <span class=faint>{code}</span><span class=n>{}</span></summary>",
        page.address,
        count(bytes, "byte")
    );
    match (&page.a, &page.b) {
        (Some(a), Some(b)) if page.changes.is_empty() => dump(out, page, a, b),
        (Some(_), Some(_)) => instructions(out, page),
        _ => out.push_str("<p class=scroll>One side is the image's.</p>"),
    }
    out.push_str("</details>");
}

fn instructions(out: &mut String, page: &PageView) {
    out.push_str("<pre>");
    for change in &page.changes {
        if let Some(symbol) = &change.symbol {
            let _ = writeln!(out, "{}:", escape(symbol));
        }
        for (sign, class, list) in [("&minus;", "a", &change.a), ("+", "b", &change.b)] {
            for (at, instruction) in list {
                let text = escape(instruction);
                let _ = writeln!(out, "<span class={class}>{sign} {at:016x}  {text}</span>");
            }
        }
    }
    out.push_str("</pre>");
}

fn dump(out: &mut String, page: &PageView, a: &[u8; PAGE as usize], b: &[u8; PAGE as usize]) {
    out.push_str("<div class=scroll><table class=dump>");
    for (n, (a, b)) in a.chunks(16).zip(b.chunks(16)).enumerate().filter(|(_, (a, b))| a != b) {
        let hex = |own: &[u8], other: &[u8]| {
            marked(own.iter().zip(other).map(|(own, other)| (format!("{own:02x} "), own != other)))
        };
        let text = |own: &[u8], other: &[u8]| {
            let chars = ascii(own).chars().map(String::from).collect::<Vec<_>>();
            marked(chars.into_iter().zip(own.iter().zip(other)).map(|(c, (own, other))| (c, own != other)))
        };
        let _ = write!(
            out,
            "<tr><td class=faint>{:012x}<td class=a>{} {}<td class=b>{} {}</tr>",
            page.address + n as u64 * 16,
            hex(a, b),
            text(a, b),
            hex(b, a),
            text(b, a)
        );
    }
    out.push_str("</table></div>");
}
