//! Tests of what comes before the computation: availability, alignment, pending and unmasked exceptions; and of the
//! save areas.

use super::oracle::{NoBus, guest};
use crate::decode::{Decoded, decode};
use crate::exec::Cx;
use crate::state::{CodeSize, Vcpu, cr};
use crate::x87::X87;
use amber_mmu::{Mmu, ViewId};

const DATA: u64 = 0x8_0000;

/// Runs one instruction whose memory operand, if any, is [RSI]. `Err` is the vector and the error code.
fn attempt(cpu: &mut Vcpu, mmu: &mut Mmu, bytes: &[u8]) -> Result<(), (u8, Option<u32>)> {
    let Decoded::Insn(insn, _) = decode(bytes, 0, CodeSize::Bits64) else {
        panic!("{bytes:02x?} is not a whole instruction");
    };
    let mut cx = Cx { cpu, mmu, bus: &mut NoBus };
    cx.select_context();
    (insn.exec)(&mut cx, &insn).map_err(|_| (cx.cpu.raised.vector, cx.cpu.raised.error))
}

const UD: Result<(), (u8, Option<u32>)> = Err((6, None));
const NM: Result<(), (u8, Option<u32>)> = Err((7, None));
const GP: Result<(), (u8, Option<u32>)> = Err((13, Some(0)));
const MF: Result<(), (u8, Option<u32>)> = Err((16, None));
const XM: Result<(), (u8, Option<u32>)> = Err((19, None));

const ADDPS_MEMORY: &[u8] = &[0x0F, 0x58, 0x06];
const MOVUPS_LOAD: &[u8] = &[0x0F, 0x10, 0x06];
const MOVAPS_STORE: &[u8] = &[0x0F, 0x29, 0x06];
const PADDB_MM: &[u8] = &[0x0F, 0xFC, 0xC1];
const FLD1: &[u8] = &[0xD9, 0xE8];
const FNSTSW: &[u8] = &[0xDF, 0xE0];
const WAIT: &[u8] = &[0x9B];
const LDMXCSR: &[u8] = &[0x0F, 0xAE, 0x16];
const DIVSS: &[u8] = &[0xF3, 0x0F, 0x5E, 0xC1];
const FXSAVE64: &[u8] = &[0x48, 0x0F, 0xAE, 0x06];
const FXRSTOR64: &[u8] = &[0x48, 0x0F, 0xAE, 0x0E];
const XSAVE64: &[u8] = &[0x48, 0x0F, 0xAE, 0x26];
const XRSTOR64: &[u8] = &[0x48, 0x0F, 0xAE, 0x2E];
const XSAVEC64: &[u8] = &[0x48, 0x0F, 0xC7, 0x26];

fn machine() -> (Vcpu, Mmu) {
    let (mut cpu, mmu) = guest();
    cpu.gpr[6] = DATA;
    cpu.x87.fninit();
    (cpu, mmu)
}

#[test]
fn control_registers_make_instructions_unavailable() {
    let (mut cpu, mut mmu) = machine();
    cpu.system.cr0 |= cr::CR0_TS;
    for bytes in [ADDPS_MEMORY, PADDB_MM, FLD1, FNSTSW, LDMXCSR, FXSAVE64] {
        assert_eq!(attempt(&mut cpu, &mut mmu, bytes), NM, "{bytes:02x?}");
    }
    assert_eq!(attempt(&mut cpu, &mut mmu, WAIT), Ok(()));
    cpu.system.cr0 |= cr::CR0_MP;
    assert_eq!(attempt(&mut cpu, &mut mmu, WAIT), NM);
    cpu.system.cr0 = cpu.system.cr0 & !cr::CR0_TS | cr::CR0_EM;
    assert_eq!(attempt(&mut cpu, &mut mmu, ADDPS_MEMORY), UD);
    assert_eq!(attempt(&mut cpu, &mut mmu, PADDB_MM), UD);
    assert_eq!(attempt(&mut cpu, &mut mmu, FLD1), NM);
    cpu.system.cr0 &= !cr::CR0_EM;
    cpu.system.cr4 &= !cr::CR4_OSFXSR;
    assert_eq!(attempt(&mut cpu, &mut mmu, ADDPS_MEMORY), UD);
    assert_eq!(attempt(&mut cpu, &mut mmu, PADDB_MM), Ok(()));
}

