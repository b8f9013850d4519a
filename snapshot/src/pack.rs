//! Packs: immutable files of compressed objects (pages and lists of page ids), found by the hash of their bytes.
//!
//! A header, blocks of objects compressed together, the index, then a footer that says where the index is. An archive
//! is a pack with a manifest file and a name between index and footer.

use crate::StoreError;
use crate::hash::ObjectId;
use crate::manifest::PackId;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"AMBERPAK";
/// Version of the pack's layout.
pub const PACK_FORMAT: u32 = 1;
const HEADER: u64 = 12;
const FOOTER: u64 = 8 + 8 + 8 + 32 + 8;
/// Bytes compressed together: one page fetched costs the decompression of so much.
const BLOCK: usize = 16 * 4096;
/// Largest object: the ids of 512 pages.
pub(crate) const MAX_OBJECT: usize = 512 * 32;
const MAX_RAW: usize = BLOCK + MAX_OBJECT;
const LEVEL: i32 = 1;

/// A run of objects compressed together.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Block {
    offset: u64,
    stored: u32,
    raw: u32,
}

/// Where an object is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Entry {
    id: ObjectId,
    block: u32,
    offset: u32,
    len: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Index {
    blocks: Vec<Block>,
    /// By id.
    entries: Vec<Entry>,
}

/// Objects that are to be compressed together.
#[derive(Default)]
struct Filling {
    raw: Vec<u8>,
    objects: Vec<(ObjectId, u32, u32)>,
}

impl Filling {
    fn add(&mut self, id: ObjectId, bytes: &[u8]) {
        self.objects.push((id, self.raw.len() as u32, bytes.len() as u32));
        self.raw.extend_from_slice(bytes);
    }

    fn is_full(&self) -> bool {
        self.raw.len() >= BLOCK
    }
}

/// Writes a pack.
pub(crate) struct PackWriter {
    file: PathBuf,
    out: BufWriter<File>,
    at: u64,
    /// Pages of the block being filled.
    pages: Filling,
    /// Lists of page ids: they come together, after the pages, as a load needs all of them at once.
    lists: Vec<Filling>,
    index: Index,
    have: HashSet<ObjectId>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl PackWriter {
    pub fn create(file: &Path) -> Result<Self, StoreError> {
        let out = File::create(file).map_err(StoreError::write(file))?;
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(StoreError::write(file))?;
        let mut writer = Self {
            file: file.to_owned(),
            out: BufWriter::with_capacity(1 << 20, out),
            at: 0,
            pages: Filling::default(),
            lists: Vec::new(),
            index: Index::default(),
            have: HashSet::new(),
            compressor,
        };
        writer.put(&MAGIC)?;
        writer.put(&PACK_FORMAT.to_le_bytes())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes).map_err(StoreError::write(&self.file))
    }

    pub fn is_empty(&self) -> bool {
        self.have.is_empty()
    }

    pub fn contains(&self, id: ObjectId) -> bool {
        self.have.contains(&id)
    }

    /// Adds a page, once.
    pub fn add_page(&mut self, id: ObjectId, bytes: &[u8]) -> Result<(), StoreError> {
        if !self.have.insert(id) {
            return Ok(());
        }
        self.pages.add(id, bytes);
        if self.pages.is_full() {
            let full = std::mem::take(&mut self.pages);
            self.put_block(&full)?;
        }
        Ok(())
    }

    /// Adds a list of page ids, once.
    pub fn add_list(&mut self, id: ObjectId, bytes: &[u8]) {
        if !self.have.insert(id) {
            return;
        }
        match self.lists.last_mut().filter(|last| !last.is_full()) {
            Some(last) => last.add(id, bytes),
            None => {
                let mut fresh = Filling::default();
                fresh.add(id, bytes);
                self.lists.push(fresh);
            }
        }
    }

    /// Adds an object, once: a page if it has the size of one.
    pub fn add(&mut self, id: ObjectId, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() == 4096 {
            return self.add_page(id, bytes);
        }
        self.add_list(id, bytes);
        Ok(())
    }

    fn put_block(&mut self, filling: &Filling) -> Result<(), StoreError> {
        if filling.raw.is_empty() {
            return Ok(());
        }
        let block = self.index.blocks.len() as u32;
        let entry =
            |(id, offset, len): &(ObjectId, u32, u32)| Entry { id: *id, block, offset: *offset, len: *len };
        self.index.entries.extend(filling.objects.iter().map(entry));
        let stored = self.compressor.compress(&filling.raw).map_err(StoreError::write(&self.file))?;
        let raw = filling.raw.len() as u32;
        self.index.blocks.push(Block { offset: self.at, stored: stored.len() as u32, raw });
        self.put(&stored)
    }

    /// Writes index, `extra` and footer, and sees to it that all of it is on the disk.
    pub fn finish(mut self, extra: &[u8]) -> Result<PackId, StoreError> {
        let last = std::mem::take(&mut self.pages);
        for filling in std::iter::once(last).chain(std::mem::take(&mut self.lists)) {
            self.put_block(&filling)?;
        }
        self.index.entries.sort_unstable_by_key(|entry| entry.id);
        let index = postcard::to_stdvec(&self.index).expect("plain data always serialises to memory");
        let id = PackId(*blake3::hash(&index).as_bytes());
        let index_at = self.at;
        let mut footer = Vec::with_capacity(FOOTER as usize);
        footer.extend_from_slice(&index_at.to_le_bytes());
        footer.extend_from_slice(&(index.len() as u64).to_le_bytes());
        footer.extend_from_slice(&(extra.len() as u64).to_le_bytes());
        let check = blake3::Hasher::new().update(&index).update(extra).update(&footer).finalize();
        footer.extend_from_slice(check.as_bytes());
        footer.extend_from_slice(&MAGIC);
        self.put(&index)?;
        self.put(extra)?;
        self.put(&footer)?;
        let file = self.out.into_inner().map_err(|e| StoreError::write(&self.file)(e.into_error()))?;
        file.sync_all().map_err(StoreError::write(&self.file))?;
        Ok(id)
    }
}

