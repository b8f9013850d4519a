//! Flags, control and debug registers, system calls, interrupts by instruction, CPUID, HLT and the like (SDM Vol. 2).

use crate::cpuid::{CpuidInputs, feature};
use crate::decode::{Form, form, operand_size};
use crate::event::{DB, DR7_GD, Event, Source};
use crate::exec::{Cx, Exec, Fault, Handler, Insn, is_canonical};
use crate::flags::bit;
use crate::state::{Activity, CodeSize, Raised, Segment, Shadow, ar, cr, seg};
use amber_mmu::MONITOR_LINE;
use iced_x86::{Instruction, Mnemonic};

const RAX: u8 = 0;
const RCX: u8 = 1;
const RDX: u8 = 2;
const RBX: u8 = 3;
const AH: u8 = 0x20;
/// What of RFLAGS SYSRET loads from R11 (SDM Vol. 2B, SYSRET).
pub(crate) const SYSRET_LOADS: u64 = 0x3C_7FD7;

impl Cx<'_> {
    /// #GP(0) unless CPL is 0.
    pub fn privileged(&mut self) -> Exec {
        if self.cpu.system.cpl == 0 { Ok(()) } else { Err(self.gp(0)) }
    }
}

// ---- flags ----

fn clc(cx: &mut Cx, _i: &Insn) -> Exec {
    cx.cpu.flags.set_cf_keep_of(false);
    Ok(())
}
fn stc(cx: &mut Cx, _i: &Insn) -> Exec {
    cx.cpu.flags.set_cf_keep_of(true);
    Ok(())
}
fn cmc(cx: &mut Cx, _i: &Insn) -> Exec {
    let carry = cx.cpu.flags.cf();
    cx.cpu.flags.set_cf_keep_of(!carry);
    Ok(())
}
fn cld(cx: &mut Cx, _i: &Insn) -> Exec {
    cx.cpu.flags.set(bit::DF, false);
    Ok(())
}
fn std(cx: &mut Cx, _i: &Insn) -> Exec {
    cx.cpu.flags.set(bit::DF, true);
    Ok(())
}
fn lahf(cx: &mut Cx, _i: &Insn) -> Exec {
    let low = cx.cpu.flags.bits() as u8;
    cx.put(AH, low);
    Ok(())
}
fn sahf(cx: &mut Cx, _i: &Insn) -> Exec {
    let overflow = if cx.cpu.flags.of() { bit::OF } else { 0 };
    let image = u64::from(cx.get::<u8>(AH)) & (bit::ARITHMETIC & 0xFF);
    cx.cpu.flags.set_arithmetic(image | overflow);
    Ok(())
}
fn salc(cx: &mut Cx, _i: &Insn) -> Exec {
    let value = if cx.cpu.flags.cf() { 0xFFu8 } else { 0 };
    cx.put(RAX, value);
    Ok(())
}

/// CLI and STI with IOPL, PVI and VME (SDM Vol. 2, CLI).
fn set_interrupt_flag(cx: &mut Cx, on: bool) -> Exec {
    let v86 = cx.cpu.virtual_8086();
    if !cx.cpu.protected() || cx.cpu.system.cpl <= cx.iopl() && !(v86 && cx.iopl() < 3) {
        cx.cpu.flags.set(bit::IF, on);
        return Ok(());
    }
    let extension = if v86 { cr::CR4_VME } else { cr::CR4_PVI };
    let virtualised = cx.cpu.system.cr4 & extension != 0 && cx.cpu.system.cpl == 3;
    if !virtualised || on && cx.cpu.flags.has(bit::VIP) {
        return Err(cx.gp(0));
    }
    cx.cpu.flags.set(bit::VIF, on);
    Ok(())
}
fn cli(cx: &mut Cx, _i: &Insn) -> Exec {
    set_interrupt_flag(cx, false)
}
fn sti(cx: &mut Cx, _i: &Insn) -> Exec {
    let was = cx.cpu.flags.has(bit::IF);
    set_interrupt_flag(cx, true)?;
    if !was && cx.cpu.flags.has(bit::IF) {
        cx.cpu.system.shadow = Shadow::Sti;
    }
    cx.recheck();
    Ok(())
}
fn set_ac<const ON: bool>(cx: &mut Cx, _i: &Insn) -> Exec {
    if cx.cpu.model.features_7_ebx & feature::SMAP == 0 || cx.cpu.system.cpl != 0 {
        return Err(cx.ud());
    }
    cx.cpu.flags.set(bit::AC, ON);
    cx.cpu.flags_changed();
    cx.select_context();
    Ok(())
}

