//! Model-specific registers (SDM Vol. 4, table 2-2).

use crate::apic::{BASE_ENABLE, BASE_X2, Wish, x2apic_writable};
use crate::cpuid::{TSC_HZ, feature};
use crate::exec::{Cx, Exec, Fault, is_canonical};
use crate::state::{cr, seg};
use amber_mmu::Backing;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Registers that are only stored, and those the rest of the CPU reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Msrs {
    /// Added to virtual time to give the TSC.
    pub tsc_offset: u64,
    pub tsc_aux: u32,
    pub tsc_deadline: u64,
    pub sysenter_cs: u32,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub sfmask: u64,
    pub kernel_gs_base: u64,
    pub pat: u64,
    pub misc_enable: u64,
    pub mtrr_def_type: u64,
    pub mtrr_fixed: [u64; 11],
    pub mtrr_variable: [u64; 16],
    pub feature_control: u64,
    pub debugctl: u64,
    pub mcg_status: u64,
    pub microcode: u32,
}

impl Msrs {
    /// After power-up.
    pub fn reset() -> Self {
        Self {
            pat: 0x0007_0406_0007_0406,
            misc_enable: 1 | ENABLE_MONITOR_FSM,
            feature_control: 1,
            ..Self::default()
        }
    }
}

const IA32_TSC: u32 = 0x10;
const IA32_APIC_BASE: u32 = 0x1B;
const IA32_TSC_DEADLINE: u32 = 0x6E0;
const EFER: u32 = 0xC000_0080;
/// IA32_MISC_ENABLE: MONITOR and MWAIT are there.
pub(crate) const ENABLE_MONITOR_FSM: u64 = 1 << 18;

/// IA32_MISC_ENABLE bits that can be written: fast strings, thermal control, performance monitoring, BTS and PEBS
/// unavailable, SpeedStep, MONITOR, limit CPUID, xTPR, no XD, no turbo.
const MISC_ENABLE: u64 = 1
    | 1 << 3
    | 1 << 7
    | 1 << 11
    | 1 << 12
    | 1 << 16
    | ENABLE_MONITOR_FSM
    | 1 << 22
    | 1 << 23
    | 1 << 34
    | 1 << 38;
/// APIC registers, as offsets from MSR 800H.
const ICR: u32 = 0x30;
const LVT_TIMER: u32 = 0x32;
const FIXED: [u32; 11] = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26A, 0x26B, 0x26C, 0x26D, 0x26E, 0x26F];
/// Variable-range MTRRs: IA32_MTRRCAP.VCNT.
const VARIABLE: u32 = 8;

