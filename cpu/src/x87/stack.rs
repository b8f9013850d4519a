//! Loads, stores and the register stack (SDM volume 1, 8.3.3, 8.3.4 and 8.5.1.1).

use super::{X87, status};
use crate::softfloat::sse::Format as Ieee;
use crate::softfloat::{Env, F80, Flags, Rounding, bcd, f80, f80_convert};

/// What FLD1 and its kin load. All but 1 and 0 are rounded by rounding control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    One,
    Log2Of10,
    Log2OfE,
    Pi,
    Log10Of2,
    LnOf2,
    Zero,
}

impl Constant {
    /// The exponent, the truncated significand, and whether the nearest one is above it.
    const fn parts(self) -> (u16, u64, bool) {
        match self {
            Constant::One => (0x3FFF, 1 << 63, false),
            Constant::Log2Of10 => (0x4000, 0xD49A_784B_CD1B_8AFE, false),
            Constant::Log2OfE => (0x3FFF, 0xB8AA_3B29_5C17_F0BB, true),
            Constant::Pi => (0x4000, 0xC90F_DAA2_2168_C234, true),
            Constant::Log10Of2 => (0x3FFD, 0x9A20_9A84_FBCF_F798, true),
            Constant::LnOf2 => (0x3FFE, 0xB172_17F7_D1CF_79AB, true),
            Constant::Zero => (0, 0, false),
        }
    }

    fn rounded(self, rounding: Rounding) -> F80 {
        let (exponent, significand, above) = self.parts();
        let exact = matches!(self, Constant::One | Constant::Zero);
        let up = match rounding {
            Rounding::Nearest => above,
            Rounding::Up => !exact,
            Rounding::Down | Rounding::Zero => false,
        };
        F80::new(false, exponent, significand + u64::from(up))
    }
}

impl X87 {
    /// Pushes a value, or answers a stack overflow.
    #[inline(always)]
    pub(super) fn push(&mut self, value: F80) {
        if !self.is_empty(7) {
            if self.stack_overflow() {
                self.push_over(F80::INDEFINITE);
            }
            return;
        }
        self.push_over(value);
    }

    /// FLD m32fp and m64fp.
    #[inline]
    pub fn fld<F: Ieee>(&mut self, bits: F) {
        self.status &= !status::C1;
        let mut env = self.env();
        let value = f80_convert::from_format(bits, &mut env);
        if !self.is_empty(7) {
            return self.push(value);
        }
        // Unlike arithmetic, a load completes with an unmasked denormal pending.
        let signaling = env.flags & !env.masks & Flags::IE;
        self.conclude(&env);
        if signaling.is_empty() {
            self.push_over(value);
        }
    }

    /// FLD m80fp.
    #[inline]
    pub fn fld_m80(&mut self, value: F80) {
        self.status &= !status::C1;
        self.push(value);
    }

    /// FLD ST(i).
    #[inline]
    pub fn fld_st(&mut self, i: u8) {
        self.status &= !status::C1;
        if self.is_empty(i) {
            // An empty source is looked at before a full destination.
            if self.stack_underflow() {
                self.push_over(F80::INDEFINITE);
            }
            return;
        }
        self.push(self.get(i));
    }

    /// FILD.
    #[inline]
    pub fn fild(&mut self, value: i64) {
        self.fld_m80(f80_convert::from_i64(value));
    }

    /// FBLD.
    pub fn fbld(&mut self, bits: u128) {
        self.fld_m80(bcd::load(bits));
    }

    /// FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ.
    pub fn fld_constant(&mut self, constant: Constant) {
        self.fld_m80(constant.rounded(self.env().rounding));
    }

    /// What the stores share: `convert` makes the bits; `indefinite` answers a masked stack underflow.
    #[inline(always)]
    fn store<T>(&mut self, pop: bool, indefinite: T, convert: impl FnOnce(F80, &mut Env) -> T) -> Option<T> {
        self.status &= !status::C1;
        if self.is_empty(0) {
            if !self.stack_underflow() {
                return None;
            }
            if pop {
                self.pop();
            }
            return Some(indefinite);
        }
        let mut env = self.env();
        let bits = convert(self.get(0), &mut env);
        let blocking = env.flags & !env.masks & !Flags::PE;
        self.conclude(&env);
        if !blocking.is_empty() {
            return None;
        }
        if pop {
            self.pop();
        }
        Some(bits)
    }

    /// FST and FSTP m32fp and m64fp.
    #[inline]
    pub fn fst<F: Ieee>(&mut self, pop: bool) -> Option<F> {
        if self.is_usual()
            && !self.is_empty(0)
            && let Some((bits, inexact, up)) = f80_convert::quick_to_format(self.get(0))
        {
            self.record(inexact, up);
            if pop {
                self.pop();
            }
            return Some(bits);
        }
        self.fst_slow(pop)
    }

