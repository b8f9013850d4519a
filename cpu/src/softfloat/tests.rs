//! Properties that hold on any host, and tables of special values.

use super::f80::{Env, F80};
use super::round::Exact;
use super::{Flags, Mxcsr, f80_arith, f80_convert, kernel, sse};
use proptest::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// Any bit pattern, with the interesting exponents more often.
fn any_f64() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (any::<bool>(), 0u64..3, any::<u64>()).prop_map(assemble),
        (any::<bool>(), 0x7FCu64..0x800, any::<u64>()).prop_map(assemble),
        (any::<bool>(), 0x3F0u64..0x410, any::<u64>()).prop_map(assemble),
        (any::<bool>(), 0x3F0u64..0x440, Just(0u64)).prop_map(assemble),
    ]
}

fn assemble((sign, exponent, fraction): (bool, u64, u64)) -> u64 {
    u64::from(sign) << 63 | exponent << 52 | fraction >> 12
}

/// The host's answer, or what x86 makes of a NaN.
fn expected(a: u64, b: u64, native: f64) -> u64 {
    let nan = |x: u64| f64::from_bits(x).is_nan();
    const QUIET: u64 = 1 << 51;
    match (nan(a), nan(b)) {
        (true, _) => a | QUIET,
        (_, true) => b | QUIET,
        _ if native.is_nan() => 0xFFF8_0000_0000_0000,
        _ => native.to_bits(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn binary64_matches_native(a in any_f64(), b in any_f64()) {
        let (x, y) = (f64::from_bits(a), f64::from_bits(b));
        let m = Mxcsr::RESET;
        let mut f = Flags::NONE;
        prop_assert_eq!(sse::add_slow(a, b, m, &mut f), expected(a, b, x + y));
        prop_assert_eq!(sse::sub_slow(a, b, m, &mut f), expected(a, b, x - y));
        prop_assert_eq!(sse::mul_slow(a, b, m, &mut f), expected(a, b, x * y));
        prop_assert_eq!(sse::div_slow(a, b, m, &mut f), expected(a, b, x / y));
        prop_assert_eq!(sse::sqrt_slow(a, m, &mut f), expected(a, a, x.sqrt()));
    }

    #[test]
    fn fast_and_slow_paths_agree(a in any_f64(), b in any_f64(), sticky in any::<bool>()) {
        let m = Mxcsr(Mxcsr::RESET.0 | if sticky { 0x20 } else { 0 });
        type Op = fn(u64, u64, Mxcsr, &mut Flags) -> u64;
        let pairs: [(Op, Op); 4] = [
            (sse::add, sse::add_slow), (sse::sub, sse::sub_slow),
            (sse::mul, sse::mul_slow), (sse::div, sse::div_slow),
        ];
        for (fast, slow) in pairs {
            let (mut f, mut s) = (Flags::NONE, Flags::NONE);
            prop_assert_eq!(fast(a, b, m, &mut f), slow(a, b, m, &mut s));
            let known = if sticky { Flags::PE } else { Flags::NONE };
            prop_assert_eq!(f | known, s | known);
        }
    }

    #[test]
    fn f80_at_53_bits_matches_f64(a in any_f64(), b in any_f64()) {
        let (x, y) = (f64::from_bits(a), f64::from_bits(b));
        let env = || Env::new(0x027F);
        let wide = |v: u64| f80_convert::from_format(v, &mut env());
        let check = |ours: F80, native: f64| {
            // Denormal and overflowing results are rounded twice.
            if native.is_normal() && native.abs() < f64::MAX && native.abs() > f64::MIN_POSITIVE {
                assert_eq!(f80_convert::to_format::<u64>(ours, &mut env()), native.to_bits());
            }
        };
        check(f80_arith::add(wide(a), wide(b), &mut env()), x + y);
        check(f80_arith::sub(wide(a), wide(b), &mut env()), x - y);
        check(f80_arith::mul(wide(a), wide(b), &mut env()), x * y);
        check(f80_arith::div(wide(a), wide(b), &mut env()), x / y);
        check(f80_arith::sqrt(wide(a), &mut env()), x.sqrt());
    }

    #[test]
    fn division_is_the_inverse_of_multiplication(
        high in any::<u64>(), low in any::<u64>(), divisor in any::<u64>(),
    ) {
        let divisor = divisor | 1 << 63;
        let high = high % divisor;
        let n = u128::from(high) << 64 | u128::from(low);
        let d = u128::from(divisor);
        let (q, r) = kernel::divide_128_by_64(high, low, divisor);
        prop_assert_eq!((u128::from(q), u128::from(r)), (n / d, n % d));
    }

    #[test]
    fn square_root_brackets_its_radicand(sig in any::<u64>(), odd in any::<bool>()) {
        let sig = sig | 1 << 63;
        let x = super::round::Parts { sign: false, exp: odd.into(), sig };
        let Exact { sig: root, rest, .. } = kernel::sqrt(x);
        let n = u128::from(sig) << if odd { 64 } else { 63 };
        let square = u128::from(root) * u128::from(root);
        prop_assert!(square <= n && n - square <= 2 * u128::from(root));
        prop_assert_eq!(rest == 0, square == n);
        // Above root + 1/2 exactly when n > root^2 + root.
        prop_assert_eq!(rest >> 63 != 0, n - square > u128::from(root));
    }

    #[test]
    fn bcd_round_trips(value in -999_999_999_999_999_999i64..=999_999_999_999_999_999) {
        let mut env = Env::new(0x037F);
        let bits = super::bcd::store(f80_convert::from_i64(value), &mut env);
        prop_assert_eq!(super::bcd::load(bits), f80_convert::from_i64(value));
        prop_assert!(env.flags.is_empty());
    }
}

#[test]
fn invalid_encodings_are_invalid_operands() {
    let unnormal = F80 { sign_exp: 0x4000, mantissa: 1 << 62 };
    let pseudo_infinity = F80 { sign_exp: 0x7FFF, mantissa: 0 };
    let pseudo_nan = F80 { sign_exp: 0x7FFF, mantissa: 1 << 62 };
    for x in [unnormal, pseudo_infinity, pseudo_nan] {
        let mut env = Env::new(0x037F);
        assert_eq!(f80_arith::add(x, F80::ONE, &mut env), F80::INDEFINITE);
        assert_eq!(env.flags, Flags::IE);
    }
    let pseudo_denormal = F80 { sign_exp: 0, mantissa: 1 << 63 };
    let mut env = Env::new(0x037F);
    let sum = f80_arith::add(pseudo_denormal, F80::ZERO, &mut env);
    assert_eq!(sum, F80 { sign_exp: 1, mantissa: 1 << 63 });
    assert_eq!(env.flags, Flags::DE);
}

#[test]
fn unmasked_underflow_wraps_the_exponent() {
    let tiny = F80 { sign_exp: 1, mantissa: 1 << 63 };
    let mut env = Env::new(0x036F);
    let product = f80_arith::mul(tiny, tiny, &mut env);
    assert_eq!(env.flags, Flags::UE);
    assert_eq!(i32::from(product.sign_exp), 2 - 0x3FFF + 24576);
}

fn time(name: &str, mut step: impl FnMut()) {
    let start = Instant::now();
    let rounds = 5_000_000;
    for _ in 0..rounds {
        step();
    }
    let ns = start.elapsed().as_nanos() as f64 / f64::from(rounds);
    println!("{name}: {ns:.2} ns");
}

/// `cargo test --release -p amber-cpu -- --ignored --nocapture timings`.
#[test]
#[ignore = "a measurement"]
fn timings() {
    let (a, b) = (1.234_567_f64.to_bits(), 3.987_654_f64.to_bits());
    for m in [Mxcsr(0x1FA0), Mxcsr(0x1F80)] {
        let mut f = Flags::NONE;
        println!("MXCSR {:x}", m.0);
        time("f64 add", || {
            black_box(sse::add(black_box(a), black_box(b), m, &mut f));
        });
        time("f64 mul", || {
            black_box(sse::mul(black_box(a), black_box(b), m, &mut f));
        });
        time("f64 div", || {
            black_box(sse::div(black_box(a), black_box(b), m, &mut f));
        });
        time("f64 sqrt", || {
            black_box(sse::sqrt(black_box(a), m, &mut f));
        });
        time("f64 add slow", || {
            black_box(sse::add_slow(black_box(a), black_box(b), m, &mut f));
        });
        time("f64 mul slow", || {
            black_box(sse::mul_slow(black_box(a), black_box(b), m, &mut f));
        });
    }
    let mut env = Env::new(0x037F);
    let x = f80_arith::div(F80::ONE, f80_convert::from_i64(3), &mut env);
    let y = f80_arith::div(F80::ONE, f80_convert::from_i64(7), &mut env);
    time("f80 add", || {
        black_box(f80_arith::add(black_box(x), black_box(y), &mut env));
    });
    time("f80 sub", || {
        black_box(f80_arith::sub(black_box(x), black_box(y), &mut env));
    });
    time("f80 mul", || {
        black_box(f80_arith::mul(black_box(x), black_box(y), &mut env));
    });
    time("f80 div", || {
        black_box(f80_arith::div(black_box(x), black_box(y), &mut env));
    });
    time("f80 sqrt", || {
        black_box(f80_arith::sqrt(black_box(x), &mut env));
    });
    time("fsin", || {
        black_box(super::transcendental::fsin(black_box(x), &mut env));
    });
}

/// The usual case of the x87's arithmetic and stores gives what the general one gives.
#[test]
#[cfg(target_arch = "x86_64")]
fn quick_x87_results_are_the_general_ones() {
    use super::f80_arith::Quick;
    let mut r = super::oracle::Random(11);
    let mut counts = [0; 6];
    for _ in 0..400_000 {
        // Near each other half of the time, so that differences cancel.
        let (a, mut b) = (r.f80(), r.f80());
        if r.below(2) == 0 {
            b = F80 {
                sign_exp: a.sign_exp ^ (r.next() as u16 & 0x8003),
                mantissa: a.mantissa ^ r.next() >> r.below(64),
            };
        }
        if !a.is_normal() || !b.is_normal() {
            continue;
        }
        let mut check = |n: usize, quick: Option<Quick>, general: fn(F80, F80, &mut Env) -> F80| {
            let Some(quick) = quick else { return };
            counts[n] += 1;
            let mut env = Env::new(0x037F);
            let value = general(a, b, &mut env);
            let expected = Quick { value, inexact: env.flags.contains(Flags::PE), up: env.up };
            assert_eq!(quick, expected, "{n} {a:x?} {b:x?}");
            assert!((env.flags & !Flags::PE).is_empty(), "{n} {a:x?} {b:x?}");
        };
        check(0, f80_arith::quick_add(a, b), f80_arith::add);
        check(1, f80_arith::quick_add(a, b.negated()), f80_arith::sub);
        check(2, f80_arith::quick_mul(a, b), f80_arith::mul);
        check(3, f80_arith::quick_div(a, b), f80_arith::div);
        let mut env = Env::new(0x037F);
        if let Some((bits, inexact, up)) = f80_convert::quick_to_format::<u64>(a) {
            counts[4] += 1;
            assert_eq!(bits, f80_convert::to_format::<u64>(a, &mut env), "{a:x?}");
            assert_eq!((Flags::PE.when(inexact), up), (env.flags, env.up), "{a:x?}");
        }
        let mut env = Env::new(0x037F);
        if let Some((bits, inexact, up)) = f80_convert::quick_to_format::<u32>(a) {
            counts[5] += 1;
            assert_eq!(bits, f80_convert::to_format::<u32>(a, &mut env), "{a:x?}");
            assert_eq!((Flags::PE.when(inexact), up), (env.flags, env.up), "{a:x?}");
        }
    }
    assert!(counts.iter().all(|&n| n > 10_000), "{counts:?}");
}
