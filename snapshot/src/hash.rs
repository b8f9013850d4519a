//! The state hash: blake3 over sections and a hash tree over regions.

use crate::OwnedSection;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Hash of a whole machine state; equal exactly when sections and regions are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StateHash(pub [u8; 32]);

impl std::fmt::Display for StateHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Hashes `sections` (in the order given, which is part of the hash) and the roots of named regions.
pub fn hash_sections(sections: &[OwnedSection], regions: &[(&str, [u8; 32])]) -> StateHash {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(&(sections.len() as u64).to_le_bytes());
    for section in sections {
        part(section.path.as_bytes());
        part(section.kind.as_bytes());
        part(&section.version.to_le_bytes());
        part(&section.bytes);
    }
    for (name, root) in regions {
        part(name.as_bytes());
        part(root);
    }
    StateHash(*hasher.finalize().as_bytes())
}

/// blake3 over the bytes of a page, or of a list of such ids: an inner node of a region's hash tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId(pub [u8; 32]);

impl ObjectId {
    /// Hash of a page of zeroes.
    pub const ZERO: Self = Self([
        0xb6, 0xfb, 0x73, 0xfc, 0x46, 0x93, 0x8c, 0x98, 0x1e, 0x2b, 0x0b, 0x4b, 0x1e, 0xf2, 0x82, 0xad, 0xcf,
        0xc8, 0x98, 0x54, 0xd0, 0x1b, 0xfe, 0x39, 0x72, 0xfd, 0xc4, 0x78, 0x5b, 0x41, 0xb2, 0xc7,
    ]);

    /// Stands for a page without bytes of its own in the overlay of a disk.
    pub const ABSENT: Self = Self([0; 32]);

    /// Hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl std::fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Pages in an inner node of a region's hash tree.
pub const GROUP_PAGES: usize = 512;

/// Hash of an inner node: blake3 over its page ids, in order.
pub fn group_id(pages: &[ObjectId]) -> ObjectId {
    let mut hasher = blake3::Hasher::new();
    pages.iter().for_each(|page| {
        hasher.update(&page.0);
    });
    ObjectId(*hasher.finalize().as_bytes())
}

/// Root of a region of `pages` pages with these inner nodes.
pub fn region_root(pages: usize, groups: impl IntoIterator<Item = ObjectId>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(pages as u64).to_le_bytes());
    groups.into_iter().for_each(|group| {
        hasher.update(&group.0);
    });
    *hasher.finalize().as_bytes()
}

/// A region's pages as something that remembers when each was written.
pub trait RegionPages {
    /// Number of pages.
    fn pages(&self) -> usize;
    /// The latest generation among the pages of a group of [`GROUP_PAGES`].
    fn newest(&self, group: usize) -> u64;
    /// Generation of the last write to a page, `None` while it has no bytes of its own: it was never written. The
    /// same page with the same generation has the same bytes.
    fn generation(&self, page: usize) -> Option<u64>;
    /// The 4096 bytes of a page.
    fn bytes(&self, page: usize) -> &[u8];
}

/// Hash tree over the pages of a region: leaves are 4 KiB pages, inner nodes have [`GROUP_PAGES`] children. Bringing it
/// up to date costs what changed since the last time; a clone shares what neither changes.
#[derive(Clone, Debug)]
pub struct RegionTree {
    pages: usize,
    /// Id of the pages without bytes of their own.
    absent: ObjectId,
    groups: Vec<Arc<TreeGroup>>,
}

impl Default for RegionTree {
    /// The tree of an empty region of zeroes.
    fn default() -> Self {
        Self::blank(0, ObjectId::ZERO)
    }
}

#[derive(Clone, Debug)]
struct TreeGroup {
    /// The region's `newest` of this group when last looked at.
    newest: u64,
    generations: Vec<Option<u64>>,
    ids: Vec<ObjectId>,
    id: ObjectId,
}

impl TreeGroup {
    fn blank(pages: usize, absent: ObjectId) -> Self {
        let ids = vec![absent; pages];
        let id = group_id(&ids);
        Self { newest: 0, generations: vec![None; pages], ids, id }
    }

    fn update(&mut self, region: &impl RegionPages, first: usize, absent: ObjectId) {
        for (i, known) in self.generations.iter_mut().enumerate() {
            let now = region.generation(first + i);
            if now != *known {
                *known = now;
                self.ids[i] = now.map_or(absent, |_| ObjectId::of(region.bytes(first + i)));
            }
        }
        self.id = group_id(&self.ids);
    }
}

