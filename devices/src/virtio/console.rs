//! virtio-console (virtio 1.2, 5.3): a console, and with multiple ports a channel of bytes that has a name.
//!
//! What the guest writes leaves as an [`Effect`] when its time is over. Bytes from outside land when the machine hands them
//! over, in buffers the guest has there; what there is no buffer for stays with the host.

mod control;

use super::function::OnVirtio;
use super::in_flight::InFlight;
use super::queue::{Broken, gather, scatter, total};
use super::transport::{F_EVENT_INDEX, F_INDIRECT, F_VERSION_1, Offer, Request, Transport, layout};
use crate::device::{Device, DeviceCtx, DeviceId, Dma};
use crate::effects::Effect;
use crate::pci::endpoint::Layout;
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use control::Ports;
use serde::{Deserialize, Serialize};

/// Simple communication controller, other. A message for the configuration and one for each queue.
static LAYOUT: Layout = layout(3, 0x0780_0001, 7);
const F_MULTIPORT: u64 = 1 << 1;

/// Ports: the console, and a channel.
pub const CONSOLE_PORTS: u8 = 2;
/// Name of the channel, under which guests find it in /dev/virtio-ports.
pub const CHANNEL_NAME: &str = "amber.channel.0";

/// Queues (5.3.2): each port's pair, that of control messages between the first and the others.
const QUEUES: usize = 6;
const CONTROL_IN: u16 = 2;
const CONTROL_OUT: u16 = 3;

/// Most bytes of a chain the guest writes that leave; more than a driver's are, which are a page.
const BYTES_MAX: u64 = 64 << 10;
/// What a chain takes, in ns of virtual time: this, and a ns for each byte.
const CHAIN_NS: u64 = 2_000;

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Registers {
    transport: Transport,
    /// What the guest writes, by port.
    sending: Vec<InFlight>,
    ports: Ports,
}

impl Section for Registers {
    const KIND: &'static str = "virtio-console";
    const VERSION: u32 = 1;
}

/// The console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VirtioConsole {
    registers: Registers,
    slot: u8,
}

/// Queues of a port: into the guest, and out of it.
fn queues(port: u8) -> [u16; 2] {
    let first = if port == 0 { 0 } else { 2 + 2 * u16::from(port) };
    [first, first + 1]
}

/// struct virtio_console_config (5.3.4): columns, rows, ports; an emergency write is not offered.
fn structure() -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[4] = CONSOLE_PORTS;
    bytes
}

impl VirtioConsole {
    pub fn new(slot: u8) -> Self {
        let registers = Registers {
            transport: Transport::new(&LAYOUT, QUEUES),
            sending: vec![InFlight::default(); usize::from(CONSOLE_PORTS)],
            ports: Ports::default(),
        };
        Self { registers, slot }
    }

