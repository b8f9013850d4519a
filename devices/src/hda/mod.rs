//! An Intel High Definition Audio controller (High Definition Audio 1.0a) with the identity of the ICH9's, four streams in
//! and four out, and a codec that plays. Nothing is recorded: streams in bring silence.
//!
//! Streams move on virtual time. What the codec plays leaves the platform as [`Effect::Sound`].

mod codec;
mod format;
mod rings;
mod stream;

use crate::clock::{TIME_MAX, ticks};
use crate::device::{Device, DeviceCtx, DeviceId, size_mask};
use crate::effects::Effect;
use crate::pci::config::Identity;
use crate::pci::endpoint::{Bar, BarKind, Endpoint, Layout, Window};
use crate::pci::function::Function;
use crate::sound::Sound;
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use codec::Codec;
use rings::Rings;
use serde::{Deserialize, Serialize};
use stream::Stream;

/// Streams in and out; those in come first.
const STREAMS_IN: usize = 4;
const STREAMS: usize = 8;

static LAYOUT: Layout = Layout {
    identity: Identity {
        vendor_device: 0x293e_8086,
        class_revision: 0x0403_0003,
        multifunction: false,
        interrupt_pin: 1,
    },
    bars: &[Bar { index: 0, kind: BarKind::Memory64 { prefetchable: false }, len: 0x4000 }],
    msix_bar: 0,
    vectors: 0,
};

/// GCAP: four streams out and four in, 64-bit addresses. VMIN, VMAJ.
const GCAP: u32 = 0x4401;
const VERSION_1_0: u32 = 0x0100_0000;
/// Words a frame of the link has room for, out and in.
const PAYLOAD: u32 = 0x001d_003c;
const GCTL_RUNNING: u32 = 1;
const GCTL_FLUSH: u32 = 1 << 1;
const GCTL_UNSOLICITED: u32 = 1 << 8;
const INTERRUPT_GLOBAL: u32 = 1 << 31;
const INTERRUPT_CONTROLLER: u32 = 1 << 30;
const INTERRUPT_STREAMS: u32 = (1 << STREAMS) - 1;
const GSTS_FLUSHED: u16 = 1 << 1;
/// Rate of the link's clock, which the wall clock counts, Hz.
const LINK_HZ: u64 = 24_000_000;
const DPL_ENABLE: u64 = 1;
const STREAMS_AT: u64 = 0x80;
const STREAM_LEN: u64 = 0x20;
/// Where the wall clock and positions are seen once more.
const ALIASES: u64 = 0x2000;

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Registers {
    endpoint: Endpoint,
    gctl: u32,
    wake_enable: u16,
    /// STATESTS: which codecs are there since the last reset.
    codecs: u16,
    gsts: u16,
    intctl: u32,
    /// Streams that stand still until all of them go.
    ssync: u32,
    /// Where positions are written, and whether.
    positions: u64,
    /// Virtual time of the link's reset, ns.
    wall_start: u64,
    rings: Rings,
    streams: Vec<Stream>,
    codec: Codec,
}

impl Section for Registers {
    const KIND: &'static str = "hda";
    const VERSION: u32 = 1;
}

impl Registers {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            gctl: 0,
            wake_enable: 0,
            codecs: 0,
            gsts: 0,
            intctl: 0,
            ssync: 0,
            positions: 0,
            wall_start: 0,
            rings: Rings::default(),
            streams: vec![Stream::default(); STREAMS],
            codec: Codec::new(),
        }
    }

    /// Streams whose bits are set stand still; the others go, and those that stood begin to.
    fn hold(&mut self, now: u64, ssync: u32) {
        for (n, stream) in self.streams.iter_mut().enumerate() {
            if self.ssync & !ssync & 1 << n != 0 {
                stream.restart(now);
            }
        }
        self.ssync = ssync;
    }
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hda {
    slot: u8,
    registers: Registers,
}

impl Hda {
    pub fn new(slot: u8) -> Self {
        Self { slot, registers: Registers::new(Endpoint::new(&LAYOUT, &[])) }
    }

