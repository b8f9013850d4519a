//! What is at the other end of a network adapter's cable. All of it is outside the machine: what comes from there is
//! logged input, and a replay needs none of it.

mod crossover;
mod socket;
mod turns;

#[cfg(test)]
mod tests;

pub use crossover::{Crossover, LATENCY_NS, crossover};
pub use socket::SocketLink;
pub use turns::{Side, run_in_turns};

/// The far end of a cable.
pub trait Link {
    /// The guest sends a frame at virtual time `now`, ns.
    fn send(&mut self, now: u64, frame: &[u8]);
    /// The next frame that has arrived by virtual time `now`, ns.
    fn receive(&mut self, now: u64) -> Option<Vec<u8>>;
}
