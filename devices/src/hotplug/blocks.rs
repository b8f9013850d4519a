//! The blocks a platform has, by their ports and as sections.

use super::{
    CPU_PORTS, CpuHotplug, FUNCTION_PORTS, FunctionHotplug, HotplugConfig, MEMORY_PORTS, MemoryHotplug,
    Outcome,
};
use crate::platform::PlatformConfig;
use amber_snapshot::{OwnedSection, Section, SectionError};

const CPUS: &str = "cpu-hotplug";
const MEMORY: &str = "memory-hotplug";
const FUNCTIONS: &str = "pci-hotplug";

/// The blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hotplug {
    pub cpus: Option<CpuHotplug>,
    pub memory: Option<MemoryHotplug>,
    pub functions: Option<FunctionHotplug>,
}

/// Offset of `port` in a block's ports.
fn within(port: u16, (first, count): (u16, u16)) -> Option<u16> {
    port.checked_sub(first).filter(|offset| *offset < count)
}

impl Hotplug {
    pub fn new(platform: &PlatformConfig) -> Self {
        let HotplugConfig { cpus, memory, functions } = &platform.hotplug;
        let has_adapter = platform.nic.is_some();
        Self {
            cpus: cpus.as_ref().map(CpuHotplug::new),
            memory: memory.as_ref().map(MemoryHotplug::new),
            functions: functions.as_ref().map(|slots| FunctionHotplug::new(slots, has_adapter)),
        }
    }

    /// Whether a block answers at `port`.
    pub fn claims(&self, port: u16) -> bool {
        self.cpus.is_some() && within(port, CPU_PORTS).is_some()
            || self.memory.is_some() && within(port, MEMORY_PORTS).is_some()
            || self.functions.is_some() && within(port, FUNCTION_PORTS).is_some()
    }

    /// Reads `size` bytes at `port`, if it is a block's.
    pub fn read(&mut self, port: u16, size: u8) -> Option<u32> {
        if let Some(offset) = within(port, CPU_PORTS) {
            return Some(self.cpus.as_ref()?.read(offset, size));
        }
        if let Some(offset) = within(port, MEMORY_PORTS) {
            return Some(self.memory.as_ref()?.read(offset, size));
        }
        Some(self.functions.as_mut()?.read(within(port, FUNCTION_PORTS)?, size))
    }

    /// Writes `size` bytes at `port`.
    pub fn write(&mut self, port: u16, size: u8, value: u32) -> Option<Outcome> {
        match (within(port, CPU_PORTS), within(port, MEMORY_PORTS)) {
            (Some(offset), _) => self.cpus.as_mut()?.write(offset, size, value),
            (_, Some(offset)) => self.memory.as_mut()?.write(offset, size, value),
            _ => self.functions.as_mut()?.write(within(port, FUNCTION_PORTS)?, size, value),
        }
    }

    /// PLTRST#.
    pub fn reset(&mut self) {
        self.cpus.iter_mut().for_each(CpuHotplug::reset);
        self.memory.iter_mut().for_each(MemoryHotplug::reset);
        self.functions.iter_mut().for_each(FunctionHotplug::reset);
    }

    /// Names of its sections below the platform's path.
    pub fn section_names(&self) -> impl Iterator<Item = &'static str> {
        let functions = self.functions.iter().map(|_| FUNCTIONS);
        self.cpus.iter().map(|_| CPUS).chain(self.memory.iter().map(|_| MEMORY)).chain(functions)
    }

    /// Its sections below `path`.
    pub fn sections(&self, path: &str) -> Vec<OwnedSection> {
        let at = |name: &str| format!("{path}/{name}");
        let memory = self.memory.iter().map(|memory| memory.to_section(&at(MEMORY)));
        let functions = self.functions.iter().map(|functions| functions.to_section(&at(FUNCTIONS)));
        let cpus = self.cpus.iter().map(|cpus| cpus.to_section(&at(CPUS)));
        cpus.chain(memory).chain(functions).collect()
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
        let functions = self.functions.as_ref().map(|own| {
            let functions: FunctionHotplug = take(path, sections, FUNCTIONS)?;
            if functions.is_like(own) { Ok(functions) } else { Err(refuse(path, FUNCTIONS, "present")) }
        });
        let (cpus, memory) = (cpus.transpose()?, memory.transpose()?);
        Ok(Self { cpus, memory, functions: functions.transpose()? })
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
