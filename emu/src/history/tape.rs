//! What came in since the oldest point: the records of the present branch, also of what is ahead of a machine that stands
//! behind its end.

use super::Held;
use crate::input::{Input, Record};
use amber_devices::share::What;
use std::path::PathBuf;

/// See the module.
#[derive(Debug)]
pub struct Tape {
    /// Inputs before the first record.
    first: u64,
    /// Keys and buttons that were down there, as far as is known.
    held: Held,
    records: Vec<Record>,
    /// Bytes of them.
    bytes: u64,
    /// How many of them lie behind the machine.
    at: usize,
    /// The machine stands behind the end of its branch.
    behind: bool,
    torn: Option<Torn>,
    /// Bytes the guest sent to serial port 0 and the virtio console, as far as the machine has come.
    pub said: u64,
}

/// What was ahead of a machine that went another way.
#[derive(Debug)]
pub struct Torn {
    /// Inputs that had come where it did.
    pub inputs: u64,
    /// Those that came after, on the way it left.
    pub records: Vec<Record>,
    /// The log of that way, if the run is recorded.
    pub log: Option<PathBuf>,
}

impl Tape {
    /// A tape of a machine to which so many inputs came before, and which said so many bytes.
    pub fn new(inputs: u64, said: u64) -> Self {
        Self {
            first: inputs,
            held: Held::default(),
            records: Vec::new(),
            bytes: 0,
            at: 0,
            behind: false,
            torn: None,
            said,
        }
    }

    /// Bytes of host memory that it takes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Something comes in, at the end.
    pub fn note(&mut self, record: &Record) {
        self.bytes += bytes(record);
        self.records.push(record.clone());
        self.at = self.records.len();
    }

    /// The records ahead of the machine.
    pub fn ahead(&self) -> &[Record] {
        &self.records[self.at..]
    }

    /// Those ahead of a machine that stands where so many inputs had come. `None` if those are not known.
    #[cfg(test)]
    pub fn ahead_of(&self, inputs: u64) -> Option<&[Record]> {
        self.records.get(self.index(inputs)?..)
    }

    fn index(&self, inputs: u64) -> Option<usize> {
        usize::try_from(inputs.checked_sub(self.first)?).ok().filter(|n| *n <= self.records.len())
    }

    /// Lends its records to whoever plays them, which then notes nothing, and says how many lie behind the machine;
    /// [`Self::take_back`] ends that.
    pub fn lend(&mut self) -> (Vec<Record>, usize) {
        (std::mem::take(&mut self.records), self.at)
    }

    /// The records that were lent are here again.
    pub fn take_back(&mut self, records: Vec<Record>) {
        self.records = records;
    }

    /// What is down where the machine stands.
    pub fn held(&self) -> Held {
        self.records[..self.at].iter().fold(self.held.clone(), |held, record| held.after(record))
    }

    /// The machine stands where so many inputs had come, and so many bytes were said; maybe behind the end of its branch.
    pub fn stand(&mut self, inputs: u64, said: u64, behind: bool) {
        self.at = self.index(inputs).unwrap_or(self.records.len());
        (self.said, self.behind) = (said, behind);
    }

    /// The machine goes on, or something comes in: what is ahead of it, if anything is, is another way from now on.
    pub fn tear(&mut self) -> Option<&mut Torn> {
        if !std::mem::take(&mut self.behind) {
            return None;
        }
        let inputs = self.first + self.at as u64;
        let records = self.split_off(inputs);
        Some(self.torn.insert(Torn { inputs, records, log: None }))
    }

    /// What was torn off since this was last asked.
    pub fn take_torn(&mut self) -> Option<Torn> {
        self.torn.take()
    }

    /// Takes the records away that came after so many inputs.
    pub fn split_off(&mut self, inputs: u64) -> Vec<Record> {
        let Some(n) = self.index(inputs) else { return Vec::new() };
        let off = self.records.split_off(n);
        self.bytes -= off.iter().map(bytes).sum::<u64>();
        self.at = self.at.min(n);
        off
    }

    /// Puts records behind the others; the machine is brought to their end.
    pub fn go_on_with(&mut self, records: Vec<Record>) {
        self.bytes += records.iter().map(bytes).sum::<u64>();
        self.records.extend(records);
        self.at = self.records.len();
    }

    /// Forgets what came before so many inputs: the oldest point is there.
    pub fn forget_before(&mut self, inputs: u64) {
        let Some(n) = self.index(inputs).filter(|n| *n <= self.at) else { return };
        for record in self.records.drain(..n) {
            self.bytes -= bytes(&record);
            self.held = std::mem::take(&mut self.held).after(&record);
        }
        self.first += n as u64;
        self.at -= n;
    }
}

/// Host memory of a record, about.
pub(super) fn bytes(record: &Record) -> u64 {
    let content = match &record.input {
        Input::Serial(bytes) | Input::Frame(bytes) | Input::Console { bytes, .. } => bytes.len(),
        Input::Share(contents) => contents
            .items
            .iter()
            .map(|item| match &item.what {
                What::Bytes(bytes) => bytes.len(),
                _ => size_of_val(item),
            })
            .sum(),
        _ => 0,
    };
    (size_of::<Record>() + content) as u64
}