/// Decompresses with what the thread keeps for it: setting that up takes as long as a small block.
fn decompress(bytes: &[u8], len: usize) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static KEPT: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    KEPT.with_borrow_mut(|kept| match kept {
        Some(kept) => kept.decompress(bytes, len),
        None => kept.insert(zstd::bulk::Decompressor::new()?).decompress(bytes, len),
    })
}

/// A pack to read from. It stays readable when its file is removed.
pub(crate) struct Pack {
    path: PathBuf,
    file: File,
    index: Index,
    pub id: PackId,
    /// What follows the index: an archive's manifest.
    pub extra: Vec<u8>,
}

impl Pack {
    /// Opens a pack and reads its index.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::read(path))?;
        let len = file.metadata().map_err(StoreError::read(path))?.len();
        let bad = |why: &str| StoreError::format(path, why);
        let read = |at: u64, len: u64| {
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, at).map_err(StoreError::read(path)).map(|()| bytes)
        };
        if len < HEADER + FOOTER {
            return Err(bad("it is too short to be a pack of snapshots"));
        }
        let header = read(0, HEADER)?;
        if header[..8] != MAGIC {
            return Err(bad("it is no snapshot of Amber's"));
        }
        let found = u32::from_le_bytes(header[8..12].try_into().unwrap_or_default());
        if found > PACK_FORMAT {
            return Err(StoreError::Newer { file: path.to_owned(), found, newest: PACK_FORMAT });
        }
        let footer = read(len - FOOTER, FOOTER)?;
        let word = |n: usize| u64::from_le_bytes(footer[n * 8..n * 8 + 8].try_into().unwrap_or_default());
        let (index_at, index_len, extra_len) = (word(0), word(1), word(2));
        let end = index_at.checked_add(index_len).and_then(|end| end.checked_add(extra_len));
        if footer[56..] != MAGIC || index_at < HEADER || end != Some(len - FOOTER) {
            return Err(bad("it is cut off or damaged: its end does not say where its index is"));
        }
        let index_bytes = read(index_at, index_len)?;
        let extra = read(index_at + index_len, extra_len)?;
        let check =
            blake3::Hasher::new().update(&index_bytes).update(&extra).update(&footer[..24]).finalize();
        if *check.as_bytes() != footer[24..56] {
            return Err(bad("it is damaged: its index has another checksum"));
        }
        let index: Index =
            postcard::from_bytes(&index_bytes).map_err(|e| bad(&format!("its index does not parse: {e}")))?;
        index.check(index_at).map_err(bad)?;
        let id = PackId(*blake3::hash(&index_bytes).as_bytes());
        Ok(Self { path: path.to_owned(), file, index, id, extra })
    }

    fn entry(&self, id: ObjectId) -> Option<&Entry> {
        let at = self.index.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        Some(&self.index.entries[at])
    }

    /// The block an object is in.
    pub fn block_of(&self, id: ObjectId) -> Option<u32> {
        self.entry(id).map(|entry| entry.block)
    }

    /// The bytes of a block.
    pub fn read_block(&self, block: u32) -> Result<Vec<u8>, StoreError> {
        let Block { offset, stored, raw } = self.index.blocks[block as usize];
        let mut bytes = vec![0; stored as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(StoreError::read(&self.path))?;
        let raw_bytes = decompress(&bytes, raw as usize)
            .map_err(|e| StoreError::format(&self.path, format!("block {block} is damaged: {e}")))?;
        if raw_bytes.len() != raw as usize {
            return Err(StoreError::format(&self.path, format!("block {block} is damaged: it is too short")));
        }
        Ok(raw_bytes)
    }

    /// An object's bytes in its block's.
    pub fn slice<'a>(&self, id: ObjectId, block: &'a [u8]) -> Result<&'a [u8], StoreError> {
        let entry = self.entry(id).map(|entry| (entry.offset as usize, entry.len as usize));
        let bytes = entry.and_then(|(offset, len)| block.get(offset..offset + len)).unwrap_or(&[]);
        if ObjectId::of(bytes) == id {
            Ok(bytes)
        } else {
            Err(StoreError::format(
                &self.path,
                format!("object {id:?} is damaged: its bytes have another hash"),
            ))
        }
    }

    /// Ids of all objects.
    pub fn ids(&self) -> impl Iterator<Item = ObjectId> + '_ {
        self.index.entries.iter().map(|entry| entry.id)
    }

    /// Bytes of the file.
    pub fn stored(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Index {
    /// Nothing in the index leads outside of the blocks, or makes a reader allocate more than a block.
    fn check(&self, end: u64) -> Result<(), &'static str> {
        let inside = |block: &Block| {
            block.offset >= HEADER
                && block.offset.checked_add(block.stored.into()).is_some_and(|to| to <= end)
                && block.raw as usize <= MAX_RAW
        };
        if !self.blocks.iter().all(inside) {
            return Err("it is damaged: a block lies outside of the file");
        }
        let known = |entry: &Entry| {
            self.blocks.get(entry.block as usize).is_some_and(|block| {
                entry.len as usize <= MAX_OBJECT
                    && u64::from(entry.offset) + u64::from(entry.len) <= block.raw.into()
            })
        };
        if !self.entries.iter().all(known) || !self.entries.is_sorted_by(|a, b| a.id < b.id) {
            return Err("it is damaged: its index is not in order");
        }
        Ok(())
    }
}
