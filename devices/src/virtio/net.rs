//! virtio-net (virtio 1.2, 5.1): an Ethernet adapter with one queue each way, which does checksums and segmentation.
//!
//! A frame the guest sends leaves when its time on the wire is over: its buffer is read at that moment, as hardware that
//! reads it last of all might, and the frame is an [`Effect`]. A frame from outside lands when the machine hands it over.
//! Frames for which the guest has no buffer stay with the host.

mod offload;

use super::function::OnVirtio;
use super::queue::{Broken, Segment, gather, scatter, total};
use super::transport::{F_EVENT_INDEX, F_INDIRECT, F_VERSION_1, Offer, Request, Transport, layout};
use crate::device::{Device, DeviceCtx, DeviceId, Dma};
use crate::effects::Effect;
use crate::nic::{FRAME_MAX, FRAME_MIN, FRAME_NS, Nic, NicConfig};
use crate::pci::endpoint::Layout;
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use offload::{Agreed, PACKET_MAX};
use serde::{Deserialize, Serialize};

/// Network controller, Ethernet. A message each for the configuration and the two queues.
static LAYOUT: Layout = layout(1, 0x0200_0001, 3);
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const QUEUES: usize = 2;
const TIMER: u16 = 0;

const F_CSUM: u64 = 1 << 0;
const F_GUEST_CSUM: u64 = 1 << 1;
const F_MAC: u64 = 1 << 5;
const F_HOST_TSO4: u64 = 1 << 11;
const F_HOST_TSO6: u64 = 1 << 12;
const F_MERGEABLE: u64 = 1 << 15;
const F_STATUS: u64 = 1 << 16;

/// struct virtio_net_hdr: a version 1 device always has its last field, the number of buffers.
const HEADER_LEN: usize = 12;
const NUM_BUFFERS: usize = 10;

/// Frames that leave within so much time leave at the end of it, ns.
const TOGETHER_NS: u64 = 50_000;

/// A frame taken off the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Sending {
    /// Head of its chain.
    head: u16,
    /// When it has left, ns.
    due: u64,
}

/// A buffer for a frame, or for a part of one.
struct Buffer {
    /// Head of its chain.
    head: u16,
    segments: Vec<Segment>,
}

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Registers {
    transport: Transport,
    /// In the order they leave.
    sending: Vec<Sending>,
    /// The cable is plugged in at both ends.
    link_up: bool,
    /// Counts the changes of the device-specific configuration.
    generation: u8,
}

impl Section for Registers {
    const KIND: &'static str = "virtio-net";
    const VERSION: u32 = 1;
}

/// The adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VirtioNet {
    registers: Registers,
    slot: u8,
    config: NicConfig,
}

impl VirtioNet {
    pub fn new(slot: u8, config: &NicConfig) -> Self {
        let registers = Registers {
            transport: Transport::new(&LAYOUT, QUEUES),
            sending: Vec::new(),
            link_up: true,
            generation: 0,
        };
        Self { registers, slot, config: config.clone() }
    }

