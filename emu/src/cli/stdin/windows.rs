//! Standard input on Windows, where nothing tells whether a read would wait.

use super::CHUNK;
use std::io::{IsTerminal, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use winapi_util::HandleRef;
use winapi_util::console::{Console, mode, set_mode};
use windows_sys::Win32::System::Console::{
    ENABLE_ECHO_INPUT, ENABLE_LINE_INPUT, ENABLE_PROCESSED_INPUT, ENABLE_VIRTUAL_TERMINAL_INPUT,
};

/// Standard input.
pub enum Stdin {
    /// A file: read by whoever asks, as what is read must not depend on when a thread ran.
    File,
    /// A pipe or a terminal, at which a thread waits.
    Waiting(Receiver<Vec<u8>>),
}

impl Stdin {
    /// Standard input, whatever it is.
    pub fn new() -> Self {
        let pipe = winapi_util::file::typ(HandleRef::stdin()).is_ok_and(|kind| kind.is_pipe());
        if !pipe && !std::io::stdin().is_terminal() {
            return Self::File;
        }
        let (sender, receiver) = sync_channel(1);
        std::thread::spawn(move || forward(&sender));
        Self::Waiting(receiver)
    }

    /// What there is now or within `wait_ns`; empty at the end.
    pub fn read(&mut self, wait_ns: u64) -> Option<Vec<u8>> {
        match self {
            Self::File => Some(chunk()),
            Self::Waiting(receiver) => match receiver.recv_timeout(Duration::from_nanos(wait_ns)) {
                Ok(bytes) => Some(bytes),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Vec::new()),
            },
        }
    }
}

/// Passes on what is read, the empty chunk at the end too.
fn forward(to: &SyncSender<Vec<u8>>) {
    loop {
        let bytes = chunk();
        let ended = bytes.is_empty();
        if to.send(bytes).is_err() || ended {
            return;
        }
    }
}

/// The next bytes; none at the end, or if there is no standard input at all.
fn chunk() -> Vec<u8> {
    let mut bytes = vec![0; CHUNK];
    let len = std::io::stdin().read(&mut bytes).unwrap_or(0);
    bytes.truncate(len);
    bytes
}

/// The console in raw mode, and what it was before: it is so again when this is dropped. Ctrl-C is a byte meanwhile.
pub struct RawTerminal(u32);

impl RawTerminal {
    /// Puts the console that standard input is into raw mode.
    pub fn new() -> Option<Self> {
        let saved = mode(HandleRef::stdin()).ok()?;
        let cooked = ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT | ENABLE_PROCESSED_INPUT;
        set_mode(HandleRef::stdin(), saved & !cooked | ENABLE_VIRTUAL_TERMINAL_INPUT).ok()?;
        // What guests write has escape sequences in it.
        if let Ok(mut console) = Console::stdout() {
            let _ = console.set_virtual_terminal_processing(true);
        }
        Some(Self(saved))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = set_mode(HandleRef::stdin(), self.0);
    }
}
