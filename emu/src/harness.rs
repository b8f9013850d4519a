//! A machine under test: run once to a marker, then from there again and again with other bytes in its memory, each
//! time to a verdict. For fuzzers and test harnesses; `docs/harness.md` shows how.

use crate::cli::report;
use crate::machine::{Frozen, HostIo, Machine, MachineError, Stop};
use crate::symbols::Symbols;
use amber_cpu::{EDGES, Edges, Watch};
use amber_mmu::ViewId;
use std::collections::BTreeSet;

/// Bytes of the guest's output that are kept of a run, for each port.
const OUTPUT_MAX: usize = 1 << 20;

/// Where a machine is ready to be tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// The instruction at this linear address is next, for the `hits`th time (from 1) on any processor.
    Address { linear: u64, hits: u64 },
    /// The guest wrote these bytes, one after the other, to a debug console (port E9h or 402h).
    Debug(Vec<u8>),
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The guest wrote this to isa-debug-exit (port F4h).
    Exit(u32),
    /// It powered off.
    PowerOff,
    /// It asked for a reset.
    Reset,
    /// Triple fault on this processor.
    Crash(usize),
    /// Every processor is halted, and nothing can wake one.
    Hang,
    /// It still runs after the steps it was given.
    Limit,
    /// This processor stands before an instruction that ends runs; see [`Harness::end_at`].
    Reached(usize),
}

/// Why a harness cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error("the marker was not reached by step {step}: {stop:?}")]
    Marker { step: u64, stop: Stop },
    #[error("guest-physical {gpa:#x}, {len} bytes: not all of it is memory that can be written")]
    Memory { gpa: u64, len: usize },
    #[error("linear {linear:#x}: not mapped on cpu{processor}")]
    Unmapped { processor: usize, linear: u64 },
    #[error("the machine cannot go on: {0}")]
    Damaged(String),
}

/// A host without input that waits for bytes on the debug console.
struct Listener<'a> {
    awaited: &'a [u8],
    /// The last bytes, as many as are awaited.
    heard: Vec<u8>,
}

impl HostIo for Listener<'_> {
    fn serial_output(&mut self, _port: u8, _byte: u8) {}
    fn debug_output(&mut self, byte: u8) {
        if self.heard.len() == self.awaited.len() && !self.heard.is_empty() {
            self.heard.remove(0);
        }
        self.heard.push(byte);
    }
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        false
    }
    fn stop_requested(&self) -> bool {
        !self.awaited.is_empty() && self.heard == self.awaited
    }
}

/// Runs a machine to `marker`, at most to step `until`, without input.
///
/// # Errors
/// When the run ends before.
pub fn run_to(machine: &mut Machine, marker: &Marker, until: u64) -> Result<(), HarnessError> {
    let (awaited, linear, hits) = match marker {
        Marker::Address { linear, hits } => (&[][..], Some(*linear), *hits),
        Marker::Debug(bytes) => (&bytes[..], None, 1),
    };
    watch(machine, linear.into_iter().collect());
    let mut listener = Listener { awaited, heard: Vec::new() };
    let mut seen = 0;
    let stop = loop {
        match machine.run(until, &mut listener, true) {
            Stop::Breakpoint(_) if seen + 1 < hits => seen += 1,
            stop => break stop,
        }
    };
    watch(machine, BTreeSet::new());
    match stop {
        Stop::Breakpoint(_) | Stop::User => Ok(()),
        Stop::Damaged => Err(damaged(machine)),
        stop => Err(HarnessError::Marker { step: machine.step(), stop }),
    }
}

/// Has every processor stop before the instructions at these linear addresses.
fn watch(machine: &mut Machine, breakpoints: BTreeSet<u64>) {
    for n in 0..machine.vcpus().len() {
        machine.vcpu_mut(n).set_watch(Watch { breakpoints: breakpoints.clone(), ..Watch::default() });
    }
}

fn damaged(machine: &Machine) -> HarnessError {
    HarnessError::Damaged(machine.damage().unwrap_or("see the log").to_owned())
}

/// What the guest said in a run: at most 1 MiB for each port.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// On serial port 0.
    pub serial: Vec<u8>,
    /// On the debug console.
    pub debug: Vec<u8>,
}

impl HostIo for Output {
    fn serial_output(&mut self, port: u8, byte: u8) {
        if port == 0 && self.serial.len() < OUTPUT_MAX {
            self.serial.push(byte);
        }
    }
    fn debug_output(&mut self, byte: u8) {
        if self.debug.len() < OUTPUT_MAX {
            self.debug.push(byte);
        }
    }
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        false
    }
}

/// A machine that is run from one state again and again. It is a fork: several, each on a thread of its own, may
/// share a start.
pub struct Harness {
    start: Frozen,
    machine: Machine,
    output: Output,
    stop: Stop,
}

impl Harness {
    /// A harness whose runs start from `start`.
    ///
    /// # Errors
    /// Never for a state that was frozen from a machine.
    pub fn new(start: &Frozen) -> Result<Self, HarnessError> {
        let mut machine = Machine::fork(start)?;
        watch(&mut machine, BTreeSet::new());
        Ok(Self { start: start.clone(), machine, output: Output::default(), stop: Stop::Step })
    }

    /// Runs end before the instructions at these linear addresses, too: where a kernel panics, or the code under test
    /// returns. Costs speed. Not part of the state, and kept by [`Self::rewind`].
    pub fn end_at(&mut self, addresses: BTreeSet<u64>) {
        watch(&mut self.machine, addresses);
    }