impl RegionTree {
    /// The tree of a region of `pages` pages whose ids are known already: each inner node's with those below it, `None`
    /// where all are `absent`. `generation` is that of the pages which are not.
    pub fn known(
        pages: usize,
        absent: ObjectId,
        groups: Vec<Option<(ObjectId, Vec<ObjectId>)>>,
        generation: u64,
    ) -> Self {
        let mut tree = Self::blank(pages, absent);
        for (group, ids) in tree.groups.iter_mut().zip(groups) {
            let Some((id, ids)) = ids else { continue };
            let generations = ids.iter().map(|id| (*id != absent).then_some(generation)).collect();
            *group = Arc::new(TreeGroup { newest: generation, generations, ids, id });
        }
        tree
    }

    /// Brings the tree up to date with `region`.
    pub fn update(&mut self, region: &impl RegionPages) {
        if self.pages != region.pages() {
            *self = Self::blank(region.pages(), self.absent);
        }
        for (n, group) in self.groups.iter_mut().enumerate() {
            let newest = region.newest(n);
            if newest != group.newest {
                let group = Arc::make_mut(group);
                group.newest = newest;
                group.update(region, n * GROUP_PAGES, self.absent);
            }
        }
    }

    /// The tree of a region whose pages all have id `absent`.
    pub fn blank(pages: usize, absent: ObjectId) -> Self {
        let whole = Arc::new(TreeGroup::blank(GROUP_PAGES, absent));
        let mut groups = vec![whole; pages / GROUP_PAGES];
        if !pages.is_multiple_of(GROUP_PAGES) {
            groups.push(Arc::new(TreeGroup::blank(pages % GROUP_PAGES, absent)));
        }
        Self { pages, absent, groups }
    }

    /// Number of pages.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Id of the pages without bytes of their own.
    pub fn absent(&self) -> ObjectId {
        self.absent
    }

    /// Id of a page below [`Self::pages`], as of the last update.
    pub fn page(&self, page: usize) -> ObjectId {
        self.groups[page / GROUP_PAGES].ids[page % GROUP_PAGES]
    }

    /// Root of the tree as of the last update.
    pub fn root(&self) -> [u8; 32] {
        region_root(self.pages, self.groups.iter().map(|group| group.id))
    }

    /// Each inner node with the page ids below it, as of the last update.
    pub fn groups(&self) -> impl Iterator<Item = (ObjectId, &[ObjectId])> {
        self.groups.iter().map(|group| (group.id, &group.ids[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ram {
        bytes: Vec<[u8; 4096]>,
        generations: Vec<Option<u64>>,
    }

    impl Ram {
        fn new(pages: usize) -> Self {
            Self { bytes: vec![[0; 4096]; pages], generations: vec![None; pages] }
        }

        fn write(&mut self, page: usize, byte: u8, generation: u64) {
            self.bytes[page][5] = byte;
            self.generations[page] = Some(generation);
        }
    }

    impl RegionPages for Ram {
        fn pages(&self) -> usize {
            self.bytes.len()
        }
        fn newest(&self, group: usize) -> u64 {
            let pages = self.generations.chunks(GROUP_PAGES).nth(group).into_iter().flatten();
            pages.flatten().copied().max().unwrap_or(0)
        }
        fn generation(&self, page: usize) -> Option<u64> {
            self.generations[page]
        }
        fn bytes(&self, page: usize) -> &[u8] {
            &self.bytes[page]
        }
    }

    fn fresh(ram: &Ram) -> [u8; 32] {
        let mut tree = RegionTree::default();
        tree.update(ram);
        tree.root()
    }

    #[test]
    fn the_zero_page_has_the_id_it_should() {
        assert_eq!(ObjectId::of(&[0; 4096]), ObjectId::ZERO);
    }

    #[test]
    fn root_follows_content_not_history() {
        let mut ram = Ram::new(1500);
        let mut kept = RegionTree::default();
        kept.update(&ram);
        let empty = kept.root();
        ram.write(700, 1, 1);
        kept.update(&ram);
        assert_ne!(kept.root(), empty);
        assert_eq!(kept.root(), fresh(&ram));
        ram.write(700, 0, 2);
        kept.update(&ram);
        assert_eq!(kept.root(), empty);
    }

    #[test]
    fn a_tree_of_known_ids_is_the_tree_of_the_bytes() {
        let mut ram = Ram::new(1030);
        ram.write(1029, 3, 1);
        ram.write(4, 3, 1);
        let mut tree = RegionTree::default();
        tree.update(&ram);
        let mut groups: Vec<_> = tree.groups().map(|(id, ids)| Some((id, ids.to_vec()))).collect();
        groups[1] = None;
        let mut known = RegionTree::known(1030, ObjectId::ZERO, groups, 1);
        assert_eq!(known.root(), tree.root());
        ram.write(5, 1, 2);
        known.update(&ram);
        assert_eq!(known.root(), fresh(&ram));
    }
}
