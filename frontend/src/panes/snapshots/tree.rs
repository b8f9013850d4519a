//! Where the snapshots of a store stand in a drawing of their tree: one under the other, each branch in a lane.

use std::collections::BTreeMap;

/// A snapshot's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the left.
    pub lane: usize,
    /// The row its parent is in, if it is there.
    pub parent: Option<usize>,
}

/// Places of snapshots, given with their parents, parents first. The first child goes on in its parent's lane; others
/// begin a branch, in a lane that is free from the parent to the branch's end.
pub fn places(snapshots: &[(&str, Option<&str>)]) -> Vec<Place> {
    let rows: BTreeMap<&str, usize> = snapshots.iter().enumerate().map(|(row, (id, _))| (*id, row)).collect();
    let parent = |row: usize| {
        let parent = snapshots[row].1.and_then(|parent| rows.get(parent).copied());
        parent.filter(|parent| *parent < row)
    };
    // A chain: from the row that begins it to its last, and where it branches off.
    let mut chains: Vec<(usize, usize)> = Vec::new();
    let mut chain_of = Vec::with_capacity(snapshots.len());
    let mut has_child = vec![false; snapshots.len()];
    for row in 0..snapshots.len() {
        let parent = parent(row);
        let goes_on = parent.filter(|parent| !std::mem::replace(&mut has_child[*parent], true));
        let chain = match goes_on {
            Some(parent) => chain_of[parent],
            None => {
                chains.push((parent.unwrap_or(row), row));
                chains.len() - 1
            }
        };
        chains[chain].1 = row;
        chain_of.push(chain);
    }
    let lanes = lanes(&chains);
    (0..snapshots.len()).map(|row| Place { lane: lanes[chain_of[row]], parent: parent(row) }).collect()
}

/// The first lane in which no other chain is at the same rows.
fn lanes(chains: &[(usize, usize)]) -> Vec<usize> {
    let mut lanes: Vec<usize> = Vec::with_capacity(chains.len());
    for (n, (start, end)) in chains.iter().enumerate() {
        let beside = |other: &usize| chains[*other].0 <= *end && *start <= chains[*other].1;
        let taken: Vec<usize> = (0..n).filter(beside).map(|other| lanes[other]).collect();
        lanes.push((0..).find(|lane| !taken.contains(lane)).unwrap_or(n));
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(snapshots: &[(&str, Option<&str>)]) -> Vec<(usize, Option<usize>)> {
        places(snapshots).iter().map(|place| (place.lane, place.parent)).collect()
    }

    #[test]
    fn a_line_stays_in_its_lane_and_branches_have_their_own() {
        let line = [("a", None), ("b", Some("a")), ("c", Some("b"))];
        assert_eq!(drawn(&line), [(0, None), (0, Some(0)), (0, Some(1))]);
        let branch = [("a", None), ("b", Some("a")), ("c", Some("a")), ("d", Some("b")), ("e", Some("c"))];
        assert_eq!(drawn(&branch), [(0, None), (0, Some(0)), (1, Some(0)), (0, Some(1)), (1, Some(2))]);
    }

    #[test]
    fn another_machine_takes_a_lane_that_is_free() {
        let two = [("a", None), ("b", Some("a")), ("x", None), ("y", Some("x"))];
        assert_eq!(drawn(&two), [(0, None), (0, Some(0)), (0, None), (0, Some(2))]);
        let beside = [("a", None), ("x", None), ("b", Some("a"))];
        assert_eq!(drawn(&beside), [(0, None), (1, None), (0, Some(0))]);
    }

    #[test]
    fn a_parent_that_is_gone_leaves_a_root() {
        assert_eq!(drawn(&[("b", Some("a")), ("c", Some("b"))]), [(0, None), (0, Some(0))]);
        assert_eq!(drawn(&[("a", Some("a"))]), [(0, None)], "nor is one its own");
        assert_eq!(drawn(&[]), []);
    }
}
