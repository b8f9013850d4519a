//! A snapshot with some fields and some bytes of memory replaced: a child of the one it was made from.

use crate::hash::{GROUP_PAGES, ObjectId, group_id};
use crate::json::assign;
use crate::manifest::{Manifest, SnapshotId};
use crate::store::{Objects, Snapshot};
use crate::value::{Part, Place, Shape, ValueError, decode, encode};
use crate::{OwnedSection, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PAGE: u64 = 4096;

/// Why a snapshot cannot be edited so.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{path}: there is no such section; `amber snapshot show --fields` lists what there is")]
    Section { path: String },
    #[error("{path}: `{rest}` is no path below section {section}; write it as in .field or [3]")]
    Path { path: String, section: String, rest: String },
    #[error("there is no region {0}")]
    Region(String),
    #[error("region {region}: {len} bytes at {offset:#x} go beyond its end at {end:#x}")]
    Beyond { region: String, offset: u64, len: usize, end: u64 },
    #[error("region {region}: page {page} is its image's and not in the snapshot; it cannot be edited")]
    Base { region: String, page: u64 },
}

/// Bytes from pairs of hexadecimal digits, with spaces or `_` between pairs. `None` if they are none.
pub fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().filter(|c| !c.is_whitespace() && *c != '_');
    let digits: Option<Vec<u8>> = digits.map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let pairs = digits?;
    let (pairs, rest) = pairs.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Changes to a snapshot.
pub struct Edit<'a> {
    base: &'a Snapshot,
    sections: Vec<OwnedSection>,
    /// By region and page.
    pages: BTreeMap<(usize, u64), Box<[u8; PAGE as usize]>>,
}

impl<'a> Edit<'a> {
    /// No changes yet.
    pub fn new(base: &'a Snapshot) -> Self {
        Self { base, sections: base.manifest.sections.clone(), pages: BTreeMap::new() }
    }

    /// Sets the field at `path`, such as `cpu0.system.cr3`, to what `text` says; see `docs/snapshots.md`.
    ///
    /// # Errors
    /// Names the field, and what it can hold.
    pub fn set(&mut self, path: &str, text: &str) -> Result<(), EditError> {
        set_field(&mut self.sections, path, text).map(drop)
    }

    /// Replaces bytes of a region.
    ///
    /// # Errors
    /// When there are none there.
    pub fn write(&mut self, region: &str, offset: u64, bytes: &[u8]) -> Result<(), EditError> {
        let tables = &self.base.manifest.regions;
        let index = tables.iter().position(|table| table.name == region);
        let index = index.ok_or_else(|| EditError::Region(region.to_owned()))?;
        let end = tables[index].pages.saturating_mul(PAGE);
        if offset.checked_add(bytes.len() as u64).is_none_or(|to| to > end) {
            return Err(EditError::Beyond { region: region.to_owned(), offset, len: bytes.len(), end });
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let start = (at % PAGE) as usize;
            let len = (bytes.len() - done).min(PAGE as usize - start);
            self.page(index, at / PAGE)?[start..start + len].copy_from_slice(&bytes[done..done + len]);
            done += len;
        }
        Ok(())
    }

