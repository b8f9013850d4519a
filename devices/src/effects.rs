//! What leaves a platform, in order: the machine drains it after every access and timer.

use std::collections::VecDeque;

/// ACPI sleep states a guest can enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SleepState {
    /// Standby with the processor context kept.
    S1,
    /// Suspend to RAM.
    S3,
    /// Suspend to disk: power goes off, the guest expects to resume from its image.
    S4,
}

/// Something a device does to the world outside the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An interrupt message of the IOAPIC or a message-signalled interrupt, for the local APICs to decode
    /// (SDM vol. 3, 11.11).
    Msi { address: u64, data: u32 },
    /// NMI# is pulsed.
    Nmi,
    /// SMI# is pulsed.
    Smi,
    /// INIT# is pulsed to every processor.
    Init,
    /// IGNNE# is asserted (true) or released.
    Ignne(bool),
    /// The A20 gate opens (true) or masks address bit 20 (false).
    A20(bool),
    /// [`crate::Platform::memory_map`] changed.
    MapChanged,
    /// The platform asks for PLTRST#. The machine answers with [`crate::Platform::reset`].
    Reset,
    /// Soft off (S5).
    PowerOff,
    /// The guest entered a sleep state.
    Sleep(SleepState),
    /// The guest wrote this value to isa-debug-exit.
    DebugExit(u32),
    /// A serial port sent a byte.
    Serial { port: u8, byte: u8 },
    /// A byte for the firmware's debug console (0xE9 or 0x402).
    DebugConsole(u8),
}

/// The ordered list of effects nobody has taken yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    list: VecDeque<Effect>,
}

impl Effects {
    /// Appends `effect`.
    pub fn push(&mut self, effect: Effect) {
        self.list.push_back(effect);
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes the oldest effect.
    pub fn pop(&mut self) -> Option<Effect> {
        self.list.pop_front()
    }

    /// Takes them all, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.list.drain(..)
    }
}
