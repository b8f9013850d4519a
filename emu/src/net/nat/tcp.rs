//! TCP: the guest's connections end here, in a stack of smoltcp, and go on from sockets of the host.
//!
//! A connection the guest asks for is dialled first. Its SYN goes to the stack when the host has answered, to a socket that
//! waits for it, or, if nobody took the call, to none: then the stack resets it.

mod port;
mod stream;

use super::addresses::{GATEWAY, GUEST, PREFIX, outside};
use super::forward::Forward;
use super::wire::Wire;
use crate::net::ready::{Ready, Watch};
use port::Port;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Packet, TcpPacket};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use stream::{Stream, guest_socket};

/// Most connections; others are refused.
const CONNECTIONS_MAX: usize = 512;
/// Packets that come together before the stack looks at them.
const BATCH: usize = 64;
/// Ports of the gateway for connections from outside.
const PORTS: std::ops::RangeInclusive<u16> = 0xc000..=0xffff;

/// Between which ends: the guest's, and the other as the guest sees it.
type Ends = (SocketAddrV4, SocketAddrV4);

/// A connection.
enum Connection {
    /// The host has not answered yet. The packet that asked for it.
    Dialled {
        socket: socket2::Socket,
        syn: Vec<u8>,
    },
    Open {
        guest: SocketHandle,
        stream: Stream,
    },
}

struct Forwarded {
    listener: TcpListener,
    guest: SocketAddrV4,
}

/// See the module.
pub struct Tcp {
    resolver: Option<SocketAddrV4>,
    interface: Interface,
    sockets: SocketSet<'static>,
    coming: VecDeque<Vec<u8>>,
    connections: BTreeMap<Ends, Connection>,
    forwarded: Vec<Forwarded>,
    /// The port of the gateway that was used last.
    port: u16,
}

/// The stack's clock is the guest's: it sends nothing again while the guest stands still.
fn instant(now: u64) -> Instant {
    Instant::from_micros((now / 1000) as i64)
}

