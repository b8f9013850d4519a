//! An extensible host controller (xHCI 1.2) with four ports for USB 2.0 and four for USB 3, keyboard, tablet and disks at them.
//!
//! Commands and transfers are done when software rings; a device that is not ready is asked again when it is. Interrupts
//! are not moderated.

mod command;
mod event;
mod port;
mod ring;
mod slot;
mod transfer;

use crate::device::{Device, DeviceCtx, DeviceId, size_mask};
use crate::disk::{DiskConfig, DiskInterface};
use crate::i8042::Key;
use crate::pci::config::Identity;
use crate::pci::endpoint::{Bar, BarKind, Endpoint, Layout, Window};
use crate::pci::function::Function;
use crate::pci::msix::MSIX_LEN;
use crate::peripheral::Peripheral;
use crate::usb::{Model, PointerEvent, UsbDevice};
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use event::{Code, Event, Interrupter, PORT_EVENT};
use port::Port;
use ring::Ring;
use serde::{Deserialize, Serialize};
use slot::{ENDPOINTS, Slot, State};
use transfer::Outcome;

/// Disks at USB: one at each port for USB 3.
pub const USB_DISKS: usize = 4;
/// Where it is on bus 0.
pub(crate) const SLOT: u8 = 21;
/// Port of the first disk.
pub(crate) const FIRST_DISK_PORT: usize = PORTS_2 + 1;
const SLOTS: usize = 16;
const INTERRUPTERS: u16 = 8;
/// Ports for USB 2.0 come first.
const PORTS_2: usize = 4;
const PORTS: usize = 8;

const MSIX_BAR: u8 = 2;
static LAYOUT: Layout = Layout {
    // QEMU's, which firmware and drivers know.
    identity: Identity {
        vendor_device: 0x000d_1b36,
        class_revision: 0x0c03_3001,
        multifunction: false,
        interrupt_pin: 1,
    },
    bars: &[
        Bar { index: 0, kind: BarKind::Memory64 { prefetchable: false }, len: 0x4000 },
        Bar { index: MSIX_BAR, kind: BarKind::Memory32 { prefetchable: false }, len: MSIX_LEN },
    ],
    msix_bar: MSIX_BAR,
    vectors: INTERRUPTERS,
};
/// Serial bus release number: USB 3.0.
const RELEASE: u16 = 0x60;

const OPERATIONAL: u64 = 0x40;
const PORT_REGISTERS: u64 = 0x440;
const RUNTIME: u64 = 0x1000;
const INTERRUPTER_REGISTERS: u64 = 0x1020;
const DOORBELLS: u64 = 0x2000;
/// Version 1.0, and where the operational registers begin.
const CAPLENGTH_VERSION: u32 = 0x0100_0000 | OPERATIONAL as u32;
const HCSPARAMS1: u32 = (PORTS as u32) << 24 | (INTERRUPTERS as u32) << 8 | SLOTS as u32;
/// 64-bit addresses; extended capabilities at 20h.
const HCCPARAMS1: u32 = 8 << 16 | 1;
/// Supported protocols (7.2): USB 2.0 and 3.0, each with its ports.
const PROTOCOLS: [u32; 8] = [
    0x0200_0402,
    u32::from_le_bytes(*b"USB "),
    (PORTS_2 as u32) << 8 | 1,
    0,
    0x0300_0002,
    u32::from_le_bytes(*b"USB "),
    ((PORTS - PORTS_2) as u32) << 8 | (PORTS_2 as u32 + 1),
    0,
];