    /// struct virtio_net_config (5.1.4): address, status; the rest belongs to features that are not offered.
    fn structure(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..6].copy_from_slice(&self.config.mac);
        bytes[6..8].copy_from_slice(&u16::from(self.registers.link_up).to_le_bytes());
        bytes
    }

    /// What the transport is told of the device.
    fn offer<'a>(&self, structure: &'a [u8]) -> Offer<'a> {
        let offloads = F_CSUM | F_GUEST_CSUM | F_HOST_TSO4 | F_HOST_TSO6;
        let features = F_INDIRECT | F_EVENT_INDEX | F_VERSION_1 | F_MAC | F_MERGEABLE | F_STATUS | offloads;
        let generation = self.registers.generation;
        Offer { layout: &LAYOUT, features, config: structure, generation, slot: self.slot }
    }

    /// Takes what is to be sent off the queue, and says when the next frame has left.
    fn take(&mut self, cx: &mut DeviceCtx) {
        if let Err(broken) = self.take_all(cx) {
            self.fail(cx, broken);
        }
        self.arm(cx);
    }

    fn take_all(&mut self, cx: &mut DeviceCtx) -> Result<(), Broken> {
        let Registers { transport, sending, .. } = &mut self.registers;
        let features = transport.ring_features();
        while transport.serves(TRANSMIT) {
            let queue = &mut transport.queues[usize::from(TRANSMIT)];
            let Some(head) = queue.pop(cx.dma)? else {
                queue.ask_for_notification(cx.dma, features);
                break;
            };
            if sending.len() >= usize::from(queue.size) {
                return Err(Broken("more frames on their way than the queue is long"));
            }
            let len = total(&queue.chain(cx.dma, head, features)?.readable).min(PACKET_MAX as u64);
            // One frame is on the wire at a time.
            let begin = sending.last().map_or(0, |before| before.due).max(cx.now());
            sending
                .push(Sending { head, due: begin + FRAME_NS * len.div_ceil(FRAME_MAX as u64).max(1) + len });
        }
        Ok(())
    }

    /// While the function is no bus master, nothing leaves. Frames that follow each other closely leave together.
    fn arm(&mut self, cx: &mut DeviceCtx) {
        let sending = &self.registers.sending;
        let serves = self.registers.transport.serves(TRANSMIT);
        let next = sending.first().filter(|_| serves).map(|first| {
            let together = sending.partition_point(|frame| frame.due <= first.due + TOGETHER_NS);
            sending[together - 1].due.max(cx.now())
        });
        cx.set_timer(DeviceId::Slot(self.slot), TIMER, next);
    }

    fn fail(&mut self, cx: &mut DeviceCtx, Broken(why): Broken) {
        tracing::debug!(target: "virtio-net", "{why}; the device needs a reset");
        self.registers.sending.clear();
        self.registers.transport.fail(cx, self.slot);
        self.arm(cx);
    }

    /// The frames whose time is over leave, all at this moment.
    fn send(&mut self, cx: &mut DeviceCtx) -> Result<(), Broken> {
        let Registers { transport, sending, link_up, .. } = &mut self.registers;
        let agreed = Agreed {
            checksums: transport.has(F_CSUM),
            segments_v4: transport.has(F_HOST_TSO4),
            segments_v6: transport.has(F_HOST_TSO6),
        };
        let features = transport.ring_features();
        let queue = &mut transport.queues[usize::from(TRANSMIT)];
        let before = queue.used();
        let due = sending.partition_point(|frame| frame.due <= cx.now());
        for Sending { head, .. } in sending.drain(..due) {
            let chain = queue.chain(cx.dma, head, features)?;
            for frame in frames(cx.dma, &chain.readable, agreed)? {
                if *link_up && (FRAME_MIN..=FRAME_MAX).contains(&frame.len()) {
                    cx.effects.push(Effect::Frame(frame));
                }
            }
            queue.push(cx.dma, head, 0);
        }
        self.tell(cx, TRANSMIT, before);
        Ok(())
    }

    /// Interrupts, if the driver wants to hear of the chains used since the index was `before`.
    fn tell(&mut self, cx: &mut DeviceCtx, n: u16, before: u16) {
        let transport = &mut self.registers.transport;
        let features = transport.ring_features();
        if transport.queues[usize::from(n)].wants_interrupt(cx.dma, before, features) {
            transport.interrupt_queue(cx, self.slot, n);
        }
    }

    fn land(&mut self, cx: &mut DeviceCtx, frame: &[u8]) -> Result<bool, Broken> {
        let need = HEADER_LEN + frame.len();
        let Some(buffers) = self.buffers(cx.dma, need as u64)? else { return Ok(false) };
        let mut bytes = vec![0; need];
        if self.registers.transport.has(F_GUEST_CSUM) {
            bytes[0] = offload::flags(frame);
        }
        bytes[NUM_BUFFERS..HEADER_LEN].copy_from_slice(&(buffers.len() as u16).to_le_bytes());
        bytes[HEADER_LEN..].copy_from_slice(frame);
        let mut left = &bytes[..];
        let queue = &mut self.registers.transport.queues[usize::from(RECEIVE)];
        for Buffer { head, segments } in buffers {
            let room = usize::try_from(total(&segments)).unwrap_or(usize::MAX).min(left.len());
            let (here, rest) = left.split_at(room);
            scatter(cx.dma, &segments, here);
            queue.push(cx.dma, head, here.len() as u32);
            left = rest;
        }
        Ok(true)
    }

    /// Takes buffers for `need` bytes off the queue: one, or, if the driver takes merged ones, as few as it takes. `None`,
    /// with all left where they are, if there is not so much room.
    fn buffers(&mut self, dma: &mut dyn Dma, need: u64) -> Result<Option<Vec<Buffer>>, Broken> {
        let transport = &mut self.registers.transport;
        let (features, merges) = (transport.ring_features(), transport.has(F_MERGEABLE));
        let queue = &mut transport.queues[usize::from(RECEIVE)];
        let (mut buffers, mut room) = (Vec::new(), 0);
        while room < need {
            let more = if merges || buffers.is_empty() { queue.pop(dma)? } else { None };
            let Some(head) = more else {
                queue.put_back(buffers.len() as u16);
                return Ok(None);
            };
            let segments = queue.chain(dma, head, features)?.writable;
            if segments.is_empty() {
                return Err(Broken("a receive buffer that cannot be written"));
            }
            room += total(&segments);
            buffers.push(Buffer { head, segments });
        }
        Ok(Some(buffers))
    }
}

