//! A client of gdb's remote serial protocol, just large enough to test the server without gdb.

use std::io::{Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection to a gdb server.
#[derive(Debug)]
pub struct Remote(pub TcpStream);

impl Remote {
    /// Connects; no answer within a minute is an error.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Sends a packet and does not wait.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        self.0.write_all(format!("${packet}#{sum:02x}").as_bytes())
    }

    /// Receives a packet and acknowledges it.
    ///
    /// # Errors
    /// When the server is gone or silent.
    pub fn receive(&mut self) -> Result<String> {
        while self.byte()? != b'$' {}
        let mut packet = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                // Run-length encoding: repeats what came last.
                b'*' => {
                    let repeat = usize::from(self.byte()?).saturating_sub(29);
                    let last = packet.last().copied().unwrap_or_default();
                    packet.resize(packet.len() + repeat, last);
                }
                byte => packet.push(byte),
            }
        }
        self.byte()?;
        self.byte()?;
        self.0.write_all(b"+")?;
        Ok(String::from_utf8_lossy(&packet).into_owned())
    }

    /// Sends a packet and returns the answer.
    ///
    /// # Errors
    /// When the server is gone or silent.
    pub fn ask(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        self.receive()
    }

    /// gdb's Ctrl-C.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn interrupt(&mut self) -> Result<()> {
        self.0.write_all(&[3])
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}
