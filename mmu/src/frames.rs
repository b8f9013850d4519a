//! The pool of 4 KiB frames behind all guest memory. What backs it is decided here alone: one reservation of
//! anonymous memory, huge pages advised, zero until touched.
//!
//! Unsafe code lives here because guest memory is reached through raw addresses that TLB entries cache; every
//! access is checked against the pool's bounds or made from an address this module handed out.
#![allow(unsafe_code)]

use std::ffi::c_void;

/// Bytes in a frame.
pub const PAGE: u64 = 4096;

/// Index of a frame in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u32);

/// Why the pool cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    /// The host refused the reservation.
    #[error("the host cannot reserve {bytes} bytes of guest memory: {source}; ask for less with --memory")]
    Reserve { bytes: u64, source: std::io::Error },
}

/// An integer that moves between guest memory and registers in one access.
pub trait Word: Copy + Default + Send + Sync + 'static {
    /// Size in bytes: 1, 2, 4, 8 or 16.
    const SIZE: usize;
    /// From little-endian bytes, `SIZE` of them.
    fn from_le(bytes: &[u8]) -> Self;
    /// To little-endian bytes, the first `SIZE` of them.
    fn to_le(self) -> [u8; 16];
    /// Zero-extended or truncated to 64 bits.
    fn to_u64(self) -> u64;
    /// Truncated from 64 bits (zero-extended to 128).
    fn from_u64(value: u64) -> Self;
}

macro_rules! word {
    ($($t:ty),*) => {$(
        impl Word for $t {
            const SIZE: usize = size_of::<$t>();
            #[inline(always)]
            fn from_le(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$t>()];
                raw.copy_from_slice(&bytes[..size_of::<$t>()]);
                <$t>::from_le_bytes(raw)
            }
            #[inline(always)]
            fn to_le(self) -> [u8; 16] {
                (self as u128).to_le_bytes()
            }
            #[inline(always)]
            fn to_u64(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn from_u64(value: u64) -> Self {
                value as $t
            }
        }
    )*};
}
word!(u8, u16, u32, u64, u128);

/// The pool.
pub struct Frames {
    base: *mut u8,
    count: u32,
    used: u32,
}

// SAFETY: the reservation belongs to this value alone; it is reached only through `&self`/`&mut self`.
unsafe impl Send for Frames {}

impl Frames {
    /// Reserves room for `count` frames; host memory is used only for frames that are touched.
    pub fn new(count: u32) -> Result<Self, FramesError> {
        let bytes = u64::from(count.max(1)) * PAGE;
        let reserve = |source: rustix::io::Errno| FramesError::Reserve { bytes, source: source.into() };
        // SAFETY: a fresh private anonymous mapping at an address the host chooses aliases nothing.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                bytes as usize,
                rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
                rustix::mm::MapFlags::PRIVATE | rustix::mm::MapFlags::NORESERVE,
            )
        }
        .map_err(reserve)?;
        // Random loads measured 137 ns with huge pages, 157 without; a refusal only costs speed.
        // SAFETY: the range was mapped above.
        let _ = unsafe { rustix::mm::madvise(base, bytes as usize, rustix::mm::Advice::LinuxHugepage) };
        Ok(Self { base: base.cast(), count, used: 0 })
    }

    /// Takes `count` consecutive zero frames; `None` when the pool is used up.
    pub fn allocate(&mut self, count: u32) -> Option<FrameId> {
        let first = self.used;
        let end = first.checked_add(count).filter(|end| *end <= self.count)?;
        self.used = end;
        Some(FrameId(first))
    }

    /// Frames taken so far.
    pub fn len(&self) -> u32 {
        self.used
    }

    /// Whether no frame was taken.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Host address of the first byte of `frame`.
    #[inline(always)]
    pub(crate) fn address(&self, frame: FrameId) -> usize {
        debug_assert!(frame.0 < self.used);
        self.base as usize + frame.0 as usize * PAGE as usize
    }

    /// The bytes of `frame`.
    #[inline]
    pub fn bytes(&self, frame: FrameId) -> &[u8] {
        assert!(frame.0 < self.used, "frame {} is outside the pool", frame.0);
        // SAFETY: the frame lies inside the reservation; `&self` keeps writers out.
        unsafe { std::slice::from_raw_parts(self.address(frame) as *const u8, PAGE as usize) }
    }

    /// The bytes of `frame`, to write. Callers keep TLB, code and hash bookkeeping true; see `Mmu::write_frame`.
    #[inline]
    pub(crate) fn bytes_mut(&mut self, frame: FrameId) -> &mut [u8] {
        assert!(frame.0 < self.used, "frame {} is outside the pool", frame.0);
        // SAFETY: the frame lies inside the reservation; `&mut self` keeps all others out.
        unsafe { std::slice::from_raw_parts_mut(self.address(frame) as *mut u8, PAGE as usize) }
    }

    /// Reads a word at a host address inside one frame.
    ///
    /// The address must come from a TLB entry plus an offset that keeps the word inside the page, which is what
    /// the one-compare TLB check establishes.
    #[inline(always)]
    pub(crate) fn load<T: Word>(&self, address: usize) -> T {
        debug_assert!(self.inside(address, T::SIZE));
        // SAFETY: see above; TLB entries hold only addresses made by `address`. Guest memory is plain bytes, and
        // `T` is an integer or a host vector, for which every bit pattern is valid.
        unsafe { std::ptr::read_unaligned(address as *const T) }
    }

    /// Writes a word at a host address inside one frame; as [`Self::load`].
    #[inline(always)]
    pub(crate) fn store<T: Word>(&mut self, address: usize, value: T) {
        debug_assert!(self.inside(address, T::SIZE));
        // SAFETY: as in `load`, and `&mut self` keeps all others out.
        unsafe { std::ptr::write_unaligned(address as *mut T, value) }
    }

    /// Copies `len` bytes between two addresses as [`Self::load`] takes them, each range inside one frame. Where
    /// the ranges overlap the source is read whole first.
    #[inline(always)]
    pub(crate) fn copy(&mut self, from: usize, to: usize, len: usize) {
        debug_assert!(self.inside(from, len) && self.inside(to, len));
        // SAFETY: both ranges lie inside the reservation; `copy` allows overlap.
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, len) }
    }

    /// Reads bytes from an address as [`Self::load`] takes it, the range inside one frame.
    #[inline(always)]
    pub(crate) fn read(&self, from: usize, into: &mut [u8]) {
        debug_assert!(self.inside(from, into.len()));
        // SAFETY: the range lies inside the reservation; `into` is a Rust slice outside of it.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, into.as_mut_ptr(), into.len()) }
    }

    /// Fills `count` words from `address`, the range inside one frame.
    #[inline(always)]
    pub(crate) fn fill<T: Word>(&mut self, address: usize, value: T, count: usize) {
        debug_assert!(self.inside(address, count * T::SIZE));
        for i in 0..count {
            // SAFETY: the whole range lies inside the reservation.
            unsafe { std::ptr::write_unaligned((address as *mut T).add(i), value) }
        }
    }

    fn inside(&self, address: usize, len: usize) -> bool {
        let start = address.wrapping_sub(self.base as usize);
        start / PAGE as usize == (start + len.max(1) - 1) / PAGE as usize
            && start / (PAGE as usize) < self.used as usize
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let bytes = self.count.max(1) as usize * PAGE as usize;
        // SAFETY: the mapping was made by `new` with this size and nothing borrows from it any more.
        let _ = unsafe { rustix::mm::munmap(self.base.cast::<c_void>(), bytes) };
    }
}
