//! The two 8237A DMA controllers of a PC/AT as in the ICH9 (5.4 and 13.2), with their page registers. Channels 0-3 move
//! bytes; channel 4 carries the requests of these; nothing here asks for channels 5-7, which move words.

use crate::device::Dma;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Ports of the page registers.
const PAGES: u16 = 0x80;
/// Page register of each byte channel, from [`PAGES`] on.
const PAGE_OF: [usize; 4] = [7, 3, 1, 2];
/// Ports of the second controller, two for each register.
const SECOND: u16 = 0xc0;

const COMMAND_DISABLE: u8 = 1 << 2;
const MODE_DECREMENT: u8 = 1 << 5;
const MODE_AUTOINIT: u8 = 1 << 4;
const MODE_TRANSFER: u8 = 3 << 2;
const MODE_WRITE_MEMORY: u8 = 1 << 2;
const MODE_READ_MEMORY: u8 = 2 << 2;
const MODE_CASCADE: u8 = 3 << 6;
const ALL: u8 = 0xf;

/// Which way a device's bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToMemory,
    FromMemory,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// Bytes that were moved, from the first on.
    pub bytes: usize,
    /// Terminal count: the last of them was the last the channel was to move.
    pub terminal_count: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Channel {
    base_address: u16,
    base_count: u16,
    address: u16,
    count: u16,
    mode: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Controller {
    channels: [Channel; 4],
    command: u8,
    /// Bit n: channel n is masked, asked for by software, at its terminal count.
    mask: u8,
    request: u8,
    reached: u8,
    /// The next byte of an address or count is the high one.
    high: bool,
}

impl Controller {
    fn new() -> Self {
        Self { channels: [Channel::default(); 4], command: 0, mask: ALL, request: 0, reached: 0, high: false }
    }

    fn read(&mut self, register: u16) -> u8 {
        match register {
            0..=7 => {
                let channel = &self.channels[usize::from(register / 2)];
                let word = if register & 1 == 0 { channel.address } else { channel.count };
                let bytes = word.to_le_bytes();
                let byte = bytes[usize::from(self.high)];
                self.high = !self.high;
                byte
            }
            8 => std::mem::take(&mut self.reached) | self.request << 4,
            0xf => self.mask | !ALL,
            _ => 0,
        }
    }

    fn write(&mut self, register: u16, value: u8) {
        let channel = usize::from(value & 3);
        let bit = 1 << channel;
        let set = |bits: &mut u8| if value & 4 != 0 { *bits |= bit } else { *bits &= !bit };
        match register {
            0..=7 => self.write_word(register, value),
            8 => self.command = value,
            9 => set(&mut self.request),
            0xa => set(&mut self.mask),
            0xb => self.channels[channel].mode = value & !3,
            0xc => self.high = false,
            // Master clear leaves addresses, counts and modes alone.
            0xd => *self = Self { channels: self.channels, ..Self::new() },
            0xe => self.mask = 0,
            _ => self.mask = value & ALL,
        }
    }

    fn write_word(&mut self, register: u16, value: u8) {
        let channel = &mut self.channels[usize::from(register / 2)];
        let (base, current) = match register & 1 {
            0 => (&mut channel.base_address, &mut channel.address),
            _ => (&mut channel.base_count, &mut channel.count),
        };
        let mut bytes = base.to_le_bytes();
        bytes[usize::from(self.high)] = value;
        *base = u16::from_le_bytes(bytes);
        *current = *base;
        self.high = !self.high;
    }

    fn serves(&self, channel: usize) -> bool {
        self.command & COMMAND_DISABLE == 0 && self.mask >> channel & 1 == 0
    }

    /// A channel has moved a byte; whether it was the last.
    fn count(&mut self, n: usize) -> bool {
        let channel = &mut self.channels[n];
        let step = if channel.mode & MODE_DECREMENT != 0 { u16::MAX } else { 1 };
        channel.address = channel.address.wrapping_add(step);
        channel.count = channel.count.wrapping_sub(1);
        let last = channel.count == u16::MAX;
        if last {
            self.reached |= 1 << n;
            self.request &= !(1 << n);
            if channel.mode & MODE_AUTOINIT != 0 {
                (channel.address, channel.count) = (channel.base_address, channel.base_count);
            } else {
                self.mask |= 1 << n;
            }
        }
        last
    }
}

/// Both controllers and the page registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct I8237 {
    controllers: [Controller; 2],
    /// By port. Those of no channel are memory; the first one, 80h, is the POST code's and not here.
    pages: [u8; 16],
}

impl Section for I8237 {
    const KIND: &'static str = "i8237";
    const VERSION: u32 = 1;
}

impl I8237 {
    pub fn new() -> Self {
        Self { controllers: [Controller::new(), Controller::new()], pages: [0; 16] }
    }

    /// Lets the byte channels through, as firmware does.
    pub fn set_up_as_firmware(&mut self) {
        let second = &mut self.controllers[1];
        second.channels[0].mode = MODE_CASCADE;
        second.mask &= !1;
    }

    /// Whether it answers at `port`.
    pub fn claims(port: u16) -> bool {
        matches!(port, 0..=0x0f | 0x81..=0x8f | SECOND..=0xdf)
    }

