//! Instructions one at a time: against tables, against definitions and against the host.

mod bare;
mod coprocessor;
mod definitions;
mod events;
#[cfg(target_arch = "x86_64")]
mod host;
mod monitor;
mod msr;
mod repeated;
mod system;
mod table;
