//! A store with small machines in it: saved, loaded, collected, moved, damaged.

use amber_snapshot::{
    Archive, NewSnapshot, Objects, OwnedSection, RegionPages, RegionToSave, RegionTree, Schema, Section,
    Snapshot, SnapshotId, Store, StoreError, export, hash_sections,
};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Registers of the small machine.
#[derive(Serialize, Deserialize, Schema)]
struct Registers {
    step: u64,
}

impl Section for Registers {
    const KIND: &'static str = "registers";
    const VERSION: u32 = 1;
}

/// A machine of one section and one region.
#[derive(Clone)]
struct Machine {
    step: u64,
    ram: Vec<[u8; 4096]>,
    generations: Vec<Option<u64>>,
    tree: RegionTree,
}

impl RegionPages for Machine {
    fn pages(&self) -> usize {
        self.ram.len()
    }
    fn newest(&self, group: usize) -> u64 {
        self.generations.chunks(512).nth(group).into_iter().flatten().flatten().copied().max().unwrap_or(0)
    }
    fn generation(&self, page: usize) -> Option<u64> {
        self.generations[page]
    }
    fn bytes(&self, page: usize) -> &[u8] {
        &self.ram[page]
    }
}

impl Machine {
    fn new(pages: usize) -> Self {
        Self {
            step: 0,
            ram: vec![[0; 4096]; pages],
            generations: vec![None; pages],
            tree: RegionTree::default(),
        }
    }

    fn run(&mut self, pages: &[usize]) {
        self.step += 1;
        for page in pages {
            // No two pages the same, and none incompressible.
            for (i, word) in self.ram[*page].chunks_mut(8).enumerate() {
                word.copy_from_slice(&(self.step << 32 | (*page as u64) << 12 | i as u64 / 3).to_le_bytes());
            }
            self.generations[*page] = Some(self.step);
        }
    }

    fn save(
        &mut self,
        store: &Store,
        parent: Option<SnapshotId>,
    ) -> Result<amber_snapshot::Saved, StoreError> {
        let mut tree = self.tree.clone();
        tree.update(self);
        self.tree = tree;
        let sections: Vec<OwnedSection> = vec![Registers { step: self.step }.to_section("registers")];
        let state_hash = hash_sections(&sections, &[("ram", self.tree.root())]);
        let new = NewSnapshot {
            parent,
            step: self.step,
            time: self.step * 10,
            inputs: 0,
            state_hash,
            sections,
            thumbnail: None,
        };
        store.save(new, &[RegionToSave { name: "ram", tree: &self.tree, pages: self, base: None }])
    }
}

fn store(dir: &Path) -> Arc<Store> {
    Arc::new(Store::open(dir).expect("a store"))
}

fn ram(manifest: &amber_snapshot::Manifest, objects: &Objects) -> Result<Vec<[u8; 4096]>, StoreError> {
    let tree = manifest.regions[0].tree(objects, 1)?;
    let mut ram = vec![[0; 4096]; tree.pages()];
    for (n, page) in ram.iter_mut().enumerate() {
        if tree.page(n) != tree.absent() {
            objects.page(tree.page(n), page)?;
        }
    }
    Ok(ram)
}

fn loads_as(store: &Arc<Store>, id: SnapshotId, machine: &Machine) {
    // A new process knows nothing of what this one has read.
    let store = self::store(store.dir());
    let Snapshot { manifest, objects } = store.load(id).expect("saved");
    assert_eq!(manifest.step, machine.step);
    assert!(ram(&manifest, &objects).expect("all there") == machine.ram);
}

#[test]
fn what_was_saved_is_loaded_and_pages_are_stored_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let mut machine = Machine::new(1030);
    machine.run(&[0, 5, 600, 1029]);
    let first = machine.save(&store, None).expect("saved");
    assert_eq!(first.new_pages, 4);
    let then = machine.clone();
    machine.run(&[5]);
    let second = machine.save(&store, Some(first.id)).expect("saved");
    assert_eq!(second.new_pages, 1);
    assert_eq!(store.own_pages(first.id).expect("whole"), 4);
    assert_eq!(store.own_pages(second.id).expect("whole"), 1);
    loads_as(&store, first.id, &then);
    loads_as(&store, second.id, &machine);
    assert_eq!(store.manifest(second.id).expect("there").parent, Some(first.id));
    // The same state of the same parent is the same snapshot.
    assert_eq!(machine.save(&store, Some(first.id)).expect("saved").id, second.id);
}

