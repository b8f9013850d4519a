//! Descriptor-table and task registers, and the instructions that look at descriptors: LAR, LSL, VERR, VERW, ARPL
//! (SDM Vol. 2).

use crate::descriptor::{Descriptor, index, is_null, system_type as st};
use crate::exec::{Cx, Exec, Fault, Handler, Insn, is_canonical};
use crate::semantics::segment::{GP, NP};
use crate::state::{CodeSize, ar, cr};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

impl Cx<'_> {
    /// #UD outside protected mode and in virtual-8086 mode.
    fn needs_protected(&mut self) -> Exec {
        if self.cpu.protected() && !self.cpu.virtual_8086() { Ok(()) } else { Err(self.ud()) }
    }

    /// #GP(0) where CR4.UMIP keeps descriptor-table registers from applications.
    pub fn user_mode_prevented(&mut self) -> Exec {
        let prevented = self.cpu.system.cpl != 0 && self.cpu.system.cr4 & cr::CR4_UMIP != 0;
        if prevented { Err(self.gp(0)) } else { Ok(()) }
    }
}

fn store_table<const INTERRUPT: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.user_mode_prevented()?;
    let table = if INTERRUPT { cx.cpu.system.idtr } else { cx.cpu.system.gdtr };
    let size = if cx.cpu.code_size == CodeSize::Bits64 { 10 } else { 6 };
    let linear = cx.operand(i, size, true)?;
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&table.limit.to_le_bytes());
    bytes[2..].copy_from_slice(&table.base.to_le_bytes());
    cx.store_bytes(linear, i.seg, &bytes[..size as usize])
}
fn load_table<const INTERRUPT: bool, const SHORT: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.privileged()?;
    let wide = cx.cpu.code_size == CodeSize::Bits64;
    let size = if wide { 10 } else { 6 };
    let linear = cx.operand(i, size, false)?;
    let mut bytes = [0; 10];
    cx.load_bytes(linear, i.seg, &mut bytes[..size as usize])?;
    let limit = u16::from_le_bytes([bytes[0], bytes[1]]);
    let mut base =
        u64::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8], bytes[9]]);
    if SHORT {
        base &= 0xFF_FFFF;
    }
    if wide && !is_canonical(base) {
        return Err(cx.gp(0));
    }
    let table = if INTERRUPT { &mut cx.cpu.system.idtr } else { &mut cx.cpu.system.gdtr };
    table.base = base;
    table.limit = limit;
    Ok(())
}
fn store_selector<const TASK: bool, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.needs_protected()?;
    cx.user_mode_prevented()?;
    let selector = if TASK { cx.cpu.system.tr.selector } else { cx.cpu.system.ldtr.selector };
    match (MEM, i.aux) {
        (true, _) => return cx.write(i, selector),
        (_, 2) => cx.put(i.reg, selector),
        (_, 4) => cx.put(i.reg, u32::from(selector)),
        _ => cx.put(i.reg, u64::from(selector)),
    }
    Ok(())
}
fn selector_operand<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Result<u16, Fault> {
    if MEM { cx.read::<u16>(i) } else { Ok(cx.get::<u16>(i.reg)) }
}
fn lldt<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.needs_protected()?;
    cx.privileged()?;
    let selector = selector_operand::<MEM>(cx, i)?;
    cx.load_ldt(selector, GP)
}
fn ltr<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.needs_protected()?;
    cx.privileged()?;
    let selector = selector_operand::<MEM>(cx, i)?;
    if is_null(selector) || selector & 4 != 0 {
        return Err(cx.gp(index(selector)));
    }
    let mut found = cx.descriptor(selector, GP)?;
    let long = cx.cpu.long_mode();
    let available = found.is_system()
        && (found.kind() == st::TSS_AVAILABLE || !long && found.kind() == st::TSS16_AVAILABLE);
    if !available {
        return Err(cx.gp(index(selector)));
    }
    if !found.present() {
        return Err(cx.raise_code(NP, index(selector)));
    }
    if long {
        found = cx.widen_segment(selector, found, GP)?;
    }
    cx.mark_busy(found.linear, true)?;
    let mut tr = found.segment(selector);
    tr.access |= 2;
    cx.cpu.system.tr = tr;
    Ok(())
}

