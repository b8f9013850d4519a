//! PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM (SDM volume 2, 4.1).

use super::Lane;

/// The outcome of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// IntRes2.
    pub result: u16,
    pub carry: bool,
    pub zero: bool,
    pub sign: bool,
    pub overflow: bool,
    words: bool,
    most: bool,
}

impl Comparison {
    /// ECX of the index forms.
    pub fn index(&self) -> u32 {
        match (self.result, self.most) {
            (0, _) => self.elements(),
            (result, false) => result.trailing_zeros(),
            (result, true) => 15 - result.leading_zeros(),
        }
    }

    /// XMM0 of the mask forms.
    pub fn mask(&self) -> u128 {
        let bit = |i: usize| self.result >> i & 1 != 0;
        match (self.most, self.words) {
            (false, _) => self.result.into(),
            (true, false) => u8::join(std::array::from_fn(|i| if bit(i) { 0xFF } else { 0 })),
            (true, true) => u16::join(std::array::from_fn(|i| if bit(i) { 0xFFFF } else { 0 })),
        }
    }

    fn elements(&self) -> u32 {
        if self.words { 8 } else { 16 }
    }
}

/// The elements, widened so that one comparison serves signed and unsigned.
fn elements(value: u128, imm: u8) -> [i32; 16] {
    let mut all = [0; 16];
    if imm & 1 != 0 {
        let words: [u16; 8] = Lane::split(value);
        for (to, word) in all.iter_mut().zip(words) {
            *to = if imm & 2 != 0 { i32::from(word as i16) } else { i32::from(word) };
        }
    } else {
        for (to, byte) in all.iter_mut().zip(value.to_le_bytes()) {
            *to = if imm & 2 != 0 { i32::from(byte as i8) } else { i32::from(byte) };
        }
    }
    all
}

/// Elements before the first zero, for the implicit-length forms.
pub fn implicit_length(value: u128, imm: u8) -> usize {
    let n = if imm & 1 != 0 { 8 } else { 16 };
    elements(value, imm)[..n].iter().position(|&e| e == 0).unwrap_or(n)
}

/// The length an explicit-length form takes from EAX or EDX (RAX, RDX with REX.W), sign-extended.
pub fn explicit_length(register: i64, imm: u8) -> usize {
    register.unsigned_abs().min(if imm & 1 != 0 { 8 } else { 16 }) as usize
}

/// IntRes1: which elements (or places) of `b` match `a`.
fn aggregate(a: &[i32; 16], la: usize, b: &[i32; 16], lb: usize, n: usize, imm: u8) -> u16 {
    let holds = |j: usize| match imm >> 2 & 3 {
        0 => j < lb && a[..la].contains(&b[j]),
        1 => j < lb && a[..la].chunks_exact(2).any(|range| range[0] <= b[j] && b[j] <= range[1]),
        2 => match (j < la, j < lb) {
            (true, true) => a[j] == b[j],
            (x, y) => x == y,
        },
        // An `a` that runs past the end of the register still matches; past the end of the string it does not.
        _ => (0..la.min(n - j)).all(|i| j + i < lb && a[i] == b[j + i]),
    };
    (0..n).fold(0, |result, j| result | u16::from(holds(j)) << j)
}

/// Compares `la` elements of `a` (the first operand) with `lb` of `b`.
pub fn compare(a: u128, la: usize, b: u128, lb: usize, imm: u8) -> Comparison {
    let words = imm & 1 != 0;
    let n = if words { 8 } else { 16 };
    let first = aggregate(&elements(a, imm), la, &elements(b, imm), lb, n, imm);
    let all = (u32::MAX >> (32 - n as u32)) as u16;
    let result = match imm >> 4 & 3 {
        1 => !first & all,
        3 => first ^ ((1u32 << lb) - 1) as u16,
        _ => first,
    };
    Comparison {
        result,
        carry: result != 0,
        zero: lb < n,
        sign: la < n,
        overflow: result & 1 != 0,
        words,
        most: imm & 0x40 != 0,
    }
}
