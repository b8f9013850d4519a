//! Hardware task switches (SDM Vol. 3A, chapter 7).

use super::segment::{GP, NP, TS};
use crate::descriptor::{Descriptor, index, is_null, system_type as st};
use crate::exec::{Cx, Exec, Fault};
use crate::flags::{Flags, bit};
use crate::state::{Segment, ar, cr, seg};

/// What asks for a task switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Jump,
    Call,
    /// IRET with NT set.
    Return,
    /// An exception or interrupt through a task gate; the RIP to save.
    Interrupt {
        rip: u64,
    },
}

/// The dynamic part of a TSS.
#[derive(Clone, Copy, Debug, Default)]
struct Tss {
    cr3: u32,
    eip: u32,
    eflags: u32,
    gpr: [u32; 8],
    seg: [u16; 6],
    ldt: u16,
    trap: bool,
}

const BUSY: u32 = 2;

impl Cx<'_> {
    /// Switches to the task whose TSS `selector` names.
    pub fn task_switch(&mut self, selector: u16, reason: Reason) -> Exec {
        let returning = reason == Reason::Return;
        let vector = if returning { TS } else { GP };
        if selector & 4 != 0 || is_null(selector) {
            return Err(self.raise_code(vector, index(selector)));
        }
        let found = self.descriptor(selector, vector)?;
        let wanted = if returning { BUSY } else { 0 };
        let is_tss =
            found.is_system() && matches!(found.kind() & !BUSY, st::TSS16_AVAILABLE | st::TSS_AVAILABLE);
        if !is_tss || found.kind() & BUSY != wanted {
            return Err(self.raise_code(vector, index(selector)));
        }
        if !found.present() {
            return Err(self.raise_code(NP, index(selector)));
        }
        let wide = found.kind() & 8 != 0;
        if found.limit() < if wide { 0x67 } else { 0x2B } {
            return Err(self.raise_code(TS, index(selector)));
        }
        let new = self.read_tss(found.base(), wide)?;
        let link = self.cpu.system.tr.selector;
        self.save_task(reason)?;
        if matches!(reason, Reason::Jump | Reason::Return) {
            self.mark_task_busy(link, false)?;
        }
        let nested = matches!(reason, Reason::Call | Reason::Interrupt { .. });
        if nested {
            self.store_system(found.base(), link)?;
        }
        if !returning {
            self.mark_busy(found.linear, true)?;
        }
        self.load_task(&new, selector, &found, nested)
    }

    /// IRET with NT set: back to the task the current TSS links to.
    pub fn task_return(&mut self) -> Exec {
        let base = self.cpu.system.tr.base;
        let link = self.load_system::<u16>(base)?;
        self.task_switch(link, Reason::Return)
    }

    fn mark_task_busy(&mut self, selector: u16, busy: bool) -> Exec {
        let found = self.descriptor(selector, TS)?;
        self.mark_busy(found.linear, busy)
    }

    fn read_tss(&mut self, base: u64, wide: bool) -> Result<Tss, Fault> {
        let mut tss = Tss::default();
        let at = |offset: u64| base.wrapping_add(offset);
        if wide {
            tss.cr3 = self.load_system(at(0x1C))?;
            tss.eip = self.load_system(at(0x20))?;
            tss.eflags = self.load_system(at(0x24))?;
            for n in 0..8 {
                tss.gpr[n] = self.load_system(at(0x28 + 4 * n as u64))?;
            }
            for n in 0..6 {
                tss.seg[n] = self.load_system(at(0x48 + 4 * n as u64))?;
            }
            tss.ldt = self.load_system(at(0x60))?;
            tss.trap = self.load_system::<u16>(at(0x64))? & 1 != 0;
            return Ok(tss);
        }
        tss.eip = u32::from(self.load_system::<u16>(at(0x0E))?);
        tss.eflags = u32::from(self.load_system::<u16>(at(0x10))?);
        for n in 0..8 {
            tss.gpr[n] = u32::from(self.load_system::<u16>(at(0x12 + 2 * n as u64))?);
        }
        for n in 0..4 {
            tss.seg[n] = self.load_system(at(0x22 + 2 * n as u64))?;
        }
        tss.ldt = self.load_system(at(0x2A))?;
        Ok(tss)
    }

    /// Saves the outgoing task in its TSS.
    fn save_task(&mut self, reason: Reason) -> Exec {
        let base = self.cpu.system.tr.base;
        let at = |offset: u64| base.wrapping_add(offset);
        let rip = match reason {
            Reason::Interrupt { rip } => rip,
            _ => self.cpu.task_return_rip(),
        };
        let mut flags = self.cpu.flags.bits();
        if reason == Reason::Return {
            flags &= !bit::NT;
        }
        if self.cpu.task_is_32_bit() {
            self.store_system(at(0x20), rip as u32)?;
            self.store_system(at(0x24), flags as u32)?;
            for n in 0..8 {
                self.store_system(at(0x28 + 4 * n as u64), self.cpu.gpr[n] as u32)?;
            }
            for n in 0..6 {
                self.store_system(at(0x48 + 4 * n as u64), self.cpu.system.seg[n].selector)?;
            }
            return Ok(());
        }
        self.store_system(at(0x0E), rip as u16)?;
        self.store_system(at(0x10), flags as u16)?;
        for n in 0..8 {
            self.store_system(at(0x12 + 2 * n as u64), self.cpu.gpr[n] as u16)?;
        }
        for n in 0..4 {
            self.store_system(at(0x22 + 2 * n as u64), self.cpu.system.seg[n].selector)?;
        }
        Ok(())
    }

    /// Loads the incoming task. From here on faults belong to the new task.
    fn load_task(&mut self, new: &Tss, selector: u16, found: &Descriptor, nested: bool) -> Exec {
        let wide = found.kind() & 8 != 0;
        let mut tr = found.segment(selector);
        tr.access |= BUSY;
        self.cpu.system.tr = tr;
        self.cpu.system.cr0 |= cr::CR0_TS;
        self.cpu.system.dr7 &= !0x155;
        if wide && self.cpu.system.cr0 & cr::CR0_PG != 0 {
            self.cpu.system.cr3 = u64::from(new.cr3);
            if self.cpu.system.cr4 & cr::CR4_PAE != 0 {
                self.load_pdptes(u64::from(new.cr3))?;
            }
            self.cpu.paging_changed();
        }
        let mut flags = u64::from(new.eflags);
        if !wide {
            flags |= self.cpu.flags.bits() & 0xFFFF_0000 & !bit::VM;
        }
        self.cpu.flags = Flags::from_bits(if nested { flags | bit::NT } else { flags });
        // A 16-bit TSS leaves the upper halves undefined; they become ones, as on the 386.
        let upper = if wide { 0 } else { 0xFFFF_0000 };
        for n in 0..8 {
            self.cpu.gpr[n] = u64::from(new.gpr[n]) | upper;
        }
        self.cpu.rip = u64::from(new.eip);
        self.cpu.task_committed();
        for n in 0..6 {
            let unusable = Segment { selector: new.seg[n], base: 0, limit: 0, access: ar::UNUSABLE };
            self.cpu.system.seg[n] = unusable;
        }
        self.cpu.system.cpl = new.seg[seg::CS] as u8 & 3;
        if self.cpu.flags.has(bit::VM) {
            self.cpu.system.cpl = 3;
        }
        self.cpu.mode_changed();
        self.cpu.flags_changed();
        self.recheck();
        self.load_task_segments(new)?;
        self.cpu.fault_rip = None;
        if new.trap {
            self.cpu.system.pending.debug |= 1 << 15;
        }
        Ok(())
    }

    fn load_task_segments(&mut self, new: &Tss) -> Exec {
        self.load_ldt(new.ldt, TS)?;
        if self.cpu.flags.has(bit::VM) {
            for n in 0..6 {
                self.cpu.system.seg[n] = Segment { access: 0xF3, ..Segment::real(new.seg[n]) };
            }
            self.cpu.mode_changed();
            return Ok(());
        }
        let cs = new.seg[seg::CS];
        if is_null(cs) {
            return Err(self.raise_code(TS, 0));
        }
        let mut code = self.descriptor(cs, TS)?;
        let rpl = cs as u8 & 3;
        let privileged = if code.is_conforming() { code.dpl() <= rpl } else { code.dpl() == rpl };
        if !code.is_code() || !privileged {
            return Err(self.raise_code(TS, index(cs)));
        }
        if !code.present() {
            return Err(self.raise_code(NP, index(cs)));
        }
        self.mark_accessed(&mut code)?;
        self.cpu.system.seg[seg::CS] = code.segment(cs);
        self.cpu.mode_changed();
        let stack = self.stack_segment(new.seg[seg::SS], rpl, TS)?;
        self.cpu.system.seg[seg::SS] = stack;
        self.cpu.mode_changed();
        for register in [seg::ES, seg::DS, seg::FS, seg::GS] {
            self.load_segment(register, new.seg[register]).inspect_err(|_| {
                let raised = &mut self.cpu.raised;
                if raised.vector == GP {
                    raised.vector = TS;
                }
            })?;
        }
        if self.cpu.rip > u64::from(self.cpu.system.seg[seg::CS].limit) {
            return Err(self.gp(0));
        }
        Ok(())
    }

    /// Loads LDTR as LLDT and task switches do; `vector` is what a bad selector raises.
    pub fn load_ldt(&mut self, selector: u16, vector: u8) -> Exec {
        if is_null(selector) {
            self.cpu.system.ldtr = Segment { selector, base: 0, limit: 0, access: ar::UNUSABLE };
            return Ok(());
        }
        if selector & 4 != 0 {
            return Err(self.raise_code(vector, index(selector)));
        }
        let mut found = self.descriptor(selector, vector)?;
        if !found.is_system() || found.kind() != st::LDT {
            return Err(self.raise_code(vector, index(selector)));
        }
        if !found.present() {
            let missing = if vector == TS { TS } else { NP };
            return Err(self.raise_code(missing, index(selector)));
        }
        if self.cpu.long_mode() {
            found = self.widen_segment(selector, found, vector)?;
        }
        self.cpu.system.ldtr = found.segment(selector);
        Ok(())
    }
}