impl Tcp {
    pub fn new(resolver: Option<SocketAddrV4>, wire: &mut Wire) -> Self {
        let mut coming = VecDeque::new();
        let mut port = Port { coming: &mut coming, wire };
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut port, instant(0));
        interface.update_ip_addrs(|own| own.extend([IpCidr::new(GATEWAY.into(), PREFIX)]));
        interface.set_any_ip(true);
        Self {
            resolver,
            interface,
            sockets: SocketSet::new(Vec::new()),
            coming,
            connections: BTreeMap::new(),
            forwarded: Vec::new(),
            port: *PORTS.end(),
        }
    }

    /// Forwards a port.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn forward(&mut self, forward: &Forward) -> io::Result<()> {
        let listener = TcpListener::bind(forward.host)?;
        listener.set_nonblocking(true)?;
        self.forwarded.push(Forwarded { listener, guest: SocketAddrV4::new(GUEST, forward.guest) });
        Ok(())
    }

    /// Connections there are.
    #[cfg(test)]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether something waits for [`Self::exchange`].
    pub fn is_busy(&self) -> bool {
        !self.coming.is_empty()
    }

    /// The guest sends a packet.
    pub fn send(&mut self, wire: &mut Wire, now: u64, bytes: Vec<u8>) {
        let Ok(packet) = Ipv4Packet::new_checked(&bytes[..]) else { return };
        let Ok(segment) = TcpPacket::new_checked(packet.payload()) else { return };
        let from = SocketAddrV4::new(packet.src_addr(), segment.src_port());
        let to = SocketAddrV4::new(packet.dst_addr(), segment.dst_port());
        if segment.syn() && !segment.ack() {
            self.call(wire, now, (from, to), bytes);
        } else {
            self.coming.push_back(bytes);
        }
        if self.coming.len() >= BATCH {
            self.poll(wire, now);
        }
    }

    /// The guest asks for a connection.
    fn call(&mut self, wire: &mut Wire, now: u64, ends: Ends, syn: Vec<u8>) {
        match self.connections.get(&ends) {
            Some(Connection::Dialled { .. }) => return,
            Some(Connection::Open { guest, .. }) if self.is_past(*guest) => self.end(ends),
            Some(Connection::Open { .. }) => return self.coming.push_back(syn),
            None => {}
        }
        if self.connections.len() >= CONNECTIONS_MAX {
            self.end_past(wire, now);
        }
        let room = self.connections.len() < CONNECTIONS_MAX;
        match outside(ends.1, self.resolver).filter(|_| room).map(dial) {
            Some(Ok(socket)) => drop(self.connections.insert(ends, Connection::Dialled { socket, syn })),
            Some(Err(_)) | None => self.coming.push_back(syn),
        }
    }

    /// Whether a connection is over, but for packets that may still be on their way.
    fn is_past(&self, guest: SocketHandle) -> bool {
        matches!(self.sockets.get::<Socket>(guest).state(), State::TimeWait | State::Closed)
    }

    /// Forgets a connection.
    fn end(&mut self, ends: Ends) {
        if let Some(Connection::Open { guest, stream }) = self.connections.remove(&ends) {
            self.sockets.remove(guest);
            stream.end();
        }
    }

    /// Forgets all connections that are over.
    fn end_past(&mut self, wire: &mut Wire, now: u64) {
        self.poll(wire, now);
        let past = |(ends, connection): (&Ends, &Connection)| match connection {
            Connection::Open { guest, .. } if self.is_past(*guest) => Some(*ends),
            _ => None,
        };
        let past: Vec<_> = self.connections.iter().filter_map(past).collect();
        past.into_iter().for_each(|ends| self.end(ends));
    }

    /// The stack takes what has come, and sends what it has to.
    fn poll(&mut self, wire: &mut Wire, now: u64) {
        let mut port = Port { coming: &mut self.coming, wire };
        self.interface.poll(instant(now), &mut port, &mut self.sockets);
    }

    /// The sockets, to watch.
    pub fn watches(&self) -> impl Iterator<Item = Watch<'_>> {
        let listeners = self.forwarded.iter().map(|forwarded| Watch::new(&forwarded.listener, true, false));
        let connections = self.connections.values().map(|connection| match connection {
            Connection::Dialled { socket, .. } => Watch::new(socket, false, true),
            Connection::Open { guest, stream } => {
                let guest = self.sockets.get::<Socket>(*guest);
                Watch::new(stream.host(), stream.reads(guest), stream.writes(guest))
            }
        });
        listeners.chain(connections)
    }

    /// Moves bytes both ways: `ready` are the answers to [`Self::watches`].
    pub fn exchange(&mut self, wire: &mut Wire, now: u64, ready: &mut impl Iterator<Item = Ready>) {
        let arrived = self.arrived(ready);
        let ready: Vec<_> = ready.by_ref().take(self.connections.len()).collect();
        self.poll(wire, now);
        let ends: Vec<_> = self.connections.keys().copied().zip(ready).collect();
        for (ends, ready) in ends {
            match self.connections.get_mut(&ends) {
                Some(Connection::Dialled { .. }) if ready.write => self.answered(wire, now, ends),
                Some(Connection::Open { guest, stream }) => {
                    let socket = self.sockets.get_mut::<Socket>(*guest);
                    if ready.read {
                        stream.read(socket);
                    }
                    stream.write(socket);
                }
                _ => {}
            }
        }
        arrived.into_iter().for_each(|(stream, guest)| self.accept(stream, guest));
        self.poll(wire, now);
        let is_closed = |(ends, connection): (&Ends, &Connection)| match connection {
            Connection::Open { guest, .. } => {
                (self.sockets.get::<Socket>(*guest).state() == State::Closed).then_some(*ends)
            }
            Connection::Dialled { .. } => None,
        };
        let closed: Vec<_> = self.connections.iter().filter_map(is_closed).collect();
        closed.into_iter().for_each(|ends| self.end(ends));
    }

    /// The host has answered a call of the guest's, or nobody has.
    fn answered(&mut self, wire: &mut Wire, now: u64, ends: Ends) {
        let Some(Connection::Dialled { socket, syn }) = self.connections.remove(&ends) else { return };
        let connected = matches!(socket.take_error(), Ok(None)) && socket.peer_addr().is_ok();
        self.coming.push_back(syn);
        if let Some(stream) = connected.then(|| Stream::new(socket.into()).ok()).flatten() {
            let mut guest = guest_socket();
            // No other socket waits for a call to the same end: this one is taken at once.
            if guest.listen((IpAddress::from(*ends.1.ip()), ends.1.port())).is_ok() {
                let guest = self.sockets.add(guest);
                self.connections.insert(ends, Connection::Open { guest, stream });
                self.poll(wire, now);
                if self.sockets.get::<Socket>(guest).is_listening() {
                    self.end(ends);
                }
            }
        }
    }

    /// Who has come to forwarded ports, as far as there is room for them.
    fn arrived(&mut self, ready: &mut impl Iterator<Item = Ready>) -> Vec<(TcpStream, SocketAddrV4)> {
        let mut arrived = Vec::new();
        for (forwarded, ready) in self.forwarded.iter().zip(ready.by_ref().take(self.forwarded.len())) {
            while ready.read && self.connections.len() + arrived.len() < CONNECTIONS_MAX {
                let Ok((stream, _)) = forwarded.listener.accept() else { break };
                arrived.push((stream, forwarded.guest));
            }
        }
        arrived
    }

    /// Connects somebody outside to the guest.
    fn accept(&mut self, stream: TcpStream, to: SocketAddrV4) {
        let Ok(stream) = Stream::new(stream) else { return };
        let next = |port: u16| if port == *PORTS.end() { *PORTS.start() } else { port + 1 };
        self.port = next(self.port);
        while self.connections.contains_key(&(to, SocketAddrV4::new(GATEWAY, self.port))) {
            self.port = next(self.port);
        }
        let from = SocketAddrV4::new(GATEWAY, self.port);
        let mut guest = guest_socket();
        let ends = ((IpAddress::from(*to.ip()), to.port()), (IpAddress::from(*from.ip()), from.port()));
        if guest.connect(self.interface.context(), ends.0, ends.1).is_ok() {
            let guest = self.sockets.add(guest);
            self.connections.insert((to, from), Connection::Open { guest, stream });
        }
    }
}

/// Calls somebody outside, without waiting for the answer.
fn dial(there: SocketAddrV4) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&there.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(socket),
    }
}

/// Whether a call goes on although the host does not wait for it.
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    let in_progress = error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    #[cfg(not(unix))]
    let in_progress = false;
    in_progress || error.kind() == io::ErrorKind::WouldBlock
}
