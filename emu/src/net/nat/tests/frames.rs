//! Frames as no good guest sends them, and packets in fragments.

use super::*;
use proptest::prelude::*;
use smoltcp::wire::{EthernetRepr, Icmpv4Packet, Icmpv4Repr};

fn nat() -> Nat {
    Nat::new(&Setup { mac: MAC, ..Setup::default() }).expect("it needs no port")
}

fn ethernet(protocol: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 14 + payload.len()];
    EthernetRepr { src_addr: EthernetAddress(MAC), dst_addr: ROUTER, ethertype: protocol }
        .emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
    frame[14..].copy_from_slice(payload);
    frame
}

/// An IPv4 packet of the guest's to the gateway; `place` sets what it is a fragment of.
fn packet(protocol: IpProtocol, payload: &[u8], place: impl FnOnce(&mut Ipv4Packet<&mut [u8]>)) -> Vec<u8> {
    let mut bytes = vec![0; IPV4_HEADER_LEN + payload.len()];
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
    Ipv4Repr {
        src_addr: addresses::GUEST,
        dst_addr: addresses::GATEWAY,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit: 64,
    }
    .emit(&mut packet, &ChecksumCapabilities::default());
    place(&mut packet);
    packet.fill_checksum();
    packet.payload_mut().copy_from_slice(payload);
    ethernet(EthernetProtocol::Ipv4, &bytes)
}

#[test]
fn a_long_echo_comes_and_goes_in_fragments() {
    let mut nat = nat();
    let data: Vec<u8> = (0..4000).map(|n| (n * 7) as u8).collect();
    let request = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data: &data };
    let mut bytes = vec![0; request.buffer_len()];
    request.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
    let parts: Vec<_> = bytes.chunks(1480).collect();
    for (n, part) in parts.iter().enumerate() {
        let more = n + 1 < parts.len();
        let frame = packet(IpProtocol::Icmp, part, |packet| {
            packet.set_dont_frag(false);
            packet.set_ident(77);
            packet.set_more_frags(more);
            packet.set_frag_offset((n * 1480) as u16);
        });
        nat.send(0, &frame);
    }
    let mut fragments = Fragments::default();
    let frames: Vec<_> = std::iter::from_fn(|| nat.receive(0)).collect();
    assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [1514, 1514, 14 + 20 + 4008 - 2 * 1480]);
    let whole = frames.iter().find_map(|frame| fragments.add(0, &Ipv4Packet::new_unchecked(&frame[14..])));
    let whole = whole.expect("all of it is there");
    let answer = Icmpv4Packet::new_checked(&whole[..]).expect("a message");
    let reply = Icmpv4Repr::EchoReply { ident: 1, seq_no: 2, data: &data };
    assert_eq!(Icmpv4Repr::parse(&answer, &ChecksumCapabilities::default()), Ok(reply));
}

#[test]
fn addresses_that_nobody_has_are_not_answered_for() {
    let mut nat = nat();
    let mut ask = |address: Ipv4Addr| {
        let arp = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: EthernetAddress(MAC),
            source_protocol_addr: addresses::GUEST,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: address,
        };
        let mut bytes = vec![0; arp.buffer_len()];
        arp.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
        nat.send(0, &ethernet(EthernetProtocol::Arp, &bytes));
        nat.receive(0).is_some()
    };
    assert!(ask(addresses::GATEWAY) && ask(addresses::RESOLVER));
    // The guest asks whether somebody has its own address: nobody must say so.
    assert!(!ask(addresses::GUEST) && !ask(Ipv4Addr::new(10, 0, 2, 1)));
}

/// Frames with something in them that is read, and something that is wrong.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = || prop::collection::vec(any::<u8>(), 0..80);
    let protocol = prop_oneof![Just(IpProtocol::Tcp), Just(IpProtocol::Udp), Just(IpProtocol::Icmp)];
    let ip = (protocol, payload(), any::<u16>(), any::<bool>(), 0..0xffffu16).prop_map(
        |(protocol, payload, ident, more, at)| {
            packet(protocol, &payload, |packet| {
                if ident & 7 == 0 {
                    packet.set_dont_frag(false);
                    packet.set_ident(ident);
                    packet.set_more_frags(more);
                    packet.set_frag_offset(at & 0xfff8);
                }
            })
        },
    );
    let arp = payload().prop_map(|payload| ethernet(EthernetProtocol::Arp, &payload));
    let anything = prop::collection::vec(any::<u8>(), 0..120);
    (prop_oneof![ip, arp, anything], prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3))
        .prop_map(|(mut frame, flips)| {
            for (at, flip) in flips {
                if !frame.is_empty() {
                    let at = at.index(frame.len());
                    frame[at] ^= flip;
                }
            }
            frame
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_frame_makes_the_nat_panic_or_grow(frames in prop::collection::vec(frame(), 1..200)) {
        let mut nat = nat();
        for (n, frame) in frames.iter().enumerate() {
            nat.send(n as u64 * 1000, frame);
        }
        prop_assert!(nat.wire.len() <= 512);
        let received = std::iter::from_fn(|| nat.receive(1_000_000)).count();
        prop_assert!(received <= 512);
    }
}
