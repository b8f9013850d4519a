//! Forks in memory, and going back.

use super::{Figures, Silent, Target, guest, median, percentile, timed};
use crate::machine::{Frozen, Machine};
use anyhow::Result;
use std::time::Duration;

const FORKS: usize = 200;
const RESETS: usize = 5_000;
const RESET_PAGES: u64 = 100;
/// RAM of machines that are forked besides the one given.
const SIZES: [u64; 2] = [512 << 20, 4 << 30];

/// Measures forks of `machine` and of others with more and less memory, and resets.
///
/// # Errors
/// When the host does not have the memory.
pub fn measure(machine: &mut Machine, figures: &mut Figures) -> Result<()> {
    let frozen = machine.freeze();
    let mut times = forks(&frozen)?;
    let what = "fork in memory, to the first instruction";
    figures.time("fork", &format!("{what}: median"), median(&mut times), Target::AtMost(1.0));
    let most = percentile(&mut times, 99);
    figures.time("fork-p99", &format!("{what}: 99 of 100 within"), most, Target::None);
    for size in SIZES {
        let mut machine = guest::of_size(size)?;
        guest::touch(&mut machine);
        let mut times = forks(&machine.freeze())?;
        let (name, mib) = (format!("fork-{}m", size >> 20), size >> 20);
        let what = format!("{what}, {mib} MiB of RAM: median");
        figures.time(&name, &what, median(&mut times), Target::AtMost(1.0));
    }
    let rate = resets(&frozen)?;
    figures.add("resets", "resets at 100 written pages", rate, "per s", Target::AtLeast(20_000.0));
    let memory = machine.mmu().host_bytes() as f64 / 1e6;
    figures.add("host-memory", "host memory of the frames", memory, "MB", Target::None);
    Ok(())
}

fn forks(frozen: &Frozen) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..FORKS {
        let (fork, took) = timed(|| -> Result<Machine> {
            let mut fork = Machine::fork(frozen)?;
            let next = fork.step() + 1;
            fork.run(next, &mut Silent, true);
            Ok(fork)
        });
        drop(fork?);
        times.push(took);
    }
    Ok(times)
}

/// Resets a second.
fn resets(frozen: &Frozen) -> Result<f64> {
    let mut fork = Machine::fork(frozen)?;
    let mut resetting = Duration::ZERO;
    for round in 0..RESETS {
        guest::dirty(&mut fork, RESET_PAGES, round as u64);
        resetting += timed(|| fork.rewind(frozen)).1;
    }
    Ok(RESETS as f64 / resetting.as_secs_f64())
}
