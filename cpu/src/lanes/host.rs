//! The lane functions by the host's own instructions, for builds whose hosts have SSE4.2; the portable definitions
//! serve elsewhere, and for what is not here (what is defined here takes precedence over what is re-exported).
//!
//! Only integers, moves, and the sums, products and quotients that [`super::float`] has proved to round as under
//! MXCSR: Rust code runs under the default MXCSR, with all exceptions masked and their flags ignored.

// The intrinsics of an instruction set are unsafe to call where it may be missing. Here it is not: this module is
// compiled only for targets with every instruction up to SSE4.2.
#![allow(unsafe_code)]

use super::float::is_native;
pub use super::{integer::*, shift::*, shuffle::*};
use crate::softfloat::sse::Format;
use amber_mmu::Word;
use core::arch::x86_64::*;

#[inline(always)]
fn to(x: u128) -> __m128i {
    // SAFETY: both are 16 bytes, and every pattern of bits is a value of both.
    unsafe { core::mem::transmute(x) }
}

#[inline(always)]
fn from(x: __m128i) -> u128 {
    // SAFETY: as in `to`.
    unsafe { core::mem::transmute(x) }
}

macro_rules! of_two {
    ($($name:ident $intrinsic:ident;)+) => {
        $(#[inline(always)]
        pub fn $name(a: u128, b: u128) -> u128 {
            // SAFETY: SSE4.2 is part of the build's target.
            from(unsafe { $intrinsic(to(a), to(b)) })
        })+
        /// Each with its portable definition.
        #[cfg(test)]
        const OF_TWO: &[tests::Pair] = &[
            $((stringify!($name), $name, tests::portable::$name),)+
        ];
    };
}

of_two! {
    paddb _mm_add_epi8; paddw _mm_add_epi16; paddd _mm_add_epi32; paddq _mm_add_epi64;
    psubb _mm_sub_epi8; psubw _mm_sub_epi16; psubd _mm_sub_epi32; psubq _mm_sub_epi64;
    paddsb _mm_adds_epi8; paddsw _mm_adds_epi16; paddusb _mm_adds_epu8; paddusw _mm_adds_epu16;
    psubsb _mm_subs_epi8; psubsw _mm_subs_epi16; psubusb _mm_subs_epu8; psubusw _mm_subs_epu16;
    pminsb _mm_min_epi8; pminsw _mm_min_epi16; pminsd _mm_min_epi32;
    pminub _mm_min_epu8; pminuw _mm_min_epu16; pminud _mm_min_epu32;
    pmaxsb _mm_max_epi8; pmaxsw _mm_max_epi16; pmaxsd _mm_max_epi32;
    pmaxub _mm_max_epu8; pmaxuw _mm_max_epu16; pmaxud _mm_max_epu32;
    pcmpeqb _mm_cmpeq_epi8; pcmpeqw _mm_cmpeq_epi16; pcmpeqd _mm_cmpeq_epi32; pcmpeqq _mm_cmpeq_epi64;
    pcmpgtb _mm_cmpgt_epi8; pcmpgtw _mm_cmpgt_epi16; pcmpgtd _mm_cmpgt_epi32; pcmpgtq _mm_cmpgt_epi64;
    pand _mm_and_si128; pandn _mm_andnot_si128; por _mm_or_si128; pxor _mm_xor_si128;
    psignb _mm_sign_epi8; psignw _mm_sign_epi16; psignd _mm_sign_epi32;
    pavgb _mm_avg_epu8; pavgw _mm_avg_epu16; psadbw _mm_sad_epu8;
    pmullw _mm_mullo_epi16; pmulld _mm_mullo_epi32; pmulhw _mm_mulhi_epi16; pmulhuw _mm_mulhi_epu16;
    pmulhrsw _mm_mulhrs_epi16; pmuludq _mm_mul_epu32; pmuldq _mm_mul_epi32;
    pmaddwd _mm_madd_epi16; pmaddubsw _mm_maddubs_epi16;
    phaddw _mm_hadd_epi16; phaddd _mm_hadd_epi32; phaddsw _mm_hadds_epi16;
    phsubw _mm_hsub_epi16; phsubd _mm_hsub_epi32; phsubsw _mm_hsubs_epi16;
    psllw _mm_sll_epi16; pslld _mm_sll_epi32; psllq _mm_sll_epi64;
    psrlw _mm_srl_epi16; psrld _mm_srl_epi32; psrlq _mm_srl_epi64;
    psraw _mm_sra_epi16; psrad _mm_sra_epi32;
    packsswb _mm_packs_epi16; packuswb _mm_packus_epi16; packssdw _mm_packs_epi32; packusdw _mm_packus_epi32;
    punpcklbw _mm_unpacklo_epi8; punpcklwd _mm_unpacklo_epi16; punpckldq _mm_unpacklo_epi32;
    punpcklqdq _mm_unpacklo_epi64;
    punpckhbw _mm_unpackhi_epi8; punpckhwd _mm_unpackhi_epi16; punpckhdq _mm_unpackhi_epi32;
    punpckhqdq _mm_unpackhi_epi64;
    pshufb _mm_shuffle_epi8;
}

