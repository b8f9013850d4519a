//! A store under a program that is killed while it saves, and on a disk that is full.

use amber_emu::machine::Machine;
use amber_snapshot::{SnapshotId, Store};
use amber_tests::Random;
use amber_tests::program::{self, SCRIBBLER};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Times a saving program is killed; 1,000 with `AMBER_KILLS=1000`.
fn kills() -> u64 {
    std::env::var("AMBER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(25)
}

/// Kills that share a store.
const KILLS_PER_STORE: u64 = 50;
/// Snapshots a program saves before it ends by itself.
const SAVES: u64 = 6;
/// Steps in which the guest writes each page of its 2 MiB again.
const ROUND: u64 = 6 * (2 << 20) / 8;

/// A program that saves snapshot after snapshot, named after `round`, of a guest that fills 2 MiB with numbers again and
/// again: a save writes all of them.
fn saving(folder: &Path, round: u64) -> Command {
    let flat = folder.join("scribbler.bin");
    std::fs::write(&flat, SCRIBBLER).expect("the folder is writable");
    let mut command = Command::new(program::amber());
    command.args(["run", "--headless", "--memory", "8M", "--flat"]);
    command.arg(format!("{}@0x100000", flat.display())).arg("--store").arg(folder.join("store"));
    command.arg(format!("--stop-at={}", (SAVES + 1) * ROUND));
    for save in 1..=SAVES {
        command.arg(format!("--save-at={}=kill{round}-{save}", save * ROUND + round));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// What of a save had been done when the program was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// No save was under way.
    Between,
    /// The pack has not all of its bytes.
    Pack,
    /// The pack has its bytes, and goes to the disk and to its place.
    WholePack,
    /// The pack is in its place, the manifest is not.
    Manifest,
    /// The manifest is in its place, the name is not.
    Name,
}

const MOMENTS: [Moment; 5] =
    [Moment::Between, Moment::Pack, Moment::WholePack, Moment::Manifest, Moment::Name];

/// A store, and what was in it after the last kill.
struct Killed {
    folder: TempDir,
    seen: BTreeSet<SnapshotId>,
    packs: usize,
}

impl Killed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let killed = Self { folder, seen: BTreeSet::new(), packs: 0 };
        killed.store();
        killed
    }

    fn store(&self) -> Arc<Store> {
        Arc::new(Store::open(&self.folder.path().join("store")).expect("a store"))
    }

    /// Every snapshot is whole and is a machine, and every name is one of a snapshot. When the last kill came.
    fn check(&mut self) -> Moment {
        let store = self.store();
        let snapshots = store.list().expect("readable");
        let new: Vec<_> = snapshots.into_iter().filter(|id| self.seen.insert(*id)).collect();
        for id in &new {
            store.verify(*id, &mut |_, _| {}).expect("whole");
            Machine::load(store.load(*id).expect("there")).expect("a machine");
        }
        let labels = store.labels().expect("readable");
        let named: BTreeSet<_> =
            labels.iter().map(|label| store.resolve(&label.name).expect("its snapshot is there")).collect();
        assert!(named.is_subset(&self.seen), "a name of nothing");
        let packs = self.files("packs").len();
        let new_packs = packs - std::mem::replace(&mut self.packs, packs);
        let left = self.files("tmp");
        left.iter().for_each(|file| std::fs::remove_file(file.0.clone()).expect("it is nobody's"));
        match left.iter().find(|(path, _)| path.to_string_lossy().contains("/pack")) {
            _ if new_packs > new.len() => Moment::Manifest,
            _ if new.iter().any(|id| !named.contains(id)) => Moment::Name,
            Some((_, len)) if *len < 2 << 20 => Moment::Pack,
            Some(_) => Moment::WholePack,
            None => Moment::Between,
        }
    }

    /// Waits until a program writes the pack of its `n`th save; false if it ends before.
    fn await_save(&self, child: &mut Child, round: u64, n: u64) -> bool {
        let is_pack = |(path, _): &(PathBuf, u64)| path.to_string_lossy().contains("/pack");
        let before = |n| n == 0 || self.is_named(round, n);
        self.await_that(child, || before(n - 1) && self.files("tmp").iter().any(is_pack))
    }

    /// Waits until its `n`th save is done, too.
    fn await_name(&self, child: &mut Child, round: u64, n: u64) -> bool {
        self.await_that(child, || self.is_named(round, n))
    }

    fn is_named(&self, round: u64, n: u64) -> bool {
        self.folder.path().join(format!("store/names/kill{round}-{n}.json")).exists()
    }

    fn await_that(&self, child: &mut Child, that: impl Fn() -> bool) -> bool {
        while !that() {
            if child.try_wait().expect("it was started").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        true
    }

    /// How long a save takes, of those of a program that nobody kills.
    fn save_time(&self) -> Duration {
        let mut child = saving(self.folder.path(), 0).spawn().expect("amber starts");
        let mut times: Vec<_> = (1..=SAVES)
            .filter_map(|n| {
                let begun = self.await_save(&mut child, 0, n).then(Instant::now)?;
                self.await_name(&mut child, 0, n).then(|| begun.elapsed())
            })
            .collect();
        assert!(child.wait().expect("it was started").success());
        times.sort();
        times[times.len() / 2]
    }

    /// Files of one of the store's folders, with their lengths.
    fn files(&self, folder: &str) -> Vec<(PathBuf, u64)> {
        let entries = std::fs::read_dir(self.folder.path().join("store").join(folder)).expect("a folder");
        let file = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.expect("readable");
            // One that was moved to its place meanwhile is no file of this folder.
            Some((entry.path(), entry.metadata().ok()?.len()))
        };
        entries.filter_map(file).collect()
    }

    /// All that was ever whole still is, also after a collection.
    fn end(self) {
        let store = self.store();
        store.collect(&mut |_, _| {}).expect("collected");
        assert_eq!(store.list().expect("readable").len(), self.seen.len());
        for id in self.seen {
            store.verify(id, &mut |_, _| {}).expect("whole");
        }
    }
}

