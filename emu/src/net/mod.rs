//! What is at the other end of a network adapter's cable. All of it is outside the machine: what comes from there is
//! logged input, and a replay needs none of it.

mod crossover;
mod idle;
mod nat;
mod ready;
mod socket;
mod turns;

#[cfg(test)]
mod tests;

pub use crossover::{Crossover, LATENCY_NS, crossover};
pub use idle::Idle;
pub use nat::{Forward, Nat, Protocol, Setup};
pub use socket::SocketLink;
pub use turns::{Side, run_in_turns};

use std::time::Duration;

/// The far end of a cable.
pub trait Link {
    /// The guest sends a frame at virtual time `now`, ns.
    fn send(&mut self, now: u64, frame: &[u8]);
    /// The next frame that has arrived by virtual time `now`, ns.
    fn receive(&mut self, now: u64) -> Option<Vec<u8>>;
    /// Waits in real time until a frame may have come, `at_most` so long. A cable without real time has nothing to wait for.
    fn wait(&mut self, _at_most: Duration) {}
}
