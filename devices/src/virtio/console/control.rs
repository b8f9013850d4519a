//! Control messages of a console with multiple ports (virtio 1.2, 5.3.6.2): which ports there are, and who has them open.

use super::{CHANNEL_NAME, CONSOLE_PORTS};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Bytes of a message without a name.
pub(super) const LEN: usize = 8;

const DEVICE_READY: u16 = 0;
const DEVICE_ADD: u16 = 1;
const PORT_READY: u16 = 3;
const CONSOLE_PORT: u16 = 4;
const PORT_OPEN: u16 = 6;
const PORT_NAME: u16 = 7;

/// Messages waiting beyond which no more are taken off the driver: each it sends is answered by three at most.
const WAITING_MAX: usize = 16;
const ANSWERS_MAX: usize = 3;

/// A message to the driver. That of a name goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Message {
    port: u8,
    event: u16,
    value: u16,
}

/// What driver and device have told each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Ports {
    /// Ports a program in the guest has open, a bit each.
    open: u8,
    /// What the driver is still to be told.
    waiting: Vec<Message>,
}

impl Ports {
    /// Whether a program in the guest has a port open.
    pub fn is_open(&self, port: u8) -> bool {
        self.open >> port & 1 != 0
    }

    /// Whether the driver's next message is taken.
    pub fn takes_messages(&self) -> bool {
        self.waiting.len() <= WAITING_MAX
    }

    /// What a message of the driver says.
    pub fn hear(&mut self, message: &[u8; LEN]) {
        let [a, b, c, d, e, f, g, h] = *message;
        let (id, event) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]));
        let value = u16::from_le_bytes([g, h]);
        let port = u8::try_from(id).ok().filter(|port| *port < CONSOLE_PORTS);
        match (event, port) {
            (DEVICE_READY, _) if value == 1 => {
                (0..CONSOLE_PORTS).for_each(|port| self.tell(port, DEVICE_ADD, 1))
            }
            (PORT_READY, Some(port)) if value == 1 => {
                let (what, value) = if port == 0 { (CONSOLE_PORT, 1) } else { (PORT_NAME, 1) };
                self.tell(port, what, value);
                // The other end is the host, which is always there.
                self.tell(port, PORT_OPEN, 1);
            }
            (PORT_OPEN, Some(port)) => {
                self.open = self.open & !(1 << port) | u8::from(value == 1) << port;
            }
            _ => {}
        }
    }

    fn tell(&mut self, port: u8, event: u16, value: u16) {
        self.waiting.push(Message { port, event, value });
    }

    /// The next message for the driver.
    pub fn next(&self) -> Option<Vec<u8>> {
        let Message { port, event, value } = *self.waiting.first()?;
        let mut bytes = u32::from(port).to_le_bytes().to_vec();
        bytes.extend(event.to_le_bytes());
        bytes.extend(value.to_le_bytes());
        if event == PORT_NAME {
            bytes.extend(CHANNEL_NAME.bytes());
        }
        Some(bytes)
    }

    /// It was sent.
    pub fn sent(&mut self) {
        self.waiting.drain(..1.min(self.waiting.len()));
    }

    /// Whether a driver could have brought it about.
    pub fn is_consistent(&self) -> bool {
        self.open >> CONSOLE_PORTS == 0
            && self.waiting.len() <= WAITING_MAX + ANSWERS_MAX
            && self.waiting.iter().all(|message| message.port < CONSOLE_PORTS)
    }
}
