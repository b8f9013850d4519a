//! Commands that find sectors: they read, write, verify and format, sector by sector (82077AA, 5.1).

use super::Parts;
use super::command::{Command, MFM, MULTI_TRACK, SKIP};
use super::controller::{Controller, Phase, Progress, SECTOR_BYTES, ST0_ABNORMAL, TIMER_COMMAND};
use super::seek::STEP_NS;
use crate::i8237::Direction;

const ST1_END_OF_CYLINDER: u8 = 0x80;
const ST1_DATA_ERROR: u8 = 0x20;
const ST1_OVERRUN: u8 = 0x10;
const ST1_NO_DATA: u8 = 0x04;
const ST1_NOT_WRITABLE: u8 = 0x02;
const ST1_MISSING_ADDRESS_MARK: u8 = 0x01;
const ST2_CONTROL_MARK: u8 = 0x40;
const ST2_DATA_ERROR: u8 = 0x20;
const ST2_WRONG_CYLINDER: u8 = 0x10;

/// N of sectors of 512 bytes, the only ones there are.
const SIZE_512: u8 = 2;
/// Bytes FORMAT TRACK takes for a sector: C, H, R and N.
const FORMAT_BYTES: usize = 4;
/// DMA channel of the controller.
const CHANNEL: usize = 2;
/// VERIFY ends after as many sectors as its last byte says.
const VERIFY_COUNTS: u8 = 0x80;

/// Why a command ends abnormally: ST1 and ST2.
type Fault = (u8, u8);

const NO_MEDIUM: Fault = (ST1_MISSING_ADDRESS_MARK, 0);
const MEDIUM_ERROR: Fault = (ST1_DATA_ERROR, ST2_DATA_ERROR);

impl Controller {
    fn kind(&self) -> Command {
        Command::of(self.parameter(0))
    }

    fn flag(&self, bit: u8) -> bool {
        self.parameter(0) & bit != 0
    }

    /// A command begins, with the heads moved if it implies that.
    pub fn begin(&mut self, parts: &mut Parts, command: Command) {
        let (drive, side) = (self.drive(), self.parameter(1) >> 2 & 1);
        let present = self.present[drive];
        self.progress = match command {
            Command::ReadId => Progress { cylinder: present, head: side, side, ..Progress::default() },
            Command::FormatTrack => Progress {
                cylinder: present,
                head: side,
                size: self.parameter(2),
                side,
                ..Progress::default()
            },
            _ => Progress {
                cylinder: self.parameter(2),
                head: self.parameter(3),
                // READ TRACK begins behind the index hole.
                sector: if command == Command::ReadTrack { 1 } else { self.parameter(4) },
                size: self.parameter(5),
                side,
                ..Progress::default()
            },
        };
        match command {
            Command::ReadId => {}
            Command::FormatTrack => self.last = self.parameter(3),
            _ => self.last = self.parameter(6),
        }
        let target = self.progress.cylinder;
        let mut seek_ns = 0;
        if self.seeks_by_itself() && present != target {
            seek_ns = u64::from(present.abs_diff(target)) * STEP_NS;
            self.move_heads(parts, drive, target);
            self.progress.sought = true;
        }
        self.next_sector(parts, seek_ns);
    }

    /// Goes on to the next sector: without DMA the host brings what is written there first.
    fn next_sector(&mut self, parts: &mut Parts, ns: u64) {
        (self.buffer, self.taken) = (Vec::new(), 0);
        if self.kind().writes() && self.without_dma() && !self.formats_nothing() && self.find(parts).is_ok() {
            self.phase = Phase::Transfer;
        } else {
            self.busy(parts, ns);
        }
    }

    fn formats_nothing(&self) -> bool {
        self.kind() == Command::FormatTrack && self.parameter(3) == 0
    }

    /// The time until the sector has passed under the head.
    fn busy(&mut self, parts: &mut Parts, ns: u64) {
        self.phase = Phase::Execution;
        parts.arm(TIMER_COMMAND, ns + self.byte_ns() * SECTOR_BYTES as u64);
    }

