//! The ICH9's serial ATA controller in AHCI mode (AHCI 1.3.1; ICH9, 15): function 00:1f.2 with six ports, hard disks and CD
//! drives at them.

mod command;
mod port;
mod upgrade;

use crate::ata::drive::Unit;
use crate::ata::media::{CdDrive, CdDrives, Tray};
use crate::device::{Device, DeviceCtx, DeviceId, size_mask};
use crate::disk::DiskConfig;
use crate::effects::Effect;
use crate::irq::{IrqSource, Line};
use crate::pci::config::{INTERRUPT_LINE, Identity};
use crate::pci::endpoint::{Bar, BarKind, Endpoint, Layout, Window};
use crate::pci::function::Function;
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use port::Port;
use serde::{Deserialize, Serialize};
pub use upgrade::AHCI_UPGRADE;

/// Device of bus 0, whose function 2 this is.
pub(crate) const AHCI_SLOT: u8 = 31;
/// Most disks and CDs.
pub const AHCI_PORTS: usize = 6;
const ABAR: u8 = 5;

static LAYOUT: Layout = Layout {
    identity: Identity {
        vendor_device: 0x2922_8086,
        class_revision: 0x0106_0102,
        multifunction: false,
        interrupt_pin: 1,
    },
    bars: &[Bar { index: ABAR, kind: BarKind::Memory32 { prefetchable: false }, len: 0x1000 }],
    msix_bar: 0,
    vectors: 0,
};

/// MAP: which mode the controller is in.
const MAP: u16 = 0x90;
const MAP_AHCI: u8 = 0x40;
const CAPABILITY_MSI: u8 = 0x05;
/// Where the MSI capability is: control, address and data behind id and link.
const MSI_CONTROL: u16 = 0x42;
const MSI_ADDRESS: u16 = 0x44;
const MSI_DATA: u16 = 0x4c;
const MSI_END: u16 = 0x50;
const MSI_ENABLE: u8 = 1;
const MSI_64: u8 = 0x80;
/// Line firmware gives it: PIRQ A's.
const FIRMWARE_LINE: u8 = 10;

/// CAP: 64-bit addresses, queueing, command list override, generation 2, AHCI only, PIO of many blocks, 32 slots, 6 ports.
const CAP: u32 =
    1 << 31 | 1 << 30 | 1 << 24 | 2 << 20 | 1 << 18 | 1 << 15 | 31 << 8 | (AHCI_PORTS as u32 - 1);
const PORTS_IMPLEMENTED: u32 = (1 << AHCI_PORTS) - 1;
const VERSION_1_3: u32 = 0x0001_0300;
const GHC_RESET: u32 = 1;
const GHC_INTERRUPTS: u32 = 2;
/// AHCI enable, which cannot be switched off.
const GHC_AHCI: u32 = 1 << 31;
const PORTS_AT: u64 = 0x100;
const PORT_LEN: u64 = 0x80;

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Registers {
    endpoint: Endpoint,
    /// GHC.IE.
    interrupts_on: bool,
    /// IS.
    interrupts: u32,
    ports: Vec<Port>,
}

impl Section for Registers {
    const KIND: &'static str = "ahci";
    const VERSION: u32 = 2;
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ahci {
    registers: Registers,
    units: [Option<Unit>; AHCI_PORTS],
    /// The PIRQ the bridge routes its pin to.
    pirq: u8,
}

fn endpoint() -> Endpoint {
    let mut body = vec![0; 12];
    body[0] = MSI_64;
    let mut endpoint = Endpoint::new(&LAYOUT, &[(CAPABILITY_MSI, body)]);
    endpoint.config_mut().set_u8(MAP, MAP_AHCI);
    endpoint
}

/// Writable bits of a byte of the MSI capability.
fn msi_writable(offset: u16) -> u8 {
    match offset {
        MSI_CONTROL => MSI_ENABLE,
        MSI_ADDRESS => 0xfc,
        0x45..0x4e => 0xff,
        _ => 0,
    }
}

impl Ahci {
    /// The controller with those of the machine's disks that are attached to it; none if there are none.
    pub fn new(disks: &[DiskConfig]) -> Option<Self> {
        let own = (0..).zip(disks).filter(|(_, config)| config.interface.is_at_ahci());
        let mut own = own.map(|(disk, config)| Unit { disk, config: config.clone() }).peekable();
        own.peek()?;
        let units: [Option<Unit>; AHCI_PORTS] = std::array::from_fn(|_| own.next());
        Some(Self { registers: Registers::new(&units), units, pirq: 0 })
    }

    /// Tells which PIRQ the bridge routes INTA# to.
    pub fn route(&mut self, pirq: u8) {
        self.pirq = pirq;
    }

    /// The same while the lines are up.
    pub fn reroute(&mut self, cx: &mut DeviceCtx, pirq: u8) {
        if pirq != self.pirq {
            cx.irqs.set(Line::Pirq(self.pirq), IrqSource::Sata, false);
            self.pirq = pirq;
            self.drive_pin(cx);
        }
    }

