//! Segment registers: MOV, PUSH, POP, LDS family, and far JMP, CALL, RET (SDM Vol. 2 and Vol. 3A, chapter 5).

use crate::decode::{Form, form, operand_size, register_code};
use crate::descriptor::{Descriptor, index, is_null, system_type as st};
use crate::exec::{Cx, Exec, Fault, Handler, Insn, is_canonical};
use crate::state::{CodeSize, Segment, Shadow, ar, cr, seg};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// #TS, #NP, #SS, #GP.
pub const TS: u8 = 10;
pub const NP: u8 = 11;
pub const SS_FAULT: u8 = 12;
pub const GP: u8 = 13;

impl Cx<'_> {
    /// Loads ES, SS, DS, FS or GS as MOV and POP do.
    pub fn load_segment(&mut self, register: usize, selector: u16) -> Exec {
        let loaded = if !self.cpu.protected() {
            Segment { selector, base: u64::from(selector) << 4, ..self.cpu.system.seg[register] }
        } else if self.cpu.virtual_8086() {
            Segment { access: 0xF3, ..Segment::real(selector) }
        } else if register == seg::SS {
            self.stack_segment(selector, self.cpu.system.cpl, GP)?
        } else {
            self.data_segment(selector)?
        };
        self.cpu.system.seg[register] = loaded;
        self.cpu.segments_changed();
        Ok(())
    }

    fn data_segment(&mut self, selector: u16) -> Result<Segment, Fault> {
        if is_null(selector) {
            return Ok(Segment { selector, base: 0, limit: 0, access: ar::UNUSABLE });
        }
        let mut found = self.descriptor(selector, GP)?;
        let rpl = (selector & 3) as u8;
        let readable = found.has(ar::S) && (!found.is_code() || found.has(ar::RW));
        let privileged = found.is_conforming() || found.dpl() >= self.cpu.system.cpl.max(rpl);
        if !readable || !privileged {
            return Err(self.gp(index(selector)));
        }
        if !found.present() {
            return Err(self.raise_code(NP, index(selector)));
        }
        self.mark_accessed(&mut found)?;
        Ok(found.segment(selector))
    }

    /// The stack segment for privilege level `cpl`; `vector` is what a bad one raises (#GP, or #TS for one from a
    /// TSS).
    pub fn stack_segment(&mut self, selector: u16, cpl: u8, vector: u8) -> Result<Segment, Fault> {
        if is_null(selector) {
            let allowed = self.cpu.code_size == CodeSize::Bits64 && cpl < 3 && selector as u8 & 3 == cpl;
            if vector == GP && allowed {
                let access = ar::UNUSABLE | u32::from(cpl) << ar::DPL_SHIFT;
                return Ok(Segment { selector, base: 0, limit: 0, access });
            }
            return Err(self.raise_code(vector, index(selector)));
        }
        let mut found = self.descriptor(selector, vector)?;
        let writable = found.has(ar::S | ar::RW) && !found.is_code();
        if selector as u8 & 3 != cpl || !writable || found.dpl() != cpl {
            return Err(self.raise_code(vector, index(selector)));
        }
        if !found.present() {
            return Err(self.raise_code(SS_FAULT, index(selector)));
        }
        self.mark_accessed(&mut found)?;
        Ok(found.segment(selector))
    }

    /// Checks a code descriptor as the target of a direct far transfer.
    fn check_code(&mut self, selector: u16, found: &Descriptor) -> Exec {
        let cpl = self.cpu.system.cpl;
        let rpl = selector as u8 & 3;
        let privileged =
            if found.is_conforming() { found.dpl() <= cpl } else { rpl <= cpl && found.dpl() == cpl };
        if !found.is_code() || !privileged || self.cpu.long_mode() && found.has(ar::L | ar::DB) {
            return Err(self.gp(index(selector)));
        }
        if !found.present() {
            return Err(self.raise_code(NP, index(selector)));
        }
        Ok(())
    }

    /// Checks that RIP = `offset` is legal in the code segment `found`.
    pub fn check_offset(&mut self, found: &Descriptor, offset: u64) -> Exec {
        let legal = if self.cpu.long_mode() && found.has(ar::L) {
            is_canonical(offset)
        } else {
            offset <= u64::from(found.limit())
        };
        if legal { Ok(()) } else { Err(self.gp(0)) }
    }

    /// Loads CS with `cpl` as its RPL, and RIP.
    pub fn enter_code(&mut self, selector: u16, found: &Descriptor, cpl: u8, rip: u64) {
        self.cpu.system.seg[seg::CS] = found.segment(selector & !3 | u16::from(cpl));
        self.cpu.system.cpl = cpl;
        self.cpu.rip = rip;
        self.cpu.mode_changed();
        self.recheck();
    }

    /// Far JMP.
    pub fn jump_far(&mut self, selector: u16, offset: u64) -> Exec {
        if !self.cpu.protected() || self.cpu.virtual_8086() {
            return self.jump_far_real(selector, offset);
        }
        if is_null(selector) {
            return Err(self.gp(0));
        }
        let mut found = self.descriptor(selector, GP)?;
        if !found.is_system() {
            self.check_code(selector, &found)?;
            self.check_offset(&found, offset)?;
            self.mark_accessed(&mut found)?;
            self.enter_code(selector, &found, self.cpu.system.cpl, offset);
            return Ok(());
        }
        let found = self.check_gate(selector, found)?;
        match found.kind() {
            st::CALL_GATE | st::CALL_GATE16 => self.jump_gate(&found),
            st::TASK_GATE => {
                let task = found.gate_selector();
                self.task_switch(task, super::task::Reason::Jump)
            }
            _ => self.task_switch(selector, super::task::Reason::Jump),
        }
    }

    fn jump_far_real(&mut self, selector: u16, offset: u64) -> Exec {
        let cs = &mut self.cpu.system.seg[seg::CS];
        if offset > u64::from(cs.limit) {
            return Err(self.gp(0));
        }
        cs.selector = selector;
        cs.base = u64::from(selector) << 4;
        self.cpu.rip = offset;
        self.cpu.segments_changed();
        self.recheck();
        Ok(())
    }

    /// Checks a call gate, task gate or TSS named by a far JMP or CALL.
    fn check_gate(&mut self, selector: u16, found: Descriptor) -> Result<Descriptor, Fault> {
        let long = self.cpu.long_mode();
        let allowed = if long {
            matches!(found.kind(), st::CALL_GATE)
        } else {
            matches!(
                found.kind(),
                st::CALL_GATE | st::CALL_GATE16 | st::TASK_GATE | st::TSS_AVAILABLE | st::TSS16_AVAILABLE
            )
        };
        let rpl = selector as u8 & 3;
        if !allowed || found.dpl() < self.cpu.system.cpl.max(rpl) {
            return Err(self.gp(index(selector)));
        }
        if !found.present() {
            return Err(self.raise_code(NP, index(selector)));
        }
        if long { self.widen_descriptor(selector, found, GP) } else { Ok(found) }
    }

    /// The code segment a call gate leads to.
    fn gate_target(&mut self, gate: &Descriptor) -> Result<(u16, Descriptor), Fault> {
        let selector = gate.gate_selector();
        if is_null(selector) {
            return Err(self.gp(0));
        }
        let target = self.descriptor(selector, GP)?;
        let long = self.cpu.long_mode();
        let wrong_size = long && (!target.has(ar::L) || target.has(ar::DB));
        if !target.is_code() || target.dpl() > self.cpu.system.cpl || wrong_size {
            return Err(self.gp(index(selector)));
        }
        if !target.present() {
            return Err(self.raise_code(NP, index(selector)));
        }
        Ok((selector, target))
    }

    fn jump_gate(&mut self, gate: &Descriptor) -> Exec {
        let (selector, mut target) = self.gate_target(gate)?;
        if !target.is_conforming() && target.dpl() != self.cpu.system.cpl {
            return Err(self.gp(index(selector)));
        }
        let offset = gate.gate_offset(self.cpu.long_mode());
        self.check_offset(&target, offset)?;
        self.mark_accessed(&mut target)?;
        self.enter_code(selector, &target, self.cpu.system.cpl, offset);
        Ok(())
    }

    /// Far CALL with an operand size of `size` bytes; `back` is the return RIP.
    pub fn call_far(&mut self, selector: u16, offset: u64, size: u8, back: u64) -> Exec {
        let cs = u64::from(self.cpu.system.seg[seg::CS].selector);
        if !self.cpu.protected() || self.cpu.virtual_8086() {
            if offset > u64::from(self.cpu.system.seg[seg::CS].limit) {
                return Err(self.gp(0));
            }
            self.push_return(cs, back, size)?;
            return self.jump_far_real(selector, offset);
        }
        if is_null(selector) {
            return Err(self.gp(0));
        }
        let mut found = self.descriptor(selector, GP)?;
        if !found.is_system() {
            self.check_code(selector, &found)?;
            self.check_offset(&found, offset)?;
            self.mark_accessed(&mut found)?;
            self.push_return(cs, back, size)?;
            self.enter_code(selector, &found, self.cpu.system.cpl, offset);
            return Ok(());
        }
        let found = self.check_gate(selector, found)?;
        match found.kind() {
            st::CALL_GATE | st::CALL_GATE16 => self.call_gate(&found, back),
            st::TASK_GATE => {
                let task = found.gate_selector();
                self.task_switch(task, super::task::Reason::Call)
            }
            _ => self.task_switch(selector, super::task::Reason::Call),
        }
    }

    fn push_return(&mut self, cs: u64, back: u64, size: u8) -> Exec {
        self.check_pushes(2, size)?;
        self.push_sized(cs, size)?;
        self.push_sized(back, size)
    }

    fn call_gate(&mut self, gate: &Descriptor, back: u64) -> Exec {
        let (selector, mut target) = self.gate_target(gate)?;
        let long = self.cpu.long_mode();
        let offset = gate.gate_offset(long);
        let size = if long {
            8
        } else if gate.kind() == st::CALL_GATE {
            4
        } else {
            2
        };
        self.check_offset(&target, offset)?;
        let cs = u64::from(self.cpu.system.seg[seg::CS].selector);
        if target.is_conforming() || target.dpl() == self.cpu.system.cpl {
            self.mark_accessed(&mut target)?;
            self.push_return(cs, back, size)?;
            self.enter_code(selector, &target, self.cpu.system.cpl, offset);
            return Ok(());
        }
        let inner = target.dpl();
        let mut stack = self.inner_stack(inner, 0)?;
        let ss = self.cpu.system.seg[seg::SS].selector;
        let sp = if long { self.cpu.gpr[4] } else { self.stack_pointer_image() };
        let mut frame = vec![u64::from(ss), sp];
        let parameters = if long { 0 } else { u64::from(gate.gate_parameters()) };
        for n in (0..parameters).rev() {
            frame.push(self.peek_sized(n * u64::from(size), size)?);
        }
        frame.extend([cs, back]);
        stack.reserve(self, frame.len(), size)?;
        self.mark_accessed(&mut target)?;
        for value in frame {
            stack.push(self, value, size)?;
        }
        self.cpu.system.seg[seg::SS] = stack.segment;
        self.enter_code(selector, &target, inner, offset);
        self.set_stack_pointer(stack.pointer);
        Ok(())
    }

    /// Far RET; `extra` bytes of parameters are released.
    pub fn return_far(&mut self, size: u8, extra: u64) -> Exec {
        let step = u64::from(size);
        let offset = self.peek_sized(0, size)?;
        let selector = self.peek_sized(step, size)? as u16;
        if !self.cpu.protected() || self.cpu.virtual_8086() {
            self.jump_far_real(selector, offset)?;
            self.drop_stack(2 * step + extra);
            return Ok(());
        }
        let (mut found, rpl) = self.return_code(selector)?;
        self.check_offset(&found, offset)?;
        if rpl == self.cpu.system.cpl {
            self.mark_accessed(&mut found)?;
            self.drop_stack(2 * step + extra);
            self.enter_code(selector, &found, rpl, offset);
            return Ok(());
        }
        let sp = self.peek_sized(2 * step + extra, size)?;
        let ss = self.peek_sized(3 * step + extra, size)? as u16;
        let stack = self.outer_stack(ss, rpl, &found)?;
        self.mark_accessed(&mut found)?;
        self.cpu.system.seg[seg::SS] = stack;
        self.enter_code(selector, &found, rpl, offset);
        self.set_stack_pointer(sp.wrapping_add(extra));
        self.drop_privileged_segments();
        Ok(())
    }

    /// The code segment a far RET or IRET returns to, and its privilege level.
    pub fn return_code(&mut self, selector: u16) -> Result<(Descriptor, u8), Fault> {
        if is_null(selector) {
            return Err(self.gp(0));
        }
        let found = self.descriptor(selector, GP)?;
        let rpl = selector as u8 & 3;
        let privileged = if found.is_conforming() { found.dpl() <= rpl } else { found.dpl() == rpl };
        let mixed = self.cpu.long_mode() && found.has(ar::L | ar::DB);
        if rpl < self.cpu.system.cpl || !found.is_code() || !privileged || mixed {
            return Err(self.gp(index(selector)));
        }
        if !found.present() {
            return Err(self.raise_code(NP, index(selector)));
        }
        Ok((found, rpl))
    }

    /// The stack segment of an outer level that a RET or IRET goes to with code segment `code`.
    pub fn outer_stack(&mut self, selector: u16, cpl: u8, code: &Descriptor) -> Result<Segment, Fault> {
        let to_64 = self.cpu.long_mode() && code.has(ar::L);
        if is_null(selector) && to_64 && cpl != 3 && selector as u8 & 3 == cpl {
            let access = ar::UNUSABLE | u32::from(cpl) << ar::DPL_SHIFT;
            return Ok(Segment { selector, base: 0, limit: 0, access });
        }
        if is_null(selector) {
            return Err(self.gp(0));
        }
        self.stack_segment(selector, cpl, GP)
    }

    /// After a return to an outer level: data segments it may not see become null (SDM Vol. 2, RET).
    pub fn drop_privileged_segments(&mut self) {
        let cpl = self.cpu.system.cpl;
        for register in [seg::ES, seg::DS, seg::FS, seg::GS] {
            let segment = &mut self.cpu.system.seg[register];
            let conforming = segment.has(ar::S | ar::CODE | ar::DC);
            if segment.usable() && !conforming && segment.dpl() < cpl {
                *segment = Segment { selector: 0, base: 0, limit: 0, access: ar::UNUSABLE };
            }
        }
        self.cpu.segments_changed();
    }
}

