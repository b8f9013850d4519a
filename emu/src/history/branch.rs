//! Ways a machine left: it went back, and on from there otherwise.

use super::{Place, Point, tape};
use crate::input::Record;
use amber_snapshot::SnapshotId;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// See the module. Only the end is kept as a state.
pub struct Branch {
    pub id: u64,
    /// Where it leaves the present one.
    pub from: Place,
    pub end: Point,
    /// What came in on the way, and its bytes of host memory.
    pub records: Vec<Record>,
    pub bytes: u64,
    /// The snapshots that were saved on the way to its end.
    pub lineage: Lineage,
    /// The log of the run to its end, if it was recorded.
    pub log: Option<PathBuf>,
}

impl Branch {
    /// It leaves the present branch earlier from now on: between lie the first of these records.
    pub fn leave_earlier(&mut self, from: Place, records: &[Record]) {
        let between = usize::try_from(self.from.inputs - from.inputs).unwrap_or(usize::MAX);
        let mut all = records[..between.min(records.len())].to_vec();
        all.append(&mut self.records);
        self.bytes = all.iter().map(tape::bytes).sum();
        (self.from, self.records) = (from, all);
    }
}

/// A snapshot of a run, or one that is on its way to the disk.
#[derive(Clone, Debug)]
pub struct Mark {
    pub step: u64,
    /// Virtual time, ns.
    pub now: u64,
    pub name: String,
    /// Known when it is there.
    pub id: Arc<OnceLock<SnapshotId>>,
}

/// The snapshots on the way to where a machine stands, or ahead of it on its branch.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    /// The one the run went on from.
    origin: Option<SnapshotId>,
    marks: Vec<Mark>,
}

impl Lineage {
    /// Of a run that goes on from a snapshot, or from none.
    pub fn new(origin: Option<SnapshotId>) -> Self {
        Self { origin, marks: Vec::new() }
    }

    /// A snapshot is saved.
    pub fn add(&mut self, mark: Mark) {
        let at = self.marks.partition_point(|known| known.step <= mark.step);
        self.marks.insert(at, mark);
    }

    /// The parent of one that is saved at a step.
    pub fn parent_at(&self, step: u64) -> Option<SnapshotId> {
        self.marks
            .iter()
            .rev()
            .filter(|mark| mark.step <= step)
            .find_map(|mark| mark.id.get().copied())
            .or(self.origin)
    }

    /// The machine goes another way from a step on.
    pub fn cut(&mut self, step: u64) {
        self.marks.retain(|mark| mark.step <= step);
    }

    /// The snapshots that are there, in order.
    pub fn marks(&self) -> impl Iterator<Item = (&Mark, SnapshotId)> {
        self.marks.iter().filter_map(|mark| Some((mark, *mark.id.get()?)))
    }
}
