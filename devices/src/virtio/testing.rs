//! A driver for tests of virtio functions: it sets the queues up, offers chains and lets time pass.

use crate::clock::Clock;
use crate::device::{DeviceCtx, DeviceId, Dma};
use crate::effects::{Effect, Effects};
use crate::irq::IrqLines;
use crate::pci::function::Function;
use crate::testing::Random;

/// Entries of each queue.
pub(super) const SIZE: u16 = 8;
/// Each queue has so much memory for its table and its rings.
const QUEUE_LEN: u64 = 0x1000;
const DRIVER: u64 = 0x400;
const DEVICE: u64 = 0x800;
/// Buffers begin here.
pub(super) const BUFFERS: u64 = 0x8000;

/// A function with a driver.
pub(super) struct Driver<F, M> {
    pub function: F,
    pub memory: M,
    pub clock: Clock,
    pub irqs: IrqLines,
    pub effects: Effects,
    queues: u16,
    features: u64,
}

impl<F: Function + Clone + PartialEq + std::fmt::Debug, M: Dma> Driver<F, M> {
    /// The driver is ready, with `queues` queues and bus mastering on.
    pub fn new(function: F, memory: M, queues: u16, features: u64) -> Self {
        let (clock, irqs, effects) = (Clock::default(), IrqLines::new(), Effects::default());
        let mut driver = Self { function, memory, clock, irqs, effects, queues, features };
        driver.config(4, 2, 6);
        driver.start(features);
        driver
    }

    /// Resets the function and sets it up.
    pub fn start(&mut self, features: u64) {
        for (at, size, value) in [(0x14, 1, 0), (0x14, 1, 3), (8, 4, 0), (12, 4, features), (8, 4, 1)] {
            self.set(at, size, value);
        }
        self.set(12, 4, 1);
        self.set(0x14, 1, 0xb);
        for n in 0..self.queues {
            let rings = Self::rings(n);
            self.memory.write(rings, &[0; QUEUE_LEN as usize]);
            // The device writes the buffers of even queues, and reads those of odd ones.
            let flags = if n.is_multiple_of(2) { 2 } else { 0 };
            (0..SIZE).for_each(|index| {
                let address = BUFFERS + 0x100 * u64::from(index);
                self.describe(n, index, address, 64, flags, 0);
            });
            for (at, size, value) in [(0x16, 2, u64::from(n)), (0x18, 2, u64::from(SIZE)), (0x20, 8, rings)] {
                self.set(at, size, value);
            }
            for (at, size, value) in [(0x28, 8, rings + DRIVER), (0x30, 8, rings + DEVICE), (0x1c, 2, 1)] {
                self.set(at, size, value);
            }
        }
        self.set(0x14, 1, 0xf);
        assert_eq!(self.get(0x14, 1), 0xf);
    }

    fn rings(queue: u16) -> u64 {
        0x1000 + QUEUE_LEN * u64::from(queue)
    }

    pub fn with<R>(&mut self, act: impl FnOnce(&mut F, &mut DeviceCtx) -> R) -> R {
        let Self { function, memory, clock, irqs, effects, .. } = self;
        act(function, &mut DeviceCtx { clock, irqs, effects, dma: memory })
    }

    pub fn set(&mut self, at: u64, size: u8, value: u64) {
        self.with(|function, cx| function.bar_write(cx, 4, at, size, value));
    }

    pub fn get(&mut self, at: u64, size: u8) -> u64 {
        self.with(|function, cx| function.bar_read(cx, 4, at, size))
    }

    pub fn config(&mut self, at: u16, size: u8, value: u64) {
        self.with(|function, cx| function.config_write(cx, at, size, value));
    }

