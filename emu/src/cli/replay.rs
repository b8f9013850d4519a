//! `amber replay`: a recorded run again, from its log and nothing else.

use super::console::Console;
use super::from;
use super::player::{self, Played, Player};
use super::snapshot_args::ReplayArgs;
use super::{build, log, stores};
use crate::checkpoints::{Checkpoints, Policy, Shelf};
use crate::config::{Guest, MachineConfig};
use crate::input::{self, Record};
use crate::machine::request::{Answer, Refusal};
use crate::machine::{Frozen, Goal, HostIo, Machine};
use crate::sound::Recording;
use amber_devices::sound::Sound;
use anyhow::{Result, bail};
use std::path::Path;

/// Where what the machine says goes.
struct Ears {
    console: Console,
    sound: Recording,
}

/// The store of a replay: what was saved there when the run was recorded is not saved again.
struct LoggedShelf<'a> {
    folder: Option<&'a Path>,
    /// What the log says the guest was answered.
    answer: Option<Answer>,
}

impl Shelf for LoggedShelf<'_> {
    fn save(&mut self, _state: Frozen, _name: &str) -> Result<(), Refusal> {
        let refusals = [Refusal::Name, Refusal::Store];
        let refused = refusals.into_iter().find(|refusal| self.answer == Some((*refusal).into()));
        refused.map_or(Ok(()), Err)
    }

    fn load(&mut self, name: &str) -> Result<Machine, Refusal> {
        let found = stores::find(self.folder, name).map_err(|_| Refusal::Unknown)?;
        Machine::load(found.snapshot).map_err(|_| Refusal::Unknown)
    }
}

impl HostIo for Ears {
    fn serial_output(&mut self, port: u8, byte: u8) {
        self.console.serial_output(port, byte);
    }
    fn debug_output(&mut self, byte: u8) {
        self.console.debug_output(byte);
    }
    fn sound(&mut self, sound: Sound) {
        self.sound.hear(sound);
    }
    fn pace(&mut self, now: u64) {
        self.sound.advance_to(now);
    }
    fn console_output(&mut self, port: u8, bytes: &[u8]) {
        self.console.console_output(port, bytes);
    }
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        false
    }
}

/// Replays a log; returns the exit code.
///
/// # Errors
/// When the log cannot be read, its machine not be built, or the run is another one.
pub fn run(args: &ReplayArgs) -> Result<i32> {
    let (start, records) = input::read(&args.log)?;
    let mut config = MachineConfig::from_toml(&start.config, &args.log)?;
    config.store = args.store.clone().or(config.store);
    config.spare_images();
    log::install(&config.log);
    if let Some(snapshot) = &args.from {
        config.clear_guest();
        config.from = Some(snapshot.clone());
    }
    let mut machine = match config.guest()? {
        Guest::Snapshot(snapshot) => from::load(&config, &Default::default(), snapshot)?.machine,
        _ => build::machine(&config)?,
    };
    let hash = machine.state_hash();
    if args.from.is_none() && hash != start.state_hash {
        bail!(
            "{}: recorded from the state {}, but its machine is built as {hash} now; a file it names has changed",
            args.log.display(),
            start.state_hash
        );
    }
    let Some(skip) = machine.inputs().checked_sub(start.inputs) else {
        bail!("{}: the machine of --from is from before the recording began", args.log.display());
    };
    let left = records.get(usize::try_from(skip)?..).unwrap_or_default();
    let mut ears = Ears { console: Console::silent(), sound: Recording::begin(&args.audio, machine.now())? };
    // How far a run went that was killed nobody knows; as far as its last input for certain.
    let last = records.last().map_or(machine.step(), |last| last.step);
    let end = if player::was_killed(&records) { last } else { u64::MAX };
    let goal = Goal::step(args.stop_at.unwrap_or(end));
    let outcome = replay(&mut machine, &mut ears, left, goal, &config);
    ears.console.flush();
    let heard = ears.sound.finish(machine.now());
    let (played, here) = (outcome?, machine.step());
    heard?;
    if args.hash {
        eprintln!("state-hash {}", machine.state_hash());
    }
    match played {
        Played::End => eprintln!("amber: the same run: it ends at step {here} as recorded"),
        Played::Goal => eprintln!("amber: the same so far, at step {here}"),
    }
    Ok(0)
}

fn replay(
    machine: &mut Machine,
    ears: &mut Ears,
    records: &[Record],
    goal: Goal,
    config: &MachineConfig,
) -> Result<Played> {
    let mut player = Player::of_log(ears, records, config.guest_checkpoints != Policy::Deny);
    let mut checkpoints = Checkpoints::new(config.guest_checkpoints);
    player::play(machine, &mut player, goal, config.no_reboot, &mut |machine, asking, player| {
        let mut shelf = LoggedShelf { folder: config.store.as_deref(), answer: player.next_answer() };
        checkpoints.serve(machine, asking, player, &mut shelf);
    })
}
