//! The paging-structure cache of a context (SDM Vol. 3A, 5.10.3): which table translates a 2 MiB range, and what the
//! entries above it allow, so that a walk reads one entry. Coherent as the TLB is.

use crate::paging::Step;

/// Ranges cached at a time.
const RANGES: usize = 128;
/// log2 of the size of a range.
const SHIFT: u8 = 21;

#[derive(Clone)]
pub(crate) struct Structures([Option<(u64, Step)>; RANGES]);

impl Structures {
    pub const EMPTY: Self = Self([None; RANGES]);

    fn slot(range: u64) -> usize {
        (range ^ range >> 9) as usize % RANGES
    }

    /// Where a walk for `linear` may begin.
    #[inline]
    pub fn get(&self, linear: u64) -> Option<Step> {
        let range = linear >> SHIFT;
        self.0[Self::slot(range)].filter(|known| known.0 == range).map(|known| known.1)
    }

    /// Notes where the last table of a walk for `linear` was reached.
    pub fn note(&mut self, linear: u64, step: Step) {
        let range = linear >> SHIFT;
        self.0[Self::slot(range)] = Some((range, step));
    }

    /// Forgets what lies in the `1 << shift` bytes from `base` on.
    pub fn drop_range(&mut self, base: u64, shift: u8) {
        let count = 1u64 << shift.saturating_sub(SHIFT);
        let first = base >> SHIFT;
        if count >= RANGES as u64 {
            let inside = |known: &(u64, Step)| known.0.wrapping_sub(first) < count;
            self.0
                .iter_mut()
                .filter(|known| known.as_ref().is_some_and(inside))
                .for_each(|known| *known = None);
            return;
        }
        for range in first..first + count {
            self.0[Self::slot(range)].take_if(|known| known.0 == range);
        }
    }
}
