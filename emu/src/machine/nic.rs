//! The network adapter of a machine. Frames leave at once; they come in at the same looks at the host as other input, and
//! are logged.

use super::hotplug::FunctionParts;
use super::{HostIo, Machine, PlugError};
use crate::input::Input;
use amber_devices::{ADAPTER_SLOT, NicConfig, NicModel, Part};
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use serde::{Deserialize, Serialize};

/// Most frames at one look: as many as the adapter's queue is long.
const AT_ONCE: usize = 256;

/// What the adapter is. A section of its own, which a machine without an adapter does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct NicSpec {
    /// Name of the model, as `virtio`.
    pub model: String,
    /// Its Ethernet address.
    pub mac: [u8; 6],
}

impl Section for NicSpec {
    const KIND: &'static str = "nic";
    const VERSION: u32 = 1;
}

impl NicSpec {
    /// Path of the section.
    pub(super) const PATH: &'static str = "nic0";

    /// An adapter.
    pub fn new(model: NicModel, mac: [u8; 6]) -> Self {
        Self { model: model.name().to_owned(), mac }
    }

    /// The adapter in a machine's sections.
    ///
    /// # Errors
    /// When the section is not one this build reads, or the adapter none it has.
    pub(super) fn of(sections: &[OwnedSection]) -> Result<Option<Self>, SectionError> {
        let Some(section) = sections.iter().find(|section| section.path == Self::PATH) else {
            return Ok(None);
        };
        let nic = Self::from_section(section)?;
        if nic.device().is_none() {
            let path = section.path.clone();
            return Err(SectionError::Value { path, field: "model", value: nic.model });
        }
        Ok(Some(nic))
    }

    /// What the device is built from, if this build has such a one.
    pub(super) fn device(&self) -> Option<NicConfig> {
        Some(NicConfig { model: NicModel::named(&self.model)?, mac: self.mac })
    }
}

impl Machine {
    /// Plugs the network adapter's cable in, or pulls it out. Whether there is an adapter.
    pub fn set_link(&mut self, host: &mut dyn HostIo, up: bool) -> bool {
        let has_nic = self.equipment.nic.is_some();
        if has_nic {
            self.note(host, Input::Link(up));
            self.with_dma(|platform, dma| platform.set_link(dma, up));
            // Nothing waits outside the sections: the machine may be saved now.
            self.settle(host, true);
        }
        has_nic
    }

    /// Whether the network adapter may come and go.
    pub fn has_adapter_slot(&self) -> bool {
        self.equipment.hotplug.functions.as_ref().is_some_and(FunctionParts::has_adapter_slot)
    }

    /// What an adapter that comes is built from, if it may.
    pub(super) fn place_for_nic(&self, nic: &NicSpec) -> Result<NicConfig, PlugError> {
        if self.equipment.hotplug.functions.is_none() {
            return Err(PlugError::NoFunctions);
        }
        if !self.has_adapter_slot() {
            return Err(PlugError::NoAdapters);
        }
        if self.equipment.nic.is_some() {
            return Err(PlugError::AdapterThere);
        }
        let config = nic.device().ok_or_else(|| PlugError::NoAdapter(nic.model.clone()))?;
        if config.is_unicast() { Ok(config) } else { Err(PlugError::Mac(config)) }
    }

    /// Whether this adapter may come now.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_plug_nic(&self, nic: &NicSpec) -> Result<(), PlugError> {
        self.place_for_nic(nic).map(drop)
    }

    pub(super) fn plug_nic(&mut self, nic: NicSpec, config: &NicConfig) -> Part {
        self.equipment.nic = Some(nic);
        self.with_dma(|platform, dma| platform.plug_nic(dma, config));
        Part::Function(ADAPTER_SLOT)
    }

    /// Asks the host for frames while the adapter takes them; whether there were any.
    pub(super) fn take_frames(&mut self, host: &mut dyn HostIo) -> bool {
        for n in 0..AT_ONCE {
            if !self.with_dma(|platform, dma| platform.takes_frames(dma)) {
                return n != 0;
            }
            let Some(frame) = host.frame_input(self.position.step, self.now()) else { return n != 0 };
            self.traffic.frames_received.add(frame.len());
            self.with_dma(|platform, dma| platform.receive(dma, &frame));
            self.note(host, Input::Frame(frame));
        }
        true
    }
}
