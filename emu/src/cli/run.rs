//! `amber run`.

use super::args::RunArgs;
use super::console::Console;
use super::{build, log, report, trace};
use crate::config::{Debugcon, Firmware, Guest};
use crate::gdb;
use crate::machine::Stop;
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::time::Instant;

/// Exit codes of Amber's own; see `docs/cli.md`.
pub mod exit {
    pub const BAD_INPUT: i32 = 2;
    pub const DIED: i32 = 4;
    pub const HUNG: i32 = 6;
    pub const INTERNAL: i32 = 10;

    /// The exit code a stop ends a run with.
    pub fn code(stop: crate::machine::Stop) -> i32 {
        use crate::machine::Stop;
        match stop {
            Stop::DebugExit(value) => ((value << 1) | 1) as i32 & 0xFF,
            Stop::TripleFault(_) => DIED,
            Stop::Hung => HUNG,
            Stop::Damaged => INTERNAL,
            Stop::PowerOff
            | Stop::Reset
            | Stop::Step
            | Stop::User
            | Stop::Breakpoint(_)
            | Stop::Watchpoint(..) => 0,
        }
    }
}

/// What the embedded monitor takes as end of input: Ctrl-D.
const END_OF_INPUT: u8 = 0x04;

/// Runs a machine; returns the exit code.
///
/// # Errors
/// Bad input, as one sentence.
pub fn run(args: &RunArgs) -> Result<i32> {
    let config = args.config()?;
    if args.dump_config {
        config.guest()?;
        print!("{}", config.to_toml()?);
        return Ok(0);
    }
    if config.gdb.is_some() && config.trace.is_some() {
        bail!("--gdb and --trace both want to drive the machine; keep one of them");
    }
    log::install(&config.log);
    let symbols = config.symbols.as_deref().map(Symbols::from_file).transpose()?;
    let mut machine = build::machine(&config)?;
    let debug = config.debugcon.as_ref().map(open_debugcon).transpose()?;
    // Before the console takes over the terminal, so that Ctrl-C ends the wait.
    let gdb = config.gdb.as_deref().map(gdb::Server::wait).transpose()?;
    let monitor = matches!(config.guest()?, Guest::Embedded(Firmware::Monitor));
    let mut console = Console::new(debug, monitor.then_some(END_OF_INPUT));
    let started = Instant::now();
    let until = config.stop_at.unwrap_or(u64::MAX);
    let stop = match (&config.trace, gdb) {
        (Some(file), _) => trace::run(&mut machine, until, &mut console, config.no_reboot, file)?,
        (None, Some(server)) => server.run(&mut machine, until, &mut console, config.no_reboot)?,
        (None, None) => machine.run(until, &mut console, config.no_reboot),
    };
    console.flush();
    drop(console);
    if matches!(stop, Stop::TripleFault(_) | Stop::Hung) {
        eprint!("{}", report::death(&machine, stop, symbols.as_ref()));
    }
    if stop == Stop::Damaged {
        eprintln!("amber: the machine cannot go on: {}", machine.damage().unwrap_or("see the log"));
    }
    if config.stats {
        let write = if config.json { report::stats_json } else { report::stats };
        eprint!("{}", write(&machine, started.elapsed().as_secs_f64()));
    }
    if config.hash {
        eprintln!("state-hash {}", machine.state_hash());
    }
    Ok(exit::code(stop))
}

fn open_debugcon(target: &Debugcon) -> Result<Box<dyn Write>> {
    Ok(match target {
        Debugcon::Stderr => Box::new(std::io::stderr()),
        Debugcon::File(path) => {
            let file = std::fs::File::create(path)
                .with_context(|| format!("--debugcon {}: cannot be created", path.display()))?;
            Box::new(std::io::BufWriter::new(file))
        }
    })
}
