//! The chipset and the peripherals of one PC ([`Platform`]): a Q35 with an ICH9, on virtual time.
//!
//! Everything here is deterministic plain data. A device owns its registers; what it does to anything else
//! goes through [`device::DeviceCtx`]: timers, interrupt lines, DMA, and [`Effect`]s, which the machine drains
//! after every access.

pub mod acpi;
pub mod clock;
pub mod device;
pub mod display;
pub mod effects;
pub mod irq;
pub mod map;
pub mod pci;
pub mod platform;

mod ahci;
mod ata;
mod boot_order;
mod calendar;
mod coprocessor;
mod debug_ports;
mod disk;
mod fifo;
mod flash;
mod fw_cfg;
mod hpet;
mod i8042;
mod ide;
mod ioapic;
mod nvme;
mod pic;
mod pit;
mod pm;
mod rtc;
mod smbios;
mod state;
mod suspend;
#[cfg(test)]
mod testing;
mod uart;
mod vga;
mod virtio;

pub use acpi::place_tables;
pub use ahci::AHCI_PORTS;
pub use boot_order::{BootDevice, boot_order};
pub use clock::{Clock, TIME_MAX};
pub use device::{Dma, MediumError};
pub use disk::{DiskConfig, DiskInterface, SECTOR};
pub use effects::{Effect, Effects};
pub use flash::VARIABLES_MAX;
pub use i8042::{I8042_UPGRADE, Key, MouseEvent};
pub use ide::IDE_DRIVES;
pub use map::{Backing, MapRange, RegionId};
pub use pci::DISKS_MAX;
pub use platform::{CPUS_MAX, ConfigError, MEMORY_MAX, MEMORY_MIN, Platform, PlatformConfig, RamLayout};
pub use suspend::{SYSTEM_STATES, system_states};
pub use vga::{DisplayKind, OPTION_ROM_MAX, VGA_UPGRADE};
