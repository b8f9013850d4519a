//! Manifests: what a snapshot is, but for its pages.

use crate::hash::{GROUP_PAGES, ObjectId, RegionTree, StateHash, group_id, hash_sections, region_root};
use crate::store::Objects;
use crate::{OwnedSection, StoreError};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the manifest's layout.
pub const FORMAT: u32 = 1;
const MAGIC: [u8; 8] = *b"AMBERMAN";

/// Names a snapshot: blake3 over its manifest's core.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SnapshotId(pub [u8; 32]);

impl std::fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for SnapshotId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(());
        }
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| ())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ())?;
        }
        Ok(Self(id))
    }
}

/// Names a pack: blake3 over its index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PackId(pub [u8; 32]);

impl std::fmt::Display for PackId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&SnapshotId(self.0), f)
    }
}

/// The image file under a disk's overlay. It is never written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImage {
    /// Where it was when the snapshot was made.
    pub path: String,
    /// Bytes.
    pub len: u64,
    /// blake3 over its bytes.
    pub hash: [u8; 32],
}

/// A region by the inner nodes of its hash tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionTable {
    pub name: String,
    pub pages: u64,
    /// What pages hold that have no bytes of their own: zeroes, or those of this image.
    pub base: Option<BaseImage>,
    /// Objects that list the ids of 512 pages each; `None` where no page has bytes of its own.
    pub groups: Vec<Option<ObjectId>>,
}

impl RegionTable {
    /// The table of a region with this tree.
    pub fn new(name: &str, tree: &RegionTree, base: Option<BaseImage>) -> Self {
        let absent = tree.absent();
        let own = |(id, ids): (ObjectId, &[ObjectId])| ids.iter().any(|page| *page != absent).then_some(id);
        Self {
            name: name.to_owned(),
            pages: tree.pages() as u64,
            base,
            groups: tree.groups().map(own).collect(),
        }
    }

    /// Id of a page without bytes of its own.
    pub fn absent(&self) -> ObjectId {
        if self.base.is_some() { ObjectId::ABSENT } else { ObjectId::ZERO }
    }

    /// Root of the region's hash tree. `None` if the table does not have as many groups as the pages need.
    pub fn root(&self) -> Option<[u8; 32]> {
        let pages = usize::try_from(self.pages).ok()?;
        if pages.div_ceil(GROUP_PAGES) != self.groups.len() {
            return None;
        }
        let whole = group_id(&vec![self.absent(); GROUP_PAGES]);
        let last = group_id(&vec![self.absent(); pages - pages / GROUP_PAGES * GROUP_PAGES]);
        let id = |(n, group): (usize, &Option<ObjectId>)| match group {
            Some(id) => *id,
            None if (n + 1) * GROUP_PAGES <= pages => whole,
            None => last,
        };
        Some(region_root(pages, self.groups.iter().enumerate().map(id)))
    }

    /// The region's hash tree. `generation` is that of the pages with bytes of their own.
    ///
    /// # Errors
    /// When an inner node is missing or is none.
    pub fn tree(&self, objects: &Objects, generation: u64) -> Result<RegionTree, StoreError> {
        let inconsistent = |why: String| objects.inconsistent(format!("region {}: {why}", self.name));
        if self.root().is_none() {
            return Err(inconsistent(format!(
                "{} groups do not make {} pages",
                self.groups.len(),
                self.pages
            )));
        }
        let pages = self.pages as usize;
        let mut groups = Vec::with_capacity(self.groups.len());
        for (n, group) in self.groups.iter().enumerate() {
            let read = |id| self.node(objects, n, id).map(|ids| (id, ids));
            groups.push(group.map(read).transpose()?);
        }
        Ok(RegionTree::known(pages, self.absent(), groups, generation))
    }

    /// Ids of the pages below an inner node of the table.
    ///
    /// # Errors
    /// When the node is missing or is none.
    pub fn ids(&self, objects: &Objects, group: usize) -> Result<Vec<ObjectId>, StoreError> {
        match self.groups.get(group).copied().flatten() {
            Some(id) => self.node(objects, group, id),
            None => Ok(vec![self.absent(); self.pages_in(group)]),
        }
    }

    /// Pages of a group.
    pub(crate) fn pages_in(&self, group: usize) -> usize {
        let first = (group * GROUP_PAGES) as u64;
        self.pages.saturating_sub(first).min(GROUP_PAGES as u64) as usize
    }

