//! SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD (SDM Vol. 2). Undefined flags: OF for counts above 1 is what one
//! more step of the definition for 1 gives; AF is cleared by shifts.

use crate::decode::{Form, by_size, form, operand_size};
use crate::exec::{Cx, Exec, Handler, Insn, Width};
use crate::flags::{Flags, bit};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// A shift by a masked, non-zero count.
trait Shift {
    fn apply<T: Width>(flags: &mut Flags, value: T, count: u32) -> T;
}

struct Shl;
struct Shr;
struct Sar;
struct Rol;
struct Ror;
struct Rcl;
struct Rcr;

impl Shift for Shl {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, value: T, count: u32) -> T {
        let wide = u128::from(value.to_u64()) << count;
        let result = T::from_u64(wide as u64);
        let carry = wide >> T::BITS & 1 != 0;
        let overflow = (result.to_u64() >> (T::BITS - 1) & 1 != 0) != carry;
        flags.set_result_cf_of(result.to_u64(), T::BITS, carry, overflow);
        result
    }
}
impl Shift for Shr {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, value: T, count: u32) -> T {
        let value = value.to_u64();
        let result = value.checked_shr(count).unwrap_or(0);
        let carry = value.checked_shr(count - 1).unwrap_or(0) & 1 != 0;
        // OF is the top bit of what the last step shifts: 0 for counts above 1.
        let before = value.checked_shr(count - 1).unwrap_or(0);
        let overflow = before >> (T::BITS - 1) & 1 != 0;
        flags.set_result_cf_of(result, T::BITS, carry, overflow);
        T::from_u64(result)
    }
}
impl Shift for Sar {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, value: T, count: u32) -> T {
        let extend = 64 - T::BITS;
        let signed = (value.to_u64() << extend) as i64 >> extend;
        let carry = signed >> (count - 1).min(63) & 1 != 0;
        let result = T::from_u64((signed >> count.min(63)) as u64);
        // No step changes the sign, so OF is 0.
        flags.set_result_cf_of(result.to_u64(), T::BITS, carry, false);
        result
    }
}

fn set_cf_of(flags: &mut Flags, carry: bool, overflow: bool) {
    let others = flags.arithmetic() & !(bit::CF | bit::OF);
    flags.set_arithmetic(others | u64::from(carry) | u64::from(overflow) << 11);
}

impl Shift for Rol {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, value: T, count: u32) -> T {
        let (value, n) = (value.to_u64(), count % T::BITS);
        let result = T::from_u64(if n == 0 { value } else { value << n | value >> (T::BITS - n) });
        let carry = result.to_u64() & 1 != 0;
        set_cf_of(flags, carry, (result.to_u64() >> (T::BITS - 1) & 1 != 0) != carry);
        result
    }
}
impl Shift for Ror {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, value: T, count: u32) -> T {
        let (value, n) = (value.to_u64(), count % T::BITS);
        let result = T::from_u64(if n == 0 { value } else { value >> n | value << (T::BITS - n) });
        let top = result.to_u64() >> (T::BITS - 2) & 3;
        set_cf_of(flags, top & 2 != 0, top == 1 || top == 2);
        result
    }
}
impl Shift for Rcl {
    fn apply<T: Width>(flags: &mut Flags, value: T, count: u32) -> T {
        let bits = T::BITS + 1;
        let n = count % bits;
        if n == 0 {
            return value;
        }
        let wide = u128::from(value.to_u64()) | u128::from(flags.cf()) << T::BITS;
        let rotated = wide << n | wide >> (bits - n);
        let result = T::from_u64(rotated as u64);
        let carry = rotated >> T::BITS & 1 != 0;
        set_cf_of(flags, carry, (result.to_u64() >> (T::BITS - 1) & 1 != 0) != carry);
        result
    }
}
impl Shift for Rcr {
    fn apply<T: Width>(flags: &mut Flags, value: T, count: u32) -> T {
        let bits = T::BITS + 1;
        let n = count % bits;
        if n == 0 {
            return value;
        }
        let wide = u128::from(value.to_u64()) | u128::from(flags.cf()) << T::BITS;
        let rotated = wide >> n | wide << (bits - n);
        let result = T::from_u64(rotated as u64);
        let top = result.to_u64() >> (T::BITS - 2) & 3;
        set_cf_of(flags, rotated >> T::BITS & 1 != 0, top == 1 || top == 2);
        result
    }
}

#[inline(always)]
fn mask<T: Width>(count: u64) -> u32 {
    (count & if T::BITS == 64 { 63 } else { 31 }) as u32
}
#[inline(always)]
fn count<T: Width, const CL: bool>(cx: &Cx, i: &Insn) -> u32 {
    mask::<T>(if CL { cx.cpu.gpr[1] } else { i.imm })
}

fn shift_reg<O: Shift, T: Width, const CL: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let n = count::<T, CL>(cx, i);
    let value = cx.get::<T>(i.reg);
    if n != 0 {
        let result = O::apply(&mut cx.cpu.flags, value, n);
        cx.put(i.reg, result);
    } else if T::BITS == 32 {
        // A 32-bit destination is zero-extended even by a count of 0.
        cx.put(i.reg, value);
    }
    Ok(())
}
fn shift_mem<O: Shift, T: Width, const CL: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let n = count::<T, CL>(cx, i);
    let (linear, value) = cx.read_to_modify::<T>(i)?;
    if n == 0 {
        return Ok(());
    }
    let before = cx.cpu.flags;
    let result = O::apply(&mut cx.cpu.flags, value, n);
    cx.store(linear, i.seg, result).inspect_err(|_| cx.cpu.flags = before)
}

