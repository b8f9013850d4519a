//! What a driver leaves to the adapter (virtio 1.2, 5.1.6): checksums, and the segmentation of TCP.

use super::HEADER_LEN;
use crate::checksum::{add, check, insert, sum};
use crate::segment::{Segmentation, put};

/// struct virtio_net_hdr: flags, kind of segmentation, and where their values are.
const NEEDS_CSUM: u8 = 1;
pub(super) const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_ECN: u8 = 0x80;
const GSO_SIZE: usize = 4;
const CSUM_START: usize = 6;
const CSUM_OFFSET: usize = 8;

const ETHERNET: usize = 14;
const TAG: usize = 4;
const VLAN: [u8; 2] = [0x81, 0x00];
const TCP: u16 = 6;

/// Longest packet to be segmented.
pub(super) const PACKET_MAX: usize = 0x1_0000 + 0x100;

/// What the driver agreed to leave to the adapter.
#[derive(Clone, Copy)]
pub(super) struct Agreed {
    pub checksums: bool,
    pub segments_v4: bool,
    pub segments_v6: bool,
}

/// The frames of what a driver sends: its header and a packet. None, if it asks for what was not agreed on.
pub(super) fn frames(mut bytes: Vec<u8>, agreed: Agreed) -> Vec<Vec<u8>> {
    let packet = bytes.split_off(HEADER_LEN);
    let header = bytes;
    let word = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let (start, offset) = (word(CSUM_START), word(CSUM_OFFSET));
    let is_v4 = match header[1] & !GSO_ECN {
        GSO_NONE => {
            let mut frame = packet;
            if header[0] & NEEDS_CSUM != 0 && agreed.checksums {
                insert(&mut frame, start, start + offset, usize::MAX);
            }
            return vec![frame];
        }
        GSO_TCPV4 if agreed.segments_v4 => true,
        GSO_TCPV6 if agreed.segments_v6 => false,
        _ => return Vec::new(),
    };
    let ip = if packet.get(12..14) == Some(&VLAN) { ETHERNET + TAG } else { ETHERNET };
    let Some(offset) = packet.get(start + 12) else { return Vec::new() };
    let header = start + usize::from(offset >> 4) * 4;
    if start < ip || header > packet.len() {
        return Vec::new();
    }
    let cut = Segmentation { ip, is_v4, transport: start, is_tcp: true, header, size: word(GSO_SIZE) };
    cut.cut(&packet, |frame| checksums(frame, &cut))
}

/// Puts the checksums of a segment in.
fn checksums(frame: &mut [u8], cut: &Segmentation) {
    let addresses = if cut.is_v4 { cut.ip + 12..cut.ip + 20 } else { cut.ip + 8..cut.ip + 40 };
    let addresses = sum(frame.get(addresses).unwrap_or(&[]));
    let len = frame.len().saturating_sub(cut.transport) as u16;
    put(frame, cut.transport + 16, |_| add(add(addresses, TCP), len));
    insert(frame, cut.transport, cut.transport + 16, usize::MAX);
    if cut.is_v4 {
        put(frame, cut.ip + 10, |_| 0);
        insert(frame, cut.ip, cut.ip + 10, cut.transport);
    }
}

/// Flags of a frame that comes in: whether the driver need not look at its checksums.
pub(super) fn flags(frame: &[u8]) -> u8 {
    let found = check(frame);
    if found.header == Some(true) && found.payload == Some(true) { DATA_VALID } else { 0 }
}
