//! ADD, ADC, SUB, SBB, CMP, INC, DEC, NEG, MUL, IMUL, DIV, IDIV, XADD, CMPXCHG and the decimal adjusts
//! (SDM Vol. 2).

use crate::decode::{Form, by_size, form, operand_size};
use crate::exec::{Cx, Exec, Fault, Handler, Insn, Width};
use crate::flags::{Flags, bit};
use iced_x86::{Instruction, Mnemonic};

const RAX: u8 = 0;
const RDX: u8 = 2;
const AH: u8 = 0x20;

/// A two-operand operation that sets the arithmetic flags.
pub trait Binary {
    /// CMP and TEST write nothing back.
    const WRITES: bool = true;
    fn apply<T: Width>(flags: &mut Flags, a: T, b: T) -> T;
}

pub struct Add;
pub struct Adc;
pub struct Sub;
pub struct Sbb;
pub struct Cmp;

impl Binary for Add {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T, b: T) -> T {
        let result = T::from_u64(a.to_u64().wrapping_add(b.to_u64()));
        flags.set_add(a.to_u64(), b.to_u64(), result.to_u64(), T::BITS);
        result
    }
}
impl Binary for Adc {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T, b: T) -> T {
        let carry = u64::from(flags.cf());
        let result = T::from_u64(a.to_u64().wrapping_add(b.to_u64()).wrapping_add(carry));
        flags.set_add(a.to_u64(), b.to_u64(), result.to_u64(), T::BITS);
        result
    }
}
impl Binary for Sub {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T, b: T) -> T {
        let result = T::from_u64(a.to_u64().wrapping_sub(b.to_u64()));
        flags.set_sub(a.to_u64(), b.to_u64(), result.to_u64(), T::BITS);
        result
    }
}
impl Binary for Sbb {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T, b: T) -> T {
        let borrow = u64::from(flags.cf());
        let result = T::from_u64(a.to_u64().wrapping_sub(b.to_u64()).wrapping_sub(borrow));
        flags.set_sub(a.to_u64(), b.to_u64(), result.to_u64(), T::BITS);
        result
    }
}
impl Binary for Cmp {
    const WRITES: bool = false;
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T, b: T) -> T {
        Sub::apply(flags, a, b)
    }
}

pub fn reg_reg<O: Binary, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let (a, b) = (cx.get::<T>(i.reg), cx.get::<T>(i.rm));
    let result = O::apply(&mut cx.cpu.flags, a, b);
    if O::WRITES {
        cx.put(i.reg, result);
    }
    Ok(())
}
pub fn reg_imm<O: Binary, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let a = cx.get::<T>(i.reg);
    let result = O::apply(&mut cx.cpu.flags, a, T::from_u64(i.imm));
    if O::WRITES {
        cx.put(i.reg, result);
    }
    Ok(())
}
pub fn reg_mem<O: Binary, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let b = cx.read::<T>(i)?;
    let a = cx.get::<T>(i.reg);
    let result = O::apply(&mut cx.cpu.flags, a, b);
    if O::WRITES {
        cx.put(i.reg, result);
    }
    Ok(())
}
pub fn mem_reg<O: Binary, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let b = cx.get::<T>(i.reg);
    mem_any::<O, T>(cx, i, b)
}
pub fn mem_imm<O: Binary, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    mem_any::<O, T>(cx, i, T::from_u64(i.imm))
}
#[inline(always)]
fn mem_any<O: Binary, T: Width>(cx: &mut Cx, i: &Insn, b: T) -> Exec {
    if !O::WRITES {
        let a = cx.read::<T>(i)?;
        O::apply(&mut cx.cpu.flags, a, b);
        return Ok(());
    }
    let (linear, a) = cx.read_to_modify::<T>(i)?;
    let before = cx.cpu.flags;
    let result = O::apply(&mut cx.cpu.flags, a, b);
    cx.store(linear, i.seg, result).inspect_err(|_| cx.cpu.flags = before)
}

