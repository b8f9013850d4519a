//! virtio-blk (virtio 1.2, 5.2): a disk.
//!
//! The device owns registers only. A request is taken off the queue when the driver rings, and lands, the whole of it, at
//! a time that is a function of its kind and length: until then nothing of it has happened. What is in flight is in the
//! section as the head of its chain, which is read again when it lands.

use super::function::OnVirtio;
use super::queue::{Broken, Chain, QUEUE_SIZE_MAX, Segment, part, total};
use super::transport::{F_EVENT_INDEX, F_INDIRECT, F_VERSION_1, Offer, Request, Transport, layout};
use crate::device::{Device, DeviceCtx, DeviceId, MediumError};
use crate::disk::{DiskConfig, SECTOR};
use crate::pci::endpoint::Layout;
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use serde::{Deserialize, Serialize};

/// Mass storage, SCSI: what QEMU's virtio-blk says it is.
static LAYOUT: Layout = layout(2, 0x0100_0001, 2);
const QUEUE: u16 = 0;
const TIMER: u16 = 0;

const F_SIZE_MAX: u64 = 1 << 1;
const F_SEG_MAX: u64 = 1 << 2;
const F_RO: u64 = 1 << 5;
const F_BLK_SIZE: u64 = 1 << 6;
const F_FLUSH: u64 = 1 << 9;

/// Longest segment, and most of them in a request. Longer requests fail.
const SIZE_MAX: u32 = 128 << 10;
const SEG_MAX: u32 = QUEUE_SIZE_MAX as u32 - 2;
const REQUEST_MAX: u64 = SIZE_MAX as u64 * SEG_MAX as u64;

const T_IN: u32 = 0;
const T_OUT: u32 = 1;
const T_FLUSH: u32 = 4;
const T_GET_ID: u32 = 8;
const S_OK: u8 = 0;
const S_IOERR: u8 = 1;
const S_UNSUPP: u8 = 2;
const HEADER_LEN: u64 = 16;
const ID_LEN: usize = 20;

/// What requests take, in ns of virtual time: this, and a ns for every two bytes (2 GB/s).
const READ_NS: u64 = 20_000;
const WRITE_NS: u64 = 30_000;
const FLUSH_NS: u64 = 60_000;
const OTHER_NS: u64 = 5_000;

/// Bytes moved at a time within a request.
const CHUNK: usize = 64 << 10;

/// A request taken off the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct InFlight {
    /// Head of its chain.
    head: u16,
    /// When it lands, ns.
    due: u64,
}

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Registers {
    transport: Transport,
    /// In the order they land.
    in_flight: Vec<InFlight>,
}

impl Section for Registers {
    const KIND: &'static str = "virtio-blk";
    const VERSION: u32 = 1;
}

/// A disk in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VirtioBlk {
    registers: Registers,
    slot: u8,
    /// Which of the machine's disks it is.
    disk: u8,
    config: DiskConfig,
    /// The device-specific configuration structure.
    structure: Vec<u8>,
}

/// What the driver asks for.
struct Command<'a> {
    chain: &'a Chain,
    kind: u32,
    sector: u64,
    /// Bytes of data, to or from the disk.
    len: u64,
}

impl VirtioBlk {
    pub fn new(slot: u8, disk: u8, config: &DiskConfig) -> Self {
        Self {
            registers: Registers { transport: Transport::new(&LAYOUT, 1), in_flight: Vec::new() },
            slot,
            disk,
            config: config.clone(),
            structure: structure(config),
        }
    }

    fn id(&self) -> DeviceId {
        DeviceId::Slot(self.slot)
    }

    /// Takes what is available off the queue, and says when the next request lands.
    fn take(&mut self, cx: &mut DeviceCtx) {
        if let Err(broken) = self.take_all(cx) {
            self.fail(cx, broken);
        }
        self.arm(cx);
    }

    fn take_all(&mut self, cx: &mut DeviceCtx) -> Result<(), Broken> {
        let features = self.registers.transport.ring_features();
        while self.registers.transport.serves(QUEUE) {
            let Some(queue) = self.registers.transport.queues.first_mut() else { break };
            let Some(head) = queue.pop(cx.dma)? else {
                queue.ask_for_notification(cx.dma, features);
                break;
            };
            if self.registers.in_flight.len() >= usize::from(queue.size) {
                return Err(Broken("more requests in flight than the queue is long"));
            }
            let chain = queue.chain(cx.dma, head, features)?;
            let due = cx.now() + latency(&command(cx, &chain)?);
            let in_flight = &mut self.registers.in_flight;
            let at = in_flight.partition_point(|other| other.due <= due);
            in_flight.insert(at, InFlight { head, due });
        }
        Ok(())
    }

