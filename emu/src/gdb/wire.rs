//! The connection to gdb: buffered both ways, and one look costs one system call.

use gdbstub::conn::Connection;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;

/// A connection to gdb.
pub struct Wire {
    stream: TcpStream,
    received: VecDeque<u8>,
    to_send: Vec<u8>,
}

impl Wire {
    /// Takes over a connection.
    ///
    /// # Errors
    /// When the connection is already gone.
    pub fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: VecDeque::new(), to_send: Vec::new() })
    }

    /// The next byte gdb sends; waits for it.
    ///
    /// # Errors
    /// When gdb is gone.
    pub fn read(&mut self) -> Result<u8> {
        if let Some(byte) = self.received.pop_front() {
            return Ok(byte);
        }
        let mut bytes = [0; 512];
        match self.stream.read(&mut bytes)? {
            0 => Err(Error::from(ErrorKind::UnexpectedEof)),
            n => {
                self.received.extend(&bytes[1..n]);
                Ok(bytes[0])
            }
        }
    }

    /// Whether [`Wire::read`] would return at once, with a byte or because gdb is gone.
    pub fn ready(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let look = || poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&at_once));
        !self.received.is_empty() || !matches!(look(), Ok(0) | Err(Errno::INTR))
    }
}

impl Connection for Wire {
    type Error = Error;

    fn write(&mut self, byte: u8) -> Result<()> {
        self.to_send.push(byte);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Write::write_all(&mut self.stream, &self.to_send)?;
        self.to_send.clear();
        Ok(())
    }
}
