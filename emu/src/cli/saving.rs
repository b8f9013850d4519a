//! Saving a machine while it runs: the guest waits only until its state is frozen. The rest goes on beside it, one state after the
//! other.

use crate::history::{Lineage, Mark};
use crate::machine::{Frozen, Machine};
use crate::progress;
use amber_snapshot::{Saved, SnapshotId, Store, StoreError};
use anyhow::{Result, bail};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most states that are on their way to the disk: each holds memory that the guest writes meanwhile twice.
const UNDER_WAY_MAX: usize = 4;

/// Is told what became of a save, by the thread that saves.
pub type Told = Box<dyn FnOnce(Result<Saved, StoreError>) + Send>;

/// A state on its way to the disk.
struct Job {
    frozen: Frozen,
    name: String,
    /// The snapshots on the way to it. Those that were asked for before it are known when its turn comes.
    lineage: Lineage,
    id: Arc<OnceLock<SnapshotId>>,
    told: Option<Told>,
}

/// A state that was saved, and what became of it unless somebody was told.
type Written = (Frozen, String, Result<Option<Saved>, StoreError>);

impl Job {
    fn write(mut self, store: &Store) -> Written {
        let parent = self.lineage.parent_at(self.frozen.step());
        let named = |saved: Saved| store.name(&self.name, saved.id, now(), false).map(|()| saved);
        let saved = self.frozen.save(store, parent).and_then(named);
        if let Ok(saved) = &saved {
            // Whoever is told of it finds it there.
            let _ = self.id.set(saved.id);
        }
        let Some(told) = self.told else { return (self.frozen, self.name, saved.map(Some)) };
        let known = saved.as_ref().ok().cloned();
        told(saved);
        (self.frozen, self.name, Ok(known))
    }
}

/// The thread that saves.
struct Writer {
    jobs: Sender<Job>,
    written: Receiver<Written>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn new(store: Arc<Store>) -> Self {
        let (jobs, to_do) = channel::<Job>();
        let (done, written) = channel();
        let thread = std::thread::spawn(move || {
            for job in to_do {
                if done.send(job.write(&store)).is_err() {
                    return;
                }
            }
        });
        Self { jobs, written, thread }
    }
}

/// Saves the snapshots of one run, one after the other.
pub struct Saver {
    store: Arc<Store>,
    /// The snapshots on the way to where the machine stands.
    lineage: Lineage,
    /// Made when something is first saved.
    writer: Option<Writer>,
    /// Names of the saves under way.
    under_way: VecDeque<String>,
}

