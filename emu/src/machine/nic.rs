//! The network adapter of a machine. Frames leave at once; they come in at the same looks at the host as other input, and
//! are logged.

use super::{HostIo, Machine};
use crate::input::Input;
use amber_devices::NicConfig;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Most frames at one look: as many as the adapter's queue is long.
const AT_ONCE: usize = 256;

/// What the adapter is. A section of its own, which a machine without an adapter does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct NicSpec {
    /// `virtio`.
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
    const VIRTIO: &'static str = "virtio";

    /// A virtio-net adapter.
    pub fn virtio(mac: [u8; 6]) -> Self {
        Self { model: Self::VIRTIO.to_owned(), mac }
    }

    /// Whether this build has such an adapter.
    pub(super) fn is_known(&self) -> bool {
        self.model == Self::VIRTIO
    }

    /// What the device is built from.
    pub(super) fn device(&self) -> NicConfig {
        NicConfig { mac: self.mac }
    }
}

impl Machine {
    /// Asks the host for frames while the adapter takes them; whether there were any.
    pub(super) fn take_frames(&mut self, host: &mut dyn HostIo) -> bool {
        for n in 0..AT_ONCE {
            if !self.with_dma(|platform, dma| platform.takes_frames(dma)) {
                return n != 0;
            }
            let Some(frame) = host.frame_input(self.position.step, self.now()) else { return n != 0 };
            self.with_dma(|platform, dma| platform.receive(dma, &frame));
            self.note(host, Input::Frame(frame));
        }
        true
    }
}
