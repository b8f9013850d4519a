//! Transfer request blocks and the rings software fills with them (xHCI 1.2, 4.9 and 6.4).

use crate::device::DeviceCtx;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

pub(super) const TRB_LEN: u64 = 16;
/// Links that are followed in a row: a ring of nothing else leads nowhere.
const LINKS_MAX: usize = 8;

pub(super) const NORMAL: u8 = 1;
pub(super) const SETUP: u8 = 2;
pub(super) const DATA: u8 = 3;
pub(super) const STATUS: u8 = 4;
const LINK: u8 = 6;
pub(super) const EVENT_DATA: u8 = 7;
pub(super) const NO_OP: u8 = 8;

const CYCLE: u32 = 1;
/// In a link: the cycle bit is the other way round behind it.
const TOGGLE: u32 = 1 << 1;
const SHORT: u32 = 1 << 2;
const CHAIN: u32 = 1 << 4;
const COMPLETE: u32 = 1 << 5;
const IMMEDIATE: u32 = 1 << 6;

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trb {
    /// Where it is.
    pub at: u64,
    pub parameter: u64,
    pub status: u32,
    pub control: u32,
}

impl Trb {
    fn read(cx: &mut DeviceCtx, at: u64) -> Self {
        let mut raw = [0; TRB_LEN as usize];
        cx.dma.read(at, &mut raw);
        let raw = u128::from_le_bytes(raw);
        Self { at, parameter: raw as u64, status: (raw >> 64) as u32, control: (raw >> 96) as u32 }
    }

    pub fn kind(&self) -> u8 {
        (self.control >> 10) as u8 & 0x3f
    }

    /// Slot a command is for.
    pub fn slot(&self) -> u8 {
        (self.control >> 24) as u8
    }

    /// Endpoint a command is for.
    pub fn endpoint(&self) -> u8 {
        (self.control >> 16) as u8 & 0x1f
    }

    /// Bytes of its buffer.
    pub fn len(&self) -> u32 {
        self.status & 0x1_ffff
    }

    /// Who is told of it.
    pub fn interrupter(&self) -> u16 {
        (self.status >> 22) as u16
    }

    /// It goes on in the next block.
    pub fn is_chained(&self) -> bool {
        self.control & CHAIN != 0
    }

    /// Software wants to know when it is done.
    pub fn tells_completion(&self) -> bool {
        self.control & COMPLETE != 0
    }

    /// Software wants to know when there is less data than room.
    pub fn tells_short(&self) -> bool {
        self.control & SHORT != 0
    }

    /// Its data is in it.
    pub fn is_immediate(&self) -> bool {
        self.control & IMMEDIATE != 0
    }
}

/// Where the controller is in a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Ring {
    pub dequeue: u64,
    /// What the cycle bit of a block is that is the controller's.
    pub cycle: bool,
}

impl Ring {
    /// By a pointer with the cycle bit in bit 0, as registers and contexts have it.
    pub fn at(pointer: u64) -> Self {
        Self { dequeue: pointer & !0xf, cycle: pointer & 1 != 0 }
    }

    pub fn pointer(self) -> u64 {
        self.dequeue | u64::from(self.cycle)
    }

    /// Takes the next block that is no link.
    pub fn next(&mut self, cx: &mut DeviceCtx) -> Option<Trb> {
        for _ in 0..LINKS_MAX {
            let trb = Trb::read(cx, self.dequeue);
            if (trb.control & CYCLE != 0) != self.cycle {
                return None;
            }
            if trb.kind() != LINK {
                self.dequeue = self.dequeue.wrapping_add(TRB_LEN);
                return Some(trb);
            }
            self.dequeue = trb.parameter & !0xf;
            self.cycle ^= trb.control & TOGGLE != 0;
        }
        None
    }
}
