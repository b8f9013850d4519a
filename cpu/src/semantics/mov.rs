//! MOV between general registers and memory, MOVZX, MOVSX, MOVSXD, MOVBE, LEA, XCHG, CMOVcc, SETcc, CBW and CWD
//! families, XLAT, NOP (SDM Vol. 2).

use crate::decode::{Form, by_size, form, operand_size};
use crate::exec::{Cx, Exec, Handler, Insn, Width};
use iced_x86::{Instruction, Mnemonic, OpKind};

pub fn mov_rr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.get::<T>(i.rm);
    cx.put(i.reg, value);
    Ok(())
}
pub fn mov_rm<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.read::<T>(i)?;
    cx.put(i.reg, value);
    Ok(())
}
pub fn mov_mr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.get::<T>(i.reg);
    cx.write(i, value)
}
pub fn mov_ri<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.put(i.reg, T::from_u64(i.imm));
    Ok(())
}
pub fn mov_mi<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    cx.write(i, T::from_u64(i.imm))
}
/// MOV with a 64-bit absolute offset, which is in `imm`.
fn load_moffs<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let linear = cx.linear(i, i.seg, i.imm, T::SIZE as u64, false)?;
    let value = cx.load::<T>(linear, i.seg)?;
    cx.put(0, value);
    Ok(())
}
fn store_moffs<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let linear = cx.linear(i, i.seg, i.imm, T::SIZE as u64, true)?;
    let value = cx.get::<T>(0);
    cx.store(linear, i.seg, value)
}

fn zero_extend_rr<S: Width, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.get::<S>(i.rm).to_u64();
    cx.put(i.reg, T::from_u64(value));
    Ok(())
}
pub fn zero_extend_rm<S: Width, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.read::<S>(i)?.to_u64();
    cx.put(i.reg, T::from_u64(value));
    Ok(())
}
#[inline(always)]
pub fn sign<S: Width>(value: S) -> u64 {
    let shift = 64 - S::BITS;
    ((value.to_u64() << shift) as i64 >> shift) as u64
}
fn sign_extend_rr<S: Width, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = sign(cx.get::<S>(i.rm));
    cx.put(i.reg, T::from_u64(value));
    Ok(())
}
pub fn sign_extend_rm<S: Width, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = sign(cx.read::<S>(i)?);
    cx.put(i.reg, T::from_u64(value));
    Ok(())
}

fn lea<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let offset = cx.offset(i);
    cx.put(i.reg, T::from_u64(offset));
    Ok(())
}

fn xchg_rr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let (a, b) = (cx.get::<T>(i.reg), cx.get::<T>(i.rm));
    cx.put(i.reg, b);
    cx.put(i.rm, a);
    Ok(())
}
fn xchg_mr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let (linear, memory) = cx.read_to_modify::<T>(i)?;
    let register = cx.get::<T>(i.reg);
    cx.store(linear, i.seg, register)?;
    cx.put(i.reg, memory);
    Ok(())
}

fn cmov_rr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = if cx.cpu.flags.condition(i.aux) { cx.get::<T>(i.rm) } else { cx.get::<T>(i.reg) };
    cx.put(i.reg, value);
    Ok(())
}
fn cmov_rm<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let memory = cx.read::<T>(i)?;
    let value = if cx.cpu.flags.condition(i.aux) { memory } else { cx.get::<T>(i.reg) };
    cx.put(i.reg, value);
    Ok(())
}
fn setcc_r(cx: &mut Cx, i: &Insn) -> Exec {
    let value = u8::from(cx.cpu.flags.condition(i.aux));
    cx.put(i.reg, value);
    Ok(())
}
fn setcc_m(cx: &mut Cx, i: &Insn) -> Exec {
    let value = u8::from(cx.cpu.flags.condition(i.aux));
    cx.write(i, value)
}

fn movbe_rm<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.read::<T>(i)?.to_u64().swap_bytes() >> (64 - T::BITS);
    cx.put(i.reg, T::from_u64(value));
    Ok(())
}
fn movbe_mr<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.get::<T>(i.reg).to_u64().swap_bytes() >> (64 - T::BITS);
    cx.write(i, T::from_u64(value))
}

/// CBW, CWDE, CDQE.
fn widen<S: Width, T: Width>(cx: &mut Cx, _i: &Insn) -> Exec {
    let value = sign(cx.get::<S>(0));
    cx.put(0, T::from_u64(value));
    Ok(())
}
/// CWD, CDQ, CQO.
fn spread<T: Width>(cx: &mut Cx, _i: &Insn) -> Exec {
    let value = (sign(cx.get::<T>(0)) as i64 >> 63) as u64;
    cx.put(2, T::from_u64(value));
    Ok(())
}

