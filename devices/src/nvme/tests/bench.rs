//! A controller with RAM and a disk that can break, and a driver for it.

use super::super::*;
use crate::clock::Clock;
use crate::device::{Dma, MediumError};
use crate::disk::{DiskInterface, SECTOR};
use crate::effects::Effects;
use crate::irq::{IrqLines, IrqSource, Line};
use crate::testing::Memory;

pub(super) const SLOT: u8 = 3;
pub(super) const SECTORS: u64 = 4096;
/// Where data is in RAM.
pub(super) const DATA: u64 = 0x2_0000;
const RAM: usize = 0x10_0000;
/// Entries of every queue.
pub(super) const ENTRIES: u16 = 8;

/// RAM and the disk.
pub(super) struct World {
    pub ram: Memory,
    pub disk: Vec<u8>,
    pub broken: bool,
    /// What was written cannot be brought to the medium.
    pub full: bool,
    pub flushes: usize,
}

impl World {
    fn on_disk(&mut self, disk: u8, at: u64, len: usize) -> Result<&mut [u8], MediumError> {
        assert_eq!(disk, 0);
        if self.broken { Err(MediumError) } else { Ok(&mut self.disk[at as usize..][..len]) }
    }
}

impl Dma for World {
    fn read(&mut self, gpa: u64, into: &mut [u8]) {
        self.ram.read(gpa, into);
    }
    fn write(&mut self, gpa: u64, from: &[u8]) {
        self.ram.write(gpa, from);
    }
    fn read_disk(&mut self, disk: u8, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        into.copy_from_slice(self.on_disk(disk, at, into.len())?);
        Ok(())
    }
    fn write_disk(&mut self, disk: u8, at: u64, from: &[u8]) -> Result<(), MediumError> {
        self.on_disk(disk, at, from.len())?.copy_from_slice(from);
        Ok(())
    }
    fn flush_disk(&mut self, _disk: u8) -> Result<(), MediumError> {
        self.flushes += 1;
        if self.full { Err(MediumError) } else { Ok(()) }
    }
}

/// What the driver remembers of a pair of queues.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub tail: u16,
    pub head: u16,
    pub phase: bool,
}

/// An entry of a completion queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub id: u16,
    pub status: u16,
    pub result: u32,
    /// Head of the submission queue.
    pub head: u16,
}

/// A command to be: everything but its identifier.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    pub opcode: u8,
    pub flags: u8,
    pub nsid: u32,
    pub prp1: u64,
    pub prp2: u64,
    pub cdw10: u32,
    pub cdw11: u32,
    pub cdw12: u32,
}

impl Order {
    /// A command about blocks, with data in one or two pages.
    pub fn blocks(opcode: u8, first: u64, blocks: u64) -> Self {
        Self {
            opcode,
            nsid: 1,
            prp1: DATA,
            prp2: DATA + 0x1000,
            cdw10: first as u32,
            cdw11: (first >> 32) as u32,
            cdw12: blocks as u32 - 1,
            ..Self::default()
        }
    }

    /// An admin command with two dwords.
    pub fn admin(opcode: u8, cdw10: u32, cdw11: u32) -> Self {
        Self { opcode, prp1: DATA, cdw10, cdw11, ..Self::default() }
    }

    pub fn bytes(&self, id: u16) -> [u8; 64] {
        let mut raw = [0; 64];
        (raw[0], raw[1]) = (self.opcode, self.flags);
        raw[2..4].copy_from_slice(&id.to_le_bytes());
        raw[4..8].copy_from_slice(&self.nsid.to_le_bytes());
        raw[24..32].copy_from_slice(&self.prp1.to_le_bytes());
        raw[32..40].copy_from_slice(&self.prp2.to_le_bytes());
        for (at, dword) in [(40, self.cdw10), (44, self.cdw11), (48, self.cdw12)] {
            raw[at..at + 4].copy_from_slice(&dword.to_le_bytes());
        }
        raw
    }
}

pub(super) struct Bench {
    pub nvme: Nvme,
    pub clock: Clock,
    pub irqs: IrqLines,
    pub effects: Effects,
    pub world: World,
    pub pairs: Vec<Pair>,
    next_id: u16,
}

impl Bench {
    /// A controller that is out of reset, a bus master.
    pub fn cold(read_only: bool) -> Self {
        let config = DiskConfig { interface: DiskInterface::Nvme, sectors: SECTORS, read_only };
        let disk = (0..SECTORS * SECTOR).map(|at| (at / SECTOR) as u8).collect();
        let mut bench = Self {
            nvme: Nvme::new(SLOT, 0, &config),
            clock: Clock::default(),
            irqs: IrqLines::new(),
            effects: Effects::default(),
            world: World { ram: Memory(vec![0; RAM]), disk, broken: false, full: false, flushes: 0 },
            pairs: Vec::new(),
            next_id: 100,
        };
        bench.config(4, 2, 6);
        bench
    }

    /// One whose admin queues are on.
    pub fn enabled(read_only: bool) -> Self {
        let mut bench = Self::cold(read_only);
        bench.enable();
        bench
    }

    /// One with two pairs of I/O queues, 1 and 2, too.
    pub fn new(read_only: bool) -> Self {
        let mut bench = Self::enabled(read_only);
        bench.create(1, 1);
        bench.create(2, 2);
        bench
    }