#[test]
fn a_collection_frees_what_nothing_needs_and_leaves_the_rest() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let mut machine = Machine::new(600);
    machine.run(&(0..100).collect::<Vec<_>>());
    let first = machine.save(&store, None).expect("saved").id;
    machine.run(&(0..50).collect::<Vec<_>>());
    let second = machine.save(&store, Some(first)).expect("saved").id;
    let nothing = store.collect(&mut |_, _| {}).expect("collected");
    assert_eq!(nothing.objects, 0);
    assert_eq!(store.own_pages(second).expect("whole"), 50);
    store.remove(first).expect("there");
    assert_eq!(store.own_pages(second).expect("whole"), 100);
    // 50 pages and their list.
    assert_eq!(store.collect(&mut |_, _| {}).expect("collected").objects, 51);
    loads_as(&store, second, &machine);
    store.verify(second, &mut |_, _| {}).expect("whole");
}

#[test]
fn names_lead_to_snapshots_and_are_not_given_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let mut machine = Machine::new(3);
    let id = machine.save(&store, None).expect("saved").id;
    store.name("booted", id, 7, false).expect("free");
    assert_eq!(store.resolve("booted").expect("named"), id);
    assert_eq!(store.resolve(&id.to_string()[..9]).expect("a prefix"), id);
    assert!(matches!(store.name("booted", id, 8, false), Err(StoreError::Taken(_))));
    for bad in ["", "../x", ".hidden", "a b", "-o"] {
        assert!(matches!(store.name(bad, id, 8, false), Err(StoreError::Name(_))), "{bad}");
    }
    assert!(matches!(store.resolve("nothing"), Err(StoreError::Unknown(_))));
    store.remove(id).expect("there");
    assert!(store.labels().expect("readable").is_empty());
}

#[test]
fn an_archive_carries_a_snapshot_to_another_store_and_back_unchanged() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let store = store(here.path());
    let mut machine = Machine::new(1030);
    machine.run(&(0..700).collect::<Vec<_>>());
    let id = machine.save(&store, None).expect("saved").id;
    let file = here.path().join("machine.amber");
    let Snapshot { manifest, objects } = store.load(id).expect("saved");
    export(&manifest, &objects, Some(("start".into(), 5)), &file, &mut |_, _| {}).expect("written");

    let archive = Archive::open(&file).expect("just written");
    assert_eq!(archive.label, Some(("start".into(), 5)));
    assert!(ram(&archive.snapshot.manifest, &archive.snapshot.objects).expect("all there") == machine.ram);
    let other = self::store(there.path());
    assert_eq!(archive.import(&other, &mut |_, _| {}).expect("imported"), id);
    loads_as(&other, id, &machine);
    let Snapshot { manifest, objects } = other.load(id).expect("imported");
    let again = there.path().join("again.amber");
    export(&manifest, &objects, archive.label, &again, &mut |_, _| {}).expect("written");
    assert!(std::fs::read(&file).expect("there") == std::fs::read(&again).expect("there"));
}

/// A few of the mutations that the fuzz target makes many of.
#[test]
fn a_damaged_file_is_refused_or_loads_as_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let mut machine = Machine::new(520);
    machine.run(&(0..40).collect::<Vec<_>>());
    let id = machine.save(&store, None).expect("saved").id;
    let file = dir.path().join("machine.amber");
    let Snapshot { manifest, objects } = store.load(id).expect("saved");
    export(&manifest, &objects, None, &file, &mut |_, _| {}).expect("written");
    let whole = std::fs::read(&file).expect("there");
    let damaged = dir.path().join("damaged.amber");
    let mut random = 1u64;
    for round in 0..1000 {
        let mut bytes = whole.clone();
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        let at = (random >> 20) as usize % bytes.len();
        match round % 3 {
            0 => bytes[at] ^= 1 << (random >> 10 & 7),
            1 => bytes.truncate(at),
            _ => bytes[at] = (random >> 5) as u8,
        }
        std::fs::write(&damaged, &bytes).expect("written");
        let Ok(archive) = Archive::open(&damaged) else { continue };
        if let Ok(pages) = ram(&archive.snapshot.manifest, &archive.snapshot.objects) {
            assert!(pages == machine.ram, "round {round} at {at}");
        }
    }
}

#[test]
fn a_manifest_of_a_newer_format_is_refused_by_its_version() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = store(dir.path());
    let id = Machine::new(3).save(&store, None).expect("saved").id;
    let file = dir.path().join("manifests").join(format!("{id}.manifest"));
    let mut bytes = std::fs::read(&file).expect("there");
    bytes[8] = 9;
    std::fs::write(&file, bytes).expect("written");
    let Err(error) = store.load(id) else { panic!("loaded") };
    assert!(error.to_string().contains("format version 9"), "{error}");
}
