//! A machine in a snapshot store, and out of one.

use super::disks::Attached;
use super::restore::check_tables;
use super::share::{SHARE_NAME, ShareSpec};
use super::{Frozen, Machine, RegionSource, RestoreError};
use crate::disk::{Base, Disk, DiskError, Merged, Purpose};
use crate::screenshot;
use crate::share::Pages;
use amber_devices::share::ShareLayout;
use amber_mmu::{FIRST_EPOCH, PAGE, PageSource};
use amber_snapshot::{
    BaseImage, NewSnapshot, Objects, RegionToSave, RegionTree, Saved, Snapshot, SnapshotId, Store, StoreError,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a machine cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("snapshot {0}: {1}")]
    Restore(SnapshotId, RestoreError),
    #[error("snapshot {0}: {1}")]
    Disk(SnapshotId, DiskError),
    #[error("snapshot {0}: {1}")]
    WhichDisk(SnapshotId, String),
}

/// A region's pages in a snapshot.
struct StoredRegion {
    name: String,
    tree: RegionTree,
    objects: Arc<Objects>,
}

impl PageSource for StoredRegion {
    fn read(&self, page: u64, into: &mut [u8; PAGE as usize]) -> Result<(), String> {
        let id = self.tree.page(page as usize);
        let snapshot = self.objects.snapshot();
        self.objects
            .page(id, into)
            .map_err(|e| format!("page {page} of region {} of snapshot {snapshot}: {e}", self.name))
    }
}

impl Frozen {
    /// Saves the state as a snapshot that went on from `parent`. Pages the store has are not written again.
    ///
    /// # Errors
    /// When the store cannot be written, e.g. on a full disk; it is as before then.
    pub fn save(&mut self, store: &Store, parent: Option<SnapshotId>) -> Result<Saved, StoreError> {
        let new = NewSnapshot {
            parent,
            step: self.step(),
            time: self.now(),
            inputs: self.position.inputs,
            state_hash: self.hash(),
            sections: self.sections(),
            thumbnail: screenshot::to_png(&self.thumbnail()).ok(),
        };
        let regions: Vec<_> = self.regions().collect();
        let regions: Vec<_> = regions
            .iter()
            .map(|region| RegionToSave {
                name: region.name(),
                tree: region.tree(),
                pages: region,
                base: region.base(),
            })
            .collect();
        store.save(new, &regions)
    }
}

/// A disk of a snapshot by its name, or the only one there is; its image where `now` says it is now.
///
/// # Errors
/// When the snapshot has no such disk or is damaged, or the image is missing or another one.
pub fn stored_disk<'a>(
    snapshot: &'a Snapshot,
    name: Option<&str>,
    now: Option<&Path>,
    purpose: Purpose,
) -> Result<Merged<'a>, LoadError> {
    let Snapshot { manifest, objects } = snapshot;
    let id = objects.snapshot();
    check_tables(manifest).map_err(|e| LoadError::Restore(id, e))?;
    let disks: Vec<_> =
        manifest.regions.iter().filter_map(|table| Some((table, table.base.as_ref()?))).collect();
    let names = disks.iter().map(|(table, _)| &*table.name).collect::<Vec<_>>().join(", ");
    let which = |why: String| LoadError::WhichDisk(id, why);
    let (table, image) = match (name, &disks[..]) {
        (_, []) => return Err(which("it has no disk".to_owned())),
        (None, [only]) => *only,
        (None, _) => return Err(which(format!("it has {names}; say which is meant with --disk"))),
        (Some(name), _) => *disks
            .iter()
            .find(|(table, _)| table.name == name)
            .ok_or_else(|| which(format!("it has no {name}; it has {names}")))?,
    };
    let base = Base::of_snapshot_for(image, now, &table.name, purpose).map_err(|e| LoadError::Disk(id, e))?;
    Ok(Merged::new(table.name.clone(), base, table.tree(objects, FIRST_EPOCH)?, objects))
}

