//! Counters (manual, 13.7): 4000h to 4124h. They stay at their highest value, and reading takes them back to 0.

use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

pub const FIRST: u64 = 0x4000;
pub const END: u64 = 0x4128;
const COUNT: usize = ((END - FIRST) / 4) as usize;

/// Counters, by their addresses.
pub const MPC: u64 = 0x4010;
/// Frames received and sent of 64 bytes; those of more follow.
const PRC64: u64 = 0x405c;
const PTC64: u64 = 0x40d8;
const GPRC: u64 = 0x4074;
const BPRC: u64 = 0x4078;
const MPRC: u64 = 0x407c;
const GPTC: u64 = 0x4080;
const GORCL: u64 = 0x4088;
const GOTCL: u64 = 0x4090;
pub const RNBC: u64 = 0x40a0;
pub const ROC: u64 = 0x40ac;
const TORL: u64 = 0x40c0;
const TOTL: u64 = 0x40c8;
const TPR: u64 = 0x40d0;
const TPT: u64 = 0x40d4;
const MPTC: u64 = 0x40f0;
const BPTC: u64 = 0x40f4;
pub const TSCTC: u64 = 0x40f8;

/// Bytes of a frame's check sequence, which count.
const FCS: u32 = 4;
const SHORTEST: u32 = 60;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Statistics(Vec<u32>);

impl Statistics {
    pub fn new() -> Self {
        Self(vec![0; COUNT])
    }

    /// Reads a register; the lower half of one of 64 bits goes back with its upper half.
    pub fn read(&mut self, register: u64) -> u32 {
        let at = ((register - FIRST) / 4) as usize;
        match register & !3 {
            GORCL | GOTCL | TORL | TOTL => self.0[at],
            low if matches!(low - 4, GORCL | GOTCL | TORL | TOTL) => {
                self.0[at - 1] = 0;
                std::mem::take(&mut self.0[at])
            }
            _ => std::mem::take(&mut self.0[at]),
        }
    }

    /// Counts one.
    pub fn count(&mut self, register: u64) {
        let counter = &mut self.0[((register - FIRST) / 4) as usize];
        *counter = counter.saturating_add(1);
    }

    fn add(&mut self, low: u64, bytes: u32) {
        let at = ((low - FIRST) / 4) as usize;
        let sum = (u64::from(self.0[at + 1]) << 32 | u64::from(self.0[at])).saturating_add(bytes.into());
        (self.0[at], self.0[at + 1]) = (sum as u32, (sum >> 32) as u32);
    }

    /// How far behind the counter of the shortest frames that of this length is.
    fn by_length(len: u32) -> u64 {
        let longest = [64, 127, 255, 511, 1023];
        4 * longest.iter().filter(|most| len > **most).count() as u64
    }

    /// Counts a frame that came in, whether or not it was for this station.
    pub fn came(&mut self, frame: &[u8]) {
        self.count(TPR);
        self.add(TORL, (frame.len() as u32).max(SHORTEST) + FCS);
    }

    /// Counts a frame that was received.
    pub fn received(&mut self, frame: &[u8]) {
        let len = (frame.len() as u32).max(SHORTEST) + FCS;
        self.count(GPRC);
        self.count(PRC64 + Self::by_length(len));
        self.add(GORCL, len);
        match kind(frame) {
            Kind::Broadcast => self.count(BPRC),
            Kind::Multicast => self.count(MPRC),
            Kind::Station => {}
        }
    }

    /// Counts a frame that was sent.
    pub fn sent(&mut self, frame: &[u8]) {
        let len = (frame.len() as u32).max(SHORTEST) + FCS;
        self.count(TPT);
        self.count(GPTC);
        self.count(PTC64 + Self::by_length(len));
        self.add(GOTCL, len);
        self.add(TOTL, len);
        match kind(frame) {
            Kind::Broadcast => self.count(BPTC),
            Kind::Multicast => self.count(MPTC),
            Kind::Station => {}
        }
    }

    /// Whether it could be a state: as many counters as there are.
    pub fn is_consistent(&self) -> bool {
        self.0.len() == COUNT
    }
}

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Broadcast,
    Multicast,
    Station,
}

pub fn kind(frame: &[u8]) -> Kind {
    match frame.get(..6) {
        Some([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => Kind::Broadcast,
        Some([first, ..]) if first & 1 != 0 => Kind::Multicast,
        _ => Kind::Station,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_by_kind_and_length_and_reading_takes_back() {
        let mut statistics = Statistics::new();
        statistics.received(&[0xff; 60]);
        statistics.received(&[1; 61]);
        statistics.sent(&[2; 1514]);
        statistics.sent(&[2; 14]);
        let mut read = |register| statistics.read(register);
        assert_eq!([read(GPRC), read(BPRC), read(MPRC), read(GPTC), read(TPT)], [2, 1, 1, 2, 2]);
        assert_eq!([read(PRC64), read(PRC64 + 4), read(PTC64), read(PTC64 + 20)], [1, 1, 1, 1]);
        assert_eq!([read(GORCL), read(GORCL), read(GORCL + 4), read(GORCL)], [129, 129, 0, 0]);
        assert_eq!([read(TOTL), read(GPRC)], [1582, 0]);
        statistics.0[(GOTCL - FIRST) as usize / 4] = u32::MAX;
        statistics.add(GOTCL, 1);
        assert_eq!([statistics.read(GOTCL), statistics.read(GOTCL + 4)], [0, 1]);
        statistics.0[(GPRC - FIRST) as usize / 4] = u32::MAX;
        statistics.count(GPRC);
        assert_eq!(statistics.read(GPRC), u32::MAX);
    }
}
