//! The codec: a stereo converter and a line-out pin behind it (High Definition Audio 1.0a, 7). Node 0 is the root, 1 the
//! audio function group, 2 the converter, 3 the pin.

use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const ROOT: u8 = 0;
const FUNCTION_GROUP: u8 = 1;
const CONVERTER: u8 = 2;
const PIN: u8 = 3;

/// QEMU's codec without input, which guests know.
const VENDOR: u32 = 0x1af4_0012;
const REVISION: u32 = 0x0010_0101;
/// 44.1 and 48 kHz; 16, 20, 24 and 32 bits.
const PCM: u32 = 1 << 5 | 1 << 6 | 0b1111 << 17;
/// Stereo, with an amplifier and formats of its own, and power states.
const CONVERTER_CAPABILITIES: u32 = 0x0000_041d;
/// A pin, stereo, with a list of what it may be connected to.
const PIN_CAPABILITIES: u32 = 0x0040_0101;
const PIN_OUTPUT: u32 = 1 << 4;
/// 75 gains, 1 dB apart, the last of which is 0 dB; can be muted.
const AMPLIFIER: u32 = 1 << 31 | 3 << 16 | (GAIN_0_DB as u32) << 8 | GAIN_0_DB as u32;
const GAIN_0_DB: u8 = 0x4a;
const MUTE: u8 = 0x80;
/// 1 dB less, of 65,536.
const DECIBEL: u32 = 58_409;
/// D0 and D3.
const POWER_STATES: u32 = 1 << 3 | 1;
const PIN_OUT_ENABLE: u8 = 0x40;
/// Green line-out at the back, without presence detection.
const PIN_DEFAULT: u32 = 0x0101_4110;

/// Registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Codec {
    group_power: u8,
    converter_power: u8,
    format: u16,
    /// Stream in the high nibble, first channel in the low one.
    stream: u8,
    /// Gain and mute of left and right.
    gains: [u8; 2],
    pin_control: u8,
    pin_default: u32,
    subsystem: u32,
}

impl Codec {
    pub fn new() -> Self {
        Self {
            group_power: 3,
            converter_power: 3,
            format: 0x0011,
            stream: 0,
            gains: [GAIN_0_DB; 2],
            pin_control: 0,
            pin_default: PIN_DEFAULT,
            subsystem: VENDOR,
        }
    }

    /// Answers a command: node, and verb with its payload.
    pub fn answer(&mut self, command: u32) -> u32 {
        let (node, verb) = ((command >> 20) as u8 & 0x7f, (command >> 8) as u16 & 0xfff);
        // Verbs of 4 bits have payloads of 16.
        match verb >> 8 {
            0x7 | 0xf => self.short(node, verb, command as u8),
            long => self.long(node, long as u8, command as u16),
        }
    }

    fn long(&mut self, node: u8, verb: u8, payload: u16) -> u32 {
        match (node, verb) {
            (CONVERTER, 0x2) => self.format = payload,
            (CONVERTER, 0xa) => return self.format.into(),
            (CONVERTER, 0x3) => self.set_gains(payload),
            (CONVERTER, 0xb) => return self.gains[usize::from(payload >> 13 & 1 == 0)].into(),
            _ => {}
        }
        0
    }

    /// Set amplifier (7.3.3.7): which sides, mute and gain. There is an output amplifier alone.
    fn set_gains(&mut self, payload: u16) {
        if payload >> 15 == 0 {
            return;
        }
        let gain = payload as u8 & MUTE | (payload as u8 & !MUTE).min(GAIN_0_DB);
        for (side, own) in self.gains.iter_mut().enumerate() {
            if payload >> (13 - side) & 1 != 0 {
                *own = gain;
            }
        }
    }

    fn short(&mut self, node: u8, verb: u16, payload: u8) -> u32 {
        match (node, verb) {
            (_, 0xf00) => return parameter(node, payload),
            (PIN, 0xf02) if payload == 0 => return CONVERTER.into(),
            (FUNCTION_GROUP, 0x705) => self.group_power = payload & 3,
            (FUNCTION_GROUP, 0xf05) => return power(self.group_power, self.group_power),
            (CONVERTER, 0x705) => self.converter_power = payload & 3,
            (CONVERTER, 0xf05) => {
                return power(self.converter_power, self.converter_power.max(self.group_power));
            }
            (CONVERTER, 0x706) => self.stream = payload,
            (CONVERTER, 0xf06) => return self.stream.into(),
            (PIN, 0x707) => self.pin_control = payload & PIN_OUT_ENABLE,
            (PIN, 0xf07) => return self.pin_control.into(),
            (PIN, 0x71c..=0x71f) => set_byte(&mut self.pin_default, verb - 0x71c, payload),
            (PIN, 0xf1c) => return self.pin_default,
            (FUNCTION_GROUP, 0x720..=0x723) => set_byte(&mut self.subsystem, verb - 0x720, payload),
            (FUNCTION_GROUP, 0xf20) => return self.subsystem,
            // What is configured once stays (7.3.3.33).
            (FUNCTION_GROUP, 0x7ff) => {
                *self = Self { pin_default: self.pin_default, subsystem: self.subsystem, ..Self::new() };
            }
            _ => {}
        }
        0
    }

    /// First channel of stream `number` that the converter plays; `None` unless it plays that stream.
    pub fn plays(&self, number: u8) -> Option<u8> {
        let awake = self.group_power == 0 && self.converter_power == 0;
        let heard = awake && self.pin_control & PIN_OUT_ENABLE != 0;
        (heard && number != 0 && self.stream >> 4 == number).then_some(self.stream & 0xf)
    }

    /// What left and right are multiplied with, of 65,536.
    pub fn amplification(&self) -> [u32; 2] {
        self.gains.map(|gain| match gain & MUTE {
            0 => (gain & !MUTE..GAIN_0_DB).fold(1 << 16, |factor, _| factor * DECIBEL >> 16),
            _ => 0,
        })
    }
}

fn power(wanted: u8, actual: u8) -> u32 {
    u32::from(actual) << 4 | u32::from(wanted)
}

fn set_byte(word: &mut u32, index: u16, byte: u8) {
    let shift = index * 8;
    *word = *word & !(0xff << shift) | u32::from(byte) << shift;
}

/// A parameter of a node (7.3.4); 0 where it has none.
fn parameter(node: u8, parameter: u8) -> u32 {
    match (node, parameter) {
        (ROOT, 0x00) => VENDOR,
        (ROOT, 0x02) => REVISION,
        // First node, and how many there are.
        (ROOT, 0x04) => u32::from(FUNCTION_GROUP) << 16 | 1,
        (FUNCTION_GROUP, 0x04) => u32::from(CONVERTER) << 16 | 2,
        (FUNCTION_GROUP, 0x05) => 1,
        (FUNCTION_GROUP | CONVERTER, 0x0a) => PCM,
        (FUNCTION_GROUP | CONVERTER, 0x0b) => 1,
        (FUNCTION_GROUP | CONVERTER, 0x0f) => POWER_STATES,
        (CONVERTER, 0x09) => CONVERTER_CAPABILITIES,
        (CONVERTER, 0x12) => AMPLIFIER,
        (PIN, 0x09) => PIN_CAPABILITIES,
        (PIN, 0x0c) => PIN_OUTPUT,
        (PIN, 0x0e) => 1,
        _ => 0,
    }
}
