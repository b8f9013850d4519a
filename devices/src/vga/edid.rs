//! What the monitor says of itself: an EDID 1.4 block whose preferred mode is 1280x800 at 60 Hz (VESA E-EDID A.2).

/// Bytes of a block.
const EDID_LEN: usize = 128;

/// The block.
pub(super) fn edid() -> [u8; EDID_LEN] {
    let mut block = [0; EDID_LEN];
    block[..8].copy_from_slice(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
    block[8..10].copy_from_slice(&manufacturer(*b"AMB"));
    // Product 1; week 0 of 2026; EDID 1.4.
    block[10] = 1;
    block[17..20].copy_from_slice(&[36, 1, 4]);
    // Digital, 8 bits a colour; 32 cm by 20 cm; gamma 2.2; sRGB is the default, and the preferred timing the native one.
    block[20..25].copy_from_slice(&[0xa0, 32, 20, 120, 0x06]);
    // Chromaticity of sRGB.
    block[25..35].copy_from_slice(&[0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54]);
    // 640x480, 800x600 and 1024x768 at 60 Hz.
    block[35..38].copy_from_slice(&[0x21, 0x08, 0x00]);
    block[38..54].copy_from_slice(&standard_timings());
    block[54..72].copy_from_slice(&preferred());
    block[72..90].copy_from_slice(&text(0xfc, b"Amber screen\n"));
    block[90..108].copy_from_slice(&range_limits());
    block[108..126].copy_from_slice(&text(0xff, b"1\n           "));
    let sum = block.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    block[127] = sum.wrapping_neg();
    block
}

/// Three letters of 5 bits.
fn manufacturer(letters: [u8; 3]) -> [u8; 2] {
    letters.iter().fold(0u16, |word, letter| word << 5 | u16::from(letter - b'A' + 1)).to_be_bytes()
}

/// Width and aspect ratio: 1280x1024, 1280x800, 1600x1200, 1920x1080; the others are unused.
fn standard_timings() -> [u8; 16] {
    let mut timings = [1; 16];
    for (timing, (width, aspect)) in
        timings.chunks_exact_mut(2).zip([(1280u16, 2u8), (1280, 0), (1600, 1), (1920, 3)])
    {
        timing.copy_from_slice(&[(width / 8 - 31) as u8, aspect << 6]);
    }
    timings
}

/// 1280x800: 1440 dots by 823 lines with reduced blanking, at 71 MHz.
fn preferred() -> [u8; 18] {
    let clock = 7100u16.to_le_bytes();
    [
        clock[0], clock[1], 0x00, 0xa0, 0x50, 0x20, 0x17, 0x30, 0x30, 0x20, 0x36, 0x00, 0x40, 0xc8, 0x10,
        0x00, 0x00, 0x1a,
    ]
}

fn text(tag: u8, text: &[u8; 13]) -> [u8; 18] {
    let mut descriptor = [0; 18];
    descriptor[3] = tag;
    descriptor[5..].copy_from_slice(text);
    descriptor
}

/// 50 to 125 Hz, 30 to 160 kHz, up to 300 MHz.
fn range_limits() -> [u8; 18] {
    let mut descriptor = [0x20; 18];
    descriptor[..12].copy_from_slice(&[0, 0, 0, 0xfd, 0, 50, 125, 30, 160, 30, 0x01, 0x0a]);
    descriptor
}
