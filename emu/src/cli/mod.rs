//! The command line of `amber`.

pub mod args;
pub mod build;
pub mod console;
mod log;
pub mod report;
pub mod run;