    fn read_register(&self, now: u64, at: u64) -> u32 {
        let Registers { rings, streams, .. } = &self.registers;
        let stream = |at: u64| streams.get(((at - STREAMS_AT) / STREAM_LEN) as usize);
        match at {
            0x00 => GCAP | VERSION_1_0,
            0x04 => PAYLOAD,
            0x08 => self.registers.gctl,
            0x0c => u32::from(self.registers.wake_enable) | u32::from(self.registers.codecs) << 16,
            0x10 => self.registers.gsts.into(),
            // What streams may take of that: all.
            0x18 => PAYLOAD,
            0x20 => self.registers.intctl,
            0x24 => self.interrupt_status(),
            0x30 => self.wall_clock(now),
            0x38 => self.registers.ssync,
            0x40..0x70 => rings.read(at),
            0x70 => self.registers.positions as u32,
            0x74 => (self.registers.positions >> 32) as u32,
            STREAMS_AT..ALIASES => stream(at).map_or(0, |stream| stream.read((at - STREAMS_AT) % STREAM_LEN)),
            0x2030 => self.wall_clock(now),
            0x2084.. if (at - ALIASES) % STREAM_LEN == 4 => stream(at - ALIASES).map_or(0, Stream::lpib),
            _ => 0,
        }
    }

    fn wall_clock(&self, now: u64) -> u32 {
        let running = self.registers.gctl & GCTL_RUNNING != 0;
        if running { ticks(now.saturating_sub(self.registers.wall_start), LINK_HZ) as u32 } else { 0 }
    }

    fn interrupt_status(&self) -> u32 {
        let streams = self.registers.streams.iter().enumerate();
        let asking = streams.map(|(n, stream)| u32::from(stream.wants_interrupt()) << n);
        let controller = self.registers.rings.wants_interrupt() || self.woken();
        let status = asking.fold(0, |all, bit| all | bit) | if controller { INTERRUPT_CONTROLLER } else { 0 };
        let enabled = self.registers.intctl & (INTERRUPT_STREAMS | INTERRUPT_CONTROLLER);
        status | if status & enabled != 0 { INTERRUPT_GLOBAL } else { 0 }
    }

    fn woken(&self) -> bool {
        self.registers.codecs & self.registers.wake_enable != 0
    }

    fn write_register(&mut self, cx: &mut DeviceCtx, at: u64, value: u32, mask: u32) {
        let merge = |old: u32| old & !mask | value & mask;
        let held = self.registers.gctl & GCTL_RUNNING == 0;
        match at {
            0x08 => return self.set_control(cx.now(), merge(self.registers.gctl)),
            // The link is in reset: nothing else takes a write (3.3.7).
            _ if held => return,
            _ => {}
        }
        let Registers { rings, streams, codec, .. } = &mut self.registers;
        match at {
            0x0c => {
                self.registers.wake_enable = merge(self.registers.wake_enable.into()) as u16 & 1;
                self.registers.codecs &= !((value & mask) >> 16) as u16;
            }
            0x10 => self.registers.gsts &= !(value & mask) as u16,
            0x20 => self.registers.intctl = merge(self.registers.intctl),
            0x38 => self.registers.hold(cx.now(), merge(self.registers.ssync) & INTERRUPT_STREAMS),
            0x40..0x70 => rings.write(codec, at, value, mask),
            0x70 => {
                let low = u64::from(merge(self.registers.positions as u32) & !0x7e);
                self.registers.positions = self.registers.positions & !0xffff_ffff | low;
            }
            0x74 => {
                let high = u64::from(merge((self.registers.positions >> 32) as u32)) << 32;
                self.registers.positions = self.registers.positions & 0xffff_ffff | high;
            }
            STREAMS_AT..ALIASES => {
                if let Some(stream) = streams.get_mut(((at - STREAMS_AT) / STREAM_LEN) as usize) {
                    stream.write(cx.now(), (at - STREAMS_AT) % STREAM_LEN, value, mask);
                }
            }
            _ => {}
        }
    }

    /// GCTL: CRST brings everything but configuration space to its reset state, and out of it (3.3.7).
    fn set_control(&mut self, now: u64, value: u32) {
        let running = value & GCTL_RUNNING != 0;
        if !running {
            let endpoint = self.registers.endpoint.clone();
            self.registers =
                Registers { wake_enable: self.registers.wake_enable, ..Registers::new(endpoint) };
        } else if self.registers.gctl & GCTL_RUNNING == 0 {
            (self.registers.codecs, self.registers.wall_start) = (1, now);
        }
        self.registers.gctl = value & (GCTL_RUNNING | GCTL_UNSOLICITED);
        if running && value & GCTL_FLUSH != 0 {
            self.registers.gsts |= GSTS_FLUSHED;
        }
    }

    /// Everything that is due: streams, commands, positions; then interrupts and timers.
    fn go_on(&mut self, cx: &mut DeviceCtx) {
        if self.registers.endpoint.is_master() {
            (0..STREAMS).for_each(|n| self.turn(cx, n));
            let Registers { rings, codec, .. } = &mut self.registers;
            rings.go_on(cx, codec);
        } else {
            // Without access to memory streams stand still.
            let running = self.registers.streams.iter_mut().filter(|stream| stream.runs());
            running.for_each(|stream| stream.restart(cx.now()));
        }
        self.drive(cx);
    }

