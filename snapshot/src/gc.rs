//! What a store could do without, and whether it holds what it says.

use crate::StoreError;
use crate::hash::ObjectId;
use crate::manifest::{Manifest, ManifestFile, PackId, SnapshotId};
use crate::pack::{Density, Pack, PackWriter};
use crate::store::{Snapshot, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Temporary files older than this belong to nobody.
const STALE: Duration = Duration::from_secs(3600);

/// What a collection freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects no manifest reaches.
    pub objects: u64,
    /// Bytes the store shrank by.
    pub bytes: u64,
}

/// What is said of long work: done, of.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Store {
    /// Frees what no snapshot needs.
    ///
    /// # Errors
    /// When a manifest cannot be read (nothing is freed then) or a file not be written or removed.
    pub fn collect(self: &Arc<Self>, progress: Progress) -> Result<Collected, StoreError> {
        let _lock = self.lock(true)?;
        let mut live = BTreeSet::new();
        let snapshots = self.list()?;
        for id in &snapshots {
            let Snapshot { manifest, objects } = self.load(*id)?;
            for_each_object(&manifest, &objects, |id| {
                live.insert(id);
            })?;
        }
        let packs = self.open_all()?;
        let total = packs.len() as u64;
        let mut collected = Collected { bytes: self.remove_stale()?, objects: 0 };
        let mut moved = BTreeMap::new();
        for (done, pack) in packs.iter().enumerate() {
            progress(done as u64, total);
            let dead = pack.ids().filter(|id| !live.contains(id)).count() as u64;
            if dead == 0 {
                continue;
            }
            let successor = self.repack(pack, &live)?;
            let kept =
                successor.and_then(|id| fs::metadata(self.pack_path(id)).ok()).map_or(0, |file| file.len());
            moved.insert(pack.id, successor);
            collected.objects += dead;
            collected.bytes += pack.stored().saturating_sub(kept);
        }
        progress(total, total);
        self.redirect(&snapshots, &moved)?;
        // The old packs go last: until here a crash leaves everything where it was.
        for pack in moved.keys() {
            let path = self.pack_path(*pack);
            fs::remove_file(&path).map_err(StoreError::write(&path))?;
        }
        self.open_all()?;
        Ok(collected)
    }

    /// Writes what lives of a pack to a new one.
    fn repack(&self, pack: &Pack, live: &BTreeSet<ObjectId>) -> Result<Option<PackId>, StoreError> {
        let nowhere = || StoreError::format(pack.path(), "its index leads out of it");
        let place = |id| pack.place(id).map(|place| (id, place)).ok_or_else(nowhere);
        let mut kept: Vec<_> =
            pack.ids().filter(|id| live.contains(id)).map(place).collect::<Result<_, _>>()?;
        if kept.is_empty() {
            return Ok(None);
        }
        kept.sort_by_key(|(_, place)| (place.offset, place.start));
        let temporary = self.temporary("pack")?;
        let mut writer = PackWriter::create(temporary.path(), Density::Fast)?;
        let mut run = (0, Vec::new());
        for (id, place) in kept {
            if place.offset != run.0 {
                run = (place.offset, pack.read(&place)?);
            }
            writer.add(id, pack.object(id, &place, &run.1)?)?;
        }
        let id = writer.finish(&[])?;
        self.place(temporary, &self.pack_path(id))?;
        Ok(Some(id))
    }

    /// Has the manifests look for their pages in the new packs first.
    fn redirect(
        &self,
        snapshots: &[SnapshotId],
        moved: &BTreeMap<PackId, Option<PackId>>,
    ) -> Result<(), StoreError> {
        for id in snapshots {
            let (file, ..) = self.read_manifest(*id)?;
            if !file.packs.iter().any(|pack| moved.contains_key(pack)) {
                continue;
            }
            let follow = |pack: &PackId| moved.get(pack).copied().unwrap_or(Some(*pack));
            let packs: BTreeSet<PackId> = file.packs.iter().filter_map(follow).collect();
            let bytes = ManifestFile::new(file.core().to_vec(), packs.into_iter().collect()).to_bytes();
            self.write(&bytes, "manifest", &self.manifest_path(*id))?;
        }
        Ok(())
    }

    /// Removes files of saves that were killed.
    fn remove_stale(&self) -> Result<u64, StoreError> {
        let folder = self.dir().join("tmp");
        let mut freed = 0;
        for entry in fs::read_dir(&folder).map_err(StoreError::read(&folder))?.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let age = metadata.modified().ok().and_then(|then| SystemTime::now().duration_since(then).ok());
            if age.is_some_and(|age| age > STALE) && fs::remove_file(entry.path()).is_ok() {
                freed += metadata.len();
            }
        }
        Ok(freed)
    }

    /// Reads everything a snapshot needs and checks it against its hashes.
    ///
    /// # Errors
    /// Names what is missing or damaged.
    pub fn verify(self: &Arc<Self>, id: SnapshotId, progress: Progress) -> Result<(), StoreError> {
        let Snapshot { manifest, objects } = self.load(id)?;
        let (mut seen, mut wanted) = (BTreeSet::new(), Vec::new());
        // In the order of the regions, which is about that in the packs.
        for_each_object(&manifest, &objects, |id| {
            if seen.insert(id) {
                wanted.push(id);
            }
        })?;
        let total = wanted.len() as u64;
        for (done, id) in wanted.into_iter().enumerate() {
            if done % 1024 == 0 {
                progress(done as u64, total);
            }
            objects.read(id)?;
        }
        progress(total, total);
        Ok(())
    }
}

/// Calls `each` with every object a snapshot needs: inner nodes and pages. A node that stands for several groups is
/// looked at once: a small file may say that a large region is made of one.
pub(crate) fn for_each_object(
    manifest: &Manifest,
    objects: &crate::Objects,
    mut each: impl FnMut(ObjectId),
) -> Result<(), StoreError> {
    let mut seen = BTreeSet::new();
    for region in &manifest.regions {
        let absent = region.absent();
        for (group, node) in region.groups.iter().enumerate() {
            let Some(node) = *node else { continue };
            if seen.insert((node, absent, region.pages_in(group))) {
                each(node);
                region.ids(objects, group)?.into_iter().filter(|id| *id != absent).for_each(&mut each);
            }
        }
    }
    Ok(())
}
