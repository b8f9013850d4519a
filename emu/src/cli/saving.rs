//! Saving a machine while it runs: the guest waits only until its state is frozen, the rest goes on beside it.

use crate::history::{Lineage, Mark};
use crate::machine::{Frozen, Machine};
use crate::progress;
use amber_snapshot::{Saved, SnapshotId, Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// The state that was saved, and what became of it.
type Written = (Frozen, Result<Option<Saved>, StoreError>);

/// A save under way.
struct UnderWay {
    thread: JoinHandle<Written>,
    /// All is on the disk. Whoever was told of that finds it so: the thread ends right afterwards.
    done: Arc<AtomicBool>,
}

/// Saves the snapshots of one run, one after the other.
pub struct Saver {
    store: Arc<Store>,
    /// The snapshots on the way to where the machine stands.
    lineage: Lineage,
    under_way: Option<UnderWay>,
    name: String,
}

/// Is told what became of a save, by the thread that saves.
pub type Told = Box<dyn FnOnce(Result<Saved, StoreError>) + Send>;

impl Saver {
    /// A saver into `store`, for a run that goes on from `parent`.
    pub fn new(store: Arc<Store>, parent: Option<SnapshotId>) -> Self {
        Self { store, lineage: Lineage::new(parent), under_way: None, name: String::new() }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The snapshot that was last saved on the way to a step, or that the run went on from.
    pub fn parent_at(&self, step: u64) -> Option<SnapshotId> {
        self.lineage.parent_at(step)
    }

    /// As [`Saver::finish`], for a save that has ended; others are not waited for.
    ///
    /// # Errors
    /// When the save failed.
    pub fn look(&mut self, machine: &mut Machine) -> Result<(), StoreError> {
        match &self.under_way {
            Some(save) if save.done.load(Ordering::Acquire) || save.thread.is_finished() => {
                self.finish(machine).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// The run goes on from another snapshot.
    pub fn go_on_from(&mut self, snapshot: SnapshotId) {
        self.lineage = Lineage::new(Some(snapshot));
    }

    /// The snapshots on the way to where the machine stands, and ahead of it, as of the last look.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The machine goes on another way from where it stands. What was saved on the way it leaves; a save under way is waited
    /// for, and what became of it told.
    pub fn leave(&mut self, machine: &mut Machine) -> (Lineage, Result<(), StoreError>) {
        let finished = self.finish(machine).map(drop);
        let left = self.lineage.clone();
        self.lineage.cut(machine.step());
        (left, finished)
    }

    /// The machine goes on from the end of a way it left.
    pub fn return_to(&mut self, lineage: Lineage) {
        self.lineage = lineage;
    }

    /// Saves the machine as it is now, under `name`. Returns when the state is frozen; what became of an earlier save
    /// is known then.
    ///
    /// # Errors
    /// When the name is taken or is none, or the earlier save failed: the sentence to tell. The machine can go on.
    pub fn save(&mut self, machine: &mut Machine, name: &str) -> Result<(), StoreError> {
        let earlier = self.finish(machine);
        self.store.check_name(name)?;
        self.start(machine, name, None);
        earlier.map(|_| ())
    }

    /// Waits for the save under way, so that the next can start; what became of it is known then.
    ///
    /// # Errors
    /// When the next cannot have that name, or the earlier save failed and nobody was told.
    pub fn make_ready(&mut self, machine: &mut Machine, name: &str) -> Result<(), StoreError> {
        self.finish(machine)?;
        self.store.check_name(name)
    }

    /// Starts a save for which all is ready. Who is `told` of a failure is told alone.
    pub fn start(&mut self, machine: &mut Machine, name: &str, told: Option<Told>) {
        let mut frozen = machine.freeze();
        let parent = self.lineage.parent_at(frozen.step());
        let (store, named) = (Arc::clone(&self.store), name.to_owned());
        self.name = named.clone();
        let done = Arc::new(AtomicBool::new(false));
        let is_done = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            let saved = frozen
                .save(&store, parent)
                .and_then(|saved| store.name(&named, saved.id, now(), false).map(|()| saved));
            is_done.store(true, Ordering::Release);
            let Some(told) = told else { return (frozen, saved.map(Some)) };
            let known = saved.as_ref().ok().cloned();
            told(saved);
            (frozen, Ok(known))
        });
        self.under_way = Some(UnderWay { thread, done });
    }

    /// As [`Saver::finish`], at the end of a run: whoever sits at the terminal sees what is waited for.
    ///
    /// # Errors
    /// When the save failed.
    pub fn finish_visibly(&mut self, machine: &mut Machine) -> Result<Option<Saved>, StoreError> {
        let bar = self.under_way.as_ref().map(|_| progress::waiting(&format!("saving {}", self.name)));
        let saved = self.finish(machine);
        bar.inspect(indicatif::ProgressBar::finish_and_clear);
        saved
    }

    /// Waits for the save under way, if any.
    ///
    /// # Errors
    /// When it failed. The machine can go on.
    pub fn finish(&mut self, machine: &mut Machine) -> Result<Option<Saved>, StoreError> {
        let Some(UnderWay { thread, .. }) = self.under_way.take() else { return Ok(None) };
        let (frozen, saved) = match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let (step, now) = (frozen.step(), frozen.now());
        machine.adopt_trees(frozen);
        let Some(saved) = saved? else { return Ok(None) };
        self.lineage.add(Mark { step, now, name: self.name.clone(), id: saved.id });
        tracing::info!(target: "snapshot", "saved {} at step {step}, {} bytes", self.name, saved.written);
        Ok(Some(saved))
    }
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
