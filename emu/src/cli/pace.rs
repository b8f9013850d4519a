//! How virtual time keeps to the wall clock: as `--pace real` does, or slower or faster by a share.

use std::time::{Duration, Instant};

/// Where both clocks stood when the run began, or the pace was set.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    started: Instant,
    /// Virtual time, ns.
    from: u64,
    /// Virtual time by the wall clock's.
    percent: u32,
}

impl Pacer {
    /// Starts now, at virtual time `from`, ns.
    pub fn new(from: u64) -> Self {
        Self::at(100, from)
    }

    /// The same, with so many percent of the wall clock's speed, at least 1.
    pub fn at(percent: u32, from: u64) -> Self {
        Self { started: Instant::now(), from, percent: percent.max(1) }
    }

    /// The same pace from now and virtual time `from` on: time stood still, or jumped.
    #[must_use]
    pub fn again(self, from: u64) -> Self {
        Self::at(self.percent, from)
    }

    /// Virtual time by the wall clock's, percent.
    pub fn percent(&self) -> u32 {
        self.percent
    }

    /// How far virtual time `now`, ns, is ahead of the wall clock. A guest that was slower than time catches up.
    pub fn ahead(&self, now: u64) -> Duration {
        let due = u128::from(now.saturating_sub(self.from)) * 100 / u128::from(self.percent);
        Duration::from_nanos(u64::try_from(due).unwrap_or(u64::MAX)).saturating_sub(self.started.elapsed())
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

    #[test]
    fn a_second_at_a_quarter_of_the_speed_is_four() {
        let ahead = |percent| Pacer::at(percent, 0).ahead(1_000_000_000).as_secs_f64();
        assert!((3.5..=4.0).contains(&ahead(25)));
        assert!((0.3..=0.5).contains(&ahead(200)));
    }
}
