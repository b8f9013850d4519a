//! The machine's thread: a session as `amber run` has it, asked by the window as `amber ctl` asks.

use super::glance::{Eyes, Line, Slot};
use super::sound::{Loudspeakers, Volume};
use super::start::Opening;
use amber_emu::cli::args::{RunArgs, RunningArgs};
use amber_emu::cli::console::Console;
use amber_emu::cli::onlooker::Standing;
use amber_emu::cli::pace::Pacer;
use amber_emu::cli::session::Session;
use amber_emu::cli::{fault, log, overlays, report, run};
use amber_emu::config::{AudioChoice, Guest, MachineConfig, Pace};
use amber_emu::control::{Caller, Calls};
use amber_emu::machine::Stop;
use amber_emu::sound::Recording;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Host memory for a machine's past, bytes, unless it says otherwise.
const HISTORY: u64 = 1 << 30;

/// A machine that was asked for, before it runs.
#[derive(Clone)]
pub struct Plan {
    pub config: MachineConfig,
    args: RunArgs,
    /// What the window calls it.
    pub name: String,
    /// The guest talks on serial port 0, and not on the screen.
    pub serial: bool,
    pub volume: Arc<Volume>,
}

impl Plan {
    /// What the options ask for.
    ///
    /// # Errors
    /// One sentence that names the option or file at fault.
    pub fn new(args: RunArgs) -> Result<Self> {
        let mut config = args.config()?;
        let not_here = [
            ("--headless", config.headless),
            ("--gdb", config.gdb.is_some()),
            ("--trace", config.trace.is_some()),
            ("--stats", config.stats),
        ];
        if let Some((option, _)) = not_here.into_iter().find(|(_, given)| *given) {
            bail!("{option}: a machine in a window does without; use `amber run` for it");
        }
        config.remember(HISTORY);
        let (name, serial) = describe(&config.guest()?);
        let name = args.file.as_deref().map_or(name, stem);
        Ok(Self { config, args, name, serial, volume: Arc::default() })
    }

