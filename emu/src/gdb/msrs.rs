//! The model-specific registers gdb sees. They are read and written as state: no #GP, no side effects.

use amber_cpu::Vcpu;

/// Names and indices (SDM Vol. 4, table 2-2).
pub const NAMED: &[(&str, u32)] = &[
    ("tsc", 0x10),
    ("apic_base", 0x1B),
    ("feature_control", 0x3A),
    ("sysenter_cs", 0x174),
    ("sysenter_esp", 0x175),
    ("sysenter_eip", 0x176),
    ("misc_enable", 0x1A0),
    ("debugctl", 0x1D9),
    ("pat", 0x277),
    ("mtrr_def_type", 0x2FF),
    ("tsc_deadline", 0x6E0),
    ("star", 0xC000_0081),
    ("lstar", 0xC000_0082),
    ("cstar", 0xC000_0083),
    ("sfmask", 0xC000_0084),
    ("kernel_gs_base", 0xC000_0102),
    ("tsc_aux", 0xC000_0103),
];

/// The value of a named register; `now` is virtual time.
pub fn read(cpu: &Vcpu, index: u32, now: u64) -> u64 {
    let msrs = &cpu.system.msrs;
    match index {
        0x10 => now.wrapping_add(msrs.tsc_offset),
        0x1B => cpu.apic.base,
        0x3A => msrs.feature_control,
        0x174 => msrs.sysenter_cs.into(),
        0x175 => msrs.sysenter_esp,
        0x176 => msrs.sysenter_eip,
        0x1A0 => msrs.misc_enable,
        0x1D9 => msrs.debugctl,
        0x277 => msrs.pat,
        0x2FF => msrs.mtrr_def_type,
        0x6E0 => msrs.tsc_deadline,
        0xC000_0081 => msrs.star,
        0xC000_0082 => msrs.lstar,
        0xC000_0083 => msrs.cstar,
        0xC000_0084 => msrs.sfmask,
        0xC000_0102 => msrs.kernel_gs_base,
        0xC000_0103 => msrs.tsc_aux.into(),
        _ => 0,
    }
}

/// Writes a named register. The APIC base and the TSC deadline move timers and maps, so they stay as they are.
pub fn write(cpu: &mut Vcpu, index: u32, value: u64, now: u64) {
    let msrs = &mut cpu.system.msrs;
    match index {
        0x10 => msrs.tsc_offset = value.wrapping_sub(now),
        0x3A => msrs.feature_control = value & 7,
        0x174 => msrs.sysenter_cs = value as u32,
        0x175 => msrs.sysenter_esp = value,
        0x176 => msrs.sysenter_eip = value,
        0x1A0 => msrs.misc_enable = value,
        0x1D9 => msrs.debugctl = value & 3,
        0x277 => msrs.pat = value,
        0x2FF => msrs.mtrr_def_type = value & 0xCFF,
        0xC000_0081 => msrs.star = value,
        0xC000_0082 => msrs.lstar = value,
        0xC000_0083 => msrs.cstar = value,
        0xC000_0084 => msrs.sfmask = value & 0xFFFF_FFFF,
        0xC000_0102 => msrs.kernel_gs_base = value,
        0xC000_0103 => msrs.tsc_aux = value as u32,
        _ => {}
    }
}
