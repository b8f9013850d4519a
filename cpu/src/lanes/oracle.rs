//! Lane operations against the host's instructions.

// Only running the instruction tells what the host does. The blocks touch nothing but their operands.
#![allow(unsafe_code)]

use super::*;
use crate::softfloat::Mxcsr;
use crate::softfloat::oracle::Random;
use std::arch::asm;

macro_rules! xmm {
    ($a:expr, $b:expr, $op:literal) => {{
        let (a, b): (u128, u128) = ($a, $b);
        let mut out = [0u8; 16];
        let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
        unsafe {
            asm!(
                "movups {x}, [{a}]", "movups {y}, [{b}]", $op, "movups [{o}], {x}",
                a = in(reg) &a, b = in(reg) &b, o = in(reg) &mut out, x = out(xmm_reg) _, y = out(xmm_reg) _,
                out("rax") _,
            );
        }
        u128::from_le_bytes(out)
    }};
}

macro_rules! mm {
    ($a:expr, $b:expr, $op:literal) => {{
        let (a, b): (u128, u128) = ($a, $b);
        let (a, b, mut out) = (a as u64, b as u64, 0u64);
        unsafe {
            asm!(
                "movq mm0, [{a}]", "movq mm1, [{b}]", $op, "movq [{o}], mm0", "emms",
                a = in(reg) &a, b = in(reg) &b, o = in(reg) &mut out,
                out("mm0") _, out("mm1") _,
            );
        }
        u128::from(out)
    }};
}

/// Values whose elements are often equal, extreme or small.
fn value(r: &mut Random) -> u128 {
    let full = u128::from(r.next()) << 64 | u128::from(r.next());
    match r.below(5) {
        0 => full & 0x8080_7F7F_8000_7FFF_0101_FFFF_8000_0000,
        1 => full & 0x0303_0303_0303_0303_0303_0303_0303_0303,
        2 => full | 0x7FFF_FFFF_0000_FFFF_FF00_00FF_FF7F_7FFF,
        _ => full,
    }
}

macro_rules! check {
    ($a:ident, $b:ident; $($op:literal, $f:expr;)+) => {
        $(assert_eq!(xmm!($a, $b, $op), $f($a, $b), "{} {:x} {:x}", $op, $a, $b);)+
    };
}

macro_rules! check_mm {
    ($a:ident, $b:ident; $($op:literal, $f:expr;)+) => {
        $(assert_eq!(mm!($a, $b, $op), u128::from($f($a, $b) as u64), "{} {:x} {:x}", $op, $a, $b);)+
    };
}

