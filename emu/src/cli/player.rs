//! Recorded input, given to a machine again: what `amber replay` does with a log, and what a run does that goes back to a
//! step between the points it remembers.

use crate::input::{Input, Record};
use crate::machine::request::{Answer, Asking};
use crate::machine::{Gesture, Goal, HostIo, Machine, Plug, Ready, Stop};
use amber_devices::Part;
use amber_devices::sound::Sound;
use anyhow::{Result, anyhow, bail};

/// Gives a machine what the records say, when they say.
pub struct Player<'a> {
    /// Who hears what the machine says.
    pub ears: &'a mut dyn HostIo,
    /// Still to come.
    left: &'a [Record],
    /// Step of the last look for input.
    asked_at: u64,
    /// Beyond the records more may come: they are those of a run that goes on.
    open: bool,
    /// The recorded run did what the guest asked for.
    serves: bool,
    /// What the records do not have: the run is another one.
    astray: Option<String>,
    /// The machine stops where the next record is of another step than this.
    holds: Option<u64>,
}

/// Does what the guest asks for.
pub type Serve<'a> = &'a mut dyn FnMut(&mut Machine, Asking, &mut Player<'_>);

/// What a play came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    /// Its goal.
    Goal,
    /// The recorded run's end, at the same step and in the same state.
    End,
}

/// Whether these are the records of a run that could not say how it ended.
pub fn was_killed(records: &[Record]) -> bool {
    !matches!(records.last(), Some(Record { input: Input::Stop(_), .. }))
}

impl<'a> Player<'a> {
    /// A player of a run that has ended. One that was killed may have gone on after its last record.
    pub fn of_log(ears: &'a mut dyn HostIo, records: &'a [Record], serves: bool) -> Self {
        Self {
            ears,
            left: records,
            asked_at: u64::MAX,
            open: was_killed(records),
            serves,
            astray: None,
            holds: None,
        }
    }

    /// A player of what there is so far of a run that goes on.
    pub fn of_past(ears: &'a mut dyn HostIo, records: &'a [Record]) -> Self {
        Self { ears, left: records, asked_at: u64::MAX, open: true, serves: false, astray: None, holds: None }
    }

    /// What comes next, if it is what the guest was answered.
    pub fn next_answer(&self) -> Option<Answer> {
        match self.left.first() {
            Some(Record { input: Input::Answer(answer), .. }) => Some(*answer),
            _ => None,
        }
    }

