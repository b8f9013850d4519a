//! The blocks a platform has, by their ports and as sections.

use super::{CPU_PORTS, CpuHotplug, HotplugConfig, MEMORY_PORTS, MemoryHotplug, Outcome};
use amber_snapshot::{OwnedSection, Section, SectionError};

const CPUS: &str = "cpu-hotplug";
const MEMORY: &str = "memory-hotplug";

/// The blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hotplug {
    pub cpus: Option<CpuHotplug>,
    pub memory: Option<MemoryHotplug>,
}

/// Offset of `port` in a block's ports.
fn within(port: u16, (first, count): (u16, u16)) -> Option<u16> {
    port.checked_sub(first).filter(|offset| *offset < count)
}

impl Hotplug {
    pub fn new(config: &HotplugConfig) -> Self {
        Self {
            cpus: config.cpus.as_ref().map(CpuHotplug::new),
            memory: config.memory.as_ref().map(MemoryHotplug::new),
        }
    }

    /// Whether a block answers at `port`.
    pub fn claims(&self, port: u16) -> bool {
        self.cpus.is_some() && within(port, CPU_PORTS).is_some()
            || self.memory.is_some() && within(port, MEMORY_PORTS).is_some()
    }

    /// Reads `size` bytes at `port`, if it is a block's.
    pub fn read(&self, port: u16, size: u8) -> Option<u32> {
        let cpus = || Some(self.cpus.as_ref()?.read(within(port, CPU_PORTS)?, size));
        let memory = || Some(self.memory.as_ref()?.read(within(port, MEMORY_PORTS)?, size));
        cpus().or_else(memory)
    }

    /// Writes `size` bytes at `port`.
    pub fn write(&mut self, port: u16, size: u8, value: u32) -> Option<Outcome> {
        match (within(port, CPU_PORTS), within(port, MEMORY_PORTS)) {
            (Some(offset), _) => self.cpus.as_mut()?.write(offset, size, value),
            (_, Some(offset)) => self.memory.as_mut()?.write(offset, size, value),
            _ => None,
        }
    }

    /// PLTRST#.
    pub fn reset(&mut self) {
        self.cpus.iter_mut().for_each(CpuHotplug::reset);
        self.memory.iter_mut().for_each(MemoryHotplug::reset);
    }

    /// Names of its sections below the platform's path.
    pub fn section_names(&self) -> impl Iterator<Item = &'static str> {
        self.cpus.iter().map(|_| CPUS).chain(self.memory.iter().map(|_| MEMORY))
    }

    /// Its sections below `path`.
    pub fn sections(&self, path: &str) -> Vec<OwnedSection> {
        let at = |name: &str| format!("{path}/{name}");
        let memory = self.memory.iter().map(|memory| memory.to_section(&at(MEMORY)));
        self.cpus.iter().map(|cpus| cpus.to_section(&at(CPUS))).chain(memory).collect()
    }

    /// The same blocks in the state of the sections below `path`.
    ///
    /// # Errors
    /// When a section is missing, or of blocks that have other places or parts than these.
    pub fn restored(&self, path: &str, sections: &[OwnedSection]) -> Result<Self, SectionError> {
        let cpus = self.cpus.as_ref().map(|own| {
            let cpus: CpuHotplug = take(path, sections, CPUS)?;
            if cpus.is_like(own) { Ok(cpus) } else { Err(refuse(path, CPUS, "cpus")) }
        });
        let memory = self.memory.as_ref().map(|own| {
            let memory: MemoryHotplug = take(path, sections, MEMORY)?;
            if memory.is_like(own) { Ok(memory) } else { Err(refuse(path, MEMORY, "slots")) }
        });
        Ok(Self { cpus: cpus.transpose()?, memory: memory.transpose()? })
    }
}

fn take<T: Section>(path: &str, sections: &[OwnedSection], name: &str) -> Result<T, SectionError> {
    let path = format!("{path}/{name}");
    let found = sections.iter().find(|section| section.path == path);
    T::from_section(found.ok_or(SectionError::Missing { path })?)
}

fn refuse(path: &str, name: &str, field: &'static str) -> SectionError {
    let value = "other parts than this machine has".to_owned();
    SectionError::Value { path: format!("{path}/{name}"), field, value }
}
