//! A run of the program `amber`, asked by `amber ctl`.

use crate::program::{Scratch, amber, run};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long is waited for a guest.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running amber, its control socket, and what its guest has said.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pub socket: String,
    said: Arc<Mutex<String>>,
}

impl Running {
    /// Starts `amber run ARGS` with a socket of this name, and a store, in a folder.
    pub fn start(scratch: &Scratch, socket: &str, args: &[&str]) -> Self {
        let (socket, store) = (scratch.0.join(socket).display().to_string(), scratch.0.join("store"));
        let mut child = Command::new(amber())
            .args(["run", "--headless", "--hash", "--control", &socket])
            .arg("--store")
            .arg(&store)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("amber starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (stdout, to) = (child.stdout.take().expect("it is piped"), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                *to.lock().expect("nobody panics with it") += &format!("{}\n", line.trim_end());
            }
        });
        Self { child, socket, said }
    }

    /// What the guest said.
    pub fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// Waits until the guest has said something so often.
    pub fn until(&self, what: &str, times: usize) {
        let start = Instant::now();
        while self.said().matches(what).count() < times {
            assert!(start.elapsed() < PATIENCE, "never {times} times {what}: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks, once there is somebody who listens.
    pub fn ctl(&self, args: &[&str]) -> Result<Value, String> {
        let start = Instant::now();
        loop {
            let output = run(&[&["ctl", &*self.socket], args].concat());
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() {
                return Ok(serde_json::from_slice(&output.stdout).expect("an answer is JSON"));
            }
            if !error.contains("no machine listens") || start.elapsed() > PATIENCE {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the run; its hash.
    pub fn quit(self) -> String {
        self.ctl(&["quit"]).expect("it ends");
        let output = self.child.wait_with_output().expect("amber ends");
        assert_eq!(output.status.code(), Some(0));
        state_hash(&output.stderr)
    }
}

/// What `--hash` printed.
///
/// # Panics
/// If nothing was.
pub fn state_hash(stderr: &[u8]) -> String {
    let stderr = String::from_utf8_lossy(stderr).into_owned();
    stderr.lines().find_map(|line| line.strip_prefix("state-hash ")).expect("a hash").to_owned()
}