/// The frames of a chain to be sent.
fn frames(dma: &mut dyn Dma, segments: &[Segment], agreed: Agreed) -> Result<Vec<Vec<u8>>, Broken> {
    let len = usize::try_from(total(segments)).unwrap_or(usize::MAX);
    if len < HEADER_LEN {
        return Err(Broken("a frame without a header"));
    }
    if len > HEADER_LEN + PACKET_MAX {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; len];
    gather(dma, segments, &mut bytes);
    Ok(offload::frames(bytes, agreed))
}

impl Nic for VirtioNet {
    fn takes_frames(&mut self, dma: &mut dyn Dma) -> bool {
        let transport = &self.registers.transport;
        self.registers.link_up
            && transport.serves(RECEIVE)
            && transport.queues[usize::from(RECEIVE)].has_chain(dma)
    }

    fn receive(&mut self, cx: &mut DeviceCtx, frame: &[u8]) -> bool {
        let open = self.registers.link_up && self.registers.transport.serves(RECEIVE);
        if !open || !(FRAME_MIN..=FRAME_MAX).contains(&frame.len()) {
            return false;
        }
        let before = self.registers.transport.queues[usize::from(RECEIVE)].used();
        match self.land(cx, frame) {
            Ok(landed) => {
                self.tell(cx, RECEIVE, before);
                landed
            }
            Err(broken) => {
                self.fail(cx, broken);
                false
            }
        }
    }

    fn set_link(&mut self, cx: &mut DeviceCtx, up: bool) {
        if self.registers.link_up != up {
            self.registers.link_up = up;
            self.registers.generation = self.registers.generation.wrapping_add(1);
            self.registers.transport.interrupt_config(cx, self.slot);
        }
    }
}

impl Device for VirtioNet {
    fn timer(&mut self, cx: &mut DeviceCtx, _timer: u16) {
        if self.registers.transport.serves(TRANSMIT) {
            if let Err(broken) = self.send(cx) {
                self.fail(cx, broken);
            }
            self.arm(cx);
        }
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        // Nobody has touched the cable.
        let link_up = self.registers.link_up;
        *self = Self::new(self.slot, &self.config);
        self.registers.link_up = link_up;
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let Registers { transport, sending, .. } = &self.registers;
        if let Some(field) = transport.impossible(&self.offer(&self.structure()), QUEUES) {
            return Some((field, "what no virtio-net comes to".to_owned()));
        }
        let size = transport.queues.get(usize::from(TRANSMIT)).map_or(0, |queue| queue.size);
        let ordered = sending.windows(2).all(|pair| pair[0].due <= pair[1].due);
        let sane = sending.iter().all(|frame| frame.head < size && frame.due <= crate::TIME_MAX);
        let possible = sending.len() <= usize::from(size) && ordered && sane;
        (!possible).then(|| ("sending", format!("{} frames", sending.len())))
    }
}

impl OnVirtio for VirtioNet {
    const LAYOUT: &'static Layout = &LAYOUT;

    fn pci_slot(&self) -> u8 {
        self.slot
    }

    fn transport(&self) -> &Transport {
        &self.registers.transport
    }

    fn with_offer<R>(&mut self, act: impl FnOnce(&mut Transport, &Offer) -> R) -> R {
        let structure = self.structure();
        let offer = self.offer(&structure);
        act(&mut self.registers.transport, &offer)
    }

    fn answer(&mut self, cx: &mut DeviceCtx, request: Request) {
        match request {
            Request::Notify(TRANSMIT) | Request::Look => self.take(cx),
            Request::Nothing | Request::Notify(_) => {}
            Request::Reset => {
                self.registers.sending.clear();
                self.arm(cx);
            }
        }
    }

    fn name(&self) -> String {
        "virtio-net0".to_owned()
    }

    fn section(&self, path: &str) -> OwnedSection {
        self.registers.to_section(path)
    }

    fn take_section(&mut self, section: &OwnedSection) -> Result<(), SectionError> {
        self.registers = Registers::from_section(section)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
