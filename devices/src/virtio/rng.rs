//! virtio-rng (virtio 1.2, 5.4): entropy. There is none in a machine that is a function: the bytes are a stream of their own
//! made from the machine's seed, by blake3's extendable output, and the section says how far it was read. A reset does not
//! begin it anew.

use super::function::OnVirtio;
use super::in_flight::InFlight;
use super::queue::{Broken, scatter, total};
use super::transport::{F_EVENT_INDEX, F_INDIRECT, F_VERSION_1, Offer, Request, Transport, layout};
use crate::TIME_MAX;
use crate::device::{Device, DeviceCtx, DeviceId};
use crate::pci::endpoint::Layout;
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use serde::{Deserialize, Serialize};

/// Neither of the classes of a PC's devices: what QEMU's virtio-rng says it is.
static LAYOUT: Layout = layout(4, 0x00ff_0001, 2);
const QUEUE: u16 = 0;
const TIMER: u16 = 0;
const OFFER: Offer<'static> = Offer {
    layout: &LAYOUT,
    features: F_INDIRECT | F_EVENT_INDEX | F_VERSION_1,
    config: &[],
    generation: 0,
    slot: 0,
};

/// Most bytes of a request; the driver asks again for more (5.4.6.1).
const BYTES_MAX: u64 = 4096;
/// What a request takes, in ns of virtual time: this, and so much for each byte.
const REQUEST_NS: u64 = 5_000;
const BYTE_NS: u64 = 4;
/// Tells the stream from others that are made from the seed.
const CONTEXT: &str = "amber virtio-rng stream 1";

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Registers {
    transport: Transport,
    in_flight: InFlight,
    /// Bytes of the stream that were given out.
    position: u64,
}

impl Section for Registers {
    const KIND: &'static str = "virtio-rng";
    const VERSION: u32 = 1;
}

/// The source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VirtioRng {
    registers: Registers,
    slot: u8,
    seed: u64,
}

impl VirtioRng {
    pub fn new(slot: u8, seed: u64) -> Self {
        let transport = Transport::new(&LAYOUT, 1);
        Self { registers: Registers { transport, in_flight: InFlight::default(), position: 0 }, slot, seed }
    }

    fn offer(&self) -> Offer<'static> {
        Offer { slot: self.slot, ..OFFER }
    }

    /// Takes what is available off the queue.
    fn take(&mut self, cx: &mut DeviceCtx) -> Result<(), Broken> {
        let Registers { transport, in_flight, .. } = &mut self.registers;
        let features = transport.ring_features();
        while transport.serves(QUEUE) {
            let queue = &mut transport.queues[usize::from(QUEUE)];
            let Some(head) = queue.pop(cx.dma)? else {
                queue.ask_for_notification(cx.dma, features);
                break;
            };
            if in_flight.len() >= usize::from(queue.size) {
                return Err(Broken("more requests in flight than the queue is long"));
            }
            let len = total(&queue.chain(cx.dma, head, features)?.writable).min(BYTES_MAX);
            in_flight.push(head, cx.now(), REQUEST_NS + len * BYTE_NS);
        }
        Ok(())
    }

    /// While the function is no bus master, nothing lands.
    fn arm(&mut self, cx: &mut DeviceCtx) {
        let Registers { transport, in_flight, .. } = &self.registers;
        let next = in_flight.next().filter(|_| transport.serves(QUEUE)).map(|due| due.max(cx.now()));
        cx.set_timer(DeviceId::Slot(self.slot), TIMER, next);
    }

    fn fail(&mut self, cx: &mut DeviceCtx, Broken(why): Broken) {
        tracing::debug!(target: "virtio-rng", "{why}; the device needs a reset");
        self.registers.in_flight.clear();
        self.registers.transport.fail(cx, self.slot);
    }

    /// The next bytes of the stream.
    fn draw(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut stream =
            blake3::Hasher::new_derive_key(CONTEXT).update(&self.seed.to_le_bytes()).finalize_xof();
        stream.set_position(self.registers.position);
        stream.fill(&mut bytes);
        self.registers.position += len as u64;
        bytes
    }

    /// What is due lands.
    fn land(&mut self, cx: &mut DeviceCtx) -> Result<(), Broken> {
        let features = self.registers.transport.ring_features();
        let before = self.registers.transport.queues[usize::from(QUEUE)].used();
        for head in self.registers.in_flight.land(cx.now()) {
            let queue = &self.registers.transport.queues[usize::from(QUEUE)];
            let buffers = queue.chain(cx.dma, head, features)?.writable;
            let bytes = self.draw(total(&buffers).min(BYTES_MAX) as usize);
            scatter(cx.dma, &buffers, &bytes);
            let queue = &mut self.registers.transport.queues[usize::from(QUEUE)];
            queue.push(cx.dma, head, bytes.len() as u32);
        }
        if self.registers.transport.queues[usize::from(QUEUE)].wants_interrupt(cx.dma, before, features) {
            self.registers.transport.interrupt_queue(cx, self.slot, QUEUE);
        }
        Ok(())
    }
}

impl Device for VirtioRng {
    fn timer(&mut self, cx: &mut DeviceCtx, _timer: u16) {
        if self.registers.transport.serves(QUEUE) {
            if let Err(broken) = self.land(cx) {
                self.fail(cx, broken);
            }
            self.arm(cx);
        }
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        let position = self.registers.position;
        *self = Self::new(self.slot, self.seed);
        self.registers.position = position;
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let Registers { transport, in_flight, position } = &self.registers;
        if let Some(field) = transport.impossible(&self.offer(), 1) {
            return Some((field, "what no virtio-rng comes to".to_owned()));
        }
        let size = transport.queues.first().map_or(0, |queue| queue.size);
        if !in_flight.is_consistent(size) {
            return Some(("in_flight", format!("{} requests", in_flight.len())));
        }
        (*position > TIME_MAX).then(|| ("position", position.to_string()))
    }
}

impl OnVirtio for VirtioRng {
    const LAYOUT: &'static Layout = &LAYOUT;

    fn pci_slot(&self) -> u8 {
        self.slot
    }

    fn transport(&self) -> &Transport {
        &self.registers.transport
    }

    fn with_offer<R>(&mut self, act: impl FnOnce(&mut Transport, &Offer) -> R) -> R {
        let offer = self.offer();
        act(&mut self.registers.transport, &offer)
    }

    fn answer(&mut self, cx: &mut DeviceCtx, request: Request) {
        match request {
            Request::Nothing => return,
            Request::Reset => self.registers.in_flight.clear(),
            Request::Notify(QUEUE) | Request::Look => {
                if let Err(broken) = self.take(cx) {
                    self.fail(cx, broken);
                }
            }
            Request::Notify(_) => {}
        }
        self.arm(cx);
    }

    fn name(&self) -> String {
        "virtio-rng0".to_owned()
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
