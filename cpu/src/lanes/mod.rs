//! The lane arithmetic of MMX, SSE to SSE4.2, AES-NI and PCLMULQDQ, as pure functions on 128-bit values.
//!
//! A 64-bit MMX operand is the low half of such a value: element-wise operations then need nothing else, and the
//! few that move elements between places have their own form in [`mmx`]. Operands are in the manual's order: the
//! destination first.

pub mod aes;
pub mod approximate;
pub mod clmul;
pub mod crc32;
pub mod float;
#[cfg(all(target_arch = "x86_64", target_feature = "sse4.2"))]
pub mod host;
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse4.2")))]
#[path = "portable.rs"]
pub mod host;
pub mod integer;
pub mod mmx;
pub mod shift;
pub mod shuffle;
pub mod string;

#[cfg(all(test, target_arch = "x86_64"))]
mod oracle;

/// An element type, `N` of which fill 128 bits.
pub trait Lane<const N: usize>: Copy {
    fn split(value: u128) -> [Self; N];
    fn join(lanes: [Self; N]) -> u128;
}

macro_rules! impl_lane {
    ($($type:ty, $count:literal, $size:literal;)+) => {
        $(impl Lane<$count> for $type {
            #[inline(always)]
            fn split(value: u128) -> [Self; $count] {
                let bytes = value.to_le_bytes();
                std::array::from_fn(|i| {
                    let lane: [u8; $size] = std::array::from_fn(|k| bytes[i * $size + k]);
                    <$type>::from_le_bytes(lane)
                })
            }
            #[inline(always)]
            fn join(lanes: [Self; $count]) -> u128 {
                let mut bytes = [0; 16];
                for (chunk, lane) in bytes.chunks_exact_mut($size).zip(lanes) {
                    chunk.copy_from_slice(&lane.to_le_bytes());
                }
                u128::from_le_bytes(bytes)
            }
        })+
    };
}

impl_lane! {
    u8, 16, 1;
    i8, 16, 1;
    u16, 8, 2;
    i16, 8, 2;
    u32, 4, 4;
    i32, 4, 4;
    u64, 2, 8;
    i64, 2, 8;
}

/// Applies `f` to each pair of elements.
#[inline(always)]
pub fn zip<T: Lane<N>, const N: usize>(a: u128, b: u128, mut f: impl FnMut(T, T) -> T) -> u128 {
    let (a, b) = (T::split(a), T::split(b));
    T::join(std::array::from_fn(|i| f(a[i], b[i])))
}

/// Applies `f` to each element.
#[inline(always)]
pub fn map<T: Lane<N>, const N: usize>(a: u128, mut f: impl FnMut(T) -> T) -> u128 {
    let a = T::split(a);
    T::join(std::array::from_fn(|i| f(a[i])))
}
