//! Memory for translated code, mapped twice: once to write and once to execute, never both (W^X).
#![allow(unsafe_code)]

use rustix::mm::{MapFlags, MprotectFlags, MremapFlags, ProtFlags};
use std::ffi::c_void;

/// Bytes of code kept before all is dropped.
pub(super) const SIZE: usize = 96 << 20;

/// The memory.
pub(super) struct CodeMemory {
    write: *mut u8,
    execute: *mut u8,
    used: usize,
}

// SAFETY: the mappings belong to this value alone and are unmapped only when it is dropped.
unsafe impl Send for CodeMemory {}
// SAFETY: writing takes `&mut`.
unsafe impl Sync for CodeMemory {}

impl CodeMemory {
    /// Empty memory.
    ///
    /// # Errors
    /// When the host refuses executable memory.
    pub fn new() -> std::io::Result<Self> {
        let shared = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: a fresh mapping at an address the host chooses aliases no Rust memory.
        let write = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), SIZE, ProtFlags::READ | ProtFlags::WRITE, shared)
        }?;
        // SAFETY: with an old size of 0 a shared mapping is mapped once more and stays where it is (mremap(2)).
        let execute = unsafe { rustix::mm::mremap(write, 0, SIZE, MremapFlags::MAYMOVE) };
        let protected = execute.and_then(|execute| {
            let access = MprotectFlags::READ | MprotectFlags::EXEC;
            // SAFETY: mapped just now, and nothing refers to it yet.
            unsafe { rustix::mm::mprotect(execute, SIZE, access) }
        });
        if let Err(error) = protected {
            for mapping in [Ok(write), execute].into_iter().flatten() {
                // SAFETY: as above.
                let _ = unsafe { rustix::mm::munmap(mapping, SIZE) };
            }
            return Err(error.into());
        }
        let execute = execute?;
        Ok(Self { write: write.cast(), execute: execute.cast(), used: 0 })
    }

    /// Address of the first byte, to execute.
    pub fn base(&self) -> u64 {
        self.execute as u64
    }

    /// Bytes in use, which is the offset of the code appended next.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether `len` more bytes fit.
    pub fn has_room(&self, len: usize) -> bool {
        len <= SIZE - self.used
    }

    /// Puts code behind what there is. Its offset.
    ///
    /// # Panics
    /// If there is no room.
    pub fn append(&mut self, code: &[u8]) -> usize {
        assert!(self.has_room(code.len()), "{} bytes of code do not fit", code.len());
        let offset = self.used;
        self.used = (offset + code.len()).next_multiple_of(16).min(SIZE);
        self.write(offset, code);
        offset
    }

    /// Replaces the 32-bit value at `offset`.
    ///
    /// # Panics
    /// If there is no code there.
    pub fn patch(&mut self, offset: usize, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.used);
        // SAFETY: the range lies inside the writable mapping, which nothing else refers to; translated code is not
        // running, for who runs it holds `&mut` of its owner.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.write.add(offset), bytes.len()) }
    }

    /// Forgets the code from `offset` on.
    pub fn truncate(&mut self, offset: usize) {
        self.used = self.used.min(offset);
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        for mapping in [self.write, self.execute] {
            // SAFETY: mapped by `new` with this size, and nothing borrows from it any more.
            let _ = unsafe { rustix::mm::munmap(mapping.cast::<c_void>(), SIZE) };
        }
    }
}