    fn word(&mut self, gpa: u64) -> u16 {
        let mut bytes = [0; 2];
        self.memory.read(gpa, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    pub fn describe(&mut self, queue: u16, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let word =
            u128::from(address) | u128::from(len) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
        self.memory.write(Self::rings(queue) + 16 * u64::from(index), &word.to_le_bytes());
    }

    pub fn make_available(&mut self, queue: u16, head: u16) {
        let driver = Self::rings(queue) + DRIVER;
        let index = self.word(driver + 2);
        self.memory.write(driver + 4 + 2 * u64::from(index % SIZE), &head.to_le_bytes());
        self.memory.write(driver + 2, &index.wrapping_add(1).to_le_bytes());
    }

    pub fn ring(&mut self, queue: u16) {
        self.set(0x3000 + 4 * u64::from(queue), 2, u64::from(queue));
    }

    /// Offers a chain of what the device reads and what it writes, and rings.
    pub fn offer(
        &mut self,
        queue: u16,
        head: u16,
        readable: Option<(u64, u32)>,
        writable: Option<(u64, u32)>,
    ) {
        let more = u16::from(writable.is_some());
        if let Some((address, len)) = readable {
            self.describe(queue, head, address, len, more, head + 1);
        }
        let second = head + u16::from(readable.is_some());
        if let Some((address, len)) = writable {
            self.describe(queue, second, address, len, 2, 0);
        }
        self.make_available(queue, head);
        self.ring(queue);
    }

    /// Chains of a queue that came back.
    pub fn used(&mut self, queue: u16) -> u16 {
        self.word(Self::rings(queue) + DEVICE + 2)
    }

    /// Bytes written of the chain that came back last.
    pub fn written(&mut self, queue: u16) -> u32 {
        let last = u64::from(self.used(queue).wrapping_sub(1) % SIZE);
        let mut bytes = [0; 4];
        self.memory.read(Self::rings(queue) + DEVICE + 8 + 8 * last, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    pub fn bytes(&mut self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read(at, &mut bytes);
        bytes
    }

    /// Lets time pass to the next timer.
    pub fn pass(&mut self) -> bool {
        let Some(at) = self.clock.next() else { return false };
        self.clock.advance_to(at);
        while let Some((_, timer)) = self.clock.pop_due() {
            assert_eq!(timer.device, DeviceId::Slot(self.function.slot()));
            self.with(|function, cx| function.timer(cx, timer.timer));
        }
        true
    }

    pub fn drain(&mut self) -> Vec<Effect> {
        while self.irqs.take_change().is_some() {}
        self.effects.drain().collect()
    }

    /// Something a driver with bad intentions does to rings, registers and buffers. `lengths` are those worth trying.
    pub fn do_harm(&mut self, random: &mut Random, lengths: &[u32]) {
        let (what, any) = (random.next(), random.next());
        let queue = (what >> 8) as u16 % self.queues;
        let small = (what >> 16) as u8;
        if self.get(0x14, 1) & 0x40 != 0 && small & 3 == 0 {
            self.config(4, 2, 6);
            self.start(self.features);
        }
        match what % 16 {
            0 | 1 => {
                let address = if small & 0xf == 0 { any } else { BUFFERS + (any & 0x3fff) };
                let len = if small < 4 { any as u32 } else { random.of(lengths) };
                let good = if queue.is_multiple_of(2) { 2 } else { 0 };
                let flags = if small & 0x3c == 0 { any as u16 } else { good | (any >> 32) as u16 & 1 };
                let (index, next) = ((what >> 32) as u16 % SIZE, (what >> 40) as u16 % (SIZE + 1));
                self.describe(queue, index, address, len, flags, next);
            }
            2..=7 => {
                self.make_available(queue, u16::from(small) % SIZE);
                self.ring(queue);
            }
            8 => self.memory.write(0x1000 + (any & 0x6fff), &[small]),
            9 if small < 8 => self.set(any >> 8 & 0x3fff, [1, 2, 4, 8][usize::from(small) & 3], any),
            10 => self.config(4, 2, if small == 0 { any & 7 } else { 6 }),
            _ => drop(self.pass()),
        }
        assert_eq!(self.function.impossible(), None);
    }

    /// The state goes into a section and comes out of it, and what is under way ends.
    pub fn end(&mut self) {
        let path = format!("p/{}", self.function.section_name());
        let section = self.function.to_section(&path);
        assert!(self.function.restored(&section).is_ok_and(|restored| restored == self.function));
        for _ in 0..600 {
            self.pass();
        }
        assert_eq!(self.clock.next(), None, "what is under way ends");
    }
}

/// Operations of a hostile test: `AMBER_HOSTILE` says how many.
pub(super) fn operations() -> u64 {
    std::env::var("AMBER_HOSTILE").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000)
}
