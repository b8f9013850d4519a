//! Datagrams, and ICMP.

use super::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, udp};
use smoltcp::wire::{Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Icmpv4Repr, IpEndpoint};
use std::net::UdpSocket;

fn host_socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("it need not wait");
    socket
}

fn port_of(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("its address").port()
}

fn add_udp(guest: &mut Guest, port: u16) -> SocketHandle {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 0x4000]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).expect("bound");
    guest.sockets.add(socket)
}

fn send(guest: &mut Guest, socket: SocketHandle, to: SocketAddrV4, bytes: &[u8]) {
    let end = IpEndpoint::from((*to.ip(), to.port()));
    guest.sockets.get_mut::<udp::Socket>(socket).send_slice(bytes, end).expect("sent");
}

/// The next datagram the guest gets, and from whom.
fn receive(guest: &mut Guest, socket: SocketHandle) -> (Vec<u8>, String) {
    let mut received = None;
    guest.until(|guest| {
        let socket = guest.sockets.get_mut::<udp::Socket>(socket);
        received = socket.recv().ok().map(|(bytes, meta)| (bytes.to_vec(), meta.endpoint.to_string()));
        received.is_some()
    });
    received.expect("there is one")
}

/// The next datagram the host gets, and from whom.
fn arrived(guest: &mut Guest, socket: &UdpSocket) -> (Vec<u8>, std::net::SocketAddr) {
    let (mut bytes, mut from) = (vec![0; 0x1_0000], None);
    guest.until(|_| {
        from = socket.recv_from(&mut bytes).ok();
        from.is_some()
    });
    let (len, from) = from.expect("there is one");
    (bytes[..len].to_vec(), from)
}

#[test]
fn datagrams_go_out_and_answers_come_back() {
    let mut guest = Guest::new(Setup::default());
    let (socket, one, other) = (add_udp(&mut guest, 5000), host_socket(), host_socket());
    for (host, said) in [(&one, b"one".as_slice()), (&other, b"other"), (&one, b"again")] {
        send(&mut guest, socket, gateway(port_of(host)), said);
        let (bytes, from) = arrived(&mut guest, host);
        assert_eq!(bytes, said);
        host.send_to(&[said, b"!"].concat(), from).expect("answered");
        let answer = receive(&mut guest, socket);
        assert_eq!(answer, ([said, b"!"].concat(), format!("10.0.2.2:{}", port_of(host))));
    }
    assert_eq!(guest.nat.udp.flows(), 2);
    // Somebody whom the guest did not ask does not reach it.
    let (_, from) = {
        send(&mut guest, socket, gateway(port_of(&one)), b"x");
        arrived(&mut guest, &one)
    };
    other.send_to(b"stranger", from).expect("sent");
    one.send_to(b"known", from).expect("sent");
    assert_eq!(receive(&mut guest, socket).0, b"known");
    guest.now += 200_000_000_000;
    guest.look();
    assert_eq!(guest.nat.udp.flows(), 0, "they were quiet for long");
}

#[test]
fn names_are_asked_of_the_resolver_that_was_given() {
    let resolver = host_socket();
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port_of(&resolver));
    let mut guest = Guest::new(Setup { resolver: Some(address), ..Setup::default() });
    let socket = add_udp(&mut guest, 5001);
    send(&mut guest, socket, "10.0.2.3:53".parse().expect("an address"), b"who?");
    let (bytes, from) = arrived(&mut guest, &resolver);
    assert_eq!(bytes, b"who?");
    resolver.send_to(b"me", from).expect("answered");
    assert_eq!(receive(&mut guest, socket), (b"me".to_vec(), "10.0.2.3:53".to_owned()));
}

#[test]
fn forwarded_ports_lead_to_the_guest_and_back() {
    let port = forward(Protocol::Udp, 69);
    let mut guest = Guest::new(Setup { forwards: vec![port], ..Setup::default() });
    let (socket, one, other) = (add_udp(&mut guest, 69), host_socket(), host_socket());
    for host in [&one, &other, &one] {
        let said = port_of(host).to_string();
        host.send_to(said.as_bytes(), port.host).expect("sent");
        let (bytes, from) = receive(&mut guest, socket);
        assert_eq!((bytes, &from), (said.clone().into_bytes(), &format!("10.0.2.2:{said}")));
        send(&mut guest, socket, from.parse().expect("an address"), b"answer");
        assert_eq!(arrived(&mut guest, host), (b"answer".to_vec(), port.host.into()));
    }
}

