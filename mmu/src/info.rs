//! What is known of each frame besides its bytes: how it is used and what must hear of stores to it.

use crate::aliases::Aliases;
use crate::pool::{FrameId, GROUP};

/// Stores must look for translations that read the frame as a page table.
pub(crate) const TABLE: u8 = 1;
/// Stores must look for decoded code.
pub(crate) const CODE: u8 = 2;
/// Stores must look for monitored lines.
pub(crate) const MONITORED: u8 = 4;

#[derive(Clone, Copy, Default)]
pub(crate) struct FrameInfo {
    /// Granules that hold decoded code.
    pub code: u64,
    pub aliases: Aliases,
    /// Slot of its record in [`crate::tables::Tables`], if it is a table.
    pub table: u32,
    /// [`TABLE`], [`CODE`] and [`MONITORED`].
    pub traps: u8,
}

/// What is known of each frame, made for 512 at a time when first noted.
#[derive(Default)]
pub(crate) struct FrameInfos {
    groups: Vec<Option<Box<[FrameInfo; GROUP]>>>,
}

impl FrameInfos {
    pub fn at(&mut self, frame: FrameId) -> &mut FrameInfo {
        let group = frame.0 as usize / GROUP;
        if group >= self.groups.len() {
            self.groups.resize_with(group + 1, || None);
        }
        let infos = self.groups[group].get_or_insert_with(|| Box::new([FrameInfo::default(); GROUP]));
        &mut infos[frame.0 as usize % GROUP]
    }

    pub fn get(&self, frame: FrameId) -> FrameInfo {
        let group = self.groups.get(frame.0 as usize / GROUP).and_then(Option::as_deref);
        group.map_or_else(FrameInfo::default, |infos| infos[frame.0 as usize % GROUP])
    }

    /// Those that may differ from the default.
    pub fn touched(&mut self) -> impl Iterator<Item = &mut FrameInfo> {
        self.groups.iter_mut().flatten().flat_map(|infos| infos.iter_mut())
    }
}