/// The variant of a two-operand operation for the form and size at hand.
pub fn binary<O: Binary>(instr: &Instruction) -> Option<Handler> {
    let size = operand_size(instr, 0);
    Some(match form(instr) {
        Form::RegReg => {
            by_size(size, [reg_reg::<O, u8>, reg_reg::<O, u16>, reg_reg::<O, u32>, reg_reg::<O, u64>])
        }
        Form::RegMem => {
            by_size(size, [reg_mem::<O, u8>, reg_mem::<O, u16>, reg_mem::<O, u32>, reg_mem::<O, u64>])
        }
        Form::MemReg => {
            by_size(size, [mem_reg::<O, u8>, mem_reg::<O, u16>, mem_reg::<O, u32>, mem_reg::<O, u64>])
        }
        Form::RegImm => {
            by_size(size, [reg_imm::<O, u8>, reg_imm::<O, u16>, reg_imm::<O, u32>, reg_imm::<O, u64>])
        }
        Form::MemImm => {
            by_size(size, [mem_imm::<O, u8>, mem_imm::<O, u16>, mem_imm::<O, u32>, mem_imm::<O, u64>])
        }
        _ => return None,
    })
}

/// A one-operand read-modify-write operation.
pub trait Unary {
    fn apply<T: Width>(flags: &mut Flags, a: T) -> T;
}
pub struct Inc;
pub struct Dec;
pub struct Neg;
impl Unary for Inc {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T) -> T {
        let result = T::from_u64(a.to_u64().wrapping_add(1));
        flags.set_inc(a.to_u64(), result.to_u64(), T::BITS);
        result
    }
}
impl Unary for Dec {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T) -> T {
        let result = T::from_u64(a.to_u64().wrapping_sub(1));
        flags.set_dec(a.to_u64(), result.to_u64(), T::BITS);
        result
    }
}
impl Unary for Neg {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T) -> T {
        Sub::apply(flags, T::default(), a)
    }
}
pub fn unary_reg<O: Unary, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let a = cx.get::<T>(i.reg);
    let result = O::apply(&mut cx.cpu.flags, a);
    cx.put(i.reg, result);
    Ok(())
}
pub fn unary_mem<O: Unary, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let (linear, a) = cx.read_to_modify::<T>(i)?;
    let before = cx.cpu.flags;
    let result = O::apply(&mut cx.cpu.flags, a);
    cx.store(linear, i.seg, result).inspect_err(|_| cx.cpu.flags = before)
}
/// The variant of a one-operand operation.
pub fn unary<O: Unary>(instr: &Instruction) -> Option<Handler> {
    let size = operand_size(instr, 0);
    Some(match form(instr) {
        Form::Reg => {
            by_size(size, [unary_reg::<O, u8>, unary_reg::<O, u16>, unary_reg::<O, u32>, unary_reg::<O, u64>])
        }
        _ => {
            by_size(size, [unary_mem::<O, u8>, unary_mem::<O, u16>, unary_mem::<O, u32>, unary_mem::<O, u64>])
        }
    })
}

/// Reads the register or memory operand of a one-operand instruction.
#[inline(always)]
fn source<T: Width, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Result<T, Fault> {
    if MEM { cx.read::<T>(i) } else { Ok(cx.get::<T>(i.reg)) }
}

fn signed<T: Width>(value: T) -> i128 {
    let shift = 64 - T::BITS;
    i128::from((value.to_u64() << shift) as i64 >> shift)
}

/// Writes a double-width product or quotient/remainder pair to (AX) or (rDX:rAX).
fn put_pair<T: Width>(cx: &mut Cx, low: u64, high: u64) {
    if T::BITS == 8 {
        cx.put::<u16>(RAX, (low & 0xFF | (high & 0xFF) << 8) as u16);
    } else {
        cx.put(RAX, T::from_u64(low));
        cx.put(RDX, T::from_u64(high));
    }
}

fn dividend<T: Width>(cx: &Cx) -> u128 {
    if T::BITS == 8 {
        u128::from(cx.get::<u16>(RAX))
    } else {
        u128::from(cx.get::<T>(RDX).to_u64()) << T::BITS | u128::from(cx.get::<T>(RAX).to_u64())
    }
}

fn mul<T: Width, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let b = source::<T, MEM>(cx, i)?;
    let product = u128::from(cx.get::<T>(RAX).to_u64()) * u128::from(b.to_u64());
    let high = (product >> T::BITS) as u64;
    put_pair::<T>(cx, product as u64, high);
    // SF, ZF, AF and PF are undefined: they follow the low half, as on the reference CPU.
    let low = T::from_u64(product as u64).to_u64();
    cx.cpu.flags.set_result_cf_of(low, T::BITS, high != 0, high != 0);
    Ok(())
}

