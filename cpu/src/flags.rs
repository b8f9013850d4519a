//! RFLAGS with the arithmetic flags kept lazily: as the last result and a few carry bits, from which each flag is
//! read without a branch.

/// RFLAGS bits (SDM Vol. 1, 3.4.3).
pub mod bit {
    pub const CF: u64 = 1;
    pub const ONE: u64 = 1 << 1;
    pub const PF: u64 = 1 << 2;
    pub const AF: u64 = 1 << 4;
    pub const ZF: u64 = 1 << 6;
    pub const SF: u64 = 1 << 7;
    pub const TF: u64 = 1 << 8;
    pub const IF: u64 = 1 << 9;
    pub const DF: u64 = 1 << 10;
    pub const OF: u64 = 1 << 11;
    pub const IOPL: u64 = 3 << 12;
    pub const NT: u64 = 1 << 14;
    pub const RF: u64 = 1 << 16;
    pub const VM: u64 = 1 << 17;
    pub const AC: u64 = 1 << 18;
    pub const VIF: u64 = 1 << 19;
    pub const VIP: u64 = 1 << 20;
    pub const ID: u64 = 1 << 21;
    /// The six arithmetic flags.
    pub const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;
    /// Bits that exist.
    pub const ALL: u64 = 0x003F_7FD5 | ONE;
}

/// Bits of `Flags::carries`.
const CARRY_IN_MSB: u64 = 1 << 0;
const CARRY_OUT: u64 = 1 << 1;
const AUX: u64 = 1 << 3;
const PARITY_SHIFT: u32 = 8;
const SIGN_DELTA: u64 = 1 << 63;

/// RFLAGS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    /// Last result, sign-extended: zero gives ZF, bit 63 SF, the low byte PF.
    result: u64,
    /// Bit 0: carry into the most significant bit; 1: carry out of it (CF; OF is their difference); 3: AF;
    /// bits 15:8 and 63 correct parity and sign where a result cannot express the flags.
    carries: u64,
    /// All other bits; the arithmetic ones are zero here.
    rest: u64,
}

impl Flags {
    /// Offset of the bits that are not arithmetic flags.
    pub const REST: usize = std::mem::offset_of!(Self, rest);

    /// From an RFLAGS image.
    pub fn from_bits(rflags: u64) -> Self {
        let mut flags = Self { result: 0, carries: 0, rest: rflags & bit::ALL & !bit::ARITHMETIC | bit::ONE };
        flags.set_arithmetic(rflags);
        flags
    }

    /// The RFLAGS image.
    pub fn bits(&self) -> u64 {
        self.rest | self.arithmetic()
    }

    /// The six arithmetic flags in place.
    pub fn arithmetic(&self) -> u64 {
        u64::from(self.cf())
            | u64::from(self.pf()) << 2
            | u64::from(self.af()) << 4
            | u64::from(self.zf()) << 6
            | u64::from(self.sf()) << 7
            | u64::from(self.of()) << 11
    }

    /// Sets all six arithmetic flags from an RFLAGS image.
    pub fn set_arithmetic(&mut self, rflags: u64) {
        let zero = rflags & bit::ZF != 0;
        self.result = u64::from(!zero);
        // Parity of 0 is even, of 1 odd.
        let parity_wrong = (rflags & bit::PF != 0) != zero;
        let carry = rflags & bit::CF != 0;
        let overflow = rflags & bit::OF != 0;
        self.carries = u64::from(carry) << 1
            | u64::from(carry != overflow)
            | (rflags & bit::AF) >> 1
            | u64::from(parity_wrong) << PARITY_SHIFT
            | if rflags & bit::SF != 0 { SIGN_DELTA } else { 0 };
    }

    /// Non-arithmetic bits.
    #[inline(always)]
    pub fn rest(&self) -> u64 {
        self.rest
    }

    /// Whether a non-arithmetic bit is set.
    #[inline(always)]
    pub fn has(&self, bit: u64) -> bool {
        self.rest & bit != 0
    }

    /// Sets or clears non-arithmetic bits.
    pub fn set(&mut self, bits: u64, on: bool) {
        if on { self.rest |= bits } else { self.rest &= !bits }
    }

    /// Flags of an addition (`b` includes no carry): `result` and operands as zero-extended `bits`-wide values.
    #[inline(always)]
    pub fn set_add(&mut self, a: u64, b: u64, result: u64, bits: u32) {
        self.set_vector((a & b) | ((a | b) & !result), result, bits);
    }

    /// Flags of a subtraction a - b.
    #[inline(always)]
    pub fn set_sub(&mut self, a: u64, b: u64, result: u64, bits: u32) {
        self.set_vector((!a & b) | ((!a | b) & result), result, bits);
    }

