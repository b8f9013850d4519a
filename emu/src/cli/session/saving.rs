//! Snapshots of a session: what it saves, and goes on from.

use super::Session;
use crate::checkpoints::Shelf;
use crate::cli::host::SessionHost;
use crate::cli::saving::{Saver, now};
use crate::cli::stores;
use crate::control::{Call, Method};
use crate::machine::request::{Asking, Refusal};
use crate::machine::{Frozen, Machine};
use amber_snapshot::{Saved, SnapshotId, StoreError};
use anyhow::{Result, bail};
use serde_json::json;
use std::path::Path;

/// The store, as the guest's requests reach it.
struct StoreShelf<'a> {
    folder: Option<&'a Path>,
    parent: Option<SnapshotId>,
}

impl Shelf for StoreShelf<'_> {
    fn save(&mut self, mut state: Frozen, name: &str) -> Result<(), Refusal> {
        let store = stores::open(self.folder).map_err(|_| Refusal::Store)?;
        store.check_name(name).map_err(|_| Refusal::Name)?;
        let saved = state.save(&store, self.parent).map_err(|_| Refusal::Store)?;
        store.name(name, saved.id, now(), false).map_err(|_| Refusal::Store)
    }

    fn load(&mut self, name: &str) -> Result<Machine, Refusal> {
        let found = stores::find(self.folder, name).map_err(|_| Refusal::Unknown)?;
        Machine::load(found.snapshot).map_err(|_| Refusal::Unknown)
    }
}

impl Session<'_> {
    pub(super) fn check_names(&mut self) -> Result<()> {
        let config = self.config;
        let names: Vec<_> =
            config.save_at.iter().map(|point| &point.name).chain(&config.save_on_exit).collect();
        for (n, name) in names.iter().enumerate() {
            self.saver()?.store().check_name(name)?;
            if names[..n].contains(name) {
                bail!("two snapshots of this run are to be named {name}; give each a name of its own");
            }
        }
        Ok(())
    }

    pub(super) fn saver(&mut self) -> Result<&mut Saver> {
        match &mut self.saver {
            Some(saver) => Ok(saver),
            none => {
                let store = stores::open(self.config.store.as_deref())?;
                Ok(none.insert(Saver::new(store, self.parent)))
            }
        }
    }

    /// The last snapshot that was saved of this run, or that it went on from.
    pub(super) fn parent(&self) -> Option<SnapshotId> {
        self.saver.as_ref().map_or(self.parent, |saver| saver.parent_at(self.machine.step()))
    }

    /// Learns what became of a save that has ended meanwhile.
    pub(super) fn look_at_save(&mut self) {
        if let Some(Err(error)) = self.saver.as_mut().map(|saver| saver.look(self.machine)) {
            eprintln!("amber: {error}; the machine runs on");
        }
    }

    /// Saves the machine as it is now, beside its run.
    fn save(&mut self, name: &str) -> Result<()> {
        self.saver()?;
        let Some(saver) = &mut self.saver else { bail!("there is no store") };
        saver.save(self.machine, name)
    }

    /// A failed save is told, and the machine runs on.
    pub(super) fn save_or_say(&mut self, name: &str) {
        if let Err(error) = self.save(name) {
            eprintln!("amber: {error:#}; the machine runs on");
        }
    }

    /// Saves, if that is asked for, while the machine goes on: that is answered when all is on the disk. Other calls come
    /// back.
    pub(super) fn save_beside(&mut self, call: Call) -> Option<Call> {
        let Method::Save { name } = &call.method else { return Some(call) };
        let name = name.clone();
        // A machine that is paused asks for nothing by itself.
        self.look_at_save();
        if let Err(error) = self.saver().and_then(|saver| saver.check(&name)) {
            call.answer(Err(format!("{error:#}")));
            return None;
        }
        let step = self.machine.step();
        let told = move |saved: Result<Saved, StoreError>| {
            let answer =
                |saved: Saved| json!({ "id": saved.id.to_string(), "step": step, "bytes": saved.written });
            call.answer(saved.map(answer).map_err(|error| error.to_string()));
        };
        if let Some(saver) = &mut self.saver {
            saver.start(self.machine, &name, Some(Box::new(told)));
        }
        None
    }

    pub(super) fn load(&mut self, text: &str, host: &mut SessionHost) -> Result<()> {
        if host.records() {
            bail!("load: this run is recorded, and a log has one history; load in another run");
        }
        let found = stores::find(self.config.store.as_deref(), text)?;
        // The machine that runs is given up only for one that is whole.
        let machine = Machine::load(found.snapshot)?;
        if let Some(saver) = &mut self.saver {
            saver.finish(self.machine)?;
            saver.go_on_from(found.id);
        }
        machine.fetch_ahead();
        *self.machine = machine;
        host.jump(self.machine.now());
        self.lay_cable_again(host);
        self.leaving.forget("another machine was loaded");
        self.changing.forget("another machine was loaded");
        self.debugger.arrive();
        self.parent = Some(found.id);
        self.ended = None;
        self.begin_history(host);
        Ok(())
    }

    /// Does what software in the guest asks for.
    pub(super) fn serve(&mut self, asking: Asking, host: &mut SessionHost) {
        let mut shelf = StoreShelf { folder: self.config.store.as_deref(), parent: self.parent() };
        self.checkpoints.serve(self.machine, asking, host, &mut shelf);
    }

    /// Saves what is to be saved at the end, and waits until all is on the disk.
    ///
    /// # Errors
    /// When a save failed.
    pub fn finish(&mut self) -> Result<()> {
        let last = match &self.config.save_on_exit {
            Some(name) => self.save(name),
            None => Ok(()),
        };
        if let Some(saver) = &mut self.saver {
            saver.finish_visibly(self.machine)?;
        }
        last
    }
}
