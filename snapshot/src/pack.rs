//! Packs: immutable files of compressed objects (pages and lists of page ids), found by the hash of their bytes.
//!
//! A header, the objects, each compressed by itself, the index, then a footer that says where the index is. An archive
//! is a pack with a manifest file and a name between index and footer. In packs of format 1 several objects were
//! compressed together.

mod index;

pub(crate) use index::Place;

use crate::StoreError;
use crate::hash::ObjectId;
use crate::host_file::read_exact_at;
use crate::manifest::PackId;
use index::{Index, NewIndex};
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"AMBERPAK";
/// Version of the pack's layout.
pub const PACK_FORMAT: u32 = 2;
const HEADER: u64 = 12;
const FOOTER: u64 = 8 + 8 + 8 + 32 + 8;
/// Largest object: the ids of 512 pages.
pub(crate) const MAX_OBJECT: usize = 512 * 32;

/// Pages that are kept as they are where there are no more: a small save is compared with its parent more often than it
/// takes room.
const FEW: usize = 1024;

/// What a pack is compressed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Density {
    /// A store's: pages are read back in a third of the time at a fifth more room.
    Fast,
    /// An archive's.
    Dense,
}

impl Density {
    /// zstd's level. Those below 0 leave out the entropy coding of literals, where most of the time goes.
    fn level(self) -> i32 {
        match self {
            Self::Fast => -2,
            Self::Dense => 3,
        }
    }
}

/// Writes a pack.
pub(crate) struct PackWriter {
    file: PathBuf,
    out: BufWriter<File>,
    at: u64,
    /// Pages while they are few, in a store's pack.
    few: Option<Vec<(ObjectId, Vec<u8>)>>,
    /// Lists of page ids: they come together, after the pages, as a load needs all of them at once.
    lists: Vec<(ObjectId, Vec<u8>)>,
    index: NewIndex,
    have: HashSet<ObjectId>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl PackWriter {
    pub fn create(file: &Path, density: Density) -> Result<Self, StoreError> {
        let out = File::create(file).map_err(StoreError::write(file))?;
        let compressor = zstd::bulk::Compressor::new(density.level()).map_err(StoreError::write(file))?;
        let mut writer = Self {
            file: file.to_owned(),
            out: BufWriter::with_capacity(1 << 20, out),
            at: 0,
            few: (density == Density::Fast).then(Vec::new),
            lists: Vec::new(),
            index: NewIndex::default(),
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
        let Some(few) = &mut self.few else { return self.put_compressed(id, bytes) };
        few.push((id, bytes.to_vec()));
        if few.len() > FEW {
            for (id, bytes) in self.few.take().into_iter().flatten() {
                self.put_compressed(id, &bytes)?;
            }
        }
        Ok(())
    }

    /// Adds a list of page ids, once.
    pub fn add_list(&mut self, id: ObjectId, bytes: &[u8]) {
        if self.have.insert(id) {
            self.lists.push((id, bytes.to_vec()));
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

    fn put_compressed(&mut self, id: ObjectId, bytes: &[u8]) -> Result<(), StoreError> {
        let compressed = self.compressor.compress(bytes).map_err(StoreError::write(&self.file))?;
        let stored = if compressed.len() < bytes.len() { &compressed } else { bytes };
        self.put_object(id, stored, bytes.len())
    }

    fn put_object(&mut self, id: ObjectId, stored: &[u8], raw: usize) -> Result<(), StoreError> {
        self.index.add(id, self.at, stored.len(), raw);
        self.put(stored)
    }

    /// Writes index, `extra` and footer, and sees to it that all of it is on the disk.
    pub fn finish(mut self, extra: &[u8]) -> Result<PackId, StoreError> {
        for (id, bytes) in self.few.take().into_iter().flatten() {
            self.put_object(id, &bytes, bytes.len())?;
        }
        for (id, bytes) in std::mem::take(&mut self.lists) {
            self.put_compressed(id, &bytes)?;
        }
        let index = std::mem::take(&mut self.index).into_bytes();
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
    ///
    /// # Errors
    /// When it is none, or is damaged; with `expected`, also when it is another one.
    pub fn open(path: &Path, expected: Option<PackId>) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::read(path))?;
        let len = file.metadata().map_err(StoreError::read(path))?.len();
        let bad = |why: &str| StoreError::format(path, why);
        let read = |at: u64, len: u64| {
            let mut bytes = vec![0; len as usize];
            read_exact_at(&file, &mut bytes, at).map_err(StoreError::read(path)).map(|()| bytes)
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
        let id = PackId(*blake3::hash(&index_bytes).as_bytes());
        // An index that has the hash it is named by needs no second one.
        if expected != Some(id) || !extra.is_empty() {
            let check =
                blake3::Hasher::new().update(&index_bytes).update(&extra).update(&footer[..24]).finalize();
            if *check.as_bytes() != footer[24..56] {
                return Err(bad("it is damaged: its index has another checksum"));
            }
        }
        let index = Index::parse(found, index_bytes, index_at).map_err(|why| bad(&why))?;
        Ok(Self { path: path.to_owned(), file, index, id, extra })
    }

    /// Where an object is, if it is in this pack.
    pub fn place(&self, id: ObjectId) -> Option<Place> {
        self.index.place(id)
    }

    /// What is stored at a place: the object's bytes and those of others it was compressed with.
    pub fn read(&self, place: &Place) -> Result<Vec<u8>, StoreError> {
        let damaged = |why: String| {
            StoreError::format(&self.path, format!("what lies at {} is damaged: {why}", place.offset))
        };
        let mut stored = vec![0; place.stored as usize];
        read_exact_at(&self.file, &mut stored, place.offset).map_err(StoreError::read(&self.path))?;
        if place.plain {
            return Ok(stored);
        }
        let raw = decompress(&stored, place.raw as usize).map_err(|e| damaged(e.to_string()))?;
        if raw.len() != place.raw as usize {
            return Err(damaged("it is too short".to_owned()));
        }
        Ok(raw)
    }

    /// Object `id` among the bytes of its place.
    pub fn object<'a>(&self, id: ObjectId, place: &Place, bytes: &'a [u8]) -> Result<&'a [u8], StoreError> {
        let (start, len) = (place.start as usize, place.len as usize);
        let bytes = bytes.get(start..start + len).unwrap_or(&[]);
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
        self.index.ids()
    }

    /// Bytes of the file.
    pub fn stored(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}
