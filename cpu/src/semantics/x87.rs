//! x87 instructions (SDM volume 1, chapter 8): availability, memory operands and the pointers to the last
//! instruction; what they compute is in [`crate::x87`].

use super::sse_fp::relation_flags;
use super::vector::{follow_error_summary, numeric_error, read, write, x87_ready, x87_waiting};
use crate::event::NM;
use crate::exec::{Cx, Exec, Fault, Handler, Insn};
use crate::flags::bit;
use crate::softfloat::F80;
use crate::state::{CodeSize, cr, seg};
use crate::x87::{Arith, Constant, Format, SAVE_MAX, X87};
use amber_mmu::Word;
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

/// What FOP keeps of an x87 instruction (SDM volume 1, 8.1.9): the low 3 bits of the opcode's first byte, which is D8H
/// to DFH, and its second byte. `None` for other instructions.
pub fn opcode(bytes: &[u8], size: CodeSize) -> Option<u16> {
    let prefix = |byte: &u8| match byte {
        0x26 | 0x2E | 0x36 | 0x3E | 0x64..=0x67 | 0xF0 | 0xF2 | 0xF3 => true,
        0x40..=0x4F => size == CodeSize::Bits64,
        _ => false,
    };
    let start = bytes.iter().position(|byte| !prefix(byte))?;
    match bytes[start..] {
        [first @ 0xD8..=0xDF, second, ..] => Some(u16::from(first & 7) << 8 | u16::from(second)),
        _ => None,
    }
}

/// The handler of an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    let memory = instr.op_count() > 0 && instr.op_kind(0) == OpKind::Memory;
    if memory {
        return real_arithmetic(instr)
            .or_else(|| integer_arithmetic(instr))
            .or_else(|| loads(instr))
            .or_else(|| stores(instr))
            .or_else(|| control_memory(instr));
    }
    register_arithmetic(instr)
        .or_else(|| stack(instr))
        .or_else(|| comparisons(instr))
        .or_else(|| functions(instr))
        .or_else(|| control(instr))
}

/// Notes the instruction's address and opcode: for every non-control instruction, whether or not it raises an unmasked
/// exception (SDM volume 1, 8.1.9; as with the fopcode compatibility mode of IA32_MISC_ENABLE).
#[inline(always)]
fn note_instruction(cx: &mut Cx, i: &Insn) {
    let rip = cx.this_rip(i);
    cx.cpu.x87.fip = if cx.cpu.code_size == CodeSize::Bits64 { rip } else { rip & 0xFFFF_FFFF };
    cx.cpu.x87.fcs = cx.cpu.system.seg[seg::CS].selector;
    cx.cpu.x87.opcode = i.imm as u16;
}

/// Notes the memory operand's address.
#[inline(always)]
fn note_operand(cx: &mut Cx, i: &Insn) {
    note_instruction(cx, i);
    cx.cpu.x87.fdp = cx.offset(i);
    cx.cpu.x87.fds = cx.cpu.system.seg.get(usize::from(i.seg)).map_or(0, |s| s.selector);
}

/// The start of every non-control instruction without a memory operand.
#[inline(always)]
fn begin(cx: &mut Cx, i: &Insn) -> Exec {
    x87_waiting(cx)?;
    note_instruction(cx, i);
    Ok(())
}

/// An instruction on registers: `$body` acts on the state `$x` for the instruction `$i`.
macro_rules! on_registers {
    (|$x:ident, $i:ident| $body:expr) => {{
        let handler: Handler = |cx, $i| {
            begin(cx, $i)?;
            let $x = &mut cx.cpu.x87;
            $body;
            Ok(())
        };
        handler
    }};
}

/// An instruction with a memory source of type `$element`, which is `$value`.
macro_rules! on_memory {
    ($element:ty, |$x:ident, $value:ident| $body:expr) => {{
        let handler: Handler = |cx, i| {
            x87_waiting(cx)?;
            let $value = read::<$element, false>(cx, i)?;
            note_operand(cx, i);
            let $x = &mut cx.cpu.x87;
            $body;
            Ok(())
        };
        handler
    }};
}

/// An instruction that stores `$body`, an `Option` of `$element`.
macro_rules! to_memory {
    ($element:ty, |$x:ident| $body:expr) => {{
        let handler: Handler = |cx, i| store_result::<$element>(cx, i, |$x| $body);
        handler
    }};
}

