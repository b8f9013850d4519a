//! Transfers: descriptors in the rings of endpoints, and what devices make of them (xHCI 1.2, 4.10 and 4.11).
//!
//! A descriptor is done as a whole or, where the device refuses with NAK, not yet at all.

use super::Xhci;
use super::event::{Code, Event, TRANSFER_EVENT};
use super::ring::{DATA, EVENT_DATA, NO_OP, NORMAL, Ring, SETUP, STATUS, Trb};
use super::slot::State;
use crate::device::DeviceCtx;
use crate::usb::{Answer, Setup};

/// Most blocks and bytes of a descriptor.
const BLOCKS_MAX: usize = 1024;
const BYTES_MAX: u64 = 4 << 20;
/// The default endpoint.
const CONTROL: u8 = 1;

/// What became of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done, or the endpoint is halted.
    Done,
    /// The device has to be asked again later.
    Nak,
    /// There is none, or not all of it.
    Nothing,
}

/// The blocks of a descriptor, each with where the ring was before it, and where it is behind the last.
struct Descriptor {
    blocks: Vec<(Ring, Trb)>,
    after: Ring,
}

impl Descriptor {
    /// The next one in a ring, up to a block that ends it. `None` while it is not all there.
    fn next(cx: &mut DeviceCtx, mut ring: Ring, ends: impl Fn(&Trb) -> bool) -> Option<Self> {
        let mut blocks = Vec::new();
        loop {
            let before = ring;
            let trb = ring.next(cx)?;
            blocks.push((before, trb));
            if ends(&trb) || blocks.len() >= BLOCKS_MAX {
                return Some(Self { blocks, after: ring });
            }
        }
    }

    fn trbs(&self) -> impl Iterator<Item = &Trb> {
        self.blocks.iter().map(|(_, trb)| trb)
    }

    /// Blocks with data.
    fn data(&self) -> impl Iterator<Item = &Trb> {
        self.trbs().filter(|trb| matches!(trb.kind(), NORMAL | DATA))
    }

    /// Bytes there is room for, or that are sent.
    fn len(&self) -> Option<usize> {
        let len: u64 = self.data().map(|trb| u64::from(trb.len())).sum();
        (len <= BYTES_MAX && self.blocks.len() < BLOCKS_MAX).then_some(len as usize)
    }

    fn read(&self, cx: &mut DeviceCtx) -> Vec<u8> {
        let mut all = Vec::new();
        for trb in self.data() {
            let len = trb.len() as usize;
            if trb.is_immediate() {
                all.extend(&trb.parameter.to_le_bytes()[..len.min(8)]);
            } else {
                let from = all.len();
                all.resize(from + len, 0);
                cx.dma.read(trb.parameter, &mut all[from..]);
            }
        }
        all
    }

    fn write(&self, cx: &mut DeviceCtx, mut bytes: &[u8]) {
        for trb in self.data() {
            let (now, rest) = bytes.split_at(bytes.len().min(trb.len() as usize));
            cx.dma.write(trb.parameter, now);
            bytes = rest;
        }
    }
}

impl Xhci {
    /// Does the next descriptor of an endpoint that was rung.
    pub(super) fn transfer(&mut self, cx: &mut DeviceCtx, slot: usize, index: usize) -> Outcome {
        let endpoint = self.registers.slots[slot].endpoints[index];
        let dci = index as u8 + 1;
        let outcome = match dci {
            CONTROL => self.control(cx, slot, endpoint.ring),
            _ => self.packets(cx, slot, dci, endpoint.ring),
        };
        if outcome == Outcome::Nothing {
            self.registers.slots[slot].endpoints[index].rung = false;
        }
        outcome
    }

    /// A control transfer: a setup stage, perhaps data, and a status stage.
    fn control(&mut self, cx: &mut DeviceCtx, slot: usize, ring: Ring) -> Outcome {
        let stages = Descriptor::next(cx, ring, |trb| trb.kind() == STATUS);
        let Some(descriptor) = stages else { return Outcome::Nothing };
        let setup = descriptor.blocks[0].1;
        let (true, Some(room)) = (setup.kind() == SETUP && setup.is_immediate(), descriptor.len()) else {
            return self.halt(cx, slot, CONTROL, &descriptor, Code::TrbError);
        };
        let setup = Setup::of(setup.parameter.to_le_bytes());
        let sent = if setup.is_in() { Vec::new() } else { descriptor.read(cx) };
        let port = self.registers.slots[slot].port;
        let Some((device, model)) = self.device_at(port) else {
            return self.halt(cx, slot, CONTROL, &descriptor, Code::TrbError);
        };
        match device.control(model, setup, &sent) {
            Answer::Done(mut bytes) => {
                bytes.truncate(room);
                descriptor.write(cx, &bytes);
                let moved = if setup.is_in() { bytes.len() } else { sent.len() };
                self.report(cx, slot, CONTROL, &descriptor, moved);
                self.registers.slots[slot].endpoints[0].ring = descriptor.after;
                Outcome::Done
            }
            Answer::Nak => Outcome::Nak,
            Answer::Stall => self.halt(cx, slot, CONTROL, &descriptor, Code::Stall),
        }
    }

