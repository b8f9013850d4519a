//! A network of the guest's own, with the host as its gateway (`--net user`): what the guest sends goes out by sockets of the
//! host, as of any of its programs. Nothing of it is in the machine's state: what comes from here is logged input.

mod addresses;
mod dhcp;
mod forward;
mod fragments;
mod icmp;
mod resolver;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod wire;

use super::Link;
use super::ready::ready;
use addresses::{ROUTER, is_own, is_unicast};
use dhcp::Dhcp;
pub use forward::{Forward, Protocol};
use fragments::Fragments;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IPV4_HEADER_LEN,
    IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tcp::Tcp;
use udp::Udp;
use wire::Wire;

/// How the guest's network is set up.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Ethernet address of the guest's adapter.
    pub mac: [u8; 6],
    pub forwards: Vec<Forward>,
    /// The name server behind 10.0.2.3; the host's, if none is given.
    pub resolver: Option<SocketAddrV4>,
}

/// See the module.
pub struct Nat {
    wire: Wire,
    dhcp: Dhcp,
    fragments: Fragments,
    udp: Udp,
    tcp: Tcp,
}

impl Nat {
    /// Sets the network up.
    ///
    /// # Errors
    /// When a port that is to be forwarded cannot be used; which one.
    pub fn new(setup: &Setup) -> Result<Self, (Forward, io::Error)> {
        let resolver = setup.resolver.or_else(resolver::of_host);
        let mut wire = Wire::new(EthernetAddress(setup.mac));
        let of = |protocol| setup.forwards.iter().filter(move |forward| forward.protocol == protocol);
        let mut udp = Udp::new(resolver);
        of(Protocol::Udp).try_for_each(|forward| udp.forward(forward).map_err(|error| (*forward, error)))?;
        let mut tcp = Tcp::new(resolver, &mut wire);
        of(Protocol::Tcp).try_for_each(|forward| tcp.forward(forward).map_err(|error| (*forward, error)))?;
        Ok(Self { wire, dhcp: Dhcp::default(), fragments: Fragments::default(), udp, tcp })
    }

    /// Answers who asks for the addresses there are.
    fn take_arp(&mut self, bytes: &[u8]) {
        let Ok(packet) = ArpPacket::new_checked(bytes) else { return };
        let Ok(ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: station,
            source_protocol_addr: asker,
            target_protocol_addr: asked,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return;
        };
        if is_own(asked) {
            let answer = ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply,
                source_hardware_addr: ROUTER,
                source_protocol_addr: asked,
                target_hardware_addr: station,
                target_protocol_addr: asker,
            };
            self.wire.send_arp(station, answer);
        }
    }

    /// Forwards a packet, once it is whole.
    fn take_packet(&mut self, now: u64, station: EthernetAddress, bytes: &[u8]) {
        let Ok(packet) = Ipv4Packet::new_checked(bytes) else { return };
        if packet.version() != 4 || !packet.verify_checksum() {
            return;
        }
        let header = Ipv4Repr {
            src_addr: packet.src_addr(),
            dst_addr: packet.dst_addr(),
            next_header: packet.next_header(),
            payload_len: packet.payload().len(),
            hop_limit: packet.hop_limit(),
        };
        if is_unicast(header.src_addr) && station.is_unicast() {
            self.wire.learn(header.src_addr, station);
        }
        if !packet.more_frags() && packet.frag_offset() == 0 {
            return self.take_whole(now, &header, packet.payload());
        }
        if let Some(payload) = self.fragments.add(now, &packet) {
            self.take_whole(now, &header, &payload);
        }
    }

    fn take_whole(&mut self, now: u64, header: &Ipv4Repr, payload: &[u8]) {
        let (from, to) = (header.src_addr, header.dst_addr);
        match header.next_header {
            IpProtocol::Udp => self.take_datagram(now, from, to, payload),
            IpProtocol::Icmp => icmp::receive(&mut self.wire, from, to, payload),
            IpProtocol::Tcp => {
                let mut packet = vec![0; IPV4_HEADER_LEN + payload.len()];
                Ipv4Repr { payload_len: payload.len(), ..*header }
                    .emit(&mut Ipv4Packet::new_unchecked(&mut packet[..]), &ChecksumCapabilities::default());
                packet[IPV4_HEADER_LEN..].copy_from_slice(payload);
                self.tcp.send(&mut self.wire, now, packet);
            }
            _ => {}
        }
    }

    fn take_datagram(&mut self, now: u64, from: Ipv4Addr, to: Ipv4Addr, bytes: &[u8]) {
        let Ok(packet) = UdpPacket::new_checked(bytes) else { return };
        let checksums = ChecksumCapabilities::default();
        let Ok(header) = UdpRepr::parse(&packet, &from.into(), &to.into(), &checksums) else { return };
        if header.dst_port == dhcp::PORT && (to.is_broadcast() || is_own(to)) {
            return self.dhcp.receive(&mut self.wire, packet.payload());
        }
        let ends = (SocketAddrV4::new(from, header.src_port), SocketAddrV4::new(to, header.dst_port));
        self.udp.send(&mut self.wire, now, ends, packet.payload());
    }

    /// Moves what can be moved without waiting.
    fn exchange(&mut self, now: u64) {
        let mut told = {
            let reads = self.wire.has_room();
            let watches: Vec<_> = self.udp.watches().filter(|_| reads).chain(self.tcp.watches()).collect();
            ready(&watches, Duration::ZERO).into_iter()
        };
        if self.wire.has_room() {
            self.udp.receive(&mut self.wire, now, &mut told);
        }
        self.tcp.exchange(&mut self.wire, now, &mut told);
        self.udp.expire(now);
    }
}

impl Link for Nat {
    fn send(&mut self, now: u64, frame: &[u8]) {
        let Ok(frame) = EthernetFrame::new_checked(frame) else { return };
        if frame.dst_addr() != ROUTER && frame.dst_addr().is_unicast() {
            return;
        }
        match frame.ethertype() {
            EthernetProtocol::Arp => self.take_arp(frame.payload()),
            EthernetProtocol::Ipv4 => self.take_packet(now, frame.src_addr(), frame.payload()),
            _ => {}
        }
    }

    fn receive(&mut self, now: u64) -> Option<Vec<u8>> {
        self.wire.next().or_else(|| {
            self.exchange(now);
            self.wire.next()
        })
    }

    fn wait(&mut self, at_most: Duration) {
        if !self.wire.is_fresh() && !self.tcp.is_busy() {
            let reads = self.wire.has_room();
            let watches: Vec<_> = self.udp.watches().filter(|_| reads).chain(self.tcp.watches()).collect();
            ready(&watches, at_most);
        }
    }
}
