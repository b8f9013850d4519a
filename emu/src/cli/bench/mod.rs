//! `amber bench snapshot`: what freezing, saving, loading, forking, resetting, comparing and exporting cost here.

mod comparing;
mod forking;
mod guest;
mod saving;

use super::snapshot_args::BenchArgs;
use super::{build, stores};
use crate::config::MachineConfig;
use crate::machine::{HostIo, Machine};
use amber_mmu::PAGE;
use anyhow::Result;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What a figure is meant to be.
#[derive(Clone, Copy)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// It is only told.
    None,
}

/// A measured figure.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Figure {
    name: String,
    what: String,
    value: f64,
    unit: &'static str,
    /// What it is meant to be: at most so much, or at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<f64>,
    at_least: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

/// What was measured, in order.
#[derive(Default)]
struct Figures(Vec<Figure>);

impl Figures {
    fn add(&mut self, name: &str, what: &str, value: f64, unit: &'static str, target: Target) {
        let (bound, met, at_least) = match target {
            Target::AtMost(bound) => (Some(bound), Some(value <= bound), false),
            Target::AtLeast(bound) => (Some(bound), Some(value >= bound), true),
            Target::None => (None, None, false),
        };
        let (name, what) = (name.to_owned(), what.to_owned());
        self.0.push(Figure { name, what, value, unit, target: bound, at_least, met });
    }

    fn time(&mut self, name: &str, what: &str, time: Duration, target: Target) {
        self.add(name, what, time.as_secs_f64() * 1e3, "ms", target);
    }
}

/// Nobody listens to a machine that is measured.
struct Silent;

impl HostIo for Silent {
    fn serial_output(&mut self, _port: u8, _byte: u8) {}
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        true
    }
}

/// Measures and prints; returns the exit code.
///
/// # Errors
/// When the snapshot to measure with cannot be read, or the temporary store not be written.
pub fn run(args: &BenchArgs) -> Result<i32> {
    let mut machine = match &args.from {
        Some(from) => Machine::load(stores::find(args.store.as_deref(), from)?.snapshot)?,
        None => build::machine(&MachineConfig::default())?,
    };
    for pages in machine.mmu().pending() {
        pages.complete();
    }
    let mut figures = Figures::default();
    saving::measure(&mut machine, &mut figures)?;
    forking::measure(&mut machine, &mut figures)?;
    comparing::measure(&machine, &mut figures)?;
    print(&figures.0, args.json)
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = act();
    (result, start.elapsed())
}

/// The time so many of a hundred are within.
fn percentile(times: &mut [Duration], of_hundred: usize) -> Duration {
    times.sort();
    times.get(times.len() * of_hundred / 100).or(times.last()).copied().unwrap_or_default()
}

fn median(times: &mut [Duration]) -> Duration {
    percentile(times, 50)
}

fn print(figures: &[Figure], json: bool) -> Result<i32> {
    if json {
        println!("{}", serde_json::to_string_pretty(figures)?);
        return Ok(0);
    }
    let width = figures.iter().map(|figure| figure.what.len()).max().unwrap_or(0);
    for Figure { what, value, unit, target, at_least, met, .. } in figures {
        let sign = if *at_least { ">=" } else { "<=" };
        let target = target.map_or_else(String::new, |target| format!("{sign} {target:>6} {unit}"));
        let verdict = met.map_or("", |met| if met { "met" } else { "MISSED" });
        println!("{}", format!("{what:width$}  {value:>12.3} {unit:5}  {target:16} {verdict}").trim_end());
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_say_whether_they_are_as_they_should_be() {
        let mut figures = Figures::default();
        figures.time("pause", "pause", Duration::from_millis(11), Target::AtMost(10.0));
        figures.add("resets", "resets", 30_000.0, "per s", Target::AtLeast(20_000.0));
        figures.add("bytes", "bytes", 1.0, "MB", Target::None);
        let met: Vec<_> = figures.0.iter().map(|figure| figure.met).collect();
        assert_eq!(met, [Some(false), Some(true), None]);
        let mut times = [3, 1, 2].map(Duration::from_millis);
        assert_eq!(median(&mut times), Duration::from_millis(2));
        assert_eq!(percentile(&mut times, 99), Duration::from_millis(3));
    }
}
