//! Real time for a guest that waits: while it has nothing to do, virtual time runs no faster than a network whose other
//! end lives by the wall clock.

use super::Link;
use std::time::{Duration, Instant};

/// Most that waits which lasted too long are made up for.
const LATE_MAX: Duration = Duration::from_millis(20);

/// How far waits so far were longer than the time they were for.
#[derive(Debug, Default)]
pub struct Idle {
    late: Duration,
}

impl Idle {
    /// Waits for `ns` of virtual time, or until a frame may have come.
    pub fn wait(&mut self, link: &mut dyn Link, ns: u64) {
        let span = Duration::from_nanos(ns);
        let Some(left) = span.checked_sub(self.late).filter(|left| !left.is_zero()) else {
            self.late -= span;
            return;
        };
        let begun = Instant::now();
        link.wait(left);
        self.late = begun.elapsed().saturating_sub(left).min(LATE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sleeps longer than it is asked to, or not at all.
    struct Sleeper {
        more: Duration,
        asked: Vec<Duration>,
    }

    impl Link for Sleeper {
        fn send(&mut self, _now: u64, _frame: &[u8]) {}
        fn receive(&mut self, _now: u64) -> Option<Vec<u8>> {
            None
        }
        fn wait(&mut self, at_most: Duration) {
            self.asked.push(at_most);
            std::thread::sleep(at_most + self.more);
        }
    }

    #[test]
    fn time_that_was_overslept_is_made_up_for() {
        let mut link = Sleeper { more: Duration::from_millis(3), asked: Vec::new() };
        let mut idle = Idle::default();
        idle.wait(&mut link, 1_000_000);
        (0..3).for_each(|_| idle.wait(&mut link, 1_000_000));
        assert_eq!(link.asked, [Duration::from_millis(1)], "3 ms were waited already");
        idle.late = Duration::from_micros(400);
        idle.wait(&mut link, 1_000_000);
        assert_eq!(link.asked[1], Duration::from_micros(600));
    }
}
