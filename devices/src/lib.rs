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
pub mod hotplug;
pub mod irq;
pub mod map;
pub mod pci;
pub mod platform;
pub mod share;
pub mod sound;

mod ahci;
mod ata;
mod boot_order;
mod calendar;
mod checksum;
mod coprocessor;
mod debug_ports;
mod disk;
mod e1000;
mod fifo;
mod flash;
mod floppy;
mod fw_cfg;
mod hda;
mod hpet;
mod i8042;
mod i8237;
mod ide;
mod ioapic;
mod media;
mod nic;
mod nvme;
mod peripheral;
mod pic;
mod pit;
mod pm;
mod rtc;
mod segment;
mod smbios;
mod state;
mod suspend;
#[cfg(test)]
mod testing;
mod uart;
mod usb;
mod vga;
mod virtio;
mod xhci;

pub use acpi::place_tables;
pub use ahci::{AHCI_PORTS, AHCI_UPGRADE};
pub use ata::media::Tray;
pub use boot_order::{BootDevice, boot_order};
pub use clock::{Clock, TIME_MAX};
pub use device::{Dma, MediumError};
pub use disk::{DiskConfig, DiskInterface, MediumConfig, SECTOR};
pub use e1000::E1000_UPGRADE;
pub use effects::{Effect, Effects};
pub use flash::VARIABLES_MAX;
pub use floppy::{FLOPPY_DRIVES, is_diskette};
pub use hotplug::{
    CpuSlots, DIMM_ALIGN, DIMMS_MAX, Dimm, FunctionSlots, HotplugConfig, HotplugError, MemorySlots, Part,
    PartState, Report,
};
pub use i8042::{I8042_UPGRADES, Key, MouseEvent};
pub use ide::{IDE_DRIVES, IDE_UPGRADE};
pub use map::{Backing, MapRange, RegionId};
pub use media::Misfit;
pub use nic::{FRAME_MAX, FRAME_MIN, NicConfig, NicModel};
pub use pci::{ADAPTER_SLOT, DISKS_MAX, disk_slot};
pub use peripheral::Peripheral;
pub use platform::{CPUS_MAX, ConfigError, MEMORY_MAX, MEMORY_MIN, Platform, PlatformConfig, RamLayout};
pub use suspend::{SYSTEM_STATES, system_states};
pub use usb::{POINTER_MAX, PointerEvent};
pub use vga::{DisplayKind, OPTION_ROM_MAX, VGA_UPGRADE};
pub use virtio::console::{CHANNEL_NAME, CONSOLE_PORTS};
pub use virtio::p9::{ShareConfig, TAG_MAX};
pub use xhci::USB_DISKS;
