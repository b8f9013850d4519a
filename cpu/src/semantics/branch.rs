//! Near JMP, Jcc, CALL, RET, LOOP, JCXZ (SDM Vol. 2). Far transfers are in `segment.rs`.

use crate::decode::form;
use crate::decode::{Form, by_size, operand_size};
use crate::exec::{Cx, Exec, Handler, Insn, Width, is_canonical};
use crate::state::{CodeSize, seg};
use iced_x86::{Instruction, Mnemonic, OpKind};

impl Cx<'_> {
    /// Sets RIP to a near target after the checks a branch makes: canonical, or inside the CS limit.
    #[inline(always)]
    pub fn jump(&mut self, target: u64) -> Exec {
        self.check_target(target)?;
        self.cpu.rip = target;
        Ok(())
    }

    #[inline(always)]
    fn check_target(&mut self, target: u64) -> Exec {
        let legal = if self.cpu.code_size == CodeSize::Bits64 {
            is_canonical(target)
        } else {
            target <= u64::from(self.cpu.system.seg[seg::CS].limit)
        };
        if legal { Ok(()) } else { Err(self.gp(0)) }
    }
}

/// Truncates a RIP to the operand size of a branch.
#[inline(always)]
fn truncate<T: Width>(rip: u64) -> u64 {
    T::from_u64(rip).to_u64()
}

pub fn jmp_rel<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let target = truncate::<T>(cx.next_rip(i).wrapping_add(i.imm));
    cx.jump(target)
}
fn jcc<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    if cx.cpu.flags.condition(i.aux) {
        jmp_rel::<T>(cx, i)
    } else {
        cx.cpu.rip = cx.next_rip(i);
        Ok(())
    }
}
fn jmp_r<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let target = cx.get::<T>(i.reg).to_u64();
    cx.jump(target)
}
fn jmp_m<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let target = cx.read::<T>(i)?.to_u64();
    cx.jump(target)
}
#[inline(always)]
fn call<T: Width>(cx: &mut Cx, i: &Insn, target: u64) -> Exec {
    cx.check_target(target)?;
    cx.push(T::from_u64(cx.next_rip(i)))?;
    cx.cpu.rip = target;
    Ok(())
}
pub fn call_rel<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let target = truncate::<T>(cx.next_rip(i).wrapping_add(i.imm));
    call::<T>(cx, i, target)
}
fn call_r<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let target = cx.get::<T>(i.reg).to_u64();
    call::<T>(cx, i, target)
}
fn call_m<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let target = cx.read::<T>(i)?.to_u64();
    call::<T>(cx, i, target)
}
pub fn ret<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let target = cx.peek::<T>(0)?.to_u64();
    cx.jump(target)?;
    cx.drop_stack(T::SIZE as u64 + (i.imm & 0xFFFF));
    Ok(())
}

/// The counter of LOOP and JCXZ, as wide as the address size.
fn counter(cx: &Cx, i: &Insn) -> u64 {
    cx.cpu.gpr[1] & cx.address_mask(i)
}
fn decrement(cx: &mut Cx, i: &Insn) -> u64 {
    let count = counter(cx, i).wrapping_sub(1) & cx.address_mask(i);
    cx.set_count(i, count);
    count
}
/// LOOP: KIND 0 always, 1 while equal, 2 while not equal.
fn loop_<T: Width, const KIND: u8>(cx: &mut Cx, i: &Insn) -> Exec {
    let before = cx.cpu.gpr[1];
    let more = decrement(cx, i) != 0;
    let taken = more
        && match KIND {
            0 => true,
            1 => cx.cpu.flags.zf(),
            _ => !cx.cpu.flags.zf(),
        };
    branch_if::<T>(cx, i, taken).inspect_err(|_| cx.cpu.gpr[1] = before)
}
fn jcxz<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let taken = counter(cx, i) == 0;
    branch_if::<T>(cx, i, taken)
}
fn branch_if<T: Width>(cx: &mut Cx, i: &Insn, taken: bool) -> Exec {
    if taken {
        return jmp_rel::<T>(cx, i);
    }
    cx.cpu.rip = cx.next_rip(i);
    Ok(())
}

