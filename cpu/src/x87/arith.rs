//! Basic arithmetic and comparison (SDM volume 1, 8.3.5 and 8.3.6).

use super::{CONTROL_INIT, X87, status};
use crate::softfloat::f80_arith::Quick;
use crate::softfloat::sse::Format as Ieee;
use crate::softfloat::{Env, F80, Flags, Relation, f80_arith, f80_convert};

/// The operations that have all of the register, popping and memory forms. `SubR` and `DivR` swap the operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arith {
    Add,
    Mul,
    Sub,
    SubR,
    Div,
    DivR,
}

impl Arith {
    #[inline]
    fn apply(self, a: F80, b: F80, env: &mut Env) -> F80 {
        match self {
            Arith::Add => f80_arith::add(a, b, env),
            Arith::Mul => f80_arith::mul(a, b, env),
            Arith::Sub => f80_arith::sub(a, b, env),
            Arith::SubR => f80_arith::sub(b, a, env),
            Arith::Div => f80_arith::div(a, b, env),
            Arith::DivR => f80_arith::div(b, a, env),
        }
    }
}

impl Arith {
    /// The usual case, on normal numbers.
    #[inline(always)]
    fn quick(self, a: F80, b: F80) -> Option<Quick> {
        match self {
            Arith::Add => f80_arith::quick_add(a, b),
            Arith::Mul => f80_arith::quick_mul(a, b),
            Arith::Sub => f80_arith::quick_add(a, b.negated()),
            Arith::SubR => f80_arith::quick_add(b, a.negated()),
            Arith::Div => f80_arith::quick_div(a, b),
            Arith::DivR => f80_arith::quick_div(b, a),
        }
    }
}

/// A memory operand as a register holds it, and whether it was a denormal in its own format.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    value: F80,
    denormal: bool,
}

impl Operand {
    /// An m32fp or m64fp operand.
    #[inline]
    pub fn real<F: Ieee>(bits: F) -> Operand {
        let mut env = Env::new(CONTROL_INIT);
        let value = f80_convert::operand(bits, &mut env);
        Operand { value, denormal: env.flags.contains(Flags::DE) }
    }

    /// An m16int or m32int operand.
    #[inline]
    pub fn integer(value: i64) -> Operand {
        Operand { value: f80_convert::from_i64(value), denormal: false }
    }

    /// Notes the denormal, unless an exception of higher priority or a NaN in ST(0) came first.
    #[inline(always)]
    fn note(self, st0: F80, env: &mut Env) {
        if self.denormal {
            let earlier = env.flags & (Flags::IE | Flags::ZE);
            env.flags |= Flags::DE.when(earlier.is_empty() && !st0.is_nan());
        }
    }
}

impl X87 {
    /// The usual case of an operation of physical register `to` with a value: tells whether it was one.
    #[inline(always)]
    fn quick(&mut self, op: Arith, to: usize, b: F80) -> bool {
        let a = self.st[to];
        if !(self.is_usual() & a.is_normal() & b.is_normal()) {
            return false;
        }
        let Some(result) = op.quick(a, b) else { return false };
        self.st[to] = result.value;
        self.record(result.inexact, result.up);
        true
    }

    /// `ST(dst) = ST(dst) op ST(src)`, then perhaps a pop.
    #[inline(always)]
    pub fn arith(&mut self, op: Arith, dst: u8, src: u8, pop: bool) {
        let (to, from) = (self.physical(dst), self.physical(src));
        let valid = |r: usize| self.valid >> r & 1 != 0;
        if valid(to) && valid(from) && self.quick(op, to, self.st[from]) {
            if pop {
                self.pop();
            }
            return;
        }
        self.arith_slow(op, dst, src, pop);
    }

    #[inline(never)]
    fn arith_slow(&mut self, op: Arith, dst: u8, src: u8, pop: bool) {
        if self.is_empty(dst) || self.is_empty(src) {
            return self.underflow_into(dst, pop);
        }
        let mut env = self.env();
        let value = op.apply(self.get(dst), self.get(src), &mut env);
        if self.conclude(&env) {
            self.put(dst, value);
            if pop {
                self.pop();
            }
        }
    }

    /// The answer to a stack underflow of an operation with a register destination.
    #[cold]
    pub(super) fn underflow_into(&mut self, dst: u8, pop: bool) {
        if self.stack_underflow() {
            self.put(dst, F80::INDEFINITE);
            if pop {
                self.pop();
            }
        }
    }

