//! Reservations on Unix: anonymous mappings.

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect, munmap};
use std::ffi::c_void;
use std::io;

/// A range of addresses that belongs to this value alone.
pub struct Reservation {
    start: *mut c_void,
    len: usize,
}

impl Reservation {
    /// Reserves `len` bytes at an address the host chooses.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn new(len: usize) -> io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a fresh private anonymous mapping at an address the host chooses aliases nothing.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::empty(), flags) }?;
        Ok(Self { start, len })
    }

    /// Address of the first byte.
    pub fn start(&self) -> usize {
        self.start as usize
    }

    /// Makes `len` bytes from address `start` on zeroes that can be read and written. Whether the host did.
    pub fn commit(&self, start: usize, len: usize) -> bool {
        assert!(start >= self.start() && start + len <= self.start() + self.len);
        let (start, access) = (start as *mut c_void, MprotectFlags::READ | MprotectFlags::WRITE);
        // SAFETY: the range lies inside the reservation and nobody has an address in it yet.
        unsafe { mprotect(start, len, access) }.is_ok()
    }

    /// Has the host use huge pages for what is touched from now on of `len` bytes from address `start` on. A refusal only
    /// costs speed.
    pub fn advise_huge(&self, start: usize, len: usize) {
        assert!(start >= self.start() && start + len <= self.start() + self.len);
        // SAFETY: the range lies inside the reservation; the advice changes no contents.
        let _ = unsafe { madvise(start as *mut c_void, len, Advice::LinuxHugepage) };
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this size, and nothing borrows from it any more.
        let _ = unsafe { munmap(self.start, self.len) };
    }
}
