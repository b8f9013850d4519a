//! The rings of commands and responses between the driver and the codec (High Definition Audio 1.0a, 3.3.18 to 3.3.34).

use super::codec::Codec;
use crate::device::DeviceCtx;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Rings have 256 entries: the only size on offer.
const SIZE: u32 = 0x42;
const CORB_RUN: u8 = 1 << 1;
const CORB_WRITABLE: u8 = 0b11;
const RIRB_INTERRUPT: u8 = 1;
const RIRB_RUN: u8 = 1 << 1;
const RIRB_OVERRUN_INTERRUPT: u8 = 1 << 2;
const RIRB_WRITABLE: u8 = 0b111;
const RIRB_RESPONSE: u8 = 1;
const RIRB_OVERRUN: u8 = 1 << 2;
/// RIRBWP and CORBRP: the pointer goes back to 0.
const POINTER_RESET: u16 = 1 << 15;
const ICS_BUSY: u16 = 1;
const ICS_VALID: u16 = 1 << 1;

/// Registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Rings {
    corb: u64,
    corb_wp: u8,
    corb_rp: u8,
    /// CORBRPRST, which software writes 1 and then 0.
    corb_rp_reset: bool,
    corb_ctl: u8,
    rirb: u64,
    rirb_wp: u8,
    /// RINTCNT: responses to an interrupt, 0 for 256.
    response_count: u8,
    rirb_ctl: u8,
    rirb_sts: u8,
    /// Responses since the last interrupt.
    responses: u16,
    immediate_command: u32,
    immediate_response: u32,
    immediate_status: u16,
}

fn set_low(address: &mut u64, value: u32, mask: u32) {
    *address = *address & !u64::from(mask) | u64::from(value & mask & !0x7f);
}

fn set_high(address: &mut u64, value: u32, mask: u32) {
    *address = *address & !(u64::from(mask) << 32) | u64::from(value & mask) << 32;
}

impl Rings {
    pub fn wants_interrupt(&self) -> bool {
        let asking = [(RIRB_RESPONSE, RIRB_INTERRUPT), (RIRB_OVERRUN, RIRB_OVERRUN_INTERRUPT)];
        asking.iter().any(|(status, enable)| self.rirb_sts & status != 0 && self.rirb_ctl & enable != 0)
    }

    /// The register at `at` (a multiple of 4).
    pub fn read(&self, at: u64) -> u32 {
        let reset = if self.corb_rp_reset { POINTER_RESET } else { 0 };
        match at {
            0x40 => self.corb as u32,
            0x44 => (self.corb >> 32) as u32,
            0x48 => u32::from(self.corb_wp) | u32::from(u16::from(self.corb_rp) | reset) << 16,
            0x4c => u32::from(self.corb_ctl) | SIZE << 16,
            0x50 => self.rirb as u32,
            0x54 => (self.rirb >> 32) as u32,
            0x58 => u32::from(self.rirb_wp) | u32::from(self.response_count) << 16,
            0x5c => u32::from(self.rirb_ctl) | u32::from(self.rirb_sts) << 8 | SIZE << 16,
            0x60 => self.immediate_command,
            0x64 => self.immediate_response,
            0x68 => self.immediate_status.into(),
            _ => 0,
        }
    }

    /// Writes the bits of `mask` of the register at `at` (a multiple of 4).
    pub fn write(&mut self, codec: &mut Codec, at: u64, value: u32, mask: u32) {
        let byte = |index: u32, old: u8| {
            let (value, mask) = ((value >> (index * 8)) as u8, (mask >> (index * 8)) as u8);
            old & !mask | value & mask
        };
        let bits = value & mask;
        match at {
            0x40 => set_low(&mut self.corb, value, mask),
            0x44 => set_high(&mut self.corb, value, mask),
            0x48 => {
                self.corb_wp = byte(0, self.corb_wp);
                if mask >> 31 != 0 {
                    self.corb_rp_reset = value >> 31 != 0;
                    self.corb_rp = if self.corb_rp_reset { 0 } else { self.corb_rp };
                }
            }
            0x4c => self.corb_ctl = byte(0, self.corb_ctl) & CORB_WRITABLE,
            0x50 => set_low(&mut self.rirb, value, mask),
            0x54 => set_high(&mut self.rirb, value, mask),
            0x58 => {
                if bits as u16 & POINTER_RESET != 0 {
                    (self.rirb_wp, self.responses) = (0, 0);
                }
                self.response_count = byte(2, self.response_count);
            }
            0x5c => {
                self.rirb_ctl = byte(0, self.rirb_ctl) & RIRB_WRITABLE;
                self.rirb_sts &= !(bits >> 8) as u8;
            }
            0x60 => self.immediate_command = self.immediate_command & !mask | bits,
            0x68 => self.immediate(codec, bits as u16),
            _ => {}
        }
    }

    /// Immediate commands (3.4.3) are answered at once.
    fn immediate(&mut self, codec: &mut Codec, bits: u16) {
        self.immediate_status &= !(bits & ICS_VALID);
        if bits & ICS_BUSY != 0 {
            let answer = answer(codec, self.immediate_command);
            self.immediate_response = answer.unwrap_or(0);
            self.immediate_status |= if answer.is_some() { ICS_VALID } else { 0 };
        }
    }

    /// Takes the commands that wait, and leaves their responses.
    pub fn go_on(&mut self, cx: &mut DeviceCtx, codec: &mut Codec) {
        while self.corb_ctl & CORB_RUN != 0 && !self.corb_rp_reset && self.corb_rp != self.corb_wp {
            self.corb_rp = self.corb_rp.wrapping_add(1);
            let mut command = [0; 4];
            cx.dma.read(self.corb.wrapping_add(u64::from(self.corb_rp) * 4), &mut command);
            if let Some(response) = answer(codec, u32::from_le_bytes(command)) {
                self.respond(cx, response);
            }
        }
        // An empty slot on the link interrupts for those before it (3.3.27).
        if self.responses != 0 {
            self.tell();
        }
    }

    fn respond(&mut self, cx: &mut DeviceCtx, response: u32) {
        if self.rirb_ctl & RIRB_RUN == 0 {
            self.rirb_sts |= RIRB_OVERRUN;
            return;
        }
        self.rirb_wp = self.rirb_wp.wrapping_add(1);
        // The second half says which codec it was, and that it was asked.
        let entry = u64::from(response).to_le_bytes();
        cx.dma.write(self.rirb.wrapping_add(u64::from(self.rirb_wp) * 8), &entry);
        self.responses += 1;
        let count = if self.response_count == 0 { 256 } else { self.response_count.into() };
        if self.responses >= count {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.responses = 0;
        self.rirb_sts |= RIRB_RESPONSE;
    }
}

/// What the codec a command is for answers; there is one, with address 0.
fn answer(codec: &mut Codec, command: u32) -> Option<u32> {
    (command >> 28 == 0).then(|| codec.answer(command))
}
