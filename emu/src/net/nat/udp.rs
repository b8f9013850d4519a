//! UDP: a socket of the host for each pair of ends a guest talks between, and one for each forwarded port.

use super::addresses::{GATEWAY, GUEST, outside};
use super::forward::Forward;
use super::icmp;
use super::wire::Wire;
use crate::net::ready::{Ready, Watch};
use smoltcp::wire::Icmpv4DstUnreachable;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

/// Most flows; the one that was quiet longest ends for another.
const FLOWS_MAX: usize = 256;
/// Most peers of a forwarded port, likewise.
const PEERS_MAX: usize = 256;
/// A flow that was quiet for so long ends, ns.
const QUIET_NS: u64 = 120_000_000_000;
/// Most datagrams of a socket at once.
const AT_ONCE: usize = 32;
/// Longest datagram.
const LONGEST: usize = 0xffff;

/// Between which ends: the guest's, and the other as the guest sees it.
type Ends = (SocketAddrV4, SocketAddrV4);

struct Flow {
    socket: UdpSocket,
    used_at: u64,
}

/// Somebody outside who uses a forwarded port.
struct Peer {
    address: SocketAddr,
    used_at: u64,
}

/// A forwarded port: its users have ports of the gateway towards the guest.
struct Forwarded {
    socket: UdpSocket,
    guest: SocketAddrV4,
    peers: BTreeMap<u16, Peer>,
}

/// See the module.
pub struct Udp {
    resolver: Option<SocketAddrV4>,
    flows: BTreeMap<Ends, Flow>,
    forwarded: Vec<Forwarded>,
}

impl Udp {
    pub fn new(resolver: Option<SocketAddrV4>) -> Self {
        Self { resolver, flows: BTreeMap::new(), forwarded: Vec::new() }
    }

    /// Forwards a port.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn forward(&mut self, forward: &Forward) -> io::Result<()> {
        let socket = UdpSocket::bind(forward.host)?;
        socket.set_nonblocking(true)?;
        let guest = SocketAddrV4::new(GUEST, forward.guest);
        self.forwarded.push(Forwarded { socket, guest, peers: BTreeMap::new() });
        Ok(())
    }

    /// The guest sends a datagram.
    pub fn send(&mut self, wire: &mut Wire, now: u64, ends: Ends, payload: &[u8]) {
        let (from, to) = ends;
        if let Some((socket, peer)) = self.peer(now, ends) {
            // What the host does not take now is lost, as anywhere in a network.
            let _ = socket.send_to(payload, peer);
            return;
        }
        let Some(there) = outside(to, self.resolver) else {
            if super::addresses::is_unicast(*to.ip()) {
                icmp::refuse_datagram(wire, Icmpv4DstUnreachable::HostUnreachable, from, to);
            }
            return;
        };
        if !self.flows.contains_key(&ends) {
            let Ok(socket) = open(there) else { return };
            make_room(&mut self.flows, FLOWS_MAX, |flow| flow.used_at);
            self.flows.insert(ends, Flow { socket, used_at: now });
        }
        if let Some(flow) = self.flows.get_mut(&ends) {
            flow.used_at = now;
            if flow.socket.send(payload).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
                icmp::refuse_port(wire, from, to);
            }
        }
    }

    /// The user of a forwarded port that the guest's datagram is for.
    fn peer(&mut self, now: u64, (from, to): Ends) -> Option<(&UdpSocket, SocketAddr)> {
        let own = |forwarded: &&mut Forwarded| *to.ip() == GATEWAY && forwarded.guest == from;
        let forwarded =
            self.forwarded.iter_mut().filter(own).find(|own| own.peers.contains_key(&to.port()))?;
        let peer = forwarded.peers.get_mut(&to.port())?;
        peer.used_at = now;
        Some((&forwarded.socket, peer.address))
    }

    /// Flows there are.
    #[cfg(test)]
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Ends flows that were quiet for long.
    pub fn expire(&mut self, now: u64) {
        self.flows.retain(|_, flow| now.saturating_sub(flow.used_at) < QUIET_NS);
    }

    /// The sockets, to watch.
    pub fn watches(&self) -> impl Iterator<Item = Watch<'_>> {
        let flows = self.flows.values().map(|flow| &flow.socket);
        let forwarded = self.forwarded.iter().map(|forwarded| &forwarded.socket);
        flows.chain(forwarded).map(|socket| Watch::new(socket, true, false))
    }

    /// Takes in what has come: `ready` are the answers to [`Self::watches`].
    pub fn receive(&mut self, wire: &mut Wire, now: u64, ready: &mut impl Iterator<Item = Ready>) {
        for ((from, to), flow) in &mut self.flows {
            if ready.next().is_some_and(|ready| ready.read) {
                receive_all(&flow.socket, wire, |wire, arrived| match arrived {
                    Ok((_, payload)) => {
                        flow.used_at = now;
                        wire.send_udp(*to, *from, payload);
                    }
                    Err(ErrorKind::ConnectionRefused) => icmp::refuse_port(wire, *from, *to),
                    Err(_) => {}
                });
            }
        }
        for Forwarded { socket, guest, peers } in &mut self.forwarded {
            if ready.next().is_some_and(|ready| ready.read) {
                receive_all(socket, wire, |wire, arrived| {
                    if let Ok((peer, payload)) = arrived
                        && let Some(port) = port_of(peers, now, peer)
                    {
                        wire.send_udp(SocketAddrV4::new(GATEWAY, port), *guest, payload);
                    }
                });
            }
        }
    }
}

