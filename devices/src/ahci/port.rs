//! A port of the controller: its registers, and the commands of its drive (AHCI 1.3.1, 3.3 and 5).
//!
//! A command is taken when the port is free for it, with the registers the driver's FIS has then, and lands, the whole of
//! it, at a time that is a function of its kind and length. Until then its data has not moved.

use super::command::{Header, Regions};
use crate::ata::disk::{is_queued, tag};
use crate::ata::drive::{ABRT, BSY, DRQ, Drive, ERR, Outcome, Protocol, QueuedError, READY, Unit};
use crate::ata::task::Task;
use crate::ata::transfer::Scattered;
use crate::ata::{carry_out, latency};
use crate::device::DeviceCtx;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Command slots.
pub(super) const SLOTS: u8 = 32;
/// Bits of addresses that are always 0.
const LIST_ALIGN: u64 = 0x3ff;
const FIS_ALIGN: u64 = 0xff;

/// PxCMD.
const CMD_START: u32 = 1;
const CMD_POWERED: u32 = 6;
const CMD_OVERRIDE: u32 = 1 << 3;
const CMD_FIS: u32 = 1 << 4;
const CMD_FIS_RUNS: u32 = 1 << 14;
const CMD_RUNS: u32 = 1 << 15;
/// Start, FIS receive, ATAPI and its light.
const CMD_WRITABLE: u32 = CMD_START | CMD_FIS | 3 << 24;

/// PxIS.
const IS_REGISTER_FIS: u32 = 1;
const IS_PIO_SETUP: u32 = 1 << 1;
const IS_DEVICE_BITS: u32 = 1 << 3;
const IS_REGION_DONE: u32 = 1 << 5;
const IS_CONNECT: u32 = 1 << 6;
const IS_PHY_READY: u32 = 1 << 22;
const IS_OVERFLOW: u32 = 1 << 24;
const IS_FATAL: u32 = 1 << 27;
const IS_TASK_ERROR: u32 = 1 << 30;
/// Bits that software clears here, not in PxSERR.
const IS_OWN: u32 =
    IS_REGISTER_FIS | IS_PIO_SETUP | IS_DEVICE_BITS | IS_REGION_DONE | IS_OVERFLOW | IS_FATAL | IS_TASK_ERROR;
const IE_WRITABLE: u32 = 0xfdc0_00ff;

/// PxSERR: the phy became ready, a device appeared.
const SERR_PHY_READY: u32 = 1 << 16;
const SERR_CONNECT: u32 = 1 << 26;
/// PxSSTS: a device, generation 2, active.
const STATUS_LINKED: u32 = 0x123;
/// PxSCTL: detection, speed, power management.
const CONTROL_WRITABLE: u32 = 0xfff;
const CONTROL_DETECTION: u32 = 0xf;
/// PxTFD and PxSIG without a device.
const TASK_NONE: u32 = 0x7f;
const SIGNATURE_NONE: u32 = u32::MAX;

/// Device control: software reset.
const CONTROL_RESET: u8 = 4;

/// Areas of received FISes.
const AREA_PIO: u64 = 0x20;
const AREA_REGISTERS: u64 = 0x40;
const AREA_BITS: u64 = 0x58;
const FIS_REGISTERS: u8 = 0x34;
const FIS_PIO_SETUP: u8 = 0x5f;
const FIS_BITS: u8 = 0xa1;
const FIS_INTERRUPT: u8 = 0x40;
const FIS_TO_HOST: u8 = 0x20;

/// A command that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct InFlight {
    slot: u8,
    /// When it lands, ns.
    due: u64,
    task: Task,
}

/// Registers, and what the drive remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Port {
    pub(super) list: u64,
    pub(super) fis: u64,
    pub(super) interrupts: u32,
    pub(super) enable: u32,
    pub(super) command: u32,
    pub(super) task: u32,
    pub(super) signature: u32,
    pub(super) control: u32,
    pub(super) error: u32,
    pub(super) active: u32,
    pub(super) issue: u32,
    /// Slot taken last.
    pub(super) last: u8,
    /// A command failed: no other is taken before the port is started again.
    pub(super) halted: bool,
    /// SRST is set.
    pub(super) in_reset: bool,
    /// In the order they land. Of commands that do not queue one at most.
    pub(super) in_flight: Vec<InFlight>,
    pub drive: Drive,
}

impl Port {
    pub fn new(unit: Option<&Unit>) -> Self {
        let mut port = Self {
            list: 0,
            fis: 0,
            interrupts: 0,
            enable: 0,
            command: 0,
            task: TASK_NONE,
            signature: SIGNATURE_NONE,
            control: 0,
            error: 0,
            active: 0,
            issue: 0,
            last: SLOTS - 1,
            halted: false,
            in_reset: false,
            in_flight: Vec::new(),
            drive: Drive::new(),
        };
        if let Some(unit) = unit {
            port.link_up();
            port.set_signature(unit);
        }
        port
    }

