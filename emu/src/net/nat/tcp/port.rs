//! How the TCP stack towards the guest sees its network: packets that have come, and room for others.

use crate::net::nat::wire::{MTU, Wire};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::VecDeque;

/// Packets that have come, and the cable others go to.
pub struct Port<'a> {
    pub coming: &'a mut VecDeque<Vec<u8>>,
    pub wire: &'a mut Wire,
}

pub struct Coming(Vec<u8>);
pub struct Going<'a>(&'a mut Wire);

impl RxToken for Coming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Going<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.0.send_packet(len, write)
    }
}

impl Device for Port<'_> {
    type RxToken<'b>
        = Coming
    where
        Self: 'b;
    type TxToken<'b>
        = Going<'b>
    where
        Self: 'b;

    /// A packet that resets what is unknown may go beyond the room there is: the cable loses it then.
    fn receive(&mut self, _now: Instant) -> Option<(Coming, Going<'_>)> {
        Some((Coming(self.coming.pop_front()?), Going(self.wire)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Going<'_>> {
        self.wire.has_room().then_some(Going(self.wire))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}