// ---- instructions ----

fn mov_from_segment<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    if MEM {
        let selector = cx.cpu.system.seg[usize::from(i.reg % 6)].selector;
        return cx.write(i, selector);
    }
    let selector = u64::from(cx.cpu.system.seg[usize::from(i.rm % 6)].selector);
    match i.aux {
        2 => cx.put(i.reg, selector as u16),
        4 => cx.put(i.reg, selector as u32),
        _ => cx.put(i.reg, selector),
    }
    Ok(())
}
fn mov_to_segment<const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let selector = if MEM { cx.read::<u16>(i)? } else { cx.get::<u16>(i.rm) };
    let register = usize::from(i.reg % 6);
    if register == seg::CS {
        return Err(cx.ud());
    }
    cx.load_segment(register, selector)?;
    if register == seg::SS {
        cx.cpu.system.shadow = Shadow::MovSs;
        cx.recheck();
    }
    Ok(())
}
fn push_segment(cx: &mut Cx, i: &Insn) -> Exec {
    let selector = u64::from(cx.cpu.system.seg[usize::from(i.reg % 6)].selector);
    // With a 32-bit operand only the low word of the slot is written.
    if i.aux2 == 4 {
        let before = cx.cpu.gpr[4];
        cx.drop_stack(4u64.wrapping_neg());
        let sp = cx.stack_pointer();
        let linear = cx.linear(i, seg::SS as u8, sp, 4, true);
        let stored = linear.and_then(|linear| cx.store(linear, seg::SS as u8, selector as u16));
        return stored.inspect_err(|_| cx.cpu.gpr[4] = before);
    }
    cx.push_sized(selector, i.aux2)
}
fn pop_segment(cx: &mut Cx, i: &Insn) -> Exec {
    let register = usize::from(i.reg % 6);
    let selector = cx.peek::<u16>(0)?;
    let before = cx.cpu.gpr[4];
    cx.drop_stack(u64::from(i.aux2));
    let after = cx.cpu.gpr[4];
    cx.cpu.gpr[4] = before;
    cx.load_segment(register, selector)?;
    cx.cpu.gpr[4] = after;
    if register == seg::SS {
        cx.cpu.system.shadow = Shadow::MovSs;
        cx.recheck();
    }
    Ok(())
}
/// LDS, LES, LFS, LGS, LSS into segment SEGMENT.
fn load_far_pointer<const SEGMENT: usize>(cx: &mut Cx, i: &Insn) -> Exec {
    let (offset, selector) = far_pointer(cx, i, i.aux)?;
    cx.load_segment(SEGMENT, selector)?;
    match i.aux {
        2 => cx.put(i.reg, offset as u16),
        4 => cx.put(i.reg, offset as u32),
        _ => cx.put(i.reg, offset),
    }
    if SEGMENT == seg::SS {
        cx.recheck();
    }
    Ok(())
}

