//! Ways a session leaves, and returns to.

use super::Session;
use super::past::stand;
use crate::cli::cable;
use crate::cli::host::SessionHost;
use crate::config::NetChoice;
use crate::history::{History, Lineage, Place, Point, Tape, Torn, Way};
use crate::input::{self, Input, Record};
use crate::machine::NicSpec;
use anyhow::{Result, bail};

impl Session<'_> {
    /// The machine goes on otherwise: what is ahead of it is a way it leaves.
    pub(super) fn part_ways(&mut self, host: &mut SessionHost) {
        host.part_ways();
        self.part_from_torn(host);
    }

    /// What was torn off becomes a branch.
    pub(super) fn part_from_torn(&mut self, host: &mut SessionHost) {
        let Some(Torn { inputs, records, log }) = host.tape.as_mut().and_then(Tape::take_torn) else {
            return;
        };
        let end = self.history.as_ref().and_then(History::end).cloned();
        let from = Place { inputs, ..Place::of(self.machine) };
        if let Some(end) = end {
            self.leave(from, end, Torn { inputs, records, log });
        }
        self.lay_cable_again(host);
        self.go_live(host);
    }

    fn leave(&mut self, from: Place, mut end: Point, torn: Torn) {
        let Torn { records, log, .. } = torn;
        if let Some(log) = &log {
            let stop = Record { step: end.place.step, input: Input::Stop(end.state.hash()) };
            if let Err(error) = input::append(log, &stop) {
                eprintln!("amber: {error}; the run goes on");
            }
        }
        let lineage = match &mut self.saver {
            Some(saver) => saver.leave(self.machine.step()),
            None => Lineage::new(self.parent),
        };
        if let Some(history) = &mut self.history {
            history.leave(from, end, Way { records, lineage, log });
        }
    }

    /// Has the machine stand at the end of a way it left. The present way is left then.
    pub(super) fn return_to(&mut self, id: u64, host: &mut SessionHost) -> Result<()> {
        self.past()?;
        let known = |history: &mut History| history.branches().any(|branch| branch.id == id);
        if !self.history.as_mut().is_some_and(known) {
            bail!("return {id}: there is no such branch; `history` lists those there are");
        }
        // What is ahead first, then the rest of the present way.
        self.part_ways(host);
        let Some(branch) = self.history.as_mut().and_then(|history| history.take_branch(id)) else {
            bail!("return {id}: eight other branches were left since");
        };
        self.leave_present(branch.from, host);
        self.machine.rewind(&branch.end.state);
        if let Some((recorder, log)) = host.recorder.as_mut().zip(branch.log.as_ref()) {
            recorder.return_to(log, self.machine.inputs());
        }
        if let Some(saver) = &mut self.saver {
            saver.return_to(branch.lineage);
        }
        let said = branch.end.said;
        if let Some((history, tape)) = self.history.as_mut().zip(host.tape.as_mut()) {
            if history.return_to(branch.from, branch.end) {
                tape.go_on_with(branch.records);
            } else {
                *tape = Tape::new(self.machine.inputs(), said);
            }
        }
        stand(self.machine, said, false, host);
        self.arrive(host);
        self.lay_cable_again(host);
        Ok(())
    }

    /// The machine, which stands at the end of its way, leaves it as if it had gone back to `from`.
    fn leave_present(&mut self, from: Place, host: &mut SessionHost) {
        if Place::of(self.machine) <= from {
            return;
        }
        let log = host.recorder.as_mut().and_then(|recorder| recorder.leave(from.inputs));
        let Some(tape) = host.tape.as_mut() else { return };
        let end = Point { place: Place::of(self.machine), state: self.machine.freeze(), said: tape.said };
        let torn = Torn { inputs: from.inputs, records: tape.split_off(from.inputs), log };
        self.leave(from, end, torn);
    }

    /// The machine goes on where it was not before: what was down there is let go, and the cable of an adapter that is there leads
    /// somewhere again.
    pub(super) fn go_live(&self, host: &mut SessionHost) {
        host.let_go();
        match self.machine.equipment().nic.as_ref() {
            None => host.link = None,
            Some(nic) if host.link.is_none() => self.lay_cable(nic, host),
            Some(_) => {}
        }
    }

    fn lay_cable(&self, nic: &NicSpec, host: &mut SessionHost) {
        match cable::lay(&self.net, Some(nic)) {
            Ok(link) => host.link = link,
            Err(error) => eprintln!("amber: {error:#}; the network is cut off"),
        }
    }

    /// Behind the network of the host nobody knows the guest's connections of another time: it begins anew. Another machine
    /// at the cable stays.
    pub(super) fn lay_cable_again(&self, host: &mut SessionHost) {
        let NetChoice::User { .. } = self.net else { return };
        host.link = None;
        if let Some(nic) = self.machine.equipment().nic.as_ref() {
            self.lay_cable(nic, host);
        }
    }
}
