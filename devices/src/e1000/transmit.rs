//! The transmit unit (manual, 3.3 to 3.5): descriptors of both forms, checksums and segmentation.
//!
//! A packet is read and leaves when all its descriptors are there and its time has come; until then nothing of it has.

use super::ring::{DESCRIPTOR, Ring};
use crate::checksum::{add, insert};
use crate::device::Dma;
use crate::segment::{Segmentation, put};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Most descriptors of a packet, and bytes of one to be segmented; those beyond are dropped.
const DESCRIPTORS_MAX: u32 = 1024;
const PACKET_MAX: usize = 256 << 10;

const EOP: u8 = 1 << 0;
/// Insert a checksum (legacy), or segment (data).
const IC: u8 = 1 << 2;
const TSE: u8 = 1 << 2;
const RS: u8 = 1 << 3;
const DEXT: u8 = 1 << 5;
const VLE: u8 = 1 << 6;
const IXSM: u8 = 1 << 0;
const TXSM: u8 = 1 << 1;
const DONE: u8 = 1 << 0;
/// Where the status is in a descriptor.
const STATUS: u64 = 12;

const TUCMD_TCP: u8 = 1 << 0;
const TUCMD_IP: u8 = 1 << 1;

/// Where checksums go, and how packets are segmented: what a context descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Context {
    ipcss: u8,
    ipcso: u8,
    ipcse: u16,
    tucss: u8,
    tucso: u8,
    tucse: u16,
    paylen: u32,
    tucmd: u8,
    hdrlen: u8,
    mss: u16,
}

impl Context {
    fn read(raw: &[u8; DESCRIPTOR as usize]) -> Self {
        let word = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
        Self {
            ipcss: raw[0],
            ipcso: raw[1],
            ipcse: word(2),
            tucss: raw[4],
            tucso: raw[5],
            tucse: word(6),
            paylen: u32::from_le_bytes([raw[8], raw[9], raw[10] & 0xf, 0]),
            tucmd: raw[11],
            hdrlen: raw[13],
            mss: word(14),
        }
    }

    /// Puts the checksums in that a data descriptor asks for.
    fn check(&self, packet: &mut [u8], options: u8) {
        // The end is that of the last byte; 0 is that of the packet.
        let end = |at: u16| if at == 0 { usize::MAX } else { usize::from(at) + 1 };
        if options & TXSM != 0 {
            insert(packet, self.tucss.into(), self.tucso.into(), end(self.tucse));
        }
        if options & IXSM != 0 {
            insert(packet, self.ipcss.into(), self.ipcso.into(), end(self.ipcse));
        }
    }

    /// Cuts a packet into frames, with a header each (3.5).
    fn segment(&self, packet: &[u8], options: u8) -> Vec<Vec<u8>> {
        let cut = Segmentation {
            ip: self.ipcss.into(),
            is_v4: self.tucmd & TUCMD_IP != 0,
            transport: self.tucss.into(),
            is_tcp: self.tucmd & TUCMD_TCP != 0,
            header: self.hdrlen.into(),
            size: self.mss.into(),
        };
        let len = packet.len().min(cut.header + self.paylen as usize);
        cut.cut(&packet[..len], |frame| {
            // The driver left the pseudo header's sum there, without the length.
            let behind = frame.len().saturating_sub(cut.transport) as u16;
            put(frame, self.tucso.into(), |sum| add(sum, behind));
            self.check(frame, options);
        })
    }
}

/// A descriptor of data.
#[derive(Clone, Copy)]
struct Data {
    /// Where the descriptor is, and its buffer.
    place: u64,
    address: u64,
    len: u32,
    command: u8,
    extended: bool,
    /// POPTS, or of a legacy one CSO and CSS.
    options: u8,
    cso: u8,
    css: u8,
    special: u16,
}

impl Data {
    fn read(place: u64, raw: &[u8; DESCRIPTOR as usize]) -> Self {
        let word = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
        let [a, b, c, d, e, f, g, h, ..] = *raw;
        let extended = raw[11] & DEXT != 0;
        let high = if extended { u32::from(raw[10] & 0xf) << 16 } else { 0 };
        Self {
            place,
            address: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            len: u32::from(word(8)) | high,
            command: raw[11],
            extended,
            options: raw[13],
            cso: raw[10],
            css: raw[13],
            special: word(14),
        }
    }