/// Reads offset (of `size` bytes) and selector from the memory operand.
fn far_pointer(cx: &mut Cx, i: &Insn, size: u8) -> Result<(u64, u16), Fault> {
    let base = cx.offset(i);
    let at = |cx: &mut Cx, by: u64, size: u64| {
        cx.linear(i, i.seg, base.wrapping_add(by) & cx.address_mask(i), size, false)
    };
    let linear = at(cx, 0, u64::from(size))?;
    let offset = match size {
        2 => u64::from(cx.load::<u16>(linear, i.seg)?),
        4 => u64::from(cx.load::<u32>(linear, i.seg)?),
        _ => cx.load::<u64>(linear, i.seg)?,
    };
    let linear = at(cx, u64::from(size), 2)?;
    Ok((offset, cx.load::<u16>(linear, i.seg)?))
}

fn jmp_far<const SIZE: u8, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let (offset, selector) =
        if MEM { far_pointer(cx, i, SIZE)? } else { (i.imm & 0xFFFF_FFFF, (i.imm >> 32) as u16) };
    cx.cpu.resume_rip = cx.next_rip(i);
    cx.jump_far(selector, offset)
}
fn call_far<const SIZE: u8, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let (offset, selector) =
        if MEM { far_pointer(cx, i, SIZE)? } else { (i.imm & 0xFFFF_FFFF, (i.imm >> 32) as u16) };
    let back = cx.next_rip(i);
    cx.cpu.resume_rip = back;
    cx.call_far(selector, offset, SIZE, back)
}
fn ret_far<const SIZE: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.return_far(SIZE, i.imm & 0xFFFF)
}

