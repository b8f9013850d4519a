//! The 93C46 EEPROM (manual, 5.3 and 13.4.3-13.4.4): 64 words behind a Microwire interface and behind EERD. What is written to
//! it is not kept.

use super::bits::{EECD_CS, EECD_DI, EECD_DO, EECD_GNT, EECD_PRES, EECD_REQ, EECD_SK, EERD_DONE, EERD_START};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

pub const WORDS: usize = 64;
/// What all words add up to.
const SUM: u16 = 0xbaba;
const CHECKSUM: usize = 0x3f;

/// Bits of a command: a start bit, two of the operation, six of the address.
const COMMAND_BITS: u8 = 9;
/// Start bit and operation of a read.
const READ: u16 = 0b110;

/// The words (5.6): address, identity, and what else software looks at.
pub fn words(mac: [u8; 6]) -> [u16; WORDS] {
    let mut words = [0xffff; WORDS];
    for (word, pair) in words.iter_mut().zip(mac.chunks_exact(2)) {
        *word = u16::from_le_bytes([pair[0], pair[1]]);
    }
    // No compatibility bits; PBA number; initialisation control 1 with its signature, identity, initialisation control 2
    // (flow control both ways), no management.
    for (at, word) in [(3, 0), (8, 0), (9, 0), (0xa, 0x4408), (0xb, 0x1100), (0xc, 0x1af4), (0xd, 0x100e)] {
        words[at] = word;
    }
    for (at, word) in [(0xe, 0x8086), (0xf, 0x3040), (0x10, 0), (0x13, 0), (0x20, 0), (0x21, 0), (0x24, 0)] {
        words[at] = word;
    }
    let sum = words[..CHECKSUM].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
    words[CHECKSUM] = SUM.wrapping_sub(sum);
    words
}

/// The serial interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Microwire {
    /// What software drives: SK, CS, DI and REQ.
    pins: u32,
    /// Bits of the command so far, from its start bit on, and how many.
    command: u16,
    count: u8,
    /// Bits that were shifted out, of the word the command names and those behind it.
    shifted: u16,
}

impl Microwire {
    /// Software writes EECD.
    pub fn write(&mut self, value: u32) {
        let before = std::mem::replace(&mut self.pins, value & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ));
        if self.pins & EECD_CS == 0 {
            *self = Self { pins: self.pins, ..Self::default() };
            return;
        }
        let (rose, fell) = (!before & self.pins & EECD_SK != 0, before & !self.pins & EECD_SK != 0);
        let complete = self.count == COMMAND_BITS;
        if rose && !complete && (self.count != 0 || self.pins & EECD_DI != 0) {
            self.command = self.command << 1 | u16::from(self.pins & EECD_DI != 0);
            self.count += 1;
        }
        if fell && complete {
            self.shifted = self.shifted.wrapping_add(1);
        }
    }

    /// What software reads of EECD.
    pub fn read(&self, words: &[u16; WORDS]) -> u32 {
        let grant = if self.pins & EECD_REQ != 0 { EECD_GNT } else { 0 };
        self.pins | grant | EECD_PRES | if self.output(words) { EECD_DO } else { 0 }
    }

    /// Level of DO: high while nothing is read, for then the memory is ready.
    fn output(&self, words: &[u16; WORDS]) -> bool {
        if self.count < COMMAND_BITS || self.command >> 6 != READ {
            return true;
        }
        // A 0 comes first, with the last bit of the address.
        let Some(bit) = self.shifted.checked_sub(1) else { return false };
        let at = usize::from(self.command & 0x3f) + usize::from(bit / 16);
        words[at % WORDS] >> (15 - bit % 16) & 1 != 0
    }

    /// Whether it could be a state: a command no longer than one is.
    pub fn is_consistent(&self) -> bool {
        self.count <= COMMAND_BITS && self.command >> self.count == 0
    }
}

/// Software writes EERD: the register as it reads from then on.
pub fn read_word(words: &[u16; WORDS], value: u32) -> u32 {
    let address = value & 0xff00;
    if value & EERD_START == 0 {
        return address;
    }
    let word = words[(address >> 8) as usize % WORDS];
    u32::from(word) << 16 | address | EERD_DONE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clocks bits in, most significant first; what comes out with each.
    fn shift(eeprom: &mut Microwire, words: &[u16; WORDS], bits: u32, count: u32) -> u32 {
        (0..count).rev().fold(0, |read, n| {
            let data = if bits >> n & 1 != 0 { EECD_DI } else { 0 };
            for clock in [0, EECD_SK] {
                eeprom.write(EECD_CS | EECD_REQ | data | clock);
            }
            let bit = u32::from(eeprom.read(words) & EECD_DO != 0);
            eeprom.write(EECD_CS | EECD_REQ | data);
            read << 1 | bit
        })
    }

    #[test]
    fn words_add_up_and_are_read_both_ways() {
        let words = words([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        assert_eq!(words.iter().fold(0u16, |sum, word| sum.wrapping_add(*word)), SUM);
        assert_eq!(words[..3], [0x5452, 0x1200, 0x5634]);
        for at in [0, 2, 0x0d, 0x3f] {
            let mut eeprom = Microwire::default();
            eeprom.write(EECD_REQ);
            assert_eq!(eeprom.read(&words) & (EECD_GNT | EECD_PRES), EECD_GNT | EECD_PRES);
            shift(&mut eeprom, &words, 6 << 6 | at, 9);
            let word = u32::from(words[at as usize]);
            assert_eq!(shift(&mut eeprom, &words, 0, 16), word, "{at:#x}");
            assert!(eeprom.is_consistent());
            eeprom.write(0);
            assert_eq!(eeprom, Microwire::default());
            assert_eq!(read_word(&words, at << 8 | EERD_START), word << 16 | at << 8 | EERD_DONE);
        }
    }

    #[test]
    fn words_follow_each_other_and_other_commands_read_nothing() {
        let words = words([2, 0, 0, 0, 0, 1]);
        let mut eeprom = Microwire::default();
        eeprom.write(EECD_CS);
        shift(&mut eeprom, &words, 6 << 6, 10);
        let both = u32::from(words[0]) << 16 | u32::from(words[1]);
        assert_eq!(shift(&mut eeprom, &words, 0, 32), both);
        eeprom.write(0);
        eeprom.write(EECD_CS);
        shift(&mut eeprom, &words, 0b101 << 6, 9);
        assert_eq!(shift(&mut eeprom, &words, 0xa5a5, 16), 0xffff);
    }
}