/// Bytes of the counter of LOOP and JCXZ: the address size, which no operand shows.
pub fn counter_size(instr: &Instruction) -> Option<usize> {
    use iced_x86::Code::*;
    Some(match instr.code() {
        Loop_rel8_16_CX | Loop_rel8_32_CX | Loope_rel8_16_CX | Loope_rel8_32_CX | Loopne_rel8_16_CX
        | Loopne_rel8_32_CX | Jcxz_rel8_16 | Jcxz_rel8_32 => 2,
        Loop_rel8_16_ECX | Loop_rel8_32_ECX | Loop_rel8_64_ECX | Loope_rel8_16_ECX | Loope_rel8_32_ECX
        | Loope_rel8_64_ECX | Loopne_rel8_16_ECX | Loopne_rel8_32_ECX | Loopne_rel8_64_ECX
        | Jecxz_rel8_16 | Jecxz_rel8_32 | Jecxz_rel8_64 => 4,
        Loop_rel8_16_RCX | Loop_rel8_64_RCX | Loope_rel8_16_RCX | Loope_rel8_64_RCX | Loopne_rel8_16_RCX
        | Loopne_rel8_64_RCX | Jrcxz_rel8_16 | Jrcxz_rel8_64 => 8,
        _ => return None,
    })
}

fn width(instr: &Instruction) -> usize {
    match instr.op_kind(0) {
        OpKind::NearBranch16 => 2,
        OpKind::NearBranch32 => 4,
        _ => 8,
    }
}
fn near(instr: &Instruction) -> bool {
    matches!(instr.op_kind(0), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64)
}

fn ret_size(instr: &Instruction) -> usize {
    use iced_x86::Code::*;
    match instr.code() {
        Retnw | Retnw_imm16 => 2,
        Retnd | Retnd_imm16 => 4,
        _ => 8,
    }
}

/// Whether this is a near or far transfer other than the interrupt and system-call family.
pub fn is_branch(instr: &Instruction) -> bool {
    use Mnemonic as M;
    matches!(
        instr.mnemonic(),
        M::Jmp | M::Call | M::Ret | M::Retf | M::Loop | M::Loope | M::Loopne | M::Jcxz | M::Jecxz | M::Jrcxz
    ) || is_jcc(instr)
}
fn is_jcc(instr: &Instruction) -> bool {
    instr.is_jcc_short_or_near()
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction, _size: CodeSize) -> Option<Handler> {
    use Mnemonic as M;
    if is_jcc(instr) {
        return Some(by_size(width(instr), [jcc::<u16>, jcc::<u16>, jcc::<u32>, jcc::<u64>]));
    }
    let indirect = |reg: [Handler; 4], mem: [Handler; 4]| {
        let variants = if form(instr) == Form::Reg { reg } else { mem };
        Some(by_size(operand_size(instr, 0), variants))
    };
    match instr.mnemonic() {
        M::Jmp if near(instr) => {
            Some(by_size(width(instr), [jmp_rel::<u16>, jmp_rel::<u16>, jmp_rel::<u32>, jmp_rel::<u64>]))
        }
        M::Call if near(instr) => {
            Some(by_size(width(instr), [call_rel::<u16>, call_rel::<u16>, call_rel::<u32>, call_rel::<u64>]))
        }
        M::Jmp if instr.is_jmp_near_indirect() => indirect(
            [jmp_r::<u16>, jmp_r::<u16>, jmp_r::<u32>, jmp_r::<u64>],
            [jmp_m::<u16>, jmp_m::<u16>, jmp_m::<u32>, jmp_m::<u64>],
        ),
        M::Call if instr.is_call_near_indirect() => indirect(
            [call_r::<u16>, call_r::<u16>, call_r::<u32>, call_r::<u64>],
            [call_m::<u16>, call_m::<u16>, call_m::<u32>, call_m::<u64>],
        ),
        M::Ret => Some(by_size(ret_size(instr), [ret::<u16>, ret::<u16>, ret::<u32>, ret::<u64>])),
        M::Loop => {
            Some(by_size(width(instr), [loop_::<u16, 0>, loop_::<u16, 0>, loop_::<u32, 0>, loop_::<u64, 0>]))
        }
        M::Loope => {
            Some(by_size(width(instr), [loop_::<u16, 1>, loop_::<u16, 1>, loop_::<u32, 1>, loop_::<u64, 1>]))
        }
        M::Loopne => {
            Some(by_size(width(instr), [loop_::<u16, 2>, loop_::<u16, 2>, loop_::<u32, 2>, loop_::<u64, 2>]))
        }
        M::Jcxz | M::Jecxz | M::Jrcxz => {
            Some(by_size(width(instr), [jcxz::<u16>, jcxz::<u16>, jcxz::<u32>, jcxz::<u64>]))
        }
        _ => None,
    }
}
