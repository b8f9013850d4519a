//! What the MMX and SSE instructions share: availability checks, operands, and the shapes of handlers.

use crate::event::{MF, NM, XM};
use crate::exec::{Cx, Exec, Fault, Handler, Insn, iflag};
use crate::lanes::host::{self, Vector};
use crate::softfloat::{Mxcsr, Unmasked};
use crate::state::cr;
use amber_mmu::Word;
use iced_x86::{Instruction, OpKind};
use std::marker::PhantomData;

/// #UD and #NM of the SSE instructions (SDM volume 3, table 14-1).
#[inline(always)]
pub fn sse_ready(cx: &mut Cx) -> Exec {
    let system = &cx.cpu.system;
    if system.cr0 & (cr::CR0_EM | cr::CR0_TS) == 0 && system.cr4 & cr::CR4_OSFXSR != 0 {
        return Ok(());
    }
    Err(sse_unavailable(cx))
}

#[cold]
fn sse_unavailable(cx: &mut Cx) -> Fault {
    let system = &cx.cpu.system;
    let undefined = system.cr0 & cr::CR0_EM != 0 || system.cr4 & cr::CR4_OSFXSR == 0;
    if undefined { cx.ud() } else { cx.raise(NM) }
}

/// #UD, #NM and #MF of the MMX instructions.
#[inline(always)]
pub fn mmx_ready(cx: &mut Cx) -> Exec {
    if cx.cpu.system.cr0 & (cr::CR0_EM | cr::CR0_TS) == 0 && !cx.cpu.x87.pending() {
        return Ok(());
    }
    mmx_unavailable(cx)
}

#[cold]
fn mmx_unavailable(cx: &mut Cx) -> Exec {
    if cx.cpu.system.cr0 & cr::CR0_EM != 0 {
        return Err(cx.ud());
    }
    if cx.cpu.system.cr0 & cr::CR0_TS != 0 {
        return Err(cx.raise(NM));
    }
    numeric_error(cx)
}

/// #NM of the x87 instructions other than WAIT.
#[inline(always)]
pub fn x87_ready(cx: &mut Cx) -> Exec {
    if cx.cpu.system.cr0 & (cr::CR0_EM | cr::CR0_TS) == 0 {
        return Ok(());
    }
    Err(cx.raise(NM))
}

/// [`x87_ready`], and a pending exception of an earlier x87 instruction.
#[inline(always)]
pub fn x87_waiting(cx: &mut Cx) -> Exec {
    x87_ready(cx)?;
    if cx.cpu.x87.pending() { numeric_error(cx) } else { Ok(()) }
}

/// A waiting instruction found an unmasked exception pending: #MF, or with CR0.NE = 0 what the AT did (SDM volume 1,
/// D.2.1). FERR# is asserted, and unless IGNNE# is, the processor stands still before the instruction until an interrupt.
#[cold]
pub fn numeric_error(cx: &mut Cx) -> Exec {
    if cx.cpu.system.cr0 & cr::CR0_NE != 0 {
        return Err(cx.raise(MF));
    }
    if !cx.cpu.system.ferr {
        cx.set_ferr(true);
    }
    if cx.cpu.system.ignne {
        return Ok(());
    }
    cx.cpu.freeze = true;
    Err(Fault)
}

/// After an instruction that may have cleared the error summary: FERR# goes with it.
#[inline]
pub fn follow_error_summary(cx: &mut Cx) {
    if cx.cpu.system.ferr && !cx.cpu.x87.pending() {
        cx.set_ferr(false);
    }
    cx.follow_modes();
}

/// The fault for an unmasked SIMD floating-point exception.
#[cold]
pub fn simd_exception(cx: &mut Cx) -> Fault {
    if cx.cpu.system.cr4 & cr::CR4_OSXMMEXCPT != 0 { cx.raise(XM) } else { cx.ud() }
}

/// Runs `f` under MXCSR, and turns an unmasked exception into its fault.
#[inline(always)]
pub fn under_mxcsr<T>(cx: &mut Cx, f: impl FnOnce(&mut Mxcsr) -> Result<T, Unmasked>) -> Result<T, Fault> {
    let mut mxcsr = Mxcsr(cx.cpu.mxcsr);
    let outcome = f(&mut mxcsr);
    cx.cpu.mxcsr = mxcsr.0;
    outcome.map_err(|Unmasked| simd_exception(cx))
}

/// Reads XMM register `n`.
#[inline(always)]
pub fn xmm(cx: &Cx, n: u8) -> u128 {
    cx.cpu.xmm[usize::from(n & 15)]
}

#[inline(always)]
pub fn set_xmm(cx: &mut Cx, n: u8, value: u128) {
    cx.cpu.xmm[usize::from(n & 15)] = value;
}

/// Linear address of a 16-byte operand that must be aligned: #GP(0) otherwise.
#[inline(always)]
pub fn aligned(cx: &mut Cx, i: &Insn, write: bool) -> Result<u64, Fault> {
    let linear = cx.operand(i, 16, write)?;
    if linear & 15 != 0 { Err(cx.gp(0)) } else { Ok(linear) }
}

