//! Recording of loops: the blocks that follow one another from a place that runs often until it is reached again.

use crate::block::{BLOCK_INSNS, Known};
use amber_mmu::PAGE;

/// A block on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub block: u32,
    pub rip: u64,
    /// Its instructions.
    pub count: usize,
}

/// What became of a recording.
pub(crate) enum Progress {
    /// The block belongs to it.
    Goes,
    /// The first block is reached again.
    Closed(Vec<Step>),
    /// It leads too far.
    Failed,
}

/// A recording under way.
pub(crate) struct Recorder {
    head: u64,
    tag: u64,
    steps: Vec<Step>,
}

impl Recorder {
    /// Of the loop that `head` may be in.
    pub fn new(head: u64, tag: u64) -> Self {
        Self { head, tag, steps: Vec::new() }
    }

    /// Notes the block that runs next.
    pub fn note(&mut self, rip: u64, tag: u64, known: Known) -> Progress {
        if tag != self.tag {
            return Progress::Failed;
        }
        if rip == self.head && !self.steps.is_empty() {
            return Progress::Closed(std::mem::take(&mut self.steps));
        }
        let count = usize::from(known.span.count);
        let sum: usize = self.steps.iter().map(|step| step.count).sum();
        let near = rip / PAGE == self.head / PAGE;
        if !near || sum + count > BLOCK_INSNS {
            return Progress::Failed;
        }
        self.steps.push(Step { block: known.block, rip, count });
        Progress::Goes
    }
}