// ---- interrupts by instruction ----

fn int_n(cx: &mut Cx, i: &Insn) -> Exec {
    let vector = i.imm as u8;
    if cx.cpu.virtual_8086() {
        if cx.cpu.system.cr4 & cr::CR4_VME != 0 && !redirected(cx, vector)? {
            return int_v86(cx, i, vector);
        }
        if cx.iopl() < 3 {
            return Err(cx.gp(0));
        }
    }
    software_interrupt(cx, i, vector, Source::Software)
}
fn software_interrupt(cx: &mut Cx, i: &Insn, vector: u8, source: Source) -> Exec {
    let rip = cx.next_rip(i);
    cx.cpu.rip = cx.this_rip(i);
    // A fault on the way is reported at the INT itself, so delivery is tried here and only committed if it works.
    let event = Event { vector, error: None, source, rip };
    cx.cpu.resume_rip = rip;
    cx.deliver_software(event)
}
/// Whether the software-interrupt redirection bitmap sends a vector to the protected-mode handler.
fn redirected(cx: &mut Cx, vector: u8) -> Result<bool, Fault> {
    let tr = cx.cpu.system.tr;
    let map = u64::from(cx.load_system::<u16>(tr.base.wrapping_add(0x66))?);
    // The bitmap ends where the I/O map begins.
    let byte = (map + u64::from(vector / 8)).checked_sub(32);
    let Some(byte) = byte.filter(|byte| *byte <= u64::from(tr.limit)) else { return Err(cx.gp(0)) };
    let bits = cx.load_system::<u8>(tr.base.wrapping_add(byte))?;
    Ok(bits >> (vector & 7) & 1 != 0)
}
/// INT n handled by the 8086 program itself (SDM Vol. 3B, 21.3.3).
fn int_v86(cx: &mut Cx, i: &Insn, vector: u8) -> Exec {
    let target = cx.load::<u32>(u64::from(vector) * 4, seg::DS as u8)?;
    let mut image = cx.cpu.flags.bits();
    let virtualised = cx.iopl() < 3;
    if virtualised {
        let virtual_if = if image & bit::VIF != 0 { bit::IF } else { 0 };
        image = image & !bit::IF | virtual_if | bit::IOPL;
    }
    let cs = cx.cpu.system.seg[seg::CS].selector;
    let back = cx.next_rip(i) as u16;
    cx.check_pushes(3, 2)?;
    cx.push(image as u16)?;
    cx.push(cs)?;
    cx.push(back)?;
    cx.cpu.flags.set(bit::TF | bit::NT | if virtualised { bit::VIF } else { bit::IF }, false);
    cx.cpu.flags_changed();
    cx.cpu.system.seg[seg::CS] = Segment { access: 0xF3, ..Segment::real((target >> 16) as u16) };
    cx.cpu.rip = u64::from(target & 0xFFFF);
    cx.cpu.segments_changed();
    cx.recheck();
    Ok(())
}
fn int3(cx: &mut Cx, i: &Insn) -> Exec {
    software_interrupt(cx, i, 3, Source::Software)
}
fn int1(cx: &mut Cx, i: &Insn) -> Exec {
    software_interrupt(cx, i, 1, Source::Privileged)
}
fn into(cx: &mut Cx, i: &Insn) -> Exec {
    if !cx.cpu.flags.of() {
        cx.cpu.rip = cx.next_rip(i);
        return Ok(());
    }
    software_interrupt(cx, i, 4, Source::Software)
}
fn iret<const SIZE: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.cpu.resume_rip = cx.next_rip(i);
    cx.interrupt_return(SIZE)
}

