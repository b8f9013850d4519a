//! What differs between two snapshots: named fields, and pages with the bytes in them.

use crate::hash::{GROUP_PAGES, ObjectId};
use crate::manifest::{BaseImage, RegionTable};
use crate::pattern::Rules;
use crate::store::{Objects, Snapshot};
use crate::value::{Part, Value, decode};
use crate::{OwnedSection, StoreError};
use std::ops::Range;

/// Fields of a section that are listed; a section with more that differ is another thing altogether.
const MAX_FIELDS: usize = 1 << 14;
/// Bytes of one field that are listed one by one.
const MAX_BYTES: usize = 32;
const PAGE: u64 = 4096;
/// What a second thread is not worth its start for.
const PAGES_PER_THREAD: usize = 128;
const GROUPS_PER_THREAD: usize = 32;
const MAX_THREADS: usize = 4;

/// What differs between two snapshots.
#[derive(Clone, Debug, Default)]
pub struct Diff<'a> {
    /// In the order of the first snapshot, then those only the second has.
    pub sections: Vec<SectionDiff<'a>>,
    pub regions: Vec<RegionDiff<'a>>,
}

/// A section that differs.
#[derive(Clone, Debug)]
pub struct SectionDiff<'a> {
    pub path: &'a str,
    pub a: Option<&'a OwnedSection>,
    pub b: Option<&'a OwnedSection>,
    /// Fields that differ, if both could be read.
    pub fields: Vec<FieldDiff<'a>>,
    /// Why the fields of one cannot be read: their bytes differ, and that is all.
    pub unreadable: Option<String>,
}

/// A field that differs; `None` where there is none.
#[derive(Clone, Debug)]
pub struct FieldDiff<'a> {
    /// With the section's in front.
    pub path: String,
    pub a: Option<Value<'a>>,
    pub b: Option<Value<'a>>,
}

/// A region that differs.
#[derive(Clone, Debug)]
pub struct RegionDiff<'a> {
    pub name: &'a str,
    pub a: Option<&'a RegionTable>,
    pub b: Option<&'a RegionTable>,
    /// Pages that differ, in order. Pages beyond the end of the shorter region are not listed.
    pub pages: Vec<PageDiff>,
}

impl RegionDiff<'_> {
    /// Whether it is the overlay of a disk.
    pub fn is_disk(&self) -> bool {
        self.base(self.a).or(self.base(self.b)).is_some()
    }

    fn base<'t>(&self, table: Option<&'t RegionTable>) -> Option<&'t BaseImage> {
        table.and_then(|table| table.base.as_ref())
    }

    /// Whether the images under two overlays are not the same.
    pub fn bases_differ(&self) -> bool {
        let content = |base: &BaseImage| (base.len, base.hash);
        self.base(self.a).map(content) != self.base(self.b).map(content)
    }

    /// Bytes that differ.
    pub fn bytes(&self) -> u64 {
        self.pages.iter().flat_map(|page| &page.ranges).map(|range| range.len() as u64).sum()
    }
}

/// A page that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageDiff {
    /// Its index in the region.
    pub page: u64,
    pub a: ObjectId,
    pub b: ObjectId,
    /// Which of its bytes. All of them where one side is the image's under an overlay.
    pub ranges: Vec<Range<u16>>,
}

impl Diff<'_> {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty() && self.regions.is_empty()
    }
}

/// Compares two snapshots. Only inner nodes and pages that differ are read.
///
/// # Errors
/// When one of these is missing or damaged.
pub fn diff<'a>(a: &'a Snapshot, b: &'a Snapshot, rules: &Rules) -> Result<Diff<'a>, StoreError> {
    let sections = sections(a, b, rules);
    let mut regions = Vec::new();
    for table in &a.manifest.regions {
        let other = b.manifest.regions.iter().find(|other| other.name == table.name);
        regions.extend(region(Some(table), other, (&a.objects, &b.objects), rules)?);
    }
    for table in &b.manifest.regions {
        if !a.manifest.regions.iter().any(|other| other.name == table.name) {
            regions.extend(region(None, Some(table), (&a.objects, &b.objects), rules)?);
        }
    }
    Ok(Diff { sections, regions })
}

fn sections<'a>(a: &'a Snapshot, b: &'a Snapshot, rules: &Rules) -> Vec<SectionDiff<'a>> {
    let find = |snapshot: &'a Snapshot, path: &str| {
        snapshot.manifest.sections.iter().find(|section| section.path == path)
    };
    let mut found = Vec::new();
    for section in &a.manifest.sections {
        match find(b, &section.path) {
            Some(other) => found.extend(both(section, other, rules)),
            None => found.extend(one(Some(section), None, rules)),
        }
    }
    let new = b.manifest.sections.iter().filter(|section| find(a, &section.path).is_none());
    found.extend(new.filter_map(|section| one(None, Some(section), rules)));
    found
}

fn one<'a>(
    a: Option<&'a OwnedSection>,
    b: Option<&'a OwnedSection>,
    rules: &Rules,
) -> Option<SectionDiff<'a>> {
    let path = a.or(b)?.path.as_str();
    rules.field(path).then_some(SectionDiff { path, a, b, fields: Vec::new(), unreadable: None })
}

