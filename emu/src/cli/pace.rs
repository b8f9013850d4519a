//! `--pace real`: virtual time does not run ahead of the wall clock.

use std::time::{Duration, Instant};

/// Where both clocks stood when the run began.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    started: Instant,
    /// Virtual time, ns.
    from: u64,
}

impl Pacer {
    /// Starts now, at virtual time `from`, ns.
    pub fn new(from: u64) -> Self {
        Self { started: Instant::now(), from }
    }

    /// How far virtual time `now`, ns, is ahead of the wall clock. A guest that was slower than time catches up.
    pub fn ahead(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.from)).saturating_sub(self.started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_since_the_start_counts() {
        let pacer = Pacer::new(5_000_000_000);
        assert!(pacer.ahead(65_000_000_000) > Duration::from_secs(50));
        assert_eq!(pacer.ahead(5_000_000_000), Duration::ZERO);
        assert_eq!(pacer.ahead(0), Duration::ZERO);
    }
}
