//! What gdbstub asks of a target.

use super::debuggee::{Debuggee, processor, thread};
use super::{description, memory, monitor, registers};
use amber_cpu::Watchpoint;
use amber_cpu::state::Activity;
use amber_mmu::PagingMode;
use gdbstub::arch::{Arch, RegId, Registers};
use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use std::convert::Infallible;
use std::num::NonZeroUsize;

/// x86-64 as Amber describes it; see [`registers`].
pub enum X86 {}

impl Arch for X86 {
    type Usize = u64;
    type Registers = RegisterBytes;
    type BreakpointKind = usize;
    type RegId = RegisterNumber;
}

/// The values of all registers in the order of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegisterBytes(Vec<u8>);

impl Registers for RegisterBytes {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        let bytes = self.0.get(registers::RIP_OFFSET..registers::RIP_OFFSET + 8);
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.0.iter().for_each(|byte| write_byte(Some(*byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 = bytes.to_vec();
        Ok(())
    }
}

/// Row of the register table.
#[derive(Clone, Copy, Debug)]
pub struct RegisterNumber(usize);

impl RegId for RegisterNumber {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        Some((Self(id), None))
    }
}

impl Target for Debuggee<'_> {
    type Arch = X86;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, X86, Infallible> {
        BaseOps::MultiThread(self)
    }
    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }
    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
    fn support_target_description_xml_override(
        &mut self,
    ) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl TargetDescriptionXmlOverride for Debuggee<'_> {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        if annex != b"target.xml" {
            return Err(TargetError::NonFatal);
        }
        let xml = description::description(&self.table);
        let rest =
            usize::try_from(offset).ok().and_then(|offset| xml.as_bytes().get(offset..)).unwrap_or(&[]);
        let len = rest.len().min(length).min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl Debuggee<'_> {
    fn checked(&self, tid: Tid) -> TargetResult<usize, Self> {
        Some(processor(tid)).filter(|n| *n < self.machine.vcpus().len()).ok_or(TargetError::NonFatal)
    }

    fn read_row(&self, n: usize, row: usize, into: &mut [u8]) {
        let register = &self.table[row];
        let value = registers::read(&self.machine.vcpus()[n], register.which, self.machine.now());
        into.copy_from_slice(&value.to_le_bytes()[..register.size]);
    }

    /// Writes a register unless it already has the value: gdb writes all of them to change one.
    fn write_row(&mut self, n: usize, row: usize, from: &[u8]) {
        let register = &self.table[row];
        let mut bytes = [0; 16];
        bytes[..from.len()].copy_from_slice(from);
        let (value, now) = (u128::from_le_bytes(bytes), self.machine.now());
        if registers::read(&self.machine.vcpus()[n], register.which, now) != value {
            registers::write(self.machine.vcpu_mut(n), register.which, value, now);
        }
    }

    /// Brings what depends on registers up to date after they were written. A new CR3 brings its PDPTE registers with
    /// it (SDM Vol. 3A, 5.4.1).
    fn registers_written(&mut self, n: usize, old_cr3: u64) {
        let cpu = self.machine.vcpu_mut(n);
        cpu.derive();
        let (view, cr3) = (cpu.view(), cpu.system.cr3);
        if cr3 == old_cr3 || cpu.address_space().mode != PagingMode::Pae {
            return;
        }
        let mut entries = [[0; 8]; 4];
        for (entry, at) in entries.iter_mut().zip((cr3 & 0xFFFF_FFE0..).step_by(8)) {
            self.machine.mmu().read_physical(view, at, entry);
        }
        let cpu = self.machine.vcpu_mut(n);
        cpu.system.pdptes = entries.map(u64::from_le_bytes);
        cpu.derive();
    }
}

