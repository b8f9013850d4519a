//! The NAT, and a guest that is a stack of smoltcp on its cable.

mod datagrams;
mod frames;
mod streams;

use super::*;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{dhcpv4, tcp};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};
use std::collections::VecDeque;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// Between two looks, as a machine has them.
const LOOK_NS: u64 = 1_000_000;
/// What takes longer in real time has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both directions of the guest's cable.
#[derive(Default)]
struct Cable {
    to_guest: VecDeque<Vec<u8>>,
    to_nat: Vec<Vec<u8>>,
}

struct Frame(Vec<u8>);
struct Sending<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.push(frame);
        result
    }
}

impl Device for Cable {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Sending<'a>;
    fn receive(&mut self, _now: Instant) -> Option<(Frame, Sending<'_>)> {
        Some((Frame(self.to_guest.pop_front()?), Sending(&mut self.to_nat)))
    }
    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.to_nat))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A guest and its network.
struct Guest {
    nat: Nat,
    now: u64,
    cable: Cable,
    interface: Interface,
    sockets: SocketSet<'static>,
    /// Whether the guest takes frames.
    takes: bool,
}

impl Guest {
    /// A guest that has its address.
    fn new(setup: Setup) -> Self {
        let mut guest = Self::without_address(setup);
        guest.interface.update_ip_addrs(|own| own.extend([IpCidr::new(addresses::GUEST.into(), 24)]));
        guest.interface.routes_mut().add_default_ipv4_route(addresses::GATEWAY).expect("a route");
        guest
    }

    fn without_address(setup: Setup) -> Self {
        let nat = Nat::new(&Setup { mac: MAC, ..setup }).expect("its ports are free");
        let mut cable = Cable::default();
        let hardware = HardwareAddress::Ethernet(EthernetAddress(MAC));
        let interface = Interface::new(Config::new(hardware), &mut cable, Instant::from_micros(0));
        let sockets = SocketSet::new(Vec::new());
        Self { nat, now: 0, cable, interface, sockets, takes: true }
    }

    /// Lets a look's time pass.
    fn look(&mut self) {
        self.now += LOOK_NS;
        while self.takes
            && let Some(frame) = self.nat.receive(self.now)
        {
            self.cable.to_guest.push_back(frame);
        }
        let now = Instant::from_micros((self.now / 1000) as i64);
        self.interface.poll(now, &mut self.cable, &mut self.sockets);
        self.cable.to_nat.drain(..).for_each(|frame| self.nat.send(self.now, &frame));
        self.nat.wait(Duration::from_nanos(LOOK_NS));
    }

    /// Lets time pass until `done` says so.
    fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let begun = std::time::Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < PATIENCE, "it takes too long");
            self.look();
        }
    }

    fn add_tcp(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 0x1_0000]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    fn tcp(&mut self, socket: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(socket)
    }

    /// A connection to `to`, from port `from`.
    fn connect(&mut self, to: SocketAddrV4, from: u16) -> SocketHandle {
        let handle = self.add_tcp();
        let socket = self.sockets.get_mut::<tcp::Socket>(handle);
        socket.connect(self.interface.context(), (*to.ip(), to.port()), from).expect("it can be asked for");
        handle
    }
}

/// Where the guest sees a port of the host's loopback.
fn gateway(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(addresses::GATEWAY, port)
}

/// A port of the host that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

fn forward(protocol: Protocol, guest: u16) -> Forward {
    Forward { protocol, host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port()), guest }
}

#[test]
fn dhcp_gives_the_guest_what_qemu_gives_it() {
    let mut guest = Guest::without_address(Setup::default());
    let handle = guest.sockets.add(dhcpv4::Socket::new());
    let mut told = None;
    guest.until(|guest| {
        if let Some(dhcpv4::Event::Configured(config)) =
            guest.sockets.get_mut::<dhcpv4::Socket>(handle).poll()
        {
            let servers: Vec<_> = config.dns_servers.iter().map(Ipv4Addr::to_string).collect();
            told =
                Some((config.address.to_string(), config.router.map(|router| router.to_string()), servers));
        }
        told.is_some()
    });
    let expected = ("10.0.2.15/24".to_owned(), Some("10.0.2.2".to_owned()), vec!["10.0.2.3".to_owned()]);
    assert_eq!(told, Some(expected));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let Ok(std::net::SocketAddr::V4(host)) = listener.local_addr() else { panic!("no address") };
    let taken = Forward { protocol: Protocol::Tcp, host, guest: 22 };
    let setup = Setup { forwards: vec![forward(Protocol::Udp, 7), taken], ..Setup::default() };
    let (named, error) = Nat::new(&setup).err().expect("it is taken");
    assert_eq!((named, error.kind()), (taken, io::ErrorKind::AddrInUse));
}
