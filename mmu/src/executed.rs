//! Which linear ranges instructions were fetched from, so that a change of the tables has code looked up anew only where
//! it may concern some.

/// Bits of the filter of 4 KiB pages, and of that of each larger range.
const PAGES: usize = 4096;
const RANGES: usize = 256;
/// log2 of the sizes of the larger ranges.
const SHIFTS: [u8; 3] = [21, 30, 39];
/// Ranges looked up one by one; more of them are taken to hold code.
const MOST: u64 = 8;

/// The ranges, hashed: a superset.
#[derive(Clone)]
pub(crate) struct Executed {
    pages: [u64; PAGES / 64],
    ranges: [[u64; RANGES / 64]; SHIFTS.len()],
}

impl Executed {
    pub const NONE: Self = Self { pages: [0; PAGES / 64], ranges: [[0; RANGES / 64]; SHIFTS.len()] };

    /// Notes a fetch.
    #[inline]
    pub fn note(&mut self, linear: u64) {
        let (word, bit) = page_bit(linear);
        self.pages[word] |= bit;
        for (filter, shift) in self.ranges.iter_mut().zip(SHIFTS) {
            let (word, bit) = range_bit(linear, shift);
            filter[word] |= bit;
        }
    }

    /// Whether there may have been a fetch from the `1 << shift` bytes from `base` on.
    pub fn any_in(&self, base: u64, shift: u8) -> bool {
        let Some(level) = SHIFTS.iter().rposition(|size| *size <= shift) else {
            let (word, bit) = page_bit(base);
            return self.pages[word] & bit != 0;
        };
        let (size, filter) = (SHIFTS[level], &self.ranges[level]);
        let count = 1u64 << (shift - size);
        if count > MOST {
            return *filter != [0; RANGES / 64];
        }
        (0..count).any(|i| {
            let (word, bit) = range_bit(base.wrapping_add(i << size), size);
            filter[word] & bit != 0
        })
    }
}

/// Word and bit of an address's page.
fn page_bit(linear: u64) -> (usize, u64) {
    let page = (linear >> 12 ^ linear >> 24) as usize % PAGES;
    (page / 64, 1 << (page % 64))
}

/// Word and bit of an address's range of `1 << shift` bytes.
fn range_bit(linear: u64, shift: u8) -> (usize, u64) {
    let number = linear >> shift;
    let range = (number ^ number >> 8) as usize % RANGES;
    (range / 64, 1 << (range % 64))
}
