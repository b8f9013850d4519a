//! `amber replay`: a recorded run again, from its log and nothing else.

use super::console::Console;
use super::from;
use super::snapshot_args::ReplayArgs;
use super::{build, log, stores};
use crate::checkpoints::{Checkpoints, Policy, Shelf};
use crate::config::{Guest, MachineConfig};
use crate::input::{self, Input, Record};
use crate::machine::request::{Answer, Refusal};
use crate::machine::{Frozen, Gesture, HostIo, Machine, Plug, Ready, Stop};
use crate::sound::Recording;
use amber_devices::Part;
use amber_devices::sound::Sound;
use anyhow::{Result, anyhow, bail};
use std::collections::VecDeque;
use std::path::Path;

/// Gives a machine what the log says, when it says.
struct Player {
    console: Console,
    left: VecDeque<Record>,
    /// Step of the last look for input.
    asked_at: u64,
    /// The recorded run did what the guest asked for.
    serves: bool,
    /// What the log does not have: the run is another one.
    astray: Option<String>,
    sound: Recording,
}

impl Player {
    fn next_answer(&self) -> Option<Answer> {
        match self.left.front() {
            Some(Record { input: Input::Answer(answer), .. }) => Some(*answer),
            _ => None,
        }
    }

    fn next_part(&self, step: u64) -> Option<Change> {
        let next = self.left.front().filter(|next| next.step == step)?;
        match &next.input {
            Input::Plug(plug) => Some(Change::Plug(plug.clone())),
            Input::Unplug(part) => Some(Change::Unplug(*part)),
            _ => None,
        }
    }

    fn next_is(&self, step: u64, fits: impl Fn(&Input) -> bool) -> bool {
        self.left.front().is_some_and(|next| next.step == step && fits(&next.input))
    }
}

/// A part that comes or is asked to go.
enum Change {
    Plug(Plug),
    Unplug(Part),
}

