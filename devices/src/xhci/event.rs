//! Interrupters: the rings of events and what tells of them (xHCI 1.2, 4.9.4, 4.17 and 5.5.2).

use super::ring::TRB_LEN;
use crate::device::DeviceCtx;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

pub(super) const TRANSFER_EVENT: u8 = 32;
pub(super) const COMMAND_EVENT: u8 = 33;
pub(super) const PORT_EVENT: u8 = 34;
const CONTROLLER_EVENT: u8 = 37;

/// Completion codes (table 6-90).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Success = 1,
    TrbError = 5,
    Stall = 6,
    NoSlots = 9,
    SlotNotEnabled = 11,
    EndpointNotEnabled = 12,
    ShortPacket = 13,
    ParameterError = 17,
    ContextState = 19,
    RingFull = 21,
}

/// An event, but for its cycle bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub kind: u8,
    pub parameter: u64,
    pub code: Code,
    /// The low 24 bits of the third word.
    pub length: u32,
    pub slot: u8,
    pub endpoint: u8,
    /// The parameter is data of software's own.
    pub is_data: bool,
}

impl Event {
    pub fn new(kind: u8, parameter: u64, code: Code) -> Self {
        Self { kind, parameter, code, length: 0, slot: 0, endpoint: 0, is_data: false }
    }

    fn bytes(&self, cycle: bool) -> [u8; TRB_LEN as usize] {
        let status = (self.code as u32) << 24 | self.length & 0xff_ffff;
        let control = u32::from(self.slot) << 24
            | u32::from(self.endpoint) << 16
            | u32::from(self.kind) << 10
            | u32::from(self.is_data) << 2
            | u32::from(cycle);
        let words = u128::from(control) << 96 | u128::from(status) << 64 | u128::from(self.parameter);
        words.to_le_bytes()
    }
}

const IMAN_PENDING: u32 = 1;
const IMAN_ENABLE: u32 = 1 << 1;
const ERDP_BUSY: u64 = 1 << 3;
/// Blocks a segment has at most, and at least.
const SEGMENT: std::ops::RangeInclusive<u32> = 16..=4096;

/// Registers of an interrupter, and where it is in its one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Interrupter {
    iman: u32,
    imod: u32,
    erstsz: u32,
    erstba: u64,
    erdp: u64,
    /// The segment, and the next block in it.
    base: u64,
    size: u32,
    next: u32,
    cycle: bool,
    full: bool,
}

impl Interrupter {
    pub fn read(&self, at: u64) -> u32 {
        match at {
            0x00 => self.iman,
            0x04 => self.imod,
            0x08 => self.erstsz,
            0x10 => self.erstba as u32,
            0x14 => (self.erstba >> 32) as u32,
            0x18 => self.erdp as u32,
            0x1c => (self.erdp >> 32) as u32,
            _ => 0,
        }
    }

    pub fn write(&mut self, cx: &mut DeviceCtx, at: u64, value: u32) {
        let low = |old: u64, fixed: u64| old & (!0xffff_ffff | fixed) | u64::from(value) & !fixed;
        let high = |old: u64| old & 0xffff_ffff | u64::from(value) << 32;
        match at {
            0x00 => self.iman = (self.iman & IMAN_PENDING & !value) | value & IMAN_ENABLE,
            0x04 => self.imod = value,
            // One segment (HCSPARAMS2: ERST Max is 0).
            0x08 => self.erstsz = value & 1,
            0x10 => {
                self.erstba = low(self.erstba, 0x3f);
                self.start(cx);
            }
            0x14 => {
                self.erstba = high(self.erstba);
                self.start(cx);
            }
            0x18 => {
                let busy = self.erdp & ERDP_BUSY & !u64::from(value);
                self.erdp = low(self.erdp, 0) & !ERDP_BUSY | busy;
                self.full = false;
            }
            0x1c => {
                self.erdp = high(self.erdp);
                self.full = false;
            }
            _ => {}
        }
    }

    /// Begins the segment that the table names.
    fn start(&mut self, cx: &mut DeviceCtx) {
        let mut raw = [0; 16];
        cx.dma.read(self.erstba, &mut raw);
        let raw = u128::from_le_bytes(raw);
        (self.base, self.size) = (raw as u64 & !0x3f, (raw >> 64) as u32 & 0xffff);
        if self.erstsz == 0 || !SEGMENT.contains(&self.size) {
            self.size = 0;
        }
        (self.next, self.cycle, self.full) = (0, true, false);
    }

    /// Where software is, as a block of the segment.
    fn read_up_to(&self) -> u32 {
        ((self.erdp & !0xf).wrapping_sub(self.base) / TRB_LEN % u64::from(self.size.max(1))) as u32
    }

    /// Appends an event, if there is room.
    pub fn push(&mut self, cx: &mut DeviceCtx, event: &Event) {
        if self.size == 0 || self.full {
            return;
        }
        // One block stays free; the one before it says that the others are taken.
        let free = (self.read_up_to() + self.size - self.next - 1) % self.size;
        if free <= 1 {
            self.full = true;
            self.put(cx, &Event::new(CONTROLLER_EVENT, 0, Code::RingFull));
        } else {
            self.put(cx, event);
        }
        self.iman |= IMAN_PENDING;
    }

    fn put(&mut self, cx: &mut DeviceCtx, event: &Event) {
        cx.dma.write(self.base.wrapping_add(u64::from(self.next) * TRB_LEN), &event.bytes(self.cycle));
        self.next += 1;
        if self.next >= self.size {
            (self.next, self.cycle) = (0, !self.cycle);
        }
    }

    /// Whether software is told by a message now, which takes the pending bit with it: not before it was there for the last
    /// one, and not of what it has seen by then.
    pub fn tells(&mut self) -> bool {
        if self.erdp & ERDP_BUSY != 0 {
            return false;
        }
        self.iman &= !IMAN_PENDING;
        let news = self.size != 0 && self.read_up_to() != self.next;
        self.erdp |= if news { ERDP_BUSY } else { 0 };
        news
    }

    /// Level of the pin it would drive.
    pub fn is_pending(&self) -> bool {
        self.iman & (IMAN_ENABLE | IMAN_PENDING) == IMAN_ENABLE | IMAN_PENDING
    }

    pub fn is_possible(&self) -> bool {
        (self.size == 0 || SEGMENT.contains(&self.size)) && self.next <= self.size
    }
}
