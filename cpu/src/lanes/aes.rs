//! AES-NI (SDM volume 2; FIPS 197). A column is a little-endian u32, row 0 in its low byte.

use super::Lane;

/// Multiplication in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
const fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = a << 1 ^ if a & 0x80 != 0 { 0x1B } else { 0 };
        b >>= 1;
    }
    product
}

/// The substitution: an affine transformation of the multiplicative inverse.
const fn forward() -> [u8; 256] {
    let mut table = [0; 256];
    // Powers of the generator 3 and of its inverse 0xF6 meet every non-zero element once.
    let (mut power, mut inverse) = (1u8, 1u8);
    let mut n = 0;
    while n < 255 {
        let b = inverse;
        table[power as usize] =
            b ^ b.rotate_left(1) ^ b.rotate_left(2) ^ b.rotate_left(3) ^ b.rotate_left(4) ^ 0x63;
        power = times(power, 3);
        inverse = times(inverse, 0xF6);
        n += 1;
    }
    table[0] = 0x63;
    table
}

const fn inverted() -> [u8; 256] {
    let forward = forward();
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        table[forward[n] as usize] = n as u8;
        n += 1;
    }
    table
}

/// A byte in row 0 multiplied by a column of the mixing matrix.
const fn mixing(column: [u8; 4]) -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let x = n as u8;
        table[n] = u32::from_le_bytes([
            times(x, column[0]),
            times(x, column[1]),
            times(x, column[2]),
            times(x, column[3]),
        ]);
        n += 1;
    }
    table
}

static SUBSTITUTE: [u8; 256] = forward();
static INVERSE: [u8; 256] = inverted();
static MIX: [u32; 256] = mixing([2, 1, 1, 3]);
static INVERSE_MIX: [u32; 256] = mixing([14, 9, 13, 11]);

/// ShiftRows (`step` 1) or its inverse (`step` 3), then the substitution.
#[inline(always)]
fn substituted(state: u128, step: usize, table: &[u8; 256]) -> [u8; 16] {
    let bytes = state.to_le_bytes();
    std::array::from_fn(|i| {
        let (column, row) = (i / 4, i % 4);
        table[usize::from(bytes[4 * ((column + step * row) % 4) + row])]
    })
}

#[inline(always)]
fn mixed(bytes: [u8; 16], table: &[u32; 256]) -> u128 {
    let column = |c: usize| {
        (0..4).fold(0, |sum, row| sum ^ table[usize::from(bytes[4 * c + row])].rotate_left(8 * row as u32))
    };
    u32::join(std::array::from_fn(column))
}

pub fn aesenc(state: u128, key: u128) -> u128 {
    mixed(substituted(state, 1, &SUBSTITUTE), &MIX) ^ key
}

pub fn aesenclast(state: u128, key: u128) -> u128 {
    u128::from_le_bytes(substituted(state, 1, &SUBSTITUTE)) ^ key
}

pub fn aesdec(state: u128, key: u128) -> u128 {
    mixed(substituted(state, 3, &INVERSE), &INVERSE_MIX) ^ key
}

pub fn aesdeclast(state: u128, key: u128) -> u128 {
    u128::from_le_bytes(substituted(state, 3, &INVERSE)) ^ key
}

pub fn aesimc(_: u128, b: u128) -> u128 {
    mixed(b.to_le_bytes(), &INVERSE_MIX)
}

pub fn aeskeygenassist(_: u128, b: u128, imm: u8) -> u128 {
    let x: [u32; 4] = Lane::split(b);
    let word = |w: u32| u32::from_le_bytes(w.to_le_bytes().map(|byte| SUBSTITUTE[usize::from(byte)]));
    let rotated = |w: u32| word(w).rotate_right(8) ^ u32::from(imm);
    Lane::join([word(x[1]), rotated(x[1]), word(x[3]), rotated(x[3])])
}
