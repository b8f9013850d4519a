//! What the guest is taken to have done: writes to its memory.

use super::PAGE;
use crate::cli::build;
use crate::config::{Firmware, MachineConfig, MemorySize};
use crate::machine::Machine;
use amber_mmu::ViewId;
use anyhow::Result;

/// The embedded monitor with so much RAM.
pub fn of_size(bytes: u64) -> Result<Machine> {
    let memory = MemorySize::from_bytes(bytes);
    let firmware = Some(Firmware::Monitor);
    build::machine(&MachineConfig { firmware, memory, ..MachineConfig::default() })
}

/// Pages of RAM.
pub fn pages(machine: &Machine) -> u64 {
    machine.region_pages("ram").unwrap_or(1)
}

/// Guest-physical address of a page of RAM.
fn address(machine: &Machine, page: u64) -> u64 {
    let (low, _) = machine.ram_layout();
    let at = page * PAGE;
    if at < low { at } else { at - low + (1 << 32) }
}

/// Writes 8 bytes to each of `count` pages spread over the upper half of RAM.
pub fn dirty(machine: &mut Machine, count: u64, value: u64) {
    let half = (pages(machine) / 2).max(1);
    let stride = (half / count).max(1);
    for n in 0..count {
        let bytes = (value << 32 | n | 1).to_le_bytes();
        write(machine, half + n * stride % half, value % 500 * 8, &bytes);
    }
}

/// Fills pages of the upper half of RAM with `bytes` bytes that do not compress.
pub fn fill(machine: &mut Machine, bytes: u64) {
    let (first, mut noise) = (pages(machine) / 2, Noise(1));
    for n in 0..bytes / PAGE {
        write(machine, first + n, 0, &noise.page());
    }
}

/// Writes a byte to a page in every 32 MiB.
pub fn touch(machine: &mut Machine) {
    for page in (0..pages(machine)).step_by(8192) {
        write(machine, page + 1, 0, &[1]);
    }
}

/// Writes to a page of RAM.
pub fn write(machine: &mut Machine, page: u64, offset: u64, bytes: &[u8]) {
    let at = address(machine, page) + offset;
    machine.mmu_mut().write_physical(ViewId(0), at, bytes);
}

/// Reads a page of RAM.
pub fn read(machine: &Machine, page: u64) -> [u8; PAGE as usize] {
    let mut bytes = [0; PAGE as usize];
    machine.mmu().read_physical(ViewId(0), address(machine, page), &mut bytes);
    bytes
}

/// Bytes without a pattern, the same every time (xorshift64).
struct Noise(u64);

impl Noise {
    fn page(&mut self) -> [u8; PAGE as usize] {
        let mut page = [0; PAGE as usize];
        for word in page.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
        page
    }
}
