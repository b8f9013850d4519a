//! The share, as a session is asked for it.

use super::Session;
use crate::cli::host::SessionHost;
use crate::share::{Pages, read_folder, write_folder};
use amber_devices::share::ShareLayout;
use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};
use std::path::Path;

/// Most bytes of files that are loaded into a share at once: they go to the input log.
const SHARE_LOAD_MAX: u64 = 1 << 30;

impl Session<'_> {
    /// The share of that tag, and its pages.
    fn share(&self, tag: &str) -> Result<(ShareLayout, Pages)> {
        let Some((spec, pages)) = self.machine.share() else { bail!("the machine has no share") };
        if spec.tag != tag {
            bail!("{tag}: the machine's share is {}", spec.tag);
        }
        Ok((spec.layout(), pages))
    }

    pub(super) fn export_share(&self, tag: &str, folder: &Path) -> Result<Value> {
        let (layout, mut pages) = self.share(tag)?;
        let written = write_folder(&mut pages, layout, folder)?;
        Ok(json!({ "files": written.files, "bytes": written.bytes, "left-out": written.left_out }))
    }

    pub(super) fn load_share(&mut self, tag: &str, folder: &Path, host: &mut SessionHost) -> Result<()> {
        self.share(tag)?;
        let contents = read_folder(folder, SHARE_LOAD_MAX)?;
        let loaded = self.machine.load_share(host, contents);
        loaded.map_err(|_| {
            anyhow!("{}: the share has no room for all of it, and is empty now", folder.display())
        })
    }
}