#[test]
fn integer_operations() {
    let mut r = Random(21);
    for _ in 0..20_000 {
        let (a, b) = (value(&mut r), value(&mut r));
        check! { a, b;
            "paddb {x}, {y}", integer::paddb;
            "psubb {x}, {y}", integer::psubb;
            "paddw {x}, {y}", integer::paddw;
            "psubw {x}, {y}", integer::psubw;
            "paddd {x}, {y}", integer::paddd;
            "psubd {x}, {y}", integer::psubd;
            "paddq {x}, {y}", integer::paddq;
            "psubq {x}, {y}", integer::psubq;
            "paddsb {x}, {y}", integer::paddsb;
            "psubsb {x}, {y}", integer::psubsb;
            "paddsw {x}, {y}", integer::paddsw;
            "psubsw {x}, {y}", integer::psubsw;
            "paddusb {x}, {y}", integer::paddusb;
            "psubusb {x}, {y}", integer::psubusb;
            "paddusw {x}, {y}", integer::paddusw;
            "psubusw {x}, {y}", integer::psubusw;
            "pminsb {x}, {y}", integer::pminsb;
            "pmaxsb {x}, {y}", integer::pmaxsb;
            "pminsw {x}, {y}", integer::pminsw;
            "pmaxsw {x}, {y}", integer::pmaxsw;
            "pminsd {x}, {y}", integer::pminsd;
            "pmaxsd {x}, {y}", integer::pmaxsd;
            "pminub {x}, {y}", integer::pminub;
            "pmaxub {x}, {y}", integer::pmaxub;
            "pminuw {x}, {y}", integer::pminuw;
            "pmaxuw {x}, {y}", integer::pmaxuw;
            "pminud {x}, {y}", integer::pminud;
            "pmaxud {x}, {y}", integer::pmaxud;
            "pcmpeqb {x}, {y}", integer::pcmpeqb;
            "pcmpgtb {x}, {y}", integer::pcmpgtb;
            "pcmpeqw {x}, {y}", integer::pcmpeqw;
            "pcmpgtw {x}, {y}", integer::pcmpgtw;
            "pcmpeqd {x}, {y}", integer::pcmpeqd;
            "pcmpgtd {x}, {y}", integer::pcmpgtd;
            "pcmpeqq {x}, {y}", integer::pcmpeqq;
            "pcmpgtq {x}, {y}", integer::pcmpgtq;
            "pabsb {x}, {y}", integer::pabsb;
            "psignb {x}, {y}", integer::psignb;
            "pabsw {x}, {y}", integer::pabsw;
            "psignw {x}, {y}", integer::psignw;
            "pabsd {x}, {y}", integer::pabsd;
            "psignd {x}, {y}", integer::psignd;
            "pand {x}, {y}", integer::pand;
            "pandn {x}, {y}", integer::pandn;
            "por {x}, {y}", integer::por;
            "pxor {x}, {y}", integer::pxor;
            "pavgb {x}, {y}", integer::pavgb;
            "pavgw {x}, {y}", integer::pavgw;
            "pmullw {x}, {y}", integer::pmullw;
            "pmulld {x}, {y}", integer::pmulld;
            "pmulhw {x}, {y}", integer::pmulhw;
            "pmulhuw {x}, {y}", integer::pmulhuw;
            "pmulhrsw {x}, {y}", integer::pmulhrsw;
            "pmuludq {x}, {y}", integer::pmuludq;
            "pmuldq {x}, {y}", integer::pmuldq;
            "pmaddwd {x}, {y}", integer::pmaddwd;
            "pmaddubsw {x}, {y}", integer::pmaddubsw;
            "psadbw {x}, {y}", integer::psadbw;
            "phaddw {x}, {y}", integer::phaddw;
            "phaddd {x}, {y}", integer::phaddd;
            "phaddsw {x}, {y}", integer::phaddsw;
            "phsubw {x}, {y}", integer::phsubw;
            "phsubd {x}, {y}", integer::phsubd;
            "phsubsw {x}, {y}", integer::phsubsw;
            "phminposuw {x}, {y}", integer::phminposuw;
            "mpsadbw {x}, {y}, 6", |a, b| integer::mpsadbw(a, b, 6);
        }
        check_mm! { a, b;
            "paddb mm0, mm1", integer::paddb;
            "psubb mm0, mm1", integer::psubb;
            "paddw mm0, mm1", integer::paddw;
            "psubw mm0, mm1", integer::psubw;
            "paddd mm0, mm1", integer::paddd;
            "psubd mm0, mm1", integer::psubd;
            "paddq mm0, mm1", integer::paddq;
            "psubq mm0, mm1", integer::psubq;
            "paddsb mm0, mm1", integer::paddsb;
            "psubsb mm0, mm1", integer::psubsb;
            "paddsw mm0, mm1", integer::paddsw;
            "psubsw mm0, mm1", integer::psubsw;
            "paddusb mm0, mm1", integer::paddusb;
            "psubusb mm0, mm1", integer::psubusb;
            "paddusw mm0, mm1", integer::paddusw;
            "psubusw mm0, mm1", integer::psubusw;
            "pminsw mm0, mm1", integer::pminsw;
            "pmaxsw mm0, mm1", integer::pmaxsw;
            "pminub mm0, mm1", integer::pminub;
            "pmaxub mm0, mm1", integer::pmaxub;
            "pcmpeqb mm0, mm1", integer::pcmpeqb;
            "pcmpgtb mm0, mm1", integer::pcmpgtb;
            "pcmpeqw mm0, mm1", integer::pcmpeqw;
            "pcmpgtw mm0, mm1", integer::pcmpgtw;
            "pcmpeqd mm0, mm1", integer::pcmpeqd;
            "pcmpgtd mm0, mm1", integer::pcmpgtd;
            "pabsb mm0, mm1", integer::pabsb;
            "psignb mm0, mm1", integer::psignb;
            "pabsw mm0, mm1", integer::pabsw;
            "psignw mm0, mm1", integer::psignw;
            "pabsd mm0, mm1", integer::pabsd;
            "psignd mm0, mm1", integer::psignd;
            "pand mm0, mm1", integer::pand;
            "pandn mm0, mm1", integer::pandn;
            "por mm0, mm1", integer::por;
            "pxor mm0, mm1", integer::pxor;
            "pavgb mm0, mm1", integer::pavgb;
            "pavgw mm0, mm1", integer::pavgw;
            "pmullw mm0, mm1", integer::pmullw;
            "pmulhw mm0, mm1", integer::pmulhw;
            "pmulhuw mm0, mm1", integer::pmulhuw;
            "pmulhrsw mm0, mm1", integer::pmulhrsw;
            "pmuludq mm0, mm1", integer::pmuludq;
            "pmaddwd mm0, mm1", integer::pmaddwd;
            "pmaddubsw mm0, mm1", integer::pmaddubsw;
            "psadbw mm0, mm1", integer::psadbw;
        }
    }
}