/// The descriptor LAR, LSL, VERR or VERW looks at, if the current privilege may see it.
fn visible(cx: &mut Cx, selector: u16, systems: &[u32]) -> Result<Option<Descriptor>, Fault> {
    if is_null(selector) {
        return Ok(None);
    }
    let Ok(found) = cx.descriptor(selector, GP) else {
        // A table that ends before the selector is an answer; a page fault is not.
        return if cx.cpu.raised.vector == GP { Ok(None) } else { Err(Fault) };
    };
    if found.is_system() && !systems.contains(&found.kind()) {
        return Ok(None);
    }
    let seen = found.is_conforming() || found.dpl() >= cx.cpu.system.cpl.max(selector as u8 & 3);
    Ok(seen.then_some(found))
}
fn selector_source<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Result<u16, Fault> {
    if MEM { cx.read::<u16>(i) } else { Ok(cx.get::<u16>(i.rm)) }
}
fn put_sized(cx: &mut Cx, i: &Insn, value: u32) {
    match i.aux {
        2 => cx.put(i.reg, value as u16),
        4 => cx.put(i.reg, value),
        _ => cx.put(i.reg, u64::from(value)),
    }
}
fn lar<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.needs_protected()?;
    let selector = selector_source::<MEM>(cx, i)?;
    let systems: &[u32] = if cx.cpu.long_mode() { &[2, 9, 11, 12] } else { &[1, 2, 3, 4, 5, 9, 11, 12] };
    let found = visible(cx, selector, systems)?;
    if let Some(found) = found {
        put_sized(cx, i, (found.low >> 32) as u32 & 0x00FF_FF00);
    }
    cx.cpu.flags.set_zf(found.is_some());
    Ok(())
}
fn lsl<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.needs_protected()?;
    let selector = selector_source::<MEM>(cx, i)?;
    let systems: &[u32] = if cx.cpu.long_mode() { &[2, 9, 11] } else { &[1, 2, 3, 9, 11] };
    let found = visible(cx, selector, systems)?;
    if let Some(found) = found {
        put_sized(cx, i, found.limit());
    }
    cx.cpu.flags.set_zf(found.is_some());
    Ok(())
}
fn verify<const WRITE: bool, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.needs_protected()?;
    let selector = selector_operand::<MEM>(cx, i)?;
    let found = visible(cx, selector, &[])?;
    let good = found.is_some_and(|found| {
        if WRITE { !found.is_code() && found.has(ar::RW) } else { !found.is_code() || found.has(ar::RW) }
    });
    cx.cpu.flags.set_zf(good);
    Ok(())
}
fn arpl<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.needs_protected()?;
    let (target, source) = if MEM {
        (cx.read::<u16>(i)?, cx.get::<u16>(i.reg))
    } else {
        (cx.get::<u16>(i.reg), cx.get::<u16>(i.rm))
    };
    let lower = target & 3 < source & 3;
    if lower {
        // The destination is written only if it changes: a read-only one may be compared.
        let raised = target & !3 | source & 3;
        if MEM { cx.write(i, raised)? } else { cx.put(i.reg, raised) }
    }
    cx.cpu.flags.set_zf(lower);
    Ok(())
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let mem = instr.op_count() > 0 && (0..instr.op_count()).any(|n| instr.op_kind(n) == OpKind::Memory);
    // With a 16-bit operand size the last byte of the base is not used.
    let short = matches!(instr.code(), Code::Lgdt_m1632_16 | Code::Lidt_m1632_16);
    Some(match (instr.mnemonic(), mem) {
        (M::Sgdt, _) => store_table::<false>,
        (M::Sidt, _) => store_table::<true>,
        (M::Lgdt, _) if short => load_table::<false, true>,
        (M::Lgdt, _) => load_table::<false, false>,
        (M::Lidt, _) if short => load_table::<true, true>,
        (M::Lidt, _) => load_table::<true, false>,
        (M::Sldt, true) => store_selector::<false, true>,
        (M::Sldt, false) => store_selector::<false, false>,
        (M::Str, true) => store_selector::<true, true>,
        (M::Str, false) => store_selector::<true, false>,
        (M::Lldt, true) => lldt::<true>,
        (M::Lldt, false) => lldt::<false>,
        (M::Ltr, true) => ltr::<true>,
        (M::Ltr, false) => ltr::<false>,
        (M::Lar, true) => lar::<true>,
        (M::Lar, false) => lar::<false>,
        (M::Lsl, true) => lsl::<true>,
        (M::Lsl, false) => lsl::<false>,
        (M::Verr, true) => verify::<false, true>,
        (M::Verr, false) => verify::<false, false>,
        (M::Verw, true) => verify::<true, true>,
        (M::Verw, false) => verify::<true, false>,
        (M::Arpl, true) => arpl::<true>,
        (M::Arpl, false) => arpl::<false>,
        _ => return None,
    })
}