const CMD_RUN: u32 = 1;
const CMD_RESET: u32 = 1 << 1;
const CMD_INTERRUPTS: u32 = 1 << 2;
const CMD_RESTORE: u32 = 1 << 9;
const CMD_WRITABLE: u32 = CMD_RUN | CMD_INTERRUPTS | 1 << 3 | 1 << 10;
const STS_HALTED: u32 = 1;
const STS_EVENT: u32 = 1 << 3;
const STS_PORT: u32 = 1 << 4;
const STS_RESTORE_ERROR: u32 = 1 << 10;
const MICROFRAME_NS: u64 = 125_000;
/// Descriptors in a row, after which the guest gets a turn.
const AT_ONCE: usize = 256;
const TIMER: u16 = 0;

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Registers {
    endpoint: Endpoint,
    cmd: u32,
    event_interrupt: bool,
    port_change: bool,
    restore_error: bool,
    dnctrl: u32,
    config: u32,
    dcbaap: u64,
    commands: Ring,
    commands_rung: bool,
    interrupters: Vec<Interrupter>,
    ports: Vec<Port>,
    slots: Vec<Slot>,
    /// By port, as far as there are any.
    devices: Vec<UsbDevice>,
}

impl Section for Registers {
    const KIND: &'static str = "xhci";
    const VERSION: u32 = 1;
}

impl Registers {
    fn new(endpoint: Endpoint, models: &[(u8, Model)]) -> Self {
        let speed = |n: u8| models.iter().find(|(port, _)| *port == n).map(|(_, model)| model.speed());
        Self {
            endpoint,
            cmd: 0,
            event_interrupt: false,
            port_change: false,
            restore_error: false,
            dnctrl: 0,
            config: 0,
            dcbaap: 0,
            commands: Ring::default(),
            commands_rung: false,
            interrupters: vec![Interrupter::default(); INTERRUPTERS.into()],
            ports: (1..=PORTS as u8).map(|n| Port::new(speed(n))).collect(),
            slots: vec![Slot::new(); SLOTS],
            devices: models.iter().map(|(_, model)| UsbDevice::new(*model)).collect(),
        }
    }

    fn runs(&self) -> bool {
        self.cmd & CMD_RUN != 0
    }

    fn status(&self) -> u32 {
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        bit(!self.runs(), STS_HALTED)
            | bit(self.event_interrupt, STS_EVENT)
            | bit(self.port_change, STS_PORT)
            | bit(self.restore_error, STS_RESTORE_ERROR)
    }
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Xhci {
    registers: Registers,
    /// What is at which port, from 1 on.
    models: Vec<(u8, Model)>,
}

fn endpoint() -> Endpoint {
    let mut endpoint = Endpoint::new(&LAYOUT, &[]);
    endpoint.config_mut().set_u8(RELEASE, 0x30);
    endpoint
}

impl Xhci {
    /// The controller with all that is attached to it; none if that is nothing.
    pub fn new(peripherals: &[Peripheral], disks: &[DiskConfig]) -> Option<Self> {
        let human = [(Peripheral::UsbKeyboard, Model::Keyboard), (Peripheral::UsbTablet, Model::Tablet)];
        let human = human.into_iter().filter(|(peripheral, _)| peripherals.contains(peripheral));
        let own = (0..).zip(disks).filter(|(_, config)| config.interface == DiskInterface::Usb);
        let disks = own.map(|(disk, config)| Model::Storage {
            disk,
            sectors: config.sectors,
            read_only: config.read_only,
        });
        let models: Vec<(u8, Model)> = (1..)
            .zip(human.map(|(_, model)| model))
            .chain((FIRST_DISK_PORT as u8..).zip(disks.take(USB_DISKS)))
            .collect();
        (!models.is_empty()).then(|| Self { registers: Registers::new(endpoint(), &models), models })
    }

    fn port(&self, number: u8) -> Option<&Port> {
        self.registers.ports.get(usize::from(number).wrapping_sub(1))
    }

    /// The device at a port.
    fn device_at(&mut self, port: u8) -> Option<(&mut UsbDevice, Model)> {
        let index = self.models.iter().position(|(own, _)| *own == port)?;
        Some((self.registers.devices.get_mut(index)?, self.models[index].1))
    }

    /// A key goes to a USB keyboard that a driver listens to; whether there is one, and it took the key.
    pub fn key(&mut self, cx: &mut DeviceCtx, key: Key, pressed: bool) -> Option<bool> {
        let taken = self.registers.devices.iter_mut().find_map(UsbDevice::keyboard)?.key(key, pressed);
        self.go_on(cx);
        Some(taken)
    }

