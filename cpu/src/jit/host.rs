//! What the host's processor has, and what it does where the architecture leaves flags undefined. Processors differ; the
//! guest's must not.

use super::emit::{Code, Map, Opcode};
use super::enter;
use super::memory::CodeMemory;
use super::registers::RAX;

/// The host's ways. What is false is put right, or left to the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostCpu {
    /// AF is 0 after logic, TEST and shifts, as it is on the reference.
    pub clears_aux: bool,
    /// BT and its kin change CF alone, as on the reference.
    pub bit_tests_keep: bool,
    /// It has AESENC and its kin, which the guest's model may have without x86-64-v2.
    pub aes: bool,
    /// It has PCLMULQDQ.
    pub pclmulqdq: bool,
}

impl HostCpu {
    /// The processor that agrees with the reference in nothing, and has no more than it must.
    pub const WORST: Self = Self { clears_aux: false, bit_tests_keep: false, aes: false, pclmulqdq: false };

    /// Tries the instructions out; code memory is as before afterwards.
    pub fn fingerprint(memory: &mut CodeMemory) -> Self {
        const AUX: u64 = 0x10;
        const KEPT: u64 = 0x8D4;
        // With CF, PF, AF, ZF, SF and OF set before, and with all clear.
        let clears_aux = AFTER_LOGIC.iter().all(|(opcode, digit, immediate)| {
            let outcome = |flags| try_out(memory, flags, *opcode, *digit, immediate);
            [0x8D5, 0].into_iter().map(outcome).all(|flags| flags & AUX == 0)
        });
        let bit_tests_keep = (4..8).all(|digit| {
            let opcode = Opcode { map: Map::TwoByte, ..Opcode::one(0xBA) };
            let outcome = |flags| try_out(memory, flags, opcode, digit, &[3]);
            [0x8D5, 0].into_iter().map(outcome).zip([KEPT, 0]).all(|(flags, kept)| flags & KEPT == kept)
        });
        let (aes, pclmulqdq) = (is_x86_feature_detected!("aes"), is_x86_feature_detected!("pclmulqdq"));
        Self { clears_aux, bit_tests_keep, aes, pclmulqdq }
    }
}

/// Instructions on a register and an immediate that leave AF undefined: opcode, ModRM.reg, immediate.
const AFTER_LOGIC: [(Opcode, u8, &[u8]); 8] = [
    (Opcode::one(0x83), 1, &[0x5A]),
    (Opcode::one(0x83), 4, &[0x5A]),
    (Opcode::one(0x83), 6, &[0x5A]),
    (Opcode::one(0xF7), 0, &[0x5A, 0, 0, 0]),
    (Opcode::one(0xC1), 4, &[3]),
    (Opcode::one(0xC1), 5, &[3]),
    (Opcode::one(0xC1), 7, &[3]),
    (Opcode::one(0xC1), 4, &[1]),
];

/// Flags after an instruction on EAX, if they were `flags` before it.
fn try_out(memory: &mut CodeMemory, flags: u32, opcode: Opcode, digit: u8, immediate: &[u8]) -> u64 {
    let mut code = Code::default();
    // PUSH imm32; POPFQ
    code.plain(&[0x68]);
    code.plain(&(flags | 2).to_le_bytes());
    code.plain(&[0x9D]);
    code.op(Opcode::one(0xC7), 0, RAX, &0x1357_9BDFu32.to_le_bytes());
    code.op(opcode, digit, RAX, immediate);
    // PUSHFQ; POP RAX
    code.plain(&[0x9C, 0x58]);
    code.ret();
    let at = memory.append(&code.bytes);
    let flags = enter::call(memory.base() + at as u64);
    memory.truncate(at);
    flags
}