    /// Interrupt and timers, as they are now.
    fn drive(&mut self, cx: &mut DeviceCtx) {
        let asserted = self.interrupt_status() & self.registers.intctl & INTERRUPT_GLOBAL != 0;
        self.registers.endpoint.set_interrupt(cx, self.slot, asserted);
        let master = self.registers.endpoint.is_master();
        for (n, stream) in (0..).zip(&self.registers.streams) {
            let held = self.registers.ssync >> n & 1 != 0 || !master;
            let next = if held { None } else { stream.next(cx) };
            // A transfer that could not be is tried later, never again at the same time.
            cx.set_timer(DeviceId::Slot(self.slot), n, next.map(|at| at.max(cx.now() + 1)));
        }
    }

    fn turn(&mut self, cx: &mut DeviceCtx, n: usize) {
        let Registers { streams, codec, positions, ssync, .. } = &mut self.registers;
        let Some(stream) = streams.get_mut(n).filter(|stream| stream.runs() && *ssync >> n & 1 == 0) else {
            return;
        };
        let moved = stream.turn(cx, n < STREAMS_IN);
        if *positions & DPL_ENABLE != 0 && !moved.bytes.is_empty() {
            let at = (*positions & !0x7f).wrapping_add(n as u64 * 8);
            cx.dma.write(at, &stream.lpib().to_le_bytes());
        }
        let format = stream.format();
        let played = codec.plays(stream.number()).filter(|_| n >= STREAMS_IN && format.linear);
        if let Some(first) = played.filter(|_| !moved.bytes.is_empty()) {
            let frames = format.stereo(&moved.bytes, first, codec.amplification());
            cx.effects.push(Effect::Sound(Sound::Frames { at: moved.at, rate: format.rate, frames }));
        }
    }
}

impl Device for Hda {
    fn timer(&mut self, cx: &mut DeviceCtx, _timer: u16) {
        self.go_on(cx);
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        *self = Self::new(self.slot);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let Registers { endpoint, streams, wall_start, .. } = &self.registers;
        if !endpoint.is_like(&Endpoint::new(&LAYOUT, &[]), &LAYOUT, 0..0) {
            return Some(("endpoint", "that of another function".to_owned()));
        }
        if streams.len() != STREAMS {
            return Some(("streams", format!("{} of them", streams.len())));
        }
        (*wall_start > TIME_MAX).then(|| ("wall_start", wall_start.to_string()))
    }
}

impl Function for Hda {
    fn slot(&self) -> u8 {
        self.slot
    }

    fn config_read(&mut self, _cx: &mut DeviceCtx, offset: u16, size: u8) -> u64 {
        self.registers.endpoint.read_bytes(offset, size)
    }

    fn config_write(&mut self, cx: &mut DeviceCtx, offset: u16, size: u8, value: u64) {
        self.registers.endpoint.write_bytes(cx, &LAYOUT, self.slot, offset, size, value);
        self.go_on(cx);
    }

    fn windows(&self) -> Vec<Window> {
        self.registers.endpoint.windows(&LAYOUT).collect()
    }

    fn bar_read(&mut self, cx: &mut DeviceCtx, _bar: u8, offset: u64, size: u8) -> u64 {
        self.go_on(cx);
        let (now, first) = (cx.now(), offset & !3);
        let low = u64::from(self.read_register(now, first));
        let high = u64::from(self.read_register(now, first + 4));
        (high << 32 | low) >> (offset % 4 * 8) & size_mask(size)
    }

    fn bar_write(&mut self, cx: &mut DeviceCtx, _bar: u8, offset: u64, size: u8, value: u64) {
        self.go_on(cx);
        let shift = offset % 4 * 8;
        let (value, mask) = (u128::from(value) << shift, u128::from(size_mask(size)) << shift);
        for word in 0..3 {
            let (value, mask) = ((value >> (word * 32)) as u32, (mask >> (word * 32)) as u32);
            if mask != 0 {
                self.write_register(cx, (offset & !3) + word * 4, value, mask);
            }
        }
        self.go_on(cx);
    }

    fn set_up_as_firmware(&mut self, next: &mut u64, port: &mut u64) {
        self.registers.endpoint.set_up_as_firmware(&LAYOUT, self.slot, next, port);
    }

    fn section_name(&self) -> String {
        "hda".to_owned()
    }

    fn to_section(&self, path: &str) -> OwnedSection {
        self.registers.to_section(path)
    }

    fn set_registers(&mut self, section: &OwnedSection) -> Result<(), SectionError> {
        self.registers = Registers::from_section(section)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
