//! One of the two runs, in this process or in that of another Amber: what it is asked, and where it stands.

use super::Axis;
use super::elsewhere::Elsewhere;
use super::here::Run;
use amber_snapshot::{SnapshotId, StateHash};
use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a run is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Count the times a processor comes to a linear address.
    Count { linear: u64 },
    /// Keep the present state to go back to.
    Keep,
    /// Go back to the state that was kept.
    Back,
    /// Go on to a step or a number of hits, but not beyond step `bound`.
    GoTo { axis: Axis, to: u64, bound: u64 },
    /// Compute the state hash.
    Hash,
    /// Save the state in a store.
    Save { store: PathBuf },
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    pub step: u64,
    /// How often it came to the address that is counted.
    pub hits: u64,
    /// Why it goes no further.
    pub ended: Option<String>,
    /// Step a log ends at: what came after is not known.
    pub known_to: Option<u64>,
    /// The line a trace would have for the next step.
    pub next: String,
    /// After [`Ask::Hash`].
    pub hash: Option<StateHash>,
    /// After [`Ask::Save`], 64 digits.
    pub saved: Option<String>,
}

enum Link {
    Here(Box<Run>),
    Elsewhere(Elsewhere),
}

/// A run, and where it stood when it was last asked.
pub struct Side {
    link: Link,
    standing: Standing,
}

impl Side {
    /// A run in this process.
    pub fn here(run: Run) -> Self {
        let standing = run.standing();
        Self { link: Link::Here(Box::new(run)), standing }
    }

    /// A run in that of another Amber.
    pub fn elsewhere((link, standing): (Elsewhere, Standing)) -> Self {
        Self { link: Link::Elsewhere(link), standing }
    }

    fn ask(&mut self, ask: &Ask) -> Result<()> {
        self.standing = match &mut self.link {
            Link::Here(run) => run.perform(ask)?,
            Link::Elsewhere(other) => other.ask(ask)?,
        };
        Ok(())
    }

    /// Has the times counted that a processor comes to a linear address.
    ///
    /// # Errors
    /// When another Amber does not answer; so with all that follow.
    pub fn count(&mut self, linear: u64) -> Result<()> {
        self.ask(&Ask::Count { linear })
    }

    /// Keeps the present state to go back to.
    pub fn keep(&mut self) -> Result<()> {
        self.ask(&Ask::Keep)
    }

    /// Goes back to the state that was kept.
    pub fn back(&mut self) -> Result<()> {
        self.ask(&Ask::Back)
    }

    /// Goes on to a step or a number of hits, but not beyond step `bound`; [`Side::ended`] says if it does not come so far.
    pub fn go_to(&mut self, axis: Axis, to: u64, bound: u64) -> Result<()> {
        self.ask(&Ask::GoTo { axis, to, bound })
    }

    /// Hash of the present state.
    pub fn hash(&mut self) -> Result<StateHash> {
        self.ask(&Ask::Hash)?;
        self.standing.hash.ok_or_else(|| anyhow!("no hash in the answer of the other Amber"))
    }

    /// Saves the present state in a store.
    pub fn save(&mut self, store: &Path) -> Result<SnapshotId> {
        self.ask(&Ask::Save { store: store.to_owned() })?;
        let id = self.standing.saved.as_deref().and_then(|id| id.parse().ok());
        id.ok_or_else(|| anyhow!("no snapshot in the answer of the other Amber"))
    }

    /// Where it stands.
    pub fn at(&self, axis: Axis) -> u64 {
        match axis {
            Axis::Step => self.standing.step,
            Axis::Hits(_) => self.standing.hits,
        }
    }

    /// The step it stands at.
    pub fn step(&self) -> u64 {
        self.standing.step
    }

    /// Why it goes no further.
    pub fn ended(&self) -> Option<&str> {
        self.standing.ended.as_deref()
    }

    /// Step a log ends at.
    pub fn known_to(&self) -> Option<u64> {
        self.standing.known_to
    }

    /// The line a trace would have for the next step.
    pub fn next(&self) -> &str {
        &self.standing.next
    }
}
