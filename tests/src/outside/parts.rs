//! Archives taken apart and put together again with every checksum right, as docs/snapshots.md has them: what a mutation
//! changes must be judged for what it says, not for a hash that does not fit.

use amber_snapshot::{Manifest, ObjectId};
use serde::Serialize;

const MAGIC: &[u8; 8] = b"AMBERPAK";
const MANIFEST_MAGIC: [u8; 8] = *b"AMBERMAN";
const FORMAT: u32 = 1;
const FOOTER: usize = 64;

/// Where an object is: its id, offset, stored and full length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub id: ObjectId,
    pub offset: u64,
    pub stored: u32,
    pub raw: u32,
}

/// Bytes of a record.
const RECORD: usize = 48;

/// The index of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index(pub Vec<Record>);

impl Index {
    fn parse(bytes: &[u8]) -> Self {
        assert!(bytes.len().is_multiple_of(RECORD), "an index is records");
        let record = |bytes: &[u8]| Record {
            id: ObjectId(bytes[..32].try_into().expect("32 bytes")),
            offset: u64::from_le_bytes(bytes[32..40].try_into().expect("8 bytes")),
            stored: u32::from_le_bytes(bytes[40..44].try_into().expect("4 bytes")),
            raw: u32::from_le_bytes(bytes[44..].try_into().expect("4 bytes")),
        };
        Self(bytes.chunks(RECORD).map(record).collect())
    }

    /// As it is in a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * RECORD);
        for Record { id, offset, stored, raw } in &self.0 {
            bytes.extend(id.0);
            bytes.extend(offset.to_le_bytes());
            bytes.extend(stored.to_le_bytes());
            bytes.extend(raw.to_le_bytes());
        }
        bytes
    }
}

/// An archive in its parts.
#[derive(Clone, Debug)]
pub struct Parts {
    /// From the start of the file to the index.
    pub blocks: Vec<u8>,
    pub index: Index,
    pub manifest: Manifest,
}

fn to_vec(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data always serialises to memory")
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    *hasher.finalize().as_bytes()
}

impl Parts {
    /// The parts of an archive that is whole.
    pub fn of(archive: &[u8]) -> Self {
        let footer = &archive[archive.len() - FOOTER..];
        let word = |n: usize| u64::from_le_bytes(footer[n * 8..n * 8 + 8].try_into().expect("8 bytes"));
        let (at, len, extra) = (word(0) as usize, word(1) as usize, word(2) as usize);
        let index = Index::parse(&archive[at..at + len]);
        let contents = &archive[at + len..at + len + extra];
        let (file, _): (Vec<u8>, &[u8]) = postcard::take_from_bytes(contents).expect("a manifest file");
        let (_, core): ([u8; 8], &[u8]) = postcard::take_from_bytes(&file).expect("magic");
        let (_, core): (u32, &[u8]) = postcard::take_from_bytes(core).expect("version");
        let (core, _): (Vec<u8>, &[u8]) = postcard::take_from_bytes(core).expect("core");
        let manifest = postcard::from_bytes(&core).expect("a manifest");
        Self { blocks: archive[..at].to_vec(), index, manifest }
    }

    /// The archive.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.with_core(&to_vec(&self.manifest))
    }

    /// The archive with these bytes for its manifest.
    pub fn with_core(&self, core: &[u8]) -> Vec<u8> {
        let contents = (manifest_file(core), None::<(String, u64)>);
        self.assemble(&self.index.to_bytes(), &to_vec(&contents))
    }

    /// The archive with these bytes for its index.
    pub fn with_index(&self, index: &[u8]) -> Vec<u8> {
        let contents = (manifest_file(&to_vec(&self.manifest)), None::<(String, u64)>);
        self.assemble(index, &to_vec(&contents))
    }

    fn assemble(&self, index: &[u8], contents: &[u8]) -> Vec<u8> {
        let mut footer = Vec::with_capacity(FOOTER);
        for word in [self.blocks.len(), index.len(), contents.len()] {
            footer.extend((word as u64).to_le_bytes());
        }
        footer.extend(hash(&[index, contents, &footer]));
        footer.extend(MAGIC);
        [&self.blocks, index, contents, &footer].concat()
    }

    /// Gives the manifest the state hash that it has, if its tables have one.
    pub fn rehash(&mut self) {
        if let Some(hash) = self.manifest.computed_hash() {
            self.manifest.state_hash = hash;
        }
    }

    /// The bytes of an object that is there.
    pub fn object(&self, id: ObjectId) -> Option<Vec<u8>> {
        let record = self.index.0.iter().find(|record| record.id == id)?;
        let stored = &self.blocks[record.offset as usize..][..record.stored as usize];
        if record.stored == record.raw {
            return Some(stored.to_vec());
        }
        zstd::bulk::decompress(stored, record.raw as usize).ok()
    }

    /// Adds an object, as it is; its id.
    pub fn add(&mut self, bytes: &[u8]) -> ObjectId {
        let id = ObjectId::of(bytes);
        let place = self.index.0.binary_search_by_key(&id, |record| record.id);
        if let Err(place) = place {
            let (offset, raw) = (self.blocks.len() as u64, bytes.len() as u32);
            self.index.0.insert(place, Record { id, offset, stored: raw, raw });
            self.blocks.extend(bytes);
        }
        id
    }

    /// Ids of the pages of a region's group; none if it has no node that can be read.
    pub fn list(&self, region: usize, group: usize) -> Option<Vec<ObjectId>> {
        let node = (*self.manifest.regions.get(region)?.groups.get(group)?)?;
        let ids = self.object(node)?;
        Some(ids.chunks_exact(32).map(|id| ObjectId(id.try_into().expect("32 bytes"))).collect())
    }

    /// Gives a region's group another list of pages.
    pub fn set_list(&mut self, region: usize, group: usize, ids: &[ObjectId]) {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
        let node = self.add(&bytes);
        self.manifest.regions[region].groups[group] = Some(node);
        self.rehash();
    }

    /// Places (region, group, page) of all pages with bytes of their own.
    pub fn pages(&self) -> Vec<(usize, usize, usize)> {
        let mut places = Vec::new();
        for (region, table) in self.manifest.regions.iter().enumerate() {
            for group in 0..table.groups.len() {
                let ids = self.list(region, group).unwrap_or_default();
                let own = (0..ids.len()).filter(|page| ids[*page] != table.absent());
                places.extend(own.map(|page| (region, group, page)));
            }
        }
        places
    }
}

/// A manifest file around a core.
fn manifest_file(core: &[u8]) -> Vec<u8> {
    let check = hash(&[&(core.len() as u64).to_le_bytes(), core]);
    to_vec(&(MANIFEST_MAGIC, FORMAT, core.to_vec(), Vec::<[u8; 32]>::new(), check))
}