#[test]
fn shuffles() {
    let mut r = Random(22);
    for _ in 0..20_000 {
        let (a, b) = (value(&mut r), value(&mut r));
        let low = u128::from(a as u64);
        check! { a, b;
            "packsswb {x}, {y}", shuffle::packsswb;
            "packuswb {x}, {y}", shuffle::packuswb;
            "packssdw {x}, {y}", shuffle::packssdw;
            "packusdw {x}, {y}", shuffle::packusdw;
            "punpcklbw {x}, {y}", shuffle::punpcklbw;
            "punpcklwd {x}, {y}", shuffle::punpcklwd;
            "punpckldq {x}, {y}", shuffle::punpckldq;
            "punpcklqdq {x}, {y}", shuffle::punpcklqdq;
            "punpckhbw {x}, {y}", shuffle::punpckhbw;
            "punpckhwd {x}, {y}", shuffle::punpckhwd;
            "punpckhdq {x}, {y}", shuffle::punpckhdq;
            "punpckhqdq {x}, {y}", shuffle::punpckhqdq;
            "pshufb {x}, {y}", shuffle::pshufb;
            "pshufd {x}, {y}, 0x6C", |a, b| shuffle::pshufd(a, b, 0x6C);
            "pshuflw {x}, {y}, 0x6C", |a, b| shuffle::pshuflw(a, b, 0x6C);
            "pshufhw {x}, {y}, 0x6C", |a, b| shuffle::pshufhw(a, b, 0x6C);
            "shufps {x}, {y}, 0x6C", |a, b| shuffle::shufps(a, b, 0x6C);
            "shufpd {x}, {y}, 1", |a, b| shuffle::shufpd(a, b, 1);
            "palignr {x}, {y}, 0", |a, b| shuffle::palignr(a, b, 0);
            "palignr {x}, {y}, 5", |a, b| shuffle::palignr(a, b, 5);
            "palignr {x}, {y}, 16", |a, b| shuffle::palignr(a, b, 16);
            "palignr {x}, {y}, 21", |a, b| shuffle::palignr(a, b, 21);
            "palignr {x}, {y}, 40", |a, b| shuffle::palignr(a, b, 40);
            "movddup {x}, {y}", shuffle::movddup;
            "movshdup {x}, {y}", shuffle::movshdup;
            "movsldup {x}, {y}", shuffle::movsldup;
            "pblendw {x}, {y}, 0x6C", |a, b| shuffle::pblendw(a, b, 0x6C);
            "blendps {x}, {y}, 6", |a, b| shuffle::blendps(a, b, 6);
            "blendpd {x}, {y}, 2", |a, b| shuffle::blendpd(a, b, 2);
            "insertps {x}, {y}, 0x6C", |a, b: u128| shuffle::insertps(a, (b >> 32) as u32, 0x6C);
            "pmovsxbw {x}, {y}", shuffle::pmovsxbw;
            "pmovsxbd {x}, {y}", shuffle::pmovsxbd;
            "pmovsxbq {x}, {y}", shuffle::pmovsxbq;
            "pmovsxwd {x}, {y}", shuffle::pmovsxwd;
            "pmovsxwq {x}, {y}", shuffle::pmovsxwq;
            "pmovsxdq {x}, {y}", shuffle::pmovsxdq;
            "pmovzxbw {x}, {y}", shuffle::pmovzxbw;
            "pmovzxbd {x}, {y}", shuffle::pmovzxbd;
            "pmovzxbq {x}, {y}", shuffle::pmovzxbq;
            "pmovzxwd {x}, {y}", shuffle::pmovzxwd;
            "pmovzxwq {x}, {y}", shuffle::pmovzxwq;
            "pmovzxdq {x}, {y}", shuffle::pmovzxdq;
        }
        check_mm! { a, b;
            "packsswb mm0, mm1", mmx::packsswb;
            "packuswb mm0, mm1", mmx::packuswb;
            "packssdw mm0, mm1", mmx::packssdw;
            "punpcklbw mm0, mm1", shuffle::punpcklbw;
            "punpckhbw mm0, mm1", mmx::punpckhbw;
            "punpckhwd mm0, mm1", mmx::punpckhwd;
            "punpckhdq mm0, mm1", mmx::punpckhdq;
            "pshufb mm0, mm1", mmx::pshufb;
            "pshufw mm0, mm1, 0x6C", |a, b| mmx::pshufw(a, b, 0x6C);
            "palignr mm0, mm1, 3", |a, b| mmx::palignr(a, b, 3);
            "palignr mm0, mm1, 11", |a, b| mmx::palignr(a, b, 11);
            "phaddw mm0, mm1", mmx::phaddw;
            "phaddd mm0, mm1", mmx::phaddd;
            "phsubsw mm0, mm1", mmx::phsubsw;
        }
        assert_eq!(
            xmm!(a, low, "movq rax, {y}\npmovmskb eax, {x}\nmovd {x}, eax") as u32,
            shuffle::pmovmskb(a)
        );
    }
}

