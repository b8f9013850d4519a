//! Integer arithmetic, comparison and logic on packed elements.

use super::{Lane, map, zip};

#[inline]
pub fn paddb(a: u128, b: u128) -> u128 {
    zip(a, b, u8::wrapping_add)
}

#[inline]
pub fn psubb(a: u128, b: u128) -> u128 {
    zip(a, b, u8::wrapping_sub)
}

#[inline]
pub fn paddw(a: u128, b: u128) -> u128 {
    zip(a, b, u16::wrapping_add)
}

#[inline]
pub fn psubw(a: u128, b: u128) -> u128 {
    zip(a, b, u16::wrapping_sub)
}

#[inline]
pub fn paddd(a: u128, b: u128) -> u128 {
    zip(a, b, u32::wrapping_add)
}

#[inline]
pub fn psubd(a: u128, b: u128) -> u128 {
    zip(a, b, u32::wrapping_sub)
}

#[inline]
pub fn paddq(a: u128, b: u128) -> u128 {
    zip(a, b, u64::wrapping_add)
}

#[inline]
pub fn psubq(a: u128, b: u128) -> u128 {
    zip(a, b, u64::wrapping_sub)
}

#[inline]
pub fn paddsb(a: u128, b: u128) -> u128 {
    zip(a, b, i8::saturating_add)
}

#[inline]
pub fn psubsb(a: u128, b: u128) -> u128 {
    zip(a, b, i8::saturating_sub)
}

#[inline]
pub fn paddsw(a: u128, b: u128) -> u128 {
    zip(a, b, i16::saturating_add)
}

#[inline]
pub fn psubsw(a: u128, b: u128) -> u128 {
    zip(a, b, i16::saturating_sub)
}

#[inline]
pub fn paddusb(a: u128, b: u128) -> u128 {
    zip(a, b, u8::saturating_add)
}

#[inline]
pub fn psubusb(a: u128, b: u128) -> u128 {
    zip(a, b, u8::saturating_sub)
}

#[inline]
pub fn paddusw(a: u128, b: u128) -> u128 {
    zip(a, b, u16::saturating_add)
}

#[inline]
pub fn psubusw(a: u128, b: u128) -> u128 {
    zip(a, b, u16::saturating_sub)
}

#[inline]
pub fn pminsb(a: u128, b: u128) -> u128 {
    zip(a, b, i8::min)
}

#[inline]
pub fn pmaxsb(a: u128, b: u128) -> u128 {
    zip(a, b, i8::max)
}

#[inline]
pub fn pminsw(a: u128, b: u128) -> u128 {
    zip(a, b, i16::min)
}

#[inline]
pub fn pmaxsw(a: u128, b: u128) -> u128 {
    zip(a, b, i16::max)
}

#[inline]
pub fn pminsd(a: u128, b: u128) -> u128 {
    zip(a, b, i32::min)
}

#[inline]
pub fn pmaxsd(a: u128, b: u128) -> u128 {
    zip(a, b, i32::max)
}

#[inline]
pub fn pminub(a: u128, b: u128) -> u128 {
    zip(a, b, u8::min)
}

#[inline]
pub fn pmaxub(a: u128, b: u128) -> u128 {
    zip(a, b, u8::max)
}

#[inline]
pub fn pminuw(a: u128, b: u128) -> u128 {
    zip(a, b, u16::min)
}

#[inline]
pub fn pmaxuw(a: u128, b: u128) -> u128 {
    zip(a, b, u16::max)
}

#[inline]
pub fn pminud(a: u128, b: u128) -> u128 {
    zip(a, b, u32::min)
}

#[inline]
pub fn pmaxud(a: u128, b: u128) -> u128 {
    zip(a, b, u32::max)
}

#[inline]
pub fn pcmpeqb(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i8, y| -i8::from(x == y))
}

#[inline]
pub fn pcmpgtb(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i8, y| -i8::from(x > y))
}

#[inline]
pub fn pcmpeqw(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i16, y| -i16::from(x == y))
}

#[inline]
pub fn pcmpgtw(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i16, y| -i16::from(x > y))
}

#[inline]
pub fn pcmpeqd(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i32, y| -i32::from(x == y))
}

#[inline]
pub fn pcmpgtd(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i32, y| -i32::from(x > y))
}

#[inline]
pub fn pcmpeqq(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i64, y| -i64::from(x == y))
}

#[inline]
pub fn pcmpgtq(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i64, y| -i64::from(x > y))
}

#[inline]
pub fn pabsb(_: u128, b: u128) -> u128 {
    map(b, i8::wrapping_abs)
}

#[inline]
pub fn psignb(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i8, y| {
        if y == 0 {
            0
        } else if y < 0 {
            x.wrapping_neg()
        } else {
            x
        }
    })
}

#[inline]
pub fn pabsw(_: u128, b: u128) -> u128 {
    map(b, i16::wrapping_abs)
}

#[inline]
pub fn psignw(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i16, y| {
        if y == 0 {
            0
        } else if y < 0 {
            x.wrapping_neg()
        } else {
            x
        }
    })
}

#[inline]
pub fn pabsd(_: u128, b: u128) -> u128 {
    map(b, i32::wrapping_abs)
}

#[inline]
pub fn psignd(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i32, y| {
        if y == 0 {
            0
        } else if y < 0 {
            x.wrapping_neg()
        } else {
            x
        }
    })
}

#[inline]
pub fn pand(a: u128, b: u128) -> u128 {
    a & b
}

