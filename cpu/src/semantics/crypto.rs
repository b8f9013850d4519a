//! AES-NI, PCLMULQDQ, CRC32 and the string comparisons of SSE4.2 (SDM volume 1, 12.9 to 12.13).

use super::vector::{Wide, operation, operation_imm, set_xmm, sse_ready, xmm};
use crate::exec::{Cx, Exec, Fault, Handler, Insn, Width};
use crate::flags::bit;
use crate::lanes::string::{self, Comparison};
use crate::lanes::{aes, clmul, crc32};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// The handler of an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Aesenc => operation!(Wide, instr, aes::aesenc),
        M::Aesenclast => operation!(Wide, instr, aes::aesenclast),
        M::Aesdec => operation!(Wide, instr, aes::aesdec),
        M::Aesdeclast => operation!(Wide, instr, aes::aesdeclast),
        M::Aesimc => operation!(Wide, instr, aes::aesimc),
        M::Aeskeygenassist => operation_imm!(Wide, instr, aes::aeskeygenassist),
        M::Pclmulqdq => operation_imm!(Wide, instr, clmul::pclmulqdq),
        M::Crc32 => return Some(pick_crc32(instr)),
        _ => return strings(instr),
    })
}

/// CRC32 uses general registers only.
fn crc32<T: Width, const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let data = if MEMORY { cx.read::<T>(i)? } else { cx.get::<T>(i.rm) };
    let crc = crc32::crc32(cx.get::<u32>(i.reg), data.to_u64(), T::BITS / 8);
    // A 64-bit destination is zero-extended as well.
    cx.put(i.reg, crc);
    Ok(())
}

fn pick_crc32(instr: &Instruction) -> Handler {
    let memory = instr.op_kind(1) == OpKind::Memory;
    let size = if memory { instr.memory_size().size() } else { instr.op_register(1).size() };
    match (size, memory) {
        (1, false) => crc32::<u8, false>,
        (1, true) => crc32::<u8, true>,
        (2, false) => crc32::<u16, false>,
        (2, true) => crc32::<u16, true>,
        (4, false) => crc32::<u32, false>,
        (4, true) => crc32::<u32, true>,
        (_, false) => crc32::<u64, false>,
        (_, true) => crc32::<u64, true>,
    }
}

/// How long the strings are: by their first zero, or by EAX and EDX, or RAX and RDX.
#[derive(Clone, Copy)]
enum Length {
    Implicit,
    Explicit32,
    Explicit64,
}

/// Compares and sets the flags. A memory operand need not be aligned.
fn compare<const MEMORY: bool>(cx: &mut Cx, i: &Insn, length: Length) -> Result<Comparison, Fault> {
    sse_ready(cx)?;
    let b = if MEMORY { cx.read::<u128>(i)? } else { xmm(cx, i.rm) };
    let (a, imm) = (xmm(cx, i.reg), i.imm as u8);
    let (rax, rdx) = (cx.cpu.gpr[0] as i64, cx.cpu.gpr[2] as i64);
    let (la, lb) = match length {
        Length::Implicit => (string::implicit_length(a, imm), string::implicit_length(b, imm)),
        Length::Explicit32 => (
            string::explicit_length((rax as i32).into(), imm),
            string::explicit_length((rdx as i32).into(), imm),
        ),
        Length::Explicit64 => (string::explicit_length(rax, imm), string::explicit_length(rdx, imm)),
    };
    let result = string::compare(a, la, b, lb, imm);
    let flag = |on: bool, flag: u64| if on { flag } else { 0 };
    cx.cpu.flags.set_arithmetic(
        flag(result.carry, bit::CF)
            | flag(result.zero, bit::ZF)
            | flag(result.sign, bit::SF)
            | flag(result.overflow, bit::OF),
    );
    Ok(result)
}

fn index<const MEMORY: bool>(cx: &mut Cx, i: &Insn, length: Length) -> Exec {
    let result = compare::<MEMORY>(cx, i, length)?;
    cx.put(1, result.index());
    Ok(())
}

fn mask<const MEMORY: bool>(cx: &mut Cx, i: &Insn, length: Length) -> Exec {
    let result = compare::<MEMORY>(cx, i, length)?;
    set_xmm(cx, 0, result.mask());
    Ok(())
}

fn pcmpistri<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    index::<MEMORY>(cx, i, Length::Implicit)
}

fn pcmpistrm<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    mask::<MEMORY>(cx, i, Length::Implicit)
}

fn pcmpestri<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    index::<MEMORY>(cx, i, Length::Explicit32)
}

fn pcmpestrm<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    mask::<MEMORY>(cx, i, Length::Explicit32)
}

fn pcmpestri64<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    index::<MEMORY>(cx, i, Length::Explicit64)
}

fn pcmpestrm64<const MEMORY: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    mask::<MEMORY>(cx, i, Length::Explicit64)
}

fn strings(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let memory = instr.op_count() > 1 && instr.op_kind(1) == OpKind::Memory;
    Some(match (instr.mnemonic(), memory) {
        (M::Pcmpistri, false) => pcmpistri::<false>,
        (M::Pcmpistri, true) => pcmpistri::<true>,
        (M::Pcmpistrm, false) => pcmpistrm::<false>,
        (M::Pcmpistrm, true) => pcmpistrm::<true>,
        (M::Pcmpestri, false) => pcmpestri::<false>,
        (M::Pcmpestri, true) => pcmpestri::<true>,
        (M::Pcmpestrm, false) => pcmpestrm::<false>,
        (M::Pcmpestrm, true) => pcmpestrm::<true>,
        (M::Pcmpestri64, false) => pcmpestri64::<false>,
        (M::Pcmpestri64, true) => pcmpestri64::<true>,
        (M::Pcmpestrm64, false) => pcmpestrm64::<false>,
        (M::Pcmpestrm64, true) => pcmpestrm64::<true>,
        _ => return None,
    })
}