fn bound<const SIZE: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    let (index, lower, upper) = if SIZE == 2 {
        let linear = cx.operand(i, 4, false)?;
        let pair = cx.load::<u32>(linear, i.seg)?;
        (i64::from(cx.get::<u16>(i.reg) as i16), i64::from(pair as i16), i64::from((pair >> 16) as i16))
    } else {
        let linear = cx.operand(i, 8, false)?;
        let pair = cx.load::<u64>(linear, i.seg)?;
        (i64::from(cx.get::<u32>(i.reg) as i32), i64::from(pair as i32), i64::from((pair >> 32) as i32))
    };
    if index < lower || index > upper { Err(cx.raise(5)) } else { Ok(()) }
}

// ---- system calls ----

pub(crate) fn flat_code(selector: u16, cpl: u8, wide: bool) -> Segment {
    let size = if wide { ar::L } else { ar::DB };
    let access = 0xB | ar::S | ar::P | u32::from(cpl) << ar::DPL_SHIFT | ar::G | size;
    Segment { selector, base: 0, limit: !0, access }
}
pub(crate) fn flat_stack(selector: u16, cpl: u8) -> Segment {
    let access = 3 | ar::S | ar::P | u32::from(cpl) << ar::DPL_SHIFT | ar::G | ar::DB;
    Segment { selector, base: 0, limit: !0, access }
}

fn syscall(cx: &mut Cx, i: &Insn) -> Exec {
    if cx.cpu.system.efer & cr::EFER_SCE == 0 || cx.cpu.code_size != CodeSize::Bits64 {
        return Err(cx.ud());
    }
    let msrs = &cx.cpu.system.msrs;
    let (selector, target, mask) = ((msrs.star >> 32) as u16, msrs.lstar, msrs.sfmask);
    cx.cpu.gpr[1] = cx.next_rip(i);
    let image = cx.cpu.flags.bits() & !bit::RF;
    cx.cpu.gpr[11] = image;
    cx.cpu.system.seg[seg::CS] = flat_code(selector & 0xFFFC, 0, true);
    cx.cpu.system.seg[seg::SS] = flat_stack((selector & 0xFFFC).wrapping_add(8), 0);
    cx.cpu.system.cpl = 0;
    cx.cpu.rip = target;
    cx.cpu.mode_changed();
    cx.load_flags(image & !mask, !0);
    cx.step_by_new_flags();
    Ok(())
}
fn sysret<const WIDE: bool>(cx: &mut Cx, _i: &Insn) -> Exec {
    if cx.cpu.system.efer & cr::EFER_SCE == 0 || cx.cpu.code_size != CodeSize::Bits64 {
        return Err(cx.ud());
    }
    cx.privileged()?;
    let target = if WIDE { cx.cpu.gpr[1] } else { cx.cpu.gpr[1] & 0xFFFF_FFFF };
    if !is_canonical(target) {
        return Err(cx.gp(0));
    }
    let base = (cx.cpu.system.msrs.star >> 48) as u16;
    let selector = if WIDE { base.wrapping_add(16) } else { base } | 3;
    cx.cpu.system.seg[seg::CS] = flat_code(selector, 3, WIDE);
    cx.cpu.system.seg[seg::SS] = flat_stack(base.wrapping_add(8) | 3, 3);
    cx.cpu.system.cpl = 3;
    cx.cpu.rip = target;
    let image = cx.cpu.gpr[11] & SYSRET_LOADS;
    cx.cpu.mode_changed();
    cx.load_flags(image, !0);
    cx.step_by_new_flags();
    Ok(())
}
fn sysenter(cx: &mut Cx, _i: &Insn) -> Exec {
    let msrs = &cx.cpu.system.msrs;
    let (cs, esp, eip) = (msrs.sysenter_cs as u16, msrs.sysenter_esp, msrs.sysenter_eip);
    if !cx.cpu.protected() || cs & 0xFFFC == 0 {
        return Err(cx.gp(0));
    }
    let long = cx.cpu.long_mode();
    let mask = if long { !0 } else { 0xFFFF_FFFF };
    cx.cpu.flags.set(bit::VM | bit::IF | bit::RF, false);
    cx.cpu.system.seg[seg::CS] = flat_code(cs & 0xFFFC, 0, long);
    cx.cpu.system.seg[seg::SS] = flat_stack((cs & 0xFFFC).wrapping_add(8), 0);
    cx.cpu.system.cpl = 0;
    cx.cpu.rip = eip & mask;
    cx.cpu.gpr[4] = esp & mask;
    cx.cpu.mode_changed();
    cx.cpu.flags_changed();
    cx.recheck();
    Ok(())
}
fn sysexit<const WIDE: bool>(cx: &mut Cx, _i: &Insn) -> Exec {
    let cs = cx.cpu.system.msrs.sysenter_cs as u16;
    if !cx.cpu.protected() || cs & 0xFFFC == 0 || cx.cpu.system.cpl != 0 {
        return Err(cx.gp(0));
    }
    let mask = if WIDE { !0 } else { 0xFFFF_FFFF };
    let (rip, rsp) = (cx.cpu.gpr[2] & mask, cx.cpu.gpr[1] & mask);
    if !is_canonical(rip) || !is_canonical(rsp) {
        return Err(cx.gp(0));
    }
    let base = cs.wrapping_add(if WIDE { 32 } else { 16 });
    cx.cpu.system.seg[seg::CS] = flat_code(base | 3, 3, WIDE);
    cx.cpu.system.seg[seg::SS] = flat_stack(base.wrapping_add(8) | 3, 3);
    cx.cpu.system.cpl = 3;
    cx.cpu.rip = rip;
    cx.cpu.gpr[4] = rsp;
    cx.cpu.mode_changed();
    cx.recheck();
    Ok(())
}
fn swapgs(cx: &mut Cx, _i: &Insn) -> Exec {
    if cx.cpu.code_size != CodeSize::Bits64 {
        return Err(cx.ud());
    }
    cx.privileged()?;
    let system = &mut cx.cpu.system;
    std::mem::swap(&mut system.seg[seg::GS].base, &mut system.msrs.kernel_gs_base);
    cx.cpu.segments_changed();
    Ok(())
}

