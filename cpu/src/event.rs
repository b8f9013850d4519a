//! Delivery of exceptions and interrupts, and IRET (SDM Vol. 3A, chapters 6 and 21).

use crate::descriptor::{Descriptor, index, is_null, system_type as st};
use crate::exec::{Cx, Exec, Fault, is_canonical};
use crate::flags::{Flags, bit};
use crate::semantics::segment::{GP, NP, TS};
use crate::semantics::task::Reason;
use crate::state::{Activity, CodeSize, Raised, Segment, ar, cr, seg};

/// Exception vectors with names used here.
pub const DB: u8 = 1;
pub const NM: u8 = 7;
pub const DF: u8 = 8;
pub const PF: u8 = 14;
pub const MF: u8 = 16;
pub const AC: u8 = 17;
pub const XM: u8 = 19;

/// DR7.GD: #DB at an access to a debug register; the #DB handler may access them.
pub const DR7_GD: u64 = 1 << 13;

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Interrupt or NMI.
    External,
    /// A fault or trap the processor found.
    Exception,
    /// INT n, INT3, INTO: the gate's DPL is checked, faults carry no EXT bit.
    Software,
    /// INT1.
    Privileged,
}

/// An event to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub vector: u8,
    pub error: Option<u32>,
    pub source: Source,
    /// RIP to push.
    pub rip: u64,
}

/// A stack being built before it is committed.
pub struct InnerStack {
    pub segment: Segment,
    /// RSP.
    pub pointer: u64,
    mask: u64,
    flat: bool,
}

impl InnerStack {
    /// Offset and linear address of what the `n`-th push from here on writes.
    fn slot(&self, cx: &mut Cx, n: u64, size: u8) -> Result<(u64, u64), Fault> {
        let pointer = self.pointer.wrapping_sub(n * u64::from(size)) & self.mask;
        let linear = if self.flat { pointer } else { cx.stack_range(&self.segment, pointer, size)? };
        Ok((pointer, linear))
    }

    /// Checks that `count` pushes will succeed: a transfer that faults leaves memory alone.
    pub fn reserve(&self, cx: &mut Cx, count: usize, size: u8) -> Exec {
        cx.at_level(self.segment.dpl(), |cx| {
            for n in 1..=count as u64 {
                let (_, linear) = self.slot(cx, n, size)?;
                cx.check_store(linear, seg::SS as u8, usize::from(size))?;
            }
            Ok(())
        })
    }

    /// Pushes with the rights of the new privilege level.
    pub fn push(&mut self, cx: &mut Cx, value: u64, size: u8) -> Exec {
        let (pointer, linear) = self.slot(cx, 1, size)?;
        match size {
            2 => cx.store_at(self.segment.dpl(), linear, value as u16)?,
            4 => cx.store_at(self.segment.dpl(), linear, value as u32)?,
            _ => cx.store_at(self.segment.dpl(), linear, value)?,
        }
        self.pointer = self.pointer & !self.mask | pointer;
        Ok(())
    }
}

/// How a second exception combines with one being delivered (SDM table 6-5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Benign,
    Contributory,
    Page,
    Double,
}

fn class(event: &Event) -> Class {
    if event.source != Source::Exception {
        return Class::Benign;
    }
    match event.vector {
        DF => Class::Double,
        PF => Class::Page,
        0 | 10..=13 => Class::Contributory,
        _ => Class::Benign,
    }
}

