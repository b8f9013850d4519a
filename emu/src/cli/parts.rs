//! Parts that other programs have come and go.

use super::host::SessionHost;
use super::session::Session;
use crate::config::MemorySize;
use crate::control::{Call, Method};
use crate::machine::{Machine, Plug};
use amber_devices::{Part, PartState};
use anyhow::{Result, bail};
use serde_json::{Value, json};

/// Parts the guest was asked to let go of, each with the program that waits for it.
#[derive(Default)]
pub struct Leaving {
    waiting: Vec<(Part, Call)>,
}

impl Leaving {
    /// Answers those that wait for a part that has gone, or that the guest will not let go of.
    pub fn look(&mut self, machine: &Machine) {
        for (part, call) in std::mem::take(&mut self.waiting) {
            let state = machine.part_state(part);
            match state.report.filter(|report| state.present && report.refuses_ejection()) {
                Some(report) => {
                    let why = format!("the guest keeps {}: it says {:#x}", name(part), report.status);
                    call.answer(Err(why));
                }
                None if state.present => self.waiting.push((part, call)),
                None => call.answer(Ok(json!({ "ejected": name(part), "step": machine.step() }))),
            }
        }
    }

    /// Another machine is there.
    pub fn forget(&mut self) {
        for (part, call) in self.waiting.drain(..) {
            call.answer(Err(format!("another machine was loaded before the guest let go of {}", name(part))));
        }
    }
}

/// A part as people call it.
fn name(part: Part) -> String {
    match part {
        Part::Cpu(id) => format!("cpu {id}"),
        Part::Dimm(slot) => format!("memory module {slot}"),
    }
}

/// How a part stands, with what is known of it besides.
fn described(mut what: Value, state: PartState) -> Value {
    what["present"] = json!(state.present);
    what["insert-pending"] = json!(state.inserting);
    what["eject-pending"] = json!(state.removing);
    if let Some(report) = state.report {
        what["report"] = json!({ "event": report.event, "status": report.status });
    }
    what
}

impl Session<'_> {
    /// Asks the guest to let go of a part; the answer comes when it has. Other calls come back.
    pub(super) fn ask_to_leave(&mut self, call: Call, host: &mut SessionHost) -> Option<Call> {
        let part = match call.method {
            Method::CpuRemove { id } => Part::Cpu(id),
            Method::MemoryRemove { slot } => Part::Dimm(slot),
            _ => return Some(call),
        };
        match self.machine.unplug(host, part) {
            Ok(()) => self.leaving.waiting.push((part, call)),
            Err(error) => call.answer(Err(error.to_string())),
        }
        None
    }

    pub(super) fn add_cpu(&mut self, id: Option<u32>, host: &mut SessionHost) -> Result<Value> {
        let id = id.map_or_else(|| self.machine.free_cpu(), Ok)?;
        self.machine.plug(host, Plug::Cpu(id))?;
        Ok(json!({ "id": id, "step": self.machine.step() }))
    }

    pub(super) fn add_memory(&mut self, size: &str, host: &mut SessionHost) -> Result<Value> {
        let size: MemorySize = size.parse()?;
        let part = self.machine.plug(host, Plug::Dimm(size.bytes()))?;
        let slot = if let Part::Dimm(slot) = part { slot } else { bail!("another part came") };
        Ok(json!({ "slot": slot, "step": self.machine.step() }))
    }

    pub(super) fn memory(&self) -> Value {
        let Some(memory) = &self.machine.hotplug().memory else { return json!({ "slots": [] }) };
        let list = (0..memory.slots()).map(|slot| {
            let mut what = json!({ "slot": slot });
            if let Some(dimm) = memory.dimms().iter().find(|dimm| dimm.slot == slot) {
                what["size"] = json!(MemorySize::from_bytes(dimm.len).to_string());
                what["base"] = json!(format!("{:#x}", dimm.base));
            }
            described(what, self.machine.part_state(Part::Dimm(slot)))
        });
        json!({ "slots": list.collect::<Vec<_>>() })
    }

    pub(super) fn cpus(&self) -> Value {
        let places = self.machine.hotplug().cpus.as_ref().map(|cpus| cpus.max());
        let there = self.machine.vcpus().iter().map(|vcpu| vcpu.apic.id());
        let ids: Vec<u32> = places.map_or_else(|| there.collect(), |max| (0..max).collect());
        let list = ids.into_iter().map(|id| {
            let state = match places {
                Some(_) => self.machine.part_state(Part::Cpu(id)),
                None => PartState { present: true, ..PartState::default() },
            };
            described(json!({ "id": id }), state)
        });
        json!({ "cpus": list.collect::<Vec<_>>() })
    }
}
