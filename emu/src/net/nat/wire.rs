//! Frames on their way to the guest.

use super::addresses::ROUTER;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpPacket, ArpRepr, ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IPV4_HEADER_LEN, IpProtocol, Ipv4Packet, Ipv4Repr, UDP_HEADER_LEN, UdpPacket, UdpRepr,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Longest IPv4 packet of a frame.
pub const MTU: usize = 1500;
/// Most frames that wait; while there are so many, nothing is read from the host's sockets.
const FULL: usize = 256;
/// Most frames there ever are: answers to what the guest sends come on top of these.
const FRAMES_MAX: usize = 2 * FULL;
/// Most addresses whose stations are known.
const NEIGHBOURS_MAX: usize = 64;
const HOP_LIMIT: u8 = 64;

/// See the module.
pub struct Wire {
    frames: VecDeque<Vec<u8>>,
    /// Who has which address, as far as it has said something; anybody else is the guest's adapter.
    neighbours: BTreeMap<Ipv4Addr, EthernetAddress>,
    adapter: EthernetAddress,
    /// Identification of the next packet in fragments.
    identification: u16,
    /// There are frames that were not asked for yet.
    fresh: bool,
}

impl Wire {
    /// A cable to the adapter with this Ethernet address.
    pub fn new(adapter: EthernetAddress) -> Self {
        Self {
            frames: VecDeque::new(),
            neighbours: BTreeMap::new(),
            adapter,
            identification: 0,
            fresh: false,
        }
    }

    /// Whether more may be read from the host.
    pub fn has_room(&self) -> bool {
        self.frames.len() < FULL
    }

    /// Whether a frame waits that nobody asked for since it is there.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Frames that wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// The next frame.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        self.fresh = false;
        self.frames.pop_front()
    }

    /// Learns that `station` has `address`.
    pub fn learn(&mut self, address: Ipv4Addr, station: EthernetAddress) {
        if self.neighbours.len() < NEIGHBOURS_MAX || self.neighbours.contains_key(&address) {
            self.neighbours.insert(address, station);
        }
    }

    /// Sends a frame whose bytes behind the header are there.
    fn send(&mut self, to: EthernetAddress, protocol: EthernetProtocol, mut bytes: Vec<u8>) {
        if self.frames.len() < FRAMES_MAX {
            EthernetRepr { src_addr: ROUTER, dst_addr: to, ethertype: protocol }
                .emit(&mut EthernetFrame::new_unchecked(&mut bytes[..]));
            self.frames.push_back(bytes);
            self.fresh = true;
        }
    }

    /// Sends an ARP packet.
    pub fn send_arp(&mut self, to: EthernetAddress, arp: ArpRepr) {
        let mut bytes = vec![0; ETHERNET_HEADER_LEN + arp.buffer_len()];
        arp.emit(&mut ArpPacket::new_unchecked(&mut bytes[ETHERNET_HEADER_LEN..]));
        self.send(to, EthernetProtocol::Arp, bytes);
    }

    /// Sends the IPv4 packet of `len` bytes that `fill` writes.
    pub fn send_packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut bytes = vec![0; ETHERNET_HEADER_LEN + len];
        let result = fill(&mut bytes[ETHERNET_HEADER_LEN..]);
        let to = Ipv4Packet::new_unchecked(&bytes[ETHERNET_HEADER_LEN..]).dst_addr();
        let known = self.neighbours.get(&to).copied().unwrap_or(self.adapter);
        let station = if to.is_broadcast() { EthernetAddress::BROADCAST } else { known };
        self.send(station, EthernetProtocol::Ipv4, bytes);
        result
    }

    /// Sends a payload over IPv4, in as many fragments as it takes.
    pub fn send_ip(&mut self, from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) {
        // All but the last fragment are of a multiple of 8 bytes.
        const PART: usize = (MTU - IPV4_HEADER_LEN) / 8 * 8;
        let whole = payload.len() <= MTU - IPV4_HEADER_LEN;
        let part = if whole { payload.len().max(1) } else { PART };
        if !whole {
            self.identification = self.identification.wrapping_add(1);
        }
        let identification = if whole { 0 } else { self.identification };
        let count = payload.len().div_ceil(part).max(1);
        for n in 0..count {
            let here = &payload[n * part..payload.len().min((n + 1) * part)];
            let header = Ipv4Repr {
                src_addr: from,
                dst_addr: to,
                next_header: protocol,
                payload_len: here.len(),
                hop_limit: HOP_LIMIT,
            };
            self.send_packet(IPV4_HEADER_LEN + here.len(), |bytes| {
                let mut packet = Ipv4Packet::new_unchecked(bytes);
                header.emit(&mut packet, &ChecksumCapabilities::default());
                if !whole {
                    packet.set_dont_frag(false);
                    packet.set_ident(identification);
                    packet.set_more_frags(n + 1 < count);
                    packet.set_frag_offset((n * part) as u16);
                    packet.fill_checksum();
                }
                packet.payload_mut().copy_from_slice(here);
            });
        }
    }

    /// Sends a datagram.
    pub fn send_udp(&mut self, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
        let mut bytes = vec![0; UDP_HEADER_LEN + payload.len()];
        UdpRepr { src_port: from.port(), dst_port: to.port() }.emit(
            &mut UdpPacket::new_unchecked(&mut bytes[..]),
            &(*from.ip()).into(),
            &(*to.ip()).into(),
            payload.len(),
            |into| into.copy_from_slice(payload),
            &ChecksumCapabilities::default(),
        );
        self.send_ip(*from.ip(), *to.ip(), IpProtocol::Udp, &bytes);
    }
}