impl Cx<'_> {
    /// The time-stamp counter.
    pub fn tsc(&self) -> u64 {
        const { assert!(TSC_HZ == 1_000_000_000, "the TSC counts ns") };
        self.now().wrapping_add(self.cpu.system.msrs.tsc_offset)
    }

    /// RDMSR. `Err` raises #GP(0) for what this model does not have.
    pub fn rdmsr(&mut self, index: u32) -> Result<u64, Fault> {
        let system = &self.cpu.system;
        let msrs = &system.msrs;
        Ok(match index {
            IA32_TSC => self.tsc(),
            0x17 | 0x34 => 0,
            IA32_APIC_BASE => self.cpu.apic.base,
            0x3A => msrs.feature_control,
            0x8B => u64::from(msrs.microcode) << 32,
            // MTRRCAP: fixed ranges, write-combining.
            0xFE => u64::from(VARIABLE) | 1 << 8 | 1 << 10,
            0x10A => self.cpu.model.arch_capabilities,
            0x174 => u64::from(msrs.sysenter_cs),
            0x175 => msrs.sysenter_esp,
            0x176 => msrs.sysenter_eip,
            0x179 => 0,
            0x17A => msrs.mcg_status,
            0x1A0 => msrs.misc_enable,
            0x1D9 => msrs.debugctl,
            0x200..=0x20F => msrs.mtrr_variable[index as usize - 0x200],
            0x277 => msrs.pat,
            0x2FF => msrs.mtrr_def_type,
            IA32_TSC_DEADLINE if !self.has_tsc_deadline() => return Err(self.unknown_msr(index)),
            // Reads as 0 once the timer has fired (SDM 11.5.4.1).
            IA32_TSC_DEADLINE if !self.cpu.apic.deadline_armed() => 0,
            IA32_TSC_DEADLINE => msrs.tsc_deadline,
            0x800..=0x8FF => return self.x2apic_read(index),
            EFER => system.efer,
            0xC000_0081 => msrs.star,
            0xC000_0082 => msrs.lstar,
            0xC000_0083 => msrs.cstar,
            0xC000_0084 => msrs.sfmask,
            0xC000_0100 => system.seg[seg::FS].base,
            0xC000_0101 => system.seg[seg::GS].base,
            0xC000_0102 => msrs.kernel_gs_base,
            0xC000_0103 => u64::from(msrs.tsc_aux),
            _ => match FIXED.iter().position(|fixed| *fixed == index) {
                Some(i) => msrs.mtrr_fixed[i],
                None => return Err(self.unknown_msr(index)),
            },
        })
    }

    fn unknown_msr(&mut self, index: u32) -> Fault {
        tracing::debug!(target: "msr", "MSR {index:#x} does not exist: #GP(0)");
        self.gp(0)
    }

    /// WRMSR.
    pub fn wrmsr(&mut self, index: u32, value: u64) -> Exec {
        let msrs = &mut self.cpu.system.msrs;
        match index {
            IA32_TSC => self.write_tsc(value),
            IA32_APIC_BASE => self.write_apic_base(value)?,
            0x3A if msrs.feature_control & 1 == 0 => msrs.feature_control = value & 7,
            0x8B => {}
            0x79 => {}
            0x174 => msrs.sysenter_cs = value as u32,
            0x175 => self.cpu.system.msrs.sysenter_esp = self.canonical_value(value)?,
            0x176 => self.cpu.system.msrs.sysenter_eip = self.canonical_value(value)?,
            0x17A => msrs.mcg_status = value & 7,
            0x1A0 => self.cpu.system.msrs.misc_enable = self.without_reserved(value, MISC_ENABLE)?,
            0x1D9 => self.cpu.system.msrs.debugctl = self.without_reserved(value, 3)?,
            0x200..=0x20F => self.write_variable_mtrr(index, value)?,
            0x277 => self.write_pat(value)?,
            0x2FF => {
                self.memory_types(value, 1)?;
                self.cpu.system.msrs.mtrr_def_type = self.without_reserved(value, 0xCFF)?;
            }
            IA32_TSC_DEADLINE => self.write_tsc_deadline(value)?,
            0x800..=0x8FF => self.x2apic_write(index, value)?,
            EFER => self.write_efer(value)?,
            0xC000_0081 => msrs.star = value,
            0xC000_0082 => self.cpu.system.msrs.lstar = self.canonical_value(value)?,
            0xC000_0083 => self.cpu.system.msrs.cstar = self.canonical_value(value)?,
            0xC000_0084 => self.cpu.system.msrs.sfmask = self.without_reserved(value, 0xFFFF_FFFF)?,
            0xC000_0100 => self.write_segment_base(seg::FS, value)?,
            0xC000_0101 => self.write_segment_base(seg::GS, value)?,
            0xC000_0102 => self.cpu.system.msrs.kernel_gs_base = self.canonical_value(value)?,
            0xC000_0103 => self.cpu.system.msrs.tsc_aux = self.without_reserved(value, 0xFFFF_FFFF)? as u32,
            _ => match FIXED.iter().position(|fixed| *fixed == index) {
                Some(i) => {
                    self.memory_types(value, 8)?;
                    self.cpu.system.msrs.mtrr_fixed[i] = value;
                }
                None => return Err(self.unknown_msr(index)),
            },
        }
        Ok(())
    }

    fn canonical_value(&mut self, value: u64) -> Result<u64, Fault> {
        if is_canonical(value) { Ok(value) } else { Err(self.gp(0)) }
    }

    /// `value`, or #GP(0) if it has other bits than `writable`.
    fn without_reserved(&mut self, value: u64, writable: u64) -> Result<u64, Fault> {
        if value & !writable == 0 { Ok(value) } else { Err(self.gp(0)) }
    }

    /// #GP(0) unless the low `count` bytes are memory types that an MTRR can give (SDM table 12-8).
    fn memory_types(&mut self, value: u64, count: usize) -> Exec {
        let known = value.to_le_bytes()[..count].iter().all(|kind| matches!(kind, 0 | 1 | 4..=6));
        if known { Ok(()) } else { Err(self.gp(0)) }
    }

    fn write_variable_mtrr(&mut self, index: u32, value: u64) -> Exec {
        let address = (1u64 << self.cpu.model.physical_bits) - 1 & !0xFFF;
        // Base and type in even registers; mask and valid bit in odd ones.
        let writable = if index & 1 == 0 { address | 0xFF } else { address | 1 << 11 };
        let value = self.without_reserved(value, writable)?;
        if index & 1 == 0 {
            self.memory_types(value, 1)?;
        }
        self.cpu.system.msrs.mtrr_variable[index as usize - 0x200] = value;
        Ok(())
    }

    /// WRMSR or WRFSBASE/WRGSBASE.
    pub fn write_segment_base(&mut self, segment: usize, value: u64) -> Exec {
        let base = self.canonical_value(value)?;
        self.cpu.system.seg[segment].base = base;
        self.cpu.segments_changed();
        Ok(())
    }

    fn write_pat(&mut self, value: u64) -> Exec {
        if value.to_le_bytes().iter().any(|kind| !matches!(kind, 0 | 1 | 4..=7)) {
            return Err(self.gp(0));
        }
        self.cpu.system.msrs.pat = value;
        Ok(())
    }

    fn write_efer(&mut self, value: u64) -> Exec {
        let efer = self.cpu.system.efer;
        let toggles_lme = (value ^ efer) & cr::EFER_LME != 0;
        if value & !cr::EFER_BITS != 0 || toggles_lme && self.cpu.system.cr0 & cr::CR0_PG != 0 {
            return Err(self.gp(0));
        }
        self.cpu.system.efer = value & !cr::EFER_LMA | efer & cr::EFER_LMA;
        self.cpu.paging_changed();
        Ok(())
    }

    fn write_tsc_deadline(&mut self, value: u64) -> Exec {
        if !self.has_tsc_deadline() {
            return Err(self.unknown_msr(IA32_TSC_DEADLINE));
        }
        if self.cpu.apic.deadline_mode() {
            self.cpu.system.msrs.tsc_deadline = value;
            self.arm_deadline();
        }
        Ok(())
    }

    /// Arms the timer for when the TSC reaches the deadline; at once if it has. A deadline of 0 disarms it.
    fn arm_deadline(&mut self) {
        let deadline = self.cpu.system.msrs.tsc_deadline;
        let at = self.now().saturating_add(deadline.saturating_sub(self.tsc()));
        self.cpu.apic.set_deadline((deadline != 0).then_some(at));
        self.apic_changed();
    }

    fn write_tsc(&mut self, value: u64) {
        self.cpu.system.msrs.tsc_offset = value.wrapping_sub(self.now());
        if self.cpu.apic.deadline_armed() {
            self.arm_deadline();
        }
    }

    fn has_tsc_deadline(&self) -> bool {
        self.cpu.model.features_1_ecx & feature::TSC_DEADLINE != 0
    }

    fn write_apic_base(&mut self, value: u64) -> Exec {
        let bits = self.cpu.model.physical_bits;
        let x2 = value & BASE_X2 != 0;
        if x2 && self.cpu.model.features_1_ecx & feature::X2APIC == 0 {
            return Err(self.gp(0));
        }
        let page = value & !0xFFF & ((1 << bits) - 1);
        let backing = self.mmu.map(self.cpu.view).lookup(page);
        if value & BASE_ENABLE != 0 && !x2 && backing != (Backing::Device, Backing::Device) {
            tracing::debug!(target: "msr", "no local APIC at {page:#x}, where memory is: #GP(0)");
            return Err(self.gp(0));
        }
        if !self.cpu.apic.set_base(value, bits) {
            return Err(self.gp(0));
        }
        self.apic_changed();
        Ok(())
    }

    // ---- APIC access ----

    fn x2apic_read(&mut self, index: u32) -> Result<u64, Fault> {
        let register = index - 0x800;
        let readable = matches!(register,
            0x02 | 0x03 | 0x08 | 0x0A | 0x0D | 0x0F | 0x10..=0x28 | 0x30 | 0x32..=0x39 | 0x3E);
        if !self.cpu.apic.x2apic() || !readable {
            return Err(self.gp(0));
        }
        let now = self.now();
        Ok(if register == ICR { self.cpu.apic.icr() } else { u64::from(self.cpu.apic.read(register, now)) })
    }

    fn x2apic_write(&mut self, index: u32, value: u64) -> Exec {
        let register = index - 0x800;
        let Some(writable) = x2apic_writable(register).filter(|_| self.cpu.apic.x2apic()) else {
            return Err(self.gp(0));
        };
        // The upper half of ICR is the destination.
        let low = if register == ICR { value & 0xFFFF_FFFF } else { value };
        self.without_reserved(low, u64::from(writable & self.timer_modes(register)))?;
        let now = self.now();
        let wish = match register {
            ICR => self.cpu.apic.write_icr(value),
            // SELF IPI.
            0x3F => {
                let own = u64::from(self.cpu.apic.id()) << 32;
                let before = self.cpu.apic.icr();
                let wish = self.cpu.apic.write_icr(own | 1 << 18 | value & 0xFF);
                self.cpu.apic.restore_icr(before);
                wish
            }
            _ => self.cpu.apic.write(register, value as u32, now),
        };
        self.grant(wish);
        Ok(())
    }

    /// Bits of a register that this model may have: TSC-deadline mode in the timer's LVT entry is optional.
    fn timer_modes(&self, register: u32) -> u32 {
        if register == LVT_TIMER && !self.has_tsc_deadline() { !(1 << 18) } else { !0 }
    }

    /// Reads the APIC page; registers are 32 bits at 16-byte steps.
    pub(crate) fn apic_mmio_read(&mut self, offset: u64, size: u8) -> u64 {
        let now = self.now();
        let value = u64::from(self.cpu.apic.read((offset >> 4) as u32, now));
        let within = offset & 0xF;
        if within >= 4 { 0 } else { value >> (8 * within) & (!0 >> (64 - 8 * u64::from(size))) }
    }

    /// Writes the APIC page.
    pub(crate) fn apic_mmio_write(&mut self, offset: u64, _size: u8, value: u64) {
        if offset & 0xF == 0 {
            let now = self.now();
            let register = (offset >> 4) as u32;
            let wish = self.cpu.apic.write(register, value as u32 & self.timer_modes(register), now);
            self.grant(wish);
        }
    }

    fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::None => {}
            Wish::Send(message) => self.bus.send(message),
            Wish::Eoi(vector) => {
                let now = self.now();
                self.bus.eoi(self.mmu, now, vector);
                self.after_bus(0);
            }
        }
        self.apic_changed();
    }

    /// The APIC's state changed: an interrupt may be deliverable now, or its timer due earlier.
    pub(crate) fn apic_changed(&mut self) {
        if let Some(at) = self.cpu.apic.timer_expires() {
            self.cpu.timing.lower_deadline(at);
        }
        self.recheck();
    }
}