/// Linear address of a memory operand in 64-bit code with 64-bit addresses.
#[inline(always)]
fn flat(cx: &Cx, i: &Insn) -> Option<u64> {
    let flat = i.flags & (iflag::FLAT | iflag::ADDRESS) == iflag::FLAT;
    flat.then(|| cx.flat(i).wrapping_add(cx.cpu.flat_base[usize::from(i.seg & 7)]))
}

/// Reads the memory operand, which must be aligned if `ALIGNED`. Whatever the TLB does not answer at once for flat
/// 64-bit code goes the general way.
#[inline(always)]
pub fn read<T: Word, const ALIGNED: bool>(cx: &mut Cx, i: &Insn) -> Result<T, Fault> {
    if let Some(linear) = flat(cx, i)
        && (!ALIGNED || linear & 15 == 0)
        && let Some(value) = cx.mmu.read_fast::<T>(linear)
    {
        return Ok(value);
    }
    read_general::<T, ALIGNED>(cx, i)
}

#[cold]
#[inline(never)]
fn read_general<T: Word, const ALIGNED: bool>(cx: &mut Cx, i: &Insn) -> Result<T, Fault> {
    if ALIGNED {
        let linear = aligned(cx, i, false)?;
        return cx.load(linear, i.seg);
    }
    cx.read(i)
}

/// Writes the memory operand; as [`read`].
#[inline(always)]
pub fn write<T: Word, const ALIGNED: bool>(cx: &mut Cx, i: &Insn, value: T) -> Exec {
    if let Some(linear) = flat(cx, i)
        && (!ALIGNED || linear & 15 == 0)
        && cx.mmu.write_fast(linear, value)
    {
        return Ok(());
    }
    write_general::<T, ALIGNED>(cx, i, value)
}

#[cold]
#[inline(never)]
fn write_general<T: Word, const ALIGNED: bool>(cx: &mut Cx, i: &Insn, value: T) -> Exec {
    if ALIGNED {
        let linear = aligned(cx, i, true)?;
        return cx.store(linear, i.seg, value);
    }
    cx.write(i, value)
}

/// A memory operand's type, widened with zeros.
pub trait Element: Word {
    fn widened(self) -> u128;
    fn narrowed(value: u128) -> Self;
    /// `old` with its low part replaced.
    ///
    /// This and [`Element::widened`] make the whole register in a vector register, so that it is stored by one
    /// access: the processor could not forward two narrower stores to a load of the whole.
    fn merged(self, old: u128) -> u128;
}

macro_rules! impl_element {
    ($($type:ty, |$self:ident, $old:ident, $value:ident| $widened:expr, $merged:expr, $narrowed:expr;)+) => {
        $(impl Element for $type {
            #[inline(always)]
            fn widened($self) -> u128 {
                $widened
            }
            #[inline(always)]
            fn narrowed($value: u128) -> Self {
                $narrowed
            }
            #[inline(always)]
            fn merged($self, $old: u128) -> u128 {
                $merged
            }
        })+
    };
}

impl_element! {
    u8, |self, old, value| host::with_low_64(0, self.into()), old & !0xFF | u128::from(self), value as u8;
    u16, |self, old, value| host::with_low_64(0, self.into()), old & !0xFFFF | u128::from(self), value as u16;
    u32, |self, old, value| host::with_low_64(0, self.into()), host::with_low_32(old, self), value as u32;
    u64, |self, old, value| host::with_low_64(0, self), host::with_low_64(old, self), value as u64;
    Vector, |self, _old, value| self.into(), self.into(), value.into();
}

/// Where the last operand comes from.
pub trait Source {
    fn load(cx: &mut Cx, i: &Insn) -> Result<u128, Fault>;
}

/// The second XMM register.
pub struct XmmSource;
/// The second MMX register.
pub struct MmSource;
/// Memory; 16 bytes must be aligned.
pub struct MemorySource<T>(PhantomData<T>);
/// An immediate shift count.
pub struct ImmediateSource;

impl Source for XmmSource {
    #[inline(always)]
    fn load(cx: &mut Cx, i: &Insn) -> Result<u128, Fault> {
        Ok(xmm(cx, i.rm))
    }
}

impl Source for MmSource {
    #[inline(always)]
    fn load(cx: &mut Cx, i: &Insn) -> Result<u128, Fault> {
        Ok(cx.cpu.x87.mm(i.rm).into())
    }
}

impl<T: Element> Source for MemorySource<T> {
    #[inline(always)]
    fn load(cx: &mut Cx, i: &Insn) -> Result<u128, Fault> {
        if T::SIZE == 16 {
            return Ok(read::<T, true>(cx, i)?.widened());
        }
        Ok(read::<T, false>(cx, i)?.widened())
    }
}

impl Source for ImmediateSource {
    #[inline(always)]
    fn load(_: &mut Cx, i: &Insn) -> Result<u128, Fault> {
        Ok((i.imm as u8).into())
    }
}

