//! The input log: everything that came into a machine from outside, by the step at which it did.

use crate::machine::request::Answer;
use crate::machine::{Edit, Gesture, MediumChange, Plug, SEMANTICS_EPOCH};
use amber_devices::Part;
use amber_devices::share::Contents;
use amber_snapshot::StateHash;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"AMBERLOG";
/// Version of the log's layout.
const FORMAT: u32 = 1;
/// Longest record: the contents of a share. Memory is taken for what there is of one, whatever its length says.
const MAX_RECORD: u32 = 3 << 29;

/// Something from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Bytes for serial port 0.
    Serial(Vec<u8>),
    /// No more input will come; the guest is told by this byte.
    End(Option<u8>),
    /// The reset button.
    Reset,
    /// The power button.
    PowerButton,
    /// What software in the guest was answered.
    Answer(Answer),
    /// The run ended in a state with this hash.
    Stop(StateHash),
    /// What a person did with keyboard or mouse.
    Gesture(Gesture),
    /// A frame for the network adapter.
    Frame(Vec<u8>),
    /// Its cable was plugged in, or pulled out.
    Link(bool),
    /// A part came.
    Plug(Plug),
    /// The guest was asked to let go of a part.
    Unplug(Part),
    /// Bytes for a port of the virtio console.
    Console { port: u8, bytes: Vec<u8> },
    /// The share has other contents.
    Share(Contents),
    /// Somebody changed the machine's state.
    Edit(Edit),
    /// A medium came into a drive, or was to go.
    Medium(MediumChange),
}

impl Input {
    /// Whether it is done to the machine between two runs of it, and not while it runs.
    pub fn is_deed(&self) -> bool {
        matches!(
            self,
            Self::Reset
                | Self::PowerButton
                | Self::Link(_)
                | Self::Share(_)
                | Self::Edit(_)
                | Self::Stop(_)
                | Self::Plug(_)
                | Self::Unplug(_)
                | Self::Medium(_)
        )
    }
}

/// An input and when it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Step the machine stood at.
    pub step: u64,
    pub input: Input,
}

/// What a log begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    magic: [u8; 8],
    format: u32,
    /// See [`SEMANTICS_EPOCH`].
    epoch: u32,
    /// State the recording began with.
    pub state_hash: StateHash,
    /// Records that lay before it: those of the run it went on from.
    pub inputs: u64,
    /// `MACHINE.toml` of the run.
    pub config: String,
}

impl Start {
    /// The start of a recording by this build.
    pub fn new(state_hash: StateHash, inputs: u64, config: String) -> Self {
        Self { magic: MAGIC, format: FORMAT, epoch: SEMANTICS_EPOCH, state_hash, inputs, config }
    }
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{}: cannot be read: {cause}", file.display())]
    Read { file: PathBuf, cause: std::io::Error },
    #[error("{}: cannot be written: {cause}", file.display())]
    Write { file: PathBuf, cause: std::io::Error },
    #[error("{}: {why}", file.display())]
    Format { file: PathBuf, why: String },
    #[error(
        "{}: recorded by a build that computed as of epoch {found}, this one does as of {SEMANTICS_EPOCH}: the run \
         would not be the same", file.display()
    )]
    Epoch { file: PathBuf, found: u32 },
}

/// Writes a log as the run goes.
pub struct Recorder {
    file: PathBuf,
    out: BufWriter<File>,
    /// Records that lay before the log's first.
    before: u64,
    failed: Option<LogError>,
}

impl Recorder {
    /// A log in `file`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(file: &Path, start: &Start) -> Result<Self, LogError> {
        let write = |cause| LogError::Write { file: file.to_owned(), cause };
        let out = BufWriter::new(File::create(file).map_err(write)?);
        let mut recorder = Self { file: file.to_owned(), out, before: start.inputs, failed: None };
        recorder.put(start);
        recorder.finish()?;
        Ok(recorder)
    }

    /// Adds a record. That it could not be written is said by [`Self::finish`].
    pub fn record(&mut self, record: &Record) {
        self.put(record);
    }

    fn put(&mut self, value: &impl Serialize) {
        let bytes = postcard::to_stdvec(value).expect("plain data always serialises to memory");
        let written = self.out.write_all(&(bytes.len() as u32).to_le_bytes());
        // A log must say all that the guest has seen, also when the process is killed.
        let written = written.and_then(|()| self.out.write_all(&bytes)).and_then(|()| self.out.flush());
        if let (Err(cause), None) = (written, &self.failed) {
            self.failed = Some(LogError::Write { file: self.file.clone(), cause });
        }
    }

    /// The run goes another way after so many inputs since power-up. The log of the way it leaves is kept in a file beside
    /// it, FILE.1 and so on; this one has what came before. The file, if it could be written.
    pub fn leave(&mut self, inputs: u64) -> Option<PathBuf> {
        let kept = beside(&self.file);
        let copied = std::fs::copy(&self.file, &kept);
        if copied.is_err() {
            let _ = std::fs::remove_file(&kept);
        }
        // The way that is left may be lost; the log must still be that of the run.
        let done = self.cut(inputs).and(copied.map(drop));
        self.tell(done).map(|()| kept)
    }

    /// The run goes on from the end of a way it left, after so many inputs: the log of that is this one's from now on.
    pub fn return_to(&mut self, log: &Path, inputs: u64) {
        let done = File::open(log).and_then(|mut from| {
            let to = self.out.get_mut();
            to.set_len(0)?;
            to.seek(SeekFrom::Start(0))?;
            std::io::copy(&mut from, to)?;
            self.cut(inputs)
        });
        if self.tell(done).is_some() {
            // What it says is in this one now.
            let _ = std::fs::remove_file(log);
        }
    }

    /// Leaves the records of so many inputs since power-up.
    fn cut(&mut self, inputs: u64) -> std::io::Result<()> {
        let mut from = BufReader::new(File::open(&self.file)?);
        let mut len = 0;
        // The first is the start.
        for _ in 0..=inputs.saturating_sub(self.before) {
            let Some(bytes) = frame(&mut from)? else { break };
            len += 4 + bytes.len() as u64;
        }
        let file = self.out.get_mut();
        file.set_len(len)?;
        file.seek(SeekFrom::Start(len)).map(drop)
    }

    fn tell<T>(&mut self, done: std::io::Result<T>) -> Option<T> {
        let write = |cause| LogError::Write { file: self.file.clone(), cause };
        done.map_err(|cause| self.failed.get_or_insert(write(cause))).ok()
    }

    /// Whether all was written.
    ///
    /// # Errors
    /// The first failure.
    pub fn finish(&mut self) -> Result<(), LogError> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

