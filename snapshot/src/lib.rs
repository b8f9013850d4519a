//! What a machine's state is made of: named, versioned sections of small state, regions of frames, and the
//! state hash over both.

mod archive;
mod diff;
mod edit;
mod error;
mod gc;
mod hash;
pub mod host_file;
mod json;
mod manifest;
mod pack;
mod pattern;
mod schema;
mod section;
mod size;
mod store;
mod upgrade;
mod value;

pub use archive::{Archive, export};
pub use diff::{Diff, FieldDiff, PageDiff, RegionDiff, SectionDiff, diff};
pub use edit::{Edit, EditError, Edited, parse_hex};
pub use error::StoreError;
pub use gc::{Collected, Progress};
pub use hash::{
    GROUP_PAGES, ObjectId, RegionPages, RegionTree, StateHash, group_id, hash_sections, region_root,
};
pub use json::{sections_to_json, to_json};
pub use manifest::{BaseImage, FORMAT, Manifest, PackId, RegionTable, SnapshotId};
pub use pattern::{Pattern, PatternError, Rules};
pub use postcard_schema::Schema;
pub use section::{OwnedSection, Section, SectionError, schema_of};
pub use store::{Label, NewSnapshot, Objects, RegionToSave, Saved, Snapshot, Store};
pub use upgrade::{Upgrade, upgraded};
pub use value::{Value, ValueError, decode, encode};