#[test]
fn alignment_is_checked_for_legacy_operands_only() {
    let (mut cpu, mut mmu) = machine();
    cpu.gpr[6] = DATA + 4;
    assert_eq!(attempt(&mut cpu, &mut mmu, ADDPS_MEMORY), GP);
    assert_eq!(attempt(&mut cpu, &mut mmu, MOVAPS_STORE), GP);
    assert_eq!(attempt(&mut cpu, &mut mmu, FXSAVE64), GP);
    assert_eq!(attempt(&mut cpu, &mut mmu, MOVUPS_LOAD), Ok(()));
}

#[test]
fn unmasked_exceptions_reach_the_right_instruction() {
    let (mut cpu, mut mmu) = machine();
    cpu.mxcsr = 0x1F80 & !0x200;
    cpu.xmm[0] = 0x3F80_0000;
    assert_eq!(attempt(&mut cpu, &mut mmu, DIVSS), XM);
    assert_eq!((cpu.mxcsr & 0x3F, cpu.xmm[0]), (4, 0x3F80_0000));
    cpu.system.cr4 &= !cr::CR4_OSXMMEXCPT;
    assert_eq!(attempt(&mut cpu, &mut mmu, DIVSS), UD);

    cpu.x87.fldcw(0x037E);
    let fsqrt = [0xD9, 0xFA];
    // An underflow of the empty stack is left pending and found by the next waiting instruction.
    assert_eq!(attempt(&mut cpu, &mut mmu, &fsqrt), Ok(()));
    for bytes in [FLD1, WAIT, PADDB_MM] {
        assert_eq!(attempt(&mut cpu, &mut mmu, bytes), MF, "{bytes:02x?}");
    }
    assert_eq!(attempt(&mut cpu, &mut mmu, FNSTSW), Ok(()));
    assert_eq!(cpu.gpr[0] & 0xFFFF, 0x80C1);
}

#[test]
fn reserved_mxcsr_bits_fault() {
    let (mut cpu, mut mmu) = machine();
    mmu.write_physical(ViewId(0), DATA, &0x1_1F80u32.to_le_bytes());
    assert_eq!(attempt(&mut cpu, &mut mmu, LDMXCSR), GP);
    mmu.write_physical(ViewId(0), DATA + 24, &0x1_1F80u32.to_le_bytes());
    assert_eq!(attempt(&mut cpu, &mut mmu, FXRSTOR64), GP);
}

fn with_state() -> (Vcpu, Mmu) {
    let (mut cpu, mmu) = machine();
    cpu.x87.fild(-77);
    (cpu.x87.fip, cpu.x87.fdp) = (0x1234_5678_9ABC, 0xFFFF_8000_0000_1234);
    cpu.xmm = std::array::from_fn(|n| n as u128 + 1);
    cpu.mxcsr = 0x1FA0;
    (cpu, mmu)
}

#[test]
fn fxsave_and_fxrstor_are_inverse() {
    let (mut cpu, mut mmu) = with_state();
    let before = (cpu.x87, cpu.xmm, cpu.mxcsr);
    assert_eq!(attempt(&mut cpu, &mut mmu, FXSAVE64), Ok(()));
    (cpu.x87, cpu.xmm, cpu.mxcsr) = (X87::reset(), [0; 16], 0x1F80);
    assert_eq!(attempt(&mut cpu, &mut mmu, FXRSTOR64), Ok(()));
    assert_eq!((cpu.x87, cpu.xmm, cpu.mxcsr), before);
}