#[test]
fn a_killed_save_leaves_every_earlier_snapshot_whole_and_no_half_of_a_new_one() {
    let mut random = Random(7);
    let mut killed = Killed::new();
    let save_time = killed.save_time();
    assert_eq!(killed.check(), Moment::Between);
    assert_eq!(killed.seen.len() as u64, SAVES);
    let mut moments = BTreeMap::new();
    for round in 1..=kills() {
        let mut child = saving(killed.folder.path(), round).spawn().expect("amber starts");
        // Some kills come after the end of the save.
        let after = Duration::from_micros(random.below(save_time.as_micros() as u64 * 9 / 8));
        if killed.await_save(&mut child, round, 1 + random.below(SAVES)) {
            std::thread::sleep(after);
        }
        child.kill().expect("it was started");
        child.wait().expect("it was started");
        *moments.entry(killed.check()).or_insert(0) += 1;
        if round % KILLS_PER_STORE == 0 {
            std::mem::replace(&mut killed, Killed::new()).end();
        }
    }
    killed.end();
    println!("{} kills, a save takes {save_time:?}: {moments:?}", kills());
    if kills() >= 500 {
        assert!(MOMENTS.iter().all(|moment| moments.contains_key(moment)), "never killed at some of them");
    }
}

#[test]
fn a_full_disk_is_one_sentence_and_the_machine_runs_on() {
    let dir = tempfile::tempdir().expect("a folder");
    // A limit on the size of files fails a write as a full disk does, and needs no rights.
    let amber = program::amber();
    let script = format!(
        "ulimit -f 8; trap '' XFSZ; exec {} run --firmware selftest --headless --hash --store {} --save-at 100000=never",
        amber.display(),
        dir.path().display()
    );
    let output = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().expect("sh runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot be written"), "{said}");
    assert_eq!(said.matches("os error").count(), 1, "the reason is said once: {said}");
    assert!(said.contains("state-hash"), "the machine did not run to its end: {said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
    let store = Store::open(dir.path()).expect("a store");
    assert!(store.list().expect("readable").is_empty());
    assert!(store.labels().expect("readable").is_empty());
}