/// What a store to memory does: computes, writes, and takes its effect on the stack and the flags back if the write
/// faults. It touches nothing else.
#[inline(always)]
fn storing<T>(
    cx: &mut Cx,
    i: &Insn,
    compute: impl FnOnce(&mut X87) -> Option<T>,
    write: impl FnOnce(&mut Cx, T) -> Exec,
) -> Exec {
    x87_waiting(cx)?;
    let (status, valid) = (cx.cpu.x87.status, cx.cpu.x87.valid);
    if let Some(value) = compute(&mut cx.cpu.x87)
        && let Err(fault) = write(cx, value)
    {
        (cx.cpu.x87.status, cx.cpu.x87.valid) = (status, valid);
        return Err(fault);
    }
    note_operand(cx, i);
    Ok(())
}

#[inline(always)]
fn store_result<T: Word>(cx: &mut Cx, i: &Insn, compute: impl FnOnce(&mut X87) -> Option<T>) -> Exec {
    storing(cx, i, compute, |cx, value| write::<T, false>(cx, i, value))
}

fn register_arithmetic(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Fadd => on_registers!(|x, i| x.arith(Arith::Add, i.reg, i.rm, false)),
        M::Faddp => on_registers!(|x, i| x.arith(Arith::Add, i.reg, i.rm, true)),
        M::Fmul => on_registers!(|x, i| x.arith(Arith::Mul, i.reg, i.rm, false)),
        M::Fmulp => on_registers!(|x, i| x.arith(Arith::Mul, i.reg, i.rm, true)),
        M::Fsub => on_registers!(|x, i| x.arith(Arith::Sub, i.reg, i.rm, false)),
        M::Fsubp => on_registers!(|x, i| x.arith(Arith::Sub, i.reg, i.rm, true)),
        M::Fsubr => on_registers!(|x, i| x.arith(Arith::SubR, i.reg, i.rm, false)),
        M::Fsubrp => on_registers!(|x, i| x.arith(Arith::SubR, i.reg, i.rm, true)),
        M::Fdiv => on_registers!(|x, i| x.arith(Arith::Div, i.reg, i.rm, false)),
        M::Fdivp => on_registers!(|x, i| x.arith(Arith::Div, i.reg, i.rm, true)),
        M::Fdivr => on_registers!(|x, i| x.arith(Arith::DivR, i.reg, i.rm, false)),
        M::Fdivrp => on_registers!(|x, i| x.arith(Arith::DivR, i.reg, i.rm, true)),
        _ => return None,
    })
}

fn real_arithmetic(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let single = instr.memory_size().size() == 4;
    Some(match instr.mnemonic() {
        M::Fadd if single => on_memory!(u32, |x, v| x.arith_real(Arith::Add, v)),
        M::Fadd => on_memory!(u64, |x, v| x.arith_real(Arith::Add, v)),
        M::Fmul if single => on_memory!(u32, |x, v| x.arith_real(Arith::Mul, v)),
        M::Fmul => on_memory!(u64, |x, v| x.arith_real(Arith::Mul, v)),
        M::Fsub if single => on_memory!(u32, |x, v| x.arith_real(Arith::Sub, v)),
        M::Fsub => on_memory!(u64, |x, v| x.arith_real(Arith::Sub, v)),
        M::Fsubr if single => on_memory!(u32, |x, v| x.arith_real(Arith::SubR, v)),
        M::Fsubr => on_memory!(u64, |x, v| x.arith_real(Arith::SubR, v)),
        M::Fdiv if single => on_memory!(u32, |x, v| x.arith_real(Arith::Div, v)),
        M::Fdiv => on_memory!(u64, |x, v| x.arith_real(Arith::Div, v)),
        M::Fdivr if single => on_memory!(u32, |x, v| x.arith_real(Arith::DivR, v)),
        M::Fdivr => on_memory!(u64, |x, v| x.arith_real(Arith::DivR, v)),
        M::Fcom if single => on_memory!(u32, |x, v| x.fcom_real(v, 0)),
        M::Fcom => on_memory!(u64, |x, v| x.fcom_real(v, 0)),
        M::Fcomp if single => on_memory!(u32, |x, v| x.fcom_real(v, 1)),
        M::Fcomp => on_memory!(u64, |x, v| x.fcom_real(v, 1)),
        _ => return None,
    })
}