#[test]
fn shifts() {
    let mut r = Random(23);
    for _ in 0..20_000 {
        let a = value(&mut r);
        let b = match r.below(4) {
            0 => value(&mut r),
            _ => u128::from(r.below(70)),
        };
        check! { a, b;
            "psllw {x}, {y}", shift::psllw;
            "pslld {x}, {y}", shift::pslld;
            "psllq {x}, {y}", shift::psllq;
            "psrlw {x}, {y}", shift::psrlw;
            "psrld {x}, {y}", shift::psrld;
            "psrlq {x}, {y}", shift::psrlq;
            "psraw {x}, {y}", shift::psraw;
            "psrad {x}, {y}", shift::psrad;
            "pslldq {x}, 5", |a, _| shift::pslldq(a, 5);
            "psrldq {x}, 19", |a, _| shift::psrldq(a, 19);
        }
    }
}

#[test]
fn cryptography() {
    let mut r = Random(24);
    for _ in 0..5_000 {
        let (a, b) = (value(&mut r), value(&mut r));
        check! { a, b;
            "aesenc {x}, {y}", aes::aesenc;
            "aesenclast {x}, {y}", aes::aesenclast;
            "aesdec {x}, {y}", aes::aesdec;
            "aesdeclast {x}, {y}", aes::aesdeclast;
            "aesimc {x}, {y}", aes::aesimc;
            "aeskeygenassist {x}, {y}, 0x1B", |a, b| aes::aeskeygenassist(a, b, 0x1B);
            "pclmulqdq {x}, {y}, 0x00", |a, b| clmul::pclmulqdq(a, b, 0x00);
            "pclmulqdq {x}, {y}, 0x01", |a, b| clmul::pclmulqdq(a, b, 0x01);
            "pclmulqdq {x}, {y}, 0x10", |a, b| clmul::pclmulqdq(a, b, 0x10);
            "pclmulqdq {x}, {y}, 0x11", |a, b| clmul::pclmulqdq(a, b, 0x11);
        }
        let (mut crc, data) = (a as u32 as u64, b as u64);
        unsafe { asm!("crc32 {c}, {d}", c = inout(reg) crc, d = in(reg) data) };
        assert_eq!(crc as u32, crc32::crc32(a as u32, data, 8));
        let mut crc = a as u32;
        unsafe { asm!("crc32 {c:e}, {d}", c = inout(reg) crc, d = in(reg_byte) b as u8) };
        assert_eq!(crc, crc32::crc32(a as u32, b as u64, 1));
    }
}

