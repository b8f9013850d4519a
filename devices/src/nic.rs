//! What a network adapter is built from, whatever its kind.

use crate::device::{DeviceCtx, Dma};
use std::fmt::{Display, Formatter};

/// Shortest frame: addresses and type. Nobody pads frames to the 60 bytes of a cable here.
pub const FRAME_MIN: usize = 14;
/// Longest frame: 1500 bytes behind addresses, a VLAN tag and type.
pub const FRAME_MAX: usize = 1518;

/// What a frame takes on the wire, in ns of virtual time: this, and a ns for each byte (8 Gbit/s).
pub(crate) const FRAME_NS: u64 = 1_000;

/// A kind of adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NicModel {
    /// virtio-net.
    #[default]
    Virtio,
    /// Intel 82540EM.
    E1000,
}

impl NicModel {
    pub const ALL: [Self; 2] = [Self::Virtio, Self::E1000];

    /// Its name in configurations and states.
    pub fn name(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::E1000 => "e1000",
        }
    }

    /// The model of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }
}

/// What a network adapter is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicConfig {
    pub model: NicModel,
    /// Its Ethernet address, of one station.
    pub mac: [u8; 6],
}

impl NicConfig {
    /// Whether the address is one of one station.
    pub fn is_unicast(&self) -> bool {
        self.mac[0] & 1 == 0 && self.mac != [0; 6]
    }
}

impl Display for NicConfig {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.mac;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An adapter, as the network reaches it.
pub(crate) trait Nic {
    /// Whether there is a buffer for a frame from outside.
    fn takes_frames(&mut self, dma: &mut dyn Dma) -> bool;
    /// A frame comes in; whether it reached the guest's memory. One that does not fit is lost.
    fn receive(&mut self, cx: &mut DeviceCtx, frame: &[u8]) -> bool;
    /// The cable is plugged in, or pulled out.
    fn set_link(&mut self, cx: &mut DeviceCtx, up: bool);
}
