//! Guest memory: frames, address maps, page walks and the coherent TLB.
//!
//! The TLB is invisible to the guest. A walk marks the frames of the tables it read; a store to an entry that a
//! live translation may have used removes that translation at once. INVLPG and CR3 loads therefore flush nothing,
//! and dropping every cache at any moment changes nothing a guest can see.

mod aliases;
mod frames;
mod map;
mod mmu;
mod paging;
mod tables;
mod tlb;

pub use frames::{FrameId, Frames, FramesError, PAGE, Word};
pub use map::{AddressMap, Backing, MapRange};
pub use mmu::{Counters, ExecPage, MONITOR_LINE, Mmu, Place, Rights, Smc, ViewId};
pub use paging::{Access, AddressSpace, PageFault, PagingMode};
pub use tlb::ContextId;
