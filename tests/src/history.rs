//! A run as a sequence of state hashes, and its comparison with the same run disturbed.

use crate::{Quiet, Random};
use amber_cpu::state::CpuSection;
use amber_cpu::{Engine, Watch};
use amber_emu::machine::{HostIo, Machine, Stop};
use amber_snapshot::{OwnedSection, Section, StateHash};

/// Steps at which a run is looked at.
pub const POINTS: u64 = 50;

/// What is done to a machine between two points. None of it may be visible to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    Nothing,
    /// Decoded code and translations go at random steps (I2).
    DropCaches,
    /// The run stops and goes on at random steps (I4).
    Split,
    /// Every step of random stretches is a run of its own.
    SingleStep,
    /// The debugger's breakpoints at places the run comes through.
    Breakpoints,
    /// On the interpreter, and stopped and continued at random steps (I3).
    Interpreter,
    /// A debugger's watchpoint that is never hit: every access takes the slow path.
    Watched,
}

/// A run by its hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub points: Vec<u64>,
    pub hashes: Vec<StateHash>,
    /// The sections at every point, to say what differs.
    pub sections: Vec<Vec<OwnedSection>>,
    /// How it ended, if before the last point.
    pub end: Option<Stop>,
}

/// Steps to the end of a run, or `bound`.
pub fn length(mut machine: Machine, bound: u64) -> u64 {
    machine.run(bound, &mut Quiet::default(), true);
    machine.step()
}

/// Points spread evenly over `length` steps.
pub fn points(length: u64) -> Vec<u64> {
    (1..=POINTS).map(|n| length * n / POINTS).collect()
}

/// Runs a machine through `points`, without input.
pub fn record(machine: Machine, points: &[u64], disturbance: Disturbance, seed: u64) -> History {
    record_with(machine, &mut Quiet::default(), points, disturbance, seed)
}

/// Runs a machine through `points`.
pub fn record_with(
    mut machine: Machine,
    host: &mut dyn HostIo,
    points: &[u64],
    disturbance: Disturbance,
    seed: u64,
) -> History {
    let mut random = Random(seed);
    let mut history =
        History { points: points.to_vec(), hashes: Vec::new(), sections: Vec::new(), end: None };
    for point in points {
        let stop = advance(&mut machine, host, *point, disturbance, &mut random);
        history.hashes.push(machine.state_hash());
        history.sections.push(machine.sections());
        if stop != Stop::Step {
            history.end = Some(stop);
            break;
        }
    }
    history
}

/// Where two runs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// They are still equal here.
    pub after: u64,
    pub at: u64,
    /// What differs.
    pub what: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "equal at step {}, not at {}: {}", self.after, self.at, self.what)
    }
}

/// The first point at which two runs differ.
pub fn difference(a: &History, b: &History) -> Option<Difference> {
    let n = (0..a.hashes.len().max(b.hashes.len())).find(|n| a.hashes.get(*n) != b.hashes.get(*n));
    let what = match n {
        Some(n) if n < a.hashes.len().min(b.hashes.len()) => sections(&a.sections[n], &b.sections[n]),
        None if a.end == b.end => return None,
        _ => format!("one run ends by {:?}, the other by {:?}", a.end, b.end),
    };
    let n = n.unwrap_or(a.hashes.len().max(1) - 1);
    let after = n.checked_sub(1).map_or(0, |n| a.points[n]);
    Some(Difference { after, at: a.points[n], what })
}

/// Which sections differ, and for processors which fields.
pub fn differing_sections(a: &[OwnedSection], b: &[OwnedSection]) -> Option<String> {
    (a != b).then(|| sections(a, b))
}

