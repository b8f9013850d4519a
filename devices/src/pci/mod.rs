//! The PCI root: configuration mechanism #1, ECAM, and the chipset's functions on bus 0.

mod attached;
pub(crate) mod config;
pub(crate) mod endpoint;
pub(crate) mod function;
mod host_bridge;
mod lpc;
pub(crate) mod msix;
mod smbus;

use crate::ahci::AHCI_SLOT;
use crate::device::{Device, DeviceCtx, size_mask};
use crate::disk::DiskConfig;
use crate::effects::Effect;
use crate::irq::{IrqSource, Line};
use crate::nic::{Nic, NicConfig};
use crate::platform::{PlatformConfig, RamLayout};
use crate::vga::{DisplayKind, Vga};
use crate::virtio::console::VirtioConsole;
use crate::virtio::p9::Virtio9p;
use crate::xhci::Xhci;
use amber_snapshot::{Schema, Section};
pub(crate) use attached::Attached;
pub use attached::{ADAPTER_SLOT, DISKS_MAX, disk_slot};
pub(crate) use attached::{FIRST_DISK, LAST_DISK};
use config::ConfigSpace;
use function::Function;
pub use host_bridge::{HostBridge, PCIEXBAR_BASE};
pub use lpc::Lpc;
pub(crate) use lpc::{PMBASE_FIRMWARE, RCRB_LEN};
use serde::{Deserialize, Serialize};
pub use smbus::Smbus;

const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;
const CONFIG_ENABLE: u32 = 0x8000_0000;
const CONFIG_ADDRESS_MASK: u32 = 0x80ff_fffc;

/// Where BARs go when there is no firmware to assign them: the end of the window below the IOAPIC, and the ports SeaBIOS
/// begins with.
const FIRMWARE_MEMORY: u64 = 0xfe00_0000;
const FIRMWARE_PORTS: u64 = 0xc000;

const HOST_BRIDGE: u16 = 0;
const LPC: u16 = 31 << 3;
const SATA: u16 = (AHCI_SLOT as u16) << 3 | 2;
const SMBUS: u16 = 31 << 3 | 3;

/// The latch of configuration mechanism #1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct ConfigAddress {
    address: u32,
}

impl Section for ConfigAddress {
    const KIND: &'static str = "pci-config-address";
    const VERSION: u32 = 1;
}

/// The root and its functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pci {
    pub(crate) latch: ConfigAddress,
    /// Function 00:00.0.
    pub host_bridge: HostBridge,
    /// Function 00:1f.0.
    pub lpc: Lpc,
    /// Function 00:1f.3.
    pub smbus: Smbus,
    /// The display, in slot 1 if it is a function.
    pub(crate) vga: Vga,
    /// What else sits in slots.
    pub(crate) attached: Vec<Attached>,
}

impl Pci {
    pub(crate) fn new(config: &PlatformConfig) -> Self {
        let mut pci = Self {
            latch: ConfigAddress::default(),
            host_bridge: HostBridge::new(RamLayout::new(config.memory_size).low),
            lpc: Lpc::new(),
            smbus: Smbus::new(),
            vga: Vga::new(config.display, config.option_rom_len),
            attached: Attached::all(config),
        };
        pci.route();
        pci
    }

    /// Disk `n` comes, as a function of its own.
    pub(crate) fn plug_disk(&mut self, n: u8, disk: &DiskConfig) {
        self.attached.extend(Attached::disk(n, disk));
        self.attached.sort_by_key(Attached::order);
    }

    /// The network adapter comes.
    pub(crate) fn plug_nic(&mut self, nic: &NicConfig) {
        self.attached.push(Attached::nic(ADAPTER_SLOT, nic));
        self.attached.sort_by_key(Attached::order);
    }

    /// Tells the functions of the south bridge where it routes their pins, after their state was replaced.
    pub(crate) fn route(&mut self) {
        let pirq = self.lpc.pirq_of(AHCI_SLOT, 1);
        for attached in &mut self.attached {
            if let Attached::Ahci(ahci) = attached {
                ahci.route(pirq);
            }
        }
    }

    /// The USB controller.
    pub(crate) fn xhci(&self) -> Option<&Xhci> {
        self.attached.iter().find_map(|attached| match attached {
            Attached::Xhci(xhci) => Some(&**xhci),
            _ => None,
        })
    }

    /// The USB controller.
    pub(crate) fn xhci_mut(&mut self) -> Option<&mut Xhci> {
        self.attached.iter_mut().find_map(|attached| match attached {
            Attached::Xhci(xhci) => Some(&mut **xhci),
            _ => None,
        })
    }

    /// Functions whose sections are those of devices at the bus, not of its own.
    pub(crate) fn attached(&self) -> impl Iterator<Item = &dyn Function> {
        self.attached.iter().map(Attached::function)
    }

