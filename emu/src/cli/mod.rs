//! The command line of `amber`.

pub mod args;
pub mod bench;
pub mod build;
pub mod console;
pub mod fault;
pub mod from;
mod log;
pub mod pace;
pub mod report;
pub mod run;
pub mod saving;
pub mod snapshot;
pub mod snapshot_args;
pub mod stores;
pub mod trace;