    /// While the function is no bus master, nothing lands.
    fn arm(&mut self, cx: &mut DeviceCtx) {
        let serves = self.registers.transport.serves(QUEUE);
        let next = self.registers.in_flight.first().filter(|_| serves).map(|next| next.due.max(cx.now()));
        cx.set_timer(self.id(), TIMER, next);
    }

    fn fail(&mut self, cx: &mut DeviceCtx, Broken(why): Broken) {
        tracing::debug!(target: "virtio-blk", "disk{}: {why}; the device needs a reset", self.disk);
        self.registers.in_flight.clear();
        self.registers.transport.fail(cx, self.slot);
    }

    /// What is due lands, all at this moment.
    fn land(&mut self, cx: &mut DeviceCtx) {
        let now = cx.now();
        let due = self.registers.in_flight.partition_point(|request| request.due <= now);
        let landing: Vec<InFlight> = self.registers.in_flight.drain(..due).collect();
        let features = self.registers.transport.ring_features();
        let before = self.registers.transport.queues.first().map_or(0, |queue| queue.used());
        for InFlight { head, .. } in landing {
            let Some(queue) = self.registers.transport.queues.first() else { return };
            let outcome = queue.chain(cx.dma, head, features).and_then(|chain| self.carry_out(cx, &chain));
            match outcome {
                Ok(written) => {
                    if let Some(queue) = self.registers.transport.queues.first_mut() {
                        queue.push(cx.dma, head, written);
                    }
                }
                Err(broken) => return self.fail(cx, broken),
            }
        }
        let queue = self.registers.transport.queues.first();
        if queue.is_some_and(|queue| queue.wants_interrupt(cx.dma, before, features)) {
            self.registers.transport.interrupt_queue(cx, self.slot, QUEUE);
        }
    }

    /// Carries a request out; how many bytes of its buffers were written.
    fn carry_out(&self, cx: &mut DeviceCtx, chain: &Chain) -> Result<u32, Broken> {
        let command = command(cx, chain)?;
        let (status, data) = match command.kind {
            T_IN if self.is_on_disk(&command) => self.read(cx, &command),
            T_OUT if self.is_on_disk(&command) && !self.config.read_only => self.write(cx, &command),
            T_IN | T_OUT => (S_IOERR, 0),
            T_FLUSH => (self.flush(cx), 0),
            T_GET_ID => self.get_id(cx, &command),
            _ => (S_UNSUPP, 0),
        };
        let at = total(&chain.writable) - 1;
        for segment in part(&chain.writable, at, 1) {
            cx.dma.write(segment.address, &[status]);
        }
        Ok(u32::try_from(data + 1).unwrap_or(u32::MAX))
    }

    fn is_on_disk(&self, command: &Command) -> bool {
        let sectors = command.len / SECTOR;
        command.len.is_multiple_of(SECTOR)
            && command.len <= REQUEST_MAX
            && command.sector.checked_add(sectors).is_some_and(|end| end <= self.config.sectors)
    }

    fn read(&self, cx: &mut DeviceCtx, command: &Command) -> (u8, u64) {
        let (mut at, mut buffer) = (command.sector * SECTOR, vec![0; CHUNK]);
        for segment in pieces(&part(&command.chain.writable, 0, command.len)) {
            let bytes = &mut buffer[..segment.len as usize];
            if let Err(MediumError) = cx.dma.read_disk(self.disk, at, bytes) {
                return (S_IOERR, at - command.sector * SECTOR);
            }
            cx.dma.write(segment.address, bytes);
            at += u64::from(segment.len);
        }
        (S_OK, command.len)
    }

    fn write(&self, cx: &mut DeviceCtx, command: &Command) -> (u8, u64) {
        let (mut at, mut buffer) = (command.sector * SECTOR, vec![0; CHUNK]);
        for segment in pieces(&part(&command.chain.readable, HEADER_LEN, command.len)) {
            let bytes = &mut buffer[..segment.len as usize];
            cx.dma.read(segment.address, bytes);
            if let Err(MediumError) = cx.dma.write_disk(self.disk, at, bytes) {
                return (S_IOERR, 0);
            }
            at += u64::from(segment.len);
        }
        // To a driver that does not flush, what is written is safe (5.2.6.2).
        let cached = self.registers.transport.has(F_FLUSH);
        (if cached { S_OK } else { self.flush(cx) }, 0)
    }

    fn flush(&self, cx: &mut DeviceCtx) -> u8 {
        cx.dma.flush_disk(self.disk).map_or(S_IOERR, |()| S_OK)
    }

    /// The disk's name, in 20 bytes.
    fn get_id(&self, cx: &mut DeviceCtx, command: &Command) -> (u8, u64) {
        let mut id = format!("amber-disk{}", self.disk).into_bytes();
        id.resize(ID_LEN, 0);
        if command.len < ID_LEN as u64 {
            return (S_IOERR, 0);
        }
        let mut at = 0;
        for segment in part(&command.chain.writable, 0, ID_LEN as u64) {
            let end = at + segment.len as usize;
            cx.dma.write(segment.address, &id[at..end]);
            at = end;
        }
        (S_OK, ID_LEN as u64)
    }
}

