//! AND, OR, XOR, TEST, NOT (SDM Vol. 2).

use super::arith::{Binary, binary};
use crate::decode::{Form, by_size, form, operand_size};
use crate::exec::{Cx, Exec, Handler, Insn, Width};
use crate::flags::Flags;
use iced_x86::{Instruction, Mnemonic};

pub struct And;
pub struct Or;
pub struct Xor;
pub struct Test;

impl Binary for And {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T, b: T) -> T {
        let result = T::from_u64(a.to_u64() & b.to_u64());
        flags.set_logic(result.to_u64(), T::BITS);
        result
    }
}
impl Binary for Or {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T, b: T) -> T {
        let result = T::from_u64(a.to_u64() | b.to_u64());
        flags.set_logic(result.to_u64(), T::BITS);
        result
    }
}
impl Binary for Xor {
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T, b: T) -> T {
        let result = T::from_u64(a.to_u64() ^ b.to_u64());
        flags.set_logic(result.to_u64(), T::BITS);
        result
    }
}
impl Binary for Test {
    const WRITES: bool = false;
    #[inline(always)]
    fn apply<T: Width>(flags: &mut Flags, a: T, b: T) -> T {
        And::apply(flags, a, b)
    }
}

fn not_reg<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = !cx.get::<T>(i.reg).to_u64();
    cx.put(i.reg, T::from_u64(value));
    Ok(())
}
fn not_mem<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let (linear, value) = cx.read_to_modify::<T>(i)?;
    cx.store(linear, i.seg, T::from_u64(!value.to_u64()))
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    match instr.mnemonic() {
        Mnemonic::And => binary::<And>(instr),
        Mnemonic::Or => binary::<Or>(instr),
        Mnemonic::Xor => binary::<Xor>(instr),
        Mnemonic::Test => binary::<Test>(instr),
        Mnemonic::Not => {
            let variants: [Handler; 4] = match form(instr) {
                Form::Reg => [not_reg::<u8>, not_reg::<u16>, not_reg::<u32>, not_reg::<u64>],
                _ => [not_mem::<u8>, not_mem::<u16>, not_mem::<u32>, not_mem::<u64>],
            };
            Some(by_size(operand_size(instr, 0), variants))
        }
        _ => None,
    }
}
