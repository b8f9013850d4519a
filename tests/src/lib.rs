//! What the suites beside this crate share: machines, a quiet host, the program `amber`, and a source of random numbers
//! that is the same every time.

pub mod caller;
pub mod controlled;
pub mod crossings;
pub mod cuts;
pub mod disks;
pub mod history;
pub mod loops;
pub mod mmx;
pub mod moments;
pub mod outside;
pub mod program;
pub mod remote;
pub mod session;
pub mod sitting;
pub mod streams;

use amber_emu::cli::build;
use amber_emu::config::{Firmware, MachineConfig};
use amber_emu::machine::{HostIo, Machine};

/// A host that gives no input and keeps what the guest says.
#[derive(Clone, Debug, Default)]
pub struct Quiet {
    pub serial: Vec<u8>,
}

impl HostIo for Quiet {
    fn serial_output(&mut self, port: u8, byte: u8) {
        if port == 0 {
            self.serial.push(byte);
        }
    }
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        false
    }
}

/// A host with so much input, as from a file: a little at a time whenever it is asked, then its end.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    pub input: std::collections::VecDeque<u8>,
    pub serial: Vec<u8>,
}

impl HostIo for Typed {
    fn serial_output(&mut self, port: u8, byte: u8) {
        if port == 0 {
            self.serial.push(byte);
        }
    }
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        let chunk = self.input.len().min(64);
        self.input.drain(..chunk).collect()
    }
    fn may_input(&self) -> bool {
        !self.input.is_empty()
    }
    fn end_of_input(&self) -> Option<u8> {
        Some(0x04)
    }
}

/// A machine with an embedded first-party image.
pub fn rom(firmware: Firmware, cpus: u32) -> Machine {
    let memory = "64M".parse().expect("a size");
    let config = MachineConfig { firmware: Some(firmware), cpus, memory, ..MachineConfig::default() };
    build::machine(&config).expect("embedded images can be built")
}

/// splitmix64: random enough to vary a test, and the same in every run.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) % bound
    }
}

/// The folder with Debian's kernel that `tests/fetch-debian.sh` fills; `None`, said on standard error, if it is not there.
pub fn debian() -> Option<std::path::PathBuf> {
    let home =
        || std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".cache/amber-debian"));
    let folder = std::env::var_os("AMBER_DEBIAN").map(Into::into).or_else(home)?;
    if folder.join("System.map").is_file() {
        return Some(folder);
    }
    eprintln!("skipped: no kernel in {}; tests/fetch-debian.sh fetches one", folder.display());
    None
}
