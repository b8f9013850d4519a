//! A floppy disk controller behind the LPC bridge, an 82077AA with two drives, and the DMA controllers that move its bytes:
//! there if a diskette, or a place for one, is.

mod command;
mod controller;
mod medium;
mod seek;
mod transfer;

use crate::device::{Device, DeviceCtx, DeviceId};
use crate::disk::{DiskConfig, DiskInterface, MediumConfig};
use crate::i8237::I8237;
use crate::irq::{IrqSource, Line};
use amber_snapshot::{OwnedSection, Section, SectionError};
use controller::{Controller, TIMER_COMMAND, TIMER_POLL};
pub(crate) use medium::Medium;
use medium::{EMPTY_DRIVE, TYPE_360K};

/// Most diskettes.
pub const FLOPPY_DRIVES: usize = 2;
/// Whose timers these are: the first place that is no slot of bus 0, for the LPC bus has none. The schema of the clock, and
/// with it every state, stays as it was.
pub(crate) const FLOPPY: DeviceId = DeviceId::Slot(32);
const IRQ: u8 = 6;
/// Names of the sections.
pub(crate) const SECTIONS: [&str; 2] = ["floppy", "dma"];

/// A drive, and the diskette in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unit {
    /// Which of the machine's disks it is.
    disk: u8,
    /// Its type.
    drive: u8,
    medium: Option<Medium>,
    read_only: bool,
}

impl Unit {
    /// The cylinder the head stops at.
    fn last_cylinder(&self) -> u8 {
        if self.drive == TYPE_360K { 43 } else { 83 }
    }
}

/// What a controller works with.
struct Parts<'a, 'b> {
    cx: &'a mut DeviceCtx<'b>,
    dma: &'a mut I8237,
    units: &'a [Unit],
}

impl Parts<'_, '_> {
    fn arm(&mut self, timer: u16, ns: u64) {
        let at = self.cx.now().saturating_add(ns);
        self.cx.set_timer(FLOPPY, timer, Some(at));
    }

    /// Nothing is under way any more.
    fn stop(&mut self) {
        (TIMER_COMMAND..=TIMER_POLL).for_each(|timer| self.cx.set_timer(FLOPPY, timer, None));
    }
}

/// The controllers and the drives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Floppy {
    controller: Controller,
    dma: I8237,
    units: Vec<Unit>,
}

/// Whether a diskette has so many sectors.
pub fn is_diskette(sectors: u64) -> bool {
    Medium::of(sectors).is_some()
}

/// The type of the drive that a machine has for what is in it at the start, if anything is.
fn drive_for(sectors: u64) -> u8 {
    match sectors {
        0 => EMPTY_DRIVE,
        _ => Medium::of(sectors).map_or(0, |medium| medium.drive),
    }
}

/// The diskettes among a machine's disks.
fn diskettes(disks: &[DiskConfig]) -> impl Iterator<Item = (u8, &DiskConfig)> {
    (0..).zip(disks).filter(|(_, config)| config.interface == DiskInterface::Floppy)
}

/// The types of the drives for `disks`, as CMOS register 10h has them.
pub(crate) fn drive_types(disks: &[DiskConfig]) -> u8 {
    let types = diskettes(disks).map(|(_, config)| drive_for(config.sectors));
    types.zip([4, 0]).fold(0, |all, (drive, shift)| all | drive << shift)
}

impl Floppy {
    /// The controllers with those of the machine's disks that are diskettes; none if there are none.
    pub fn new(disks: &[DiskConfig]) -> Option<Self> {
        let unit = |(disk, config): (u8, &DiskConfig)| {
            let (drive, medium) = (drive_for(config.sectors), Medium::of(config.sectors));
            Unit { disk, drive, medium, read_only: config.read_only }
        };
        let units: Vec<_> = diskettes(disks).map(unit).take(FLOPPY_DRIVES).collect();
        let there = !units.is_empty();
        there.then(|| Self { controller: Controller::new(), dma: I8237::new(), units })
    }

    /// Whether the drive of one of the machine's disks takes a diskette of so many sectors; none if that is no drive.
    pub fn takes(&self, disk: u8, sectors: u64) -> Option<bool> {
        let unit = self.units.iter().find(|unit| unit.disk == disk)?;
        Some(Medium::of(sectors).is_some_and(|medium| medium.fits(unit.drive)))
    }

    /// Another diskette is in a drive, or none; its disk change line is up.
    pub fn hold(&mut self, disk: u8, medium: Option<&MediumConfig>) {
        let Some(n) = self.units.iter().position(|unit| unit.disk == disk) else { return };
        let unit = &mut self.units[n];
        unit.medium = medium.and_then(|medium| Medium::of(medium.sectors));
        unit.read_only = medium.is_some_and(|medium| medium.read_only);
        self.controller.drives[n].changed = true;
    }

    /// Whether it answers at `port`. The IDE controller has 3F6h.
    pub fn claims(port: u16) -> bool {
        matches!(port, 0x3f2..=0x3f5 | 0x3f7) || I8237::claims(port)
    }

    pub fn set_up_as_firmware(&mut self) {
        self.dma.set_up_as_firmware();
    }

    fn with<R>(&mut self, cx: &mut DeviceCtx, act: impl FnOnce(&mut Controller, &mut Parts) -> R) -> R {
        let Self { controller, dma, units } = self;
        let result = act(controller, &mut Parts { cx, dma, units });
        cx.irqs.set(Line::Isa(IRQ), IrqSource::Floppy, self.controller.interrupts());
        result
    }

    /// Its sections below `path`.
    pub fn sections(&self, path: &str) -> [OwnedSection; 2] {
        let [floppy, dma] = SECTIONS.map(|name| format!("{path}/{name}"));
        [self.controller.to_section(&floppy), self.dma.to_section(&dma)]
    }

    /// The same controllers in the state that was saved.
    pub fn restored(&self, floppy: &OwnedSection, dma: &OwnedSection) -> Result<Self, SectionError> {
        let (controller, dma) = (Controller::from_section(floppy)?, I8237::from_section(dma)?);
        match controller.impossible() {
            Some((field, value)) => Err(SectionError::Value { path: floppy.path.clone(), field, value }),
            None => Ok(Self { controller, dma, units: self.units.clone() }),
        }
    }
}

impl Device for Floppy {
    fn pio_read(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8) -> u32 {
        if I8237::claims(port) {
            return self.dma.read(port).into();
        }
        self.with(cx, |controller, parts| controller.read(parts, port)).into()
    }

    fn pio_write(&mut self, cx: &mut DeviceCtx, port: u16, _size: u8, value: u32) {
        if I8237::claims(port) {
            return self.dma.write(port, value as u8);
        }
        self.with(cx, |controller, parts| controller.write(parts, port, value as u8));
    }

    fn timer(&mut self, cx: &mut DeviceCtx, timer: u16) {
        self.with(cx, |controller, parts| match (timer, seek::drive_of(timer)) {
            (_, Some(drive)) => controller.arrive(parts, drive),
            (TIMER_COMMAND, _) => controller.land(parts),
            (TIMER_POLL, _) => controller.poll(),
            _ => {}
        });
    }

    fn reset(&mut self, _cx: &mut DeviceCtx) {
        self.controller.reset();
        self.dma = I8237::new();
    }

    fn impossible(&self) -> Option<(&'static str, String)> {
        self.controller.impossible()
    }
}

#[cfg(test)]
mod tests;
