//! Parts that come and go while the machine runs. What may come, and what is there, is in sections of their own, which only
//! machines that ask for it have.

mod cpus;
mod functions;
mod memory;

use super::{DiskImage, HostIo, Machine, MachineSpec, NicSpec};
use crate::disk::Base;
use crate::input::Input;
use amber_devices::{Dimm, DiskInterface, HotplugConfig, NicConfig, Part, PartState};
use amber_snapshot::{BaseImage, OwnedSection, Section, SectionError};
pub use cpus::CpuParts;
pub(super) use functions::FUNCTIONS_UPGRADE;
pub use functions::{FunctionParts, PlacedDisk};
pub(super) use memory::DIMM_NAMES;
pub use memory::MemoryParts;
use serde::{Deserialize, Serialize};

/// Path of the section of processors.
const CPUS: &str = "hotplug/cpus";
/// Path of the section of memory modules.
const MEMORY: &str = "hotplug/memory";
/// Path of the section of functions on PCI bus 0.
const FUNCTIONS: &str = "hotplug/functions";

/// What may come and go. Nothing, unless it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hotplug {
    pub cpus: Option<CpuParts>,
    pub memory: Option<MemoryParts>,
    pub functions: Option<FunctionParts>,
}

/// A part that comes. What the input log has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plug {
    /// The processor with this id.
    Cpu(u32),
    /// A memory module of so many bytes, in the first free slot.
    Dimm(u64),
    /// A disk over this image, in the first free place.
    Disk { image: BaseImage, interface: String, read_only: bool },
    /// The network adapter.
    Nic(NicSpec),
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
    #[error("this machine takes no more devices; --pci-hotplug lets them come and go")]
    NoFunctions,
    #[error("a disk on {0} cannot come while the machine runs; if=virtio and if=nvme can")]
    NotAFunction(&'static str),
    #[error(
        "write-through: what is written to an image cannot be taken back; leave it out for a disk that comes and goes"
    )]
    WrittenThrough,
    #[error("this machine has no slot for a network adapter that comes; it was built by an earlier version")]
    NoAdapters,
    #[error("there is a network adapter already; it must go before another comes")]
    AdapterThere,
    #[error("there is no network adapter {0:?}")]
    NoAdapter(String),
    #[error("{0} is no address of one network adapter")]
    Mac(NicConfig),
    #[error("all places for disks are taken")]
    SlotsTaken,
    #[error("there is no device in slot {0} that could go")]
    NoFunction(u8),
    #[error("{0}")]
    Image(String),
}

impl Hotplug {
    /// The chipset's part.
    pub(super) fn chipset(&self) -> HotplugConfig {
        HotplugConfig {
            cpus: self.cpus.as_ref().map(CpuParts::chipset),
            memory: self.memory.as_ref().map(MemoryParts::chipset),
            functions: self.functions.as_ref().map(FunctionParts::chipset),
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
        let functions = find(FUNCTIONS).map(FunctionParts::from_section).transpose()?;
        Ok(Self { cpus, memory, functions })
    }

    /// Its sections.
    pub(super) fn sections(&self) -> Vec<OwnedSection> {
        let memory = self.memory.iter().map(|memory| memory.to_section(MEMORY));
        let functions = self.functions.iter().map(|functions| functions.to_section(FUNCTIONS));
        self.cpus.iter().map(|cpus| cpus.to_section(CPUS)).chain(memory).chain(functions).collect()
    }

    /// Whether a section of this path is one of its own.
    pub(super) fn owns(&self, path: &str) -> bool {
        let parts = [
            (CPUS, self.cpus.is_some()),
            (MEMORY, self.memory.is_some()),
            (FUNCTIONS, self.functions.is_some()),
        ];
        parts.contains(&(path, true))
    }

    /// What a stored machine cannot have.
    pub(super) fn check(&self, spec: &MachineSpec) -> Result<(), SectionError> {
        self.cpus.as_ref().map_or(Ok(()), CpuParts::check)?;
        self.memory.as_ref().map_or(Ok(()), |memory| memory.check(spec))?;
        self.functions.as_ref().map_or(Ok(()), |functions| functions.check(spec))
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
    pub fn dimms(&self) -> Vec<Dimm> {
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
            Plug::Disk { image, interface, read_only } => {
                let base =
                    Base::of_snapshot(&image, None, "disk").map_err(|e| PlugError::Image(e.to_string()))?;
                let interface = DiskInterface::named(&interface).unwrap_or_default();
                return self.plug_disk(host, &DiskImage { base, interface, read_only });
            }
            Plug::Nic(ref nic) => {
                let (config, nic) = (self.place_for_nic(nic)?, nic.clone());
                self.note(host, Input::Plug(plug));
                self.plug_nic(nic, &config)
            }
        };
        self.settle(host, true);
        Ok(part)
    }

    /// Plugs a disk in, which the guest is told of. An input: the log has it, with the identity of its image.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn plug_disk(&mut self, host: &mut dyn HostIo, image: &DiskImage) -> Result<Part, PlugError> {
        let n = self.place_for_disk(image)?;
        let DiskImage { base, interface, read_only } = image;
        let (interface, read_only) = (interface.name().to_owned(), *read_only);
        self.note(host, Input::Plug(Plug::Disk { image: base.image(), interface, read_only }));
        let part = self.plug_disk_at(n, image);
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
            Part::Function(_) if self.equipment.hotplug.functions.is_none() => {
                return Err(PlugError::NoFunctions);
            }
            Part::Function(slot) if !self.part_state(part).present => {
                return Err(PlugError::NoFunction(slot));
            }
            Part::Cpu(_) | Part::Dimm(_) | Part::Function(_) => {}
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
            Part::Function(slot) => self.remove_function(slot),
        }
    }
}