    /// The host reads a byte of a sector.
    pub fn give_byte(&mut self, parts: &mut Parts) -> u8 {
        if self.kind().writes() {
            return 0;
        }
        let byte = self.buffer.get(usize::from(self.taken)).copied().unwrap_or(0);
        self.taken = self.taken.saturating_add(1);
        if usize::from(self.taken) >= self.buffer.len() {
            self.advance(parts, false);
        }
        byte
    }

    /// The host writes a byte of a sector.
    pub fn take_byte(&mut self, parts: &mut Parts, value: u8) {
        let kind = self.kind();
        if !kind.writes() {
            return;
        }
        self.buffer.push(value);
        let wanted = if kind == Command::FormatTrack { FORMAT_BYTES } else { SECTOR_BYTES };
        if self.buffer.len() >= wanted {
            self.busy(parts, 0);
        }
    }

    /// A sector has passed under the head.
    pub fn land(&mut self, parts: &mut Parts) {
        if self.phase != Phase::Execution {
            return;
        }
        let done = match self.kind() {
            Command::ReadId => self.read_id(parts),
            kind if kind.writes() => self.write_sector(parts),
            _ => self.read_sector(parts),
        };
        if let Err((st1, st2)) = done {
            self.end(ST0_ABNORMAL, st1, st2);
        }
    }

    /// Where in the image the next sector is. FORMAT TRACK looks for none, and finds the track's first.
    fn find(&self, parts: &Parts) -> Result<u64, Fault> {
        let select = self.drive();
        let found = parts.units.get(select).zip(self.drives.get(select));
        let (unit, drive) = found.filter(|_| self.motor_runs(select)).ok_or(NO_MEDIUM)?;
        let (medium, side) = (unit.medium.ok_or(NO_MEDIUM)?, self.progress.side);
        let first = medium.position(drive.cylinder, side, 1).ok_or(NO_MEDIUM)?;
        if self.rate() != medium.rate || !self.flag(MFM) {
            return Err(NO_MEDIUM);
        }
        if self.kind().writes() && unit.read_only {
            return Err((ST1_NOT_WRITABLE, 0));
        }
        if matches!(self.kind(), Command::FormatTrack | Command::ReadId) {
            return Ok(first);
        }
        let Progress { cylinder, head, sector, size, .. } = self.progress;
        if cylinder != drive.cylinder {
            return Err((ST1_NO_DATA, ST2_WRONG_CYLINDER));
        }
        let here = medium.position(cylinder, side, sector).filter(|_| head == side && size == SIZE_512);
        here.ok_or((ST1_NO_DATA, 0))
    }

    /// The sector that comes next is the one the time says.
    fn read_id(&mut self, parts: &mut Parts) -> Result<(), Fault> {
        self.find(parts)?;
        let select = self.drive();
        let turned = parts.cx.now() / (self.byte_ns() * SECTOR_BYTES as u64);
        let medium = parts.units.get(select).and_then(|unit| unit.medium);
        if let Some((medium, drive)) = medium.zip(self.drives.get(select)) {
            self.progress.cylinder = drive.cylinder;
            self.progress.sector = (turned % u64::from(medium.sectors)) as u8 + 1;
            self.progress.size = SIZE_512;
        }
        self.end(0, 0, 0);
        Ok(())
    }

    fn read_sector(&mut self, parts: &mut Parts) -> Result<(), Fault> {
        let at = self.find(parts)?;
        let mut bytes = vec![0; SECTOR_BYTES];
        let disk = parts.units[self.drive()].disk;
        parts.cx.dma.read_disk(disk, at, &mut bytes).map_err(|_| MEDIUM_ERROR)?;
        let kind = self.kind();
        // An image has no sectors that are marked as deleted.
        if kind == Command::Verify || kind == Command::ReadDeletedData && self.flag(SKIP) {
            self.advance(parts, false);
        } else if self.without_dma() {
            (self.buffer, self.phase) = (bytes, Phase::Transfer);
        } else {
            let terminal_count = self.move_by_dma(parts, Direction::ToMemory, &mut bytes)?;
            self.advance(parts, terminal_count);
        }
        Ok(())
    }