    /// HBA reset: all but the addresses (10.4.3).
    pub fn reset(&mut self, unit: Option<&Unit>) {
        let drive = self.drive.after_reset();
        *self = Self { list: self.list, fis: self.fis, drive, ..Self::new(unit) };
    }

    fn link_up(&mut self) {
        self.error |= SERR_PHY_READY | SERR_CONNECT;
    }

    fn set_signature(&mut self, unit: &Unit) {
        let (lba, count) = unit.signature();
        self.signature = (lba as u32) << 8 | u32::from(count);
        self.task = 1 << 8 | u32::from(unit.reset_status());
    }

    fn linked(&self, unit: Option<&Unit>) -> bool {
        unit.is_some() && self.control & CONTROL_DETECTION == 0
    }

    /// PxIS, with the bits that follow PxSERR.
    fn interrupts(&self) -> u32 {
        let follow = |error: u32, bit: u32| if self.error & error != 0 { bit } else { 0 };
        self.interrupts | follow(SERR_CONNECT, IS_CONNECT) | follow(SERR_PHY_READY, IS_PHY_READY)
    }

    /// Whether it asks the controller for an interrupt.
    pub fn wants_interrupt(&self) -> bool {
        self.interrupts() & self.enable != 0
    }

    /// Register at `offset`, a multiple of 4.
    pub fn read(&self, unit: Option<&Unit>, offset: u64) -> u32 {
        match offset {
            0x00 => self.list as u32,
            0x04 => (self.list >> 32) as u32,
            0x08 => self.fis as u32,
            0x0c => (self.fis >> 32) as u32,
            0x10 => self.interrupts(),
            0x14 => self.enable,
            0x18 => self.command(),
            0x20 => self.task,
            0x24 => self.signature,
            0x28 if self.linked(unit) => STATUS_LINKED,
            0x2c => self.control,
            0x30 => self.error,
            0x34 => self.active,
            0x38 => self.issue,
            _ => 0,
        }
    }

    fn command(&self) -> u32 {
        let runs = |asked: u32, bit: u32| if self.command & asked != 0 { bit } else { 0 };
        let slot = if self.started() { u32::from(self.last) << 8 } else { 0 };
        self.command | CMD_POWERED | runs(CMD_START, CMD_RUNS) | runs(CMD_FIS, CMD_FIS_RUNS) | slot
    }

    fn started(&self) -> bool {
        self.command & CMD_START != 0
    }

    /// Writes the bits `mask` of the register at `offset`.
    pub fn write(&mut self, cx: &mut DeviceCtx, unit: Option<&Unit>, offset: u64, value: u32, mask: u32) {
        let merged = |old: u32| old & !mask | value & mask;
        let bits = value & mask;
        let half = |old: u64, high: bool| {
            let shift = if high { 32 } else { 0 };
            old & !(0xffff_ffff << shift) | u64::from(merged((old >> shift) as u32)) << shift
        };
        match offset {
            0x00 | 0x04 => self.list = half(self.list, offset == 4) & !LIST_ALIGN,
            0x08 | 0x0c => self.fis = half(self.fis, offset == 0xc) & !FIS_ALIGN,
            0x10 => self.interrupts &= !bits,
            0x14 => self.enable = merged(self.enable) & IE_WRITABLE,
            0x18 => self.set_command(merged(self.command)),
            0x2c => self.set_control(cx, unit, merged(self.control) & CONTROL_WRITABLE),
            0x30 => self.error &= !bits,
            0x34 if self.started() => self.active |= bits,
            0x38 if self.started() => self.issue |= bits,
            _ => {}
        }
    }

    fn set_command(&mut self, value: u32) {
        let was_started = self.started();
        self.command = value & CMD_WRITABLE;
        if value & CMD_OVERRIDE != 0 && !was_started {
            self.task &= !u32::from(BSY | DRQ);
        }
        if was_started && !self.started() {
            (self.issue, self.active, self.halted) = (0, 0, false);
            (self.last, self.in_flight) = (SLOTS - 1, Vec::new());
        }
    }

    /// PxSCTL: while detection is asked for or the phy is off there is no link; when it is there again, the drive was reset.
    fn set_control(&mut self, cx: &mut DeviceCtx, unit: Option<&Unit>, value: u32) {
        let was = self.linked(unit);
        self.control = value;
        match (was, self.linked(unit), unit) {
            (true, false, _) => {
                self.in_flight.clear();
                (self.task, self.signature) = (TASK_NONE, SIGNATURE_NONE);
            }
            (false, true, Some(unit)) => {
                self.link_up();
                self.reset_drive(cx, unit);
            }
            _ => {}
        }
    }

