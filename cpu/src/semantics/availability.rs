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
    let Decoded::Insn(insn, ..) = decode(bytes, 0, CodeSize::Bits64, &cpu.model) else {
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
fn a_conversion_that_faults_leaves_mmx_state_alone() {
    let (mut cpu, mut mmu) = machine();
    cpu.mxcsr = 0x1F80 & !0x1000;
    cpu.x87.set_mm(1, 0x7FFF_FFFF);
    cpu.x87.fninit();
    let before = cpu.x87;
    // cvtpi2ps xmm0, mm1 and xmm0, [rsi]
    mmu.write_physical(ViewId(0), DATA, &0x7FFF_FFFFu64.to_le_bytes());
    for bytes in [&[0x0F, 0x2A, 0xC1][..], &[0x0F, 0x2A, 0x06]] {
        assert_eq!(attempt(&mut cpu, &mut mmu, bytes), XM);
        assert_eq!(cpu.x87, before);
    }
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

/// The inner loop of a benchmark of packed integers, over [RSI] to RCX and again.
#[rustfmt::skip]
const PACKED_LOOP: &[u8] = &[
    0x48, 0x89, 0xF0, 0x66, 0x0F, 0x6F, 0x10, 0x48, 0x83, 0xC0, 0x10, 0x66, 0x0F, 0x6F, 0xDA, 0x66,
    0x0F, 0x6F, 0xE2, 0x66, 0x0F, 0x38, 0x00, 0xDD, 0x66, 0x0F, 0xF5, 0xE3, 0x66, 0x0F, 0x6F, 0xF3,
    0x66, 0x0F, 0x6F, 0xC4, 0x66, 0x0F, 0x66, 0xC1, 0x66, 0x0F, 0xEF, 0xCC, 0x66, 0x0F, 0x6F, 0xE2,
    0x66, 0x0F, 0x60, 0xE3, 0x66, 0x0F, 0x38, 0x10, 0xF2, 0x66, 0x0F, 0xFE, 0xCE, 0x66, 0x0F, 0x6F,
    0xC1, 0x66, 0x0F, 0x72, 0xF1, 0x07, 0x66, 0x0F, 0x72, 0xD0, 0x19, 0x66, 0x0F, 0xEB, 0xC1, 0x66,
    0x0F, 0xDC, 0xC4, 0x66, 0x0F, 0xD4, 0xD0, 0x66, 0x0F, 0x6F, 0xC8, 0x0F, 0x29, 0x50, 0xF0, 0x48,
    0x39, 0xC1, 0x75, 0x9F, 0xEB, 0x9A,
];

/// That of a benchmark of long doubles, for RDI rounds: a series and a logistic map.
#[rustfmt::skip]
const EXTENDED_LOOP: &[u8] = &[
    0xD9, 0xEE, 0xDB, 0x7E, 0x60, 0xDB, 0x6E, 0x60, 0xD9, 0xC0, 0x31, 0xDB, 0xD9, 0xE8, 0xDB, 0xAE,
    0x80, 0x00, 0x00, 0x00, 0xDB, 0x6E, 0x70, 0xEB, 0x10, 0x48, 0x83, 0xC3, 0x01, 0x48, 0x39, 0xDF,
    0x74, 0x43, 0xDB, 0x6E, 0x60, 0xD9, 0xCB, 0xD9, 0xCA, 0xD9, 0xC1, 0x48, 0x89, 0x1E, 0xD8, 0xC9,
    0xD9, 0xE8, 0xDE, 0xE3, 0xDE, 0xCA, 0xDF, 0x2E, 0x48, 0x85, 0xDB, 0x79, 0x03, 0xD8, 0x46, 0x40,
    0xD8, 0xC0, 0xD9, 0xE8, 0xDE, 0xC1, 0xD8, 0xFB, 0xDE, 0xC5, 0xD9, 0xCA, 0xD9, 0xE0, 0xD9, 0xC1,
    0xD8, 0xCD, 0xDE, 0xC4, 0xD9, 0xCB, 0xD9, 0xC0, 0xDB, 0x7E, 0x60, 0xF7, 0xC3, 0xFF, 0x03, 0x00,
    0x00, 0xDD, 0xD8, 0xEB, 0xB4, 0x90,
];

/// Runs `code` and prints how long an instruction took, at best: others may be using the machine.
fn time(name: &str, cpu: &mut Vcpu, mmu: &mut Mmu, code: &[u8]) {
    // For a profiler's sake: only those whose name has this in it.
    if std::env::var("AMBER_TIMINGS").is_ok_and(|only| !name.contains(&only)) {
        return;
    }
    mmu.write_physical(ViewId(0), 0x1_0000, code);
    cpu.rip = 0x1_0000;
    let mut cache = crate::block::CodeCache::new();
    let steps = 500_000;
    let best = (0..60).map(|_| {
        let start = std::time::Instant::now();
        cpu.run(&mut cache, mmu, &mut NoBus, 0, u64::MAX, steps);
        start.elapsed().as_nanos() as f64 / steps as f64
    });
    println!("{name}: {:.2} ns", best.fold(f64::INFINITY, f64::min));
}

/// `cargo test --release -p amber-cpu -- --ignored --nocapture interpreted_timings`.
#[test]
#[ignore = "a measurement"]
fn interpreted_timings() {
    let cases: [(&str, &[u8]); 27] = [
        ("nop", &[0x90]),
        ("addsd xmm0, xmm1", &[0xF2, 0x0F, 0x58, 0xC1]),
        ("subsd xmm0, xmm2", &[0xF2, 0x0F, 0x5C, 0xC2]),
        ("mulsd xmm2, xmm1", &[0xF2, 0x0F, 0x59, 0xD1]),
        ("divsd xmm2, xmm1", &[0xF2, 0x0F, 0x5E, 0xD1]),
        ("sqrtsd xmm2, xmm1", &[0xF2, 0x0F, 0x51, 0xD1]),
        ("comisd xmm0, xmm1", &[0x66, 0x0F, 0x2F, 0xC1]),
        ("cvtsi2sd xmm0, rsi", &[0xF2, 0x48, 0x0F, 0x2A, 0xC6]),
        ("addsd xmm0, [rsi]", &[0xF2, 0x0F, 0x58, 0x06]),
        ("movsd xmm0, [rsi]", &[0xF2, 0x0F, 0x10, 0x06]),
        ("movsd [rsi], xmm0", &[0xF2, 0x0F, 0x11, 0x06]),
        ("mulps xmm3, xmm4", &[0x0F, 0x59, 0xDC]),
        ("mulpd xmm3, xmm4", &[0x66, 0x0F, 0x59, 0xDC]),
        ("paddd xmm0, xmm1", &[0x66, 0x0F, 0xFE, 0xC1]),
        ("pshufb xmm0, xmm1", &[0x66, 0x0F, 0x38, 0x00, 0xC1]),
        ("movaps xmm0, xmm1", &[0x0F, 0x28, 0xC1]),
        ("movups xmm0, [rsi]", MOVUPS_LOAD),
        ("movaps [rsi], xmm0", MOVAPS_STORE),
        ("aesenc xmm0, xmm1", &[0x66, 0x0F, 0x38, 0xDC, 0xC1]),
        ("pclmulqdq xmm0, xmm1, 0", &[0x66, 0x0F, 0x3A, 0x44, 0xC1, 0x00]),
        ("fadd st(0), st(1)", &[0xD8, 0xC1]),
        ("fmul st(0), st(1)", &[0xD8, 0xC9]),
        ("fdiv st(0), st(1)", &[0xD8, 0xF1]),
        ("fxch", &[0xD9, 0xC9]),
        ("fld st(0); fstp st(1)", &[0xD9, 0xC0, 0xDD, 0xD9]),
        ("fld m80; fstp m80", &[0xDB, 0x2E, 0xDB, 0x3E]),
        ("fld m64; fstp m64", &[0xDD, 0x06, 0xDD, 0x1E]),
    ];
    for (name, bytes) in cases {
        let (mut cpu, mut mmu) = machine();
        cpu.x87.fld_constant(crate::x87::Constant::One);
        cpu.x87.fld_constant(crate::x87::Constant::Pi);
        (cpu.mxcsr, cpu.xmm[1]) = (0x1FA0, 0x3FF0_0000_0000_1000);
        (cpu.xmm[2], cpu.xmm[4]) = (0x3FF0_0000_0000_0000, 0x3F80_0000_3F80_0000_3F80_0000_3F80_0000);
        mmu.write_physical(ViewId(0), DATA, &0x3FFF_C000_0000_0000_0000u128.to_le_bytes());
        let mut code = bytes.repeat(60);
        let back = -(code.len() as i32) - 5;
        code.push(0xE9);
        code.extend(back.to_le_bytes());
        time(name, &mut cpu, &mut mmu, &code);
    }
    let (mut cpu, mut mmu) = machine();
    let data: [u8; 4096] = std::array::from_fn(|n| ((n * n * 31) >> 3) as u8);
    mmu.write_physical(ViewId(0), DATA, &data);
    cpu.gpr[1] = DATA + 4096;
    cpu.xmm[5] = u128::from_le_bytes([12, 7, 10, 13, 4, 9, 2, 15, 6, 11, 0, 5, 14, 1, 8, 3]);
    time("packed integers", &mut cpu, &mut mmu, PACKED_LOOP);
    let (mut cpu, mut mmu) = machine();
    cpu.gpr[7] = u64::MAX;
    mmu.write_physical(ViewId(0), DATA + 0x70, &0x4000_FF5C_28F5_C28F_6000u128.to_le_bytes());
    mmu.write_physical(ViewId(0), DATA + 0x80, &0x3FFD_9999_9999_9999_9800u128.to_le_bytes());
    time("long doubles", &mut cpu, &mut mmu, EXTENDED_LOOP);
}
