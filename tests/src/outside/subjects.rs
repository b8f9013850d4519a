//! Machines whose snapshots are mutated: several processors, firmware and a direct boot, disks with requests in flight, parts that
//! came and are to go, and devices of all kinds that a driver keeps busy.

use super::parts::Parts;
use super::{Kind, driver};
use crate::Quiet;
use crate::disks::{busy, disk_rom};
use crate::program::SCRIBBLER;
use amber_devices::{DiskInterface, NicModel, Part, Peripheral};
use amber_emu::cli::build;
use amber_emu::config::{DeviceChoice, DiskChoice, Firmware, FlatImage, FloppyChoice, MachineConfig};
use amber_emu::disk::Base;
use amber_emu::input::{Input, Record, Recorder, Start};
use amber_emu::machine::{DiskImage, Machine, NicSpec, Plug};
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
    for (name, new) in [("parts", parts as fn(&Path) -> _), ("controllers", controllers)] {
        let (mut machine, config) = new(folder);
        subjects.push(Subject::of(&mut machine, &config, &folder.join(format!("store-{name}"))));
    }
    subjects
}

/// A disk of 64 KiB, or a diskette of 1440 KiB.
fn disk_image(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(name);
    let len = if name == "diskette.img" { 1440 << 10 } else { 64 << 10 };
    std::fs::write(&file, (0..len).map(|at| (at >> 9 ^ at) as u8).collect::<Vec<_>>())
        .expect("the folder is writable");
    file
}

fn driven_by(folder: &Path, name: &str, driver: &[u8]) -> MachineConfig {
    let file = folder.join(name);
    std::fs::write(&file, driver).expect("the folder is writable");
    MachineConfig {
        flat: Some(FlatImage { file, address: driver::BASE }),
        memory: "8M".parse().expect("a size"),
        ..MachineConfig::default()
    }
}

fn disk(folder: &Path, interface: DiskInterface) -> DiskChoice {
    let file = disk_image(folder, &format!("{}.img", interface.name()));
    DiskChoice { file, interface, ..DiskChoice::default() }
}

/// A machine with all that comes and goes.
fn parts_config(folder: &Path) -> MachineConfig {
    MachineConfig {
        cpus_max: Some(3),
        memory_slots: Some(2),
        memory_max: Some("264M".parse().expect("a size")),
        pci_hotplug: true,
        disk: vec![disk(folder, DiskInterface::Nvme), disk(folder, DiskInterface::Usb)],
        floppy: vec![FloppyChoice { file: Some(disk_image(folder, "diskette.img")), read_only: false }],
        device: Peripheral::all().map(DeviceChoice).collect(),
        ..driven_by(folder, "parts.bin", &driver::of_parts())
    }
}

/// Such a machine, something of each kind having come, and being asked for.
fn parts(folder: &Path) -> (Machine, MachineConfig) {
    let config = parts_config(folder);
    let mut machine = build::machine(&config).expect("the files are there");
    let mut host = Quiet::default();
    let disk = DiskImage {
        base: Base::open(&disk_image(folder, "late.img")).expect("it was written"),
        interface: DiskInterface::Virtio,
        read_only: false,
    };
    let nic = Plug::Nic(NicSpec::new(NicModel::E1000, [2, 0, 0, 0, 0, 1]));
    let mut come = |plug| machine.plug(&mut host, plug).expect("there is room");
    let came = [Plug::Cpu(1), Plug::Cpu(2), Plug::Dimm(128 << 20), nic].map(&mut come);
    let late = machine.plug_disk(&mut host, &disk).expect("there is room");
    machine.run(50_000, &mut host, true);
    for part in [came[1], came[2], came[3], late] {
        machine.unplug(&mut host, part).expect("it is there");
    }
    machine.run(100_000, &mut host, true);
    (machine, config)
}

/// A machine with virtio-net, and disks at AHCI and IDE.
fn controllers(folder: &Path) -> (Machine, MachineConfig) {
    let config = MachineConfig {
        net: "nowhere".parse().expect("a network"),
        disk: vec![disk(folder, DiskInterface::Ahci), disk(folder, DiskInterface::Ide)],
        ..driven_by(folder, "controllers.bin", &driver::of_controllers())
    };
    let mut machine = build::machine(&config).expect("the files are there");
    machine.run(100_000, &mut Quiet::default(), true);
    (machine, config)
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
        let inputs = [
            Input::Serial(b"help\r".to_vec()),
            Input::End(Some(4)),
            Input::Plug(Plug::Nic(NicSpec::new(NicModel::Virtio, [2, 0, 0, 0, 0, 1]))),
            Input::Frame(vec![2; 60]),
            Input::Unplug(Part::Function(2)),
            Input::Reset,
            Input::PowerButton,
        ];
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

#[cfg(test)]
mod tests {
    use super::*;
    use amber_emu::machine::HostIo;
    use amber_mmu::ViewId;

    /// Counts frames that leave, and sound.
    #[derive(Default)]
    struct Listener {
        frames: usize,
        sounds: usize,
    }

    impl HostIo for Listener {
        fn serial_output(&mut self, _port: u8, _byte: u8) {}
        fn debug_output(&mut self, _byte: u8) {}
        fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
            Vec::new()
        }
        fn may_input(&self) -> bool {
            false
        }
        fn frame_output(&mut self, _now: u64, _frame: &[u8]) {
            self.frames += 1;
        }
        fn sound(&mut self, _sound: amber_devices::sound::Sound) {
            self.sounds += 1;
        }
    }

    fn listen(machine: &mut Machine, steps: u64) -> Listener {
        let (mut host, to) = (Listener::default(), machine.step() + steps);
        machine.run(to, &mut host, true);
        host
    }

    fn is_zero(machine: &Machine, at: u64) -> bool {
        let mut bytes = [0; 64];
        machine.mmu().read_physical(ViewId(0), at, &mut bytes);
        bytes == [0; 64]
    }

    #[test]
    fn drivers_bring_their_devices_to_life() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut machine, _) = parts(folder.path());
        // Completions of NVMe for the administrator and of the disk, events of xHCI, a sector of the diskette.
        for at in [0x20_1000, 0x20_3000, 0x22_2000, 0x24_0000] {
            assert!(!is_zero(&machine, at), "nothing came to {at:#x}");
        }
        let heard = listen(&mut machine, 2_000_000);
        assert_ne!(heard.sounds, 0);
        let (machine, _) = controllers(folder.path());
        // Used rings of virtio-net, what the disk at AHCI read.
        for at in [0x20_1400, 0x21_4200] {
            assert!(!is_zero(&machine, at), "nothing came to {at:#x}");
        }
        let mut fresh = build::machine(&parts_config(folder.path())).expect("it was built before");
        let nic = Plug::Nic(NicSpec::new(NicModel::E1000, [2, 0, 0, 0, 0, 1]));
        fresh.plug(&mut Quiet::default(), nic).expect("there is room");
        assert_eq!(listen(&mut fresh, 100_000).frames, 6);
    }
}