/// Adds a record to a log that nobody writes any more.
///
/// # Errors
/// When the file cannot be written.
pub fn append(file: &Path, record: &Record) -> Result<(), LogError> {
    let write = |cause| LogError::Write { file: file.to_owned(), cause };
    let out = File::options().append(true).open(file).map_err(write)?;
    let mut recorder = Recorder { file: file.to_owned(), out: BufWriter::new(out), before: 0, failed: None };
    recorder.record(record);
    recorder.finish()
}

/// The first name FILE.1, FILE.2 and so on that is free.
fn beside(file: &Path) -> PathBuf {
    let name = |n: u32| {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    };
    (1..).map(name).find(|name| !name.exists()).unwrap_or_else(|| name(0))
}

/// Reads a log: its start and all its records. A last record that was cut off, as by a kill, is left out.
///
/// # Errors
/// When the file is no log, or one of another epoch.
pub fn read(file: &Path) -> Result<(Start, Vec<Record>), LogError> {
    let read = |cause| LogError::Read { file: file.to_owned(), cause };
    let bad = |why: &str| LogError::Format { file: file.to_owned(), why: why.to_owned() };
    let mut from = BufReader::new(File::open(file).map_err(read)?);
    let first = frame(&mut from).map_err(read)?.ok_or_else(|| bad("it is empty or cut off"))?;
    if first.get(..8) != Some(&MAGIC) {
        return Err(bad("this is no input log"));
    }
    let (format, _) =
        postcard::take_from_bytes::<u32>(&first[8..]).map_err(|_| bad("it has no format version"))?;
    if format > FORMAT {
        return Err(bad(&format!("format version {format}, this build reads up to {FORMAT}")));
    }
    let start: Start =
        postcard::from_bytes(&first).map_err(|e| bad(&format!("its start does not parse: {e}")))?;
    if start.epoch != SEMANTICS_EPOCH {
        return Err(LogError::Epoch { file: file.to_owned(), found: start.epoch });
    }
    let mut records: Vec<Record> = Vec::new();
    while let Some(bytes) = frame(&mut from).map_err(read)? {
        let record: Record = postcard::from_bytes(&bytes)
            .map_err(|e| bad(&format!("record {} does not parse: {e}", records.len())))?;
        records.push(record);
    }
    Ok((start, records))
}

/// The bytes of the next record; `None` at the end, or where the rest was cut off.
fn frame(from: &mut impl Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    let mut have = 0;
    while have < 4 {
        match from.read(&mut len[have..])? {
            0 => return Ok(None),
            n => have += n,
        }
    }
    let len = u32::from_le_bytes(len);
    if len > MAX_RECORD {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let read = from.take(len.into()).read_to_end(&mut bytes)?;
    Ok((read == len as usize).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        Start::new(StateHash([7; 32]), 3, "cpus = 2\n".into())
    }

    #[test]
    fn a_log_is_read_as_it_was_written_and_a_cut_off_end_is_left_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("log");
        let records = [
            Record { step: 5, input: Input::Serial(b"ls\n".to_vec()) },
            Record { step: 5, input: Input::End(Some(4)) },
            Record { step: 900, input: Input::Stop(StateHash([1; 32])) },
        ];
        let mut recorder = Recorder::create(&file, &start()).expect("the folder is writable");
        records.iter().for_each(|record| recorder.record(record));
        recorder.finish().expect("written");
        assert_eq!(read(&file).expect("a log"), (start(), records.to_vec()));
        let whole = std::fs::read(&file).expect("there");
        std::fs::write(&file, &whole[..whole.len() - 3]).expect("written");
        assert_eq!(read(&file).expect("a log").1, records[..2]);
    }

    #[test]
    fn other_files_and_other_epochs_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("log");
        for bytes in [&b""[..], b"\x10\0\0\0hello, I am text", &[0xFF; 64]] {
            std::fs::write(&file, bytes).expect("written");
            assert!(read(&file).is_err(), "{bytes:?}");
        }
        let other = Start { epoch: SEMANTICS_EPOCH + 1, ..start() };
        Recorder::create(&file, &other).expect("the folder is writable");
        assert!(matches!(read(&file), Err(LogError::Epoch { .. })));
    }
}