macro_rules! of_second {
    ($($name:ident $intrinsic:ident;)+) => {
        $(#[inline(always)]
        pub fn $name(_: u128, b: u128) -> u128 {
            // SAFETY: SSE4.2 is part of the build's target.
            from(unsafe { $intrinsic(to(b)) })
        })+
        /// Each with its portable definition.
        #[cfg(test)]
        const OF_SECOND: &[tests::Pair] = &[
            $((stringify!($name), $name, tests::portable::$name),)+
        ];
    };
}

of_second! {
    pabsb _mm_abs_epi8; pabsw _mm_abs_epi16; pabsd _mm_abs_epi32; phminposuw _mm_minpos_epu16;
    pmovsxbw _mm_cvtepi8_epi16; pmovsxbd _mm_cvtepi8_epi32; pmovsxbq _mm_cvtepi8_epi64;
    pmovsxwd _mm_cvtepi16_epi32; pmovsxwq _mm_cvtepi16_epi64; pmovsxdq _mm_cvtepi32_epi64;
    pmovzxbw _mm_cvtepu8_epi16; pmovzxbd _mm_cvtepu8_epi32; pmovzxbq _mm_cvtepu8_epi64;
    pmovzxwd _mm_cvtepu16_epi32; pmovzxwq _mm_cvtepu16_epi64; pmovzxdq _mm_cvtepu32_epi64;
}

#[inline(always)]
pub fn pblendvb(a: u128, b: u128, mask: u128) -> u128 {
    // SAFETY: SSE4.2 is part of the build's target.
    from(unsafe { _mm_blendv_epi8(to(a), to(b), to(mask)) })
}

#[inline(always)]
pub fn pmovmskb(b: u128) -> u32 {
    // SAFETY: SSE4.2 is part of the build's target.
    unsafe { _mm_movemask_epi8(to(b)) as u32 }
}

/// The bytes of each doubleword that an immediate of four two-bit fields chooses.
const DWORDS: [u128; 256] = {
    let mut controls = [0; 256];
    let mut imm = 0;
    while imm < 256 {
        let mut i = 0;
        while i < 4 {
            let dword = (imm >> (2 * i) & 3) as u128;
            controls[imm] |= (dword * 0x0404_0404 + 0x0302_0100) << (32 * i);
            i += 1;
        }
        imm += 1;
    }
    controls
};

/// The bytes of each word of four that an immediate chooses.
const WORDS: [u64; 256] = {
    let mut controls = [0; 256];
    let mut imm = 0;
    while imm < 256 {
        let mut i = 0;
        while i < 4 {
            let word = (imm >> (2 * i) & 3) as u64;
            controls[imm] |= (word * 0x0202 + 0x0100) << (16 * i);
            i += 1;
        }
        imm += 1;
    }
    controls
};

#[inline(always)]
pub fn pshufd(_: u128, b: u128, imm: u8) -> u128 {
    pshufb(b, DWORDS[usize::from(imm)])
}

#[inline(always)]
pub fn pshuflw(_: u128, b: u128, imm: u8) -> u128 {
    pshufb(b, with_low_64(0x0F0E_0D0C_0B0A_0908 << 64, WORDS[usize::from(imm)]))
}

#[inline(always)]
pub fn pshufhw(_: u128, b: u128, imm: u8) -> u128 {
    let high = WORDS[usize::from(imm)] + 0x0808_0808_0808_0808;
    pshufb(b, punpcklqdq(0x0706_0504_0302_0100, high.into()))
}

#[inline(always)]
pub fn shufps(a: u128, b: u128, imm: u8) -> u128 {
    let control = DWORDS[usize::from(imm)];
    let (low, high) = (pshufb(a, control), pshufb(b, control));
    // SAFETY: SSE4.2 is part of the build's target.
    from(unsafe { _mm_blend_epi16::<0xF0>(to(low), to(high)) })
}

