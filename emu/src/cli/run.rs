//! `amber run`.

use super::args::{MachineArgs, RunArgs};
use super::console::Console;
use super::host::SessionHost;
use super::pace::Pacer;
use super::session::Session;
use super::{build, cable, counters, fault, from, log, overlays, report, trace};
use crate::config::{AudioChoice, ConsoleChoice, Debugcon, Firmware, Guest, MachineConfig, Pace};
use crate::control::{Caller, Calls, Server};
use crate::gdb;
use crate::input::{Input, Record, Recorder, Start};
use crate::machine::{Machine, Stop};
use crate::screenshot;
use crate::sound::Recording;
use crate::symbols::Symbols;
use amber_snapshot::SnapshotId;
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
    /// Whoever read standard output has gone: what shells show of a program that SIGPIPE ended.
    pub const READER_LEFT: i32 = 141;

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
            | Stop::Request(_)
            | Stop::Breakpoint(_)
            | Stop::Watchpoint(..) => 0,
        }
    }
}

/// What the embedded monitor takes as end of input: Ctrl-D.
pub(super) const END_OF_INPUT: u8 = 0x04;

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
    let driven = config.gdb.is_some() || config.trace.is_some();
    let on_the_way = !config.save_at.is_empty() || config.screenshot.iter().any(|shot| shot.step.is_some());
    if driven && (on_the_way || config.control.is_some()) {
        bail!(
            "--save-at, --screenshot with a step and --control do not go with --gdb or --trace; use them in a run of its own"
        );
    }
    log::install(&config.log);
    let symbols = config.symbols.as_deref().map(Symbols::from_file).transpose()?;
    let (mut machine, parent) = start(&config, &args.machine)?;
    overlays::warn(machine.spec());
    let debug = config.debugcon.as_ref().map(open_debugcon).transpose()?;
    // Before the console takes over the terminal, so that Ctrl-C ends the wait.
    let gdb = config.gdb.as_deref().map(gdb::Server::wait).transpose()?;
    let monitor = matches!(config.guest()?, Guest::Embedded(Firmware::Monitor));
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let pacer = (config.effective_pace(terminal) == Pace::Real).then(|| Pacer::new(machine.now()));
    let console = Console::new(debug, monitor.then_some(END_OF_INPUT), pacer);
    let calls = config.control.is_some().then(Calls::new);
    let mut host = host(&config, &mut machine, console, calls)?;
    let mut session = Session::new(&mut machine, &config, parent)?;
    let started = Instant::now();
    let until = config.stop_at.unwrap_or(u64::MAX).min(config.limit.unwrap_or(u64::MAX));
    let outcome = fault::guard(|| match (&config.trace, gdb) {
        (Some(file), _) => trace::run(session.machine, until, &mut host, config.no_reboot, file),
        (None, Some(server)) => server.run(session.machine, until, &mut host, config.no_reboot),
        (None, None) => session.run(until, &mut host),
    });
    host.console.flush();
    let stop = match outcome {
        Ok(stop) => stop?,
        Err(panic) => {
            drop(host);
            return Ok(fault::report(&panic, Some(&config), Some(session.machine)));
        }
    };
    let ended = end(&mut session, &mut host);
    drop(host);
    let limited = stop == Stop::Step && config.stop_at.is_none_or(|stop_at| machine.step() < stop_at);
    if limited || matches!(stop, Stop::TripleFault(_) | Stop::Hung) {
        eprint!("{}", report::death(&machine, stop, symbols.as_ref()));
    }
    if stop == Stop::Damaged {
        eprintln!("amber: the machine cannot go on: {}", machine.damage().unwrap_or("see the log"));
    }
    if config.stats {
        let write = if config.json { counters::stats_json } else { counters::stats };
        eprint!("{}", write(&machine, started.elapsed().as_secs_f64()));
    }
    if config.hash {
        eprintln!("state-hash {}", machine.state_hash());
    }
    ended?;
    Ok(if limited { exit::LIMIT } else { exit::code(stop) })
}

/// The machine to run, and the snapshot it goes on from.
///
/// # Errors
/// One sentence naming the file, field or option at fault.
pub fn start(config: &MachineConfig, asked: &MachineArgs) -> Result<(Machine, Option<SnapshotId>)> {
    Ok(match config.guest()? {
        Guest::Snapshot(snapshot) => {
            let from::Origin { machine, id } = from::load(config, asked, snapshot)?;
            (machine, Some(id))
        }
        _ => (build::machine(config)?, None),
    })
}

/// What the run is recorded to, and what it is asked by; of `calls`, the caller is the control socket's.
///
/// # Errors
/// When a file or the socket cannot be made, or the machine has not what is asked for.
pub fn host(
    config: &MachineConfig,
    machine: &mut Machine,
    console: Console,
    calls: Option<(Caller, Calls)>,
) -> Result<SessionHost> {
    let recorder = match &config.record {
        Some(file) => {
            let start = Start::new(machine.state_hash(), machine.inputs(), config.to_toml()?);
            Some(Recorder::create(file, &start).context("--record")?)
        }
        None => None,
    };
    let (caller, calls) = calls.unzip();
    let mut host = SessionHost::new(console, recorder, calls);
    if let Some((path, caller)) = config.control.as_ref().zip(caller) {
        let server = Server::listen(path, caller);
        host.server =
            Some(server.with_context(|| format!("--control {}: cannot be listened to", path.display()))?);
    }
    host.sound = Recording::begin(config.audio.as_ref().unwrap_or(&AudioChoice::None), machine.now())?;
    host.ports.has_terminal = config.console == ConsoleChoice::Virtio;
    if host.ports.has_terminal && !machine.has_console() {
        bail!("--console virtio: the machine has no such console; it has one with --device virtio-console");
    }
    host.link = cable::lay(&config.net, machine.equipment().nic.as_ref())?;
    Ok(host)
}

/// Ends a run: the last pictures and snapshot, and the recordings.
///
/// # Errors
/// When something of that cannot be written; all else is.
pub fn end(session: &mut Session, host: &mut SessionHost) -> Result<()> {
    let pictured = last_screenshots(session.config, session.machine);
    let saved = session.finish();
    let recorded = end_recording(host, session.machine);
    let heard = host.sound.finish(session.machine.now());
    saved.and(recorded).and(heard).and(pictured)
}

/// Ends the recording with the state the run ended in.
fn end_recording(host: &mut SessionHost, machine: &mut Machine) -> Result<()> {
    let Some(recorder) = &mut host.recorder else { return Ok(()) };
    let (step, input) = (machine.step(), Input::Stop(machine.state_hash()));
    recorder.record(&Record { step, input });
    recorder.finish().context("--record")
}

/// Pictures of the screen as it is at the end.
fn last_screenshots(config: &MachineConfig, machine: &Machine) -> Result<()> {
    let mut files = config.screenshot.iter().filter(|shot| shot.step.is_none()).map(|shot| &shot.file);
    files.try_for_each(|file| screenshot::write(&machine.picture(), file)).context("--screenshot")
}

/// Opens what the debug consoles are written to.
///
/// # Errors
/// When the file cannot be created.
pub fn open_debugcon(target: &Debugcon) -> Result<Box<dyn Write>> {
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