    /// The network adapter.
    pub(crate) fn nic(&mut self) -> Option<&mut dyn Nic> {
        self.attached.iter_mut().find_map(Attached::as_nic)
    }

    /// The virtio console.
    pub(crate) fn console_mut(&mut self) -> Option<&mut VirtioConsole> {
        self.attached.iter_mut().find_map(|attached| match attached {
            Attached::VirtioConsole(console) => Some(&mut **console),
            _ => None,
        })
    }

    /// The share.
    pub(crate) fn share_mut(&mut self) -> Option<&mut Virtio9p> {
        self.attached.iter_mut().find_map(|attached| match attached {
            Attached::Virtio9p(share) => Some(&mut **share),
            _ => None,
        })
    }

    /// What sits in slots.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &dyn Function> {
        let display = (self.vga.kind == DisplayKind::Std).then_some(&self.vga as &dyn Function);
        display.into_iter().chain(self.attached())
    }

    fn functions_mut(&mut self) -> impl Iterator<Item = &mut dyn Function> {
        let display = (self.vga.kind == DisplayKind::Std).then_some(&mut self.vga as &mut dyn Function);
        display.into_iter().chain(self.attached.iter_mut().map(Attached::function_mut))
    }

    fn in_slot(&mut self, slot: u8) -> Option<&mut dyn Function> {
        self.functions_mut().find(|function| function.slot() == slot)
    }

    /// The function in a slot, as a device.
    pub(crate) fn device_in(&mut self, slot: u8) -> Option<&mut dyn Device> {
        let mut functions = self.attached.iter_mut().map(Attached::function_mut);
        functions.find(|function| function.slot() == slot).map(|function| function as &mut dyn Device)
    }

    /// The function at `bdf`, if it is one in a slot.
    fn at(&mut self, bdf: u16) -> Option<&mut dyn Function> {
        if bdf == SATA {
            return self.in_slot(AHCI_SLOT);
        }
        let slot = u8::try_from(bdf >> 3).ok().filter(|slot| bdf & 7 == 0 && *slot != AHCI_SLOT)?;
        self.in_slot(slot)
    }

    /// Assigns BARs and interrupt lines, and switches the functions on.
    pub(crate) fn set_up_as_firmware(&mut self) {
        let (mut next, mut port) = (FIRMWARE_MEMORY, FIRMWARE_PORTS);
        self.functions_mut().for_each(|function| function.set_up_as_firmware(&mut next, &mut port));
    }

    /// Where the functions' memory is now: base and length.
    pub(crate) fn memory_windows(&self) -> Vec<(u64, u64)> {
        let windows = self.functions().flat_map(Function::windows);
        windows.filter(|window| !window.io).map(|window| (window.base, window.len)).collect()
    }

    /// The function whose BAR answers at an address: slot, BAR and offset. Of several, the one in the lowest slot.
    fn bar_at(&self, io: bool, address: u64) -> Option<(u8, u8, u64)> {
        let hits = self.functions().filter_map(|function| {
            let mut windows = function.windows().into_iter().filter(|window| window.io == io);
            windows.find_map(|window| Some((function.slot(), window.bar, window.offset(address)?)))
        });
        hits.min_by_key(|(slot, ..)| *slot)
    }

    /// Reads configuration space: `bdf` is bus, device and function as in ECAM. No function reads as ones, and
    /// so does what lies beyond the 256 bytes of a conventional function, which tells guests that it has no more.
    fn config_read(&mut self, cx: &mut DeviceCtx, bdf: u16, register: u16, size: u8) -> u64 {
        if let Some(function) = self.at(bdf) {
            return function.config_read(cx, register, size);
        }
        let config: &ConfigSpace = match bdf {
            HOST_BRIDGE => self.host_bridge.config(),
            LPC => self.lpc.config(),
            SMBUS => self.smbus.config(),
            _ => return size_mask(size),
        };
        (0..u16::from(size)).fold(0, |value, index| {
            let offset = register.wrapping_add(index) & 0xfff;
            let byte = if offset <= 0xff { config.u8(offset) } else { 0xff };
            value | u64::from(byte) << (index * 8)
        })
    }

    fn config_write(&mut self, cx: &mut DeviceCtx, bdf: u16, register: u16, size: u8, value: u64) {
        let mut map_changed = false;
        if let Some(function) = self.at(bdf) {
            let before = function.windows();
            function.config_write(cx, register, size, value);
            if function.windows() != before {
                cx.effects.push(Effect::MapChanged);
            }
            return;
        }
        for index in 0..u16::from(size) {
            let (offset, byte) = (register.wrapping_add(index) & 0xfff, (value >> (index * 8)) as u8);
            if offset > 0xff {
                continue;
            }
            match bdf {
                HOST_BRIDGE => map_changed |= self.host_bridge.write(offset, byte),
                LPC => map_changed |= self.lpc.write(cx.irqs, offset, byte),
                SMBUS => self.smbus.write(offset, byte),
                _ => {}
            }
        }
        if map_changed {
            cx.effects.push(Effect::MapChanged);
        }
    }

    /// The function and register mechanism #1 points at for an access to `port`.
    fn target(&self, port: u16) -> Option<(u16, u16)> {
        let address = self.latch.address;
        let register = (address as u16 & 0xfc) + (port & 3);
        (address & CONFIG_ENABLE != 0).then_some(((address >> 8) as u16, register))
    }

    fn update_smbus(&self, cx: &mut DeviceCtx) {
        let pirq = self.lpc.pirq_of(31, 1);
        cx.irqs.set(Line::Pirq(pirq), IrqSource::Smbus, self.smbus.interrupt());
    }

    /// Where in ECAM, in the root complex registers or in a function's BAR `gpa` lies.
    fn window(&self, gpa: u64) -> Option<Window> {
        if let Some((base, len)) = self.host_bridge.ecam()
            && let Some(offset) = gpa.checked_sub(base).filter(|offset| *offset < len)
        {
            return Some(Window::Ecam { bdf: (offset >> 12) as u16, register: offset as u16 & 0xfff });
        }
        let rcrb = self.lpc.rcba().and_then(|base| gpa.checked_sub(base));
        if let Some(offset) = rcrb.filter(|offset| *offset < RCRB_LEN) {
            return Some(Window::Rcrb { offset });
        }
        self.bar_at(false, gpa).map(|(slot, bar, offset)| Window::Bar { slot, bar, offset })
    }

    /// Whether the root or a function answers at `gpa`.
    pub(crate) fn claims(&self, gpa: u64) -> bool {
        self.window(gpa).is_some()
    }

    /// Where I/O port `port` leads, of those that move.
    fn port(&self, port: u16) -> Option<Port> {
        let smbus = self.smbus.io_base().and_then(|(base, len)| {
            let offset = port.checked_sub(base).filter(|offset| *offset < len)?;
            Some(Port::Smbus { offset })
        });
        smbus.or_else(|| {
            let (slot, bar, offset) = self.bar_at(true, u64::from(port))?;
            Some(Port::Bar { slot, bar, offset })
        })
    }

    /// Whether a moving port is the root's or a function's, and takes accesses of more than a byte.
    pub(crate) fn claims_port(&self, port: u16) -> Option<bool> {
        self.port(port).map(|port| matches!(port, Port::Bar { .. }))
    }
}

