//! Arguments of `amber bisect`.

use super::snapshot_args::{DiffArgs, Print};
use crate::config::Engine;
use amber_snapshot::Pattern;
use clap::Args;
use std::path::PathBuf;

const HELP: &str = "\
A and B are each a MACHINE.toml (run without input), an input log (`amber run --record`), or a snapshot. They must be
equal where they begin, but for what --ignore or --only leave out; patterns are those of `amber snapshot diff`.

Exit codes: 0 whether the runs differ or not; with --exit-code 1 if they differ.

Examples:
  amber bisect good.log bad.log
  amber bisect a.toml b.toml --ignore config --ignore platform0/rtc --stop-at 2000000000
  amber bisect a.toml b.toml --symbols System.map --at do_syscall_64 --only cpu0.gpr
  amber bisect run.log run.log --amber-b old/amber";

/// Arguments of `amber bisect`.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub struct BisectArgs {
    pub a: String,
    pub b: String,
    /// Follow the runs to this step.
    #[arg(long, value_name = "STEP")]
    pub stop_at: Option<u64>,
    /// Lay the runs side by side by the hits of a symbol, not by steps; compare from the N-th on [default: 1].
    #[arg(long, value_name = "SYMBOL[=N]", conflicts_with = "at_address")]
    pub at: Option<String>,
    /// The same by a linear address.
    #[arg(long, value_name = "ADDR[=N]")]
    pub at_address: Option<String>,
    /// Compare only what fits; may be given more than once.
    #[arg(long, value_name = "PATTERN")]
    pub only: Vec<Pattern>,
    /// Leave out what fits; may be given more than once.
    #[arg(long, value_name = "PATTERN")]
    pub ignore: Vec<Pattern>,
    /// ELF or System.map to name addresses with.
    #[arg(long, value_name = "FILE")]
    pub symbols: Option<PathBuf>,
    /// Have another Amber follow b: the path of its program.
    #[arg(long, value_name = "PATH")]
    pub amber_b: Option<PathBuf>,
    /// What executes a's instructions, instead of what its recipe says: interp.
    #[arg(long, value_name = "ENGINE")]
    pub engine_a: Option<Engine>,
    /// The same for b.
    #[arg(long, value_name = "ENGINE")]
    pub engine_b: Option<Engine>,
    /// Folder of the snapshots.
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// End with 1 if the runs differ.
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub print: Print,
}

/// Arguments of `amber bisect-side`: what another Amber's bisection starts.
#[derive(Clone, Debug, Args)]
pub struct SideArgs {
    /// As A and B of `amber bisect`.
    pub recipe: String,
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<Engine>,
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
}

impl BisectArgs {
    /// How the two states are shown.
    pub fn shown(&self) -> DiffArgs {
        DiffArgs {
            a: self.a.clone(),
            b: self.b.clone(),
            only: self.only.clone(),
            ignore: self.ignore.clone(),
            symbols: self.symbols.clone(),
            hex: false,
            limit: 64,
            html: None,
            exit_code: false,
            print: self.print,
        }
    }
}