/// What ICMP tells the guest next, and from whom.
fn told(guest: &mut Guest) -> (String, String) {
    let mut told = None;
    guest.until(|guest| {
        while let Some(frame) = guest.nat.receive(guest.now) {
            let packet = Ipv4Packet::new_unchecked(&frame[14..]);
            let is_ip = EthernetFrame::new_unchecked(&frame).ethertype() == EthernetProtocol::Ipv4;
            if is_ip && packet.next_header() == IpProtocol::Icmp {
                let message = Icmpv4Packet::new_checked(packet.payload()).expect("a message");
                assert!(message.verify_checksum() && message.msg_type() == Icmpv4Message::DstUnreachable);
                let quoted = Ipv4Packet::new_unchecked(message.data());
                let reason = Icmpv4DstUnreachable::from(message.msg_code());
                let ports = &message.data()[IPV4_HEADER_LEN..][..4];
                let end = match quoted.next_header() {
                    IpProtocol::Udp => format!(":{}", u16::from_be_bytes([ports[2], ports[3]])),
                    _ => String::new(),
                };
                told =
                    Some((format!("{reason:?} {}{end}", quoted.dst_addr()), packet.src_addr().to_string()));
                return true;
            }
            guest.cable.to_guest.push_back(frame);
        }
        false
    });
    told.expect("there is something")
}

#[test]
fn what_cannot_be_reached_is_said() {
    let mut guest = Guest::new(Setup::default());
    let socket = add_udp(&mut guest, 5002);
    let closed = host_socket();
    let port = port_of(&closed);
    drop(closed);
    let reason = Icmpv4DstUnreachable::PortUnreachable;
    send(&mut guest, socket, gateway(port), b"anybody?");
    assert_eq!(told(&mut guest), (format!("{reason:?} 10.0.2.2:{port}"), "10.0.2.2".to_owned()));
    let reason = Icmpv4DstUnreachable::HostUnreachable;
    send(&mut guest, socket, "10.0.2.3:99".parse().expect("an address"), b"anybody?");
    assert_eq!(told(&mut guest), (format!("{reason:?} 10.0.2.3:99"), "10.0.2.2".to_owned()));
}

#[test]
fn the_router_answers_echoes_and_forwards_none() {
    let mut guest = Guest::new(Setup::default());
    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 0x4000]);
    let mut socket = icmp::Socket::new(buffer(), buffer());
    socket.bind(icmp::Endpoint::Ident(7)).expect("bound");
    let handle = guest.sockets.add(socket);
    let data: Vec<u8> = (0..1400).map(|n| n as u8).collect();
    let request = Icmpv4Repr::EchoRequest { ident: 7, seq_no: 3, data: &data };
    let mut bytes = vec![0; request.buffer_len()];
    request.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
    for to in [addresses::GATEWAY, addresses::RESOLVER] {
        guest.sockets.get_mut::<icmp::Socket>(handle).send_slice(&bytes, to.into()).expect("sent");
        guest.until(|guest| guest.sockets.get_mut::<icmp::Socket>(handle).can_recv());
        let (answer, from) = guest.sockets.get_mut::<icmp::Socket>(handle).recv().expect("received");
        let answer = Icmpv4Packet::new_checked(answer).expect("a message");
        let reply = Icmpv4Repr::EchoReply { ident: 7, seq_no: 3, data: &data };
        assert_eq!(Icmpv4Repr::parse(&answer, &ChecksumCapabilities::default()), Ok(reply));
        assert_eq!(from, to.into());
    }
    let far = Ipv4Addr::new(192, 0, 2, 1);
    guest.sockets.get_mut::<icmp::Socket>(handle).send_slice(&bytes, far.into()).expect("sent");
    let said = format!("{:?} 192.0.2.1", Icmpv4DstUnreachable::CommProhibited);
    assert_eq!(told(&mut guest), (said, "10.0.2.2".to_owned()));
}
