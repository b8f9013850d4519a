//! Parts that come and go while the machine runs. What may come, and what is there, is in sections of their own, which only
//! machines that ask for it have.

mod cpus;

use super::{HostIo, Machine};
use crate::input::Input;
use amber_devices::{HotplugConfig, Part, PartState};
use amber_snapshot::{OwnedSection, Section, SectionError};
pub use cpus::CpuParts;
use serde::{Deserialize, Serialize};

/// Path of the section of processors.
const CPUS: &str = "hotplug/cpus";

/// What may come and go. Nothing, unless it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hotplug {
    pub cpus: Option<CpuParts>,
}

/// A part that comes. What the input log has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plug {
    /// The processor with this id.
    Cpu(u32),
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
}

impl Hotplug {
    /// The chipset's part.
    pub(super) fn chipset(&self) -> HotplugConfig {
        HotplugConfig { cpus: self.cpus.as_ref().map(CpuParts::chipset) }
    }

    /// Those of a stored machine.
    ///
    /// # Errors
    /// When a section is not one this build reads.
    pub fn of(sections: &[OwnedSection]) -> Result<Self, SectionError> {
        let find = |path: &str| sections.iter().find(|section| section.path == path);
        let cpus = find(CPUS).map(CpuParts::from_section).transpose()?;
        cpus.as_ref().map_or(Ok(()), CpuParts::check)?;
        Ok(Self { cpus })
    }

    /// Its sections.
    pub(super) fn sections(&self) -> Vec<OwnedSection> {
        self.cpus.iter().map(|cpus| cpus.to_section(CPUS)).collect()
    }

    /// Whether a section of this path is one of its own.
    pub(super) fn owns(&self, path: &str) -> bool {
        path == CPUS && self.cpus.is_some()
    }
}

impl Machine {
    /// What may come and go, and what is there.
    pub fn hotplug(&self) -> &Hotplug {
        &self.hotplug
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
            Part::Cpu(0) if self.hotplug.cpus.is_some() => return Err(PlugError::BootCpu),
            Part::Cpu(_) if self.hotplug.cpus.is_none() => return Err(PlugError::NoCpus),
            Part::Cpu(id) if !self.part_state(part).present => return Err(PlugError::NoCpu(id)),
            Part::Cpu(_) => {}
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
        }
    }
}
