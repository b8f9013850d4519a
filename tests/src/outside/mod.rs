//! Bytes from outside, snapshots above all, and what becomes of them: refused by a sentence, or a machine that runs. The
//! mutation test and the fuzz target both come in by [`Outside::check`].

mod driver;
pub mod mutate;
pub mod parts;
mod subjects;

use crate::Quiet;
use amber_emu::config::MachineConfig;
use amber_emu::disk::{Hold, Image};
use amber_emu::input;
use amber_emu::machine::Machine;
use amber_snapshot::{Archive, Snapshot, StateHash, Store, sections_to_json};
use parts::Parts;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use subjects::Subject;
use tempfile::TempDir;

/// Images that qemu-img made.
static IMAGES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let packed: [&[u8]; 3] = [
        include_bytes!("../../../emu/src/disk/qcow2/golden/version2.qcow2.gz"),
        include_bytes!("../../../emu/src/disk/qcow2/golden/zlib.qcow2.gz"),
        include_bytes!("../../../emu/src/disk/qcow2/golden/zstd.qcow2.gz"),
    ];
    packed.map(|packed| {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).expect("it was packed");
        bytes
    })
});
/// Steps a machine is run, twice, with a reset between.
const STEPS: u64 = 3_000;
/// Of so many archives that can be opened one is imported into a store, too: it takes long.
const IMPORTED: u8 = 16;

/// What the bytes are put in place of. In those that are parts of an archive all checksums are made right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A `.amber` file.
    Archive,
    /// A manifest's core; its state hash is made right too, if it parses.
    Core,
    /// A pack's index.
    Index,
    /// A section: its number, then its bytes.
    Section,
    /// A page with bytes of its own: its number (2 bytes), then its bytes.
    Page,
    /// The list of the pages in a region's first group: the region's number, then the list.
    List,
    /// A manifest file in a store.
    Manifest,
    /// A pack in a store.
    Pack,
    /// A name in a store.
    Name,
    /// An input log.
    Log,
    /// A `MACHINE.toml`.
    Config,
    /// A disk image.
    Image,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Archive,
        Self::Core,
        Self::Index,
        Self::Section,
        Self::Page,
        Self::List,
        Self::Manifest,
        Self::Pack,
        Self::Name,
        Self::Log,
        Self::Config,
        Self::Image,
    ];
    /// Those that checksums guard: what is not refused is what it was.
    pub const GUARDED: [Self; 3] = [Self::Archive, Self::Manifest, Self::Pack];
}

/// What became of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sentence.
    Refused(String),
    /// A machine ran that had this state at first.
    Ran(StateHash),
    /// A machine ran until it needed a page that is not what it should be.
    Damaged(String),
    /// It is not a machine's, and is as it should be.
    Read,
}

/// Snapshots of several machines, and room to put other bytes in their place.
pub struct Outside {
    scratch: TempDir,
    subjects: Vec<Subject>,
}

impl Outside {
    /// Builds the machines and saves them.
    pub fn new() -> Self {
        let scratch = tempfile::tempdir().expect("the temporary folder is writable");
        let subjects = subjects::all(scratch.path());
        Self { scratch, subjects }
    }

    /// How many machines there are.
    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// The archive of a machine, in parts.
    pub fn parts(&self, subject: usize) -> &Parts {
        &self.subjects[subject].parts
    }

    /// State hashes of the machines.
    pub fn hashes(&self) -> Vec<StateHash> {
        self.subjects.iter().map(|subject| subject.parts.manifest.state_hash).collect()
    }

    /// Bytes of this kind that are as they should be; `n` chooses among those there are.
    pub fn seed(&self, subject: usize, kind: Kind, n: usize) -> Vec<u8> {
        let subject = &self.subjects[subject];
        let Parts { manifest, index, .. } = &subject.parts;
        let bytes = |of: Result<Vec<u8>, _>| of.expect("plain data always serialises to memory");
        match kind {
            Kind::Archive => subject.archive.clone(),
            Kind::Core => bytes(postcard::to_stdvec(manifest)),
            Kind::Index => index.to_bytes(),
            Kind::Section => {
                let n = n % manifest.sections.len();
                [&[n as u8][..], &manifest.sections[n].bytes].concat()
            }
            Kind::Page => subject.page(n),
            Kind::List => subject.list(n),
            Kind::Manifest | Kind::Pack | Kind::Name => subject.stored(kind).1.clone(),
            Kind::Log => subject.log.clone(),
            Kind::Config => subject.config.clone().into_bytes(),
            Kind::Image => IMAGES[n % IMAGES.len()].clone(),
        }
    }