fn integer_arithmetic(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let word = instr.memory_size().size() == 2;
    Some(match instr.mnemonic() {
        M::Fiadd if word => on_memory!(u16, |x, v| x.arith_integer(Arith::Add, i64::from(v as i16))),
        M::Fiadd => on_memory!(u32, |x, v| x.arith_integer(Arith::Add, i64::from(v as i32))),
        M::Fimul if word => on_memory!(u16, |x, v| x.arith_integer(Arith::Mul, i64::from(v as i16))),
        M::Fimul => on_memory!(u32, |x, v| x.arith_integer(Arith::Mul, i64::from(v as i32))),
        M::Fisub if word => on_memory!(u16, |x, v| x.arith_integer(Arith::Sub, i64::from(v as i16))),
        M::Fisub => on_memory!(u32, |x, v| x.arith_integer(Arith::Sub, i64::from(v as i32))),
        M::Fisubr if word => on_memory!(u16, |x, v| x.arith_integer(Arith::SubR, i64::from(v as i16))),
        M::Fisubr => on_memory!(u32, |x, v| x.arith_integer(Arith::SubR, i64::from(v as i32))),
        M::Fidiv if word => on_memory!(u16, |x, v| x.arith_integer(Arith::Div, i64::from(v as i16))),
        M::Fidiv => on_memory!(u32, |x, v| x.arith_integer(Arith::Div, i64::from(v as i32))),
        M::Fidivr if word => on_memory!(u16, |x, v| x.arith_integer(Arith::DivR, i64::from(v as i16))),
        M::Fidivr => on_memory!(u32, |x, v| x.arith_integer(Arith::DivR, i64::from(v as i32))),
        M::Ficom if word => on_memory!(u16, |x, v| x.ficom(i64::from(v as i16), 0)),
        M::Ficom => on_memory!(u32, |x, v| x.ficom(i64::from(v as i32), 0)),
        M::Ficomp if word => on_memory!(u16, |x, v| x.ficom(i64::from(v as i16), 1)),
        M::Ficomp => on_memory!(u32, |x, v| x.ficom(i64::from(v as i32), 1)),
        _ => return None,
    })
}

/// Reads ten bytes.
#[inline(always)]
fn read_80(cx: &mut Cx, i: &Insn) -> Result<u128, Fault> {
    let linear = cx.operand(i, 10, false)?;
    // Two loads, as it was stored: one of 16 bytes could not be forwarded to.
    if linear & 0xFFF <= 4096 - 10 {
        let low = cx.load::<u64>(linear, i.seg)?;
        let high = cx.load::<u16>(linear + 8, i.seg)?;
        return Ok(u128::from(high) << 64 | u128::from(low));
    }
    let mut bytes = [0; 16];
    cx.load_bytes(linear, i.seg, &mut bytes[..10])?;
    Ok(u128::from_le_bytes(bytes))
}

#[inline(always)]
fn store_80(cx: &mut Cx, i: &Insn, compute: impl FnOnce(&mut X87) -> Option<u128>) -> Exec {
    storing(cx, i, compute, |cx, value| {
        let linear = cx.operand(i, 10, true)?;
        // The second part lies in the page that took the first.
        let whole = linear & 0xFFF <= 4096 - 10;
        if whole
            && cx.mmu.write_fast(linear, value as u64)
            && cx.mmu.write_fast(linear + 8, (value >> 64) as u16)
        {
            return Ok(());
        }
        cx.store_bytes(linear, i.seg, &value.to_le_bytes()[..10])
    })
}

fn fld_m80(cx: &mut Cx, i: &Insn) -> Exec {
    x87_waiting(cx)?;
    let bits = read_80(cx, i)?;
    note_operand(cx, i);
    cx.cpu.x87.fld_m80(F80::from_u128(bits));
    Ok(())
}

fn fbld(cx: &mut Cx, i: &Insn) -> Exec {
    x87_waiting(cx)?;
    let bits = read_80(cx, i)?;
    note_operand(cx, i);
    cx.cpu.x87.fbld(bits);
    Ok(())
}

fn fstp_m80(cx: &mut Cx, i: &Insn) -> Exec {
    store_80(cx, i, |x| x.fstp_m80().map(F80::to_u128))
}

fn fbstp(cx: &mut Cx, i: &Insn) -> Exec {
    store_80(cx, i, X87::fbstp)
}