    /// `ST(0) = ST(0) op operand`.
    #[inline(always)]
    pub fn arith_memory(&mut self, op: Arith, operand: Operand) {
        let top = self.physical(0);
        if self.valid >> top & 1 != 0 && !operand.denormal && self.quick(op, top, operand.value) {
            return;
        }
        self.arith_memory_slow(op, operand);
    }

    #[inline(never)]
    fn arith_memory_slow(&mut self, op: Arith, operand: Operand) {
        if self.is_empty(0) {
            return self.underflow_into(0, false);
        }
        let mut env = self.env();
        let st0 = self.get(0);
        let value = op.apply(st0, operand.value, &mut env);
        operand.note(st0, &mut env);
        if self.conclude(&env) {
            self.put(0, value);
        }
    }

    /// FADD, FMUL, FSUB, FSUBR, FDIV, FDIVR m32fp and m64fp.
    #[inline]
    pub fn arith_real<F: Ieee>(&mut self, op: Arith, bits: F) {
        self.arith_memory(op, Operand::real(bits));
    }

    /// FIADD and its kin.
    #[inline]
    pub fn arith_integer(&mut self, op: Arith, value: i64) {
        self.arith_memory(op, Operand::integer(value));
    }

    /// FSQRT and FRNDINT.
    #[inline]
    fn unary(&mut self, operation: impl FnOnce(F80, &mut Env) -> F80) {
        if self.is_empty(0) {
            return self.underflow_into(0, false);
        }
        let mut env = self.env();
        let value = operation(self.get(0), &mut env);
        if self.conclude(&env) {
            self.put(0, value);
        }
    }

    pub fn fsqrt(&mut self) {
        self.unary(f80_arith::sqrt);
    }

    pub fn frndint(&mut self) {
        self.unary(f80_arith::round_to_integral);
    }

    /// Sets C3, C2 and C0.
    #[inline]
    fn set_relation(&mut self, relation: Relation) {
        use status::{C0, C2, C3};
        let conditions = match relation {
            Relation::Less => C0,
            Relation::Equal => C3,
            Relation::Greater => 0,
            Relation::Unordered => C3 | C2 | C0,
        };
        self.status = self.status & !(C3 | C2 | C0) | conditions;
    }

    /// Compares ST(0), or answers an underflow; `None` when an unmasked exception stopped it.
    #[inline]
    fn relate(&mut self, other: Option<Operand>, quiet: bool) -> Option<Relation> {
        self.status &= !status::C1;
        let Some(other) = other else {
            return self.stack_underflow().then_some(Relation::Unordered);
        };
        if self.is_empty(0) {
            return self.stack_underflow().then_some(Relation::Unordered);
        }
        let mut env = self.env();
        let st0 = self.get(0);
        let relation = f80_arith::compare(st0, other.value, quiet, &mut env);
        other.note(st0, &mut env);
        self.conclude(&env).then_some(relation)
    }

    fn register(&self, i: u8) -> Option<Operand> {
        (!self.is_empty(i)).then(|| Operand { value: self.get(i), denormal: false })
    }

    #[inline]
    fn compare(&mut self, other: Option<Operand>, quiet: bool, pops: u8) {
        if let Some(relation) = self.relate(other, quiet) {
            self.set_relation(relation);
            for _ in 0..pops {
                self.pop();
            }
        }
    }

    /// FCOM, FCOMP, FCOMPP, and with `quiet` FUCOM and its kin.
    #[inline]
    pub fn fcom(&mut self, i: u8, quiet: bool, pops: u8) {
        self.compare(self.register(i), quiet, pops);
    }

    /// FCOM and FCOMP m32fp and m64fp.
    #[inline]
    pub fn fcom_real<F: Ieee>(&mut self, bits: F, pops: u8) {
        self.compare(Some(Operand::real(bits)), false, pops);
    }

    /// FICOM and FICOMP.
    #[inline]
    pub fn ficom(&mut self, value: i64, pops: u8) {
        self.compare(Some(Operand::integer(value)), false, pops);
    }

    /// FTST.
    pub fn ftst(&mut self) {
        self.compare(Some(Operand::integer(0)), false, 0);
    }

    /// FCOMI, FCOMIP, FUCOMI and FUCOMIP: the relation for ZF, PF and CF, unless an unmasked exception leaves
    /// them alone.
    #[inline]
    pub fn fcomi(&mut self, i: u8, quiet: bool, pop: bool) -> Option<Relation> {
        let relation = self.relate(self.register(i), quiet)?;
        if pop {
            self.pop();
        }
        Some(relation)
    }
}