fn variants<O: Shift, const CL: bool>(instr: &Instruction) -> Handler {
    let size = operand_size(instr, 0);
    match instr.op_kind(0) {
        OpKind::Register => by_size(
            size,
            [
                shift_reg::<O, u8, CL>,
                shift_reg::<O, u16, CL>,
                shift_reg::<O, u32, CL>,
                shift_reg::<O, u64, CL>,
            ],
        ),
        _ => by_size(
            size,
            [
                shift_mem::<O, u8, CL>,
                shift_mem::<O, u16, CL>,
                shift_mem::<O, u32, CL>,
                shift_mem::<O, u64, CL>,
            ],
        ),
    }
}
fn pick<O: Shift>(instr: &Instruction) -> Option<Handler> {
    let by_cl = instr.op_kind(1) == OpKind::Register;
    Some(if by_cl { variants::<O, true>(instr) } else { variants::<O, false>(instr) })
}

/// SHLD (LEFT) and SHRD: `value` shifted, filled from `fill`.
fn double<T: Width, const LEFT: bool>(flags: &mut Flags, value: T, fill: T, n: u32) -> T {
    let (v, f) = (u128::from(value.to_u64()), u128::from(fill.to_u64()));
    // 16-bit counts above 16 are undefined: the pattern goes on with the fill, then the value again.
    let (result, carry) = if LEFT {
        let wide = v << (2 * T::BITS) | f << T::BITS | v;
        let shifted = wide << n >> (2 * T::BITS);
        let wide_carry = wide << (n - 1) >> (3 * T::BITS - 1);
        (shifted as u64, wide_carry & 1 != 0)
    } else {
        let wide = v | f << T::BITS | if T::BITS < 64 { v << (2 * T::BITS) } else { 0 };
        ((wide >> n) as u64, wide >> (n - 1) & 1 != 0)
    };
    let result = T::from_u64(result);
    let overflow = (result.to_u64() ^ value.to_u64()) >> (T::BITS - 1) & 1 != 0;
    flags.set_result_cf_of(result.to_u64(), T::BITS, carry, overflow);
    result
}
fn double_wide<const LEFT: bool>(flags: &mut Flags, value: u64, fill: u64, n: u32) -> u64 {
    let (result, carry) = if LEFT {
        (value << n | fill >> (64 - n), value >> (64 - n) & 1 != 0)
    } else {
        (value >> n | fill << (64 - n), value >> (n - 1) & 1 != 0)
    };
    flags.set_result_cf_of(result, 64, carry, (result ^ value) >> 63 != 0);
    result
}
fn double_any<T: Width, const LEFT: bool>(flags: &mut Flags, value: T, fill: T, n: u32) -> T {
    if T::BITS == 64 {
        T::from_u64(double_wide::<LEFT>(flags, value.to_u64(), fill.to_u64(), n))
    } else {
        double::<T, LEFT>(flags, value, fill, n)
    }
}
fn double_reg<T: Width, const LEFT: bool, const CL: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let n = count::<T, CL>(cx, i);
    let value = cx.get::<T>(i.reg);
    if n == 0 {
        if T::BITS == 32 {
            cx.put(i.reg, value);
        }
        return Ok(());
    }
    let fill = cx.get::<T>(i.rm);
    let result = double_any::<T, LEFT>(&mut cx.cpu.flags, value, fill, n);
    cx.put(i.reg, result);
    Ok(())
}
fn double_mem<T: Width, const LEFT: bool, const CL: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let n = count::<T, CL>(cx, i);
    let (linear, value) = cx.read_to_modify::<T>(i)?;
    if n == 0 {
        return Ok(());
    }
    let fill = cx.get::<T>(i.reg);
    let before = cx.cpu.flags;
    let result = double_any::<T, LEFT>(&mut cx.cpu.flags, value, fill, n);
    cx.store(linear, i.seg, result).inspect_err(|_| cx.cpu.flags = before)
}
fn double_variants<const LEFT: bool, const CL: bool>(instr: &Instruction) -> Handler {
    let variants: [Handler; 4] = match form(instr) {
        Form::RegReg => [
            double_reg::<u16, LEFT, CL>,
            double_reg::<u16, LEFT, CL>,
            double_reg::<u32, LEFT, CL>,
            double_reg::<u64, LEFT, CL>,
        ],
        _ => [
            double_mem::<u16, LEFT, CL>,
            double_mem::<u16, LEFT, CL>,
            double_mem::<u32, LEFT, CL>,
            double_mem::<u64, LEFT, CL>,
        ],
    };
    by_size(operand_size(instr, 0), variants)
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    let by_cl = instr.op_count() == 3 && instr.op_kind(2) == OpKind::Register;
    match instr.mnemonic() {
        Mnemonic::Shl | Mnemonic::Sal => pick::<Shl>(instr),
        Mnemonic::Shr => pick::<Shr>(instr),
        Mnemonic::Sar => pick::<Sar>(instr),
        Mnemonic::Rol => pick::<Rol>(instr),
        Mnemonic::Ror => pick::<Ror>(instr),
        Mnemonic::Rcl => pick::<Rcl>(instr),
        Mnemonic::Rcr => pick::<Rcr>(instr),
        Mnemonic::Shld if by_cl => Some(double_variants::<true, true>(instr)),
        Mnemonic::Shld => Some(double_variants::<true, false>(instr)),
        Mnemonic::Shrd if by_cl => Some(double_variants::<false, true>(instr)),
        Mnemonic::Shrd => Some(double_variants::<false, false>(instr)),
        _ => None,
    }
}