/// The header of a chain (5.2.6).
fn command<'a>(cx: &mut DeviceCtx, chain: &'a Chain) -> Result<Command<'a>, Broken> {
    if total(&chain.readable) < HEADER_LEN {
        return Err(Broken("a request without a header"));
    }
    if chain.writable.is_empty() {
        return Err(Broken("a request without room for its status"));
    }
    let (mut header, mut at) = ([0; HEADER_LEN as usize], 0);
    for segment in part(&chain.readable, 0, HEADER_LEN) {
        let end = at + segment.len as usize;
        cx.dma.read(segment.address, &mut header[at..end]);
        at = end;
    }
    let word = u128::from_le_bytes(header);
    let kind = word as u32;
    let len = match kind {
        T_OUT => total(&chain.readable) - HEADER_LEN,
        _ => total(&chain.writable) - 1,
    };
    Ok(Command { chain, kind, sector: (word >> 64) as u64, len })
}

/// How long a request takes, ns.
fn latency(command: &Command) -> u64 {
    let data = command.len.min(REQUEST_MAX) / 2;
    match command.kind {
        T_IN => READ_NS + data,
        T_OUT => WRITE_NS + data,
        T_FLUSH => FLUSH_NS,
        _ => OTHER_NS,
    }
}

/// Buffers cut into pieces of at most [`CHUNK`] bytes.
fn pieces(segments: &[Segment]) -> impl Iterator<Item = Segment> + '_ {
    segments.iter().flat_map(|segment| {
        (0..segment.len).step_by(CHUNK).map(|at| Segment {
            address: segment.address.wrapping_add(u64::from(at)),
            len: (segment.len - at).min(CHUNK as u32),
        })
    })
}

fn offer<'a>(config: &DiskConfig, structure: &'a [u8], slot: u8) -> Offer<'a> {
    let ring = F_INDIRECT | F_EVENT_INDEX | F_VERSION_1;
    let read_only = if config.read_only { F_RO } else { 0 };
    let features = ring | F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | F_FLUSH | read_only;
    Offer { layout: &LAYOUT, features, config: structure, generation: 0, slot }
}

/// struct virtio_blk_config (5.2.4): capacity, limits, geometry (none), block size.
fn structure(config: &DiskConfig) -> Vec<u8> {
    let mut bytes = config.sectors.to_le_bytes().to_vec();
    bytes.extend(SIZE_MAX.to_le_bytes());
    bytes.extend(SEG_MAX.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend((SECTOR as u32).to_le_bytes());
    bytes.resize(0x3c, 0);
    bytes
}

impl Device for VirtioBlk {
    fn timer(&mut self, cx: &mut DeviceCtx, _timer: u16) {
        if self.registers.transport.serves(QUEUE) {
            self.land(cx);
            self.arm(cx);
        }
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        *self = Self::new(self.slot, self.disk, &self.config);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let Registers { transport, in_flight } = &self.registers;
        if let Some(field) = transport.impossible(&offer(&self.config, &self.structure, self.slot), 1) {
            return Some((field, "what no virtio-blk comes to".to_owned()));
        }
        let size = transport.queues.first().map_or(0, |queue| usize::from(queue.size));
        let ordered = in_flight.windows(2).all(|pair| pair[0].due <= pair[1].due);
        let sane = in_flight
            .iter()
            .all(|request| usize::from(request.head) < size && request.due <= crate::TIME_MAX);
        let possible = in_flight.len() <= size && ordered && sane;
        (!possible).then(|| ("in_flight", format!("{} requests", in_flight.len())))
    }
}

impl OnVirtio for VirtioBlk {
    const LAYOUT: &'static Layout = &LAYOUT;

    fn pci_slot(&self) -> u8 {
        self.slot
    }

    fn transport(&self) -> &Transport {
        &self.registers.transport
    }

    fn with_offer<R>(&mut self, act: impl FnOnce(&mut Transport, &Offer) -> R) -> R {
        let offer = offer(&self.config, &self.structure, self.slot);
        act(&mut self.registers.transport, &offer)
    }

    fn answer(&mut self, cx: &mut DeviceCtx, request: Request) {
        match request {
            Request::Nothing => {}
            Request::Reset => {
                self.registers.in_flight.clear();
                cx.set_timer(self.id(), TIMER, None);
            }
            Request::Notify(QUEUE) | Request::Look => self.take(cx),
            Request::Notify(_) => {}
        }
    }

    fn name(&self) -> String {
        format!("virtio-blk{}", self.disk)
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