    pub fn read(&mut self, port: u16) -> u8 {
        match port {
            0..=0x0f => self.controllers[0].read(port),
            PAGES..=0x8f => self.pages[usize::from(port - PAGES)],
            SECOND..=0xdf => self.controllers[1].read((port - SECOND) / 2),
            _ => 0xff,
        }
    }

    pub fn write(&mut self, port: u16, value: u8) {
        match port {
            0..=0x0f => self.controllers[0].write(port, value),
            PAGES..=0x8f => self.pages[usize::from(port - PAGES)] = value,
            SECOND..=0xdf => self.controllers[1].write((port - SECOND) / 2, value),
            _ => {}
        }
    }

    /// A device asks byte channel `channel` to move `bytes`, or as many as it is set up for. A channel that only verifies,
    /// or is set up for the other direction, counts and moves nothing.
    pub fn serve(
        &mut self,
        memory: &mut dyn Dma,
        channel: usize,
        direction: Direction,
        bytes: &mut [u8],
    ) -> Served {
        let mut served = Served { bytes: 0, terminal_count: false };
        let page = u64::from(self.pages[PAGE_OF[channel & 3]]) << 16;
        let through = self.controllers[1].serves(0);
        let controller = &mut self.controllers[0];
        while through && !served.terminal_count && controller.serves(channel & 3) {
            let Some(byte) = bytes.get_mut(served.bytes..=served.bytes) else { break };
            let Channel { address, mode, .. } = controller.channels[channel & 3];
            let gpa = page | u64::from(address);
            match (mode & MODE_TRANSFER, direction) {
                (MODE_WRITE_MEMORY, Direction::ToMemory) => memory.write(gpa, byte),
                (MODE_READ_MEMORY, Direction::FromMemory) => memory.read(gpa, byte),
                _ => {}
            }
            served.bytes += 1;
            served.terminal_count = controller.count(channel & 3);
        }
        served
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    /// Channel 2 to move `len` bytes at `gpa`.
    fn set_up(mode: u8, gpa: u32, len: u16) -> I8237 {
        let mut dma = I8237::new();
        let [low, high, page, _] = gpa.to_le_bytes();
        let [count, count_high] = (len - 1).to_le_bytes();
        let writes = [
            (0xd6, 0xc0),
            (0xd4, 0),
            (0x0a, 6),
            (0x0c, 0),
            (0x04, low),
            (0x04, high),
            (0x0c, 0),
            (0x05, count),
            (0x05, count_high),
            (0x0b, mode),
            (0x81, page),
            (0x0a, 2),
        ];
        writes.into_iter().for_each(|(port, value)| dma.write(port, value));
        dma
    }

    #[test]
    fn a_channel_moves_bytes_until_its_count_is_reached() {
        let (mut dma, mut memory) = (set_up(0x46, 0x1_2345, 5), Memory(vec![0; 0x2_0000]));
        let first = dma.serve(&mut memory, 2, Direction::ToMemory, &mut [1, 2, 3]);
        assert_eq!(first, Served { bytes: 3, terminal_count: false });
        assert_eq!((dma.read(4), dma.read(4), dma.read(5), dma.read(5)), (0x48, 0x23, 1, 0));
        let second = dma.serve(&mut memory, 2, Direction::ToMemory, &mut [4, 5, 6]);
        assert_eq!(second, Served { bytes: 2, terminal_count: true });
        assert_eq!(memory.0[0x1_2345..0x1_234b], [1, 2, 3, 4, 5, 0]);
        assert_eq!((dma.read(8), dma.read(8), dma.read(0x0f)), (4, 0, 0xff), "reached once, and masked");
        assert_eq!(dma.serve(&mut memory, 2, Direction::ToMemory, &mut [7]).bytes, 0);
    }

    #[test]
    fn an_address_wraps_in_its_page_and_autoinit_begins_again() {
        let (mut dma, mut memory) =
            (set_up(0x5a, 0x1_ffff, 2), Memory((0..0x3_0000).map(|n| (n >> 12) as u8).collect()));
        let mut bytes = [0; 2];
        let served = dma.serve(&mut memory, 2, Direction::FromMemory, &mut bytes);
        assert_eq!((served.terminal_count, bytes), (true, [0x1f, 0x10]));
        assert_eq!((dma.read(4), dma.read(4), dma.read(0x0f)), (0xff, 0xff, 0xfb));
    }

    #[test]
    fn a_masked_disabled_or_cut_off_channel_serves_nobody() {
        for (port, value) in [(0x0a, 6), (0x08, 4), (0xd0, 4), (0xd4, 4), (0x0d, 0), (0xda, 0)] {
            let (mut dma, mut memory) = (set_up(0x46, 0x100, 5), Memory(vec![0; 0x200]));
            dma.write(port, value);
            assert_eq!(dma.serve(&mut memory, 2, Direction::ToMemory, &mut [1]).bytes, 0, "{port:x}");
            dma.write(0x0e, 0);
        }
    }

    #[test]
    fn verifying_counts_and_moves_nothing() {
        for mode in [0x42, 0x4a] {
            let (mut dma, mut memory) = (set_up(mode, 0x100, 2), Memory(vec![0; 0x200]));
            assert!(dma.serve(&mut memory, 2, Direction::ToMemory, &mut [1, 2]).terminal_count);
            assert_eq!(memory.0[0x100..0x102], [0, 0]);
        }
    }
}
