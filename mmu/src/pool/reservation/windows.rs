//! Reservations on Windows.

use std::ffi::c_void;
use std::io;
use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_RELEASE, MEM_RESERVE, PAGE_NOACCESS, PAGE_READWRITE, VirtualAlloc, VirtualFree,
};

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
        // SAFETY: fresh address space that the host chooses aliases nothing.
        let start = unsafe { VirtualAlloc(std::ptr::null(), len, MEM_RESERVE, PAGE_NOACCESS) };
        if start.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self { start, len }) }
    }

    /// Address of the first byte.
    pub fn start(&self) -> usize {
        self.start as usize
    }

    /// Makes `len` bytes from address `start` on zeroes that can be read and written. Whether the host did.
    pub fn commit(&self, start: usize, len: usize) -> bool {
        assert!(start >= self.start() && start + len <= self.start() + self.len);
        // SAFETY: the range lies inside the reservation and nobody has an address in it yet.
        let made = unsafe { VirtualAlloc(start as *const c_void, len, MEM_COMMIT, PAGE_READWRITE) };
        !made.is_null()
    }

    /// Nothing: huge pages take a privilege here.
    pub fn advise_huge(&self, _start: usize, _len: usize) {}
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the address is one `new` was given (a size of 0 stands for all of it), and nothing borrows from it
        // any more.
        let _ = unsafe { VirtualFree(self.start, 0, MEM_RELEASE) };
    }
}
