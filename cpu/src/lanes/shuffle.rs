//! Packing, unpacking, shuffling, blending, sign and zero extension.

use super::integer::saturate_i16;
use super::{Lane, zip};

/// The elements of `a` and then of `b`, each narrowed by `f`.
#[inline(always)]
fn pack<S: Lane<N>, T: Lane<M>, const N: usize, const M: usize>(
    a: u128,
    b: u128,
    f: impl Fn(S) -> T,
) -> u128 {
    let (x, y) = (S::split(a), S::split(b));
    T::join(std::array::from_fn(|i| f(if i < N { x[i] } else { y[i - N] })))
}

#[inline]
pub fn packsswb(a: u128, b: u128) -> u128 {
    pack(a, b, |x: i16| x.clamp(-128, 127) as i8)
}

#[inline]
pub fn packuswb(a: u128, b: u128) -> u128 {
    pack(a, b, |x: i16| x.clamp(0, 255) as u8)
}

#[inline]
pub fn packssdw(a: u128, b: u128) -> u128 {
    pack(a, b, saturate_i16)
}

#[inline]
pub fn packusdw(a: u128, b: u128) -> u128 {
    pack(a, b, |x: i32| x.clamp(0, 65535) as u16)
}

/// Interleaves the elements from number `start` on.
#[inline(always)]
fn unpack<T: Lane<N>, const N: usize>(a: u128, b: u128, start: usize) -> u128 {
    let (x, y) = (T::split(a), T::split(b));
    T::join(std::array::from_fn(|i| if i % 2 == 0 { x[start + i / 2] } else { y[start + i / 2] }))
}

#[inline]
pub fn punpcklbw(a: u128, b: u128) -> u128 {
    unpack::<u8, 16>(a, b, 0)
}

#[inline]
pub fn punpcklwd(a: u128, b: u128) -> u128 {
    unpack::<u16, 8>(a, b, 0)
}

#[inline]
pub fn punpckldq(a: u128, b: u128) -> u128 {
    unpack::<u32, 4>(a, b, 0)
}

#[inline]
pub fn punpcklqdq(a: u128, b: u128) -> u128 {
    a & u128::from(u64::MAX) | b << 64
}

#[inline]
pub fn punpckhbw(a: u128, b: u128) -> u128 {
    unpack::<u8, 16>(a, b, 8)
}

#[inline]
pub fn punpckhwd(a: u128, b: u128) -> u128 {
    unpack::<u16, 8>(a, b, 4)
}

#[inline]
pub fn punpckhdq(a: u128, b: u128) -> u128 {
    unpack::<u32, 4>(a, b, 2)
}

#[inline]
pub fn punpckhqdq(a: u128, b: u128) -> u128 {
    a >> 64 | b >> 64 << 64
}

#[inline]
pub fn pshufb(a: u128, b: u128) -> u128 {
    let (x, control) = (a.to_le_bytes(), b.to_le_bytes());
    u128::from_le_bytes(std::array::from_fn(|i| {
        let byte = x[usize::from(control[i] & 15)];
        if control[i] & 0x80 != 0 { 0 } else { byte }
    }))
}

/// The `n`-th two-bit field.
#[inline(always)]
fn field(imm: u8, n: usize) -> usize {
    usize::from(imm >> (2 * n) & 3)
}

#[inline]
pub fn pshufd(_: u128, b: u128, imm: u8) -> u128 {
    let x: [u32; 4] = Lane::split(b);
    Lane::join(std::array::from_fn::<u32, 4, _>(|i| x[field(imm, i)]))
}

#[inline]
pub fn pshuflw(_: u128, b: u128, imm: u8) -> u128 {
    let x: [u16; 8] = Lane::split(b);
    Lane::join(std::array::from_fn::<u16, 8, _>(|i| if i < 4 { x[field(imm, i)] } else { x[i] }))
}

#[inline]
pub fn pshufhw(_: u128, b: u128, imm: u8) -> u128 {
    let x: [u16; 8] = Lane::split(b);
    Lane::join(std::array::from_fn::<u16, 8, _>(|i| if i < 4 { x[i] } else { x[4 + field(imm, i - 4)] }))
}

#[inline]
pub fn shufps(a: u128, b: u128, imm: u8) -> u128 {
    let (x, y): ([u32; 4], [u32; 4]) = (Lane::split(a), Lane::split(b));
    Lane::join([x[field(imm, 0)], x[field(imm, 1)], y[field(imm, 2)], y[field(imm, 3)]])
}

#[inline]
pub fn shufpd(a: u128, b: u128, imm: u8) -> u128 {
    let (x, y): ([u64; 2], [u64; 2]) = (Lane::split(a), Lane::split(b));
    Lane::join([x[usize::from(imm & 1)], y[usize::from(imm >> 1 & 1)]])
}

#[inline]
pub fn palignr(a: u128, b: u128, imm: u8) -> u128 {
    match u32::from(imm) * 8 {
        0 => b,
        n @ ..128 => b >> n | a << (128 - n),
        n @ ..256 => a >> (n - 128),
        _ => 0,
    }
}