// ---- control and debug registers ----

fn mov_from_cr(cx: &mut Cx, i: &Insn) -> Exec {
    cx.privileged()?;
    let value = match i.rm {
        0 => cx.cpu.system.cr0,
        2 => cx.cpu.system.cr2,
        3 => cx.cpu.system.cr3,
        4 => cx.cpu.system.cr4,
        8 => cx.cpu.apic.cr8(),
        _ => return Err(cx.ud()),
    };
    if i.aux == 8 {
        cx.put(i.reg, value)
    } else {
        cx.put(i.reg, value as u32)
    }
    Ok(())
}
fn mov_to_cr(cx: &mut Cx, i: &Insn) -> Exec {
    cx.privileged()?;
    let value =
        cx.cpu.gpr[usize::from(i.rm)] & if cx.cpu.code_size == CodeSize::Bits64 { !0 } else { 0xFFFF_FFFF };
    match i.reg {
        0 => cx.write_cr0(value),
        2 => {
            cx.cpu.system.cr2 = value;
            Ok(())
        }
        3 => cx.write_cr3(value),
        4 => cx.write_cr4(value),
        8 if value >> 4 != 0 => Err(cx.gp(0)),
        8 => {
            cx.cpu.apic.set_cr8(value);
            cx.apic_changed();
            Ok(())
        }
        _ => Err(cx.ud()),
    }
}
fn clts(cx: &mut Cx, _i: &Insn) -> Exec {
    cx.privileged()?;
    cx.cpu.system.cr0 &= !cr::CR0_TS;
    // What may run as the host's own instructions depends on it.
    cx.recheck();
    Ok(())
}
fn smsw<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.user_mode_prevented()?;
    let value = cx.cpu.system.cr0;
    match (MEM, i.aux) {
        (true, _) => return cx.write(i, value as u16),
        (_, 2) => cx.put(i.reg, value as u16),
        (_, 4) => cx.put(i.reg, value as u32),
        _ => cx.put(i.reg, value),
    }
    Ok(())
}
fn lmsw<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.privileged()?;
    let value = u64::from(if MEM { cx.read::<u16>(i)? } else { cx.get::<u16>(i.reg) });
    // PE can be set but not cleared.
    let cr0 = cx.cpu.system.cr0;
    cx.write_cr0(cr0 & !0xE | value & 0xF)
}
fn debug_register(cx: &mut Cx, number: u8) -> Result<u8, Fault> {
    cx.privileged()?;
    let alias = matches!(number, 4 | 5);
    if number > 7 || alias && cx.cpu.system.cr4 & cr::CR4_DE != 0 {
        return Err(cx.ud());
    }
    if cx.cpu.system.dr7 & DR7_GD != 0 {
        // DR6.BD has the same place.
        cx.cpu.raised = Raised { vector: DB, error: None, address: 1 << 13 };
        return Err(Fault);
    }
    Ok(if alias { number + 2 } else { number })
}
fn mov_from_dr(cx: &mut Cx, i: &Insn) -> Exec {
    let value = match debug_register(cx, i.rm)? {
        n @ 0..=3 => cx.cpu.system.dr[usize::from(n)],
        6 => cx.cpu.system.dr6,
        _ => cx.cpu.system.dr7,
    };
    if i.aux == 8 {
        cx.put(i.reg, value)
    } else {
        cx.put(i.reg, value as u32)
    }
    Ok(())
}
fn mov_to_dr(cx: &mut Cx, i: &Insn) -> Exec {
    let number = debug_register(cx, i.reg)?;
    let wide = cx.cpu.code_size == CodeSize::Bits64;
    let value = cx.cpu.gpr[usize::from(i.rm)] & if wide { !0 } else { 0xFFFF_FFFF };
    if number >= 6 && value >> 32 != 0 {
        return Err(cx.gp(0));
    }
    match number {
        6 => cx.cpu.system.set_dr6(value),
        7 => cx.cpu.system.set_dr7(value),
        n => cx.cpu.system.dr[usize::from(n)] = value,
    }
    cx.cpu.debug_changed();
    cx.select_context();
    cx.recheck();
    Ok(())
}

