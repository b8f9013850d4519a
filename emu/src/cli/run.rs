//! `amber run`.

use super::args::{MachineArgs, RunArgs};
use super::console::Console;
use super::pace::Pacer;
use super::saving::Saver;
use super::{build, fault, from, log, report, stores, trace};
use crate::config::{Debugcon, Firmware, Guest, MachineConfig, Pace, SaveAt};
use crate::gdb;
use crate::machine::{HostIo, Machine, Stop};
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail};
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Exit codes of Amber's own; see `docs/cli.md`.
pub mod exit {
    pub const BAD_INPUT: i32 = 2;
    pub const DIED: i32 = 4;
    pub const HUNG: i32 = 6;
    pub const LIMIT: i32 = 8;
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
        write_out(&config.to_toml()?);
        return Ok(0);
    }
    if config.gdb.is_some() && config.trace.is_some() {
        bail!("--gdb and --trace both want to drive the machine; keep one of them");
    }
    if !config.save_at.is_empty() && (config.gdb.is_some() || config.trace.is_some()) {
        bail!("--save-at does not go with --gdb or --trace; save in a run of its own");
    }
    log::install(&config.log);
    let symbols = config.symbols.as_deref().map(Symbols::from_file).transpose()?;
    let (mut machine, mut saver) = start(&config, &args.machine)?;
    let debug = config.debugcon.as_ref().map(open_debugcon).transpose()?;
    // Before the console takes over the terminal, so that Ctrl-C ends the wait.
    let gdb = config.gdb.as_deref().map(gdb::Server::wait).transpose()?;
    let monitor = matches!(config.guest()?, Guest::Embedded(Firmware::Monitor));
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let pacer = (config.effective_pace(terminal) == Pace::Real).then(|| Pacer::new(machine.now()));
    let mut console = Console::new(debug, monitor.then_some(END_OF_INPUT), pacer);
    let started = Instant::now();
    let until = config.stop_at.unwrap_or(u64::MAX).min(config.limit.unwrap_or(u64::MAX));
    let outcome = fault::guard(|| match (&config.trace, gdb) {
        (Some(file), _) => trace::run(&mut machine, until, &mut console, config.no_reboot, file),
        (None, Some(server)) => server.run(&mut machine, until, &mut console, config.no_reboot),
        (None, None) => saves(&mut machine, until, &mut console, &config, saver.as_mut()),
    });
    console.flush();
    drop(console);
    let stop = match outcome {
        Ok(stop) => stop?,
        Err(panic) => return Ok(fault::report(&panic, Some(&config), Some(&machine))),
    };
    let limited = stop == Stop::Step && config.stop_at.is_none_or(|stop_at| machine.step() < stop_at);
    if limited || matches!(stop, Stop::TripleFault(_) | Stop::Hung) {
        eprint!("{}", report::death(&machine, stop, symbols.as_ref()));
    }
    if stop == Stop::Damaged {
        eprintln!("amber: the machine cannot go on: {}", machine.damage().unwrap_or("see the log"));
    }
    let saved = finish_saving(&mut machine, saver, config.save_on_exit.as_deref());
    if config.stats {
        let write = if config.json { report::stats_json } else { report::stats };
        eprint!("{}", write(&machine, started.elapsed().as_secs_f64()));
    }
    if config.hash {
        eprintln!("state-hash {}", machine.state_hash());
    }
    saved?;
    Ok(if limited { exit::LIMIT } else { exit::code(stop) })
}

/// Saves what is to be saved at the end, and waits until all is on the disk.
fn finish_saving(machine: &mut Machine, saver: Option<Saver>, name: Option<&str>) -> Result<()> {
    let Some(mut saver) = saver else { return Ok(()) };
    let last = name.map_or(Ok(()), |name| saver.save(machine, name, 0));
    saver.finish(machine)?;
    Ok(last?)
}

/// The machine to run, and what saves its snapshots if any are wanted.
fn start(config: &MachineConfig, asked: &MachineArgs) -> Result<(Machine, Option<Saver>)> {
    let (machine, parent) = match config.guest()? {
        Guest::Snapshot(snapshot) => {
            let from::Origin { machine, id } = from::load(config, asked, snapshot)?;
            (machine, Some(id))
        }
        _ => (build::machine(config)?, None),
    };
    let names: Vec<_> = config.save_at.iter().map(|point| &point.name).chain(&config.save_on_exit).collect();
    if names.is_empty() {
        return Ok((machine, None));
    }
    let store = stores::open(config.store.as_deref())?;
    for (n, name) in names.iter().enumerate() {
        store.check_name(name)?;
        if names[..n].contains(name) {
            bail!("two snapshots of this run are to be named {name}; give each a name of its own");
        }
    }
    Ok((machine, Some(Saver::new(store, parent))))
}

/// Runs, saving on the way what is to be saved.
fn saves(
    machine: &mut Machine,
    until: u64,
    host: &mut dyn HostIo,
    config: &MachineConfig,
    mut saver: Option<&mut Saver>,
) -> Result<Stop> {
    let mut points = config.save_at.clone();
    points.sort();
    for SaveAt { step, name } in points.iter().filter(|point| point.step <= until) {
        if machine.step() < *step {
            let stop = machine.run(*step, host, config.no_reboot);
            if stop != Stop::Step {
                return Ok(stop);
            }
        }
        // A failed save is told, and the machine runs on.
        if let Some(saver) = saver.as_deref_mut()
            && let Err(error) = saver.save(machine, name, 0)
        {
            eprintln!("amber: {error}; the machine runs on");
        }
    }
    Ok(machine.run(until, host, config.no_reboot))
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

/// Writes to standard output. Where nobody reads it, there is nobody to tell.
pub fn write_out(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
