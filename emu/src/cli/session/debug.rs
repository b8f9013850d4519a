//! A session's breakpoints and watchpoints, and why it stands. None of that is in the machine's state.

use super::Session;
use super::goal::Goal;
use super::symbols::hex;
use crate::config::MachineConfig;
use crate::control::Place;
use crate::machine::{Machine, Stop};
use crate::symbols::Symbols;
use amber_cpu::Watchpoint;
use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes a watchpoint watches.
const WATCH_MAX: u64 = 1 << 20;

/// What is stopped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// Before the instruction at a linear address.
    Break(u64),
    /// After an access.
    Watch(Watchpoint),
}

/// See the module.
pub struct Debugger {
    /// By id; whether it counts.
    points: BTreeMap<u32, (Point, bool)>,
    next_id: u32,
    pub symbols: Option<Symbols>,
    /// What the machine goes on to.
    pub goal: Option<Goal>,
    /// Why it stands.
    pub(super) stopped: Option<Value>,
    /// Processors were told of something to watch.
    armed: bool,
}

impl Debugger {
    /// # Errors
    /// When the symbols the configuration names cannot be read.
    pub fn new(config: &MachineConfig) -> Result<Self> {
        let symbols = config.symbols.as_deref().map(Symbols::from_file).transpose()?;
        Ok(Self { points: BTreeMap::new(), next_id: 1, symbols, goal: None, stopped: None, armed: false })
    }

    /// Another machine is there.
    pub fn arrive(&mut self) {
        (self.goal, self.stopped) = (None, None);
    }

    fn breakpoints(&self) -> BTreeSet<u64> {
        let linear = |(point, enabled): &(Point, bool)| match point {
            Point::Break(linear) if *enabled => Some(*linear),
            _ => None,
        };
        self.points.values().filter_map(linear).collect()
    }

    fn watchpoints(&self) -> BTreeSet<Watchpoint> {
        let watch = |(point, enabled): &(Point, bool)| match point {
            Point::Watch(watch) if *enabled => Some(*watch),
            _ => None,
        };
        self.points.values().filter_map(watch).collect()
    }

    /// Whether a processor that comes there is to stop.
    pub fn breaks_at(&self, linear: u64) -> bool {
        self.points.values().any(|point| *point == (Point::Break(linear), true))
    }

    /// Tells the processors what to watch, and `also`. One that came since, too.
    pub fn arm(&mut self, machine: &mut Machine, also: impl IntoIterator<Item = u64>) {
        let mut breakpoints = self.breakpoints();
        breakpoints.extend(also);
        let watchpoints = self.watchpoints();
        let any = !breakpoints.is_empty() || !watchpoints.is_empty();
        let told = |vcpu: &amber_cpu::Vcpu| {
            (&vcpu.watch().breakpoints, &vcpu.watch().watchpoints) == (&breakpoints, &watchpoints)
        };
        if (any || self.armed) && !machine.vcpus().iter().all(told) {
            machine.watch(&breakpoints, &watchpoints);
        }
        self.armed = any;
    }

    /// Nothing is watched, until it is armed again.
    pub fn disarm(&mut self, machine: &mut Machine) {
        if std::mem::take(&mut self.armed) {
            machine.watch(&BTreeSet::new(), &BTreeSet::new());
        }
    }

    /// Whether anything stops the machine.
    pub fn any(&self) -> bool {
        self.points.values().any(|(_, enabled)| *enabled)
    }

    fn id(&self, of: Point) -> Option<u32> {
        self.points.iter().find(|(_, (point, _))| *point == of).map(|(id, _)| *id)
    }

    fn add(&mut self, point: Point) -> u32 {
        if let Some(id) = self.id(point) {
            self.points.insert(id, (point, true));
            return id;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.points.insert(id, (point, true));
        id
    }
}

impl Session<'_> {
    /// What is known of why the machine stands.
    pub(super) fn stopped(&self) -> Value {
        self.debugger.stopped.clone().filter(|_| self.paused).unwrap_or(Value::Null)
    }