    /// The pointer is somewhere; whether there is a tablet that a driver listens to.
    pub fn point(&mut self, cx: &mut DeviceCtx, event: PointerEvent) -> bool {
        let Some(tablet) = self.registers.devices.iter_mut().find_map(UsbDevice::tablet) else {
            return false;
        };
        tablet.point(event);
        self.go_on(cx);
        true
    }

    /// Whether the keyboard, or the tablet, has a driver that has taken everything; `None` without a driver.
    pub fn is_ready(&self, model: Model) -> Option<bool> {
        let index = self.models.iter().position(|(_, own)| *own == model)?;
        let device = self.registers.devices.get(index)?;
        device.is_configured().then(|| device.is_ready())
    }

    /// Lights of a keyboard that a driver listens to.
    pub fn leds(&self) -> Option<u8> {
        self.registers.devices.iter().find_map(UsbDevice::leds)
    }

    /// All that can be done now, then interrupts and the timer.
    fn go_on(&mut self, cx: &mut DeviceCtx) {
        let mut more = false;
        if self.registers.endpoint.is_master() && self.registers.runs() {
            more = self.commands(cx);
            more |= self.transfers(cx);
        }
        self.drive(cx);
        self.arm(cx, more);
    }

    /// Asks endpoints that were rung, until nothing moves any more; whether more may be there.
    fn transfers(&mut self, cx: &mut DeviceCtx) -> bool {
        let mut left = AT_ONCE;
        loop {
            let mut moved = false;
            for (slot, index) in self.rung() {
                while left != 0 && self.is_ready_to_run(slot, index) {
                    if self.transfer(cx, slot, index) != Outcome::Done {
                        break;
                    }
                    left -= 1;
                    moved = true;
                }
            }
            if !moved || left == 0 {
                return left == 0;
            }
        }
    }

    fn is_ready_to_run(&self, slot: usize, index: usize) -> bool {
        let endpoint = &self.registers.slots[slot].endpoints[index];
        endpoint.rung && endpoint.state == State::Running
    }

    fn rung(&self) -> Vec<(usize, usize)> {
        let all = (0..SLOTS).flat_map(|slot| (0..ENDPOINTS).map(move |index| (slot, index)));
        all.filter(|(slot, index)| self.is_ready_to_run(*slot, *index)).collect()
    }

    /// Tells of events, by messages or the pin.
    fn drive(&mut self, cx: &mut DeviceCtx) {
        let enabled = self.registers.cmd & CMD_INTERRUPTS != 0;
        let Registers { endpoint, interrupters, event_interrupt, .. } = &mut self.registers;
        let messages = endpoint.has_msix();
        let mut pin = false;
        for (n, interrupter) in (0..).zip(interrupters).filter(|(_, own)| enabled && own.is_pending()) {
            if !messages {
                pin |= n == 0;
            } else if interrupter.tells() {
                *event_interrupt = true;
                endpoint.send(cx.effects, n);
            }
        }
        self.registers.endpoint.set_interrupt(cx, SLOT, pin);
    }

    fn arm(&self, cx: &mut DeviceCtx, more: bool) {
        let now = cx.now();
        let waits = !self.rung().is_empty() && self.registers.runs() && self.registers.endpoint.is_master();
        let times =
            self.registers.devices.iter().filter_map(UsbDevice::ready_at).filter(|at| waits && *at > now);
        let next = times.chain(more.then_some(now + MICROFRAME_NS)).min();
        cx.set_timer(DeviceId::Slot(SLOT), TIMER, next);
    }