    fn reset_drive(&mut self, cx: &mut DeviceCtx, unit: &Unit) {
        self.in_flight.clear();
        (self.drive, self.in_reset) = (self.drive.after_reset(), false);
        self.set_signature(unit);
        let (lba, count) = unit.signature();
        let (status, error) = (unit.reset_status(), 1);
        let outcome = Outcome { status, error, lba, count, device: 0, protocol: Protocol::Plain };
        self.send_registers(cx, &outcome, false);
    }

    /// Takes what can be taken, and says when the next command lands. While the function is no bus master, nothing moves.
    pub fn go_on(&mut self, cx: &mut DeviceCtx, unit: Option<&Unit>, master: bool) -> Option<u64> {
        if let Some(unit) = unit.filter(|_| master && self.linked(unit)) {
            while let Some(slot) = self.next_slot() {
                if !self.take(cx, unit, slot) {
                    break;
                }
            }
        }
        self.in_flight.first().filter(|_| master).map(|next| next.due.max(cx.now()))
    }

    /// The slot to take next: in order, from behind the last one.
    fn next_slot(&self) -> Option<u8> {
        let waiting = self.in_flight.iter().fold(self.issue, |issue, taken| issue & !(1 << taken.slot));
        let busy = self.task & u32::from(BSY | DRQ) != 0;
        if !self.started() || self.halted || busy || waiting == 0 {
            return None;
        }
        let first = u32::from(self.last) + 1;
        Some(((waiting.rotate_right(first & 31).trailing_zeros() + first) & 31) as u8)
    }

    /// Takes the command in a slot; false if it has to wait.
    fn take(&mut self, cx: &mut DeviceCtx, unit: &Unit, slot: u8) -> bool {
        let Some(task) = Header::read(cx.dma, self.list, slot).task(cx.dma) else {
            self.last = slot;
            self.interrupts |= IS_FATAL;
            self.halted = true;
            return false;
        };
        if !task.is_command {
            self.last = slot;
            self.issue &= !(1 << slot);
            self.device_control(cx, unit, &task);
            return true;
        }
        let queued = !unit.is_cd() && is_queued(task.command);
        if !queued && !self.in_flight.is_empty() {
            return false;
        }
        self.last = slot;
        if queued {
            self.issue &= !(1 << slot);
            let accepted = Outcome::done(&task);
            self.set_task(&accepted);
            self.send_registers(cx, &accepted, false);
        } else {
            self.task |= u32::from(BSY);
        }
        let due = cx.now() + latency(&self.drive, unit, &task);
        let at = self.in_flight.partition_point(|other| other.due <= due);
        self.in_flight.insert(at, InFlight { slot, due, task });
        true
    }

    /// A write of the device control register: SRST resets the drive when it falls.
    fn device_control(&mut self, cx: &mut DeviceCtx, unit: &Unit, task: &Task) {
        let asked = task.control & CONTROL_RESET != 0;
        if asked {
            self.in_flight.clear();
            self.in_reset = true;
        } else if self.in_reset {
            self.reset_drive(cx, unit);
        }
    }

    /// What is due lands, all at this moment.
    pub fn land(&mut self, cx: &mut DeviceCtx, unit: &Unit) {
        let due = self.in_flight.partition_point(|taken| taken.due <= cx.now());
        let landing: Vec<InFlight> = self.in_flight.drain(..due).collect();
        for taken in landing {
            // One that failed took the others with it.
            if !self.halted {
                self.carry_out(cx, unit, &taken);
            }
        }
    }

    fn carry_out(&mut self, cx: &mut DeviceCtx, unit: &Unit, taken: &InFlight) {
        let InFlight { slot, task, .. } = taken;
        let queued = !unit.is_cd() && is_queued(task.command);
        let header = Header::read(cx.dma, self.list, *slot);
        let mut transfer = Scattered(Regions::new(cx.dma, header));
        let outcome = if queued && tag(task) != *slot {
            Outcome::failed(task, ABRT)
        } else {
            carry_out(&mut self.drive, unit, task, &mut transfer)
        };
        let Regions { moved, interrupt, overflow, .. } = transfer.0;
        self.interrupts |= if interrupt { IS_REGION_DONE } else { 0 };
        self.interrupts |= if overflow { IS_OVERFLOW } else { 0 };
        if queued {
            return self.end_queued(cx, task, &outcome);
        }
        header.set_moved(cx.dma, moved);
        self.end(cx, *slot, &outcome, moved);
    }

