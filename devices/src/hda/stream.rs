//! A stream's descriptor registers and its DMA (High Definition Audio 1.0a, 3.3.35 to 3.6).

use super::format::Format;
use crate::clock::NS_PER_SECOND;
use crate::device::DeviceCtx;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const CTL_RESET: u32 = 1;
const CTL_RUN: u32 = 1 << 1;
const CTL_IOCE: u32 = 1 << 2;
const CTL_DEIE: u32 = 1 << 4;
const CTL_WRITABLE: u32 = 0x00f7_001f;
const STS_COMPLETE: u8 = 1 << 2;
const STS_DESCRIPTOR: u8 = 1 << 4;
const STS_CLEARABLE: u8 = 0b1_1100;
const STS_READY: u8 = 1 << 5;
/// Bytes of a FIFO, less 1.
const FIFO: u32 = 0xbf;
/// Longest time between two transfers.
const TURN_NS: u64 = NS_PER_SECOND / 1000;
/// Most bytes of a turn: those of 192 kHz, 16 channels of 32 bits.
const TURN_MAX: u64 = 16 << 10;
/// Bytes of an entry of the list of buffers.
const ENTRY_LEN: u64 = 16;

/// Registers of a stream, and where in its buffers it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Stream {
    ctl: u32,
    sts: u8,
    /// Bytes into the cyclic buffer.
    lpib: u32,
    cbl: u32,
    lvi: u16,
    fmt: u16,
    /// Address of the list of buffers.
    bdl: u64,
    /// Entry of the list, and bytes into its buffer.
    entry: u16,
    entry_at: u32,
    /// Virtual time at which the stream began to run, ns, and frames since.
    started: u64,
    frames: u64,
}

/// What a turn moved: frames from this time on.
pub(super) struct Moved {
    pub at: u64,
    pub bytes: Vec<u8>,
}

struct Buffer {
    address: u64,
    len: u32,
    interrupts: bool,
}

impl Stream {
    pub fn runs(&self) -> bool {
        self.ctl & CTL_RUN != 0
    }

    /// Its number on the link; 0 is no stream.
    pub fn number(&self) -> u8 {
        (self.ctl >> 20) as u8 & 0xf
    }

    pub fn format(&self) -> Format {
        Format::of(self.fmt)
    }

    pub fn lpib(&self) -> u32 {
        self.lpib
    }

    pub fn wants_interrupt(&self) -> bool {
        let asking = [(STS_COMPLETE, CTL_IOCE), (STS_DESCRIPTOR, CTL_DEIE)];
        asking.iter().any(|(status, enable)| self.sts & status != 0 && self.ctl & enable != 0)
    }

    /// The register at `at` (a multiple of 4).
    pub fn read(&self, at: u64) -> u32 {
        let ready = if self.runs() { STS_READY } else { 0 };
        match at {
            0x00 => self.ctl | u32::from(self.sts | ready) << 24,
            0x04 => self.lpib,
            0x08 => self.cbl,
            0x0c => self.lvi.into(),
            0x10 => FIFO | u32::from(self.fmt) << 16,
            0x18 => self.bdl as u32,
            0x1c => (self.bdl >> 32) as u32,
            _ => 0,
        }
    }

    /// Writes the bits of `mask` of the register at `at` (a multiple of 4). Turns up to now have been taken.
    pub fn write(&mut self, now: u64, at: u64, value: u32, mask: u32) {
        let merge = |old: u32| old & !mask | value & mask;
        match at {
            0x00 => {
                self.sts &= !((value & mask) >> 24) as u8 | !STS_CLEARABLE;
                self.set_control(now, merge(self.ctl) & CTL_WRITABLE);
            }
            0x08 => self.cbl = merge(self.cbl),
            0x0c => self.lvi = merge(self.lvi.into()) as u16 & 0xff,
            0x10 => {
                self.restart(now);
                self.fmt = (merge(u32::from(self.fmt) << 16) >> 16) as u16;
            }
            0x18 => self.bdl = self.bdl & !0xffff_ffff | u64::from(merge(self.bdl as u32) & !0x7f),
            0x1c => self.bdl = self.bdl & 0xffff_ffff | u64::from(merge((self.bdl >> 32) as u32)) << 32,
            _ => {}
        }
    }

    fn set_control(&mut self, now: u64, ctl: u32) {
        if ctl & CTL_RESET != 0 {
            *self = Self { ctl: CTL_RESET, ..Self::default() };
            return;
        }
        if ctl & CTL_RUN != 0 && !self.runs() {
            self.restart(now);
        }
        self.ctl = ctl;
    }

    /// Counts frames from now on.
    pub fn restart(&mut self, now: u64) {
        (self.started, self.frames) = (now, 0);
    }

    /// When it has something to do, while it runs: at the end of a buffer, or of a turn.
    pub fn next(&self, cx: &mut DeviceCtx) -> Option<u64> {
        if !self.runs() {
            return None;
        }
        let format = self.format();
        let left = self.buffer(cx).len.saturating_sub(self.entry_at).div_ceil(format.frame());
        let turn = format.rate.frames_in(TURN_NS).max(1);
        let frames = self.frames.saturating_add(u64::from(left).clamp(1, turn));
        Some(self.started.saturating_add(format.rate.ns_of(frames)))
    }

    fn buffer(&self, cx: &mut DeviceCtx) -> Buffer {
        let mut raw = [0; ENTRY_LEN as usize];
        cx.dma.read(self.bdl.wrapping_add(u64::from(self.entry) * ENTRY_LEN), &mut raw);
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|index| raw[at + index]));
        Buffer {
            address: u64::from(word(4)) << 32 | u64::from(word(0)),
            len: word(8),
            interrupts: word(12) & 1 != 0,
        }
    }

    /// Moves what is due now: out of memory, or `silence` into it.
    pub fn turn(&mut self, cx: &mut DeviceCtx, silence: bool) -> Moved {
        let format = self.format();
        let due = format.rate.frames_in(cx.now().saturating_sub(self.started));
        let at = self.started.saturating_add(format.rate.ns_of(self.frames));
        let frames = due.saturating_sub(self.frames).min(TURN_MAX / u64::from(format.frame()));
        self.frames = due;
        let mut bytes = vec![0; (frames * u64::from(format.frame())) as usize];
        let mut done = 0;
        while done < bytes.len() && self.runs() {
            done += self.step(cx, &mut bytes[done..], silence);
        }
        bytes.truncate(done);
        Moved { at, bytes }
    }

    /// Moves as much as lies in one buffer; how many bytes.
    fn step(&mut self, cx: &mut DeviceCtx, bytes: &mut [u8], silence: bool) -> usize {
        let buffer = self.buffer(cx);
        let left = buffer.len.saturating_sub(self.entry_at);
        if left == 0 {
            // An entry without bytes leads nowhere.
            self.sts |= STS_DESCRIPTOR;
            self.ctl &= !CTL_RUN;
            return 0;
        }
        let len = bytes.len().min(left as usize);
        let address = buffer.address.wrapping_add(self.entry_at.into());
        match silence {
            true => cx.dma.write(address, &bytes[..len]),
            false => cx.dma.read(address, &mut bytes[..len]),
        }
        self.entry_at += len as u32;
        self.lpib = self.lpib.wrapping_add(len as u32).checked_rem(self.cbl).unwrap_or(0);
        if self.entry_at == buffer.len {
            self.entry = if self.entry >= self.lvi { 0 } else { self.entry + 1 };
            self.entry_at = 0;
            self.sts |= if buffer.interrupts { STS_COMPLETE } else { 0 };
        }
        len
    }
}