    fn read_register(&self, now: u64, at: u64) -> u32 {
        let Registers { interrupters, ports, .. } = &self.registers;
        match at {
            0x00 => CAPLENGTH_VERSION,
            0x04 => HCSPARAMS1,
            0x10 => HCCPARAMS1,
            0x14 => DOORBELLS as u32,
            0x18 => RUNTIME as u32,
            0x20..0x40 => PROTOCOLS[(at as usize - 0x20) / 4],
            0x40 => self.registers.cmd,
            0x44 => self.registers.status(),
            // Pages of 4 KiB.
            0x48 => 1,
            0x54 => self.registers.dnctrl,
            // Pointer and cycle read as 0 (5.4.5); bit 3: it runs.
            0x58 => u32::from(self.registers.commands_rung) << 3,
            0x70 => self.registers.dcbaap as u32,
            0x74 => (self.registers.dcbaap >> 32) as u32,
            0x78 => self.registers.config,
            PORT_REGISTERS..RUNTIME => {
                let port = ports.get(((at - PORT_REGISTERS) / 0x10) as usize);
                port.map_or(0, |port| port.read((at - PORT_REGISTERS) % 0x10))
            }
            RUNTIME if self.registers.runs() => (now / MICROFRAME_NS) as u32 & 0x3fff,
            INTERRUPTER_REGISTERS..DOORBELLS => {
                let interrupter = interrupters.get(((at - INTERRUPTER_REGISTERS) / 0x20) as usize);
                interrupter.map_or(0, |own| own.read((at - INTERRUPTER_REGISTERS) % 0x20))
            }
            _ => 0,
        }
    }

    fn write_register(&mut self, cx: &mut DeviceCtx, at: u64, value: u32) {
        let low = |old: u64, fixed: u32| old & !0xffff_ffff | u64::from(value & !fixed);
        let high = |old: u64| old & 0xffff_ffff | u64::from(value) << 32;
        match at {
            0x40 => self.set_command(cx, value),
            0x44 => {
                self.registers.event_interrupt &= value & STS_EVENT == 0;
                self.registers.port_change &= value & STS_PORT == 0;
                self.registers.restore_error &= value & STS_RESTORE_ERROR == 0;
            }
            0x54 => self.registers.dnctrl = value & 0xffff,
            0x58 if !self.registers.commands_rung => {
                let high = self.registers.commands.dequeue & !0xffff_ffff;
                self.registers.commands = Ring::at(high | u64::from(value & !0xe));
            }
            0x5c if !self.registers.commands_rung => {
                self.registers.commands.dequeue = high(self.registers.commands.dequeue);
            }
            0x70 => self.registers.dcbaap = low(self.registers.dcbaap, 0x3f),
            0x74 => self.registers.dcbaap = high(self.registers.dcbaap),
            0x78 => self.registers.config = value & 0xff,
            PORT_REGISTERS..RUNTIME => self.write_port(cx, at - PORT_REGISTERS, value),
            INTERRUPTER_REGISTERS..DOORBELLS => {
                let n = ((at - INTERRUPTER_REGISTERS) / 0x20) as usize;
                if let Some(interrupter) = self.registers.interrupters.get_mut(n) {
                    interrupter.write(cx, (at - INTERRUPTER_REGISTERS) % 0x20, value);
                }
            }
            DOORBELLS.. => self.ring((at - DOORBELLS) / 4, value as u8),
            _ => {}
        }
    }

    fn set_command(&mut self, cx: &mut DeviceCtx, value: u32) {
        if value & CMD_RESET != 0 {
            self.registers = Registers::new(self.registers.endpoint.clone(), &self.models);
            return;
        }
        let started = value & CMD_RUN != 0 && !self.registers.runs();
        self.registers.cmd = value & CMD_WRITABLE;
        // Nothing is kept for the controller elsewhere: what it saved is only here.
        self.registers.restore_error |= value & CMD_RESTORE != 0;
        if started {
            let changed = |port: &u8| self.port(*port).is_some_and(Port::has_changed);
            (1..=PORTS as u8)
                .filter(changed)
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|port| self.tell_port(cx, port));
        }
    }

    fn write_port(&mut self, cx: &mut DeviceCtx, at: u64, value: u32) {
        let number = (at / 0x10) as u8 + 1;
        let device = self.device_at(number).map(|(_, model)| model.speed());
        let Some(port) = self.registers.ports.get_mut(usize::from(number) - 1) else { return };
        let asked = port.write(at % 0x10, value, device);
        if let Some((device, model)) = self.device_at(number).filter(|_| asked.reset) {
            device.reset(model);
        }
        if asked.changed {
            self.tell_port(cx, number);
        }
    }