fn both<'a>(a: &'a OwnedSection, b: &'a OwnedSection, rules: &Rules) -> Option<SectionDiff<'a>> {
    let same_type = a.kind == b.kind && a.version == b.version;
    if same_type && a.bytes == b.bytes {
        return None;
    }
    let mut found =
        SectionDiff { path: &a.path, a: Some(a), b: Some(b), fields: Vec::new(), unreadable: None };
    match (decode(a), decode(b)) {
        (Ok(a), Ok(b)) => {
            let mut path = found.path.to_owned();
            compare(&mut path, Some(&a), Some(&b), rules, &mut found.fields);
        }
        (Err(e), _) | (_, Err(e)) => found.unreadable = Some(e.to_string()),
    }
    let counts =
        !found.fields.is_empty() || rules.field(found.path) && (!same_type || found.unreadable.is_some());
    counts.then_some(found)
}

/// Lists the fields that differ between two values at `path`.
fn compare<'a>(
    path: &mut String,
    a: Option<&Value<'a>>,
    b: Option<&Value<'a>>,
    rules: &Rules,
    found: &mut Vec<FieldDiff<'a>>,
) {
    if a == b || found.len() >= MAX_FIELDS {
        return;
    }
    let mut below = |part: Part, a: Option<&Value<'a>>, b: Option<&Value<'a>>| {
        let len = path.len();
        path.push_str(&part.to_string());
        compare(path, a, b, rules, found);
        path.truncate(len);
    };
    match (a, b) {
        (Some(Value::Struct(a)), Some(Value::Struct(b))) => {
            for (name, value) in a {
                let other = b.iter().find(|(other, _)| other == name).map(|(_, other)| other);
                below(Part::Field(name), Some(value), other);
            }
            for (name, value) in b.iter().filter(|(name, _)| !a.iter().any(|(other, _)| other == name)) {
                below(Part::Field(name), None, Some(value));
            }
        }
        (Some(Value::List(a)), Some(Value::List(b))) => {
            for n in 0..a.len().max(b.len()) {
                below(Part::Index(n), a.get(n), b.get(n));
            }
        }
        (Some(Value::Bytes(a)), Some(Value::Bytes(b))) if few_differ(a, b) => {
            for (n, (a, b)) in a.iter().zip(b.iter()).enumerate().filter(|(_, (a, b))| a != b) {
                let byte = |byte: &u8| Value::Unsigned((*byte).into(), 8);
                below(Part::Index(n), Some(&byte(a)), Some(&byte(b)));
            }
        }
        (Some(Value::Map(a)), Some(Value::Map(b))) => {
            for (key, value) in a {
                let other = b.iter().find(|(other, _)| other == key).map(|(_, other)| other);
                below(Part::Key(key.to_string()), Some(value), other);
            }
            for (key, value) in b.iter().filter(|(key, _)| !a.iter().any(|(other, _)| other == key)) {
                below(Part::Key(key.to_string()), None, Some(value));
            }
        }
        (Some(Value::Option(Some(a))), Some(Value::Option(Some(b)))) => {
            compare(path, Some(a), Some(b), rules, found);
        }
        (Some(Value::Variant { name, value: a, .. }), Some(Value::Variant { name: other, value: b, .. }))
            if name == other =>
        {
            compare(path, Some(a), Some(b), rules, found)
        }
        _ if rules.field(path) => {
            found.push(FieldDiff { path: path.clone(), a: a.cloned(), b: b.cloned() });
        }
        _ => {}
    }
}

/// Whether bytes are as many, and so few of them differ that each is worth a line.
fn few_differ(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).filter(|(a, b)| a != b).count() <= MAX_BYTES
}

type Sides<'o> = (&'o Objects, &'o Objects);

fn region<'a>(
    a: Option<&'a RegionTable>,
    b: Option<&'a RegionTable>,
    objects: Sides,
    rules: &Rules,
) -> Result<Option<RegionDiff<'a>>, StoreError> {
    let Some(name) = a.or(b).map(|table| table.name.as_str()) else { return Ok(None) };
    let pages = |table: Option<&RegionTable>| table.map(|table| table.pages);
    let longer = pages(a).max(pages(b)).unwrap_or(0);
    let wanted = rules.bytes(name, longer.saturating_mul(PAGE));
    let mut found = RegionDiff { name, a, b, pages: Vec::new() };
    if wanted.is_empty() {
        return Ok(None);
    }
    if let (Some(a), Some(b)) = (a, b) {
        let pages = pages_that_differ((a, b), objects, &wanted)?;
        found.pages = find_bytes(pages, objects, &wanted)?;
    }
    let differ = !found.pages.is_empty() || pages(a) != pages(b) || found.bases_differ();
    Ok(differ.then_some(found))
}

