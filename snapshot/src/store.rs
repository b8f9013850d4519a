//! A store: a directory of manifests, packs and names.
//!
//! Everything in it is written beside its place and renamed there once it is on the disk, packs before the manifests
//! that need them and manifests before the names: a crash at any moment leaves every earlier snapshot whole and no
//! half of a new one.

use crate::edit::Edited;
use crate::hash::{ObjectId, RegionPages, RegionTree, StateHash};
use crate::host_file::{new_in, sync_folder};
use crate::manifest::{BaseImage, Manifest, ManifestFile, PackId, RegionTable, SnapshotId};
use crate::pack::{Density, Pack, PackWriter, Place};
use crate::{OwnedSection, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Objects that were compressed together are kept together for the next reads: so many runs of them.
const CACHED_RUNS: usize = 32;
const NAME_MAX: usize = 100;

/// A store.
pub struct Store {
    dir: PathBuf,
    packs: RwLock<Packs>,
}

#[derive(Default)]
struct Packs {
    open: BTreeMap<PackId, Arc<Pack>>,
    /// Every pack of the directory was looked at.
    all: bool,
}

/// A region to save.
pub struct RegionToSave<'a> {
    pub name: &'a str,
    /// Up to date with `pages`.
    pub tree: &'a RegionTree,
    pub pages: &'a dyn RegionPages,
    pub base: Option<BaseImage>,
}

/// What makes a snapshot, besides its pages.
pub struct NewSnapshot {
    pub parent: Option<SnapshotId>,
    pub step: u64,
    pub time: u64,
    pub inputs: u64,
    pub state_hash: StateHash,
    pub sections: Vec<OwnedSection>,
    pub thumbnail: Option<Vec<u8>>,
}

/// What a save did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    pub id: SnapshotId,
    /// Bytes the store grew by.
    pub written: u64,
    /// Pages that were not in the store.
    pub new_pages: u64,
}

/// A name and what it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub name: String,
    pub snapshot: String,
    /// Unix seconds.
    pub created: u64,
}