    fn write_sector(&mut self, parts: &mut Parts) -> Result<(), Fault> {
        let at = self.find(parts)?;
        let formats = self.kind() == Command::FormatTrack;
        if self.formats_nothing() {
            self.end(0, 0, 0);
            return Ok(());
        }
        // What is missing after the terminal count is zeroes.
        let mut bytes = std::mem::take(&mut self.buffer);
        let mut terminal_count = false;
        if !self.without_dma() {
            bytes = vec![0; if formats { FORMAT_BYTES } else { SECTOR_BYTES }];
            terminal_count = self.move_by_dma(parts, Direction::FromMemory, &mut bytes)?;
        }
        let drive = self.drive();
        if formats {
            self.format_sector(parts, &bytes)?;
        } else {
            bytes.resize(SECTOR_BYTES, 0);
            parts.cx.dma.write_disk(parts.units[drive].disk, at, &bytes).map_err(|_| MEDIUM_ERROR)?;
        }
        self.advance(parts, terminal_count);
        Ok(())
    }

    /// Fills the sector that the host named. One that the image has no place for, because it is formatted otherwise, is lost.
    fn format_sector(&mut self, parts: &mut Parts, id: &[u8]) -> Result<(), Fault> {
        let (select, fill) = (self.drive(), self.parameter(5));
        let found = parts.units.get(select).zip(self.drives.get(select));
        let (unit, drive) = found.ok_or(NO_MEDIUM)?;
        let &[cylinder, head, sector, SIZE_512] = id else { return Ok(()) };
        if (cylinder, head) != (drive.cylinder, self.progress.side) {
            return Ok(());
        }
        let medium = unit.medium.ok_or(NO_MEDIUM)?;
        let Some(at) = medium.position(cylinder, head, sector) else { return Ok(()) };
        parts.cx.dma.write_disk(unit.disk, at, &[fill; SECTOR_BYTES]).map_err(|_| MEDIUM_ERROR)
    }

    /// Moves the bytes of a sector; whether that was the terminal count. A channel that is not there in time is an overrun.
    fn move_by_dma(&self, parts: &mut Parts, direction: Direction, bytes: &mut [u8]) -> Result<bool, Fault> {
        let overrun = Err((ST1_OVERRUN, 0));
        if !self.requests_dma() {
            return overrun;
        }
        let served = parts.dma.serve(parts.cx.dma, CHANNEL, direction, bytes);
        if served.bytes < bytes.len() && !served.terminal_count { overrun } else { Ok(served.terminal_count) }
    }

    /// A sector is done: the command ends or goes on (82077AA, table 5-5).
    fn advance(&mut self, parts: &mut Parts, terminal_count: bool) {
        self.progress.done = self.progress.done.wrapping_add(1);
        let kind = self.kind();
        let (done, count) = (self.progress.done, self.parameter(8));
        if kind == Command::FormatTrack {
            return match terminal_count || done >= self.parameter(3) {
                true => self.end(0, 0, 0),
                false => self.next_sector(parts, 0),
            };
        }
        if kind == Command::ReadDeletedData && !self.flag(SKIP) {
            return self.end(0, 0, ST2_CONTROL_MARK);
        }
        let at_end = self.turn_over();
        let counted = kind == Command::Verify && self.parameter(1) & VERIFY_COUNTS != 0 && done == count;
        if terminal_count || counted {
            self.end(0, 0, 0);
        } else if at_end {
            self.end(ST0_ABNORMAL, ST1_END_OF_CYLINDER, 0);
        } else {
            self.next_sector(parts, 0);
        }
    }

    /// Counts to the next sector; whether the last one was the last of the cylinder.
    fn turn_over(&mut self) -> bool {
        let (end, many) = (self.parameter(6), self.flag(MULTI_TRACK) && self.kind() != Command::ReadTrack);
        let progress = &mut self.progress;
        if progress.sector != end {
            progress.sector = progress.sector.wrapping_add(1);
            return false;
        }
        progress.sector = 1;
        if many {
            progress.head ^= 1;
        }
        if many && progress.side == 0 {
            progress.side = 1;
            return false;
        }
        progress.cylinder = progress.cylinder.wrapping_add(1);
        true
    }
}
