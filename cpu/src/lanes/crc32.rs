//! CRC32: the polynomial 11EDC6F41H, bit-reflected.

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { 0x82F6_3B78 } else { 0 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
}

static TABLE: [u32; 256] = table();

/// Accumulates the low `bytes` (1, 2, 4 or 8) bytes of `data`.
pub fn crc32(crc: u32, data: u64, bytes: u32) -> u32 {
    let (mut crc, mut data) = (crc, data);
    for _ in 0..bytes {
        crc = crc >> 8 ^ TABLE[usize::from(crc as u8 ^ data as u8)];
        data >>= 8;
    }
    crc
}