    pub fn enable(&mut self) {
        let sizes = u64::from(ENTRIES - 1);
        self.set(0x24, 4, sizes << 16 | sizes);
        self.set(0x28, 8, submission_at(0));
        self.set(0x30, 8, completion_at(0));
        self.clear_pair(0);
        self.set(0x14, 4, 0x46_0001);
    }

    /// A pair of I/O queues that interrupts with `vector`.
    pub fn create(&mut self, id: u16, vector: u32) {
        self.clear_pair(id);
        let queue = u32::from(ENTRIES - 1) << 16 | u32::from(id);
        let mut order = Order::admin(5, queue, vector << 16 | 3);
        order.prp1 = completion_at(id);
        assert_eq!(self.admin(order).status, 0);
        let mut order = Order::admin(1, queue, u32::from(id) << 16 | 1);
        order.prp1 = submission_at(id);
        assert_eq!(self.admin(order).status, 0);
    }

    fn clear_pair(&mut self, id: u16) {
        self.pairs.truncate(id.into());
        self.pairs.push(Pair { tail: 0, head: 0, phase: true });
        self.world.write(completion_at(id), &[0; 0x1000]);
    }

    pub fn with<R>(&mut self, act: impl FnOnce(&mut Nvme, &mut DeviceCtx) -> R) -> R {
        let Self { nvme, clock, irqs, effects, world, .. } = self;
        act(nvme, &mut DeviceCtx { clock, irqs, effects, dma: world })
    }

    pub fn set(&mut self, at: u64, size: u8, value: u64) {
        self.with(|nvme, cx| nvme.bar_write(cx, 0, at, size, value));
    }

    pub fn get(&mut self, at: u64, size: u8) -> u64 {
        self.with(|nvme, cx| nvme.bar_read(cx, 0, at, size))
    }

    pub fn config(&mut self, at: u16, size: u8, value: u64) {
        self.with(|nvme, cx| nvme.config_write(cx, at, size, value));
    }

    pub fn ring(&mut self, doorbell: u64, value: u16) {
        self.set(0x1000 + 4 * doorbell, 4, value.into());
    }

    /// Puts a command into a queue, without a word to the controller; its identifier.
    pub fn place(&mut self, queue: u16, order: Order) -> u16 {
        self.next_id += 1;
        let pair = &mut self.pairs[usize::from(queue)];
        let at = submission_at(queue) + 64 * u64::from(pair.tail);
        pair.tail = (pair.tail + 1) % ENTRIES;
        self.world.write(at, &order.bytes(self.next_id));
        self.next_id
    }

    pub fn submit(&mut self, queue: u16, order: Order) -> u16 {
        let id = self.place(queue, order);
        self.ring(2 * u64::from(queue), self.pairs[usize::from(queue)].tail);
        id
    }

    /// The next entry of a completion queue, if it is new. The controller does not hear that it was read.
    pub fn peek(&mut self, queue: u16) -> Option<Done> {
        let pair = &mut self.pairs[usize::from(queue)];
        let mut raw = [0; 16];
        self.world.ram.read(completion_at(queue) + 16 * u64::from(pair.head), &mut raw);
        let word = u128::from_le_bytes(raw);
        if (word >> 112 & 1 != 0) != pair.phase {
            return None;
        }
        assert_eq!((word >> 80) as u16, queue);
        pair.head = (pair.head + 1) % ENTRIES;
        pair.phase ^= pair.head == 0;
        let status = (word >> 113) as u16;
        Some(Done { id: (word >> 96) as u16, status, result: word as u32, head: (word >> 64) as u16 })
    }

    /// The same, and the controller hears of it.
    pub fn take(&mut self, queue: u16) -> Option<Done> {
        let done = self.peek(queue)?;
        self.ring(2 * u64::from(queue) + 1, self.pairs[usize::from(queue)].head);
        Some(done)
    }

    /// Submits a command and waits for it.
    pub fn run(&mut self, queue: u16, order: Order) -> Done {
        let id = self.submit(queue, order);
        assert!(self.pass());
        let done = self.take(queue).expect("the command ended");
        assert_eq!(done.id, id);
        done
    }

    pub fn admin(&mut self, order: Order) -> Done {
        self.run(0, order)
    }

    /// Status of an I/O command on queue 1.
    pub fn io(&mut self, order: Order) -> u16 {
        self.run(1, order).status
    }

    /// Lets time pass to the next timer.
    pub fn pass(&mut self) -> bool {
        let Some(at) = self.clock.next() else { return false };
        self.clock.advance_to(at);
        while let Some((_, timer)) = self.clock.pop_due() {
            assert_eq!(timer.device, DeviceId::Slot(SLOT));
            self.with(|nvme, cx| nvme.timer(cx, timer.timer));
        }
        true
    }

    pub fn data(&self) -> &[u8] {
        &self.world.ram.0[DATA as usize..]
    }

    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.world.ram.0[DATA as usize..]
    }

    pub fn line(&self) -> bool {
        self.irqs.level(Line::Pirq(7), IrqSource::Slot(SLOT))
    }

    /// The controller as a state that was saved and loaded has it.
    pub fn saved_and_loaded(&self) -> Nvme {
        let section = self.nvme.to_section("p/nvme0");
        Nvme::new(SLOT, 0, &self.nvme.config).restored(&section).expect("it was saved")
    }
}

pub(super) fn submission_at(queue: u16) -> u64 {
    0x1000 + 0x2000 * u64::from(queue)
}

pub(super) fn completion_at(queue: u16) -> u64 {
    submission_at(queue) + 0x1000
}
