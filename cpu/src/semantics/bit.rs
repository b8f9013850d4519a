//! BT, BTS, BTR, BTC, BSF, BSR, POPCNT, BSWAP (SDM Vol. 2).

use crate::decode::{Form, by_size, form, operand_size};
use crate::exec::{Cx, Exec, Handler, Insn, Width};
use iced_x86::{Instruction, Mnemonic};

/// What happens to the selected bit.
trait BitOp {
    const WRITES: bool = true;
    fn apply(value: u64, mask: u64) -> u64;
}
struct Bt;
struct Bts;
struct Btr;
struct Btc;
impl BitOp for Bt {
    const WRITES: bool = false;
    fn apply(value: u64, _mask: u64) -> u64 {
        value
    }
}
impl BitOp for Bts {
    fn apply(value: u64, mask: u64) -> u64 {
        value | mask
    }
}
impl BitOp for Btr {
    fn apply(value: u64, mask: u64) -> u64 {
        value & !mask
    }
}
impl BitOp for Btc {
    fn apply(value: u64, mask: u64) -> u64 {
        value ^ mask
    }
}

fn on_register<O: BitOp, T: Width>(cx: &mut Cx, i: &Insn, index: u64) -> Exec {
    let value = cx.get::<T>(i.reg).to_u64();
    let mask = 1u64 << (index & u64::from(T::BITS - 1));
    cx.cpu.flags.set_cf_keep_of(value & mask != 0);
    if O::WRITES {
        cx.put(i.reg, T::from_u64(O::apply(value, mask)));
    }
    Ok(())
}
fn on_memory<O: BitOp, T: Width>(cx: &mut Cx, i: &Insn, offset: u64, index: u64) -> Exec {
    let size = T::SIZE as u64;
    let mask = 1u64 << (index & u64::from(T::BITS - 1));
    let linear = cx.linear(i, i.seg, offset, size, O::WRITES)?;
    if !O::WRITES {
        let value = cx.load::<T>(linear, i.seg)?.to_u64();
        cx.cpu.flags.set_cf_keep_of(value & mask != 0);
        return Ok(());
    }
    let value = cx.load_to_modify::<T>(linear, i.seg)?.to_u64();
    cx.store(linear, i.seg, T::from_u64(O::apply(value, mask)))?;
    cx.cpu.flags.set_cf_keep_of(value & mask != 0);
    Ok(())
}
fn reg_reg<O: BitOp, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let index = cx.get::<T>(i.rm).to_u64();
    on_register::<O, T>(cx, i, index)
}
fn reg_imm<O: BitOp, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    on_register::<O, T>(cx, i, i.imm)
}
fn mem_reg<O: BitOp, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    // The register is a signed bit offset from the operand's address.
    let shift = 64 - T::BITS;
    let index = (cx.get::<T>(i.reg).to_u64() << shift) as i64 >> shift;
    let unit = index >> T::BITS.trailing_zeros();
    let offset = cx.offset(i).wrapping_add((unit * T::SIZE as i64) as u64) & cx.address_mask(i);
    on_memory::<O, T>(cx, i, offset, index as u64)
}
fn mem_imm<O: BitOp, T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let offset = cx.offset(i);
    on_memory::<O, T>(cx, i, offset, i.imm)
}
fn pick<O: BitOp>(instr: &Instruction) -> Option<Handler> {
    let variants: [Handler; 4] = match form(instr) {
        Form::RegReg => [reg_reg::<O, u16>, reg_reg::<O, u16>, reg_reg::<O, u32>, reg_reg::<O, u64>],
        Form::RegImm => [reg_imm::<O, u16>, reg_imm::<O, u16>, reg_imm::<O, u32>, reg_imm::<O, u64>],
        Form::MemReg => [mem_reg::<O, u16>, mem_reg::<O, u16>, mem_reg::<O, u32>, mem_reg::<O, u64>],
        _ => [mem_imm::<O, u16>, mem_imm::<O, u16>, mem_imm::<O, u32>, mem_imm::<O, u64>],
    };
    Some(by_size(operand_size(instr, 0), variants))
}