    fn has_msi(&self) -> bool {
        self.registers.endpoint.config().u8(MSI_CONTROL) & MSI_ENABLE != 0
    }

    /// Ports that ask for an interrupt set their bits of IS, and the controller interrupts.
    fn interrupt(&mut self, cx: &mut DeviceCtx) {
        let before = self.registers.interrupts;
        self.collect();
        if self.registers.interrupts & !before != 0 {
            self.send(cx);
        }
        self.drive_pin(cx);
    }

    fn collect(&mut self) {
        let asking = |(n, port): (usize, &Port)| u32::from(port.wants_interrupt()) << n;
        let asking = self.registers.ports.iter().enumerate().map(asking).fold(0, |bits, bit| bits | bit);
        self.registers.interrupts |= asking;
    }

    fn drive_pin(&mut self, cx: &mut DeviceCtx) {
        let asserted = self.registers.interrupts_on && self.registers.interrupts != 0 && !self.has_msi();
        let level = self.registers.endpoint.assert(asserted);
        cx.irqs.set(Line::Pirq(self.pirq), IrqSource::Sata, level);
    }

    /// Sends the message, if messages are how it interrupts.
    fn send(&self, cx: &mut DeviceCtx) {
        let Registers { endpoint, interrupts_on, interrupts, .. } = &self.registers;
        if *interrupts_on && *interrupts != 0 && self.has_msi() && endpoint.is_master() {
            let config = endpoint.config();
            let high = u64::from(config.u32(MSI_ADDRESS + 4)) << 32;
            let (address, data) = (high | u64::from(config.u32(MSI_ADDRESS)), config.u16(MSI_DATA));
            cx.effects.push(Effect::Msi { address, data: data.into() });
        }
    }

    /// A port goes on, as far as it can.
    fn go_on(&mut self, cx: &mut DeviceCtx, n: usize) {
        let master = self.registers.endpoint.is_master();
        let (Some(port), Some(unit)) = (self.registers.ports.get_mut(n), self.units.get(n)) else { return };
        let next = port.go_on(cx, unit.as_ref(), master);
        cx.set_timer(DeviceId::Slot(AHCI_SLOT), n as u16, next);
    }

    fn read_register(&self, offset: u64) -> u32 {
        let Registers { interrupts_on, interrupts, ports, .. } = &self.registers;
        match offset {
            0x00 => CAP,
            0x04 => GHC_AHCI | if *interrupts_on { GHC_INTERRUPTS } else { 0 },
            0x08 => *interrupts,
            0x0c => PORTS_IMPLEMENTED,
            0x10 => VERSION_1_3,
            PORTS_AT.. => {
                let n = ((offset - PORTS_AT) / PORT_LEN) as usize;
                let port = ports.get(n).zip(self.units.get(n));
                port.map_or(0, |(port, unit)| port.read(unit.as_ref(), (offset - PORTS_AT) % PORT_LEN))
            }
            _ => 0,
        }
    }

    fn write_register(&mut self, cx: &mut DeviceCtx, offset: u64, value: u32, mask: u32) {
        let bits = value & mask;
        match offset {
            0x04 => self.set_control(cx, bits, mask),
            0x08 => {
                self.registers.interrupts &= !bits;
                self.collect();
                // What is left is told again: no edge is lost.
                self.send(cx);
                self.drive_pin(cx);
            }
            PORTS_AT.. => {
                let n = ((offset - PORTS_AT) / PORT_LEN) as usize;
                let port = self.registers.ports.get_mut(n).zip(self.units.get(n));
                if let Some((port, unit)) = port {
                    port.write(cx, unit.as_ref(), (offset - PORTS_AT) % PORT_LEN, value, mask);
                    self.go_on(cx, n);
                    self.interrupt(cx);
                }
            }
            _ => {}
        }
    }

    fn set_control(&mut self, cx: &mut DeviceCtx, bits: u32, mask: u32) {
        if bits & GHC_RESET != 0 {
            (self.registers.interrupts_on, self.registers.interrupts) = (false, 0);
            for (port, unit) in self.registers.ports.iter_mut().zip(&self.units) {
                port.reset(unit.as_ref());
            }
            (0..AHCI_PORTS).for_each(|n| self.go_on(cx, n));
        } else if mask & GHC_INTERRUPTS != 0 {
            let was = self.registers.interrupts_on;
            self.registers.interrupts_on = bits & GHC_INTERRUPTS != 0;
            if !was {
                self.send(cx);
            }
        }
        self.interrupt(cx);
    }
}

impl Registers {
    fn new(units: &[Option<Unit>; AHCI_PORTS]) -> Self {
        let ports = units.iter().map(|unit| Port::new(unit.as_ref())).collect();
        Self { endpoint: endpoint(), interrupts_on: false, interrupts: 0, ports }
    }

