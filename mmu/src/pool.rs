//! The host memory behind guest frames: one reservation of address space, committed as it is used, shared by a
//! machine, its forks and its frozen states.
//!
//! Unsafe code lives here because guest memory is reached through raw addresses that TLB entries cache. What keeps
//! it sound: every address is made by [`Pool::address`]; a frame is written only by the one [`crate::Frames`] that
//! owns it alone (its count is 1), and frames with more owners are never written.
#![allow(unsafe_code)]

mod reservation;

use reservation::Reservation;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Bytes in a frame.
pub const PAGE: u64 = 4096;
/// Frames in a group: one huge page of the host.
pub const GROUP: usize = 512;
const HUGE: usize = GROUP * PAGE as usize;
/// Frames committed, and counted, at a time.
const SEGMENT: u32 = 1 << 14;
/// Frames an address space is reserved for, if the machine does not need more: room for its forks.
const RESERVE: u32 = 1 << 26;

/// Index of a guest frame: a page of a region of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u32);

/// Index of a frame of host memory in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostFrame(pub u32);

/// Why the pool cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    /// The host refused the reservation.
    #[error("the host cannot reserve {bytes} bytes of guest memory: {cause}; ask for less with --memory")]
    Reserve { bytes: u64, cause: std::io::Error },
}