fn wrfsbase<const SEGMENT: usize, const WIDE: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    fsgsbase_allowed(cx)?;
    let value = if WIDE { cx.get::<u64>(i.reg) } else { u64::from(cx.get::<u32>(i.reg)) };
    cx.write_segment_base(SEGMENT, value)
}
fn rdfsbase<const SEGMENT: usize, const WIDE: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    fsgsbase_allowed(cx)?;
    let base = cx.cpu.system.seg[SEGMENT].base;
    if WIDE {
        cx.put(i.reg, base)
    } else {
        cx.put(i.reg, base as u32)
    }
    Ok(())
}
fn fsgsbase_allowed(cx: &mut Cx) -> Exec {
    let enabled = cx.cpu.code_size == CodeSize::Bits64 && cx.cpu.system.cr4 & cr::CR4_FSGSBASE != 0;
    if enabled { Ok(()) } else { Err(cx.ud()) }
}

fn far(instr: &Instruction) -> Option<Handler> {
    use iced_x86::Code::*;
    Some(match instr.code() {
        Jmp_ptr1616 => jmp_far::<2, false>,
        Jmp_ptr1632 => jmp_far::<4, false>,
        Jmp_m1616 => jmp_far::<2, true>,
        Jmp_m1632 => jmp_far::<4, true>,
        Jmp_m1664 => jmp_far::<8, true>,
        Call_ptr1616 => call_far::<2, false>,
        Call_ptr1632 => call_far::<4, false>,
        Call_m1616 => call_far::<2, true>,
        Call_m1632 => call_far::<4, true>,
        Call_m1664 => call_far::<8, true>,
        Retfw | Retfw_imm16 => ret_far::<2>,
        Retfd | Retfd_imm16 => ret_far::<4>,
        Retfq | Retfq_imm16 => ret_far::<8>,
        _ => return None,
    })
}

