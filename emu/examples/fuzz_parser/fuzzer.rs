//! The fuzzer: a target to run an input on, a corpus of inputs that reached something new, and mutations of these.

use amber_emu::cli::build;
use amber_emu::config::MachineConfig;
use amber_emu::harness::{Harness, HarnessError, Marker, Seen, Verdict, run_to};
use amber_emu::machine::Frozen;
use amber_snapshot::{Store, StoreError};

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../roms/boottable/image.bin");
/// Where the firmware looks for its table, guest-physical.
const TABLE: u64 = 0x20_0000;
const TABLE_MAX: usize = 128;
const HEADER: usize = 12;
/// A table takes a few thousand steps at most.
const STEPS: u64 = 50_000;
/// Inputs of the corpus that are tried more often than the others.
const NEWEST: usize = 16;

/// A valid table to begin with: a title and the end.
pub const TITLE: &[u8] = b"BOOT\x02\0\0\0\0\0\0\0\x01\x05\0Amber\0\0\0";

/// The firmware right before it parses its table.
///
/// # Errors
/// When the image cannot be read or never gets there.
pub fn boot() -> anyhow::Result<Frozen> {
    let (rom, memory) = (Some(IMAGE.into()), "16M".parse()?);
    let mut machine = build::machine(&MachineConfig { rom, memory, ..MachineConfig::default() })?;
    run_to(&mut machine, &Marker::Debug(b"parse\n".to_vec()), 10_000_000)?;
    Ok(machine.freeze())
}

/// Numbers that are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) % bound as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        const TELLING: [u8; 9] = [0, 1, 2, 3, 4, 8, 0x7F, 0x80, 0xFF];
        match self.below(2) {
            0 => TELLING[self.below(TELLING.len())],
            _ => self.below(256) as u8,
        }
    }

    /// Where one of the records of a table begins.
    fn record(&mut self, table: &[u8]) -> usize {
        let next = |at: &usize| {
            let len = table.get(at + 1..at + 3)?;
            Some(at + 3 + usize::from(u16::from_le_bytes([len[0], len[1]])))
                .filter(|next| *next < table.len())
        };
        let records: Vec<usize> = std::iter::successors(Some(HEADER.min(table.len())), next).collect();
        records[self.below(records.len())]
    }

    /// Repeats a few bytes of a record's value, or takes some out.
    fn resize_record(&mut self, table: &mut Vec<u8>) {
        let record = self.record(table);
        let Some(len) = table.get(record + 1).map(|len| usize::from(*len)) else { return };
        let value = record + 3;
        if len == 0 || value + len > table.len() {
            return;
        }
        let at = self.below(len);
        let part = value + at..value + at + (1 + self.below(4)).min(len - at);
        if self.below(2) == 0 && len + part.len() < 256 {
            table[record + 1] += part.len() as u8;
            table.splice(part.start..part.start, table[part].to_vec()).for_each(drop);
        } else {
            table[record + 1] -= part.len() as u8;
            table.drain(part);
        }
    }
}

/// A fuzzer at work.
pub struct Fuzzer {
    harness: Harness,
    corpus: Vec<Vec<u8>>,
    seen: Seen,
    random: Random,
    /// Inputs run.
    pub executions: u64,
}

impl Fuzzer {
    /// A fuzzer that starts from these inputs.
    ///
    /// # Errors
    /// When one of them crashes the target already, which is an error of the caller's, or the target cannot be run.
    pub fn new(start: &Frozen, inputs: &[&[u8]], seed: u64) -> Result<Self, HarnessError> {
        let mut harness = Harness::new(start)?;
        harness.cover();
        let (seen, random) = (Seen::default(), Random(seed));
        let mut fuzzer = Self { harness, corpus: Vec::new(), seen, random, executions: 0 };
        for input in inputs {
            let mut input = input.to_vec();
            seal(&mut input);
            fuzzer.run(&input)?;
            fuzzer.corpus.push(input);
        }
        Ok(fuzzer)
    }

    /// Runs one input from the start; also whether it reached something new.
    fn run(&mut self, input: &[u8]) -> Result<(Verdict, bool), HarnessError> {
        self.executions += 1;
        self.harness.rewind();
        self.harness.write(TABLE, input)?;
        let verdict = self.harness.run(STEPS)?;
        let new = self.harness.edges().is_some_and(|edges| self.seen.add(edges));
        Ok((verdict, new))
    }

    /// Runs at most `budget` inputs more; the first that does not come to an exit value.
    ///
    /// # Errors
    /// When the target cannot be run.
    pub fn search(&mut self, budget: u64) -> Result<Option<(Vec<u8>, Verdict)>, HarnessError> {
        let end = self.executions + budget;
        while self.executions < end {
            let input = self.mutated();
            let (verdict, new) = self.run(&input)?;
            if !matches!(verdict, Verdict::Exit(_)) {
                return Ok(Some((input, verdict)));
            }
            if new {
                self.corpus.push(input);
            }
        }
        Ok(None)
    }

    /// An input of the corpus, changed in a few places.
    fn mutated(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        // What was found last is the likeliest to lead further.
        let oldest = if random.below(2) == 0 { self.corpus.len().saturating_sub(NEWEST) } else { 0 };
        let mut input = self.corpus[oldest + random.below(self.corpus.len() - oldest)].clone();
        for _ in 0..1 << random.below(3) {
            let at = random.below(input.len());
            match random.below(6) {
                0 => input[at] ^= 1 << random.below(8),
                1 => input[at] = random.byte(),
                2 => input[at] = input[at].wrapping_add(random.below(9) as u8).wrapping_sub(4),
                3 => {
                    let record = random.record(&input);
                    let len = random.below(8) as u8;
                    let mut value = vec![random.below(5) as u8, len, 0];
                    value.extend((0..len).map(|_| random.byte()));
                    input.splice(record..record, value).for_each(drop);
                }
                4 => random.resize_record(&mut input),
                _ => {
                    let other = &self.corpus[random.below(self.corpus.len())];
                    let (at, from) = (random.record(&input), random.record(other));
                    input.splice(at.., other[from..].iter().copied()).for_each(drop);
                }
            }
        }
        seal(&mut input);
        input
    }

    /// What a person is told of the last run.
    pub fn report(&self) -> String {
        self.harness.report(None)
    }

    /// Inputs that reached something new, and edges.
    pub fn progress(&self) -> (usize, usize) {
        (self.corpus.len(), self.seen.count())
    }

    /// Saves the target with `input` in its memory as snapshot `name`, a child of the target without it, `NAME-start`.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn save(&mut self, input: &[u8], store: &Store, name: &str) -> anyhow::Result<()> {
        let named = |id, name: &str| -> Result<(), StoreError> { store.name(name, id, 0, true) };
        self.harness.rewind();
        let start = self.harness.machine().freeze().save(store, None)?.id;
        named(start, &format!("{name}-start"))?;
        self.harness.write(TABLE, input)?;
        let crash = self.harness.machine().freeze().save(store, Some(start))?.id;
        named(crash, name)?;
        std::fs::write(store.dir().join(name).with_extension("input"), input)?;
        Ok(())
    }
}

/// Makes length and checksum right: mutations would hardly ever get past these by themselves.
fn seal(input: &mut Vec<u8>) {
    input.truncate(TABLE_MAX);
    input.resize(input.len().max(HEADER), 0);
    let len = (input.len() as u16).to_le_bytes();
    input[6..8].copy_from_slice(&len);
    input[8] = 0;
    input[8] = input.iter().fold(0, |sum: u8, byte| sum.wrapping_sub(*byte));
}
