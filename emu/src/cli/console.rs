//! The host's side of a headless machine: serial port 0 on standard input and output, the debug console in a file.

use super::pace::Pacer;
use crate::machine::HostIo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::collections::VecDeque;
use std::io::{IsTerminal, Write};

/// Escape key of an interactive console, as in other emulators: Ctrl-A.
const ESCAPE: u8 = 0x01;

/// Standard input and output.
pub struct Console {
    output: Box<dyn Write>,
    debug: Option<Box<dyn Write>>,
    /// What end of input is told to the guest as.
    end_of_input: Option<u8>,
    ended: bool,
    interactive: bool,
    escaped: bool,
    quit: bool,
    pacer: Option<Pacer>,
    pending: VecDeque<u8>,
    saved: Option<Termios>,
    /// Bytes sent so far, for `--stats`.
    pub sent: u64,
}

impl Console {
    /// A console on standard input and output. A terminal is put into raw mode until the console is dropped.
    pub fn new(debug: Option<Box<dyn Write>>, end_of_input: Option<u8>, pacer: Option<Pacer>) -> Self {
        let interactive = std::io::stdin().is_terminal();
        let saved = if interactive { raw_mode() } else { None };
        Self {
            output: Box::new(std::io::BufWriter::new(std::io::stdout())),
            debug,
            end_of_input,
            ended: false,
            interactive,
            escaped: false,
            quit: false,
            pacer,
            pending: VecDeque::new(),
            saved,
            sent: 0,
        }
    }

    /// Whether the user asked to end the run (Ctrl-A x).
    pub fn quit(&self) -> bool {
        self.quit
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) {
        // A closed pipe must not end the machine: there is nobody to tell.
        let _ = self.output.flush();
        if let Some(debug) = &mut self.debug {
            let _ = debug.flush();
        }
    }

    fn read(&mut self, wait_ns: u64) -> Vec<u8> {
        if self.ended {
            return Vec::new();
        }
        let stdin = std::io::stdin();
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait_ns.min(999_999_999) as i64 };
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        if !matches!(poll(&mut fds, Some(&timeout)), Ok(n) if n > 0) {
            return Vec::new();
        }
        let mut bytes = [0; 64];
        match rustix::io::read(&stdin, &mut bytes) {
            Ok(0) | Err(_) => {
                self.ended = true;
                self.end_of_input.into_iter().collect()
            }
            Ok(n) if self.interactive => self.unescape(&bytes[..n]),
            Ok(n) => bytes[..n].to_vec(),
        }
    }

    /// Takes Ctrl-A commands out of what was typed: x quits, a second Ctrl-A sends one.
    fn unescape(&mut self, typed: &[u8]) -> Vec<u8> {
        let mut passed = Vec::new();
        for byte in typed {
            match (std::mem::take(&mut self.escaped), *byte) {
                (false, ESCAPE) => self.escaped = true,
                (true, b'x') => self.quit = true,
                (_, byte) => passed.push(byte),
            }
        }
        passed
    }
}

fn raw_mode() -> Option<Termios> {
    let stdin = std::io::stdin();
    let saved = tcgetattr(&stdin).ok()?;
    let mut raw = saved.clone();
    raw.make_raw();
    tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
    Some(saved)
}

impl Drop for Console {
    fn drop(&mut self) {
        self.flush();
        if let Some(saved) = &self.saved {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, saved);
        }
    }
}

impl HostIo for Console {
    fn serial_output(&mut self, port: u8, byte: u8) {
        if port == 0 {
            self.sent += 1;
            let _ = self.output.write_all(&[byte]);
            if byte == b'\n' {
                let _ = self.output.flush();
            }
        }
    }

    fn debug_output(&mut self, byte: u8) {
        if let Some(debug) = &mut self.debug {
            let _ = debug.write_all(&[byte]);
            if byte == b'\n' {
                let _ = debug.flush();
            }
        }
    }

    fn serial_input(&mut self, idle: Option<u64>) -> Vec<u8> {
        if idle.is_some() || self.interactive {
            self.flush();
        }
        let bytes = self.read(idle.unwrap_or(0));
        self.pending.extend(bytes);
        self.pending.drain(..).collect()
    }

    fn may_input(&self) -> bool {
        !self.ended
    }

    fn pace(&mut self, now: u64) {
        let ahead = self.pacer.map(|pacer| pacer.ahead(now)).unwrap_or_default();
        if !ahead.is_zero() {
            self.flush();
            std::thread::sleep(ahead);
        }
    }

    fn stop_requested(&self) -> bool {
        self.quit
    }
}
