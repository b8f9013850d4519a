//! The command line of `amber`.

pub mod args;
