//! The architectural state of one logical processor.

use crate::apic::LocalApic;
use crate::cpuid::CpuModel;
use crate::flags::Flags;
use crate::msr::Msrs;
use crate::x87::X87;
use amber_mmu::{AddressSpace, ContextId, ViewId};
use amber_snapshot::{Schema, Section};
use serde::{Deserialize, Serialize};

/// Segment register numbers as encoded.
pub mod seg {
    pub const ES: usize = 0;
    pub const CS: usize = 1;
    pub const SS: usize = 2;
    pub const DS: usize = 3;
    pub const FS: usize = 4;
    pub const GS: usize = 5;
}

/// Control-register and EFER bits.
pub mod cr {
    pub const CR0_PE: u64 = 1;
    pub const CR0_MP: u64 = 1 << 1;
    pub const CR0_EM: u64 = 1 << 2;
    pub const CR0_TS: u64 = 1 << 3;
    pub const CR0_ET: u64 = 1 << 4;
    pub const CR0_NE: u64 = 1 << 5;
    pub const CR0_WP: u64 = 1 << 16;
    pub const CR0_AM: u64 = 1 << 18;
    pub const CR0_NW: u64 = 1 << 29;
    pub const CR0_CD: u64 = 1 << 30;
    pub const CR0_PG: u64 = 1 << 31;
    pub const CR4_VME: u64 = 1;
    pub const CR4_PVI: u64 = 1 << 1;
    pub const CR4_TSD: u64 = 1 << 2;
    pub const CR4_DE: u64 = 1 << 3;
    pub const CR4_PSE: u64 = 1 << 4;
    pub const CR4_PAE: u64 = 1 << 5;
    pub const CR4_MCE: u64 = 1 << 6;
    pub const CR4_PGE: u64 = 1 << 7;
    pub const CR4_PCE: u64 = 1 << 8;
    pub const CR4_OSFXSR: u64 = 1 << 9;
    pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
    pub const CR4_UMIP: u64 = 1 << 11;
    pub const CR4_FSGSBASE: u64 = 1 << 16;
    pub const CR4_PCIDE: u64 = 1 << 17;
    pub const CR4_OSXSAVE: u64 = 1 << 18;
    pub const CR4_SMEP: u64 = 1 << 20;
    pub const CR4_SMAP: u64 = 1 << 21;
    pub const EFER_SCE: u64 = 1;
    pub const EFER_LME: u64 = 1 << 8;
    pub const EFER_LMA: u64 = 1 << 10;
    pub const EFER_NXE: u64 = 1 << 11;
    /// The bits that exist.
    pub const EFER_BITS: u64 = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
}

/// Access-rights bits of a segment: descriptor bits 47:40 and 55:52 (in 15:12), and "unusable" in bit 16, as in a VMCS.
pub mod ar {
    pub const ACCESSED: u32 = 1;
    /// Writable data or readable code.
    pub const RW: u32 = 1 << 1;
    /// Expand-down data or conforming code.
    pub const DC: u32 = 1 << 2;
    pub const CODE: u32 = 1 << 3;
    /// Code or data rather than system.
    pub const S: u32 = 1 << 4;
    pub const DPL_SHIFT: u32 = 5;
    pub const P: u32 = 1 << 7;
    pub const L: u32 = 1 << 13;
    pub const DB: u32 = 1 << 14;
    pub const G: u32 = 1 << 15;
    pub const UNUSABLE: u32 = 1 << 16;
}

/// A segment register with its hidden part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Segment {
    pub selector: u16,
    pub base: u64,
    /// In bytes, inclusive.
    pub limit: u32,
    /// See [`ar`].
    pub access: u32,
}

impl Segment {
    /// As real mode loads it.
    pub fn real(selector: u16) -> Self {
        Self {
            selector,
            base: u64::from(selector) << 4,
            limit: 0xFFFF,
            access: ar::P | ar::S | ar::RW | ar::ACCESSED,
        }
    }
    pub fn dpl(&self) -> u8 {
        (self.access >> ar::DPL_SHIFT & 3) as u8
    }
    pub fn has(&self, bits: u32) -> bool {
        self.access & bits == bits
    }
    pub fn usable(&self) -> bool {
        self.access & ar::UNUSABLE == 0
    }
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct TableRegister {
    pub base: u64,
    pub limit: u16,
}

/// What the processor is doing (SDM Vol. 3C, 25.4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Activity {
    #[default]
    Running,
    /// HLT: waits for an event.
    Halted,
    /// Triple fault.
    Shutdown,
    WaitForSipi,
    /// Stands before a waiting x87 instruction with FERR# asserted, until an interrupt or IGNNE# (SDM Vol. 1, D.2.1).
    Frozen,
    /// MWAIT: waits for an event or a store to the monitored line. With `despite_if` (ECX bit 0) interrupts end the wait
    /// even while RFLAGS.IF is clear.
    Waiting {
        despite_if: bool,
    },
}

/// Blocking by STI or by MOV SS / POP SS for one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Shadow {
    #[default]
    None,
    Sti,
    MovSs,
}

/// Events that have arrived and wait for a boundary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Pending {
    pub nmi: bool,
    pub smi: bool,
    pub init: bool,
    pub sipi: Option<u8>,
    /// DR6 bits of debug traps (single-step, data breakpoints) to be raised after this instruction.
    pub debug: u64,
}

