//! Finds the bug in `roms/boottable` and saves a snapshot that reproduces it:
//!
//!     cargo run --release --example fuzz_parser [STORE [SEED]]
//!     amber run --headless --store STORE --from crash        # exit code 4: triple fault

mod fuzzer;

use amber_snapshot::Store;
use anyhow::Result;
use std::path::PathBuf;
use std::time::Instant;

/// Inputs between two lines of progress.
const ROUND: u64 = 100_000;

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let folder = args.next().map_or_else(|| PathBuf::from("fuzz-store"), PathBuf::from);
    let seed = args.next().map_or(Ok(1), |seed| seed.to_string_lossy().parse())?;
    let start = fuzzer::boot()?;
    let mut fuzzer = fuzzer::Fuzzer::new(&start, &[fuzzer::TITLE], seed)?;
    let began = Instant::now();
    loop {
        let found = fuzzer.search(ROUND)?;
        let (seconds, (corpus, edges)) = (began.elapsed().as_secs_f64(), fuzzer.progress());
        let speed = fuzzer.executions as f64 / seconds;
        println!(
            "{seconds:6.2} s  {} executions, {speed:.0}/s, corpus {corpus}, edges {edges}",
            fuzzer.executions
        );
        let Some((input, verdict)) = found else { continue };
        println!("{verdict:?} with {} bytes: {input:02x?}\n{}", input.len(), fuzzer.report());
        fuzzer.save(&input, &Store::open(&folder)?, "crash")?;
        println!("again: amber run --headless --store {} --from crash", folder.display());
        return Ok(());
    }
}
