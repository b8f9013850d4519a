//! Which of a number of places are taken. The lowest free one is always next, so that it is a function of what is taken.

use std::sync::Arc;

/// Places.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    words: Arc<Vec<u64>>,
    count: u32,
    taken: u32,
    /// No place below is free.
    full_below: u32,
}

impl Slots {
    pub fn new(count: u32) -> Self {
        let words = Arc::new(vec![0; count.div_ceil(64) as usize]);
        Self { words, count, taken: 0, full_below: 0 }
    }

    pub fn free(&self) -> u32 {
        self.count - self.taken
    }

    /// Takes place `n`; whether it was free, and is one.
    pub fn claim(&mut self, n: u32) -> bool {
        let bit = 1 << (n % 64);
        if n >= self.count || self.words[(n / 64) as usize] & bit != 0 {
            return false;
        }
        Arc::make_mut(&mut self.words)[(n / 64) as usize] |= bit;
        self.taken += 1;
        true
    }

    /// Takes the lowest free place.
    pub fn take(&mut self) -> Option<u32> {
        let first = (self.full_below / 64) as usize;
        let words = self.words.iter().enumerate().skip(first);
        let n = words
            .filter(|(_, word)| **word != u64::MAX)
            .map(|(n, word)| n as u32 * 64 + word.trailing_ones())
            .next();
        let n = n.filter(|n| *n < self.count)?;
        self.full_below = n;
        self.claim(n).then_some(n)
    }

    pub fn release(&mut self, n: u32) {
        let bit = 1 << (n % 64);
        if n < self.count && self.words[(n / 64) as usize] & bit != 0 {
            Arc::make_mut(&mut self.words)[(n / 64) as usize] &= !bit;
            self.taken -= 1;
            self.full_below = self.full_below.min(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_place_is_next() {
        let mut slots = Slots::new(130);
        assert!(slots.claim(1) && !slots.claim(1) && !slots.claim(130));
        let taken: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!((taken.len(), taken[0], taken[1], taken[128]), (129, 0, 2, 129));
        assert_eq!((slots.free(), slots.take()), (0, None));
        slots.release(77);
        slots.release(64);
        slots.release(64);
        assert_eq!((slots.free(), slots.take(), slots.take(), slots.take()), (2, Some(64), Some(77), None));
    }
}