macro_rules! strings {
    ($a:ident, $b:ident, $la:ident, $lb:ident; $($imm:literal)+) => {
        $({
            let (x, y) = ($a.to_le_bytes(), $b.to_le_bytes());
            let (mut out, mut index, mut flags) = ([0u8; 16], 0u64, 0u64);
            unsafe {
                asm!(
                    "movups xmm1, [{a}]", "movups xmm2, [{b}]",
                    concat!("pcmpestrm xmm1, xmm2, ", $imm), "movups [{o}], xmm0",
                    concat!("pcmpestri xmm1, xmm2, ", $imm), "pushfq", "pop {f}",
                    a = in(reg) &x, b = in(reg) &y, o = in(reg) &mut out, f = out(reg) flags,
                    in("eax") $la, in("edx") $lb, inout("rcx") index,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _,
                );
            }
            let length = |n: i32| string::explicit_length(n.into(), $imm);
            let c = string::compare($a, length($la), $b, length($lb), $imm);
            let ours = u64::from(c.carry) | u64::from(c.zero) << 6 | u64::from(c.sign) << 7
                | u64::from(c.overflow) << 11;
            let context = format!("{:x} {} {:x} {} imm {:x}", $a, $la, $b, $lb, $imm);
            assert_eq!(c.mask(), u128::from_le_bytes(out), "mask {context}");
            assert_eq!(u64::from(c.index()), index, "index {context}");
            assert_eq!(ours, flags & 0x8D5, "flags {context}");
        })+
    };
}

#[test]
fn string_comparisons() {
    let mut r = Random(25);
    for _ in 0..20_000 {
        let (a, b) = (value(&mut r), value(&mut r));
        let (la, lb) = (r.below(24) as i32 - 4, r.below(24) as i32 - 4);
        strings! { a, b, la, lb;
            0x00 0x01 0x02 0x03 0x04 0x05 0x06 0x07 0x08 0x09 0x0A 0x0B 0x0C 0x0D 0x0E 0x0F
            0x10 0x34 0x38 0x3C 0x40 0x41 0x45 0x4C 0x58 0x5D 0x70 0x71 0x7C 0x7D
        }
    }
}

#[test]
fn approximations_are_within_the_documented_error() {
    let mut r = Random(26);
    for _ in 0..100_000 {
        let a = r.f32();
        let exact = f64::from(f32::from_bits(a));
        let close = |ours: u32, exact: f64| {
            let ours = f64::from(f32::from_bits(ours));
            assert!(((ours - exact) / exact).abs() < 1.5 / 4096.0, "{a:x}");
        };
        let (x, y) = (approximate::reciprocal(a), approximate::reciprocal_sqrt(a));
        let normal = f32::from_bits(a).is_normal();
        if normal && (1.0 / exact).abs() >= f64::from(f32::MIN_POSITIVE) {
            close(x, 1.0 / exact);
        }
        if normal && exact > 0.0 {
            close(y, 1.0 / exact.sqrt());
        }
        if !normal {
            let host = xmm!(0, a.into(), "rcpss {x}, {y}") as u32;
            assert_eq!(x, host, "rcp {a:x}");
        }
        if !normal || exact < 0.0 {
            assert_eq!(y, xmm!(0, a.into(), "rsqrtss {x}, {y}") as u32, "rsqrt {a:x}");
        }
    }
}