    /// Packets of another endpoint.
    fn packets(&mut self, cx: &mut DeviceCtx, slot: usize, dci: u8, ring: Ring) -> Outcome {
        let Some(descriptor) = Descriptor::next(cx, ring, |trb| !trb.is_chained()) else {
            return Outcome::Nothing;
        };
        let known = |trb: &Trb| matches!(trb.kind(), NORMAL | EVENT_DATA | NO_OP);
        let (true, Some(room)) = (descriptor.trbs().all(known), descriptor.len()) else {
            return self.halt(cx, slot, dci, &descriptor, Code::TrbError);
        };
        let idle = descriptor.data().next().is_none();
        let (number, to_host) = (dci / 2, dci % 2 == 1);
        let sent = if to_host { Vec::new() } else { descriptor.read(cx) };
        let port = self.registers.slots[slot].port;
        let Some((device, model)) = self.device_at(port) else {
            return self.halt(cx, slot, dci, &descriptor, Code::TrbError);
        };
        let answer = match (idle, to_host) {
            (true, _) => Answer::Done(Vec::new()),
            (false, true) => device.take(cx, model, number, room),
            (false, false) => device.give(cx, model, number, &sent),
        };
        match answer {
            Answer::Done(bytes) => {
                descriptor.write(cx, &bytes);
                self.report(cx, slot, dci, &descriptor, if to_host { bytes.len() } else { sent.len() });
                self.registers.slots[slot].endpoints[usize::from(dci) - 1].ring = descriptor.after;
                Outcome::Done
            }
            Answer::Nak => Outcome::Nak,
            Answer::Stall => self.halt(cx, slot, dci, &descriptor, Code::Stall),
        }
    }

    /// Tells of a descriptor whose data was `moved` bytes (4.10.1): of blocks that ask for it, of the first that is short
    /// if it asks for that.
    fn report(&mut self, cx: &mut DeviceCtx, slot: usize, dci: u8, descriptor: &Descriptor, moved: usize) {
        let (mut left, mut total, mut short) = (moved as u64, 0u32, false);
        let mut told_short = false;
        for trb in descriptor.trbs() {
            let has_data = matches!(trb.kind(), NORMAL | DATA);
            let now = if has_data { u64::from(trb.len()).min(left) as u32 } else { 0 };
            left -= u64::from(now);
            total = total.wrapping_add(now);
            let is_short = has_data && now < trb.len();
            short |= is_short;
            let code = if short && trb.kind() != STATUS { Code::ShortPacket } else { Code::Success };
            let wanted = trb.tells_completion() || is_short && trb.tells_short();
            let again = told_short && trb.kind() != STATUS && trb.kind() != EVENT_DATA;
            if !wanted || again {
                continue;
            }
            told_short |= code == Code::ShortPacket;
            let rest = if has_data { trb.len() - now } else { 0 };
            self.tell(cx, slot, dci, trb, code, if trb.kind() == EVENT_DATA { total } else { rest });
            if trb.kind() == EVENT_DATA {
                total = 0;
            }
        }
    }

    fn tell(&mut self, cx: &mut DeviceCtx, slot: usize, dci: u8, trb: &Trb, code: Code, length: u32) {
        let is_data = trb.kind() == EVENT_DATA;
        let parameter = if is_data { trb.parameter } else { trb.at };
        let event = Event {
            length,
            slot: slot as u8 + 1,
            endpoint: dci,
            is_data,
            ..Event::new(TRANSFER_EVENT, parameter, code)
        };
        self.registers.push(cx, trb.interrupter(), &event);
    }

    /// The endpoint halts before the descriptor's data, or its first block.
    fn halt(
        &mut self,
        cx: &mut DeviceCtx,
        slot: usize,
        dci: u8,
        descriptor: &Descriptor,
        code: Code,
    ) -> Outcome {
        let stalled = descriptor.blocks.iter().find(|(_, trb)| trb.kind() != SETUP);
        let Some((ring, trb)) = stalled.or(descriptor.blocks.first()) else { return Outcome::Nothing };
        self.tell(cx, slot, dci, trb, code, trb.len());
        let endpoint = &mut self.registers.slots[slot].endpoints[usize::from(dci) - 1];
        endpoint.ring = *ring;
        endpoint.state = if code == Code::Stall { State::Halted } else { State::Error };
        endpoint.rung = false;
        self.registers.slots[slot].store_endpoint(cx, dci);
        Outcome::Done
    }
}