    fn node(&self, objects: &Objects, group: usize, id: ObjectId) -> Result<Vec<ObjectId>, StoreError> {
        let bytes = objects.read(id)?;
        if bytes.len() != self.pages_in(group) * 32 {
            let why = format!("region {}: group {group} lists {} bytes of page ids", self.name, bytes.len());
            return Err(objects.inconsistent(why));
        }
        Ok(bytes.chunks_exact(32).map(|id| ObjectId(id.try_into().unwrap_or_default())).collect())
    }
}

/// A snapshot, but for its pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The snapshot this one's run went on from.
    pub parent: Option<SnapshotId>,
    /// Where the machine stood.
    pub step: u64,
    /// Virtual time, ns.
    pub time: u64,
    /// Records of the input log that lie before.
    pub inputs: u64,
    /// Over sections and regions alone.
    pub state_hash: StateHash,
    /// The configuration (`config`) and the components, in the order that is hashed.
    pub sections: Vec<OwnedSection>,
    /// In the order that is hashed.
    pub regions: Vec<RegionTable>,
    /// The screen, PNG.
    pub thumbnail: Option<Vec<u8>>,
}

impl Manifest {
    /// The state hash that sections and regions have. `None` if a region's table is not one.
    pub fn computed_hash(&self) -> Option<StateHash> {
        let roots: Option<Vec<_>> =
            self.regions.iter().map(|region| Some((region.name.as_str(), region.root()?))).collect();
        Some(hash_sections(&self.sections, &roots?))
    }

    /// The saved form, which is the same for the same manifest, and the id.
    pub(crate) fn encode(&self) -> (SnapshotId, Vec<u8>) {
        let core = postcard::to_stdvec(self).expect("plain data always serialises to memory");
        (SnapshotId(*blake3::hash(&core).as_bytes()), core)
    }

    /// Reads a manifest's core. What it says is consistent with itself then.
    pub(crate) fn decode(file: &Path, core: &[u8]) -> Result<(SnapshotId, Self), StoreError> {
        let id = SnapshotId(*blake3::hash(core).as_bytes());
        let manifest: Self = match postcard::take_from_bytes(core) {
            Ok((manifest, [])) => manifest,
            Ok((_, rest)) => {
                return Err(StoreError::format(file, format!("{} bytes follow the manifest", rest.len())));
            }
            Err(e) => return Err(StoreError::format(file, format!("the manifest does not parse: {e}"))),
        };
        match manifest.computed_hash() {
            Some(hash) if hash == manifest.state_hash => Ok((id, manifest)),
            Some(hash) => Err(StoreError::format(
                file,
                format!("its state has hash {hash}, not {} as it says", manifest.state_hash),
            )),
            None => Err(StoreError::format(file, "a region's table has too few or too many groups")),
        }
    }
}

/// A manifest file: the core, and where its pages are in this store.
#[derive(Serialize, Deserialize)]
pub(crate) struct ManifestFile {
    magic: [u8; 8],
    format: u32,
    core: Vec<u8>,
    /// Packs to look at first. A hint: pages may have moved.
    pub packs: Vec<PackId>,
    /// blake3 over the rest.
    check: [u8; 32],
}

impl ManifestFile {
    pub fn new(core: Vec<u8>, packs: Vec<PackId>) -> Self {
        let mut file = Self { magic: MAGIC, format: FORMAT, core, packs, check: [0; 32] };
        file.check = file.checksum();
        file
    }

    fn checksum(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.core.len() as u64).to_le_bytes()).update(&self.core);
        self.packs.iter().for_each(|pack| {
            hasher.update(&pack.0);
        });
        *hasher.finalize().as_bytes()
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data always serialises to memory")
    }

    /// Reads a manifest file.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<(Self, SnapshotId, Manifest), StoreError> {
        if bytes.get(..8) != Some(&MAGIC) {
            return Err(StoreError::format(file, "this is no manifest of a snapshot"));
        }
        let (format, _) = postcard::take_from_bytes::<u32>(&bytes[8..])
            .map_err(|e| StoreError::format(file, format!("no format version: {e}")))?;
        if format > FORMAT {
            return Err(StoreError::Newer { file: file.to_owned(), found: format, newest: FORMAT });
        }
        let parsed: Self = postcard::from_bytes(bytes)
            .map_err(|e| StoreError::format(file, format!("the manifest file does not parse: {e}")))?;
        if parsed.checksum() != parsed.check {
            return Err(StoreError::format(file, "the manifest is damaged: its checksum is another one"));
        }
        let (id, manifest) = Manifest::decode(file, &parsed.core)?;
        Ok((parsed, id, manifest))
    }

    pub fn core(&self) -> &[u8] {
        &self.core
    }
}
