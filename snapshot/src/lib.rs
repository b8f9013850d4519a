//! What a machine's state is made of: named, versioned sections of small state, regions of frames, and the
//! state hash over both.

mod archive;
mod error;
mod gc;
mod hash;
mod manifest;
mod pack;
mod section;
mod store;

pub use archive::{Archive, export};
pub use error::StoreError;
pub use gc::{Collected, Progress};
pub use hash::{
    GROUP_PAGES, ObjectId, RegionPages, RegionTree, StateHash, group_id, hash_sections, region_root,
};
pub use manifest::{BaseImage, FORMAT, Manifest, PackId, RegionTable, SnapshotId};
pub use postcard_schema::Schema;
pub use section::{OwnedSection, Section, SectionError, schema_of};
pub use store::{Label, NewSnapshot, Objects, RegionToSave, Saved, Snapshot, Store};
