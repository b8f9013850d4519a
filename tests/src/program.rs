//! The program `amber`, built once for the tests of a process, and started with a gdb server.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// A flat guest that fills the 2 MiB from 2 MiB on with numbers, again and again: `mov edi, 200000h; again: imul rax, rax,
/// 5851F42Dh; add rax, 14057B7Eh; stosq; and edi, 3FFFFFh; or edi, 200000h; jmp again`.
pub const SCRIBBLER: &[u8] =
    b"\xBF\x00\x00\x20\x00\x48\x69\xC0\x2D\xF4\x51\x58\x48\x05\x7E\x7B\x05\x14\x48\xAB\
    \x81\xE7\xFF\xFF\x3F\x00\x81\xCF\x00\x00\x20\x00\xEB\xE3";

/// Path of the program, of the same profile as the test.
///
/// # Panics
/// If it cannot be built.
pub fn amber() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "amber-emu", "--bin", "amber"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "amber is built");
        let test = std::env::current_exe().expect("tests have a path");
        let profile = test.parent().and_then(Path::parent).expect("tests lie in PROFILE/deps");
        profile.join("amber")
    })
}

/// Runs amber to its end, without input.
pub fn run(args: &[&str]) -> Output {
    Command::new(amber()).args(args).stdin(Stdio::null()).output().expect("amber starts")
}

/// Has a log replayed.
///
/// # Panics
/// If it does not repeat its run.
pub fn replays(log: &Path) {
    let output = run(&["replay", &log.display().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("the same run"), "{}: {said}", log.display());
}

/// A folder of a test's own, gone with this value.
#[derive(Debug)]
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("amber-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        Self(folder)
    }

    /// Writes a file in it and returns its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("the temporary folder is writable");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running amber that waits for gdb. Killed with this value if it still runs.
#[derive(Debug)]
pub struct Debugged {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Debugged {
    /// Starts `amber run ARGS --headless --gdb` at a free port.
    pub fn start(args: &[&str]) -> Self {
        let mut child = Command::new(amber())
            .arg("run")
            .args(args)
            .args(["--headless", "--gdb", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("amber starts");
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().expect("standard error is piped"));
        stderr.read_line(&mut line).expect("amber says where it listens");
        let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
        let address = address.unwrap_or_else(|| panic!("no address in: {line}")).to_owned();
        // Nobody reads the rest; it must not block amber.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, address }
    }

    /// Waits for the end and returns the exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("amber can be waited for").code()
    }

    /// Lets gdb carry out `commands`; returns what it printed. `None` if there is no gdb.
    pub fn gdb(&self, commands: &[String]) -> Option<String> {
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "-ex", "set pagination off", "-ex", "set confirm off"]);
        gdb.args(["-ex", &format!("target remote {}", self.address)]);
        for command in commands {
            gdb.args(["-ex", command]);
        }
        let output = gdb.stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Some(text + &String::from_utf8_lossy(&output.stderr))
    }
}

impl Drop for Debugged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