/// Pages with other ids, of those that have bytes in `wanted`.
fn pages_that_differ(
    (a, b): (&RegionTable, &RegionTable),
    objects: Sides,
    wanted: &[Range<u64>],
) -> Result<Vec<PageDiff>, StoreError> {
    let mut n = 0;
    let differ = |(group, (node_a, node_b)): (usize, (&Option<ObjectId>, &Option<ObjectId>))| {
        let first = (group * GROUP_PAGES) as u64;
        let bytes = first * PAGE..(first + GROUP_PAGES as u64) * PAGE;
        let same = node_a == node_b && (node_a.is_some() || a.absent() == b.absent());
        (!same && overlaps(wanted, &mut n, &bytes)).then_some(group)
    };
    let groups: Vec<_> = a.groups.iter().zip(&b.groups).enumerate().filter_map(differ).collect();
    let look = |groups: &[usize]| {
        let mut found = Vec::new();
        for group in groups {
            let first = (group * GROUP_PAGES) as u64;
            let (ids_a, ids_b) = (a.ids(objects.0, *group)?, b.ids(objects.1, *group)?);
            for (i, (a, b)) in ids_a.iter().zip(&ids_b).enumerate().filter(|(_, (a, b))| a != b) {
                let page = first + i as u64;
                if wanted.iter().any(|w| w.start < (page + 1) * PAGE && page * PAGE < w.end) {
                    found.push(PageDiff { page, a: *a, b: *b, ranges: Vec::new() });
                }
            }
        }
        Ok(found)
    };
    share(&groups, GROUPS_PER_THREAD, &look)
}

/// Has threads do the work on a list, each with a part of it; the results, in order.
fn share<T: Sync, R: Send>(
    list: &[T],
    at_least: usize,
    work: &(impl Fn(&[T]) -> Result<Vec<R>, StoreError> + Sync),
) -> Result<Vec<R>, StoreError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let mut parts = list.chunks(list.len().div_ceil(threads).max(at_least));
    std::thread::scope(|scope| {
        let first = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
        let mut all = first.map_or_else(|| Ok(Vec::new()), work)?;
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

/// Whether some of `bytes` are in `ranges`; `n` is the first range that may matter from here on.
fn overlaps(ranges: &[Range<u64>], n: &mut usize, bytes: &Range<u64>) -> bool {
    while ranges.get(*n).is_some_and(|range| range.end <= bytes.start) {
        *n += 1;
    }
    ranges.get(*n).is_some_and(|range| range.start < bytes.end)
}

/// Reads the pages and finds the bytes that differ; pages without any in `wanted` are dropped.
fn find_bytes(
    pages: Vec<PageDiff>,
    objects: Sides,
    wanted: &[Range<u64>],
) -> Result<Vec<PageDiff>, StoreError> {
    let look = |pages: &[PageDiff]| {
        let read = |page: &PageDiff| Ok(PageDiff { ranges: ranges_of(page, objects, wanted)?, ..*page });
        let with_bytes =
            |page: &Result<PageDiff, _>| page.as_ref().map_or(true, |page| !page.ranges.is_empty());
        pages.iter().map(read).filter(with_bytes).collect()
    };
    share(&pages, PAGES_PER_THREAD, &look)
}

fn ranges_of(page: &PageDiff, objects: Sides, wanted: &[Range<u64>]) -> Result<Vec<Range<u16>>, StoreError> {
    let (mut a, mut b) = ([0; PAGE as usize], [0; PAGE as usize]);
    let known = read(page.a, objects.0, &mut a)? && read(page.b, objects.1, &mut b)?;
    let whole = 0..PAGE as u16;
    let ranges = if known { differing(&a, &b) } else { vec![whole] };
    let at = page.page * PAGE;
    if wanted.iter().any(|w| w.start <= at && at + PAGE <= w.end) {
        return Ok(ranges);
    }
    let clip = |range: Range<u16>| {
        let (start, end) = (at + u64::from(range.start), at + u64::from(range.end));
        let parts = wanted.iter().map(move |w| start.max(w.start)..end.min(w.end));
        parts.filter(|part| part.start < part.end)
    };
    let inside = |part: Range<u64>| (part.start - at) as u16..(part.end - at) as u16;
    Ok(ranges.into_iter().flat_map(clip).map(inside).collect())
}

/// Reads a page; `false` if its bytes are those of the image under an overlay.
fn read(id: ObjectId, objects: &Objects, into: &mut [u8; PAGE as usize]) -> Result<bool, StoreError> {
    match id {
        ObjectId::ABSENT => return Ok(false),
        ObjectId::ZERO => into.fill(0),
        id => objects.page(id, into)?,
    }
    Ok(true)
}

/// Ranges of bytes that differ.
fn differing(a: &[u8; PAGE as usize], b: &[u8; PAGE as usize]) -> Vec<Range<u16>> {
    let mut ranges: Vec<Range<u16>> = Vec::new();
    for (n, (words_a, words_b)) in a.chunks_exact(32).zip(b.chunks_exact(32)).enumerate() {
        if words_a == words_b {
            continue;
        }
        for i in (0..32).filter(|i| words_a[*i] != words_b[*i]) {
            let at = (n * 32 + i) as u16;
            match ranges.last_mut() {
                Some(last) if last.end == at => last.end += 1,
                _ => ranges.push(at..at + 1),
            }
        }
    }
    ranges
}
