//! A machine in a snapshot store, and out of one.

use super::restore::check_tables;
use super::{Frozen, Machine, RegionSource, RestoreError};
use crate::disk::{Base, Disk, DiskError};
use crate::screenshot;
use amber_mmu::{FIRST_EPOCH, PAGE, PageSource};
use amber_snapshot::{
    NewSnapshot, Objects, RegionToSave, RegionTree, Saved, Snapshot, SnapshotId, Store, StoreError,
};
use std::path::PathBuf;
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
        let Snapshot { manifest, objects } = snapshot;
        let id = objects.snapshot();
        let objects = Arc::new(objects);
        // A tree takes memory as its pages do: not before they are known to be those of the machine.
        check_tables(&manifest).map_err(|e| LoadError::Restore(id, e))?;
        let (mut regions, mut now) = (Vec::new(), images.iter());
        for table in &manifest.regions {
            let name = table.name.clone();
            let base = table.base.as_ref().map(|image| {
                let now = now.next().map(PathBuf::as_path);
                Base::of_snapshot(image, now, &name)
            });
            let base = base.transpose().map_err(|e| LoadError::Disk(id, e))?;
            let tree = table.tree(&objects, FIRST_EPOCH)?;
            let pages =
                StoredRegion { name: name.clone(), tree: tree.clone(), objects: Arc::clone(&objects) };
            regions.push(RegionSource { name, tree, pages: Arc::new(pages), base });
        }
        Self::restore(&manifest.sections, regions).map_err(|e| LoadError::Restore(id, e))
    }

    /// Reads the pages of a loaded machine that are still to come, on another thread.
    pub fn fetch_ahead(&self) {
        let pending = self.mmu.pending();
        let disks: Vec<_> = self.disks().cloned().collect();
        if !pending.is_empty() || !disks.is_empty() {
            std::thread::spawn(move || {
                pending.iter().for_each(|pages| pages.complete());
                disks.iter().for_each(Disk::fetch_all);
            });
        }
    }

    /// Takes over the hash trees that were brought up to date with a frozen state of this machine.
    pub fn adopt_trees(&mut self, frozen: Frozen) {
        self.regions = frozen.regions;
        for (own, then) in self.disks.iter_mut().zip(frozen.disks) {
            own.tree = then.tree;
        }
    }
}