    /// What the start screen asks for; the options for how it runs are those of the program.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn opening(opening: &Opening, running: &RunningArgs) -> Result<Self> {
        let mut args = RunArgs { running: running.clone(), ..RunArgs::default() };
        match opening {
            Opening::Embedded(firmware) => args.guest.firmware = Some(*firmware),
            Opening::Machine(file) => args.file = Some(file.clone()),
            Opening::Archive(file) => args.guest.from = Some(file.display().to_string()),
            Opening::Snapshot(name) => args.guest.from = Some(name.clone()),
        }
        Self::new(args)
    }

    /// How it is to run.
    pub fn running(&self) -> &RunningArgs {
        &self.args.running
    }

    /// The file of the machine, if it is of one: a MACHINE.toml, or a snapshot.
    pub fn file(&self) -> Option<PathBuf> {
        let archive = self.args.guest.from.as_ref().map(PathBuf::from);
        let archive = archive.filter(|file| file.extension().is_some_and(|end| end == "amber"));
        let file = archive.or_else(|| self.args.file.clone())?;
        std::path::absolute(file).ok()
    }

    /// Whether nothing was asked for but what goes with any machine: how fast it runs, what it remembers, where its snapshots
    /// are, and who may ask it.
    pub fn is_blank(&self) -> bool {
        let usual = MachineConfig::default();
        let config = MachineConfig {
            store: None,
            control: None,
            pace: None,
            engine: usual.engine,
            history: usual.history,
            audio: None,
            guest_checkpoints: usual.guest_checkpoints,
            ..self.config.clone()
        };
        self.args.file.is_none() && config == usual
    }

    /// Runs the machine to its end in a thread of its own; `ended` is told how it ended. What is asked of it goes by the caller.
    ///
    /// # Errors
    /// When the host has no thread left.
    pub fn start(self, slot: Arc<Slot>, ended: impl FnOnce(Ended) + Send + 'static) -> Result<Caller> {
        let (caller, calls) = Calls::new();
        let asking = caller.clone();
        let thread = std::thread::Builder::new().name("machine".to_owned());
        thread.spawn(move || ended(self.run(slot, asking, calls)))?;
        Ok(caller)
    }

    fn run(&self, slot: Arc<Slot>, caller: Caller, calls: Calls) -> Ended {
        let outcome = fault::guard(|| self.run_guarded(slot, caller, calls));
        match outcome {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => Ended::failed(format!("{error:#}")),
            Err(panic) => Ended::failed(fault::told(&panic, Some(&self.config), None)),
        }
    }

    /// The host's loudspeakers. A host without them keeps nobody from running a machine who did not ask for them.
    fn loudspeakers(&self, now: u64) -> Result<Recording> {
        match Loudspeakers::open(Arc::clone(&self.volume)) {
            Ok(loudspeakers) => Ok(Recording::to(Box::new(loudspeakers), now)),
            Err(error) if self.config.audio.is_none() => {
                tracing::info!(target: "sound", "{error:#}");
                Ok(Recording::default())
            }
            Err(error) => Err(error),
        }
    }

    fn run_guarded(&self, slot: Arc<Slot>, caller: Caller, calls: Calls) -> Result<Ended> {
        let config = &self.config;
        log::install(&config.log);
        let (mut machine, parent) = run::start(config, &self.args.machine)?;
        overlays::warn(machine.spec());
        let debug = config.debugcon.as_ref().map(run::open_debugcon).transpose()?;
        let pacer = (config.effective_pace(true) == Pace::Real).then(|| Pacer::new(machine.now()));
        let console = Console::deaf(Box::new(Line(Arc::clone(&slot))), debug, pacer);
        let plays = matches!(config.audio, None | Some(AudioChoice::Cpal));
        let recorded = config.audio.clone().filter(|_| !plays);
        let beside = MachineConfig { audio: recorded, ..config.clone() };
        let mut host = run::host(&beside, &mut machine, console, Some((caller, calls)))?;
        if plays {
            host.sound = self.loudspeakers(machine.now())?;
        }
        host.lingers = true;
        host.onlooker = Some(Box::new(Eyes::new(slot)));
        let mut session = Session::new(&mut machine, config, parent)?;
        let until = config.stop_at.unwrap_or(u64::MAX).min(config.limit.unwrap_or(u64::MAX));
        let rehearsal = fault::rehearsal();
        let until = rehearsal.map_or(until, |step| step.min(until));
        let run = || {
            let stop = session.run(until, &mut host)?;
            fault::rehearse(rehearsal, session.machine.step());
            Ok::<_, anyhow::Error>(stop)
        };
        let stop = match fault::guard(run) {
            Ok(stop) => stop?,
            Err(panic) => {
                return Ok(Ended::failed(fault::told(&panic, Some(config), Some(session.machine))));
            }
        };
        // What the guest showed last.
        host.show(session.machine, Standing { paused: true, ..Standing::default() });
        run::end(&mut session, &mut host)?;
        drop(host);
        if config.hash {
            eprintln!("state-hash {}", machine.state_hash());
        }
        Ok(Ended { asked: stop == Stop::User, failed: false, sentence: report::sentence(stop, &machine) })
    }
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The person wanted it.
    pub asked: bool,
    /// By no doing of the guest's.
    pub failed: bool,
    pub sentence: String,
}

impl Ended {
    /// The machine could not run, or not on.
    pub fn failed(sentence: String) -> Self {
        Self { asked: false, failed: true, sentence }
    }
}

/// What the guest is called, and whether it talks on the serial port.
fn describe(guest: &Guest<'_>) -> (String, bool) {
    match guest {
        Guest::Kernel { kernel, append, .. } => {
            (stem(kernel), append.contains("console=ttyS0") && !append.contains("console=tty0"))
        }
        Guest::Bios(_) => ("BIOS".to_owned(), false),
        Guest::Uefi(_) => ("UEFI".to_owned(), false),
        Guest::Rom(file) => (stem(file), false),
        Guest::Flat(image) => (stem(&image.file), false),
        Guest::Embedded(firmware) => (firmware.to_string(), true),
        Guest::Snapshot(name) if name.ends_with(".amber") => (stem(Path::new(name)), false),
        Guest::Snapshot(name) => ((*name).to_owned(), false),
    }
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}
