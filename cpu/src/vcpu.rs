//! A logical processor: power-up, INIT, what is derived from its state, and its section.

use crate::apic::LocalApic;
use crate::cpuid::{CpuModel, feature};
use crate::exec::{Cx, Exec, Fault};
use crate::flags::{Flags, bit};
use crate::msr::Msrs;
use crate::softfloat::Mxcsr;
use crate::state::{
    Activity, BLOCK_RIP, CodeSize, CpuSection, NO_GPR, Pending, Raised, Segment, Shadow, System,
    TableRegister, Vcpu, ar, cr, seg,
};
use crate::watch::Watch;
use crate::x87::{X87, status};
use amber_mmu::{AddressSpace, ContextId, PagingMode, Rights, ViewId, Word};
use amber_snapshot::{OwnedSection, Section, SectionError};

/// The exception masks of MXCSR.
const MXCSR_MASKS: u32 = 0x1F80;
/// APIC page size.
const APIC_PAGE: u64 = 0x1000;

impl System {
    fn power_up(bsp: bool, seed: u64) -> Self {
        let table = TableRegister { base: 0, limit: 0xFFFF };
        let system = |kind| Segment { selector: 0, base: 0, limit: 0xFFFF, access: ar::P | kind };
        Self {
            seg: [Segment::real(0); 6],
            ldtr: system(2),
            tr: system(11),
            gdtr: table,
            idtr: table,
            cpl: 0,
            cr0: cr::CR0_ET | cr::CR0_CD | cr::CR0_NW,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            pdptes: [0; 4],
            efer: 0,
            xcr0: 1,
            dr: [0; 4],
            dr6: 0xFFFF_0FF0,
            dr7: 0x400,
            msrs: Msrs::reset(),
            activity: if bsp { Activity::Running } else { Activity::WaitForSipi },
            shadow: Shadow::None,
            nmi_blocked: false,
            pending: Pending::default(),
            ferr: false,
            ignne: false,
            smm: false,
            smbase: 0x3_0000,
            monitor: None,
            random: seed,
            retired: 0,
        }
    }
}

