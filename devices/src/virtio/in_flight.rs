//! What a device has taken off a queue and not given back yet: it is carried out one after the other, each as a whole at its
//! time. A chain is here as its head, and is read when it lands.

use crate::TIME_MAX;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// A chain taken off a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Taken {
    head: u16,
    /// When it lands, ns.
    due: u64,
}

/// Chains of one queue, in the order they land.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct InFlight {
    taken: Vec<Taken>,
}

impl InFlight {
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    pub fn clear(&mut self) {
        self.taken.clear();
    }

    /// A chain was taken at `now`, and takes `ns` once those before it have landed.
    pub fn push(&mut self, head: u16, now: u64, ns: u64) {
        let begin = self.taken.last().map_or(0, |before| before.due).max(now);
        self.taken.push(Taken { head, due: begin + ns });
    }

    /// When the next one lands.
    pub fn next(&self) -> Option<u64> {
        self.taken.first().map(|taken| taken.due)
    }

    /// Heads of the chains that land by `now`, in order.
    pub fn land(&mut self, now: u64) -> Vec<u16> {
        let due = self.taken.partition_point(|taken| taken.due <= now);
        self.taken.drain(..due).map(|taken| taken.head).collect()
    }

    /// Whether it could be that of a queue of `size`, as one from a file may not.
    pub fn is_consistent(&self, size: u16) -> bool {
        let ordered = self.taken.windows(2).all(|pair| pair[0].due <= pair[1].due);
        let sane = self.taken.iter().all(|taken| taken.head < size && taken.due <= TIME_MAX);
        self.taken.len() <= usize::from(size) && ordered && sane
    }
}