#[inline(always)]
pub fn palignr(a: u128, b: u128, imm: u8) -> u128 {
    // The bytes that the control numbers, and zeros for those whose bit 7 is set: of `b` the numbers below 16,
    // of `a` those from 16 to 31.
    let numbers = paddb(0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100, u128::from(imm.min(32)) * BYTES);
    let low = pshufb(b, paddusb(numbers, 0x70 * BYTES));
    let high = pshufb(a, paddusb(psubb(numbers, 0x10 * BYTES), 0x70 * BYTES));
    por(low, high)
}

const BYTES: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;

/// Replaces the low 64 bits.
#[inline(always)]
pub fn with_low_64(a: u128, low: u64) -> u128 {
    // SAFETY: SSE4.2 is part of the build's target.
    from(unsafe { _mm_blend_epi16::<0x0F>(to(a), _mm_cvtsi64_si128(low as i64)) })
}

/// Replaces the low 32 bits.
#[inline(always)]
pub fn with_low_32(a: u128, low: u32) -> u128 {
    // SAFETY: SSE4.2 is part of the build's target.
    from(unsafe { _mm_blend_epi16::<0x03>(to(a), _mm_cvtsi32_si128(low as i32)) })
}

/// 16 bytes of memory that go through a vector register. A `u128` would go through two general registers, and what
/// is stored from those by halves cannot be forwarded to a load of the whole.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Vector(__m128i);

impl Default for Vector {
    fn default() -> Vector {
        Vector(to(0))
    }
}

impl From<Vector> for u128 {
    #[inline(always)]
    fn from(value: Vector) -> u128 {
        from(value.0)
    }
}

impl From<u128> for Vector {
    #[inline(always)]
    fn from(value: u128) -> Vector {
        Vector(to(value))
    }
}

// SAFETY: a vector register is 16 bytes, and every pattern of them a value.
unsafe impl Word for Vector {
    const SIZE: usize = 16;
    fn from_le(bytes: &[u8]) -> Vector {
        <u128 as Word>::from_le(bytes).into()
    }
    fn to_le(self) -> [u8; 16] {
        from(self.0).to_le_bytes()
    }
    fn to_u64(self) -> u64 {
        from(self.0) as u64
    }
    fn from_u64(value: u64) -> Vector {
        u128::from(value).into()
    }
}

/// A scalar operation as [`native_scalar`](super::float::native_scalar) does it, on whole registers.
macro_rules! scalar {
    ($($name:ident $element:ty, $intrinsic:ident $cast:ident $back:ident;)+) => {
        $(#[inline(always)]
        pub fn $name(a: u128, b: u128) -> Option<u128> {
            // SAFETY: SSE4.2 is part of the build's target.
            let result = from(unsafe { $back($intrinsic($cast(to(a)), $cast(to(b)))) });
            is_native(a as $element, b as $element, result as $element).then_some(result)
        })+
    };
}

scalar! {
    native_addss u32, _mm_add_ss _mm_castsi128_ps _mm_castps_si128;
    native_subss u32, _mm_sub_ss _mm_castsi128_ps _mm_castps_si128;
    native_mulss u32, _mm_mul_ss _mm_castsi128_ps _mm_castps_si128;
    native_divss u32, _mm_div_ss _mm_castsi128_ps _mm_castps_si128;
    native_addsd u64, _mm_add_sd _mm_castsi128_pd _mm_castpd_si128;
    native_subsd u64, _mm_sub_sd _mm_castsi128_pd _mm_castpd_si128;
    native_mulsd u64, _mm_mul_sd _mm_castsi128_pd _mm_castpd_si128;
    native_divsd u64, _mm_div_sd _mm_castsi128_pd _mm_castpd_si128;
}

/// SQRTSD of a plain number that is not negative.
#[inline(always)]
pub fn native_sqrtsd(a: u128, b: u128) -> Option<u128> {
    // SAFETY: SSE4.2 is part of the build's target.
    let result =
        from(unsafe { _mm_castpd_si128(_mm_sqrt_sd(_mm_castsi128_pd(to(a)), _mm_castsi128_pd(to(b)))) });
    ((b as u64).is_plain() & (b as i64 >= 0)).then_some(result)
}

/// SQRTSS of a plain number that is not negative.
#[inline(always)]
pub fn native_sqrtss(a: u128, b: u128) -> Option<u128> {
    // SAFETY: SSE4.2 is part of the build's target.
    let root = from(unsafe { _mm_castps_si128(_mm_sqrt_ss(_mm_castsi128_ps(to(b)))) }) as u32;
    ((b as u32).is_plain() & (b as i32 >= 0)).then_some(with_low_32(a, root))
}

