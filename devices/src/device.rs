//! What a device is, and what it may touch while it answers an access.

use crate::clock::{Clock, Timer};
use crate::effects::{Effect, Effects};
use crate::irq::{A20Source, IrqLines};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Which device of a platform a timer or an access belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
pub enum DeviceId {
    /// 8259A pair.
    Pic,
    /// 8254 and port 0x61.
    Pit,
    /// MC146818 and CMOS.
    Rtc,
    /// 82093AA.
    Ioapic,
    /// High precision event timers.
    Hpet,
    /// ICH9 power management and APM ports.
    Pm,
    /// 16550A number 0 (COM1).
    Uart0,
    /// 16550A number 1 (COM2).
    Uart1,
    /// Keyboard controller.
    I8042,
    /// Ports 0x80, 0x92, 0xE9, 0x402, 0xCF9 and isa-debug-exit.
    DebugPorts,
    /// PCI root: configuration mechanisms and the functions on bus 0.
    Pci,
    /// QEMU firmware configuration.
    FwCfg,
    /// Display adapter.
    Vga,
    /// Numeric errors: FERR#, IRQ13, IGNNE#.
    Coprocessor,
    /// The function in this slot of PCI bus 0, or the floppy disk controller: see [`crate::floppy::FLOPPY`].
    Slot(u8),
}

/// The medium of a disk cannot be read or written there. Whoever answers for the medium has said why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediumError;

/// What the machine lends its devices: guest RAM as bus masters see it, never another device's registers, the media of the
/// disks, video memory, and the flash chips' bytes. A machine without these leaves them out.
pub trait Dma {
    /// Reads RAM from guest-physical address `gpa`; what is not RAM reads as ones.
    fn read(&mut self, gpa: u64, into: &mut [u8]);
    /// Writes RAM at guest-physical address `gpa`; what is not RAM is dropped.
    fn write(&mut self, gpa: u64, from: &[u8]);
    /// Reads the medium of disk `disk` from byte `at` on.
    fn read_disk(&mut self, _disk: u8, _at: u64, _into: &mut [u8]) -> Result<(), MediumError> {
        Err(MediumError)
    }
    /// Writes the medium of disk `disk` from byte `at` on.
    fn write_disk(&mut self, _disk: u8, _at: u64, _from: &[u8]) -> Result<(), MediumError> {
        Err(MediumError)
    }
    /// Returns when what was written to the medium of disk `disk` is where it outlives the host's power.
    fn flush_disk(&mut self, _disk: u8) -> Result<(), MediumError> {
        Ok(())
    }
    /// Reads the pages of the share from byte `at` on.
    fn read_share(&mut self, _at: u64, _into: &mut [u8]) -> Result<(), MediumError> {
        Err(MediumError)
    }
    /// Writes the pages of the share from byte `at` on.
    fn write_share(&mut self, _at: u64, _from: &[u8]) -> Result<(), MediumError> {
        Err(MediumError)
    }
    /// What the pages of the share hold is no tree of files, and the machine cannot go on with them.
    fn damage_share(&mut self, _why: &str) {}
    /// Reads video memory from byte `at` on; what is none reads as ones.
    fn read_vram(&mut self, _at: u64, into: &mut [u8]) {
        into.fill(0xff);
    }
    /// Writes video memory from byte `at` on; what is none is dropped.
    fn write_vram(&mut self, _at: u64, _from: &[u8]) {}
    /// Reads the firmware image, variables first, from byte `at` on; what is none reads as ones.
    fn read_firmware(&mut self, _at: u64, into: &mut [u8]) {
        into.fill(0xff);
    }
    /// Writes the firmware image from byte `at` on: its chip was told to. What is none is dropped.
    fn write_firmware(&mut self, _at: u64, _from: &[u8]) {}
}

/// What a device may reach while it answers.
pub struct DeviceCtx<'a> {
    /// Virtual time and timers.
    pub clock: &'a mut Clock,
    /// Interrupt lines of the platform.
    pub irqs: &'a mut IrqLines,
    /// What leaves the platform.
    pub effects: &'a mut Effects,
    /// RAM, disks and video memory.
    pub dma: &'a mut dyn Dma,
}

impl DeviceCtx<'_> {
    /// Virtual time in ns.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Arms timer `timer` of `device` at `at`, or disarms it.
    pub fn set_timer(&mut self, device: DeviceId, timer: u16, at: Option<u64>) {
        let timer = Timer { device, timer };
        match at {
            Some(at) => self.clock.arm(timer, at),
            None => self.clock.cancel(timer),
        }
    }

    /// Drives one of the two A20 gates; the processor sees their OR.
    pub fn set_a20(&mut self, source: A20Source, level: bool) {
        if let Some(level) = self.irqs.set_a20(source, level) {
            self.effects.push(Effect::A20(level));
        }
    }
}

/// A device: registers, and nothing else. All it does to others goes through [`DeviceCtx`].
///
/// The defaults are what the bus does where nothing answers: reads float high, writes are lost.
pub trait Device {
    /// Reads `size` (1, 2 or 4) bytes at I/O port `port`.
    fn pio_read(&mut self, _cx: &mut DeviceCtx, _port: u16, _size: u8) -> u32 {
        u32::MAX
    }
    /// Writes `size` (1, 2 or 4) bytes at I/O port `port`.
    fn pio_write(&mut self, _cx: &mut DeviceCtx, _port: u16, _size: u8, _value: u32) {}
    /// Reads `size` (1, 2, 4 or 8) bytes `offset` into the device's memory window.
    fn mmio_read(&mut self, _cx: &mut DeviceCtx, _offset: u64, _size: u8) -> u64 {
        u64::MAX
    }
    /// Writes `size` (1, 2, 4 or 8) bytes `offset` into the device's memory window.
    fn mmio_write(&mut self, _cx: &mut DeviceCtx, _offset: u64, _size: u8, _value: u64) {}
    /// One of the device's timers is due.
    fn timer(&mut self, _cx: &mut DeviceCtx, _timer: u16) {}
    /// The reset line is pulsed. The platform has cleared the interrupt lines and timers before.
    fn reset(&mut self, cx: &mut DeviceCtx);
    /// The first field that holds a value the device cannot have, with that value. A restore asks before it
    /// trusts a section read from a file.
    fn impossible(&self) -> Option<(&'static str, String)> {
        None
    }
}

/// The low `size` bytes set.
pub fn size_mask(size: u8) -> u64 {
    if size >= 8 { u64::MAX } else { (1 << (size * 8)) - 1 }
}
