//! The network a guest behind the NAT sees, with the addresses QEMU's has, and what they stand for outside.

use smoltcp::wire::EthernetAddress;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The network: 10.0.2.0/24.
pub const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 0);
pub const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
pub const PREFIX: u8 = 24;
/// The gateway, which is the host: its loopback.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The name server, which is the host's.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// The guest. Who else asks for an address gets one of those that follow.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// Ethernet address of gateway and name server: one that is administered locally.
pub const ROUTER: EthernetAddress = EthernetAddress([0x52, 0x55, 10, 0, 2, 2]);

/// Port of name servers.
pub const DNS: u16 = 53;

/// Whether the guest may reach an address without a router.
pub fn is_inside(address: Ipv4Addr) -> bool {
    address.to_bits() & MASK.to_bits() == NETWORK.to_bits()
}

/// Whether an address is the NAT's own.
pub fn is_own(address: Ipv4Addr) -> bool {
    address == GATEWAY || address == RESOLVER
}

/// Whether it is the address of one station.
pub fn is_unicast(address: Ipv4Addr) -> bool {
    let broadcast =
        address.is_broadcast() || address == Ipv4Addr::from_bits(NETWORK.to_bits() | !MASK.to_bits());
    !broadcast && !address.is_multicast() && !address.is_unspecified()
}

/// Where outside what the guest sends to `to` goes. `resolver` is the host's name server.
pub fn outside(to: SocketAddrV4, resolver: Option<SocketAddrV4>) -> Option<SocketAddrV4> {
    match *to.ip() {
        GATEWAY => Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port())),
        RESOLVER if to.port() == DNS => resolver,
        ip if is_inside(ip) || !is_unicast(ip) || ip.is_loopback() => None,
        _ => Some(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_for_the_host_its_resolver_or_themselves() {
        let to = |text: &str| text.parse().expect("an address");
        let resolver = Some(to("127.0.0.53:5353"));
        for (inside, there) in [
            ("10.0.2.2:80", Some("127.0.0.1:80")),
            ("10.0.2.3:53", Some("127.0.0.53:5353")),
            ("10.0.2.3:80", None),
            ("10.0.2.15:80", None),
            ("10.0.2.255:67", None),
            ("255.255.255.255:67", None),
            ("224.0.0.251:5353", None),
            ("127.0.0.1:22", None),
            ("0.0.0.0:1", None),
            ("192.0.2.1:443", Some("192.0.2.1:443")),
        ] {
            assert_eq!(outside(to(inside), resolver), there.map(to), "{inside}");
        }
        assert_eq!(outside(to("10.0.2.3:53"), None), None);
    }
}
