//! The 82077AA in PC/AT mode: its registers, and the phases of a command (82077AA, 2.0 and 4.0).

use super::Parts;
use super::command::{Command, LOCK};
use super::medium::RATE_250;
use super::seek::Seek;
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Drives a controller can select.
pub(super) const SELECTS: usize = 4;

const DOR_RUNS: u8 = 1 << 2;
const DOR_DMAGATE: u8 = 1 << 3;
const MSR_RQM: u8 = 1 << 7;
const MSR_DIO: u8 = 1 << 6;
const MSR_NON_DMA: u8 = 1 << 5;
const MSR_BUSY: u8 = 1 << 4;
const DSR_RESET: u8 = 1 << 7;
const RATE: u8 = 3;
const DIR_CHANGED: u8 = 1 << 7;
/// Bits of TDR nobody drives.
const TDR_OPEN: u8 = 0xfc;
/// Second byte of SPECIFY.
const NON_DMA: u8 = 1;
/// Second byte of CONFIGURE.
const IMPLIED_SEEK: u8 = 1 << 6;
const NO_FIFO: u8 = 1 << 5;
const NO_POLLING: u8 = 1 << 4;
/// GAP and WGATE of PERPENDICULAR MODE.
const GAP_AND_WGATE: u8 = 3;
const OVERWRITE: u8 = 0x80;

/// Type 82077AA, as VERSION tells.
const VERSION: u8 = 0x90;
pub(super) const ST0_ABNORMAL: u8 = 0x40;
const ST0_INVALID: u8 = 0x80;
/// A drive's ready line changed: what polling tells after a reset.
const ST0_POLLED: u8 = 0xc0;
const ST3_PROTECTED: u8 = 0x40;
const ST3_TRACK_0: u8 = 0x10;
const ST3_ALWAYS: u8 = 0x28;

/// Bytes of the longest command and result.
const COMMAND_MAX: usize = 9;
const RESULT_MAX: usize = 10;
/// Bytes of a sector.
pub(super) const SECTOR_BYTES: usize = 512;

/// Timer of the command under way, and the one of polling after a reset. Those of seeks are between.
pub(super) const TIMER_COMMAND: u16 = 0;
pub(super) const TIMER_POLL: u16 = 1 + SELECTS as u16;
/// From the end of a reset to its interrupt, ns.
const POLL_NS: u64 = 100_000;

/// What the FIFO is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) enum Phase {
    /// It takes the bytes of a command.
    Command,
    /// The controller is busy.
    Execution,
    /// The host moves the bytes of a sector.
    Transfer,
    /// It gives the result.
    Result,
}

/// A drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Drive {
    /// Cylinder its heads are over.
    pub cylinder: u8,
    /// Disk change line: up until the heads are moved with a diskette in.
    pub changed: bool,
}

/// A command that reads, writes or formats: what is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Progress {
    /// C, H, R and N of the next sector.
    pub cylinder: u8,
    pub head: u8,
    pub sector: u8,
    pub size: u8,
    /// The side that is read or written.
    pub side: u8,
    /// Sectors done.
    pub done: u8,
    /// There was an implied seek.
    pub sought: bool,
}

/// Registers. The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Controller {
    dor: u8,
    tdr: u8,
    dsr: u8,
    pub phase: Phase,
    /// Bytes of the command so far. They stay until the result was read.
    pub command: Vec<u8>,
    /// What is left of the result.
    result: Vec<u8>,
    /// Without DMA: the sector, and how many of its bytes the host has read.
    pub buffer: Vec<u8>,
    pub taken: u16,
    pub progress: Progress,
    specify: [u8; 2],
    /// Second and third byte of CONFIGURE.
    configuration: [u8; 2],
    locked: bool,
    perpendicular: u8,
    /// EOT or number of sectors of the last command, as DUMPREG shows it.
    pub last: u8,
    /// Cylinders the controller takes the drives to be at.
    pub present: [u8; SELECTS],
    pub seeks: [Option<Seek>; SELECTS],
    /// ST0 of what SENSE INTERRUPT STATUS tells.
    pub ended: [Option<u8>; SELECTS],
    pub interrupt: bool,
    pub drives: [Drive; 2],
}