    pub(super) fn pause(&mut self) {
        if !self.paused {
            self.halt(json!({ "why": "pause" }));
        }
    }

    /// The machine stands from now on.
    pub(super) fn halt(&mut self, why: Value) {
        self.paused = true;
        self.debugger.goal = None;
        self.debugger.stopped = Some(why);
    }

    /// The machine goes on from where it was seen to stand, also where that is a breakpoint.
    pub(super) fn go_on(&mut self) {
        (self.debugger.goal, self.debugger.stopped) = (None, None);
        if let Some(n) = self.machine.next_processor() {
            self.machine.vcpu_mut(n).pass_breakpoint();
        }
    }

    /// Halts where a stop is a debugger's.
    pub(super) fn note_stop(&mut self, stop: Stop) {
        match stop {
            Stop::Breakpoint(n) => {
                let linear = self.machine.vcpus()[n].linear_rip();
                let id = self.debugger.id(Point::Break(linear));
                // One without an id is where a goal was.
                let why = if id.is_some() { "breakpoint" } else { "step" };
                self.halt(self.place_of(n, json!({ "why": why, "id": id })));
            }
            Stop::Watchpoint(n, hit) => {
                let id = self.debugger.id(Point::Watch(hit));
                let why = json!({ "why": "watchpoint", "id": id, "watched": hex(hit.linear) });
                self.halt(self.place_of(n, why));
            }
            _ => {}
        }
    }

    fn place_of(&self, n: usize, mut why: Value) -> Value {
        let linear = self.machine.vcpus()[n].linear_rip();
        why["cpu"] = json!(n);
        why["address"] = json!(hex(linear));
        why["symbol"] = json!(self.name(linear));
        why
    }

    pub(super) fn set_breakpoint(&mut self, place: &Place) -> Result<Value> {
        let linear = self.address(place)?;
        let id = self.debugger.add(Point::Break(linear));
        Ok(self.described(id))
    }

    pub(super) fn set_watchpoint(
        &mut self,
        place: &Place,
        len: u64,
        read: bool,
        write: bool,
    ) -> Result<Value> {
        let linear = self.address(place)?;
        if !(1..=WATCH_MAX).contains(&len) || linear.checked_add(len).is_none() {
            bail!("watch: {len} bytes; a watchpoint watches 1 to {WATCH_MAX}");
        }
        if !read && !write {
            bail!("watch: neither reads nor writes are watched; say which");
        }
        let id = self.debugger.add(Point::Watch(Watchpoint { linear, len, read, write }));
        Ok(self.described(id))
    }

    pub(super) fn remove_point(&mut self, id: u32) -> Result<Value> {
        self.debugger.points.remove(&id).ok_or_else(|| unknown(id))?;
        Ok(self.points())
    }

    pub(super) fn enable_point(&mut self, id: u32, enabled: bool) -> Result<Value> {
        let point = self.debugger.points.get_mut(&id).ok_or_else(|| unknown(id))?;
        point.1 = enabled;
        Ok(self.points())
    }

    /// All of them.
    pub(super) fn points(&self) -> Value {
        json!({ "points": self.debugger.points.keys().map(|id| self.described(*id)).collect::<Vec<_>>() })
    }

    fn described(&self, id: u32) -> Value {
        match self.debugger.points.get(&id) {
            Some((Point::Break(linear), enabled)) => json!({
                "id": id, "kind": "break", "enabled": enabled,
                "address": hex(*linear), "symbol": self.name(*linear),
            }),
            Some((Point::Watch(watch), enabled)) => json!({
                "id": id, "kind": "watch", "enabled": enabled,
                "address": hex(watch.linear), "symbol": self.name(watch.linear),
                "len": watch.len, "read": watch.read, "write": watch.write,
            }),
            None => Value::Null,
        }
    }
}

fn unknown(id: u32) -> anyhow::Error {
    anyhow!("there is no breakpoint {id}; `break-list` lists what there is")
}