fn loads(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match (instr.mnemonic(), instr.memory_size().size()) {
        (M::Fld, 4) => on_memory!(u32, |x, v| x.fld(v)),
        (M::Fld, 8) => on_memory!(u64, |x, v| x.fld(v)),
        (M::Fld, _) => fld_m80,
        (M::Fild, 2) => on_memory!(u16, |x, v| x.fild(i64::from(v as i16))),
        (M::Fild, 4) => on_memory!(u32, |x, v| x.fild(i64::from(v as i32))),
        (M::Fild, _) => on_memory!(u64, |x, v| x.fild(v as i64)),
        (M::Fbld, _) => fbld,
        _ => return None,
    })
}

fn stores(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match (instr.mnemonic(), instr.memory_size().size()) {
        (M::Fst, 4) => to_memory!(u32, |x| x.fst::<u32>(false)),
        (M::Fst, _) => to_memory!(u64, |x| x.fst::<u64>(false)),
        (M::Fstp, 4) => to_memory!(u32, |x| x.fst::<u32>(true)),
        (M::Fstp, 8) => to_memory!(u64, |x| x.fst::<u64>(true)),
        (M::Fstp, _) => fstp_m80,
        (M::Fist, 2) => to_memory!(u16, |x| x.fist(16, false).map(|v| v as u16)),
        (M::Fist, _) => to_memory!(u32, |x| x.fist(32, false).map(|v| v as u32)),
        (M::Fistp, 2) => to_memory!(u16, |x| x.fist(16, true).map(|v| v as u16)),
        (M::Fistp, 4) => to_memory!(u32, |x| x.fist(32, true).map(|v| v as u32)),
        (M::Fistp, _) => to_memory!(u64, |x| x.fist(64, true).map(|v| v as u64)),
        (M::Fisttp, 2) => to_memory!(u16, |x| x.fisttp(16).map(|v| v as u16)),
        (M::Fisttp, 4) => to_memory!(u32, |x| x.fisttp(32).map(|v| v as u32)),
        (M::Fisttp, _) => to_memory!(u64, |x| x.fisttp(64).map(|v| v as u64)),
        (M::Fbstp, _) => fbstp,
        _ => return None,
    })
}

fn stack(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Fld => on_registers!(|x, i| x.fld_st(i.reg)),
        M::Fst => on_registers!(|x, i| x.fst_st(i.reg, false)),
        M::Fstp | M::Fstpnce => on_registers!(|x, i| x.fst_st(i.reg, true)),
        M::Fxch => on_registers!(|x, i| x.fxch(i.rm)),
        M::Ffree => on_registers!(|x, i| x.ffree(i.reg, false)),
        M::Ffreep => on_registers!(|x, i| x.ffree(i.reg, true)),
        M::Fincstp => on_registers!(|x, _i| x.fincstp()),
        M::Fdecstp => on_registers!(|x, _i| x.fdecstp()),
        M::Fchs => on_registers!(|x, _i| x.fchs()),
        M::Fabs => on_registers!(|x, _i| x.fabs()),
        M::Fxam => on_registers!(|x, _i| x.fxam()),
        M::Fnop => begin,
        M::Fld1 => on_registers!(|x, _i| x.fld_constant(Constant::One)),
        M::Fldl2t => on_registers!(|x, _i| x.fld_constant(Constant::Log2Of10)),
        M::Fldl2e => on_registers!(|x, _i| x.fld_constant(Constant::Log2OfE)),
        M::Fldpi => on_registers!(|x, _i| x.fld_constant(Constant::Pi)),
        M::Fldlg2 => on_registers!(|x, _i| x.fld_constant(Constant::Log10Of2)),
        M::Fldln2 => on_registers!(|x, _i| x.fld_constant(Constant::LnOf2)),
        M::Fldz => on_registers!(|x, _i| x.fld_constant(Constant::Zero)),
        _ => return None,
    })
}

/// FCOMI and its kin: ZF, PF and CF; OF, SF and AF become zero.
fn fcomi<const QUIET: bool, const POP: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    begin(cx, i)?;
    if let Some(relation) = cx.cpu.x87.fcomi(i.rm, QUIET, POP) {
        cx.cpu.flags.set_arithmetic(relation_flags(relation));
    }
    Ok(())
}

/// FCMOVcc: moves when one of the flags `FLAGS` is set, or with `NOT` when none is.
fn fcmov<const FLAGS: u64, const NOT: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    begin(cx, i)?;
    let holds = (cx.cpu.flags.arithmetic() & FLAGS != 0) != NOT;
    cx.cpu.x87.fcmov(i.rm, holds);
    Ok(())
}