    #[inline(never)]
    fn fst_slow<F: Ieee>(&mut self, pop: bool) -> Option<F> {
        self.store(pop, F::from_bits(F::INDEFINITE), f80_convert::to_format)
    }

    /// FSTP m80fp: the bits as they are.
    #[inline]
    pub fn fstp_m80(&mut self) -> Option<F80> {
        self.store(true, F80::INDEFINITE, |value, _| value)
    }

    /// FIST and FISTP to `bits` (16, 32 or 64) bits, sign-extended.
    #[inline]
    pub fn fist(&mut self, bits: u32, pop: bool) -> Option<i64> {
        let indefinite = i64::MIN >> (64 - bits);
        self.store(pop, indefinite, |value, env| f80_convert::to_integer(value, bits, env))
    }

    /// FISTTP: truncates, whatever the rounding control.
    #[inline]
    pub fn fisttp(&mut self, bits: u32) -> Option<i64> {
        let indefinite = i64::MIN >> (64 - bits);
        self.store(true, indefinite, |value, env| {
            env.rounding = Rounding::Zero;
            f80_convert::to_integer(value, bits, env)
        })
    }

    /// FBSTP: the low 80 bits.
    pub fn fbstp(&mut self) -> Option<u128> {
        self.store(true, bcd::INDEFINITE, bcd::store)
    }

    /// FST and FSTP ST(i).
    #[inline]
    pub fn fst_st(&mut self, i: u8, pop: bool) {
        self.status &= !status::C1;
        let value = if !self.is_empty(0) {
            self.get(0)
        } else if self.stack_underflow() {
            F80::INDEFINITE
        } else {
            return;
        };
        self.put(i, value);
        if pop {
            self.pop();
        }
    }

    /// FXCH.
    #[inline]
    pub fn fxch(&mut self, i: u8) {
        self.status &= !status::C1;
        if self.is_empty(0) || self.is_empty(i) {
            if !self.stack_underflow() {
                return;
            }
            for r in [0, i] {
                if self.is_empty(r) {
                    self.put(r, F80::INDEFINITE);
                }
            }
        }
        // By values rather than as bytes: a 16-byte load would wait for the two parts that were stored before.
        let (a, b) = (self.get(0), self.get(i));
        self.put(0, b);
        self.put(i, a);
    }

    /// FCMOVcc, whose condition is `holds`. C1 changes for a stack underflow only.
    #[inline]
    pub fn fcmov(&mut self, i: u8, holds: bool) {
        if self.is_empty(0) || self.is_empty(i) {
            if self.stack_underflow() {
                self.put(0, F80::INDEFINITE);
            }
            return;
        }
        if holds {
            self.put(0, self.get(i));
        }
    }

    /// FFREE, and FFREEP with `pop`.
    pub fn ffree(&mut self, i: u8, pop: bool) {
        // All conditions are undefined; C1 is cleared as elsewhere.
        self.status &= !status::C1;
        self.valid &= !(1 << self.physical(i));
        if pop {
            self.pop();
        }
    }

    /// FINCSTP.
    pub fn fincstp(&mut self) {
        self.status &= !status::C1;
        self.set_top(self.top().wrapping_add(1));
    }

    /// FDECSTP.
    pub fn fdecstp(&mut self) {
        self.status &= !status::C1;
        self.set_top(self.top().wrapping_sub(1));
    }

    /// FNOP, FCHS (flips the sign) and FABS (clears it) are no arithmetic: NaNs and unsupported encodings pass.
    #[inline]
    fn sign(&mut self, change: impl FnOnce(F80) -> F80) {
        self.status &= !status::C1;
        if self.is_empty(0) {
            if self.stack_underflow() {
                self.put(0, F80::INDEFINITE);
            }
            return;
        }
        self.put(0, change(self.get(0)));
    }

    /// FCHS.
    pub fn fchs(&mut self) {
        self.sign(F80::negated);
    }

    /// FABS.
    pub fn fabs(&mut self) {
        self.sign(F80::abs);
    }

    /// FXAM (SDM volume 2): the class of ST(0) in C3, C2, C0 and its sign in C1, also when it is empty.
    pub fn fxam(&mut self) {
        use f80::Class;
        use status::{C0, C1, C2, C3};
        let value = self.get(0);
        let class = match value.class() {
            _ if self.is_empty(0) => C3 | C0,
            Class::Unsupported => 0,
            Class::QuietNan | Class::SignalingNan => C0,
            Class::Normal => C2,
            Class::Infinity => C2 | C0,
            Class::Zero => C3,
            Class::Denormal => C3 | C2,
        };
        let sign = if value.sign() { C1 } else { 0 };
        self.status = self.status & !status::CONDITIONS | class | sign;
    }
}
