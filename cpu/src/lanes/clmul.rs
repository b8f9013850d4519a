//! PCLMULQDQ.

/// The carry-less product, four bits at a time.
fn product(a: u64, b: u64) -> u128 {
    let mut multiples = [0u128; 16];
    for n in 1..16 {
        let half = multiples[n / 2] << 1;
        multiples[n] = if n & 1 != 0 { half ^ u128::from(a) } else { half };
    }
    (0..16).rev().fold(0, |sum, digit| sum << 4 ^ multiples[(b >> (4 * digit) & 15) as usize])
}

pub fn pclmulqdq(a: u128, b: u128, imm: u8) -> u128 {
    let x = if imm & 1 != 0 { (a >> 64) as u64 } else { a as u64 };
    let y = if imm & 16 != 0 { (b >> 64) as u64 } else { b as u64 };
    product(x, y)
}
