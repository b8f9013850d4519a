//! IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA8-ACS, 7.16 and 7.17).

use super::drive::{Drive, HEADS, TRACK, Unit};

const WORDS: usize = 256;
/// Most sectors of READ MULTIPLE.
pub(crate) const MULTIPLE_MAX: u8 = 16;
/// Sectors 28 bits can count.
const LBA28_MAX: u64 = (1 << 28) - 1;
const CYLINDERS_MAX: u64 = 16_383;
/// Queue of 32 commands.
const QUEUE_LAST: u16 = 31;
/// ATA/ATAPI-4 to ATA8-ACS.
const VERSIONS: u16 = 0x01f0;
const SATA_GEN_1_2: u16 = 0x0006;
const SATA_QUEUE: u16 = 0x0100;

/// The drive's identity, 512 bytes.
pub(crate) fn identity(unit: &Unit, drive: &Drive) -> Vec<u8> {
    let mut words = [0u16; WORDS];
    text(&mut words[10..20], &format!("amber-disk{}", unit.disk));
    text(&mut words[23..27], "1.0");
    text(&mut words[27..47], if unit.is_cd() { "AMBER DVD-ROM" } else { "AMBER HARDDISK" });
    transfers(&mut words, unit, drive);
    if unit.is_cd() {
        packet_device(&mut words)
    } else {
        disk(&mut words, unit, drive)
    }
    words[80] = VERSIONS;
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    // Signature and checksum.
    bytes[510] = 0xa5;
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[511] = sum.wrapping_neg();
    bytes
}

/// Capabilities and modes that disks and CDs share.
fn transfers(words: &mut [u16; WORDS], unit: &Unit, drive: &Drive) {
    // LBA, DMA, IORDY.
    words[49] = 0x0f00;
    words[53] = 0x0006;
    let selected = |kind: u8| if drive.mode & 0xf8 == kind { 0x100u16 << (drive.mode & 7) } else { 0 };
    words[63] = 0x0007 | selected(0x20);
    words[64] = 0x0003;
    words[65..69].fill(120);
    words[88] = 0x007f | selected(0x40);
    if unit.is_serial() {
        words[76] = SATA_GEN_1_2;
    } else {
        // It found itself by jumper, at a cable of 80 wires.
        words[93] = 0x600b;
    }
}

fn disk(words: &mut [u16; WORDS], unit: &Unit, drive: &Drive) {
    let sectors = unit.config.sectors;
    let (heads, track) = (u64::from(HEADS), u64::from(TRACK));
    let cylinders = (sectors / (heads * track)).min(CYLINDERS_MAX);
    words[0] = 0x0040;
    (words[1], words[3], words[6]) = (cylinders as u16, HEADS.into(), TRACK.into());
    words[47] = 0x8000 | u16::from(MULTIPLE_MAX);
    words[50] = 0x4000;
    words[53] |= 1;
    let (heads, track) = (u64::from(drive.heads), u64::from(drive.track));
    let cylinders = (cylinders * u64::from(HEADS) * u64::from(TRACK) / (heads * track)).min(0xffff);
    (words[54], words[55], words[56]) = (cylinders as u16, heads as u16, track as u16);
    number(&mut words[57..59], cylinders * heads * track);
    words[59] = if drive.multiple == 0 { 0 } else { 0x100 | u16::from(drive.multiple) };
    number(&mut words[60..62], sectors.min(LBA28_MAX));
    if unit.is_serial() {
        words[75] = QUEUE_LAST;
        words[76] |= SATA_QUEUE;
    }
    // NOP, look-ahead, write cache, SMART; flushes and 48 bits; name, FUA, logs.
    (words[82], words[83], words[84]) = (0x4061, 0x7400, 0x4160);
    let enabled = |on: bool, bit: u16| if on { bit } else { 0 };
    words[85] =
        0x4000 | enabled(drive.look_ahead, 0x40) | enabled(drive.write_cache, 0x20) | enabled(drive.smart, 1);
    (words[86], words[87]) = (0x3400, 0x4160);
    number(&mut words[100..104], sectors);
    words[106] = 0x4000;
    // A name of the locally assigned kind.
    (words[108], words[111]) = (0x3000, u16::from(unit.disk) + 1);
    // It does not rotate.
    words[217] = 1;
}

fn packet_device(words: &mut [u16; WORDS]) {
    // A CD drive with a removable medium and packets of 12 bytes, which asks for them within 50 us.
    words[0] = 0x85c0;
    // NOP, DEVICE RESET, packets.
    (words[82], words[83], words[84]) = (0x4210, 0x4000, 0x4000);
    (words[85], words[86], words[87]) = (0x4210, 0, 0x4000);
}

fn number(words: &mut [u16], value: u64) {
    for (at, word) in (0..).zip(words) {
        *word = (value >> (at * 16)) as u16;
    }
}

/// Text is padded with blanks, and the first character of two is in the high byte.
fn text(words: &mut [u16], text: &str) {
    let mut bytes = text.bytes().chain(std::iter::repeat(b' '));
    for word in words {
        let pair = [bytes.next(), bytes.next()].map(|byte| byte.unwrap_or(b' '));
        *word = u16::from_be_bytes(pair);
    }
}
