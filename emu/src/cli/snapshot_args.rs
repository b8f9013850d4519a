//! Arguments of `amber snapshot` and `amber bench`.

use crate::config::AudioChoice;
use amber_snapshot::Pattern;
use clap::{Args, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
A snapshot is meant by its name, the start of its id (4 digits or more), or a .amber file.

Examples:
  amber run --kernel vmlinuz --initrd initrd.img --headless --save-at 2000000000=booted
  amber snapshot list
  amber run --from booted --headless --control machine.sock
  amber snapshot save machine.sock later         while it runs
  amber snapshot load machine.sock booted        it goes back
  amber snapshot export booted booted.amber      one file, to take elsewhere
  amber run --from booted.amber --headless
  amber snapshot diff booted later --symbols System.map --html changes.html
  amber snapshot edit booted --set cpu0.rip=0x100000 --write 0x100000=f4ebfd -o edited";

const DIFF_HELP: &str = "\
A PATTERN is a path such as cpu0.system.cr3 or platform0/pit, with * for any characters and ? for one; what lies
below a path that fits, fits. A region is meant by its name, bytes of it by REGION:FIRST-LAST (offsets).

Exit codes: 0 whether the snapshots differ or not, as odd codes are a guest's; with --exit-code 1 if they differ.

Examples:
  amber snapshot diff booted later
  amber snapshot diff booted later --only 'cpu*' --only ram:0x100000-0x1fffff
  amber snapshot diff booted later --ignore platform0/clock --hex --limit 1000
  amber snapshot diff booted later --html changes.html";

const EDIT_HELP: &str = "\
`amber snapshot show --fields` lists the paths. A VALUE is a number (decimal, 0x, 0b), true, false, none, the name of a
variant, bytes as hexadecimal digits, or JSON as `show --fields --json` prints it. A field takes what its type can
hold. --set comes first, then --write, --write-linear and --load; linear addresses are those of the snapshot's page
tables as they were. The result is loaded once; what no machine can be is not saved.

Examples:
  amber snapshot edit booted --set cpu0.rax=0x10 --set cpu0.system.activity=Running -o edited
  amber snapshot edit booted --write 0x7c00=eb_fe -o edited
  amber snapshot edit booted --symbols System.map --write-linear panic_timeout=ffffffff -o edited
  amber snapshot edit booted --load 0x4000000=new-initrd.img -o edited";

/// Arguments of `amber snapshot`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SnapshotArgs {
    /// Folder of the snapshots [default: $AMBER_STORE, else amber/store in the user's data folder].
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    #[command(flatten)]
    pub print: Print,
    #[command(subcommand)]
    pub command: SnapshotCommand,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Print {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to do with snapshots.
#[derive(Clone, Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save a machine that runs, which goes on meanwhile.
    Save {
        /// The socket it listens at: `amber run --control SOCKET`.
        socket: PathBuf,
        /// Name of the snapshot, in the store of that run.
        name: String,
        #[command(flatten)]
        print: Print,
    },
    /// Have a machine that runs go on from a snapshot.
    Load {
        /// The socket it listens at: `amber run --control SOCKET`.
        socket: PathBuf,
        /// The snapshot, in the store of that run, or a .amber file.
        snapshot: String,
        #[command(flatten)]
        print: Print,
    },
    /// List the snapshots by name.
    List {
        #[command(flatten)]
        print: Print,
    },
    /// Show which snapshot went on from which.
    Tree {
        #[command(flatten)]
        print: Print,
    },
    /// Show what a snapshot is, or its fields by name.
    Show(ShowArgs),
    /// Show what differs between two snapshots.
    Diff(DiffArgs),
    /// Make a snapshot with some fields or memory replaced.
    Edit(EditArgs),
    /// Write a snapshot, or a part of it, to a file.
    Export(ExportArgs),
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
    Gc {
        #[command(flatten)]
        print: Print,
    },
}

/// Arguments of `amber snapshot show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    pub snapshot: String,
    /// Show every field.
    #[arg(long)]
    pub fields: bool,
    /// Show the fields that fit, such as cpu0 or 'platform0/pit.*'.
    #[arg(long, value_name = "PATTERN")]
    pub section: Vec<Pattern>,
    #[command(flatten)]
    pub print: Print,
}

