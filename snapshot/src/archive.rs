//! Archives: a snapshot in one file, `.amber`, to take elsewhere.

use crate::StoreError;
use crate::gc::{Progress, for_each_object};
use crate::manifest::{Manifest, ManifestFile, SnapshotId};
use crate::pack::{Density, Pack, PackWriter};
use crate::store::{Objects, Snapshot, Source, Store, Temporary};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// What an archive holds besides objects.
#[derive(Serialize, Deserialize)]
struct Contents {
    manifest: Vec<u8>,
    /// Its name, and when it was given (Unix seconds).
    label: Option<(String, u64)>,
}

/// A snapshot in an archive.
pub struct Archive {
    pub id: SnapshotId,
    pub snapshot: Snapshot,
    /// Its name, and when it was given (Unix seconds).
    pub label: Option<(String, u64)>,
}

/// Writes a snapshot and everything it needs to `file`. The same snapshot gives the same bytes.
///
/// # Errors
/// When an object is missing or damaged, or the file cannot be written. Nothing is left at `file` then.
pub fn export(
    manifest: &Manifest,
    objects: &Objects,
    label: Option<(String, u64)>,
    file: &Path,
    progress: Progress,
) -> Result<u64, StoreError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = Temporary::beside(folder)?;
    let mut wanted = Vec::new();
    for_each_object(manifest, objects, |id| wanted.push(id))?;
    let mut pack = PackWriter::create(temporary.path(), Density::Dense)?;
    for (done, id) in wanted.iter().enumerate() {
        if done % 1024 == 0 {
            progress(done as u64, wanted.len() as u64);
        }
        if !pack.contains(*id) {
            pack.add(*id, &objects.read(*id)?)?;
        }
    }
    let manifest = ManifestFile::new(manifest.encode().1, Vec::new()).to_bytes();
    let contents =
        postcard::to_stdvec(&Contents { manifest, label }).expect("plain data always serialises to memory");
    pack.finish(&contents)?;
    progress(wanted.len() as u64, wanted.len() as u64);
    temporary.persist(file)
}

impl Archive {
    /// Opens an archive.
    ///
    /// # Errors
    /// When the file is none, or is cut off or damaged.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        let pack = Pack::open(file, None)?;
        if pack.extra.is_empty() {
            return Err(StoreError::format(file, "it is a pack of a store, not an exported snapshot"));
        }
        let contents: Contents = postcard::from_bytes(&pack.extra)
            .map_err(|e| StoreError::format(file, format!("its contents do not parse: {e}")))?;
        let (_, id, manifest) = ManifestFile::parse(file, &contents.manifest)?;
        let objects = Objects::new(id, Source::Archive(Arc::new(pack)));
        Ok(Self { id, snapshot: Snapshot { manifest, objects }, label: contents.label })
    }

    /// Puts the snapshot into a store, every object checked.
    ///
    /// # Errors
    /// When an object is missing or damaged; the store is as before then.
    pub fn import(&self, store: &Store, progress: Progress) -> Result<SnapshotId, StoreError> {
        let _lock = store.lock(false)?;
        let mut wanted = Vec::new();
        let Snapshot { manifest, objects } = &self.snapshot;
        for_each_object(manifest, objects, |id| wanted.push(id))?;
        let temporary = store.temporary("pack")?;
        let mut pack = PackWriter::create(temporary.path(), Density::Fast)?;
        let mut used = BTreeSet::new();
        for (done, id) in wanted.iter().enumerate() {
            if done % 1024 == 0 {
                progress(done as u64, wanted.len() as u64);
            }
            // What is in the store was checked when it came there.
            match store.find(*id)? {
                Some((there, _)) => {
                    used.insert(there.id);
                }
                None if pack.contains(*id) => {}
                None => pack.add(*id, &objects.read(*id)?)?,
            }
        }
        if !pack.is_empty() {
            let id = pack.finish(&[])?;
            store.place(temporary, &store.pack_path(id))?;
            used.insert(id);
        }
        progress(wanted.len() as u64, wanted.len() as u64);
        store.write_manifest(manifest, used).map(|(id, _)| id)
    }
}
