//! The command line of `amber`.

pub mod args;
pub mod bench;
pub mod bisect;
pub mod bisect_args;
pub mod build;
pub mod console;
pub mod ctl;
mod diff;
mod edit;
mod export;
pub mod fault;
mod fields;
pub mod from;
pub mod host;
mod log;
mod overlays;
pub mod pace;
pub mod replay;
pub mod report;
pub mod run;
pub mod saving;
pub mod session;
mod show;
pub mod snapshot;
pub mod snapshot_args;
pub mod stores;
pub mod trace;
