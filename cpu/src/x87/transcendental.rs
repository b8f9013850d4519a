//! FPREM, FSCALE, FXTRACT and the transcendental instructions (SDM volume 1, 8.3.5 to 8.3.7).

use super::{X87, status};
use crate::softfloat::transcendental::{self as functions, Trig};
use crate::softfloat::{Env, F80, remainder, scale};

type Unary = fn(F80, &mut Env) -> Trig;

impl X87 {
    /// FPREM, and with `nearest` FPREM1.
    pub fn fprem(&mut self, nearest: bool) {
        self.status &= !(status::C1 | status::C2);
        if self.is_empty(0) || self.is_empty(1) {
            return self.underflow_into(0, false);
        }
        let mut env = self.env();
        let done = remainder::remainder(self.get(0), self.get(1), nearest, &mut env);
        if !self.conclude(&env) {
            return;
        }
        if done.value.is_nan() {
            // There is no quotient: the conditions stay.
            return self.put(0, done.value);
        }
        self.status &= !status::CONDITIONS;
        let bit = |n: u8, condition: u16| if done.quotient >> n & 1 != 0 { condition } else { 0 };
        let partial = if done.partial { status::C2 } else { 0 };
        self.status |= bit(2, status::C0) | bit(1, status::C3) | bit(0, status::C1) | partial;
        self.put(0, done.value);
    }

    /// FSCALE.
    pub fn fscale(&mut self) {
        if self.is_empty(0) || self.is_empty(1) {
            return self.underflow_into(0, false);
        }
        let mut env = self.env();
        let value = scale::scale(self.get(0), self.get(1), &mut env);
        if self.conclude(&env) {
            self.put(0, value);
        }
    }

    /// FXTRACT.
    pub fn fxtract(&mut self) {
        if !self.ready_to_push() {
            return;
        }
        let mut env = self.env();
        let (exponent, significand) = scale::extract(self.get(0), &mut env);
        if self.conclude(&env) {
            self.put(0, exponent);
            self.push_over(significand);
        }
    }

    /// Whether ST(0) is there and a push would find room; if not, the stack fault is answered.
    fn ready_to_push(&mut self) -> bool {
        let (missing, full) = (self.is_empty(0), !self.is_empty(7));
        if !missing && !full {
            return true;
        }
        let masked = if missing { self.stack_underflow() } else { self.stack_overflow() };
        if masked {
            self.put(0, F80::INDEFINITE);
            self.push_over(F80::INDEFINITE);
        }
        false
    }

    /// F2XM1.
    pub fn f2xm1(&mut self) {
        if self.is_empty(0) {
            return self.underflow_into(0, false);
        }
        let mut env = self.env();
        let value = functions::f2xm1(self.get(0), &mut env);
        if self.conclude(&env) {
            self.put(0, value);
        }
    }

    /// An operation on ST(0) and ST(1) that replaces both by one result.
    fn two_to_one(&mut self, operation: fn(F80, F80, &mut Env) -> F80) {
        if self.is_empty(0) || self.is_empty(1) {
            return self.underflow_into(1, true);
        }
        let mut env = self.env();
        let value = operation(self.get(0), self.get(1), &mut env);
        if self.conclude(&env) {
            self.put(1, value);
            self.pop();
        }
    }

    /// FYL2X.
    pub fn fyl2x(&mut self) {
        self.two_to_one(functions::fyl2x);
    }

    /// FYL2XP1.
    pub fn fyl2xp1(&mut self) {
        self.two_to_one(functions::fyl2xp1);
    }

    /// FPATAN.
    pub fn fpatan(&mut self) {
        self.two_to_one(|x, y, env| functions::fpatan(y, x, env));
    }

    /// FSIN and FCOS.
    fn trig(&mut self, operation: Unary) {
        self.status &= !status::C2;
        if self.is_empty(0) {
            return self.underflow_into(0, false);
        }
        let mut env = self.env();
        match operation(self.get(0), &mut env) {
            Trig::OutOfRange => self.out_of_range(),
            Trig::Done(value) => {
                if self.conclude(&env) {
                    self.put(0, value);
                }
            }
        }
    }

    fn out_of_range(&mut self) {
        self.status = self.status & !status::C1 | status::C2;
    }

    pub fn fsin(&mut self) {
        self.trig(functions::fsin);
    }

    pub fn fcos(&mut self) {
        self.trig(functions::fcos);
    }

    /// FPTAN: the tangent, and a push of 1.0 (or of the NaN the tangent is).
    pub fn fptan(&mut self) {
        self.status &= !status::C2;
        if !self.ready_to_push() {
            return;
        }
        let mut env = self.env();
        match functions::fptan(self.get(0), &mut env) {
            Trig::OutOfRange => self.out_of_range(),
            Trig::Done(value) => {
                if self.conclude(&env) {
                    self.put(0, value);
                    self.push_over(if value.is_nan() { value } else { F80::ONE });
                }
            }
        }
    }

    /// FSINCOS: the sine, and a push of the cosine.
    pub fn fsincos(&mut self) {
        self.status &= !status::C2;
        if !self.ready_to_push() {
            return;
        }
        let (mut env, mut other) = (self.env(), self.env());
        let operand = self.get(0);
        let (sine, cosine) = (functions::fsin(operand, &mut env), functions::fcos(operand, &mut other));
        let (Trig::Done(sine), Trig::Done(cosine)) = (sine, cosine) else {
            return self.out_of_range();
        };
        env.flags |= other.flags;
        env.up = other.up;
        if self.conclude(&env) {
            self.put(0, sine);
            self.push_over(cosine);
        }
    }
}
