//! Arguments of `amber disk`.

use super::snapshot_args::Print;
use crate::disk::Format;
use clap::{Args, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
What a guest writes is kept in its snapshots, over an image that is not written. These commands
show images, and bring the two together.

Examples:
  amber run --bios bios.bin --disk debian.qcow2 --headless --save-on-exit installed
  amber disk info debian.qcow2
  amber disk export installed new.qcow2        a new image; debian.qcow2 stays as it is
  amber disk commit installed --keep old.qcow2 into debian.qcow2; the old one gets that name";

const EXPORT_HELP: &str = "\
The image has everything the guest saw on the disk at that moment, whatever it lay over. Zeroes
take no room in it. What the guest had not written yet is not there, as after a power cut.

Examples:
  amber disk export installed disk.img
  amber disk export installed disk.qcow2
  amber disk export later.amber --disk disk1 --image moved/data.img data.qcow2";

const COMMIT_HELP: &str = "\
The image must still be the one the snapshot was made over, and nobody may use it. The new image
is written beside the old one and takes its place in one step: a crash leaves the one or the
other, whole. It takes as much room as the image. A qcow2 image stays one, over the same backing
file; its compressed clusters are written plain.

Snapshots are over an image as it was: after this, those over the old one load only if it was
kept and --disk names it. If others in the store need it, --keep or --force is asked for.

Examples:
  amber disk commit installed
  amber disk commit installed --keep debian-old.img
  amber disk commit installed --save-as installed-2   the same machine, over the new image
  amber run --from installed --disk debian-old.img    a snapshot over the old one";

/// Arguments of `amber disk`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DiskArgs {
    /// Folder of the snapshots [default: $AMBER_STORE, else amber/store in the user's data folder].
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    #[command(subcommand)]
    pub command: DiskCommand,
}

/// What to do with disks.
#[derive(Clone, Debug, Subcommand)]
pub enum DiskCommand {
    /// Show what an image is, what it lies over, and what it is known by.
    Info(InfoArgs),
    /// Write a snapshot's disk to a new image.
    Export(ExportArgs),
    /// Write a snapshot's disk back into the image it lies over.
    Commit(CommitArgs),
}

/// Arguments of `amber disk info`.
#[derive(Clone, Debug, Args)]
pub struct InfoArgs {
    /// Images.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What their bytes are in: raw or qcow2 [default: what they look like].
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Leave out what takes reading all of them.
    #[arg(long)]
    pub quick: bool,
    #[command(flatten)]
    pub print: Print,
}

/// Which disk of a snapshot.
#[derive(Clone, Debug, Args)]
pub struct WhichDisk {
    /// The snapshot: its name, the start of its id, or a .amber file.
    pub snapshot: String,
    /// Which of its disks, such as disk1 [default: the only one].
    #[arg(long, value_name = "DISK")]
    pub disk: Option<String>,
    /// Where the image of the disk is now [default: where it was].
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
}

/// Arguments of `amber disk export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub struct ExportArgs {
    #[command(flatten)]
    pub which: WhichDisk,
    /// File to write.
    pub file: PathBuf,
    /// What to write: raw or qcow2 [default: qcow2 if the file's name ends so, else raw].
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `amber disk commit`.
#[derive(Clone, Debug, Args)]
#[command(after_help = COMMIT_HELP)]
pub struct CommitArgs {
    #[command(flatten)]
    pub which: WhichDisk,
    /// Name to keep the old image under, on the same file system.
    #[arg(long, value_name = "FILE")]
    pub keep: Option<PathBuf>,
    /// Name of a new snapshot of the same machine over the new image.
    #[arg(long, value_name = "NAME")]
    pub save_as: Option<String>,
    /// Do it though other snapshots need the old image.
    #[arg(long)]
    pub force: bool,
}
