//! What a window costs a guest that computes: its steps a second there against those without a window.

use super::hand::Ear;
use super::{Desktop, await_some, missing};
use amber_tests::debian;
use amber_tests::program::{SCRIBBLER, Scratch, amber, run};
use serde_json::json;
use std::path::Path;
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

/// A guest: how it is started, and what is typed at its shell.
struct Guest {
    name: &'static str,
    args: Vec<String>,
    typed: Option<&'static str>,
}

impl Guest {
    /// Steps a second of the guest at this socket.
    fn rate(&self, socket: &Path) -> f64 {
        let mut ear = Ear::at_socket(socket);
        if let Some(text) = self.typed {
            let socket = socket.display().to_string();
            let shows =
                |what: &str| String::from_utf8_lossy(&run(&["ctl", &socket, "text"]).stdout).contains(what);
            await_some("a shell", || shows("/ #").then_some(()));
            ear.ask("type", json!({ "text": text }));
            ear.hear();
        }
        std::thread::sleep(WARM);
        let (from, first) = (Instant::now(), ear.step());
        std::thread::sleep(RUN);
        let steps = ear.step() - first;
        steps as f64 / from.elapsed().as_secs_f64()
    }

    fn without_window(&self, scratch: &Scratch) -> f64 {
        let socket = scratch.0.join("socket");
        let _ = std::fs::remove_file(&socket);
        let mut child = Command::new(amber())
            .args(["run", "--headless"])
            .args(&self.args)
            .current_dir(&scratch.0)
            .stdin(Stdio::null())
            .spawn()
            .expect("amber starts");
        let rate = self.rate(&socket);
        let _ = child.kill();
        let _ = child.wait();
        rate
    }

    /// In a window, with a pane by its chord.
    fn in_window(&self, scratch: &Rc<Scratch>, pane: Option<&str>) -> Option<f64> {
        let socket = scratch.0.join("socket");
        let _ = std::fs::remove_file(&socket);
        let _ = std::fs::remove_file(scratch.0.join("settings.toml"));
        let args: Vec<_> = self.args.iter().map(String::as_str).collect();
        let desktop = Desktop::start_in(Rc::clone(scratch), &args, &[])?;
        if let Some(chord) = pane {
            desktop.chord(chord);
        }
        await_some("its socket", || socket.exists().then_some(()));
        Some(self.rate(&socket))
    }

    /// Measures it in each way in turn, and judges.
    fn judge(&self, scratch: &Rc<Scratch>) {
        let mut rates = [const { Vec::new() }; 4];
        for _ in 0..RUNS {
            rates[0].push(self.without_window(scratch));
            for (n, pane) in [None, Some("i"), Some("d")].into_iter().enumerate() {
                let Some(rate) = self.in_window(scratch, pane) else { return };
                rates[n + 1].push(rate);
            }
        }
        let medians = rates.each_mut().map(|rates| median(rates));
        let ways = ["without a window", "in it", "with statistics", "with the debugger"];
        for (what, rate) in ways.iter().zip(medians) {
            let lost = (1.0 - rate / medians[0]) * 100.0;
            eprintln!("a guest that {}, {what}: {:.0} MIPS, {lost:.1} % lost", self.name, rate / 1e6);
        }
        assert!(
            medians[1..].iter().all(|rate| *rate >= medians[0] * (1.0 - MOST)),
            "{}: {medians:?}",
            self.name
        );
    }
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
        Guest { name, args: args.map(str::to_owned).to_vec(), typed: None }.judge(&scratch);
    }
}

/// The same in Debian.
#[test]
#[ignore = "measures for minutes, and needs a host that does nothing else and the kernel of tests/fetch-debian.sh"]
fn the_window_costs_a_debian_that_computes_little() {
    let (None, Some(folder)) = (missing(), debian()) else { return };
    let file = |name: &str| folder.join(name).display().to_string();
    let (kernel, initrd) = (file("vmlinuz"), file("shell.gz"));
    let args =
        ["--kernel", &kernel, "--initrd", &initrd, "--append", "console=tty0 quiet", "--memory", "512M"];
    let args = [&args[..], &["--pace", "none", "--control", "socket"]].concat();
    let typed = Some("while :; do sha256sum /bin/busybox; done > /dev/null\n");
    let scratch = Rc::new(Scratch::new("desktop-cost-debian"));
    let args = args.into_iter().map(str::to_owned).collect();
    Guest { name: "hashes in Debian", args, typed }.judge(&scratch);
}
