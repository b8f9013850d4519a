//! Snapshots of earlier builds are loaded and go on: see `tests/golden/README.md`.

use amber_emu::cli::build;
use amber_emu::config::{Firmware, MachineConfig};
use amber_emu::machine::{Machine, Stop};
use amber_snapshot::{Archive, Store, export};
use amber_tests::Quiet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the files of the present format hold: name, image, processors, step.
const NEW: [(&str, Firmware, u32, u64); 2] =
    [("interrupts", Firmware::Interrupts, 2, 100_000), ("selftest", Firmware::Selftest, 1, 200_000)];
/// Steps that a loaded machine is run before it is compared.
const ON: u64 = 20_000;
/// The guests say by themselves whether all went well, before this many more steps.
const BOUND: u64 = 400_000_000;
const PASS: Stop = Stop::DebugExit(0x10);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// A line of `hashes.txt`.
#[derive(Debug, PartialEq)]
struct Expected {
    file: String,
    /// Hash of the state in the file.
    state: String,
    /// Architectural hash when it was loaded and run on.
    later: String,
}

fn expected(version: &Path) -> Vec<Expected> {
    let text = std::fs::read_to_string(version.join("hashes.txt")).expect("each version has its hashes");
    let line = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [file, state, later] => Expected { file: file.into(), state: state.into(), later: later.into() },
        _ => panic!("{}: `{line}` is not `FILE STATE LATER`", version.display()),
    };
    text.lines().map(line).collect()
}

fn run_on(machine: &mut Machine) -> String {
    let to = machine.step() + ON;
    assert_eq!(machine.run(to, &mut Quiet::default(), true), Stop::Step);
    machine.architectural_hash().to_string()
}

#[test]
fn snapshots_of_every_version_are_loaded_and_go_on() {
    let versions = std::fs::read_dir(folder()).expect("it is in the repository");
    let versions: Vec<PathBuf> =
        versions.map(|entry| entry.expect("readable").path()).filter(|path| path.is_dir()).collect();
    assert!(!versions.is_empty());
    for version in versions {
        let list = expected(&version);
        let files = std::fs::read_dir(&version).expect("a folder").count();
        assert_eq!(files, list.len() + 1, "{}: a line for every file", version.display());
        for known in list {
            let file = version.join(&known.file);
            let what = file.display();
            let archive = Archive::open(&file).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(archive.snapshot.manifest.state_hash.to_string(), known.state, "{what}");
            let step = archive.snapshot.manifest.step;
            let mut machine =
                Machine::load(archive.snapshot).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(machine.step(), step);
            assert_eq!(run_on(&mut machine), known.later, "{what}: {ON} steps later");
            assert_eq!(
                machine.run(step + BOUND, &mut Quiet::default(), true),
                PASS,
                "{what}: its own verdict"
            );
            assert_eq!(machine.damage(), None);
        }
    }
}

/// Writes files of the present format into the folder `AMBER_GOLDEN`, which must not have them.
#[test]
#[ignore = "writes files"]
fn write() {
    let to = PathBuf::from(std::env::var_os("AMBER_GOLDEN").expect("AMBER_GOLDEN names a folder"));
    std::fs::create_dir_all(&to).expect("the folder can be made");
    let scratch = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::open(scratch.path()).expect("a store"));
    let mut lines = String::new();
    for (name, firmware, cpus, step) in NEW {
        let memory = "8M".parse().expect("a size");
        let config = MachineConfig { firmware: Some(firmware), cpus, memory, ..MachineConfig::default() };
        let mut machine = build::machine(&config).expect("embedded images can be built");
        assert_eq!(machine.run(step, &mut Quiet::default(), true), Stop::Step, "{name}: still runs");
        let id = machine.freeze().save(&store, None).expect("saved").id;
        let snapshot = store.load(id).expect("it was saved");
        let file = format!("{name}.amber");
        assert!(!to.join(&file).exists(), "{file} is there, and is never replaced");
        let bytes = export(&snapshot.manifest, &snapshot.objects, None, &to.join(&file), &mut |_, _| {})
            .expect("written");
        assert!(bytes < 200 << 10, "{file}: {bytes} bytes are too many for the repository");
        let state = snapshot.manifest.state_hash;
        let later = run_on(&mut Machine::load(snapshot).expect("it was a machine"));
        let _ = writeln!(lines, "{file} {state} {later}");
    }
    std::fs::write(to.join("hashes.txt"), lines).expect("written");
}
