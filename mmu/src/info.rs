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

    /// [`FrameInfo::traps`] of a frame.
    #[inline]
    pub fn traps(&self, frame: FrameId) -> u8 {
        self.known(frame).map_or(0, |info| info.traps)
    }

    /// [`FrameInfo::table`] of a frame that is a table.
    #[inline]
    pub fn table(&self, frame: FrameId) -> Option<u32> {
        self.known(frame).filter(|info| info.traps & TABLE != 0).map(|info| info.table)
    }

    /// [`FrameInfo::code`] of a frame.
    pub fn code(&self, frame: FrameId) -> Option<u64> {
        self.known(frame).filter(|info| info.traps & CODE != 0).map(|info| info.code)
    }

    #[inline]
    fn known(&self, frame: FrameId) -> Option<&FrameInfo> {
        let group = self.groups.get(frame.0 as usize / GROUP)?.as_deref()?;
        Some(&group[frame.0 as usize % GROUP])
    }

    /// Those that may differ from the default.
    pub fn touched(&mut self) -> impl Iterator<Item = &mut FrameInfo> {
        self.groups.iter_mut().flatten().flat_map(|infos| infos.iter_mut())
    }
}