/// Which elements are normal or zero: adding one to the exponent takes that of NaNs and infinities to zero.
#[inline(always)]
fn plain_ps(x: u128) -> u128 {
    por(pcmpgtd(exponent_ps(x), ONE_PS), zero_ps(x))
}

#[inline(always)]
fn exponent_ps(x: u128) -> u128 {
    pand(paddd(x, ONE_PS), 0xFF * ONE_PS)
}

#[inline(always)]
fn zero_ps(x: u128) -> u128 {
    pcmpeqd(paddd(x, x), 0)
}

#[inline(always)]
fn plain_pd(x: u128) -> u128 {
    por(pcmpgtq(exponent_pd(x), ONE_PD), zero_pd(x))
}

#[inline(always)]
fn exponent_pd(x: u128) -> u128 {
    pand(paddq(x, ONE_PD), 0x7FF * ONE_PD)
}

#[inline(always)]
fn zero_pd(x: u128) -> u128 {
    pcmpeqq(paddq(x, x), 0)
}

/// One in the place of each exponent.
const ONE_PS: u128 = 0x0080_0000_0080_0000_0080_0000_0080_0000;
const ONE_PD: u128 = 0x0010_0000_0000_0000_0010_0000_0000_0000;

/// A packed operation, if all operands are normal or zero and each result is normal, but not in the binade of
/// the smallest normal number, or a zero that `$zero` says is exact.
macro_rules! packed {
    ($($name:ident $intrinsic:ident $plain:ident $exponent:ident $greater:ident $one:ident $cast:ident $back:ident
       |$a:ident, $b:ident, $result:ident| $zero:expr;)+) => {
        $(#[inline(always)]
        pub fn $name($a: u128, $b: u128) -> Option<u128> {
            // SAFETY: SSE4.2 is part of the build's target.
            let $result = from(unsafe { $back($intrinsic($cast(to($a)), $cast(to($b)))) });
            let safe = por($greater($exponent($result), 2 * $one), $zero);
            let sound = pand(pand($plain($a), $plain($b)), safe);
            (pmovmskb(sound) == 0xFFFF).then_some($result)
        })+
    };
}

packed! {
    native_addps _mm_add_ps plain_ps exponent_ps pcmpgtd ONE_PS _mm_castsi128_ps _mm_castps_si128
        |a, b, r| zero_ps(r);
    native_subps _mm_sub_ps plain_ps exponent_ps pcmpgtd ONE_PS _mm_castsi128_ps _mm_castps_si128
        |a, b, r| zero_ps(r);
    native_mulps _mm_mul_ps plain_ps exponent_ps pcmpgtd ONE_PS _mm_castsi128_ps _mm_castps_si128
        |a, b, r| por(zero_ps(a), zero_ps(b));
    native_divps _mm_div_ps plain_ps exponent_ps pcmpgtd ONE_PS _mm_castsi128_ps _mm_castps_si128
        |a, b, r| pandn(zero_ps(b), zero_ps(a));
    native_addpd _mm_add_pd plain_pd exponent_pd pcmpgtq ONE_PD _mm_castsi128_pd _mm_castpd_si128
        |a, b, r| zero_pd(r);
    native_subpd _mm_sub_pd plain_pd exponent_pd pcmpgtq ONE_PD _mm_castsi128_pd _mm_castpd_si128
        |a, b, r| zero_pd(r);
    native_mulpd _mm_mul_pd plain_pd exponent_pd pcmpgtq ONE_PD _mm_castsi128_pd _mm_castpd_si128
        |a, b, r| por(zero_pd(a), zero_pd(b));
    native_divpd _mm_div_pd plain_pd exponent_pd pcmpgtq ONE_PD _mm_castsi128_pd _mm_castpd_si128
        |a, b, r| pandn(zero_pd(b), zero_pd(a));
}

#[cfg(test)]
mod tests {
    use super::super::float;
    use super::*;
    use crate::softfloat::oracle::Random;
    use crate::softfloat::{Mxcsr, sse as soft};

