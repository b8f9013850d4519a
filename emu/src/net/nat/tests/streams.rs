//! Connections, both ways.

use super::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

fn listener() -> (TcpListener, SocketAddrV4) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    // Room for all that come at once.
    socket2::SockRef::from(&listener).listen(1024).expect("it listens");
    listener.set_nonblocking(true).expect("it need not wait");
    let port = listener.local_addr().expect("its address").port();
    (listener, gateway(port))
}

/// A connection that the guest asked for: its end and the host's.
fn connected(guest: &mut Guest) -> (SocketHandle, TcpStream) {
    connected_from(guest, 40_000)
}

fn connected_from(guest: &mut Guest, port: u16) -> (SocketHandle, TcpStream) {
    let (listener, to) = listener();
    let socket = guest.connect(to, port);
    let mut host = None;
    guest.until(|guest| {
        host = host.take().or_else(|| listener.accept().ok());
        host.is_some() && guest.tcp(socket).may_send()
    });
    let (host, _) = host.expect("accepted");
    host.set_nonblocking(true).expect("it need not wait");
    (socket, host)
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|n| ((n * 31 + seed) ^ (n >> 9)) as u8).collect()
}

/// Writes what `host` takes of `bytes` from `at` on.
fn write(host: &mut TcpStream, bytes: &[u8], at: &mut usize) {
    while *at < bytes.len() {
        match host.write(&bytes[*at..]) {
            Ok(written) => *at += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads what there is; whether the end has come.
fn read(host: &mut TcpStream, into: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 0x1_0000];
    loop {
        match host.read(&mut bytes) {
            Ok(0) => return true,
            Ok(read) => into.extend(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("{error}"),
        }
    }
}

fn receive(guest: &mut Guest, socket: SocketHandle, into: &mut Vec<u8>) {
    let socket = guest.tcp(socket);
    while socket.can_recv() {
        socket.recv(|bytes| (bytes.len(), into.extend(&*bytes))).expect("received");
    }
}

#[test]
fn bytes_go_both_ways_and_each_way_ends_by_itself() {
    let mut guest = Guest::new(Setup::default());
    let (socket, mut host) = connected(&mut guest);
    let (up, down) = (pattern(3 << 20, 1), pattern(5 << 20, 2));
    let (mut sent, mut gone, mut arrived, mut received) = (0, 0, Vec::new(), Vec::new());
    let mut ended = false;
    guest.until(|guest| {
        write(&mut host, &down, &mut gone);
        ended |= read(&mut host, &mut arrived);
        receive(guest, socket, &mut received);
        while sent < up.len() && guest.tcp(socket).can_send() {
            sent += guest.tcp(socket).send_slice(&up[sent..]).expect("sent");
        }
        if sent == up.len() {
            guest.tcp(socket).close();
        }
        ended && received.len() == down.len()
    });
    assert!(arrived == up && received == down, "other bytes");
    // The guest has ended its way; the other is open still.
    assert_eq!(guest.tcp(socket).state(), tcp::State::FinWait2);
    host.write_all(b"more").expect("written");
    host.shutdown(Shutdown::Write).expect("shut down");
    guest.until(|guest| {
        receive(guest, socket, &mut received);
        !guest.tcp(socket).may_recv()
    });
    assert_eq!(&received[down.len()..], b"more");
    // The stack forgets the connection when nothing of it can be on its way any more.
    for _ in 0..11_000 {
        guest.now += LOOK_NS;
        if guest.nat.tcp.connections() == 0 {
            return;
        }
        guest.look();
    }
    panic!("the connection is still there");
}

#[test]
fn a_call_that_nobody_takes_is_refused() {
    let mut guest = Guest::new(Setup::default());
    for to in [gateway(free_port()), "10.0.2.77:80".parse().expect("an address"), gateway(0xffff)] {
        let socket = guest.connect(to, 40_001);
        guest.look();
        assert_ne!(guest.tcp(socket).state(), tcp::State::Closed);
        if is_own(*to.ip()) {
            guest.until(|guest| guest.tcp(socket).state() == tcp::State::Closed);
        }
        guest.sockets.remove(socket);
    }
    assert_eq!(guest.nat.tcp.connections(), 0);
}

#[test]
fn forwarded_ports_lead_to_the_guest() {
    let port = forward(Protocol::Tcp, 22);
    let mut guest = Guest::new(Setup { forwards: vec![port], ..Setup::default() });
    let mut host = TcpStream::connect(port.host).expect("the NAT takes the call");
    host.set_nonblocking(true).expect("it need not wait");
    let socket = guest.add_tcp();
    guest.tcp(socket).listen(22).expect("listening");
    host.write_all(b"hello").expect("written");
    let (mut received, mut arrived) = (Vec::new(), Vec::new());
    guest.until(|guest| {
        receive(guest, socket, &mut received);
        received == b"hello"
    });
    assert_eq!(guest.tcp(socket).remote_endpoint().map(|end| end.addr), Some(addresses::GATEWAY.into()));
    guest.tcp(socket).send_slice(b"yes?").expect("sent");
    guest.tcp(socket).close();
    guest.until(|_| read(&mut host, &mut arrived));
    assert_eq!(arrived, b"yes?");
    drop(host);
    guest.until(|guest| guest.tcp(socket).state() == tcp::State::TimeWait);
    // Nobody listens now.
    let mut host = TcpStream::connect(port.host).expect("the NAT takes the call");
    host.set_nonblocking(true).expect("it need not wait");
    guest.until(|_| host.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

#[test]
fn a_reset_of_one_side_is_one_of_the_other() {
    let mut guest = Guest::new(Setup::default());
    let (socket, mut host) = connected(&mut guest);
    guest.tcp(socket).abort();
    guest.until(|_| host.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    guest.sockets.remove(socket);
    let (socket, host) = connected(&mut guest);
    socket2::SockRef::from(&host).set_linger(Some(Duration::ZERO)).expect("set");
    drop(host);
    guest.until(|guest| guest.tcp(socket).state() == tcp::State::Closed);
    assert_eq!(guest.nat.tcp.connections(), 0);
}

#[test]
fn a_guest_that_forgot_its_connections_is_asked_and_loses_them() {
    let mut guest = Guest::new(Setup::default());
    let (socket, mut host) = connected(&mut guest);
    let (kept, _other) = connected_from(&mut guest, 40_002);
    guest.sockets.remove(socket);
    guest.now += 59_000_000_000;
    guest.look();
    assert_eq!(guest.nat.tcp.connections(), 2);
    guest.now += 2_000_000_000;
    guest.until(|_| host.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert_eq!(guest.nat.tcp.connections(), 1);
    assert!(guest.tcp(kept).may_send(), "who answers keeps it");
}

#[test]
fn a_guest_that_does_not_read_makes_the_host_wait() {
    let mut guest = Guest::new(Setup::default());
    let (socket, mut host) = connected(&mut guest);
    let (bytes, mut at) = (pattern(64 << 20, 3), 0);
    let mut before = usize::MAX;
    // Until nothing moves for 50 looks.
    let mut still = 0;
    guest.until(|_| {
        write(&mut host, &bytes, &mut at);
        still = if at == before { still + 1 } else { 0 };
        before = at;
        still == 50
    });
    assert!(at < 32 << 20, "{at} bytes were taken");
    // One that takes no frames at all does so, too, and what comes is not lost.
    guest.takes = false;
    (0..100).for_each(|_| guest.look());
    assert!(guest.nat.wire.len() <= 512);
    guest.takes = true;
    let mut received = Vec::new();
    guest.until(|guest| {
        write(&mut host, &bytes, &mut at);
        receive(guest, socket, &mut received);
        received.len() == bytes.len()
    });
    assert!(received == bytes, "other bytes");
}

#[test]
fn there_are_so_many_connections_and_those_beyond_are_refused() {
    const MANY: u16 = 600;
    // Both ends are files of this process.
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("so many may be open");
    let mut guest = Guest::new(Setup::default());
    let (listener, to) = listener();
    let sockets: Vec<_> = (0..MANY)
        .map(|n| {
            let buffer = || tcp::SocketBuffer::new(vec![0; 256]);
            let handle = guest.sockets.add(tcp::Socket::new(buffer(), buffer()));
            let socket = guest.sockets.get_mut::<tcp::Socket>(handle);
            let end = (*to.ip(), to.port());
            socket.connect(guest.interface.context(), end, 10_000 + n).expect("it can be asked for");
            handle
        })
        .collect();
    let mut hosts = Vec::new();
    let count = |guest: &mut Guest, state| {
        sockets.iter().filter(|socket| guest.tcp(**socket).state() == state).count()
    };
    guest.until(|guest| {
        hosts.extend(std::iter::from_fn(|| listener.accept().ok()));
        let open = count(guest, tcp::State::Established);
        open + count(guest, tcp::State::Closed) == usize::from(MANY) && hosts.len() == open
    });
    assert_eq!((hosts.len(), guest.nat.tcp.connections()), (512, 512));
    // All end, and there is room again.
    hosts.clear();
    sockets.iter().for_each(|socket| guest.tcp(*socket).close());
    guest.until(|guest| {
        count(guest, tcp::State::Closed) == usize::from(MANY) || guest.nat.tcp.connections() == 0
    });
    let (socket, _host) = connected(&mut guest);
    assert!(guest.tcp(socket).may_send());
}
