//! `amber snapshot export`: a snapshot, or a part of it, in one file.

use super::show::described;
use super::snapshot_args::ExportTo;
use super::stores::Found;
use crate::machine::Machine;
use crate::progress::{bar, moving};
use crate::vmcore;
use amber_snapshot::host_file::{new_in, write_all_at};
use amber_snapshot::{GROUP_PAGES, ObjectId, Snapshot, export, sections_to_json};
use anyhow::{Context, Result, anyhow, bail};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Does what was asked; returns the exit code.
///
/// # Errors
/// When the snapshot cannot be read or a file not be written; nothing is left in its place then.
pub fn run(found: Found, to: &ExportTo) -> Result<i32> {
    if let Some(file) = &to.json {
        let text = whole(file, |out| json(&found, out))?;
        println!("{}: {text} bytes", file.display());
    }
    if let Some(file) = &to.ram {
        let bytes = whole(file, |out| region(&found.snapshot, "ram", None, out))?;
        println!("{}: {bytes} bytes", file.display());
    }
    if let Some(file) = &to.vars {
        let bytes = whole(file, |out| variables(&found.snapshot, out))?;
        println!("{}: {bytes} bytes", file.display());
    }
    if let Some(file) = &to.file {
        let bar = bar("export");
        let Snapshot { manifest, objects } = &found.snapshot;
        let bytes = export(manifest, objects, found.label.clone(), file, &mut moving(&bar))?;
        bar.finish_and_clear();
        println!("{}: {bytes} bytes", file.display());
    }
    if let Some(file) = &to.vmcore {
        let bar = bar("export");
        let mut linux = false;
        let bytes = whole(file, |out| {
            let written = vmcore::write(&found.snapshot, out, &mut moving(&bar))?;
            linux = written.linux;
            Ok(written.len)
        })?;
        bar.finish_and_clear();
        let note = if linux { "with the kernel's VMCOREINFO" } else { "no VMCOREINFO of a Linux in it" };
        println!("{}: {bytes} bytes, {note}", file.display());
    }
    if let Some(file) = &to.thumbnail {
        let picture = found.snapshot.manifest.thumbnail.as_deref();
        let picture = picture.ok_or_else(|| anyhow!("the snapshot has no picture of the screen"))?;
        let bytes = whole(file, |out| Ok(out.write_all(picture).map(|()| picture.len() as u64)?))?;
        println!("{}: {bytes} bytes", file.display());
    }
    Ok(0)
}

/// Writes a file whole or not at all.
pub(super) fn whole(file: &Path, write: impl FnOnce(&mut File) -> Result<u64>) -> Result<u64> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = || format!("{}: cannot be written", file.display());
    let mut temporary = new_in(folder, ".amber-").with_context(cannot)?;
    let bytes = write(temporary.as_file_mut()).with_context(|| file.display().to_string())?;
    temporary.persist(file).map_err(|e| e.error).with_context(cannot)?;
    Ok(bytes)
}

fn json(found: &Found, out: &mut File) -> Result<u64> {
    let sections = sections_to_json(&found.snapshot.manifest)?;
    let json = serde_json::json!({ "snapshot": described(found), "sections": sections });
    let text = serde_json::to_string_pretty(&json)? + "\n";
    out.write_all(text.as_bytes())?;
    Ok(text.len() as u64)
}

/// What firmware's flash chip holds: the beginning of the region.
fn variables(snapshot: &Snapshot, out: &mut File) -> Result<u64> {
    match Machine::spec_in(&snapshot.manifest.sections)?.variables_len {
        0 => bail!("the machine has no flash chip with variables; --uefi gives it one"),
        len => region(snapshot, "firmware", Some(len), out),
    }
}

/// Writes a region, or so many bytes of it. Pages of zeroes stay holes of the file.
fn region(snapshot: &Snapshot, name: &str, len: Option<u64>, out: &mut File) -> Result<u64> {
    let Snapshot { manifest, objects } = snapshot;
    let table = manifest.regions.iter().find(|table| table.name == name);
    let table = table.ok_or_else(|| anyhow!("the snapshot has no region {name}"))?;
    let whole = table.pages.checked_mul(4096).ok_or_else(|| anyhow!("its {name} is larger than any file"))?;
    let bytes = len.unwrap_or(whole).min(whole);
    let bar = bar("export");
    let mut progress = moving(&bar);
    for group in 0..table.groups.len() {
        progress(group as u64, table.groups.len() as u64);
        if table.groups[group].is_none() {
            continue;
        }
        for (i, id) in
            table.ids(objects, group)?.into_iter().enumerate().filter(|(_, id)| *id != ObjectId::ZERO)
        {
            let mut page = [0; 4096];
            objects.page(id, &mut page)?;
            let at = ((group * GROUP_PAGES + i) * 4096) as u64;
            if at < bytes {
                write_all_at(out, &page, at)?;
            }
        }
    }
    drop(progress);
    bar.finish_and_clear();
    out.set_len(bytes)?;
    Ok(bytes)
}
