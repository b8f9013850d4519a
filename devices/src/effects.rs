//! What leaves a platform, in order: the machine drains it after every access and timer.

use crate::hotplug::Part;
use crate::sound::Sound;
use std::collections::VecDeque;

/// Something a device does to the world outside the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An interrupt message of the IOAPIC or a message-signalled interrupt, for the local APICs to decode
    /// (SDM vol. 3, 11.11).
    Msi { address: u64, data: u32 },
    /// SMI# is pulsed to one processor, by its APIC id. The ICH9 drives one pin for all; like QEMU's q35, on which no
    /// firmware negotiated broadcasts, only the processor whose access asked for it takes part.
    Smi { processor: u32 },
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
    /// Suspend to RAM (S3). The machine answers with [`crate::Platform::suspend`].
    Suspend,
    /// Soft off (S5), or suspended to disk (S4).
    PowerOff,
    /// The guest wrote this value to isa-debug-exit.
    DebugExit(u32),
    /// A serial port sent a byte.
    Serial { port: u8, byte: u8 },
    /// The guest wrote bytes to a port of the virtio console.
    Console { port: u8, bytes: Vec<u8> },
    /// A network adapter sent an Ethernet frame, without its check sequence.
    Frame(Vec<u8>),
    /// A byte for the firmware's debug console (0xE9 or 0x402).
    DebugConsole(u8),
    /// The guest let go of a part, and the platform has it no more.
    Ejected(Part),
    /// The guest said something about a part: see [`crate::Platform::part_state`].
    Reported(Part),
    /// The guest moved the tray of a CD drive, or holds or lets go of its medium.
    Tray,
    /// Sound is played.
    Sound(Sound),
}

/// The ordered list of effects nobody has taken yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    list: VecDeque<Effect>,
    /// APIC id of the processor whose access is under way. Set before each: no part of a saved state.
    pub(crate) processor: u32,
}

impl Effects {
    /// Appends `effect`.
    pub fn push(&mut self, effect: Effect) {
        self.list.push_back(effect);
    }

    /// Pulses SMI# to the processor whose access is under way.
    pub(crate) fn smi(&mut self) {
        self.push(Effect::Smi { processor: self.processor });
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
