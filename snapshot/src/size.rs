//! How much of a snapshot is its own.

use crate::hash::GROUP_PAGES;
use crate::manifest::{Manifest, RegionTable};
use crate::store::{Objects, Snapshot};
use crate::{ObjectId, SnapshotId, Store, StoreError};
use std::sync::Arc;

impl Store {
    /// Pages with contents that the snapshot's parent does not have at their place; of one whose parent is not in the
    /// store, all that hold anything. What the snapshot takes, before packing, costs of reading only what changed.
    ///
    /// # Errors
    /// When an inner node is missing or damaged.
    pub fn own_pages(self: &Arc<Self>, id: SnapshotId) -> Result<u64, StoreError> {
        let Snapshot { manifest, objects } = self.load(id)?;
        let parent = manifest.parent.and_then(|parent| self.load(parent).ok());
        let before = parent.as_ref().map(|parent| (&parent.manifest, &parent.objects));
        manifest.regions.iter().map(|table| own_pages_of(table, &objects, before)).sum()
    }
}

fn own_pages_of(
    table: &RegionTable,
    objects: &Objects,
    before: Option<(&Manifest, &Objects)>,
) -> Result<u64, StoreError> {
    let before = before.and_then(|(manifest, objects)| {
        let then = manifest.regions.iter().find(|then| then.name == table.name);
        then.map(|then| (then, objects))
    });
    let mut own = 0;
    for (group, node) in table.groups.iter().enumerate() {
        let same = before.is_some_and(|(then, _)| then.groups.get(group) == Some(node));
        if node.is_none() || same {
            continue;
        }
        let then: Vec<ObjectId> = match before {
            Some((then, objects)) if group < then.groups.len() => then.ids(objects, group)?,
            _ => Vec::with_capacity(GROUP_PAGES),
        };
        let ids = table.ids(objects, group)?;
        let absent = table.absent();
        let holds = |(n, id): &(usize, &ObjectId)| **id != absent && then.get(*n) != Some(id);
        own += ids.iter().enumerate().filter(holds).count() as u64;
    }
    Ok(own)
}