/// A function of the destination's old value, the source and an immediate.
pub trait Operation {
    fn apply(a: u128, b: u128, imm: u8) -> u128;
}

/// The same under MXCSR.
pub trait FloatOperation {
    /// The result, where a quicker way is known to give the same and to detect nothing new.
    #[inline(always)]
    fn native(_a: u128, _b: u128, _mxcsr: Mxcsr) -> Option<u128> {
        None
    }
    fn apply(a: u128, b: u128, imm: u8, mxcsr: &mut Mxcsr) -> Result<u128, Unmasked>;
}

/// How an operation meets its operands: which handler serves an instruction.
pub trait Shape {
    fn pick<O: Operation>(instr: &Instruction) -> Handler;
}

/// XMM register, and XMM register or aligned 16 bytes of memory or immediate count.
pub struct Wide;
/// XMM register, and XMM register or a smaller memory operand.
pub struct Narrow<T>(PhantomData<T>);
/// MMX register, and MMX register or memory or immediate count.
pub struct Mmx;

impl Shape for Wide {
    fn pick<O: Operation>(instr: &Instruction) -> Handler {
        match instr.op_kind(1) {
            OpKind::Register => on_xmm::<O, XmmSource>,
            OpKind::Memory => on_xmm::<O, MemorySource<Vector>>,
            _ => on_xmm::<O, ImmediateSource>,
        }
    }
}

impl<T: Element> Shape for Narrow<T> {
    fn pick<O: Operation>(instr: &Instruction) -> Handler {
        match instr.op_kind(1) {
            OpKind::Register => on_xmm::<O, XmmSource>,
            _ => on_xmm::<O, MemorySource<T>>,
        }
    }
}

impl Shape for Mmx {
    fn pick<O: Operation>(instr: &Instruction) -> Handler {
        match instr.op_kind(1) {
            OpKind::Register => on_mm::<O, MmSource>,
            OpKind::Memory if instr.memory_size().size() == 4 => on_mm::<O, MemorySource<u32>>,
            OpKind::Memory => on_mm::<O, MemorySource<u64>>,
            _ => on_mm::<O, ImmediateSource>,
        }
    }
}

fn on_xmm<O: Operation, S: Source>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let source = S::load(cx, i)?;
    let value = O::apply(xmm(cx, i.reg), source, i.imm as u8);
    set_xmm(cx, i.reg, value);
    Ok(())
}

fn on_mm<O: Operation, S: Source>(cx: &mut Cx, i: &Insn) -> Exec {
    mmx_ready(cx)?;
    let source = S::load(cx, i)?;
    let value = O::apply(cx.cpu.x87.mm(i.reg).into(), source, i.imm as u8);
    cx.cpu.x87.enter_mmx();
    cx.cpu.x87.set_mm(i.reg, value as u64);
    Ok(())
}

fn float<O: FloatOperation, S: Source>(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let source = S::load(cx, i)?;
    let destination = xmm(cx, i.reg);
    match O::native(destination, source, Mxcsr(cx.cpu.mxcsr)) {
        Some(value) => {
            set_xmm(cx, i.reg, value);
            Ok(())
        }
        None => float_under_mxcsr::<O>(cx, i, source),
    }
}

/// Apart, so that the native way needs no stack frame.
#[inline(never)]
fn float_under_mxcsr<O: FloatOperation>(cx: &mut Cx, i: &Insn, source: u128) -> Exec {
    let destination = xmm(cx, i.reg);
    let value = under_mxcsr(cx, |mxcsr| O::apply(destination, source, i.imm as u8, mxcsr))?;
    set_xmm(cx, i.reg, value);
    Ok(())
}

/// The handler of a floating-point operation whose memory operand, if it has one, is a `T`.
pub fn pick_float<O: FloatOperation, T: Element>(instr: &Instruction) -> Handler {
    match instr.op_kind(1) {
        OpKind::Register => float::<O, XmmSource>,
        _ => float::<O, MemorySource<T>>,
    }
}

/// The handler of shape `$shape` for a lane function of two operands.
macro_rules! operation {
    ($shape:ty, $instr:expr, $function:expr) => {{
        struct Chosen;
        impl crate::semantics::vector::Operation for Chosen {
            #[inline(always)]
            fn apply(a: u128, b: u128, _: u8) -> u128 {
                ($function)(a, b)
            }
        }
        <$shape as crate::semantics::vector::Shape>::pick::<Chosen>($instr)
    }};
}

/// The same for a lane function with an immediate.
macro_rules! operation_imm {
    ($shape:ty, $instr:expr, $function:expr) => {{
        struct Chosen;
        impl crate::semantics::vector::Operation for Chosen {
            #[inline(always)]
            fn apply(a: u128, b: u128, imm: u8) -> u128 {
                ($function)(a, b, imm)
            }
        }
        <$shape as crate::semantics::vector::Shape>::pick::<Chosen>($instr)
    }};
}

pub(super) use {operation, operation_imm};
