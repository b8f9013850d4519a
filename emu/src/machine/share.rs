//! The folder a machine shares: what it is built from, and its pages in the state.

use super::{Life, Machine};
use crate::input::Input;
use crate::machine::HostIo;
use crate::share::{Pages, ShareError};
use amber_devices::ShareConfig;
use amber_devices::share::{Contents, Errno, SHARE_MAX, SHARE_MIN, ShareLayout};
use amber_snapshot::{ObjectId, OwnedSection, RegionTree, Schema, Section, SectionError};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Name of the region.
pub(super) const SHARE_NAME: &str = "share0";

/// What the share is. A section of its own, which a machine without one does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct ShareSpec {
    /// What guests mount it by.
    pub tag: String,
    /// Bytes of files it has room for.
    pub size: u64,
    pub read_only: bool,
}

impl Section for ShareSpec {
    const KIND: &'static str = "share";
    const VERSION: u32 = 1;
}

impl ShareSpec {
    /// Path of the section.
    pub(super) const PATH: &'static str = "share0";

    /// The share in a machine's sections.
    ///
    /// # Errors
    /// When the section is not one this build reads, or of a size there is not.
    pub(super) fn of(sections: &[OwnedSection]) -> Result<Option<Self>, SectionError> {
        let Some(section) = sections.iter().find(|section| section.path == Self::PATH) else {
            return Ok(None);
        };
        let share = Self::from_section(section)?;
        if !(SHARE_MIN..=SHARE_MAX).contains(&share.size) {
            let (path, value) = (section.path.clone(), share.size.to_string());
            return Err(SectionError::Value { path, field: "size", value });
        }
        Ok(Some(share))
    }

    /// What the device is built from.
    pub(super) fn device(&self) -> ShareConfig {
        let Self { tag, size, read_only } = self.clone();
        ShareConfig { tag, size, read_only }
    }

    /// How its pages are laid out.
    pub fn layout(&self) -> ShareLayout {
        ShareLayout::new(self.size)
    }

    /// Its region: name and pages.
    pub(super) fn region(&self) -> (&'static str, u64) {
        (SHARE_NAME, self.layout().pages())
    }
}

/// The share of a machine.
#[derive(Clone)]
pub(crate) struct Share {
    pub pages: Pages,
    /// Hash tree as of the last time it was asked for.
    pub tree: Arc<RegionTree>,
    life: Life,
}

impl Share {
    pub fn new(pages: Pages, count: u64) -> Self {
        let tree = Arc::new(RegionTree::blank(count as usize, ObjectId::ZERO));
        Self { pages, tree, life: Life::default() }
    }

    /// Whether it is the same share, maybe at another time.
    pub fn is(&self, other: &Self) -> bool {
        self.life == other.life
    }

    /// Brings the tree up to date.
    pub fn update(&mut self) {
        Arc::make_mut(&mut self.tree).update(&self.pages);
    }
}

impl Machine {
    /// The share's pages and layout, if there is one. A copy, which costs nothing per byte.
    pub fn share(&self) -> Option<(&ShareSpec, Pages)> {
        self.equipment.share.as_ref().zip(self.share.as_ref().map(|share| share.pages.clone()))
    }

    /// Fills the share of a machine that was just made.
    ///
    /// # Errors
    /// Names the file that cannot be read, or that there is no room for.
    pub fn fill_share(&mut self, folder: &Path) -> Result<(), ShareError> {
        let Some((spec, share)) = self.equipment.share.as_ref().zip(self.share.as_mut()) else {
            return Ok(());
        };
        crate::share::fill(&mut share.pages, spec.layout(), folder)
    }

    /// Gives the share other contents: an input.
    ///
    /// # Errors
    /// When there is no share, or no room: the share is empty then.
    pub fn load_share(&mut self, host: &mut dyn HostIo, contents: Contents) -> Result<(), Errno> {
        if self.share.is_none() {
            return Err(Errno::NOENT);
        }
        let loaded = self.with_dma(|platform, dma| platform.load_share(dma, &contents));
        self.note(host, Input::Share(contents));
        loaded
    }
}
