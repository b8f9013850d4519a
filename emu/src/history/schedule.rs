//! When points are taken: often, but not so often that copying the pages the guest writes afterwards slows it down.

use std::time::{Duration, Instant};

/// From one point to the next, at least and at most.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
/// What part of the time points may cost: one in so many.
const SHARE: u32 = 80;
/// What it costs that a page is written the first time after a point: it is copied, and its translation found again.
const PAGE: Duration = Duration::from_nanos(3000);

/// See the module.
#[derive(Debug)]
pub struct Schedule {
    last: Instant,
    /// From the last point to the next.
    span: Duration,
}

impl Schedule {
    /// The first point is taken now.
    pub fn new() -> Self {
        Self { last: Instant::now(), span: SHORTEST }
    }

    /// Whether a point is to be taken now.
    pub fn is_due(&self) -> bool {
        self.last.elapsed() >= self.span
    }

    /// A point was taken, which took so long. So many pages were written since the one before.
    pub fn taken(&mut self, took: Duration, pages: usize) {
        self.span = span(took, pages);
        self.last = Instant::now();
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new()
    }
}

fn span(took: Duration, pages: usize) -> Duration {
    let pages = u32::try_from(pages).unwrap_or(u32::MAX);
    (took.saturating_add(PAGE.saturating_mul(pages))).saturating_mul(SHARE).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_writes_much_is_held_up_less_often() {
        let ms = Duration::from_millis;
        assert_eq!(span(Duration::ZERO, 0), SHORTEST);
        assert_eq!(span(ms(2), 2000), ms(640));
        assert_eq!(span(ms(2), 12_000), ms(3040));
        assert_eq!(span(ms(2), usize::MAX), LONGEST);
    }
}
