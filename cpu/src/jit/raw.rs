//! An instruction of the guest as its bytes say: opcode, ModRM fields, immediate. What is emitted differs only in
//! registers and addresses.

use super::emit::{Map, Opcode};
use iced_x86::{Instruction, OpKind};

/// The parts of an instruction that has a ModRM byte or a register in its opcode.
pub(super) struct Raw {
    pub opcode: Opcode,
    /// ModRM.reg with REX.R.
    pub reg: u8,
    /// ModRM.rm with REX.B, where that is a register.
    pub rm: u8,
    /// Length of the immediate, at the end of the instruction.
    pub immediate: usize,
}

/// Length of the immediates of an instruction.
fn immediate_length(instr: &Instruction) -> usize {
    let length = |kind| match kind {
        OpKind::Immediate8
        | OpKind::Immediate8_2nd
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64 => 1,
        OpKind::Immediate16 => 2,
        OpKind::Immediate32 | OpKind::Immediate32to64 => 4,
        OpKind::Immediate64 => 8,
        _ => 0,
    };
    (0..instr.op_count()).map(|i| length(instr.op_kind(i))).sum()
}

impl Raw {
    /// Takes a legacy-encoded instruction of 64-bit code apart.
    pub fn new(bytes: &[u8], instr: &Instruction) -> Self {
        let (mut operand_size, mut repeat, mut rex, mut at) = (false, 0, 0, 0);
        loop {
            match bytes[at] {
                0x66 => operand_size = true,
                prefix @ (0xF2 | 0xF3) => repeat = prefix,
                0xF0 | 0x26 | 0x2E | 0x36 | 0x3E | 0x64 | 0x65 | 0x67 => {}
                prefix @ 0x40..=0x4F => {
                    (rex, at) = (prefix, at + 1);
                    continue;
                }
                _ => break,
            }
            // REX counts only right before the opcode (SDM Vol. 2A, 2.2.1).
            (rex, at) = (0, at + 1);
        }
        let map = match (bytes[at], bytes.get(at + 1)) {
            (0x0F, Some(0x38)) => Map::ThreeByte38,
            (0x0F, Some(0x3A)) => Map::ThreeByte3A,
            (0x0F, _) => Map::TwoByte,
            _ => Map::One,
        };
        at += match map {
            Map::One => 0,
            Map::TwoByte => 1,
            Map::ThreeByte38 | Map::ThreeByte3A => 2,
        };
        let byte = bytes[at];
        let modrm = bytes.get(at + 1).copied().unwrap_or(0);
        let opcode = Opcode { operand_size, repeat, wide: rex & 8 != 0, map, byte, byte_register: false };
        Self {
            opcode,
            reg: modrm >> 3 & 7 | (rex & 4) << 1,
            rm: modrm & 7 | (rex & 1) << 3,
            // The 1 of a shift by one is in the opcode.
            immediate: if map == Map::One && matches!(byte, 0xD0 | 0xD1) {
                0
            } else {
                immediate_length(instr)
            },
        }
    }
}
