//! Parts that other programs have come and go.

use super::cable;
use super::host::SessionHost;
use super::session::Session;
use crate::config::{DiskChoice, Mac, MemorySize, NetChoice};
use crate::control::{Call, Method};
use crate::disk::{Access, Base, Purpose};
use crate::machine::{DiskImage, Machine, NicSpec, PlacedDisk, Plug, PlugError};
use amber_devices::{ADAPTER_SLOT, DISKS_MAX, Part, PartState, disk_slot};
use anyhow::{Result, bail};
use serde_json::{Value, json};

/// Name of the network adapter.
const NIC: &str = "nic0";

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
                None if is_forgotten(part, state) => {
                    let why = format!("the guest was reset before it let go of {}; ask again", name(part));
                    call.answer(Err(why));
                }
                None if state.present => self.waiting.push((part, call)),
                None => call.answer(Ok(json!({ "ejected": name(part), "step": machine.step() }))),
            }
        }
    }

    /// Another machine is there, or the same at another time; `why` says which.
    pub fn forget(&mut self, why: &str) {
        for (part, call) in self.waiting.drain(..) {
            call.answer(Err(format!("{why} before the guest let go of {}", name(part))));
        }
    }
}

/// Whether a part is there and nobody asks for it any more. Of others than functions that is as when the guest has heard.
fn is_forgotten(part: Part, state: PartState) -> bool {
    matches!(part, Part::Function(_)) && state.present && !state.removing
}

/// A part as people call it.
fn name(part: Part) -> String {
    match part {
        Part::Cpu(id) => format!("cpu {id}"),
        Part::Dimm(slot) => format!("memory module {slot}"),
        Part::Function(slot) => format!("the device in slot {slot}"),
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
        let part = match &call.method {
            Method::CpuRemove { id } => Part::Cpu(*id),
            Method::MemoryRemove { slot } => Part::Dimm(*slot),
            Method::DeviceRemove { id } => match self.device(id) {
                Ok(part) => part,
                Err(error) => {
                    call.answer(Err(error.to_string()));
                    return None;
                }
            },
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

    pub(super) fn add_disk(&mut self, device: &str, host: &mut SessionHost) -> Result<Value> {
        let disk: DiskChoice = device.parse()?;
        if disk.write_through {
            bail!(PlugError::WrittenThrough);
        }
        let base = Base::open_as(&disk.file, Access { format: disk.format, purpose: Purpose::Read })?;
        let image = DiskImage { base, interface: disk.interface, read_only: disk.read_only };
        let part = self.machine.plug_disk(host, &image)?;
        let placed = self.machine.placed_disks();
        let n = placed.iter().map(|disk| disk.n).find(|n| Part::Function(disk_slot(*n)) == part);
        let (id, slot) = (n.map(|n| format!("disk{n}")), n.map(disk_slot));
        Ok(json!({ "id": id, "slot": slot, "step": self.machine.step() }))
    }

    pub(super) fn add_nic(&mut self, device: &str, host: &mut SessionHost) -> Result<Value> {
        let net: NetChoice = device.parse()?;
        let Some(asked) = net.nic() else {
            bail!("net none is no adapter; `nowhere` is one without a network")
        };
        let nic = NicSpec::new(asked.model(), asked.mac().0);
        self.machine.check_plug_nic(&nic)?;
        let link = cable::lay(&net, Some(&nic))?;
        self.machine.plug(host, Plug::Nic(nic))?;
        host.link = link;
        self.net = net;
        Ok(json!({ "id": NIC, "slot": ADAPTER_SLOT, "step": self.machine.step() }))
    }

    /// What the cable led to is closed when the adapter has gone.
    pub(super) fn let_go_of_cable(&self, host: &mut SessionHost) {
        let gone = self.machine.has_adapter_slot() && self.machine.equipment().nic.is_none();
        // One that comes again on the way ahead finds it where it was.
        if gone && !self.is_behind() {
            host.link = None;
        }
    }

    /// The device of that name, if it can go.
    fn device(&self, id: &str) -> Result<Part> {
        let Some(functions) = &self.machine.hotplug().functions else { bail!(PlugError::NoFunctions) };
        if id == NIC && self.pluggable_nic().is_some() {
            return Ok(Part::Function(ADAPTER_SLOT));
        }
        let disk = functions.disks().iter().find(|disk| format!("disk{}", disk.n) == id);
        match disk {
            Some(disk) => Ok(Part::Function(disk_slot(disk.n))),
            None => bail!("there is no device {id} that could go; `device list` names those there are"),
        }
    }

    pub(super) fn devices(&self) -> Value {
        let Some(functions) = &self.machine.hotplug().functions else {
            return json!({ "devices": [], "takes-no-disk": PlugError::NoFunctions.to_string() });
        };
        let nic = self.pluggable_nic().map(|NicSpec { model, mac }| {
            (ADAPTER_SLOT, json!({ "id": NIC, "model": model, "mac": Mac(*mac).to_string() }))
        });
        let disks = functions.disks().iter().map(|PlacedDisk { n, spec }| {
            let what = json!({ "id": format!("disk{n}"), "interface": spec.interface, "bytes": spec.len });
            (disk_slot(*n), what)
        });
        let list = nic.into_iter().chain(disks).map(|(slot, mut what)| {
            let state = self.machine.part_state(Part::Function(slot));
            what["slot"] = json!(slot);
            what["present"] = json!(state.present);
            what["insert-pending"] = json!(state.inserting);
            // A guest says nowhere whether it has heard of that.
            what["removal-asked"] = json!(state.removing);
            what
        });
        let mut answer = json!({ "devices": list.collect::<Vec<_>>() });
        if self.machine.placed_disks().len() >= DISKS_MAX {
            answer["takes-no-disk"] = json!(PlugError::SlotsTaken.to_string());
        }
        answer
    }

    /// The network adapter, if it can go.
    fn pluggable_nic(&self) -> Option<&NicSpec> {
        self.machine.equipment().nic.as_ref().filter(|_| self.machine.has_adapter_slot())
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