impl Store {
    /// Opens the store in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        for folder in ["manifests", "packs", "names", "tmp"] {
            let folder = dir.join(folder);
            fs::create_dir_all(&folder).map_err(StoreError::write(&folder))?;
        }
        Ok(Self { dir: dir.to_owned(), packs: RwLock::default() })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn packs(&self) -> RwLockReadGuard<'_, Packs> {
        self.packs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn packs_mut(&self) -> RwLockWriteGuard<'_, Packs> {
        self.packs.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps others from changing what is in the store (exclusive), or from removing anything (shared), until dropped.
    pub(crate) fn lock(&self, exclusive: bool) -> Result<File, StoreError> {
        let path = self.dir.join("lock");
        let options = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = options.map_err(StoreError::write(&path))?;
        let locked = if exclusive { file.lock() } else { file.lock_shared() };
        locked.map_err(StoreError::write(&path)).map(|()| file)
    }

    /// Saves a snapshot. Pages the store has already are not written again.
    ///
    /// # Errors
    /// When a file cannot be written, e.g. on a full disk. The store is as before then.
    pub fn save(&self, new: NewSnapshot, regions: &[RegionToSave]) -> Result<Saved, StoreError> {
        let _lock = self.lock(false)?;
        let temporary = self.temporary("pack")?;
        let mut pack = PackWriter::create(temporary.path(), Density::Fast)?;
        let mut used = BTreeSet::new();
        let mut new_pages = 0;
        for region in regions {
            new_pages += self.add_region(region, &mut pack, &mut used)?;
        }
        let mut written = 0;
        if !pack.is_empty() {
            let id = pack.finish(&[])?;
            written += self.place(temporary, &self.pack_path(id))?;
            used.insert(id);
            self.open_pack(id)?;
        }
        if let Some(parent) = new.parent
            && let Ok((file, ..)) = self.read_manifest(parent)
        {
            used.extend(file.packs);
        }
        let table = |region: &RegionToSave| RegionTable::new(region.name, region.tree, region.base.clone());
        let manifest = Manifest {
            parent: new.parent,
            step: new.step,
            time: new.time,
            inputs: new.inputs,
            state_hash: new.state_hash,
            sections: new.sections,
            regions: regions.iter().map(table).collect(),
            thumbnail: new.thumbnail,
        };
        let (id, grown) = self.write_manifest(&manifest, used)?;
        Ok(Saved { id, written: written + grown, new_pages })
    }

    /// Saves an edited snapshot, whose parent is in the store.
    ///
    /// # Errors
    /// When the parent is not, or a file cannot be written; the store is as before then.
    pub fn save_edited(&self, edited: &Edited) -> Result<Saved, StoreError> {
        let _lock = self.lock(false)?;
        let mut used = BTreeSet::new();
        if let Some(parent) = edited.manifest().parent {
            used.extend(self.read_manifest(parent)?.0.packs);
        }
        let temporary = self.temporary("pack")?;
        let mut pack = PackWriter::create(temporary.path(), Density::Fast)?;
        let mut new_pages = 0;
        for (id, bytes) in edited.own() {
            if !self.note_pack(*id, &mut used)? {
                pack.add(*id, bytes)?;
                new_pages += u64::from(bytes.len() == 4096);
            }
        }
        let mut written = 0;
        if !pack.is_empty() {
            let id = pack.finish(&[])?;
            written += self.place(temporary, &self.pack_path(id))?;
            used.insert(id);
            self.open_pack(id)?;
        }
        let (id, grown) = self.write_manifest(edited.manifest(), used)?;
        Ok(Saved { id, written: written + grown, new_pages })
    }

    /// Adds what of a region the store does not have. An inner node that is there has all its pages there.
    fn add_region(
        &self,
        region: &RegionToSave,
        pack: &mut PackWriter,
        used: &mut BTreeSet<PackId>,
    ) -> Result<u64, StoreError> {
        let (absent, mut new_pages) = (region.tree.absent(), 0);
        for (group, (node, ids)) in region.tree.groups().enumerate() {
            if ids.iter().all(|id| *id == absent) || pack.contains(node) || self.note_pack(node, used)? {
                continue;
            }
            for (i, id) in ids.iter().enumerate().filter(|(_, id)| **id != absent) {
                if !pack.contains(*id) && !self.note_pack(*id, used)? {
                    pack.add_page(*id, region.pages.bytes(group * crate::GROUP_PAGES + i))?;
                    new_pages += 1;
                }
            }
            let list: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
            pack.add_list(node, &list);
        }
        Ok(new_pages)
    }

    /// Whether the store has an object; the pack it is in is noted.
    fn note_pack(&self, id: ObjectId, used: &mut BTreeSet<PackId>) -> Result<bool, StoreError> {
        let found = self.find(id)?;
        used.extend(found.iter().map(|(pack, _)| pack.id));
        Ok(found.is_some())
    }

    pub(crate) fn write_manifest(
        &self,
        manifest: &Manifest,
        packs: BTreeSet<PackId>,
    ) -> Result<(SnapshotId, u64), StoreError> {
        let (id, core) = manifest.encode();
        let path = self.manifest_path(id);
        if path.exists() {
            return Ok((id, 0));
        }
        let bytes = ManifestFile::new(core, packs.into_iter().collect()).to_bytes();
        let grown = self.write(&bytes, "manifest", &path)?;
        Ok((id, grown))
    }

    /// Writes `bytes` to `path`, whole or not at all.
    pub(crate) fn write(&self, bytes: &[u8], what: &str, path: &Path) -> Result<u64, StoreError> {
        let temporary = self.temporary(what)?;
        let file = temporary.path();
        let write = |mut to: File| to.write_all(bytes).and_then(|()| to.sync_all());
        File::create(file).and_then(write).map_err(StoreError::write(file))?;
        self.place(temporary, path)
    }

    pub(crate) fn temporary(&self, what: &str) -> Result<Temporary, StoreError> {
        Temporary::in_folder(&self.dir.join("tmp"), what)
    }

    /// Moves a file that is whole to its place.
    pub(crate) fn place(&self, temporary: Temporary, path: &Path) -> Result<u64, StoreError> {
        temporary.persist(path)
    }

    pub(crate) fn pack_path(&self, id: PackId) -> PathBuf {
        self.dir.join("packs").join(format!("{id}.pack"))
    }

    pub(crate) fn manifest_path(&self, id: SnapshotId) -> PathBuf {
        self.dir.join("manifests").join(format!("{id}.manifest"))
    }

    fn name_path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let good = |c: char| c.is_alphanumeric() || "._+-".contains(c);
        let starts = name.starts_with(char::is_alphanumeric);
        if !starts || name.len() > NAME_MAX || !name.chars().all(good) {
            return Err(StoreError::Name(name.to_owned()));
        }
        Ok(self.dir.join("names").join(format!("{name}.json")))
    }

    /// Names a snapshot that is in the store. With `replace` the name may name another one before.
    ///
    /// # Errors
    /// When the name is taken or is none.
    pub fn name(&self, name: &str, id: SnapshotId, created: u64, replace: bool) -> Result<(), StoreError> {
        let path = self.name_path(name)?;
        if !replace && path.exists() {
            return Err(StoreError::Taken(name.to_owned()));
        }
        let label = Label { name: name.to_owned(), snapshot: id.to_string(), created };
        let text = serde_json::to_vec(&label).expect("plain data always serialises to memory");
        self.write(&text, "name", &path).map(|_| ())
    }

    /// Whether `name` may be given to a new snapshot.
    ///
    /// # Errors
    /// When it is taken or is none.
    pub fn check_name(&self, name: &str) -> Result<(), StoreError> {
        match self.name_path(name)?.exists() {
            true => Err(StoreError::Taken(name.to_owned())),
            false => Ok(()),
        }
    }

    /// Takes a name away; the snapshot stays.
    pub fn unname(&self, name: &str) -> Result<(), StoreError> {
        let path = self.name_path(name)?;
        fs::remove_file(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => StoreError::Unknown(name.to_owned()),
            _ => StoreError::write(&path)(e),
        })
    }

    /// Removes a snapshot with its names. Its pages go with the next [`Store::collect`], its children stay.
    pub fn remove(&self, id: SnapshotId) -> Result<(), StoreError> {
        for label in self.labels()?.iter().filter(|label| label.snapshot == id.to_string()) {
            self.unname(&label.name)?;
        }
        let path = self.manifest_path(id);
        fs::remove_file(&path).map_err(StoreError::write(&path))
    }

    /// All names, in order.
    pub fn labels(&self) -> Result<Vec<Label>, StoreError> {
        let mut labels = Vec::new();
        for path in self.files("names", "json")? {
            let bytes = fs::read(&path).map_err(StoreError::read(&path))?;
            let label: Label = serde_json::from_slice(&bytes)
                .map_err(|e| StoreError::format(&path, format!("it is no name of a snapshot: {e}")))?;
            labels.push(label);
        }
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(labels)
    }

    pub(crate) fn files(&self, folder: &str, extension: &str) -> Result<Vec<PathBuf>, StoreError> {
        let folder = self.dir.join(folder);
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(StoreError::read(&folder))? {
            let path = entry.map_err(StoreError::read(&folder))?.path();
            if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Ids of all snapshots, in order.
    pub fn list(&self) -> Result<Vec<SnapshotId>, StoreError> {
        let files = self.files("manifests", "manifest")?;
        Ok(files.iter().filter_map(|path| path.file_stem()?.to_str()?.parse().ok()).collect())
    }

    /// The snapshot a person means: by name, or by id or the start of one (4 digits or more).
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn resolve(&self, text: &str) -> Result<SnapshotId, StoreError> {
        if let Ok(path) = self.name_path(text)
            && path.exists()
        {
            let bytes = fs::read(&path).map_err(StoreError::read(&path))?;
            let label: Option<Label> = serde_json::from_slice(&bytes).ok();
            let id = label.and_then(|label| label.snapshot.parse().ok());
            return id.ok_or_else(|| StoreError::format(&path, "it names no snapshot"));
        }
        let start = text.to_ascii_lowercase();
        let fits = |id: &SnapshotId| start.len() >= 4 && id.to_string().starts_with(&start);
        let mut found = self.list()?.into_iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => Err(StoreError::Ambiguous(text.to_owned())),
            (None, _) => Err(StoreError::Unknown(text.to_owned())),
        }
    }

    pub(crate) fn read_manifest(
        &self,
        id: SnapshotId,
    ) -> Result<(ManifestFile, SnapshotId, Manifest), StoreError> {
        let path = self.manifest_path(id);
        let bytes = fs::read(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => StoreError::Unknown(id.to_string()),
            _ => StoreError::read(&path)(e),
        })?;
        let parsed = ManifestFile::parse(&path, &bytes)?;
        if parsed.1 != id {
            return Err(StoreError::format(&path, format!("it holds snapshot {}", parsed.1)));
        }
        Ok(parsed)
    }

    /// A snapshot's manifest.
    pub fn manifest(&self, id: SnapshotId) -> Result<Manifest, StoreError> {
        self.read_manifest(id).map(|(.., manifest)| manifest)
    }

    /// A snapshot to read.
    pub fn load(self: &Arc<Self>, id: SnapshotId) -> Result<Snapshot, StoreError> {
        let (file, id, manifest) = self.read_manifest(id)?;
        // Another process may have added packs since all were looked at.
        self.packs_mut().all = false;
        for pack in file.packs {
            // A pack that is gone was packed anew; its objects are elsewhere.
            if self.pack_path(pack).exists() {
                self.open_pack(pack)?;
            }
        }
        Ok(Snapshot { manifest, objects: Objects::new(id, Source::Store(Arc::clone(self))) })
    }

    fn open_pack(&self, id: PackId) -> Result<(), StoreError> {
        let mut packs = self.packs_mut();
        let Entry::Vacant(place) = packs.open.entry(id) else { return Ok(()) };
        let pack = Pack::open(&self.pack_path(id), Some(id))?;
        if pack.id != id {
            return Err(StoreError::format(pack.path(), "its name is not the hash of its index"));
        }
        place.insert(Arc::new(pack));
        Ok(())
    }

    /// Opens every pack there is, and forgets those that are gone.
    pub(crate) fn open_all(&self) -> Result<Vec<Arc<Pack>>, StoreError> {
        let files = self.files("packs", "pack")?;
        let id_of =
            |path: &PathBuf| path.file_stem()?.to_str()?.parse().ok().map(|id: SnapshotId| PackId(id.0));
        let ids: BTreeSet<PackId> = files.iter().filter_map(id_of).collect();
        for id in &ids {
            self.open_pack(*id)?;
        }
        let mut packs = self.packs_mut();
        packs.open.retain(|id, _| ids.contains(id));
        packs.all = true;
        Ok(packs.open.values().cloned().collect())
    }

    /// The pack an object is in, and where there.
    pub(crate) fn find(&self, id: ObjectId) -> Result<Option<(Arc<Pack>, Place)>, StoreError> {
        let among = |packs: &BTreeMap<PackId, Arc<Pack>>| {
            packs.values().find_map(|pack| Some((Arc::clone(pack), pack.place(id)?)))
        };
        let packs = self.packs();
        let (known, all) = (among(&packs.open), packs.all);
        drop(packs);
        if known.is_some() || all {
            return Ok(known);
        }
        self.open_all()?;
        Ok(among(&self.packs().open))
    }
}

