//! The past of a running machine, in memory: states it stood in, which share their pages with it and with each other, and
//! what came in since the oldest of them. From a state and what came in after it every step between is found again.
//!
//! A machine may stand behind the end of its present branch. What is ahead of it then stays until it runs on another way, and
//! becomes a branch that was left: its end can be returned to.

mod branch;
mod held;
mod schedule;
mod tape;
#[cfg(test)]
mod tests;
mod thinning;

pub use branch::{Branch, Lineage, Mark};
pub use held::Held;
pub use schedule::Schedule;
pub use tape::{Tape, Torn};

use crate::input::Record;
use crate::machine::{Frozen, Machine};
use std::collections::VecDeque;
use std::path::PathBuf;

/// Most points of the present branch.
const POINTS_MAX: usize = 240;
/// Most branches that were left.
const BRANCHES_MAX: usize = 8;
/// So many points of the present branch are worth more than a branch that was left.
const POINTS_FEW: usize = 24;
/// What share of the budget inputs may take.
const INPUTS_SHARE: u64 = 4;

/// A place in a history. Inputs come between steps: two places may have one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub step: u64,
    /// Inputs since power-up.
    pub inputs: u64,
    /// Virtual time, ns.
    pub now: u64,
}

impl Place {
    /// At a step, when all that came in there has come.
    pub fn at(step: u64) -> Self {
        Self { step, inputs: u64::MAX, now: u64::MAX }
    }

    /// Where a machine stands.
    pub fn of(machine: &Machine) -> Self {
        Self { step: machine.step(), inputs: machine.inputs(), now: machine.now() }
    }
}

/// A state that can be gone back to.
#[derive(Clone)]
pub struct Point {
    pub place: Place,
    pub state: Frozen,
    /// Bytes the guest had sent to serial port 0 and the virtio console.
    pub said: u64,
}

/// What is known of a way that was left, beside its end.
pub struct Way {
    pub records: Vec<Record>,
    pub lineage: Lineage,
    pub log: Option<PathBuf>,
}

/// The past of one machine.
pub struct History {
    /// Bytes of host memory.
    budget: u64,
    /// Of the present branch, in order. The last is its end while the machine stands behind that.
    points: Vec<Point>,
    behind: bool,
    branches: VecDeque<Branch>,
    /// Number of the next branch that is left.
    next: u64,
}

impl History {
    /// A history that begins where the machine stands.
    pub fn new(budget: u64, machine: &mut Machine) -> Self {
        let mut history =
            Self { budget, points: Vec::new(), behind: false, branches: VecDeque::new(), next: 1 };
        history.take(machine, 0);
        history
    }

    /// The points of the present branch, in order.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The branches that were left, the oldest first.
    pub fn branches(&self) -> impl Iterator<Item = &Branch> {
        self.branches.iter()
    }

    /// Whether the machine stands behind the end of its branch.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// The end of the branch, if the machine stands behind it.
    pub fn end(&self) -> Option<&Point> {
        self.points.last().filter(|_| self.behind)
    }

    /// The last point at or before a place.
    pub fn nearest(&self, place: Place) -> Option<&Point> {
        self.points.iter().rev().find(|point| point.place <= place)
    }

    /// The last point before a step.
    pub fn before(&self, step: u64) -> Option<&Point> {
        self.points.iter().rev().find(|point| point.place.step < step)
    }

    /// Makes a point where the machine stands, on its present branch; not where there is one.
    pub fn take(&mut self, machine: &mut Machine, said: u64) {
        let place = Place::of(machine);
        let at = self.points.partition_point(|point| point.place < place);
        if self.points.get(at).is_none_or(|point| point.place != place) {
            self.points.insert(at, Point { place, state: machine.freeze(), said });
        }
    }

    /// The machine is about to stand behind the end, which is where it stands now.
    pub fn keep_end(&mut self, machine: &mut Machine, said: u64) {
        if !self.behind {
            self.take(machine, said);
            self.behind = true;
        }
    }

    /// The machine stands at a place of the present branch.
    pub fn stand(&mut self, at: Place) {
        self.behind = self.points.last().is_some_and(|end| at < end.place);
    }

    /// Drops points until what is kept is within the budget, those first that are missed least where the machine stands.
    /// `inputs` are the bytes of the tape.
    pub fn thin(&mut self, machine: &Machine, inputs: u64) {
        while self.points.len() > POINTS_MAX {
            self.drop_least(machine.now());
        }
        let least = self.least();
        // Those that are left share most of their pages: after each, it is looked again.
        while extra(machine) + inputs + self.branches.iter().map(|branch| branch.bytes).sum::<u64>()
            > self.budget
        {
            let few = self.points.len() <= POINTS_FEW;
            if few && self.branches.pop_front().is_some() {
                continue;
            }
            if self.points.len() <= least {
                return;
            }
            self.drop_least(machine.now());
        }
    }

    /// Drops the oldest point where what came in since takes too much: `inputs` are the bytes of the tape, which is cut there next.
    pub fn forget_for_inputs(&mut self, inputs: u64) {
        if inputs > self.budget / INPUTS_SHARE && self.points.len() > self.least() {
            self.points.remove(0);
        }
    }

    /// Points that stay. The end of a branch is no place the machine stands behind.
    fn least(&self) -> usize {
        if self.behind { 2 } else { 1 }
    }

    fn drop_least(&mut self, here: u64) {
        let times: Vec<u64> = self.points.iter().map(|point| point.place.now).collect();
        if let Some(least) = thinning::least(&times, here) {
            self.points.remove(least);
        }
    }

    /// The machine went another way at `from`: what was ahead of it there is a branch that was left. It ends where the machine
    /// stood last on it.
    pub fn leave(&mut self, from: Place, end: Point, way: Way) -> &mut Branch {
        let ahead = self.points.partition_point(|point| point.place <= from);
        self.points.truncate(ahead);
        self.behind = false;
        for branch in self.branches.iter_mut().filter(|branch| branch.from > from) {
            branch.leave_earlier(from, &way.records);
        }
        let Way { records, lineage, log } = way;
        let id = self.next;
        self.next += 1;
        while self.branches.len() >= BRANCHES_MAX {
            self.branches.pop_front();
        }
        let bytes = records.iter().map(tape::bytes).sum();
        self.branches.push_back(Branch { id, from, end, records, bytes, lineage, log });
        let last = self.branches.len() - 1;
        &mut self.branches[last]
    }

    /// Takes a branch that was left, to return to it.
    pub fn take_branch(&mut self, id: u64) -> Option<Branch> {
        let at = self.branches.iter().position(|branch| branch.id == id)?;
        self.branches.remove(at)
    }

    /// The present branch, which ends where this one left it, goes on to its end, where the machine is brought. Whether all is
    /// known between; if not, the history begins there.
    pub fn return_to(&mut self, from: Place, end: Point) -> bool {
        let whole = self.points.first().is_some_and(|first| first.place <= from);
        if !whole {
            self.points.clear();
        }
        self.points.push(end);
        self.behind = false;
        whole
    }

    /// Bytes of host memory that it may take.
    pub fn budget(&self) -> u64 {
        self.budget
    }
}

/// Host memory of states that are kept, bytes.
pub fn extra(machine: &Machine) -> u64 {
    machine.mmu().host_bytes().saturating_sub(machine.mmu().guest_bytes())
}
