//! What a machine's state is made of: named, versioned sections of small state, regions of frames, and the
//! state hash over both.

mod hash;
mod section;

pub use hash::{
    GROUP_PAGES, PageId, RegionPages, RegionTree, StateHash, group_id, hash_sections, region_root,
};
pub use postcard_schema::Schema;
pub use section::{OwnedSection, Section, SectionError, schema_of};
