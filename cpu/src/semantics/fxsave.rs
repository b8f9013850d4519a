//! LDMXCSR, STMXCSR, FXSAVE, FXRSTOR and the XSAVE family (SDM volume 1, 10.5 and chapter 13). The only state
//! components are x87 and SSE, which both live in the legacy region.

use super::vector::{follow_error_summary, sse_ready};
use super::x87::{load_image, store_image};
use crate::event::NM;
use crate::exec::{Cx, Exec, Fault, Handler, Insn, iflag};
use crate::softfloat::Mxcsr;
use crate::state::{CodeSize, cr};
use crate::x87::{CONTROL_INIT, LEGACY_SIZE, X87};
use iced_x86::{Instruction, Mnemonic};

/// XCR0 and XSTATE_BV bits.
const X87_COMPONENT: u64 = 1;
const SSE_COMPONENT: u64 = 2;
/// XCOMP_BV: the compacted format.
const COMPACTED: u64 = 1 << 63;

const FXSAVE_SIZE: usize = 512;
const XSAVE_SIZE: usize = 576;
const XMM_START: usize = 160;

/// The handler of an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Ldmxcsr => ldmxcsr,
        M::Stmxcsr => stmxcsr,
        M::Fxsave | M::Fxsave64 => fxsave,
        M::Fxrstor | M::Fxrstor64 => fxrstor,
        M::Xsave | M::Xsave64 => xsave,
        M::Xsaveopt | M::Xsaveopt64 => xsaveopt,
        M::Xsavec | M::Xsavec64 => xsavec,
        M::Xrstor | M::Xrstor64 => xrstor,
        _ => return None,
    })
}

fn ldmxcsr(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = cx.read::<u32>(i)?;
    if value & !Mxcsr::WRITABLE != 0 {
        return Err(cx.gp(0));
    }
    cx.cpu.mxcsr = value;
    cx.follow_modes();
    Ok(())
}

fn stmxcsr(cx: &mut Cx, i: &Insn) -> Exec {
    sse_ready(cx)?;
    let value = cx.cpu.mxcsr;
    cx.write(i, value)
}

/// XMM registers that the mode can reach.
fn registers(cx: &Cx) -> usize {
    if cx.cpu.code_size == CodeSize::Bits64 { 16 } else { 8 }
}

fn wide(i: &Insn) -> bool {
    i.flags & iflag::WIDE != 0
}

/// Address of an image that must be aligned to `alignment`, a power of two.
fn image_address(cx: &mut Cx, i: &Insn, length: usize, alignment: u64, write: bool) -> Result<u64, Fault> {
    let linear = cx.operand(i, length as u64, write)?;
    if linear & (alignment - 1) != 0 { Err(cx.gp(0)) } else { Ok(linear) }
}

fn put_xmm(cx: &Cx, image: &mut [u8]) {
    for n in 0..registers(cx) {
        let at = XMM_START + 16 * n;
        image[at..at + 16].copy_from_slice(&cx.cpu.xmm[n].to_le_bytes());
    }
}

fn take_xmm(cx: &mut Cx, image: &[u8]) {
    for n in 0..registers(cx) {
        let at = XMM_START + 16 * n;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&image[at..at + 16]);
        cx.cpu.xmm[n] = u128::from_le_bytes(bytes);
    }
}

fn put_mxcsr(cx: &Cx, image: &mut [u8]) {
    image[24..28].copy_from_slice(&cx.cpu.mxcsr.to_le_bytes());
    image[28..32].copy_from_slice(&Mxcsr::WRITABLE.to_le_bytes());
}

fn image_mxcsr(image: &[u8]) -> u32 {
    u32::from_le_bytes([image[24], image[25], image[26], image[27]])
}

/// Fills the x87 part, around MXCSR.
fn put_x87(cx: &Cx, i: &Insn, image: &mut [u8]) {
    let legacy = cx.cpu.x87.legacy_region(wide(i));
    image[..24].copy_from_slice(&legacy[..24]);
    image[32..LEGACY_SIZE].copy_from_slice(&legacy[32..]);
}