    /// As they are after a reset.
    fn after_reset(&self, units: &[Option<Unit>; AHCI_PORTS]) -> Self {
        let mut fresh = Self::new(units);
        for (port, was) in fresh.ports.iter_mut().zip(&self.ports) {
            port.drive = was.drive.after_reset();
        }
        fresh
    }
}

impl CdDrives for Ahci {
    fn cd(&mut self, disk: u8) -> Option<CdDrive<'_>> {
        let pairs = self.units.iter_mut().zip(&mut self.registers.ports);
        let mut drives = pairs.filter_map(|(unit, port)| Some((unit.as_mut()?, &mut port.drive)));
        let (unit, drive) = drives.find(|(unit, _)| unit.is_cd() && unit.disk == disk)?;
        Some(CdDrive { unit, drive })
    }

    fn tray(&self, disk: u8) -> Option<Tray> {
        let pairs = self.units.iter().zip(&self.registers.ports);
        let mut drives = pairs.filter_map(|(unit, port)| Some((unit.as_ref()?, &port.drive)));
        drives.find(|(unit, _)| unit.is_cd() && unit.disk == disk).map(|(_, drive)| drive.tray())
    }

    /// A command looks for its medium when it lands, and not before.
    fn interrupt_reading(&mut self, _cx: &mut DeviceCtx, _disk: u8) {}
}

impl Device for Ahci {
    fn timer(&mut self, cx: &mut DeviceCtx, timer: u16) {
        let n = usize::from(timer);
        let master = self.registers.endpoint.is_master();
        let port = self.registers.ports.get_mut(n).zip(self.units.get(n));
        if let Some((port, Some(unit))) = port.filter(|_| master) {
            let tray = port.drive.tray();
            port.land(cx, unit);
            if port.drive.tray() != tray {
                cx.effects.push(Effect::Tray);
            }
        }
        self.go_on(cx, n);
        self.interrupt(cx);
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        self.registers = self.registers.after_reset(&self.units);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let Registers { endpoint: own, interrupts, ports, .. } = &self.registers;
        let fresh = endpoint();
        let fixed = |offset| {
            let differing = own.config().u8(offset) ^ fresh.config().u8(offset);
            differing & !msi_writable(offset) == 0
        };
        if !own.is_like(&fresh, &LAYOUT, MSI_CONTROL..MSI_END) || !(MSI_CONTROL..MSI_END).all(fixed) {
            return Some(("endpoint", "that of another function".to_owned()));
        }
        if ports.len() != AHCI_PORTS || interrupts & !PORTS_IMPLEMENTED != 0 {
            return Some(("ports", format!("{} of them", ports.len())));
        }
        let wrong = ports.iter().zip(&self.units).find_map(|(port, unit)| port.impossible(unit.as_ref()));
        wrong.map(|field| (field, "what no port comes to".to_owned()))
    }
}

impl Function for Ahci {
    fn slot(&self) -> u8 {
        AHCI_SLOT
    }

    fn config_read(&mut self, _cx: &mut DeviceCtx, offset: u16, size: u8) -> u64 {
        self.registers.endpoint.read_bytes(offset, size)
    }

    fn config_write(&mut self, cx: &mut DeviceCtx, offset: u16, size: u8, value: u64) {
        let endpoint = &mut self.registers.endpoint;
        for at in 0..u16::from(size) {
            let (offset, byte) = (offset.wrapping_add(at), (value >> (at * 8)) as u8);
            match offset {
                MSI_CONTROL..MSI_END => endpoint.config_mut().write(offset, byte, msi_writable(offset)),
                0..=0xff => endpoint.write(&LAYOUT, offset, byte),
                _ => {}
            }
        }
        (0..AHCI_PORTS).for_each(|n| self.go_on(cx, n));
        self.interrupt(cx);
    }

    fn windows(&self) -> Vec<Window> {
        self.registers.endpoint.windows(&LAYOUT).collect()
    }

    fn bar_read(&mut self, _cx: &mut DeviceCtx, _bar: u8, offset: u64, size: u8) -> u64 {
        let low = self.read_register(offset & !3);
        let high = if size == 8 { self.read_register((offset & !3) + 4) } else { 0 };
        let both = u64::from(high) << 32 | u64::from(low);
        both >> (offset % 4 * 8) & size_mask(size)
    }

    fn bar_write(&mut self, cx: &mut DeviceCtx, _bar: u8, offset: u64, size: u8, value: u64) {
        let shift = offset % 4 * 8;
        let (value, mask) = (u128::from(value) << shift, u128::from(size_mask(size)) << shift);
        for at in 0..3 {
            let (value, mask) = ((value >> (at * 32)) as u32, (mask >> (at * 32)) as u32);
            if mask != 0 {
                self.write_register(cx, (offset & !3) + at * 4, value, mask);
            }
        }
    }

    fn set_up_as_firmware(&mut self, next: &mut u64, port: &mut u64) {
        let endpoint = &mut self.registers.endpoint;
        endpoint.set_up_as_firmware(&LAYOUT, AHCI_SLOT, next, port);
        endpoint.config_mut().set_u8(INTERRUPT_LINE, FIRMWARE_LINE);
    }

    fn section_name(&self) -> String {
        "ahci".to_owned()
    }

    fn to_section(&self, path: &str) -> OwnedSection {
        self.registers.to_section(path)
    }

    fn set_registers(&mut self, section: &OwnedSection) -> Result<(), SectionError> {
        self.registers = Registers::from_section(section)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