#[test]
fn xsave_and_xrstor_follow_the_requested_components() {
    for save in [XSAVE64, XSAVEC64] {
        let (mut cpu, mut mmu) = with_state();
        assert_eq!(attempt(&mut cpu, &mut mmu, save), UD);
        cpu.system.cr4 |= cr::CR4_OSXSAVE;
        cpu.system.xcr0 = 3;
        (cpu.gpr[0], cpu.gpr[2]) = (3, 0);
        let before = (cpu.x87, cpu.xmm, cpu.mxcsr);
        assert_eq!(attempt(&mut cpu, &mut mmu, save), Ok(()));
        // Only the SSE component, whose registers are initial now.
        cpu.gpr[0] = 2;
        cpu.xmm = [0; 16];
        assert_eq!(attempt(&mut cpu, &mut mmu, XRSTOR64), Ok(()));
        assert_eq!((cpu.x87, cpu.xmm, cpu.mxcsr), before);
        cpu.xmm = [0; 16];
        cpu.mxcsr = 0x1F80;
        if save == XSAVEC64 {
            cpu.gpr[0] = 3;
            assert_eq!(attempt(&mut cpu, &mut mmu, save), Ok(()));
            let mut header = [0; 16];
            mmu.read_physical(ViewId(0), DATA + 512, &mut header);
            assert_eq!(u128::from_le_bytes(header), 1 | (1 << 63 | 3) << 64);
        }
        // A header bit outside of XCR0.
        mmu.write_physical(ViewId(0), DATA + 512, &[4]);
        assert_eq!(attempt(&mut cpu, &mut mmu, XRSTOR64), GP);
    }
}

#[test]
fn faults_of_stores_leave_the_stack_alone() {
    let (mut cpu, mut mmu) = with_state();
    cpu.gpr[6] = 0x40_0000;
    let before = cpu.x87;
    let fstp_m64 = [0xDD, 0x1E];
    assert_eq!(attempt(&mut cpu, &mut mmu, &fstp_m64).map_err(|(vector, _)| vector), Err(14));
    let fnsave = [0xDD, 0x36];
    assert_eq!(attempt(&mut cpu, &mut mmu, &fnsave).map_err(|(vector, _)| vector), Err(14));
    assert_eq!(cpu.x87, before);
}

/// `cargo test --release -p amber-cpu -- --ignored --nocapture interpreted_timings`.
#[test]
#[ignore = "a measurement"]
fn interpreted_timings() {
    let cases: [(&str, &[u8]); 13] = [
        ("nop", &[0x90]),
        ("addsd xmm0, xmm1", &[0xF2, 0x0F, 0x58, 0xC1]),
        ("mulsd xmm2, xmm1", &[0xF2, 0x0F, 0x59, 0xD1]),
        ("mulps xmm3, xmm4", &[0x0F, 0x59, 0xDC]),
        ("paddd xmm0, xmm1", &[0x66, 0x0F, 0xFE, 0xC1]),
        ("pshufb xmm0, xmm1", &[0x66, 0x0F, 0x38, 0x00, 0xC1]),
        ("movups xmm0, [rsi]", MOVUPS_LOAD),
        ("movaps [rsi], xmm0", MOVAPS_STORE),
        ("aesenc xmm0, xmm1", &[0x66, 0x0F, 0x38, 0xDC, 0xC1]),
        ("pclmulqdq xmm0, xmm1, 0", &[0x66, 0x0F, 0x3A, 0x44, 0xC1, 0x00]),
        ("fadd st(0), st(1)", &[0xD8, 0xC1]),
        ("fmul st(0), st(1)", &[0xD8, 0xC9]),
        ("fxch", &[0xD9, 0xC9]),
    ];
    for (name, bytes) in cases {
        let (mut cpu, mut mmu) = machine();
        cpu.x87.fld_constant(crate::x87::Constant::One);
        cpu.x87.fld_constant(crate::x87::Constant::Pi);
        (cpu.mxcsr, cpu.xmm[1]) = (0x1FA0, 0x3FF0_0000_0000_1000);
        (cpu.xmm[2], cpu.xmm[4]) = (0x3FF0_0000_0000_0000, 0x3F80_0000_3F80_0000_3F80_0000_3F80_0000);
        let mut code = bytes.repeat(64);
        let back = -(code.len() as i32) - 5;
        code.push(0xE9);
        code.extend(back.to_le_bytes());
        mmu.write_physical(ViewId(0), 0x1_0000, &code);
        cpu.rip = 0x1_0000;
        let mut cache = crate::block::CodeCache::new();
        let start = std::time::Instant::now();
        let steps = 20_000_000;
        cpu.run(&mut cache, &mut mmu, &mut NoBus, 0, u64::MAX, steps);
        println!("{name}: {:.2} ns", start.elapsed().as_nanos() as f64 / steps as f64);
    }
}
