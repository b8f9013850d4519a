//! Running a test and judging it.

use super::case::{Case, Expectation};
use crate::cli::build;
use crate::cli::run::exit;
use crate::config::Firmware;
use crate::machine::{HostIo, Machine, Stop};
use std::collections::VecDeque;
use std::time::Instant;

/// Value for isa-debug-exit that says pass.
const DEBUG_EXIT_PASS: u32 = 0x10;
/// Output kept, bytes: the end of it is what matters.
const OUTPUT_MAX: usize = 1 << 20;
/// What the monitor takes as end of input: Ctrl-D.
const END_OF_INPUT: u8 = 0x04;

/// What came of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Fail,
    /// The limit of steps was reached.
    Limit,
    Died,
    Hung,
    /// Failed, as it is known to.
    KnownFailure,
    /// The machine could not be built.
    Error,
    /// A fault of Amber's.
    Internal,
}

impl Verdict {
    /// Whether the test is as it should be.
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Pass | Self::KnownFailure)
    }

    /// A word for tables and files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Limit => "limit",
            Self::Died => "died",
            Self::Hung => "hung",
            Self::KnownFailure => "known",
            Self::Error => "error",
            Self::Internal => "internal",
        }
    }
}

/// The result of a test.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub name: String,
    pub verdict: Verdict,
    /// Why, if it did not pass.
    pub reason: String,
    pub steps: u64,
    /// Virtual time, ns.
    pub virtual_ns: u64,
    /// Host time, s.
    pub seconds: f64,
    /// The end of what it said on serial port 0.
    pub serial: String,
}

impl Outcome {
    /// Of a test that did not run.
    pub fn failed_to_run(case: &Case, verdict: Verdict, reason: String) -> Self {
        let name = case.name.clone();
        Self { name, verdict, reason, steps: 0, virtual_ns: 0, seconds: 0.0, serial: String::new() }
    }
}

/// Bytes of input given at once.
const CHUNK: usize = 64;

/// Input from the test, output kept: its end, and whether what is expected was said before that.
struct Recorder<'a> {
    input: VecDeque<u8>,
    end_of_input: Option<u8>,
    output: Vec<u8>,
    expect: &'a Expectation,
    said: Said,
}

/// Which of the expectations were met by output that is not kept any more.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    serial: bool,
    regex: bool,
    pass: bool,
}

impl Said {
    fn add(&mut self, expect: &Expectation, text: &str) {
        self.serial |= expect.serial.as_ref().is_some_and(|want| text.contains(want));
        self.regex |= expect.regex.as_ref().is_some_and(|want| want.is_match(text));
        self.pass |= text.lines().any(|line| line == "PASS" || line.starts_with("PASS "));
    }
}

impl HostIo for Recorder<'_> {
    fn serial_output(&mut self, port: u8, byte: u8) {
        if port == 0 {
            // Twice the maximum before it is cut, so that cutting stays rare.
            if self.output.len() >= 2 * OUTPUT_MAX {
                self.said.add(self.expect, &String::from_utf8_lossy(&self.output));
                self.output.drain(..OUTPUT_MAX);
            }
            self.output.push(byte);
        }
    }
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        let chunk = self.input.len().min(CHUNK);
        self.input.drain(..chunk).collect()
    }
    fn may_input(&self) -> bool {
        !self.input.is_empty()
    }
    fn end_of_input(&self) -> Option<u8> {
        self.end_of_input
    }
}

/// Runs a test to its end or limit.
pub fn execute(case: &Case) -> Outcome {
    let mut machine = match build::machine(&case.config) {
        Ok(machine) => machine,
        Err(error) => return Outcome::failed_to_run(case, Verdict::Error, format!("{error:#}")),
    };
    let monitor = case.config.firmware == Some(Firmware::Monitor);
    let mut host = Recorder {
        input: case.input.clone().into(),
        end_of_input: monitor.then_some(END_OF_INPUT),
        output: Vec::new(),
        expect: &case.expect,
        said: Said::default(),
    };
    let started = Instant::now();
    let stop = machine.run(case.limit, &mut host, true);
    let seconds = started.elapsed().as_secs_f64();
    let serial = String::from_utf8_lossy(&host.output).into_owned();
    host.said.add(&case.expect, &serial);
    let (verdict, reason) = known(case, judge(&case.expect, stop, host.said, &serial, &machine));
    let (steps, virtual_ns) = (machine.step(), machine.now());
    Outcome { name: case.name.clone(), verdict, reason, steps, virtual_ns, seconds, serial }
}

fn judge(expect: &Expectation, stop: Stop, said: Said, serial: &str, machine: &Machine) -> (Verdict, String) {
    if let Some(want) = expect.exit.filter(|want| *want != exit::code(stop) || stop == Stop::Step) {
        return (verdict_of(stop), format!("wanted exit code {want}, but {}", end(stop, serial, machine)));
    }
    if expect.exit.is_none() {
        let quiet = expect.serial.is_none() && expect.regex.is_none();
        let passed = match stop {
            Stop::DebugExit(value) => value == DEBUG_EXIT_PASS,
            Stop::PowerOff => !quiet || said.pass,
            _ => false,
        };
        if !passed {
            return (verdict_of(stop), end(stop, serial, machine));
        }
    }
    if let Some(want) = expect.serial.as_ref().filter(|_| !said.serial) {
        return (Verdict::Fail, format!("never said {want:?}"));
    }
    if let Some(want) = expect.regex.as_ref().filter(|_| !said.regex) {
        return (Verdict::Fail, format!("said nothing that matches /{want}/"));
    }
    (Verdict::Pass, String::new())
}

fn verdict_of(stop: Stop) -> Verdict {
    match stop {
        Stop::TripleFault(_) => Verdict::Died,
        Stop::Hung => Verdict::Hung,
        Stop::Step => Verdict::Limit,
        _ => Verdict::Fail,
    }
}

/// How a run ended, and the line that most likely says why.
fn end(stop: Stop, serial: &str, machine: &Machine) -> String {
    let rip = |n: usize| machine.vcpus()[n].linear_rip();
    let how = match stop {
        Stop::PowerOff => "powered off".into(),
        Stop::Reset => "asked for a reset".into(),
        Stop::DebugExit(value) => format!("exited with {value:#x}"),
        Stop::TripleFault(n) => format!("triple fault on cpu{n} at {:#x}", rip(n)),
        Stop::Hung => format!("halted for good at {:#x}", rip(machine.current())),
        Stop::Step => {
            format!("still running after {} steps, at {:#x}", machine.step(), rip(machine.current()))
        }
        Stop::Damaged => format!("cannot go on: {}", machine.damage().unwrap_or("no reason is known")),
        Stop::Request(_) | Stop::User | Stop::Breakpoint(_) | Stop::Watchpoint(..) => "was stopped".into(),
    };
    let failed = serial.lines().find(|line| line.starts_with("FAIL"));
    let line = failed.or_else(|| serial.lines().rev().find(|line| !line.trim().is_empty()));
    match line {
        Some(line) => format!("{how}; said: {}", line.trim_end()),
        None => format!("{how}; said nothing"),
    }
}

fn known(case: &Case, (verdict, reason): (Verdict, String)) -> (Verdict, String) {
    match (&case.known_failure, verdict) {
        (None, _) | (_, Verdict::Error) => (verdict, reason),
        (Some(why), Verdict::Pass) => {
            (Verdict::Fail, format!("passes, but is marked as a known failure ({why}); take the mark away"))
        }
        (Some(why), _) => (Verdict::KnownFailure, format!("{why}: {reason}")),
    }
}