    /// The next input, if it is one of this step.
    fn next_at(&self, step: u64) -> Option<&'a Input> {
        self.left.first().filter(|next| next.step == step).map(|next| &next.input)
    }

    /// Step at which something is done to the machine between two runs of it. Beyond an answer the steps may be those of
    /// another branch: the guest may have gone back.
    fn next_deed(&self) -> Option<u64> {
        self.next_deed_by(u64::MAX)
    }

    /// The same, of a deed that is done at a step or before.
    fn next_deed_by(&self, step: u64) -> Option<u64> {
        // Only a run that serves can send its guest back.
        let known = |record: &&Record| !self.serves || !matches!(record.input, Input::Answer(_));
        let ahead = self.left.iter().take_while(|record| record.step <= step).take_while(known);
        ahead.filter(|record| record.input.is_deed()).map(|record| record.step).next()
    }

    /// Whether the next input came while the machine stood at this step and waited for input alone.
    fn next_comes_idle(&self, machine: &Machine) -> bool {
        let comes = self.next_at(machine.step()).is_some_and(|input| !input.is_deed());
        comes && machine.next_processor().is_none() && machine.next_deadline().is_none()
    }

    fn give_part(&mut self, machine: &mut Machine, change: Change) -> Result<()> {
        let done = match change {
            Change::Plug(plug) => machine.plug(self, plug).map(drop),
            Change::Unplug(part) => machine.unplug(self, part),
        };
        done.map_err(|why| anyhow!("the run is another one: {why}"))
    }

    /// Does to the machine what is done to it where it stands; whether there is anything.
    fn act(&mut self, machine: &mut Machine) -> Result<bool> {
        match self.next_at(machine.step()) {
            Some(Input::Reset) => machine.press_reset(self),
            Some(Input::PowerButton) => machine.press_power(self),
            Some(Input::Plug(plug)) => self.give_part(machine, Change::Plug(plug.clone()))?,
            Some(Input::Unplug(part)) => self.give_part(machine, Change::Unplug(*part))?,
            Some(Input::Link(up)) => {
                machine.set_link(self, *up);
            }
            Some(Input::Medium(change)) => {
                machine.change_medium(self, change).map_err(|why| anyhow!("the run is another one: {why}"))?
            }
            Some(Input::Edit(edit)) => {
                machine.edit(self, edit.clone()).map_err(|why| anyhow!("the run is another one: {why}"))?
            }
            // What did not fit then does not fit now.
            Some(Input::Share(contents)) => drop(machine.load_share(self, contents.clone())),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A part that comes or is asked to go.
enum Change {
    Plug(Plug),
    Unplug(Part),
}

/// Plays to a goal, and all that came in there; or to the end of the recorded run.
///
/// # Errors
/// When the run is another one.
pub fn play(
    machine: &mut Machine,
    player: &mut Player<'_>,
    goal: Goal,
    no_reboot: bool,
    serve: Serve<'_>,
) -> Result<Played> {
    loop {
        let deed = player.next_deed().unwrap_or(u64::MAX);
        let until = Goal { step: deed.min(goal.step), ..goal };
        let stop = machine.run_to(until, player, no_reboot);
        if let Some(why) = &player.astray {
            bail!("the run is another one: {why}");
        }
        let here = machine.step();
        if let Stop::Request(asking) = stop {
            serve(machine, asking, player);
        } else if player.act(machine)? {
        } else if let Some(Input::Stop(hash)) = player.next_at(here) {
            let now = machine.state_hash();
            if now != *hash {
                bail!(
                    "the run is another one: it ends at step {here} in state {now}, the recorded one in {hash}"
                );
            }
            return Ok(Played::End);
        } else if matches!(stop, Stop::Breakpoint(_) | Stop::Watchpoint(..)) {
            // A debugger's, which stop nothing that is played.
        } else if stop != Stop::Damaged && machine.has_come_to(goal) {
            // Where a guest has ended, there is no further step.
            return Ok(Played::Goal);
        } else if stop != Stop::Step {
            bail!("the run is another one: it ends at step {here} ({stop:?}), the recorded one went on");
        }
    }
}

/// Plays to a goal and all that came in there, or to what stops the machine before: a debugger's stop, who listens, or the guest's
/// end, if nothing came in then. Serves no requests.
///
/// # Errors
/// When the run is another one.
pub fn follow(machine: &mut Machine, player: &mut Player<'_>, goal: Goal, no_reboot: bool) -> Result<Stop> {
    loop {
        let deed = player.next_deed_by(goal.step).unwrap_or(u64::MAX);
        let here = (machine.step(), player.left.len());
        let mut stop = machine.run_to(Goal { step: deed.min(goal.step), ..goal }, player, no_reboot);
        if stop == Stop::Step && player.next_comes_idle(machine) {
            stop = take_idle(machine, player, no_reboot);
        }
        if let Some(why) = &player.astray {
            bail!("the run is another one: {why}");
        }
        let stands = matches!(
            stop,
            Stop::Breakpoint(_) | Stop::Watchpoint(..) | Stop::User | Stop::Damaged | Stop::Request(_)
        );
        let goes_on = !stands && player.act(machine)?;
        if !goes_on && (stop != Stop::Step || machine.has_come_to(goal)) {
            return Ok(stop);
        }
        if here == (machine.step(), player.left.len()) {
            bail!("the run is another one: what came in at step {} is not asked for", here.0);
        }
    }
}

/// The machine, which has nothing to do, takes what came in while it waited at this very step.
fn take_idle(machine: &mut Machine, player: &mut Player<'_>, no_reboot: bool) -> Stop {
    player.holds = Some(machine.step());
    let stop = machine.run(machine.step() + 1, player, no_reboot);
    player.holds = None;
    if stop == Stop::User && !player.ears.stop_requested() { Stop::Step } else { stop }
}

impl HostIo for Player<'_> {
    fn serial_output(&mut self, port: u8, byte: u8) {
        self.ears.serial_output(port, byte);
    }
    fn debug_output(&mut self, byte: u8) {
        self.ears.debug_output(byte);
    }
    fn sound(&mut self, sound: Sound) {
        self.ears.sound(sound);
    }
    fn pace(&mut self, now: u64) {
        self.ears.pace(now);
    }
    fn console_output(&mut self, port: u8, bytes: &[u8]) {
        self.ears.console_output(port, bytes);
    }
    fn serial_input(&mut self, step: u64, _idle: Option<u64>) -> Vec<u8> {
        self.asked_at = step;
        // An answer may lie back: where the guest went to.
        let lies_back = |next: &&Record| next.step < step && !matches!(next.input, Input::Answer(_));
        if let Some(missed) = self.left.first().filter(lies_back) {
            let why = format!("the log has {missed:?}, and nothing asked for input at that step");
            self.astray.get_or_insert(why);
        }
        match self.next_at(step) {
            Some(Input::Serial(bytes)) => bytes.clone(),
            _ => Vec::new(),
        }
    }
    fn gesture(&mut self, step: u64, _now: u64, _ready: Ready) -> Option<Gesture> {
        match self.next_at(step) {
            Some(Input::Gesture(gesture)) => Some(*gesture),
            _ => None,
        }
    }
    fn frame_input(&mut self, step: u64, _now: u64) -> Option<Vec<u8>> {
        match self.next_at(step) {
            Some(Input::Frame(frame)) => Some(frame.clone()),
            _ => None,
        }
    }
    fn console_input(&mut self, step: u64, port: u8, _room: usize, _idle: Option<u64>) -> Vec<u8> {
        match self.next_at(step) {
            Some(Input::Console { port: to, bytes }) if *to == port => bytes.clone(),
            _ => Vec::new(),
        }
    }
    fn may_input(&self) -> bool {
        let ends = matches!(self.next_at(self.asked_at), Some(Input::End(_)));
        !ends && (self.open || !self.left.is_empty())
    }
    fn may_receive(&self) -> bool {
        self.open
    }
    fn end_of_input(&self) -> Option<u8> {
        match self.left.first() {
            Some(Record { input: Input::End(byte), .. }) => *byte,
            _ => None,
        }
    }
    fn note(&mut self, record: &Record) {
        let next = self.left.split_first().map(|(next, left)| {
            self.left = left;
            next
        });
        if next != Some(record) {
            let what = next.map_or_else(|| "nothing".into(), |next| format!("{next:?}"));
            let why = format!("at step {} it takes {:?}, the log has {what}", record.step, record.input);
            self.astray.get_or_insert(why);
        }
    }
    fn takes_requests(&self) -> bool {
        self.serves
    }
    fn attend(&mut self) {
        self.ears.attend();
    }
    fn part_changed(&mut self) {
        self.ears.part_changed();
    }
    fn stop_requested(&self) -> bool {
        let holds = self.holds.is_some_and(|step| self.next_at(step).is_none_or(Input::is_deed));
        holds || self.astray.is_some() || self.ears.stop_requested()
    }
}
