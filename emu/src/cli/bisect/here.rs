//! A run in this process: a machine, its input, and a state to go back to.

use super::Axis;
use super::side::{Ask, Standing};
use crate::checkpoints::Policy;
use crate::cli::{build, from, run, trace};
use crate::config::{Engine, Firmware, Guest, MachineConfig};
use crate::input::{self, Input, Record};
use crate::machine::{Frozen, Gesture, HostIo, Machine, Ready, Stop};
use amber_cpu::Watch;
use amber_snapshot::{SnapshotId, Store};
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::Path;

/// What a log begins with.
const LOG: &[u8] = b"AMBERLOG";

/// A run.
pub struct Run {
    machine: Machine,
    host: Given,
    no_reboot: bool,
    /// How often it came to the address that is counted.
    hits: u64,
    /// Step and processor of the last time.
    last: Option<(u64, usize)>,
    /// Why it goes no further.
    ended: Option<String>,
    kept: Option<Kept>,
    store: Option<Store>,
}

/// A state to go back to.
struct Kept {
    state: Frozen,
    hits: u64,
    last: Option<(u64, usize)>,
}

/// The input of a run: that of a log, or none at all. What the guest says is not shown.
struct Given {
    /// The log's, in order.
    records: Option<Vec<Record>>,
    /// The first of them that is still to come.
    next: usize,
    /// Inputs that lay before the log began.
    before: u64,
    /// What the guest is told at the end of its input, without a log.
    end: Option<u8>,
    asked_at: u64,
    astray: Option<String>,
}

impl Given {
    fn front(&self) -> Option<&Record> {
        self.records.as_ref()?.get(self.next)
    }

    fn next_is(&self, step: u64, fits: impl Fn(&Input) -> bool) -> bool {
        self.front().is_some_and(|next| next.step == step && fits(&next.input))
    }

    /// Step of the next thing that is done to the machine between two runs of it.
    fn pause(&self) -> Option<u64> {
        let left = self.records.as_ref()?.get(self.next..)?;
        left.iter().find(|record| record.input.is_deed()).map(|record| record.step)
    }
}

impl HostIo for Given {
    fn serial_output(&mut self, _port: u8, _byte: u8) {}
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, step: u64, _idle: Option<u64>) -> Vec<u8> {
        self.asked_at = step;
        match self.front() {
            Some(Record { step: at, input: Input::Serial(bytes) }) if *at == step => bytes.clone(),
            _ => Vec::new(),
        }
    }
    fn gesture(&mut self, step: u64, _now: u64, _ready: Ready) -> Option<Gesture> {
        match self.front() {
            Some(Record { step: at, input: Input::Gesture(gesture) }) if *at == step => Some(*gesture),
            _ => None,
        }
    }
    fn frame_input(&mut self, step: u64, _now: u64) -> Option<Vec<u8>> {
        match self.front() {
            Some(Record { step: at, input: Input::Frame(frame) }) if *at == step => Some(frame.clone()),
            _ => None,
        }
    }
    fn console_input(&mut self, step: u64, port: u8, _room: usize, _idle: Option<u64>) -> Vec<u8> {
        match self.front() {
            Some(Record { step: at, input: Input::Console { port: to, bytes } })
                if (*at, *to) == (step, port) =>
            {
                bytes.clone()
            }
            _ => Vec::new(),
        }
    }
    fn may_input(&self) -> bool {
        let ends = self.next_is(self.asked_at, |input| matches!(input, Input::End(_)));
        self.front().is_some() && !ends
    }
    fn end_of_input(&self) -> Option<u8> {
        match self.front() {
            Some(Record { input: Input::End(byte), .. }) => *byte,
            _ => self.end,
        }
    }
    fn note(&mut self, record: &Record) {
        let fits = self.front().is_none_or(|next| next == record);
        if self.records.is_some() && (!fits || self.front().is_none()) {
            let what = self.front().map_or_else(|| "nothing".into(), |next| format!("{next:?}"));
            self.astray.get_or_insert(format!("it takes {:?}, its log has {what}", record.input));
        }
        self.next += 1;
    }
    fn stop_requested(&self) -> bool {
        self.astray.is_some()
    }
}

