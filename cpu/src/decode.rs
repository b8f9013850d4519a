//! From iced-x86's instructions to our own: operands resolved, semantics function chosen.

use crate::cpuid::{CpuModel, feature};
use crate::exec::{Cx, Exec, Handler, Insn, iflag};
use crate::semantics;
use crate::state::{BLOCK_RIP, CodeSize, FAR, FAR_BY, ZERO, seg};
use iced_x86::{
    CpuidFeature, Decoder, DecoderError, DecoderOptions, FlowControl, Instruction, OpKind, Register,
};

/// Longest instruction (SDM Vol. 2A, 2.3.11).
pub const MAX_LENGTH: usize = 15;

/// Outcome of decoding one instruction.
pub enum Decoded {
    /// An instruction, whether the block must end after it, and its part in a fused pair.
    Insn(Insn, bool, Pair),
    /// More bytes are needed than were given.
    Truncated,
}

/// What an instruction can be in a fused pair of comparison and conditional jump.
#[derive(Clone, Copy)]
pub enum Pair {
    None,
    /// A comparison; the function for the pair, by condition code.
    First(fn(u8) -> Handler),
    /// A conditional jump.
    Second,
}

/// How operands lie: which handler variant fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    RegReg,
    RegMem,
    MemReg,
    RegImm,
    MemImm,
    Reg,
    Mem,
    Other,
}

