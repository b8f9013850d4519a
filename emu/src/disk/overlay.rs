//! The written blocks of a disk: a table of two levels, shared by copies and copied where it changes, as blocks are.

use amber_mmu::{FIRST_EPOCH, PAGE, PageSource};
use amber_snapshot::{GROUP_PAGES, RegionTree};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

type Bytes = [u8; PAGE as usize];
static ZEROES: Bytes = [0; PAGE as usize];

/// A block that was written.
struct Block {
    /// Tells versions of blocks apart.
    stamp: u64,
    /// Empty while it is still to come from its source. Without one, zeroes.
    bytes: OnceLock<Box<Bytes>>,
    source: Option<(Arc<dyn PageSource>, u64)>,
}

impl Block {
    /// Zeroes take no room: file systems write many.
    fn new(stamp: u64, bytes: Box<Bytes>) -> Self {
        let bytes = if *bytes == ZEROES { OnceLock::new() } else { OnceLock::from(bytes) };
        Self { stamp, bytes, source: None }
    }

    fn bytes(&self) -> Result<&Bytes, String> {
        if self.bytes.get().is_none()
            && let Some((source, page)) = &self.source
        {
            let mut bytes = Box::new(ZEROES);
            source.read(*page, &mut bytes)?;
            // Whoever was faster read the same.
            let _ = self.bytes.set(bytes);
        }
        Ok(self.bytes.get().map_or(&ZEROES, |bytes| bytes))
    }
}

#[derive(Clone)]
struct Group {
    /// The stamp of the last write to one of its blocks.
    newest: u64,
    blocks: Vec<Option<Arc<Block>>>,
}

/// The written blocks of a disk. A clone costs nothing per byte.
#[derive(Clone)]
pub struct Overlay {
    groups: Arc<Vec<Option<Arc<Group>>>>,
    pages: usize,
    /// The next stamp. All copies take theirs from it, so that a stamp names one version of one block for ever.
    stamps: Arc<AtomicU64>,
    damage: Arc<OnceLock<String>>,
}

impl Overlay {
    /// No block of `pages` was written.
    pub fn new(pages: usize) -> Self {
        Self {
            groups: Arc::new(vec![None; pages.div_ceil(GROUP_PAGES)]),
            pages,
            stamps: Arc::new(AtomicU64::new(FIRST_EPOCH + 1)),
            damage: Arc::default(),
        }
    }

    /// The blocks `tree` has ids of were written, and come from `source` when they are needed. Their stamp is the first.
    pub fn stored(tree: &RegionTree, source: &Arc<dyn PageSource>) -> Self {
        let mut overlay = Self::new(tree.pages());
        let block = |page: usize| Block {
            stamp: FIRST_EPOCH,
            bytes: OnceLock::new(),
            source: Some((Arc::clone(source), page as u64)),
        };
        let mut groups = Vec::new();
        for (n, (_, ids)) in tree.groups().enumerate() {
            let own = |i: usize| (ids[i] != tree.absent()).then(|| Arc::new(block(n * GROUP_PAGES + i)));
            let blocks: Vec<_> = (0..ids.len()).map(own).collect();
            let any = blocks.iter().any(Option::is_some);
            groups.push(any.then(|| Arc::new(Group { newest: FIRST_EPOCH, blocks })));
        }
        overlay.groups = Arc::new(groups);
        overlay
    }

    pub fn pages(&self) -> usize {
        self.pages
    }

    /// How many blocks were written.
    pub fn written(&self) -> u64 {
        self.groups.iter().flatten().map(|group| group.blocks.iter().flatten().count() as u64).sum()
    }

    fn get(&self, page: usize) -> Option<&Arc<Block>> {
        self.groups.get(page / GROUP_PAGES)?.as_ref()?.blocks.get(page % GROUP_PAGES)?.as_ref()
    }

    /// The bytes of a block, if it was written.
    pub fn block(&self, page: usize) -> Result<Option<&Bytes>, String> {
        self.get(page).map(|block| block.bytes()).transpose().inspect_err(|why| self.note(why))
    }

    /// Stamp of the last write to a block.
    pub fn stamp(&self, page: usize) -> Option<u64> {
        self.get(page).map(|block| block.stamp)
    }

    /// Stamp of the last write to a block of a group, 0 before the first.
    pub fn newest(&self, group: usize) -> u64 {
        self.groups.get(group).and_then(Option::as_ref).map_or(0, |group| group.newest)
    }

    /// The bytes of a block; zeroes where there are none, or they cannot be had.
    pub fn bytes(&self, page: usize) -> &[u8] {
        self.block(page).ok().flatten().unwrap_or(&ZEROES)
    }

    fn note(&self, why: &str) {
        // The first reason stands.
        let _ = self.damage.set(why.to_owned());
    }

    pub fn damaged(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    fn place(&mut self, page: usize, stamp: u64) -> Option<&mut Option<Arc<Block>>> {
        let group = Arc::make_mut(&mut self.groups).get_mut(page / GROUP_PAGES)?;
        let blank = || Arc::new(Group { newest: 0, blocks: vec![None; GROUP_PAGES] });
        let group = Arc::make_mut(group.get_or_insert_with(blank));
        group.newest = stamp;
        group.blocks.get_mut(page % GROUP_PAGES)
    }

    fn take_stamp(&self) -> u64 {
        self.stamps.fetch_add(1, Ordering::Relaxed)
    }

    /// Changes a part of a block that was written before. Whether it was.
    pub fn update(&mut self, page: usize, offset: usize, from: &[u8]) -> Result<bool, String> {
        if self.block(page)?.is_none() {
            return Ok(false);
        }
        let stamp = self.take_stamp();
        let Some(place) = self.place(page, stamp).and_then(Option::as_mut) else { return Ok(false) };
        let change = |bytes: &mut Bytes| bytes[offset..offset + from.len()].copy_from_slice(from);
        if let Some(block) = Arc::get_mut(place)
            && let Some(bytes) = block.bytes.get_mut()
        {
            block.stamp = stamp;
            change(bytes);
        } else {
            let mut bytes = Box::new(*place.bytes()?);
            change(&mut bytes);
            *place = Arc::new(Block::new(stamp, bytes));
        }
        Ok(true)
    }

    /// Writes the whole of a block.
    pub fn insert(&mut self, page: usize, bytes: Box<Bytes>) {
        let stamp = self.take_stamp();
        if let Some(place) = self.place(page, stamp) {
            *place = Some(Arc::new(Block::new(stamp, bytes)));
        }
    }

    /// Brings every block that is still to come.
    pub fn fetch_all(&self) {
        let blocks = self.groups.iter().flatten().flat_map(|group| group.blocks.iter().flatten());
        for block in blocks {
            if let Err(why) = block.bytes() {
                return self.note(&why);
            }
        }
    }
}
