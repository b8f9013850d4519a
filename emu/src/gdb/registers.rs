//! The registers gdb sees: one table from which the description, reading and writing follow.
//!
//! Values are architectural: RIP is an offset in CS, and writing a selector changes the selector alone. The hidden
//! parts of segments are registers of their own.

use super::msrs;
use amber_cpu::Vcpu;
use amber_cpu::flags::Flags;
use amber_cpu::state::{cr, seg};

/// What a register of the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Gpr(usize),
    Rip,
    Flags,
    Selector(usize),
    St(u8),
    Fpu(Fpu),
    Xmm(usize),
    Mxcsr,
    Base(usize),
    Limit(usize),
    Access(usize),
    Table(Table),
    Control(Control),
    Debug(usize),
    Msr(u32),
}

/// Control registers of the x87 FPU, in gdb's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fpu {
    Control,
    Status,
    Tag,
    CodeSelector,
    CodeOffset,
    DataSelector,
    DataOffset,
    Opcode,
}

/// System-table registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    GdtBase,
    GdtLimit,
    IdtBase,
    IdtLimit,
}

/// Control registers and what belongs to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Cr0,
    Cr2,
    Cr3,
    Cr4,
    Cr8,
    Efer,
    Xcr0,
    Cpl,
    Dr6,
    Dr7,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Register {
    pub name: String,
    pub which: Which,
    /// Size in bytes.
    pub size: usize,
    /// Where it starts in the bytes of all registers.
    pub offset: usize,
    pub(super) kind: &'static str,
    pub(super) group: Option<&'static str>,
    pub(super) feature: &'static str,
}

pub(super) const CORE: &str = "org.gnu.gdb.i386.core";
pub(super) const SSE: &str = "org.gnu.gdb.i386.sse";
const SEGMENTS: &str = "org.gnu.gdb.i386.segments";
const SYSTEM: &str = "org.amber.x86.system";
const MSRS: &str = "org.amber.x86.msrs";

const LDTR: usize = 6;
const TR: usize = 7;
const SEGMENT_NAMES: [&str; 8] = ["es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"];

/// Encoding numbers of the general registers in gdb's order.
const GPRS: [(&str, usize); 16] = [
    ("rax", 0),
    ("rbx", 3),
    ("rcx", 1),
    ("rdx", 2),
    ("rsi", 6),
    ("rdi", 7),
    ("rbp", 5),
    ("rsp", 4),
    ("r8", 8),
    ("r9", 9),
    ("r10", 10),
    ("r11", 11),
    ("r12", 12),
    ("r13", 13),
    ("r14", 14),
    ("r15", 15),
];
const FPU: [(&str, Fpu); 8] = [
    ("fctrl", Fpu::Control),
    ("fstat", Fpu::Status),
    ("ftag", Fpu::Tag),
    ("fiseg", Fpu::CodeSelector),
    ("fioff", Fpu::CodeOffset),
    ("foseg", Fpu::DataSelector),
    ("fooff", Fpu::DataOffset),
    ("fop", Fpu::Opcode),
];
const TABLES: [(&str, Table, usize); 4] = [
    ("gdtr_base", Table::GdtBase, 8),
    ("gdtr_limit", Table::GdtLimit, 2),
    ("idtr_base", Table::IdtBase, 8),
    ("idtr_limit", Table::IdtLimit, 2),
];
const CONTROLS: [(&str, Control); 10] = [
    ("cr0", Control::Cr0),
    ("cr2", Control::Cr2),
    ("cr3", Control::Cr3),
    ("cr4", Control::Cr4),
    ("cr8", Control::Cr8),
    ("efer", Control::Efer),
    ("xcr0", Control::Xcr0),
    ("cpl", Control::Cpl),
    ("dr6", Control::Dr6),
    ("dr7", Control::Dr7),
];

/// Offset of RIP in the bytes of all registers.
pub const RIP_OFFSET: usize = 16 * 8;