fn imul1<T: Width, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let b = source::<T, MEM>(cx, i)?;
    let product = signed(cx.get::<T>(RAX)) * signed(b);
    put_pair::<T>(cx, product as u64, (product >> T::BITS) as u64);
    set_imul::<T>(cx, product);
    Ok(())
}

#[inline(always)]
fn set_imul<T: Width>(cx: &mut Cx, product: i128) {
    let low = T::from_u64(product as u64);
    let overflow = signed(low) != product;
    cx.cpu.flags.set_result_cf_of(low.to_u64(), T::BITS, overflow, overflow);
}

#[inline(always)]
fn imul_into<T: Width>(cx: &mut Cx, i: &Insn, a: T, b: T) {
    if T::BITS == 64 {
        let (low, overflow) = (a.to_u64() as i64).overflowing_mul(b.to_u64() as i64);
        cx.put(i.reg, T::from_u64(low as u64));
        cx.cpu.flags.set_result_cf_of(low as u64, 64, overflow, overflow);
    } else {
        let shift = 64 - T::BITS;
        let extend = |v: T| (v.to_u64() << shift) as i64 >> shift;
        let product = extend(a) * extend(b);
        let low = T::from_u64(product as u64);
        let overflow = extend(low) != product;
        cx.put(i.reg, low);
        cx.cpu.flags.set_result_cf_of(low.to_u64(), T::BITS, overflow, overflow);
    }
}
fn imul_rr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    imul_into(cx, i, cx.get::<T>(i.reg), cx.get::<T>(i.rm));
    Ok(())
}
fn imul_rm<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let b = cx.read::<T>(i)?;
    imul_into(cx, i, cx.get::<T>(i.reg), b);
    Ok(())
}
fn imul_rri<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    imul_into(cx, i, cx.get::<T>(i.rm), T::from_u64(i.imm));
    Ok(())
}
fn imul_rmi<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let a = cx.read::<T>(i)?;
    imul_into(cx, i, a, T::from_u64(i.imm));
    Ok(())
}

fn div<T: Width, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let divisor = u128::from(source::<T, MEM>(cx, i)?.to_u64());
    let dividend = dividend::<T>(cx);
    if divisor == 0 || dividend >> T::BITS >= divisor {
        return Err(cx.raise(0));
    }
    if let (Ok(a), Ok(b)) = (u64::try_from(dividend), u64::try_from(divisor)) {
        put_pair::<T>(cx, a / b, a % b);
    } else {
        put_pair::<T>(cx, (dividend / divisor) as u64, (dividend % divisor) as u64);
    }
    Ok(())
}

fn idiv<T: Width, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let divisor = signed(source::<T, MEM>(cx, i)?);
    let raw = dividend::<T>(cx);
    let shift = 128 - 2 * T::BITS;
    let dividend = (raw << shift) as i128 >> shift;
    let quotient = match dividend.checked_div(divisor) {
        Some(quotient) if signed(T::from_u64(quotient as u64)) == quotient => quotient,
        _ => return Err(cx.raise(0)),
    };
    put_pair::<T>(cx, quotient as u64, (dividend % divisor) as u64);
    Ok(())
}

fn xadd_rr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let (a, b) = (cx.get::<T>(i.reg), cx.get::<T>(i.rm));
    let sum = Add::apply(&mut cx.cpu.flags, a, b);
    cx.put(i.rm, a);
    cx.put(i.reg, sum);
    Ok(())
}
fn xadd_mr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let (linear, a) = cx.read_to_modify::<T>(i)?;
    let mut flags = cx.cpu.flags;
    let sum = Add::apply(&mut flags, a, cx.get::<T>(i.reg));
    cx.store(linear, i.seg, sum)?;
    cx.cpu.flags = flags;
    cx.put(i.reg, a);
    Ok(())
}
fn cmpxchg_rr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let (accumulator, a) = (cx.get::<T>(RAX), cx.get::<T>(i.reg));
    Sub::apply(&mut cx.cpu.flags, accumulator, a);
    if accumulator == a {
        cx.put(i.reg, cx.get::<T>(i.rm));
    } else {
        cx.put(RAX, a);
    }
    Ok(())
}
fn cmpxchg_mr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let (linear, a) = cx.read_to_modify::<T>(i)?;
    let accumulator = cx.get::<T>(RAX);
    let equal = accumulator == a;
    // The destination is written either way.
    cx.store(linear, i.seg, if equal { cx.get::<T>(i.reg) } else { a })?;
    Sub::apply(&mut cx.cpu.flags, accumulator, a);
    if !equal {
        cx.put(RAX, a);
    }
    Ok(())
}