    /// Port Status Change Event (6.4.2.3).
    fn tell_port(&mut self, cx: &mut DeviceCtx, number: u8) {
        self.registers.port_change = true;
        if self.registers.runs() {
            let event = Event::new(PORT_EVENT, u64::from(number) << 24, Code::Success);
            self.registers.push(cx, 0, &event);
        }
    }

    /// Software rings for commands, or for an endpoint of a slot.
    fn ring(&mut self, number: u64, target: u8) {
        if number == 0 {
            self.registers.commands_rung |= target == 0;
            return;
        }
        let slot = usize::try_from(number - 1).ok().and_then(|index| self.registers.slots.get_mut(index));
        let endpoint = slot.and_then(|slot| slot.endpoints.get_mut(usize::from(target).wrapping_sub(1)));
        if let Some(endpoint) = endpoint {
            match endpoint.state {
                State::Running | State::Stopped => (endpoint.state, endpoint.rung) = (State::Running, true),
                State::Disabled | State::Halted | State::Error => {}
            }
        }
    }
}

impl Device for Xhci {
    fn timer(&mut self, cx: &mut DeviceCtx, _timer: u16) {
        self.go_on(cx);
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        self.registers = Registers::new(endpoint(), &self.models);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let Registers { endpoint: own, interrupters, ports, slots, devices, .. } = &self.registers;
        let wrong = |field: &'static str| Some((field, "that of another controller".to_owned()));
        if !own.is_like(&endpoint(), &LAYOUT, 0..0) {
            return wrong("endpoint");
        }
        let fits = interrupters.len() == usize::from(INTERRUPTERS)
            && interrupters.iter().all(Interrupter::is_possible);
        if !fits {
            return wrong("interrupters");
        }
        if ports.len() != PORTS || !ports.iter().all(Port::is_possible) {
            return wrong("ports");
        }
        if slots.len() != SLOTS || slots.iter().any(|slot| slot.endpoints.len() != ENDPOINTS) {
            return wrong("slots");
        }
        let mut pairs = devices.iter().zip(&self.models);
        let possible = devices.len() == self.models.len()
            && pairs.all(|(device, (_, model))| device.is_possible(*model));
        if possible { None } else { wrong("devices") }
    }
}

impl Function for Xhci {
    fn slot(&self) -> u8 {
        SLOT
    }

    fn config_read(&mut self, _cx: &mut DeviceCtx, offset: u16, size: u8) -> u64 {
        self.registers.endpoint.read_bytes(offset, size)
    }

    fn config_write(&mut self, cx: &mut DeviceCtx, offset: u16, size: u8, value: u64) {
        self.registers.endpoint.write_bytes(cx, &LAYOUT, SLOT, offset, size, value);
        self.go_on(cx);
    }

    fn windows(&self) -> Vec<Window> {
        self.registers.endpoint.windows(&LAYOUT).collect()
    }

    fn bar_read(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8) -> u64 {
        if bar == MSIX_BAR {
            return self.registers.endpoint.msix_read(offset, size);
        }
        let (now, first) = (cx.now(), offset & !3);
        let low = u64::from(self.read_register(now, first));
        let high = u64::from(self.read_register(now, first + 4));
        (high << 32 | low) >> (offset % 4 * 8) & size_mask(size)
    }

    fn bar_write(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8, value: u64) {
        if bar == MSIX_BAR {
            return self.registers.endpoint.msix_write(cx.effects, offset, size, value);
        }
        // Registers take whole words (5.3 to 5.6).
        if size < 4 || !offset.is_multiple_of(4) {
            return;
        }
        self.write_register(cx, offset, value as u32);
        if size == 8 {
            self.write_register(cx, offset + 4, (value >> 32) as u32);
        }
        self.go_on(cx);
    }

    fn set_up_as_firmware(&mut self, next: &mut u64, port: &mut u64) {
        self.registers.endpoint.set_up_as_firmware(&LAYOUT, SLOT, next, port);
    }

    fn section_name(&self) -> String {
        "xhci".to_owned()
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