impl Run {
    /// The run that `text` means: a MACHINE.toml, an input log, or a snapshot.
    ///
    /// # Errors
    /// When it cannot be read, or its machine not be built.
    pub fn open(text: &str, engine: Option<Engine>, store: Option<&Path>) -> Result<Self> {
        let file = Path::new(text);
        let (mut config, log) = if is_log(file) {
            let (start, records) = input::read(file)?;
            if records.iter().any(|record| matches!(record.input, Input::Answer(_))) {
                bail!("{text}: its guest asked for checkpoints; such a run cannot be taken back");
            }
            (MachineConfig::from_toml(&start.config, file)?, Some((start, records)))
        } else if file.extension().is_some_and(|extension| extension == "toml") {
            (MachineConfig::from_file(file)?, None)
        } else {
            (MachineConfig { from: Some(text.to_owned()), ..MachineConfig::default() }, None)
        };
        if config.guest_checkpoints != Policy::Deny {
            bail!("{text}: it lets its guest keep checkpoints; such a run cannot be taken back");
        }
        config.spare_images();
        config.store = store.map(Path::to_owned).or(config.store);
        config.engine = engine.unwrap_or(config.engine);
        let guest = config.guest()?;
        let monitor = matches!(guest, Guest::Embedded(Firmware::Monitor));
        let mut machine = match guest {
            Guest::Snapshot(snapshot) => from::load(&config, &Default::default(), snapshot)?.machine,
            _ => build::machine(&config)?,
        };
        if let Some((start, _)) = &log
            && machine.state_hash() != start.state_hash
        {
            bail!(
                "{text}: recorded from another state than its machine is built in now; a file it names has changed"
            );
        }
        let before = machine.inputs();
        let end = monitor.then_some(run::END_OF_INPUT);
        let records = log.map(|(_, records)| records);
        let host = Given { records, next: 0, before, end, asked_at: u64::MAX, astray: None };
        let no_reboot = config.no_reboot;
        Ok(Self { machine, host, no_reboot, hits: 0, last: None, ended: None, kept: None, store: None })
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        Standing {
            step: self.machine.step(),
            hits: self.hits,
            ended: self.ended.clone(),
            known_to: self.known_to(),
            next: next(&self.machine),
            hash: None,
            saved: None,
        }
    }

    /// Does what is asked.
    ///
    /// # Errors
    /// When there is nothing to go back to, or the store cannot be written.
    pub fn perform(&mut self, ask: &Ask) -> Result<Standing> {
        match ask {
            Ask::Count { linear } => self.count(*linear),
            Ask::Keep => self.keep(),
            Ask::Back => self.back()?,
            Ask::GoTo { axis, to, bound } => self.go_to(*axis, *to, *bound),
            Ask::Hash => {
                let hash = Some(self.machine.state_hash());
                return Ok(Standing { hash, ..self.standing() });
            }
            Ask::Save { store } => {
                let saved = Some(self.save(store)?.to_string());
                return Ok(Standing { saved, ..self.standing() });
            }
        }
        Ok(self.standing())
    }

    fn save(&mut self, folder: &Path) -> Result<SnapshotId> {
        let store = match &self.store {
            Some(store) if store.dir() == folder => store,
            _ => self.store.insert(Store::open(folder)?),
        };
        let mut frozen = self.machine.freeze();
        let saved = frozen.save(store, None);
        self.machine.adopt_trees(frozen);
        Ok(saved?.id)
    }

    /// Step a log ends at: what came after is not known.
    fn known_to(&self) -> Option<u64> {
        let last = self.host.records.as_ref().map(|records| records.last().map_or(0, |record| record.step));
        last.map(|last| last.max(self.machine.step()))
    }

    /// Has the times counted that a processor comes to a linear address.
    fn count(&mut self, linear: u64) {
        for n in 0..self.machine.vcpus().len() {
            let breakpoints = [linear].into_iter().collect();
            self.machine.vcpu_mut(n).set_watch(Watch { breakpoints, ..Watch::default() });
        }
    }

    /// Keeps the present state to go back to.
    fn keep(&mut self) {
        self.kept = Some(Kept { state: self.machine.freeze(), hits: self.hits, last: self.last });
    }

