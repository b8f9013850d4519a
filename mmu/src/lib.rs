//! Guest memory: frames, address maps, page walks and the coherent TLB.
//!
//! The TLB is invisible to the guest. A walk marks the frames of the tables it read; a store to an entry that a
//! live translation may have used removes that translation at once. INVLPG and CR3 loads therefore flush nothing,
//! and dropping every cache at any moment changes nothing a guest can see.

mod aliases;
mod device_pages;
mod executed;
mod frames;
mod info;
mod map;
mod mmu;
mod paging;
mod pending;
mod pool;
mod structures;
mod tables;
#[cfg(test)]
mod tests;
mod tlb;

pub use frames::{FIRST_EPOCH, FrozenFrames};
pub use map::{AddressMap, Backing, MapRange};
pub use mmu::{Counters, ExecPage, MONITOR_LINE, Mmu, Place, Rights, Smc, ViewId};
pub use paging::{Access, AddressSpace, PageFault, PagingMode};
pub use pending::{PageSource, Pending};
pub use pool::{FrameId, FramesError, GROUP, PAGE, Word};
pub use tlb::{ContextId, TlbEntry};
