//! Machines whose snapshots are mutated: several processors, firmware and a direct boot, disks with requests in flight.

use super::Kind;
use super::parts::Parts;
use crate::Quiet;
use crate::disks::{busy, disk_rom};
use crate::program::SCRIBBLER;
use amber_emu::cli::build;
use amber_emu::config::{Firmware, FlatImage, MachineConfig};
use amber_emu::input::{Input, Record, Recorder, Start};
use amber_emu::machine::Machine;
use amber_snapshot::{ObjectId, Store, export};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the snapshot is called in its store.
pub const NAME: &str = "subject";
/// A machine's snapshot, in an archive and in a store of its own.
pub struct Subject {
    pub archive: Vec<u8>,
    pub parts: Parts,
    /// Places of the pages with bytes of their own.
    pages: Vec<(usize, usize, usize)>,
    pub store: PathBuf,
    /// Manifest, pack and name: path and bytes.
    files: [(PathBuf, Vec<u8>); 3],
    pub log: Vec<u8>,
    pub config: String,
}

/// The machines, their files in `folder`.
pub fn all(folder: &Path) -> Vec<Subject> {
    let small = || MachineConfig { memory: "8M".parse().expect("a size"), ..MachineConfig::default() };
    let flat = folder.join("flat.bin");
    std::fs::write(&flat, SCRIBBLER).expect("the folder is writable");
    let configs = [
        MachineConfig { firmware: Some(Firmware::Interrupts), cpus: 2, ..small() },
        MachineConfig { firmware: Some(Firmware::Selftest), ..small() },
        MachineConfig { flat: Some(FlatImage { file: flat, address: 0x10_0000 }), cpus: 3, ..small() },
    ];
    let mut subjects = Vec::new();
    for (n, config) in configs.into_iter().enumerate() {
        let mut machine = build::machine(&config).expect("first-party images can be built");
        machine.run(100_000, &mut Quiet::default(), true);
        subjects.push(Subject::of(&mut machine, &config, &folder.join(format!("store{n}"))));
    }
    let mut machine = disk_rom(folder);
    while !busy(&machine) {
        let next = machine.step() + 500;
        machine.run(next, &mut Quiet::default(), true);
    }
    subjects.push(Subject::of(&mut machine, &small(), &folder.join("store-disk")));
    subjects
}

impl Subject {
    fn of(machine: &mut Machine, config: &MachineConfig, folder: &Path) -> Self {
        let store = Arc::new(Store::open(folder).expect("the folder is writable"));
        let id = machine.freeze().save(&store, None).expect("saved").id;
        store.name(NAME, id, 1, false).expect("named");
        let snapshot = store.load(id).expect("it was saved");
        let (archive, log) = (folder.join("archive.amber"), folder.join("log"));
        export(&snapshot.manifest, &snapshot.objects, None, &archive, &mut |_, _| {}).expect("written");
        let archive = std::fs::read(archive).expect("written");
        let config = config.to_toml().expect("it has no large numbers");
        let mut recorder =
            Recorder::create(&log, &Start::new(machine.state_hash(), 0, config.clone())).expect("written");
        let inputs =
            [Input::Serial(b"help\r".to_vec()), Input::End(Some(4)), Input::Reset, Input::PowerButton];
        for (n, input) in inputs.into_iter().enumerate() {
            recorder.record(&Record { step: n as u64 * 1000, input });
        }
        recorder.record(&Record { step: 9000, input: Input::Stop(machine.state_hash()) });
        let files = ["manifests", "packs", "names"].map(|kind| only_file(&folder.join(kind)));
        let parts = Parts::of(&archive);
        let log = std::fs::read(log).expect("written");
        Self { archive, pages: parts.pages(), parts, store: folder.to_owned(), files, log, config }
    }

    /// Path and bytes of a file in the store.
    pub fn stored(&self, kind: Kind) -> &(PathBuf, Vec<u8>) {
        match kind {
            Kind::Manifest => &self.files[0],
            Kind::Pack => &self.files[1],
            _ => &self.files[2],
        }
    }

    /// [`Kind::Page`].
    pub fn page(&self, n: usize) -> Vec<u8> {
        let n = n % self.pages.len();
        let (region, group, page) = self.pages[n];
        let ids = self.parts.list(region, group).expect("it was listed");
        let bytes = self.parts.object(ids[page]).expect("it is there");
        [&(n as u16).to_le_bytes()[..], &bytes].concat()
    }

    /// [`Kind::List`].
    pub fn list(&self, n: usize) -> Vec<u8> {
        let regions = &self.parts.manifest.regions;
        let n = n % regions.len();
        let ids = self.parts.list(n, 0).unwrap_or_else(|| vec![regions[n].absent(); 512]);
        std::iter::once(n as u8).chain(ids.into_iter().flat_map(|id| id.0)).collect()
    }

    /// The archive with other bytes in one place; `None` if `bytes` name no place.
    pub fn with(&self, kind: Kind, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut parts = self.parts.clone();
        match kind {
            Kind::Core => parts.manifest = postcard::from_bytes(bytes).ok()?,
            Kind::Section => {
                let (n, bytes) = bytes.split_first()?;
                let count = parts.manifest.sections.len();
                parts.manifest.sections[usize::from(*n) % count].bytes = bytes.to_vec();
            }
            Kind::Page => {
                let (n, bytes) = bytes.split_at_checked(2)?;
                let n = usize::from(u16::from_le_bytes([n[0], n[1]])) % self.pages.len();
                let (region, group, page) = self.pages[n];
                let mut ids = parts.list(region, group)?;
                ids[page] = parts.add(bytes);
                parts.set_list(region, group, &ids);
            }
            _ => {
                let (n, list) = bytes.split_first()?;
                let n = usize::from(*n) % parts.manifest.regions.len();
                let node: ObjectId = parts.add(list);
                *parts.manifest.regions[n].groups.first_mut()? = Some(node);
            }
        }
        parts.rehash();
        Some(parts.to_bytes())
    }
}

/// The only file of a folder.
fn only_file(folder: &Path) -> (PathBuf, Vec<u8>) {
    let entry = std::fs::read_dir(folder).expect("a folder").next().expect("a file").expect("readable");
    let bytes = std::fs::read(entry.path()).expect("readable");
    (entry.path(), bytes)
}