    /// Goes back to the state that was kept.
    fn back(&mut self) -> Result<()> {
        let kept = self.kept.as_ref().context("no state was kept")?;
        self.machine.rewind(&kept.state);
        (self.hits, self.last) = (kept.hits, kept.last);
        self.ended = None;
        self.host.astray = None;
        self.host.asked_at = u64::MAX;
        self.host.next = (self.machine.inputs() - self.host.before) as usize;
        Ok(())
    }

    /// Goes on to a step or a number of hits, but not beyond step `bound`; `ended` says if it does not come so far.
    fn go_to(&mut self, axis: Axis, to: u64, bound: u64) {
        while self.ended.is_none() && self.at(axis) < to {
            let until = if matches!(axis, Axis::Step) { to.min(bound) } else { bound };
            let pause = self.host.pause().unwrap_or(u64::MAX);
            let stop = self.machine.run(pause.min(until), &mut self.host, self.no_reboot);
            self.ended = self.after(stop);
            if self.ended.is_none() && self.at(axis) < to && self.machine.step() >= bound {
                self.ended = Some("that is as far as it is looked at".to_owned());
            }
        }
    }

    /// Where it stands.
    fn at(&self, axis: Axis) -> u64 {
        match axis {
            Axis::Step => self.machine.step(),
            Axis::Hits(_) => self.hits,
        }
    }

    /// What follows from a stop; `Some` if the run is over.
    fn after(&mut self, stop: Stop) -> Option<String> {
        let here = self.machine.step();
        if let Some(why) = self.host.astray.take() {
            return Some(why);
        }
        match stop {
            Stop::Breakpoint(processor) => {
                // A state that was gone back to stands at the breakpoint that was counted.
                if self.last != Some((here, processor)) {
                    self.hits += 1;
                    self.last = Some((here, processor));
                }
                None
            }
            Stop::Step if self.host.next_is(here, |input| *input == Input::Reset) => {
                self.machine.press_reset(&mut self.host);
                None
            }
            Stop::Step if self.host.next_is(here, |input| *input == Input::PowerButton) => {
                self.machine.press_power(&mut self.host);
                None
            }
            Stop::Step if self.host.next_is(here, |input| matches!(input, Input::Share(_))) => {
                if let Some(Input::Share(contents)) = self.host.front().map(|next| next.input.clone()) {
                    // What did not fit then does not fit now.
                    let _ = self.machine.load_share(&mut self.host, contents);
                }
                None
            }
            Stop::Step if self.host.next_is(here, |input| matches!(input, Input::Link(_))) => {
                let up = self.host.next_is(here, |input| *input == Input::Link(true));
                self.machine.set_link(&mut self.host, up);
                None
            }
            Stop::Step if self.host.next_is(here, |input| matches!(input, Input::Edit(_))) => {
                let Some(Input::Edit(edit)) = self.host.front().map(|next| next.input.clone()) else {
                    return None;
                };
                self.machine.edit(&mut self.host, edit).err().map(|why| why.to_string())
            }
            Stop::Step
                if self.host.next_is(here, |input| matches!(input, Input::Plug(_) | Input::Unplug(_))) =>
            {
                let done = match self.host.front().map(|next| next.input.clone()) {
                    Some(Input::Plug(plug)) => self.machine.plug(&mut self.host, plug).map(drop),
                    Some(Input::Unplug(part)) => self.machine.unplug(&mut self.host, part),
                    _ => Ok(()),
                };
                done.err().map(|why| why.to_string())
            }
            Stop::Step if self.host.next_is(here, |input| matches!(input, Input::Stop(_))) => {
                Some("its log ends".to_owned())
            }
            Stop::Step if self.host.front().is_some_and(|next| next.step < here) => {
                Some("it did not take an input of its log".to_owned())
            }
            Stop::Step => None,
            stop => Some(format!("{stop:?}")),
        }
    }
}

/// The line a trace would have for the next step.
fn next(machine: &Machine) -> String {
    match machine.next_processor() {
        Some(n) => trace::line(machine, n, &mut std::array::from_fn(|r| machine.vcpus()[n].gpr[r])),
        None => format!("{} idle {}", machine.step(), machine.now()),
    }
}

fn is_log(file: &Path) -> bool {
    let mut start = [0; 64];
    let read = std::fs::File::open(file).and_then(|mut file| file.read(&mut start));
    // The length of the first record stands in front.
    read.is_ok_and(|len| start[..len].windows(LOG.len()).take(8).any(|bytes| bytes == LOG))
}