/// The form of the first two operands.
pub fn form(instr: &Instruction) -> Form {
    let kind = |i| (i < instr.op_count()).then(|| class(instr.op_kind(i)));
    match (kind(0), kind(1)) {
        (Some(Class::Reg), Some(Class::Reg)) => Form::RegReg,
        (Some(Class::Reg), Some(Class::Mem)) => Form::RegMem,
        (Some(Class::Mem), Some(Class::Reg)) => Form::MemReg,
        (Some(Class::Reg), Some(Class::Imm)) => Form::RegImm,
        (Some(Class::Mem), Some(Class::Imm)) => Form::MemImm,
        (Some(Class::Reg), None) => Form::Reg,
        (Some(Class::Mem), None) => Form::Mem,
        _ => Form::Other,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Reg,
    Mem,
    Imm,
    Branch,
    Other,
}

fn class(kind: OpKind) -> Class {
    match kind {
        OpKind::Register => Class::Reg,
        OpKind::Memory => Class::Mem,
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => Class::Branch,
        OpKind::FarBranch16 | OpKind::FarBranch32 => Class::Other,
        OpKind::Immediate8
        | OpKind::Immediate8_2nd
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => Class::Imm,
        _ => Class::Other,
    }
}

/// Size in bytes of operand `i`.
pub fn operand_size(instr: &Instruction, i: u32) -> usize {
    match instr.op_kind(i) {
        OpKind::Register => instr.op_register(i).size(),
        OpKind::Immediate8 | OpKind::Immediate8_2nd => 1,
        OpKind::Immediate16 | OpKind::Immediate8to16 => 2,
        OpKind::Immediate32 | OpKind::Immediate8to32 => 4,
        OpKind::Immediate64 | OpKind::Immediate8to64 | OpKind::Immediate32to64 => 8,
        _ => instr.memory_size().size(),
    }
}

/// Picks the variant for an operand size of 1, 2, 4 or 8 bytes.
pub fn by_size(size: usize, variants: [Handler; 4]) -> Handler {
    variants[match size {
        1 => 0,
        2 => 1,
        4 => 2,
        _ => 3,
    }]
}

/// The code of a register: see [`Insn`].
pub fn register_code(register: Register) -> u8 {
    if register.is_gpr8() {
        return match register {
            Register::AH => 0x20,
            Register::CH => 0x21,
            Register::DH => 0x22,
            Register::BH => 0x23,
            // AL, CL, DL, BL, then (after AH..BH) SPL onwards.
            low => {
                let n = low as u8 - Register::AL as u8;
                if n < 4 { n } else { n - 4 }
            }
        };
    }
    register.number() as u8
}

fn ud(cx: &mut Cx, _i: &Insn) -> Exec {
    Err(cx.ud())
}

fn too_long(cx: &mut Cx, _i: &Insn) -> Exec {
    Err(cx.gp(0))
}

/// Whether the model has what the instruction needs, as far as models differ in that and no register turns it off.
fn available(instr: &Instruction, model: &CpuModel) -> bool {
    instr.cpuid_features().iter().all(|needed| {
        let (word, bit) = match needed {
            CpuidFeature::SSE3 => (model.features_1_ecx, feature::SSE3),
            CpuidFeature::PCLMULQDQ => (model.features_1_ecx, feature::PCLMULQDQ),
            CpuidFeature::SSSE3 => (model.features_1_ecx, feature::SSSE3),
            CpuidFeature::CMPXCHG16B => (model.features_1_ecx, feature::CX16),
            CpuidFeature::SSE4_1 => (model.features_1_ecx, feature::SSE41),
            CpuidFeature::SSE4_2 => (model.features_1_ecx, feature::SSE42),
            CpuidFeature::MOVBE => (model.features_1_ecx, feature::MOVBE),
            CpuidFeature::POPCNT => (model.features_1_ecx, feature::POPCNT),
            CpuidFeature::AES => (model.features_1_ecx, feature::AES),
            CpuidFeature::RDRAND => (model.features_1_ecx, feature::RDRAND),
            CpuidFeature::RDSEED => (model.features_7_ebx, feature::RDSEED),
            CpuidFeature::INVPCID => (model.features_7_ebx, feature::INVPCID),
            _ => return true,
        };
        word & bit != 0
    })
}

/// Whether the instruction exists on the model.
pub fn executable(instr: &Instruction, size: CodeSize, model: &CpuModel) -> bool {
    semantics::select(instr, size).is_some() && available(instr, model)
}

/// Decodes the instruction at the start of `bytes`, which lies `offset` bytes into its block.
pub fn decode(bytes: &[u8], offset: u16, size: CodeSize, model: &CpuModel) -> Decoded {
    decode_with(bytes, offset, size, model, &mut Instruction::default())
}

/// The same; `instr` becomes the instruction as iced-x86 sees it.
pub fn decode_with(
    bytes: &[u8],
    offset: u16,
    size: CodeSize,
    model: &CpuModel,
    instr: &mut Instruction,
) -> Decoded {
    let window = &bytes[..bytes.len().min(MAX_LENGTH)];
    let mut decoder = Decoder::with_ip(size.bits(), window, 0, DecoderOptions::NONE);
    decoder.decode_out(instr);
    let instr = *instr;
    if instr.is_invalid() {
        return match decoder.last_error() {
            DecoderError::NoMoreBytes if window.len() < MAX_LENGTH => Decoded::Truncated,
            DecoderError::NoMoreBytes => {
                Decoded::Insn(blank(too_long, offset, window.len()), true, Pair::None)
            }
            // Any of the bytes may have decided.
            _ => Decoded::Insn(blank(ud, offset, window.len()), true, Pair::None),
        };
    }
    let flat = flat_operand(&instr);
    let handler = semantics::flat::select(&instr, flat)
        .or_else(|| semantics::select(&instr, size))
        .filter(|_| available(&instr, model));
    let mut insn = blank(handler.unwrap_or(ud), offset, instr.len());
    operands(&mut insn, &instr, size);
    if let Some(opcode) = semantics::x87::opcode(window, size) {
        insn.imm = u64::from(opcode);
    }
    let branch = semantics::sets_rip(&instr);
    if branch {
        insn.flags |= iflag::BRANCH;
    }
    let pair = semantics::fused::pair(&instr, flat);
    Decoded::Insn(insn, branch || handler.is_none() || ends_block(&instr), pair)
}

/// Whether the instruction is 64-bit code whose memory operand, if any, has a 64-bit address and no segment base.
fn flat_operand(instr: &Instruction) -> bool {
    if instr.code_size() != iced_x86::CodeSize::Code64 {
        return false;
    }
    if !(0..instr.op_count()).any(|i| instr.op_kind(i) == OpKind::Memory) {
        return true;
    }
    let (base, index) = (instr.memory_base(), instr.memory_index());
    let wide = match (base, index) {
        (Register::None, Register::None) => {
            instr.memory_displ_size() == 8 && !semantics::mov::is_moffs64(instr)
        }
        (Register::None, index) => index.size() == 8,
        (base, _) => base.size() == 8 && base != Register::EIP,
    };
    wide && !matches!(instr.memory_segment(), Register::FS | Register::GS)
}

fn blank(exec: Handler, offset: u16, len: usize) -> Insn {
    Insn {
        exec,
        imm: 0,
        disp: 0,
        next: offset + len as u16,
        len: len as u8,
        flags: 0,
        base: ZERO,
        index: ZERO,
        scale: 0,
        seg: 7,
        reg: 0,
        rm: 0,
        aux: 0,
        aux2: 0,
    }
}

fn operands(insn: &mut Insn, instr: &Instruction, size: CodeSize) {
    if size == CodeSize::Bits64 {
        insn.flags |= iflag::FLAT;
    }
    let prefix = |on: bool, flag: u8| if on { flag } else { 0 };
    insn.flags |= prefix(instr.has_lock_prefix(), iflag::LOCK)
        | prefix(instr.has_rep_prefix(), iflag::REP)
        | prefix(instr.has_repne_prefix(), iflag::REPNE);
    insn.aux = if instr.op_count() > 0 { operand_size(instr, 0) as u8 } else { 0 };
    let mut registers = 0;
    for i in 0..instr.op_count() {
        let kind = instr.op_kind(i);
        match class(kind) {
            Class::Reg => {
                let code = register_code(instr.op_register(i));
                match registers {
                    0 => insn.reg = code,
                    1 => insn.rm = code,
                    _ => insn.aux2 = code,
                }
                registers += 1;
            }
            Class::Mem => memory(insn, instr, size),
            Class::Imm if kind == OpKind::Immediate8_2nd => insn.aux2 = instr.immediate8_2nd(),
            Class::Imm => insn.imm = instr.immediate(i),
            // The decoder's IP is 0, so the displacement is the target less the length.
            Class::Branch => insn.imm = instr.near_branch_target().wrapping_sub(instr.len() as u64),
            Class::Other => other_operand(insn, instr, kind, size),
        }
    }
    if let Some(slot) = semantics::segment::stack_slot(instr) {
        insn.aux2 = slot;
    }
    if let Some(bytes) = semantics::branch::counter_size(instr) {
        insn.flags |= address_flag(bytes);
    }
    if semantics::is_conditional(instr) {
        insn.aux = condition(instr);
    }
    if instr.op_count() == 0 || semantics::implicit_width(instr) {
        insn.flags |= prefix(semantics::wide(instr), iflag::WIDE);
    }
}

/// The condition code as encoded (0 = O, 1 = NO, 2 = B, ...).
pub fn condition(instr: &Instruction) -> u8 {
    use iced_x86::ConditionCode as C;
    match instr.condition_code() {
        C::o => 0,
        C::no => 1,
        C::b => 2,
        C::ae => 3,
        C::e => 4,
        C::ne => 5,
        C::be => 6,
        C::a => 7,
        C::s => 8,
        C::ns => 9,
        C::p => 10,
        C::np => 11,
        C::l => 12,
        C::ge => 13,
        C::le => 14,
        _ => 15,
    }
}

fn segment_code(register: Register, size: CodeSize) -> u8 {
    let n = match register {
        Register::ES => seg::ES,
        Register::CS => seg::CS,
        Register::SS => seg::SS,
        Register::FS => seg::FS,
        Register::GS => seg::GS,
        _ => seg::DS,
    };
    // In 64-bit mode only FS and GS have a base; SS still decides between #SS and #GP.
    if size == CodeSize::Bits64 && matches!(n, seg::ES | seg::CS) { seg::DS as u8 } else { n as u8 }
}

fn memory(insn: &mut Insn, instr: &Instruction, size: CodeSize) {
    let base = instr.memory_base();
    let index = instr.memory_index();
    insn.seg = segment_code(instr.memory_segment(), size);
    let displacement = instr.memory_displacement64();
    insn.disp = displacement as u32 as i32;
    if semantics::mov::is_moffs64(instr) {
        // moffs64 does not fit `disp`; it has no base or index.
        insn.imm = displacement;
        insn.disp = 0;
    }
    insn.base = match base {
        Register::None => ZERO,
        Register::RIP | Register::EIP => {
            // iced gives the target for IP 0; ours is relative to the start of the block.
            let start = u32::from(insn.next) - u32::from(insn.len);
            insn.disp = insn.disp.wrapping_add(start as i32);
            if base == Register::RIP && (displacement as i64) + i64::from(start) > i64::from(i32::MAX) {
                insn.disp = insn.disp.wrapping_sub(FAR_BY as i32);
                insn.index = FAR;
            }
            BLOCK_RIP
        }
        register => register.number() as u8,
    };
    if index != Register::None {
        insn.index = index.number() as u8;
        insn.scale = instr.memory_index_scale().trailing_zeros() as u8;
    }
    let address = if base != Register::None {
        base.size()
    } else if index != Register::None {
        index.size()
    } else {
        0
    };
    // Without registers the displacement tells: 8 is a sign-extended disp32 or a moffs64.
    let address = if address == 0 { instr.memory_displ_size() as usize } else { address };
    insn.flags |= address_flag(address);
}

/// [`iflag::ADDRESS`] bits for an address size in bytes.
fn address_flag(bytes: usize) -> u8 {
    match bytes {
        2 => 2,
        4 => 1,
        _ => 0,
    }
}

fn other_operand(insn: &mut Insn, instr: &Instruction, kind: OpKind, size: CodeSize) {
    match kind {
        OpKind::FarBranch16 => {
            insn.imm = u64::from(instr.far_branch16()) | u64::from(instr.far_branch_selector()) << 32
        }
        OpKind::FarBranch32 => {
            insn.imm = u64::from(instr.far_branch32()) | u64::from(instr.far_branch_selector()) << 32
        }
        OpKind::MemorySegSI | OpKind::MemorySegDI => {
            insn.flags |= 2;
            insn.seg = segment_code(instr.memory_segment(), size);
        }
        OpKind::MemorySegESI | OpKind::MemorySegEDI => {
            insn.flags |= 1;
            insn.seg = segment_code(instr.memory_segment(), size);
        }
        OpKind::MemorySegRSI | OpKind::MemorySegRDI => insn.seg = segment_code(instr.memory_segment(), size),
        OpKind::MemoryESDI => insn.flags |= 2,
        OpKind::MemoryESEDI => insn.flags |= 1,
        _ => {}
    }
}

fn ends_block(instr: &Instruction) -> bool {
    instr.flow_control() != FlowControl::Next || semantics::ends_block(instr.mnemonic())
}