/// Which NaN a sum of NaNs keeps differs between vendors: makes all one.
fn one_nan(value: u128) -> [u32; 4] {
    let elements: [u32; 4] = std::array::from_fn(|n| (value >> (32 * n)) as u32);
    elements.map(|element| if f32::from_bits(element).is_nan() { !0 } else { element })
}

fn one_nan_double(value: u128) -> [u64; 2] {
    let elements: [u64; 2] = std::array::from_fn(|n| (value >> (64 * n)) as u64);
    elements.map(|element| if f64::from_bits(element).is_nan() { !0 } else { element })
}

#[test]
fn packed_floats() {
    use crate::softfloat::sse;
    let mut r = Random(27);
    for _ in 0..20_000 {
        let four = |r: &mut Random| u32::join(std::array::from_fn(|_| r.f32()));
        let two = |r: &mut Random| u64::join(std::array::from_fn(|_| r.f64()));
        let (a, b) = (four(&mut r), four(&mut r));
        let m = &mut Mxcsr(0x1F80);
        check! { a, b;
            "addps {x}, {y}", |a, b| float::packed::<u32, 4>(a, b, m, sse::add).unwrap();
            "addsubps {x}, {y}", |a, b| float::addsubps(a, b, m).unwrap();
            "haddps {x}, {y}", |a, b| float::horizontal::<u32, 4>(a, b, m, sse::add).unwrap();
            "hsubps {x}, {y}", |a, b| float::horizontal::<u32, 4>(a, b, m, sse::sub).unwrap();
            "cvtps2dq {x}, {y}", |_, b| float::ps2dq(b, false, m).unwrap();
            "cvttps2dq {x}, {y}", |_, b| float::ps2dq(b, true, m).unwrap();
            "cvtdq2ps {x}, {y}", |_, b| float::dq2ps(b, m).unwrap();
            "cvtdq2pd {x}, {y}", |_, b| float::dq2pd(b as u64);
            "cvtps2pd {x}, {y}", |_, b| float::ps2pd(b as u64, m).unwrap();
        }
        let same = |host, ours| assert_eq!(one_nan(host), one_nan(ours), "dpps {a:x} {b:x}");
        same(xmm!(a, b, "dpps {x}, {y}, 0xF1"), float::dpps(a, b, 0xF1, m).unwrap());
        same(xmm!(a, b, "dpps {x}, {y}, 0x7E"), float::dpps(a, b, 0x7E, m).unwrap());
        let (a, b) = (two(&mut r), two(&mut r));
        let (host, ours) = (xmm!(a, b, "dppd {x}, {y}, 0x32"), float::dppd(a, b, 0x32, m).unwrap());
        assert_eq!(one_nan_double(host), one_nan_double(ours), "dppd {a:x} {b:x}");
        check! { a, b;
            "mulpd {x}, {y}", |a, b| float::packed::<u64, 2>(a, b, m, sse::mul).unwrap();
            "addsubpd {x}, {y}", |a, b| float::addsubpd(a, b, m).unwrap();
            "haddpd {x}, {y}", |a, b| float::horizontal::<u64, 2>(a, b, m, sse::add).unwrap();
            "cvtpd2dq {x}, {y}", |_, b| u128::from(float::pd2dq(b, false, m).unwrap());
            "cvtpd2ps {x}, {y}", |_, b| u128::from(float::pd2ps(b, m).unwrap());
        }
    }
}
