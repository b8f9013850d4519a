//! Parts that come and go while the machine runs. What may come, and what is there, is in sections of their own, which only
//! machines that ask for it have.

mod cpus;
mod memory;

use super::{HostIo, Machine, MachineSpec};
use crate::input::Input;
use amber_devices::{Dimm, HotplugConfig, Part, PartState};
use amber_snapshot::{OwnedSection, Section, SectionError};
pub use cpus::CpuParts;
pub(super) use memory::DIMM_NAMES;
pub use memory::MemoryParts;
use serde::{Deserialize, Serialize};

/// Path of the section of processors.
const CPUS: &str = "hotplug/cpus";
/// Path of the section of memory modules.
const MEMORY: &str = "hotplug/memory";

/// What may come and go. Nothing, unless it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hotplug {
    pub cpus: Option<CpuParts>,
    pub memory: Option<MemoryParts>,
}

/// A part that comes. What the input log has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plug {
    /// The processor with this id.
    Cpu(u32),
    /// A memory module of so many bytes, in the first free slot.
    Dimm(u64),
}

/// Why a part cannot come or be asked to go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlugError {
    #[error("this machine takes no more processors; --cpus N,max=M makes room for M")]
    NoCpus,
    #[error("there is no room for a processor {id}: this machine has places 0 to {last}")]
    NoPlace { id: u32, last: u32 },
    #[error("processor {0} is there already")]
    CpuThere(u32),
    #[error("all {0} places for processors are taken")]
    CpusFull(u32),
    #[error("there is no processor {0}")]
    NoCpu(u32),
    #[error("processor 0 starts the machine and stays")]
    BootCpu,
    #[error("this machine takes no more memory; --memory SIZE,slots=K,max=SIZE makes room for some")]
    NoMemory,
    #[error("a memory module of {0} bytes: it must be a multiple of 128M")]
    DimmLen(u64),
    #[error("all {0} slots for memory modules are taken")]
    SlotsFull(u8),
    #[error(
        "there is no room for {len} bytes more in one piece: this machine has at most {max} bytes of memory"
    )]
    MemoryFull { len: u64, max: u64 },
    #[error("the host has no memory for a module of {0} bytes")]
    HostMemory(u64),
    #[error("there is no memory module in slot {0}")]
    NoDimm(u8),
}

impl Hotplug {
    /// The chipset's part.
    pub(super) fn chipset(&self) -> HotplugConfig {
        HotplugConfig {
            cpus: self.cpus.as_ref().map(CpuParts::chipset),
            memory: self.memory.as_ref().map(MemoryParts::chipset),
        }
    }

    /// Those of a stored machine.
    ///
    /// # Errors
    /// When a section is not one this build reads.
    pub fn of(sections: &[OwnedSection]) -> Result<Self, SectionError> {
        let find = |path: &str| sections.iter().find(|section| section.path == path);
        let cpus = find(CPUS).map(CpuParts::from_section).transpose()?;
        let memory = find(MEMORY).map(MemoryParts::from_section).transpose()?;
        Ok(Self { cpus, memory })
    }

    /// Its sections.
    pub(super) fn sections(&self) -> Vec<OwnedSection> {
        let memory = self.memory.iter().map(|memory| memory.to_section(MEMORY));
        self.cpus.iter().map(|cpus| cpus.to_section(CPUS)).chain(memory).collect()
    }

    /// Whether a section of this path is one of its own.
    pub(super) fn owns(&self, path: &str) -> bool {
        path == CPUS && self.cpus.is_some() || path == MEMORY && self.memory.is_some()
    }

    /// What a stored machine cannot have.
    pub(super) fn check(&self, spec: &MachineSpec) -> Result<(), SectionError> {
        self.cpus.as_ref().map_or(Ok(()), CpuParts::check)?;
        self.memory.as_ref().map_or(Ok(()), |memory| memory.check(spec))
    }

    /// Names and pages of the regions of its parts.
    pub(super) fn regions(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.memory.iter().flat_map(MemoryParts::regions)
    }

    /// Most memory that may come, bytes.
    pub(super) fn room(&self, spec: &MachineSpec) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.max().saturating_sub(spec.memory))
    }

    /// The memory modules that are there.
    pub(super) fn dimms(&self) -> Vec<Dimm> {
        self.memory.as_ref().map_or_else(Vec::new, |memory| memory.dimms().to_vec())
    }
}

impl Machine {
    /// What may come and go, and what is there.
    pub fn hotplug(&self) -> &Hotplug {
        &self.equipment.hotplug
    }

    /// How a part stands.
    pub fn part_state(&self, part: Part) -> PartState {
        self.platform.part_state(part)
    }

    /// Plugs a part in, which the guest is told of. An input: the log has it.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn plug(&mut self, host: &mut dyn HostIo, plug: Plug) -> Result<Part, PlugError> {
        let part = match plug {
            Plug::Cpu(id) => {
                self.check_place_for_cpu(id)?;
                self.note(host, Input::Plug(plug));
                self.plug_cpu(id)
            }
            Plug::Dimm(len) => {
                let dimm = self.place_for_dimm(len)?;
                self.allocate_dimm(&dimm).ok_or(PlugError::HostMemory(len))?;
                self.note(host, Input::Plug(plug));
                self.plug_dimm(dimm)
            }
        };
        self.settle(host, true);
        Ok(part)
    }

    /// Asks the guest to let go of a part. An input: the log has it.
    ///
    /// # Errors
    /// When there is no such part, or it cannot go.
    pub fn unplug(&mut self, host: &mut dyn HostIo, part: Part) -> Result<(), PlugError> {
        match part {
            Part::Cpu(0) if self.equipment.hotplug.cpus.is_some() => return Err(PlugError::BootCpu),
            Part::Cpu(_) if self.equipment.hotplug.cpus.is_none() => return Err(PlugError::NoCpus),
            Part::Cpu(id) if !self.part_state(part).present => return Err(PlugError::NoCpu(id)),
            Part::Dimm(_) if self.equipment.hotplug.memory.is_none() => return Err(PlugError::NoMemory),
            Part::Dimm(slot) if !self.part_state(part).present => return Err(PlugError::NoDimm(slot)),
            Part::Cpu(_) | Part::Dimm(_) => {}
        }
        self.note(host, Input::Unplug(part));
        self.with_dma(|platform, dma| platform.ask_for(dma, part));
        self.settle(host, true);
        Ok(())
    }

    /// The guest let go of a part.
    pub(super) fn ejected(&mut self, part: Part) {
        tracing::info!(target: "hotplug", "{part:?} is ejected at step {}", self.position.step);
        match part {
            Part::Cpu(id) => self.remove_cpu(id),
            Part::Dimm(slot) => self.remove_dimm(slot),
        }
    }
}
