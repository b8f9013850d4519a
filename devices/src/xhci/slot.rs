//! Device slots and their endpoints, and the contexts in memory that describe them (xHCI 1.2, 4.5, 4.8 and 6.2).

use super::ring::Ring;
use crate::device::DeviceCtx;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Bytes of a context.
pub(super) const CONTEXT: u64 = 32;
/// Endpoints of a slot: the default one, and fifteen out and in each.
pub(super) const ENDPOINTS: usize = 31;

/// State of an endpoint (4.8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) enum State {
    #[default]
    Disabled,
    Running,
    Halted,
    Stopped,
    Error,
}

/// An endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Endpoint {
    pub state: State,
    pub ring: Ring,
    /// Software rang: there may be something in the ring.
    pub rung: bool,
}

/// A slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Slot {
    pub enabled: bool,
    /// Slot state: 0 disabled or enabled, 1 default, 2 addressed, 3 configured.
    pub state: u8,
    /// Root hub port, from 1 on.
    pub port: u8,
    /// The device context in memory.
    pub context: u64,
    /// By device context index less 1.
    pub endpoints: Vec<Endpoint>,
}

impl Slot {
    pub fn new() -> Self {
        Self {
            enabled: false,
            state: 0,
            port: 0,
            context: 0,
            endpoints: vec![Endpoint::default(); ENDPOINTS],
        }
    }

    /// Brings the state of an endpoint, and where it is in its ring unless it runs, to its context.
    pub fn store_endpoint(&self, cx: &mut DeviceCtx, index: u8) {
        let Some(endpoint) = self.endpoints.get(usize::from(index).wrapping_sub(1)) else { return };
        let at = self.context.wrapping_add(u64::from(index) * CONTEXT);
        let mut word = [0; 4];
        cx.dma.read(at, &mut word);
        let word = u32::from_le_bytes(word) & !7 | endpoint.state as u32;
        cx.dma.write(at, &word.to_le_bytes());
        if endpoint.state != State::Disabled && endpoint.state != State::Running {
            cx.dma.write(at.wrapping_add(8), &endpoint.ring.pointer().to_le_bytes());
        }
    }

    /// Brings the state of the slot to its context, with an address.
    pub fn store_state(&self, cx: &mut DeviceCtx, address: u8) {
        let word = u32::from(self.state) << 27 | u32::from(address);
        cx.dma.write(self.context.wrapping_add(12), &word.to_le_bytes());
    }

    /// Brings the number of its context entries to its context.
    pub fn store_entries(&self, cx: &mut DeviceCtx, entries: u8) {
        let mut word = [0; 4];
        cx.dma.read(self.context, &mut word);
        let word = u32::from_le_bytes(word) & !(0x1f << 27) | u32::from(entries) << 27;
        cx.dma.write(self.context, &word.to_le_bytes());
    }
}

/// An input context: which contexts it adds and drops, and these (6.2.5).
pub(super) struct Input {
    at: u64,
    pub drop: u32,
    pub add: u32,
}

impl Input {
    pub fn read(cx: &mut DeviceCtx, at: u64) -> Self {
        let at = at & !0xf;
        let mut flags = [0; 8];
        cx.dma.read(at, &mut flags);
        let flags = u64::from_le_bytes(flags);
        Self { at, drop: flags as u32, add: (flags >> 32) as u32 }
    }

    /// Context `index`: 0 the slot's, then the endpoints'.
    pub fn context(&self, cx: &mut DeviceCtx, index: u8) -> [u8; CONTEXT as usize] {
        let mut bytes = [0; CONTEXT as usize];
        cx.dma.read(self.at.wrapping_add((u64::from(index) + 1) * CONTEXT), &mut bytes);
        bytes
    }
}

/// The ring an endpoint's context names.
pub(super) fn ring_of(context: &[u8; CONTEXT as usize]) -> Ring {
    Ring::at(u64::from_le_bytes([8, 9, 10, 11, 12, 13, 14, 15].map(|at| context[at])))
}
