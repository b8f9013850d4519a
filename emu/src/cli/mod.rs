//! The command line of `amber`.

pub mod args;
pub mod bench;
pub mod build;
pub mod console;
mod diff;
mod edit;
mod export;
pub mod fault;
mod fields;
pub mod from;
mod log;
pub mod pace;
pub mod report;
pub mod run;
pub mod saving;
mod show;
pub mod snapshot;
pub mod snapshot_args;
pub mod stores;
pub mod trace;