impl Section for Controller {
    const KIND: &'static str = "82077aa";
    const VERSION: u32 = 1;
}

impl Controller {
    /// At power-on, with its heads somewhere and diskettes just put in.
    pub fn new() -> Self {
        Self {
            dor: 0,
            tdr: 0,
            dsr: RATE_250,
            phase: Phase::Command,
            command: Vec::new(),
            result: Vec::new(),
            buffer: Vec::new(),
            taken: 0,
            progress: Progress::default(),
            specify: [0; 2],
            configuration: [NO_FIFO, 0],
            locked: false,
            perpendicular: 0,
            last: 0,
            present: [0; SELECTS],
            seeks: [None; SELECTS],
            ended: [None; SELECTS],
            interrupt: false,
            drives: [Drive { cylinder: 0, changed: true }; 2],
        }
    }

    /// A reset of the chip by its pin: the drives stay as they are.
    pub fn reset(&mut self) {
        *self = Self { drives: self.drives, ..Self::new() };
    }

    /// A reset by DOR or DSR (82077AA, 4.2): LOCK keeps the FIFO's parameters.
    fn reset_by_software(&mut self) {
        let fresh = Self::new();
        let configuration = match self.locked {
            true => [self.configuration[0] & !(IMPLIED_SEEK | NO_POLLING), self.configuration[1]],
            false => fresh.configuration,
        };
        *self = Self {
            dor: self.dor,
            tdr: self.tdr,
            dsr: self.dsr & !DSR_RESET,
            specify: self.specify,
            configuration,
            locked: self.locked,
            perpendicular: self.perpendicular & !GAP_AND_WGATE,
            drives: self.drives,
            ..fresh
        };
    }

    pub fn runs(&self) -> bool {
        self.dor & DOR_RUNS != 0
    }

    /// Level of the interrupt pin.
    pub fn interrupts(&self) -> bool {
        self.dor & DOR_DMAGATE != 0 && (self.interrupt || self.phase == Phase::Transfer)
    }

    /// The host moves the bytes itself.
    pub fn without_dma(&self) -> bool {
        self.specify[1] & NON_DMA != 0
    }

    /// Requests reach the DMA controller.
    pub fn requests_dma(&self) -> bool {
        self.dor & DOR_DMAGATE != 0
    }

    pub fn seeks_by_itself(&self) -> bool {
        self.configuration[0] & IMPLIED_SEEK != 0
    }

    pub fn motor_runs(&self, drive: usize) -> bool {
        self.dor >> 4 >> drive & 1 != 0
    }

    /// Data rate selected.
    pub fn rate(&self) -> u8 {
        self.dsr & RATE
    }

    /// Time a byte takes on the medium, ns.
    pub fn byte_ns(&self) -> u64 {
        [16_000, 26_667, 32_000, 8_000][usize::from(self.rate())]
    }

    /// Byte `n` of the command.
    pub fn parameter(&self, n: usize) -> u8 {
        self.command.get(n).copied().unwrap_or(0)
    }

    /// The drive the command is for.
    pub fn drive(&self) -> usize {
        usize::from(self.parameter(1) & 3)
    }

