//! Coverage: how often code went from one branch to another, in a map of fixed size as fuzzers keep it. Not part of the
//! machine's state, and off unless asked for.
//!
//! What is counted is where branches lead, not which blocks are entered: how code is cut into blocks depends on caches and
//! on where runs stop, so the counters would not be a function of the run.

/// Counters in the map.
pub const EDGES: usize = 1 << 16;

/// Counters of edges. An edge leads from where a processor's last branch went to where this one goes (linear
/// addresses, hashed); conditional branches that are not taken go to the next instruction. Exceptions and interrupts
/// are no edges themselves.
#[derive(Clone)]
pub struct Edges {
    /// At 255 a counter stays.
    counts: Box<[u8; EDGES]>,
    /// Where the last branch of each processor went, by APIC id.
    last: [u16; 256],
}

impl Default for Edges {
    fn default() -> Self {
        let counts = vec![0; EDGES].into_boxed_slice();
        let counts = counts.try_into().unwrap_or_else(|_| unreachable!("the vector has EDGES elements"));
        Self { counts, last: [0; 256] }
    }
}

impl Edges {
    /// How often each edge was taken; different edges may share a counter.
    pub fn counts(&self) -> &[u8; EDGES] {
        &self.counts
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.last.fill(0);
    }

    /// A branch of processor `id` went to `linear`.
    pub(crate) fn branch(&mut self, id: u32, linear: u64) {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let to = (linear.wrapping_mul(GOLDEN) >> 48) as u16;
        let last = &mut self.last[usize::from(id as u8)];
        let count = &mut self.counts[usize::from(*last ^ to)];
        *count = count.saturating_add(1);
        // Shifted, so that A to B is another edge than B to A, and A to A than B to B.
        *last = to >> 1;
    }
}
