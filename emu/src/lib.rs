//! Machines: configuration, boot loading, the run loop and the command line.

pub mod boot;
pub mod checkpoints;
pub mod cli;
pub mod config;
pub mod control;
pub mod disk;
pub mod files;
pub mod gdb;
pub mod harness;
pub mod history;
pub mod input;
pub mod machine;
pub mod net;
mod progress;
pub mod screenshot;
pub mod share;
pub mod sound;
pub mod symbols;
pub mod test;
pub mod vmcore;