fn cmpxchg8b(cx: &mut Cx, i: &Insn) -> Exec {
    let (linear, memory) = cx.read_to_modify::<u64>(i)?;
    let join = |cx: &Cx, high, low| u64::from(cx.get::<u32>(high)) << 32 | u64::from(cx.get::<u32>(low));
    let equal = memory == join(cx, 2, 0);
    let replacement = if equal { join(cx, 1, 3) } else { memory };
    cx.store(linear, i.seg, replacement)?;
    if !equal {
        cx.put(RAX, memory as u32);
        cx.put(RDX, (memory >> 32) as u32);
    }
    cx.cpu.flags.set_zf(equal);
    Ok(())
}

fn cmpxchg16b(cx: &mut Cx, i: &Insn) -> Exec {
    let linear = cx.operand(i, 16, true)?;
    if linear & 15 != 0 {
        return Err(cx.gp(0));
    }
    let (linear, memory) = cx.read_to_modify::<u128>(i)?;
    let join = |cx: &Cx, high, low| u128::from(cx.get::<u64>(high)) << 64 | u128::from(cx.get::<u64>(low));
    let equal = memory == join(cx, 2, 0);
    let replacement = if equal { join(cx, 1, 3) } else { memory };
    cx.store(linear, i.seg, replacement)?;
    if !equal {
        cx.put(RAX, memory as u64);
        cx.put(RDX, (memory >> 64) as u64);
    }
    cx.cpu.flags.set_zf(equal);
    Ok(())
}

// ---- decimal adjusts ----

fn adjust_packed<const SUBTRACT: bool>(cx: &mut Cx, _i: &Insn) -> Exec {
    let al = cx.get::<u8>(RAX);
    let (carry, aux) = (cx.cpu.flags.cf(), cx.cpu.flags.af());
    let step = |value: u8, by: u8| if SUBTRACT { value.wrapping_sub(by) } else { value.wrapping_add(by) };
    let low = al & 0xF > 9 || aux;
    let high = al > 0x99 || carry;
    // Adding 6 carries only where `high` holds anyway; subtracting it may borrow on its own.
    let carry_out = high || SUBTRACT && low && al < 6;
    let result = step(step(al, if low { 6 } else { 0 }), if high { 0x60 } else { 0 });
    cx.put(RAX, result);
    cx.cpu.flags.set_result_cf_of(u64::from(result), 8, carry_out, false);
    set_af(cx, low);
    Ok(())
}

fn set_af(cx: &mut Cx, on: bool) {
    let others = cx.cpu.flags.arithmetic() & !bit::AF;
    cx.cpu.flags.set_arithmetic(others | if on { bit::AF } else { 0 });
}

fn adjust_unpacked<const SUBTRACT: bool>(cx: &mut Cx, _i: &Insn) -> Exec {
    let ax = cx.get::<u16>(RAX);
    let adjust = ax & 0xF > 9 || cx.cpu.flags.af();
    let result = match (adjust, SUBTRACT) {
        (false, _) => ax,
        (true, false) => ax.wrapping_add(0x106),
        (true, true) => ax.wrapping_sub(0x106),
    } & 0xFF0F;
    cx.put(RAX, result);
    cx.cpu.flags.set_result_cf_of(u64::from(result as u8), 8, adjust, false);
    set_af(cx, adjust);
    Ok(())
}

fn aam(cx: &mut Cx, i: &Insn) -> Exec {
    let base = i.imm as u8;
    if base == 0 {
        return Err(cx.raise(0));
    }
    let al = cx.get::<u8>(RAX);
    cx.put(AH, al / base);
    cx.put(RAX, al % base);
    cx.cpu.flags.set_logic(u64::from(al % base), 8);
    Ok(())
}

fn aad(cx: &mut Cx, i: &Insn) -> Exec {
    let result = cx.get::<u8>(RAX).wrapping_add(cx.get::<u8>(AH).wrapping_mul(i.imm as u8));
    cx.put(RAX, u16::from(result));
    cx.cpu.flags.set_logic(u64::from(result), 8);
    Ok(())
}