enum Window {
    Ecam { bdf: u16, register: u16 },
    Rcrb { offset: u64 },
    Bar { slot: u8, bar: u8, offset: u64 },
}

enum Port {
    Smbus { offset: u16 },
    Bar { slot: u8, bar: u8, offset: u64 },
}

impl Device for Pci {
    fn pio_read(&mut self, cx: &mut DeviceCtx, port: u16, size: u8) -> u32 {
        match port {
            CONFIG_ADDRESS..CONFIG_DATA => self.latch.address >> ((port & 3) * 8),
            CONFIG_DATA..=0xcff => match self.target(port) {
                Some((bdf, register)) => self.config_read(cx, bdf, register, size) as u32,
                None => size_mask(size) as u32,
            },
            _ => match self.port(port) {
                Some(Port::Smbus { offset }) => {
                    let value = self.smbus.io_read(offset);
                    self.update_smbus(cx);
                    u32::from(value)
                }
                Some(Port::Bar { slot, bar, offset }) => {
                    let function = self.in_slot(slot);
                    function.map_or(u32::MAX, |function| function.bar_read(cx, bar, offset, size) as u32)
                }
                None => size_mask(size) as u32,
            },
        }
    }

    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, size: u8, value: u32) {
        match port {
            // Only a 32-bit access reaches the latch (PCI 3.0, 3.2.2.3.2).
            CONFIG_ADDRESS if size == 4 => self.latch.address = value & CONFIG_ADDRESS_MASK,
            CONFIG_DATA..=0xcff => {
                if let Some((bdf, register)) = self.target(port) {
                    self.config_write(cx, bdf, register, size, u64::from(value));
                }
            }
            _ => match self.port(port) {
                Some(Port::Smbus { offset }) => {
                    self.smbus.io_write(offset, value as u8);
                    self.update_smbus(cx);
                }
                Some(Port::Bar { slot, bar, offset }) => {
                    if let Some(function) = self.in_slot(slot) {
                        function.bar_write(cx, bar, offset, size, u64::from(value));
                    }
                }
                None => {}
            },
        }
    }

    /// `offset` is the guest-physical address: all windows move.
    fn mmio_read(&mut self, cx: &mut DeviceCtx, offset: u64, size: u8) -> u64 {
        match self.window(offset) {
            Some(Window::Ecam { bdf, register }) => self.config_read(cx, bdf, register, size),
            Some(Window::Bar { slot, bar, offset }) => {
                self.in_slot(slot).map_or(u64::MAX, |function| function.bar_read(cx, bar, offset, size))
            }
            Some(Window::Rcrb { offset }) => (0..u64::from(size))
                .fold(0, |value, index| value | u64::from(self.lpc.read_rcrb(offset + index)) << (index * 8)),
            None => u64::MAX,
        }
    }

    fn mmio_write(&mut self, cx: &mut DeviceCtx, offset: u64, size: u8, value: u64) {
        match self.window(offset) {
            Some(Window::Ecam { bdf, register }) => self.config_write(cx, bdf, register, size, value),
            Some(Window::Bar { slot, bar, offset }) => {
                if let Some(function) = self.in_slot(slot) {
                    function.bar_write(cx, bar, offset, size, value);
                }
            }
            Some(Window::Rcrb { offset }) => {
                for index in 0..u64::from(size) {
                    self.lpc.write_rcrb(offset + index, (value >> (index * 8)) as u8);
                }
                let pirq = self.lpc.pirq_of(AHCI_SLOT, 1);
                for attached in &mut self.attached {
                    if let Attached::Ahci(ahci) = attached {
                        ahci.reroute(cx, pirq);
                    }
                }
            }
            None => {}
        }
    }

    fn reset(&mut self, cx: &mut DeviceCtx) {
        self.latch = ConfigAddress::default();
        self.host_bridge.reset();
        self.lpc.reset(cx.irqs);
        self.smbus.reset();
        self.attached.iter_mut().for_each(|attached| attached.function_mut().reset(cx));
        self.route();
        cx.effects.push(Effect::MapChanged);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        if !self.lpc.has_its_routes() {
            return Some(("routes", "too few or too many registers".to_owned()));
        }
        let spaces = [self.host_bridge.config(), self.lpc.config(), self.smbus.config()];
        let wrong = spaces.iter().any(|config| !config.is_consistent());
        wrong.then(|| ("config", "not 256 bytes".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn pci() -> Pci {
        Pci::new(&PlatformConfig { display: DisplayKind::Text, ..PlatformConfig::default() })
    }

    fn read(pci: &mut Pci, bench: &mut Bench, bdf: u32, register: u32, size: u8) -> u32 {
        let address = CONFIG_ENABLE | bdf << 8 | register & 0xfc;
        pci.pio_write(&mut bench.cx(), CONFIG_ADDRESS, 4, address);
        pci.pio_read(&mut bench.cx(), CONFIG_DATA + (register & 3) as u16, size)
    }

    #[test]
    fn mechanism_1_finds_the_functions() {
        let (mut pci, mut bench) = (pci(), Bench::new());
        assert_eq!(read(&mut pci, &mut bench, 0, 0, 4), 0x29c0_8086);
        assert_eq!(read(&mut pci, &mut bench, 0xf8, 2, 2), 0x2918);
        assert_eq!(read(&mut pci, &mut bench, 0xf8, 0x0e, 1), 0x80);
        assert_eq!(read(&mut pci, &mut bench, 0xfb, 0x3d, 1), 1);
        assert_eq!(read(&mut pci, &mut bench, 0x08, 0, 4), u32::MAX);
    }

    #[test]
    fn a_bar_tells_its_size() {
        let (mut pci, mut bench) = (pci(), Bench::new());
        read(&mut pci, &mut bench, 0xfb, 0x20, 4);
        pci.pio_write(&mut bench.cx(), CONFIG_DATA, 4, u32::MAX);
        assert_eq!(read(&mut pci, &mut bench, 0xfb, 0x20, 4), 0xffff_ffe1);
    }

    #[test]
    fn ecam_shows_the_same_registers() {
        let (mut pci, mut bench) = (pci(), Bench::new());
        assert!(!pci.claims(PCIEXBAR_BASE));
        read(&mut pci, &mut bench, 0, 0x60, 4);
        pci.pio_write(&mut bench.cx(), CONFIG_DATA, 1, 1);
        assert_eq!(bench.effects.pop(), Some(Effect::MapChanged));
        let lpc = PCIEXBAR_BASE + (0xf8 << 12);
        assert_eq!(pci.mmio_read(&mut bench.cx(), lpc, 4), 0x2918_8086);
        assert_eq!(pci.mmio_read(&mut bench.cx(), lpc + 0x100, 4), 0xffff_ffff);
        assert_eq!(pci.mmio_read(&mut bench.cx(), PCIEXBAR_BASE + (1 << 20), 4), 0xffff_ffff);
    }
}
