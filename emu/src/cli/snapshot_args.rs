//! Arguments of `amber snapshot` and `amber bench`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
A snapshot is meant by its name, the start of its id (4 digits or more), or a .amber file.

Examples:
  amber run --kernel vmlinuz --initrd initrd.img --headless --save-at 2000000000=booted
  amber snapshot list
  amber run --from booted --headless
  amber snapshot export booted booted.amber      one file, to take elsewhere
  amber run --from booted.amber --headless";

/// Arguments of `amber snapshot`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SnapshotArgs {
    /// Folder of the snapshots [default: $AMBER_STORE, else amber/store in the user's data folder].
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: SnapshotCommand,
}

/// What to do with snapshots.
#[derive(Clone, Debug, Subcommand)]
pub enum SnapshotCommand {
    /// List the snapshots by name.
    List,
    /// Show which snapshot went on from which.
    Tree,
    /// Show what a snapshot is.
    Show { snapshot: String },
    /// Write a snapshot to a file that holds all of it.
    Export {
        snapshot: String,
        /// File to write, by custom with the ending .amber.
        file: PathBuf,
    },
    /// Take a snapshot out of a .amber file into the store.
    Import {
        file: PathBuf,
        /// Name to give it [default: the one it had].
        #[arg(long)]
        name: Option<String>,
    },
    /// Read everything a snapshot needs and check it (all snapshots, if none is named).
    Verify { snapshots: Vec<String> },
    /// Give a snapshot another name.
    Rename { snapshot: String, name: String },
    /// Remove snapshots. What they alone needed goes with the next gc.
    Remove {
        #[arg(required = true)]
        snapshots: Vec<String>,
    },
    /// Free what no snapshot needs.
    Gc,
}

/// Arguments of `amber bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[arg(value_enum)]
    pub what: BenchSubject,
    /// Snapshot to measure with [default: the embedded monitor].
    #[arg(long, value_name = "SNAPSHOT")]
    pub from: Option<String>,
    /// Folder of the snapshots.
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BenchSubject {
    /// Freezing, saving, loading, forking, resetting.
    Snapshot,
}

/// Arguments of `amber replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// The input log, as `amber run --record` wrote it.
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
    /// Begin at this snapshot of the recorded run, not at its start.
    #[arg(long, value_name = "SNAPSHOT")]
    pub from: Option<String>,
    /// Folder of the snapshots.
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Stop at this step.
    #[arg(long, value_name = "STEP")]
    pub stop_at: Option<u64>,
    /// Print `state-hash <64 hex>` on standard error.
    #[arg(long)]
    pub hash: bool,
}

const CTL_EXAMPLES: &str = "\
Methods: status, pause, resume, step COUNT, save NAME, load SNAPSHOT, hash, serial TEXT, reset, power,
read ADDRESS LEN, quit. docs/control.md says what each answers.

Examples:
  amber run --kernel vmlinuz --headless --control /tmp/machine.sock
  amber ctl /tmp/machine.sock status
  amber ctl /tmp/machine.sock save before-the-update
  amber ctl /tmp/machine.sock serial $'ls\\n'";

/// Arguments of `amber ctl`.
#[derive(Clone, Debug, Args)]
#[command(after_help = CTL_EXAMPLES)]
pub struct CtlArgs {
    /// The socket that `amber run --control` listens at.
    pub socket: PathBuf,
    /// What to ask for.
    pub method: String,
    /// Its parameters, in order.
    #[arg(allow_hyphen_values = true)]
    pub params: Vec<String>,
}