// ---- the rest ----

fn hlt(cx: &mut Cx, _i: &Insn) -> Exec {
    cx.privileged()?;
    cx.cpu.system.activity = Activity::Halted;
    cx.recheck();
    Ok(())
}
/// #UD of MONITOR and MWAIT.
fn monitor_ready(cx: &mut Cx) -> Exec {
    if cx.cpu.system.cpl != 0 || !cx.cpu.has_monitor() { Err(cx.ud()) } else { Ok(()) }
}
/// Stores are seen at their frame, so only memory can be monitored; anything else leaves the monitor disarmed.
fn monitor(cx: &mut Cx, i: &Insn) -> Exec {
    monitor_ready(cx)?;
    if cx.cpu.gpr[1] & 0xFFFF_FFFF != 0 {
        return Err(cx.gp(0));
    }
    let offset = cx.cpu.gpr[0] & cx.address_mask(i);
    let segment = if i.seg > 5 { seg::DS as u8 } else { i.seg };
    let linear = cx.linear(i, segment, offset, 1, false)?;
    cx.load::<u8>(linear, segment)?;
    let (view, processor) = (cx.cpu.view, cx.cpu.apic.id());
    let line = cx.mmu.probe(&cx.cpu.space, view, linear).map(|gpa| gpa & !(MONITOR_LINE - 1));
    cx.cpu.system.monitor = line.filter(|line| cx.mmu.monitor(processor, view, Some(*line)));
    Ok(())
}
/// Waits for an event or a store to the monitored line, by whichever processor or device. Where none is armed, or the
/// store has happened, the wait is over at once, at the price of a PAUSE.
fn mwait(cx: &mut Cx, _i: &Insn) -> Exec {
    monitor_ready(cx)?;
    if cx.cpu.gpr[1] & 0xFFFF_FFFE != 0 {
        return Err(cx.gp(0));
    }
    let armed = cx.cpu.system.monitor.is_some() && cx.mmu.monitored(cx.cpu.apic.id()).is_some();
    if armed {
        cx.cpu.system.activity = Activity::Waiting { despite_if: cx.cpu.gpr[1] & 1 != 0 };
    } else {
        cx.disarm_monitor();
        cx.charge(1000);
        cx.cpu.timing.pause();
    }
    cx.recheck();
    Ok(())
}
impl Cx<'_> {
    /// Ends what MONITOR began.
    pub(crate) fn disarm_monitor(&mut self) {
        if self.cpu.system.monitor.take().is_some() {
            self.mmu.monitor(self.cpu.apic.id(), self.cpu.view, None);
        }
    }
}
fn cpuid(cx: &mut Cx, _i: &Insn) -> Exec {
    let inputs = CpuidInputs {
        apic_id: cx.cpu.apic.id(),
        cpus: cx.cpu.cpus,
        osxsave: cx.cpu.system.cr4 & cr::CR4_OSXSAVE != 0,
        xcr0: cx.cpu.system.xcr0,
        apic_enabled: cx.cpu.apic.enabled(),
        monitor: cx.cpu.has_monitor(),
    };
    let leaf = cx.cpu.model.cpuid(cx.get::<u32>(RAX), cx.get::<u32>(RCX), &inputs);
    cx.put(RAX, leaf.eax);
    cx.put(RBX, leaf.ebx);
    cx.put(RCX, leaf.ecx);
    cx.put(RDX, leaf.edx);
    Ok(())
}
fn put_edx_eax(cx: &mut Cx, value: u64) {
    cx.put(RAX, value as u32);
    cx.put(RDX, (value >> 32) as u32);
}
fn edx_eax(cx: &Cx) -> u64 {
    u64::from(cx.get::<u32>(RDX)) << 32 | u64::from(cx.get::<u32>(RAX))
}
fn rdtsc(cx: &mut Cx, _i: &Insn) -> Exec {
    if cx.cpu.system.cr4 & cr::CR4_TSD != 0 && cx.cpu.system.cpl != 0 && cx.cpu.protected() {
        return Err(cx.gp(0));
    }
    let tsc = cx.tsc();
    put_edx_eax(cx, tsc);
    Ok(())
}
fn rdtscp(cx: &mut Cx, i: &Insn) -> Exec {
    rdtsc(cx, i)?;
    let aux = cx.cpu.system.msrs.tsc_aux;
    cx.put(RCX, aux);
    Ok(())
}
fn rdmsr(cx: &mut Cx, _i: &Insn) -> Exec {
    cx.privileged()?;
    let index = cx.get::<u32>(RCX);
    let value = cx.rdmsr(index)?;
    put_edx_eax(cx, value);
    Ok(())
}
fn wrmsr(cx: &mut Cx, _i: &Insn) -> Exec {
    cx.privileged()?;
    let (index, value) = (cx.get::<u32>(RCX), edx_eax(cx));
    cx.wrmsr(index, value)?;
    cx.select_context();
    Ok(())
}
/// RDPMC: the model has no performance counters.
fn rdpmc(cx: &mut Cx, _i: &Insn) -> Exec {
    Err(cx.gp(0))
}
fn xgetbv(cx: &mut Cx, _i: &Insn) -> Exec {
    if cx.cpu.system.cr4 & cr::CR4_OSXSAVE == 0 {
        return Err(cx.ud());
    }
    let value = match cx.get::<u32>(RCX) {
        0 => cx.cpu.system.xcr0,
        _ => return Err(cx.gp(0)),
    };
    put_edx_eax(cx, value);
    Ok(())
}
fn xsetbv(cx: &mut Cx, _i: &Insn) -> Exec {
    if cx.cpu.system.cr4 & cr::CR4_OSXSAVE == 0 {
        return Err(cx.ud());
    }
    cx.privileged()?;
    let value = edx_eax(cx);
    if cx.get::<u32>(RCX) != 0 || value & 1 == 0 || value & !cx.cpu.model.xcr0_mask() != 0 {
        return Err(cx.gp(0));
    }
    cx.cpu.system.xcr0 = value;
    Ok(())
}
fn invlpg(cx: &mut Cx, _i: &Insn) -> Exec {
    // Translations follow their tables at once; there is never anything stale to remove.
    cx.privileged()
}
fn invpcid(cx: &mut Cx, i: &Insn) -> Exec {
    cx.privileged()?;
    let linear = cx.operand(i, 16, false)?;
    let descriptor = cx.load::<u128>(linear, i.seg)?;
    let kind = cx.get::<u64>(i.reg);
    let reserved = (descriptor as u64) >> 12 != 0;
    let address = (descriptor >> 64) as u64;
    if kind > 3 || kind < 2 && reserved || kind == 0 && !is_canonical(address) {
        return Err(cx.gp(0));
    }
    Ok(())
}
fn cache_control(cx: &mut Cx, _i: &Insn) -> Exec {
    cx.privileged()
}
fn nothing(_cx: &mut Cx, _i: &Insn) -> Exec {
    Ok(())
}
/// CLFLUSH: a byte read as far as faults go.
fn clflush(cx: &mut Cx, i: &Insn) -> Exec {
    cx.read::<u8>(i).map(|_| ())
}
fn random<const SIZE: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.cpu.next_random();
    match SIZE {
        2 => cx.put(i.reg, value as u16),
        4 => cx.put(i.reg, value as u32),
        _ => cx.put(i.reg, value),
    }
    cx.cpu.flags.set_arithmetic(bit::CF);
    Ok(())
}
fn rsm(cx: &mut Cx, _i: &Insn) -> Exec {
    if !cx.cpu.system.smm {
        return Err(cx.ud());
    }
    cx.resume_from_smm()
}