impl MultiThreadBase for Debuggee<'_> {
    fn read_registers(&mut self, regs: &mut RegisterBytes, tid: Tid) -> TargetResult<(), Self> {
        let n = self.checked(tid)?;
        let size = self.table.last().map_or(0, |last| last.offset + last.size);
        regs.0 = vec![0; size];
        for (row, register) in self.table.iter().enumerate() {
            self.read_row(n, row, &mut regs.0[register.offset..register.offset + register.size]);
        }
        Ok(())
    }

    fn write_registers(&mut self, regs: &RegisterBytes, tid: Tid) -> TargetResult<(), Self> {
        let n = self.checked(tid)?;
        let old_cr3 = self.machine.vcpus()[n].system.cr3;
        for row in 0..self.table.len() {
            let (offset, size) = (self.table[row].offset, self.table[row].size);
            let bytes = regs.0.get(offset..offset + size).ok_or(TargetError::NonFatal)?;
            self.write_row(n, row, bytes);
        }
        self.registers_written(n, old_cr3);
        Ok(())
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let n = self.checked(tid)?;
        match memory::read(self.machine, n, start, data) {
            0 if !data.is_empty() => Err(TargetError::NonFatal),
            done => Ok(done),
        }
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let n = self.checked(tid)?;
        memory::write(self.machine, n, start, data).ok_or(TargetError::NonFatal)
    }

    fn list_active_threads(&mut self, active: &mut dyn FnMut(Tid)) -> Result<(), Infallible> {
        (0..self.machine.vcpus().len()).for_each(|n| active(thread(n)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<Tid> for Debuggee<'_> {
    fn read_register(&mut self, tid: Tid, id: RegisterNumber, buf: &mut [u8]) -> TargetResult<usize, Self> {
        let n = self.checked(tid)?;
        let size = self.table.get(id.0).ok_or(TargetError::NonFatal)?.size;
        self.read_row(n, id.0, buf.get_mut(..size).ok_or(TargetError::NonFatal)?);
        Ok(size)
    }

    fn write_register(&mut self, tid: Tid, id: RegisterNumber, val: &[u8]) -> TargetResult<(), Self> {
        let n = self.checked(tid)?;
        if self.table.get(id.0).ok_or(TargetError::NonFatal)?.size != val.len() {
            return Err(TargetError::NonFatal);
        }
        let old_cr3 = self.machine.vcpus()[n].system.cr3;
        self.write_row(n, id.0, val);
        self.registers_written(n, old_cr3);
        Ok(())
    }
}

impl ThreadExtraInfo for Debuggee<'_> {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, Infallible> {
        let Some(cpu) = self.machine.vcpus().get(processor(tid)) else { return Ok(0) };
        let activity = match cpu.system.activity {
            Activity::Running => "running",
            Activity::Halted => "halted",
            Activity::Shutdown => "shut down",
            Activity::Waiting { .. } => "waits in MWAIT",
            Activity::Frozen => "stands before an x87 instruction",
            Activity::WaitForSipi => "waits for a start-up IPI",
        };
        let bits = cpu.code_size().bits();
        let text = format!("cpu{} {activity}, {bits}-bit, cpl {}", processor(tid), cpu.system.cpl);
        let len = text.len().min(buf.len());
        buf[..len].copy_from_slice(&text.as_bytes()[..len]);
        Ok(len)
    }
}

impl MultiThreadResume for Debuggee<'_> {
    fn resume(&mut self) -> Result<(), Infallible> {
        self.watch();
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Infallible> {
        self.stepping.clear();
        Ok(())
    }

    fn set_resume_action_continue(&mut self, tid: Tid, _signal: Option<Signal>) -> Result<(), Infallible> {
        self.stepping.remove(&processor(tid));
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

/// gdb asks for this to step over a breakpoint. The schedule is part of the machine and stays what it is: other
/// processors run in their slices.
impl MultiThreadSchedulerLocking for Debuggee<'_> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl MultiThreadSingleStep for Debuggee<'_> {
    fn set_resume_action_step(&mut self, tid: Tid, _signal: Option<Signal>) -> Result<(), Infallible> {
        self.stepping.insert(processor(tid));
        Ok(())
    }
}

impl Breakpoints for Debuggee<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }
    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }
    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Debuggee<'_> {
    fn add_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        self.soft.insert(addr);
        Ok(true)
    }
    fn remove_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.soft.remove(&addr))
    }
}

impl HwBreakpoint for Debuggee<'_> {
    fn add_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        self.hard.insert(addr);
        Ok(true)
    }
    fn remove_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.hard.remove(&addr))
    }
}

fn watchpoint(linear: u64, len: u64, kind: WatchKind) -> Watchpoint {
    let (read, write) = match kind {
        WatchKind::Write => (false, true),
        WatchKind::Read => (true, false),
        WatchKind::ReadWrite => (true, true),
    };
    Watchpoint { linear, len, read, write }
}

impl HwWatchpoint for Debuggee<'_> {
    fn add_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        // An empty range, or one that wraps around, is no range.
        let fits = len != 0 && addr.checked_add(len).is_some();
        Ok(fits && self.watchpoints.insert(watchpoint(addr, len, kind)))
    }
    fn remove_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(self.watchpoints.remove(&watchpoint(addr, len, kind)))
    }
}

impl MonitorCmd for Debuggee<'_> {
    fn handle_monitor_cmd(&mut self, cmd: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), Infallible> {
        let answer = monitor::answer(self.machine, &String::from_utf8_lossy(cmd));
        out.write_raw(answer.as_bytes());
        Ok(())
    }
}
