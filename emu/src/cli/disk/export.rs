//! `amber disk export`: a snapshot's disk as a new image.

use super::size;
use crate::cli::disk_args::ExportArgs;
use crate::cli::export::whole;
use crate::cli::stores;
use crate::disk::{self, Format, Purpose};
use crate::machine::stored_disk;
use crate::progress;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;

/// Does what was asked; returns the exit code.
///
/// # Errors
/// When the snapshot or its image cannot be read or the file not be written; nothing is left in its place then.
pub fn run(store: Option<&Path>, args: &ExportArgs) -> Result<i32> {
    let file = &args.file;
    if !args.force && file.exists() {
        bail!("{}: it is there already; --force replaces it", file.display());
    }
    let found = stores::find(store, &args.which.snapshot)?;
    let (name, now) = (args.which.disk.as_deref(), args.which.image.as_deref());
    let merged = stored_disk(&found.snapshot, name, now, Purpose::Read)?;
    let real = fs::canonicalize(file).ok();
    let is_file = |layer: &disk::Layer| real.is_some() && fs::canonicalize(layer.path()).ok() == real;
    if merged.base().chain().layers().iter().any(is_file) {
        bail!("{}: the snapshot needs it; `amber disk commit` writes it", file.display());
    }
    let ends_so = file.extension().is_some_and(|extension| extension == "qcow2");
    let format = args.format.unwrap_or(if ends_so { Format::Qcow2 } else { Format::Raw });
    let bar = progress::bytes("export", merged.len());
    let bytes = whole(file, |out| {
        let mut moved = progress::moving(&bar);
        let bytes = match format {
            Format::Raw => disk::to_raw(&merged, out, &mut moved)?,
            Format::Qcow2 => disk::to_qcow2(&merged, out, &mut moved)?,
        };
        out.sync_all()?;
        Ok(bytes)
    })?;
    bar.finish_and_clear();
    println!("{}: {} of {format}, {} as a disk", file.display(), size(bytes), size(merged.len()));
    Ok(0)
}
