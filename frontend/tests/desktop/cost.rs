//! What a window costs a guest that computes: its steps a second there against those without a window.

use super::hand::Ear;
use super::{Desktop, missing};
use amber_tests::program::{SCRIBBLER, Scratch, amber};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Runs of each kind, one after the other in turn; their medians count.
const RUNS: usize = 5;
/// A run begins to count when it is warm.
const WARM: Duration = Duration::from_secs(2);
const RUN: Duration = Duration::from_secs(4);
/// Most that may be lost.
const MOST: f64 = 0.05;

/// A flat guest that only computes: `again: imul rax, rax, 5851F42Dh; add rax, 14057B7Eh; jmp again`.
const COUNTER: &[u8] = b"\x48\x69\xC0\x2D\xF4\x51\x58\x48\x05\x7E\x7B\x05\x14\xEB\xF1";

/// Steps a second.
fn rate(ear: &mut Ear) -> f64 {
    std::thread::sleep(WARM);
    let (from, first) = (Instant::now(), ear.step());
    std::thread::sleep(RUN);
    let steps = ear.step() - first;
    steps as f64 / from.elapsed().as_secs_f64()
}

fn without_window(scratch: &Scratch, args: &[&str]) -> f64 {
    let socket = scratch.0.join("socket");
    let _ = std::fs::remove_file(&socket);
    let mut child = Command::new(amber())
        .args(["run", "--headless"])
        .args(args)
        .current_dir(&scratch.0)
        .stdin(Stdio::null())
        .spawn()
        .expect("amber starts");
    let rate = rate(&mut Ear::at_socket(&socket));
    let _ = child.kill();
    let _ = child.wait();
    rate
}

/// In a window, with a pane by its chord.
fn in_window(scratch: &Rc<Scratch>, args: &[&str], pane: Option<&str>) -> Option<f64> {
    let _ = std::fs::remove_file(scratch.0.join("socket"));
    let _ = std::fs::remove_file(scratch.0.join("settings.toml"));
    let desktop = Desktop::start_in(Rc::clone(scratch), args, &[])?;
    if let Some(chord) = pane {
        desktop.chord(chord);
    }
    Some(rate(&mut Ear::at(&desktop)))
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// `cargo test --release -p amber-frontend -- --ignored --nocapture window_costs`
#[test]
#[ignore = "measures for minutes, and needs a host that does nothing else"]
fn the_window_costs_a_guest_that_computes_little() {
    if let Some(sentence) = missing() {
        return eprintln!("{sentence}");
    }
    let scratch = Rc::new(Scratch::new("desktop-cost"));
    for (name, code) in [("computes", COUNTER), ("writes 2 MiB", SCRIBBLER)] {
        let flat = scratch.file("guest.bin", code).display().to_string() + "@0x100000";
        let args = ["--flat", &flat, "--memory", "16M", "--pace", "none", "--control", "socket"];
        let mut rates = [const { Vec::new() }; 4];
        for _ in 0..RUNS {
            rates[0].push(without_window(&scratch, &args));
            for (n, pane) in [None, Some("i"), Some("d")].into_iter().enumerate() {
                let Some(rate) = in_window(&scratch, &args, pane) else { return };
                rates[n + 1].push(rate);
            }
        }
        let medians = rates.each_mut().map(|rates| median(rates));
        for (what, rate) in
            ["without a window", "in it", "with statistics", "with the debugger"].iter().zip(medians)
        {
            let lost = (1.0 - rate / medians[0]) * 100.0;
            eprintln!("a guest that {name}, {what}: {:.0} MIPS, {lost:.1} % lost", rate / 1e6);
        }
        assert!(medians[1..].iter().all(|rate| *rate >= medians[0] * (1.0 - MOST)), "{name}: {medians:?}");
    }
}