impl Cx<'_> {
    /// Delivers an event and whatever exceptions its delivery causes, up to shutdown.
    pub fn take_event(&mut self, event: Event) {
        let mut event = event;
        loop {
            self.log_event(&event);
            if self.deliver(&event).is_ok() {
                break;
            }
            let raised = self.cpu.raised;
            let ext = matches!(event.source, Source::External | Source::Exception | Source::Privileged);
            let error = raised
                .error
                .map(|code| if matches!(raised.vector, 10..=13) { code | u32::from(ext) } else { code });
            // A fault after a task switch has committed is the new task's.
            let rip = self.cpu.fault_rip.take().unwrap_or(event.rip);
            let second = Event { vector: raised.vector, error, source: Source::Exception, rip };
            event = match (class(&event), class(&second)) {
                (Class::Double, _) => {
                    self.cpu.system.activity = Activity::Shutdown;
                    break;
                }
                (Class::Contributory, Class::Contributory)
                | (Class::Page, Class::Contributory | Class::Page) => {
                    Event { vector: DF, error: Some(0), source: Source::Exception, rip }
                }
                _ => {
                    self.note_raised(&raised);
                    second
                }
            };
        }
        self.recheck();
    }

    /// Delivers the exception in `Vcpu::raised` at instruction address `rip`.
    pub fn take_fault(&mut self, rip: u64) {
        let raised = self.cpu.raised;
        self.note_raised(&raised);
        self.take_event(Event { vector: raised.vector, error: raised.error, source: Source::Exception, rip });
    }

    /// Registers an exception sets before it is delivered.
    fn note_raised(&mut self, raised: &Raised) {
        if raised.vector == PF {
            self.cpu.system.cr2 = raised.address;
        }
        if raised.vector == DB {
            // Only the breakpoint bits tell of this exception alone (SDM 18.2.3).
            self.cpu.system.dr6 = self.cpu.system.dr6 & !0xF | raised.address;
        }
    }

    fn log_event(&self, event: &Event) {
        let Event { vector, error, source, rip } = *event;
        let (cs, cpl, cr2) =
            (self.cpu.system.seg[seg::CS].selector, self.cpu.system.cpl, self.cpu.system.cr2);
        let (id, now) = (self.cpu.apic.id(), self.now());
        if source == Source::Exception {
            let code = error.unwrap_or(0);
            tracing::trace!(
                target: "exc",
                "cpu{id} {now} ns: exception {vector} error {code:#x} at {cs:04x}:{rip:x} cpl {cpl} cr2 {cr2:x}"
            );
        } else {
            tracing::trace!(target: "int", "cpu{id} {now} ns: {source:?} {vector:#04x} at {cs:04x}:{rip:x} cpl {cpl}");
        }
    }

    /// Delivers INT n and its kin. A fault on the way is the instruction's own.
    pub fn deliver_software(&mut self, event: Event) -> Exec {
        self.log_event(&event);
        self.deliver(&event)?;
        self.cpu.suppress_trap = true;
        self.recheck();
        Ok(())
    }

    fn deliver(&mut self, event: &Event) -> Exec {
        if !self.cpu.protected() {
            self.deliver_real(event)
        } else if self.cpu.long_mode() {
            self.deliver_long(event)
        } else {
            self.deliver_protected(event)
        }?;
        if event.vector == DB && matches!(event.source, Source::Exception | Source::Privileged) {
            self.cpu.system.dr7 &= !DR7_GD;
        }
        Ok(())
    }

    /// RFLAGS as pushed: faults have RF set so that a code breakpoint does not hit again (SDM 17.3.1.1).
    fn pushed_flags(&self, event: &Event) -> u64 {
        let trap = matches!(event.vector, DB | 3 | 4);
        let resume = event.source == Source::Exception && !trap;
        self.cpu.flags.bits() | if resume { bit::RF } else { 0 }
    }

    fn deliver_real(&mut self, event: &Event) -> Exec {
        let entry = u64::from(event.vector) * 4;
        let idtr = self.cpu.system.idtr;
        if entry + 3 > u64::from(idtr.limit) {
            return Err(self.gp(entry as u32 * 2 + 2));
        }
        let target = self.load_system::<u32>(idtr.base.wrapping_add(entry) & 0xFFFF_FFFF)?;
        let image = self.cpu.flags.bits();
        let cs = self.cpu.system.seg[seg::CS].selector;
        self.check_pushes(3, 2)?;
        self.push(image as u16)?;
        self.push(cs)?;
        self.push(event.rip as u16)?;
        self.cpu.flags = Flags::from_bits(image & !(bit::IF | bit::TF | bit::AC | bit::RF));
        let code = &mut self.cpu.system.seg[seg::CS];
        code.selector = (target >> 16) as u16;
        code.base = u64::from(target >> 16) << 4;
        self.cpu.rip = u64::from(target & 0xFFFF);
        self.cpu.segments_changed();
        self.cpu.flags_changed();
        Ok(())
    }

    /// Reads the gate of a vector and checks what all modes check.
    fn gate(&mut self, event: &Event, size: u64) -> Result<Descriptor, Fault> {
        let error = u32::from(event.vector) * 8 + 2;
        let idtr = self.cpu.system.idtr;
        let offset = u64::from(event.vector) * size;
        if offset + size - 1 > u64::from(idtr.limit) {
            return Err(self.gp(error));
        }
        let linear = idtr.base.wrapping_add(offset);
        let low = self.load_system::<u64>(linear)?;
        let high = if size == 16 { self.load_system::<u64>(linear.wrapping_add(8))? } else { 0 };
        let gate = Descriptor { low, high: high & 0xFFFF_FFFF, linear };
        let legal = match gate.kind() {
            st::INTERRUPT_GATE | st::TRAP_GATE => true,
            st::INTERRUPT_GATE16 | st::TRAP_GATE16 | st::TASK_GATE => size == 8,
            _ => false,
        };
        let software = event.source == Source::Software;
        if !legal || !gate.is_system() || software && gate.dpl() < self.cpu.system.cpl {
            return Err(self.gp(error));
        }
        if !gate.present() {
            return Err(self.raise_code(NP, error));
        }
        Ok(gate)
    }

    /// The code segment an interrupt gate leads to, and its new privilege level.
    fn interrupt_target(&mut self, gate: &Descriptor) -> Result<(u16, Descriptor, u8), Fault> {
        let selector = gate.gate_selector();
        if is_null(selector) {
            return Err(self.gp(0));
        }
        let target = self.descriptor(selector, GP)?;
        let cpl = self.cpu.system.cpl;
        let wrong_size = self.cpu.long_mode() && (!target.has(ar::L) || target.has(ar::DB));
        if !target.is_code() || target.dpl() > cpl || wrong_size {
            return Err(self.gp(index(selector)));
        }
        if !target.present() {
            return Err(self.raise_code(NP, index(selector)));
        }
        let inner = if target.is_conforming() { cpl } else { target.dpl() };
        Ok((selector, target, inner))
    }

    fn deliver_long(&mut self, event: &Event) -> Exec {
        let gate = self.gate(event, 16)?;
        let (selector, mut target, cpl) = self.interrupt_target(&gate)?;
        let offset = gate.gate_offset(true);
        if !is_canonical(offset) {
            return Err(self.gp(0));
        }
        let ist = gate.gate_ist();
        let old_ss = self.cpu.system.seg[seg::SS];
        let old_rsp = self.cpu.gpr[4];
        let changes = cpl != self.cpu.system.cpl;
        let mut stack = if ist != 0 || changes {
            self.inner_stack(cpl, ist)?
        } else {
            InnerStack { segment: old_ss, pointer: old_rsp, mask: !0, flat: true }
        };
        stack.segment.access = stack.segment.access & !(3 << ar::DPL_SHIFT) | u32::from(cpl) << ar::DPL_SHIFT;
        stack.pointer &= !15;
        let cs = self.cpu.system.seg[seg::CS].selector;
        let frame = [u64::from(old_ss.selector), old_rsp, self.pushed_flags(event), u64::from(cs), event.rip];
        stack.reserve(self, frame.len() + usize::from(event.error.is_some()), 8)?;
        self.mark_accessed(&mut target)?;
        for value in frame {
            stack.push(self, value, 8)?;
        }
        if let Some(code) = event.error {
            stack.push(self, u64::from(code), 8)?;
        }
        if changes {
            let access = ar::UNUSABLE | u32::from(cpl) << ar::DPL_SHIFT;
            self.cpu.system.seg[seg::SS] = Segment { selector: u16::from(cpl), base: 0, limit: 0, access };
        }
        self.cpu.gpr[4] = stack.pointer;
        self.enter_handler(&gate, selector, &target, cpl, offset);
        Ok(())
    }

    fn enter_handler(&mut self, gate: &Descriptor, selector: u16, target: &Descriptor, cpl: u8, offset: u64) {
        let interrupt = gate.kind() & 1 == 0;
        let mut clear = bit::TF | bit::NT | bit::VM | bit::RF;
        if interrupt {
            clear |= bit::IF;
        }
        self.cpu.flags.set(clear, false);
        self.enter_code(selector, target, cpl, offset);
    }

    fn deliver_task(&mut self, event: &Event, selector: u16) -> Exec {
        self.task_switch(selector, Reason::Interrupt { rip: event.rip })?;
        if let Some(code) = event.error {
            self.select_context();
            let size = if self.cpu.task_is_32_bit() { 4 } else { 2 };
            let pushed = self.push_sized(u64::from(code), size);
            pushed.inspect_err(|_| self.cpu.task_committed())?;
        }
        Ok(())
    }

    fn deliver_protected(&mut self, event: &Event) -> Exec {
        let gate = self.gate(event, 8)?;
        if gate.kind() == st::TASK_GATE {
            return self.deliver_task(event, gate.gate_selector());
        }
        let (selector, mut target, cpl) = self.interrupt_target(&gate)?;
        let offset = gate.gate_offset(false);
        let size = if gate.kind() & 8 != 0 { 4 } else { 2 };
        self.check_offset(&target, offset)?;
        let v86 = self.cpu.virtual_8086();
        if v86 && cpl != 0 {
            return Err(self.gp(index(selector)));
        }
        let old_ss = self.cpu.system.seg[seg::SS];
        let changes = cpl != self.cpu.system.cpl;
        let mut stack = if changes {
            self.inner_stack(cpl, 0)?
        } else {
            let (pointer, mask) = (self.cpu.gpr[4], self.cpu.stack_mask);
            InnerStack { segment: old_ss, pointer, mask, flat: false }
        };
        let pushes = 3 + 2 * usize::from(changes) + 4 * usize::from(v86) + usize::from(event.error.is_some());
        stack.reserve(self, pushes, size)?;
        self.mark_accessed(&mut target)?;
        if v86 {
            for register in [seg::GS, seg::FS, seg::DS, seg::ES] {
                stack.push(self, u64::from(self.cpu.system.seg[register].selector), size)?;
            }
        }
        if changes {
            stack.push(self, u64::from(old_ss.selector), size)?;
            stack.push(self, self.stack_pointer_image(), size)?;
        }
        let cs = self.cpu.system.seg[seg::CS].selector;
        let flags = self.pushed_flags(event);
        stack.push(self, flags, size)?;
        stack.push(self, u64::from(cs), size)?;
        stack.push(self, event.rip, size)?;
        if let Some(code) = event.error {
            stack.push(self, u64::from(code), size)?;
        }
        if v86 {
            for register in [seg::GS, seg::FS, seg::DS, seg::ES] {
                self.cpu.system.seg[register] =
                    Segment { selector: 0, base: 0, limit: 0, access: ar::UNUSABLE };
            }
        }
        if changes {
            self.cpu.system.seg[seg::SS] = stack.segment;
        }
        self.enter_handler(&gate, selector, &target, cpl, offset);
        self.set_stack_pointer(stack.pointer);
        Ok(())
    }

    /// ESP as an inter-privilege event or call pushes it: all 32 bits.
    pub fn stack_pointer_image(&self) -> u64 {
        self.cpu.gpr[4] & 0xFFFF_FFFF
    }

    /// The stack the TSS gives for privilege level `cpl`, or an IST entry.
    pub fn inner_stack(&mut self, cpl: u8, ist: u8) -> Result<InnerStack, Fault> {
        let tr = self.cpu.system.tr;
        let short = |cx: &mut Self| Err(cx.raise_code(TS, index(tr.selector)));
        if self.cpu.long_mode() {
            let offset = if ist != 0 { 0x1C + u32::from(ist) * 8 } else { 4 + u32::from(cpl) * 8 };
            if offset + 7 > tr.limit {
                return short(self);
            }
            let pointer = self.load_system::<u64>(tr.base.wrapping_add(u64::from(offset)))?;
            if !is_canonical(pointer) {
                return Err(self.raise_code(12, 0));
            }
            let access = ar::UNUSABLE | u32::from(cpl) << ar::DPL_SHIFT;
            let segment = Segment { selector: u16::from(cpl), base: 0, limit: 0, access };
            return Ok(InnerStack { segment, pointer, mask: !0, flat: true });
        }
        let wide = self.cpu.task_is_32_bit();
        let offset = if wide { 4 + u32::from(cpl) * 8 } else { 2 + u32::from(cpl) * 4 };
        if offset + if wide { 5 } else { 3 } > tr.limit {
            return short(self);
        }
        let at = tr.base.wrapping_add(u64::from(offset));
        let (pointer, selector) = if wide {
            (u64::from(self.load_system::<u32>(at)?), self.load_system::<u16>(at.wrapping_add(4))?)
        } else {
            (u64::from(self.load_system::<u16>(at)?), self.load_system::<u16>(at.wrapping_add(2))?)
        };
        let segment = self.stack_segment(selector, cpl, TS)?;
        let mask = if segment.has(ar::DB) { 0xFFFF_FFFF } else { 0xFFFF };
        Ok(InnerStack { segment, pointer, mask, flat: false })
    }

    // ---- IRET ----

    /// IRET with an operand size of `size` bytes.
    pub fn interrupt_return(&mut self, size: u8) -> Exec {
        // NMIs are unblocked even if the IRET faults (SDM 6.7.1).
        self.cpu.system.nmi_blocked = false;
        if !self.cpu.protected() {
            return self.iret_real(size);
        }
        if self.cpu.virtual_8086() {
            return self.iret_v86(size);
        }
        if self.cpu.flags.has(bit::NT) {
            return if self.cpu.long_mode() { Err(self.gp(0)) } else { self.task_return() };
        }
        let step = u64::from(size);
        let rip = self.peek_sized(0, size)?;
        let selector = self.peek_sized(step, size)? as u16;
        let image = self.peek_sized(2 * step, size)?;
        if image & bit::VM != 0 && size == 4 && self.cpu.system.cpl == 0 && !self.cpu.long_mode() {
            return self.iret_to_v86(rip, selector, image);
        }
        let (mut found, rpl) = self.return_code(selector)?;
        self.check_offset(&found, rip)?;
        let outer = rpl != self.cpu.system.cpl;
        let stack = if outer || self.cpu.code_size == CodeSize::Bits64 {
            let sp = self.peek_sized(3 * step, size)?;
            let ss = self.peek_sized(4 * step, size)? as u16;
            Some((self.outer_stack(ss, rpl, &found)?, sp))
        } else {
            None
        };
        self.mark_accessed(&mut found)?;
        self.restore_flags(image, size);
        match stack {
            Some((segment, sp)) => {
                self.cpu.system.seg[seg::SS] = segment;
                self.enter_code(selector, &found, rpl, rip);
                self.set_stack_pointer(sp);
                if outer {
                    self.drop_privileged_segments();
                }
            }
            None => {
                self.drop_stack(3 * step);
                self.enter_code(selector, &found, rpl, rip);
            }
        }
        Ok(())
    }

    /// Loads RFLAGS from an IRET frame with the current privilege.
    fn restore_flags(&mut self, image: u64, size: u8) {
        let mut mask = bit::ARITHMETIC | bit::TF | bit::DF | bit::NT;
        if size != 2 {
            mask |= bit::RF | bit::AC | bit::ID;
        }
        if self.cpu.system.cpl <= self.iopl() {
            mask |= bit::IF;
        }
        if self.cpu.system.cpl == 0 {
            mask |= bit::IOPL;
            if size != 2 {
                mask |= bit::VIF | bit::VIP;
            }
        }
        self.load_flags(image, mask);
    }

    fn iret_real(&mut self, size: u8) -> Exec {
        let step = u64::from(size);
        let rip = self.peek_sized(0, size)?;
        let selector = self.peek_sized(step, size)? as u16;
        let image = self.peek_sized(2 * step, size)?;
        if rip > u64::from(self.cpu.system.seg[seg::CS].limit) {
            return Err(self.gp(0));
        }
        self.drop_stack(3 * step);
        let mask = if size == 2 { 0x7FD5 } else { 0x7FD5 | bit::RF | bit::AC | bit::ID };
        self.load_flags(image, mask);
        self.jump_far(selector, rip)
    }

    /// IRET in virtual-8086 mode (SDM Vol. 3B, 21.2.5).
    fn iret_v86(&mut self, size: u8) -> Exec {
        let vme = self.cpu.system.cr4 & cr::CR4_VME != 0;
        let virtualised = self.iopl() < 3;
        if virtualised && !(vme && size == 2) {
            return Err(self.gp(0));
        }
        let step = u64::from(size);
        let rip = self.peek_sized(0, size)?;
        let selector = self.peek_sized(step, size)? as u16;
        let image = self.peek_sized(2 * step, size)?;
        let pending = image & bit::IF != 0 && self.cpu.flags.has(bit::VIP);
        if rip > 0xFFFF || virtualised && (image & bit::TF != 0 || pending) {
            return Err(self.gp(0));
        }
        self.drop_stack(3 * step);
        let mut mask = bit::ARITHMETIC | bit::TF | bit::DF | bit::NT;
        if size != 2 {
            mask |= bit::RF | bit::AC | bit::ID;
        }
        if virtualised {
            let virtual_if = if image & bit::IF != 0 { bit::VIF } else { 0 };
            self.load_flags(image & !bit::VIF | virtual_if, mask | bit::VIF);
        } else {
            self.load_flags(image, mask | bit::IF);
        }
        self.cpu.system.seg[seg::CS] = Segment { access: 0xF3, ..Segment::real(selector) };
        self.cpu.rip = rip;
        self.cpu.segments_changed();
        Ok(())
    }

    fn iret_to_v86(&mut self, rip: u64, selector: u16, image: u64) -> Exec {
        if rip > 0xFFFF {
            return Err(self.gp(0));
        }
        let sp = self.peek_sized(12, 4)?;
        let mut selectors = [0u16; 5];
        for (n, value) in selectors.iter_mut().enumerate() {
            *value = self.peek_sized(16 + 4 * n as u64, 4)? as u16;
        }
        self.cpu.flags = Flags::from_bits(image);
        let v86 = |selector| Segment { access: 0xF3, ..Segment::real(selector) };
        let order = [seg::SS, seg::ES, seg::DS, seg::FS, seg::GS];
        for (register, selector) in order.into_iter().zip(selectors) {
            self.cpu.system.seg[register] = v86(selector);
        }
        self.cpu.system.seg[seg::CS] = v86(selector);
        self.cpu.system.cpl = 3;
        self.cpu.gpr[4] = sp;
        self.cpu.rip = rip;
        self.cpu.mode_changed();
        self.cpu.flags_changed();
        self.recheck();
        Ok(())
    }
}