#[inline]
pub fn movddup(_: u128, b: u128) -> u128 {
    punpcklqdq(b, b)
}

#[inline]
pub fn movshdup(_: u128, b: u128) -> u128 {
    pshufd(0, b, 0b11_11_01_01)
}

#[inline]
pub fn movsldup(_: u128, b: u128) -> u128 {
    pshufd(0, b, 0b10_10_00_00)
}

/// Elements of `b` where `imm` has a bit set.
#[inline(always)]
fn blend<T: Lane<N>, const N: usize>(a: u128, b: u128, imm: u8) -> u128 {
    let (x, y) = (T::split(a), T::split(b));
    T::join(std::array::from_fn(|i| if imm >> i & 1 != 0 { y[i] } else { x[i] }))
}

#[inline]
pub fn pblendw(a: u128, b: u128, imm: u8) -> u128 {
    blend::<u16, 8>(a, b, imm)
}

#[inline]
pub fn blendps(a: u128, b: u128, imm: u8) -> u128 {
    blend::<u32, 4>(a, b, imm)
}

#[inline]
pub fn blendpd(a: u128, b: u128, imm: u8) -> u128 {
    blend::<u64, 2>(a, b, imm)
}

/// Takes `b` where the element of `mask` is all ones.
#[inline(always)]
fn choose(a: u128, b: u128, mask: u128) -> u128 {
    a & !mask | b & mask
}

#[inline]
pub fn pblendvb(a: u128, b: u128, mask: u128) -> u128 {
    choose(a, b, zip(mask, 0, |m: i8, _| m >> 7))
}

#[inline]
pub fn blendvps(a: u128, b: u128, mask: u128) -> u128 {
    choose(a, b, zip(mask, 0, |m: i32, _| m >> 31))
}

#[inline]
pub fn blendvpd(a: u128, b: u128, mask: u128) -> u128 {
    choose(a, b, zip(mask, 0, |m: i64, _| m >> 63))
}

/// INSERTPS with the source element already chosen (by `imm[7:6]`, or memory).
#[inline]
pub fn insertps(a: u128, source: u32, imm: u8) -> u128 {
    let mut x: [u32; 4] = Lane::split(a);
    x[field(imm, 2)] = source;
    Lane::join(std::array::from_fn::<u32, 4, _>(|i| if imm >> i & 1 != 0 { 0 } else { x[i] }))
}

/// PMOVMSKB.
#[inline]
pub fn pmovmskb(b: u128) -> u32 {
    b.to_le_bytes().iter().rev().fold(0, |mask, byte| mask << 1 | u32::from(byte >> 7))
}

#[inline]
pub fn movmskps(b: u128) -> u32 {
    let x: [u32; 4] = Lane::split(b);
    x.iter().rev().fold(0, |mask, lane| mask << 1 | lane >> 31)
}

#[inline]
pub fn movmskpd(b: u128) -> u32 {
    (b >> 63) as u32 & 1 | ((b >> 127) as u32) << 1
}

/// PMOVSXBW and its kin: the low elements of `b`, widened by `f`.
#[inline(always)]
pub fn widen<S: Lane<N>, T: Lane<M>, const N: usize, const M: usize>(b: u128, f: impl Fn(S) -> T) -> u128 {
    let x = S::split(b);
    T::join(std::array::from_fn(|i| f(x[i])))
}

#[inline]
pub fn pmovsxbw(_: u128, b: u128) -> u128 {
    widen(b, |x: i8| i16::from(x))
}

#[inline]
pub fn pmovzxbw(_: u128, b: u128) -> u128 {
    widen(b, |x: u8| u16::from(x))
}

#[inline]
pub fn pmovsxbd(_: u128, b: u128) -> u128 {
    widen(b, |x: i8| i32::from(x))
}

#[inline]
pub fn pmovzxbd(_: u128, b: u128) -> u128 {
    widen(b, |x: u8| u32::from(x))
}

#[inline]
pub fn pmovsxbq(_: u128, b: u128) -> u128 {
    widen(b, |x: i8| i64::from(x))
}

#[inline]
pub fn pmovzxbq(_: u128, b: u128) -> u128 {
    widen(b, |x: u8| u64::from(x))
}

#[inline]
pub fn pmovsxwd(_: u128, b: u128) -> u128 {
    widen(b, |x: i16| i32::from(x))
}

#[inline]
pub fn pmovzxwd(_: u128, b: u128) -> u128 {
    widen(b, |x: u16| u32::from(x))
}

#[inline]
pub fn pmovsxwq(_: u128, b: u128) -> u128 {
    widen(b, |x: i16| i64::from(x))
}

#[inline]
pub fn pmovzxwq(_: u128, b: u128) -> u128 {
    widen(b, |x: u16| u64::from(x))
}

#[inline]
pub fn pmovsxdq(_: u128, b: u128) -> u128 {
    widen(b, |x: i32| i64::from(x))
}

#[inline]
pub fn pmovzxdq(_: u128, b: u128) -> u128 {
    widen(b, |x: u32| u64::from(x))
}
