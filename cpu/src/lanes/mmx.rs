//! The MMX forms of operations that move elements between places. Operands and results are the low 64 bits.

use super::{integer, shuffle};

/// Both operands side by side, as the SSE form sees its first operand.
#[inline(always)]
fn joined(a: u128, b: u128) -> u128 {
    a & u128::from(u64::MAX) | b << 64
}

#[inline]
pub fn packsswb(a: u128, b: u128) -> u128 {
    shuffle::packsswb(joined(a, b), 0)
}

#[inline]
pub fn packuswb(a: u128, b: u128) -> u128 {
    shuffle::packuswb(joined(a, b), 0)
}

#[inline]
pub fn packssdw(a: u128, b: u128) -> u128 {
    shuffle::packssdw(joined(a, b), 0)
}

#[inline]
pub fn punpckhbw(a: u128, b: u128) -> u128 {
    shuffle::punpcklbw(a, b) >> 64
}

#[inline]
pub fn punpckhwd(a: u128, b: u128) -> u128 {
    shuffle::punpcklwd(a, b) >> 64
}

#[inline]
pub fn punpckhdq(a: u128, b: u128) -> u128 {
    shuffle::punpckldq(a, b) >> 64
}

#[inline]
pub fn pshufb(a: u128, b: u128) -> u128 {
    shuffle::pshufb(a, b & 0x8787_8787_8787_8787)
}

#[inline]
pub fn pshufw(_: u128, b: u128, imm: u8) -> u128 {
    shuffle::pshuflw(0, b, imm)
}

#[inline]
pub fn palignr(a: u128, b: u128, imm: u8) -> u128 {
    match imm {
        ..16 => joined(b, a) >> (8 * u32::from(imm)),
        _ => 0,
    }
}

#[inline]
pub fn phaddw(a: u128, b: u128) -> u128 {
    integer::phaddw(joined(a, b), 0)
}

#[inline]
pub fn phaddd(a: u128, b: u128) -> u128 {
    integer::phaddd(joined(a, b), 0)
}

#[inline]
pub fn phaddsw(a: u128, b: u128) -> u128 {
    integer::phaddsw(joined(a, b), 0)
}

#[inline]
pub fn phsubw(a: u128, b: u128) -> u128 {
    integer::phsubw(joined(a, b), 0)
}

#[inline]
pub fn phsubd(a: u128, b: u128) -> u128 {
    integer::phsubd(joined(a, b), 0)
}

#[inline]
pub fn phsubsw(a: u128, b: u128) -> u128 {
    integer::phsubsw(joined(a, b), 0)
}
