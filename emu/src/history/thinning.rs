//! Which of many points is missed least: they are dense where the machine stands, and sparse far from there.

/// What is near counts as this far, ns: points are not spread out further than that for being near.
const NEAR: u64 = 1_000_000_000;

/// What the first point weighs: without it the history is shorter.
const FIRST: f64 = 8.0;

/// The point to drop, by the times of all in order, ns, and the time the machine stands at: the one that leaves the smallest
/// hole for how far away it is. The last stays. `None` if there are none beside it.
pub fn least(times: &[u64], here: u64) -> Option<usize> {
    let hole = |n: usize| {
        let (before, weight) = n.checked_sub(1).map_or((times[n], FIRST), |before| (times[before], 1.0));
        let distance = times[n].abs_diff(here) + NEAR;
        weight * times[n + 1].saturating_sub(before) as f64 / distance as f64
    };
    (0..times.len().saturating_sub(1)).min_by(|a, b| hole(*a).total_cmp(&hole(*b)))
}