fn segment_operand(instr: &Instruction, i: u32) -> bool {
    instr.op_count() > i && instr.op_kind(i) == OpKind::Register && instr.op_register(i).is_segment_register()
}

/// Operand size of PUSH/POP of a segment register.
pub fn stack_slot(instr: &Instruction) -> Option<u8> {
    use iced_x86::Code::*;
    Some(match instr.code() {
        Pushw_ES | Pushw_CS | Pushw_SS | Pushw_DS | Pushw_FS | Pushw_GS | Popw_ES | Popw_SS | Popw_DS
        | Popw_FS | Popw_GS | Popw_CS => 2,
        Pushd_ES | Pushd_CS | Pushd_SS | Pushd_DS | Pushd_FS | Pushd_GS | Popd_ES | Popd_SS | Popd_DS
        | Popd_FS | Popd_GS => 4,
        Pushq_FS | Pushq_GS | Popq_FS | Popq_GS => 8,
        _ => return None,
    })
}

fn base_access(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    const FS: usize = seg::FS;
    const GS: usize = seg::GS;
    let wide = operand_size(instr, 0) == 8;
    Some(match (instr.mnemonic(), wide) {
        (M::Rdfsbase, false) => rdfsbase::<FS, false>,
        (M::Rdfsbase, true) => rdfsbase::<FS, true>,
        (M::Rdgsbase, false) => rdfsbase::<GS, false>,
        (M::Rdgsbase, true) => rdfsbase::<GS, true>,
        (M::Wrfsbase, false) => wrfsbase::<FS, false>,
        (M::Wrfsbase, true) => wrfsbase::<FS, true>,
        (M::Wrgsbase, false) => wrfsbase::<GS, false>,
        _ => wrfsbase::<GS, true>,
    })
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction, _size: CodeSize) -> Option<Handler> {
    use Mnemonic as M;
    debug_assert_eq!(register_code(iced_x86::Register::GS), seg::GS as u8);
    let mem = |i| instr.op_kind(i) == OpKind::Memory;
    match instr.mnemonic() {
        M::Mov if segment_operand(instr, 1) && mem(0) => Some(mov_from_segment::<true>),
        M::Mov if segment_operand(instr, 1) => Some(mov_from_segment::<false>),
        M::Mov if segment_operand(instr, 0) && mem(1) => Some(mov_to_segment::<true>),
        M::Mov if segment_operand(instr, 0) => Some(mov_to_segment::<false>),
        M::Push if segment_operand(instr, 0) => Some(push_segment),
        M::Pop if segment_operand(instr, 0) => Some(pop_segment),
        M::Lds => Some(load_far_pointer::<{ seg::DS }>),
        M::Les => Some(load_far_pointer::<{ seg::ES }>),
        M::Lfs => Some(load_far_pointer::<{ seg::FS }>),
        M::Lgs => Some(load_far_pointer::<{ seg::GS }>),
        M::Lss => Some(load_far_pointer::<{ seg::SS }>),
        M::Jmp | M::Call | M::Retf if form(instr) != Form::Reg => far(instr),
        M::Rdfsbase | M::Rdgsbase | M::Wrfsbase | M::Wrgsbase => base_access(instr),
        _ => None,
    }
}