impl Vcpu {
    /// A processor after power-up. `id` is its APIC id; the one with id 0 is the bootstrap processor.
    pub fn new(model: CpuModel, id: u32, cpus: u32, seed: u64) -> Self {
        let bsp = id == 0;
        let mut vcpu = Self {
            gpr: NO_GPR,
            rip: 0,
            flags: Flags::from_bits(bit::ONE),
            xmm: [0; 16],
            mxcsr: 0x1F80,
            x87: X87::default(),
            system: System::power_up(
                bsp,
                seed.wrapping_add(u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            ),
            apic: LocalApic::new(id, bsp),
            model,
            cpus,
            code_size: CodeSize::Bits16,
            stack_mask: 0xFFFF,
            flat_base: [0; 8],
            flat_segments: 0,
            space: AddressSpace::unpaged(model.physical_bits),
            view: ViewId(0),
            contexts: [None; 8],
            context: None,
            context_epoch: 0,
            context_stale: true,
            tagged_modes: 0,
            attention: true,
            watched: false,
            implicit: false,
            suppress_trap: false,
            freeze: false,
            resume_rip: 0,
            fault_rip: None,
            raised: Raised::default(),
            timing: Default::default(),
            watch: Default::default(),
            counters: Default::default(),
        };
        vcpu.reset_registers();
        vcpu
    }

    /// Registers as RESET and INIT leave them (SDM table 9-1).
    fn reset_registers(&mut self) {
        self.gpr = NO_GPR;
        self.gpr[2] = u64::from(self.model.signature);
        self.rip = 0xFFF0;
        self.flags = Flags::from_bits(bit::ONE);
        let code = Segment { base: 0xFFFF_0000, access: 0x9B, ..Segment::real(0xF000) };
        self.system.seg[seg::CS] = code;
        self.derive();
    }

    /// INIT: as RESET, but x87, SSE, MSRs, the TSC and CD/NW stay (SDM 9.1, table 9-1). So does a start-up IPI that came
    /// after it.
    pub(crate) fn init(&mut self) {
        let bsp = self.apic.base & crate::apic::BASE_BSP != 0;
        let fresh = System::power_up(bsp, self.system.random);
        let old = &self.system;
        self.system = System {
            cr0: old.cr0 & (cr::CR0_CD | cr::CR0_NW) | cr::CR0_ET,
            msrs: old.msrs.clone(),
            random: old.random,
            retired: old.retired,
            smbase: old.smbase,
            xcr0: old.xcr0,
            ferr: old.ferr,
            ignne: old.ignne,
            pending: Pending {
                smi: old.pending.smi,
                sipi: old.pending.sipi.filter(|_| !bsp),
                ..Pending::default()
            },
            ..fresh
        };
        self.apic.init();
        self.reset_registers();
    }

    /// Start-up IPI: real mode at `vector` * 4 KiB.
    pub(crate) fn start_up(&mut self, vector: u8) {
        self.system.activity = Activity::Running;
        self.system.seg[seg::CS] = Segment { access: 0x9B, ..Segment::real(u16::from(vector) << 8) };
        self.rip = 0;
        self.derive();
    }

    // ---- predicates ----

    /// CR0.PE.
    #[inline]
    pub fn protected(&self) -> bool {
        self.system.cr0 & cr::CR0_PE != 0
    }
    /// RFLAGS.VM in protected mode.
    #[inline]
    pub fn virtual_8086(&self) -> bool {
        self.flags.has(bit::VM) && self.protected()
    }
    /// IA-32e mode (EFER.LMA), in 64-bit or compatibility mode.
    #[inline]
    pub fn long_mode(&self) -> bool {
        self.system.efer & cr::EFER_LMA != 0
    }
    /// PAE paging: the PDPTEs are registers.
    pub fn uses_pdptes(&self) -> bool {
        let System { cr0, cr4, .. } = self.system;
        cr0 & cr::CR0_PG != 0 && cr4 & cr::CR4_PAE != 0 && !self.long_mode()
    }
    /// Whether the current TSS is a 32-bit one.
    pub fn task_is_32_bit(&self) -> bool {
        self.system.tr.access & 8 != 0
    }
    /// Width of the code being run.
    pub fn code_size(&self) -> CodeSize {
        self.code_size
    }
    /// Linear address of the next instruction.
    pub fn linear_rip(&self) -> u64 {
        match self.code_size {
            CodeSize::Bits64 => self.rip,
            _ => self.system.seg[seg::CS].base.wrapping_add(self.rip) & 0xFFFF_FFFF,
        }
    }
    /// How linear addresses translate now.
    pub fn address_space(&self) -> &AddressSpace {
        &self.space
    }
    /// Which address map the processor sees.
    pub fn view(&self) -> ViewId {
        self.view
    }
    /// Whether the processor executes instructions (or has an event that would make it).
    pub fn runnable(&self, external: bool) -> bool {
        let pending = &self.system.pending;
        let (init, smi) = (self.init_due(), self.smi_due());
        let nmi = pending.nmi && !self.system.nmi_blocked;
        match self.system.activity {
            Activity::Running => true,
            Activity::Shutdown => init || nmi || smi,
            Activity::WaitForSipi => pending.sipi.is_some() || init,
            Activity::Frozen if self.system.ignne => true,
            Activity::Waiting { .. } if self.system.monitor.is_none() => true,
            activity => {
                let always = activity == (Activity::Waiting { despite_if: true });
                let maskable = always || self.flags.has(bit::IF);
                let interrupt =
                    || self.apic.deliverable().is_some() || external && self.apic.external_interrupts();
                maskable && interrupt() || init || smi || nmi || pending.debug != 0
            }
        }
    }

    /// Whether an INIT is to be taken at the next boundary: SMM blocks it.
    pub(crate) fn init_due(&self) -> bool {
        self.system.pending.init && !self.system.smm
    }

    /// Whether an SMI is to be taken at the next boundary. It waits for a start-up IPI, and until an interrupt shadow
    /// and debug traps of the interrupted program are over: the handler's program must not get them.
    pub(crate) fn smi_due(&self) -> bool {
        let System { pending, shadow, smm, activity, .. } = &self.system;
        pending.smi
            && !smm
            && *activity != Activity::WaitForSipi
            && *shadow == Shadow::None
            && pending.debug == 0
    }

    /// An INIT arrives. A start-up IPI that arrived before it has lost its meaning.
    pub fn accept_init(&mut self) {
        self.system.pending.init = true;
        self.system.pending.sipi = None;
    }

    /// A start-up IPI arrives. It counts while the processor waits for one, or is about to when it takes an INIT.
    pub fn accept_sipi(&mut self, vector: u8) {
        if self.system.activity == Activity::WaitForSipi || self.system.pending.init {
            self.system.pending.sipi.get_or_insert(vector);
        }
    }

    /// Whether the processor waits for what may come with time: an interrupt that it will take, or a store by a device.
    pub fn interruptible(&self) -> bool {
        match self.system.activity {
            Activity::Halted | Activity::Frozen => self.flags.has(bit::IF),
            Activity::Waiting { .. } => true,
            Activity::Running | Activity::Shutdown | Activity::WaitForSipi => false,
        }
    }

    /// Whether SSE instructions neither are unavailable nor can raise an exception: then the host's may stand for them.
    pub(crate) fn runs_sse_natively(&self) -> bool {
        let system = &self.system;
        system.cr0 & (cr::CR0_TS | cr::CR0_EM) == 0
            && system.cr4 & cr::CR4_OSFXSR != 0
            && self.mxcsr & MXCSR_MASKS == MXCSR_MASKS
            // The guest cannot set reserved bits, but a file can, and the host would fault on them.
            && self.mxcsr & !Mxcsr::WRITABLE == 0
    }

    /// The same for x87 instructions.
    pub(crate) fn runs_x87_natively(&self) -> bool {
        self.system.cr0 & (cr::CR0_TS | cr::CR0_EM) == 0
            && self.x87.control & status::EXCEPTIONS == status::EXCEPTIONS
            && !self.x87.pending()
    }

    /// Which instructions translations may leave to the host as they are: SSE in bit 0, x87 in bit 1.
    pub(crate) fn native_modes(&self) -> u64 {
        u64::from(self.runs_sse_natively()) | u64::from(self.runs_x87_natively()) << 1
    }

    /// MONITOR and MWAIT exist (IA32_MISC_ENABLE bit 18).
    pub(crate) fn has_monitor(&self) -> bool {
        self.model.features_1_ecx & feature::MONITOR != 0
            && self.system.msrs.misc_enable & crate::msr::ENABLE_MONITOR_FSM != 0
    }

    // ---- derived state ----

    /// Recomputes everything that is derived from architectural state.
    pub fn derive(&mut self) {
        self.paging_changed();
        self.mode_changed();
        self.segments_changed();
        self.flags_changed();
        self.debug_changed();
        self.view = ViewId(u8::from(self.system.smm));
        self.attention = true;
    }

    /// CS, CPL or EFER.LMA changed.
    pub(crate) fn mode_changed(&mut self) {
        let size = self.size_of_code();
        let before = std::mem::replace(&mut self.code_size, size);
        // Within 64-bit code segments keep their meaning.
        if before != CodeSize::Bits64 || size != CodeSize::Bits64 {
            self.segments_changed();
        }
        self.watch_changed();
        self.context_stale = true;
        self.attention = true;
    }

    fn size_of_code(&self) -> CodeSize {
        let cs = &self.system.seg[seg::CS];
        if self.long_mode() && cs.access & ar::L != 0 {
            CodeSize::Bits64
        } else if cs.access & ar::DB != 0 && self.protected() && !self.virtual_8086() {
            CodeSize::Bits32
        } else if cs.access & ar::DB != 0 && !self.protected() {
            // Real mode entered from protected mode keeps D until CS is loaded.
            CodeSize::Bits32
        } else {
            CodeSize::Bits16
        }
    }

    /// A segment register changed.
    pub(crate) fn segments_changed(&mut self) {
        let segments = &self.system.seg;
        self.flat_base = [0; 8];
        self.flat_base[seg::FS] = segments[seg::FS].base;
        self.flat_base[seg::GS] = segments[seg::GS].base;
        self.stack_mask = match self.code_size {
            CodeSize::Bits64 => !0,
            _ if segments[seg::SS].access & ar::DB != 0 => 0xFFFF_FFFF,
            _ => 0xFFFF,
        };
        if self.code_size == CodeSize::Bits64 {
            // Nobody asks.
            self.flat_segments = 0;
            return;
        }
        let flat = |segment: &Segment| {
            let writable =
                segment.access & (ar::CODE | ar::RW | ar::DC | ar::S | ar::UNUSABLE) == ar::RW | ar::S;
            segment.base == 0 && segment.limit == !0 && writable
        };
        self.flat_segments =
            segments.iter().enumerate().fold(0, |all, (n, segment)| all | u8::from(flat(segment)) << n);
    }

    /// RFLAGS bits outside the arithmetic ones changed.
    pub(crate) fn flags_changed(&mut self) {
        if self.system.cr4 & cr::CR4_SMAP != 0 || self.system.cr0 & cr::CR0_AM != 0 {
            self.watch_changed();
            self.context_stale = true;
        }
        self.attention = true;
    }

    /// CR0, CR3, CR4, EFER or the PDPTEs changed.
    pub(crate) fn paging_changed(&mut self) {
        let system = &self.system;
        let mode = if system.cr0 & cr::CR0_PG == 0 {
            PagingMode::Off
        } else if self.long_mode() {
            PagingMode::Level4
        } else if system.cr4 & cr::CR4_PAE != 0 {
            PagingMode::Pae
        } else {
            PagingMode::Bits32 { pse: system.cr4 & cr::CR4_PSE != 0 }
        };
        let root = match mode {
            PagingMode::Off | PagingMode::Pae => 0,
            PagingMode::Bits32 { .. } => system.cr3 & 0xFFFF_F000,
            PagingMode::Level4 => system.cr3 & 0x000F_FFFF_FFFF_F000,
        };
        self.space = AddressSpace {
            mode,
            root,
            pdptes: if mode == PagingMode::Pae { system.pdptes } else { [0; 4] },
            write_protect: system.cr0 & cr::CR0_WP != 0,
            no_execute: system.efer & cr::EFER_NXE != 0,
            smep: system.cr4 & cr::CR4_SMEP != 0,
            smap: system.cr4 & cr::CR4_SMAP != 0,
            physical_bits: self.model.physical_bits,
        };
        self.contexts = [None; 8];
        self.context_stale = true;
        self.attention = true;
    }

    /// Debug registers or watchpoints changed.
    pub(crate) fn debug_changed(&mut self) {
        self.watch_changed();
        self.context_stale = true;
        self.attention = true;
    }

    /// Offset in the APIC page, if the xAPIC decodes this address.
    #[inline]
    pub(crate) fn apic_offset(&self, gpa: u64) -> Option<u64> {
        let base = self.apic.base & !0xFFF & ((1 << self.model.physical_bits) - 1);
        (gpa.wrapping_sub(base) < APIC_PAGE && self.apic.enabled() && !self.apic.x2apic()).then(|| gpa - base)
    }

    /// The next value of the RDRAND generator (splitmix64).
    pub(crate) fn next_random(&mut self) -> u64 {
        self.system.random = self.system.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.system.random;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// RIP to save in an outgoing TSS.
    pub(crate) fn task_return_rip(&self) -> u64 {
        self.resume_rip
    }
    /// From here on faults of a task switch are reported in the new task.
    pub(crate) fn task_committed(&mut self) {
        self.fault_rip = Some(self.rip);
    }

    /// The processor is at another machine than before: nothing that was cached of that one's memory holds.
    pub fn arrive(&mut self) {
        self.context = None;
        self.context_epoch = 0;
        self.derive();
    }

    /// Takes the state over that `then` has; debugger and counters stay.
    pub fn rewind(&mut self, then: &Self) {
        let (watch, counters) = (std::mem::take(&mut self.watch), self.counters);
        self.clone_from(then);
        // Which breakpoint a run goes on from belongs to the place, not to the debugger.
        self.watch = Watch { reported: then.watch.reported, ..watch };
        self.counters = counters;
        self.arrive();
    }

    // ---- section ----

    /// The processor's section.
    pub fn save(&self, path: &str) -> OwnedSection {
        let mut gpr = [0; 16];
        gpr.copy_from_slice(&self.gpr[..16]);
        CpuSection {
            gpr,
            rip: self.rip,
            rflags: self.flags.bits(),
            system: self.system.clone(),
            x87: self.x87,
            xmm: self.xmm,
            mxcsr: self.mxcsr,
            apic: self.apic.clone(),
        }
        .to_section(path)
    }

    /// Replaces the processor's state; nothing changes on error.
    pub fn restore(&mut self, section: &OwnedSection) -> Result<(), SectionError> {
        let CpuSection { gpr, rip, rflags, system, x87, xmm, mxcsr, apic } =
            CpuSection::from_section(section)?;
        self.gpr = NO_GPR;
        self.gpr[..16].copy_from_slice(&gpr);
        self.gpr[BLOCK_RIP as usize] = rip;
        self.rip = rip;
        self.flags = Flags::from_bits(rflags);
        self.system = system;
        self.x87 = x87;
        self.xmm = xmm;
        self.mxcsr = mxcsr;
        self.apic = apic;
        self.derive();
        Ok(())
    }
}

impl Cx<'_> {
    fn rights(&self, user: bool, implicit: bool) -> Rights {
        let cpu = &self.cpu;
        let smap = cpu.system.cr4 & cr::CR4_SMAP != 0;
        Rights {
            user,
            smap_enforced: smap && !user && (implicit || !cpu.flags.has(bit::AC)),
            watched: cpu.watched,
        }
    }

    fn context_for(&mut self, rights: Rights) -> ContextId {
        if self.mmu.context_epoch() != self.cpu.context_epoch {
            self.cpu.contexts = [None; 8];
            self.cpu.context_epoch = self.mmu.context_epoch();
        }
        let slot = slot(rights);
        if let Some(context) = self.cpu.contexts[slot] {
            return context;
        }
        self.open_context(rights, slot)
    }

    #[cold]
    #[inline(never)]
    fn open_context(&mut self, rights: Rights, slot: usize) -> ContextId {
        let context = self.mmu.context(&self.cpu.space, rights, self.cpu.view);
        if self.mmu.context_epoch() != self.cpu.context_epoch {
            self.cpu.contexts = [None; 8];
            self.cpu.context_epoch = self.mmu.context_epoch();
        }
        self.cpu.contexts[slot] = Some(context);
        context
    }

    /// The TLB context that SYSCALL or SYSRET lead to, if it is known. The active context was chosen just now.
    pub(crate) fn context_of_other_level(&self) -> Option<ContextId> {
        let user = match self.cpu.system.cpl {
            0 => true,
            3 => false,
            _ => return None,
        };
        if self.cpu.flags.has(bit::AC) {
            return None;
        }
        debug_assert_eq!(self.mmu.context_epoch(), self.cpu.context_epoch);
        self.cpu.contexts[slot(self.rights(user, false))]
    }

    /// Makes the TLB context of the current privilege the active one.
    pub(crate) fn select_context(&mut self) {
        self.cpu.context_stale = false;
        let rights = self.rights(self.cpu.system.cpl == 3, false);
        let context = self.context_for(rights);
        self.cpu.context = Some(context);
        self.mmu.activate(context);
    }

    pub(crate) fn active_context(&mut self) -> ContextId {
        match self.cpu.context {
            Some(context) => context,
            None => {
                self.select_context();
                self.cpu.context.unwrap_or_else(|| unreachable!("selecting sets the context"))
            }
        }
    }

    /// Runs an access with other rights than the current ones.
    fn with_rights<R>(
        &mut self,
        rights: Rights,
        access: impl FnOnce(&mut Self) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let current = self.active_context();
        let other = self.context_for(rights);
        self.cpu.context = Some(other);
        self.mmu.activate(other);
        let outer = std::mem::replace(&mut self.cpu.implicit, true);
        let outcome = access(self);
        self.cpu.implicit = outer;
        self.cpu.context = Some(current);
        self.mmu.activate(current);
        outcome
    }

    /// Reads as an implicit supervisor access (descriptor tables, TSS).
    pub fn load_system<T: Word>(&mut self, linear: u64) -> Result<T, Fault> {
        let rights = self.rights(false, true);
        self.with_rights(rights, |cx| cx.load(cx.system_linear(linear), seg::DS as u8))
    }

    /// Writes as an implicit supervisor access.
    pub fn store_system<T: Word>(&mut self, linear: u64, value: T) -> Exec {
        let rights = self.rights(false, true);
        self.with_rights(rights, |cx| cx.store(cx.system_linear(linear), seg::DS as u8, value))
    }

    fn system_linear(&self, linear: u64) -> u64 {
        if self.cpu.long_mode() { linear } else { linear & 0xFFFF_FFFF }
    }

    /// Writes with the rights of privilege level `cpl` (the stack of a level being entered).
    pub fn store_at<T: Word>(&mut self, cpl: u8, linear: u64, value: T) -> Exec {
        self.at_level(cpl, |cx| cx.store(cx.system_linear(linear), seg::SS as u8, value))
    }

    /// Runs an access with the rights of privilege level `cpl`.
    pub fn at_level<R>(
        &mut self,
        cpl: u8,
        access: impl FnOnce(&mut Self) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let rights = self.rights(cpl == 3, cpl != 3);
        self.with_rights(rights, access)
    }

    /// Linear address of `size` stack bytes at `offset` of a stack segment not yet loaded.
    pub fn stack_range(&mut self, segment: &Segment, offset: u64, size: u8) -> Result<u64, Fault> {
        match within(segment, offset, u64::from(size)) {
            true => Ok(segment.base.wrapping_add(offset) & 0xFFFF_FFFF),
            false => Err(self.raise_code(12, crate::descriptor::index(segment.selector))),
        }
    }

    /// Linear address of an access outside 64-bit mode, after limit and type checks (SDM 5.3 to 5.5).
    #[inline(never)]
    pub fn linear_segmented(
        &mut self,
        segment: u8,
        offset: u64,
        size: u64,
        write: bool,
    ) -> Result<u64, Fault> {
        let n = usize::from(segment) % 6;
        if self.cpu.flat_segments >> n & 1 != 0 && offset + size <= 1 << 32 {
            return Ok(offset);
        }
        let loaded = self.cpu.system.seg[n];
        let checked = self.cpu.protected() && !self.cpu.virtual_8086();
        let typed = !checked
            || loaded.usable()
                && if write {
                    loaded.access & (ar::CODE | ar::RW) == ar::RW
                } else {
                    loaded.access & (ar::CODE | ar::RW) != ar::CODE
                };
        if typed && within(&loaded, offset, size) {
            return Ok(loaded.base.wrapping_add(offset) & 0xFFFF_FFFF);
        }
        Err(if n == seg::SS { self.raise_code(12, 0) } else { self.gp(0) })
    }
}

/// Where [`Vcpu::contexts`] has the context for some rights.
fn slot(rights: Rights) -> usize {
    usize::from(rights.user) | usize::from(rights.smap_enforced) << 1 | usize::from(rights.watched) << 2
}

/// Whether `size` bytes at `offset` lie within a segment's limit.
fn within(segment: &Segment, offset: u64, size: u64) -> bool {
    let last = offset + size - 1;
    let limit = u64::from(segment.limit);
    if segment.access & (ar::CODE | ar::DC | ar::S) == ar::DC | ar::S {
        // Expand-down: valid above the limit.
        let top = if segment.access & ar::DB != 0 { 0xFFFF_FFFF } else { 0xFFFF };
        offset > limit && last <= top
    } else {
        last <= limit
    }
}
