//! A channel: two drives, one of which is selected and may have a command (ATA/ATAPI-6, 9).
//!
//! What the host moves itself, it moves block by block: a block is read from the disk when it is the host's turn to read
//! it, and written when the host has written all of it. What the bus master moves lands as a whole, as at other controllers.

use super::bus_master::BusMaster;
use super::registers::{DATA, DEVICE, Registers, STATUS};
use crate::ata::disk::{self, Data, Extent};
use crate::ata::drive::{BSY, DRQ, Drive, ERR, Outcome, READY, Unit};
use crate::ata::media::{Tray, no_medium};
use crate::ata::packet::{self, Answer, DEVICE_RESET, PACKET, UNREADABLE};
use crate::ata::task::Task;
use crate::ata::transfer::{Buffered, Scattered, Transfer};
use crate::ata::{self, NEXT_NS, WRITE_NS};
use crate::device::DeviceCtx;
use crate::disk::SECTOR;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Device control: no interrupts, reset, upper halves of registers.
const CONTROL_NO_INTERRUPT: u8 = 1 << 1;
const CONTROL_RESET: u8 = 1 << 2;
const CONTROL_HIGH: u8 = 1 << 7;
const CONTROL_WRITABLE: u8 = CONTROL_NO_INTERRUPT | CONTROL_RESET | CONTROL_HIGH;
/// Device: the second drive.
const DEVICE_SECOND: u8 = 1 << 4;
const EXECUTE_DIAGNOSTIC: u8 = 0x90;
/// Interrupt reasons of packet commands: a packet is wanted, data is there.
const REASON_PACKET: u16 = 1;
const REASON_DATA: u16 = 2;
const PACKET_LEN: usize = 12;
/// Most bytes of a CD that the host takes at a time.
const CHUNK: u64 = 2048;
/// Most bytes a drive keeps for the host.
const BUFFER_MAX: usize = 1 << 17;
/// Status of a channel without drives: nobody pulls but BSY down.
const STATUS_NOBODY: u8 = 0x7f;

/// What the drive with a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) enum Phase {
    /// Nothing: it has none.
    Idle,
    /// It carries the command or the next block of it out.
    Busy,
    /// The host reads its buffer.
    In,
    /// The host writes its buffer.
    Out,
    /// The host writes a packet.
    Packet,
    /// It makes the next bytes of a packet's data ready.
    Chunk,
    /// It moves data by way of the bus master, when that is ready.
    Dma,
}

/// A drive, and what it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Seat {
    pub(super) registers: Registers,
    pub(super) drive: Drive,
    /// INTRQ.
    pub(super) interrupt: bool,
}

/// Bytes of a medium.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Stream {
    at: u64,
    len: u64,
}

/// Registers, and the command under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Channel {
    pub(super) seats: [Seat; 2],
    pub(super) device: u8,
    pub(super) control: u8,
    pub bus_master: BusMaster,
    pub(super) phase: Phase,
    /// When the drive is done with what it does, ns.
    pub(super) due: Option<u64>,
    pub(super) task: Option<Task>,
    /// Sectors that the host has still to move.
    pub(super) rest: Option<Extent>,
    /// What of a packet's data was not read yet.
    pub(super) stream: Option<Stream>,
    pub(super) buffer: Vec<u8>,
    /// The next byte for the host, and where its turn ends.
    pub(super) at: u32,
    pub(super) end: u32,
}

pub(super) type Units = [Option<Unit>; 2];

impl Channel {
    pub fn new(units: &Units) -> Self {
        let seat = |unit: &Option<Unit>| Seat {
            registers: unit.as_ref().map_or_else(Registers::default, after_reset),
            drive: Drive::new(),
            interrupt: false,
        };
        Self {
            seats: [seat(&units[0]), seat(&units[1])],
            device: 0,
            control: 0,
            bus_master: BusMaster::default(),
            phase: Phase::Idle,
            due: None,
            task: None,
            rest: None,
            stream: None,
            buffer: Vec::new(),
            at: 0,
            end: 0,
        }
    }

    /// As it is after a reset.
    pub fn after_reset(&self, units: &Units) -> Self {
        let mut fresh = Self::new(units);
        for (seat, was) in fresh.seats.iter_mut().zip(&self.seats) {
            seat.drive = was.drive.after_reset();
        }
        fresh
    }

    pub fn trays(&self) -> [Tray; 2] {
        [self.seats[0].drive.tray(), self.seats[1].drive.tray()]
    }

    pub fn drive_mut(&mut self, seat: usize) -> &mut Drive {
        &mut self.seats[seat].drive
    }