/// A socket that talks to one end outside.
fn open(there: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(there)?;
    Ok(socket)
}

/// Takes datagrams, and errors, while the guest's cable has room.
fn receive_all(
    socket: &UdpSocket,
    wire: &mut Wire,
    mut take: impl FnMut(&mut Wire, Result<(SocketAddr, &[u8]), ErrorKind>),
) {
    let mut bytes = vec![0; LONGEST];
    for _ in 0..AT_ONCE {
        if !wire.has_room() {
            return;
        }
        match socket.recv_from(&mut bytes) {
            Ok((len, peer)) => take(wire, Ok((peer, &bytes[..len]))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => take(wire, Err(error.kind())),
        }
    }
}

/// The port of the gateway that stands for somebody outside: its own, if that is free.
fn port_of(peers: &mut BTreeMap<u16, Peer>, now: u64, address: SocketAddr) -> Option<u16> {
    let known = peers.iter_mut().find(|(_, peer)| peer.address == address);
    if let Some((port, peer)) = known {
        peer.used_at = now;
        return Some(*port);
    }
    make_room(peers, PEERS_MAX, |peer| peer.used_at);
    let free = |port: &u16| !peers.contains_key(port);
    let port = Some(address.port()).filter(free).or_else(|| (0xc000..=0xffff).find(free))?;
    peers.insert(port, Peer { address, used_at: now });
    Some(port)
}

/// Ends what was quiet longest, if there are as many as there may be.
fn make_room<K: Copy + Ord, V>(table: &mut BTreeMap<K, V>, most: usize, used_at: impl Fn(&V) -> u64) {
    if table.len() >= most
        && let Some(oldest) = table.iter().min_by_key(|(_, value)| used_at(value)).map(|(key, _)| *key)
    {
        table.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_a_forwarded_port_keep_their_ports_until_too_many_have_come() {
        let mut peers = BTreeMap::new();
        let address = |n: u8, port| SocketAddr::from(([127, 0, 0, n], port));
        assert_eq!(port_of(&mut peers, 0, address(1, 500)), Some(500));
        assert_eq!(port_of(&mut peers, 1, address(2, 500)), Some(0xc000));
        assert_eq!(port_of(&mut peers, 2, address(1, 500)), Some(500));
        for n in 0..PEERS_MAX as u16 {
            assert_eq!(port_of(&mut peers, 3, address(3, 1000 + n)), Some(1000 + n));
        }
        assert_eq!(peers.len(), PEERS_MAX);
        assert!(!peers.contains_key(&0xc000) && !peers.contains_key(&500));
    }
}