fn one_operand(instr: &Instruction, reg: [Handler; 4], mem: [Handler; 4]) -> Option<Handler> {
    let variants = if form(instr) == Form::Reg { reg } else { mem };
    Some(by_size(operand_size(instr, 0), variants))
}

fn multiply(instr: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    match instr.mnemonic() {
        Mul => one_operand(
            instr,
            [mul::<u8, false>, mul::<u16, false>, mul::<u32, false>, mul::<u64, false>],
            [mul::<u8, true>, mul::<u16, true>, mul::<u32, true>, mul::<u64, true>],
        ),
        Div => one_operand(
            instr,
            [div::<u8, false>, div::<u16, false>, div::<u32, false>, div::<u64, false>],
            [div::<u8, true>, div::<u16, true>, div::<u32, true>, div::<u64, true>],
        ),
        Idiv => one_operand(
            instr,
            [idiv::<u8, false>, idiv::<u16, false>, idiv::<u32, false>, idiv::<u64, false>],
            [idiv::<u8, true>, idiv::<u16, true>, idiv::<u32, true>, idiv::<u64, true>],
        ),
        Imul if instr.op_count() == 1 => one_operand(
            instr,
            [imul1::<u8, false>, imul1::<u16, false>, imul1::<u32, false>, imul1::<u64, false>],
            [imul1::<u8, true>, imul1::<u16, true>, imul1::<u32, true>, imul1::<u64, true>],
        ),
        Imul => {
            let size = operand_size(instr, 0);
            let variants: [Handler; 4] = match (form(instr), instr.op_count()) {
                (Form::RegReg, 2) => [imul_rr::<u16>, imul_rr::<u16>, imul_rr::<u32>, imul_rr::<u64>],
                (Form::RegReg, _) => [imul_rri::<u16>, imul_rri::<u16>, imul_rri::<u32>, imul_rri::<u64>],
                (_, 2) => [imul_rm::<u16>, imul_rm::<u16>, imul_rm::<u32>, imul_rm::<u64>],
                _ => [imul_rmi::<u16>, imul_rmi::<u16>, imul_rmi::<u32>, imul_rmi::<u64>],
            };
            Some(by_size(size, variants))
        }
        _ => None,
    }
}

fn exchange(instr: &Instruction) -> Option<Handler> {
    let size = operand_size(instr, 0);
    let register = form(instr) == Form::RegReg;
    Some(match (instr.mnemonic(), register) {
        (Mnemonic::Xadd, true) => {
            by_size(size, [xadd_rr::<u8>, xadd_rr::<u16>, xadd_rr::<u32>, xadd_rr::<u64>])
        }
        (Mnemonic::Xadd, false) => {
            by_size(size, [xadd_mr::<u8>, xadd_mr::<u16>, xadd_mr::<u32>, xadd_mr::<u64>])
        }
        (Mnemonic::Cmpxchg, true) => {
            by_size(size, [cmpxchg_rr::<u8>, cmpxchg_rr::<u16>, cmpxchg_rr::<u32>, cmpxchg_rr::<u64>])
        }
        (Mnemonic::Cmpxchg, false) => {
            by_size(size, [cmpxchg_mr::<u8>, cmpxchg_mr::<u16>, cmpxchg_mr::<u32>, cmpxchg_mr::<u64>])
        }
        (Mnemonic::Cmpxchg8b, _) => cmpxchg8b,
        (Mnemonic::Cmpxchg16b, _) => cmpxchg16b,
        _ => return None,
    })
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    match instr.mnemonic() {
        M::Add => binary::<Add>(instr),
        M::Adc => binary::<Adc>(instr),
        M::Sub => binary::<Sub>(instr),
        M::Sbb => binary::<Sbb>(instr),
        M::Cmp => binary::<Cmp>(instr),
        M::Inc => unary::<Inc>(instr),
        M::Dec => unary::<Dec>(instr),
        M::Neg => unary::<Neg>(instr),
        M::Mul | M::Imul | M::Div | M::Idiv => multiply(instr),
        M::Xadd | M::Cmpxchg | M::Cmpxchg8b | M::Cmpxchg16b => exchange(instr),
        M::Daa => Some(adjust_packed::<false>),
        M::Das => Some(adjust_packed::<true>),
        M::Aaa => Some(adjust_unpacked::<false>),
        M::Aas => Some(adjust_unpacked::<true>),
        M::Aam => Some(aam),
        M::Aad => Some(aad),
        _ => None,
    }
}
