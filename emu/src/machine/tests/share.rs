//! The folder a machine shares, as part of its state.

use super::*;
use crate::input::Input;
use amber_devices::share::{Attributes, Contents, FileTime, Item, S_IFREG, Tree, What};
use amber_snapshot::RegionPages;

fn contents(name: &str, bytes: &[u8]) -> Contents {
    let time = FileTime { seconds: 9, nanoseconds: 0 };
    let attributes = Attributes { mode: S_IFREG | 0o644, uid: 0, gid: 0, device: 0, time };
    let (name, what) = (name.as_bytes().to_vec(), What::Bytes(bytes.to_vec()));
    Contents { items: vec![Item { parent: None, name, attributes, what }] }
}

fn machine() -> Machine {
    let image = flat::load(file(&[0xEB, 0xFE]), 0x10_0000, &memory()).unwrap();
    let share = Some(ShareSpec { tag: "files".into(), size: 1 << 20, read_only: false });
    let equipment = Equipment { share, ..Equipment::default() };
    let mut machine = Machine::equipped(spec(1), image, Vec::new(), &[], equipment).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("first"), vec![7; 10_000]).unwrap();
    machine.fill_share(folder.path()).unwrap();
    machine
}

/// The pages of a share, as a snapshot would have them.
struct Held(Pages);

impl PageSource for Held {
    fn read(&self, page: u64, into: &mut [u8; PAGE as usize]) -> Result<(), String> {
        into.copy_from_slice(self.0.bytes(page as usize));
        Ok(())
    }
}

fn all_sources(machine: &Machine) -> Vec<RegionSource> {
    let share = machine.share.as_ref().unwrap();
    let own = RegionSource {
        name: "share0".into(),
        tree: (*share.tree).clone(),
        pages: Arc::new(Held(share.pages.clone())),
        base: None,
    };
    sources(machine).into_iter().chain([own]).collect()
}

/// Whether the share has a file.
fn has(machine: &Machine, name: &str) -> bool {
    let (spec, mut pages) = machine.share().unwrap();
    Tree::open(&mut pages, spec.layout()).unwrap().find(0, name.as_bytes()).is_ok()
}

#[test]
fn other_files_are_an_input_and_go_back_with_the_machine() {
    let mut machine = machine();
    machine.run(1000, &mut Host::default(), true);
    let (first, before) = (machine.freeze(), machine.state_hash());
    let (mut log, other) = (Log::default(), contents("other", &[1; 5000]));
    machine.load_share(&mut log, other.clone()).unwrap();
    assert_eq!(log.0, [Record { step: 1000, input: Input::Share(other.clone()) }]);
    assert!(has(&machine, "other") && !has(&machine, "first"));
    let after = machine.state_hash();
    assert_ne!(before, after);
    machine.rewind(&first);
    assert!(has(&machine, "first"));
    assert_eq!(machine.state_hash(), before);
    let mut fork = Machine::fork(&first).unwrap();
    fork.load_share(&mut log, other.clone()).unwrap();
    machine.load_share(&mut log, other).unwrap();
    assert_eq!((fork.state_hash(), machine.state_hash()), (after, after));
}

#[test]
fn what_does_not_fit_leaves_the_share_empty_and_runs_on() {
    let mut machine = machine();
    let mut log = Log::default();
    assert!(machine.load_share(&mut log, contents("long", &[1; 2 << 20])).is_err());
    assert!(!has(&machine, "first") && !has(&machine, "long"));
    assert_eq!(log.0.len(), 1, "it is an input all the same");
    machine.load_share(&mut log, contents("short", &[1; 1 << 19])).unwrap();
    assert!(has(&machine, "short") && machine.damage().is_none());
    assert!(flat_machine(1, &[0xEB, 0xFE]).load_share(&mut log, contents("x", b"")).is_err());
}

#[test]
fn a_share_is_restored_with_its_pages_and_refused_without() {
    let mut machine = machine();
    machine.run(1000, &mut Host::default(), true);
    let (sections, hash) = (machine.sections(), machine.state_hash());
    let mut restored = Machine::restore(&sections, all_sources(&machine)).unwrap();
    assert!(has(&restored, "first"));
    assert_eq!(restored.state_hash(), hash);
    let refused =
        |sections: &[_], regions| Machine::restore(sections, regions).map(drop).unwrap_err().to_string();
    assert_eq!(refused(&sections, sources(&machine)), "region share0 is missing");
    let at = sections.iter().position(|section| section.path == "share0").unwrap();
    let mut none = sections.clone();
    none.remove(at);
    assert!(refused(&none, all_sources(&machine)).contains("share0"));
    let mut other = sections.clone();
    other[at] = ShareSpec { tag: "files".into(), size: 0, read_only: false }.to_section("share0");
    assert!(refused(&other, all_sources(&machine)).contains("size"));
    other[at] = ShareSpec { tag: String::new(), size: 1 << 20, read_only: false }.to_section("share0");
    assert!(refused(&other, all_sources(&machine)).contains("tag"));
}