/// An integer that moves between guest memory and registers in one access.
///
/// # Safety
/// Every pattern of `SIZE` bytes is a value, `SIZE` is the size of the type, and the type has no padding.
pub unsafe trait Word: Copy + Default + Send + Sync + 'static {
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
        // SAFETY: these are the unsigned integers.
        unsafe impl Word for $t {
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

/// What of the reservation is used.
struct Room {
    /// Huge pages of the host are wanted.
    huge: bool,
    /// Frames readable and writable.
    committed: u32,
    /// Frames given out at least once.
    used: u32,
    /// Frames given back, to be given out again before fresh ones.
    free: Vec<u32>,
    /// First frames of groups given back whole.
    free_groups: Vec<u32>,
}

type Counts = Box<[AtomicU32]>;

/// The pool.
pub(crate) struct Pool {
    reservation: Reservation,
    base: usize,
    capacity: u32,
    room: Mutex<Room>,
    /// Owners of each frame, in segments.
    counts: Box<[OnceLock<Counts>]>,
}

// SAFETY: the reservation belongs to this value alone and is unmapped only when it is dropped; who may read and
// write which frame is said at the top of the file.
unsafe impl Send for Pool {}
// SAFETY: as for `Send`; what changes through `&self` is behind a mutex or atomic, or a frame its caller owns alone.
unsafe impl Sync for Pool {}

impl Pool {
    /// Reserves address space for `frames` frames and as many copies of them again.
    pub fn new(frames: u32) -> Result<Self, FramesError> {
        let least = frames.max(1).next_multiple_of(SEGMENT);
        let wishes = [RESERVE.max(least.saturating_mul(4)), least.saturating_mul(2), least];
        let mut refused = None;
        for capacity in wishes.map(|wish| wish - wish % SEGMENT) {
            match Self::reserve(capacity) {
                Ok(pool) => return Ok(pool),
                Err(cause) => refused = Some(cause),
            }
        }
        let cause = refused.unwrap_or_else(|| std::io::ErrorKind::OutOfMemory.into());
        Err(FramesError::Reserve { bytes: u64::from(least) * PAGE, cause })
    }

    fn reserve(capacity: u32) -> std::io::Result<Self> {
        let reservation = Reservation::new(capacity as usize * PAGE as usize + HUGE)?;
        let room = Room { huge: false, committed: 0, used: 0, free: Vec::new(), free_groups: Vec::new() };
        Ok(Self {
            base: reservation.start().next_multiple_of(HUGE),
            reservation,
            capacity,
            room: Mutex::new(room),
            counts: (0..capacity / SEGMENT).map(|_| OnceLock::new()).collect(),
        })
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the first `end` frames of the reservation usable.
    fn commit(&self, room: &mut Room, end: u32) -> bool {
        let end = end.next_multiple_of(SEGMENT);
        if end > self.capacity {
            return false;
        }
        if end > room.committed {
            let start = self.base + room.committed as usize * PAGE as usize;
            let len = (end - room.committed) as usize * PAGE as usize;
            if !self.reservation.commit(start, len) {
                return false;
            }
            if room.huge {
                self.reservation.advise_huge(start, len);
            }
            for segment in room.committed / SEGMENT..end / SEGMENT {
                let zeroes = (0..SEGMENT).map(|_| AtomicU32::new(0)).collect();
                let _ = self.counts[segment as usize].set(zeroes);
            }
            room.committed = end;
        }
        true
    }

    /// Has the host use huge pages for frames it has not given memory yet. Where memory is used widely, random loads take
    /// 137 ns with them and 157 without; where it is not, zeroing them costs more than it gains (0.1 s of a boot).
    pub fn prefer_huge_pages(&self) {
        let mut room = self.room();
        if !std::mem::replace(&mut room.huge, true) {
            self.reservation.advise_huge(self.base, room.committed as usize * PAGE as usize);
        }
    }

    /// Takes a group of consecutive zero frames from a huge-page boundary on. Each has one owner.
    pub fn take_group(&self) -> Option<HostFrame> {
        let freed = self.room().free_groups.pop();
        let Some(first) = freed else { return self.take_run(GROUP as u32) };
        for frame in first..first + GROUP as u32 {
            self.count(HostFrame(frame)).store(1, Ordering::Relaxed);
            self.write(HostFrame(frame), 0, &[0; PAGE as usize]);
        }
        Some(HostFrame(first))
    }

    /// Takes `count` consecutive fresh zero frames from a huge-page boundary on. Each has one owner.
    fn take_run(&self, count: u32) -> Option<HostFrame> {
        let mut room = self.room();
        let first = room.used.checked_next_multiple_of(GROUP as u32)?;
        let end = first.checked_add(count)?;
        if !self.commit(&mut room, end) {
            return None;
        }
        let skipped = room.used..first;
        room.free.extend(skipped);
        room.used = end;
        drop(room);
        (first..end).for_each(|frame| self.count(HostFrame(frame)).store(1, Ordering::Relaxed));
        Some(HostFrame(first))
    }

    /// Takes one frame with one owner and any contents.
    pub fn take(&self) -> Option<HostFrame> {
        let mut room = self.room();
        if room.free.is_empty()
            && let Some(first) = room.free_groups.pop()
        {
            room.free.extend((first..first + GROUP as u32).rev());
        }
        let frame = match room.free.pop() {
            Some(frame) => frame,
            None => {
                let end = room.used.checked_add(1)?;
                if !self.commit(&mut room, end) {
                    return None;
                }
                room.used = end;
                end - 1
            }
        };
        drop(room);
        self.count(HostFrame(frame)).store(1, Ordering::Relaxed);
        Some(HostFrame(frame))
    }

    #[inline]
    fn count(&self, frame: HostFrame) -> &AtomicU32 {
        let segment = self.counts[(frame.0 / SEGMENT) as usize].get();
        let segment = segment.unwrap_or_else(|| unreachable!("a frame given out lies in committed memory"));
        &segment[(frame.0 % SEGMENT) as usize]
    }

    /// Whether the frame has more than one owner. An owner that is told no owns it alone.
    #[inline]
    pub fn shared(&self, frame: HostFrame) -> bool {
        self.count(frame).load(Ordering::Acquire) > 1
    }

    /// Adds an owner.
    #[inline]
    pub fn retain(&self, frame: HostFrame) {
        self.count(frame).fetch_add(1, Ordering::Relaxed);
    }

    /// Takes owners away; frames without any go back to the pool.
    pub fn release(&self, frames: impl Iterator<Item = HostFrame>) {
        let last = |frame: &HostFrame| self.count(*frame).fetch_sub(1, Ordering::AcqRel) == 1;
        let freed: Vec<u32> = frames.filter(last).map(|frame| frame.0).collect();
        let whole = freed.len() == GROUP
            && freed[0].is_multiple_of(GROUP as u32)
            && freed.windows(2).all(|pair| pair[1] == pair[0] + 1);
        match freed.first() {
            Some(first) if whole => self.room().free_groups.push(*first),
            Some(_) => self.room().free.extend(freed),
            None => {}
        }
    }

    /// Host memory in frames that were given out and not given back, bytes.
    pub fn in_use(&self) -> u64 {
        let room = self.room();
        let free = room.free.len() + room.free_groups.len() * GROUP;
        (u64::from(room.used) - free as u64) * PAGE
    }

    /// Host address of the first byte of `frame`.
    #[inline(always)]
    pub fn address(&self, frame: HostFrame) -> usize {
        debug_assert!(frame.0 < self.capacity);
        self.base + frame.0 as usize * PAGE as usize
    }

    /// The bytes of `frame`, for one of its owners.
    #[inline]
    pub fn bytes(&self, frame: HostFrame) -> &[u8] {
        assert!(frame.0 < self.capacity, "frame {} is outside the pool", frame.0);
        // SAFETY: the frame lies inside the reservation, and an owner may read it: nobody writes it but through
        // `&mut` of its only owner.
        unsafe { std::slice::from_raw_parts(self.address(frame) as *const u8, PAGE as usize) }
    }

    /// Copies `bytes` to `offset` in a frame that the caller owns alone, or that nobody reads yet.
    #[inline]
    pub fn write(&self, frame: HostFrame, offset: usize, bytes: &[u8]) {
        assert!(frame.0 < self.capacity, "frame {} is outside the pool", frame.0);
        assert!(offset + bytes.len() <= PAGE as usize, "{} bytes at {offset} leave the frame", bytes.len());
        let to = (self.address(frame) + offset) as *mut u8;
        // SAFETY: the range lies inside the frame; `bytes` is memory of Rust's, or of another frame.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }

    /// Copies the whole of one frame to one that the caller owns alone.
    pub fn copy_frame(&self, from: HostFrame, to: HostFrame) {
        assert!(from != to && from.0 < self.capacity && to.0 < self.capacity);
        // SAFETY: two different frames inside the reservation.
        unsafe {
            let (from, to) = (self.address(from) as *const u8, self.address(to) as *mut u8);
            std::ptr::copy_nonoverlapping(from, to, PAGE as usize);
        }
    }

    /// Reads a word at a host address inside one frame.
    ///
    /// The address must come from a TLB entry plus an offset that keeps the word inside the page, which is what
    /// the one-compare TLB check establishes.
    #[inline(always)]
    pub fn load<T: Word>(&self, address: usize) -> T {
        debug_assert!(self.inside(address, T::SIZE));
        // SAFETY: see above; TLB entries hold only addresses made by `address`. Guest memory is plain bytes, and
        // `T` is an integer or a host vector, for which every bit pattern is valid.
        unsafe { std::ptr::read_unaligned(address as *const T) }
    }

    /// Writes a word at a host address inside one frame; as [`Self::load`].
    #[inline(always)]
    pub fn store<T: Word>(&self, address: usize, value: T) {
        debug_assert!(self.inside(address, T::SIZE));
        // SAFETY: as in `load`; TLB entries allow writing only to frames that their machine owns alone.
        unsafe { std::ptr::write_unaligned(address as *mut T, value) }
    }

    /// Copies `len` bytes between two addresses as [`Self::load`] takes them, each range inside one frame. Where
    /// the ranges overlap the source is read whole first.
    #[inline(always)]
    pub fn copy(&self, from: usize, to: usize, len: usize) {
        debug_assert!(self.inside(from, len) && self.inside(to, len));
        // SAFETY: both ranges lie inside the reservation, `copy` allows overlap, and as in `store`.
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, len) }
    }

    /// Reads bytes from an address as [`Self::load`] takes it, the range inside one frame.
    #[inline(always)]
    pub fn read(&self, from: usize, into: &mut [u8]) {
        debug_assert!(self.inside(from, into.len()));
        // SAFETY: the range lies inside the reservation; `into` is a Rust slice outside of it.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, into.as_mut_ptr(), into.len()) }
    }

    /// Fills `count` words from `address`, the range inside one frame.
    #[inline(always)]
    pub fn fill<T: Word>(&self, address: usize, value: T, count: usize) {
        debug_assert!(self.inside(address, count * T::SIZE));
        for i in 0..count {
            // SAFETY: the whole range lies inside the reservation, and as in `store`.
            unsafe { std::ptr::write_unaligned((address as *mut T).add(i), value) }
        }
    }

    fn inside(&self, address: usize, len: usize) -> bool {
        let start = address.wrapping_sub(self.base);
        start / PAGE as usize == (start + len.max(1) - 1) / PAGE as usize
            && start / (PAGE as usize) < self.capacity as usize
    }
}