    /// A page to write to.
    fn page(&mut self, region: usize, page: u64) -> Result<&mut [u8; PAGE as usize], EditError> {
        use std::collections::btree_map::Entry;
        match self.pages.entry((region, page)) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let table = &self.base.manifest.regions[region];
                let objects = &self.base.objects;
                let ids = table.ids(objects, page as usize / GROUP_PAGES)?;
                let mut bytes = Box::new([0; PAGE as usize]);
                match ids[page as usize % GROUP_PAGES] {
                    ObjectId::ABSENT => {
                        return Err(EditError::Base { region: table.name.clone(), page });
                    }
                    ObjectId::ZERO => {}
                    id => objects.page(id, &mut bytes)?,
                }
                Ok(entry.insert(bytes))
            }
        }
    }

    /// The snapshot with the changes. It is not in any store yet.
    ///
    /// # Errors
    /// When what is to be changed cannot be read.
    pub fn finish(self) -> Result<Edited, EditError> {
        let Snapshot { manifest: base, objects } = self.base;
        let mut manifest = Manifest {
            parent: Some(objects.snapshot()),
            sections: self.sections,
            thumbnail: base.thumbnail.clone(),
            regions: base.regions.clone(),
            ..*base
        };
        let mut own = BTreeMap::new();
        let groups: BTreeSet<_> =
            self.pages.keys().map(|(region, page)| (*region, *page as usize / GROUP_PAGES)).collect();
        for (region, group) in groups {
            let first = (group * GROUP_PAGES) as u64;
            let table = &mut manifest.regions[region];
            let mut ids = table.ids(objects, group)?;
            let changed = self.pages.range((region, first)..(region, first + GROUP_PAGES as u64));
            for ((_, page), bytes) in changed {
                let id = ObjectId::of(&bytes[..]);
                ids[(page - first) as usize] = id;
                if id != ObjectId::ZERO || table.base.is_some() {
                    own.insert(id, bytes.to_vec());
                }
            }
            let absent = table.absent();
            table.groups[group] = ids.iter().any(|id| *id != absent).then(|| group_id(&ids));
            if let Some(node) = table.groups[group] {
                own.insert(node, ids.iter().flat_map(|id| id.0).collect());
            }
        }
        let hash = manifest.computed_hash();
        let inconsistent =
            || objects.inconsistent("a region's table has too few or too many groups".to_owned());
        manifest.state_hash = hash.ok_or_else(inconsistent)?;
        Ok(Edited { manifest, own: Arc::new(own), base: objects.again() })
    }
}

/// Sets the field at `path` to what `text` says; which of the sections it is in.
///
/// # Errors
/// Names the field, and what it can hold.
pub fn set_field(sections: &mut [OwnedSection], path: &str, text: &str) -> Result<usize, EditError> {
    let inside = |section: &OwnedSection| below(path, &section.path).is_some();
    let found = (0..sections.len()).filter(|n| inside(&sections[*n])).max_by_key(|n| sections[*n].path.len());
    let n = found.ok_or_else(|| EditError::Section { path: path.to_owned() })?;
    let section = &mut sections[n];
    let rest = &path[section.path.len()..];
    let bad =
        || EditError::Path { path: path.to_owned(), section: section.path.clone(), rest: rest.to_owned() };
    let parts = parts(rest).ok_or_else(bad)?;
    let mut value = decode(section)?;
    assign(&mut value, Shape::of(&section.schema), &parts, &mut Place::new(&section.path), text)?;
    let bytes = encode(section, &value)?;
    drop(value);
    section.bytes = bytes;
    Ok(n)
}

/// The rest of `path` behind that of a section.
fn below<'p>(path: &'p str, section: &str) -> Option<&'p str> {
    path.strip_prefix(section).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The parts of a path such as `.a[3].b`.
fn parts(mut path: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    while !path.is_empty() {
        if let Some(rest) = path.strip_prefix('[') {
            let (inside, rest) = rest.split_once(']')?;
            parts.push(inside.parse().map_or_else(|_| Part::Key(inside.to_owned()), Part::Index));
            path = rest;
        } else {
            let rest = path.strip_prefix('.')?;
            let (name, rest) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
            parts.push(Part::Field(name));
            path = rest;
        }
    }
    Some(parts)
}

/// An edited snapshot that is in no store yet.
pub struct Edited {
    manifest: Manifest,
    /// The objects that are not its parent's.
    own: Arc<BTreeMap<ObjectId, Vec<u8>>>,
    base: Objects,
}

impl Edited {
    /// The snapshot, to read.
    pub fn snapshot(&self) -> Snapshot {
        let manifest = self.manifest.clone();
        let objects = self.base.with(self.id(), Arc::clone(&self.own));
        Snapshot { manifest, objects }
    }

    /// Its id.
    pub fn id(&self) -> SnapshotId {
        self.manifest.encode().0
    }

    /// Says where the machine stands, which edited fields may have changed.
    pub fn stands_at(&mut self, step: u64, time: u64) {
        (self.manifest.step, self.manifest.time) = (step, time);
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The objects that are not its parent's.
    pub fn own(&self) -> &BTreeMap<ObjectId, Vec<u8>> {
        &self.own
    }
}
