//! Whole x87 instructions against the host's: a random state is loaded with FRSTOR, one instruction runs, and what
//! FNSAVE stores must match.

// As in softfloat/oracle.rs: only running the instruction tells what the host does. FNSAVE leaves the FPU initialised.
#![allow(unsafe_code)]

use super::{Arith, Constant, Format, X87};
use crate::softfloat::Relation;
use crate::softfloat::oracle::Random;
use std::arch::asm;

const SIZE: usize = 108;

struct Host {
    image: [u8; SIZE],
    memory: [u8; 16],
    rflags: u64,
}

macro_rules! run {
    ($image:expr, $memory:expr, $op:literal) => {{
        let (mut image, mut memory): ([u8; SIZE], [u8; 16]) = ($image, $memory);
        let rflags: u64;
        unsafe {
            asm!(
                "frstor [{i}] /* {m} */", $op, "pushfq", "pop {f}", "fnsave [{i}]",
                i = in(reg) &mut image, m = in(reg) &mut memory, f = out(reg) rflags, out("rax") _,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
            );
        }
        Host { image, memory, rflags }
    }};
}

fn random_state(r: &mut Random) -> X87 {
    let mut x = X87::reset();
    let masks = if r.below(3) == 0 { r.below(64) as u16 } else { 0x3F };
    x.control = 0x40 | masks | (r.below(4) as u16) << 10 | [0u16, 2, 3][r.below(3) as usize] << 8;
    // No exception is pending yet.
    x.status = (r.next() as u16) & 0x7F00 | (r.next() as u16) & masks & 0x3F;
    x.valid = if r.below(2) == 0 { 0xFF } else { r.next() as u8 };
    for st in &mut x.st {
        *st = r.f80();
    }
    x
}

fn image_of(x: &X87) -> [u8; SIZE] {
    let mut image = [0; SIZE];
    x.clone().fnsave(Format::Protected32, &mut image);
    image
}

/// The image without pointers and opcode.
fn comparable(image: &[u8; SIZE]) -> [u8; SIZE] {
    let mut image = *image;
    image[12..28].fill(0);
    image
}

type Step = fn(&mut X87, &mut [u8; 16], &mut u64);

fn store<const N: usize>(memory: &mut [u8; 16], bits: Option<[u8; N]>) {
    if let Some(bits) = bits {
        memory[..N].copy_from_slice(&bits);
    }
}

fn relation(flags: &mut u64, relation: Option<Relation>) {
    if let Some(relation) = relation {
        let bits = match relation {
            Relation::Less => 1,
            Relation::Equal => 0x40,
            Relation::Greater => 0,
            Relation::Unordered => 0x45,
        };
        *flags = *flags & !0x8D5 | bits;
    }
}

fn f32_of(m: &[u8; 16]) -> u32 {
    u32::from_le_bytes(m[..4].try_into().unwrap())
}

fn f64_of(m: &[u8; 16]) -> u64 {
    u64::from_le_bytes(m[..8].try_into().unwrap())
}

macro_rules! table {
    ($x:ident, $memory:ident, $image:ident; $($op:literal => $step:expr;)+) => {
        [$(($op, {
            let step: Step = $step;
            step
        }, run!($image, $memory, $op)),)+]
    };
}

fn memory_operand(r: &mut Random) -> [u8; 16] {
    let mut memory = [0; 16];
    match r.below(3) {
        0 => memory[..4].copy_from_slice(&r.f32().to_le_bytes()),
        1 => memory[..8].copy_from_slice(&r.f64().to_le_bytes()),
        _ => memory[..10].copy_from_slice(&r.f80().to_u128().to_le_bytes()[..10]),
    }
    memory
}