fn take_x87(cx: &mut Cx, i: &Insn, image: &[u8]) {
    let mut legacy = [0; LEGACY_SIZE];
    legacy.copy_from_slice(&image[..LEGACY_SIZE]);
    cx.cpu.x87.set_legacy_region(&legacy, wide(i));
    follow_error_summary(cx);
}

/// #NM of FXSAVE and FXRSTOR.
fn fxsave_ready(cx: &mut Cx) -> Exec {
    if cx.cpu.system.cr0 & (cr::CR0_EM | cr::CR0_TS) != 0 { Err(cx.raise(NM)) } else { Ok(()) }
}

/// The last bytes, 464 to 511, are the software's and not written.
fn fxsave(cx: &mut Cx, i: &Insn) -> Exec {
    fxsave_ready(cx)?;
    let linear = image_address(cx, i, FXSAVE_SIZE, 16, true)?;
    let mut image = [0; FXSAVE_SIZE];
    put_x87(cx, i, &mut image);
    put_mxcsr(cx, &mut image);
    put_xmm(cx, &mut image);
    let length = XMM_START + 16 * registers(cx);
    store_image(cx, linear, i.seg, &image[..length])
}

fn fxrstor(cx: &mut Cx, i: &Insn) -> Exec {
    fxsave_ready(cx)?;
    let linear = image_address(cx, i, FXSAVE_SIZE, 16, false)?;
    let mut image = [0; FXSAVE_SIZE];
    load_image(cx, linear, i.seg, &mut image)?;
    if image_mxcsr(&image) & !Mxcsr::WRITABLE != 0 {
        return Err(cx.gp(0));
    }
    take_x87(cx, i, &image);
    take_xmm(cx, &image);
    cx.cpu.mxcsr = image_mxcsr(&image);
    cx.follow_modes();
    Ok(())
}

/// #UD and #NM of the XSAVE family, and the requested-feature bitmap.
fn requested(cx: &mut Cx) -> Result<u64, Fault> {
    if cx.cpu.system.cr4 & cr::CR4_OSXSAVE == 0 {
        return Err(cx.ud());
    }
    if cx.cpu.system.cr0 & cr::CR0_TS != 0 {
        return Err(cx.raise(NM));
    }
    let mask = u64::from(cx.get::<u32>(2)) << 32 | u64::from(cx.get::<u32>(0));
    Ok(mask & cx.cpu.system.xcr0)
}

/// XINUSE: the components that are not in their initial configuration (SDM volume 1, 13.6).
fn in_use(cx: &Cx) -> u64 {
    let initial = X87 { control: CONTROL_INIT, valid: 0, ..X87::reset() };
    let x87 = if cx.cpu.x87 == initial { 0 } else { X87_COMPONENT };
    let sse = if cx.cpu.xmm[..registers(cx)].iter().all(|&x| x == 0) { 0 } else { SSE_COMPONENT };
    x87 | sse
}

/// Stores the components in `saved`, MXCSR if `mxcsr`, and the header.
fn save(cx: &mut Cx, i: &Insn, saved: u64, mxcsr: bool, header: impl FnOnce(u64) -> [u64; 2]) -> Exec {
    let linear = image_address(cx, i, XSAVE_SIZE, 64, true)?;
    cx.check_writable(linear, i.seg, XSAVE_SIZE)?;
    let mut image = [0; XSAVE_SIZE];
    load_image(cx, linear, i.seg, &mut image)?;
    if saved & X87_COMPONENT != 0 {
        put_x87(cx, i, &mut image);
        store_image(cx, linear, i.seg, &image[..24])?;
        store_image(cx, linear.wrapping_add(32), i.seg, &image[32..LEGACY_SIZE])?;
    }
    if mxcsr {
        put_mxcsr(cx, &mut image);
        store_image(cx, linear.wrapping_add(24), i.seg, &image[24..32])?;
    }
    if saved & SSE_COMPONENT != 0 {
        put_xmm(cx, &mut image);
        let end = XMM_START + 16 * registers(cx);
        store_image(cx, linear.wrapping_add(XMM_START as u64), i.seg, &image[XMM_START..end])?;
    }
    let [xstate_bv, xcomp_bv] = header(qword(&image, 512));
    cx.store(linear.wrapping_add(512), i.seg, xstate_bv)?;
    if xcomp_bv & COMPACTED != 0 {
        cx.store(linear.wrapping_add(520), i.seg, xcomp_bv)?;
    }
    Ok(())
}

