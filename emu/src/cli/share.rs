//! `amber share`: the files of snapshots' shares.

use super::stores;
use crate::machine::stored_share;
use crate::share::write_folder;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
What a guest does to the files of `--share` stays in the machine: the folder they came from is not
written. This brings them out.

Examples:
  amber run --kernel vmlinuz --initrd initrd.img --share src --headless --save-on-exit built
  amber share export built out
  amber ctl machine.sock share export out     the same of a machine that runs";

/// Arguments of `amber share`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShareArgs {
    /// Folder of the snapshots [default: $AMBER_STORE, else amber/store in the user's data folder].
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    #[command(subcommand)]
    pub command: ShareCommand,
}

/// What to do with shares.
#[derive(Clone, Debug, Subcommand)]
pub enum ShareCommand {
    /// Write the files of a snapshot's share to a folder, which is made or must be empty.
    Export {
        /// The snapshot: its name, the start of its id, or a .amber file.
        snapshot: String,
        /// Folder to write to.
        folder: PathBuf,
    },
}

/// Does what was asked; returns the exit code.
///
/// # Errors
/// When the snapshot cannot be read or has no share, or the folder cannot be written.
pub fn run(args: &ShareArgs) -> Result<i32> {
    let ShareCommand::Export { snapshot, folder } = &args.command;
    let found = stores::find(args.store.as_deref(), snapshot)?;
    let (layout, mut pages) = stored_share(found.snapshot)?;
    let written = write_folder(&mut pages, layout, folder)?;
    let left_out = match written.left_out {
        0 => String::new(),
        count => format!("; {count} device nodes, pipes and sockets are left out"),
    };
    println!("{}: {} files, {} bytes{left_out}", folder.display(), written.files, written.bytes);
    Ok(0)
}
