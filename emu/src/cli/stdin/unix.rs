//! Standard input on Unix.

use super::CHUNK;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Standard input.
pub struct Stdin;

impl Stdin {
    /// Standard input, whatever it is.
    pub fn new() -> Self {
        Self
    }

    /// What there is now or within `wait_ns` (less than a second); empty at the end. Signals that come in between change
    /// nothing: with a file, what is read must not depend on them.
    pub fn read(&mut self, wait_ns: u64) -> Option<Vec<u8>> {
        let stdin = std::io::stdin();
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait_ns.min(999_999_999) as i64 };
        let mut bytes = [0; CHUNK];
        loop {
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return None,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Ok(_) | Err(_) => {}
            }
            match rustix::io::read(&stdin, &mut bytes) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return None,
                // A terminal that hung up, or no standard input at all.
                Err(_) => return Some(Vec::new()),
                Ok(n) => return Some(bytes[..n].to_vec()),
            }
        }
    }
}

/// The terminal in raw mode, and what it was before: it is so again when this is dropped or a signal ends the process.
pub struct RawTerminal(Termios);

impl RawTerminal {
    /// Puts the terminal that standard input is into raw mode.
    pub fn new() -> Option<Self> {
        let stdin = std::io::stdin();
        let saved = tcgetattr(&stdin).ok()?;
        let mut raw = saved.clone();
        raw.make_raw();
        // Output stays as it is: lines of the log go to the same terminal, and a second carriage return does no harm.
        raw.output_modes = saved.output_modes;
        restore_on_signal(saved.clone());
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(Self(saved))
    }
}

/// From now on signals that end the process put the terminal back first.
fn restore_on_signal(saved: Termios) {
    let Ok(mut signals) = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]) else { return };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &saved);
            let _ = emulate_default_handler(signal);
        }
    });
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