fn source<T: Width, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Result<T, crate::exec::Fault> {
    if MEM { cx.read::<T>(i) } else { Ok(cx.get::<T>(i.rm)) }
}

/// BSF (FORWARD) and BSR. A zero source leaves the destination (the SDM's "undefined", what every CPU does).
fn scan<T: Width, const FORWARD: bool, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = source::<T, MEM>(cx, i)?.to_u64();
    if value != 0 {
        let index = if FORWARD { value.trailing_zeros() } else { 63 - value.leading_zeros() };
        cx.put(i.reg, T::from_u64(u64::from(index)));
    }
    cx.cpu.flags.set_logic(value, 64);
    Ok(())
}
fn popcnt<T: Width, const MEM: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = source::<T, MEM>(cx, i)?.to_u64();
    cx.put(i.reg, T::from_u64(u64::from(value.count_ones())));
    // Only ZF can be set.
    cx.cpu.flags.set_arithmetic(if value == 0 { crate::flags::bit::ZF } else { 0 });
    Ok(())
}
fn bswap<T: Width>(cx: &mut Cx, i: &Insn) -> Exec {
    let value = cx.get::<T>(i.reg).to_u64();
    // A 16-bit BSWAP is undefined; it gives 0 on every CPU looked at.
    let swapped = if T::BITS == 16 { 0 } else { value.swap_bytes() >> (64 - T::BITS) };
    cx.put(i.reg, T::from_u64(swapped));
    Ok(())
}

fn scans(instr: &Instruction) -> Option<Handler> {
    let mem = form(instr) == Form::RegMem;
    let variants: [Handler; 4] = match (instr.mnemonic(), mem) {
        (Mnemonic::Bsf | Mnemonic::Tzcnt, false) => [
            scan::<u16, true, false>,
            scan::<u16, true, false>,
            scan::<u32, true, false>,
            scan::<u64, true, false>,
        ],
        (Mnemonic::Bsf | Mnemonic::Tzcnt, true) => [
            scan::<u16, true, true>,
            scan::<u16, true, true>,
            scan::<u32, true, true>,
            scan::<u64, true, true>,
        ],
        (Mnemonic::Bsr | Mnemonic::Lzcnt, false) => [
            scan::<u16, false, false>,
            scan::<u16, false, false>,
            scan::<u32, false, false>,
            scan::<u64, false, false>,
        ],
        (Mnemonic::Bsr | Mnemonic::Lzcnt, true) => [
            scan::<u16, false, true>,
            scan::<u16, false, true>,
            scan::<u32, false, true>,
            scan::<u64, false, true>,
        ],
        (_, false) => {
            [popcnt::<u16, false>, popcnt::<u16, false>, popcnt::<u32, false>, popcnt::<u64, false>]
        }
        (_, true) => [popcnt::<u16, true>, popcnt::<u16, true>, popcnt::<u32, true>, popcnt::<u64, true>],
    };
    Some(by_size(operand_size(instr, 0), variants))
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    match instr.mnemonic() {
        Mnemonic::Bt => pick::<Bt>(instr),
        Mnemonic::Bts => pick::<Bts>(instr),
        Mnemonic::Btr => pick::<Btr>(instr),
        Mnemonic::Btc => pick::<Btc>(instr),
        // The model has no LZCNT and TZCNT: their F3 prefix is ignored.
        Mnemonic::Bsf | Mnemonic::Tzcnt | Mnemonic::Bsr | Mnemonic::Lzcnt | Mnemonic::Popcnt => scans(instr),
        Mnemonic::Bswap => {
            Some(by_size(operand_size(instr, 0), [bswap::<u16>, bswap::<u16>, bswap::<u32>, bswap::<u64>]))
        }
        _ => None,
    }
}