    /// A packet command that reads a medium ends where that is taken out.
    pub fn interrupt_reading(&mut self, n: usize) {
        if let (Some(task), true) = (self.task.clone(), self.stream.is_some() && self.selected() == n) {
            let outcome = packet::end(&mut self.seats[n].drive, &task, Err(no_medium(true)));
            self.finish(n, &outcome);
        }
    }

    fn selected(&self) -> usize {
        usize::from(self.device & DEVICE_SECOND != 0)
    }

    /// INTRQ of the selected drive, if the host wants to hear of it.
    pub fn interrupts(&self) -> bool {
        self.control & CONTROL_NO_INTERRUPT == 0 && self.seats[self.selected()].interrupt
    }

    /// Reads a register of the command block, or of the control block's one without side effects.
    pub fn read(&mut self, cx: &mut DeviceCtx, units: &Units, at: u64) -> u8 {
        let n = self.selected();
        if units[n].is_none() {
            // The first drive answers for the second.
            let somebody = units.iter().any(Option::is_some);
            return if somebody {
                0
            } else if at == STATUS {
                STATUS_NOBODY
            } else {
                0xff
            };
        }
        match at {
            DATA => self.read_data(cx),
            DEVICE => self.device | 0xa0,
            STATUS => {
                self.seats[n].interrupt = false;
                self.status(units)
            }
            _ => self.seats[n].registers.read(at, self.control & CONTROL_HIGH != 0),
        }
    }

    /// Status, which this leaves as it is.
    pub fn status(&self, units: &Units) -> u8 {
        let n = self.selected();
        match &units[n] {
            Some(_) if self.control & CONTROL_RESET != 0 => BSY,
            Some(_) => self.seats[n].registers.status,
            None if units.iter().any(Option::is_some) => 0,
            None => STATUS_NOBODY,
        }
    }

    /// Writes a register of the command block. While a drive is at work it takes nothing but its data.
    pub fn write(&mut self, cx: &mut DeviceCtx, units: &Units, at: u64, value: u8) {
        if at == DATA {
            return self.write_data(cx, value);
        }
        if self.control & CONTROL_RESET != 0 {
            return;
        }
        self.control &= !CONTROL_HIGH;
        if at == STATUS {
            return self.command(cx, units, value);
        }
        match self.phase {
            Phase::Idle if at == DEVICE => self.device = value,
            Phase::Idle => self.seats.iter_mut().for_each(|seat| seat.registers.write(at, value)),
            _ => {}
        }
    }

    /// Writes device control.
    pub fn set_control(&mut self, units: &Units, value: u8) {
        let was_in_reset = self.control & CONTROL_RESET != 0;
        self.control = value & CONTROL_WRITABLE;
        if value & CONTROL_RESET != 0 {
            self.abandon();
        } else if was_in_reset {
            let Self { control, bus_master, .. } = self.clone();
            *self = Self { control, bus_master, ..self.after_reset(units) };
        }
    }

    /// No command is under way any more.
    fn abandon(&mut self) {
        self.phase = Phase::Idle;
        (self.due, self.task, self.rest, self.stream) = (None, None, None, None);
        self.buffer.clear();
        (self.at, self.end) = (0, 0);
    }

    fn command(&mut self, cx: &mut DeviceCtx, units: &Units, command: u8) {
        let n = self.selected();
        if command == EXECUTE_DIAGNOSTIC && self.phase == Phase::Idle {
            return self.diagnose(units);
        }
        let Some(unit) = &units[n] else { return };
        let resets = unit.is_cd() && command == DEVICE_RESET;
        if self.phase != Phase::Idle && !resets {
            return;
        }
        self.abandon();
        let Seat { registers, drive, interrupt } = &mut self.seats[n];
        *interrupt = false;
        let task = Task {
            is_command: true,
            command,
            features: registers.features,
            lba: registers.lba,
            count: registers.count,
            device: self.device,
            control: self.control,
            packet: [0; 16],
        };
        (registers.error, registers.status) = (0, BSY);
        if resets {
            *drive = drive.after_reset();
            *registers = after_reset(unit);
            return;
        }
        self.begin(cx, unit, n, task);
    }

