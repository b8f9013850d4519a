//! A bench for tests of one device: clock, lines, effects and a little RAM.

use crate::clock::Clock;
use crate::device::{DeviceCtx, Dma};
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
