//! How much of its past a run remembers.

use super::values::{ValueError, text_form};
use super::{MachineConfig, MemorySize};
use crate::checkpoints::Policy;
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

/// What a run remembers: `none`, or what fits into so much memory of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryChoice {
    #[default]
    None,
    Bytes(u64),
}

impl FromStr for HistoryChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "none" => Ok(Self::None),
            size => Ok(Self::Bytes(size.parse::<MemorySize>()?.bytes())),
        }
    }
}

impl Display for HistoryChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::None => f.write_str("none"),
            Self::Bytes(bytes) => MemorySize::from_bytes(*bytes).fmt(f),
        }
    }
}

text_form!(HistoryChoice);

impl MachineConfig {
    /// What the run remembers: what is asked for, unless something of it cannot be taken back.
    pub fn history_kept(&self) -> HistoryChoice {
        match self.not_taken_back() {
            Some(_) => HistoryChoice::None,
            None => self.history.unwrap_or_default(),
        }
    }

    /// Has the run remember so much, unless it says itself, or something of it cannot be taken back.
    pub fn remember(&mut self, bytes: u64) {
        if self.history.is_none() && self.not_taken_back().is_none() {
            self.history = Some(HistoryChoice::Bytes(bytes));
        }
    }

    /// Why there is no history, as a sentence.
    pub fn no_history(&self) -> String {
        match self.not_taken_back() {
            Some(why) => format!("this run remembers nothing: {why}"),
            None => "this run remembers nothing; run it with --history SIZE".to_owned(),
        }
    }

    /// What of the run cannot be taken back.
    pub(super) fn not_taken_back(&self) -> Option<&'static str> {
        if self.guest_checkpoints != Policy::Deny {
            return Some("with --guest-checkpoints its guest goes back by itself");
        }
        let through = self.disk.iter().any(|disk| disk.write_through);
        through.then_some("what is written through to an image cannot be taken back")
    }
}