impl Change {
    fn come_or_go(self, machine: &mut Machine, player: &mut Player) -> Result<()> {
        let done = match self {
            Self::Plug(plug) => machine.plug(player, plug).map(drop),
            Self::Unplug(part) => machine.unplug(player, part),
        };
        done.map_err(|why| anyhow!("the run is another one: {why}"))
    }
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

impl HostIo for Player {
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
    fn serial_input(&mut self, step: u64, _idle: Option<u64>) -> Vec<u8> {
        self.asked_at = step;
        // An answer may lie back: where the guest went to.
        let lies_back = |next: &&Record| next.step < step && !matches!(next.input, Input::Answer(_));
        if let Some(missed) = self.left.front().filter(lies_back) {
            let why = format!("the log has {missed:?}, and nothing asked for input at that step");
            self.astray.get_or_insert(why);
        }
        match self.left.front() {
            Some(Record { step: at, input: Input::Serial(bytes) }) if *at == step => bytes.clone(),
            _ => Vec::new(),
        }
    }
    fn gesture(&mut self, step: u64, _now: u64, _ready: Ready) -> Option<Gesture> {
        match self.left.front() {
            Some(Record { step: at, input: Input::Gesture(gesture) }) if *at == step => Some(*gesture),
            _ => None,
        }
    }
    fn frame_input(&mut self, step: u64, _now: u64) -> Option<Vec<u8>> {
        match self.left.front() {
            Some(Record { step: at, input: Input::Frame(frame) }) if *at == step => Some(frame.clone()),
            _ => None,
        }
    }
    fn console_output(&mut self, port: u8, bytes: &[u8]) {
        self.console.console_output(port, bytes);
    }
    fn console_input(&mut self, step: u64, port: u8, _room: usize, _idle: Option<u64>) -> Vec<u8> {
        match self.left.front() {
            Some(Record { step: at, input: Input::Console { port: to, bytes } })
                if (*at, *to) == (step, port) =>
            {
                bytes.clone()
            }
            _ => Vec::new(),
        }
    }
    fn may_input(&self) -> bool {
        !self.left.is_empty() && !self.next_is(self.asked_at, |input| matches!(input, Input::End(_)))
    }
    fn end_of_input(&self) -> Option<u8> {
        match self.left.front() {
            Some(Record { input: Input::End(byte), .. }) => *byte,
            _ => None,
        }
    }
    fn note(&mut self, record: &Record) {
        match self.left.pop_front() {
            Some(next) if next == *record => {}
            next => {
                let what = next.map_or_else(|| "nothing".into(), |next| format!("{next:?}"));
                let why = format!("at step {} it takes {:?}, the log has {what}", record.step, record.input);
                self.astray.get_or_insert(why);
            }
        }
    }
    fn takes_requests(&self) -> bool {
        self.serves
    }
    fn stop_requested(&self) -> bool {
        self.astray.is_some()
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
    let left = records.into_iter().skip(usize::try_from(skip)?).collect();
    let console = Console::silent();
    let serves = config.guest_checkpoints != Policy::Deny;
    let sound = Recording::begin(&args.audio, machine.now())?;
    let mut player = Player { console, left, asked_at: u64::MAX, serves, astray: None, sound };
    let outcome = play(&mut machine, &mut player, args.stop_at.unwrap_or(u64::MAX), &config);
    player.console.flush();
    let heard = player.sound.finish(machine.now());
    let told = outcome?;
    heard?;
    if args.hash {
        eprintln!("state-hash {}", machine.state_hash());
    }
    eprintln!("amber: {told}");
    Ok(0)
}

fn play(machine: &mut Machine, player: &mut Player, until: u64, config: &MachineConfig) -> Result<String> {
    let mut checkpoints = Checkpoints::new(config.guest_checkpoints);
    loop {
        // What is done to the machine between two runs of it.
        let done = |input: &Input| {
            let parts = matches!(input, Input::Plug(_) | Input::Unplug(_));
            parts
                || matches!(
                    input,
                    Input::Reset
                        | Input::PowerButton
                        | Input::Link(_)
                        | Input::Share(_)
                        | Input::Edit(_)
                        | Input::Stop(_)
                )
        };
        // Beyond an answer the steps may be those of another branch: the guest may have gone back.
        let answered = |input: &Input| matches!(input, Input::Answer(_));
        let ahead = player.left.iter().take_while(|record| !answered(&record.input));
        let pause = ahead.filter(|record| done(&record.input)).map(|record| record.step).next();
        let stop = machine.run(pause.unwrap_or(u64::MAX).min(until), player, config.no_reboot);
        if let Some(why) = &player.astray {
            bail!("the run is another one: {why}");
        }
        let here = machine.step();
        if let Stop::Request(asking) = stop {
            let mut shelf = LoggedShelf { folder: config.store.as_deref(), answer: player.next_answer() };
            checkpoints.serve(machine, asking, player, &mut shelf);
        } else if player.next_is(here, |input| *input == Input::Reset) {
            machine.press_reset(player);
        } else if player.next_is(here, |input| *input == Input::PowerButton) {
            machine.press_power(player);
        } else if let Some(part) = player.next_part(here) {
            part.come_or_go(machine, player)?;
        } else if let Some(Record { input: Input::Link(up), .. }) =
            player.left.front().filter(|r| r.step == here)
        {
            let up = *up;
            machine.set_link(player, up);
        } else if let Some(Record { input: Input::Share(contents), .. }) =
            player.left.front().filter(|r| r.step == here)
        {
            let contents = contents.clone();
            // What did not fit then does not fit now.
            let _ = machine.load_share(player, contents);
        } else if let Some(Record { input: Input::Edit(edit), .. }) =
            player.left.front().filter(|r| r.step == here)
        {
            let edit = edit.clone();
            machine.edit(player, edit).map_err(|why| anyhow!("the run is another one: {why}"))?;
        } else if let Some(Record { input: Input::Stop(hash), .. }) =
            player.left.front().filter(|r| r.step == here)
        {
            let now = machine.state_hash();
            if now != *hash {
                bail!(
                    "the run is another one: it ends at step {here} in state {now}, the recorded one in {hash}"
                );
            }
            return Ok(format!("the same run: it ends at step {here} as recorded"));
        } else if stop == Stop::Step && here >= until {
            return Ok(format!("the same so far, at step {here}"));
        } else if stop != Stop::Step {
            bail!("the run is another one: it ends at step {here} ({stop:?}), the recorded one went on");
        }
    }
}
