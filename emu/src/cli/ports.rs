//! The host's ends of the virtio console: who types there, and what goes through the channel beside it.

use std::collections::VecDeque;

/// Bytes the guest wrote to the channel that are kept until somebody reads them; older ones are lost.
const SAID_MAX: usize = 64 << 10;

/// Both ends.
#[derive(Default)]
pub struct Ports {
    /// What is typed at the terminal goes to the console, not to the serial port.
    pub has_terminal: bool,
    /// For the guest, by port.
    waiting: [VecDeque<u8>; 2],
    /// What the guest wrote to the channel.
    said: VecDeque<u8>,
}

impl Ports {
    /// The channel's port.
    pub const CHANNEL: u8 = 1;

    /// Bytes for a port.
    pub fn give(&mut self, port: u8, bytes: &[u8]) {
        if let Some(waiting) = self.waiting.get_mut(usize::from(port)) {
            waiting.extend(bytes);
        }
    }

    /// At most `most` of the bytes that wait for a port.
    pub fn take(&mut self, port: u8, most: usize) -> Vec<u8> {
        let Some(waiting) = self.waiting.get_mut(usize::from(port)) else { return Vec::new() };
        let len = waiting.len().min(most);
        waiting.drain(..len).collect()
    }

    /// Forgets what waits for the guest: it is at another time.
    pub fn rest(&mut self) {
        self.waiting.iter_mut().for_each(VecDeque::clear);
    }

    /// Whether bytes wait for the guest.
    pub fn any(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.is_empty())
    }

    /// The guest wrote to the channel.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.said.extend(bytes);
        let lost = self.said.len().saturating_sub(SAID_MAX);
        self.said.drain(..lost);
    }

    /// What it wrote since this was last asked.
    pub fn read(&mut self) -> Vec<u8> {
        self.said.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_wait_for_their_port_and_the_oldest_of_the_guest_are_lost() {
        let mut ports = Ports::default();
        ports.give(0, b"ab");
        ports.give(Ports::CHANNEL, b"cde");
        ports.give(9, b"nowhere");
        assert_eq!((ports.take(Ports::CHANNEL, 2), ports.take(0, 9)), (b"cd".to_vec(), b"ab".to_vec()));
        assert!(ports.any());
        assert_eq!(ports.take(Ports::CHANNEL, 9), b"e");
        assert!(!ports.any());
        ports.hear(&[1; SAID_MAX]);
        ports.hear(&[2; 10]);
        let said = ports.read();
        assert_eq!((said.len(), said[SAID_MAX - 11], said[SAID_MAX - 10]), (SAID_MAX, 1, 2));
        assert!(ports.read().is_empty());
    }
}