    fn begin(&mut self, cx: &mut DeviceCtx, unit: &Unit, n: usize, task: Task) {
        let Seat { registers, drive, .. } = &mut self.seats[n];
        if unit.is_cd() && task.command == PACKET {
            (registers.count, registers.status) = (REASON_PACKET, READY | DRQ);
            (self.phase, self.end, self.task) = (Phase::Packet, PACKET_LEN as u32, Some(task));
            return;
        }
        let extent = disk::extent(drive, &task).filter(|_| !unit.is_cd());
        self.rest = extent.filter(|extent| disk::refusal(drive, unit, &task, *extent).is_none());
        let refused = extent.is_some() && self.rest.is_none();
        let data = if unit.is_cd() || refused { Data::None } else { disk::data(&task) };
        let latency = ata::latency(drive, unit, &task);
        let rest = self.rest.filter(|_| matches!(data, Data::PioIn | Data::PioOut));
        self.task = Some(task);
        match (data, rest) {
            (Data::PioOut, Some(_)) => self.want_block(n),
            (Data::DmaIn | Data::DmaOut, _) => self.phase = Phase::Dma,
            _ => self.wait(cx, Phase::Busy, latency),
        }
        self.rest = rest;
    }

    fn wait(&mut self, cx: &DeviceCtx, phase: Phase, ns: u64) {
        (self.phase, self.due) = (phase, Some(cx.now() + ns));
    }

    /// The sectors of the next block that the host moves.
    fn next_block(&self, n: usize) -> Option<Extent> {
        let (task, rest) = (self.task.as_ref()?, self.rest?);
        let sectors = disk::block(&self.seats[n].drive, task).min(rest.sectors);
        Some(Extent { first: rest.first, sectors })
    }

    /// It is the host's turn to write a block.
    fn want_block(&mut self, n: usize) {
        let Some(block) = self.next_block(n) else { return };
        self.buffer.clear();
        (self.phase, self.at, self.end) = (Phase::Out, 0, (block.sectors * SECTOR) as u32);
        self.seats[n].registers.status = READY | DRQ;
    }

    /// It is the host's turn to read the buffer, up to `end`.
    fn show(&mut self, n: usize, end: usize) {
        (self.phase, self.end) = (Phase::In, end as u32);
        self.seats[n].registers.status = READY | DRQ;
        self.raise(n);
    }

    fn raise(&mut self, n: usize) {
        self.seats[n].interrupt = true;
        if self.interrupts() {
            self.bus_master.interrupt();
        }
    }

    fn finish(&mut self, n: usize, outcome: &Outcome) {
        self.end(n, outcome);
        self.raise(n);
    }

    /// A command ends, and the host does not hear of it.
    fn end(&mut self, n: usize, outcome: &Outcome) {
        self.abandon();
        self.seats[n].registers.set(outcome);
        self.device = outcome.device;
    }

    /// EXECUTE DEVICE DIAGNOSTIC: both drives are well.
    fn diagnose(&mut self, units: &Units) {
        self.abandon();
        self.device = 0;
        for (seat, unit) in self.seats.iter_mut().zip(units) {
            seat.registers = unit.as_ref().map_or_else(Registers::default, after_reset);
            seat.interrupt = false;
        }
        if units[0].is_some() {
            self.raise(0);
        }
    }

    /// A byte through the data register.
    fn read_data(&mut self, cx: &mut DeviceCtx) -> u8 {
        if self.phase != Phase::In {
            return 0xff;
        }
        let byte = self.buffer.get(self.at as usize).copied().unwrap_or(0xff);
        self.at += 1;
        if self.at >= self.end {
            self.was_read(cx);
        }
        byte
    }

    /// The host has read what was there for it.
    fn was_read(&mut self, cx: &mut DeviceCtx) {
        let n = self.selected();
        let is_packet = self.task.as_ref().is_some_and(|task| task.command == PACKET);
        let more = self.rest.is_some_and(|rest| rest.sectors != 0);
        self.seats[n].registers.status = if is_packet || more { BSY } else { READY };
        if is_packet {
            let bytes = self.stream.as_ref().map_or(0, |stream| stream.len.min(CHUNK));
            self.wait(cx, Phase::Chunk, NEXT_NS + bytes * 5);
        } else if more {
            self.wait(cx, Phase::Busy, NEXT_NS);
        } else {
            self.abandon();
        }
    }

    fn write_data(&mut self, cx: &mut DeviceCtx, value: u8) {
        if !matches!(self.phase, Phase::Out | Phase::Packet) {
            return;
        }
        self.buffer.push(value);
        if self.buffer.len() < self.end as usize {
            return;
        }
        let n = self.selected();
        let is_last = self.next_block(n).zip(self.rest).is_none_or(|(block, rest)| block == rest);
        let latency = match self.phase {
            Phase::Packet => ata::packet_latency(0),
            _ if is_last => WRITE_NS,
            _ => NEXT_NS,
        };
        if let (Phase::Packet, Some(task)) = (self.phase, &mut self.task) {
            task.packet[..PACKET_LEN].copy_from_slice(&self.buffer[..PACKET_LEN]);
            self.buffer.clear();
        }
        self.seats[n].registers.status = BSY;
        self.wait(cx, Phase::Busy, latency);
    }

