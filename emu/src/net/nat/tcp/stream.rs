//! A connection: what the guest's end and the host's socket have for each other.

use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Duration as Delay;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Bytes each way that are kept for a side that does not take them.
const BUFFER: usize = 256 << 10;

/// A guest that said nothing for so long is asked whether it is still there, and given up when it has answered nothing for an hour.
const KEEP_ALIVE: Delay = Delay::from_secs(60);
const TIMEOUT: Delay = Delay::from_secs(3600);

/// A socket towards the guest.
pub fn guest_socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = Socket::new(buffer(), buffer());
    // What comes together is acknowledged together, at once; and what the host sends goes on at once.
    socket.set_ack_delay(None);
    socket.set_nagle_enabled(false);
    // A guest that was reset knows nothing of its connections: it is asked, and refuses them.
    socket.set_keep_alive(Some(KEEP_ALIVE));
    socket.set_timeout(Some(TIMEOUT));
    socket
}

/// The host's side of a connection.
pub struct Stream {
    host: TcpStream,
    /// The host has sent its last byte.
    host_ended: bool,
    /// The guest has, and the host knows.
    guest_ended: bool,
}

impl Stream {
    /// # Errors
    /// When the host refuses to let it be used without waiting.
    pub fn new(host: TcpStream) -> std::io::Result<Self> {
        host.set_nonblocking(true)?;
        host.set_nodelay(true)?;
        Ok(Self { host, host_ended: false, guest_ended: false })
    }

    pub fn host(&self) -> &TcpStream {
        &self.host
    }

    /// Whether bytes of the host can go on to the guest.
    pub fn reads(&self, guest: &Socket) -> bool {
        !self.host_ended && guest.can_send()
    }

    /// Whether bytes of the guest wait for the host.
    pub fn writes(&self, guest: &Socket) -> bool {
        guest.recv_queue() != 0
    }

    /// Moves what the guest has sent to the host, as far as that takes it.
    pub fn write(&mut self, guest: &mut Socket) {
        while guest.can_recv() {
            let mut taken = Ok(0);
            let _ = guest.recv(|bytes| {
                taken = self.host.write(bytes);
                (*taken.as_ref().unwrap_or(&0), ())
            });
            match taken {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => return guest.abort(),
            }
        }
        let ended =
            matches!(guest.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
        if ended && !self.guest_ended {
            self.guest_ended = true;
            let _ = self.host.shutdown(Shutdown::Write);
        }
    }

    /// Moves what the host has sent to the guest, as far as there is room.
    pub fn read(&mut self, guest: &mut Socket) {
        while self.reads(guest) {
            let mut given = Ok(0);
            let _ = guest.send(|room| {
                given = self.host.read(room);
                (*given.as_ref().unwrap_or(&0), ())
            });
            match given {
                Ok(0) => {
                    self.host_ended = true;
                    guest.close();
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return guest.abort(),
            }
        }
    }

    /// Whether both sides have said all they had to.
    pub fn is_over(&self) -> bool {
        self.host_ended && self.guest_ended
    }

    /// The guest's end is gone; the host is told how it went.
    pub fn end(self) {
        if !self.is_over() {
            // A reset, not an orderly end.
            let _ = socket2::SockRef::from(&self.host).set_linger(Some(Duration::ZERO));
        }
    }
}