/// Arguments of `amber snapshot export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    pub snapshot: String,
    #[command(flatten)]
    pub to: ExportTo,
}

/// What `amber snapshot export` writes.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub struct ExportTo {
    /// File to write all of the snapshot to, by custom with the ending .amber.
    pub file: Option<PathBuf>,
    /// File to write every field of every section to, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// File to write RAM to, in guest-physical order without the hole below 4 GiB.
    #[arg(long, value_name = "FILE")]
    pub ram: Option<PathBuf>,
    /// File to write the variables of UEFI firmware to, for --uefi CODE,VARS.
    #[arg(long, value_name = "FILE")]
    pub vars: Option<PathBuf>,
    /// File to write memory and processors to as an ELF core, for gdb, crash, drgn and volatility.
    #[arg(long, value_name = "FILE")]
    pub vmcore: Option<PathBuf>,
    /// File to write the small picture of the screen to, as PNG.
    #[arg(long, value_name = "FILE")]
    pub thumbnail: Option<PathBuf>,
}

/// Arguments of `amber snapshot diff`.
#[derive(Clone, Debug, Args)]
#[command(after_help = DIFF_HELP)]
pub struct DiffArgs {
    pub a: String,
    pub b: String,
    /// Compare only what fits; may be given more than once.
    #[arg(long, value_name = "PATTERN")]
    pub only: Vec<Pattern>,
    /// Leave out what fits; may be given more than once.
    #[arg(long, value_name = "PATTERN")]
    pub ignore: Vec<Pattern>,
    /// ELF or System.map to name addresses with.
    #[arg(long, value_name = "FILE")]
    pub symbols: Option<PathBuf>,
    /// Show bytes of code as bytes, without disassembling them.
    #[arg(long)]
    pub hex: bool,
    /// Pages of each region whose bytes are shown.
    #[arg(long, value_name = "PAGES", default_value_t = 64)]
    pub limit: usize,
    /// File to write a page for a browser to, instead of printing.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// End with 1 if the snapshots differ.
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub print: Print,
}

/// Arguments of `amber snapshot edit`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EDIT_HELP)]
pub struct EditArgs {
    pub snapshot: String,
    /// Set a field.
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Write bytes at a guest-physical address.
    #[arg(long, value_name = "ADDR=HEX")]
    pub write: Vec<String>,
    /// Write bytes at a linear address of a processor (cpu0 unless given), or at a symbol.
    #[arg(long, value_name = "[cpuN:]ADDR=HEX")]
    pub write_linear: Vec<String>,
    /// Write a file's bytes at a guest-physical address.
    #[arg(long, value_name = "ADDR=FILE")]
    pub load: Vec<String>,
    /// ELF or System.map for symbols in place of linear addresses, as in NAME or NAME+0x10.
    #[arg(long, value_name = "FILE")]
    pub symbols: Option<PathBuf>,
    /// Name of the new snapshot.
    #[arg(short, long, value_name = "NAME")]
    pub output: String,
    #[command(flatten)]
    pub print: Print,
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
    /// Where the run's sound goes: none, or wav:FILE.
    #[arg(long, value_name = "none|wav:FILE", default_value_t)]
    pub audio: AudioChoice,
    /// Print `state-hash <64 hex>` on standard error.
    #[arg(long)]
    pub hash: bool,
}

const CTL_EXAMPLES: &str = "\
Methods: status, pause, resume, step COUNT, save NAME, load SNAPSHOT, hash, serial TEXT, reset, power,
net-link up|down, read ADDRESS LEN, quit. docs/control.md says what each answers.

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