fn sections(a: &[OwnedSection], b: &[OwnedSection]) -> String {
    let mut what = String::new();
    for (a, b) in a.iter().zip(b).filter(|(a, b)| a.bytes != b.bytes) {
        match (CpuSection::from_section(a), CpuSection::from_section(b)) {
            (Ok(a_cpu), Ok(b_cpu)) => {
                let (a_text, b_text) = (format!("{a_cpu:#x?}"), format!("{b_cpu:#x?}"));
                let fields = a_text.lines().zip(b_text.lines()).filter(|(a, b)| a != b);
                let fields: Vec<_> = fields.map(|(a, b)| format!("{} / {}", a.trim(), b.trim())).collect();
                what += &format!("{} ({}); ", a.path, fields.join(" "));
            }
            _ => {
                let at = a.bytes.iter().zip(&b.bytes).position(|(a, b)| a != b);
                what += &format!("{} (byte {at:?} of {:?} / {:?}); ", a.path, a.bytes, b.bytes);
            }
        }
    }
    if what.is_empty() { "memory".into() } else { what }
}

/// Looks closer at a difference: the same two runs with points ever nearer to where they part. `machine` builds the
/// machine anew.
pub fn narrow(
    machine: impl Fn() -> Machine,
    found: Difference,
    disturbance: Disturbance,
    seed: u64,
) -> Difference {
    let mut found = found;
    while found.at - found.after > 1 {
        let (after, span) = (found.after, found.at - found.after);
        let mut closer: Vec<u64> = (1..=POINTS).map(|n| after + span * n / POINTS).collect();
        closer.dedup();
        closer.retain(|point| *point > after);
        let quiet = record(machine(), &closer, Disturbance::Nothing, seed);
        let disturbed = record(machine(), &closer, disturbance, seed);
        match difference(&quiet, &disturbed) {
            // The first point has no predecessor among the closer ones.
            Some(next) => {
                let next = Difference { after: next.after.max(after), ..next };
                if next.at - next.after >= found.at - found.after {
                    break;
                }
                found = next;
            }
            None => break,
        }
    }
    found
}

/// Runs to step `to` or the end of the run.
pub fn advance(
    machine: &mut Machine,
    host: &mut dyn HostIo,
    to: u64,
    disturbance: Disturbance,
    random: &mut Random,
) -> Stop {
    loop {
        disturb(machine, disturbance, random);
        let stop = machine.run(next(machine.step(), to, disturbance, random), host, true);
        let goes_on = match stop {
            Stop::Step => machine.step() < to,
            Stop::Breakpoint(_) | Stop::Watchpoint(..) => true,
            _ => false,
        };
        if !goes_on {
            return stop;
        }
    }
}

fn next(step: u64, to: u64, disturbance: Disturbance, random: &mut Random) -> u64 {
    let left = to.saturating_sub(step).max(1);
    match disturbance {
        Disturbance::Nothing | Disturbance::Watched => to,
        // Stretches of every length, from a step to all that is left.
        Disturbance::DropCaches
        | Disturbance::Split
        | Disturbance::Breakpoints
        | Disturbance::Interpreter => {
            let stretch = 1 << random.below(u64::from(u64::BITS - left.leading_zeros()));
            step + 1 + random.below(stretch)
        }
        Disturbance::SingleStep if random.below(64) == 0 => step + 1 + random.below(left),
        Disturbance::SingleStep => step + 1,
    }
    .min(to)
}

fn disturb(machine: &mut Machine, disturbance: Disturbance, random: &mut Random) {
    let mut watch = Watch::default();
    match disturbance {
        Disturbance::Nothing | Disturbance::Split | Disturbance::SingleStep => return,
        Disturbance::Interpreter => return machine.set_engine(Engine::Interpreter),
        Disturbance::DropCaches => return machine.drop_caches(),
        Disturbance::Breakpoints => {
            let here: Vec<u64> = machine.vcpus().iter().map(|cpu| cpu.linear_rip()).collect();
            watch.breakpoints = machine.vcpus()[0].watch().breakpoints.clone();
            // A few places it came through lately, never so many that the run crawls.
            if watch.breakpoints.len() > 8 {
                watch.breakpoints.clear();
            }
            watch.breakpoints.insert(here[random.below(here.len() as u64) as usize]);
        }
        Disturbance::Watched => {
            let nowhere = amber_cpu::Watchpoint { linear: 0x5A5A_0000_0000, len: 1, read: true, write: true };
            watch.watchpoints.insert(nowhere);
        }
    }
    for n in 0..machine.vcpus().len() {
        machine.vcpu_mut(n).set_watch(watch.clone());
    }
}