    /// Puts `bytes` in the place of what `subject` has there, and uses the result as Amber would.
    pub fn check(&self, subject: usize, kind: Kind, bytes: &[u8]) -> Outcome {
        let subject = &self.subjects[subject];
        match kind {
            Kind::Archive => self.archive(bytes),
            Kind::Index => self.archive(&subject.parts.with_index(bytes)),
            Kind::Core | Kind::Section | Kind::Page | Kind::List => {
                self.archive(&subject.with(kind, bytes).unwrap_or_else(|| subject.parts.with_core(bytes)))
            }
            Kind::Manifest | Kind::Pack | Kind::Name => stored(subject, kind, bytes),
            Kind::Log => match input::read(&self.put("log", bytes)) {
                Ok(_) => Outcome::Read,
                Err(error) => Outcome::Refused(error.to_string()),
            },
            Kind::Config => config(&String::from_utf8_lossy(bytes)),
            Kind::Image => image(&self.put("image", bytes)),
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, bytes).expect("the temporary folder is writable");
        path
    }

    fn archive(&self, bytes: &[u8]) -> Outcome {
        let archive = match Archive::open(&self.put("outside.amber", bytes)) {
            Ok(archive) => archive,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        if archive.id.0[0].is_multiple_of(IMPORTED) {
            let folder = self.scratch.path().join("imported");
            let store = Arc::new(Store::open(&folder).expect("the temporary folder is writable"));
            if let Ok(id) = archive.import(&store, &mut |_, _| {}) {
                store.verify(id, &mut |_, _| {}).expect("every object was checked when it came");
            }
            std::fs::remove_dir_all(&folder).expect("it was made here");
        }
        live(archive.snapshot)
    }
}

/// Uses a store in which `bytes` have taken the place of a file.
fn stored(subject: &Subject, kind: Kind, bytes: &[u8]) -> Outcome {
    let (path, whole) = subject.stored(kind);
    std::fs::write(path, bytes).expect("the temporary folder is writable");
    let outcome = use_store(&subject.store);
    std::fs::write(path, whole).expect("the temporary folder is writable");
    outcome
}

fn use_store(folder: &Path) -> Outcome {
    let store = Arc::new(Store::open(folder).expect("the temporary folder is writable"));
    let used = (|| {
        store.labels()?;
        let id = store.resolve(subjects::NAME)?;
        store.verify(id, &mut |_, _| {})?;
        store.load(id)
    })();
    match used {
        Ok(snapshot) => live(snapshot),
        Err(error) => Outcome::Refused(error.to_string()),
    }
}

/// Loads a machine, runs it, resets it, runs it again.
fn live(snapshot: Snapshot) -> Outcome {
    // What tools show of it.
    let _ = sections_to_json(&snapshot.manifest);
    let mut machine = match Machine::load(snapshot) {
        Ok(machine) => machine,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let hash = machine.state_hash();
    for reset in [true, false] {
        let to = machine.step() + STEPS;
        machine.run(to, &mut Quiet::default(), false);
        if let Some(why) = machine.damage() {
            return Outcome::Damaged(why.to_owned());
        }
        machine.state_hash();
        if reset {
            machine.press_reset(&mut Quiet::default());
        }
    }
    Outcome::Ran(hash)
}

/// Reads what there is of a disk image, and what it says there is.
fn image(path: &Path) -> Outcome {
    let image = match Image::open(path, None, Hold::Read) {
        Ok(image) => image,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let mut bytes = vec![0; 1 << 16];
    for at in (0..image.size().min(1 << 20)).step_by(1 << 16).chain([image.size() / 2, image.size()]) {
        if let Err(error) = image.read(at, &mut bytes).and_then(|()| image.zeroes(at, 1 << 20)) {
            return Outcome::Refused(error.to_string());
        }
    }
    Outcome::Read
}

fn config(text: &str) -> Outcome {
    let read = || {
        let config = MachineConfig::from_toml(text, Path::new("MACHINE.toml"))?;
        config.guest()?;
        config.to_toml()
    };
    match read() {
        Ok(_) => Outcome::Read,
        Err(error) => Outcome::Refused(error.to_string()),
    }
}