/// Everything but the general registers, flags and vector state.
#[derive(Clone, Debug, Serialize, Deserialize, Schema)]
pub struct System {
    pub seg: [Segment; 6],
    pub ldtr: Segment,
    pub tr: Segment,
    pub gdtr: TableRegister,
    pub idtr: TableRegister,
    pub cpl: u8,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub pdptes: [u64; 4],
    pub efer: u64,
    pub xcr0: u64,
    pub dr: [u64; 4],
    pub dr6: u64,
    pub dr7: u64,
    pub msrs: Msrs,
    pub activity: Activity,
    pub shadow: Shadow,
    pub nmi_blocked: bool,
    pub pending: Pending,
    /// FERR#: an unmasked x87 exception was met with CR0.NE = 0, and is still pending.
    pub ferr: bool,
    /// IGNNE#: x87 instructions go on in spite of it.
    pub ignne: bool,
    pub smm: bool,
    pub smbase: u32,
    /// Guest-physical address of the line MONITOR armed, until a store to it or the end of a wait.
    pub monitor: Option<u64>,
    /// State of the RDRAND/RDSEED generator.
    pub random: u64,
    /// Instructions retired.
    pub retired: u64,
}

impl System {
    /// Writes DR6; reserved bits keep their values.
    pub fn set_dr6(&mut self, value: u64) {
        self.dr6 = value & 0xE00F | 0xFFFF_0FF0;
    }

    /// Writes DR7; reserved bits keep their values.
    pub fn set_dr7(&mut self, value: u64) {
        self.dr7 = value & 0xFFFF_2BFF | 0x400;
    }
}

/// The section of one processor.
#[derive(Clone, Debug, Serialize, Deserialize, Schema)]
pub struct CpuSection {
    pub gpr: [u64; 16],
    pub rip: u64,
    pub rflags: u64,
    pub system: System,
    pub x87: X87,
    pub xmm: [u128; 16],
    pub mxcsr: u32,
    pub apic: LocalApic,
}

impl Section for CpuSection {
    const KIND: &'static str = "x86-cpu";
    const VERSION: u32 = 2;
}

/// Index into `Vcpu::gpr` that always reads 0 (an absent base or index register).
pub const ZERO: u8 = 16;
/// Index into `Vcpu::gpr` that holds the RIP of the block being run (for RIP-relative operands).
pub const BLOCK_RIP: u8 = 17;

/// Index into `Vcpu::gpr` that always reads [`FAR_BY`] (the index register where a RIP-relative displacement and the
/// length of the block before it do not fit [`crate::exec::Insn::disp`]).
pub const FAR: u8 = 18;
/// More than a block is long.
pub const FAR_BY: u64 = 1 << 13;

/// `Vcpu::gpr` with all general registers 0.
pub(crate) const NO_GPR: [u64; 32] = {
    let mut gpr = [0; 32];
    gpr[FAR as usize] = FAR_BY;
    gpr
};

/// Width of the code being run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodeSize {
    #[default]
    Bits16,
    Bits32,
    Bits64,
}

impl CodeSize {
    /// 16, 32 or 64.
    pub fn bits(self) -> u32 {
        16 << self as u32
    }
}

/// An exception on its way to delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raised {
    pub vector: u8,
    pub error: Option<u32>,
    /// CR2 for #PF, DR6 bits for #DB.
    pub address: u64,
}

/// One logical processor: architectural state, and what is derived from it.
#[derive(Clone)]
pub struct Vcpu {
    /// RAX..R15 in encoding order, then [`ZERO`], [`BLOCK_RIP`], [`FAR`] and padding.
    pub gpr: [u64; 32],
    /// Address of the next instruction; inside a block, of the block.
    pub rip: u64,
    pub flags: Flags,
    pub xmm: [u128; 16],
    pub mxcsr: u32,
    pub x87: X87,
    pub system: System,
    pub apic: LocalApic,

    // Derived from here on: never saved.
    pub(crate) model: CpuModel,
    /// Logical processors of the machine.
    pub(crate) cpus: u32,
    pub(crate) code_size: CodeSize,
    /// The bits of RSP that address the stack.
    pub(crate) stack_mask: u64,
    /// Segment bases as 64-bit code sees them.
    pub(crate) flat_base: [u64; 8],
    /// Outside 64-bit code, segments that need no check: usable, writable, base 0, limit 4 GiB (bit per segment).
    pub(crate) flat_segments: u8,
    pub(crate) space: AddressSpace,
    pub(crate) view: ViewId,
    pub(crate) contexts: [Option<ContextId>; 8],
    pub(crate) context: Option<ContextId>,
    pub(crate) context_epoch: u64,
    /// Privilege or paging changed since the active context was chosen.
    pub(crate) context_stale: bool,
    /// The modes that code is looked up by, see [`Vcpu::native_modes`].
    pub(crate) tagged_modes: u64,
    /// Something other than the next instruction may be due at the boundary.
    pub(crate) attention: bool,
    /// Memory accesses are watched: alignment checks, data breakpoints, debugger watchpoints.
    pub(crate) watched: bool,
    /// An implicit supervisor access (descriptor, TSS, stack of an inner level) is under way.
    pub(crate) implicit: bool,
    /// The instruction delivered a software interrupt or did not complete: no single-step trap follows it.
    pub(crate) suppress_trap: bool,
    /// The instruction that returned a fault did not fault, but stands still: see [`Activity::Frozen`].
    pub(crate) freeze: bool,
    /// RIP after the instruction, for those that may switch tasks.
    pub(crate) resume_rip: u64,
    /// RIP to report for a fault after a task switch has committed.
    pub(crate) fault_rip: Option<u64>,
    pub(crate) raised: Raised,
    pub(crate) timing: crate::interp::Timing,
    pub(crate) watch: crate::watch::Watch,
    /// Engine counters.
    pub counters: crate::interp::EngineCounters,
}