fn compare_all<const N: usize>(start: &X87, memory: [u8; 16], cases: [(&str, Step, Host); N]) {
    for (op, step, host) in cases {
        let (mut ours, mut bytes, mut rflags) = (*start, memory, host.rflags);
        // A relation is only checked where the host's flags can be predicted: it sets all of them.
        step(&mut ours, &mut bytes, &mut rflags);
        let image = image_of(&ours);
        let context = || format!("{op}\nstart {start:x?}\nmemory {memory:x?}\nours {ours:x?}");
        let (mut host_image, mut our_image) = (comparable(&host.image), comparable(&image));
        // The manual leaves the conditions alone when a comparison stops; AMD sets them.
        let stopped = op.contains("com") || op == "ftst";
        let stopped = stopped && ours.status & !ours.control & 7 != 0;
        if stopped {
            host_image[5] &= !0x45;
            our_image[5] &= !0x45;
        }
        if op.contains("comi") {
            // The manual has C1 cleared; AMD leaves it.
            host_image[5] &= !2;
            our_image[5] &= !2;
        }
        // A remainder too small, where that is not masked, is scaled by AMD; Intel leaves it if it is exact.
        const UE: u16 = 1 << 4;
        if op.starts_with("fprem") && ours.control & UE == 0 && ours.status & UE != 0 {
            continue;
        }
        if host_image != our_image {
            let mut theirs = X87::reset();
            theirs.frstor(Format::Protected32, &host.image);
            panic!("{}\nhost {theirs:x?}\n{host_image:x?}\n{our_image:x?}", context());
        }
        assert_eq!(bytes, host.memory, "memory {}", context());
        assert!(stopped || rflags & 0x45 == host.rflags & 0x45, "flags {}", context());
    }
}

#[test]
fn register_instructions() {
    let mut r = Random(11);
    for _ in 0..20_000 {
        let x = random_state(&mut r);
        let (image, memory) = (image_of(&x), memory_operand(&mut r));
        let cases = table! { x, memory, image;
            "fadd st(0), st(3)" => |x, _, _| x.arith(Arith::Add, 0, 3, false);
            "fadd st(3), st(0)" => |x, _, _| x.arith(Arith::Add, 3, 0, false);
            "fmulp st(2), st(0)" => |x, _, _| x.arith(Arith::Mul, 2, 0, true);
            "fsub st(0), st(1)" => |x, _, _| x.arith(Arith::Sub, 0, 1, false);
            "fdivr st(0), st(1)" => |x, _, _| x.arith(Arith::DivR, 0, 1, false);
            "fsqrt" => |x, _, _| x.fsqrt();
            "frndint" => |x, _, _| x.frndint();
            "fabs" => |x, _, _| x.fabs();
            "fchs" => |x, _, _| x.fchs();
            "fxam" => |x, _, _| x.fxam();
            "ftst" => |x, _, _| x.ftst();
            "fcom st(2)" => |x, _, _| x.fcom(2, false, 0);
            "fcomp st(2)" => |x, _, _| x.fcom(2, false, 1);
            "fcompp" => |x, _, _| x.fcom(1, false, 2);
            "fucom st(2)" => |x, _, _| x.fcom(2, true, 0);
            "fucompp" => |x, _, _| x.fcom(1, true, 2);
            "fcomi st(0), st(1)" => |x, _, f| relation(f, x.fcomi(1, false, false));
            "fucomip st(0), st(1)" => |x, _, f| relation(f, x.fcomi(1, true, true));
            "fld st(4)" => |x, _, _| x.fld_st(4);
            "fst st(4)" => |x, _, _| x.fst_st(4, false);
            "fstp st(4)" => |x, _, _| x.fst_st(4, true);
            "fxch st(5)" => |x, _, _| x.fxch(5);
            "ffree st(5)" => |x, _, _| x.ffree(5, false);
            "fincstp" => |x, _, _| x.fincstp();
            "fdecstp" => |x, _, _| x.fdecstp();
            "fprem" => |x, _, _| x.fprem(false);
            "fprem1" => |x, _, _| x.fprem(true);
            "fscale" => |x, _, _| x.fscale();
            "fxtract" => |x, _, _| x.fxtract();
            "fldpi" => |x, _, _| x.fld_constant(Constant::Pi);
            "fldl2t" => |x, _, _| x.fld_constant(Constant::Log2Of10);
            "fldl2e" => |x, _, _| x.fld_constant(Constant::Log2OfE);
            "fldlg2" => |x, _, _| x.fld_constant(Constant::Log10Of2);
            "fldln2" => |x, _, _| x.fld_constant(Constant::LnOf2);
            "fld1" => |x, _, _| x.fld_constant(Constant::One);
            "fldz" => |x, _, _| x.fld_constant(Constant::Zero);
            "fninit" => |x, _, _| x.fninit();
            "fnclex" => |x, _, _| x.fnclex();
            "emms" => |x, _, _| x.emms();
        };
        compare_all(&x, memory, cases);
    }
}