    /// A function's name, its definition by the host, and the portable one.
    pub(super) type Pair = (&'static str, fn(u128, u128) -> u128, fn(u128, u128) -> u128);

    pub(super) mod portable {
        pub use super::super::super::{integer::*, shift::*, shuffle::*};
    }

    fn value(r: &mut Random) -> u128 {
        let full = u128::from(r.next()) << 64 | u128::from(r.next());
        match r.below(6) {
            0 => full & 0x8080_7F7F_8000_7FFF_0101_FFFF_8000_0000,
            1 => full & 0x0303_0303_0303_0303_0303_0303_0303_0303,
            2 => full | 0x7FFF_FFFF_0000_FFFF_FF00_00FF_FF7F_7FFF,
            3 => u128::from(r.below(70)),
            _ => full,
        }
    }

    #[test]
    fn the_host_agrees_with_the_portable_definitions() {
        let mut r = Random(7);
        for _ in 0..50_000 {
            let (a, b, c, imm) = (value(&mut r), value(&mut r), value(&mut r), r.next() as u8);
            for (name, host, portable) in OF_TWO.iter().chain(OF_SECOND) {
                assert_eq!(host(a, b), portable(a, b), "{name} {a:x} {b:x}");
            }
            assert_eq!(pblendvb(a, b, c), portable::pblendvb(a, b, c));
            assert_eq!(pmovmskb(a), portable::pmovmskb(a));
            assert_eq!(pshufd(a, b, imm), portable::pshufd(a, b, imm));
            assert_eq!(pshuflw(a, b, imm), portable::pshuflw(a, b, imm));
            assert_eq!(pshufhw(a, b, imm), portable::pshufhw(a, b, imm));
            assert_eq!(shufps(a, b, imm), portable::shufps(a, b, imm));
            let count = if imm & 1 == 0 { imm & 63 } else { imm };
            assert_eq!(palignr(a, b, count), portable::palignr(a, b, count), "{a:x} {b:x} {count}");
            assert_eq!(with_low_64(a, b as u64), a >> 64 << 64 | b as u64 as u128);
            assert_eq!(with_low_32(a, b as u32), a >> 32 << 32 | b as u32 as u128);
        }
    }

    #[test]
    fn native_arithmetic_is_offered_only_where_it_is_exact() {
        let mut r = Random(8);
        let mut offered = 0;
        for _ in 0..200_000 {
            let pd = |r: &mut Random| u128::from(r.f64()) << 64 | u128::from(r.f64());
            let ps = |r: &mut Random| (0..4).fold(0, |all, _| all << 32 | u128::from(r.f32()));
            let (a, b, c, d) = (pd(&mut r), pd(&mut r), ps(&mut r), ps(&mut r));
            macro_rules! check_scalar {
                ($($native:ident $a:ident, $b:ident, $element:ty, $scalar:ident, $f:expr;)+) => {
                    $(if let Some(result) = $native($a, $b) {
                        offered += 1;
                        let mut mxcsr = Mxcsr(0x1FA0);
                        let soft = float::$scalar($a, $b as $element, &mut mxcsr, $f);
                        assert_eq!((soft, mxcsr.0), (Ok(result), 0x1FA0), "{:x} {:x}", $a, $b);
                    })+
                };
            }
            check_scalar! {
                native_addss c, d, u32, scalar32, soft::add_slow;
                native_subss c, d, u32, scalar32, soft::sub_slow;
                native_mulss c, d, u32, scalar32, soft::mul_slow;
                native_divss c, d, u32, scalar32, soft::div_slow;
                native_sqrtss c, d, u32, scalar32, |_, y, m, flags| soft::sqrt_slow(y, m, flags);
                native_addsd a, b, u64, scalar64, soft::add_slow;
                native_subsd a, b, u64, scalar64, soft::sub_slow;
                native_mulsd a, b, u64, scalar64, soft::mul_slow;
                native_divsd a, b, u64, scalar64, soft::div_slow;
                native_sqrtsd a, b, u64, scalar64, |_, y, m, flags| soft::sqrt_slow(y, m, flags);
            }
            macro_rules! check {
                ($($native:ident $element:ty, $count:literal, $a:ident, $b:ident, $f:path;)+) => {
                    $(if let Some(result) = $native($a, $b) {
                        offered += 1;
                        let mut mxcsr = Mxcsr(0x1FA0);
                        let soft = float::packed::<$element, $count>($a, $b, &mut mxcsr, $f);
                        assert_eq!((soft, mxcsr.0), (Ok(result), 0x1FA0), "{:x} {:x}", $a, $b);
                    })+
                };
            }
            check! {
                native_addps u32, 4, c, d, soft::add_slow;
                native_subps u32, 4, c, d, soft::sub_slow;
                native_mulps u32, 4, c, d, soft::mul_slow;
                native_divps u32, 4, c, d, soft::div_slow;
                native_addpd u64, 2, a, b, soft::add_slow;
                native_subpd u64, 2, a, b, soft::sub_slow;
                native_mulpd u64, 2, a, b, soft::mul_slow;
                native_divpd u64, 2, a, b, soft::div_slow;
            }
        }
        assert!(offered > 10_000, "{offered}");
    }
}