    /// What a command of the drive that waits for the bus master has for it: whether it goes to memory.
    fn goes_to_memory(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.command == PACKET || disk::data(task) == Data::DmaIn)
    }

    /// Goes on as far as it can, and says when the drive is done. While the function is no bus master, the bus master waits.
    pub fn go_on(&mut self, cx: &DeviceCtx, units: &Units, master: bool) -> Option<u64> {
        if self.phase == Phase::Dma {
            let ready = master && self.bus_master.moves(self.goes_to_memory());
            let unit = units[self.selected()].as_ref().zip(self.task.as_ref());
            let latency = unit.map_or(0, |(unit, task)| match &self.stream {
                Some(stream) => NEXT_NS + stream.len * 5,
                None => ata::latency(&self.seats[self.selected()].drive, unit, task),
            });
            self.due = if ready { self.due.or(Some(cx.now() + latency)) } else { None };
        }
        self.due.map(|due| due.max(cx.now()))
    }

    /// What is due lands.
    pub fn land(&mut self, cx: &mut DeviceCtx, units: &Units) {
        let n = self.selected();
        let is_due = self.due.is_some_and(|due| due <= cx.now());
        let (Some(unit), Some(task), true) = (&units[n], self.task.clone(), is_due) else { return };
        self.due = None;
        match self.phase {
            Phase::Busy if task.command == PACKET && unit.is_cd() => self.answer(cx, n, unit, &task),
            Phase::Busy if self.rest.is_some() => self.move_block(cx, n, unit, &task),
            Phase::Busy => self.carry_out(cx, n, unit, &task),
            Phase::Chunk => self.next_chunk(cx, n, unit, &task),
            Phase::Dma => self.move_by_dma(cx, n, unit, &task),
            Phase::Idle | Phase::In | Phase::Out | Phase::Packet => {}
        }
    }

    fn carry_out(&mut self, cx: &mut DeviceCtx, n: usize, unit: &Unit, task: &Task) {
        let mut transfer = Buffered { dma: cx.dma, buffer: &mut self.buffer };
        let outcome = ata::carry_out(&mut self.seats[n].drive, unit, task, &mut transfer);
        match self.buffer.len() {
            len if len != 0 && outcome.status & ERR == 0 => self.show(n, len),
            _ => self.finish(n, &outcome),
        }
    }

    /// The next block goes from the disk to the buffer, or from there to the disk.
    fn move_block(&mut self, cx: &mut DeviceCtx, n: usize, unit: &Unit, task: &Task) {
        let (Some(block), Some(rest)) = (self.next_block(n), self.rest) else { return };
        let reads = disk::data(task) == Data::PioIn;
        if reads {
            self.buffer.clear();
            self.at = 0;
        }
        let mut transfer = Buffered { dma: cx.dma, buffer: &mut self.buffer };
        let outcome = disk::access(&self.seats[n].drive, unit, task, block, &mut transfer);
        let left = Extent { first: rest.first + block.sectors, sectors: rest.sectors - block.sectors };
        let outcome = match left.sectors {
            0 => disk::settle(&self.seats[n].drive, unit, task, outcome, &mut transfer),
            _ => outcome,
        };
        self.rest = Some(left);
        if outcome.status & ERR != 0 || (!reads && left.sectors == 0) {
            self.finish(n, &outcome);
        } else if reads {
            self.show(n, self.buffer.len());
        } else {
            self.want_block(n);
            self.raise(n);
        }
    }

    /// A packet was taken: what it asks for is known now.
    fn answer(&mut self, cx: &mut DeviceCtx, n: usize, unit: &Unit, task: &Task) {
        let drive = &mut self.seats[n].drive;
        let answer = match packet::answer(drive, unit, task) {
            Ok(answer) => answer,
            Err(sense) => {
                let outcome = packet::end(drive, task, Err(sense));
                return self.finish(n, &outcome);
            }
        };
        match answer {
            Answer::Nothing => {}
            Answer::Bytes(bytes) => self.buffer = bytes,
            Answer::Medium { at, len } => self.stream = Some(Stream { at, len }),
        }
        let data = !self.buffer.is_empty() || self.stream.is_some();
        if data && packet::goes_by_dma(task) {
            self.phase = Phase::Dma;
        } else {
            self.next_chunk(cx, n, unit, task);
        }
    }

    /// The host's turn to read the next bytes, or the end.
    fn next_chunk(&mut self, cx: &mut DeviceCtx, n: usize, unit: &Unit, task: &Task) {
        // Zero stands for as many as can be; odd numbers are for the last bytes only.
        let limit = match (task.lba >> 8) as u16 & !1 {
            0 => 0xfffe,
            limit => limit,
        };
        if self.at as usize >= self.buffer.len() {
            (self.at, self.end) = (0, 0);
            self.buffer.clear();
            if !self.read_stream(cx, unit, limit.into()) {
                let outcome = packet::end(&mut self.seats[n].drive, task, Err(UNREADABLE));
                return self.finish(n, &outcome);
            }
        }
        let bytes = (self.buffer.len() - self.at as usize).min(limit.into());
        if bytes == 0 {
            let outcome = packet::end(&mut self.seats[n].drive, task, Ok(()));
            return self.finish(n, &outcome);
        }
        let registers = &mut self.seats[n].registers;
        registers.count = REASON_DATA;
        registers.set_byte_count(bytes as u16);
        self.show(n, self.at as usize + bytes);
    }

    /// Reads what comes next of the medium, if anything does; whether it could be read.
    fn read_stream(&mut self, cx: &mut DeviceCtx, unit: &Unit, limit: u64) -> bool {
        let Some(Stream { at, len }) = self.stream.take() else { return true };
        let now = len.min(CHUNK).min(limit);
        self.stream = (now < len).then_some(Stream { at: at + now, len: len - now });
        let mut transfer = Buffered { dma: cx.dma, buffer: &mut self.buffer };
        transfer.read_disk(unit.disk, at, now).is_ok()
    }

    fn move_by_dma(&mut self, cx: &mut DeviceCtx, n: usize, unit: &Unit, task: &Task) {
        let mut transfer = Scattered(self.bus_master.regions(cx.dma));
        let drive = &mut self.seats[n].drive;
        let outcome = if task.command == PACKET && unit.is_cd() {
            let moved = match &self.stream {
                Some(Stream { at, len }) => transfer.read_disk(unit.disk, *at, *len).map_err(|_| UNREADABLE),
                None => {
                    transfer.give(&self.buffer);
                    Ok(())
                }
            };
            packet::end(drive, task, moved)
        } else {
            ata::carry_out(drive, unit, task, &mut transfer)
        };
        let (ended, overflow) = (transfer.0.ended, transfer.0.overflow);
        if ended {
            self.bus_master.rest();
        }
        if overflow {
            // With more data than the table has room for, the host waits in vain.
            self.end(n, &outcome);
        } else {
            self.finish(n, &outcome);
        }
    }

    /// The first field that holds what no channel comes to.
    pub fn impossible(&self, units: &Units) -> Option<&'static str> {
        let unit = units[self.selected()].as_ref();
        let registers = self.control & !CONTROL_WRITABLE == 0
            && self.seats.iter().all(|seat| seat.registers.lba < 1 << 48 && seat.drive.is_possible())
            && self.bus_master.is_possible();
        if !registers {
            return Some("seats");
        }
        let waits = match self.phase {
            Phase::Busy | Phase::Chunk => self.due.is_some(),
            Phase::Dma => true,
            _ => self.due.is_none(),
        };
        let idle = self.phase == Phase::Idle;
        let somebody = self.task.as_ref().map_or(idle, |task| !idle && task.is_possible());
        let turn = self.buffer.len() <= BUFFER_MAX
            && match self.phase {
                Phase::Out | Phase::Packet => self.buffer.len() < self.end as usize,
                Phase::In => self.at < self.end && self.end as usize <= self.buffer.len(),
                _ => true,
            }
            && self.end as usize <= BUFFER_MAX
            && self.at <= self.end;
        let sectors = self.rest.is_none_or(|rest| {
            let some = rest.sectors != 0 || self.phase == Phase::In;
            some && unit.is_some_and(|unit| rest.lies_on(unit))
        });
        let stream = self.stream.as_ref().is_none_or(|Stream { at, len }| {
            let end = at.checked_add(*len);
            unit.is_some_and(|unit| end.is_some_and(|end| end <= unit.blocks() * CHUNK))
        });
        let time = self.due.is_none_or(|due| due <= crate::TIME_MAX);
        let good = waits && somebody && turn && sectors && stream && time && (idle || unit.is_some());
        (!good).then_some("phase")
    }
}

/// What a drive shows after a reset.
fn after_reset(unit: &Unit) -> Registers {
    let (lba, count) = unit.signature();
    Registers { features: 0, count, lba, status: unit.reset_status(), error: 1 }
}