    /// Whether the packet that begins with it is to be segmented.
    fn is_segmented(&self) -> bool {
        self.extended && self.command & TSE != 0
    }
}

/// What came of a look at the ring.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Descriptors that are done; with none, there is no whole packet.
    pub descriptors: u32,
    /// Whether the driver wants to hear of it.
    pub reports: bool,
    pub frames: Vec<Vec<u8>>,
    /// A packet was segmented.
    pub segmented: bool,
}

/// The unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Transmit {
    pub ring: Ring,
    /// The context of packets that leave as they are, and that of those to be segmented (3.3.6).
    pub(super) normal: Context,
    pub(super) segmenting: Context,
    /// When the next packet leaves, ns; without one nothing is to be sent.
    pub due: Option<u64>,
}

impl Transmit {
    /// Sends the next packet, or takes a context. `tag` is the type of frames with VLAN tags, where these are put in.
    pub fn send(&mut self, dma: &mut dyn Dma, tag: Option<u16>) -> Sent {
        let available = self.ring.available();
        let mut packet: Vec<Data> = Vec::new();
        for n in 0..available.min(DESCRIPTORS_MAX) {
            let place = self.ring.place(n);
            let mut raw = [0; DESCRIPTOR as usize];
            dma.read(place, &mut raw);
            let data = Data::read(place, &raw);
            if data.extended && raw[10] >> 4 == 0 {
                // What a context is for comes behind it.
                if packet.is_empty() {
                    let context = Context::read(&raw);
                    let segments = context.tucmd & TSE != 0;
                    *(if segments { &mut self.segmenting } else { &mut self.normal }) = context;
                    return self.finish(dma, n + 1, &[data], Vec::new());
                }
                continue;
            }
            packet.push(data);
            if data.command & EOP != 0 {
                let frames = self.frames(dma, &packet, tag);
                return self.finish(dma, n + 1, &packet, frames);
            }
        }
        // A packet without an end that fills the ring will never have one.
        if available >= DESCRIPTORS_MAX || available + 1 == self.ring.size() {
            return self.finish(dma, available.min(DESCRIPTORS_MAX), &packet, Vec::new());
        }
        Sent::default()
    }

    /// Whether it could be a state.
    pub fn is_consistent(&self) -> bool {
        self.ring.is_consistent() && self.due.is_none_or(|due| due <= crate::TIME_MAX)
    }

    /// The frames of a packet.
    fn frames(&self, dma: &mut dyn Dma, packet: &[Data], tag: Option<u16>) -> Vec<Vec<u8>> {
        let (Some(first), Some(last)) = (packet.first(), packet.last()) else { return Vec::new() };
        let len: usize = packet.iter().map(|data| data.len as usize).sum();
        if len > PACKET_MAX {
            return Vec::new();
        }
        let mut bytes = vec![0; len];
        let mut at = 0;
        for data in packet {
            let end = at + data.len as usize;
            dma.read(data.address, &mut bytes[at..end]);
            at = end;
        }
        let segmented = first.is_segmented();
        let mut frames = if segmented { self.segmenting.segment(&bytes, first.options) } else { vec![bytes] };
        for frame in frames.iter_mut().filter(|_| !segmented) {
            if first.extended {
                self.normal.check(frame, first.options);
            } else if last.command & IC != 0 {
                insert(frame, last.css.into(), last.cso.into(), usize::MAX);
            }
        }
        // What is said of tags is said by the first of a packet to be segmented, by the last of another (3.3.7.1).
        let tagged = if segmented { first } else { last };
        if let Some(kind) = tag.filter(|_| tagged.command & VLE != 0) {
            for frame in frames.iter_mut().filter(|frame| frame.len() > 12) {
                let [a, b] = kind.to_be_bytes();
                let [c, d] = tagged.special.to_be_bytes();
                frame.splice(12..12, [a, b, c, d]);
            }
        }
        frames
    }

    /// Gives `count` descriptors back: those of a packet, or a context.
    fn finish(&mut self, dma: &mut dyn Dma, count: u32, packet: &[Data], frames: Vec<Vec<u8>>) -> Sent {
        let mut reports = false;
        for data in packet.iter().filter(|data| data.command & RS != 0) {
            dma.write(data.place.wrapping_add(STATUS), &[DONE]);
            reports = true;
        }
        self.ring.advance(count);
        let segmented = packet.first().is_some_and(Data::is_segmented) && !frames.is_empty();
        Sent { descriptors: count, reports, frames, segmented }
    }
}
