//! The CFI query (JESD68.01; P30 datasheet, appendix B): what drivers size a chip by.

use super::{BLOCK, BUFFER_MAX};

/// Where the table for the Intel command set begins.
const PRIMARY: u8 = 0x31;

/// The byte of the query at `at` of a chip of `len` bytes; beyond the tables, 0.
pub(super) fn byte(len: u64, at: u64) -> u8 {
    table(len).get((at & 0xff) as usize).copied().unwrap_or(0)
}

fn table(len: u64) -> [u8; 0x3e] {
    let mut table = [0; 0x3e];
    table[0x10..0x13].copy_from_slice(b"QRY");
    // The Intel extended command set.
    table[0x13] = 0x01;
    table[0x15] = PRIMARY;
    // 4.5 to 5.5 V, no supply of its own for programming.
    table[0x1b] = 0x45;
    table[0x1c] = 0x55;
    // Times, as powers of two: 128 us a byte and a buffer, 1 s a block, and up to 16 times as long.
    table[0x1f..0x23].copy_from_slice(&[7, 7, 10, 0]);
    table[0x23..0x27].copy_from_slice(&[4, 4, 4, 0]);
    // Bytes as a power of two; the region says how many there are.
    table[0x27] = len.next_power_of_two().trailing_zeros() as u8;
    table[0x2a] = BUFFER_MAX.trailing_zeros() as u8;
    table[0x2c] = 1;
    let blocks = ((len / BLOCK).max(1) - 1) as u16;
    table[0x2d..0x2f].copy_from_slice(&blocks.to_le_bytes());
    table[0x2f..0x31].copy_from_slice(&((BLOCK / 256) as u16).to_le_bytes());
    // Version 1.0 of that table, and nothing optional in it.
    table[0x31..0x36].copy_from_slice(b"PRI10");
    table
}
