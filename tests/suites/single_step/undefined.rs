//! Flags the SDM calls undefined, by opcode as the files name it (`F6.4` is F6 /4).

use crate::moo::Case;

const CF: u16 = 1;
const PF: u16 = 1 << 2;
const AF: u16 = 1 << 4;
const ZF: u16 = 1 << 6;
const SF: u16 = 1 << 7;
const OF: u16 = 1 << 11;

/// Prefixes before the opcode.
pub fn prefixes(case: &Case) -> usize {
    let is_prefix = |byte: &&u8| matches!(byte, 0x26 | 0x2E | 0x36 | 0x3E | 0xF0 | 0xF2 | 0xF3);
    case.bytes.iter().take_while(is_prefix).count()
}

/// The count of a shift or rotate.
fn count(case: &Case, opcode: u8) -> u16 {
    match opcode {
        // The bytes end with the count, then the HLT.
        0xC0 | 0xC1 => case.bytes.len().checked_sub(2).map_or(0, |at| u16::from(case.bytes[at])),
        0xD0 | 0xD1 => 1,
        _ => case.initial.registers[2].unwrap_or(0) & 0xFF,
    }
}

fn shift(case: &Case, opcode: u8, operation: u8) -> u16 {
    let count = count(case, opcode) & 31;
    let width = if opcode & 1 == 0 { 8 } else { 16 };
    let overflow = if count == 1 { 0 } else { OF };
    match operation {
        0..=3 => overflow,
        4..=6 if count >= width => overflow | AF | CF,
        _ => overflow | AF,
    }
}

/// FLAGS bits to leave out of the comparison.
pub fn flags(case: &Case, opcode: u8, group: u8) -> u16 {
    match opcode {
        0x08..=0x0D | 0x20..=0x25 | 0x30..=0x35 | 0x84 | 0x85 | 0xA8 | 0xA9 => AF,
        0x80..=0x83 if matches!(group, 1 | 4 | 6) => AF,
        0xF6 | 0xF7 if group < 2 => AF,
        0x27 | 0x2F => OF,
        0x37 | 0x3F => OF | SF | ZF | PF,
        0xD4 | 0xD5 => OF | AF | CF,
        0x69 | 0x6B => SF | ZF | AF | PF,
        0xF6 | 0xF7 if matches!(group, 4 | 5) => SF | ZF | AF | PF,
        0xF6 | 0xF7 if group >= 6 => CF | PF | AF | ZF | SF | OF,
        0xC0 | 0xC1 | 0xD0..=0xD3 => shift(case, opcode, group),
        _ => 0,
    }
}
