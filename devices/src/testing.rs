//! A bench for tests of one device: clock, lines, effects and a little RAM.

use crate::clock::Clock;
use crate::device::{DeviceCtx, Dma, MediumError};
use crate::effects::Effects;
use crate::irq::{Change, IrqLines};

pub(crate) struct Memory(pub Vec<u8>);

impl Dma for Memory {
    fn read(&mut self, gpa: u64, into: &mut [u8]) {
        for (index, byte) in into.iter_mut().enumerate() {
            let at = usize::try_from(gpa).ok().and_then(|gpa| gpa.checked_add(index));
            *byte = at.and_then(|at| self.0.get(at)).copied().unwrap_or(0xff);
        }
    }

    fn write(&mut self, gpa: u64, from: &[u8]) {
        for (index, byte) in from.iter().enumerate() {
            let at = usize::try_from(gpa).ok().and_then(|gpa| gpa.checked_add(index));
            if let Some(slot) = at.and_then(|at| self.0.get_mut(at)) {
                *slot = *byte;
            }
        }
    }
}

/// RAM and media that can break.
pub(crate) struct World {
    pub ram: Memory,
    pub disks: Vec<Vec<u8>>,
    pub broken: bool,
    /// What was written cannot be brought to the media.
    pub full: bool,
    pub flushes: usize,
}

impl World {
    pub fn new(ram: usize, disks: Vec<Vec<u8>>) -> Self {
        Self { ram: Memory(vec![0; ram]), disks, broken: false, full: false, flushes: 0 }
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
        if self.broken {
            return Err(MediumError);
        }
        let bytes = self.disks[usize::from(disk)].get(at as usize..at as usize + into.len());
        into.copy_from_slice(bytes.ok_or(MediumError)?);
        Ok(())
    }

    fn write_disk(&mut self, disk: u8, at: u64, from: &[u8]) -> Result<(), MediumError> {
        if self.broken {
            return Err(MediumError);
        }
        let bytes = self.disks[usize::from(disk)].get_mut(at as usize..at as usize + from.len());
        bytes.ok_or(MediumError)?.copy_from_slice(from);
        Ok(())
    }

    fn flush_disk(&mut self, _disk: u8) -> Result<(), MediumError> {
        self.flushes += 1;
        if self.full { Err(MediumError) } else { Ok(()) }
    }
}

/// xorshift64*.
pub(crate) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

pub(crate) struct Bench {
    pub clock: Clock,
    pub irqs: IrqLines,
    pub effects: Effects,
    pub memory: Memory,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            clock: Clock::default(),
            irqs: IrqLines::new(),
            effects: Effects::default(),
            memory: Memory(vec![0; 0x1_0000]),
        }
    }

    pub fn cx(&mut self) -> DeviceCtx<'_> {
        DeviceCtx {
            clock: &mut self.clock,
            irqs: &mut self.irqs,
            effects: &mut self.effects,
            dma: &mut self.memory,
        }
    }

    /// Rising edges of an IOAPIC pin since the last call.
    pub fn pin_edges(&mut self, pin: u8) -> usize {
        let wanted = Change::Ioapic { pin, level: true };
        std::iter::from_fn(|| self.irqs.take_change()).filter(|change| *change == wanted).count()
    }
}