#[inline]
pub fn pandn(a: u128, b: u128) -> u128 {
    !a & b
}

#[inline]
pub fn por(a: u128, b: u128) -> u128 {
    a | b
}

#[inline]
pub fn pxor(a: u128, b: u128) -> u128 {
    a ^ b
}

#[inline]
pub fn pavgb(a: u128, b: u128) -> u128 {
    zip(a, b, |x: u8, y| ((u16::from(x) + u16::from(y) + 1) >> 1) as u8)
}

#[inline]
pub fn pavgw(a: u128, b: u128) -> u128 {
    zip(a, b, |x: u16, y| ((u32::from(x) + u32::from(y) + 1) >> 1) as u16)
}

#[inline]
pub fn pmullw(a: u128, b: u128) -> u128 {
    zip(a, b, i16::wrapping_mul)
}

#[inline]
pub fn pmulld(a: u128, b: u128) -> u128 {
    zip(a, b, i32::wrapping_mul)
}

#[inline]
pub fn pmulhw(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i16, y| ((i32::from(x) * i32::from(y)) >> 16) as i16)
}

#[inline]
pub fn pmulhuw(a: u128, b: u128) -> u128 {
    zip(a, b, |x: u16, y| ((u32::from(x) * u32::from(y)) >> 16) as u16)
}

#[inline]
pub fn pmulhrsw(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i16, y| ((((i32::from(x) * i32::from(y)) >> 14) + 1) >> 1) as i16)
}

#[inline]
pub fn pmuludq(a: u128, b: u128) -> u128 {
    zip(a, b, |x: u64, y| (x & 0xFFFF_FFFF) * (y & 0xFFFF_FFFF))
}

#[inline]
pub fn pmuldq(a: u128, b: u128) -> u128 {
    zip(a, b, |x: i64, y| i64::from(x as i32) * i64::from(y as i32))
}

#[inline]
pub fn pmaddwd(a: u128, b: u128) -> u128 {
    let (x, y): ([i16; 8], [i16; 8]) = (Lane::split(a), Lane::split(b));
    let product = |i: usize| i32::from(x[i]) * i32::from(y[i]);
    // Only four products of -32768 by itself wrap.
    i32::join(std::array::from_fn(|i| product(2 * i).wrapping_add(product(2 * i + 1))))
}

/// Unsigned bytes of `a` by signed bytes of `b`, summed with saturation.
#[inline]
pub fn pmaddubsw(a: u128, b: u128) -> u128 {
    let (x, y): ([u8; 16], [i8; 16]) = (Lane::split(a), Lane::split(b));
    let product = |i: usize| i32::from(x[i]) * i32::from(y[i]);
    i16::join(std::array::from_fn(|i| saturate_i16(product(2 * i) + product(2 * i + 1))))
}

#[inline(always)]
pub(super) fn saturate_i16(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[inline]
pub fn psadbw(a: u128, b: u128) -> u128 {
    let (x, y): ([u8; 16], [u8; 16]) = (Lane::split(a), Lane::split(b));
    u64::join(std::array::from_fn(|half| {
        (8 * half..8 * half + 8).map(|i| u64::from(x[i].abs_diff(y[i]))).sum()
    }))
}

/// Combines horizontally adjacent elements, those of `a` first.
#[inline(always)]
pub(super) fn horizontal<T: Lane<N>, const N: usize>(a: u128, b: u128, mut f: impl FnMut(T, T) -> T) -> u128 {
    let (x, y) = (T::split(a), T::split(b));
    T::join(std::array::from_fn(|i| {
        let (source, at) = if i < N / 2 { (&x, 2 * i) } else { (&y, 2 * i - N) };
        f(source[at], source[at + 1])
    }))
}

#[inline]
pub fn phaddw(a: u128, b: u128) -> u128 {
    horizontal(a, b, i16::wrapping_add)
}

#[inline]
pub fn phaddd(a: u128, b: u128) -> u128 {
    horizontal(a, b, i32::wrapping_add)
}

#[inline]
pub fn phaddsw(a: u128, b: u128) -> u128 {
    horizontal(a, b, i16::saturating_add)
}

#[inline]
pub fn phsubw(a: u128, b: u128) -> u128 {
    horizontal(a, b, i16::wrapping_sub)
}

#[inline]
pub fn phsubd(a: u128, b: u128) -> u128 {
    horizontal(a, b, i32::wrapping_sub)
}

#[inline]
pub fn phsubsw(a: u128, b: u128) -> u128 {
    horizontal(a, b, i16::saturating_sub)
}

/// The smallest unsigned word of `b` and its index.
#[inline]
pub fn phminposuw(_: u128, b: u128) -> u128 {
    let words: [u16; 8] = Lane::split(b);
    let (mut least, mut index) = (words[0], 0);
    for (i, &word) in words.iter().enumerate() {
        if word < least {
            (least, index) = (word, i);
        }
    }
    u128::from(least) | (index as u128) << 16
}

/// Sums of absolute differences of four bytes at eight places of `a` and one of `b`.
#[inline]
pub fn mpsadbw(a: u128, b: u128, imm: u8) -> u128 {
    let (x, y): ([u8; 16], [u8; 16]) = (Lane::split(a), Lane::split(b));
    let (xs, ys) = (usize::from(imm >> 2 & 1) * 4, usize::from(imm & 3) * 4);
    u16::join(std::array::from_fn(|i| (0..4).map(|k| u16::from(x[xs + i + k].abs_diff(y[ys + k]))).sum()))
}
