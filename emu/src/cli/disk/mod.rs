//! `amber disk`: images, and what snapshots have over them.

mod commit;
mod export;
mod info;

use super::disk_args::{DiskArgs, DiskCommand};
use anyhow::Result;

/// Does what was asked; returns the exit code.
///
/// # Errors
/// One sentence.
pub fn run(args: &DiskArgs) -> Result<i32> {
    match &args.command {
        DiskCommand::Info(info) => info::run(info),
        DiskCommand::Export(export) => export::run(args.store.as_deref(), export),
        DiskCommand::Commit(commit) => commit::run(args.store.as_deref(), commit),
    }
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name} ({bytes} bytes)", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}