    fn end(&mut self, cx: &mut DeviceCtx, slot: u8, outcome: &Outcome, moved: u64) {
        self.set_task(outcome);
        let failed = outcome.status & ERR != 0;
        if outcome.protocol != Protocol::Plain {
            self.send_pio_setup(cx, outcome, moved);
        }
        if outcome.protocol != Protocol::PioIn {
            self.send_registers(cx, outcome, true);
        }
        if failed {
            self.halted = true;
            self.interrupts |= IS_TASK_ERROR;
        } else {
            self.issue &= !(1 << slot);
        }
    }

    /// A queued command that fails ends those behind it.
    fn end_queued(&mut self, cx: &mut DeviceCtx, task: &Task, outcome: &Outcome) {
        let tag = tag(task);
        self.set_task(outcome);
        let mut done = 1u32 << tag;
        if outcome.status & ERR != 0 {
            let Outcome { status, error, lba, device, .. } = *outcome;
            let count = task.features;
            self.drive.queued_error = Some(QueuedError { tag, status, error, lba, count, device });
            self.in_flight.clear();
            self.halted = true;
            self.interrupts |= IS_TASK_ERROR;
            done = 0;
        }
        self.active &= !done;
        let mut fis = [FIS_BITS, FIS_INTERRUPT, outcome.status & 0x77, outcome.error, 0, 0, 0, 0];
        fis[4..8].copy_from_slice(&done.to_le_bytes());
        self.interrupts |= IS_DEVICE_BITS;
        self.receive(cx, AREA_BITS, &fis);
    }

    fn set_task(&mut self, outcome: &Outcome) {
        self.task = u32::from(outcome.error) << 8 | u32::from(outcome.status);
    }

    fn send_registers(&mut self, cx: &mut DeviceCtx, outcome: &Outcome, interrupt: bool) {
        let mut fis = registers(FIS_REGISTERS, outcome);
        fis[2] = outcome.status;
        if interrupt {
            fis[1] = FIS_INTERRUPT;
            self.interrupts |= IS_REGISTER_FIS;
        }
        self.receive(cx, AREA_REGISTERS, &fis);
    }

    /// The last PIO Setup FIS of a command: its data is on the way, and its status after that.
    fn send_pio_setup(&mut self, cx: &mut DeviceCtx, outcome: &Outcome, moved: u64) {
        let mut fis = registers(FIS_PIO_SETUP, outcome);
        fis[1] = FIS_INTERRUPT | FIS_TO_HOST;
        (fis[2], fis[15]) = (READY | DRQ, outcome.status);
        let last = u16::try_from(moved).unwrap_or(512);
        fis[16..18].copy_from_slice(&last.to_le_bytes());
        self.interrupts |= IS_PIO_SETUP;
        self.receive(cx, AREA_PIO, &fis);
    }

    fn receive(&self, cx: &mut DeviceCtx, area: u64, fis: &[u8]) {
        if self.command & CMD_FIS != 0 {
            cx.dma.write(self.fis + area, fis);
        }
    }

    /// The first field that holds what no port comes to.
    pub fn impossible(&self, unit: Option<&Unit>) -> Option<&'static str> {
        let registers = self.list & LIST_ALIGN == 0
            && self.fis & FIS_ALIGN == 0
            && self.interrupts & !IS_OWN == 0
            && self.enable & !IE_WRITABLE == 0
            && self.command & !CMD_WRITABLE == 0
            && self.control & !CONTROL_WRITABLE == 0
            && self.last < SLOTS
            && (self.started() || self.issue | self.active == 0);
        if !registers {
            return Some("ports");
        }
        let ordered = self.in_flight.windows(2).all(|pair| pair[0].due <= pair[1].due);
        let mut slots: Vec<u8> = self.in_flight.iter().map(|taken| taken.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let sane = slots.len() == self.in_flight.len()
            && slots.iter().all(|slot| *slot < SLOTS)
            && self.in_flight.iter().all(|taken| taken.due <= crate::TIME_MAX && taken.task.is_possible());
        let drive = self.drive.is_possible();
        let somebody = self.in_flight.is_empty() || (self.linked(unit) && self.started());
        (!(ordered && sane && drive && somebody)).then_some("in_flight")
    }

    /// Whether a command is under way.
    #[cfg(test)]
    pub fn is_busy(&self) -> bool {
        !self.in_flight.is_empty()
    }
}

/// A FIS of registers, as a register FIS and a PIO Setup FIS have them in common.
fn registers(kind: u8, outcome: &Outcome) -> [u8; 20] {
    let mut fis = [0; 20];
    let lba = outcome.lba.to_le_bytes();
    (fis[0], fis[3], fis[7]) = (kind, outcome.error, outcome.device);
    fis[4..7].copy_from_slice(&lba[..3]);
    fis[8..11].copy_from_slice(&lba[3..6]);
    fis[12..14].copy_from_slice(&outcome.count.to_le_bytes());
    fis
}
