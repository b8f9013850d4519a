//! Standard input as each host's system has it: what there is, without a wait for more, and a terminal's raw mode.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{RawTerminal, Stdin};
#[cfg(windows)]
pub use windows::{RawTerminal, Stdin};

/// Most bytes that are read at once.
const CHUNK: usize = 64;