fn comparisons(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    const BELOW_EQUAL: u64 = bit::CF | bit::ZF;
    Some(match instr.mnemonic() {
        M::Fcom => on_registers!(|x, i| x.fcom(i.rm, false, 0)),
        M::Fcomp => on_registers!(|x, i| x.fcom(i.rm, false, 1)),
        M::Fcompp => on_registers!(|x, _i| x.fcom(1, false, 2)),
        M::Fucom => on_registers!(|x, i| x.fcom(i.rm, true, 0)),
        M::Fucomp => on_registers!(|x, i| x.fcom(i.rm, true, 1)),
        M::Fucompp => on_registers!(|x, _i| x.fcom(1, true, 2)),
        M::Ftst => on_registers!(|x, _i| x.ftst()),
        M::Fcomi => fcomi::<false, false>,
        M::Fcomip => fcomi::<false, true>,
        M::Fucomi => fcomi::<true, false>,
        M::Fucomip => fcomi::<true, true>,
        M::Fcmovb => fcmov::<{ bit::CF }, false>,
        M::Fcmove => fcmov::<{ bit::ZF }, false>,
        M::Fcmovbe => fcmov::<BELOW_EQUAL, false>,
        M::Fcmovu => fcmov::<{ bit::PF }, false>,
        M::Fcmovnb => fcmov::<{ bit::CF }, true>,
        M::Fcmovne => fcmov::<{ bit::ZF }, true>,
        M::Fcmovnbe => fcmov::<BELOW_EQUAL, true>,
        M::Fcmovnu => fcmov::<{ bit::PF }, true>,
        _ => return None,
    })
}

fn functions(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Fsqrt => on_registers!(|x, _i| x.fsqrt()),
        M::Frndint => on_registers!(|x, _i| x.frndint()),
        M::Fscale => on_registers!(|x, _i| x.fscale()),
        M::Fxtract => on_registers!(|x, _i| x.fxtract()),
        M::F2xm1 => on_registers!(|x, _i| x.f2xm1()),
        M::Fyl2x => on_registers!(|x, _i| x.fyl2x()),
        M::Fyl2xp1 => on_registers!(|x, _i| x.fyl2xp1()),
        M::Fpatan => on_registers!(|x, _i| x.fpatan()),
        M::Fsin => on_registers!(|x, _i| x.fsin()),
        M::Fcos => on_registers!(|x, _i| x.fcos()),
        M::Fptan => on_registers!(|x, _i| x.fptan()),
        M::Fsincos => on_registers!(|x, _i| x.fsincos()),
        M::Fprem => on_registers!(|x, _i| x.fprem(false)),
        M::Fprem1 => on_registers!(|x, _i| x.fprem(true)),
        _ => return None,
    })
}

/// WAIT: #NM when CR0.MP and CR0.TS are both set, then what is pending.
fn wait(cx: &mut Cx, _: &Insn) -> Exec {
    const BOTH: u64 = cr::CR0_MP | cr::CR0_TS;
    if cx.cpu.system.cr0 & BOTH == BOTH {
        return Err(cx.raise(NM));
    }
    if cx.cpu.x87.pending() { numeric_error(cx) } else { Ok(()) }
}

/// FNINIT, FNCLEX, and FNENI, FNDISI, FNSETPM, which do nothing since the 387.
fn without_wait(cx: &mut Cx, f: fn(&mut X87)) -> Exec {
    x87_ready(cx)?;
    f(&mut cx.cpu.x87);
    follow_error_summary(cx);
    Ok(())
}

fn fninit(cx: &mut Cx, _: &Insn) -> Exec {
    without_wait(cx, X87::fninit)
}

fn fnclex(cx: &mut Cx, _: &Insn) -> Exec {
    without_wait(cx, X87::fnclex)
}

fn fnop(cx: &mut Cx, _: &Insn) -> Exec {
    without_wait(cx, |_| ())
}

fn fnstsw_ax(cx: &mut Cx, i: &Insn) -> Exec {
    x87_ready(cx)?;
    let status = cx.cpu.x87.fnstsw();
    cx.put(i.reg, status);
    Ok(())
}

fn control(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Wait => wait,
        M::Fninit | M::Finit => fninit,
        M::Fnclex | M::Fclex => fnclex,
        M::Fneni | M::Fndisi | M::Fnsetpm => fnop,
        M::Fnstsw | M::Fstsw => fnstsw_ax,
        _ => return None,
    })
}