impl Saver {
    /// A saver into `store`, for a run that goes on from `parent`.
    pub fn new(store: Arc<Store>, parent: Option<SnapshotId>) -> Self {
        Self { store, lineage: Lineage::new(parent), writer: None, under_way: VecDeque::new() }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The snapshot that was last saved on the way to a step, or that the run went on from.
    pub fn parent_at(&self, step: u64) -> Option<SnapshotId> {
        self.lineage.parent_at(step)
    }

    /// Takes note of saves that have ended; others are not waited for.
    ///
    /// # Errors
    /// When one failed and nobody was told.
    pub fn look(&mut self, machine: &mut Machine) -> Result<(), StoreError> {
        let mut all = Ok(());
        while let Some(written) = self.writer.as_ref().and_then(|writer| writer.written.try_recv().ok()) {
            all = all.and(self.note(written, machine));
        }
        all
    }

    /// The run goes on from another snapshot.
    pub fn go_on_from(&mut self, snapshot: SnapshotId) {
        self.lineage = Lineage::new(Some(snapshot));
    }

    /// The snapshots on the way to where the machine stands, and ahead of it.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The machine goes on another way from a step. What was saved on the way it leaves.
    pub fn leave(&mut self, step: u64) -> Lineage {
        let left = self.lineage.clone();
        self.lineage.cut(step);
        left
    }

    /// The machine goes on from the end of a way it left.
    pub fn return_to(&mut self, lineage: Lineage) {
        self.lineage = lineage;
    }

    /// Saves the machine as it is now, under `name`. Returns when the state is frozen, and, where very much is on its way to the disk,
    /// when the first of that is there; what became of earlier saves is known then.
    ///
    /// # Errors
    /// When the name is taken or is none, or an earlier save failed: the sentence to tell. The machine can go on.
    pub fn save(&mut self, machine: &mut Machine, name: &str) -> Result<()> {
        let mut earlier = self.look(machine);
        while self.under_way.len() >= UNDER_WAY_MAX {
            earlier = earlier.and(self.wait(machine));
        }
        self.check_name(name)?;
        self.start(machine, name, None);
        Ok(earlier?)
    }

    /// Whether a save under that name can start.
    ///
    /// # Errors
    /// When it cannot have that name, or too much is on its way to the disk.
    pub fn check(&self, name: &str) -> Result<()> {
        self.check_name(name)?;
        if self.under_way.len() >= UNDER_WAY_MAX {
            bail!(
                "{UNDER_WAY_MAX} saves are on their way to the disk; save {name} when one of them is there"
            );
        }
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), StoreError> {
        match self.under_way.iter().any(|other| other == name) {
            true => Err(StoreError::Taken(name.to_owned())),
            false => self.store.check_name(name),
        }
    }

    /// Starts a save that can. Who is `told` of a failure is told alone.
    pub fn start(&mut self, machine: &mut Machine, name: &str, told: Option<Told>) {
        let frozen = machine.freeze();
        let id = Arc::new(OnceLock::new());
        let mut lineage = self.lineage.clone();
        lineage.cut(frozen.step());
        self.lineage.add(Mark {
            step: frozen.step(),
            now: frozen.now(),
            name: name.to_owned(),
            id: Arc::clone(&id),
        });
        self.under_way.push_back(name.to_owned());
        let writer = self.writer.get_or_insert_with(|| Writer::new(Arc::clone(&self.store)));
        // A thread that is gone is heard of when its work is waited for.
        let _ = writer.jobs.send(Job { frozen, name: name.to_owned(), lineage, id, told });
    }

    /// As [`Saver::finish`], at the end of a run: whoever sits at the terminal sees what is waited for.
    ///
    /// # Errors
    /// When a save failed.
    pub fn finish_visibly(&mut self, machine: &mut Machine) -> Result<(), StoreError> {
        let bar = self.under_way.back().map(|name| progress::waiting(&format!("saving {name}")));
        let saved = self.finish(machine);
        bar.inspect(indicatif::ProgressBar::finish_and_clear);
        saved
    }

    /// Waits for the saves under way, if any.
    ///
    /// # Errors
    /// When one failed and nobody was told. The machine can go on.
    pub fn finish(&mut self, machine: &mut Machine) -> Result<(), StoreError> {
        let mut all = Ok(());
        while !self.under_way.is_empty() {
            all = all.and(self.wait(machine));
        }
        all
    }

    /// Waits for the first of the saves under way.
    fn wait(&mut self, machine: &mut Machine) -> Result<(), StoreError> {
        match self.writer.as_ref().map(|writer| writer.written.recv()) {
            Some(Ok(written)) => self.note(written, machine),
            gone => {
                self.under_way.clear();
                let panic =
                    gone.and_then(|_| self.writer.take()).and_then(|writer| writer.thread.join().err());
                panic.map_or(Ok(()), |panic| std::panic::resume_unwind(panic))
            }
        }
    }

    fn note(&mut self, written: Written, machine: &mut Machine) -> Result<(), StoreError> {
        let (frozen, name, saved) = written;
        self.under_way.pop_front();
        let step = frozen.step();
        machine.adopt_trees(frozen);
        if let Some(saved) = saved? {
            tracing::info!(target: "snapshot", "saved {name} at step {step}, {} bytes", saved.written);
        }
        Ok(())
    }
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