    /// Counts edges from now on; see [`Self::edges`].
    pub fn cover(&mut self) {
        self.machine.code.edges.get_or_insert_with(Edges::default);
    }

    /// How often each edge was taken since the last [`Self::rewind`]: a function of the run. `None` without
    /// [`Self::cover`].
    pub fn edges(&self) -> Option<&[u8; EDGES]> {
        self.machine.code.edges.as_ref().map(Edges::counts)
    }

    /// Writes to memory at a guest-physical address.
    ///
    /// # Errors
    /// When not all of it is RAM.
    pub fn write(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), HarnessError> {
        let mmu = self.machine.mmu_mut();
        mmu.write_physical(ViewId(0), gpa, bytes);
        let mut written = vec![0; bytes.len()];
        mmu.read_physical(ViewId(0), gpa, &mut written);
        if written != bytes {
            return Err(HarnessError::Memory { gpa, len: bytes.len() });
        }
        Ok(())
    }

    /// Writes to memory at a linear address, through the page tables of `processor`, without regard to protection.
    ///
    /// # Errors
    /// When not all of it is mapped, or not to RAM.
    pub fn write_linear(&mut self, processor: usize, linear: u64, bytes: &[u8]) -> Result<(), HarnessError> {
        let mut done = 0;
        while done < bytes.len() {
            let at = linear.wrapping_add(done as u64);
            let len = ((0x1000 - (at & 0xFFF)) as usize).min(bytes.len() - done);
            let cpu = &self.machine.vcpus()[processor];
            let gpa = self.machine.mmu().probe(cpu.address_space(), cpu.view(), at);
            let gpa = gpa.ok_or(HarnessError::Unmapped { processor, linear: at })?;
            self.write(gpa, &bytes[done..done + len])?;
            done += len;
        }
        Ok(())
    }

    /// Sets a general register of `processor`, in the order of their encoding (0 is RAX, 1 RCX, 7 RDI).
    ///
    /// # Panics
    /// If there is no such processor, or `register` is above 15.
    pub fn set_register(&mut self, processor: usize, register: usize, value: u64) {
        assert!(register < 16, "general registers are 0 to 15");
        self.machine.vcpu_mut(processor).gpr[register] = value;
    }

    /// The machine, for whatever else is to be changed before a run, or looked at after it.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Runs for at most `steps` steps. Goes on from where the last run ended, unless [`Self::rewind`] came between.
    ///
    /// # Errors
    /// When the machine's memory cannot be read any more, or the host has none left.
    pub fn run(&mut self, steps: u64) -> Result<Verdict, HarnessError> {
        let until = self.machine.step().saturating_add(steps);
        self.stop = self.machine.run(until, &mut self.output, true);
        Ok(match self.stop {
            Stop::DebugExit(value) => Verdict::Exit(value),
            Stop::PowerOff => Verdict::PowerOff,
            Stop::Reset => Verdict::Reset,
            Stop::TripleFault(processor) => Verdict::Crash(processor),
            Stop::Hung => Verdict::Hang,
            Stop::Breakpoint(processor) | Stop::Watchpoint(processor, _) => Verdict::Reached(processor),
            // Its host takes no requests: the machine refuses them itself.
            Stop::Step | Stop::User | Stop::Request(_) => Verdict::Limit,
            Stop::Damaged => return Err(damaged(&self.machine)),
        })
    }

    /// Registers, code and stack where the last run ended, as `amber run` reports a guest that died.
    pub fn report(&self, symbols: Option<&Symbols>) -> String {
        report::death(&self.machine, self.stop, symbols)
    }

    /// What the guest said since the last [`Self::rewind`].
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Back to the start, at the cost of what was written since. The counters of edges are 0 again.
    pub fn rewind(&mut self) {
        self.machine.rewind(&self.start);
        self.output.serial.clear();
        self.output.debug.clear();
        if let Some(edges) = &mut self.machine.code.edges {
            edges.clear();
        }
    }
}

/// Edges seen in any of many runs, and about how often: 1, 2, 3, 4, 8, 16, 32 or 128 times and more.
#[derive(Clone)]
pub struct Seen {
    /// A bit for each range of counts.
    ranges: Box<[u8; EDGES]>,
}

impl Default for Seen {
    fn default() -> Self {
        let ranges = vec![0; EDGES].into_boxed_slice();
        Self { ranges: ranges.try_into().unwrap_or_else(|_| unreachable!("the vector has EDGES elements")) }
    }
}

impl Seen {
    /// Adds a run's counters; whether an edge was new, or taken in another range of counts than before.
    pub fn add(&mut self, counts: &[u8; EDGES]) -> bool {
        let mut new = false;
        for (seen, counts) in self.ranges.chunks_exact_mut(8).zip(counts.chunks_exact(8)) {
            // Nearly all are 0.
            if counts == [0; 8] {
                continue;
            }
            for (seen, count) in seen.iter_mut().zip(counts) {
                let range = range(*count);
                new |= range & !*seen != 0;
                *seen |= range;
            }
        }
        new
    }

    /// Edges seen.
    pub fn count(&self) -> usize {
        self.ranges.iter().filter(|seen| **seen != 0).count()
    }
}

fn range(count: u8) -> u8 {
    match count {
        0 => 0,
        1..=3 => 1 << (count - 1),
        4..=7 => 1 << 3,
        8..=15 => 1 << 4,
        16..=31 => 1 << 5,
        32..=127 => 1 << 6,
        128.. => 1 << 7,
    }
}
