//! Shifts. The count is the whole low 64 bits of the count operand, and one beyond the element's width gives zero
//! or the sign.

use super::map;

#[inline(always)]
fn count(b: u128) -> u64 {
    b as u64
}

#[inline]
pub fn psllw(a: u128, b: u128) -> u128 {
    let n = count(b);
    if n > 15 { 0 } else { map(a, |x: u16| x << n) }
}

#[inline]
pub fn pslld(a: u128, b: u128) -> u128 {
    let n = count(b);
    if n > 31 { 0 } else { map(a, |x: u32| x << n) }
}

#[inline]
pub fn psllq(a: u128, b: u128) -> u128 {
    let n = count(b);
    if n > 63 { 0 } else { map(a, |x: u64| x << n) }
}

#[inline]
pub fn psrlw(a: u128, b: u128) -> u128 {
    let n = count(b);
    if n > 15 { 0 } else { map(a, |x: u16| x >> n) }
}

#[inline]
pub fn psrld(a: u128, b: u128) -> u128 {
    let n = count(b);
    if n > 31 { 0 } else { map(a, |x: u32| x >> n) }
}

#[inline]
pub fn psrlq(a: u128, b: u128) -> u128 {
    let n = count(b);
    if n > 63 { 0 } else { map(a, |x: u64| x >> n) }
}

#[inline]
pub fn psraw(a: u128, b: u128) -> u128 {
    let n = count(b).min(15);
    map(a, |x: i16| x >> n)
}

#[inline]
pub fn psrad(a: u128, b: u128) -> u128 {
    let n = count(b).min(31);
    map(a, |x: i32| x >> n)
}

/// By bytes.
#[inline]
pub fn pslldq(a: u128, b: u128) -> u128 {
    let n = count(b);
    if n > 15 { 0 } else { a << (8 * n) }
}

#[inline]
pub fn psrldq(a: u128, b: u128) -> u128 {
    let n = count(b);
    if n > 15 { 0 } else { a >> (8 * n) }
}