    pub fn msr(&self) -> u8 {
        if !self.runs() {
            return 0;
        }
        let to_host = !Command::of(self.parameter(0)).writes();
        let phase = match self.phase {
            Phase::Command if self.command.is_empty() => MSR_RQM,
            Phase::Command => MSR_RQM | MSR_BUSY,
            Phase::Execution if self.without_dma() => MSR_BUSY | MSR_NON_DMA,
            Phase::Execution => MSR_BUSY,
            Phase::Transfer if to_host => MSR_RQM | MSR_DIO | MSR_NON_DMA | MSR_BUSY,
            Phase::Transfer => MSR_RQM | MSR_NON_DMA | MSR_BUSY,
            Phase::Result => MSR_RQM | MSR_DIO | MSR_BUSY,
        };
        (0..SELECTS).fold(phase, |msr, n| msr | u8::from(self.seeks[n].is_some()) << n)
    }

    /// Disk change line of the drive that is selected and turns.
    fn dir(&self) -> u8 {
        let selected = usize::from(self.dor & 3);
        let changed = self.drives.get(selected).is_some_and(|drive| drive.changed);
        if self.motor_runs(selected) && changed { DIR_CHANGED } else { 0 }
    }

    pub fn read(&mut self, parts: &mut Parts, port: u16) -> u8 {
        match port & 7 {
            2 => self.dor,
            3 => self.tdr | TDR_OPEN,
            4 => self.msr(),
            5 => self.read_fifo(parts),
            // A drive that is not there leaves the line low.
            7 if parts.units.len() > usize::from(self.dor & 3) => self.dir(),
            7 => 0,
            _ => 0xff,
        }
    }

    pub fn write(&mut self, parts: &mut Parts, port: u16, value: u8) {
        match port & 7 {
            2 => self.write_dor(parts, value),
            3 => self.tdr = value & 3,
            4 => self.write_dsr(parts, value),
            5 if self.runs() => self.write_fifo(parts, value),
            7 => self.dsr = self.dsr & !RATE | value & RATE,
            _ => {}
        }
    }

    fn write_dor(&mut self, parts: &mut Parts, value: u8) {
        let ran = self.runs();
        self.dor = value;
        match (ran, self.runs()) {
            (true, false) => {
                self.reset_by_software();
                parts.stop();
            }
            (false, true) => parts.arm(TIMER_POLL, POLL_NS),
            _ => {}
        }
    }

    fn write_dsr(&mut self, parts: &mut Parts, value: u8) {
        self.dsr = value & !DSR_RESET;
        if value & DSR_RESET != 0 {
            self.reset_by_software();
            parts.stop();
            if self.runs() {
                parts.arm(TIMER_POLL, POLL_NS);
            }
        }
    }

    /// Polling finds after a reset that every drive has become ready.
    pub fn poll(&mut self) {
        if self.runs() && self.configuration[0] & NO_POLLING == 0 {
            self.ended = std::array::from_fn(|drive| Some(ST0_POLLED | drive as u8));
            self.interrupt = true;
        }
    }

    fn read_fifo(&mut self, parts: &mut Parts) -> u8 {
        match self.phase {
            Phase::Result if !self.result.is_empty() => {
                self.interrupt = false;
                let byte = self.result.remove(0);
                if self.result.is_empty() {
                    self.result_is_read();
                }
                byte
            }
            Phase::Transfer => self.give_byte(parts),
            _ => 0,
        }
    }

    fn result_is_read(&mut self) {
        self.phase = Phase::Command;
        self.command.clear();
        // Several seeks may have ended.
        let is_seek = |st0: &Option<u8>| st0.is_some_and(|st0| st0 & ST0_POLLED != ST0_POLLED);
        self.interrupt |= self.ended.iter().any(is_seek);
    }

    fn write_fifo(&mut self, parts: &mut Parts, value: u8) {
        match self.phase {
            Phase::Command => {
                self.command.push(value);
                let command = Command::of(self.parameter(0));
                if self.command.len() >= command.len() {
                    self.execute(parts, command);
                }
            }
            Phase::Transfer => self.take_byte(parts, value),
            _ => {}
        }
    }