/// A file that is removed unless it is moved to its place.
pub(crate) struct Temporary(tempfile::TempPath);

impl Temporary {
    fn in_folder(folder: &Path, what: &str) -> Result<Self, StoreError> {
        let made = new_in(folder, what);
        made.map(|file| Self(file.into_temp_path())).map_err(StoreError::write(folder))
    }

    /// One in the folder its place is in.
    pub fn beside(folder: &Path) -> Result<Self, StoreError> {
        Self::in_folder(folder, ".amber-")
    }

    /// Moves the file, which is whole, to its place; its length.
    pub fn persist(self, path: &Path) -> Result<u64, StoreError> {
        let len = fs::metadata(&self.0).map_err(StoreError::write(path))?.len();
        self.0.persist(path).map_err(|e| StoreError::write(path)(e.error))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(folder).map_err(StoreError::write(folder))?;
        Ok(len)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Where a snapshot's objects are.
#[derive(Clone)]
pub(crate) enum Source {
    Store(Arc<Store>),
    Archive(Arc<Pack>),
}

/// A snapshot to read.
pub struct Snapshot {
    pub manifest: Manifest,
    pub objects: Objects,
}

impl Snapshot {
    /// The same snapshot, to read elsewhere.
    pub fn again(&self) -> Self {
        Self { manifest: self.manifest.clone(), objects: self.objects.again() }
    }
}

/// The objects of a snapshot, to read.
pub struct Objects {
    snapshot: SnapshotId,
    source: Source,
    /// Those of a snapshot that is not in a store yet.
    own: Arc<BTreeMap<ObjectId, Vec<u8>>>,
    cache: Mutex<Vec<CachedRun>>,
}

struct CachedRun {
    pack: PackId,
    offset: u64,
    bytes: Arc<Vec<u8>>,
}

impl Objects {
    pub(crate) fn new(snapshot: SnapshotId, source: Source) -> Self {
        Self { snapshot, source, own: Arc::default(), cache: Mutex::default() }
    }

    /// The same objects, to read elsewhere.
    pub(crate) fn again(&self) -> Self {
        self.with(self.snapshot, Arc::clone(&self.own))
    }

    /// These objects and others besides, of another snapshot.
    pub(crate) fn with(&self, snapshot: SnapshotId, own: Arc<BTreeMap<ObjectId, Vec<u8>>>) -> Self {
        Self { snapshot, source: self.source.clone(), own, cache: Mutex::default() }
    }

    /// The snapshot.
    pub fn snapshot(&self) -> SnapshotId {
        self.snapshot
    }

    pub(crate) fn inconsistent(&self, why: String) -> StoreError {
        StoreError::Inconsistent { snapshot: self.snapshot, why }
    }

    fn find(&self, id: ObjectId) -> Result<(Arc<Pack>, Place), StoreError> {
        let found = match &self.source {
            Source::Store(store) => store.find(id)?,
            Source::Archive(pack) => pack.place(id).map(|place| (Arc::clone(pack), place)),
        };
        found.ok_or(StoreError::Missing { snapshot: self.snapshot, object: id })
    }

    /// Lends the bytes of an object, which have the hash it is named by.
    fn lend<R>(&self, id: ObjectId, to: impl FnOnce(&[u8]) -> R) -> Result<R, StoreError> {
        if let Some(bytes) = self.own.get(&id) {
            return Ok(to(bytes));
        }
        let (pack, place) = self.find(id)?;
        if place.is_shared() {
            return pack.object(id, &place, &self.run(&pack, &place)?).map(to);
        }
        pack.object(id, &place, &pack.read(&place)?).map(to)
    }

    /// The bytes of an object, which have the hash it is named by.
    ///
    /// # Errors
    /// When it is missing, cannot be read, or is damaged.
    pub fn read(&self, id: ObjectId) -> Result<Vec<u8>, StoreError> {
        self.lend(id, <[u8]>::to_vec)
    }

    /// A page's bytes.
    ///
    /// # Errors
    /// As [`Self::read`], and when the object is no page.
    pub fn page(&self, id: ObjectId, into: &mut [u8; 4096]) -> Result<(), StoreError> {
        let fill = |bytes: &[u8]| match bytes.try_into() {
            Ok(page) => {
                *into = page;
                None
            }
            Err(_) => Some(format!("object {id:?} has {} bytes, a page 4096", bytes.len())),
        };
        self.lend(id, fill)?.map_or(Ok(()), |why| Err(self.inconsistent(why)))
    }

    /// Objects that were compressed together, as those of packs of format 1 were.
    fn run(&self, pack: &Pack, place: &Place) -> Result<Arc<Vec<u8>>, StoreError> {
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = cache();
        if let Some(at) = kept.iter().position(|kept| kept.pack == pack.id && kept.offset == place.offset) {
            // The latest used at the end.
            kept[at..].rotate_left(1);
            return Ok(kept.last().map(|kept| Arc::clone(&kept.bytes)).unwrap_or_default());
        }
        drop(kept);
        let bytes = Arc::new(pack.read(place)?);
        let mut kept = cache();
        if kept.len() >= CACHED_RUNS {
            kept.remove(0);
        }
        kept.push(CachedRun { pack: pack.id, offset: place.offset, bytes: Arc::clone(&bytes) });
        Ok(bytes)
    }
}