fn xlat(cx: &mut Cx, i: &Insn) -> Exec {
    let offset = cx.cpu.gpr[3].wrapping_add(u64::from(cx.get::<u8>(0))) & cx.address_mask(i);
    let linear = cx.linear(i, i.seg, offset, 1, false)?;
    let value = cx.load::<u8>(linear, i.seg)?;
    cx.put(0, value);
    Ok(())
}

fn nop(_cx: &mut Cx, _i: &Insn) -> Exec {
    Ok(())
}
/// What PAUSE takes besides its step, ns.
pub(crate) const PAUSE: u64 = 39;

fn pause(cx: &mut Cx, _i: &Insn) -> Exec {
    cx.charge(PAUSE);
    // With one processor there is nobody to leave the time to.
    if cx.cpu.cpus > 1 {
        cx.cpu.timing.pause();
        cx.recheck();
    }
    Ok(())
}

fn extends(instr: &Instruction) -> Option<Handler> {
    let (source, target) = (operand_size(instr, 1), operand_size(instr, 0));
    let mem = form(instr) == Form::RegMem;
    let signed = matches!(instr.mnemonic(), Mnemonic::Movsx | Mnemonic::Movsxd);
    let narrow: [Handler; 4] = match (source, mem, signed) {
        (1, false, false) => [
            zero_extend_rr::<u8, u16>,
            zero_extend_rr::<u8, u16>,
            zero_extend_rr::<u8, u32>,
            zero_extend_rr::<u8, u64>,
        ],
        (1, true, false) => [
            zero_extend_rm::<u8, u16>,
            zero_extend_rm::<u8, u16>,
            zero_extend_rm::<u8, u32>,
            zero_extend_rm::<u8, u64>,
        ],
        (1, false, true) => [
            sign_extend_rr::<u8, u16>,
            sign_extend_rr::<u8, u16>,
            sign_extend_rr::<u8, u32>,
            sign_extend_rr::<u8, u64>,
        ],
        (1, true, true) => [
            sign_extend_rm::<u8, u16>,
            sign_extend_rm::<u8, u16>,
            sign_extend_rm::<u8, u32>,
            sign_extend_rm::<u8, u64>,
        ],
        _ => return extends_wide(source, target, mem, signed),
    };
    Some(by_size(target, narrow))
}
fn extends_wide(source: usize, target: usize, mem: bool, signed: bool) -> Option<Handler> {
    let wide: [Handler; 4] = match (source, mem, signed) {
        (2, false, false) => [
            mov_rr::<u16>,
            zero_extend_rr::<u16, u16>,
            zero_extend_rr::<u16, u32>,
            zero_extend_rr::<u16, u64>,
        ],
        (2, true, false) => [
            mov_rm::<u16>,
            zero_extend_rm::<u16, u16>,
            zero_extend_rm::<u16, u32>,
            zero_extend_rm::<u16, u64>,
        ],
        (2, false, true) => [
            mov_rr::<u16>,
            sign_extend_rr::<u16, u16>,
            sign_extend_rr::<u16, u32>,
            sign_extend_rr::<u16, u64>,
        ],
        (2, true, true) => [
            mov_rm::<u16>,
            sign_extend_rm::<u16, u16>,
            sign_extend_rm::<u16, u32>,
            sign_extend_rm::<u16, u64>,
        ],
        (_, false, _) => {
            [mov_rr::<u16>, mov_rr::<u16>, sign_extend_rr::<u32, u32>, sign_extend_rr::<u32, u64>]
        }
        (_, true, _) => {
            [mov_rm::<u16>, mov_rm::<u16>, sign_extend_rm::<u32, u32>, sign_extend_rm::<u32, u64>]
        }
    };
    Some(by_size(target, wide))
}

