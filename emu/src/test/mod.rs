//! `amber test`: runs test images and reports one verdict for each.

mod case;
mod discover;
mod execute;
mod report;

#[cfg(test)]
mod tests;

pub use case::{Case, Expectation};
pub use discover::discover;
pub use execute::{Outcome, Verdict, execute};
pub use report::{json, junit, table};

use crate::cli::args::TestArgs;
use crate::cli::run::{exit, write_out};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Exit code when a test did not pass.
pub const NOT_ALL_PASS: i32 = 1;

/// Runs the tests the arguments name; returns the exit code.
///
/// # Errors
/// A path or a test.toml that cannot be used, as one sentence.
pub fn run(args: &TestArgs) -> Result<i32> {
    let cases = discover(&args.paths)?;
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok());
    let bar = progress(cases.len());
    let outcomes = run_all(&cases, jobs.map_or(1, NonZeroUsize::get), &bar);
    bar.finish_and_clear();
    if args.json {
        write_out(&(json(&outcomes) + "\n"));
    } else {
        write_out(&table(&outcomes));
    }
    // After the verdicts were told: they must not be lost with a file that cannot be written.
    if let Some(file) = &args.junit {
        let name = || format!("--junit {}", file.display());
        std::fs::write(file, junit(&outcomes)).with_context(name)?;
    }
    Ok(exit_code(&outcomes))
}

/// What all outcomes together come to: a fault of Amber's outweighs a failure, a failure a limit.
fn exit_code(outcomes: &[Outcome]) -> i32 {
    let bad = || outcomes.iter().map(|outcome| outcome.verdict).filter(|verdict| !verdict.is_fine());
    if bad().any(|verdict| verdict == Verdict::Internal) {
        exit::INTERNAL
    } else if bad().any(|verdict| verdict != Verdict::Limit) {
        NOT_ALL_PASS
    } else if bad().next().is_some() {
        exit::LIMIT
    } else {
        0
    }
}

fn progress(count: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}");
    let bar = ProgressBar::new(count as u64);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// Runs every case, `jobs` at a time. Outcomes are in the order of the cases, whichever ends first.
pub fn run_all(cases: &[Case], jobs: usize, bar: &ProgressBar) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![None; cases.len()]);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(cases.len()) {
            scope.spawn(|| {
                while let Some((n, case)) = next_case(&next, cases) {
                    let outcome = guarded(case);
                    bar.set_message(outcome.name.clone());
                    bar.inc(1);
                    if let Ok(mut done) = done.lock() {
                        done[n] = Some(outcome);
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_default().into_iter().flatten().collect()
}

fn next_case<'a>(next: &AtomicUsize, cases: &'a [Case]) -> Option<(usize, &'a Case)> {
    let n = next.fetch_add(1, Ordering::Relaxed);
    cases.get(n).map(|case| (n, case))
}

/// A fault of Amber's in one test must not take the others with it.
fn guarded(case: &Case) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| execute(case))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let why = text.unwrap_or_else(|| "without a word".into());
        Outcome::failed_to_run(case, Verdict::Internal, format!("amber panicked: {why}"))
    })
}
