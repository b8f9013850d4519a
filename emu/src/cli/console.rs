//! The host's side of a headless machine: serial port 0 on standard input and output, the debug console in a file.

use super::pace::Pacer;
use super::stdin::{RawTerminal, Stdin};
use crate::machine::HostIo;
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
    /// Until its end.
    input: Option<Stdin>,
    interactive: bool,
    escaped: bool,
    quit: bool,
    save: bool,
    pacer: Option<Pacer>,
    /// Typed and not asked for yet.
    pending: VecDeque<u8>,
    _terminal: Option<RawTerminal>,
}

/// Bytes typed that are kept for a guest that does not read; what is typed beyond is lost.
const PENDING_MAX: usize = 4096;
/// Most bytes the guest is given at once.
const CHUNK: usize = 64;

impl Console {
    /// A console on standard input and output. A terminal is put into raw mode until the console is dropped.
    pub fn new(debug: Option<Box<dyn Write>>, end_of_input: Option<u8>, pacer: Option<Pacer>) -> Self {
        let interactive = std::io::stdin().is_terminal();
        let terminal = if interactive { RawTerminal::new() } else { None };
        Self {
            output: Box::new(std::io::BufWriter::new(std::io::stdout())),
            debug,
            end_of_input,
            input: Some(Stdin::new()),
            interactive,
            escaped: false,
            quit: false,
            save: false,
            pacer,
            pending: VecDeque::new(),
            _terminal: terminal,
        }
    }

    /// A console that takes no input, on standard output.
    pub fn silent() -> Self {
        Self::deaf(Box::new(std::io::BufWriter::new(std::io::stdout())), None, None)
    }

    /// A console that takes no input, with an output of its own.
    pub fn deaf(output: Box<dyn Write>, debug: Option<Box<dyn Write>>, pacer: Option<Pacer>) -> Self {
        Self {
            output,
            debug,
            end_of_input: None,
            input: None,
            interactive: false,
            escaped: false,
            quit: false,
            save: false,
            pacer,
            pending: VecDeque::new(),
            _terminal: None,
        }
    }

    /// Whether the user asked to end the run (Ctrl-A x).
    pub fn quit(&self) -> bool {
        self.quit
    }

    /// Whether the user asked for a snapshot (Ctrl-A s) since the last call.
    pub fn take_save_request(&mut self) -> bool {
        std::mem::take(&mut self.save)
    }

    /// Where virtual time keeps to the wall clock, it does so from `now`, ns, on: it stood still, or jumped.
    pub fn keep_time_from(&mut self, now: u64) {
        self.pacer = self.pacer.map(|pacer| pacer.again(now));
    }

    /// Virtual time keeps to so many percent of the wall clock's speed from `now`, ns, on, or to none.
    pub fn set_speed(&mut self, percent: Option<u32>, now: u64) {
        self.pacer = percent.map(|percent| Pacer::at(percent, now));
    }

    /// The speed asked for, percent of the wall clock's; `None` is as fast as it goes.
    pub fn speed(&self) -> Option<u32> {
        self.pacer.map(|pacer| pacer.percent())
    }

    /// Whether virtual time keeps to the wall clock.
    pub fn is_paced(&self) -> bool {
        self.pacer.is_some()
    }

    /// Whether a person has typed what the guest has not asked for yet.
    pub fn any_typed(&self) -> bool {
        self.interactive && !self.pending.is_empty()
    }

    /// Forgets what a person typed ahead: the guest is at another time.
    pub fn rest(&mut self) {
        if self.interactive {
            self.pending.clear();
        }
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) {
        // A closed pipe must not end the machine: there is nobody to tell.
        let _ = self.output.flush();
        if let Some(debug) = &mut self.debug {
            let _ = debug.flush();
        }
    }

    /// What standard input has now or within `wait_ns`.
    fn read(&mut self, wait_ns: u64) -> Vec<u8> {
        let bytes = self.input.as_mut().and_then(|input| input.read(wait_ns));
        if bytes.as_ref().is_some_and(Vec::is_empty) {
            self.input = None;
        }
        match bytes {
            Some(bytes) if self.interactive => self.unescape(&bytes),
            bytes => bytes.unwrap_or_default(),
        }
    }

    /// Takes in what was typed.
    fn listen(&mut self, wait_ns: u64) {
        let typed = self.read(wait_ns);
        let room = PENDING_MAX - self.pending.len();
        self.pending.extend(typed.into_iter().take(room));
    }

    /// Takes Ctrl-A commands out of what was typed: x quits, s saves a snapshot, a second Ctrl-A sends one.
    fn unescape(&mut self, typed: &[u8]) -> Vec<u8> {
        let mut passed = Vec::new();
        for byte in typed {
            match (std::mem::take(&mut self.escaped), *byte) {
                (false, ESCAPE) => self.escaped = true,
                (true, b'x') => self.quit = true,
                (true, b's') => self.save = true,
                (_, byte) => passed.push(byte),
            }
        }
        passed
    }
}

impl Console {
    /// What was typed, at most `most` bytes of it; with `idle` there may be a wait for it.
    pub fn typed(&mut self, most: usize, idle: Option<u64>) -> Vec<u8> {
        if idle.is_some() || self.interactive {
            self.flush();
        }
        if self.pending.is_empty() {
            self.listen(idle.unwrap_or(0));
        }
        let chunk = self.pending.len().min(most);
        self.pending.drain(..chunk).collect()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.flush();
    }
}

impl HostIo for Console {
    fn serial_output(&mut self, port: u8, byte: u8) {
        if port == 0 {
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

    fn serial_input(&mut self, _step: u64, idle: Option<u64>) -> Vec<u8> {
        self.typed(CHUNK, idle)
    }

    fn console_output(&mut self, port: u8, bytes: &[u8]) {
        if port == 0 {
            let _ = self.output.write_all(bytes);
            let _ = self.output.flush();
        }
    }

    fn may_input(&self) -> bool {
        self.input.is_some() || !self.pending.is_empty()
    }

    fn end_of_input(&self) -> Option<u8> {
        self.end_of_input
    }

    fn attend(&mut self) {
        // A prompt has no end of line, and whoever reads it may wait for it before they answer.
        self.flush();
        // Nothing else may be read before the guest asks for it: when it does so is part of the run.
        if self.interactive {
            self.listen(0);
        }
    }

    fn pace(&mut self, now: u64) {
        let ahead = self.pacer.map(|pacer| pacer.ahead(now)).unwrap_or_default();
        if !ahead.is_zero() {
            self.flush();
            std::thread::sleep(ahead);
        }
    }

    fn stop_requested(&self) -> bool {
        self.quit || self.save
    }
}