    fn offer<'a>(&self, structure: &'a [u8]) -> Offer<'a> {
        let features = F_INDIRECT | F_EVENT_INDEX | F_VERSION_1 | F_MULTIPORT;
        Offer { layout: &LAYOUT, features, config: structure, generation: 0, slot: self.slot }
    }

    /// Whether a port is there for the driver.
    fn has_port(&self, port: u8) -> bool {
        port < if self.registers.transport.has(F_MULTIPORT) { CONSOLE_PORTS } else { 1 }
    }

    /// Bytes the guest's next buffer for a port has room for: none, unless it reads the port and has one there.
    pub fn room(&mut self, dma: &mut dyn Dma, port: u8) -> usize {
        let Registers { transport, ports, .. } = &mut self.registers;
        let listens = !transport.has(F_MULTIPORT) || ports.is_open(port);
        let [n, _] = queues(port);
        if !self.has_port(port) || !listens || !self.registers.transport.serves(n) {
            return 0;
        }
        match self.peek(dma, n) {
            Ok(None) => 0,
            Ok(Some(room)) => room.min(BYTES_MAX) as usize,
            // Whoever gives it bytes finds out.
            Err(Broken(_)) => 1,
        }
    }

    /// What the next chain of a queue has room for. It stays where it is.
    fn peek(&mut self, dma: &mut dyn Dma, n: u16) -> Result<Option<u64>, Broken> {
        let transport = &mut self.registers.transport;
        let features = transport.ring_features();
        let queue = &mut transport.queues[usize::from(n)];
        let Some(head) = queue.pop(dma)? else { return Ok(None) };
        queue.put_back(1);
        Ok(Some(total(&queue.chain(dma, head, features)?.writable)))
    }

    /// Bytes come in at a port, no more than it has room for. Whether they landed.
    pub fn receive(&mut self, cx: &mut DeviceCtx, port: u8, bytes: &[u8]) -> bool {
        if bytes.is_empty() || bytes.len() > self.room(cx.dma, port) {
            return false;
        }
        let [n, _] = queues(port);
        let before = self.registers.transport.queues[usize::from(n)].used();
        match self.fill(cx.dma, n, bytes) {
            Ok(_) => {
                self.tell(cx, n, before);
                true
            }
            Err(broken) => {
                self.fail(cx, broken);
                false
            }
        }
    }

    /// Fills the next buffer of a queue with the first of `bytes`; how many it had room for.
    fn fill(&mut self, dma: &mut dyn Dma, n: u16, bytes: &[u8]) -> Result<usize, Broken> {
        let transport = &mut self.registers.transport;
        let features = transport.ring_features();
        let queue = &mut transport.queues[usize::from(n)];
        let Some(head) = queue.pop(dma)? else { return Ok(0) };
        let buffers = queue.chain(dma, head, features)?.writable;
        if buffers.is_empty() {
            return Err(Broken("a buffer for input that cannot be written"));
        }
        let len = bytes.len().min(usize::try_from(total(&buffers)).unwrap_or(usize::MAX));
        scatter(dma, &buffers, &bytes[..len]);
        queue.push(dma, head, len as u32);
        Ok(len)
    }

    /// Interrupts, if the driver wants to hear of the chains used since the index was `before`.
    fn tell(&mut self, cx: &mut DeviceCtx, n: u16, before: u16) {
        let transport = &mut self.registers.transport;
        let features = transport.ring_features();
        if transport.queues[usize::from(n)].wants_interrupt(cx.dma, before, features) {
            transport.interrupt_queue(cx, self.slot, n);
        }
    }

    fn forget(&mut self) {
        self.registers.sending.iter_mut().for_each(InFlight::clear);
        self.registers.ports = Ports::default();
    }

    fn take(&mut self, cx: &mut DeviceCtx) -> Result<(), Broken> {
        if self.registers.transport.has(F_MULTIPORT) {
            self.converse(cx)?;
        }
        for port in (0..CONSOLE_PORTS).filter(|port| self.has_port(*port)).collect::<Vec<_>>() {
            self.take_port(cx, port)?;
        }
        Ok(())
    }

    /// Takes what the guest writes to a port off its queue.
    fn take_port(&mut self, cx: &mut DeviceCtx, port: u8) -> Result<(), Broken> {
        let [_, n] = queues(port);
        let Registers { transport, sending, .. } = &mut self.registers;
        let (features, sending) = (transport.ring_features(), &mut sending[usize::from(port)]);
        while transport.serves(n) {
            let queue = &mut transport.queues[usize::from(n)];
            let Some(head) = queue.pop(cx.dma)? else {
                queue.ask_for_notification(cx.dma, features);
                break;
            };
            if sending.len() >= usize::from(queue.size) {
                return Err(Broken("more writes in flight than the queue is long"));
            }
            let len = total(&queue.chain(cx.dma, head, features)?.readable).min(BYTES_MAX);
            sending.push(head, cx.now(), CHAIN_NS + len);
        }
        Ok(())
    }

    /// Control messages: takes those of the driver, and answers as long as it has buffers. What it asks when it has none
    /// for the answers stays in its queue.
    fn converse(&mut self, cx: &mut DeviceCtx) -> Result<(), Broken> {
        let used = |registers: &Registers, n: u16| registers.transport.queues[usize::from(n)].used();
        let (inward, outward) = (used(&self.registers, CONTROL_IN), used(&self.registers, CONTROL_OUT));
        self.answer_control(cx.dma)?;
        while self.registers.ports.takes_messages() {
            let Some(message) = self.next_control(cx.dma)? else { break };
            self.registers.ports.hear(&message);
            self.answer_control(cx.dma)?;
        }
        self.tell(cx, CONTROL_OUT, outward);
        self.tell(cx, CONTROL_IN, inward);
        Ok(())
    }

    /// The driver's next control message.
    fn next_control(&mut self, dma: &mut dyn Dma) -> Result<Option<[u8; control::LEN]>, Broken> {
        let transport = &mut self.registers.transport;
        if !transport.serves(CONTROL_OUT) {
            return Ok(None);
        }
        let features = transport.ring_features();
        let queue = &mut transport.queues[usize::from(CONTROL_OUT)];
        let Some(head) = queue.pop(dma)? else {
            queue.ask_for_notification(dma, features);
            return Ok(None);
        };
        let buffers = queue.chain(dma, head, features)?.readable;
        let mut message = [0; control::LEN];
        gather(dma, &buffers, &mut message);
        queue.push(dma, head, 0);
        Ok(Some(message))
    }

    /// Sends what is to be told, as long as there are buffers.
    fn answer_control(&mut self, dma: &mut dyn Dma) -> Result<(), Broken> {
        while self.registers.transport.serves(CONTROL_IN)
            && let Some(message) = self.registers.ports.next()
        {
            if self.fill(dma, CONTROL_IN, &message)? == 0 {
                break;
            }
            self.registers.ports.sent();
        }
        Ok(())
    }

    /// While the function is no bus master, nothing leaves.
    fn arm(&mut self, cx: &mut DeviceCtx) {
        for port in 0..CONSOLE_PORTS {
            let serves = self.registers.transport.serves(queues(port)[1]);
            let next = self.registers.sending[usize::from(port)].next().filter(|_| serves);
            let next = next.map(|due| due.max(cx.now()));
            cx.set_timer(DeviceId::Slot(self.slot), u16::from(port), next);
        }
    }

    fn fail(&mut self, cx: &mut DeviceCtx, Broken(why): Broken) {
        tracing::debug!(target: "virtio-console", "{why}; the device needs a reset");
        self.forget();
        self.registers.transport.fail(cx, self.slot);
        self.arm(cx);
    }

    /// What was written to a port and is due leaves.
    fn send(&mut self, cx: &mut DeviceCtx, port: u8) -> Result<(), Broken> {
        let [_, n] = queues(port);
        let features = self.registers.transport.ring_features();
        let before = self.registers.transport.queues[usize::from(n)].used();
        for head in self.registers.sending[usize::from(port)].land(cx.now()) {
            let queue = &mut self.registers.transport.queues[usize::from(n)];
            let buffers = queue.chain(cx.dma, head, features)?.readable;
            let mut bytes = vec![0; total(&buffers).min(BYTES_MAX) as usize];
            gather(cx.dma, &buffers, &mut bytes);
            queue.push(cx.dma, head, 0);
            cx.effects.push(Effect::Console { port, bytes });
        }
        self.tell(cx, n, before);
        Ok(())
    }
}