fn qword(image: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&image[at..at + 8]);
    u64::from_le_bytes(bytes)
}

fn xsave(cx: &mut Cx, i: &Insn) -> Exec {
    let rfbm = requested(cx)?;
    let used = in_use(cx);
    save(cx, i, rfbm, rfbm & SSE_COMPONENT != 0, |old| [old & !rfbm | used & rfbm, 0])
}

/// Leaves out components in their initial configuration; modifications are not tracked.
fn xsaveopt(cx: &mut Cx, i: &Insn) -> Exec {
    let rfbm = requested(cx)?;
    let used = in_use(cx);
    save(cx, i, rfbm & used, rfbm & SSE_COMPONENT != 0, |old| [old & !rfbm | used & rfbm, 0])
}

/// MXCSR belongs to the SSE component here: it is in use unless it has its initial value.
fn xsavec(cx: &mut Cx, i: &Insn) -> Exec {
    let rfbm = requested(cx)?;
    let mut used = in_use(cx);
    if cx.cpu.mxcsr != Mxcsr::RESET.0 {
        used |= SSE_COMPONENT;
    }
    let saved = rfbm & used;
    save(cx, i, saved, saved & SSE_COMPONENT != 0, |_| [saved, COMPACTED | rfbm])
}

/// Whether the header may be restored from.
fn valid_header(cx: &Cx, image: &[u8]) -> bool {
    let (xstate_bv, xcomp_bv) = (qword(image, 512), qword(image, 520));
    let xcr0 = cx.cpu.system.xcr0;
    if xcomp_bv & COMPACTED == 0 {
        return xstate_bv & !xcr0 == 0 && image[520..536].iter().all(|&b| b == 0);
    }
    let components = xcomp_bv & !COMPACTED;
    components & !xcr0 == 0 && xstate_bv & !components == 0 && image[528..576].iter().all(|&b| b == 0)
}

fn xrstor(cx: &mut Cx, i: &Insn) -> Exec {
    let rfbm = requested(cx)?;
    let linear = image_address(cx, i, XSAVE_SIZE, 64, false)?;
    let mut image = [0; XSAVE_SIZE];
    load_image(cx, linear, i.seg, &mut image)?;
    if !valid_header(cx, &image) {
        return Err(cx.gp(0));
    }
    let xstate_bv = qword(&image, 512);
    let compacted = qword(&image, 520) & COMPACTED != 0;
    // The standard form loads MXCSR whatever XSTATE_BV says.
    let sse = rfbm & SSE_COMPONENT != 0;
    let mxcsr = sse && (!compacted || xstate_bv & SSE_COMPONENT != 0);
    if mxcsr && image_mxcsr(&image) & !Mxcsr::WRITABLE != 0 {
        return Err(cx.gp(0));
    }
    if rfbm & X87_COMPONENT != 0 {
        if xstate_bv & X87_COMPONENT != 0 {
            take_x87(cx, i, &image);
        } else {
            cx.cpu.x87 = X87 { control: CONTROL_INIT, valid: 0, ..X87::reset() };
            follow_error_summary(cx);
        }
    }
    if sse {
        if xstate_bv & SSE_COMPONENT == 0 {
            image[XMM_START..416].fill(0);
        }
        take_xmm(cx, &image);
        cx.cpu.mxcsr = if mxcsr { image_mxcsr(&image) } else { Mxcsr::RESET.0 };
    }
    cx.follow_modes();
    Ok(())
}