    fn execute(&mut self, parts: &mut Parts, command: Command) {
        match command {
            Command::Specify => self.specify = [self.parameter(1), self.parameter(2)],
            Command::Configure => self.configuration = [self.parameter(2) & 0x7f, self.parameter(3)],
            Command::PerpendicularMode => self.set_perpendicular(self.parameter(1)),
            Command::Recalibrate | Command::Seek | Command::RelativeSeek => self.seek(parts, command),
            Command::SenseDriveStatus => return self.answer(&[self.st3(parts)]),
            Command::SenseInterruptStatus => return self.sense_interrupt(),
            Command::DumpReg => return self.dump(),
            Command::Version => return self.answer(&[VERSION]),
            Command::Lock => {
                self.locked = self.parameter(0) & LOCK != 0;
                return self.answer(&[u8::from(self.locked) << 4]);
            }
            Command::Invalid => return self.answer(&[ST0_INVALID]),
            _ => return self.begin(parts, command),
        }
        self.command.clear();
    }

    /// Without OVERWRITE the drives' bits stay.
    fn set_perpendicular(&mut self, value: u8) {
        let drives = if value & OVERWRITE != 0 { value } else { self.perpendicular };
        self.perpendicular = drives & 0x3c | value & GAP_AND_WGATE;
    }

    /// The result of a command that ends without an interrupt.
    fn answer(&mut self, result: &[u8]) {
        self.result = result.to_vec();
        self.phase = Phase::Result;
    }

    /// A command that reads, writes or formats ends, with an interrupt.
    pub fn end(&mut self, st0: u8, st1: u8, st2: u8) {
        let Progress { cylinder, head, sector, size, side, sought, .. } = self.progress;
        let st0 = st0 | u8::from(sought) << 5 | (side & 1) << 2 | self.drive() as u8;
        self.answer(&[st0, st1, st2, cylinder, head, sector, size]);
        self.interrupt = true;
    }

    fn sense_interrupt(&mut self) {
        self.interrupt = false;
        let ended = (0..SELECTS).find_map(|n| Some((n, self.ended[n].take()?)));
        match ended {
            Some((drive, st0)) => self.answer(&[st0, self.present[drive]]),
            None => self.answer(&[ST0_INVALID]),
        }
    }

    fn st3(&self, parts: &Parts) -> u8 {
        let select = self.parameter(1) & 7;
        let unit = parts.units.get(self.drive()).zip(self.drives.get(self.drive()));
        let lines = unit.map_or(0, |(unit, drive)| {
            let protected = if unit.read_only { ST3_PROTECTED } else { 0 };
            protected | if drive.cylinder == 0 { ST3_TRACK_0 } else { 0 }
        });
        ST3_ALWAYS | lines | select
    }

    fn dump(&mut self) {
        let [p0, p1, p2, p3] = self.present;
        let [rates, load] = self.specify;
        let [configuration, precompensation] = self.configuration;
        let locked = u8::from(self.locked) << 7 | self.perpendicular;
        self.answer(&[p0, p1, p2, p3, rates, load, self.last, locked, configuration, precompensation]);
    }

    /// The first field that no controller comes to.
    pub fn impossible(&self) -> Option<(&'static str, String)> {
        let command = Command::of(self.parameter(0));
        let whole = !self.command.is_empty() && self.command.len() == command.len();
        let part = self.command.is_empty() || self.command.len() < command.len();
        let phase = match self.phase {
            Phase::Command => part,
            Phase::Execution => whole,
            Phase::Transfer if command.writes() => whole && self.buffer.len() < SECTOR_BYTES,
            Phase::Transfer => whole && usize::from(self.taken) < self.buffer.len(),
            Phase::Result => whole && !self.result.is_empty(),
        };
        if self.command.len() > COMMAND_MAX || !phase {
            return Some(("command", format!("{:x?} in phase {:?}", self.command, self.phase)));
        }
        if self.result.len() > RESULT_MAX || self.buffer.len() > SECTOR_BYTES {
            return Some(("result", "too many bytes".to_owned()));
        }
        None
    }
}