fn fldcw(cx: &mut Cx, i: &Insn) -> Exec {
    x87_waiting(cx)?;
    let control = cx.read::<u16>(i)?;
    cx.cpu.x87.fldcw(control);
    follow_error_summary(cx);
    Ok(())
}

fn fnstcw(cx: &mut Cx, i: &Insn) -> Exec {
    x87_ready(cx)?;
    let control = cx.cpu.x87.fnstcw();
    cx.write(i, control)
}

fn fnstsw(cx: &mut Cx, i: &Insn) -> Exec {
    x87_ready(cx)?;
    let status = cx.cpu.x87.fnstsw();
    cx.write(i, status)
}

/// The layout in force for a 16- or 32-bit operand size.
fn format(cx: &Cx, operand_32: bool) -> Format {
    let virtual_8086 = cx.cpu.flags.has(bit::VM);
    Format::new(cx.cpu.system.cr0 & cr::CR0_PE != 0 && !virtual_8086, operand_32)
}

/// Writes an image of any size; nothing is written if any of it faults.
pub fn store_image(cx: &mut Cx, linear: u64, segment: u8, image: &[u8]) -> Exec {
    cx.check_writable(linear, segment, image.len())?;
    for (n, chunk) in image.chunks(16).enumerate() {
        cx.store_bytes(linear.wrapping_add(16 * n as u64), segment, chunk)?;
    }
    Ok(())
}

/// Reads an image of any size.
pub fn load_image(cx: &mut Cx, linear: u64, segment: u8, image: &mut [u8]) -> Exec {
    for (n, chunk) in image.chunks_mut(16).enumerate() {
        cx.load_bytes(linear.wrapping_add(16 * n as u64), segment, chunk)?;
    }
    Ok(())
}

/// FNSTENV and FNSAVE: `fill` makes the image on a copy of the state.
fn store_environment(
    cx: &mut Cx,
    i: &Insn,
    format: Format,
    size: usize,
    fill: fn(&mut X87, Format, &mut [u8]),
) -> Exec {
    x87_ready(cx)?;
    let linear = cx.operand(i, size as u64, true)?;
    let (mut after, mut image) = (cx.cpu.x87, [0; SAVE_MAX]);
    fill(&mut after, format, &mut image[..size]);
    store_image(cx, linear, i.seg, &image[..size])?;
    cx.cpu.x87 = after;
    follow_error_summary(cx);
    Ok(())
}

fn load_environment(
    cx: &mut Cx,
    i: &Insn,
    format: Format,
    size: usize,
    take: fn(&mut X87, Format, &[u8]),
) -> Exec {
    x87_waiting(cx)?;
    let linear = cx.operand(i, size as u64, false)?;
    let mut image = [0; SAVE_MAX];
    load_image(cx, linear, i.seg, &mut image[..size])?;
    take(&mut cx.cpu.x87, format, &image[..size]);
    follow_error_summary(cx);
    Ok(())
}

fn fnstenv<const WIDE: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let format = format(cx, WIDE);
    store_environment(cx, i, format, format.environment_size(), X87::fnstenv)
}

fn fnsave<const WIDE: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let format = format(cx, WIDE);
    store_environment(cx, i, format, format.save_size(), X87::fnsave)
}

fn fldenv<const WIDE: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let format = format(cx, WIDE);
    load_environment(cx, i, format, format.environment_size(), X87::fldenv)
}

fn frstor<const WIDE: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let format = format(cx, WIDE);
    load_environment(cx, i, format, format.save_size(), X87::frstor)
}

fn control_memory(instr: &Instruction) -> Option<Handler> {
    Some(match instr.code() {
        Code::Fldcw_m2byte => fldcw,
        Code::Fnstcw_m2byte | Code::Fstcw_m2byte => fnstcw,
        Code::Fnstsw_m2byte | Code::Fstsw_m2byte => fnstsw,
        Code::Fnstenv_m14byte | Code::Fstenv_m14byte => fnstenv::<false>,
        Code::Fnstenv_m28byte | Code::Fstenv_m28byte => fnstenv::<true>,
        Code::Fldenv_m14byte => fldenv::<false>,
        Code::Fldenv_m28byte => fldenv::<true>,
        Code::Fnsave_m94byte | Code::Fsave_m94byte => fnsave::<false>,
        Code::Fnsave_m108byte | Code::Fsave_m108byte => fnsave::<true>,
        Code::Frstor_m94byte => frstor::<false>,
        Code::Frstor_m108byte => frstor::<true>,
        _ => return None,
    })
}