/// Every register, in the order of the description, which is the order of the protocol.
pub fn table() -> Vec<Register> {
    let mut rows = Vec::new();
    let mut add = |name: &str, which, size, kind, group, feature| {
        let offset = rows.last().map_or(0, |last: &Register| last.offset + last.size);
        rows.push(Register { name: name.into(), which, size, offset, kind, group, feature });
    };
    for (name, n) in GPRS {
        let kind = if matches!(n, 4 | 5) { "data_ptr" } else { "int64" };
        add(name, Which::Gpr(n), 8, kind, None, CORE);
    }
    add("rip", Which::Rip, 8, "code_ptr", None, CORE);
    add("eflags", Which::Flags, 4, "i386_eflags", None, CORE);
    for n in [seg::CS, seg::SS, seg::DS, seg::ES, seg::FS, seg::GS] {
        add(SEGMENT_NAMES[n], Which::Selector(n), 4, "int32", None, CORE);
    }
    for n in 0..8 {
        add(&format!("st{n}"), Which::St(n), 10, "i387_ext", None, CORE);
    }
    for (name, which) in FPU {
        add(name, Which::Fpu(which), 4, "int", Some("float"), CORE);
    }
    for n in 0..16 {
        add(&format!("xmm{n}"), Which::Xmm(n), 16, "vec128", None, SSE);
    }
    add("mxcsr", Which::Mxcsr, 4, "i386_mxcsr", Some("vector"), SSE);
    add("fs_base", Which::Base(seg::FS), 8, "int64", None, SEGMENTS);
    add("gs_base", Which::Base(seg::GS), 8, "int64", None, SEGMENTS);
    let system = Some("system");
    for n in [seg::ES, seg::CS, seg::SS, seg::DS, LDTR, TR] {
        add(&format!("{}_base", SEGMENT_NAMES[n]), Which::Base(n), 8, "int64", system, SYSTEM);
    }
    for (n, name) in SEGMENT_NAMES.iter().enumerate() {
        add(&format!("{name}_limit"), Which::Limit(n), 4, "int32", system, SYSTEM);
        add(&format!("{name}_access"), Which::Access(n), 4, "int32", system, SYSTEM);
    }
    for n in [LDTR, TR] {
        add(SEGMENT_NAMES[n], Which::Selector(n), 4, "int32", system, SYSTEM);
    }
    for (name, which, size) in TABLES {
        add(name, Which::Table(which), size, if size == 8 { "int64" } else { "uint16" }, system, SYSTEM);
    }
    for (name, which) in CONTROLS {
        add(name, Which::Control(which), 8, "int64", system, SYSTEM);
    }
    for n in 0..4 {
        add(&format!("dr{n}"), Which::Debug(n), 8, "int64", system, SYSTEM);
    }
    for (name, index) in msrs::NAMED {
        add(name, Which::Msr(*index), 8, "int64", Some("system"), MSRS);
    }
    rows
}

/// The value of a register; `now` is virtual time.
pub fn read(cpu: &Vcpu, which: Which, now: u64) -> u128 {
    let system = &cpu.system;
    match which {
        Which::Gpr(n) => cpu.gpr[n].into(),
        Which::Rip => cpu.rip.into(),
        Which::Flags => cpu.flags.bits().into(),
        Which::Selector(n) => segment(cpu, n).selector.into(),
        Which::St(n) => {
            let value = cpu.x87.get(n);
            u128::from(value.sign_exp) << 64 | u128::from(value.mantissa)
        }
        Which::Fpu(which) => read_fpu(cpu, which).into(),
        Which::Xmm(n) => cpu.xmm[n],
        Which::Mxcsr => cpu.mxcsr.into(),
        Which::Base(n) => segment(cpu, n).base.into(),
        Which::Limit(n) => segment(cpu, n).limit.into(),
        Which::Access(n) => segment(cpu, n).access.into(),
        Which::Table(Table::GdtBase) => system.gdtr.base.into(),
        Which::Table(Table::GdtLimit) => system.gdtr.limit.into(),
        Which::Table(Table::IdtBase) => system.idtr.base.into(),
        Which::Table(Table::IdtLimit) => system.idtr.limit.into(),
        Which::Control(which) => read_control(cpu, which).into(),
        Which::Debug(n) => system.dr[n].into(),
        Which::Msr(index) => msrs::read(cpu, index, now).into(),
    }
}

fn segment(cpu: &Vcpu, n: usize) -> &amber_cpu::state::Segment {
    match n {
        LDTR => &cpu.system.ldtr,
        TR => &cpu.system.tr,
        _ => &cpu.system.seg[n],
    }
}

fn segment_mut(cpu: &mut Vcpu, n: usize) -> &mut amber_cpu::state::Segment {
    match n {
        LDTR => &mut cpu.system.ldtr,
        TR => &mut cpu.system.tr,
        _ => &mut cpu.system.seg[n],
    }
}

fn read_fpu(cpu: &Vcpu, which: Fpu) -> u32 {
    let x87 = &cpu.x87;
    match which {
        Fpu::Control => x87.control.into(),
        Fpu::Status => x87.status.into(),
        Fpu::Tag => x87.tag_word().into(),
        Fpu::CodeSelector => x87.fcs.into(),
        Fpu::CodeOffset => x87.fip as u32,
        Fpu::DataSelector => x87.fds.into(),
        Fpu::DataOffset => x87.fdp as u32,
        Fpu::Opcode => x87.opcode.into(),
    }
}