fn moves(instr: &Instruction) -> Option<Handler> {
    let size = operand_size(instr, 0);
    let special = |i| {
        instr.op_kind(i) == OpKind::Register && {
            let register = instr.op_register(i);
            register.is_segment_register() || register.is_cr() || register.is_dr() || register.is_tr()
        }
    };
    if special(0) || special(1) {
        return None;
    }
    if is_moffs64(instr) {
        let variants: [Handler; 4] = if form(instr) == Form::RegMem {
            [load_moffs::<u8>, load_moffs::<u16>, load_moffs::<u32>, load_moffs::<u64>]
        } else {
            [store_moffs::<u8>, store_moffs::<u16>, store_moffs::<u32>, store_moffs::<u64>]
        };
        return Some(by_size(size, variants));
    }
    Some(match form(instr) {
        Form::RegReg => by_size(size, [mov_rr::<u8>, mov_rr::<u16>, mov_rr::<u32>, mov_rr::<u64>]),
        Form::RegMem => by_size(size, [mov_rm::<u8>, mov_rm::<u16>, mov_rm::<u32>, mov_rm::<u64>]),
        Form::MemReg => by_size(size, [mov_mr::<u8>, mov_mr::<u16>, mov_mr::<u32>, mov_mr::<u64>]),
        Form::RegImm => by_size(size, [mov_ri::<u8>, mov_ri::<u16>, mov_ri::<u32>, mov_ri::<u64>]),
        Form::MemImm => by_size(size, [mov_mi::<u8>, mov_mi::<u16>, mov_mi::<u32>, mov_mi::<u64>]),
        _ => return None,
    })
}

/// Whether this is one of the opcodes A0..A3 with a 64-bit offset.
pub fn is_moffs64(instr: &Instruction) -> bool {
    use iced_x86::Code::*;
    let moffs = matches!(
        instr.code(),
        Mov_AL_moffs8
            | Mov_AX_moffs16
            | Mov_EAX_moffs32
            | Mov_RAX_moffs64
            | Mov_moffs8_AL
            | Mov_moffs16_AX
            | Mov_moffs32_EAX
            | Mov_moffs64_RAX
    );
    moffs && instr.memory_displ_size() == 8
}

fn conditional(instr: &Instruction) -> Option<Handler> {
    let size = operand_size(instr, 0);
    let name = instr.condition_code() != iced_x86::ConditionCode::None;
    if !name || instr.op_count() == 0 || size == 0 {
        return None;
    }
    let is_set = instr.op_count() == 1;
    let is_move =
        instr.op_count() == 2 && instr.mnemonic() >= Mnemonic::Cmova && instr.mnemonic() <= Mnemonic::Cmovs;
    match form(instr) {
        Form::Reg if is_set => Some(setcc_r),
        Form::Mem if is_set => Some(setcc_m),
        Form::RegReg if is_move => {
            Some(by_size(size, [cmov_rr::<u16>, cmov_rr::<u16>, cmov_rr::<u32>, cmov_rr::<u64>]))
        }
        Form::RegMem if is_move => {
            Some(by_size(size, [cmov_rm::<u16>, cmov_rm::<u16>, cmov_rm::<u32>, cmov_rm::<u64>]))
        }
        _ => None,
    }
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    let size = if instr.op_count() > 0 { operand_size(instr, 0) } else { 0 };
    let register = instr.op_count() > 1 && form(instr) == Form::RegReg;
    match instr.mnemonic() {
        M::Mov => moves(instr),
        M::Movzx | M::Movsx | M::Movsxd => extends(instr),
        M::Lea => Some(by_size(size, [lea::<u16>, lea::<u16>, lea::<u32>, lea::<u64>])),
        M::Xchg if register => {
            Some(by_size(size, [xchg_rr::<u8>, xchg_rr::<u16>, xchg_rr::<u32>, xchg_rr::<u64>]))
        }
        M::Xchg => Some(by_size(size, [xchg_mr::<u8>, xchg_mr::<u16>, xchg_mr::<u32>, xchg_mr::<u64>])),
        M::Movbe if form(instr) == Form::RegMem => {
            Some(by_size(size, [movbe_rm::<u16>, movbe_rm::<u16>, movbe_rm::<u32>, movbe_rm::<u64>]))
        }
        M::Movbe => Some(by_size(size, [movbe_mr::<u16>, movbe_mr::<u16>, movbe_mr::<u32>, movbe_mr::<u64>])),
        M::Cbw => Some(widen::<u8, u16>),
        M::Cwde => Some(widen::<u16, u32>),
        M::Cdqe => Some(widen::<u32, u64>),
        M::Cwd => Some(spread::<u16>),
        M::Cdq => Some(spread::<u32>),
        M::Cqo => Some(spread::<u64>),
        M::Xlatb => Some(xlat),
        M::Nop
        | M::Prefetchnta
        | M::Prefetcht0
        | M::Prefetcht1
        | M::Prefetcht2
        | M::Prefetchw
        | M::Prefetch
        | M::Prefetchwt1
        | M::Prefetchit0
        | M::Prefetchit1
        | M::Cldemote
        | M::Rdsspd
        | M::Rdsspq
        | M::Reservednop
        | M::Endbr64
        | M::Endbr32 => Some(nop),
        M::Pause => Some(pause),
        _ => conditional(instr),
    }
}