    #[inline(always)]
    fn set_vector(&mut self, carry_out: u64, result: u64, bits: u32) {
        self.result = sign_extend(result, bits);
        self.carries = (carry_out >> (bits - 2) & 3) | carry_out & AUX;
    }

    /// Flags of AND, OR, XOR, TEST: CF = OF = 0; AF, undefined, is cleared.
    #[inline(always)]
    pub fn set_logic(&mut self, result: u64, bits: u32) {
        self.result = sign_extend(result, bits);
        self.carries = 0;
    }

    /// Flags of INC: as ADD 1 with CF kept.
    #[inline(always)]
    pub fn set_inc(&mut self, a: u64, result: u64, bits: u32) {
        let carry = self.cf();
        self.set_add(a, 1, result, bits);
        self.set_cf_keep_of(carry);
    }

    /// Flags of DEC: as SUB 1 with CF kept.
    #[inline(always)]
    pub fn set_dec(&mut self, a: u64, result: u64, bits: u32) {
        let carry = self.cf();
        self.set_sub(a, 1, result, bits);
        self.set_cf_keep_of(carry);
    }

    /// Changes CF alone.
    #[inline(always)]
    pub fn set_cf_keep_of(&mut self, carry: bool) {
        let overflow = (self.carries ^ self.carries >> 1) & 1;
        let carry = u64::from(carry);
        self.carries = self.carries & !3 | carry << 1 | (carry ^ overflow);
    }

    /// SF, ZF and PF from a result; CF and OF as given; AF, undefined, cleared.
    #[inline(always)]
    pub fn set_result_cf_of(&mut self, result: u64, bits: u32, carry: bool, overflow: bool) {
        self.result = sign_extend(result, bits);
        let carry = u64::from(carry);
        self.carries = carry << 1 | (carry ^ u64::from(overflow));
    }

    /// Changes ZF alone.
    pub fn set_zf(&mut self, zero: bool) {
        let others = self.arithmetic() & !bit::ZF;
        self.set_arithmetic(others | if zero { bit::ZF } else { 0 });
    }

    #[inline(always)]
    pub fn cf(&self) -> bool {
        self.carries & CARRY_OUT != 0
    }
    #[inline(always)]
    pub fn zf(&self) -> bool {
        self.result == 0
    }
    #[inline(always)]
    pub fn sf(&self) -> bool {
        (self.result ^ self.carries) as i64 >> 63 != 0
    }
    #[inline(always)]
    pub fn of(&self) -> bool {
        (self.carries >> 1 ^ self.carries) & CARRY_IN_MSB != 0
    }
    #[inline(always)]
    pub fn pf(&self) -> bool {
        ((self.result ^ self.carries >> PARITY_SHIFT) as u8).count_ones() & 1 == 0
    }
    #[inline(always)]
    pub fn af(&self) -> bool {
        self.carries & AUX != 0
    }

    /// Condition code `cc` of Jcc, SETcc, CMOVcc (SDM Vol. 2, appendix B).
    #[inline(always)]
    pub fn condition(&self, cc: u8) -> bool {
        let base = match cc >> 1 & 7 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() || self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() || self.sf() != self.of(),
        };
        base != (cc & 1 != 0)
    }
}

#[inline(always)]
fn sign_extend(value: u64, bits: u32) -> u64 {
    ((value << (64 - bits)) as i64 >> (64 - bits)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_survives_a_round_trip() {
        for pattern in 0..64u64 {
            let scattered = [bit::CF, bit::PF, bit::AF, bit::ZF, bit::SF, bit::OF]
                .iter()
                .enumerate()
                .filter(|(i, _)| pattern >> i & 1 != 0)
                .fold(bit::ONE, |all, (_, bit)| all | bit);
            assert_eq!(Flags::from_bits(scattered).bits(), scattered);
        }
    }

    #[test]
    fn byte_additions_and_subtractions_match_their_definition() {
        for a in 0..=255u64 {
            for b in 0..=255u64 {
                let mut flags = Flags::default();
                let sum = (a + b) & 0xFF;
                flags.set_add(a, b, sum, 8);
                assert_eq!(flags.cf(), a + b > 255);
                assert_eq!(flags.of(), (a as i8).checked_add(b as i8).is_none());
                assert_eq!(flags.af(), (a & 15) + (b & 15) > 15);
                assert_eq!((flags.zf(), flags.sf()), (sum == 0, sum >= 128));
                let difference = a.wrapping_sub(b) & 0xFF;
                flags.set_sub(a, b, difference, 8);
                assert_eq!(flags.cf(), a < b);
                assert_eq!(flags.of(), (a as i8).checked_sub(b as i8).is_none());
                assert_eq!(flags.af(), a & 15 < b & 15);
                assert_eq!(flags.pf(), (difference as u8).count_ones().is_multiple_of(2));
            }
        }
    }
}
