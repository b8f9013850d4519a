//! The checkpoints a guest asks for: kept in memory, shared with the running machine page by page; within what the host
//! allows.

use crate::machine::request::{Answer, Asking, Operation, Refusal, Request, VERSION};
use crate::machine::{Frozen, HostIo, Machine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What a guest may ask for: `deny`, or `N,SIZE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing.
    #[default]
    Deny,
    /// So many checkpoints at a time, and so many bytes of host memory for pages that only they hold.
    Allow { count: u32, bytes: u64 },
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("guest-checkpoints `{text}`: write deny, or N,SIZE such as 100,256M");
        if text == "deny" {
            return Ok(Self::Deny);
        }
        let (count, size) = text.split_once(',').ok_or_else(wrong)?;
        let size = size.parse::<crate::config::MemorySize>().map_err(|_| wrong())?;
        Ok(Self::Allow { count: count.parse().map_err(|_| wrong())?, bytes: size.bytes() })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deny => f.write_str("deny"),
            Self::Allow { count, bytes } => {
                write!(f, "{count},{}", crate::config::MemorySize::from_bytes(*bytes))
            }
        }
    }
}

impl Serialize for Policy {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

struct Checkpoint {
    state: Frozen,
    /// Times the guest came back to it.
    restored: i64,
}

/// What the guest keeps.
#[derive(Default)]
pub struct Checkpoints {
    policy: Policy,
    kept: BTreeMap<String, Checkpoint>,
}

/// What of a request concerns the store.
pub trait Shelf {
    /// Saves a state under a name.
    ///
    /// # Errors
    /// Why not.
    fn save(&mut self, state: Frozen, name: &str) -> Result<(), Refusal>;
    /// The machine saved under a name.
    ///
    /// # Errors
    /// Why there is none.
    fn load(&mut self, name: &str) -> Result<Machine, Refusal>;
}

impl Checkpoints {
    /// Nothing kept yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, kept: BTreeMap::new() }
    }

    /// Does what is asked for, and answers.
    pub fn serve(
        &mut self,
        machine: &mut Machine,
        asking: Asking,
        host: &mut dyn HostIo,
        shelf: &mut dyn Shelf,
    ) {
        let asked = machine.request(asking);
        let processor = asking.processor;
        let outcome = asked.and_then(|request| self.perform(machine, processor, &request, shelf));
        machine.answer(processor, host, outcome.unwrap_or_else(Answer::from));
    }

    fn perform(
        &mut self,
        machine: &mut Machine,
        processor: usize,
        request: &Request,
        shelf: &mut dyn Shelf,
    ) -> Result<Answer, Refusal> {
        let done = Answer { result: 0, argument: None };
        let Request { operation, name, argument } = request;
        if *operation == Operation::Probe {
            return Ok(Answer { result: VERSION.into(), argument: None });
        }
        let Policy::Allow { count, bytes } = self.policy else { return Err(Refusal::Denied) };
        match operation {
            Operation::Probe => {}
            Operation::Checkpoint => self.keep(machine, name, count, bytes)?,
            Operation::Export => {
                shelf.save(came_back(machine, processor)?, name)?;
                self.keep(machine, name, count, bytes)?;
            }
            Operation::Fork => shelf.save(came_back(machine, processor)?, name)?,
            Operation::Restore => return self.restore(machine, name, *argument, shelf),
            Operation::Forget => {
                self.kept.remove(name).ok_or(Refusal::Unknown)?;
            }
        }
        Ok(done)
    }

    fn keep(&mut self, machine: &mut Machine, name: &str, count: u32, bytes: u64) -> Result<(), Refusal> {
        // A name that is kept already is kept anew.
        let fresh = !self.kept.contains_key(name);
        let extra = machine.mmu().host_bytes().saturating_sub(machine.mmu().guest_bytes());
        if fresh && self.kept.len() >= count as usize || extra > bytes {
            return Err(Refusal::Limit);
        }
        let checkpoint = Checkpoint { state: machine.freeze(), restored: 0 };
        self.kept.insert(name.to_owned(), checkpoint);
        Ok(())
    }

    fn restore(
        &mut self,
        machine: &mut Machine,
        name: &str,
        argument: u64,
        shelf: &mut dyn Shelf,
    ) -> Result<Answer, Refusal> {
        let inputs = machine.inputs();
        let result = match self.kept.get_mut(name) {
            Some(checkpoint) => {
                machine.rewind(&checkpoint.state);
                checkpoint.restored += 1;
                checkpoint.restored
            }
            None => {
                *machine = shelf.load(name)?;
                1
            }
        };
        // The log goes on; only the machine went back.
        machine.set_inputs(inputs);
        Ok(Answer { result, argument: Some(argument) })
    }
}

/// The state in which another machine takes it from here: there the answer is 1.
fn came_back(machine: &mut Machine, processor: usize) -> Result<Frozen, Refusal> {
    let now = machine.freeze();
    let mut other = Machine::fork(&now).map_err(|_| Refusal::Limit)?;
    other.set_answer(processor, Answer { result: 1, argument: Some(0) });
    Ok(other.freeze())
}