fn special_moves(instr: &Instruction) -> Option<Handler> {
    if form(instr) != Form::RegReg {
        return None;
    }
    let (a, b) = (instr.op_register(0), instr.op_register(1));
    if b.is_cr() {
        Some(mov_from_cr)
    } else if a.is_cr() {
        Some(mov_to_cr)
    } else if b.is_dr() {
        Some(mov_from_dr)
    } else if a.is_dr() {
        Some(mov_to_dr)
    } else {
        None
    }
}

fn sized(instr: &Instruction) -> Handler {
    match operand_size(instr, 0) {
        2 => random::<2>,
        4 => random::<4>,
        _ => random::<8>,
    }
}

fn transfers(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Int => int_n,
        M::Int3 => int3,
        M::Int1 => int1,
        M::Into => into,
        M::Iret => iret::<2>,
        M::Iretd => iret::<4>,
        M::Iretq => iret::<8>,
        M::Syscall => syscall,
        M::Sysret => sysret::<false>,
        M::Sysretq => sysret::<true>,
        M::Sysenter => sysenter,
        M::Sysexit => sysexit::<false>,
        M::Sysexitq => sysexit::<true>,
        M::Rsm => rsm,
        M::Bound if operand_size(instr, 0) == 2 => bound::<2>,
        M::Bound => bound::<4>,
        _ => return None,
    })
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Clc => clc,
        M::Stc => stc,
        M::Cmc => cmc,
        M::Cld => cld,
        M::Std => std,
        M::Lahf => lahf,
        M::Sahf => sahf,
        M::Salc => salc,
        M::Cli => cli,
        M::Sti => sti,
        M::Stac => set_ac::<true>,
        M::Clac => set_ac::<false>,
        M::Mov => return special_moves(instr),
        M::Smsw if form(instr) == Form::Reg => smsw::<false>,
        M::Smsw => smsw::<true>,
        M::Lmsw if form(instr) == Form::Reg => lmsw::<false>,
        M::Lmsw => lmsw::<true>,
        M::Swapgs => swapgs,
        M::Clts => clts,
        M::Hlt => hlt,
        M::Monitor => monitor,
        M::Mwait => mwait,
        M::Cpuid => cpuid,
        M::Rdtsc => rdtsc,
        M::Rdtscp => rdtscp,
        M::Rdmsr => rdmsr,
        M::Wrmsr => wrmsr,
        M::Rdpmc => rdpmc,
        M::Xgetbv => xgetbv,
        M::Xsetbv => xsetbv,
        M::Invlpg => invlpg,
        M::Invpcid => invpcid,
        M::Wbinvd | M::Wbnoinvd | M::Invd => cache_control,
        M::Clflush => clflush,
        M::Rdrand | M::Rdseed => sized(instr),
        M::Ud0 | M::Ud1 | M::Ud2 => return None,
        M::Lfence | M::Sfence | M::Mfence => nothing,
        _ => return transfers(instr),
    })
}