#[test]
fn memory_instructions() {
    let mut r = Random(12);
    for _ in 0..20_000 {
        let x = random_state(&mut r);
        let (image, memory) = (image_of(&x), memory_operand(&mut r));
        let cases = table! { x, memory, image;
            "fld dword ptr [{m}]" => |x, m, _| x.fld(f32_of(m));
            "fld qword ptr [{m}]" => |x, m, _| x.fld(f64_of(m));
            "fld tbyte ptr [{m}]" =>
                |x, m, _| x.fld_m80(crate::softfloat::F80::from_u128(u128::from_le_bytes(*m)));
            "fild word ptr [{m}]" => |x, m, _| x.fild(f32_of(m) as i16 as i64);
            "fild dword ptr [{m}]" => |x, m, _| x.fild(f32_of(m) as i32 as i64);
            "fild qword ptr [{m}]" => |x, m, _| x.fild(f64_of(m) as i64);
            "fadd dword ptr [{m}]" => |x, m, _| x.arith_real(Arith::Add, f32_of(m));
            "fmul qword ptr [{m}]" => |x, m, _| x.arith_real(Arith::Mul, f64_of(m));
            "fdivr qword ptr [{m}]" => |x, m, _| x.arith_real(Arith::DivR, f64_of(m));
            "fdiv dword ptr [{m}]" => |x, m, _| x.arith_real(Arith::Div, f32_of(m));
            "fisub dword ptr [{m}]" => |x, m, _| x.arith_integer(Arith::Sub, f32_of(m) as i32 as i64);
            "fidivr word ptr [{m}]" => |x, m, _| x.arith_integer(Arith::DivR, f32_of(m) as i16 as i64);
            "fcom dword ptr [{m}]" => |x, m, _| x.fcom_real(f32_of(m), 0);
            "fcomp qword ptr [{m}]" => |x, m, _| x.fcom_real(f64_of(m), 1);
            "ficomp word ptr [{m}]" => |x, m, _| x.ficom(f32_of(m) as i16 as i64, 1);
            "fst dword ptr [{m}]" => |x, m, _| store(m, x.fst::<u32>(false).map(u32::to_le_bytes));
            "fstp qword ptr [{m}]" => |x, m, _| store(m, x.fst::<u64>(true).map(u64::to_le_bytes));
            "fstp tbyte ptr [{m}]" => |x, m, _| {
                let value = x.fstp_m80().map(|v| v.to_u128().to_le_bytes());
                store::<10>(m, value.map(|v| v[..10].try_into().unwrap()));
            };
            "fist word ptr [{m}]" =>
                |x, m, _| store(m, x.fist(16, false).map(|v| (v as i16).to_le_bytes()));
            "fistp qword ptr [{m}]" => |x, m, _| store(m, x.fist(64, true).map(i64::to_le_bytes));
            "fisttp dword ptr [{m}]" =>
                |x, m, _| store(m, x.fisttp(32).map(|v| (v as i32).to_le_bytes()));
            "fbstp tbyte ptr [{m}]" => |x, m, _| {
                let value = x.fbstp().map(u128::to_le_bytes);
                store::<10>(m, value.map(|v| v[..10].try_into().unwrap()));
            };
            "fldcw word ptr [{m}]\nfnclex" => |x, m, _| {
                x.fldcw(f32_of(m) as u16);
                x.fnclex();
            };
        };
        compare_all(&x, memory, cases);
    }
}

/// Values may differ in the last place; stack, tags and flags may not.
#[test]
fn transcendental_stack_effects() {
    let mut r = Random(13);
    for _ in 0..5_000 {
        let x = random_state(&mut r);
        let (image, memory) = (image_of(&x), [0; 16]);
        let cases: [(&str, Step, Host); 6] = table! { x, memory, image;
            "fsin" => |x, _, _| x.fsin();
            "fcos" => |x, _, _| x.fcos();
            "fptan" => |x, _, _| x.fptan();
            "fsincos" => |x, _, _| x.fsincos();
            "fpatan" => |x, _, _| x.fpatan();
            "fyl2x" => |x, _, _| x.fyl2x();
        };
        for (op, step, host) in cases {
            let mut ours = x;
            step(&mut ours, &mut [0; 16], &mut 0);
            let mut theirs = X87::reset();
            theirs.frstor(Format::Protected32, &host.image);
            let ignored = 0x0230 | super::status::ES | super::status::B;
            let stack = |x: &X87| (x.status | ignored, x.valid);
            assert_eq!(stack(&ours), stack(&theirs), "{op}\nstart {x:x?}\nours {ours:x?}\nhost {theirs:x?}");
        }
    }
}
