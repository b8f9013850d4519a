//! An IDE controller with the registers of the PIIX3's (82371SB, 2.3 and 2.6) in a slot of bus 0: two channels at the ports
//! and interrupts of PC/AT, each with a bus master.

mod bus_master;
mod channel;
mod registers;
mod upgrade;

use crate::ata::drive::Unit;
use crate::ata::media::{CdDrive, CdDrives, Tray};
use crate::device::{Device, DeviceCtx, DeviceId};
use crate::disk::DiskConfig;
use crate::effects::Effect;
use crate::irq::{IrqSource, Line};
use crate::pci::config::{COMMAND, COMMAND_IO, INTERRUPT_LINE, Identity};
use crate::pci::endpoint::{Bar, BarKind, Endpoint, Layout, Window};
use crate::pci::function::Function;
use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
use channel::{Channel, Units};
use serde::{Deserialize, Serialize};
pub use upgrade::IDE_UPGRADE;

/// Slot of the controller: the one behind the disks'.
pub(crate) const SLOT: u8 = 19;
/// Most disks and CDs: two at each channel.
pub const IDE_DRIVES: usize = 4;
/// BAR of the bus masters, and their bytes per channel.
const BUS_MASTER_BAR: u8 = 4;
const BUS_MASTER_LEN: u64 = 8;
/// Command and control blocks of the channels, by the BARs other controllers have for them.
const BLOCKS: [(u64, u64); 4] = [(0x1f0, 8), (0x3f6, 1), (0x170, 8), (0x376, 1)];
/// ISA interrupt of the first channel.
const IRQ: u8 = 14;

static LAYOUT: Layout = Layout {
    identity: Identity {
        vendor_device: 0x7010_8086,
        // Both channels are where PC/AT has them; bus master.
        class_revision: 0x0101_8000,
        multifunction: false,
        interrupt_pin: 0,
    },
    bars: &[Bar { index: BUS_MASTER_BAR, kind: BarKind::Io, len: 2 * BUS_MASTER_LEN }],
    msix_bar: 0,
    vectors: 0,
};

/// IDETIM of both channels and SIDETIM: timing, which is software's business, and whether a channel answers.
const TIMING: u16 = 0x40;
const TIMING_END: u16 = 0x45;
const TIMING_DECODE: u16 = 1 << 15;

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Registers {
    endpoint: Endpoint,
    channels: [Channel; 2],
}

impl Section for Registers {
    const KIND: &'static str = "ide";
    const VERSION: u32 = 2;
}

impl Registers {
    fn new(units: &[Units; 2]) -> Self {
        let channels = [Channel::new(&units[0]), Channel::new(&units[1])];
        Self { endpoint: Endpoint::new(&LAYOUT, &[]), channels }
    }

    /// As they are after a reset.
    fn after_reset(&self, units: &[Units; 2]) -> Self {
        let [first, second] = &self.channels;
        let channels = [first.after_reset(&units[0]), second.after_reset(&units[1])];
        Self { channels, ..Self::new(units) }
    }
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ide {
    registers: Registers,
    units: [Units; 2],
}

impl Ide {
    /// The controller with those of the machine's disks that are attached to it; none if there are none.
    pub fn new(disks: &[DiskConfig]) -> Option<Self> {
        let own = (0..).zip(disks).filter(|(_, config)| config.interface.is_at_ide());
        let mut own = own.map(|(disk, config)| Unit { disk, config: config.clone() }).peekable();
        own.peek()?;
        let units: [Units; 2] = std::array::from_fn(|_| std::array::from_fn(|_| own.next()));
        Some(Self { registers: Registers::new(&units), units })
    }

    fn id(&self) -> DeviceId {
        DeviceId::Slot(SLOT)
    }

    /// Channels go on after an access, and interrupt or do not.
    fn go_on(&mut self, cx: &mut DeviceCtx) {
        let id = self.id();
        let Registers { endpoint, channels } = &mut self.registers;
        for (n, (channel, units)) in (0..).zip(channels.iter_mut().zip(&self.units)) {
            let next = channel.go_on(cx, units, endpoint.is_master());
            cx.set_timer(id, n, next);
            cx.irqs.set(Line::Isa(IRQ + n as u8), IrqSource::Ide, channel.interrupts());
        }
    }

    /// The channel and the seat of one of the machine's disks, if it is a CD here.
    fn place(&self, disk: u8) -> Option<(usize, usize)> {
        let is_it = |unit: &Option<Unit>| unit.as_ref().is_some_and(|unit| unit.is_cd() && unit.disk == disk);
        let mut places = (0..2).flat_map(|channel| [(channel, 0), (channel, 1)]);
        places.find(|(channel, seat)| is_it(&self.units[*channel][*seat]))
    }

    fn decodes(&self, channel: usize) -> bool {
        let timing = self.registers.endpoint.config().u16(TIMING + 2 * channel as u16);
        timing & TIMING_DECODE != 0
    }

    fn read_byte(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64) -> u8 {
        let channels = &mut self.registers.channels;
        let n = if bar == BUS_MASTER_BAR { offset / BUS_MASTER_LEN } else { u64::from(bar / 2) };
        let Some((channel, units)) = channels.get_mut(n as usize).zip(self.units.get(n as usize)) else {
            return 0xff;
        };
        match bar {
            BUS_MASTER_BAR => channel.bus_master.read(offset % BUS_MASTER_LEN),
            0 | 2 => channel.read(cx, units, offset),
            _ => channel.status(units),
        }
    }