impl Device for VirtioConsole {
    fn timer(&mut self, cx: &mut DeviceCtx, timer: u16) {
        let Some(port) = u8::try_from(timer).ok().filter(|port| *port < CONSOLE_PORTS) else { return };
        if self.registers.transport.serves(queues(port)[1]) {
            if let Err(broken) = self.send(cx, port) {
                return self.fail(cx, broken);
            }
            self.arm(cx);
        }
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        *self = Self::new(self.slot);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let Registers { transport, sending, ports } = &self.registers;
        if let Some(field) = transport.impossible(&self.offer(&structure()), QUEUES) {
            return Some((field, "what no virtio-console comes to".to_owned()));
        }
        let sane = |(port, sending): (u8, &InFlight)| {
            sending.is_consistent(transport.queues[usize::from(queues(port)[1])].size)
        };
        if sending.len() != usize::from(CONSOLE_PORTS) || !(0..).zip(sending).all(sane) {
            return Some(("sending", format!("of {} ports", sending.len())));
        }
        (!ports.is_consistent()).then(|| ("ports", "what no driver asks for".to_owned()))
    }
}

impl OnVirtio for VirtioConsole {
    const LAYOUT: &'static Layout = &LAYOUT;

    fn pci_slot(&self) -> u8 {
        self.slot
    }

    fn transport(&self) -> &Transport {
        &self.registers.transport
    }

    fn with_offer<R>(&mut self, act: impl FnOnce(&mut Transport, &Offer) -> R) -> R {
        let structure = structure();
        let offer = self.offer(&structure);
        act(&mut self.registers.transport, &offer)
    }

    fn answer(&mut self, cx: &mut DeviceCtx, request: Request) {
        match request {
            Request::Nothing => return,
            Request::Reset => self.forget(),
            Request::Notify(_) | Request::Look => {
                if let Err(broken) = self.take(cx) {
                    self.fail(cx, broken);
                }
            }
        }
        self.arm(cx);
    }

    fn name(&self) -> String {
        "virtio-console0".to_owned()
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