/// The share of a snapshot.
///
/// # Errors
/// When it has none, or is damaged.
pub fn stored_share(snapshot: Snapshot) -> Result<(ShareLayout, Pages), LoadError> {
    let Snapshot { manifest, objects } = snapshot;
    let id = objects.snapshot();
    check_tables(&manifest).map_err(|e| LoadError::Restore(id, e))?;
    let share = ShareSpec::of(&manifest.sections).map_err(|e| LoadError::Restore(id, e.into()))?;
    let table = manifest.regions.iter().find(|table| table.name == SHARE_NAME);
    let Some((share, table)) = share.zip(table) else {
        return Err(LoadError::WhichDisk(id, "it has no share".to_owned()));
    };
    let objects = Arc::new(objects);
    let tree = table.tree(&objects, FIRST_EPOCH)?;
    let source: Arc<dyn PageSource> =
        Arc::new(StoredRegion { name: table.name.clone(), tree: tree.clone(), objects });
    Ok((share.layout(), Pages::stored(&tree, &source)))
}

impl Machine {
    /// The machine of a snapshot, to go on from there. Its pages are read when first needed; see
    /// [`Machine::fetch_ahead`].
    ///
    /// # Errors
    /// Names the section, field, region or object that is missing, unknown or damaged.
    pub fn load(snapshot: Snapshot) -> Result<Self, LoadError> {
        Self::load_with(snapshot, &[])
    }

    /// The same, with the disks' images where `images` says they are now: as many as there are disks, or none.
    ///
    /// # Errors
    /// As [`Machine::load`], and when an image is missing or another one.
    pub fn load_with(snapshot: Snapshot, images: &[PathBuf]) -> Result<Self, LoadError> {
        let mut now = images.iter();
        Self::load_over(snapshot, |image, name| {
            Base::of_snapshot(image, now.next().map(PathBuf::as_path), name)
        })
    }

    /// The same, with the disks' images as `open` opens them, by what the snapshot says of each and its disk's name.
    ///
    /// # Errors
    /// As [`Machine::load`], and those of `open`.
    pub fn load_over(
        snapshot: Snapshot,
        mut open: impl FnMut(&BaseImage, &str) -> Result<Arc<Base>, DiskError>,
    ) -> Result<Self, LoadError> {
        let Snapshot { manifest, objects } = snapshot;
        let id = objects.snapshot();
        let objects = Arc::new(objects);
        // A tree takes memory as its pages do: not before they are known to be those of the machine.
        check_tables(&manifest).map_err(|e| LoadError::Restore(id, e))?;
        let mut regions = Vec::new();
        for table in &manifest.regions {
            let name = table.name.clone();
            let base = table.base.as_ref().map(|image| open(image, &name)).transpose();
            let base = base.map_err(|e| LoadError::Disk(id, e))?;
            let tree = table.tree(&objects, FIRST_EPOCH)?;
            let pages =
                StoredRegion { name: name.clone(), tree: tree.clone(), objects: Arc::clone(&objects) };
            regions.push(RegionSource { name, tree, pages: Arc::new(pages), base });
        }
        Self::restore(&manifest.sections, regions).map_err(|e| LoadError::Restore(id, e))
    }

    /// Lays disk `name` over another image, which holds what it held. Whether the machine has such a disk.
    pub fn rebase(&mut self, name: &str, base: Arc<Base>) -> bool {
        let Some(n) = self.disks.iter().position(|attached| attached.name == name) else { return false };
        let number = self.disks[n].n();
        self.set_image(number, base.len(), base.hash());
        let attached = &mut self.disks[n];
        *attached = Attached::new(attached.name, Disk::new(base));
        true
    }

    /// Reads the pages of a loaded machine that are still to come, on another thread.
    pub fn fetch_ahead(&self) {
        let pending = self.mmu.pending();
        let disks: Vec<_> = self.disks().cloned().collect();
        let share = self.share.as_ref().map(|share| share.pages.clone());
        if !pending.is_empty() || !disks.is_empty() || share.is_some() {
            std::thread::spawn(move || {
                pending.iter().for_each(|pages| pages.complete());
                disks.iter().for_each(Disk::fetch_all);
                share.iter().for_each(Pages::fetch_all);
            });
        }
    }

    /// Takes over the hash trees that were brought up to date with a frozen state of this machine.
    pub fn adopt_trees(&mut self, frozen: Frozen) {
        for then in frozen.regions {
            // Modules may have come and gone since.
            if let Some(own) = self.regions.iter_mut().find(|own| own.is(&then)) {
                own.tree = then.tree;
            }
        }
        for then in frozen.disks {
            if let Some(own) = self.disks.iter_mut().find(|own| own.is(&then)) {
                own.tree = then.tree;
            }
        }
        if let Some((own, then)) = self.share.as_mut().zip(frozen.share).filter(|(own, then)| own.is(then)) {
            own.tree = then.tree;
        }
    }
}