    fn write_byte(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, value: u8) {
        let channels = &mut self.registers.channels;
        let n = if bar == BUS_MASTER_BAR { offset / BUS_MASTER_LEN } else { u64::from(bar / 2) };
        let Some((channel, units)) = channels.get_mut(n as usize).zip(self.units.get(n as usize)) else {
            return;
        };
        match bar {
            BUS_MASTER_BAR => channel.bus_master.write(offset % BUS_MASTER_LEN, value),
            0 | 2 => channel.write(cx, units, offset, value),
            _ => channel.set_control(units, value),
        }
    }
}

/// Where the bytes of an access go: all of them to the data register, or to one register after the other.
fn places(bar: u8, offset: u64, size: u8) -> impl Iterator<Item = u64> {
    let is_data = matches!(bar, 0 | 2) && offset == 0;
    (0..u64::from(size)).map(move |at| if is_data { 0 } else { offset + at })
}

impl CdDrives for Ide {
    fn cd(&mut self, disk: u8) -> Option<CdDrive<'_>> {
        let (channel, seat) = self.place(disk)?;
        let unit = self.units[channel][seat].as_mut()?;
        Some(CdDrive { unit, drive: self.registers.channels[channel].drive_mut(seat) })
    }

    fn tray(&self, disk: u8) -> Option<Tray> {
        let (channel, seat) = self.place(disk)?;
        Some(self.registers.channels[channel].trays()[seat])
    }

    fn interrupt_reading(&mut self, cx: &mut DeviceCtx, disk: u8) {
        if let Some((channel, seat)) = self.place(disk) {
            self.registers.channels[channel].interrupt_reading(seat);
            self.go_on(cx);
        }
    }
}

impl Device for Ide {
    fn timer(&mut self, cx: &mut DeviceCtx, timer: u16) {
        let n = usize::from(timer);
        if let Some((channel, units)) = self.registers.channels.get_mut(n).zip(self.units.get(n)) {
            let trays = channel.trays();
            channel.land(cx, units);
            if channel.trays() != trays {
                cx.effects.push(Effect::Tray);
            }
        }
        self.go_on(cx);
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        self.registers = self.registers.after_reset(&self.units);
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        let Registers { endpoint, channels } = &self.registers;
        if !endpoint.is_like(&Endpoint::new(&LAYOUT, &[]), &LAYOUT, TIMING..TIMING_END) {
            return Some(("endpoint", "that of another function".to_owned()));
        }
        let wrong = channels.iter().zip(&self.units).find_map(|(channel, units)| channel.impossible(units));
        wrong.map(|field| (field, "what no channel comes to".to_owned()))
    }
}

impl Function for Ide {
    fn slot(&self) -> u8 {
        SLOT
    }

    fn config_read(&mut self, _cx: &mut DeviceCtx, offset: u16, size: u8) -> u64 {
        self.registers.endpoint.read_bytes(offset, size)
    }

    fn config_write(&mut self, cx: &mut DeviceCtx, offset: u16, size: u8, value: u64) {
        let endpoint = &mut self.registers.endpoint;
        for at in 0..u16::from(size) {
            let (offset, byte) = (offset.wrapping_add(at), (value >> (at * 8)) as u8);
            match offset {
                TIMING..TIMING_END => endpoint.config_mut().write(offset, byte, 0xff),
                0..=0xff => endpoint.write(&LAYOUT, offset, byte),
                _ => {}
            }
        }
        self.go_on(cx);
    }

    fn windows(&self) -> Vec<Window> {
        let endpoint = &self.registers.endpoint;
        let ports = endpoint.config().u16(COMMAND) & COMMAND_IO != 0;
        let there = (0u8..).zip(BLOCKS).filter(|(bar, _)| ports && self.decodes(usize::from(bar / 2)));
        let blocks = there.map(|(bar, (base, len))| Window { bar, io: true, base, len });
        endpoint.windows(&LAYOUT).chain(blocks).collect()
    }

    fn bar_read(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8) -> u64 {
        let value = (0..)
            .zip(places(bar, offset, size))
            .fold(0, |value, (n, place)| value | u64::from(self.read_byte(cx, bar, place)) << (n * 8));
        self.go_on(cx);
        value
    }

    fn bar_write(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8, value: u64) {
        for (n, place) in (0..).zip(places(bar, offset, size)) {
            self.write_byte(cx, bar, place, (value >> (n * 8)) as u8);
        }
        self.go_on(cx);
    }

    fn set_up_as_firmware(&mut self, next: &mut u64, port: &mut u64) {
        let endpoint = &mut self.registers.endpoint;
        endpoint.set_up_as_firmware(&LAYOUT, SLOT, next, port);
        let config = endpoint.config_mut();
        config.set_u8(INTERRUPT_LINE, IRQ);
        (0..2).for_each(|channel| config.set_u16(TIMING + 2 * channel, TIMING_DECODE));
    }

    fn section_name(&self) -> String {
        "ide".to_owned()
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