fn read_control(cpu: &Vcpu, which: Control) -> u64 {
    let system = &cpu.system;
    match which {
        Control::Cr0 => system.cr0,
        Control::Cr2 => system.cr2,
        Control::Cr3 => system.cr3,
        Control::Cr4 => system.cr4,
        Control::Cr8 => cpu.apic.cr8(),
        Control::Efer => system.efer,
        Control::Xcr0 => system.xcr0,
        Control::Cpl => system.cpl.into(),
        Control::Dr6 => system.dr6,
        Control::Dr7 => system.dr7,
    }
}

/// Writes a register. Bits that do not exist are dropped; the caller derives the rest of the processor's state.
pub fn write(cpu: &mut Vcpu, which: Which, value: u128, now: u64) {
    let low = value as u64;
    match which {
        Which::Gpr(n) => cpu.gpr[n] = low,
        Which::Rip => cpu.rip = low,
        Which::Flags => cpu.flags = Flags::from_bits(low),
        Which::Selector(n) => segment_mut(cpu, n).selector = low as u16,
        Which::St(n) => {
            let physical = usize::from(cpu.x87.top().wrapping_add(n) & 7);
            cpu.x87.st[physical].sign_exp = (value >> 64) as u16;
            cpu.x87.st[physical].mantissa = low;
        }
        Which::Fpu(which) => write_fpu(cpu, which, low),
        Which::Xmm(n) => cpu.xmm[n] = value,
        Which::Mxcsr => cpu.mxcsr = low as u32 & 0xFFFF,
        Which::Base(n) => segment_mut(cpu, n).base = low,
        Which::Limit(n) => segment_mut(cpu, n).limit = low as u32,
        Which::Access(n) => segment_mut(cpu, n).access = low as u32 & 0x1_F0FF,
        Which::Table(Table::GdtBase) => cpu.system.gdtr.base = low,
        Which::Table(Table::GdtLimit) => cpu.system.gdtr.limit = low as u16,
        Which::Table(Table::IdtBase) => cpu.system.idtr.base = low,
        Which::Table(Table::IdtLimit) => cpu.system.idtr.limit = low as u16,
        Which::Control(which) => write_control(cpu, which, low),
        Which::Debug(n) => cpu.system.dr[n] = low,
        Which::Msr(index) => msrs::write(cpu, index, low, now),
    }
}

fn write_fpu(cpu: &mut Vcpu, which: Fpu, value: u64) {
    let x87 = &mut cpu.x87;
    match which {
        Fpu::Control => x87.fldcw(value as u16),
        Fpu::Status => {
            x87.status = value as u16;
            // ES and B follow from the flags and the masks.
            x87.fldcw(x87.control);
        }
        Fpu::Tag => x87.set_tag_word(value as u16),
        Fpu::CodeSelector => x87.fcs = value as u16,
        // The upper halves are not part of gdb's layout and stay.
        Fpu::CodeOffset => x87.fip = x87.fip & !0xFFFF_FFFF | value & 0xFFFF_FFFF,
        Fpu::DataSelector => x87.fds = value as u16,
        Fpu::DataOffset => x87.fdp = x87.fdp & !0xFFFF_FFFF | value & 0xFFFF_FFFF,
        Fpu::Opcode => x87.opcode = value as u16 & 0x7FF,
    }
}

fn write_control(cpu: &mut Vcpu, which: Control, value: u64) {
    const CR0: u64 = cr::CR0_PE
        | cr::CR0_MP
        | cr::CR0_EM
        | cr::CR0_TS
        | cr::CR0_NE
        | cr::CR0_WP
        | cr::CR0_AM
        | cr::CR0_NW
        | cr::CR0_CD
        | cr::CR0_PG;
    const CR4: u64 = 0x7FF
        | cr::CR4_UMIP
        | cr::CR4_FSGSBASE
        | cr::CR4_PCIDE
        | cr::CR4_OSXSAVE
        | cr::CR4_SMEP
        | cr::CR4_SMAP;
    const EFER: u64 = cr::EFER_SCE | cr::EFER_LME | cr::EFER_LMA | cr::EFER_NXE;
    let system = &mut cpu.system;
    match which {
        Control::Cr0 => system.cr0 = value & CR0 | cr::CR0_ET,
        Control::Cr2 => system.cr2 = value,
        Control::Cr3 => system.cr3 = value & 0x000F_FFFF_FFFF_FFFF,
        Control::Cr4 => system.cr4 = value & CR4,
        Control::Cr8 => cpu.apic.set_cr8(value & 0xF),
        Control::Efer => system.efer = value & EFER,
        Control::Xcr0 => system.xcr0 = value & 7 | 1,
        Control::Cpl => system.cpl = value as u8 & 3,
        Control::Dr6 => system.dr6 = value & 0xE00F | 0xFFFF_0FF0,
        Control::Dr7 => system.dr7 = value & 0xFFFF_2BFF | 0x400,
    }
}
