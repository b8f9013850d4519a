//! ICMP (RFC 792): the router answers echoes, and says what it cannot forward.

use super::addresses::{GATEWAY, is_own};
use super::wire::Wire;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IPV4_HEADER_LEN, Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Repr, UDP_HEADER_LEN,
    UdpPacket,
};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Most bytes of a payload that an error quotes: it is no longer than 576 bytes (RFC 1812, 4.3.2.3).
const QUOTED: usize = 576 - 2 * IPV4_HEADER_LEN - 8;

fn send(wire: &mut Wire, from: Ipv4Addr, to: Ipv4Addr, message: &Icmpv4Repr) {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
    wire.send_ip(from, to, IpProtocol::Icmp, &bytes);
}

/// Answers an ICMP message of the guest. Echoes are not forwarded: that takes rights a user does not have.
pub fn receive(wire: &mut Wire, from: Ipv4Addr, to: Ipv4Addr, message: &[u8]) {
    let Ok(packet) = Icmpv4Packet::new_checked(message) else { return };
    let Ok(Icmpv4Repr::EchoRequest { ident, seq_no, data }) =
        Icmpv4Repr::parse(&packet, &ChecksumCapabilities::default())
    else {
        return;
    };
    if is_own(to) {
        send(wire, to, from, &Icmpv4Repr::EchoReply { ident, seq_no, data });
    } else {
        refuse(wire, Icmpv4DstUnreachable::CommProhibited, from, to, IpProtocol::Icmp, message);
    }
}

/// Tells the guest that a packet of its did not get there.
pub fn refuse(
    wire: &mut Wire,
    reason: Icmpv4DstUnreachable,
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: IpProtocol,
    payload: &[u8],
) {
    let header = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let data = &payload[..payload.len().min(QUOTED)];
    // The port is closed at its own station; what cannot be reached, the gateway knows.
    let speaker = if reason == Icmpv4DstUnreachable::PortUnreachable { to } else { GATEWAY };
    send(wire, speaker, from, &Icmpv4Repr::DstUnreachable { reason, header, data });
}

/// Tells the guest that nobody takes its datagrams.
pub fn refuse_port(wire: &mut Wire, from: SocketAddrV4, to: SocketAddrV4) {
    refuse_datagram(wire, Icmpv4DstUnreachable::PortUnreachable, from, to);
}

/// Tells the guest that a datagram of its did not get there: by the header that is quoted it knows whose it was.
pub fn refuse_datagram(wire: &mut Wire, reason: Icmpv4DstUnreachable, from: SocketAddrV4, to: SocketAddrV4) {
    let mut header = [0; UDP_HEADER_LEN];
    let mut packet = UdpPacket::new_unchecked(&mut header[..]);
    packet.set_src_port(from.port());
    packet.set_dst_port(to.port());
    packet.set_len(UDP_HEADER_LEN as u16);
    refuse(wire, reason, *from.ip(), *to.ip(), IpProtocol::Udp, &header);
}
